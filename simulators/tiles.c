/* simulators/tiles.c -- which tiles of a pattern a kernel visits: what a tiling must
 * be, and the counts.
 *
 * Cost    grids of the pattern's own axes: tiles_grid.c; tokens as they are:
 *         tiles_plain.c; by residue: shifts tiles_residues.c; other permuted ones:
 *         tiles_permuted.c, which is slower, and far slower where rows do not repeat.
 *         Two numbers a CTA.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "core/rows.h"
#include "simulators/tiles_internal.h"

/* Tasks at most, and rows that one has at least. */
enum { BANDS = 128, BAND_ROWS = 1024 };

/* ---- a tiling that fits ---- */

static const atn_idx sides_most = ATN_PATTERN_KEYS_MOST;

static atn_status check_sides(atn_ctx *cx, const atn_tiling *t)
{
    atn_status st = ATN_OK;
    atn_idx q = 1, k = 1;

    if (t->q.n < 1 || t->q.n > ATN_AXES_MOST || t->k.n != t->q.n)
        ATN_FAIL(ATN_USAGE,
                 "tile: %d sides of queries and %d of keys: there must be as many of "
                 "both, 1 to %d (give QxQ/KxK)",
                 t->q.n, t->k.n, ATN_AXES_MOST);
    for (int i = 0; i < t->q.n; i++)
        if (t->q.at[i] < 1 || t->k.at[i] < 1 || !atn_mul(q, t->q.at[i], &q) ||
            !atn_mul(k, t->k.at[i], &k) || q > sides_most || k > sides_most)
            ATN_FAIL(ATN_USAGE,
                     "tile: side %d is %lld of queries and %lld of keys: a tile has "
                     "sides of at least 1 and at most %lld tokens",
                     i, (long long)t->q.at[i], (long long)t->k.at[i],
                     (long long)sides_most);
    if (t->pack < 0 || t->pack > 65536)
        ATN_FAIL(ATN_USAGE, "tile: %lld heads cannot share a tile (1 to 65536)",
                 (long long)t->pack);
    if (t->pack > 1 && (t->q.n > 1 || t->layout == ATN_LAYOUT_GRID))
        ATN_FAIL(ATN_USAGE,
                 "tile: %lld heads share the rows of a tile, which tiles of a grid "
                 "cannot do (give 1)",
                 (long long)t->pack);
done:
    return st;
}

static bool same_grid(const atn_axes *a, const atn_list *grid)
{
    if (grid->n == 0) return true;
    if (grid->n != a->rank) return false;
    for (int i = 0; i < a->rank; i++)
        if (grid->at[i] != a->at[i].length) return false;
    return true;
}

bool atn_tiles_closed(const atn_pattern *p, const atn_tiling *t)
{
    if (!p->axes) return false;
    if (t->layout == ATN_LAYOUT_GRID) return same_grid(p->axes, &t->grid);
    return t->layout == ATN_LAYOUT_PLAIN && t->pack <= 1 && p->axes->rank == 1 &&
           p->axes->at[0].dilation == 1;
}

static atn_status check_grid(atn_ctx *cx, const atn_pattern *p, const atn_tiling *t,
                             atn_tile_source *s)
{
    atn_status st = ATN_OK;
    atn_idx tokens = 1;

    if (t->grid.n == 0 && !p->axes)
        ATN_FAIL(ATN_USAGE, "tile: the pattern has no grid of its own, so tiles of a "
                            "grid need one (give its shape, or tiles of rank 1)");
    s->rank = t->grid.n ? t->grid.n : p->axes->rank;
    if (s->rank != t->q.n)
        ATN_FAIL(ATN_USAGE,
                 "tile: %d sides on a grid of %d axes (give a tile of rank %d)", t->q.n,
                 s->rank, s->rank);
    for (int i = 0; i < s->rank; i++) {
        s->shape[i] = t->grid.n ? t->grid.at[i] : p->axes->at[i].length;
        if (s->shape[i] < 1 || !atn_mul(tokens, s->shape[i], &tokens) ||
            tokens > sides_most)
            ATN_FAIL(ATN_USAGE,
                     "tile: axis %d of the grid is %lld, which is not a "
                     "length of a grid of at most %lld tokens",
                     i, (long long)s->shape[i], (long long)sides_most);
    }
    if (p->frame.nq != p->frame.nk || p->frame.first != 0 || tokens != p->frame.nk)
        ATN_FAIL(ATN_USAGE,
                 "tile: a grid of %lld tokens for %lld queries from position %lld on "
                 "and %lld keys: tiles of a grid need all of its tokens as both",
                 (long long)tokens, (long long)p->frame.nq, (long long)p->frame.first,
                 (long long)p->frame.nk);
done:
    return st;
}

