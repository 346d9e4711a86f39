/* tests/graph/test_field.c -- how far a token sees: the tables of cards A5 and 2. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "field_patterns.h"

#include "graph/field.h"

enum { DEPTH = 24 };

/* Runs one pattern in every layer and destroys it. */
static void run(atn_ctx *cx, atn_pattern *p, int depth, atn_field *out)
{
    const atn_pattern *const layers[] = {p};
    const atn_field_opts o = {.depth = depth, .every = true, .diameter = true};

    CHECK_OK(atn_field_run(cx, layers, 1, &o, out));
    atn_pattern_destroy(cx, p);
}

/* Takes the pattern: sizes of the last field after 0, 1, .. layers, and when it is
 * complete. */
static void check_growth(atn_ctx *cx, atn_pattern *p, const char *method,
                         const atn_idx *want, int n, int complete)
{
    atn_field f;

    run(cx, p, n - 1, &f);
    CHECK_STR(f.method, method);
    for (int k = 0; k < n; k++) {
        CHECK_EQ(f.at[k].reached, want[k]);
        CHECK_NEAR(f.at[k].accuracy, (double)want[k] / (double)f.nodes, 1e-15);
    }
    CHECK_EQ(f.complete, complete);
    atn_field_release(cx, &f);
}
#define GROWTH(p, method, complete, ...)                                               \
    do {                                                                               \
        static const atn_idx want_[] = {__VA_ARGS__};                                  \
        check_growth(cx, p, method, want_, (int)ATN_LEN(want_), complete);             \
    } while (0)

/* Card A5, 128 blocks. Offsets and a prefix: w keys reach k (w - 1) + 1; powers of two
 * reach the distances with at most k bits, sum_t<=k C(7, t). */
static void table_128(atn_ctx *cx)
{
    const atn_idx n = 128;

    GROWTH(window_of(cx, n, 1, 10, 0), "shift", 15, 1, 10, 19, 28, 37, 46, 55, 64, 73,
           82);
    GROWTH(window_of(cx, n, 1, 9, 1), "shift", 16, 1, 10, 18, 26, 34, 42, 50);
    GROWTH(powers_of(cx, n, 1, 0, 0), "shift", 7, 1, 8, 29, 64, 99, 120, 127, 128);
    GROWTH(powers_of(cx, n, 1, 5, 1), "shift", 6, 1, 10, 35, 75, 110, 126, 128);
    GROWTH(stepped(cx, n, 1, 0, 2, 20, 0), "shift", -1, 1, 10, 19, 28, 37, 46, 55, 64,
           64);
    GROWTH(stepped(cx, n, 1, 5, 11, 56, 0), "shift", 5, 1, 10, 39, 82, 116, 128);
    GROWTH(stepped(cx, n, 1, 11, 11, n, 0), "shift", 2, 1, 22, 128);
    GROWTH(dense_of(cx, n, 1, true), "shift", 1, 1, 128, 128);
    GROWTH(dense_of(cx, n, 1, false), "intervals", 1, 1, 128);
}

/* Card 2(e): blocks of 256 tokens, the last one short; PowerAttention and its
 * baselines. */
static void table_of_blocks(atn_ctx *cx)
{
    const atn_idx n = 128 * 256 - 100;

    GROWTH(powers_of(cx, n, 256, 5, 1), "shift", 6, 1, 10, 35, 75, 110, 126, 128);
    GROWTH(window_of(cx, n, 256, 9, 1), "shift", 16, 1, 10, 18, 26, 34);
    GROWTH(stepped(cx, n, 256, 6, 32, 128, 1), "shift", 8, 1, 10, 30, 50, 70, 90, 110,
           126, 128);
    GROWTH(powers_of(cx, 2 * n, 256, 5, 1), "shift", 7, 1, 11, 44, 109, 184, 235, 254,
           256);
    GROWTH(powers_of(cx, 512 * 256, 256, 5, 1), "shift", 8, 1, 12, 54, 152, 292, 418,
           488, 510, 512);
}

/* 1024 = 2^10: sum_t<=k C(10, t); the first distance with more than k bits is 2^(k+1) -
 * 1. */
