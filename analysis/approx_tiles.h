/* analysis/approx_tiles.h -- what a kernel would run of a plan: its CTAs, for the tiles
 * of the kernels that there are. Kept beside the results of approx, so that times on
 * any GPU can be had of them without planning again.
 *
 * Math    a CTA is a tile of bm queries; it visits the tiles of bn keys in which the
 *         plan keeps a pair, and masks those in which some visible pair is not kept or
 *         some pair is hidden. Patterns of one branch are one pass, their union; a
 *         group of r queries and k keys is ceil(r / bm) CTAs of ceil(k / bn) visits
 *         each, one masked where the mask is causal. Branches come one after another.
 *         Keys that are scattered, in more than two runs a query on the mean (a window
 *         is one run, a window and sinks are two), can also be gathered query by query,
 *         16 query rows to a tile, of which one is used: `gathered` tiles of 16 x bn,
 *         ceil(keys / bn) a query (FlashInfer: rows are padded, keys are not).
 *         Groups that together are a mask, each pair once in one softmax of the head's
 *         own logits, can also be run as that mask: `joint`, CTAs of the union's tiles.
 *         Of kernels that pack the query heads of a group into one tile the CTAs of
 *         patterns are counted so, too: g heads that all keep these pairs.
 * Oracle  brute force over the pairs of the plan.
 * Source  simulators/tiles.h; flashinfer-ai/flashinfer issue 1091.
 * Cost    the rows of the plan's pattern once a shape.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/select.h"
#include "core/plan.h"
#include "core/table.h"
#include "simulators/kernel.h"

/* The tile that a kernel would take for a choice of blocks at this head dim, of rank 1;
 * NULL = it has none. */
const atn_kernel_tile *atn_tile_of_choice(const atn_kernel *k, int head_dim);

typedef struct atn_tile_shape {
    atn_idx d, bm, bn;
    atn_idx pack; /* query heads that are rows of one tile; 0, 1 = not packed */
} atn_tile_shape;
/* Column of approx_tiles: "ctas_192x128", "ctas_192x128_packed_4". */
enum { ATN_SHAPE_COLUMN = 96 };
void atn_tile_shape_column(const atn_tile_shape *s, char out[ATN_SHAPE_COLUMN]);
enum { ATN_TILE_SHAPES = 64 };
typedef struct atn_tile_shapes {
    atn_tile_shape at[ATN_TILE_SHAPES]; /* each once a head dim */
    int n;
    int left_out;
} atn_tile_shapes;
/* Those of `own` (settled; NULL = none) and of all built-in kernels, for the head dims
 * and groups of the selected layers. More than there is room for are left out, those of
 * `own` the last to be, and the log says so. */
atn_status atn_tile_shapes_of(atn_ctx *cx, const atn_capture *c,
                              const atn_selection *sel, const atn_kernel *own,
                              atn_tile_shapes *out) ATN_WARN_UNUSED;

/* `count` CTAs alike; runs in the order of the CTAs, of groups by falling visits. */
typedef struct atn_cta_run {
    int32_t visits, masked;
    int64_t count;
} atn_cta_run;
typedef struct atn_cta_runs {
    atn_cta_run *run; /* [n] owned */
    atn_idx n, room;
    double gathered;            /* NaN = keys are not scattered */
    struct atn_cta_runs *joint; /* owned; NULL = none */
} atn_cta_runs;
void atn_cta_runs_release(atn_ctx *cx, atn_cta_runs *r);
/* One more CTA. */
atn_status atn_cta_runs_add(atn_ctx *cx, atn_cta_runs *r, int32_t visits,
                            int32_t masked, int64_t count) ATN_WARN_UNUSED;

/* Of the shapes of the head's d, out [s->n]; the others are left empty. A plan with an
 * operator has no CTAs, and one with groups none that are packed. The caller releases
 * out, also on failure. */
atn_status atn_plan_ctas(atn_ctx *cx, const atn_head *h, const atn_plan *p,
                         const atn_tile_shapes *s, atn_cta_runs *out) ATN_WARN_UNUSED;

/* "3/1*16 4/2 g5120 u 5/3": visits, masked, times, then the gathered tiles, then the
 * union's CTAs. Heap memory. */
atn_status atn_cta_runs_print(atn_ctx *cx, const atn_cta_runs *r,
                              char **out) ATN_WARN_UNUSED;
/* DATA naming what is no such text; counts are checked. */
atn_status atn_cta_runs_parse(atn_ctx *cx, const char *text,
                              atn_cta_runs *out) ATN_WARN_UNUSED;