static atn_status check_fit(atn_ctx *cx, const atn_pattern *p, const atn_tiling *t,
                            atn_tile_source *s)
{
    atn_status st = ATN_OK;

    if (t->layout == ATN_LAYOUT_GRID) ATN_TRY(check_grid(cx, p, t, s));
    if (t->layout != ATN_LAYOUT_GRID && t->q.n != 1)
        ATN_FAIL(ATN_USAGE,
                 "tile: %d sides, but tokens in their own order have tiles of rank 1 "
                 "(give one side, or tiles of a grid)",
                 t->q.n);
    if (t->layout == ATN_LAYOUT_STRIDE &&
        (t->stride < 1 || t->stride > ATN_MAX(p->frame.nk, 1)))
        ATN_FAIL(ATN_USAGE, "tile: stride %lld of %lld keys is not in 1..%lld",
                 (long long)t->stride, (long long)p->frame.nk, (long long)p->frame.nk);
done:
    return st;
}

atn_status atn_tiles_open(atn_ctx *cx, const atn_pattern *p, atn_idx head,
                          const atn_tiling *t, atn_tile_source *out)
{
    atn_status st = ATN_OK;
    atn_tile_source s = {.p = p, .head = head, .t = t};
    atn_idx rows = 0;

    ATN_TRY(check_sides(cx, t));
    ATN_TRY(check_fit(cx, p, t, &s));
    s.most = p->most;
    s.room = p->room;
    if (head == ATN_HEADS_ALL && p->heads > 1) {
        s.most = p->all_most;
        s.room = p->all_room;
    }
    if (s.room == 0)
        ATN_FAIL(ATN_USAGE, "tile: what all heads of the pattern see together is not "
                            "known (ask head by head)");
    s.pack = ATN_MAX(t->pack, 1);
    s.bm = atn_list_product(&t->q);
    s.bn = atn_list_product(&t->k);
    if (t->layout == ATN_LAYOUT_STRIDE) s.stride = t->stride;
    if (atn_tiles_closed(p, t) && t->layout == ATN_LAYOUT_PLAIN) {
        s.rank = 1;
        s.shape[0] = p->frame.nk;
    }
    for (int i = 0; i < t->q.n; i++) {
        const atn_axis whole = {s.shape[i], 1, 1, 1, false};
        const atn_axis *a = atn_tiles_closed(p, t) ? &p->axes->at[i] : &whole;

        s.tq[i] = t->q.at[i];
        s.tk[i] = t->k.at[i];
        s.nq[i] = atn_axis_tiles(a, s.tq[i]);
        s.nk[i] = atn_axis_tiles(a, s.tk[i]);
    }
    if (!atn_mul(p->frame.nq, s.pack, &rows))
        ATN_FAIL(ATN_USAGE, "tile: too many rows");
    s.q_tiles = atn_ceil_div(rows, s.bm);
    s.k_tiles = atn_ceil_div(p->frame.nk, s.bn);
    if (t->layout == ATN_LAYOUT_GRID) {
        s.q_tiles = s.k_tiles = 1;
        for (int i = 0; i < s.rank; i++) {
            s.q_tiles *= s.nq[i];
            s.k_tiles *= s.nk[i];
        }
    }
    *out = s;
done:
    return st;
}

atn_status atn_tiles_make(atn_ctx *cx, const atn_pattern *p, atn_idx head,
                          const atn_tiling *t, atn_tile_source *out)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_tiles_open(cx, p, head, t, out));
    if (t->layout == ATN_LAYOUT_PLAIN)
        atn_tiles_plain(out);
    else if (atn_tiles_shifted(out))
        ATN_TRY(atn_tiles_residues(cx, out));
    else
        ATN_TRY(atn_tiles_permuted(cx, out));
done:
    return st;
}

/* ---- counting ---- */

atn_status atn_tiles_room(atn_ctx *cx, atn_idx ctas, atn_idx other, double beside,
                          atn_tiles *out)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_mem_check(cx, 8 * (double)ctas + beside, "counting tiles"));
    out->ctas = ctas;
    out->other = other;
    ATN_NEW(out->visits, ctas);
    ATN_NEW(out->masked, ctas);
