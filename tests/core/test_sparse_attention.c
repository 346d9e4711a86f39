/* tests/core/test_sparse_attention.c -- the kernel over lists of tiles against
 * attention in double on the same rounded operands.
 *
 * With ATN_TEST_DEVICE=shim or =gpu; without it there is nothing to test (the CPU has
 * no such kernel) but what is refused. Agreement: weights are rounded to bf16, so an
 * output may be off by 2^-8 of the largest value it is made of; the log-sum-exp comes
 * from unrounded weights.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "core/cuda/sparse_attention_cuda.h"
#include "core/rng.h"
#include "device.h"

enum { ROWS = ATN_SPARSE_ROWS, KEYS = ATN_SPARSE_KEYS };

typedef struct numbers {
    float *q, *k, *v, *out, *lse;
} numbers;

/* Normal numbers that bf16 holds. */
static float *draw(int id, atn_idx n, double size)
{
    atn_rng r = atn_rng_stream(11, "test/sparse", id, 0);
    float *x = calloc((size_t)n, sizeof *x);

    for (atn_idx i = 0; i < n; i++) {
        const uint32_t bits =
            (uint32_t)atn_bf16_from_f32((float)(size * atn_rng_normal(&r))) << 16;
        memcpy(&x[i], &bits, sizeof bits);
    }
    return x;
}

static numbers numbers_of(const atn_sparse_launch *l, double size)
{
    return (numbers){draw(1, l->heads * l->nq * l->d, size),
                     draw(2, l->kv_heads * l->nk * l->d, size),
                     draw(3, l->kv_heads * l->nk * l->d, 1),
                     calloc((size_t)(l->heads * l->nq * l->d), sizeof(float)),
                     calloc((size_t)(l->heads * l->nq), sizeof(float))};
}

static void drop(numbers *x)
{
    free(x->q), free(x->k), free(x->v), free(x->out), free(x->lse);
}

static bool sees(const atn_sight *s, atn_idx i, atn_idx j)
{
    const atn_idx at = i + s->offset;

    if (j < s->key_first || j >= s->key_last) return false;
    if (s->causal && j > at) return false;
    if (s->window == 0) return true;
    return s->causal ? j > at - s->window : j >= at - s->window && j <= at + s->window;
}

/* Weight of keys for row i of head h: 0 where the list leaves its tile out. Returns the
 * log-sum-exp. */
static double twin_row(const atn_sparse_launch *l, const numbers *x, atn_idx h,
                       atn_idx i, double *w)
{
    const atn_idx kv = h / (l->heads / l->kv_heads);
    const int64_t *ptr = l->list.ptr + h % l->list.heads * l->list.tiles + i / ROWS;
    double sum = 0, most = -INFINITY;

    for (atn_idx j = 0; j < l->nk; j++) w[j] = -INFINITY;
    for (int64_t e = ptr[0]; e < ptr[1]; e++)
        for (atn_idx j = l->list.item[e] / 2 * KEYS;
             j < ATN_MIN((l->list.item[e] / 2 + 1) * KEYS, l->nk); j++) {
            double dot = 0;

            if ((l->list.item[e] & 1) && !sees(&l->sight, i, j)) continue;
            for (atn_idx c = 0; c < l->d; c++)
                dot += (double)x->q[(h * l->nq + i) * l->d + c] *
                       (double)x->k[(kv * l->nk + j) * l->d + c];
            w[j] = dot * l->scale;
            most = fmax(most, w[j]);
        }
    if (most == -INFINITY) {
        for (atn_idx j = 0; j < l->nk; j++) w[j] = 0;
        return most;
    }
    for (atn_idx j = 0; j < l->nk; j++) sum += w[j] = exp(w[j] - most);
    for (atn_idx j = 0; j < l->nk; j++) w[j] /= sum;
    return most + log(sum);
}

/* Some rows of a tile: its first, its last, two between. */
static bool looked_at(atn_idx i, atn_idx nq)
{
    return i % ROWS == 0 || i % ROWS == 77 || i % ROWS == 8 || i % ROWS == ROWS - 1 ||
           i == nq - 1;
}

