/* core/rows.h -- the row stream: rows of the softmax matrix, tile by tile, never n x n.
 *
 * Math    a tile is rows [first, first + rows) against keys [key0, key0 + keys), the
 *         union of what its rows see. Logits come from one GEMM a tile; then per row
 *         m = max s, w_j = exp(s_j - m), Z = sum w, p_j = w_j / Z, LSE = m + ln Z and
 *         H = LSE - sum_j p_j s_j (no logarithm per entry). Given rows (source p) are
 *         copied and H = -sum p ln p of the renormalised row.
 * Oracle  uniform causal logits: H_i = ln(i + 1); rows sum to 1 within 1e-6; twin in
 *         double.
 * Cost    2 nq nk d flop and one exp an entry; memory rows * keys * 4 bytes a tile.
 * Limits  tile shapes never depend on the number of threads, so results are bitwise the
 *         same at any.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/problem.h"

typedef struct atn_tile {
    atn_idx first, rows; /* query rows */
    atn_idx key0, keys;  /* key columns that some row of the tile sees */
} atn_tile;

/* What falls out of the softmax of one row. */
typedef struct atn_row_info {
    atn_idx lo, hi; /* visible keys, absolute; lo == hi: the row sees nothing, p is 0 */
    double max;     /* largest logit (source p: 0) */
    double lse; /* log-sum-exp of the logits, the sink's not included (source p: 0) */
    double entropy; /* nats, of the row renormalised to sum 1, clamped at 0 */
    double mass;    /* sum of p: 1, or less with a sink logit */
} atn_row_info;

/* The tile of rows [first, first + rows) clipped to nq. */
atn_tile atn_tile_of(const atn_head *h, atn_idx first, atn_idx rows);
/* Rows a tile should have so that a float tile of all keys stays near 1 MiB: a multiple
 * of 8 in 8..64, a function of the head's shape alone. */
atn_idx atn_tile_rows(const atn_head *h);

/* Fills out (t->rows x t->keys; column c is key t->key0 + c; ld >= keys) with p, zeros
 * where a row sees nothing, and info[t->rows]. DATA with layer, head, row when a logit
 * is NaN or infinite. One thread. */
atn_status atn_rows_fill(atn_ctx *cx, const atn_head *h, const atn_tile *t, atn_mat out,
                         atn_row_info *info) ATN_WARN_UNUSED;

/* The two steps of the reference of atn_rows_fill. First the logits, after bias and
 * soft-cap (source p: the weights), and of info lo and hi; out and its zeros as
 * above. */
void atn_rows_logits(const atn_head *h, const atn_tile *t, atn_mat out,
                     atn_row_info *info);
/* Then row r of the tile: its softmax in place, and the rest of info[r]. */
atn_status atn_rows_softmax(atn_ctx *cx, const atn_head *h, const atn_tile *t,
                            atn_idx r, atn_mat out, atn_row_info *info) ATN_WARN_UNUSED;

/* Called once a tile, on any thread, with that thread's context; must write only to
 * places that belong to its own rows or tile, so that the outcome does not depend on
 * the order. */
typedef atn_status atn_rows_visit(atn_ctx *cx, const atn_head *h, const atn_tile *t,
                                  atn_cmat p, const atn_row_info *info, void *state);

/* Streams all rows of n_heads heads through visit, tiles spread over cx->threads
 * threads. Progress is reported as `what`. On failure the error is that of the first
 * tile (in order) that failed. */
atn_status atn_rows_stream(atn_ctx *cx, const atn_head *heads, atn_idx n_heads,
                           atn_rows_visit *visit, void *state,
                           const char *what) ATN_WARN_UNUSED;
/* The same with what atn_rows_logits leaves of each tile; visit takes every row to its
 * end with atn_rows_softmax. On the CPU, whatever the backend. */
typedef atn_status atn_logits_visit(atn_ctx *cx, const atn_head *h, const atn_tile *t,
                                    atn_mat s, atn_row_info *info, void *state);
atn_status atn_rows_stream_logits(atn_ctx *cx, const atn_head *heads, atn_idx n_heads,
                                  atn_logits_visit *visit, void *state,
                                  const char *what) ATN_WARN_UNUSED;
/* Bytes that atn_rows_stream takes beside its inputs. */
double atn_rows_stream_bytes(const atn_ctx *cx, const atn_head *heads, atn_idx n_heads);

/* Runs task(cx, i, state) for i in [0, n) on cx->threads threads, each with a forked
 * context; dynamic order. The first failing index (smallest i) decides the error;
 * progress and cancelling are looked after. */
typedef atn_status atn_task(atn_ctx *cx, atn_idx i, void *state);
atn_status atn_parallel(atn_ctx *cx, atn_idx n, atn_task *task, void *state,
                        const char *what) ATN_WARN_UNUSED;
