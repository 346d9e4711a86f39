/* analysis/experiments/worst.c -- the worst of many comparisons. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/experiments/worst.h"

#include <math.h>
#include <string.h>

static const double ROUNDING = 1e-9; /* as in checks.c */

/* By how much it misses; of ">=" the other way round. */
static double excess_of(atn_relation relation, double predicted, double measured)
{
    if (predicted == measured) return 0;
    if (relation == ATN_AT_MOST) return measured - predicted;
    if (relation == ATN_AT_LEAST) return predicted - measured;
    return fabs(measured - predicted);
}

/* 0 to 1 of one that holds: how near it comes. */
static double tightness_of(atn_relation relation, double predicted, double measured,
                           double rounding)
{
    const double large = relation == ATN_AT_LEAST ? measured : predicted;
    const double small = relation == ATN_AT_LEAST ? predicted : measured;

    if (relation != ATN_AT_MOST && relation != ATN_AT_LEAST)
        return rounding > 0 ? fabs(measured - predicted) / rounding : 0;
    return large > rounding && small > 0 ? fmin(small / large, 1) : 0;
}

void atn_worst_take(atn_worst *w, atn_relation relation, double predicted,
                    double measured, double scale)
{
    atn_worst_take_row(w, relation, predicted, measured, scale, false);
}

void atn_worst_take_row(atn_worst *w, atn_relation relation, double predicted,
                        double measured, double scale, bool trivial)
{
    const double rounding =
        ROUNDING * fmax(scale, fmax(fabs(predicted), fabs(measured)));
    const double excess = excess_of(relation, predicted, measured);
    const bool fails = !(excess <= rounding);
    double badness;

    if (isnan(predicted)) return;
    if (fails)
        badness = isnan(excess) || rounding <= 0 ? INFINITY : 1 + excess / rounding;
    else
        badness =
            tightness_of(relation, predicted, measured, rounding) - (trivial ? 2 : 0);
    if (w->cases == 0 || badness > w->badness ||
        (badness == w->badness && fabs(predicted) > fabs(w->predicted))) {
        w->predicted = predicted;
        w->measured = measured;
        w->scale = scale;
        w->badness = badness;
    }
    w->cases++;
    w->failures += fails;
}

void atn_worst_join(atn_worst *w, const atn_worst *more)
{
    const int64_t cases = w->cases + more->cases;
    const int64_t failures = w->failures + more->failures;

    if (more->cases > 0 &&
        (w->cases == 0 || more->badness > w->badness ||
         (more->badness == w->badness && fabs(more->predicted) > fabs(w->predicted))))
        *w = *more;
    w->cases = cases;
    w->failures = failures;
}

atn_check atn_worst_check(const atn_worst *w, const atn_bound *b, const char *variant)
{
    atn_check c = {.bound = b,
                   .predicted = w->cases > 0 ? w->predicted : NAN,
                   .measured = w->cases > 0 ? w->measured : NAN,
                   .scale = w->scale,
                   .cases = w->cases,
                   .failures = w->failures};

    strncpy(c.variant, variant, sizeof c.variant - 1);
    return c;
}
