/* analysis/approx_compare.h -- a plan of one head against dense attention, row by row.
 *
 * Math    A_i is row i as shared out over the keys that it sees, S_i the keys of the
 *         plan, B_i its row. Of a plan that is a mask only lse^S_i is needed:
 *           m_i   = sum over S_i of A_i = exp(lse^S_i - lse_i)
 *           KL_i  = KL(B_i || A_i) = -ln m_i
 *         of others B_i is computed, and KL is that of B_i over its sum. Rows that
 *         give no weight are in no mean of KL.
 *           relative  |O - O'|_F / |O|_F      absolute  mean of |o_i - o'_i|
 *         matrix    |P - P'|_F / |P|_F of the weights, P_i = share_i A_i, P'_i = B_i
 *         (outputs behind W_O, too), over the rows that give weight to a key. Recall: the
 *         mean of |S_i n top_i| / |top_i|.
 *         The bound of SSA, for a mask: with d_i = share_i (1 - m_i),
 *           |o_i - o'_i| <= d_i (max of |v_j| over the keys dropped + |o'_i|),
 *         slack = right - left: not below 0 but by rounding.
 *         A plan that is no choice of keys (an operator, or one that gives weight below
 *         0) has no S_i, so no mass and no recall; and where a weight is below 0 no KL.
 *         Matrix: of every plan that is no mask; of a mask where d says so, for it takes
 *         the logits of all its rows.
 * Oracle  everything kept: m = 1, KL = 0, errors 0; o' = o - d_i (o_drop - o').
 * Source  cards/sparse.md, section 0 (SSA, arXiv 2511.20102, theorem 1).
 * Cost    a mask: atn_plan_apply, and O(dv + intervals) a row. Others: also the logits,
 *         and the reference of the weights (atn_plan_rows), tile by tile.
 * Limits  quantiles are of type 7; of a sample they are those of the rows drawn,
 *         without weights.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/approx_dense.h"
#include "core/apply.h"

/* Everything that is a number about a method on a head; NaN = cannot be had. */
typedef enum atn_approx_value {
    ATN_APPROX_MASS,
    ATN_APPROX_MASS_Q01,
    ATN_APPROX_MASS_Q05,
    ATN_APPROX_ERROR,
    ATN_APPROX_ERROR_ABSOLUTE,
    ATN_APPROX_ERROR_W_O,
    ATN_APPROX_ERROR_W_O_ABSOLUTE,
    ATN_APPROX_MATRIX,
    ATN_APPROX_KL,
    ATN_APPROX_RECALL,
    ATN_APPROX_FULL,
    ATN_APPROX_CAUSAL,
    ATN_APPROX_BLOCK_CAUSAL,
    ATN_APPROX_KV,
    ATN_APPROX_MEAN,
    ATN_APPROX_KEPT,
    ATN_APPROX_NUMBERS,
    ATN_APPROX_EXECUTED,
    ATN_APPROX_TILES,
    ATN_APPROX_FLOPS,
    ATN_APPROX_BYTES,
    ATN_APPROX_INDEX_FLOPS,
    ATN_APPROX_INDEX_BYTES,
    ATN_APPROX_EMPTY_ROWS,
    ATN_APPROX_VANISHED,
    ATN_APPROX_ROW_SUM,
    ATN_APPROX_TIES,
    ATN_APPROX_BOUND,
    ATN_APPROX_SLACK,
    ATN_APPROX_ORACLE_ERROR,
    ATN_APPROX_ORACLE_MASS,
    ATN_APPROX_ENTROPY,
    ATN_APPROX_ENTROPY_SHARE,
    ATN_APPROX_PLAN_SECONDS,
    ATN_APPROX_APPLY_SECONDS,
    ATN_APPROX_VALUES
} atn_approx_value;

/* Sets the values from MASS to RECALL, ROW_SUM, BOUND, SLACK and the entropies. h is the whole head, d
 * dense attention of its rows or of some; o (nq, dv) receives the output, data NULL
 * where the head has no values. INTERNAL when the bound does not hold. */
atn_status atn_approx_compare(atn_ctx *cx, const atn_head *h, const atn_dense *d,
                              const atn_plan *p, atn_mat o,
                              double value[ATN_APPROX_VALUES]) ATN_WARN_UNUSED;
/* Sets the densities, costs and counts. */
void atn_approx_costs(const atn_head *h, const atn_plan *p, const atn_cost *c,
                      double value[ATN_APPROX_VALUES]);
/* Bytes that compare takes beside atn_plan_apply and o. */
double atn_approx_compare_bytes(int threads, const atn_head *h, atn_idx rows);
