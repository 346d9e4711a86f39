/* tests/core/test_rows.c -- what a query sees, and the row stream against a dense twin. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "core/rng.h"
#include "core/rows.h"

enum { MAX_N = 96, MAX_D = 8 };

/* A head with random inputs; storage is the caller's. */
static atn_head random_head(int trial, atn_idx nq, atn_idx nk, atn_idx d, float *q,
                            float *k)
{
    atn_rng r = atn_rng_stream(11, "test/rows", trial, 0);
    atn_head h = {.q = {q, nq, d, d}, .k = {k, nk, d, d}, .nq = nq, .nk = nk};

    for (atn_idx i = 0; i < nq * d; i++) q[i] = (float)(2 * atn_rng_normal(&r));
    for (atn_idx i = 0; i < nk * d; i++) k[i] = (float)(2 * atn_rng_normal(&r));
    h.scale = 1 / sqrt((double)d);
    h.sight.key_last = nk;
    return h;
}

/* Visibility straight from the words of the definition, pair by pair. */
static bool sees(const atn_head *h, atn_idx i, atn_idx j)
{
    const atn_idx at = i + h->sight.offset, w = h->sight.window;

    if (j < h->sight.key_first || j >= h->sight.key_last) return false;
    if (h->sight.causal && j > at) return false;
    if (w > 0 && h->sight.causal && j <= at - w) return false;
    return !(w > 0 && llabs((long long)(at - j)) > w);
}

enum { BIAS_PRIME = 101 };

/* A bias of the distance j - i, apart from the next one. */
static double bias_of(int distance)
{
    return (double)((distance + 50 * BIAS_PRIME) * 37 % BIAS_PRIME) / 64 - .5;
}

/* Gives the head the bias of every distance that it has, and no more. */
static void set_bias(atn_head *h, float *table)
{
    for (atn_idx e = 0; e < h->nq + h->nk - 1; e++)
        table[e] = (float)bias_of((int)(e - h->nq + 1));
    h->rel_bias = table;
    h->rel_zero = h->nq - 1 + h->sight.offset;
}

/* Row i by the textbook, in double; returns its entropy. */
static double dense_row(const atn_head *h, atn_idx i, double *p)
{
    double max = -INFINITY, sum = 0, entropy = 0, all;

    for (atn_idx j = 0; j < h->nk; j++) {
        double s = 0;
        for (atn_idx c = 0; c < h->q.cols; c++)
            s += (double)atn_crow(h->q, i)[c] * atn_crow(h->k, j)[c];
        s = s * h->scale + h->alibi_slope * (double)(j - i - h->sight.offset);
        if (h->rel_bias) s += bias_of((int)(j - i));
        if (h->sight.softcap > 0) s = h->sight.softcap * tanh(s / h->sight.softcap);
        p[j] = sees(h, i, j) ? s : -INFINITY;
        max = fmax(max, p[j]);
    }
    if (max == -INFINITY) {
        for (atn_idx j = 0; j < h->nk; j++) p[j] = 0;
        return 0;
    }
    for (atn_idx j = 0; j < h->nk; j++) sum += exp(p[j] - max);
    all = sum + (h->has_sink ? exp(h->sink - max) : 0);
    for (atn_idx j = 0; j < h->nk; j++) {
        const double share = exp(p[j] - max) / sum;
        if (share > 0) entropy -= share * log(share);
        p[j] = exp(p[j] - max) / all;
    }
    return entropy;
}

static void check_against_dense(atn_ctx *cx, const atn_head *h)
{
    for (atn_idx first = 0; first < h->nq; first += 7) {
        const atn_tile t = atn_tile_of(h, first, 7);
        float out[7 * MAX_N];
        atn_row_info info[7];

        for (size_t c = 0; c < ATN_LEN(out); c++) out[c] = NAN;
        CHECK_OK(atn_rows_fill(cx, h, &t, (atn_mat){out, t.rows, t.keys, MAX_N}, info));
        for (atn_idx r = 0; r < t.rows; r++) {
            double p[MAX_N];
            const double entropy = dense_row(h, first + r, p);
            double mass = 0;

            for (atn_idx j = 0; j < h->nk; j++) {
                mass += p[j];
                if (j < t.key0 || j >= t.key0 + t.keys)
                    CHECK(p[j] == 0);
                else
                    CHECK_NEAR(out[r * MAX_N + j - t.key0], p[j], 2e-6);
            }
            CHECK_NEAR(info[r].entropy, entropy, 2e-6 + 2e-6 * entropy);
            CHECK_NEAR(info[r].mass, mass, 1e-6);
        }
    }
}

