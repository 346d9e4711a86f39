/* Which of many comparisons is shown. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "analysis/experiments/worst.h"

/* The tightest; one that does not hold before all; a trivial one when there is no
 * other, unless it does not hold. */
static void order(atn_ctx *cx)
{
    atn_worst w = {0};

    (void)cx;
    atn_worst_take_row(&w, ATN_AT_MOST, 1, 1, 0, true);
    CHECK_NEAR(w.measured, 1, 0);
    atn_worst_take(&w, ATN_AT_MOST, 4, 1, 0);
    CHECK_NEAR(w.measured / w.predicted, .25, 0);
    atn_worst_take_row(&w, ATN_AT_MOST, 1, 1, 0, true);
    CHECK_NEAR(w.measured / w.predicted, .25, 0);
    atn_worst_take(&w, ATN_AT_MOST, 4, 2, 0);
    CHECK_NEAR(w.measured, 2, 0);
    atn_worst_take_row(&w, ATN_AT_MOST, 1, 3, 0, true);
    CHECK_NEAR(w.measured, 3, 0);
    CHECK_EQ(w.cases, 5);
    CHECK_EQ(w.failures, 1);
}

/* Of two that are nothing beside rounding the larger prediction. */
static void ties(atn_ctx *cx)
{
    atn_worst w = {0}, more = {0};

    (void)cx;
    atn_worst_take(&w, ATN_AT_MOST, 0, 0, 1);
    atn_worst_take(&w, ATN_AT_MOST, 1e-12, 1e-13, 1);
    CHECK_NEAR(w.predicted, 1e-12, 0);
    atn_worst_take(&more, ATN_AT_MOST, 1e-11, 0, 1);
    atn_worst_join(&w, &more);
    CHECK_NEAR(w.predicted, 1e-11, 0);
    CHECK_EQ(w.cases, 3);
}

CHECK_MAIN({"order", order}, {"ties", ties})
