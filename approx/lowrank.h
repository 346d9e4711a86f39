/* approx/lowrank.h -- attention weights in double, stored or streamed, and their best
 * approximation of a rank.
 *
 * Math    dense    LAPACK's singular vectors.
 *         random   X of `rank` + 10 directions; X <- (M'M) X, made orthonormal, three
 *                  times (two power steps and the first look); Y = M X, and the best of
 *                  that rank of Y X': Halko, Martinsson and Tropp from the right.
 * Oracle  sum of the discarded sigma^2; random: never below it, and equal where the
 *         singular values beyond rank + 10 vanish.
 * Source  Eckart, Young; Halko et al., arXiv 0909.4061. Oversampling and power steps as
 *         in card 23.
 * Cost    dense 22 n^3 flop; random four walks over the rows, of which each takes
 *         4 n^2 (rank + 10) flop; streamed it holds 5 (nq + nk) (rank + 10) doubles.
 * Limits  streamed products are in float32 (core/products.h): singular values below
 *         1e-6 of the largest are noise.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "approx/factors.h"

enum { ATN_OVERSAMPLE = 10, ATN_POWER = 2 };

/* p [nq, nk] <- all weights of the head, 0 where the mask shows nothing. DATA when a
 * logit is NaN or infinite. */
atn_status atn_weights_store(atn_ctx *cx, const atn_head *h, double *p) ATN_WARN_UNUSED;
double atn_weights_store_bytes(const atn_ctx *cx, const atn_head *h); /* with p */

/* Directions that a random one of this rank takes. */
atn_idx atn_lowrank_directions(atn_idx nq, atn_idx nk, atn_idx rank);

/* u [m, rank], with the singular values in it, and v [n, rank]; rank at most
 * min(m, n). a [m, n] stays. */
typedef struct atn_lowrank {
    atn_idx m, n, rank;
    double *u, *v;
} atn_lowrank;
atn_status atn_lowrank_dense(atn_ctx *cx, const double *a,
                             const atn_lowrank *out) ATN_WARN_UNUSED;
/* x [directions][n] are the directions; they are those of the last step afterwards, so
 * that a matrix near to this one may begin with them. */
atn_status atn_lowrank_random(atn_ctx *cx, const double *a, double *x,
                              const atn_lowrank *out) ATN_WARN_UNUSED;
/* Of a head whose rows are streamed. */
atn_status atn_lowrank_stream(atn_ctx *cx, const atn_head *h, double *x,
                              const atn_lowrank *out) ATN_WARN_UNUSED;
/* Bytes that they take beside their arguments. */
double atn_lowrank_dense_bytes(atn_idx m, atn_idx n);
double atn_lowrank_random_bytes(atn_idx m, atn_idx n, atn_idx rank);
double atn_lowrank_stream_bytes(const atn_head *h, atn_idx rank);

/* x [directions][nk] <- normal numbers "directions" of this head, in float32, or those
 * of a file: shape [directions, nk]. */
atn_status atn_lowrank_draw(atn_ctx *cx, const atn_input *in, const atn_head *h,
                            const char *purpose, atn_idx rank,
                            double *x) ATN_WARN_UNUSED;
