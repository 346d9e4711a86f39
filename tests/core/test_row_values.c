/* tests/core/test_row_values.c -- the row pass against rows written out in double, and its sums
 * over columns, diagonals and blocks.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "core/rng.h"
#include "core/row_values.h"

enum { NQ = 70, NK = 83, D = 5, BLOCK = 16, BQ = 5, BK = 6 };

typedef struct example {
    float q[NQ * D], k[NK * D];
    double p[NQ][NK];
    atn_head h;
} example;

/* Weights of the definition, in double. */
static void make(example *x, atn_sight sight, double sink)
{
    atn_rng r = atn_rng_stream(1, "test/row_values", 0, 0);

    memset(x->p, 0, sizeof x->p);
    for (int i = 0; i < NQ * D; i++) x->q[i] = (float)atn_rng_normal(&r);
    for (int i = 0; i < NK * D; i++) x->k[i] = (float)atn_rng_normal(&r);
    x->h = (atn_head){.q = {x->q, NQ, D, D},
                      .k = {x->k, NK, D, D},
                      .nq = NQ,
                      .nk = NK,
                      .scale = .8,
                      .sight = sight,
                      .has_sink = sink != 0,
                      .sink = sink};
    for (int i = 0; i < NQ; i++) {
        double sum = sink != 0 ? exp(sink) : 0;

        for (int j = 0; j < NK; j++) {
            const int t = i + (int)sight.offset;
            double s = 0;

            if (sight.causal && j > t) continue;
            if (sight.window > 0 && t - j >= sight.window) continue;
            if (j < sight.key_first || j >= sight.key_last) continue;
            for (int c = 0; c < D; c++)
                s += (double)x->q[i * D + c] * (double)x->k[j * D + c];
            x->p[i][j] = exp(.8 * s);
            sum += x->p[i][j];
        }
        for (int j = 0; j < NK && sum > 0; j++) x->p[i][j] /= sum;
    }
}

static void compare(atn_ctx *cx, const example *x)
{
    static double value[ATN_ROW_FIELDS][NQ], columns[NK], diagonals[NQ + NK],
        blocks[BQ * BK];
    double want_columns[NK] = {0}, want_diagonals[NQ + NK] = {0},
           want_blocks[BQ * BK] = {0};
    int64_t seen[NQ];
    atn_row_out out = {
        .seen = seen, .columns = columns, .diagonals = diagonals, .blocks = blocks};
    const atn_row_want want = {.needs = ATN_NEED_SUMS | ATN_NEED_MOMENTS |
                                        ATN_NEED_FIRST | ATN_NEED_LOCAL | ATN_NEED_TOPK,
                               .top_k = 3,
                               .block = BLOCK};

    for (int f = 0; f < ATN_ROW_FIELDS; f++) out.value[f] = value[f];
    for (cx->threads = 1; cx->threads <= 4; cx->threads += 3) {
        CHECK_OK(atn_row_values(cx, &x->h, 1, &want, &out));
        memset(want_columns, 0, sizeof want_columns);
        memset(want_diagonals, 0, sizeof want_diagonals);
        memset(want_blocks, 0, sizeof want_blocks);
        for (int i = 0; i < NQ; i++) {
            const int t = i + (int)x->h.sight.offset, first = (int)x->h.sight.key_first;
            double square = 0, distance = 0, mass = 0, best[3] = {0};

            for (int j = 0; j < NK; j++) {
                const double p = x->p[i][j];
                double next = p;

                square += p * p;
                distance += p * abs(t - j);
                mass += p;
                want_columns[j] += p;
                want_diagonals[i - j + NK - 1] += p;
                want_blocks[i / BLOCK * BK + j / BLOCK] += p;
                for (int b = 0; b < 3; b++)
                    if (next > best[b]) {
                        const double was = best[b];
                        best[b] = next;
                        next = was;
                    }
            }
            CHECK_NEAR(value[ATN_ROW_MASS][i], mass, 1e-6);
            CHECK_NEAR(value[ATN_ROW_SQUARE][i], square, 1e-6);
            CHECK_NEAR(value[ATN_ROW_DISTANCE][i], distance, 1e-4);
            CHECK_NEAR(value[ATN_ROW_TOPK][i], best[0] + best[1] + best[2], 1e-6);
            CHECK_NEAR(value[ATN_ROW_FIRST][i], x->p[i][first], 1e-6);
            CHECK_NEAR(value[ATN_ROW_REST][i], mass - x->p[i][first], 1e-6);
            CHECK_NEAR(value[ATN_ROW_REST_DISTANCE][i],
                       distance - x->p[i][first] * abs(t - first), 1e-4);
            CHECK_NEAR(value[ATN_ROW_DIAGONAL][i], t < NK ? x->p[i][t] : 0, 1e-6);
            CHECK_NEAR(value[ATN_ROW_PREVIOUS][i],
                       t > 0 && t <= NK ? x->p[i][t - 1] : 0, 1e-6);
        }
        for (int j = 0; j < NK; j++) CHECK_NEAR(columns[j], want_columns[j], 1e-5);
        for (int e = 0; e < NQ + NK - 1; e++)
            CHECK_NEAR(diagonals[e], want_diagonals[e], 1e-5);
        for (int b = 0; b < BQ * BK; b++) CHECK_NEAR(blocks[b], want_blocks[b], 1e-5);
    }
}

static void causal(atn_ctx *cx)
{
    static example x;

    make(&x, (atn_sight){.causal = true, .offset = NK - NQ, .key_last = NK}, 0);
    compare(cx, &x);
}

static void window_padding_sink(atn_ctx *cx)
{
    static example x;

    make(&x, (atn_sight){.causal = true, .window = 9, .key_first = 4, .key_last = 60},
         .7);
    compare(cx, &x);
}

static void bidirectional(atn_ctx *cx)
{
    static example x;

    make(&x, (atn_sight){.key_last = NK}, 0);
    compare(cx, &x);
}

/* The order of the additions does not show: bitwise the same at any number of threads. */
static void threads_agree(atn_ctx *cx)
{
    static example x;
    static double columns[2][NK], diagonals[2][NQ + NK], value[ATN_ROW_FIELDS][NQ];
    const atn_row_want want = {.needs = ATN_NEED_COLUMNS | ATN_NEED_DIAGONALS};
    int64_t seen[NQ];

    make(&x, (atn_sight){.causal = true, .key_last = NK}, 0);
    for (int run = 0; run < 2; run++) {
        atn_row_out out = {
            .seen = seen, .columns = columns[run], .diagonals = diagonals[run]};

        for (int f = 0; f < ATN_ROW_FIELDS; f++) out.value[f] = value[f];
        cx->threads = run == 0 ? 1 : 3;
        CHECK_OK(atn_row_values(cx, &x.h, 1, &want, &out));
    }
    CHECK_EQ(memcmp(columns[0], columns[1], sizeof columns[0]), 0);
    CHECK_EQ(memcmp(diagonals[0], diagonals[1], sizeof diagonals[0]), 0);
}

CHECK_MAIN({"causal with offset", causal},
           {"window, padding, sink", window_padding_sink},
           {"bidirectional", bidirectional}, {"threads agree", threads_agree})
