/* analysis/approx_fit.h -- the plans of one unit of heads, with the parameter that a
 * budget fits at the value that comes nearest to it from below.
 *
 * Math    executed(x) = the pairs in executed tiles, summed over the heads of the unit;
 *         of a budget of N numbers a row, where a plan states the numbers m that it
 *         stores for one, m / N of the target in their place. Larger x execute more
 *         (where they execute less, -x is searched). What a method knows by shapes
 *         alone is searched without plans, and planned once. Integers:
 *         steps are doubled from a start until the target is passed (at most to the
 *         tokens of the head, or to what the method names; what is known by shapes to
 *         where it spends no more), then the interval is halved; values that a rule
 *         forbids are passed over. Then, unless executed is within 1 % below the
 *         target, 4 values on each side of the result, for executed(x) need not
 *         grow all the way. Numbers: 24 halvings, or until it is.
 *         The result is, of all values tried, the one that executes most within the
 *         target (of equal ones the smallest integer, which is searched where it takes
 *         no plans; the largest number), but not nothing; where there is none, the one
 *         that executes least beyond it.
 * Oracle  executed = w n - w (w - 1) / 2 of a window: the largest w.
 * Cost    one plan where spending is known by shapes; else two plans where the start is
 *         the answer, about 2 log2 of the way to it where it is not.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "approx/method.h"
#include "core/apply.h"

typedef enum atn_fit {
    ATN_FIT_NONE,  /* no budget: as the parameters say */
    ATN_FIT_FIXED, /* nothing to fit */
    ATN_FIT_MET,
    ATN_FIT_LEAST, /* above the budget at the least value that executes anything */
    ATN_FIT_MOST,  /* below it at the largest value that makes a difference */
    ATN_FITS
} atn_fit;
extern const char *const atn_fit_names[ATN_FITS]; /* "", "fixed", "met" .. */

/* A value that an earlier run found, and what it said of it. */
typedef struct atn_fit_given {
    double value;
    atn_fit fit; /* MET, LEAST or MOST */
} atn_fit_given;

typedef struct atn_fit_opts {
    const atn_choice *choice;
    atn_idx first, n;           /* the unit */
    double target;              /* pairs of all its heads; NAN = no budget */
    double numbers;             /* a row, of which target are the pairs; 0 = of none */
    double start;               /* a value to begin with; NAN = the one in choice */
    const atn_fit_given *given; /* taken in place of a search; NULL = search */
    /* Where the draws of the plans are kept; what the search draws goes to those of the
     * input, which are forgotten. NULL = nowhere. */
    atn_draws *draws;
} atn_fit_opts;

typedef struct atn_fitted {
    atn_plan *plan; /* [n] */
    atn_cost *cost; /* [n] */
    double value;   /* of the parameter; NAN where it was not searched */
    double seconds; /* that the plans took, without the search */
    atn_fit fit;
    atn_idx n;
} atn_fitted;

/* What counts of a head against a target of `pairs`, which is that of `budget` numbers
 * a row (0 = of none): the numbers a row that it states, or, where it states none, what
 * it executes. */
double atn_fit_spent(double budget, double pairs, const atn_spending *by);

/* The largest value of its integer budget parameter that a search on head `head`
 * tries, unless it starts above. plans: every value is planned. */
atn_status atn_fit_ceiling(atn_ctx *cx, const atn_choice *c, const atn_input *in,
                           atn_idx head, bool plans, double *out) ATN_WARN_UNUSED;

/* Release it also on failure. */
atn_status atn_approx_fit(atn_ctx *cx, const atn_input *in, const atn_fit_opts *o,
                          atn_fitted *out) ATN_WARN_UNUSED;
void atn_fitted_release(atn_ctx *cx, atn_fitted *f); /* a zeroed one is fine */
