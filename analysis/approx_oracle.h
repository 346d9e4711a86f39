/* analysis/approx_oracle.h -- the best that keys alone can do: as many keys of largest
 * weight in every row as a method has there, for several methods in one pass.
 *
 * Math    S_i = the k_i largest of A_i, lower keys first where equal;
 *         m_i = sum over S_i of A_i, o_i the output over S_i alone (the sink, where
 *         there is one, stays in the denominator); relative error and mean of m_i as in
 *         analysis/approx_compare.h.
 *         k_i of a plan that is a mask: the keys that it keeps in row i, else 0, and
 *         more: the pairs that are executed beside go round the rows, one to each that
 *         sees another key, until none are left.
 * Oracle  k_i all that is seen: error 0, mass 1; k_i = 0: error 1, mass 0. A mask has at
 *         most the mass m_i in every row, whatever keys it keeps.
 * Source  cards/sparse.md, card 28 and invariant 3.
 * Cost    one pass over the rows, a sort of each, and dv flop for every key that the
 *         largest k_i keeps.
 * Limits  the largest weights keep the most mass; other keys may err less.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/approx_dense.h"

/* keys [nq]: what a mask keeps of each row, or zeros; becomes k_i. executed: pairs of
 * the head. */
void atn_approx_oracle_keys(const atn_head *h, double executed, int64_t *keys);
/* k [n, d->n], k_i of n methods. error [n] (NaN without values), mass [n]. */
atn_status atn_approx_oracle(atn_ctx *cx, const atn_dense *d, const int32_t *k, int n,
                             double *error, double *mass) ATN_WARN_UNUSED;
/* Bytes that it takes. */
double atn_approx_oracle_bytes(const atn_ctx *cx, const atn_head *h, atn_idx rows,
                               int n);