done:
    return st;
}

typedef struct band_sum {
    int64_t visited, full, flex, pairs;
} band_sum;

typedef struct count {
    const atn_tile_source *s;
    atn_tiles *out;
    atn_idx band;         /* Q tiles of a task */
    int64_t *seen, *full; /* [k_tiles + 1] steps, where KV tiles are stationary */
    band_sum *sum;        /* [bands] */
} count;

/* The steps are whole numbers, so that the order of the threads is of no matter. */
static void add_steps(int64_t *to, const atn_span *s, atn_idx n)
{
    for (atn_idx i = 0; i < n; i++) {
#pragma omp atomic
        to[s[i].lo]++;
#pragma omp atomic
        to[s[i].hi]--;
    }
}

static atn_status count_band(atn_ctx *cx, atn_idx band, void *state)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const count *c = state;
    const atn_idx end = ATN_MIN((band + 1) * c->band, c->s->q_tiles);
    atn_status st = ATN_OK;
    band_sum sum = {0};
    void *scratch = NULL;

    ATN_TRY(c->s->open(cx, c->s, &scratch));
    for (atn_idx m = band * c->band; m < end; m++) {
        atn_idx seen, full;
        atn_tile_row r;

        c->s->row(c->s, scratch, m, 0, &r);
        seen = atn_ranges_length(r.seen, r.n_seen);
        full = atn_ranges_length(r.full, r.n_full);
        sum.visited += seen;
        sum.full += full;
        sum.flex += r.flex;
        sum.pairs += r.pairs;
        if (c->seen) {
            add_steps(c->seen, r.seen, r.n_seen);
            add_steps(c->full, r.full, r.n_full);
        } else {
            c->out->visits[m] = (int32_t)seen;
            c->out->masked[m] = (int32_t)(seen - full);
        }
        if (m % 64 == 0) ATN_TRY(atn_stopped(cx, "counting tiles"));
    }
    c->sum[band] = sum;
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static void sum_steps(const count *c)
{
    int64_t seen = 0, full = 0;

    for (atn_idx k = 0; k < c->s->k_tiles; k++) {
        seen += c->seen[k];
        full += c->full[k];
        c->out->visits[k] = (int32_t)seen;
        c->out->masked[k] = (int32_t)(seen - full);
    }
}

