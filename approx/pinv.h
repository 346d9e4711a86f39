/* approx/pinv.h -- pseudo-inverses of small matrices: exact ones, and the iteration that
 * Nystrom methods put in their place.
 *
 * Math    exact: A = U S V', A^+ = V S^-1 U', without singular values below 1e-15 of
 *         the largest. Steps: Z <- Z (13 - X (15 - X (7 - X))) / 4, X = A Z, from
 *         Z_0 = A' / |A|_1, the largest sum of a column.
 * Oracle  the residual 1 - A Z of a step has the eigenvalues (3 e^3 + e^4) / 4 of those
 *         e of the last: from .999 on .997 .989 .966 .895 .697 .313.
 * Source  Xiong et al., arXiv 2102.03902; mlpen/Nystromformer.
 * Cost    about 22 m^3 flop, or 8 m^3 a step.
 * Limits  one thread. Steps are for what has the largest singular value 1 at most, or
 *         rows that sum to 1: then X begins with eigenvalues in [0, 1]. Six leave what
 *         is below about 3 % of the largest singular value near 0.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/ctx.h"

/* left [m, m], right [m, m] and *r: A^+ = left right, of left the first r columns, of
 * right the first r rows count; left has rows of r numbers. DATA, MEMORY. */
atn_status atn_pinv_exact(atn_ctx *cx, const double *a, atn_idx m, double *left,
                          double *right, atn_idx *r) ATN_WARN_UNUSED;
/* z [m, m] after so many steps. MEMORY. */
atn_status atn_pinv_steps(atn_ctx *cx, const double *a, atn_idx m, int64_t steps,
                          double *z) ATN_WARN_UNUSED;
/* Bytes that either takes beside its arguments, at most. */
double atn_pinv_bytes(atn_idx m);
