/* Blocks of a row, scores by tiles, what they cost. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/blocks.h"
#include "tests/approx/zoo.h"

static void check_row(atn_block_row r, atn_idx lo, atn_idx hi, atn_idx first,
                      atn_idx past, atn_idx end, atn_idx complete)
{
    CHECK_EQ(r.lo, lo);
    CHECK_EQ(r.hi, hi);
    CHECK_EQ(r.first, first);
    CHECK_EQ(r.past, past);
    CHECK_EQ(r.end, end);
    CHECK_EQ(r.complete, complete);
}

/* Ten keys, blocks of four: 0-3, 4-7, 8-9. */
static void rows_by_hand(atn_ctx *cx)
{
    atn_head h = {.nq = 10, .nk = 10, .sight = {.causal = true, .key_last = 10}};

    (void)cx;
    check_row(atn_block_row_of(&h, 0, 4), 0, 1, 0, 0, 1, 0);
    check_row(atn_block_row_of(&h, 3, 4), 0, 4, 0, 0, 1, 1); /* its own is complete */
    check_row(atn_block_row_of(&h, 4, 4), 0, 5, 0, 1, 2, 1);
    check_row(atn_block_row_of(&h, 9, 4), 0, 10, 0, 2, 3, 2); /* the last never is */
    h.sight.window = 3;
    check_row(atn_block_row_of(&h, 9, 4), 7, 10, 1, 2, 3, 2);
    check_row(atn_block_row_of(&h, 8, 4), 6, 9, 1, 2, 3, 2);
    h.sight.window = 2;
    check_row(atn_block_row_of(&h, 9, 4), 8, 10, 2, 2, 3, 2);
    h.sight.window = 0;
    h.sight.offset = 2; /* queries 8 and 9 stand beyond the keys: all is past */
    check_row(atn_block_row_of(&h, 8, 4), 0, 10, 0, 2, 3, 2);
    h.sight.offset = 4;
    check_row(atn_block_row_of(&h, 9, 4), 0, 10, 0, 3, 3, 3);
    h.sight.offset = -2;
    check_row(atn_block_row_of(&h, 1, 4), 0, 0, 0, 0, 0, 0);
    check_row(atn_block_row_of(&h, 2, 1 << 20), 0, 1, 0, 0, 1, 0);
}

static void scores_against_double(atn_ctx *cx)
{
    const atn_idx lo[] = {0, 3, 17, 16, 39, 5}, hi[] = {40, 20, 33, 32, 40, 5};
    atn_scored x;
    zoo z;

    zoo_random(&z, 1, 1, 40, 40, 9);
    CHECK_OK(atn_scored_pack(cx, z.head[0].k, &x));
    for (int s = 0; s < 6; s++)
        for (int from = 0; from < 40; from += 9) {
            const atn_cmat q = {z.q + from * 8, ATN_MIN(9, 40 - from), 8, 8};
            atn_mat out;

            CHECK_OK(atn_scored_tile(cx, &x, q, lo[s], hi[s], &out));
            for (atn_idx r = 0; r < q.rows; r++)
                for (atn_idx c = lo[s]; c < hi[s]; c++) {
                    double want = 0;

                    for (int t = 0; t < 8; t++)
                        want +=
                            (double)z.q[(from + r) * 8 + t] * (double)z.k[c * 8 + t];
                    CHECK_NEAR(atn_row(out, r)[c - lo[s]], want, 1e-5);
                }
        }
    CHECK(atn_scored_rows(1) == 64 && atn_scored_rows(1 << 30) == 8);
    zoo_free(&z);
}

/* Query at 5 that sees 2 .. 5, blocks of three, blocks 1 and 0: 3-5 and 2. */
static void keys_of_blocks(atn_ctx *cx)
{
    atn_head h = {
        .nq = 6, .nk = 6, .sight = {.causal = true, .key_last = 6, .window = 4}};
    const atn_block_row r = atn_block_row_of(&h, 5, 3);
    const atn_frame f = atn_head_frame(&h, 1);
    atn_chosen *c = NULL;
    atn_pattern *p = NULL;
    atn_span s[4];

    CHECK_OK(atn_chosen_open(cx, &f, 1, &c));
    CHECK_OK(atn_block_row_put(cx, c, &r, 3, (atn_idx[]){1, 0}, 2));
    CHECK_OK(atn_chosen_finish(cx, c, &p));
    CHECK_EQ(atn_pattern_keys(p, 0, 5, s), 1);
    CHECK(s[0].lo == 2 && s[0].hi == 6);
    atn_pattern_destroy(cx, p);
}

/* 5 queries, 7 keys of 2 numbers, 3 vectors, 10 scores; a group of two shares keys and
 * vectors. */
static void costs_by_hand(atn_ctx *cx)
{
    const atn_tally parts[] = {{.scored = 6, .ties = 1}, {.scored = 4, .ties = 2}};
    const atn_tally all = atn_tally_sum(parts, 2);
    atn_plan p = {0};
    zoo z;

    (void)cx;
    zoo_shape(&z, 1, 1, 5, 7, 2, 1);
    CHECK(all.scored == 10 && all.ties == 3);
    atn_tally_cost(&all, &z.head[0], 3, 1, &p);
    CHECK_NEAR(p.index_flops, 14 + 40, 0);
    CHECK_NEAR(p.index_bytes, 2 * (14 + 12 + 10 + 20), 0);
    p = (atn_plan){0};
    atn_tally_cost(&all, &z.head[0], 3, 2, &p);
    CHECK_NEAR(p.index_flops, 7 + 40, 0);
    CHECK_NEAR(p.index_bytes, 2 * (7 + 6 + 10 + 20), 0);
    CHECK_EQ(p.ties, 3);
    zoo_free(&z);
}

/* Row i looks at vectors i .. i + 2 of 200, every seventh at none. */
static atn_span near_by(const void *state, atn_idx i)
{
    (void)state;
    return i % 7 == 0 ? (atn_span){9, 9} : (atn_span){i, i + 3};
}

static atn_status note_tile(atn_ctx *cx, void *state, const atn_row_tile *t,
                            atn_tally *tally)
{
    atn_idx *seen = state, lo = 200, hi = 0;

    (void)cx;
    for (atn_idx i = t->from; i < t->to; i++) {
        const atn_span x = near_by(NULL, i);

        seen[i]++;
        tally->scored += x.hi - x.lo;
        if (x.lo < x.hi && x.lo < lo) lo = x.lo;
        if (x.lo < x.hi && x.hi > hi) hi = x.hi;
    }
    tally->ties++;
    return t->lo == lo && t->hi == hi ? ATN_OK : ATN_INTERNAL;
}

/* Every row once, tiles of 64 with the hull of what their rows look at. */
static void tiles_of_rows(atn_ctx *cx)
{
    for (int threads = 1; threads <= 4; threads += 3) {
        atn_idx seen[150] = {0};
        const atn_scoring s = {"test", 150, 200, near_by, note_tile, seen};
        atn_tally all;

        cx->threads = threads;
        CHECK_OK(atn_scored_run(cx, &s, &all));
        for (int i = 0; i < 150; i++) CHECK_EQ(seen[i], 1);
        CHECK_EQ(all.scored, 3 * (150 - 22));
        CHECK_EQ(all.ties, 3);
    }
}

CHECK_MAIN({"rows by hand", rows_by_hand}, {"scores", scores_against_double},
           {"keys of blocks", keys_of_blocks}, {"tiles of rows", tiles_of_rows},
           {"costs by hand", costs_by_hand})
