/* approx/group_blocks.c -- blocks chosen by a group of heads, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/group_blocks.h"

#include <math.h>
#include <string.h>

#include "core/kernels/kernels.h"
#include "core/rows.h"

typedef struct work {
    const atn_head *heads;
    atn_idx n;
    const atn_group_rule *rule;
    atn_scored means;
    atn_idx rows; /* of a tile */
    atn_chosen *chosen;
    atn_tally *tally; /* [tiles] */
} work;

/* Rows [from, to) and the blocks [lo, hi) that some of them scores. */
typedef struct tile {
    atn_idx from, to, lo, hi;
    double *imp; /* [to - from, hi - lo] */
} tile;

static atn_block_row row_of(const work *w, atn_idx i)
{
    return atn_block_row_of(&w->heads[0], i, w->rule->block);
}

static tile tile_of(const work *w, atn_idx t)
{
    tile x = {.from = t * w->rows, .lo = w->means.n};

    x.to = ATN_MIN(x.from + w->rows, w->heads[0].nq);
    for (atn_idx i = x.from; i < x.to; i++) {
        const atn_block_row r = row_of(w, i);

        if (r.first >= r.complete) continue;
        x.lo = ATN_MIN(x.lo, r.first);
        x.hi = ATN_MAX(x.hi, r.complete);
    }
    x.lo = ATN_MIN(x.lo, x.hi);
    return x;
}

/* imp_c += the softmax of the scaled scores; z [n] is overwritten. */
static void add_softmax(float *z, atn_idx n, double scale, double *imp)
{
    double sum, dot;

    atn_row_scale(z, n, (float)scale);
    sum = atn_row_exp(z, n, atn_row_max(z, n), &dot);
    for (atn_idx c = 0; c < n; c++) imp[c] += (double)z[c] / sum;
}

static atn_status add_head(atn_ctx *cx, const work *w, const tile *x, const atn_head *h)
{
    const atn_cmat q = {atn_crow(h->q, x->from), x->to - x->from, h->q.cols, h->q.ld};
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_mat z;

    ATN_TRY(atn_scored_tile(cx, &w->means, q, x->lo, x->hi, &z));
    for (atn_idx i = x->from; i < x->to; i++) {
        const atn_block_row r = row_of(w, i);
        const atn_idx at = r.first - x->lo;

        if (r.first < r.complete)
            add_softmax(atn_row(z, i - x->from) + at, r.complete - r.first, h->scale,
                        x->imp + (i - x->from) * (x->hi - x->lo) + at);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status choose_row(atn_ctx *cx, const work *w, const tile *x, atn_idx i,
                             atn_tally *tally)
{
    const atn_block_row r = row_of(w, i);
    const atn_idx n = r.end - r.first;
    const double *imp = x->imp + (i - x->from) * (x->hi - x->lo);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    float *score = NULL, *scratch = NULL;
    atn_idx *best = NULL, kept;

    if (n <= 0) goto done;
    ATN_TAKE(score, n);
    ATN_TAKE(scratch, n);
    ATN_TAKE(best, n);
    for (atn_idx c = r.first; c < r.past; c++)
        score[c - r.first] = (float)imp[c - x->lo];
    if (r.end > r.past) score[n - 1] = w->rule->weighs ? (float)w->n : INFINITY;
    kept = atn_best_of(score, n, w->rule->k, best, scratch, &tally->ties);
    tally->scored += ATN_MAX(r.complete - r.first, 0);
    for (atn_idx c = 0; c < kept; c++) best[c] += r.first;
    ATN_TRY(atn_block_row_put(cx, w->chosen, &r, w->rule->block, best, kept));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status choose_tile(atn_ctx *cx, atn_idx t, void *state)
{
    const work *w = state;
    const atn_arena_mark mark = atn_arena_save(cx);
    tile x = tile_of(w, t);
    const atn_idx count = (x.to - x.from) * (x.hi - x.lo);
    atn_status st = ATN_OK;

    ATN_TAKE(x.imp, count);
    for (atn_idx e = 0; e < count; e++) x.imp[e] = 0;
    for (atn_idx g = 0; g < w->n; g++) ATN_TRY(add_head(cx, w, &x, &w->heads[g]));
    for (atn_idx i = x.from; i < x.to; i++)
        ATN_TRY(choose_row(cx, w, &x, i, &w->tally[t]));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_group_blocks(atn_ctx *cx, const atn_head *heads, atn_idx n,
                            const atn_group_rule *rule, atn_cmat means,
                            atn_group_choice *out)
{
    const atn_frame f = atn_head_frame(&heads[0], 1);
    const atn_arena_mark mark = atn_arena_save(cx);
    work w = {
        .heads = heads, .n = n, .rule = rule, .rows = atn_scored_rows(means.rows)};
    const atn_idx tiles = (heads[0].nq - 1) / w.rows + 1;
    atn_status st = ATN_OK;

    *out = (atn_group_choice){0};
    ATN_TAKE(w.tally, tiles);
    memset(w.tally, 0, (size_t)tiles * sizeof *w.tally);
    ATN_TRY(atn_scored_pack(cx, means, &w.means));
    ATN_TRY(atn_chosen_open(cx, &f, 1, &w.chosen));
    ATN_TRY(atn_parallel(cx, tiles, choose_tile, &w, rule->id));
    out->tally = atn_tally_sum(w.tally, tiles);
    st = atn_chosen_finish(cx, w.chosen, &out->pattern);
    w.chosen = NULL;
done:
    atn_chosen_abandon(cx, w.chosen);
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_group_means(atn_ctx *cx, const atn_head *h, atn_idx block, atn_cmat *out)
{
    const atn_idx blocks = (h->nk - 1) / block + 1, d = h->k.cols;
    atn_status st = ATN_OK;
    float *means = NULL;

    ATN_TAKE(means, blocks * d);
    atn_block_means(h->k, block, means);
    *out = (atn_cmat){means, blocks, d, d};
done:
    return st;
}

double atn_group_blocks_bytes(const atn_ctx *cx, const atn_head *h, atn_idx block,
                              atn_idx k)
{
    const atn_idx blocks = (h->nk - 1) / block + 1, rows = atn_scored_rows(blocks);
    const double n = (double)blocks, tiles = ceil((double)h->nq / (double)rows);
    /* importances of a tile; scores, scratch and choice of a row */
    const double each = n * ((double)rows * sizeof(double) + 32);

    return atn_chosen_bytes(cx, h, 1, 1, (double)k) +
           atn_scored_bytes(cx, blocks, h->k.cols) +
           sizeof(float) * n * (double)h->k.cols + sizeof(atn_tally) * tiles +
           fmin(cx->threads, tiles) * each;
}
