/* core/pattern_count.c -- how many pairs a pattern has, and where.
 *
 * Math    a row is walked, or its length is known; where rows repeat, row a is the held
 *         blocks of row a - step, those that came near between the two, and the last
 *         ones near a. Of a grid that is not causal all is a product over the axes.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "core/pattern_internal.h"

/* What decides the keys of all queries of a block row. */
typedef struct block_row {
    atn_idx blocks; /* that it sees */
    bool last, own; /* the last block of the keys, the row's own, are among them */
} block_row;

typedef struct walk {
    const atn_pattern *p;
    atn_idx head, spans; /* intervals read so far */
    atn_span *room;      /* [p->room] */
    atn_idx *held;       /* [step] blocks before the near ones, of a row a by a mod
                            step; NULL: rows are walked to their ends */
} walk;

/* Rows behind the last key would not meet its block. */
static bool goes_on(const atn_pattern *p)
{
    return p->repeat.step > 0 && p->row1 <= p->cols;
}

static block_row row_of(walk *w, atn_idx a)
{
    const atn_pattern *p = w->p;
    const atn_idx step = p->repeat.step, near = a - p->repeat.reach - step;
    const bool fresh =
        !w->held || atn_repeat_fresh(&p->repeat, a) || a < p->row0 + step;
    block_row r = {0, false, false};
    atn_idx n, held = 0;

    if (p->frame.block == 1 && p->kind->length) {
        r.blocks = p->kind->length(p, w->head, a);
        return r;
    }
    n = atn_pattern_row_from(p, w->head, a, fresh ? 0 : ATN_MAX(near - step, 0),
                             w->room);
    for (atn_idx s = 0; s < n; s++) {
        const atn_span x = w->room[s];

        r.blocks += x.hi - x.lo;
        r.own |= x.lo <= a && a < x.hi;
        if (x.lo < near) held += ATN_MIN(x.hi, near) - x.lo;
    }
    r.last = n > 0 && w->room[n - 1].hi == p->cols;
    w->spans += n + 1;
    if (!w->held) return r;
    if (!fresh) {
        r.blocks += w->held[a % step];
        held += w->held[a % step];
    }
    w->held[a % step] = held;
    return r;
}

/* Keys of query i of that row: whole blocks, less what the last one lacks, or what comes
 * after the query. */
static atn_idx keys_of(const atn_pattern *p, const block_row *r, atn_idx a, atn_idx i)
{
    const atn_idx b = p->frame.block;
    const atn_idx end = p->frame.causal ? ATN_MIN(i + 1, p->frame.nk) : p->frame.nk;

    if (b == 1) return r->blocks;
    if (p->frame.causal && r->own) return r->blocks * b - ((a + 1) * b - end);
    return r->blocks * b - (r->last ? p->cols * b - p->frame.nk : 0);
}

static atn_idx visible_of(const atn_pattern *p, atn_idx i)
{
    return p->frame.causal ? ATN_MIN(i + 1, p->frame.nk) : p->frame.nk;
}

typedef struct tally {
    int64_t pairs, visible, blocks, visible_blocks;
    atn_idx most, least, empty;
    double shares;
} tally;

static void count_row(walk *w, atn_idx a, tally *t)
{
    const atn_pattern *p = w->p;
    const block_row r = row_of(w, a);
    const atn_idx b = p->frame.block, first = p->frame.first;
    const atn_idx end = ATN_MIN((a + 1) * b, first + p->frame.nq);

    t->blocks += r.blocks;
    t->visible_blocks += atn_pattern_limit(p, a);
    for (atn_idx i = ATN_MAX(a * b, first); i < end; i++) {
        const atn_idx keys = keys_of(p, &r, a, i), visible = visible_of(p, i);

        t->pairs += keys;
        t->visible += visible;
        t->most = ATN_MAX(t->most, keys);
        t->least = ATN_MIN(t->least, keys);
        t->empty += keys == 0;
        t->shares += (double)keys / (double)visible;
    }
}

