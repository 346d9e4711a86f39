/* Random heads of every kind with their dense rows in double, by loops of their own, for the
 * tests of head measures.
 *
 * Queries and keys lie on a grid of 1/16, so that every logit is exact in float32 and in double
 * whatever the order of the sum: both sides start from the same logits. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "check.h"

#include "analysis/stats_plan.h"
#include "core/rng.h"

enum { TWIN_MOST = 140, TWIN_D = 5 };

typedef struct twin_kind {
    const char *name;
    atn_idx nq, nk, skip;
    atn_sight sight; /* key_last 0 = nk */
    double slope;
    bool has_sink, given, rel;
} twin_kind;

static const twin_kind twin_kinds[] = {
    {"causal", 70, 70, 0, {.causal = true}, 0, false, false, false},
    {"causal, rows skipped", 33, 33, 5, {.causal = true}, 0, false, false, false},
    {"both ways", 41, 41, 0, {0}, 0, false, false, false},
    {"both ways, rows skipped", 41, 41, 3, {0}, 0, false, false, false},
    {"causal window", 75, 75, 2, {.causal = true, .window = 9}, 0, false, false, false},
    {"window both ways", 40, 40, 0, {.window = 6}, 0, false, false, false},
    {"left padding",
     50,
     50,
     0,
     {.causal = true, .key_first = 11},
     0,
     false,
     false,
     false},
    {"left padding, window",
     50,
     50,
     13,
     {.causal = true, .key_first = 7, .window = 12},
     0,
     false,
     false,
     false},
    {"right padding",
     45,
     45,
     0,
     {.key_first = 2, .key_last = 31},
     0,
     false,
     false,
     false},
    {"padded window, rows that see nothing",
     45,
     45,
     1,
     {.key_first = 5, .key_last = 21, .window = 4},
     0,
     false,
     false,
     false},
    {"decoding", 23, 90, 1, {.causal = true, .offset = 67}, 0, false, false, false},
    {"cross", 17, 39, 0, {0}, 0, false, false, false},
    {"cross, more queries", 39, 17, 2, {0}, 0, false, false, false},
    {"sink logit", 66, 66, 0, {.causal = true}, 0, true, false, false},
    {"ALiBi", 44, 44, 0, {.causal = true}, 0.125, false, false, false},
    {"ALiBi, decoding",
     20,
     60,
     0,
     {.causal = true, .offset = 40},
     0.25,
     false,
     false,
     false},
    {"bias by distance", 31, 47, 0, {0}, 0, false, false, true},
    {"bias by distance, decoding",
     20,
     60,
     0,
     {.causal = true, .offset = 40, .softcap = 3},
     0,
     false,
     false,
     true},
    {"soft cap", 52, 52, 0, {.causal = true, .softcap = 2}, 0, false, false, false},
    {"given", 43, 43, 0, {.causal = true}, 0, false, true, false},
    {"given, both ways", 30, 36, 2, {.key_last = 33}, 0, false, true, false},
    {"one token", 1, 1, 0, {.causal = true}, 0, false, false, false},
    {"one token, given", 1, 1, 0, {0}, 0, false, true, false},
    {"one query", 1, 37, 0, {.causal = true, .offset = 36}, 0, false, false, false},
    {"several tiles", 139, 139, 4, {.causal = true}, 0, true, false, false},
};

/* What a measure may look at: nothing of the code under test. */
typedef struct twin {
    const twin_kind *kind;
    atn_idx nq, nk, first, last, skip, offset;
    bool causal, has_tokens;
    int32_t token[TWIN_MOST];
    bool sees[TWIN_MOST][TWIN_MOST];
    double p[TWIN_MOST][TWIN_MOST];   /* 0 where it does not see */
    double own[TWIN_MOST][TWIN_MOST]; /* p / mass; 0 where there is no mass */
    atn_idx n[TWIN_MOST];
    double mass[TWIN_MOST];
    bool counts[TWIN_MOST];
} twin;

typedef struct twin_head {
    float q[TWIN_MOST * TWIN_D], k[TWIN_MOST * TWIN_D], p[TWIN_MOST * TWIN_MOST];
    float rel[2 * TWIN_MOST];
    atn_head head;
    twin t;
} twin_head;

static inline bool twin_sees(const atn_sight *s, atn_idx i, atn_idx j)
{
    const atn_idx back = i + s->offset - j;

    if (j < s->key_first || j >= s->key_last || (s->causal && back < 0)) return false;
    if (s->window == 0) return true;
    return s->causal ? back < s->window : llabs(back) <= s->window;
}

/* Logit of a visible pair. */
static inline double twin_logit(const atn_head *h, atn_idx i, atn_idx j)
{
    double s = 0;

    for (int c = 0; c < TWIN_D; c++)
        s += (double)h->q.data[i * TWIN_D + c] * (double)h->k.data[j * TWIN_D + c];
    s = h->scale * s + h->alibi_slope * (double)(j - i - h->sight.offset);
    if (h->rel_bias) s += (double)h->rel_bias[h->nq - 1 + j - i];
    if (h->sight.softcap > 0)
        s = (double)(float)(h->sight.softcap * tanh(s / h->sight.softcap));
    return s;
}

