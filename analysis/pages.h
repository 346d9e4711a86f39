/* analysis/pages.h -- pooled attention matrices for figures, pooled during the pass so
 * that no n x n matrix exists.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/select.h"
#include "core/rows.h"
#include "core/table.h"

typedef enum atn_pool { ATN_POOL_MAX, ATN_POOL_MEAN, ATN_POOL_SUM } atn_pool;
const char *atn_pool_name(atn_pool pool); /* "max", "mean", "sum" */

/* Pools one head to at most cells x cells: cell (a, b) covers `pool size` queries and
 * keys, the same for both axes, a power of two, 1 when the head fits. Masked cells (no
 * visible pair) are NaN; mean is over the visible pairs. out holds side(nq) x side(nk)
 * floats, row-major. */
atn_idx atn_pool_size(atn_idx nq, atn_idx nk, atn_idx cells);
atn_status atn_pool_head(atn_ctx *cx, const atn_head *h, atn_idx size, atn_pool pool,
                         float *out) ATN_WARN_UNUSED;

/* Table of kind "heatmap": the (pooled) matrix of one head, meta title, subtitle, pool,
 * pool_size, layer, head, queries, keys; a row a column of the matrix: position, its
 * first key, and token where the capture has the texts and nothing was pooled (meta
 * tokens "keys": the queries are others). Where the queries are other tokens and have
 * texts, query_token, and a row for each of the longer side: what a side lacks is
 * empty. at is an index of atn_capture_layer. */
atn_status atn_heatmap_table(atn_ctx *cx, const atn_capture *c, int at, atn_idx head,
                             atn_idx cells, atn_pool pool,
                             atn_table **out) ATN_WARN_UNUSED;
/* Table of kind "heads": one row a selected head (layer, head), and the matrix of all
 * of them stacked: row block i of `cells_q` rows and `cells_k` columns is the head of
 * table row i; meta layers, heads (grid), cells_q, cells_k, pool, pool_size. USAGE when
 * the layers are of several stacks, steps or shapes. */
atn_status atn_heads_page_table(atn_ctx *cx, const atn_capture *c,
                                const atn_selection *sel, atn_idx cells, atn_pool pool,
                                atn_table **out) ATN_WARN_UNUSED;
