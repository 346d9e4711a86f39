/* graph/field_rows.c -- the layers of a plan as rows of nodes. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>

#include "core/rows.h"
#include "graph/field_internal.h"

enum { CHUNK = 256 }; /* rows of a task */

bool atn_field_first(const atn_field_plan *p, int index)
{
    for (int i = 0; i < index; i++)
        if (p->layers[i] == p->layers[index]) return false;
    return true;
}

bool atn_field_dense(const atn_pattern *p)
{
    if (!p->shift) return false;
    if (p->prefix >= p->cols) return true;
    /* keys behind the prefix are at offsets below cols - prefix */
    if (p->n_offsets == 0 || p->offsets[0].hi + p->prefix < p->cols) return false;
    return p->offsets[0].lo <= (p->frame.causal ? 0 : 1 - p->cols);
}

static atn_idx common_divisor(atn_idx a, atn_idx b)
{
    while (b > 0) {
        const atn_idx r = a % b;

        a = b;
        b = r;
    }
    return a;
}

/* The least number of layers that the list repeats. */
static int period_of(const atn_pattern *const *layers, int n)
{
    for (int k = 1; k < n; k++) {
        int i = k;

        if (n % k > 0) continue;
        while (i < n && layers[i] == layers[i - k]) i++;
        if (i == n) return k;
    }
    return n;
}

atn_status atn_field_plan_make(atn_ctx *cx, const atn_pattern *const *layers, int n,
                               atn_field_plan *out)
{
    atn_idx block = 0, dense = 0;
    atn_status st = ATN_OK;

    ATN_ASSERT(n > 0);
    *out = (atn_field_plan){.layers = layers, .n = n, .causal = true};
    out->tokens = layers[0]->frame.nk;
    for (int i = 0; i < n; i++) {
        const atn_frame *f = &layers[i]->frame;

        if (f->nq != f->nk || f->first != 0)
            ATN_FAIL(ATN_USAGE,
                     "field: the pattern of layer %d has %lld queries from position "
                     "%lld on and %lld keys; a field needs a query for every key",
                     i + 1, (long long)f->nq, (long long)f->first, (long long)f->nk);
        if (f->nk != out->tokens)
            ATN_FAIL(ATN_USAGE,
                     "field: the pattern of layer %d has %lld tokens, that of layer 1 "
                     "%lld (give all layers as many)",
                     i + 1, (long long)f->nk, (long long)out->tokens);
        if (atn_field_dense(layers[i]))
            dense = common_divisor(f->block, dense);
        else
            block = common_divisor(f->block, block);
        out->causal &= f->causal;
    }
    out->n = period_of(layers, n);
    out->block = block > 0 ? block : dense;
    out->nodes = (out->tokens - 1) / out->block + 1;
done:
    return st;
}

/* ---- the reader ---- */

static atn_idx most_of(const atn_pattern *p)
{
    const atn_idx most = p->cols / 2 + 1;
    atn_idx all = most;

    if (p->heads > 1 && p->all_room > 0) return ATN_MIN(p->all_most, most);
    if (!atn_mul(p->heads, p->most, &all) || all > most) all = most;
    return all;
}

/* Intervals that all heads together can have, and those that have to be written. */
static void room_of(const atn_field_plan *plan, atn_idx *joined, atn_idx *raw)
{
    *joined = *raw = 1;
    for (int i = 0; i < plan->n; i++) {
        const atn_pattern *p = plan->layers[i];

        *joined = ATN_MAX(*joined, most_of(p));
        *raw = ATN_MAX(*raw, p->heads > 1 && p->all_room > 0 ? p->all_room : p->room);
    }
}

double atn_field_reader_bytes(const atn_field_plan *plan)
{
    atn_idx joined, raw;

    room_of(plan, &joined, &raw);
    return sizeof(atn_span) * ((double)raw + 3 * (double)joined);
}

atn_status atn_field_reader_open(atn_ctx *cx, const atn_field_plan *plan,
                                 atn_field_reader *out)
{
    atn_status st = ATN_OK;
    atn_idx joined, raw;

    *out = (atn_field_reader){.plan = plan, .row = -1};
    room_of(plan, &joined, &raw);
    ATN_TAKE(out->raw, raw);
    for (int i = 0; i < 3; i++) ATN_TAKE(out->of[i], joined);
done:
    return st;
}

