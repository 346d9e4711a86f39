/* core/svd.h -- singular values and vectors of dense matrices, in double.
 *
 * Math    a = U diag(s) V', s descending.
 * Oracle  U' U = V V' = 1 and the product to 1e-12; |a|_F^2 = sum s^2.
 * Source  LAPACK's dgesdd, which OpenBLAS brings.
 * Cost    up to 22 n^3 flop of a square matrix with vectors, about 3 n^3 without.
 * Limits  one thread. Matrices are row-major and contiguous; they and the workspace are
 *         of 2^31 - 1 numbers at most: 23150 x 23150 with vectors, 46340 x 46340 without.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/ctx.h"

/* a [m, n] is overwritten; s [r], u [m, r], vt [r, n] with r = min(m, n), u and vt both
 * or NULL. DATA when an entry is not finite; MEMORY, also beyond those limits. */
atn_status atn_svd(atn_ctx *cx, double *a, atn_idx m, atn_idx n, double *s, double *u,
                   double *vt) ATN_WARN_UNUSED;
/* Bytes that it takes beside its arguments. */
double atn_svd_bytes(atn_idx m, atn_idx n, bool vectors);