static void powers_of_two(atn_ctx *cx)
{
    static const atn_idx want[] = {1,   11,  56,   176,  386, 638,
                                   848, 968, 1013, 1023, 1024};
    atn_field f;

    run(cx, powers_of(cx, 1024, 1, 0, 0), 10, &f);
    for (int k = 0; k <= 10; k++) {
        CHECK_EQ(f.at[k].reached, want[k]);
        CHECK_EQ(f.at[k].contiguous, k < 10 ? ((atn_idx)2 << k) - 1 : 1024);
        CHECK_EQ(f.at[k].first_missing, k < 10 ? ((atn_idx)2 << k) - 1 : -1);
    }
    CHECK_EQ(f.diameter, 10);
    atn_field_release(cx, &f);
    GROWTH(powers_of(cx, 16, 1, 0, 0), "shift", 4, 1, 5, 11, 15, 16);
}

/* The paper's mask: the positions without a hole; shares of the 8,256 pairs, from card
 * A5. */
static void numbers_of_every_block(atn_ctx *cx)
{
    static const atn_idx contiguous[] = {1, 5, 13, 29, 61, 125, 128};
    static const int depth[] = {1, 2, 3, 4, 5, 6, 8};
    static const double window[] = {.1496, .2739, .3883, .4930, .5878, .6728, .8135};
    static const double power[] = {.1382, .4140, .7517, .9524, .9996, 1, 1};
    atn_field f, g;

    run(cx, powers_of(cx, 128 * 16, 16, 5, 1), 8, &f);
    run(cx, window_of(cx, 128 * 16, 16, 10, 0), 8, &g);
    for (int k = 0; k < 7; k++) {
        CHECK_EQ(f.at[k].contiguous, contiguous[k]);
        CHECK_NEAR(f.at[depth[k]].pairs_share, power[k], 5.1e-5);
        CHECK_NEAR(g.at[depth[k]].pairs_share, window[k], 5.1e-5);
    }
    /* 10 of 128 blocks; the first 9 + 1 rows see all they can after one layer */
    CHECK_NEAR(g.at[1].rows_complete, 10. / 128, 1e-15);
    CHECK_NEAR(g.at[1].least_share, 10. / 128, 1e-15);
    CHECK_EQ(g.at[1].least_row, 127);
    CHECK_EQ(f.diameter, 6);
    CHECK_EQ(g.diameter, 15);
    atn_field_release(cx, &f);
    atn_field_release(cx, &g);
}

/* Segments of 8, 32, 128 with steps 1, 4, 16, their union, for `heads` phases. */
static atn_pattern *longnet(atn_ctx *cx, atn_idx heads)
{
    static const atn_idx segment[] = {8, 32, 128}, steps[] = {1, 4, 16};
    const atn_frame f = atn_frame_square(128, 1, true);
    atn_pattern *all = NULL;
    atn_idx phase[16];

    for (int k = 0; k < 3; k++) {
        atn_pattern *p;

        for (atn_idx h = 0; h < heads; h++) phase[h] = h % steps[k];
        CHECK_OK(atn_pattern_residues(cx, &f, segment[k], steps[k], phase, heads, &p));
        if (k == 0)
            all = p;
        else
            CHECK_OK(atn_pattern_union(cx, all, p, &all));
    }
    return all;
}

/* PowerAttention's own form, with a xor c. */
static atn_pattern *longnet_xor(atn_ctx *cx)
{
    static uint8_t see[128][128];
    const atn_frame f = atn_frame_square(128, 1, true);

    for (int a = 0; a < 128; a++)
        for (int c = 0; c <= a; c++) {
            const int x = a ^ c, o = a | c;

            see[a][c] = x < 8 || (x < 16 && !(o & 1)) || (x < 32 && !(o & 3)) ||
                        (x < 64 && !(o & 7)) || (x < 128 && !(o & 15));
        }
    return given_rows(cx, &f, 1, see[0]);
}

/* Row 127 of phase 0 has the offset 7 in segments of 8 and no other: 8, and so on. */
static void longnet_gets_stuck(atn_ctx *cx)
{
    atn_field f;

    GROWTH(longnet(cx, 1), "bits", -1, 1, 8, 14, 29, 38, 56, 56, 56);
    GROWTH(longnet(cx, 16), "bits", 3, 1, 20, 92, 128);
    run(cx, longnet_xor(cx), 20, &f);
    CHECK_EQ(f.at[20].reached, 80);
    CHECK_EQ(f.complete, -1);
    CHECK_EQ(f.diameter, -1);
    atn_field_release(cx, &f);
}

/* Window 3, key 0, and 6 keys drawn from those between: means over seeds of card A5;
 * its deviations are 4.0, 7.8, 4.2, so those of the mean of 200 are below .56. */
