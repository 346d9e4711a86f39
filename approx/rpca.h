/* approx/rpca.h -- robust principal components: a matrix as low rank + sparse.
 *
 * Math    min |L|_* + lambda |S|_1, L + S = M; lambda = factor / sqrt(max(m, n)),
 *         mu = m n / (4 sum |M_ij|), L = S = Y = 0 at first:
 *             L = singular values of M - S + Y / mu less 1 / mu, not below 0
 *             S = entries of M - L + Y / mu nearer to 0 by lambda / mu
 *             Y <- Y + mu (M - L - S)
 *         until |M - L - S|_F <= 1e-7 |M|_F, at most `steps`.
 * Oracle  card 22: n = 60, rank 2 and 180 entries, 21 steps and 1.0795e-7.
 * Source  Candes, Li, Ma, Wright 2011; dganguli/robust-pca.
 * Cost    the eigenvectors of a matrix of min(m, n) a step, about 9 n^3 flop.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "approx/factors.h"

enum { ATN_RPCA_STEPS = 1000 };

typedef struct atn_rpca {
    double factor; /* of lambda */
    atn_idx steps; /* at most */
    double *l, *s; /* [m, n] */
    /* what came of it */
    atn_idx taken, rank, entries;
    double residual; /* |M - L - S|_F / |M|_F */
} atn_rpca;

/* a [m, n]; fills out->l, out->s and what came of it. */
atn_status atn_rpca_run(atn_ctx *cx, const double *a, atn_idx m, atn_idx n,
                        atn_rpca *out) ATN_WARN_UNUSED;
double atn_rpca_bytes(atn_idx m, atn_idx n); /* beside l and s */

/* f <- what it found, which is overwritten; numbers > 0: of L the best of rank
 * numbers / 4, and of p [nq, nk] less that the numbers / 2 largest of every row. */
atn_status atn_rpca_parts(atn_ctx *cx, const atn_head *h, const double *p,
                          atn_rpca *found, atn_idx numbers, bool mask,
                          atn_factors *f) ATN_WARN_UNUSED;
