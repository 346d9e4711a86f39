/* approx/dots.h -- the largest dot products: found in float32, decided in double.
 *
 * Math    a float32 product of rows of length d is off by at most (d + 2) 2^-24 |x| |y|
 *         whatever the order of its sum, so what lies within twice that of the best one
 *         is computed again in double, in one order for all: equal rows stay equal.
 * Oracle  the double loop.
 * Cost    2 n m d flop.
 * Limits  results do not depend on the number of threads.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "approx/method.h"

/* label [x.rows] <- for every row of x the row of y with the largest dot product, the
 * lower of equal ones. With `signs` also the rows of -y: label y.rows + c is -y_c. */
atn_status atn_dots_nearest(atn_ctx *cx, atn_cmat x, atn_cmat y, bool signs,
                            int32_t *label, const char *what) ATN_WARN_UNUSED;
typedef struct atn_dots_list {
    atn_idx k;
    int32_t *best; /* [y.rows, k] */
    int64_t *ties; /* [y.rows] */
} atn_dots_list;
/* best <- for every row of y the k rows of x with the largest dot products, the lower of
 * equal ones, ascending; 1 <= k <= x.rows. ties <- how many rows of x were left out that
 * equal the last one taken. */
atn_status atn_dots_best(atn_ctx *cx, atn_cmat x, atn_cmat y, const atn_dots_list *out,
                         const char *what) ATN_WARN_UNUSED;
/* Scratch of atn_dots_best on all threads of cx. */
double atn_dots_bytes(const atn_ctx *cx, atn_idx rows, atn_idx k);
