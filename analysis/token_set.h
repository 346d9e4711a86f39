/* analysis/token_set.h -- how many different vectors are there in a set of tokens?
 *
 * Math    mean cosine of all pairs of n vectors, (|sum_i u_i|^2 - n') / (n (n - 1))
 *         with u_i the unit vector of x_i, n' of them, 0 for a vector of zeros;
 *         centred: of x_i - mean. effective count exp(-sum p ln p), p the eigenvalues
 *         of the centred covariance divided by their sum.
 * Oracle  (1,0), (1,0), (0,1): 1/3; orthogonal vectors 0, equal ones 1. Equal spread
 *         along r axes: count r.
 * Source  card A12, after Zhang et al., arXiv 2501.16297 (FALCON); the count is the
 *         effective rank of Roy and Vetterli, EUSIPCO 2007, on the covariance.
 * Cost    O(n d) for cosines; n d min(n, d) flop and min(n, d)^3 for the count, min(n,
 *         d)^2 doubles.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/mat.h"

/* Mean Euclidean length of the rows; NaN for none. */
double atn_tokens_mean_norm(atn_cmat x);
/* NaN for fewer than two rows. */
atn_status atn_tokens_cosine(atn_ctx *cx, atn_cmat x, bool centred,
                             double *cosine) ATN_WARN_UNUSED;
/* NaN where the rows do not differ. */
atn_status atn_tokens_effective(atn_ctx *cx, atn_cmat x, double *count) ATN_WARN_UNUSED;
/* Bytes that the latter takes beside x. */
double atn_tokens_effective_bytes(atn_cmat x);
