/* tests/analysis/test_best_k.c -- the k best of many scores. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "analysis/best_k.h"
#include "core/rng.h"

static void golden(atn_ctx *cx)
{
    const double score[] = {2, 5, 1, 5, 4};
    atn_idx best[5];

    (void)cx;
    CHECK_EQ(atn_best_k(score, 5, 3, best), 3);
    CHECK_EQ(best[0], 1);
    CHECK_EQ(best[1], 3);
    CHECK_EQ(best[2], 4);
    CHECK_EQ(atn_best_k(score, 5, 9, best), 5);
    CHECK_EQ(best[4], 2);
    CHECK_EQ(atn_best_k(score, 0, 3, best), 0);
    CHECK_EQ(atn_best_k(score, 5, 0, best), 0);
}

/* Scores with many ties against picking one after the other. */
static void against_picking(atn_ctx *cx)
{
    for (int trial = 0; trial < 200; trial++) {
        atn_rng r = atn_rng_stream(cx->seed, "best", trial, 0);
        const atn_idx n = 1 + atn_rng_below(&r, 60), k = 1 + atn_rng_below(&r, 12);
        double score[60];
        bool taken[60] = {false};
        atn_idx best[60];

        for (atn_idx i = 0; i < n; i++) score[i] = (double)atn_rng_below(&r, 9) - 4;
        CHECK_EQ(atn_best_k(score, n, k, best), n < k ? n : k);
        for (atn_idx at = 0; at < (n < k ? n : k); at++) {
            atn_idx want = -1;

            for (atn_idx i = 0; i < n; i++)
                if (!taken[i] && (want < 0 || score[i] > score[want])) want = i;
            taken[want] = true;
            CHECK_EQ(best[at], want);
        }
    }
}

CHECK_MAIN({"golden", golden}, {"against picking", against_picking})