static inline void twin_row(const atn_head *h, twin *t, atn_idx i)
{
    double largest = -1e300, sum = 0, w = 0;

    for (atn_idx j = 0; j < t->nk; j++) {
        t->sees[i][j] = twin_sees(&h->sight, i, j);
        t->p[i][j] = t->own[i][j] = 0;
        if (!t->sees[i][j]) continue;
        t->n[i]++;
        t->p[i][j] = h->p.data ? (double)h->p.data[i * t->nk + j] : twin_logit(h, i, j);
        largest = fmax(largest, t->p[i][j]);
    }
    for (atn_idx j = 0; j < t->nk; j++) {
        if (!t->sees[i][j]) continue;
        if (!h->p.data) t->p[i][j] = exp(t->p[i][j] - largest);
        sum += t->p[i][j];
    }
    for (atn_idx j = 0; j < t->nk; j++) t->own[i][j] = sum > 0 ? t->p[i][j] / sum : 0;
    w = sum + (h->has_sink ? exp(h->sink - largest) : 0);
    for (atn_idx j = 0; j < t->nk && !h->p.data && sum > 0; j++) t->p[i][j] /= w;
    t->mass[i] = h->p.data ? sum : sum > 0 ? sum / w : 0;
    t->counts[i] = t->n[i] > 0 && i >= t->skip;
}

/* Rows of given weights: some sum to 1, some to less, one in nine to nothing. */
static inline void twin_given(atn_rng *r, twin_head *h)
{
    const atn_sight *s = &h->head.sight;

    for (atn_idx i = 0; i < h->head.nq; i++) {
        const double want = i % 9 == 4 ? 0 : i % 3 == 0 ? 0.8 : 1;
        float *row = h->p + i * h->head.nk;
        double sum = 0;

        for (atn_idx j = 0; j < h->head.nk; j++) {
            row[j] = twin_sees(s, i, j) ? (float)exp(2 * atn_rng_normal(r)) : 0;
            sum += (double)row[j];
        }
        for (atn_idx j = 0; j < h->head.nk && sum > 0; j++)
            row[j] = (float)((double)row[j] * want / sum);
    }
}

/* Tokens of six kinds; in every third draw a stretch that repeats to the end, after a first
 * token of its own or not. */
static inline void twin_tokens(atn_rng *r, twin *t, int draw)
{
    const atn_idx lead = t->first + draw % 2, period = 5 + draw;

    for (atn_idx j = 0; j < t->nk; j++) t->token[j] = (int32_t)atn_rng_below(r, 6);
    if (draw % 3 == 0)
        for (atn_idx j = lead + period; j < t->nk; j++)
            t->token[j] = t->token[j - period];
}

/* scale 0 makes uniform rows: ties everywhere. */
static inline void twin_make(const twin_kind *kind, int draw, double scale,
                             twin_head *h)
{
    atn_rng r = atn_rng_stream(11, kind->name, draw, 0);
    twin *t = &h->t;

    memset(h, 0, sizeof *h);
    h->head = (atn_head){.nq = kind->nq,
                         .nk = kind->nk,
                         .scale = scale,
                         .sight = kind->sight,
                         .has_sink = kind->has_sink,
                         .sink = 1.5,
                         .alibi_slope = kind->slope};
    if (h->head.sight.key_last == 0) h->head.sight.key_last = kind->nk;
    for (atn_idx i = 0; i < TWIN_MOST * TWIN_D; i++) {
        h->q[i] = (float)(rint(16 * atn_rng_normal(&r)) / 16);
        h->k[i] = (float)(rint(16 * atn_rng_normal(&r)) / 16);
    }
    if (kind->rel) {
        for (atn_idx e = 0; e < kind->nq + kind->nk - 1; e++)
            h->rel[e] = (float)(rint(16 * atn_rng_normal(&r)) / 16);
        h->head.rel_bias = h->rel;
        h->head.rel_zero = kind->nq - 1 + kind->sight.offset;
    }
    if (kind->given) {
        twin_given(&r, h);
        h->head.p = (atn_cmat){h->p, kind->nq, kind->nk, kind->nk};
    } else {
        h->head.q = (atn_cmat){h->q, kind->nq, TWIN_D, TWIN_D};
        h->head.k = (atn_cmat){h->k, kind->nk, TWIN_D, TWIN_D};
    }
    t->kind = kind;
    t->nq = kind->nq;
    t->nk = kind->nk;
    t->skip = kind->skip;
    t->causal = kind->sight.causal;
    t->offset = kind->sight.offset;
    t->first = h->head.sight.key_first;
    t->last = h->head.sight.key_last;
    t->has_tokens = t->offset >= 0 && t->nq - 1 + t->offset < t->nk;
    twin_tokens(&r, t, draw);
    for (atn_idx i = 0; i < t->nq; i++) twin_row(&h->head, t, i);
}
