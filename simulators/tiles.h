/* simulators/tiles.h -- which tiles of a pattern a kernel visits, exactly.
 *
 * Math    queries and keys are laid out in tiles. A kernel that goes Q tile by Q tile
 *         (a CTA each) visits the KV tiles in which some pair of the tile is allowed.
 *         A visit is full where no in-range pair is masked, else partial; cells beyond
 *         the end of either side are ignored. A Q tile that holds padding only and is
 *         run all the same (dilated grids) is counted as padding.
 *         On a grid a tile is a box; its tokens are brought together (token
 *         permutation) and each axis is padded to a multiple of tile * dilation; the
 *         counts are products over the axes.
 *         Of the backward pass KV tiles are the stationary ones.
 * Oracle  cards/simulators.md 1.5; brute force.
 * Source  Hassani et al., arXiv 2504.16922; NATTEN; cards/simulators.md 1.1 to 1.3.
 * Cost    grids: the tiles along the axes, and one number a CTA. Other patterns: their
 *         rows once.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/param.h"
#include "core/pattern.h"

/* How tokens are ordered before they are cut into tiles. */
typedef enum atn_layout_kind {
    ATN_LAYOUT_PLAIN,  /* as they are; tiles of rank 1 */
    ATN_LAYOUT_GRID,   /* tiles are boxes of a grid, dilation groups apart */
    ATN_LAYOUT_STRIDE, /* by position modulo `stride`, then by position: what strided
                          and dilated patterns gain from */
} atn_layout_kind;

typedef struct atn_tiling {
    atn_list q, k; /* of one rank, 1 to 3 */
    atn_layout_kind layout;
    atn_list
        grid; /* of ATN_LAYOUT_GRID, row-major; n = 0: that of the pattern's axes */
    atn_idx stride; /* of ATN_LAYOUT_STRIDE */
    atn_idx pack;   /* g query heads of a group share the rows of a Q tile: row r is
                       query floor(r / g); 1 = not. Rank 1 alone */
    bool backward;  /* KV tiles are stationary: "CTA" below is one of them */
} atn_tiling;

typedef struct atn_tiles {
    atn_idx ctas;    /* stationary tiles of a head, padding ones among them */
    atn_idx other;   /* tiles of the other side, of a head */
    int64_t visited; /* sum over the CTAs: full + partial + padding */
    int64_t full, partial, padding;
    int64_t flex_full, flex_partial; /* cells beyond the end count as masked */
    atn_idx max;                     /* most visits of a CTA */
    int64_t pairs;                   /* allowed pairs of a head */
    int32_t *visits, *masked; /* [ctas] visits, and partial ones among them, in the
                                 order of the Q tiles (of a grid: dilation groups
                                 outermost, then tiles row-major) */
    int64_t *histogram;       /* [max + 1] CTAs with so many visits */
    bool sparse;              /* no visited tile is partial: fully block-sparse */
    int natten_sparse; /* NATTEN's own predicate for a grid: 0, 1; -1 = no grid */
    double waste;      /* cells of visited tiles over allowed pairs */
} atn_tiles;

/* Counts head `head` of the pattern (ATN_HEADS_ALL: what any head sees). USAGE where
 * rank, grid or tile do not fit the pattern, naming what does; MEMORY before any
 * work. */
atn_status atn_tiles_count(atn_ctx *cx, const atn_pattern *p, atn_idx head,
                           const atn_tiling *t, atn_tiles *out) ATN_WARN_UNUSED;
void atn_tiles_release(atn_ctx *cx, atn_tiles *t);

/* Tiles of a dense kernel over the same tokens: 1-D tiles of the same sizes. */
typedef struct atn_dense_tiles {
    double ctas, visited, max, pairs;
} atn_dense_tiles;
atn_dense_tiles atn_tiles_dense(const atn_pattern *p, const atn_tiling *t, bool causal);

/* B0, B1, B1max of card 1.2 against the full square, or the causal triangle. */
typedef struct atn_tile_bounds {
    double flop, sum, max;
} atn_tile_bounds;
/* Of these counts, one head's or the mean of several; NaN where there is nothing. */
atn_tile_bounds atn_tiles_over(const atn_dense_tiles *dense, double pairs,
                               double visited, double max);
atn_tile_bounds atn_tiles_bounds(const atn_pattern *p, const atn_tiling *t,
                                 const atn_tiles *counts, bool causal);

/* The pattern is a window: keys within `left` before and `right` behind a query (-1 =
 * all), and nothing else. */
bool atn_pattern_window(const atn_pattern *p, atn_idx *left, atn_idx *right);

/* A coarse picture of the tiles: out [rows, cols] <- 0 empty, 1 partial, 2 full; where
 * several tiles share a cell, their mean. For the tile map. */
atn_status atn_tiles_image(atn_ctx *cx, const atn_pattern *p, atn_idx head,
                           const atn_tiling *t, atn_mat out) ATN_WARN_UNUSED;
