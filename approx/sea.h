/* approx/sea.h -- the two estimates of SEA: how much weight each column of a row holds,
 * a row of L keys being cut into M columns.
 *
 * Math    key j of the L that a row sees is of column floor((j + .5) / L M - 1e-4),
 *         from 0 to M - 1. The mass of column c is the sum over its keys of the weights
 *         A_ij, or of phi(q_i) . phi(k_j) / sum_l phi(q_i) . phi(k_l) with the positive
 *         features phi_r(x) = exp(w_r . x' - |x'|^2 / 2), x' = sqrt(scale) x.
 * Oracle  features -> infinity: the weights; all keys equal: exact for any features.
 * Source  cards/sparse.md 10; Choromanski et al., Performer, arXiv 2009.14794.
 * Cost    weights: dense logits. Features: 2 m d flop a query or key, 2 m min(M, L) a
 *         row; a prefix sum of features an edge, which grows with the row. Memory m
 *         numbers a key.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "approx/method.h"
#include "core/rows.h"

/* edge [columns + 1]: column c of a row of n keys has the keys edge[c] .. edge[c + 1] -
 * 1, none where they are equal. */
void atn_sea_edges(atn_idx n, atn_idx columns, atn_idx *edge);

/* Rows of the tile of a head into mass (t->rows, columns); of a row that sees nothing
 * nothing is written. */
atn_status atn_sea_weights(atn_ctx *cx, const atn_head *h, const atn_tile *t,
                           atn_mat mass) ATN_WARN_UNUSED;

/* Features of all keys of a layer, in the arena. A number is value 2^exponent of its
 * key: scaling is exact, so that sums do not depend on where a row begins to add. */
typedef struct atn_sea_features {
    const atn_input *in;
    atn_idx m;      /* features */
    float *omega;   /* [m, d] */
    float *value;   /* [kv heads, nk, m] */
    int32_t *power; /* [kv heads, nk] */
    double *sum;    /* [kv heads, marks, m] of the keys before every 64th .. */
    int32_t *reach; /* [kv heads, marks] .. and their exponents */
    atn_idx marks;
} atn_sea_features;

/* The projections are the draw "projections" [m, d] of the layer: rows normal, in
 * blocks of d orthogonal to one another where `ortho`. */
atn_status atn_sea_features_make(atn_ctx *cx, const atn_input *in, atn_idx m,
                                 bool ortho, atn_sea_features *out) ATN_WARN_UNUSED;
double atn_sea_features_bytes(const atn_input *in, atn_idx m);
/* As atn_sea_weights. Rows of one call should be many: it begins with as many prefixes
 * as the first row has edges that differ. */
atn_status atn_sea_masses(atn_ctx *cx, const atn_sea_features *f, atn_idx head,
                          const atn_tile *t, atn_mat mass) ATN_WARN_UNUSED;
double atn_sea_masses_bytes(const atn_input *in, atn_idx m, atn_idx columns,
                            double of_rows);
