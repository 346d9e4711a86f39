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

/* ---- rows by definition, in double ---- */

static inline bool sees(const atn_problem *p, atn_idx i, atn_idx j)
{
    const atn_idx back = i + p->sight.offset - j;

    if (j < p->sight.key_first || j >= p->sight.key_last) return false;
    if (p->sight.causal && back < 0) return false;
    return !p->sight.window || (back < p->sight.window && p->sight.causal) ||
           (!p->sight.causal && labs((long)back) <= p->sight.window);
}

/* Rows by definition, with keys < drop left out; false when nothing is left. */
static inline bool dense_row(const atn_problem *p, atn_idx h, atn_idx i, atn_idx drop,
                             double *row)
{
    const float *q = p->q + (h * p->nq + i) * p->d;
    const atn_idx kv = h / (p->heads / p->kv_heads);
    double z = 0, mass = 0;

    for (atn_idx j = 0; j < p->nk; j++) {
        const float *k = p->k + (kv * p->nk + j) * p->d;
        double s = 0;

        row[j] = 0;
        if (!sees(p, i, j)) continue;
        for (atn_idx c = 0; c < p->d; c++) s += (double)q[c] * (double)k[c];
        s *= p->scale;
        if (p->sight.softcap > 0) s = p->sight.softcap * tanh(s / p->sight.softcap);
        row[j] = exp(s);
        z += row[j];
    }
    if (z > 0 && p->sink) z += exp((double)p->sink[h]);
    for (atn_idx j = 0; j < p->nk; j++) {
        if (z > 0) row[j] /= z;
        if (j < drop) row[j] = 0;
        mass += row[j];
    }
    for (atn_idx j = 0; drop > 0 && mass > 0 && j < p->nk; j++) row[j] /= mass;
    return mass > 0;
}
