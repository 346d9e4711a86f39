/* analysis/compaction.c -- attention over centroids by running sums, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/compaction.h"

#include <math.h>
#include <string.h>

#include "core/kernels/kernels.h"

/* The members that the row at hand sees, per cluster. */
typedef struct state {
    atn_idx m, lo, hi;
    double *count, *place;  /* [m] members, sum of their positions */
    double *key, *value;    /* [m, d], [m, dv] sums */
    float *mean_key, *mean; /* [m, d], [m, dv] of clusters with members */
    double *weight;         /* [m] of the row */
    double *row;            /* [dv] its output */
} state;

double atn_compaction_bytes(const atn_head *h, atn_idx clusters)
{
    const double m = (double)clusters, d = (double)h->k.cols, dv = (double)h->v.cols;

    return m * (12 * (d + dv) + 24) + 8 * dv;
}

static atn_status take(atn_ctx *cx, const atn_head *h, state *s)
{
    const atn_idx d = h->k.cols, dv = h->v.cols;
    atn_status st = ATN_OK;

    ATN_TAKE(s->count, s->m);
    ATN_TAKE(s->place, s->m);
    ATN_TAKE(s->key, s->m * d);
    ATN_TAKE(s->value, s->m * dv);
    ATN_TAKE(s->mean_key, s->m * d);
    ATN_TAKE(s->mean, s->m * dv);
    ATN_TAKE(s->weight, s->m);
    ATN_TAKE(s->row, dv);
    memset(s->count, 0, (size_t)s->m * sizeof *s->count);
    memset(s->place, 0, (size_t)s->m * sizeof *s->place);
    memset(s->key, 0, (size_t)(s->m * d) * sizeof *s->key);
    memset(s->value, 0, (size_t)(s->m * dv) * sizeof *s->value);
done:
    return st;
}

/* Key j joins its cluster, or leaves it (sign -1). */
static void move_key(const atn_head *h, atn_idx j, atn_idx c, double sign, state *s)
{
    const atn_idx d = h->k.cols, dv = h->v.cols;
    double *key = s->key + c * d, *value = s->value + c * dv;

    s->count[c] += sign;
    s->place[c] += sign * (double)j;
    atn_row_add(atn_crow(h->k, j), d, sign, key);
    atn_row_add(atn_crow(h->v, j), dv, sign, value);
    if (s->count[c] == 0) { /* no rounding is left behind */
        for (atn_idx e = 0; e < d; e++) key[e] = 0;
        for (atn_idx e = 0; e < dv; e++) value[e] = 0;
        return;
    }
    for (atn_idx e = 0; e < d; e++)
        s->mean_key[c * d + e] = (float)(key[e] / s->count[c]);
    for (atn_idx e = 0; e < dv; e++)
        s->mean[c * dv + e] = (float)(value[e] / s->count[c]);
}

static void move_to(const atn_head *h, const int32_t *label, atn_idx lo, atn_idx hi,
                    state *s)
{
    for (; s->hi < hi; s->hi++) move_key(h, s->hi, label[s->hi], 1, s);
    for (; s->lo < lo && s->lo < s->hi; s->lo++)
        move_key(h, s->lo, label[s->lo], -1, s);
}

static double logit(const atn_head *h, atn_idx i, atn_idx c, const state *s)
{
    const atn_idx d = h->k.cols;
    const double at = (double)atn_sight_at(&h->sight, i), cap = h->sight.softcap;
    const double away = s->place[c] / s->count[c] - at;
    double x = h->scale * atn_row_dot(atn_crow(h->q, i), s->mean_key + c * d, d);

    x += h->alibi_slope * away;
    if (h->rel_bias) x += (double)h->rel_bias[h->rel_zero + (atn_idx)floor(away + .5)];
    return cap > 0 ? cap * tanh(x / cap) : x;
}

/* s->row <- output of row i over the clusters. */
static void attend(const atn_head *h, atn_idx i, state *s)
{
    const atn_idx dv = h->v.cols;
    double most = h->has_sink ? h->sink : -INFINITY, total;

    for (atn_idx c = 0; c < s->m; c++) {
        if (!(s->count[c] > 0)) continue;
        s->weight[c] = logit(h, i, c, s);
        most = ATN_MAX(most, s->weight[c]);
    }
    total = h->has_sink ? exp(h->sink - most) : 0;
    for (atn_idx c = 0; c < s->m; c++) {
        if (!(s->count[c] > 0)) continue;
        s->weight[c] = s->count[c] * exp(s->weight[c] - most);
        total += s->weight[c];
    }
    for (atn_idx e = 0; e < dv; e++) s->row[e] = 0;
    for (atn_idx c = 0; c < s->m; c++)
        if (s->count[c] > 0)
            atn_row_add(s->mean + c * dv, dv, s->weight[c] / total, s->row);
}

atn_status atn_compaction_errors(atn_ctx *cx, const atn_head *heads, atn_idx n_heads,
                                 const float *out, const atn_compaction *by,
                                 double *error)
{
    const atn_idx nq = heads[0].nq, dv = heads[0].v.cols;
    const atn_idx from = heads[0].sight.key_first;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    state s = {.m = by->clusters, .lo = from, .hi = from};
    double *whole = NULL;

    ATN_TAKE(whole, n_heads);
    ATN_TRY(take(cx, &heads[0], &s));
    for (atn_idx h = 0; h < n_heads; h++) whole[h] = error[h] = 0;
    for (atn_idx i = by->first_row; i < nq; i++) {
        atn_idx lo, hi;

        ATN_TRY(atn_stopped(cx, "compaction"));
        atn_sight_row(&heads[0].sight, i, &lo, &hi);
        if (lo == hi) continue;
        move_to(&heads[0], by->label, lo, hi, &s);
        for (atn_idx h = 0; h < n_heads; h++) {
            const float *own = out + (h * nq + i) * dv;

            attend(&heads[h], i, &s);
            for (atn_idx e = 0; e < dv; e++)
                error[h] += (s.row[e] - (double)own[e]) * (s.row[e] - (double)own[e]);
            whole[h] += atn_row_square(own, dv);
        }
    }
    for (atn_idx h = 0; h < n_heads; h++)
        error[h] = whole[h] > 0 ? sqrt(error[h] / whole[h]) : (double)NAN;
done:
    atn_arena_rewind(cx, mark);
    return st;
}
