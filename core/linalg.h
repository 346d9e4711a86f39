/* core/linalg.h -- dense linear algebra in double: small systems, eigenvalues.
 *
 * Source  Cholesky's method; eigenvalues by LAPACK's dsyevd and dgeev, which OpenBLAS
 *         brings.
 * Cost    n^3 / 3 flop and no memory for Cholesky; 4 n^3 / 3 flop for symmetric
 *         eigenvalues, up to 9 n^3 and 2 n^2 doubles with their vectors, about 10 n^3
 *         for others.
 * Limits  one thread. Matrices are row-major and contiguous.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/ctx.h"

/* The lower triangle of a [n, n] becomes L with L L' = a; the rest is not read. False
 * when a is not positive definite. */
bool atn_cholesky(double *a, atn_idx n) ATN_WARN_UNUSED;
/* The same of a semidefinite matrix: a direction without weight gives a column of
 * zeros; the upper triangle becomes 0. */
void atn_cholesky_half(double *a, atn_idx n);
/* b [n] <- the x with L L' x = b. */
void atn_cholesky_solve(const double *l, atn_idx n, double *b);

/* Matrices in double by rows, ld apart, as those of core/mat.h. */
typedef struct atn_wide {
    double *data;
    atn_idx rows, cols, ld;
} atn_wide;
typedef struct atn_cwide {
    const double *data;
    atn_idx rows, cols, ld;
} atn_cwide;
typedef enum atn_product_of { ATN_AB, ATN_ABT, ATN_ATB } atn_product_of;

/* c = alpha a b + beta c, or a b', or a'b, on one thread. */
void atn_gemm_wide(atn_product_of of, double alpha, atn_cwide a, atn_cwide b,
                   double beta, atn_wide c);

/* The lower triangle of c [n, n] += a'a of a [rows, n], or a a' of a [n, rows]. */
void atn_gram_add(bool of_rows, const double *a, atn_idx rows, atn_idx n, double *c);

/* values [n] <- eigenvalues of the symmetric a [n, n], ascending; a is overwritten.
 * DATA when an entry is not finite; MEMORY. */
atn_status atn_eigenvalues(atn_ctx *cx, double *a, atn_idx n,
                           double *values) ATN_WARN_UNUSED;
/* Bytes that atn_eigenvalues takes beside a and values. */
double atn_eigenvalues_bytes(atn_idx n);
/* The same, and row k of a becomes the unit eigenvector of values[k]. */
atn_status atn_eigenvectors(atn_ctx *cx, double *a, atn_idx n,
                            double *values) ATN_WARN_UNUSED;
double atn_eigenvectors_bytes(atn_idx n);
/* re, im [n] <- eigenvalues of any a [n, n], in no order; a is overwritten. DATA when
 * an entry is not finite; MEMORY. */
atn_status atn_eigenvalues_general(atn_ctx *cx, double *a, atn_idx n, double *re,
                                   double *im) ATN_WARN_UNUSED;

/* q [r][n] <- orthonormal vectors of the same span; one that those before it span becomes 0. */
void atn_orthonormalise(double *q, atn_idx r, atn_idx n);
