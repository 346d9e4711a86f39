/* analysis/experiments/means.h -- a mean of independent draws against what it should be,
 * with the spread of the draws themselves for a standard error.
 *
 * Math    T = (mean - expected) / error of n draws. Squares of errors are skew, and T is
 *         then skew the other way; with g the skewness of the mean
 *             T + g T^2 / 3 + g^2 T^3 / 27 + g / 6
 *         is not, to first order (Hall). It is one of Student's t with n - 1 degrees, of
 *         which the normal number of the same probability is taken (Wallace).
 * Source  P. Hall, J. R. Statist. Soc. B 54 (1992) 221; D. L. Wallace, Ann. Math.
 *         Statist. 30 (1959) 1124.
 * Limits  for g up to about .3: a skewness that few draws do not show is not mended.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct atn_mean {
    double mean, error; /* its standard error; 0 of one draw */
    double skew;        /* the skewness of the mean: that of a draw over sqrt(n) */
    int64_t n;
} atn_mean;

atn_mean atn_mean_of(const double *x, int64_t n);
/* Standard errors between the mean and what is expected, as a normal number. A
 * difference of `rounding` is none. INFINITY where draws differ from what is expected and
 * not from one another. */
double atn_mean_statistic(const atn_mean *m, double expected, double rounding);
/* The same of an interval: 0 within. */
double atn_mean_outside(const atn_mean *m, double lo, double hi);
/* Of a mean whose standard error and skewness g are known beforehand: T less its
 * skewness, T - g (T^2 - 1) / 6 to first order (Cornish and Fisher), and g^2 T^3 / 108
 * more, without which it would come back to 0 at T = 6 / g. Grows with T. */
double atn_mean_unskewed(double t, double g);
/* Is it known well enough for a test? Its skewness is .3 at most, its error a tenth of
 * itself or of `scale`. */
bool atn_mean_is_known(const atn_mean *m, double scale);
