/* Random layers of every kind for the tests of layer measures, with their dense rows in double
 * by loops of their own. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "check.h"

#include "analysis/measure.h"
#include "core/rng.h"

enum { LAYER_KINDS = 11, LAYER_HEADS = 4, LAYER_MOST = 48 };

/* A layer in memory, its facts, and what they should be. */
typedef struct layer_model {
    atn_problem problem;
    atn_head head[LAYER_HEADS];
    bool keep[LAYER_HEADS];
    atn_layer_facts facts;
    atn_idx n;     /* rows of the heads: all, or some */
    atn_idx *rows; /* [n] which; NULL = all */
    double *p;     /* [heads, n, nk] */
    double *out;   /* [heads, n, dv] */
    float *q, *picked, *k, *v, *given, *w_o, *out32, *hidden, *sink, *slope,
        *rel; /* [heads, nq + nk - 1] of j - i */
} layer_model;

static inline float *layer_noise(atn_ctx *cx, atn_idx count, int kind,
                                 const char *purpose, double scale)
{
    atn_rng r = atn_rng_stream(cx->seed, purpose, kind, 0);
    float *x = malloc((size_t)(count > 0 ? count : 1) * sizeof *x);

    for (atn_idx i = 0; i < count; i++) x[i] = (float)(scale * atn_rng_normal(&r));
    return x;
}

static inline const char *layer_kind_name(int kind)
{
    static const char *const names[LAYER_KINDS] = {"causal",
                                                   "grouped, window, sink",
                                                   "both ways, padded",
                                                   "cross-attention",
                                                   "decoding, ALiBi",
                                                   "left padding",
                                                   "soft cap, window, bias by distance",
                                                   "one token",
                                                   "P alone",
                                                   "no weights of W_O",
                                                   "some rows"};

    return names[kind];
}

static inline void layer_shape(int kind, atn_problem *p)
{
    *p = (atn_problem){.layer = 3,
                       .heads = LAYER_HEADS,
                       .kv_heads = LAYER_HEADS,
                       .nq = 37,
                       .nk = 37,
                       .d = 6,
                       .dv = 5,
                       .scale = 0.6,
                       .sight = {.causal = true}};
    if (kind == 1) {
        p->kv_heads = 2;
        p->sight.window = 7;
    }
    if (kind == 2 || kind == 3 || kind == 6) p->sight.causal = false;
    if (kind == 3) p->nk = 21;
    if (kind == 4) {
        p->nq = 11;
        p->sight.offset = p->nk - p->nq;
    }
    if (kind == 5) p->nq = p->nk = 33;
    if (kind == 6) {
        p->sight.softcap = 1.5;
        p->sight.window = 6;
    }
    if (kind == 7) p->nq = p->nk = 1;
    p->sight.key_last = p->nk;
    if (kind == 2) {
        p->sight.key_first = 3;
        p->sight.key_last = p->nk - 2;
    }
    if (kind == 5) p->sight.key_first = 6;
}

/* The position of row i of the heads. */
static inline atn_idx layer_at(const layer_model *m, atn_idx i)
{
    return (m->rows ? m->rows[i] : i) + m->problem.sight.offset;
}

static inline bool layer_sees(const layer_model *m, atn_idx i, atn_idx j)
{
    const atn_problem *p = &m->problem;
    const atn_idx back = layer_at(m, i) - j;

    if (j < p->sight.key_first || j >= p->sight.key_last) return false;
    if (p->sight.causal && back < 0) return false;
    return !p->sight.window || (p->sight.causal && back < p->sight.window) ||
           (!p->sight.causal && labs((long)back) <= p->sight.window);
}