/* All rows; interrupted every 4096 rows and every million intervals. */
static atn_status count_rows(atn_ctx *cx, const atn_pattern *p, atn_idx head, tally *t)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    walk w = {.p = p, .head = head};
    atn_status st = ATN_OK;

    ATN_TAKE(w.room, p->room);
    if (goes_on(p)) {
        ATN_TAKE(w.held, p->repeat.step);
        memset(w.held, 0, (size_t)p->repeat.step * sizeof *w.held);
    }
    for (atn_idx a = p->row0; a < p->row1; a++) {
        if (a % 4096 == 0 || w.spans > 1000000) {
            ATN_TRY(atn_progress(cx, "counting", (double)(a - p->row0),
                                 (double)(p->row1 - p->row0)));
            w.spans = 0;
        }
        count_row(&w, a, t);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Every query of a grid sees a window of each axis; none is empty. */
static void count_grid(const atn_axes *g, tally *t)
{
    const atn_idx n = atn_axes_tokens(g);

    t->pairs = t->blocks = atn_axes_pairs(g);
    t->visible = t->visible_blocks = n * n;
    t->most = t->least = 1;
    for (int i = 0; i < g->rank; i++) {
        const atn_axis *x = &g->at[i];
        atn_idx most = 0, least = x->length;

        for (atn_idx at = 0; at < x->length; at++) {
            atn_idx lo, hi;

            atn_axis_window(x, atn_axis_group(x, at % x->dilation), at / x->dilation,
                            &lo, &hi);
            most = ATN_MAX(most, hi - lo);
            least = ATN_MIN(least, hi - lo);
        }
        t->most *= most;
        t->least *= least;
    }
    t->shares = (double)t->pairs / (double)n;
}

atn_status atn_pattern_count(atn_ctx *cx, const atn_pattern *p, atn_idx head,
                             atn_pattern_counts *out)
{
    const double nan = (double)NAN, nq = (double)p->frame.nq, nk = (double)p->frame.nk;
    tally t = {.least = p->frame.nk};
    atn_status st = ATN_OK;

    if (p->axes && !p->frame.causal)
        count_grid(p->axes, &t);
    else
        ATN_TRY(count_rows(cx, p, head, &t));
    *out = (atn_pattern_counts){
        .pairs = t.pairs,
        .blocks = t.blocks,
        .row_most = t.most,
        .row_least = t.least,
        .empty_rows = t.empty,
        .full = (double)t.pairs / (nq * nk),
        .causal = p->frame.causal ? (double)t.pairs / (double)t.visible : nan,
        .block_full =
            (double)t.blocks / ((double)(p->row1 - p->row0) * (double)p->cols),
        .block_causal =
            p->frame.causal ? (double)t.blocks / (double)t.visible_blocks : nan,
        .kv = (double)t.most / nk,
        .mean = t.shares / nq};
done:
    return st;
}

atn_status atn_pattern_pairs(atn_ctx *cx, const atn_pattern *p, atn_idx head,
                             int64_t *pairs)
{
    atn_pattern_counts c = {0};
    atn_status st = ATN_OK;

    *pairs = 0;
    if (p->axes) {
        *pairs = atn_axes_pairs(p->axes);
        return ATN_OK;
    }
    ATN_TRY(atn_pattern_count(cx, p, head, &c));
    *pairs = c.pairs;
done:
    return st;
}

/* ---- an image ---- */

typedef struct image {
    const atn_pattern *p;
    atn_mat out;
    atn_idx
        *edge;    /* [cols + 1] cell c of keys begins at edge[c] = floor(c nk / cols) */
    double *kept; /* [cols] pairs of a row of cells */
    double *across; /* [cols + 1] queries that have all keys of a cell, as steps: to be
                       summed from the first on */
} image;

/* The cell of key x < nk. */
static atn_idx cell_of(const image *im, atn_idx x)
{
    const double cells = (double)im->out.cols, nk = (double)im->p->frame.nk;
    atn_idx c = ATN_MIN((atn_idx)((double)x * cells / nk), im->out.cols - 1);

    while (im->edge[c] > x) c--;
    while (im->edge[c + 1] <= x) c++;
    return c;
}

/* Adds the keys [lo, hi) of each of `count` queries to the cells. */
static void add_keys(const image *im, atn_idx lo, atn_idx hi, atn_idx count)
{
    const double n = (double)count;
    atn_idx first, last;

    if (lo >= hi) return;
    first = cell_of(im, lo);
    last = cell_of(im, hi - 1);
    if (first == last) {
        im->kept[first] += n * (double)(hi - lo);
        return;
    }
    im->kept[first] += n * (double)(im->edge[first + 1] - lo);
    im->kept[last] += n * (double)(hi - im->edge[last]);
    im->across[first + 1] += n;
    im->across[last] -= n;
}

/* Keys of [lo, hi) at or before their query, of all queries [from, to): the sum of
 * min(i + 1, hi) - lo where that is above 0. */
static double pairs_before(atn_idx lo, atn_idx hi, atn_idx from, atn_idx to)
{
    const atn_idx a = ATN_MAX(from, lo); /* from here on one more a query .. */
    const atn_idx b = ATN_MAX(ATN_MIN(to, hi), a); /* .. up to all of them from here */
    const double n = (double)(b - a), first = (double)(a + 1 - lo);

    return n * first + n * (n - 1) / 2 +
           (double)(hi - lo) * (double)ATN_MAX(to - ATN_MAX(b, from), 0);
}

/* The same by cells, keys [lo, hi), added. */
static void add_before(const image *im, atn_idx lo, atn_idx hi, atn_idx from,
                       atn_idx to)
{
    for (atn_idx c = lo < hi ? cell_of(im, lo) : im->out.cols; lo < hi; c++) {
        const atn_idx end = ATN_MIN(im->edge[c + 1], hi);

        im->kept[c] += pairs_before(lo, end, from, to);
        lo = end;
    }
}

/* Queries [from, to) of block row a: they have the same keys, in a causal pattern but
 * for those behind the query in its own block. */
static void image_block(const image *im, const atn_span *spans, atn_idx n, atn_idx from,
                        atn_idx to)
{
    const atn_frame *f = &im->p->frame;
    const atn_idx own = f->causal ? from / f->block * f->block : f->nk;

    for (atn_idx s = 0; s < n; s++) {
        const atn_idx lo = spans[s].lo * f->block,
                      hi = ATN_MIN(spans[s].hi * f->block, f->nk);

        add_keys(im, lo, ATN_MIN(hi, own), to - from);
        if (hi > own) add_before(im, ATN_MAX(lo, own), hi, from, to);
    }
}

static void image_row(const image *im, atn_idx head, atn_idx r, atn_span *room)
{
    const atn_pattern *p = im->p;
    const atn_frame *f = &p->frame;
    const atn_idx cells = im->out.cols, end = f->first + (r + 1) * f->nq / im->out.rows;
    const atn_idx begin = f->first + r * f->nq / im->out.rows;
    double across = 0;

    for (atn_idx c = 0; c <= cells; c++) im->across[c] = 0;
    for (atn_idx c = 0; c < cells; c++) im->kept[c] = 0;
    for (atn_idx i = begin, to; i < end; i = to) {
        const atn_idx a = i / f->block;
        const atn_idx n = atn_pattern_row(p, head, a, room);

        to = ATN_MIN((a + 1) * f->block, end);
        image_block(im, room, n, i, to);
    }
    for (atn_idx c = 0; c < cells; c++) {
        const atn_idx lo = im->edge[c], hi = im->edge[c + 1];
        const double seen = f->causal ? pairs_before(lo, hi, begin, end)
                                      : (double)(hi - lo) * (double)(end - begin);

        across += im->across[c];
        im->kept[c] += across * (double)(hi - lo);
        atn_row(im->out, r)[c] = seen > 0 ? (float)(im->kept[c] / seen) : NAN;
    }
}

atn_status atn_pattern_image(atn_ctx *cx, const atn_pattern *p, atn_idx head,
                             atn_mat out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    image im = {.p = p, .out = out};
    atn_status st = ATN_OK;
    atn_span *room = NULL;

    ATN_ASSERT(out.rows >= 1 && out.rows <= p->frame.nq && out.cols >= 1 &&
               out.cols <= p->frame.nk);
    ATN_TAKE(room, p->room);
    ATN_TAKE(im.edge, out.cols + 1);
    ATN_TAKE(im.kept, out.cols);
    ATN_TAKE(im.across, out.cols + 1);
    for (atn_idx c = 0; c <= out.cols; c++) im.edge[c] = c * p->frame.nk / out.cols;
    for (atn_idx r = 0; r < out.rows; r++) {
        ATN_TRY(atn_progress(cx, "drawing a pattern", (double)r, (double)out.rows));
        image_row(&im, head, r, room);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}
