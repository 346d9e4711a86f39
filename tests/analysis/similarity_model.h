/* Random layers in memory for the tests of similarity. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "check.h"

#include "analysis/similarity.h"
#include "core/rng.h"

/* A model of random layers in memory. */
typedef struct model {
    atn_problem p[8];
    float *q[8], *k[8], *v[8], *w[8];
    int n;
    atn_idx width;
} model;

static inline float *noise(atn_ctx *cx, atn_idx count, int layer, const char *purpose,
                           double scale)
{
    atn_rng r = atn_rng_stream(cx->seed, purpose, layer, 0);
    float *x = malloc((size_t)count * sizeof *x);

    for (atn_idx i = 0; i < count; i++) x[i] = (float)(scale * atn_rng_normal(&r));
    return x;
}

static inline model make_model(atn_ctx *cx, int layers, atn_idx heads, atn_idx kv,
                               atn_idx n)
{
    const atn_idx d = 6, dv = 5;
    model m = {.n = layers, .width = 11};

    for (int l = 0; l < layers; l++) {
        m.q[l] = noise(cx, heads * n * d, l, "q", 1.5);
        m.k[l] = noise(cx, kv * n * d, l, "k", 1.5);
        m.v[l] = noise(cx, kv * n * dv, l, "v", 1);
        m.w[l] = noise(cx, heads * dv * m.width, l, "w", 0.5);
        m.p[l] = (atn_problem){.layer = l,
                               .heads = heads,
                               .kv_heads = kv,
                               .nq = n,
                               .nk = n,
                               .d = d,
                               .dv = dv,
                               .q = m.q[l],
                               .k = m.k[l],
                               .v = m.v[l],
                               .scale = 0.4,
                               .sight = {.causal = true, .key_last = n}};
    }
    return m;
}

static inline void drop_model(model *m)
{
    for (int l = 0; l < m->n; l++) {
        free(m->q[l]);
        free(m->k[l]);
        free(m->v[l]);
        free(m->w[l]);
    }
}

static inline atn_status compare(atn_ctx *cx, const model *m,
                                 const atn_similarity_opts *o,
                                 atn_similarity_part *part)
{
    return atn_similarity_compare(cx, m->p, m->n, NULL, (const float *const *)m->w,
                                  m->width, o, part);
}