static void compare(const atn_sparse_launch *l, const numbers *x)
{
    const atn_idx group = l->heads / l->kv_heads;
    double *w = calloc((size_t)l->nk, sizeof *w);

    for (atn_idx h = 0; h < l->heads; h++)
        for (atn_idx i = 0; i < l->nq; i++) {
            const float *out = x->out + (h * l->nq + i) * l->d;
            double lse;

            if (!looked_at(i, l->nq)) continue;
            lse = twin_row(l, x, h, i, w);
            if (lse == -INFINITY)
                CHECK(x->lse[h * l->nq + i] == -INFINITY);
            else
                CHECK_NEAR(x->lse[h * l->nq + i], lse, 1e-4 * (1 + fabs(lse)));
            for (atn_idx c = 0; c < l->d; c++) {
                double want = 0, room = 0;

                for (atn_idx j = 0; j < l->nk; j++) {
                    const double v = (double)x->v[(h / group * l->nk + j) * l->d + c];
                    want += w[j] * v;
                    room += w[j] * fabs(v);
                }
                CHECK_NEAR(out[c], want, room / 256 + 1e-6);
                if (lse == -INFINITY) CHECK(out[c] == 0);
            }
        }
    free(w);
}

static void run(atn_ctx *cx, const atn_sparse_launch *l, double size)
{
    numbers x = numbers_of(l, size);

    CHECK_OK(atn_sparse_attention(cx, l, x.q, x.k, x.v, x.out, x.lse));
    compare(l, &x);
    drop(&x);
}

static void by_sight(atn_ctx *cx, atn_sparse_launch l, double density, atn_idx lists)
{
    const atn_tile_sizes t = {l.nq, l.nk, ROWS, KEYS};
    atn_tile_list all;

    l.scale = 1 / sqrt((double)l.d);
    CHECK_OK(atn_tile_list_of_sight(cx, &l.sight, &t, &all));
    CHECK_OK(atn_tile_list_thin(cx, &all, density, lists, &l.list));
    run(cx, &l, 1.5);
    atn_tile_list_release(cx, &l.list);
    atn_tile_list_release(cx, &all);
}

/* Both widths and padded ones, ragged lengths, groups, windows, offsets, densities. */
static void masks(atn_ctx *cx)
{
    by_sight(cx,
             (atn_sparse_launch){.heads = 2,
                                 .kv_heads = 1,
                                 .nq = 300,
                                 .nk = 300,
                                 .d = 64,
                                 .sight = {.causal = true, .key_last = 300}},
             1, 1);
    by_sight(cx,
             (atn_sparse_launch){.heads = 3,
                                 .kv_heads = 3,
                                 .nq = 128,
                                 .nk = 200,
                                 .d = 128,
                                 .sight = {.key_last = 200}},
             1, 1);
    by_sight(
        cx,
        (atn_sparse_launch){.heads = 1,
                            .kv_heads = 1,
                            .nq = 257,
                            .nk = 257,
                            .d = 128,
                            .sight = {.causal = true, .window = 70, .key_last = 257}},
        1, 1);
    by_sight(
        cx,
        (atn_sparse_launch){
            .heads = 2,
            .kv_heads = 2,
            .nq = 140,
            .nk = 300,
            .d = 40,
            .sight = {.causal = true, .offset = 160, .key_first = 3, .key_last = 290}},
        1, 1);
    by_sight(cx,
             (atn_sparse_launch){.heads = 2,
                                 .kv_heads = 1,
                                 .nq = 200,
                                 .nk = 333,
                                 .d = 72,
                                 .sight = {.window = 50, .key_last = 333}},
             1, 1);
    by_sight(cx,
             (atn_sparse_launch){.heads = 4,
                                 .kv_heads = 2,
                                 .nq = 520,
                                 .nk = 520,
                                 .d = 64,
                                 .sight = {.causal = true, .key_last = 520}},
             .4, 2);
}

/* Random lists in any order, some empty, flags where they need not be; logits to +-40,
 * so that the running maximum moves. */
