/* analysis/tradeoff_mix.c -- hybrids: every layer takes the case that suits it.
 *
 * Math    minimise the mean error over the layers at a given sum of times. For each
 *         Lagrange multiplier a layer takes a corner of the lower convex hull of its
 *         (time, error) points, so all solutions are found by going through the edges
 *         of all hulls, the cheapest error a saved ms first, from least error on.
 * Oracle  each is the best of all choices that take no longer.
 * Cost    cases and layers, sorted.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/tradeoff_internal.h"

enum { HYBRIDS_MOST = 24, WORDS = 1024 };

typedef struct corner {
    double time, error;
    int of; /* case */
} corner;

/* From corner `from` of a layer's hull to the next faster one. */
typedef struct edge {
    int layer, to;
    double slope; /* error for a ms that is saved */
} edge;

typedef struct mix {
    atn_tradeoff *t;
    int cases;    /* there are, before hybrids */
    corner *hull; /* [layers, cases], the least error first */
    int *corners; /* [layers] */
    edge *edge;   /* [n] */
    int n;
    int *taken; /* [layers] case */
} mix;

/* Least error first, then least time, then as they stand. */
static int by_error(const void *a_, const void *b_)
{
    const corner *a = a_, *b = b_;

    if (a->error != b->error) return a->error < b->error ? -1 : 1;
    if (a->time != b->time) return a->time < b->time ? -1 : 1;
    return (a->of > b->of) - (a->of < b->of);
}

static int by_slope(const void *a_, const void *b_)
{
    const edge *a = a_, *b = b_;

    if (a->slope != b->slope) return a->slope < b->slope ? -1 : 1;
    if (a->layer != b->layer) return a->layer < b->layer ? -1 : 1;
    return (a->to > b->to) - (a->to < b->to);
}

static double slope_of(const corner *a, const corner *b)
{
    return (b->error - a->error) / (a->time - b->time);
}

/* Keeps the corners of the hull of n points that are sorted by error. */
static int hull_of(corner *p, int n)
{
    int top = 0;

    for (int i = 0; i < n; i++) {
        if (top > 0 && p[i].time >= p[top - 1].time) continue;
        while (top > 1 &&
               slope_of(&p[top - 2], &p[top - 1]) >= slope_of(&p[top - 2], &p[i]))
            top--;
        p[top++] = p[i];
    }
    return top;
}

/* What a layer may take: dense, or a method that is no oracle. Layers that share depend
 * on one another and are left out. */
static int points_of(const atn_tradeoff *t, int layer, corner *out)
{
    int n = 0;

    for (int c = 0; c < t->n; c++) {
        const trade_cell *cell = &t->at[c].cell[layer];

        if (t->at[c].oracle || t->at[c].kind > TRADE_METHOD || !cell->done) continue;
        if (!(cell->mean[TRADE_ERROR] < 1)) continue; /* worse than an output of 0 */
        out[n++] =
            (corner){cell->time.ms,
                     cell->mean[TRADE_ERROR] < 1e-6 ? 0 : cell->mean[TRADE_ERROR], c};
    }
    qsort(out, (size_t)n, sizeof *out, by_error);
    return hull_of(out, n);
}

/* "dense:3,moba 10%:9": layers that take each. */
static void say_taken(const mix *m, char text[WORDS])
{
    const atn_tradeoff *t = m->t;
    size_t at = 0;

    text[0] = '\0';
    for (int c = 0; c < t->n && at < WORDS; c++) {
        int layers = 0;

        for (int l = 0; l < t->layers; l++) layers += m->taken[l] == c;
        if (layers == 0) continue;
        at += (size_t)snprintf(text + at, WORDS - at, "%s%s%s%s:%d", at ? "," : "",
                               t->at[c].method, t->at[c].budget[0] ? " " : "",
                               t->at[c].budget, layers);
    }
}

static bool all_alike(const mix *m)
{
    for (int l = 1; l < m->t->layers; l++)
        if (m->taken[l] != m->taken[0]) return false;
    return true;
}

static atn_status add_hybrid(atn_ctx *cx, mix *m)
{
    atn_tradeoff *t = m->t;
    atn_status st = ATN_OK;
    char text[WORDS];
    trade_words w = {.method = "hybrid", .family = "hybrid", .parameters = text};
    trade_case *c;

    if (all_alike(m)) return ATN_OK;
    say_taken(m, text);
    ATN_TRY(atn_trade_add(cx, t, TRADE_HYBRID, &w, &c));
    for (int l = 0; l < t->layers; l++) {
        c->cell[l] = t->at[m->taken[l]].cell[l];
        c->cell[l].head = NULL;
        c->cell[l].of = m->taken[l];
    }
done:
    return st;
}

/* The fastest corners are reached edge by edge; of many steps some are kept. */
static atn_status walk(atn_ctx *cx, mix *m)
{
    const int kept = ATN_MIN(m->n, HYBRIDS_MOST);
    atn_status st = ATN_OK;
    int next = 0;

    for (int e = 0; e < m->n; e++) {
        const edge *of = &m->edge[e];

        m->taken[of->layer] = m->hull[of->layer * m->cases + of->to].of;
        if ((e + 1) * kept / m->n == next) continue;
        next = (e + 1) * kept / m->n;
        ATN_TRY(add_hybrid(cx, m));
    }
done:
    return st;
}

atn_status atn_trade_mix(atn_ctx *cx, atn_tradeoff *t)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    const int cases = t->n;
    mix m = {.t = t, .cases = cases};

    if (t->layers < 2) return ATN_OK;
    ATN_TAKE(m.hull, (atn_idx)t->layers * cases);
    ATN_TAKE(m.corners, t->layers);
    ATN_TAKE(m.edge, (atn_idx)t->layers * cases);
    ATN_TAKE(m.taken, t->layers);
    for (int l = 0; l < t->layers; l++) {
        corner *at = m.hull + l * cases;

        m.corners[l] = points_of(t, l, at);
        m.taken[l] = at[0].of;
        for (int k = 1; k < m.corners[l]; k++)
            m.edge[m.n++] = (edge){l, k, slope_of(&at[k - 1], &at[k])};
    }
    qsort(m.edge, (size_t)m.n, sizeof *m.edge, by_slope);
    ATN_TRY(walk(cx, &m));
done:
    atn_arena_rewind(cx, mark);
    return st;
}
