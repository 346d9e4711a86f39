/* core/problem.c -- what a query sees, and the heads of a problem. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/problem.h"

atn_idx atn_sight_at(const atn_sight *s, atn_idx i)
{
    return (s->rows ? s->rows[i] : i) + s->offset;
}

void atn_sight_row(const atn_sight *s, atn_idx i, atn_idx *lo, atn_idx *hi)
{
    const atn_idx at = atn_sight_at(s, i);
    atn_idx first = s->key_first, last = s->key_last;

    if (s->causal) last = ATN_MIN(last, at + 1);
    if (s->window > 0) {
        first = ATN_MAX(first, s->causal ? at - s->window + 1 : at - s->window);
        last = ATN_MIN(last, at + s->window + 1);
    }
    *lo = first;
    *hi = ATN_MAX(first, last);
}

static atn_cmat plane(const float *base, atn_idx at, atn_idx rows, atn_idx cols)
{
    const atn_cmat m = {base ? base + at * rows * cols : NULL, rows, cols, cols};

    return m;
}

atn_head atn_problem_head(const atn_problem *p, atn_idx head)
{
    const atn_idx kv = head * p->kv_heads / p->heads;
    const atn_head h = {
        .q = plane(p->q, head, p->nq, p->d),
        .k = plane(p->k, kv, p->nk, p->d),
        .v = plane(p->v, kv, p->nk, p->dv),
        .p = plane(p->p, head, p->nq, p->nk),
        .nq = p->nq,
        .nk = p->nk,
        .scale = p->scale,
        .sight = p->sight,
        .has_sink = p->sink != NULL,
        .sink = p->sink ? p->sink[head] : 0,
        .alibi_slope = p->alibi_slope ? p->alibi_slope[head] : 0,
        .layer = p->layer,
        .head = (int)head,
        .kv_head = (int)kv,
    };

    return h;
}

double atn_visible_pairs(const atn_head *h)
{
    double pairs = 0;

    for (atn_idx i = 0; i < h->nq; i++) {
        atn_idx lo, hi;
        atn_sight_row(&h->sight, i, &lo, &hi);
        pairs += (double)(hi - lo);
    }
    return pairs;
}
