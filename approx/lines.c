/* approx/lines.c -- vertical and slash lines, and means of blocks. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/lines.h"

#include <math.h>
#include <string.h>

#include "core/wide_rows.h"

/* ---- sums of the last rows ---- */

/* The keys that any query sees, and the largest distance of one of them. */
static void reach_of(const atn_head *h, atn_lines *l)
{
    const atn_idx from = h->sight.offset;
    atn_idx lo, hi;

    atn_head_hull(h, from, from + h->nq, &lo, &hi);
    l->key0 = lo;
    l->keys = hi - lo;
    l->reach = 0;
    for (atn_idx i = 0; i < h->nq; i++) {
        atn_sight_row(&h->sight, i, &lo, &hi);
        if (lo < hi) l->reach = ATN_MAX(l->reach, atn_sight_at(&h->sight, i) - lo + 1);
    }
}

/* A sink logit gets no share: rows sum to 1. */
static atn_status add_rows(atn_ctx *cx, const atn_head *of, const atn_tile *t,
                           double *w, atn_lines *l)
{
    atn_head plain = *of, *h = &plain;
    atn_status st = ATN_OK;

    plain.has_sink = false;
    ATN_TRY(atn_wide_logits(cx, h, t, w));
    for (atn_idx r = 0; r < t->rows; r++) {
        const atn_idx at = atn_sight_at(&h->sight, t->first + r);
        double *row = w + r * t->keys, mass;
        atn_idx lo, hi;

        atn_sight_row(&h->sight, t->first + r, &lo, &hi);
        if (lo >= hi) continue;
        row += lo - t->key0;
        ATN_TRY(atn_wide_softmax(cx, h, t->first + r, row, hi - lo, &mass));
        for (atn_idx j = lo; j < hi; j++) {
            l->column[j - l->key0] += row[j - lo];
            l->diagonal[at - j] += row[j - lo];
        }
        l->pairs += (double)(hi - lo);
    }
done:
    return st;
}

atn_status atn_lines_sum(atn_ctx *cx, const atn_head *h, atn_idx last, atn_lines *out)
{
    const atn_idx step = atn_wide_rows(h), rows = ATN_MIN(last, h->nq);
    atn_status st = ATN_OK;
    double *w = NULL;

    ATN_ASSERT(h->sight.causal);
    *out = (atn_lines){.rows = rows};
    reach_of(h, out);
    ATN_TAKE(out->column, out->keys);
    ATN_TAKE(out->diagonal, out->reach);
    memset(out->column, 0, (size_t)out->keys * sizeof *out->column);
    memset(out->diagonal, 0, (size_t)out->reach * sizeof *out->diagonal);
    ATN_TAKE(w, ATN_MIN(step, rows) * out->keys);
    for (atn_idx i = h->nq - rows; i < h->nq; i += step) {
        const atn_tile t = atn_tile_of(h, i, step);

        ATN_TRY(add_rows(cx, h, &t, w, out));
        ATN_TRY(atn_stopped(cx, "summing lines"));
    }
done:
    return st;
}

/* ---- the best of them ---- */

atn_idx atn_lines_best(double *score, atn_idx n, const atn_lines_rule *r, atn_span *out,
                       double *scratch, int64_t *ties)
{
    if (r->k <= 0) return 0;
    for (atn_idx j = 0; j < ATN_MIN(r->forced, n); j++) score[j] = 1e300;
    return atn_cut_spans(score, n, atn_cut_at_count(score, n, r->k, scratch, ties),
                         r->from, out);
}

atn_status atn_lines_pattern(atn_ctx *cx, const atn_frame *f, atn_lines_list columns,
                             atn_lines_list diagonals, atn_pattern **out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx end = (f->first + f->nq - 1) / f->block + 1;
    atn_pattern *slash = NULL, *vertical = NULL;
    atn_status st = ATN_OK;
    atn_box *boxes = NULL;

    *out = NULL;
    ATN_TAKE(boxes, columns.n);
    for (atn_idx c = 0; c < columns.n; c++)
        boxes[c] = (atn_box){{ATN_MIN(columns.at[c].lo, end - 1), end}, columns.at[c]};
    ATN_TRY(atn_pattern_shift(cx, f, diagonals.at, diagonals.n, 0, &slash));
    if (columns.n > 0) {
        ATN_TRY(atn_pattern_boxes(cx, f, boxes, columns.n, &vertical));
        st = atn_pattern_union(cx, slash, vertical, out);
    } else {
        *out = slash;
    }
    slash = vertical = NULL;
    ATN_TRY(st);
done:
    atn_pattern_destroy(cx, slash);
    atn_pattern_destroy(cx, vertical);
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- means of blocks ---- */

atn_status atn_means_of(atn_ctx *cx, const atn_head *h, atn_idx block, atn_means *out)
{
    const atn_frame f = atn_head_frame(h, block);
    const atn_idx d = h->q.cols,
                  before = f.first % block; /* of a chunk's first block */
    const atn_idx part = before ? ATN_MIN(block - before, h->nq) : 0;
    atn_status st = ATN_OK;

    *out = (atn_means){.d = d,
                       .first = f.first / block,
                       .lists = (f.first + f.nq - 1) / block - f.first / block + 1,
                       .blocks = (h->nk - 1) / block + 1};
    ATN_TAKE(out->q, out->lists * d);
    ATN_TAKE(out->k, out->blocks * d);
    atn_block_means(h->k, block, out->k);
    if (part > 0)
        atn_block_means((atn_cmat){h->q.data, part, d, h->q.ld}, block, out->q);
    if (part < h->nq)
        atn_block_means((atn_cmat){atn_crow(h->q, part), h->nq - part, d, h->q.ld},
                        block, out->q + (part > 0 ? d : 0));
done:
    return st;
}

atn_status atn_means_product(atn_ctx *cx, const atn_means *m, atn_idx at, atn_idx n,
                             double scale, double *z)
{
    const atn_idx d = m->d;
    const atn_cmat q = {m->q + at * d, n, d, d}, k = {m->k, m->blocks, d, d};

    return atn_wide_product(cx, q, k, scale, z, m->blocks);
}

/* ---- bytes ---- */

double atn_lines_bytes(const atn_head *h)
{
    const double reach = (double)(ATN_MAX(h->sight.offset, 0) + h->nq);

    return sizeof(double) * ((double)h->nk + reach) + atn_wide_bytes(h);
}

double atn_lines_pattern_bytes(double columns, double diagonals)
{
    /* offsets and sums of them; boxes, slices twice and ends */
    const double diagonal = sizeof(atn_span) + sizeof(atn_idx);
    const double column = sizeof(atn_box) + 2 * sizeof(atn_slice) + 2 * sizeof(atn_idx);

    return 4096 + diagonals * diagonal + columns * column;
}

double atn_means_bytes(const atn_ctx *cx, const atn_head *h, atn_idx block)
{
    const double blocks = (double)h->nk / (double)block + 2;
    const double lists = (double)h->nq / (double)block + 2;
    const double tasks = ceil(lists / ATN_MEANS_ROWS);

    return sizeof(float) * (double)h->q.cols * (blocks + lists) +
           fmin(cx->threads, tasks) * (ATN_MEANS_ROWS + 4) * blocks * sizeof(double);
}
