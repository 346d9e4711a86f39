/* approx/random_features.h -- random features of the softmax and the Gaussian kernel:
 * projections, and maps that keep their numbers in range.
 *
 * Math    x' = sqrt(|scale|) x, h = |x'|^2 / 2, u_r = w_r . x', w_r normal, r < m:
 *             positive       m^-1/2 e^{u_r - h}
 *             hyperbolic     (2 m)^-1/2 (e^{u_r - h}, e^{-u_r - h})
 *             trigonometric  m^-1/2 e^h (cos u_r, sin u_r)
 *             gaussian       m^-1/2 (cos u_r, sin u_r)
 *         E phi(q) . phi(k) = e^{q' . k'}, of the last e^{-|q' - k'|^2 / 2}. Of a row
 *         features are out e^log with |out| <= 1. Orthogonal: blocks of d rows from the
 *         QR factors of a normal matrix with a positive diagonal (Haar), each of the
 *         length of a row of another normal matrix (chi), or of sqrt(d).
 * Oracle  all keys equal: uniform weights of any projections. q' = -k': positive and
 *         hyperbolic are 1 / e^{|q'|^2}, for sure; q' = k': so is trigonometric.
 * Source  Choromanski et al., Performer, arXiv 2009.14794; Rahimi, Recht 2007.
 * Cost    2 m d flop a row.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "approx/features.h"

typedef struct atn_projections {
    const char *method; /* for streams and messages */
    atn_idx m, d;
    bool orthogonal, root; /* lengths sqrt(d) in place of chi */
} atn_projections;

/* omega [m, d] <- the draw "projections" of the layer of `in`. */
atn_status atn_projections_make(atn_ctx *cx, const atn_input *in,
                                const atn_projections *p, float *omega) ATN_WARN_UNUSED;
/* Rows of x [m, d], normal, become orthogonal in blocks of d, as long as the rows of
 * `lengths`, NULL = sqrt(d). Scratch d d doubles. */
atn_status atn_projections_turn(atn_ctx *cx, atn_idx m, atn_idx d, const float *lengths,
                                float *x, const char *what) ATN_WARN_UNUSED;

typedef enum atn_map_kind {
    ATN_MAP_POSITIVE,
    ATN_MAP_HYPERBOLIC,
    ATN_MAP_TRIGONOMETRIC,
    ATN_MAP_GAUSSIAN
} atn_map_kind;

typedef struct atn_random_map {
    atn_map_kind kind;
    atn_cmat omega;     /* (m, d) */
    double scale;       /* of logits: |scale| for keys, as it is for queries */
    const double *mean; /* [d] taken from every row first, NULL = 0 */
} atn_random_map;

/* Features of m draws, and draws that `features` allow, one at least. */
atn_idx atn_random_width(atn_map_kind kind, atn_idx m);
atn_idx atn_random_draws(atn_map_kind kind, atn_idx features);

/* u [x.rows, m], half [x.rows]: u_r and h. */
atn_status atn_random_exponents(atn_ctx *cx, const atn_random_map *f, atn_cmat x,
                                double *u, double *half) ATN_WARN_UNUSED;
/* out [x.rows, width], log [x.rows]; parallel over rows. */
atn_status atn_random_features(atn_ctx *cx, const atn_random_map *f, atn_cmat x,
                               double *out, double *log,
                               const char *what) ATN_WARN_UNUSED;
/* f: the features of queries and keys of h; the mean is taken from keys alone, and a
 * bias of positions goes with the keys. Release it also on failure. */
atn_status atn_random_open(atn_ctx *cx, const atn_random_map *map, const atn_head *h,
                           atn_features *f, const char *what) ATN_WARN_UNUSED;
/* Bytes of a plan of them, with all that making it takes, projections too. */
double atn_random_open_bytes(const atn_ctx *cx, const atn_head *h, atn_map_kind kind,
                             atn_idx m);
