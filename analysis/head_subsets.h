/* analysis/head_subsets.h -- which k of H vectors add up nearest to the sum of all.
 *
 * Math    with G_hh' = C_h . C_h' the squared error of dropping a set S is the sum of G
 *         over S x S. Up to ATN_SUBSETS_EXACT heads every set is tried; beyond, heads
 *         go one by one, each time the one that leaves the smallest error.
 * Oracle  C = (1,0), (1,0), (0,2): dropping one leaves 1, 1 or 4, two 4 (the first two)
 *         or 5.
 * Cost    2^H additions, or H^3 / 3.
 * Limits  errors that differ by less than 1e-12 of the sum of the squares are equal:
 *         then the set of dropped heads that comes first in lexicographic order (one by
 *         one: the smaller head).
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/ctx.h"

enum { ATN_SUBSETS_EXACT = 16 };

/* For every k = 0 .. n: error[k] the squared error of keeping k of n heads,
 * dropped[k * n + h] whether h goes. gram [n, n]. Scratch memory is the context's
 * arena. */
atn_status atn_head_subsets(atn_ctx *cx, const double *gram, atn_idx n, double *error,
                            bool *dropped) ATN_WARN_UNUSED;
/* The greedy way, whatever n is. */
atn_status atn_head_subsets_greedy(atn_ctx *cx, const double *gram, atn_idx n,
                                   double *error, bool *dropped) ATN_WARN_UNUSED;
/* error[k], k = 0 .. n, when the k first of order[n] are kept. r [n] is scratch. */
void atn_head_order_errors(const double *gram, atn_idx n, const int *order,
                           double *error, double *r);
