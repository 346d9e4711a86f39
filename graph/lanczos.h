/* graph/lanczos.h -- the spectrum of a symmetric operator of which only products are
 * known.
 *
 * Math    from a start s, q_0 = s / |s| and A q_k = b_k-1 q_k-1 + a_k q_k + b_k q_k+1.
 *         The eigenvalues t of the tridiagonal matrix of a and b are Ritz values; w_t =
 *         (first entry of its vector)^2 are the weights of a quadrature: sum_t w_t f(t)
 *         = s'f(A) s / |s|^2 for polynomials f of degree below twice the steps. An
 *         eigenvalue of A lies within b_k |last entry| of t, the residual.
 * Oracle  diagonal 1, 2, 3 and s = (1, 1, 1): values 1, 2, 3, weights 1/3.
 * Source  Lanczos 1950; Golub and Meurant, Matrices, Moments and Quadrature.
 * Cost    a product a step; k^2 n r flop to keep k vectors orthogonal, twice over;
 *         4 n r bytes a step.
 * Limits  vectors are float32, and so is what an operator usually returns: values are
 *         good to about 1e-6 of the largest. Runs end early where the start lies in
 *         fewer directions.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/ctx.h"

typedef struct atn_symmetric {
    atn_idx n;
    /* y (n, r) = A x of the r columns of x (n, r) */
    atn_status (*apply)(atn_ctx *cx, const float *x, atn_idx r, float *y, void *state);
    void *state;
} atn_symmetric;

enum { ATN_LANCZOS_STEPS_MOST = 512 };

typedef struct atn_lanczos_opts {
    int steps;             /* at most, 1 .. ATN_LANCZOS_STEPS_MOST */
    double top_tolerance;  /* of one run: ends once the residual of its largest value is
                             below this share of it; 0 = never */
    const double *without; /* [n] unit vector that all runs stay orthogonal to, or
                              NULL */
} atn_lanczos_opts;

typedef struct atn_ritz {
    double value, weight, residual;
} atn_ritz;

/* One run for each column of start (n, r), of any length. ritz [r, steps]: count[c] of
 * them, ascending, for column c; none for a column of zeros. */
atn_status atn_lanczos(atn_ctx *cx, const atn_symmetric *a, const float *start,
                       atn_idx r, const atn_lanczos_opts *o, atn_ritz *ritz,
                       int *count) ATN_WARN_UNUSED;
/* Bytes it takes beside start, ritz and count. */
double atn_lanczos_bytes(atn_idx n, atn_idx r, int steps);
