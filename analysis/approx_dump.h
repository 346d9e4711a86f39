/* analysis/approx_dump.h -- what methods chose and gave, in files, so that a run can be
 * compared with any other implementation.
 *
 *   OUT/dump.json                        the files, the run record, and which methods:
 *                                        {"folder", "method", "budget", "temperature"}
 *   OUT/<method>/plan.json               schema attnscope/plan/1, see below
 *   OUT/<method>/layer-000.safetensors   `o` [heads, queries, d_v]; steps and stacks in
 *                                        folders as in the capture
 *   OUT/<method>/draws.safetensors       random objects, beside the layers they are of,
 *                                        and what a budget fitted
 *                                        (analysis/approx_given.h)
 *
 * The folder of a method is its id, with -2, -3 .. where it comes again or at several
 * budgets or temperatures. Heads are the selected ones, in order; rows of padding are
 * 0, heads that were left out NaN.
 *
 *   {"schema": "attnscope/plan/1", "method": "moba", "asked": "k=3,block=2048",
 *    "budget": "10%", "temperature": 1, "unmasked": false, "as_published": false,
 *    "seed": 0, "version": "..",
 *    "layers": [{"layer": 0, "stack": "", "step": 0, "file": "layer-000.safetensors",
 *                "first_row": 0, "first_key": 0, "heads": [HEAD, ..]}, ..]}
 *   HEAD  {"head": 0, "parameters": "..", "budget_fit": "met", "tile": [1, 64],
 *          "kept": pairs, "executed_share": x, "numbers": x (a row), "index_flops": x,
 *          "index_bytes": x, "operator": {"id": "features", "executed": pairs,
 *          "vanished_rows": n} in place of all that follows, or
 *          "branches": [{"merge": "lse"|"mean", "scale": [..], "parts": [PART]}],
 *          "virtual_keys": [{"keys": [..], "shares": [..]}], "residual": true}
 *   PART  {"all": true} | {"pattern": {..}} as attnscope/pattern/1 of this head |
 *         {"groups": [{"rows": [..], "keys": [..], "log_weights": [..], "logit": j}]}
 *         with "own_queries", "own_keys", "self_last": true where that is so
 * Rows and keys count from the first that is no padding. Members that say nothing are
 * left out.
 *
 * Cost    a pass over the rows of every plan; nothing is held but the outputs of one
 *         layer.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/approx_internal.h"

typedef struct atn_approx_dump atn_approx_dump;

/* Makes a directory beside `path`, which close puts in its place. CANTCREATE when it
 * exists, unless it is empty or, with force, a dump. */
atn_status atn_dump_open(atn_ctx *cx, const atn_approx *a, const char *path, bool force,
                         atn_approx_dump **out) ATN_WARN_UNUSED;
/* Without a call of close, all is removed again. NULL is fine. */
void atn_dump_abandon(atn_ctx *cx, atn_approx_dump *d);
/* Writes dump.json, moves all into place and frees d, also on failure. */
atn_status atn_dump_close(atn_ctx *cx, atn_approx_dump *d,
                          const atn_run *run) ATN_WARN_UNUSED;

/* A layer of a case: begin, heads in ascending order, end. first_row, first_key: of the
 * padding. heads: selected ones. */
typedef struct atn_dump_layer {
    const atn_layer_info *info;
    atn_idx heads, first_row, first_key;
} atn_dump_layer;
atn_status atn_dump_begin(atn_ctx *cx, atn_approx_dump *d, int c,
                          const atn_dump_layer *l) ATN_WARN_UNUSED;
/* place: among the selected heads; o (nq, dv), data NULL without values. */
atn_status atn_dump_head(atn_ctx *cx, atn_approx_dump *d, atn_idx place,
                         const atn_head *h, const atn_plan *p,
                         const atn_approx_cell *cell, atn_cmat o) ATN_WARN_UNUSED;
atn_status atn_dump_end(atn_ctx *cx, atn_approx_dump *d) ATN_WARN_UNUSED;
/* In place of end: the layer is taken out again. */
atn_status atn_dump_drop(atn_ctx *cx, atn_approx_dump *d) ATN_WARN_UNUSED;
/* Saves the draws of case c beside the layers of `l`, if it has any. */
atn_status atn_dump_draws(atn_ctx *cx, atn_approx_dump *d, int c,
                          const atn_layer_info *l) ATN_WARN_UNUSED;