static void bigbird_on_average(atn_ctx *cx)
{
    static uint8_t see[128][128];
    static const double want[] = {1, 10, 55.2, 108.6, 123.4};
    const atn_frame f = atn_frame_square(128, 1, true);
    double sum[5] = {0};

    for (int seed = 0; seed < 200; seed++) {
        atn_rng r = atn_rng_stream((uint64_t)seed, "field/bigbird", 0, 0);
        atn_field field;

        memset(see, 0, sizeof see);
        for (int i = 0; i < 128; i++) {
            int left = ATN_MIN(6, ATN_MAX(i - 3, 0));

            for (int j = ATN_MAX(i - 2, 0); j <= i; j++) see[i][j] = 1;
            see[i][0] = 1;
            while (left > 0) {
                const atn_idx j = 1 + atn_rng_below(&r, i - 3);

                left -= !see[i][j];
                see[i][j] = 1;
            }
        }
        run(cx, given_rows(cx, &f, 1, see[0]), 4, &field);
        for (int k = 0; k < 5; k++) sum[k] += (double)field.at[k].reached / 200;
        atn_field_release(cx, &field);
    }
    for (int k = 0; k < 5; k++) CHECK_NEAR(sum[k], want[k], k < 2 ? 1e-12 : 2);
}

/* A global token that sees all: complete after 2 layers (row to it, it to all); under a
 * causal mask it is one key more. Chunks of 16 with a summary column each: 2. */
static void global_and_fixed(atn_ctx *cx)
{
    const atn_frame open = atn_frame_square(100, 1, false);
    const atn_frame causal = atn_frame_square(100, 1, true);
    const atn_box global[] = {{{0, 1}, {0, 100}}, {{0, 100}, {0, 1}}};
    const atn_idx starts[] = {0, 16, 32, 48, 64, 80, 96}, phase = 15;
    atn_pattern *p, *q;

    CHECK_OK(atn_pattern_boxes(cx, &open, global, 2, &p));
    GROWTH(p, "bits", 2, 1, 2, 100);
    CHECK_OK(atn_pattern_boxes(cx, &causal, global, 2, &p));
    GROWTH(p, "bits", -1, 1, 2, 2);
    CHECK_OK(atn_pattern_segments(cx, &causal, starts, 7, &p));
    CHECK_OK(atn_pattern_columns(cx, &causal, 16, 1, &phase, 1, &q));
    CHECK_OK(atn_pattern_union(cx, p, q, &p));
    GROWTH(p, "bits", 2, 1, 10, 100);
}

/* Card 15(e): 1 + k (w - 1) from an inner query; in three axes their product. Every
 * query has w keys, so the least share after a layer is w / L; rows far from the ends
 * come last. */
static void neighbourhoods(atn_ctx *cx)
{
    const atn_axes line = {1, {{101, 7, 1, 1, false}}};
    const atn_axes grid = {
        3, {{9, 3, 1, 1, false}, {21, 5, 1, 1, false}, {15, 3, 1, 1, false}}};
    const atn_axes strided = {2, {{64, 8, 4, 1, true}, {64, 8, 8, 2, false}}};
    uint8_t *reached = calloc(9 * 21 * 15, 1);

    for (int k = 0; k < 5; k++) {
        atn_pattern *const p = grid_of(cx, &line), *const q = grid_of(cx, &grid);
        const atn_pattern *const one[] = {p}, *const three[] = {q};
        atn_idx sum = 0;

        CHECK_OK(atn_field_of(cx, one, 1, k, 50, reached));
        for (int j = 0; j < 101; j++) sum += reached[j];
        CHECK_EQ(sum, 1 + 6 * k);
        CHECK_OK(atn_field_of(cx, three, 1, k, (4 * 21 + 10) * 15 + 7, reached));
        sum = 0;
        for (int j = 0; j < 9 * 21 * 15; j++) sum += reached[j];
        CHECK_EQ(sum, (1 + 2 * k) * (1 + 4 * k) * (1 + 2 * k));
        atn_pattern_destroy(cx, p);
        atn_pattern_destroy(cx, q);
    }
    /* the corner: w - 1 + (k - 1) floor(w / 2), + 1, an axis, as its window is moved
     * inside */
    GROWTH(grid_of(cx, &grid), "axes", 13, 1, 45, 4 * 7 * 4, 5 * 9 * 5, 6 * 11 * 6);
    /* half of the second axis, which has two groups, is never seen */
    GROWTH(grid_of(cx, &strided), "axes", -1, 1, 64);
    free(reached);
}

