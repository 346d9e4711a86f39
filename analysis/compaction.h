/* analysis/compaction.h -- attention over the centroids of clusters of keys.
 *
 * Math    row i uses, per cluster c, the count n_c, mean key k_c and mean value v_c of
 *         the members that it sees: P'_ic prop. to n_c exp(q_i . k_c scale), with the
 *         head's bias (at the mean position; a table of biases at the nearest whole
 *         one), cap and sink. Error |O' - O|_F / |O|_F over the rows that count. The
 *         labels come from all keys: what a causal row knows of its clusters looks
 *         ahead.
 * Oracle  keys that are exact duplicates within their clusters: error 0, whatever the
 *         values.
 * Source  card A12, after the registers of Zhang et al., arXiv 2501.16297; counts as
 *         weights derived.
 * Cost    O(nq m (d + dv)) and O(m (d + dv)) doubles: running sums, never a matrix of
 *         scores.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/problem.h"

typedef struct atn_compaction {
    const int32_t *label; /* [nk] cluster of every key that is no padding */
    atn_idx clusters;
    atn_idx first_row; /* rows before stay out of the error */
} atn_compaction;

/* Heads of one KV head, their outputs [heads, nq, dv]; error [heads], NaN where an
 * output is zero. One thread. */
atn_status atn_compaction_errors(atn_ctx *cx, const atn_head *heads, atn_idx n_heads,
                                 const float *out, const atn_compaction *by,
                                 double *error) ATN_WARN_UNUSED;
/* Bytes it takes. */
double atn_compaction_bytes(const atn_head *h, atn_idx clusters);