static void random_lists(atn_ctx *cx)
{
    enum { HEADS = 4, TILES = 3, ACROSS = 5 };
    int64_t ptr[HEADS * TILES + 1] = {0};
    int32_t item[HEADS * TILES * ACROSS];
    atn_sparse_launch l = {
        .heads = HEADS,
        .kv_heads = 2,
        .nq = 2 * ROWS + 50,
        .nk = 4 * KEYS + 9,
        .d = 128,
        .scale = .3,
        .sight = {.causal = true, .offset = 5, .window = 200, .key_last = 4 * KEYS + 9},
        .list = {HEADS, TILES, ptr, item}};
    atn_rng r = atn_rng_stream(5, "test/lists", 0, 0);
    int n = 0;

    for (int i = 0; i < HEADS * TILES; i++) {
        const atn_idx first = atn_rng_below(&r, ACROSS);

        for (atn_idx k = 0; k < ACROSS && i % 5 != 2; k++)
            if (atn_rng_below(&r, 2))
                item[n++] =
                    (int32_t)(2 * ((first + k) % ACROSS) + atn_rng_below(&r, 2));
        ptr[i + 1] = n;
    }
    run(cx, &l, 1);
}

static void refused(atn_ctx *cx)
{
    int64_t ptr[2] = {0, 1};
    int32_t item[1] = {2};
    float x[64] = {0};
    atn_sparse_launch l = {.heads = 1,
                           .kv_heads = 1,
                           .nq = 1,
                           .nk = 1,
                           .d = 64,
                           .scale = 1,
                           .sight = {.key_last = 1},
                           .list = {1, 1, ptr, item}};

    CHECK_FAILS(atn_sparse_attention(cx, &l, x, x, x, x, NULL), ATN_DATA,
                "tile 1 of keys");
    item[0] = 0;
    l.d = 192;
    CHECK_FAILS(atn_sparse_attention(cx, &l, x, x, x, x, NULL), ATN_DATA,
                "head dim 192");
    l.d = 64;
    l.scale = 0;
    CHECK_FAILS(atn_sparse_attention(cx, &l, x, x, x, x, NULL), ATN_DATA, "scale 0");
    l.scale = 1;
    l.sight.softcap = 3;
    CHECK_FAILS(atn_sparse_attention(cx, &l, x, x, x, x, NULL), ATN_DATA, "soft cap");
    l.sight.softcap = 0;
    l.nq = 129;
    CHECK_FAILS(atn_sparse_attention(cx, &l, x, x, x, x, NULL), ATN_DATA,
                "1 tiles of queries");
    l.nq = 1;
    l.kv_heads = 2;
    CHECK_FAILS(atn_sparse_attention(cx, &l, x, x, x, x, NULL), ATN_DATA,
                "1 heads of 2");
}

static void timed(atn_ctx *cx)
{
    const atn_tile_sizes t = {200, 200, ROWS, KEYS};
    atn_sparse_launch l = {.heads = 4,
                           .kv_heads = 2,
                           .nq = 200,
                           .nk = 200,
                           .d = 128,
                           .scale = .1,
                           .sight = {.causal = true, .key_last = 200}};
    double seconds[3] = {0};

    CHECK_OK(atn_tile_list_of_sight(cx, &l.sight, &t, &l.list));
    CHECK_OK(atn_sparse_time(cx, &l, 1, 3, seconds));
    for (int i = 0; i < 3; i++) CHECK(seconds[i] > 0);
    CHECK_LE(2 * 2 * 128 * (4. + 2) * 200, atn_sparse_bytes(&l));
    atn_tile_list_release(cx, &l.list);
}

static void on_device(atn_ctx *cx, void (*test)(atn_ctx *))
{
    atn_backend *be;

    if (!device_wanted()) skip();
    be = device_open(cx, ATN_MATH_F32);
    cx->backend = be;
    test(cx);
    cx->backend = &atn_backend_cpu;
    atn_cuda_close(cx, be);
}

#define ON_DEVICE(f)                                                                   \
    static void device_##f(atn_ctx *cx)                                                \
    {                                                                                  \
        on_device(cx, f);                                                              \
    }
ON_DEVICE(masks)
ON_DEVICE(random_lists)
ON_DEVICE(refused)
ON_DEVICE(timed)

CHECK_MAIN({"masks", device_masks}, {"random lists", device_random_lists},
           {"refused", device_refused}, {"timed", device_timed})
