/* approx/blocks.c -- blocks of keys and their scores, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/blocks.h"

#include <string.h>

#include "core/kernels/kernels.h"
#include "core/rows.h"

enum { TILE_FLOATS = 1 << 18, TILE_ROWS_LEAST = 8, TILE_ROWS_MOST = 64 };

atn_block_row atn_block_row_of(const atn_head *h, atn_idx i, atn_idx block)
{
    atn_block_row r = {.at = atn_sight_at(&h->sight, i)};
    atn_idx seen;

    atn_sight_row(&h->sight, i, &r.lo, &r.hi);
    if (r.lo >= r.hi || r.at < 0) {
        r.lo = r.hi = 0;
        return r;
    }
    seen = (r.hi - 1) / block + 1;
    r.first = r.lo / block;
    r.past = ATN_MIN(r.at / block, seen);
    r.end = ATN_MIN(r.past + 1, seen);
    r.complete = ATN_MIN((r.at + 1) / block, seen);
    return r;
}

atn_status atn_block_row_put(atn_ctx *cx, atn_chosen *c, const atn_block_row *r,
                             atn_idx block, const atn_idx *blocks, atn_idx n)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_span *spans = NULL;

    ATN_TAKE(spans, n);
    for (atn_idx b = 0; b < n; b++)
        spans[b] = (atn_span){ATN_MAX(blocks[b] * block, r->lo),
                              ATN_MIN((blocks[b] + 1) * block, r->hi)};
    ATN_TRY(atn_chosen_put(cx, c, r->at, spans, n));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- scores ---- */

static atn_idx panels_of(atn_idx n)
{
    return (n + ATN_PANEL - 1) / ATN_PANEL;
}

atn_status atn_scored_open(atn_ctx *cx, atn_idx n, atn_idx d, atn_scored *out)
{
    atn_status st = ATN_OK;
    atn_idx count;

    *out = (atn_scored){.n = n, .d = d};
    if (!atn_mul(panels_of(n) * ATN_PANEL, d, &count))
        ATN_FAIL(ATN_MEMORY, "%lld x %lld numbers to score against are too many",
                 (long long)n, (long long)d);
    ATN_TAKE(out->panels, count);
done:
    return st;
}

void atn_scored_put(const atn_scored *s, atn_idx from, atn_cmat x)
{
    ATN_ASSERT(from % ATN_PANEL == 0 && x.cols == s->d && from + x.rows <= s->n);
    ATN_ASSERT(x.rows % ATN_PANEL == 0 || from + x.rows == s->n);
    atn_panels_pack(x.data, x.ld, x.rows, x.cols, s->panels + from * s->d);
}

atn_status atn_scored_pack(atn_ctx *cx, atn_cmat x, atn_scored *out)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_scored_open(cx, x.rows, x.cols, out));
    atn_scored_put(out, 0, x);
done:
    return st;
}

atn_status atn_scored_tile(atn_ctx *cx, const atn_scored *x, atn_cmat q, atn_idx lo,
                           atn_idx hi, atn_mat *out)
{
    const atn_idx panel = lo / ATN_PANEL, n = panels_of(hi) - panel;
    atn_status st = ATN_OK;
    float *data = NULL;

    ATN_ASSERT(lo >= 0 && lo <= hi && hi <= x->n && q.cols == x->d);
    *out = (atn_mat){NULL, q.rows, hi - lo, ATN_MAX(n, 1) * ATN_PANEL};
    ATN_TAKE(data, q.rows * out->ld);
    atn_panels_dot(q.data, q.ld, q.rows, x->panels + panel * ATN_PANEL * x->d,
                   hi > lo ? n : 0, x->d, data, out->ld);
    out->data = data + (lo - panel * ATN_PANEL);
done:
    return st;
}

atn_idx atn_scored_rows(atn_idx n)
{
    const atn_idx fit = TILE_FLOATS / ATN_MAX(n, 1) / 8 * 8;

    return ATN_MIN(ATN_MAX(fit, (atn_idx)TILE_ROWS_LEAST), (atn_idx)TILE_ROWS_MOST);
}

double atn_scored_bytes(const atn_ctx *cx, atn_idx n, atn_idx d)
{
    const double wide = (double)(panels_of(n) * ATN_PANEL);

    return sizeof(float) * wide *
           ((double)d + (double)cx->threads * ((double)atn_scored_rows(n) + 1));
}

atn_status atn_scored_queries(atn_ctx *cx, const atn_scored *x, const atn_head *h,
                              const atn_row_tile *t, atn_mat *out)
{
    const atn_cmat q = {atn_crow(h->q, t->from), t->to - t->from, h->q.cols, h->q.ld};

    return atn_scored_tile(cx, x, q, t->lo, t->hi, out);
}

/* ---- rows by tiles ---- */

typedef struct run {
    const atn_scoring *of;
    atn_idx rows; /* of a tile */
    atn_tally *tally;
} run;

static atn_row_tile tile_of(const run *r, atn_idx at)
{
    const atn_scoring *s = r->of;
    atn_row_tile t = {.from = at * r->rows, .lo = s->vectors};

    t.to = ATN_MIN(t.from + r->rows, s->rows);
    for (atn_idx i = t.from; i < t.to; i++) {
        const atn_span x = s->range(s->state, i);

        if (x.lo >= x.hi) continue;
        t.lo = ATN_MIN(t.lo, x.lo);
        t.hi = ATN_MAX(t.hi, x.hi);
    }
    t.lo = ATN_MIN(t.lo, t.hi);
    return t;
}

static atn_status run_tile(atn_ctx *cx, atn_idx at, void *state)
{
    const run *r = state;
    const atn_row_tile t = tile_of(r, at);
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_status st = r->of->tile(cx, r->of->state, &t, &r->tally[at]);

    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_scored_run(atn_ctx *cx, const atn_scoring *s, atn_tally *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    run r = {.of = s, .rows = atn_scored_rows(s->vectors)};
    const atn_idx tiles = (s->rows - 1) / r.rows + 1;
    atn_status st = ATN_OK;

    ATN_ASSERT(s->rows >= 1);
    ATN_TAKE(r.tally, tiles);
    memset(r.tally, 0, (size_t)tiles * sizeof *r.tally);
    ATN_TRY(atn_parallel(cx, tiles, run_tile, &r, s->what));
    *out = atn_tally_sum(r.tally, tiles);
done:
    atn_arena_rewind(cx, mark);
    return st;
}