atn_repeat atn_field_repeat(const atn_field_plan *plan, const atn_pattern *p)
{
    atn_repeat r = {0};

    if (atn_field_dense(p) || !p->frame.causal) return r;
    r = atn_repeat_scale(p->repeat, p->frame.block / plan->block);
    return r.reach < plan->nodes ? r : (atn_repeat){0};
}

void atn_field_reader_set(atn_field_reader *r, const atn_pattern *p)
{
    r->p = p;
    r->dense = atn_field_dense(p);
    r->factor = r->dense ? 1 : p->frame.block / r->plan->block;
    r->repeat = atn_field_repeat(r->plan, p);
    r->row = -1;
}

/* out <- the union of two sorted lists; touching intervals are joined. */
static atn_idx merge(const atn_span *a, atn_idx na, const atn_span *b, atn_idx nb,
                     atn_span *out)
{
    atn_idx i = 0, j = 0, n = 0;

    while (i < na || j < nb) {
        const bool first = j == nb || (i < na && a[i].lo <= b[j].lo);
        const atn_span x = first ? a[i++] : b[j++];

        if (n > 0 && x.lo <= out[n - 1].hi)
            out[n - 1].hi = ATN_MAX(out[n - 1].hi, x.hi);
        else
            out[n++] = x;
    }
    return n;
}

/* Block row `row` of the pattern from block `from` on, heads joined, is held. */
static void hold(atn_field_reader *r, atn_idx row, atn_idx from)
{
    const atn_idx heads = r->p->all_room > 0 ? 1 : r->p->heads;
    atn_idx n =
        atn_pattern_row_from(r->p, heads > 1 ? 0 : ATN_HEADS_ALL, row, from, r->raw);
    int to = 0;

    r->held = r->raw;
    r->read += n;
    if (heads > 1) {
        memcpy(r->of[0], r->raw, (size_t)n * sizeof *r->raw);
        for (atn_idx h = 1; h < heads; h++, to = 1 - to) {
            const atn_idx m = atn_pattern_row_from(r->p, h, row, from, r->raw);

            n = merge(r->of[to], n, r->raw, m, r->of[1 - to]);
            r->read += n;
        }
        r->held = r->of[to];
    }
    r->n_held = n;
    r->row = row;
    r->from = from;
}

atn_idx atn_field_row_from(atn_field_reader *r, atn_idx a, atn_idx from,
                           const atn_span **spans)
{
    const bool causal = r->p->frame.causal;
    const atn_idx end = causal ? a + 1 : r->plan->nodes;
    const atn_idx row = a / r->factor, block = from / r->factor;
    atn_idx n = 0;

    r->read++;
    *spans = r->of[2];
    if (r->dense) {
        r->of[2][0] = (atn_span){from, end};
        return from < end;
    }
    if (row != r->row || block < r->from) hold(r, row, block);
    if (r->factor == 1 && from == r->from) {
        *spans = r->held;
        return r->n_held;
    }
    for (atn_idx i = 0; i < r->n_held; i++) {
        const atn_span x = {ATN_MAX(r->held[i].lo * r->factor, from),
                            ATN_MIN(r->held[i].hi * r->factor, end)};

        if (x.lo < x.hi) r->of[2][n++] = x;
    }
    return n;
}

atn_idx atn_field_row(atn_field_reader *r, atn_idx a, const atn_span **spans)
{
    return atn_field_row_from(r, a, 0, spans);
}

atn_field_news atn_field_news_of(const atn_field_reader *r, atn_idx a, bool first)
{
    const atn_repeat *p = &r->repeat;
    atn_field_news news = {.fresh = true};

    if (p->step == 0) return news;
    news.fresh = first || atn_repeat_fresh(p, a);
    news.near = ATN_MAX(a - p->step - p->reach, 0);
    news.from = news.fresh ? 0 : ATN_MAX(news.near - p->step, 0);
    news.place = a % p->step;
    return news;
}

bool atn_field_interval(atn_field_reader *r, atn_idx a, atn_span *out)
{
    const atn_span *s;
    const atn_idx n = atn_field_row(r, a, &s);

    *out = (atn_span){a, a + 1};
    if (n > 2 || (n == 2 && (s[0].hi != a || s[1].lo != a + 1))) return false;
    if (n > 0 && (s[0].lo > a + 1 || s[n - 1].hi < a)) return false;
    if (n == 0) return true;
    out->lo = ATN_MIN(s[0].lo, a);
    out->hi = ATN_MAX(s[n - 1].hi, a + 1);
    return true;
}

