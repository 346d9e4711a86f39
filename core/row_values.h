/* core/row_values.h -- the row pass: one walk over the rows of some heads leaves a few numbers
 * per row and, on request, sums over columns, diagonals and blocks.
 *
 * Math    position of query i: t = i + offset; P_i its row, renormalised nowhere; f the
 *         first key that is no padding.
 *           seen     visible keys             entropy, mass: see core/rows.h
 *           square   sum_j P_ij^2             distance sum_j P_ij |t - j|
 *           first    P_if                     first4   sum of P over keys f .. f + 3
 *           rest     sum of P over j != f     rest_distance   sum_j!=f P_ij |t - j|: sums of their
 *                                             own, for 1 - first says little where first is near 1
 *           diagonal P_it                     previous P_i,t-1
 *           topk     the k largest P_ij       induction sum of P over keys m + 1, duplicate
 *                                             over keys m, for every earlier place m < t that
 *                                             holds the token of position t
 *           columns_j   = sum_i P_ij          diagonals_e = sum of P_ij with i - j = e - nk + 1
 *           blocks_ab   = sum of P over rows of block a and keys of block b
 * Source  cards B1 to B5 and ROW, COL, DIAG, BLK of section 0.3.
 * Cost    one row stream; beside it two passes over each row and one vector compare an entry
 *         for top-k; O(matches) for induction; one pass each for the sums. Sums are kept in
 *         fixed point of 2^-40, so that they do not depend on the order of the tiles.
 * Limits  columns, diagonals and blocks: at most 2^22 rows.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/row_values_needs.h"
#include "core/rows.h"

enum { ATN_ROWS_SUMMED_MOST = 1 << 22 };

typedef struct atn_row_want {
    unsigned needs; /* ATN_NEED_* */
    atn_idx top_k;  /* keys of topk, >= 1 */
    atn_idx block;  /* edge of a block in tokens, >= 1 with ATN_NEED_BLOCKS */
    /* with ATN_NEED_TOKENS: [nk] ids, and the nearest earlier place of the same id, -1 none */
    const int32_t *tokens;
    const int64_t *earlier;
} atn_row_want;

/* Where the numbers of one head go: the caller's arrays. Those that are not wanted may be
 * NULL; the sums start from whatever is asked for at 0. */
typedef struct atn_row_out {
    int64_t *seen;                 /* [nq] */
    double *value[ATN_ROW_FIELDS]; /* [nq] each */
    double *columns;               /* [nk] */
    double *diagonals;             /* [nq + nk - 1] */
    double *blocks;                /* [ceil(nq / block), ceil(nk / block)] */
} atn_row_out;

/* Walks n_heads heads; out[h] receives the numbers of heads[h]. On the backend of cx. */
atn_status atn_row_values(atn_ctx *cx, const atn_head *heads, atn_idx n_heads,
                          const atn_row_want *want, atn_row_out *out) ATN_WARN_UNUSED;

/* The reference of the operation. */
atn_status atn_row_values_cpu(atn_ctx *cx, const atn_head *heads, atn_idx n_heads,
                              const atn_row_want *want,
                              atn_row_out *out) ATN_WARN_UNUSED;
