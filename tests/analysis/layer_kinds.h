/* tests/analysis/layer_kinds.h -- small random layers of every kind that measures meet, and
 * their attention in double precision, written without the row stream. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "check.h"

#include "analysis/measure.h"
#include "core/rng.h"

enum {
    KIND_CAUSAL,
    KIND_GQA,     /* causal, 6 query heads on 2 KV heads */
    KIND_WINDOW,  /* causal, window 7 */
    KIND_PADDED,  /* causal, the first 5 keys are padding, so early rows see nothing */
    KIND_SINK,    /* causal, a sink logit */
    KIND_ALIBI,   /* causal, ALiBi and a soft-cap */
    KIND_FULL,    /* both ways */
    KIND_REL,     /* both ways, a bias by relative position */
    KIND_CROSS,   /* both ways, more keys than queries */
    KIND_DECODE,  /* causal, more keys than queries */
    KIND_SAMPLED, /* causal, every third row */
    KIND_WEIGHTS, /* P alone with values, rows of mass .8 to 1 */
    KIND_PEAKED,  /* causal, one key takes nearly all */
    KIND_ONE,     /* one query, one key */
    KINDS
};

#ifndef KIND_TOKENS
#    define KIND_TOKENS 40
#endif
#ifndef KIND_WIDE
#    define KIND_WIDE 9
#endif
enum {
    KIND_N = KIND_TOKENS,
    KIND_D = 6,
    KIND_DV = 5,
    KIND_HEADS = 6,
    KIND_WIDTH = KIND_WIDE
};

/* One layer; all heads of `head` share nq rows. */
typedef struct kind_layer {
    atn_problem p;
    atn_head head[KIND_HEADS];
    atn_idx row[KIND_N]; /* rows of a sampled head */
    float q[KIND_HEADS * KIND_N * KIND_D], k[KIND_HEADS * KIND_N * KIND_D];
    float v[KIND_HEADS * KIND_N * KIND_DV], w_o[KIND_HEADS * KIND_DV * KIND_WIDTH];
    float d_o[KIND_HEADS * KIND_N * KIND_DV];
    float q_pre[KIND_HEADS * KIND_N * KIND_D], k_pre[KIND_HEADS * KIND_N * KIND_D];
    float h[KIND_N * KIND_WIDTH]; /* input of the layer */
    float w_q[KIND_HEADS * KIND_D * KIND_WIDTH], w_k[KIND_HEADS * KIND_D * KIND_WIDTH];
    float w_v[KIND_HEADS * KIND_DV * KIND_WIDTH];
    float weights[KIND_HEADS * KIND_N * KIND_N], sink[KIND_HEADS], slope[KIND_HEADS];
    float out[KIND_HEADS * KIND_N * KIND_DV];
    /* a bucket a distance, D behind and 2 KIND_N + D ahead, and what it is by distance */
    float table[4 * KIND_N * KIND_HEADS], rel[KIND_HEADS * (2 * KIND_N - 1)];
    float sampled_q[KIND_HEADS * KIND_N * KIND_D];
    bool keep[KIND_HEADS];
} kind_layer;

static inline void kind_noise(float *x, size_t n, double scale, uint64_t seed,
                              const char *purpose)
{
    atn_rng r = atn_rng_stream(seed, purpose, 0, 0);

    for (size_t i = 0; i < n; i++) x[i] = (float)(scale * atn_rng_normal(&r));
}

/* Rows of P as somebody else may give them: causal, not normalised to 1. */
static inline void kind_weights(kind_layer *l, uint64_t seed)
{
    atn_rng r = atn_rng_stream(seed, "kind/p", 0, 0);

    for (int i = 0; i < KIND_HEADS * KIND_N; i++) {
        const int seen = i % KIND_N + 1;
        const double mass = .8 + .2 * atn_rng_uniform(&r);
        double sum = 0;

        for (int j = 0; j < seen; j++) {
            l->weights[i * KIND_N + j] = (float)exp(2 * atn_rng_normal(&r));
            sum += l->weights[i * KIND_N + j];
        }
        for (int j = 0; j < seen; j++)
            l->weights[i * KIND_N + j] *= (float)(mass / sum);
    }
}