/* 2 layers of 7 see everything; the others a window of 2 blocks of 8. The dense ones
 * may be in tokens. Blocks of 8 and 12 meet in 4. */
static void hybrids(atn_ctx *cx)
{
    atn_pattern *const w = window_of(cx, 800, 8, 2, 0);
    atn_pattern *const d = dense_of(cx, 800, 1, true);
    atn_pattern *const v = window_of(cx, 800, 12, 2, 0);
    const atn_pattern *const layers[] = {w, w, w, d, w, w, d}, *const two[] = {w, v};
    const atn_field_opts o = {.depth = 8, .every = true};
    atn_field f;

    CHECK_OK(atn_field_run(cx, layers, 7, &o, &f));
    CHECK_EQ(f.nodes, 100);
    CHECK_EQ(f.block, 8);
    for (int k = 0; k <= 8; k++) CHECK_EQ(f.at[k].reached, k < 4 ? k + 1 : 100);
    CHECK_EQ(f.complete, 4);
    atn_field_release(cx, &f);
    CHECK_OK(atn_field_run(cx, two, 2, &o, &f));
    CHECK_EQ(f.block, 4);
    CHECK_STR(f.method, "intervals");
    /* the last token's block of 12 is [792, 804), so it sees [780, 800), then [768,
     * 800) */
    CHECK_EQ(f.at[1].reached_tokens, 16);
    CHECK_EQ(f.at[2].reached_tokens, 32);
    atn_field_release(cx, &f);
    atn_pattern_destroy(cx, w);
    atn_pattern_destroy(cx, d);
    atn_pattern_destroy(cx, v);
}

/* Two layers of three add nothing: the field waits, and goes on. */
static void growth_may_pause(atn_ctx *cx)
{
    atn_pattern *const none = window_of(cx, 10, 1, 1, 0);
    atn_pattern *const two = window_of(cx, 10, 1, 2, 0);
    const atn_pattern *const layers[] = {none, none, two};
    const atn_field_opts o = {.depth = 2, .every = true, .diameter = true};
    atn_field f;

    CHECK_OK(atn_field_run(cx, layers, 3, &o, &f));
    CHECK_EQ(f.complete, 27);
    CHECK_EQ(f.diameter, 27);
    atn_field_release(cx, &f);
    atn_pattern_destroy(cx, none);
    atn_pattern_destroy(cx, two);
}

/* The last block has 3 of 5 tokens. A block that does not see itself: the token
 * alone. */
static void tokens_of_blocks(atn_ctx *cx)
{
    const atn_span back = {1, 3};
    atn_field f;

    run(cx, window_of(cx, 48, 5, 2, 0), 3, &f);
    CHECK_EQ(f.at[0].reached_tokens, 1);
    CHECK_EQ(f.at[1].reached_tokens, 3 + 5);
    CHECK_EQ(f.at[3].reached_tokens, 3 + 15);
    atn_field_release(cx, &f);
    run(cx, shifted(cx, 48, 5, true, &back, 1, 0), 3, &f);
    CHECK_EQ(f.at[1].reached_tokens, 1 + 10);
    CHECK_EQ(f.at[3].reached, 7);
    CHECK_EQ(f.at[3].reached_tokens, 1 + 30);
    CHECK_EQ(f.complete, -1);
    atn_field_release(cx, &f);
    /* not causal: after two layers it comes back to its own block */
    run(cx,
        given_rows(cx, &(atn_frame){10, 10, 0, 5, false}, 1,
                   (const uint8_t[]){0, 1, 1, 0}),
        2, &f);
    CHECK_EQ(f.at[1].reached_tokens, 6);
    CHECK_EQ(f.at[2].reached_tokens, 10);
    CHECK_EQ(f.complete, 2);
    CHECK_EQ(f.diameter, 2); /* after one layer all nodes, but of its own one token */
    CHECK_NEAR(f.at[1].pairs_share, 1, 0);
    CHECK_NEAR(f.at[1].rows_complete, 0, 0);
    CHECK_NEAR(f.at[2].rows_complete, 1, 0);
    atn_field_release(cx, &f);
    /* one block of 5 tokens, which sees itself */
    run(cx, window_of(cx, 5, 5, 1, 0), 0, &f);
    CHECK_NEAR(f.at[0].rows_complete, 0, 0);
    CHECK_EQ(f.complete, 1);
    CHECK_EQ(f.diameter, 1);
    atn_field_release(cx, &f);
    /* the last block is one token, and all see the first block alone */
    run(cx, shifted(cx, 6, 5, true, &(atn_span){1, 2}, 1, 1), 0, &f);
    CHECK_EQ(f.complete, 1);
    CHECK_EQ(f.diameter, 1);
    atn_field_release(cx, &f);
}

