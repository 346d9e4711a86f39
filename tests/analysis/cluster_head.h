/* The cluster process of HyperAttention's card: 1024 unit vectors in 16 clusters,
 * shuffled, both as queries and as keys, logits 8 x . y, normal values. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/experiment_heads.h"

enum { CLUSTER_N = 1024, CLUSTER_D = 32, CLUSTER_C = 16 };

static inline void cluster_row(atn_rng *r, const double *centre, float *out)
{
    double x[CLUSTER_D], sum = 0;

    for (int c = 0; c < CLUSTER_D; c++) {
        x[c] = centre[c] + .35 * atn_rng_normal(r) / sqrt(CLUSTER_D);
        sum += x[c] * x[c];
    }
    for (int c = 0; c < CLUSTER_D; c++) out[c] = (float)(x[c] / sqrt(sum));
}

static inline experiment_case cluster_case(atn_ctx *cx, uint64_t seed)
{
    enum { N = CLUSTER_N, D = CLUSTER_D };
    atn_rng r = atn_rng_stream(seed, "test/clusters", 0, 0);
    double centre[CLUSTER_C][D];
    experiment_case e = {0};
    atn_idx at[N];

    e.x.q = malloc(sizeof(float) * N * D);
    e.x.k = malloc(sizeof(float) * N * D);
    e.x.v = malloc(sizeof(float) * N * D);
    for (int i = 0; i < CLUSTER_C * D; i++)
        centre[i / D][i % D] = atn_rng_normal(&r) / sqrt(D);
    for (int i = 0; i < N; i++) {
        const atn_idx j = atn_rng_below(&r, i + 1);

        at[i] = at[j];
        at[j] = i;
    }
    for (int i = 0; i < N; i++)
        cluster_row(&r, centre[at[i] % CLUSTER_C], e.x.q + i * D);
    memcpy(e.x.k, e.x.q, sizeof(float) * N * D);
    for (int i = 0; i < N * D; i++) e.x.v[i] = (float)atn_rng_normal(&r);
    e.x.h = (atn_head){.q = {e.x.q, N, D, D},
                       .k = {e.x.k, N, D, D},
                       .v = {e.x.v, N, D, D},
                       .nq = N,
                       .nk = N,
                       .scale = 8,
                       .sight = {.key_last = N}};
    CHECK_OK(atn_head_facts_make(cx, &e.x.h, N, &e.facts));
    return e;
}
