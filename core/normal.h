/* core/normal.h -- the normal distribution, for tests of statistics.
 *
 * Source  GSL's gsl_cdf_ugaussian.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

/* The x that a normal number is above with this probability, in (0, 1). */
double atn_normal_above(double probability);
/* The x that |a normal number| is above with probability `level` when the best of n such
 * tests is looked at (Bonferroni). */
double atn_normal_critical(double level, double n);
