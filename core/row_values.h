/* core/row_values.h -- the row pass: one walk over the rows of some heads leaves a few
 * numbers per row and, on request, sums over columns, diagonals and blocks.
 *
 * Math    position of query i: t (atn_sight_at); P_i its row, renormalised nowhere, S_i
 *         its mass; f the first key that is no padding, g the last.
 *           seen      visible keys
 *           entropy, mass   see core/rows.h
 *           square    sum_j P_ij^2
 *           distance  sum_j P_ij |t - j|
 *           first     P_if
 *           first4    sum of P over keys f .. f + 3
 *           rest      sum of P over j != f
 *           rest_distance   sum_j!=f P_ij |t - j|: sums of their own, for 1 - first
 *                     says little where first is near 1
 *           diagonal  P_it
 *           previous  P_i,t-1
 *           topk      the k largest P_ij
 *           induction sum of P over keys m + 1, duplicate over keys m, for every
 *                     earlier place m < t that holds the token of position t
 *           max       max_j P_ij
 *           max_at    its key, the lowest of equal ones; -1 where the row sees none
 *           max_rest  max over j != f
 *           max_inner max over j != g
 *           keys_c   least number of keys whose weights reach c S_i, largest first
 *           span_c   smallest s >= 0 with sum_|t-j|<=s P_ij >= c S_i
 *           gini     sum_k (2k - n - 1) p_(k) / (n S_i), p ascending over the n visible
 *                    keys
 *           smoothed -sum_j q_j ln q_j, q = .9999 P_ij / S_i + .0001 / n
 *           logit    sum_j z_ij, z = ln(P_ij / S_i) = logit - LSE; logit_square sum_j
 *                    z_ij^2; .._near, and square_near of P^2: over
 *                    |t - j| <= floor(nk / 2) only
 *           columns_j   = sum_i P_ij
 *           diagonals_e = sum of P_ij with i - j = e - nk + 1
 *           blocks_ab   = sum of P over rows of block a and keys of block b;
 *                         block_max_ab the largest; logit_diagonals: the sums of z
 *           needed_ab   bit l: some row of block a has a key of its minimal set of
 *                       level l in block b; the minimal set is that of keys_c, equal
 *                       weights by key
 *         c S_i is reached where a sum is at most one unit of float32 (2^-23 of c S_i)
 *         short of it: weights are float32, and ten of 1/10 are to reach 1.
 * Source  cards B1 to B5, B11, B14, A14 and ROW, COL, DIAG, BLK of section 0.3.
 * Cost    one row stream; beside it a few passes over each row while it is in the
 *         first-level cache, a scalar addition an entry for coverage, O(matches) for
 *         induction, one pass over the tile for each of the sums. Sums are kept in
 *         fixed point of 2^-40 (of logits: 2^-24), so that they do not depend on the
 *         order of the tiles. gini sorts, smoothed takes a logarithm an entry.
 * Limits  columns, diagonals and blocks: at most 2^22 rows; coverage: at most 2^22
 *         keys. Logits beyond 2^17 - 1 leave logit_diagonals NaN; so does a given
 *         weight (source p) of 0, whose row's logit fields are NaN, too. Heads of which
 *         only some rows are there (atn_sight.rows) have no columns, diagonals and
 *         blocks.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/row_values_needs.h"
#include "core/rows.h"

enum { ATN_ROWS_SUMMED_MOST = 1 << 22, ATN_KEYS_COVERED_MOST = 1 << 22 };

extern const double atn_cover_levels[ATN_COVER_LEVELS]; /* .5 .8 .9 .95 .99 .999 */
extern const double atn_span_levels[ATN_SPAN_LEVELS];   /* .5 .9 .95 */

typedef struct atn_row_want {
    unsigned needs;     /* ATN_NEED_* */
    atn_idx top_k;      /* keys of topk, >= 1 */
    atn_idx block;      /* rows of a block, >= 1 with ATN_NEED_BLOCKS */
    atn_idx block_keys; /* keys of a block; 0 = as many as rows */
    atn_idx skip_rows;  /* rows i < skip_rows are in no sum, block_max or needed */
    /* with ATN_NEED_TOKENS: [nk] ids, and the nearest earlier place of the same id, -1
     * none */
    const int32_t *tokens;
    const int64_t *earlier;
} atn_row_want;

/* Where the numbers of one head go: the caller's arrays. Those that are not wanted may
 * be NULL; the sums start from whatever is asked for at 0. */
typedef struct atn_row_out {
    int64_t *seen;                 /* [nq] */
    double *value[ATN_ROW_FIELDS]; /* [nq] each */
    double *columns;               /* [nk] */
    double *diagonals;             /* [nq + nk - 1] */
    double *blocks;                /* [ceil(nq / block), ceil(nk / block_keys)] */
    float *block_max;              /* as blocks; may be NULL with ATN_NEED_BLOCKS */
    uint8_t *needed;               /* as blocks; bit l for atn_cover_levels[l] */
    double *logit_diagonals;       /* as diagonals; may be NULL with ATN_NEED_LOGITS */
} atn_row_out;

/* Walks n_heads heads; out[h] receives the numbers of heads[h]. On the backend of
 * cx. */
atn_status atn_row_values(atn_ctx *cx, const atn_head *heads, atn_idx n_heads,
                          const atn_row_want *want, atn_row_out *out) ATN_WARN_UNUSED;

/* All needs that have to be asked for before field f is written. */
unsigned atn_row_field_needs(atn_row_field f);

/* The reference of the operation. */
atn_status atn_row_values_cpu(atn_ctx *cx, const atn_head *heads, atn_idx n_heads,
                              const atn_row_want *want,
                              atn_row_out *out) ATN_WARN_UNUSED;