static atn_status count_source(atn_ctx *cx, const atn_tile_source *s, atn_tiles *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    count c = {.s = s,
               .out = out,
               .band = ATN_MAX(atn_ceil_div(s->q_tiles, BANDS),
                               atn_ceil_div(BAND_ROWS, s->bm))};
    const atn_idx bands = atn_ceil_div(s->q_tiles, c.band);
    atn_status st = ATN_OK;

    ATN_TAKE(c.sum, bands);
    if (s->t->backward) {
        const size_t bytes = (size_t)(s->k_tiles + 1) * sizeof *c.seen;

        ATN_TAKE(c.seen, s->k_tiles + 1);
        ATN_TAKE(c.full, s->k_tiles + 1);
        memset(c.seen, 0, bytes);
        memset(c.full, 0, bytes);
    }
    ATN_TRY(atn_parallel(cx, bands, count_band, &c, "counting tiles"));
    for (atn_idx b = 0; b < bands; b++) {
        out->visited += c.sum[b].visited;
        out->full += c.sum[b].full;
        out->flex_full += c.sum[b].flex;
        out->pairs += c.sum[b].pairs;
    }
    if (!s->pairs) ATN_TRY(atn_pattern_pairs(cx, s->p, s->head, &out->pairs));
    if (s->t->backward) sum_steps(&c);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status count_rows(atn_ctx *cx, const atn_tile_source *s, atn_tiles *out)
{
    const bool backward = s->t->backward;
    const double steps = backward ? 16 * (double)(s->k_tiles + 1) : 0;
    atn_status st = ATN_OK;

    if (s->q_tiles > INT32_MAX || s->k_tiles > INT32_MAX)
        ATN_FAIL(ATN_USAGE,
                 "tile: %lld tiles of queries and %lld of keys, at most %lld can be "
                 "counted (give larger tiles)",
                 (long long)s->q_tiles, (long long)s->k_tiles, (long long)INT32_MAX);
    ATN_TRY(atn_tiles_room(cx, backward ? s->k_tiles : s->q_tiles,
                           backward ? s->q_tiles : s->k_tiles,
                           s->scratch * cx->threads + steps, out));
    out->natten_sparse = -1;
    if (atn_tiles_repeat(s))
        ATN_TRY(atn_tiles_repeated(cx, s, out));
    else
        ATN_TRY(count_source(cx, s, out));
    for (atn_idx i = 0; i < out->ctas; i++)
        out->max = ATN_MAX(out->max, out->visits[i]);
    out->partial = out->visited - out->full;
    out->flex_partial = out->visited - out->flex_full;
done:
    return st;
}

atn_status atn_tiles_count(atn_ctx *cx, const atn_pattern *p, atn_idx head,
                           const atn_tiling *t, atn_tiles *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_tile_source s;

    *out = (atn_tiles){0};
    if (atn_tiles_closed(p, t)) {
        ATN_TRY(atn_tiles_open(cx, p, head, t, &s));
        ATN_TRY(atn_tiles_grid(cx, &s, out));
    } else {
        ATN_TRY(atn_tiles_make(cx, p, head, t, &s));
        ATN_TRY(count_rows(cx, &s, out));
    }
    ATN_TRY(atn_mem_check(cx, 8 * (double)(out->max + 1), "a histogram of tiles"));
    ATN_NEW(out->histogram, out->max + 1);
    for (atn_idx i = 0; i < out->ctas; i++) out->histogram[out->visits[i]]++;
    out->sparse = out->partial == 0;
    out->waste = (double)out->visited * (double)s.bm * (double)s.bn /
                 ((double)out->pairs * (double)s.pack);
done:
    if (st != ATN_OK) atn_tiles_release(cx, out);
    atn_arena_rewind(cx, mark);
    return st;
}

void atn_tiles_release(atn_ctx *cx, atn_tiles *t)
{
    if (!t) return;
    atn_free(cx, t->visits);
    atn_free(cx, t->masked);
    atn_free(cx, t->histogram);
    *t = (atn_tiles){0};
}

/* ---- bounds ---- */

atn_dense_tiles atn_tiles_dense(const atn_pattern *p, const atn_tiling *t, bool causal)
{
    const atn_frame *f = &p->frame;
    const atn_idx pack = ATN_MAX(t->pack, 1);
    const atn_idx bm = atn_list_product(&t->q), bn = atn_list_product(&t->k);
    const atn_idx q_tiles = atn_ceil_div(f->nq * pack, bm),
                  k_tiles = atn_ceil_div(f->nk, bn);
    const double tiles = (double)q_tiles * (double)k_tiles;
    const double nq = (double)f->nq, first = (double)f->first, nk = (double)f->nk;
    /* queries that do not see all keys */
    const double part = ATN_MAX(ATN_MIN(nk - 1 - first, nq), 0);
    atn_idx last = 0;
    atn_dense_tiles d = {.ctas = (double)(t->backward ? k_tiles : q_tiles),
                         .visited = tiles,
                         .max = (double)(t->backward ? q_tiles : k_tiles),
                         .pairs = nq * nk};

    if (!causal) return d;
    d.pairs = part * (first + (part + 1) / 2) + (nq - part) * nk;
    d.visited = 0;
    for (atn_idx m = 0; m < q_tiles; m++) {
        const atn_idx q1 = ATN_MIN(((m + 1) * bm - 1) / pack + 1, f->nq);
        const atn_idx seen = atn_ceil_div(ATN_MIN(f->first + q1, f->nk), bn);

        d.visited += (double)seen;
        last = seen;
    }
    if (!t->backward) d.max = (double)last;
    return d;
}

atn_tile_bounds atn_tiles_over(const atn_dense_tiles *dense, double pairs,
                               double visited, double max)
{
    return (atn_tile_bounds){pairs > 0 ? dense->pairs / pairs : NAN,
                             visited > 0 ? dense->visited / visited : NAN,
                             max > 0 ? dense->max / max : NAN};
}

atn_tile_bounds atn_tiles_bounds(const atn_pattern *p, const atn_tiling *t,
                                 const atn_tiles *counts, bool causal)
{
    const atn_dense_tiles d = atn_tiles_dense(p, t, causal);

    return atn_tiles_over(&d, (double)counts->pairs, (double)counts->visited,
                          (double)counts->max);
}
