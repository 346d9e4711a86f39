/* Random heads of every kind, and their rows by definition in double. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "check.h"

#include "core/problem.h"
#include "core/rng.h"

enum { DENSE_D = 5, DENSE_DV = 4 };

typedef enum dense_kind {
    DENSE_CAUSAL,
    DENSE_DECODING, /* nq < nk, the last positions */
    DENSE_CROSS,    /* not causal, nq != nk */
    DENSE_WINDOW,
    DENSE_BOTH_WAYS,    /* not causal, with a window */
    DENSE_LEFT_PADDING, /* causal: the first rows see nothing */
    DENSE_RIGHT_PADDING,
    DENSE_SINK,
    DENSE_ALIBI,
    DENSE_RELATIVE, /* not causal, more queries than keys, a bias by distance */
    DENSE_SOFTCAP,
    DENSE_GIVEN, /* P alone: rows sum to less than 1, some to 0 */
    DENSE_ONE,   /* n = 1 */
    DENSE_BLIND, /* no row sees anything */
    DENSE_KINDS
} dense_kind;

typedef struct dense_head {
    atn_head h;
    float *q, *k, *v, *given, *rel; /* rel [nq + nk - 1] of j - i */
    double *p;                      /* [nq, nk] */
    bool *sees;                     /* [nq, nk] */
} dense_head;

static inline bool dense_sees(const atn_sight *s, atn_idx i, atn_idx j)
{
    const atn_idx back = i + s->offset - j;

    if (j < s->key_first || j >= s->key_last) return false;
    if (s->causal && (back < 0 || (s->window && back >= s->window))) return false;
    return s->causal || !s->window || labs((long)back) <= s->window;
}

/* exp(s_ij) over its sum and the sink's. */
static inline void dense_row_of(const dense_head *x, atn_idx i, double *row)
{
    const atn_head *h = &x->h;
    double z = h->has_sink ? exp(h->sink) : 0;

    for (atn_idx j = 0; j < h->nk; j++) {
        double s = 0;

        row[j] = 0;
        if (!x->sees[i * h->nk + j]) continue;
        for (atn_idx c = 0; c < DENSE_D; c++)
            s += (double)x->q[i * DENSE_D + c] * (double)x->k[j * DENSE_D + c];
        s = s * h->scale + h->alibi_slope * (double)(j - i - h->sight.offset);
        if (x->rel) s += (double)x->rel[h->nq - 1 + j - i];
        if (h->sight.softcap > 0) s = h->sight.softcap * tanh(s / h->sight.softcap);
        row[j] = exp(s);
        z += row[j];
    }
    for (atn_idx j = 0; j < h->nk && z > 0; j++) row[j] /= z;
}

/* Weights of one row, of any sum up to 1; every fifth row of zeros. */
static inline void dense_given_row(const dense_head *x, atn_idx i, atn_rng *r)
{
    const atn_idx nk = x->h.nk;
    double sum = 0;

    for (atn_idx j = 0; j < nk; j++) {
        const double w = atn_rng_uniform(r) < .3 ? 0 : pow(atn_rng_uniform(r), 4);
        x->given[i * nk + j] = x->sees[i * nk + j] && i % 5 != 4 ? (float)w : 0;
        sum += (double)x->given[i * nk + j];
    }
    for (atn_idx j = 0; j < nk && sum > 0; j++) {
        x->given[i * nk + j] *= (float)((.7 + .3 * (double)(i % 2)) / sum * .999999);
        x->p[i * nk + j] = (double)x->given[i * nk + j];
    }
}

static inline atn_sight dense_sight(dense_kind kind, atn_idx nq, atn_idx nk)
{
    atn_sight s = {.causal = true, .key_last = nk};

    if (kind == DENSE_DECODING) s.offset = nk - nq;
    if (kind == DENSE_CROSS || kind == DENSE_BOTH_WAYS || kind == DENSE_RELATIVE)
        s.causal = false;
    if (kind == DENSE_WINDOW || kind == DENSE_BOTH_WAYS) s.window = 6;
    if (kind == DENSE_LEFT_PADDING) s.key_first = 4;
    if (kind == DENSE_RIGHT_PADDING) s.key_last = nk - 7;
    if (kind == DENSE_SOFTCAP) s.softcap = 2;
    if (kind == DENSE_BLIND) s.key_first = nk;
    return s;
}

/* n: keys; the queries are fewer for DECODING and more for CROSS. */
static inline dense_head make_dense(dense_kind kind, atn_idx n, int trial)
{
    const atn_idx nk = kind == DENSE_ONE ? 1 : n;
    const atn_idx nq = kind == DENSE_DECODING   ? n - n / 3
                       : kind == DENSE_CROSS    ? n + n / 4
                       : kind == DENSE_RELATIVE ? n + 3
                                                : nk;
    atn_rng r = atn_rng_stream(3, "test/dense", trial, kind);
    dense_head x = {0};

    x.q = calloc((size_t)(nq * DENSE_D), sizeof *x.q);
    x.k = calloc((size_t)(nk * DENSE_D), sizeof *x.k);
    x.v = calloc((size_t)(nk * DENSE_DV), sizeof *x.v);
    x.p = calloc((size_t)(nq * nk), sizeof *x.p);
    x.sees = calloc((size_t)(nq * nk), sizeof *x.sees);
    for (atn_idx i = 0; i < nq * DENSE_D; i++) x.q[i] = (float)atn_rng_normal(&r);
    for (atn_idx i = 0; i < nk * DENSE_D; i++) x.k[i] = (float)atn_rng_normal(&r);
    for (atn_idx i = 0; i < nk * DENSE_DV; i++) x.v[i] = (float)atn_rng_normal(&r);
    x.h = (atn_head){.q = {x.q, nq, DENSE_D, DENSE_D},
                     .k = {x.k, nk, DENSE_D, DENSE_D},
                     .v = {x.v, nk, DENSE_DV, DENSE_DV},
                     .nq = nq,
                     .nk = nk,
                     .scale = .8,
                     .sight = dense_sight(kind, nq, nk),
                     .has_sink = kind == DENSE_SINK,
                     .sink = kind == DENSE_SINK ? .5 : 0,
                     .alibi_slope = kind == DENSE_ALIBI ? .125 : 0};
    if (kind == DENSE_RELATIVE) {
        x.rel = calloc((size_t)(nq + nk - 1), sizeof *x.rel);
        for (atn_idx i = 0; i < nq + nk - 1; i++) x.rel[i] = (float)atn_rng_normal(&r);
        x.h.rel_bias = x.rel;
        x.h.rel_zero = nq - 1;
    }
    for (atn_idx i = 0; i < nq * nk; i++)
        x.sees[i] = dense_sees(&x.h.sight, i / nk, i % nk);
    if (kind == DENSE_GIVEN) {
        x.given = calloc((size_t)(nq * nk), sizeof *x.given);
        for (atn_idx i = 0; i < nq; i++) dense_given_row(&x, i, &r);
        x.h.q = x.h.k = (atn_cmat){0};
        x.h.p = (atn_cmat){x.given, nq, nk, nk};
    } else
        for (atn_idx i = 0; i < nq; i++) dense_row_of(&x, i, x.p + i * nk);
    return x;
}

static inline void drop_dense(dense_head *x)
{
    free(x->q);
    free(x->k);
    free(x->v);
    free(x->given);
    free(x->rel);
    free(x->p);
    free(x->sees);
}

static inline double dense_mass(const dense_head *x, atn_idx i)
{
    double sum = 0;

    for (atn_idx j = 0; j < x->h.nk; j++) sum += x->p[i * x->h.nk + j];
    return sum;
}
