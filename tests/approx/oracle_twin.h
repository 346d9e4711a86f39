/* tests/approx/oracle_twin.h -- heads of every kind, their dense weights written out,
 * and where a key stands in the order of its row: what the oracles are checked with. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "tests/approx/zoo.h"

enum {
    TWIN_CAUSAL,
    TWIN_BOTH,
    TWIN_WINDOW,
    TWIN_WINDOW_BOTH,
    TWIN_CHUNK,
    TWIN_SINK,
    TWIN_BIASED,
    TWIN_TIES,
    TWIN_ONE,
    TWIN_CROSS,
    TWIN_GIVEN,
    TWIN_KINDS,
    TWIN_N = 23
};

typedef struct twin {
    zoo z;
    double *w; /* [nq, nk] dense weights of head 0, 0 where it does not see */
    double *s; /* [nq, nk] logits (weights where they are given), -inf likewise */
    float *p;  /* the given ones */
} twin;

static inline bool twin_sees(const atn_head *h, atn_idx i, atn_idx j)
{
    const atn_idx at = i + h->sight.offset, w = h->sight.window;

    if (h->sight.causal && j > at) return false;
    return w == 0 || (h->sight.causal ? at - j < w : llabs(at - j) <= w);
}

static inline void twin_weights(twin *t)
{
    const atn_head *h = &t->z.head[0];

    for (atn_idx i = 0; i < h->nq; i++) {
        double *s = t->s + i * h->nk, *w = t->w + i * h->nk;
        double max = -INFINITY, sum = 0;

        for (atn_idx j = 0; j < h->nk; j++) {
            s[j] = 0;
            for (atn_idx c = 0; c < h->q.cols; c++)
                s[j] += (double)atn_crow(h->q, i)[c] * (double)atn_crow(h->k, j)[c];
            s[j] =
                h->scale * s[j] + h->alibi_slope * (double)(j - (i + h->sight.offset));
            if (h->sight.softcap > 0)
                s[j] = h->sight.softcap * tanh(s[j] / h->sight.softcap);
            if (!twin_sees(h, i, j)) s[j] = -INFINITY;
            max = fmax(max, s[j]);
        }
        for (atn_idx j = 0; j < h->nk; j++) sum += w[j] = exp(s[j] - max);
        if (h->has_sink) sum += exp(h->sink - max);
        for (atn_idx j = 0; j < h->nk; j++) w[j] /= sum;
    }
}

/* The weights, in float32, become those of a capture of matrices alone. */
static inline void twin_give(twin *t)
{
    atn_head *h = &t->z.head[0];

    t->p = zoo_floats(h->nq * h->nk);
    for (atn_idx e = 0; e < h->nq * h->nk; e++) {
        t->p[e] = (float)t->w[e];
        t->w[e] = (double)t->p[e];
        t->s[e] = t->s[e] > -INFINITY ? t->w[e] : -INFINITY;
    }
    h->p = (atn_cmat){t->p, h->nq, h->nk, h->nk};
    h->q = h->k = h->v = (atn_cmat){0};
}

/* Returns the number of queries. */
static inline atn_idx twin_make(twin *t, int kind, uint64_t seed)
{
    const atn_idx n = kind == TWIN_ONE ? 1 : TWIN_N;
    const atn_idx nq = kind == TWIN_CHUNK ? 9 : kind == TWIN_CROSS ? n + 6 : n;
    atn_head *h;

    *t = (twin){0};
    zoo_random(&t->z, 2, 2, nq, n, seed);
    h = t->z.head;
    for (int k = 0; k < 2; k++) {
        h[k].sight.causal =
            kind != TWIN_BOTH && kind != TWIN_WINDOW_BOTH && kind != TWIN_CROSS;
        if (kind == TWIN_CROSS) h[k].sight.offset = 0;
        if (kind == TWIN_WINDOW || kind == TWIN_WINDOW_BOTH) h[k].sight.window = 6;
        h[k].has_sink = kind == TWIN_SINK;
        h[k].sink = .5;
        if (kind == TWIN_BIASED) h[k].alibi_slope = .125;
        if (kind == TWIN_BIASED) h[k].sight.softcap = 2;
    }
    if (kind == TWIN_TIES) { /* halves: products and sums are exact */
        for (atn_idx e = 0; e < 2 * nq * h->q.cols; e++)
            t->z.q[e] = (float)(int)(2 * t->z.q[e]) / 2;
        for (atn_idx e = 0; e < n * h->q.cols; e++) t->z.k[e] = (float)(int)t->z.k[e];
    }
    t->w = malloc((size_t)(nq * n) * sizeof *t->w);
    t->s = malloc((size_t)(nq * n) * sizeof *t->s);
    twin_weights(t);
    if (kind == TWIN_GIVEN) twin_give(t);
    return nq;
}

static inline void twin_free(twin *t)
{
    zoo_free(&t->z);
    free(t->w);
    free(t->s);
    free(t->p);
}

/* How many of x [n] (-inf: not there) stand before place j: larger, or equal and
 * lower; *before is the sum of `w` over them. */
static inline atn_idx twin_rank(const double *x, const double *w, atn_idx n, atn_idx j,
                                double *before)
{
    atn_idx rank = 0;

    *before = 0;
    for (atn_idx c = 0; c < n; c++) {
        if (c == j || x[c] == -INFINITY) continue;
        if (x[c] < x[j] || (x[c] == x[j] && c > j)) continue;
        rank++;
        *before += w[c];
    }
    return rank;
}

/* Blocks of b keys against the block row of queries [a, end): sums over the rows
 * divided by their number, maxima, or sums divided by the visible pairs; -inf where no
 * pair is. Returns how many blocks. */
static inline atn_idx twin_blocks(const twin *t, atn_idx a, atn_idx end, atn_idx b,
                                  const char *score, double *x)
{
    const atn_idx nk = t->z.head[0].nk, nb = (nk + b - 1) / b;

    for (atn_idx c = 0; c < nb; c++) {
        double sum = 0, max = 0, pairs = 0;

        for (atn_idx i = a; i < end; i++)
            for (atn_idx j = c * b; j < ATN_MIN((c + 1) * b, nk); j++) {
                if (t->s[i * nk + j] == -INFINITY) continue;
                sum += t->w[i * nk + j];
                max = fmax(max, t->w[i * nk + j]);
                pairs += 1;
            }
        x[c] = *score == 's'               ? sum / (double)(end - a)
               : strcmp(score, "max") == 0 ? max
                                           : sum / pairs;
        if (pairs == 0) x[c] = -INFINITY;
    }
    return nb;
}

/* What the plan of a spec keeps of head 0: keep [nq, nk]. */
static inline void twin_kept(atn_ctx *cx, const twin *t, const char *spec, bool *keep)
{
    const atn_head *h = &t->z.head[0];
    atn_plan plan;
    atn_span *spans;

    CHECK_EQ(zoo_plan(cx, &t->z, spec, 0, &plan), 1);
    CHECK(atn_plan_is_mask(&plan));
    spans = malloc((size_t)plan.branch[0].part[0].pattern->room * sizeof *spans);
    for (atn_idx i = 0; i < h->nq; i++) {
        const atn_idx n = atn_pattern_keys(plan.branch[0].part[0].pattern, 0,
                                           i + h->sight.offset, spans);

        for (atn_idx j = 0; j < h->nk; j++) {
            bool in = false;

            for (atn_idx s = 0; s < n; s++) in |= spans[s].lo <= j && j < spans[s].hi;
            keep[i * h->nk + j] = in && twin_sees(h, i, j);
        }
    }
    free(spans);
    atn_plan_release(cx, &plan);
}
