/* approx/group_blocks.c -- blocks chosen by a group of heads, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/group_blocks.h"

#include <math.h>

#include "core/kernels/kernels.h"
#include "core/rows.h"

typedef struct work {
    const atn_head *heads;
    atn_idx n;
    const atn_group_rule *rule;
    atn_scored means;
    atn_chosen *chosen;
} work;

typedef struct tile {
    const atn_row_tile *at;
    double *imp; /* [rows, blocks] */
} tile;

/* Of row i, from block lo of the tile on. */
static double *imp_of(const tile *x, atn_idx i)
{
    return x->imp + (i - x->at->from) * (x->at->hi - x->at->lo);
}

static atn_block_row row_of(const work *w, atn_idx i)
{
    return atn_block_row_of(&w->heads[0], i, w->rule->block);
}

static atn_span complete_blocks(const void *state, atn_idx i)
{
    const atn_block_row r = row_of(state, i);

    return (atn_span){r.first, r.complete};
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
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_mat z;

    ATN_TRY(atn_scored_queries(cx, &w->means, h, x->at, &z));
    for (atn_idx i = x->at->from; i < x->at->to; i++) {
        const atn_block_row r = row_of(w, i);
        const atn_idx at = r.first - x->at->lo;

        if (r.first < r.complete)
            add_softmax(atn_row(z, i - x->at->from) + at, r.complete - r.first,
                        h->scale, imp_of(x, i) + at);
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
    const double *imp = imp_of(x, i);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    float *score = NULL, *scratch = NULL;
    atn_idx *best = NULL, kept;

    if (n <= 0) goto done;
    ATN_TAKE(score, n);
    ATN_TAKE(scratch, n);
    ATN_TAKE(best, n);
    for (atn_idx c = r.first; c < r.past; c++)
        score[c - r.first] = (float)imp[c - x->at->lo];
    if (r.end > r.past) score[n - 1] = w->rule->weighs ? (float)w->n : INFINITY;
    kept = atn_best_of(score, n, w->rule->k, best, scratch, &tally->ties);
    tally->scored += ATN_MAX(r.complete - r.first, 0);
    for (atn_idx c = 0; c < kept; c++) best[c] += r.first;
    ATN_TRY(atn_block_row_put(cx, w->chosen, &r, w->rule->block, best, kept));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status choose_tile(atn_ctx *cx, void *state, const atn_row_tile *t,
                              atn_tally *tally)
{
    const work *w = state;
    const atn_idx count = (t->to - t->from) * (t->hi - t->lo);
    tile x = {.at = t};
    atn_status st = ATN_OK;

    ATN_TAKE(x.imp, count);
    for (atn_idx e = 0; e < count; e++) x.imp[e] = 0;
    for (atn_idx g = 0; g < w->n; g++) ATN_TRY(add_head(cx, w, &x, &w->heads[g]));
    for (atn_idx i = t->from; i < t->to; i++) ATN_TRY(choose_row(cx, w, &x, i, tally));
done:
    return st;
}

atn_status atn_group_blocks(atn_ctx *cx, const atn_head *heads, atn_idx n,
                            const atn_group_rule *rule, atn_cmat means,
                            atn_group_choice *out)
{
    const atn_frame f = atn_head_frame(&heads[0], 1);
    const atn_arena_mark mark = atn_arena_save(cx);
    work w = {.heads = heads, .n = n, .rule = rule};
    const atn_scoring s = {rule->id,        heads[0].nq, means.rows,
                           complete_blocks, choose_tile, &w};
    atn_status st = ATN_OK;

    *out = (atn_group_choice){0};
    ATN_TRY(atn_scored_pack(cx, means, &w.means));
    ATN_TRY(atn_chosen_open(cx, &f, 1, &w.chosen));
    ATN_TRY(atn_scored_run(cx, &s, &out->tally));
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
