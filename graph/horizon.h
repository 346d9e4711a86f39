/* graph/horizon.h -- how far weight gets through a stack of windows, not how far it
 * could.
 *
 * Math    d the distance from a token to where its state comes from. One layer of
 *         uniform windows of W keys, the token itself among them, beside a residual of
 *         weight a: P_l(d) = a P_l-1(d) + (1 - a) / W sum_t<W P_l-1(d - t), P_0 = 1 at
 *         d = 0.
 *         Closed form: W ln eps / ln (1 - a), which is said not to depend on the depth.
 * Oracle  W = 64, 16 layers, a = 0: mean 504, deviation sqrt(16 (64^2 - 1) / 12) =
 *         73.8918; a = .95: beyond W .0071, .108, .680 after 4, 16, 64 layers, so the
 *         closed form holds only while layers (1 - a) << 1.
 * Source  G. Xiao's note of 2025 on stacked sliding windows, as retold; the check is
 *         card B17's.
 * Cost    as many steps a layer as the distribution is long.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/ctx.h"

/* p [n] becomes the next layer's, q [n] is scratch; what would lie beyond n is
 * dropped. */
void atn_horizon_step(double *p, double *q, atn_idx n, atn_idx window, double residual);
/* W ln eps / ln (1 - a); NaN at a = 0, where it has no limit. */
double atn_horizon_closed(double window, double residual, double eps);

typedef struct atn_horizon_facts {
    double mean, deviation;
    double beyond; /* weight at d >= window; NaN for window 0 */
    double reach;  /* least d with all but eps of the weight at most as far */
} atn_horizon_facts;
/* Of weights p [n] at distances 0..n-1, scaled to sum 1. */
atn_horizon_facts atn_horizon_of(const double *p, atn_idx n, atn_idx window,
                                 double eps);
