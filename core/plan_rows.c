/* core/plan_rows.c -- the plain reference of the weights of a plan, and which are not
 * zero. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/order.h"
#include "core/wide_rows.h"

/* ---- the weights, entry by entry, in double ---- */

typedef struct entry {
    int32_t key; /* or nk + virtual */
    double logit;
} entry;

/* What a part, or a group of it, gives to one row. */
typedef struct share {
    entry *at;
    atn_idx n, room;
    double lse;    /* of its entries */
    double weighs; /* logarithm of what it weighs in the merge: lse, or a logit */
} share;

typedef struct walk {
    const atn_head *h;
    const atn_plan *p;
    atn_idx i, lo, hi; /* the row and the keys that it sees */
    share *shares;
    atn_idx n, room;
    atn_span *spans;
} walk;

/* The groups of every row of some, in their order. */
typedef struct members {
    atn_idx first;
    int64_t *ptr; /* [rows + 1] */
    int32_t *group;
} members;

/* Those of rows [first, first + n), in the arena. */
static atn_status find_members(atn_ctx *cx, const atn_groups *g, atn_idx first,
                               atn_idx n, members *out)
{
    atn_status st = ATN_OK;
    int64_t *at = NULL;

    out->first = first;
    ATN_TAKE(out->ptr, n + 1);
    ATN_TAKE(at, n + 1);
    memset(at, 0, (size_t)(n + 1) * sizeof *at);
    for (int64_t e = 0; g->n > 0 && e < g->row_ptr[g->n]; e++)
        if (g->row[e] >= first && g->row[e] < first + n) at[g->row[e] - first + 1]++;
    for (atn_idx r = 0; r < n; r++) at[r + 1] += at[r];
    memcpy(out->ptr, at, (size_t)(n + 1) * sizeof *at);
    ATN_TAKE(out->group, at[n]);
    for (atn_idx k = 0; k < g->n; k++)
        for (int64_t e = g->row_ptr[k]; e < g->row_ptr[k + 1]; e++)
            if (g->row[e] >= first && g->row[e] < first + n)
                out->group[at[g->row[e] - first]++] = (int32_t)k;
done:
    return st;
}

/* Of every part of groups. */
typedef struct members_of {
    members at[ATN_BRANCHES_MOST][ATN_PARTS_MOST];
} members_of;

static atn_status find_all(atn_ctx *cx, const atn_plan *p, atn_idx first, atn_idx n,
                           members_of *out)
{
    atn_status st = ATN_OK;

    for (int b = 0; b < p->branches; b++)
        for (int k = 0; k < p->branch[b].parts; k++)
            ATN_TRY(find_members(cx, &p->branch[b].part[k].groups, first, n,
                                 &out->at[b][k]));
done:
    return st;
}

static double dot(const float *x, const float *y, atn_idx n)
{
    double sum = 0;

    for (atn_idx c = 0; c < n; c++) sum += (double)x[c] * (double)y[c];
    return sum;
}

static double logit(const walk *w, const atn_part *part, int32_t key)
{
    const atn_head *h = w->h;
    const atn_idx d = h->q.cols, at = atn_sight_at(&h->sight, w->i);
    const float *q;
    double s;

    if (h->p.data) return log((double)atn_crow(h->p, w->i)[key]);
    q = part->q ? part->q + w->i * d : atn_crow(h->q, w->i);
    if (key >= h->nk) return h->scale * dot(q, w->p->vk + (key - h->nk) * d, d);
    if (part->self_last && key == at) return ATN_SELF_LAST;
    s = h->scale * dot(q, part->k ? part->k + key * d : atn_crow(h->k, key), d);
    return atn_wide_logit(h, s, at, key);
}

static atn_status open_share(atn_ctx *cx, walk *w, share **out)
{
    atn_status st = ATN_OK;

    if (w->n == w->room) {
        const atn_idx room = 2 * w->room + 4;
        share *more = atn_realloc(cx, w->shares, room, sizeof *more);

        if (!more) ATN_TRY(cx->err.code);
        w->shares = more;
        w->room = room;
    }
    *out = &w->shares[w->n++];
    **out = (share){0};
done:
    return st;
}

static atn_status add_entry(atn_ctx *cx, share *s, int32_t key, double z)
{
    atn_status st = ATN_OK;

    if (s->n == s->room) {
        const atn_idx room = 2 * s->room + 64;
        entry *more = atn_realloc(cx, s->at, room, sizeof *more);

        if (!more) ATN_TRY(cx->err.code);
        s->at = more;
        s->room = room;
    }
    s->at[s->n++] = (entry){key, z};
done:
    return st;
}