static void one_token(atn_ctx *cx)
{
    GROWTH(window_of(cx, 1, 1, 1, 0), "shift", 0, 1, 1);
    GROWTH(window_of(cx, 7, 256, 4, 1), "shift", 1, 1, 1);
    GROWTH(dense_of(cx, 1, 1, false), "intervals", 0, 1, 1);
}

/* Rows that see nothing keep themselves. */
static void empty_rows(atn_ctx *cx)
{
    const atn_frame f = atn_frame_square(30, 1, true);
    atn_pattern *p;

    CHECK_OK(atn_pattern_boxes(cx, &f, NULL, 0, &p));
    GROWTH(p, "intervals", -1, 1, 1, 1);
    GROWTH(shifted(cx, 30, 1, true, NULL, 0, 0), "shift", -1, 1, 1, 1);
}

/* ---- walks ---- */

static void run_walks(atn_ctx *cx, const atn_pattern *const *layers, int n, int depth,
                      atn_field *f)
{
    CHECK_OK(atn_field_run(cx, layers, n,
                           &(atn_field_opts){.depth = depth, .walks = true}, f));
}

/* Causal and dense: non-increasing sequences, C(N - 1 + k, k) in all and C(N - 2 + k, k
 * - 1) to token 0. A window of 2 away from the start: 2^k. */
static void walks_in_closed_form(atn_ctx *cx)
{
    const atn_idx n = 1 << 20;
    atn_pattern *const d = dense_of(cx, n, 1, true), *const w =
                                                         window_of(cx, 65, 1, 2, 0);
    const atn_pattern *const dense[] = {d}, *const window[] = {w};
    atn_field f;

    run_walks(cx, dense, 1, 64, &f);
    for (int k = 1; k <= 64; k++) {
        double all = 0, first = 0;

        for (int t = 1; t <= k; t++) all += log10((double)(n - 1 + t) / t);
        for (int t = 1; t < k; t++) first += log10((double)(n - 1 + t) / t);
        CHECK_NEAR(f.at[k].walks_log10, all, 1e-11);
        CHECK_NEAR(f.at[k].walks_first_log10, first, 1e-11);
    }
    CHECK(f.at[64].walks_log10 > 290);
    atn_field_release(cx, &f);
    run_walks(cx, window, 1, 66, &f);
    CHECK_NEAR(f.at[60].walks_log10, 60 * log10(2), 1e-14);
    CHECK(isnan(f.at[63].walks_first_log10));
    CHECK_NEAR(f.at[64].walks_first_log10, 0, 1e-15);
    CHECK_NEAR(f.at[66].walks_first_log10, log10(66 * 65 / 2), 1e-14);
    atn_field_release(cx, &f);
    atn_pattern_destroy(cx, d);
    atn_pattern_destroy(cx, w);
}

/* Not causal, 1000 tokens, 120 layers: 1000^k, beyond the range of double; through a
 * last row that sees only token 0 beside them the count stays a sum of what is
 * positive. */
static void walks_do_not_overflow(atn_ctx *cx)
{
    const atn_frame f = atn_frame_square(1001, 1, false);
    const atn_box box = {{0, 1000}, {0, 1000}}, thin = {{1000, 1001}, {1000, 1001}};
    const atn_box both[] = {box, thin};
    atn_pattern *const d = dense_of(cx, 1000, 1, false);
    atn_pattern *p;
    const atn_pattern *layers[1] = {d};
    atn_field out;

    run_walks(cx, layers, 1, 120, &out);
    for (int k = 0; k <= 120; k++) {
        CHECK_NEAR(out.at[k].walks_log10, 3 * k, 1e-10);
        if (k > 0) CHECK_NEAR(out.at[k].walks_first_log10, 3 * k - 3, 1e-10);
    }
    atn_field_release(cx, &out);
    CHECK_OK(atn_pattern_boxes(cx, &f, both, 2, &p));
    layers[0] = p;
    run_walks(cx, layers, 1, 120, &out);
    CHECK_NEAR(out.at[120].walks_log10, 0, 0);
    atn_field_release(cx, &out);
    atn_pattern_destroy(cx, p);
    atn_pattern_destroy(cx, d);
}

