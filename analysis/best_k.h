/* analysis/best_k.h -- the k best of many scores, in order.
 *
 * Oracle  scores 2 5 1 5 4, k = 3: places 1, 3, 4.
 * Cost    O(n) while few beat the k-th, O(n log k) at most.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/ctx.h"

/* best [min(n, k)] <- places of the k largest of score [n], best first, the lower of
 * equal ones before; returns how many there are. */
atn_idx atn_best_k(const double *score, atn_idx n, atn_idx k, atn_idx *best);
