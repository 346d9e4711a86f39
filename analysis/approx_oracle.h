/* analysis/approx_oracle.h -- the best that any mask can do: the k keys of largest
 * weight of every row, for several k in one pass.
 *
 * Math    S_i = the min(k, seen) largest of A_i, lower keys first where equal;
 *         m_i = sum over S_i of A_i, o_i the output over S_i alone (the sink, where
 *         there is one, stays in the denominator); relative error and mean of m_i as in
 *         analysis/approx_compare.h.
 * Oracle  k >= seen: error 0, mass 1; k = 0: error 1, mass 0.
 * Source  cards/sparse.md, card 28: M1 of any mask is at most that of the oracle.
 * Cost    one pass over the rows, a sort of each, and dv flop for every key that the
 *         largest k keeps.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/approx_dense.h"

/* k [n] ascending, each once, >= 0. error [n] (NaN without values), mass [n]. */
atn_status atn_approx_oracle(atn_ctx *cx, const atn_dense *d, const atn_idx *k, int n,
                             double *error, double *mass) ATN_WARN_UNUSED;
/* Bytes that it takes. */
double atn_approx_oracle_bytes(const atn_ctx *cx, const atn_head *h, atn_idx rows,
                               int n);
