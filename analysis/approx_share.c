/* analysis/approx_share.c -- a run of approximations in parts: what a part notes of its
 * heads, and a run made of the notes of all.
 *
 * Three kinds of notes: the cells of a head; that a case failed on some head of a
 * layer, which takes it back on all of them, whichever part they are in; and why a
 * method is left out.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/approx_internal.h"
#include "analysis/shares.h"
#include "core/kernels/kernels.h"

enum { OF_HEAD = 1, TAKEN_BACK, LEFT_OUT };

static const double FLOAT_SAFE = 1e37;

atn_status atn_approx_keep(atn_ctx *cx, const atn_approx *a, int i, atn_idx first,
                           const bool **out)
{
    const atn_idx heads = a->selection->max_heads;
    const bool *selected = a->selection->heads + i * heads;
    atn_status st = ATN_OK;
    bool *keep = NULL;

    ATN_TAKE(keep, heads);
    for (atn_idx h = 0; h < heads; h++) {
        keep[h] = selected[h] && first >= a->from && first < a->to;
        first += selected[h];
    }
    *out = keep;
done:
    return st;
}

/* Can a logit leave float32? |q . k| is at most the product of the norms. */
static bool may_overflow(const atn_head *h, double temperature)
{
    double q = 0, k = 0;

    if (!h->q.data || !h->k.data) return false;
    for (atn_idx i = 0; i < h->nq; i++)
        q = fmax(q, atn_row_square(atn_crow(h->q, i), h->q.cols));
    for (atn_idx i = 0; i < h->nk; i++)
        k = fmax(k, atn_row_square(atn_crow(h->k, i), h->k.cols));
    return !(sqrt(q) * sqrt(k) * fmax(h->scale, 1) * fmax(temperature, 1) < FLOAT_SAFE);
}

atn_status atn_approx_find_bad(atn_ctx *cx, atn_approx_running *r)
{
    const double temperature = r->a->cases[r->first_case].temperature;
    const atn_dense_opts opts = {.top_k = 1};

    for (atn_idx h = 0; h < r->heads; h++) {
        const atn_head *head = atn_running_head(r, h);
        atn_dense d = {0};
        atn_status st;

        if (!r->selected[h] || r->keep[h] || r->layer.bad[h]) continue;
        if (!may_overflow(head, temperature)) continue;
        st = atn_dense_make(cx, head, &opts, &d);
        atn_dense_release(cx, &d);
        if (st != ATN_OK && st != ATN_DATA) return st;
        atn_err_clear(cx);
        r->layer.bad[h] = st == ATN_DATA;
    }
    return ATN_OK;
}

/* ---- notes of a part ---- */

static atn_status put_cell(atn_ctx *cx, const atn_approx *a, const atn_approx_cell *x,
                           atn_bytes *b)
{
    const int64_t numbers[] = {x->done,  x->keeps,     x->stores,    x->fit,
                               x->looks, x->tile_rows, x->tile_keys, x->ctas != NULL};
    atn_status st = ATN_OK;

    ATN_TRY(atn_bytes_add(cx, b, numbers, sizeof numbers));
    if (!x->done) return ATN_OK;
    ATN_TRY(atn_bytes_f64(cx, b, x->fitted));
    ATN_TRY(atn_bytes_add(cx, b, x->value, sizeof x->value));
    for (int k = 0; x->ctas && k < a->shapes.n; k++)
        ATN_TRY(atn_bytes_text(cx, b, x->ctas[k]));
done:
    return st;
}

static atn_status note_head(atn_ctx *cx, const atn_approx *a, atn_idx h, atn_bytes *b)
{
    atn_status st = ATN_OK;

    b->size = 0;
    ATN_TRY(atn_bytes_i64(cx, b, a->head[h].failed));
    for (int c = 0; c < a->n_cases; c++)
        ATN_TRY(put_cell(cx, a, atn_approx_at(a, h, c), b));
    ATN_TRY(atn_shard_note(cx, a->opts->shard, OF_HEAD, h, b));
done:
    return st;
}

atn_status atn_approx_note(atn_ctx *cx, const atn_approx *a)
{
    atn_status st = ATN_OK;
    atn_bytes b = {0};

    for (atn_idx h = a->from; h < a->to; h++) ATN_TRY(note_head(cx, a, h, &b));
    for (int m = 0; m < a->list.n; m++) {
        if (!a->list.method[m].left_out) continue;
        b.size = 0;
        ATN_TRY(atn_bytes_text(cx, &b, a->list.method[m].why));
        ATN_TRY(atn_shard_note(cx, a->opts->shard, LEFT_OUT, m, &b));
    }
done:
    atn_bytes_release(cx, &b);
    return st;
}

