/* core/axis.h -- one axis of generalized neighbourhood attention, and their product.
 *
 * Math    axis of length L, window w, stride s, dilation d, causal or not. Coordinate x
 *         is of group g = x mod d, with index i = floor(x / d) among the L_g of its
 *         group; queries see keys of their own group. Leader of query i: e =
 *         min(floor(i/s) s + floor(s/2), L_g - 1), causal min(floor(i/s) s + s - 1,
 *         L_g - 1). Not causal: start = clamp(e - floor(w/2), 0, L_g - w), end = start
 *         + w; causal: start = max(e - w + 1, 0), end = i + 1. On a grid the mask is
 *         the product over the axes.
 * Oracle  L = 8, w = 4, s = 2: starts 0 0 1 1 3 3 4 4; every query that is not causal
 *         has exactly w keys.
 * Source  Hassani et al., Generalized Neighborhood Attention, arXiv 2504.16922; NATTEN
 *         reference/mask.hpp.
 * Limits  1 <= s <= w, d >= 1, w d <= L; w = 1 is the identity (NATTEN asks for 2).
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/mat.h"

enum { ATN_AXES_MOST = 3 };

typedef struct atn_axis {
    atn_idx length, window, stride, dilation;
    bool causal;
} atn_axis;

typedef struct atn_axes {
    int rank; /* 1..ATN_AXES_MOST */
    atn_axis at[ATN_AXES_MOST];
} atn_axes;

/* USAGE naming the rule, the axis and the value. */
atn_status atn_axes_check(atn_ctx *cx, const atn_axes *a) ATN_WARN_UNUSED;
/* Tokens of the grid. */
atn_idx atn_axes_tokens(const atn_axes *a);

/* Members of group g, 0 <= g < dilation. */
atn_idx atn_axis_group(const atn_axis *a, atn_idx g);
/* What member i of a group of n sees: members [lo, hi) of it. Also for i >= n, padding
 * of a tile. */
void atn_axis_window(const atn_axis *a, atn_idx n, atn_idx i, atn_idx *lo, atn_idx *hi);
/* Pairs of the axis, in closed form where it is not causal, else a sum over strides. */
int64_t atn_axis_pairs(const atn_axis *a);
/* Pairs of the grid. */
int64_t atn_axes_pairs(const atn_axes *a);