/* Every kind of mask, alone and together, on random heads. */
static void stream_against_dense(atn_ctx *cx)
{
    for (int trial = 0; trial < 128; trial++) {
        float q[MAX_N * MAX_D], k[MAX_N * MAX_D], *bias = NULL;
        const atn_idx nq = 1 + trial * 5 % 40, nk = nq + (trial % 3) * 13,
                      d = 1 + trial % MAX_D;
        atn_head h = random_head(trial, nq, nk, d, q, k);

        h.sight.causal = trial & 1;
        h.sight.offset = trial % 5 ? nk - nq : 0;
        h.sight.window = trial & 2 ? 1 + trial % 9 : 0;
        h.sight.softcap = trial & 4 ? 3 : 0;
        h.sight.key_first = trial & 8 ? ATN_MIN(4, nk) : 0;
        h.sight.key_last = trial & 8 ? ATN_MAX(nk - 3, h.sight.key_first) : nk;
        h.has_sink = trial & 16;
        h.sink = 0.7;
        h.alibi_slope = trial & 32 ? 0.25 : 0;
        bias = malloc((size_t)(nq + nk - 1) * sizeof *bias);
        if (trial & 64) set_bias(&h, bias);
        check_against_dense(cx, &h);
        free(bias);
    }
}

/* Queries of a decoder at keys of an encoder: no mask, offset 0, more queries than
 * keys, and some of the rows only. */
static void cross_rows_of_a_sample(atn_ctx *cx)
{
    enum { NQ = 40, NK = 23, D = 5 };
    const atn_idx rows[] = {0, 7, 8, 22, 39};
    float q[MAX_N * MAX_D], k[MAX_N * MAX_D], bias[NQ + NK - 1], out[5 * NK];
    atn_head h = random_head(5, NQ, NK, D, q, k), some;
    atn_row_info info[5];

    set_bias(&h, bias);
    CHECK_OK(atn_head_sample(cx, &h, rows, 5, &some));
    const atn_tile t = atn_tile_of(&some, 0, 5);
    CHECK_EQ(t.keys, NK);
    CHECK_OK(atn_rows_fill(cx, &some, &t, (atn_mat){out, 5, NK, NK}, info));
    for (int r = 0; r < 5; r++) {
        double p[MAX_N];

        dense_row(&h, rows[r], p);
        for (int j = 0; j < NK; j++) CHECK_NEAR(out[r * NK + j], p[j], 2e-6);
    }
}

/* Equal logits: row i of a causal head is 1 / (i + 1), its entropy ln(i + 1). */
static void uniform_causal(atn_ctx *cx)
{
    float zero[64] = {0}, out[64 * 64];
    const atn_head h = {.q = {zero, 64, 1, 1},
                        .k = {zero, 64, 1, 1},
                        .nq = 64,
                        .nk = 64,
                        .scale = 1,
                        .sight = {.causal = true, .key_last = 64}};
    const atn_tile t = atn_tile_of(&h, 0, 64);
    atn_row_info info[64];

    CHECK_OK(atn_rows_fill(cx, &h, &t, (atn_mat){out, 64, 64, 64}, info));
    for (int i = 0; i < 64; i++) {
        CHECK_NEAR(info[i].entropy, log(i + 1.0), 1e-6);
        CHECK_NEAR(out[i * 64 + i / 2], 1.0 / (i + 1), 1e-7);
        CHECK_NEAR(info[i].lse, log(i + 1.0), 1e-6);
        if (i < 63) CHECK(out[i * 64 + i + 1] == 0);
    }
}