atn_status atn_approx_note_taken_back(atn_ctx *cx, const atn_approx *a, int c,
                                      atn_idx first)
{
    atn_status st = ATN_OK;
    atn_bytes b = {0};

    if (!atn_shard_is_part(a->opts->shard)) return ATN_OK;
    ATN_TRY(atn_bytes_i64(cx, &b, c));
    ATN_TRY(atn_shard_note(cx, a->opts->shard, TAKEN_BACK, first, &b));
done:
    atn_bytes_release(cx, &b);
    return st;
}

/* ---- putting together ---- */

static atn_status get_ctas(atn_ctx *cx, const atn_approx *a, atn_reader *r,
                           atn_approx_cell *x)
{
    atn_status st = ATN_OK;

    ATN_NEW(x->ctas, ATN_MAX(a->shapes.n, 1));
    for (int k = 0; k < a->shapes.n; k++) {
        const char *text = atn_read_text(r);

        if (!text) continue;
        x->ctas[k] = atn_strdup(cx, text);
        if (!x->ctas[k]) ATN_TRY(cx->err.code);
    }
done:
    return st;
}

static atn_status get_cell(atn_ctx *cx, const atn_approx *a, atn_reader *r,
                           atn_approx_cell *x)
{
    atn_status st = ATN_OK;
    bool ctas;

    atn_approx_drop_ctas(cx, a, x);
    *x = (atn_approx_cell){.done = atn_read_within(r, 0, 1)};
    x->keeps = atn_read_within(r, 0, 1);
    x->stores = atn_read_within(r, 0, 1);
    x->fit = (atn_fit)atn_read_within(r, 0, ATN_FITS - 1);
    x->looks = (int)atn_read_within(r, -1, 64);
    x->tile_rows = atn_read_within(r, 0, INT32_MAX);
    x->tile_keys = atn_read_within(r, 0, INT32_MAX);
    ctas = atn_read_within(r, 0, 1);
    if (!x->done) return ATN_OK;
    x->fitted = atn_read_f64(r);
    atn_read_bytes(r, x->value, sizeof x->value);
    if (ctas) ATN_TRY(get_ctas(cx, a, r, x));
done:
    return st;
}

typedef struct merging {
    atn_approx *a;
    bool *seen; /* [n] */
} merging;

static atn_status found_head(atn_ctx *cx, void *user, atn_idx unit, atn_reader *r)
{
    const merging *m = user;
    atn_approx *a = m->a;
    atn_status st = ATN_OK;

    r->bad |= unit < 0 || unit >= a->n;
    if (r->bad) return ATN_OK;
    m->seen[unit] = true;
    a->head[unit].failed = atn_read_within(r, 0, 1);
    for (int c = 0; c < a->n_cases && !r->bad; c++)
        ATN_TRY(get_cell(cx, a, r, atn_approx_at(a, unit, c)));
done:
    return st;
}

static atn_status found_taken_back(atn_ctx *cx, void *user, atn_idx unit, atn_reader *r)
{
    const merging *m = user;
    atn_approx *a = m->a;
    const int c = (int)atn_read_within(r, 0, a->n_cases - 1);

    r->bad |= unit < 0 || unit >= a->n;
    for (atn_idx h = 0; h < a->n && !r->bad; h++) {
        if (a->head[h].info != a->head[unit].info) continue;
        atn_approx_drop_ctas(cx, a, atn_approx_at(a, h, c));
        *atn_approx_at(a, h, c) = (atn_approx_cell){0};
    }
    return ATN_OK;
}

/* The reason is that of the first part that has one: that of its first layer. */
static atn_status found_left_out(atn_ctx *cx, void *user, atn_idx unit, atn_reader *r)
{
    const merging *m = user;
    const char *why = atn_read_text(r);
    atn_approx_method *of;

    (void)cx;
    r->bad |= unit < 0 || unit >= m->a->list.n || !why;
    if (r->bad) return ATN_OK;
    of = &m->a->list.method[unit];
    if (!of->left_out) snprintf(of->why, sizeof of->why, "%s", why);
    of->left_out = true;
    return ATN_OK;
}

atn_status atn_approx_merge(atn_ctx *cx, atn_approx *a)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_shard *s = a->opts->shard;
    merging m = {.a = a};
    atn_status st = ATN_OK;
    atn_idx lacks = 0;

    ATN_TAKE(m.seen, a->n);
    memset(m.seen, 0, (size_t)a->n * sizeof *m.seen);
    ATN_TRY(atn_shard_each(cx, s, OF_HEAD, found_head, &m));
    ATN_TRY(atn_shard_each(cx, s, TAKEN_BACK, found_taken_back, &m));
    ATN_TRY(atn_shard_each(cx, s, LEFT_OUT, found_left_out, &m));
    for (atn_idx h = 0; h < a->n; h++) lacks += !m.seen[h];
    if (lacks > 0)
        ATN_FAIL(ATN_DATA, "approx: %lld heads are in no part (run the shards again)",
                 (long long)lacks);
done:
    atn_arena_rewind(cx, mark);
    return st;
}
