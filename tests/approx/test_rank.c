/* Scores of gathered keys: the maximum by definition, and alike for equal keys. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/rank.h"
#include "tests/approx/zoo.h"

enum { ROWS = 37, KEYS = 700, D = 13, LD = 15 };

static float numbers[KEYS * LD];

static void fill(uint64_t seed)
{
    for (int e = 0; e < KEYS * LD; e++)
        numbers[e] = (float)(2 * zoo_uniform(&seed) - 1);
}

/* 1 to 37 queries, rows 15 apart, keys in any order and more than once. */
static void maximum_over_the_rows(atn_ctx *cx)
{
    const atn_cmat k = {numbers, KEYS, D, LD};
    atn_idx key[600];
    float q[ROWS * D], out[600];
    uint64_t seed = 5;

    fill(1);
    for (int e = 0; e < ROWS * D; e++) q[e] = (float)(2 * zoo_uniform(&seed) - 1);
    for (int e = 0; e < 600; e++) key[e] = (atn_idx)(zoo_uniform(&seed) * KEYS);
    for (int rows = 1; rows <= ROWS; rows += rows < 18 ? 1 : 6) {
        const atn_arena_mark mark = atn_arena_save(cx);
        atn_rank r;

        CHECK_OK(atn_rank_open(cx, (atn_cmat){q, rows, D, D}, &r));
        atn_rank_keys(&r, k, key, 600, out);
        for (int e = 0; e < 600; e++) {
            double best = -INFINITY;

            for (int i = 0; i < rows; i++) {
                double sum = 0;

                for (int c = 0; c < D; c++)
                    sum += (double)q[i * D + c] * (double)numbers[key[e] * LD + c];
                best = fmax(best, sum);
            }
            CHECK_NEAR(out[e], best, 1e-5);
        }
        atn_arena_rewind(cx, mark);
    }
}

static void equal_keys_score_alike(atn_ctx *cx)
{
    const atn_cmat k = {numbers, KEYS, D, LD};
    atn_idx key[600];
    float out[600];
    atn_rank r;

    fill(2);
    for (int j = 1; j < KEYS; j++)
        memcpy(numbers + j * LD, numbers, D * sizeof *numbers);
    for (int e = 0; e < 600; e++) key[e] = (7 * e) % KEYS;
    CHECK_OK(atn_rank_open(cx, (atn_cmat){numbers, 21, D, LD}, &r));
    for (int n = 1; n <= 600; n += 13) {
        atn_rank_keys(&r, k, key, n, out);
        for (int e = 1; e < n; e++) CHECK(out[e] == out[0]);
    }
}

static void tallies_are_added(atn_ctx *cx)
{
    const atn_tally t[] = {{10, 1, 4, 2}, {5, 3, 1, 0}}, all = atn_tally_sum(t, 2);
    atn_plan p[3] = {{.index_flops = 1, .index_bytes = 2, .ties = 3}};

    (void)cx;
    atn_tally_gathered(&all, 8, p);
    CHECK(p[0].index_flops == 1 + 2 * 8 * 15 && p[0].index_bytes == 2 + 2 * 8 * 7);
    CHECK_EQ(p[0].ties, 7);
    atn_tally_share(p, 3);
    for (int h = 0; h < 3; h++) {
        CHECK_NEAR(p[h].index_flops, 241 / 3.0, 1e-12);
        CHECK_NEAR(p[h].index_bytes, 38, 1e-12);
        CHECK_EQ(p[h].ties, 7);
    }
}

CHECK_MAIN({"maximum over the rows", maximum_over_the_rows},
           {"equal keys score alike", equal_keys_score_alike},
           {"tallies are added", tallies_are_added})