/* ---- the table ---- */

typedef struct filling {
    const atn_field_plan *plan;
    const atn_pattern *p;
    int64_t *ptr;   /* [nodes + 1]; ptr[a + 1] <- intervals of row a, or .. */
    int32_t *spans; /* .. where it is not NULL, they go there from ptr[a] on */
} filling;

static atn_idx put(const filling *f, atn_idx a, atn_idx at, atn_idx lo, atn_idx hi)
{
    if (lo >= hi) return at;
    if (f->spans) {
        f->spans[2 * (f->ptr[a] + at)] = (int32_t)lo;
        f->spans[2 * (f->ptr[a] + at) + 1] = (int32_t)hi;
    }
    return at + 1;
}

/* The news of row a; one that is held in part is cut. */
static void fill_row(const filling *f, atn_field_reader *r, atn_idx a)
{
    const atn_field_news news = atn_field_news_of(r, a, false);
    const atn_span *s;
    const atn_idx n = atn_field_row_from(r, a, news.from, &s);
    atn_idx at = 0;

    for (atn_idx i = 0; i < n; i++) {
        at = put(f, a, at, s[i].lo, ATN_MIN(s[i].hi, news.near));
        at = put(f, a, at, ATN_MAX(s[i].lo, news.near), s[i].hi);
    }
    if (!f->spans) f->ptr[a + 1] = at;
}

static atn_status fill_chunk(atn_ctx *cx, atn_idx chunk, void *state)
{
    const filling *f = state;
    const atn_idx end = ATN_MIN((chunk + 1) * CHUNK, f->plan->nodes);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_field_reader r;

    ATN_TRY(atn_field_reader_open(cx, f->plan, &r));
    atn_field_reader_set(&r, f->p);
    for (atn_idx a = chunk * CHUNK; a < end; a++) {
        if (r.read > ATN_FIELD_READ_MOST) {
            ATN_TRY(atn_stopped(cx, "rows"));
            r.read = 0;
        }
        fill_row(f, &r, a);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ptr [nodes + 1]: where the intervals of the rows begin. */
static atn_status measure(atn_ctx *cx, filling *f)
{
    const atn_idx nodes = f->plan->nodes;
    atn_status st = ATN_OK;

    f->spans = NULL;
    f->ptr[0] = 0;
    ATN_TRY(atn_parallel(cx, (nodes - 1) / CHUNK + 1, fill_chunk, f, "rows"));
    for (atn_idx a = 0; a < nodes; a++) f->ptr[a + 1] += f->ptr[a];
done:
    return st;
}

atn_status atn_field_table_fill(atn_ctx *cx, const atn_field_plan *plan,
                                const atn_pattern *p, atn_field_table *t)
{
    filling f = {.plan = plan, .p = p};
    atn_status st = ATN_OK;

    if (t->p == p) return ATN_OK;
    atn_field_table_release(cx, t);
    t->repeat = atn_field_repeat(plan, p);
    ATN_NEW(t->ptr, plan->nodes + 1);
    f.ptr = t->ptr;
    ATN_TRY(measure(cx, &f));
    ATN_NEW(t->spans, 2 * t->ptr[plan->nodes]);
    f.spans = t->spans;
    ATN_TRY(atn_parallel(cx, (plan->nodes - 1) / CHUNK + 1, fill_chunk, &f, "rows"));
    t->p = p;
done:
    return st;
}

void atn_field_table_release(atn_ctx *cx, atn_field_table *t)
{
    atn_free(cx, t->ptr);
    atn_free(cx, t->spans);
    *t = (atn_field_table){0};
}

atn_status atn_field_table_most(atn_ctx *cx, const atn_field_plan *plan, int64_t *most)
{
    filling f = {.plan = plan};
    atn_status st = ATN_OK;

    *most = 0;
    ATN_NEW(f.ptr, plan->nodes + 1);
    for (int i = 0; i < plan->n; i++) {
        if (!atn_field_first(plan, i)) continue;
        f.p = plan->layers[i];
        ATN_TRY(measure(cx, &f));
        *most = ATN_MAX(*most, f.ptr[plan->nodes]);
    }
done:
    atn_free(cx, f.ptr);
    return st;
}
