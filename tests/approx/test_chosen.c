/* Rows chosen in any order, the best of many, means of blocks. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/chosen.h"
#include "tests/approx/zoo.h"

/* Queries at 5 .. 10 in lists of four: lists 1 and 2, put backwards, spans unsorted. */
static void lists_serve_positions(atn_ctx *cx)
{
    const atn_frame f = {.nk = 11, .nq = 6, .first = 5, .block = 1, .causal = true};
    const atn_span one[] = {{6, 8}, {0, 2}, {2, 3}};
    atn_chosen *c = NULL;
    atn_pattern *p = NULL;
    atn_idx first, end;
    atn_span s[8];

    CHECK_OK(atn_chosen_open(cx, &f, 4, &c));
    atn_chosen_lists(c, &first, &end);
    CHECK(first == 1 && end == 3);
    CHECK_OK(atn_chosen_put_blocks(cx, c, 2, (atn_idx[]){9, 1, 8}, 3));
    CHECK_OK(atn_chosen_put(cx, c, 1, one, 3));
    CHECK_OK(atn_chosen_finish(cx, c, &p));
    CHECK_EQ(atn_pattern_keys(p, 0, 6, s), 2);
    CHECK(s[0].lo == 0 && s[0].hi == 3 && s[1].lo == 6 && s[1].hi == 7);
    CHECK_EQ(atn_pattern_keys(p, 0, 10, s), 2);
    CHECK(s[0].lo == 1 && s[0].hi == 2 && s[1].lo == 8 && s[1].hi == 10);
    CHECK_EQ(atn_pattern_keys(p, 0, 8, s), 2);
    CHECK(s[1].lo == 8 && s[1].hi == 9);
    atn_pattern_destroy(cx, p);
}

/* Against a count of how many come before in (score desc, index asc). */
static void the_best_are_the_best(atn_ctx *cx)
{
    uint64_t seed = 1;

    (void)cx;
    for (int trial = 0; trial < 2000; trial++) {
        const atn_idx n = 1 + trial % 23, k = trial % 7;
        float score[23], scratch[23];
        atn_idx best[23], kept, at = 0;
        int64_t ties = 0, want_ties = 0;
        float last = INFINITY;

        for (atn_idx j = 0; j < n; j++) {
            score[j] = (float)floor(6 * zoo_uniform(&seed));
            if (score[j] == 0) score[j] = -INFINITY;
        }
        kept = atn_best_of(score, n, k, best, scratch, &ties);
        for (atn_idx j = 0; j < n; j++) {
            atn_idx before = 0;

            for (atn_idx l = 0; l < n; l++)
                before += score[l] > score[j] || (score[l] == score[j] && l < j);
            if (score[j] == -INFINITY || before >= k) continue;
            CHECK(at < kept);
            CHECK_EQ(best[at++], j);
            last = ATN_MIN(last, score[j]);
        }
        CHECK_EQ(at, kept);
        for (atn_idx j = 0, b = 0; j < n && k > 0; j++) {
            if (b < kept && best[b] == j)
                b++;
            else
                want_ties += score[j] == last;
        }
        CHECK_EQ(ties, want_ties);
    }
}

/* The last block is short: (6 + 8) / 2, not / 3. */
static void means_are_of_what_is_there(atn_ctx *cx)
{
    const float x[] = {1, 2, 3, 4, 5, 9, 6, 0, 8, 0};
    float mean[4];

    (void)cx;
    atn_block_means((atn_cmat){x, 5, 2, 2}, 3, mean);
    CHECK_NEAR(mean[0], 3, 1e-7);
    CHECK_NEAR(mean[1], 5, 1e-7);
    CHECK_NEAR(mean[2], 7, 1e-7);
    CHECK_NEAR(mean[3], 0, 1e-7);
}

static void every_allocation_may_fail(atn_ctx *cx)
{
    const atn_frame f = {.nk = 9, .nq = 9, .block = 1, .causal = true};

    for (long k = 0;; k++) {
        check_failing left = {k};
        atn_ctx own;
        atn_chosen *c = NULL;
        atn_pattern *p = NULL;
        atn_status st;

        atn_ctx_init(&own);
        own.alloc = (atn_allocator){check_failing_resize, &left};
        st = atn_chosen_open(&own, &f, 3, &c);
        for (atn_idx r = 0; st == ATN_OK && r < 3; r++)
            st = atn_chosen_put_blocks(&own, c, r, (atn_idx[]){r, 0}, 2);
        if (st == ATN_OK)
            st = atn_chosen_finish(&own, c, &p);
        else
            atn_chosen_abandon(&own, c);
        atn_pattern_destroy(&own, p);
        atn_ctx_release(&own);
        if (st == ATN_OK) break;
        CHECK_EQ(st, ATN_MEMORY);
    }
    (void)cx;
}

CHECK_MAIN({"lists serve positions", lists_serve_positions},
           {"the best are the best", the_best_are_the_best},
           {"means are of what is there", means_are_of_what_is_there},
           {"every allocation may fail", every_allocation_may_fail})