/* nq = nk = KIND_N: of j - i from 1 - nq on. */
static inline void kind_bias(kind_layer *l, uint64_t seed)
{
    kind_noise(l->table, ATN_LEN(l->table), 1, seed, "kind/rel");
    for (int h = 0; h < KIND_HEADS; h++)
        for (int x = 1 - KIND_N; x < KIND_N; x++)
            l->rel[h * (2 * KIND_N - 1) + x + KIND_N - 1] =
                l->table[(x > 0 ? 2 * KIND_N + x : -x) * KIND_HEADS + h];
    l->p.rel_bias = l->rel;
}

static inline void kind_sample(kind_layer *l)
{
    const atn_idx n = (l->p.nq + 2) / 3;

    for (atn_idx i = 0; i < n; i++) l->row[i] = 3 * i;
    for (atn_idx h = 0; h < l->p.heads; h++) {
        atn_head *a = &l->head[h];
        float *q = l->sampled_q + h * n * KIND_D;

        for (atn_idx i = 0; i < n; i++)
            memcpy(q + i * KIND_D, atn_crow(a->q, 3 * i), KIND_D * sizeof *q);
        a->q = (atn_cmat){q, n, KIND_D, KIND_D};
        a->nq = n;
        a->sight.rows = l->row;
    }
}

static inline kind_layer *make_kind(int kind, uint64_t seed)
{
    kind_layer *l = calloc(1, sizeof *l);
    const atn_idx n = kind == KIND_ONE ? 1 : KIND_N;

    CHECK(l != NULL);
    kind_noise(l->q, ATN_LEN(l->q), kind == KIND_PEAKED ? 9 : 1.5, seed, "kind/q");
    kind_noise(l->k, ATN_LEN(l->k), 1, seed, "kind/k");
    kind_noise(l->v, ATN_LEN(l->v), 1, seed, "kind/v");
    kind_noise(l->w_o, ATN_LEN(l->w_o), 0.5, seed, "kind/w");
    kind_noise(l->d_o, ATN_LEN(l->d_o), 0.1, seed, "kind/d_o");
    kind_noise(l->h, ATN_LEN(l->h), 1, seed, "kind/h");
    kind_noise(l->w_q, ATN_LEN(l->w_q), 0.5, seed, "kind/w_q");
    kind_noise(l->w_k, ATN_LEN(l->w_k), 0.5, seed, "kind/w_k");
    kind_noise(l->w_v, ATN_LEN(l->w_v), 0.5, seed, "kind/w_v");
    kind_noise(l->q_pre, ATN_LEN(l->q_pre), 1.5, seed, "kind/q_pre");
    kind_noise(l->k_pre, ATN_LEN(l->k_pre), 1, seed, "kind/k_pre");
    l->p = (atn_problem){
        .layer = 3,
        .heads = KIND_HEADS,
        .kv_heads = kind == KIND_GQA ? 2 : KIND_HEADS,
        .nq = kind == KIND_CROSS    ? n - 11
              : kind == KIND_DECODE ? n - 13
                                    : n,
        .nk = n,
        .d = KIND_D,
        .dv = KIND_DV,
        .q = l->q,
        .k = l->k,
        .v = l->v,
        .scale = 0.4,
        .sight = {.causal = kind != KIND_FULL && kind != KIND_CROSS && kind != KIND_REL,
                  .key_last = n}};
    if (l->p.sight.causal) l->p.sight.offset = l->p.nk - l->p.nq;
    if (kind == KIND_WINDOW) l->p.sight.window = 7;
    if (kind == KIND_PADDED) l->p.sight.key_first = 5;
    if (kind == KIND_SINK) l->p.sink = l->sink;
    if (kind == KIND_ALIBI) {
        l->p.alibi_slope = l->slope;
        l->p.sight.softcap = 3;
    }
    if (kind == KIND_REL) kind_bias(l, seed);
    for (int h = 0; h < KIND_HEADS; h++) {
        l->sink[h] = .3f * (float)h - .5f;
        l->slope[h] = .03f * (float)(h + 1);
        l->keep[h] = true;
    }
    if (kind == KIND_WEIGHTS) {
        kind_weights(l, seed);
        l->p.q = l->p.k = NULL;
        l->p.p = l->weights;
        l->p.d = 0;
        l->p.scale = 1;
    }
    for (atn_idx h = 0; h < KIND_HEADS; h++) l->head[h] = atn_problem_head(&l->p, h);
    if (kind == KIND_SAMPLED) kind_sample(l);
    return l;
}

