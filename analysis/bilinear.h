/* analysis/bilinear.h -- the bilinear form x_i M x_j behind the logits of a head, by
 * the products of the rows of its weights alone.
 *
 * Math    q = W_q x, k = W_k x (d, D): M = W_q' W_k, of rank d at most, D x D. With
 *         G_q = W_q W_q', G_k = W_k W_k', A = W_k W_q' (d, d):
 *           |M|^2 = sum_ab (G_q)_ab (G_k)_ab,  tr(M M) = sum_ab A_ab A_ba
 *           share = 1/2 + 1/2 tr(M M) / |M|^2, the part of |M|^2 that (M + M')/2 keeps
 *         (M + M')/2 = B' J B with B = (W_q; W_k) and J = 1/2 (0 I; I 0); its
 *         eigenvalues but zeros are those of L' J L, L L' = B B'.
 *         A rotary embedding puts R_delta between: W_k becomes R_delta W_k for the key
 *         that is delta positions ahead; numbers e and e + r turn by delta turn[e].
 * Oracle  W_k = W_q: share 1, all eigenvalues >= 0; W_k = -W_q: share 1, none above 0;
 *         rows W_q = (a, b), W_k = (b, -a): M' = -M, share 0.
 * Source  Bermeitinger et al., arXiv 2410.13732, ask for a symmetric form; the products
 *         are ours.
 * Cost    3 d^2 D multiplications a head, (2 d)^3 for the eigenvalues, 10 d^2 a
 *         position.
 * Limits  in double, from weights of float32.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/mat.h"

typedef struct atn_form {
    atn_idx d;
    double *qq, *kk, *kq; /* [d, d] G_q, G_k, A; rows of kq are those of W_k */
} atn_form;

/* w_q, w_k (d, D); fills the caller's arrays. */
void atn_form_fill(atn_cmat w_q, atn_cmat w_k, atn_form *f);
/* NaN when M is 0. */
double atn_form_share(const atn_form *f);
/* Mean share over keys 0, 1 .. n - 1 positions behind, and as many ahead when
 * both_ways. */
atn_status atn_form_share_rotary(atn_ctx *cx, const atn_form *f, const double *turn,
                                 atn_idx r, atn_idx n, bool both_ways,
                                 double *share) ATN_WARN_UNUSED;
/* Sum of the squares of the eigenvalues above 0 of (M + M')/2 by the sum of all; NaN
 * when it is 0. */
atn_status atn_form_positive(atn_ctx *cx, const atn_form *f,
                             double *share) ATN_WARN_UNUSED;
/* Bytes of scratch that the two take. */
double atn_form_bytes(atn_idx d);
