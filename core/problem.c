/* core/problem.c -- what a query sees, and the heads of a problem. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/problem.h"

#include <string.h>

const char *const atn_role_names[ATN_ROLES] = {"none", "landmark", "global"};

int atn_role_find(const char *name)
{
    for (int r = 0; r < ATN_ROLES; r++)
        if (strcmp(atn_role_names[r], name) == 0) return r;
    return -1;
}

atn_idx atn_sight_query(const atn_sight *s, atn_idx i)
{
    return s->rows ? s->rows[i] : i;
}

atn_idx atn_sight_at(const atn_sight *s, atn_idx i)
{
    return atn_sight_query(s, i) + s->offset;
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
    if (s->pad_queries && (at < s->key_first || at >= s->key_last)) last = first;
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
        .rel_bias = p->rel_bias ? p->rel_bias + head * (p->nq + p->nk - 1) : NULL,
        .rel_zero = p->rel_bias ? p->nq - 1 + p->sight.offset : 0,
        .layer = p->layer,
        .head = (int)head,
        .kv_head = (int)kv,
    };

    return h;
}

static atn_status gather(atn_ctx *cx, atn_cmat from, const atn_idx *rows, atn_idx n,
                         atn_cmat *out)
{
    atn_status st = ATN_OK;
    float *data = NULL;

    if (!from.data) goto done;
    ATN_TAKE(data, n * from.cols);
    for (atn_idx i = 0; i < n; i++)
        memcpy(data + i * from.cols, atn_crow(from, rows[i]),
               (size_t)from.cols * sizeof *data);
    *out = (atn_cmat){data, n, from.cols, from.cols};
done:
    return st;
}

atn_status atn_head_sample(atn_ctx *cx, const atn_head *h, const atn_idx *rows,
                           atn_idx n, atn_head *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_head some = *h;
    atn_status st = ATN_OK;

    ATN_ASSERT(!h->sight.rows);
    for (atn_idx i = 0; i < n; i++)
        ATN_ASSERT(rows[i] < h->nq && rows[i] >= (i > 0 ? rows[i - 1] + 1 : 0));
    ATN_TRY(gather(cx, h->q, rows, n, &some.q));
    ATN_TRY(gather(cx, h->p, rows, n, &some.p));
    some.nq = n;
    some.sight.rows = rows;
    *out = some;
done:
    if (st != ATN_OK) atn_arena_rewind(cx, mark);
    return st;
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