static inline void layer_dense_row(const layer_model *m, atn_idx h, atn_idx i)
{
    const atn_problem *p = &m->problem;
    const atn_idx kv = h / (p->heads / p->kv_heads);
    const atn_idx of = h * p->nq + (m->rows ? m->rows[i] : i);
    double *row = m->p + (h * m->n + i) * p->nk, z = 0;

    for (atn_idx j = 0; j < p->nk; j++) {
        double s = 0;

        row[j] = 0;
        if (!layer_sees(m, i, j)) continue;
        for (atn_idx c = 0; c < p->d; c++)
            s +=
                (double)m->q[of * p->d + c] * (double)m->k[(kv * p->nk + j) * p->d + c];
        s *= p->scale;
        if (m->slope) s += (double)m->slope[h] * (double)(j - layer_at(m, i));
        if (m->rel) s += (double)m->rel[h * (p->nq + p->nk - 1) + p->nq - 1 + j - i];
        if (p->sight.softcap > 0) s = p->sight.softcap * tanh(s / p->sight.softcap);
        row[j] = exp(s);
        z += row[j];
    }
    if (z > 0 && m->sink) z += exp((double)m->sink[h]);
    for (atn_idx j = 0; z > 0 && j < p->nk; j++) row[j] /= z;
}

static inline void layer_dense(layer_model *m)
{
    const atn_problem *p = &m->problem;

    for (atn_idx h = 0; h < p->heads; h++)
        for (atn_idx i = 0; i < m->n; i++) {
            const atn_idx kv = h / (p->heads / p->kv_heads), at = h * m->n + i;

            layer_dense_row(m, h, i);
            for (atn_idx c = 0; c < p->dv; c++) {
                double sum = 0;
                for (atn_idx j = 0; j < p->nk; j++)
                    sum += m->p[at * p->nk + j] *
                           (double)m->v[(kv * p->nk + j) * p->dv + c];
                m->out[at * p->dv + c] = sum;
                m->out32[at * p->dv + c] = (float)sum;
            }
        }
}

static inline layer_model layer_make(atn_ctx *cx, int kind)
{
    layer_model m = {.facts = {.width = 11, .hidden_width = 9}};
    atn_problem *p = &m.problem;
    atn_idx rows;

    layer_shape(kind, p);
    m.n = p->nq;
    if (kind == 10) {
        m.n = 12;
        m.rows = malloc((size_t)m.n * sizeof *m.rows);
        for (atn_idx i = 0; i < m.n; i++) m.rows[i] = 3 * i + i % 2;
    }
    rows = p->heads * m.n;
    m.q = layer_noise(cx, p->heads * p->nq * p->d, kind, "q", 1.3);
    m.k = layer_noise(cx, p->kv_heads * p->nk * p->d, kind, "k", 1.3);
    m.v = layer_noise(cx, p->kv_heads * p->nk * p->dv, kind, "v", 1);
    m.w_o = layer_noise(cx, p->heads * p->dv * m.facts.width, kind, "w", 0.5);
    m.hidden = layer_noise(cx, p->nq * m.facts.hidden_width, kind, "h", 1);
    if (kind == 1) m.sink = layer_noise(cx, p->heads, kind, "sink", 1);
    if (kind == 4) m.slope = layer_noise(cx, p->heads, kind, "slope", 0.3);
    if (kind == 6)
        m.rel = layer_noise(cx, p->heads * (p->nq + p->nk - 1), kind, "rel", 1);
    m.p = malloc((size_t)(rows * p->nk) * sizeof *m.p);
    m.out = malloc((size_t)(rows * p->dv) * sizeof *m.out);
    m.out32 = malloc((size_t)(rows * p->dv) * sizeof *m.out32);
    m.given = malloc((size_t)(rows * p->nk) * sizeof *m.given);
    layer_dense(&m);
    for (atn_idx i = 0; i < rows * p->nk; i++) m.given[i] = (float)m.p[i];
    p->q = kind == 8 ? NULL : m.q;
    p->k = kind == 8 ? NULL : m.k;
    p->v = m.v;
    p->p = kind == 8 ? m.given : NULL;
    p->sink = m.sink;
    p->alibi_slope = m.slope;
    p->rel_bias = m.rel;
    for (atn_idx h = 0; h < p->heads; h++) m.keep[h] = true;
    if (kind == 9) m.facts.width = 0;
    return m;
}