static double share_lse(const share *s)
{
    double max = -INFINITY, sum = 0;

    for (atn_idx e = 0; e < s->n; e++) max = fmax(max, s->at[e].logit);
    if (max == -INFINITY) return max;
    for (atn_idx e = 0; e < s->n; e++) sum += exp(s->at[e].logit - max);
    return max + log(sum);
}

/* What a part that is no groups has in the row, not yet cut to what the row sees. */
static atn_idx spans_of(walk *w, const atn_part *part)
{
    const atn_idx at = ATN_MAX(atn_sight_at(&w->h->sight, w->i), 0);

    if (w->lo >= w->hi) return 0;
    if (part->pattern)
        return atn_pattern_keys(part->pattern, part->pattern_head, at, w->spans);
    w->spans[0] = (atn_span){w->lo, w->hi};
    return 1;
}

static atn_status walk_spans(atn_ctx *cx, walk *w, const atn_part *part)
{
    const atn_idx n = spans_of(w, part);
    atn_status st = ATN_OK;
    share *s = NULL;

    ATN_TRY(open_share(cx, w, &s));
    for (atn_idx k = 0; k < n; k++)
        for (atn_idx j = ATN_MAX(w->spans[k].lo, w->lo);
             j < ATN_MIN(w->spans[k].hi, w->hi); j++)
            ATN_TRY(add_entry(cx, s, (int32_t)j, logit(w, part, (int32_t)j)));
    s->weighs = s->lse = share_lse(s);
done:
    return st;
}

static atn_status walk_groups(atn_ctx *cx, walk *w, const atn_part *part,
                              const members *m)
{
    const atn_groups *g = &part->groups;
    atn_status st = ATN_OK;

    for (int64_t e = m->ptr[w->i - m->first]; e < m->ptr[w->i - m->first + 1]; e++) {
        const atn_idx k = m->group[e];
        share *s = NULL;

        ATN_TRY(open_share(cx, w, &s));
        for (int64_t x = g->key_ptr[k]; x < g->key_ptr[k + 1]; x++) {
            const int32_t key = g->key[x];
            const double plus = g->log_weight ? (double)g->log_weight[x] : 0;

            if (key < w->h->nk && (key < w->lo || key >= w->hi)) continue;
            ATN_TRY(add_entry(cx, s, key, logit(w, part, key) + plus));
        }
        s->weighs = s->lse = share_lse(s);
        if (s->lse > -INFINITY && g->logit && g->logit[k] >= 0)
            s->weighs = logit(w, part, g->logit[k]);
    }
done:
    return st;
}

/* Adds weight x of a key, or of what a virtual one stands for. */
static void give(const walk *w, int32_t key, double x, double *row)
{
    const atn_plan *p = w->p;
    const atn_idx v = key - w->h->nk;

    if (v < 0) {
        row[key] += x;
        return;
    }
    for (int64_t e = p->expand_ptr[v]; e < p->expand_ptr[v + 1]; e++)
        row[p->expand[e]] += x * (double)p->expand_weight[e];
}

/* The shares of a branch become weights. */
static atn_status merge(atn_ctx *cx, const walk *w, const atn_branch *b, double *row)
{
    const double scale = b->scale ? (double)b->scale[w->i] : 1;
    double max = w->h->has_sink ? w->h->sink : -INFINITY, sum = 0;
    atn_status st = ATN_OK;
    atn_idx filled = 0;

    for (atn_idx k = 0; k < w->n; k++) {
        const share *s = &w->shares[k];

        filled += s->n > 0;
        max = fmax(max, s->weighs);
        if (s->n > 0 && !(s->weighs < INFINITY && (w->h->p.data || isfinite(s->lse))))
            ATN_FAIL(ATN_DATA,
                     "layer %d, head %d, row %lld: a logit is NaN or infinite (look "
                     "for NaN in the model's weights or the imported tensors)",
                     w->h->layer, w->h->head,
                     (long long)atn_sight_query(&w->h->sight, w->i));
    }
    for (atn_idx k = 0; k < w->n; k++)
        if (w->shares[k].n > 0) sum += exp(w->shares[k].weighs - max);
    if (w->h->has_sink) sum += exp(w->h->sink - max);
    for (atn_idx k = 0; k < w->n; k++) {
        const share *s = &w->shares[k];
        double x;

        if (s->n == 0 || s->lse == -INFINITY) continue;
        if (b->merge == ATN_MERGE_LSE && s->weighs == -INFINITY) continue;
        if (b->merge == ATN_MERGE_LSE)
            x = exp(s->weighs - max) / sum;
        else
            x = (w->h->has_sink ? 1 / (1 + exp(w->h->sink - s->lse)) : 1) /
                (double)filled;
        for (atn_idx e = 0; e < s->n; e++)
            give(w, s->at[e].key, scale * x * exp(s->at[e].logit - s->lse), row);
    }
done:
    return st;
}

