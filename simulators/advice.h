/* simulators/advice.h -- what would make a pattern cheaper for a kernel: another stride
 * of a neighbourhood, another tile, another order of the tokens.
 *
 * Math    all by counting (tiles.h), every head on its own. Stride: the smallest on
 *         every axis with which no visited tile is partial, and that with the fewest
 *         visits; axes are independent, so each is searched alone. Tile: the fewest
 *         visited cells, then the fewest partial tiles, then the first. Order: plain,
 *         boxes of the grid, or by position modulo a stride that shows in the structure
 *         or is a power of two; the fewest visited cells, then the first.
 * Oracle  cards/simulators.md 1.5, rows 11 and 12: 256; all strides one by one.
 * Source  cards/simulators.md, sections 1.3, 1.5, 6.1.
 * Cost    a stride: the tiles of an axis, or, where the Q tile divides it, the stride
 *         groups; an order: tiles_permuted.c.
 * Limits  another stride is another pattern: its quality is not looked at. Orders that
 *         would cost more than some 2^29 steps to count are left out, and so are, of
 *         axes with more than 2^26 pairs of strides and tiles, strides that the Q tile
 *         does not divide (they have partial tiles, unless windows meet at an end); of
 *         such axes the backward pass takes the visits of the forward one.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/table.h"
#include "simulators/simulate.h"

typedef enum atn_advice_kind {
    ATN_ADVICE_NOW,           /* as it is */
    ATN_ADVICE_STRIDE_SPARSE, /* the smallest stride that is fully block-sparse */
    ATN_ADVICE_STRIDE_LEAST,  /* the stride with the fewest visits */
    ATN_ADVICE_TILE,
    ATN_ADVICE_PERMUTATION,
    ATN_ADVICES
} atn_advice_kind;
extern const char *const atn_advice_names[ATN_ADVICES];

typedef struct atn_advice_case {
    /* Heads [head, head + n) of p; or each [n], of which p is the first, all with the
     * same queries and keys. n = 0: one. */
    const atn_pattern *p;
    atn_idx head, n;
    const atn_pattern *const *each;
    atn_tiling now; /* what advice is compared with */
    /* Tiles of the kernel: q and k of any rank, in its order. May be none. */
    const atn_tiling *tiles;
    int n_tiles;
    atn_list grid; /* that the tokens could be brought into; n = 0: the pattern's own */
    bool causal;   /* bound_sum is against the causal triangle */
} atn_advice_case;

typedef struct atn_advice {
    atn_advice_kind kind;
    bool found;        /* false: no setting does it; the rest is not set */
    atn_list stride;   /* of the two about strides */
    atn_tiling tiling; /* that it was counted with */
    atn_idx heads;     /* of which the two are sums */
    int64_t visited, partial;
    double bound_sum;
    double gain;             /* visited cells now over those with the advice */
    double time_ms, speedup; /* of atn_advices_time; not above 0 = none */
} atn_advice;

typedef struct atn_advices {
    atn_advice at[ATN_ADVICES]; /* those that make sense, in the order of the kinds */
    int n;
    int left_out; /* orders that would cost too much to count */
} atn_advices;

/* USAGE where `now` does not fit the pattern; MEMORY. */
atn_status atn_advise(atn_ctx *cx, const atn_advice_case *c,
                      atn_advices *out) ATN_WARN_UNUSED;
/* Time and speed-up over dense of every advice, its copies of tokens included: that of
 * `now`, and what atn_simulate says of p [n] with o and each of the others. NaN where
 * it could not be run: no such tile of the kernel, or no memory for the copies. */
atn_status atn_advices_time(atn_ctx *cx, const atn_pattern *const *p, atn_idx n,
                            const atn_sim_opts *o, const atn_sim *now,
                            atn_advices *all) ATN_WARN_UNUSED;
/* Tiles of a kernel for masks of these kinds (ATN_TAKES_*), of all ranks, without
 * repetition, into out [k->tiles]; their number. */
int atn_advice_tiles(const atn_kernel *k, int head_dim, atn_pass pass, unsigned takes,
                     atn_tiling *out);
/* "16x8x8", "2x8x8/2x8x8", "plain", "grid 2x8x8/2x8x8", "stride 4", or that none
 * does it; cut at size. */
void atn_advice_setting(const atn_advice *a, char *out, size_t size);

/* The table "advice": a row an advice; names [n], advices [n]. */
atn_status atn_advice_table(atn_ctx *cx, const char *const *names,
                            const atn_advices *advices, int n,
                            atn_table **out) ATN_WARN_UNUSED;