/* Queries of some rows, [heads, n, d]. */
static inline void layer_pick(layer_model *m)
{
    const atn_problem *p = &m->problem;

    m->picked = malloc((size_t)(p->heads * m->n * p->d) * sizeof *m->picked);
    for (atn_idx h = 0; h < p->heads; h++)
        for (atn_idx i = 0; i < m->n; i++)
            memcpy(m->picked + (h * m->n + i) * p->d,
                   m->q + (h * p->nq + m->rows[i]) * p->d,
                   (size_t)p->d * sizeof *m->picked);
}

/* The facts of a model that stays where it is. */
static inline const atn_layer_facts *layer_facts(layer_model *m)
{
    atn_layer_facts *f = &m->facts;

    if (m->rows && !m->picked) layer_pick(m);
    for (atn_idx h = 0; h < m->problem.heads; h++) {
        atn_head *head = &m->head[h];

        *head = atn_problem_head(&m->problem, h);
        if (!m->rows) continue;
        head->nq = m->n;
        head->sight.rows = m->rows;
        head->q = (atn_cmat){m->picked + h * m->n * m->problem.d, m->n, m->problem.d,
                             m->problem.d};
    }
    f->problem = &m->problem;
    f->head = m->head;
    f->heads = m->problem.heads;
    f->keep = m->keep;
    f->out = m->out32;
    f->w_o = f->width > 0 ? m->w_o : NULL;
    f->hidden = m->hidden;
    return f;
}

static inline void layer_drop(layer_model *m)
{
    void *const owned[] = {m->rows,   m->picked, m->p,     m->out, m->q,
                           m->k,      m->v,      m->given, m->w_o, m->out32,
                           m->hidden, m->sink,   m->slope, m->rel};

    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) free(owned[i]);
}

/* Row i is not skipped: that goes by the row of the layer. */
static inline bool layer_stays(const layer_model *m, atn_idx i)
{
    return (m->rows ? m->rows[i] : i) >= m->facts.skip_rows;
}

/* Row i counts in means: it sees a key and is not skipped. */
static inline bool layer_counts(const layer_model *m, atn_idx i)
{
    for (atn_idx j = 0; layer_stays(m, i) && j < m->problem.nk; j++)
        if (layer_sees(m, i, j)) return true;
    return false;
}

/* C of head h, row i, component c. */
static inline double layer_contribution(const layer_model *m, atn_idx h, atn_idx i,
                                        atn_idx c)
{
    const atn_problem *p = &m->problem;
    double sum = 0;

    for (atn_idx e = 0; e < p->dv; e++)
        sum += m->out[(h * m->n + i) * p->dv + e] *
               (double)m->w_o[(h * p->dv + e) * m->facts.width + c];
    return sum;
}

/* A layer measure by id with its parameters ("" = defaults); out [heads, columns]. */
static inline void layer_measure(atn_ctx *cx, const atn_layer_facts *f, const char *id,
                                 const char *params, double *out)
{
    const atn_measure *m = atn_measure_find(id);
    _Alignas(16) char values[256] = {0};
    int n;

    CHECK(m && m->layer && m->params_size <= sizeof values);
    n = atn_measure_n_cols(m);
    if (m->params) atn_param_defaults(m->params, values);
    if (m->params) CHECK_OK(atn_param_parse(cx, id, m->params, params, values));
    for (atn_idx i = 0; i < f->heads * n; i++) out[i] = NAN;
    CHECK_OK(m->layer(cx, f, values, out));
}

/* Place of a column in its measure. */
static inline int layer_col(const char *id, const char *name)
{
    const atn_measure *m = atn_measure_find(id);
    const int n = m ? atn_measure_n_cols(m) : 0;

    for (int c = 0; c < n; c++)
        if (strcmp(m->cols[c].name, name) == 0) return c;
    fail_msg("no column %s in %s", name, id);
    return 0;
}