static void forget(atn_ctx *cx, walk *w)
{
    for (atn_idx k = 0; k < w->n; k++) atn_free(cx, w->shares[k].at);
    w->n = 0;
}

static atn_idx span_room(const atn_plan *p)
{
    atn_idx room = 1;

    for (int b = 0; b < p->branches; b++)
        for (int k = 0; k < p->branch[b].parts; k++)
            if (p->branch[b].part[k].pattern)
                room = ATN_MAX(room, p->branch[b].part[k].pattern->room);
    return room;
}

static atn_status walk_branch(atn_ctx *cx, walk *w, const atn_branch *b,
                              const members *m, double *row)
{
    atn_status st = ATN_OK;

    for (int k = 0; k < b->parts; k++)
        if (b->part[k].all || b->part[k].pattern)
            ATN_TRY(walk_spans(cx, w, &b->part[k]));
        else
            ATN_TRY(walk_groups(cx, w, &b->part[k], &m[k]));
    ATN_TRY(merge(cx, w, b, row));
done:
    forget(cx, w);
    return st;
}

atn_status atn_plan_rows(atn_ctx *cx, const atn_head *h, const atn_plan *p,
                         atn_idx first, atn_idx n, double *w)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    walk at = {.h = h, .p = p};
    atn_status st = ATN_OK;
    members_of m;

    memset(w, 0, (size_t)(n * h->nk) * sizeof *w);
    if (p->op.kind) return p->op.kind->rows(cx, h, p->op.state, first, n, w);
    ATN_TAKE(at.spans, span_room(p));
    ATN_TRY(find_all(cx, p, first, n, &m));
    for (atn_idx i = first; i < first + n; i++) {
        at.i = i;
        atn_sight_row(&h->sight, i, &at.lo, &at.hi);
        for (int b = 0; b < p->branches; b++)
            ATN_TRY(
                walk_branch(cx, &at, &p->branch[b], m.at[b], w + (i - first) * h->nk));
    }
done:
    atn_free(cx, at.shares);
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- the keys of non-zero weight ---- */

typedef struct support {
    atn_idx *key;
    atn_idx n, room;
} support;

static atn_status add_key(atn_ctx *cx, support *s, atn_idx key)
{
    atn_status st = ATN_OK;

    if (s->n == s->room) {
        const atn_idx room = 2 * s->room + 64;
        atn_idx *more = atn_realloc(cx, s->key, room, sizeof *more);

        if (!more) ATN_TRY(cx->err.code);
        s->key = more;
        s->room = room;
    }
    s->key[s->n++] = key;
done:
    return st;
}

static atn_status add_group(atn_ctx *cx, const walk *w, const atn_groups *g, atn_idx k,
                            support *s)
{
    atn_status st = ATN_OK;

    for (int64_t e = g->key_ptr[k]; e < g->key_ptr[k + 1]; e++) {
        const atn_idx v = g->key[e] - w->h->nk;

        if (v < 0) {
            if (g->key[e] >= w->lo && g->key[e] < w->hi)
                ATN_TRY(add_key(cx, s, g->key[e]));
            continue;
        }
        for (int64_t x = w->p->expand_ptr[v]; x < w->p->expand_ptr[v + 1]; x++)
            ATN_TRY(add_key(cx, s, w->p->expand[x]));
    }
done:
    return st;
}

static atn_status add_part(atn_ctx *cx, walk *w, const atn_part *part, const members *m,
                           support *s)
{
    atn_status st = ATN_OK;
    atn_idx n = 0;

    if (part->all || part->pattern)
        n = spans_of(w, part);
    else
        for (int64_t e = m->ptr[w->i]; e < m->ptr[w->i + 1]; e++)
            ATN_TRY(add_group(cx, w, &part->groups, m->group[e], s));
    for (atn_idx k = 0; k < n; k++)
        for (atn_idx j = ATN_MAX(w->spans[k].lo, w->lo);
             j < ATN_MIN(w->spans[k].hi, w->hi); j++)
            ATN_TRY(add_key(cx, s, j));
done:
    return st;
}