/* Row i of head h in double: logits, p[nk], and which keys it sees; returns how many. */
static inline int kind_row(const atn_head *h, atn_idx i, double *logit, double *p,
                           bool *sees)
{
    const atn_idx row = h->sight.rows ? h->sight.rows[i] : i;
    const atn_idx at = row + h->sight.offset;
    double max = -INFINITY, sum = 0;
    int seen = 0;

    for (atn_idx j = 0; j < h->nk; j++) {
        const atn_idx w = h->sight.window;

        sees[j] = j >= h->sight.key_first && j < h->sight.key_last &&
                  (!h->sight.causal || j <= at) && (w == 0 || j > at - w) &&
                  (w == 0 || h->sight.causal || j <= at + w);
        p[j] = logit[j] = 0;
        if (!sees[j]) continue;
        seen++;
        if (h->p.data) {
            p[j] = (double)h->p.data[i * h->p.ld + j];
            logit[j] = log(p[j]);
            continue;
        }
        for (atn_idx e = 0; e < h->q.cols; e++)
            logit[j] +=
                (double)h->q.data[i * h->q.ld + e] * (double)h->k.data[j * h->k.ld + e];
        logit[j] = logit[j] * h->scale + h->alibi_slope * (double)(j - at);
        if (h->rel_bias) logit[j] += (double)h->rel_bias[KIND_N - 1 + j - row];
        if (h->sight.softcap > 0)
            logit[j] = h->sight.softcap * tanh(logit[j] / h->sight.softcap);
        max = fmax(max, logit[j]);
    }
    if (h->p.data) return seen;
    for (atn_idx j = 0; j < h->nk; j++)
        if (sees[j]) sum += p[j] = exp(logit[j] - max);
    if (h->has_sink) sum += exp(h->sink - max);
    for (atn_idx j = 0; j < h->nk; j++) p[j] /= seen ? sum : 1;
    return seen;
}

/* P V of all heads into l->out, and facts over them. */
static inline atn_layer_facts kind_facts(kind_layer *l, atn_idx skip)
{
    const atn_idx nq = l->head[0].nq;

    for (atn_idx h = 0; h < l->p.heads; h++)
        for (atn_idx i = 0; i < nq; i++) {
            double logit[KIND_N], p[KIND_N];
            bool sees[KIND_N];

            kind_row(&l->head[h], i, logit, p, sees);
            for (int e = 0; e < KIND_DV; e++) {
                double sum = 0;
                for (atn_idx j = 0; j < l->p.nk; j++)
                    sum += p[j] * (double)atn_crow(l->head[h].v, j)[e];
                l->out[(h * nq + i) * KIND_DV + e] = (float)sum;
            }
        }
    return (atn_layer_facts){.problem = &l->p,
                             .head = l->head,
                             .heads = l->p.heads,
                             .keep = l->keep,
                             .skip_rows = skip,
                             .out = l->out,
                             .w_o = l->w_o,
                             .width = KIND_WIDTH};
}

/* Column `name` of head h in out. */
static inline double kind_value(const atn_measure *m, const double *out, atn_idx h,
                                const char *name)
{
    const int n = atn_measure_n_cols(m);

    for (int c = 0; c < n; c++)
        if (strcmp(m->cols[c].name, name) == 0) return out[h * n + c];
    fail_msg("no column %s", name);
    return NAN;
}

/* Runs a layer measure with parameters as typed; out[heads * cols], the caller frees it. */
static inline double *run_kind(atn_ctx *cx, const atn_measure *m,
                               const atn_layer_facts *f, const char *spec)
{
    const atn_idx n = f->heads * atn_measure_n_cols(m);
    double *out = malloc((size_t)n * sizeof *out);
    void *params = calloc(1, m->params_size + 1);

    for (atn_idx i = 0; i < n; i++) out[i] = NAN;
    if (m->params) {
        atn_param_defaults(m->params, params);
        CHECK_OK(atn_param_parse(cx, m->id, m->params, spec, params));
    }
    CHECK_OK(m->layer(cx, f, params, out));
    free(params);
    return out;
}

/* Equal bit for bit, NaN where the other is NaN. */
static inline void check_same_values(const double *a, const double *b, atn_idx n)
{
    for (atn_idx i = 0; i < n; i++)
        if (memcmp(&a[i], &b[i], sizeof *a) != 0 && !(isnan(a[i]) && isnan(b[i])))
            fail_msg("value %lld: %.17g and %.17g", (long long)i, a[i], b[i]);
}
