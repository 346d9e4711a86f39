/* analysis/range_max.h -- the largest of any stretch of an array.
 *
 * Math    maxima of blocks of 64 numbers, and of 1, 2, 4 .. blocks from each on; a
 *         stretch is two overlapping runs of blocks and what is left at its ends.
 * Oracle  a loop over the stretch.
 * Cost    n / 64 log n numbers; a question at most 128 comparisons beside two.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/ctx.h"

typedef struct atn_range_max {
    const float *x; /* [n], borrowed */
    atn_idx n, blocks;
    int levels;
    float *table; /* [levels, blocks] */
} atn_range_max;

atn_status atn_range_max_init(atn_ctx *cx, const float *x, atn_idx n,
                              atn_range_max *out) ATN_WARN_UNUSED;
void atn_range_max_release(atn_ctx *cx, atn_range_max *m); /* a zeroed one is fine */
double atn_range_max_bytes(atn_idx n);
/* max x_j over lo <= j < hi; -INFINITY of none. */
float atn_range_max_of(const atn_range_max *m, atn_idx lo, atn_idx hi);