/* Sorted, each once, as spans into out (NULL: none); how many spans. */
static atn_idx key_spans(support *s, atn_span *out)
{
    atn_idx n = 0, end = -1;

    if (!out && s->n > 0) qsort(s->key, (size_t)s->n, sizeof *s->key, atn_by_idx);
    for (atn_idx e = 0; e < s->n; e++) {
        const atn_idx j = s->key[e];

        if (j < end) continue;
        if (j == end) {
            if (out) out[n - 1].hi++;
        } else {
            if (out) out[n] = (atn_span){j, j + 1};
            n++;
        }
        end = j + 1;
    }
    return n;
}

typedef struct coded {
    int64_t *ptr;
    int32_t *items;
    atn_idx room;
} coded;

/* n spans that do not touch become row i. */
static atn_status code_spans(atn_ctx *cx, const atn_span *spans, atn_idx n, atn_idx i,
                             coded *c)
{
    atn_status st = ATN_OK;

    if (c->ptr[i] + 2 * n > c->room) {
        const atn_idx room = 2 * (c->ptr[i] + 2 * n);
        int32_t *more = atn_realloc(cx, c->items, room, sizeof *more);

        if (!more) ATN_TRY(cx->err.code);
        c->items = more;
        c->room = room;
    }
    c->ptr[i + 1] = c->ptr[i] + atn_pattern_code(spans, n, c->items + c->ptr[i]);
done:
    return st;
}

static atn_status code_row(atn_ctx *cx, support *s, atn_idx i, coded *c)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx n = key_spans(s, NULL);
    atn_status st = ATN_OK;
    atn_span *spans = NULL;

    ATN_TAKE(spans, n);
    key_spans(s, spans);
    ATN_TRY(code_spans(cx, spans, n, i, c));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* The row of a mask: its spans, cut to what the row sees. */
static atn_status code_mask(atn_ctx *cx, walk *w, const atn_part *part, coded *c)
{
    const atn_idx n = spans_of(w, part);
    atn_idx kept = 0;

    for (atn_idx k = 0; k < n; k++) {
        const atn_idx lo = ATN_MAX(w->spans[k].lo, w->lo);
        const atn_idx hi = ATN_MIN(w->spans[k].hi, w->hi);

        if (lo < hi) w->spans[kept++] = (atn_span){lo, hi};
    }
    return code_spans(cx, w->spans, kept, w->i, c);
}

/* The pattern says by itself what the rows of the plan have: nothing to walk. */
static bool says_all(const atn_head *h, const atn_plan *p)
{
    const atn_pattern *of = p->branch[0].part[0].pattern;

    return atn_plan_is_mask(p) && of && of->heads == 1 && h->sight.window == 0 &&
           of->frame.causal == h->sight.causal && of->frame.nk == h->nk &&
           of->frame.nq == h->nq && of->frame.first == h->sight.offset;
}

atn_status atn_plan_pattern(atn_ctx *cx, const atn_head *h, const atn_plan *p,
                            atn_pattern **out)
{
    const atn_frame f = {h->nk, h->nq, ATN_MAX(h->sight.offset, 0), 1, h->sight.causal};
    const atn_arena_mark mark = atn_arena_save(cx);
    walk at = {.h = h, .p = p};
    atn_status st = ATN_OK;
    support s = {0};
    coded c = {0};
    members_of m;

    *out = NULL;
    if (says_all(h, p)) {
        *out = atn_pattern_keep(p->branch[0].part[0].pattern);
        return ATN_OK;
    }
    ATN_NEW(c.ptr, h->nq + 1);
    ATN_TAKE(at.spans, span_room(p));
    ATN_TRY(find_all(cx, p, 0, h->nq, &m));
    for (at.i = 0; at.i < h->nq; at.i++) {
        atn_sight_row(&h->sight, at.i, &at.lo, &at.hi);
        if (atn_plan_is_mask(p)) {
            ATN_TRY(code_mask(cx, &at, &p->branch[0].part[0], &c));
            continue;
        }
        s.n = 0;
        for (int b = 0; b < p->branches; b++)
            for (int k = 0; k < p->branch[b].parts; k++)
                ATN_TRY(add_part(cx, &at, &p->branch[b].part[k], &m.at[b][k], &s));
        ATN_TRY(code_row(cx, &s, at.i, &c));
    }
    st = atn_pattern_lists(cx, &f, 1, 1, c.ptr, c.items, out);
    c = (coded){0};
done:
    atn_free(cx, s.key);
    atn_free(cx, c.ptr);
    atn_free(cx, c.items);
    atn_arena_rewind(cx, mark);
    return st;
}