/* ---- limits ---- */

static void sink(void *user, atn_log_level level, const char *text)
{
    *(bool *)user |= level == ATN_LOG_WARN && strstr(text, "--mem-limit");
}

/* Where the bits of all pairs do not fit, the last token's numbers are the same. */
static void every_is_left_out(atn_ctx *cx)
{
    atn_pattern *const p = longnet(cx, 16);
    const atn_pattern *const layers[] = {p};
    const atn_field_opts o = {.depth = 3, .every = true, .diameter = true};
    bool warned = false;
    float map[16];
    atn_field f;

    cx->log_sink = sink;
    cx->log_user = &warned;
    cx->threads = 1;
    cx->mem_limit = *cx->in_use + 16384;
    CHECK_OK(atn_field_run(cx, layers, 1, &o, &f));
    CHECK(warned);
    CHECK_STR(f.method, "frontier");
    CHECK(!f.every);
    CHECK_EQ(f.at[2].reached, 92);
    CHECK_EQ(f.complete, 3);
    CHECK_EQ(f.diameter, -2);
    CHECK(isnan(f.at[2].pairs_share) && isnan(f.at[2].rows_complete));
    CHECK(isnan(f.at[2].least_share));
    CHECK_EQ(f.at[2].least_row, -1);
    atn_field_release(cx, &f);
    CHECK_FAILS(atn_field_map(cx, layers, 1, 3, (atn_mat){map, 4, 4, 4}), ATN_MEMORY,
                "--mem-limit");
    cx->mem_limit = 0;
    atn_pattern_destroy(cx, p);
}

static void bad_layers(atn_ctx *cx)
{
    const atn_frame f = {10, 4, 6, 1, true};
    const atn_span one = {0, 1};
    atn_pattern *const a = window_of(cx, 10, 1, 2, 0), *const b =
                                                           window_of(cx, 11, 1, 2, 0);
    atn_pattern *c;
    const atn_field_opts o = {.depth = 1};
    atn_field out;

    CHECK_OK(atn_pattern_shift(cx, &f, &one, 1, 0, &c));
    const atn_pattern *const lengths[] = {a, b}, *const queries[] = {c};
    CHECK_FAILS(atn_field_run(cx, lengths, 2, &o, &out), ATN_USAGE, "layer 2");
    CHECK_FAILS(atn_field_run(cx, queries, 1, &o, &out), ATN_USAGE, "4 queries");
    atn_pattern_destroy(cx, a);
    atn_pattern_destroy(cx, b);
    atn_pattern_destroy(cx, c);
}

/* A schedule unknown to stop within its period: -2 without `diameter`. */
static void depths_not_known(atn_ctx *cx)
{
    atn_pattern *const w = window_of(cx, 1 << 18, 1, 2, 0);
    const atn_pattern *const layers[] = {w};
    atn_field f;

    CHECK_OK(
        atn_field_run(cx, layers, 1, &(atn_field_opts){.depth = 2, .every = true}, &f));
    CHECK_EQ(f.complete, -2);
    CHECK_EQ(f.diameter, -2);
    atn_field_release(cx, &f);
    /* 262,143 layers are above the cap */
    CHECK_OK(atn_field_run(cx, layers, 1, &(atn_field_opts){.diameter = true}, &f));
    CHECK_EQ(f.complete, -2);
    atn_field_release(cx, &f);
    atn_pattern_destroy(cx, w);
}

CHECK_MAIN({"128 blocks", table_128}, {"blocks of tokens", table_of_blocks},
           {"powers of two", powers_of_two}, {"every block", numbers_of_every_block},
           {"LongNet gets stuck", longnet_gets_stuck},
           {"BigBird on average", bigbird_on_average},
           {"global tokens, fixed columns", global_and_fixed},
           {"neighbourhoods", neighbourhoods}, {"hybrids", hybrids},
           {"growth may pause", growth_may_pause},
           {"tokens of blocks", tokens_of_blocks}, {"one token", one_token},
           {"empty rows", empty_rows}, {"walks in closed form", walks_in_closed_form},
           {"walks do not overflow", walks_do_not_overflow},
           {"every is left out", every_is_left_out}, {"bad layers", bad_layers},
           {"depths not known", depths_not_known})
