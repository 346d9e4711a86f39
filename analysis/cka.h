/* analysis/cka.h -- linear CKA: are two sets of vectors, one a row, alike up to a
 * rotation?
 *
 * Math    X, Y with columns centred, rows i = 1..n:
 *           biased    |Y'X|_F^2 / (|X'X|_F |Y'Y|_F)
 *           debiased  HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)), K = XX' and L = YY'
 *                     with a zero diagonal, HSIC = [tr KL + (1'K1)(1'L1) / ((n-1)(n-2))
 *                     - 2 1'KL1 / (n-2)] / (n (n - 3)).
 *         With s_i = |x_i|^2, t_i = |y_i|^2 of centred rows (the estimator does not see
 *         a shift) tr KL = |Y'X|_F^2 - sum s t, 1'K1 = -sum s, 1'KL1 = sum s t: no
 *         n x n matrix.
 * Oracle  X = (1,0),(0,1),(1,1),(2,3): .934320 with Y = 1,2,3,5, .382719 with
 *         (1,-1,1,-1), 1 with a rotated and scaled copy of itself.
 * Source  Kornblith et al., arXiv 1905.00414; the unbiased estimator of HSIC is Song et
 *         al. (JMLR 2012), its use in CKA Nguyen et al., arXiv 2010.15327.
 * Cost    2 n d_x d_y flop a pair, or 2 n^2 (d_x + d_y) where that is less, in float32
 *         tiles that are added up in double. Memory a thread: d_x d_y doubles, or
 *         copies of X and Y.
 * Limits  the biased form grows towards 1 when n < d: read the debiased one there,
 *         which may be negative. Matrices without variation have no CKA: NaN; so has
 *         the debiased form of fewer than 4 rows.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/mat.h"

/* All pairs of m matrices with the same rows, x[a] (n, d_a): cka [m, m] symmetric,
 * debiased too unless NULL. The diagonal is 1, NaN where there is no variation. */
atn_status atn_cka_pairs(atn_ctx *cx, const atn_cmat *x, atn_idx m, double *cka,
                         double *debiased) ATN_WARN_UNUSED;
/* Bytes that atn_cka_pairs takes beside its inputs. */
double atn_cka_bytes(const atn_ctx *cx, const atn_cmat *x, atn_idx m);
