/* analysis/tensor_regime.h -- which captured heads polynomial attention could serve:
 * how large their logits are, and what degree, how many features and how many tokens
 * that asks for.
 *
 * Math    three cases, X of each over what the mask shows:
 *             matrix   X = max |s q.k|; R = C(d + g, g)
 *             centred  X = half the widest range of a row of s q.k, for a constant of
 *                      the row is free but costs a coordinate: R = C(d + 1 + g, g)
 *             tensor   K1 = K2 = K, X = max |sum_l q_l k_jl k_tl| / d; R = C(d + g, g)
 *         g: the least even degree of Taylor with a relative error of 10^-1 .. 10^-4 on
 *         [-X, X], and that of the best polynomial (theory/polynomial.h). Features pay
 *         from the n on at which their flop are below those of all pairs or triples
 *         that causality leaves (approx/tensor.h), near 2 R d_v / (d + d_v) and
 *         sqrt(3 R d_v / (d + d_v)); causal: twice, and sqrt 3 times that.
 * Oracle  zero queries: X = 0, degree 0, one feature. X = 2: degrees 8 8 10 12. d = d_v
 *         = 4, R = 70, causal triples: 19, for 2 n (n + 1)(2n + 1) 8 / 6 is 39520 there
 *         and features 37800; at 18: 33744 and 35840.
 * Source  Alman and Song, arXiv 2302.13214 and 2310.04064; cards/kernel-theory.md, 4,
 *         5.
 * Cost    2 n^2 d flop a head, and up to ATN_REGIME_EXACT tokens 2 n^3 d for the exact
 *         X of tensors (causal: a third); above it is a bound, and labelled so.
 * Limits  heads with a soft-cap or a position bias have empty cells: no feature has them. A
 *         tensor head sees keys by causality alone, whatever its window; in the flop of
 *         pairs a window is not counted either.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/select.h"
#include "core/table.h"

enum { ATN_REGIME_EXACT = 512 };

/* Table of kind "tensor_regime", a row a head: [stack, step,] layer, head, queries,
 * keys, d, d_v, x_max_<case>, x_max_tensor_kind, and for each case and e = 1 .. 4
 * (10^-e) degree_taylor_<case>_e<e>, degree_best_.., features_.., break_even_.._tokens,
 * fast_.. (the head has as many keys); only > 0: of this e alone. DATA
 * where a layer has no queries and keys. */
atn_status atn_tensor_regime(atn_ctx *cx, const atn_capture *c,
                             const atn_selection *sel, int only,
                             atn_table **out) ATN_WARN_UNUSED;