/* Logits of 1000 and of -1000 neither overflow nor vanish. */
static void extreme_logits(atn_ctx *cx)
{
    float q[] = {100, -100}, k[] = {10, 9.99f, -10};
    const atn_head h = {.q = {q, 2, 1, 1},
                        .k = {k, 3, 1, 1},
                        .nq = 2,
                        .nk = 3,
                        .scale = 1,
                        .sight = {.key_last = 3}};
    const atn_tile t = atn_tile_of(&h, 0, 2);
    float out[6];
    atn_row_info info[2];

    CHECK_OK(atn_rows_fill(cx, &h, &t, (atn_mat){out, 2, 3, 3}, info));
    CHECK_NEAR(out[0], 1 / (1 + exp(-1)), 1e-4);
    CHECK(out[2] == 0 && out[5] == 1);
}

static void rows_without_keys_are_zero(atn_ctx *cx)
{
    float x[4] = {1, 2, 3, 4},
          out[16] = {5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5};
    const atn_head h = {.q = {x, 4, 1, 1},
                        .k = {x, 4, 1, 1},
                        .nq = 4,
                        .nk = 4,
                        .scale = 1,
                        .sight = {.causal = true, .key_first = 2, .key_last = 4}};
    const atn_tile t = atn_tile_of(&h, 0, 4);
    atn_row_info info[4];

    CHECK_EQ(t.key0, 2);
    CHECK_EQ(t.keys, 2);
    CHECK_OK(atn_rows_fill(cx, &h, &t, (atn_mat){out, 4, 2, 2}, info));
    CHECK(out[0] == 0 && out[1] == 0 && out[2] == 0 && out[3] == 0);
    CHECK(info[0].lo == info[0].hi && info[0].mass == 0 && info[2].mass == 1);
    CHECK(out[4] == 1 && out[5] == 0);
}

static void bad_logits_are_located(atn_ctx *cx)
{
    float q[] = {1, NAN, 1}, k[] = {1, 2, 3}, out[9];
    const atn_head h = {.q = {q, 3, 1, 1},
                        .k = {k, 3, 1, 1},
                        .nq = 3,
                        .nk = 3,
                        .scale = 1,
                        .sight = {.key_last = 3},
                        .layer = 4,
                        .head = 2};
    const atn_tile t = atn_tile_of(&h, 0, 3);
    atn_row_info info[3];

    CHECK_FAILS(atn_rows_fill(cx, &h, &t, (atn_mat){out, 3, 3, 3}, info), ATN_DATA,
                "layer 4, head 2, row 1");
    q[1] = INFINITY;
    CHECK_FAILS(atn_rows_fill(cx, &h, &t, (atn_mat){out, 3, 3, 3}, info), ATN_DATA,
                "row 1");
}

/* Given rows pass through; the entropy is that of {.3 .5 .2}. */
static void given_rows(atn_ctx *cx)
{
    const float p[] = {1, 0, 0, .5f, .5f, 0, .3f, .5f, .2f};
    const atn_head h = {
        .p = {p, 3, 3, 3}, .nq = 3, .nk = 3, .sight = {.causal = true, .key_last = 3}};
    const atn_tile t = atn_tile_of(&h, 0, 3);
    float out[9];
    atn_row_info info[3];

    CHECK_OK(atn_rows_fill(cx, &h, &t, (atn_mat){out, 3, 3, 3}, info));
    CHECK(memcmp(out, p, sizeof p) == 0);
    CHECK_NEAR(info[2].entropy, 1.0296530, 1e-6);
    CHECK_NEAR(info[1].entropy, log(2), 1e-7);
}

static atn_status keep_rows(atn_ctx *cx, const atn_head *h, const atn_tile *t,
                            atn_cmat p, const atn_row_info *info, void *state)
{
    float *all = state;

    (void)cx, (void)info;
    for (atn_idx r = 0; r < t->rows; r++)
        memcpy(all + ((atn_idx)h->head * h->nq + t->first + r) * h->nk + t->key0,
               atn_crow(p, r), (size_t)t->keys * sizeof *all);
    return ATN_OK;
}

