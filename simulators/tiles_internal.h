/* simulators/tiles_internal.h -- what the sources of simulators/tiles share.
 *
 * A source gives, for one Q tile after another, the KV tiles that it visits and those
 * of them that are full, as ranges; counts, transposed counts and pictures are made of
 * these. Grids are counted in closed form and are a source for pictures alone.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "simulators/tiles.h"

/* Ranges of KV tiles, sorted, apart from one another or touching. */
typedef struct atn_tile_row {
    atn_span *seen, *full; /* of a full one every tile is seen, too */
    atn_idx n_seen, n_full;
    atn_idx flex;  /* full ones that have no cell beyond an end */
    int64_t pairs; /* allowed pairs of the queries whose first row is in this tile */
} atn_tile_row;

typedef struct atn_tile_source atn_tile_source;
struct atn_tile_source {
    const atn_pattern *p;
    atn_idx head;
    const atn_tiling *t;
    atn_idx bm, bn; /* cells of a tile */
    atn_idx q_tiles, k_tiles, pack;
    atn_idx most, room; /* intervals of a row of this head, room to read one */
    atn_idx ranges;     /* that a row of tiles can have */
    /* Scratch of one thread, in the arena. */
    atn_status (*open)(atn_ctx *cx, const atn_tile_source *s, void **scratch);
    /* Q tile m; tiles below `from`, where a source can, are left out. */
    void (*row)(const atn_tile_source *s, void *scratch, atn_idx m, atn_idx from,
                atn_tile_row *out);
    double scratch; /* bytes of open */
    bool pairs;     /* rows give the pairs */
    /* of permuted tokens */
    int rank;
    atn_idx shape[ATN_AXES_MOST], tq[ATN_AXES_MOST], tk[ATN_AXES_MOST];
    atn_idx nq[ATN_AXES_MOST], nk[ATN_AXES_MOST]; /* tiles along an axis */
    atn_idx stride;
    atn_idx *q_base, *k_base; /* [stride + 1] of a residue: its first place */
    atn_span *steps; /* of a shift by residues: offsets of a difference of residues; */
    atn_idx *step_ptr; /* where they begin */
};

/* The tiling fits the pattern; sizes into the source. USAGE. */
atn_status atn_tiles_open(atn_ctx *cx, const atn_pattern *p, atn_idx head,
                          const atn_tiling *t, atn_tile_source *out) ATN_WARN_UNUSED;
/* The grid of the pattern itself, in closed form. */
bool atn_tiles_closed(const atn_pattern *p, const atn_tiling *t);
/* Open a source of a kind; what it takes of the arena stays there. */
void atn_tiles_plain(atn_tile_source *s);
atn_status atn_tiles_permuted(atn_ctx *cx, atn_tile_source *s) ATN_WARN_UNUSED;
/* Of tokens by residue: a shift that is one for every pair of residues. */
bool atn_tiles_shifted(const atn_tile_source *s);
atn_status atn_tiles_residues(atn_ctx *cx, atn_tile_source *s) ATN_WARN_UNUSED;
/* q_base and k_base; the residue of a place of the queries. */
atn_status atn_residues_order(atn_ctx *cx, atn_tile_source *s) ATN_WARN_UNUSED;
atn_idx atn_residue_of(const atn_tile_source *s, atn_idx place);
void atn_tiles_boxes(atn_tile_source *s);
atn_status atn_tiles_make(atn_ctx *cx, const atn_pattern *p, atn_idx head,
                          const atn_tiling *t, atn_tile_source *out) ATN_WARN_UNUSED;

/* The counts of a grid; visits and masked are there. */
atn_status atn_tiles_grid(atn_ctx *cx, const atn_tile_source *s,
                          atn_tiles *out) ATN_WARN_UNUSED;
/* Room for `ctas` and the sizes into out. MEMORY before anything is taken. */
atn_status atn_tiles_room(atn_ctx *cx, atn_idx ctas, atn_idx other, double beside,
                          atn_tiles *out) ATN_WARN_UNUSED;
/* Rows repeat in a way that counting can use. */
bool atn_tiles_repeat(const atn_tile_source *s);
atn_status atn_tiles_repeated(atn_ctx *cx, const atn_tile_source *s,
                              atn_tiles *out) ATN_WARN_UNUSED;

/* One axis of a grid, group of n members: the tiles of the other side that stationary
 * tile i visits, those that are full, and of them those without cells beyond an end. */
typedef struct atn_axis_tile {
    atn_span seen, full, flex; /* lo >= hi: none */
    bool real;                 /* a member is in it */
} atn_axis_tile;
atn_axis_tile atn_axis_forward(const atn_axis *a, atn_idx n, atn_idx tq, atn_idx tk,
                               atn_idx i);
atn_axis_tile atn_axis_backward(const atn_axis *a, atn_idx n, atn_idx tq, atn_idx tk,
                                atn_idx i);
/* Tiles along an axis of the stationary side, of one group. */
static inline atn_idx atn_axis_tiles(const atn_axis *a, atn_idx side)
{
    const atn_idx n = atn_ceil_div(a->length, a->dilation);

    return atn_ceil_div(n, side);
}
/* Sums over the groups and tiles of an axis. */
typedef struct atn_axis_sums {
    int64_t visited, real, full, flex;
    atn_idx max;
} atn_axis_sums;
atn_axis_sums atn_axis_sum(const atn_axis *a, atn_idx tq, atn_idx tk, bool backward);

/* [lo, hi) behind the ranges of out; what touches the last one joins it. */
static inline atn_idx atn_ranges_add(atn_span *out, atn_idx n, atn_idx lo, atn_idx hi)
{
    if (lo >= hi) return n;
    if (n > 0 && lo <= out[n - 1].hi) {
        out[n - 1].hi = ATN_MAX(out[n - 1].hi, hi);
        return n;
    }
    out[n] = (atn_span){lo, hi};
    return n + 1;
}
/* Bits from .. to, both, and the words that hold them; their ranges, cleared. */
void atn_bits_set(uint64_t *bit, atn_idx from, atn_idx to, atn_span *words);
atn_idx atn_bits_take(uint64_t *bit, atn_span words, atn_span *out);
/* What is in both, out [na + nb]. */
atn_idx atn_ranges_meet(const atn_span *a, atn_idx na, const atn_span *b, atn_idx nb,
                        atn_span *out);
static inline atn_idx atn_ranges_length(const atn_span *s, atn_idx n)
{
    atn_idx length = 0;

    for (atn_idx i = 0; i < n; i++) length += s[i].hi - s[i].lo;
    return length;
}
