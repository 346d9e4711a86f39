/* analysis/row_stats.h -- the row-statistics pass: one walk over the row tiles of some heads
 * leaves a few numbers per row, from which every measure is a small function.
 *
 * The numbers and their definitions are those of core/row_values.h, which the backend computes;
 * here they are kept for all heads of a batch, with the tokens' earlier places found first.
 *
 * Source  cards B1 to B5; a sliding window moves the first visible key, so first and first4
 *         are kept for the first key that is no padding (0 where the window hides it).
 * Cost    one row pass. Memory 112 bytes a row and head.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/row_values.h"

typedef struct atn_row_stats_opts {
    unsigned needs;    /* ATN_NEED_*, 0 = all that can be had */
    atn_idx top_k;     /* keys of topk, >= 1 */
    atn_idx skip_rows; /* rows i < skip_rows stay out of every mean */
} atn_row_stats_opts;

/* The rows of one head: arrays of nq, NULL when not computed. */
typedef struct atn_head_rows {
    atn_idx nq, offset, skip_rows, top_k;
    atn_idx first_key;   /* first key that is no padding */
    const int64_t *seen; /* visible keys of the row */
    const double *entropy, *mass, *square, *distance, *first, *first4, *rest,
        *rest_distance, *diagonal, *previous, *topk, *induction, *duplicate;
    const bool *repeated; /* the row's token occurred before */
} atn_head_rows;

typedef struct atn_row_stats atn_row_stats;

/* Streams the heads (all with the same nq, nk and sight). tokens: ids of all nk positions, or
 * NULL. What the tokens are needed for stays NULL without them. */
atn_status atn_row_stats_run(atn_ctx *cx, const atn_head *heads, atn_idx n_heads,
                             const int32_t *tokens, const atn_row_stats_opts *opts,
                             atn_row_stats **out) ATN_WARN_UNUSED;
void atn_row_stats_destroy(atn_ctx *cx, atn_row_stats *s);
atn_head_rows atn_row_stats_head(const atn_row_stats *s, atn_idx i);
/* Bytes of the result for n_heads heads of nq rows. */
double atn_row_stats_bytes(atn_idx n_heads, atn_idx nq);

/* Mean of x over the rows that see a key and survive skip_rows; NaN when there is none. */
double atn_rows_mean(const atn_head_rows *r, const double *x);