/* The stream visits every row of every head once, bitwise the same at 1 and 4 threads. */
static void threads_agree(atn_ctx *cx)
{
    enum { N = 300, D = 8, H = 3 };
    float *x = calloc(2 * H * N * D, sizeof *x), *one = calloc(H * N * N, sizeof *one);
    float *four = calloc(H * N * N, sizeof *four), bias[2 * N - 1];
    atn_head heads[H];
    double sum = 0;

    for (int h = 0; h < H; h++) {
        heads[h] = random_head(h, N, N, D, x + 2 * h * N * D, x + (2 * h + 1) * N * D);
        heads[h].head = h;
        heads[h].sight.causal = true;
    }
    set_bias(&heads[1], bias);
    cx->threads = 1;
    CHECK_OK(atn_rows_stream(cx, heads, H, keep_rows, one, "test"));
    cx->threads = 4;
    CHECK_OK(atn_rows_stream(cx, heads, H, keep_rows, four, "test"));
    CHECK(memcmp(one, four, H * N * N * sizeof *one) == 0);
    for (int i = 0; i < H * N * N; i++) sum += (double)one[i];
    CHECK_NEAR(sum, H * N, 1e-3);
    free(x);
    free(one);
    free(four);
}

static atn_status count_tiles(atn_ctx *cx, const atn_head *h, const atn_tile *t,
                              atn_cmat p, const atn_row_info *info, void *state)
{
    (void)cx, (void)h, (void)t, (void)p, (void)info;
    ++*(int *)state;
    return ATN_OK;
}

/* A tile of 8 rows of 100,000 keys, 3.2 MB, is refused before the first one is made. */
static void memory_is_checked_first(atn_ctx *cx)
{
    enum { N = 100000 };
    float *x = calloc(N, sizeof *x);
    const atn_head h = {.q = {x, 8, 1, 1},
                        .k = {x, N, 1, 1},
                        .nq = 8,
                        .nk = N,
                        .scale = 1,
                        .sight = {.key_last = N}};
    int tiles = 0;

    cx->threads = 1;
    cx->mem_limit = 3000000;
    CHECK_FAILS(atn_rows_stream(cx, &h, 1, count_tiles, &tiles, "the test's rows"),
                ATN_MEMORY, "the test's rows");
    CHECK_EQ(tiles, 0);
    cx->mem_limit = 4000000;
    CHECK_OK(atn_rows_stream(cx, &h, 1, count_tiles, &tiles, "the test's rows"));
    CHECK_EQ(tiles, 1);
    free(x);
}

static atn_status fail_late(atn_ctx *cx, atn_idx i, void *state)
{
    (void)state;
    return i < 5 ? ATN_OK
                 : atn_fail(cx, ATN_DATA, __FILE__, __LINE__, "task %d", (int)i);
}

static void first_failure_wins(atn_ctx *cx)
{
    for (int threads = 1; threads <= 4; threads++) {
        cx->threads = threads;
        CHECK_FAILS(atn_parallel(cx, 40, fail_late, NULL, "test"), ATN_DATA, "task 5");
    }
}

static void signals_stop_the_loop(atn_ctx *cx)
{
    atn_cancel(15);
    CHECK_FAILS(atn_parallel(cx, 40, fail_late, NULL, "loop"), ATN_TERMINATED,
                "SIGTERM");
    atn_cancel(0);
}

CHECK_MAIN({"stream against dense", stream_against_dense},
           {"cross rows of a sample", cross_rows_of_a_sample},
           {"uniform causal", uniform_causal}, {"extreme logits", extreme_logits},
           {"rows without keys are zero", rows_without_keys_are_zero},
           {"bad logits are located", bad_logits_are_located},
           {"given rows", given_rows}, {"threads agree", threads_agree},
           {"memory is checked first", memory_is_checked_first},
           {"first failure wins", first_failure_wins},
           {"signals stop the loop", signals_stop_the_loop})
