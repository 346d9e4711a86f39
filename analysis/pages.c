/* analysis/pages.c -- pools attention rows into small matrices while they stream past.
 *
 * Math    cell (a, b) = max, sum or mean over the visible pairs (i, j) with floor(i/s)
 *         = a and floor(j/s) = b; a cell without a visible pair is NaN.
 * Cost    one row stream; of each cell a float, a sum and a count, for one head at a
 *         time.
 * Limits  a pooled row belongs to one task, whose tiles end at its edge: nothing is
 *         merged, and no more threads work than there are pooled rows.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/pages.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/keys.h"
#include "core/kernels/kernels.h"

const char *atn_pool_name(atn_pool pool)
{
    static const char *const names[] = {"max", "mean", "sum"};

    return names[pool];
}

static atn_idx side(atn_idx n, atn_idx size)
{
    return (n + size - 1) / size;
}

atn_idx atn_pool_size(atn_idx nq, atn_idx nk, atn_idx cells)
{
    atn_idx size = 1;

    while (side(ATN_MAX(nq, nk), size) > ATN_MAX(cells, 1)) size *= 2;
    return size;
}

typedef struct pooling {
    atn_idx size, cols;
    atn_pool pool;
    float *value;  /* [side(nq), cols], written by the row band's owner */
    double *pairs; /* the same shape: visible pairs of the cell */
    double *sum;
} pooling;

/* Adds the visible part of one row to its band; bands are owned by pooled rows, and a
 * pooled row is visited by one task alone (see pool_band). */
static void pool_row(const pooling *g, atn_idx band, const float *row,
                     const atn_row_info *info, atn_idx key0)
{
    for (atn_idx b = info->lo / g->size; b * g->size < info->hi; b++) {
        const atn_idx from = ATN_MAX(info->lo, b * g->size);
        const atn_idx to = ATN_MIN(info->hi, (b + 1) * g->size);
        const atn_idx cell = band * g->cols + b;
        const float *w = row + (from - key0);

        g->pairs[cell] += (double)(to - from);
        if (g->pool == ATN_POOL_MAX)
            g->sum[cell] = fmax(g->sum[cell], (double)atn_row_max(w, to - from));
        else
            g->sum[cell] += atn_row_sum(w, to - from);
    }
}

typedef struct band_job {
    const atn_head *h;
    pooling *g;
} band_job;

/* One pooled row: all its query rows, in tiles that never cross its edge. */
static atn_status pool_band(atn_ctx *cx, atn_idx band, void *state)
{
    const band_job *j = state;
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx end = ATN_MIN((band + 1) * j->g->size, j->h->nq);
    const atn_idx most = atn_tile_rows(j->h);
    atn_status st = ATN_OK;

    for (atn_idx first = band * j->g->size; first < end; first += most) {
        const atn_tile t = atn_tile_of(j->h, first, ATN_MIN(most, end - first));
        atn_mat p = {NULL, t.rows, t.keys, t.keys};
        atn_row_info *info = NULL;

        ATN_TAKE(p.data, t.rows * t.keys);
        ATN_TAKE(info, t.rows);
        ATN_TRY(atn_rows_fill(cx, j->h, &t, p, info));
        for (atn_idx r = 0; r < t.rows; r++)
            pool_row(j->g, band, atn_row(p, r), &info[r], t.key0);
        atn_arena_rewind(cx, mark);
    }
    for (atn_idx c = band * j->g->cols; c < (band + 1) * j->g->cols; c++) {
        const double mean = j->g->sum[c] / j->g->pairs[c];
        j->g->value[c] = j->g->pairs[c] == 0           ? NAN
                         : j->g->pool == ATN_POOL_MEAN ? (float)mean
                                                       : (float)j->g->sum[c];
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_pool_head(atn_ctx *cx, const atn_head *h, atn_idx size, atn_pool pool,
                         float *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx rows = side(h->nq, size), cols = side(h->nk, size);
    atn_status st = ATN_OK;
    pooling g = {size, cols, pool, out, NULL, NULL};
    band_job j = {h, &g};

    ATN_TRY(atn_mem_check(
        cx, atn_rows_stream_bytes(cx, h, 1) + 16.0 * (double)rows * (double)cols,
        "pooling"));
    ATN_TAKE(g.pairs, rows * cols);
    ATN_TAKE(g.sum, rows * cols);
    memset(g.pairs, 0, (size_t)(rows * cols) * sizeof *g.pairs);
    memset(g.sum, 0, (size_t)(rows * cols) * sizeof *g.sum);
    ATN_TRY(atn_parallel(cx, rows, pool_band, &j, "pooling"));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- tables ---- */

static atn_status set_meta_i64(atn_ctx *cx, atn_table *t, const char *key,
                               atn_idx value)
{
    char text[32];

    snprintf(text, sizeof text, "%lld", (long long)value);
    return atn_table_set_meta(cx, t, key, text);
}

static atn_status set_pool(atn_ctx *cx, atn_table *t, atn_pool pool, atn_idx size)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_set_meta(cx, t, "pool", atn_pool_name(pool)));
    ATN_TRY(set_meta_i64(cx, t, "pool_size", size));
done:
    return st;
}

/* Token i, where there is one, into the last row; a text that begins with NUL or is
 * empty is named by its id. */
static atn_status set_token(atn_ctx *cx, atn_table *t, int col, const atn_tokens *k,
                            atn_idx i)
{
    const char *text = i < k->n && k->texts[i] ? k->texts[i] : "";
    char id[32];

    if (i >= k->n) return ATN_OK;
    snprintf(id, sizeof id, "#%lld", k->ids ? (long long)k->ids[i] : (long long)i);
    return atn_table_set_str(cx, t, col, *text ? text : id);
}

/* The tokens of one side where a figure can name them: every cell is one of them and
 * has a text; else none. */
static atn_tokens named(atn_tokens k, atn_idx n, atn_idx size)
{
    return size == 1 && k.texts && k.n == n ? k : (atn_tokens){0};
}

/* One row a cell of the longer side: its first position and the tokens there, those of
 * the queries where they are others than the keys'. */
static atn_status add_keys(atn_ctx *cx, const atn_capture *c, int at, atn_idx size,
                           atn_table *t)
{
    const atn_layer_info *l = atn_capture_layer(c, at);
    const bool cross = strcmp(l->stack, "cross") == 0;
    atn_idx rows = side(l->nk, size);
    int position, token = -1, query = -1;
    atn_status st = ATN_OK;
    atn_tokens queries, keys;

    atn_capture_layer_tokens(c, at, &queries, &keys);
    queries = named(queries, l->nq, size);
    keys = named(keys, l->nk, size);
    if (queries.texts == keys.texts) queries = (atn_tokens){0};
    if (queries.n > 0) rows = ATN_MAX(rows, l->nq);
    ATN_TRY(atn_table_add_col(cx, t, "position", ATN_COL_I64, "", "first key, from 0",
                              &position));
    if (keys.n > 0)
        ATN_TRY(atn_table_add_col(cx, t, "token", ATN_COL_STR, "", "text of the token",
                                  &token));
    if (queries.n > 0)
        ATN_TRY(atn_table_add_col(cx, t, "query_token", ATN_COL_STR, "",
                                  "text of the query's token", &query));
    for (atn_idx i = 0; i < rows; i++) {
        ATN_TRY(atn_table_add_row(cx, t));
        atn_table_set_i64(t, position, i * size);
        ATN_TRY(set_token(cx, t, token, &keys, i));
        ATN_TRY(set_token(cx, t, query, &queries, i));
    }
    if (keys.n > 0 && cross) ATN_TRY(atn_table_set_meta(cx, t, "tokens", "keys"));
done:
    return st;
}

static atn_status heatmap_title(atn_ctx *cx, const atn_capture *c,
                                const atn_layer_info *l, atn_idx head, atn_table *t)
{
    const atn_model_info *m = atn_capture_model(c);
    char text[256];

    if (atn_table_set_meta(cx, t, "pattern", atn_layer_pattern(l)) != ATN_OK)
        return cx->err.code;
    snprintf(text, sizeof text, "%s, head %lld", atn_layer_name(l).text,
             (long long)head);
    text[0] = (char)(text[0] >= 'a' && text[0] <= 'z' ? text[0] - 'a' + 'A' : text[0]);
    if (atn_table_set_meta(cx, t, "title", text) != ATN_OK) return cx->err.code;
    snprintf(text, sizeof text, "%s%s%lld %s, %lld %s", m->name ? m->name : "",
             m->name ? ": " : "", (long long)l->nq, l->nq == 1 ? "query" : "queries",
             (long long)l->nk, l->nk == 1 ? "key" : "keys");
    return atn_table_set_meta(cx, t, "subtitle", text);
}

atn_status atn_heatmap_table(atn_ctx *cx, const atn_capture *c, int at, atn_idx head,
                             atn_idx cells, atn_pool pool, atn_table **out)
{
    const atn_layer_info *l = atn_capture_layer(c, at);
    const atn_idx size = atn_pool_size(l->nq, l->nk, cells);
    const atn_idx rows = side(l->nq, size), cols = side(l->nk, size);
    atn_status st = ATN_OK;
    atn_problem p = {0};
    atn_table *t = NULL;
    float *pooled = NULL;
    atn_head h;

    if (head < 0 || head >= l->heads)
        ATN_FAIL(ATN_USAGE, "%s has heads 0..%lld, not %lld", atn_layer_name(l).text,
                 (long long)l->heads - 1, (long long)head);
    ATN_TRY(atn_capture_load(cx, c, at, &p));
    h = atn_problem_head(&p, head);
    ATN_NEW(pooled, rows * cols);
    ATN_TRY(atn_pool_head(cx, &h, size, pool, pooled));
    ATN_TRY(atn_table_create(cx, "heatmap", &t));
    ATN_TRY(heatmap_title(cx, c, l, head, t));
    ATN_TRY(set_pool(cx, t, pool, size));
    ATN_TRY(set_meta_i64(cx, t, "layer", l->layer));
    ATN_TRY(set_meta_i64(cx, t, "head", head));
    ATN_TRY(set_meta_i64(cx, t, "queries", l->nq));
    ATN_TRY(set_meta_i64(cx, t, "keys", l->nk));
    ATN_TRY(add_keys(cx, c, at, size, t));
    ATN_TRY(atn_table_set_matrix(cx, t, (atn_cmat){pooled, rows, cols, cols}, "query",
                                 "key"));
    *out = t;
    t = NULL;
done:
    atn_capture_unload(cx, &p);
    atn_free(cx, pooled);
    atn_table_destroy(cx, t);
    return st;
}

/* Pools the chosen heads of one loaded layer behind one another, and lists them. */
static atn_status add_layer(atn_ctx *cx, const atn_problem *p, const bool *keep,
                            atn_idx size, atn_pool pool, atn_table *t, float **next)
{
    const atn_idx cells = side(p->nq, size) * side(p->nk, size);
    atn_status st = ATN_OK;

    for (atn_idx i = 0; i < p->heads; i++) {
        const atn_head h = atn_problem_head(p, i);
        if (!keep[i]) continue;
        ATN_TRY(atn_pool_head(cx, &h, size, pool, *next));
        *next += cells;
        ATN_TRY(atn_table_add_row(cx, t));
        atn_table_set_i64(t, 0, p->layer);
        atn_table_set_i64(t, 1, i);
    }
done:
    return st;
}

/* What keeps layers a and b off one page. */
static atn_status check_pair(atn_ctx *cx, const atn_layer_info *a,
                             const atn_layer_info *b)
{
    const atn_layer_label x = atn_layer_name(a), y = atn_layer_name(b);
    atn_status st = ATN_OK;

    if (strcmp(a->stack, b->stack) != 0)
        ATN_FAIL(ATN_USAGE,
                 "a page of heads shows one stack, and %s and %s are chosen (choose "
                 "with --stack)",
                 x.text, y.text);
    if (a->step != b->step)
        ATN_FAIL(
            ATN_USAGE,
            "a page of heads shows one step, and %s and %s are chosen (choose with "
            "--steps)",
            x.text, y.text);
    if (a->nq != b->nq || a->nk != b->nk)
        ATN_FAIL(ATN_USAGE,
                 "a page of heads shows layers of one shape, and %s is %lld x %lld, "
                 "%s %lld x %lld (choose with --layers)",
                 x.text, (long long)a->nq, (long long)a->nk, y.text, (long long)b->nq,
                 (long long)b->nk);
done:
    return st;
}

/* Stacks are told apart first, then steps: layers come by step, then by stack. */
static atn_status check_page(atn_ctx *cx, const atn_capture *c,
                             const atn_selection *sel)
{
    const atn_layer_info *a = atn_capture_layer(c, sel->at[0]);
    atn_status st = ATN_OK;

    for (int i = 1; i < sel->n; i++)
        ATN_TRY(check_pair(cx, a, atn_capture_layer(c, sel->at[i])));
done:
    return st;
}

atn_status atn_heads_page_table(atn_ctx *cx, const atn_capture *c,
                                const atn_selection *sel, atn_idx cells, atn_pool pool,
                                atn_table **out)
{
    const atn_layer_info *l = atn_capture_layer(c, sel->at[0]);
    const atn_idx size = atn_pool_size(l->nq, l->nk, cells);
    const atn_idx rows = side(l->nq, size), cols = side(l->nk, size);
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    float *pooled = NULL, *next;
    atn_problem p = {0};

    ATN_TRY(check_page(cx, c, sel));
    ATN_TRY(atn_table_create(cx, "heads", &t));
    ATN_TRY(atn_table_add_col(cx, t, "layer", ATN_COL_I64, "", "layer, from 0", NULL));
    ATN_TRY(
        atn_table_add_col(cx, t, "head", ATN_COL_I64, "", "query head, from 0", NULL));
    ATN_NEW(pooled, sel->n_heads * rows * cols);
    next = pooled;
    for (int i = 0; i < sel->n; i++) {
        ATN_TRY(atn_progress(cx, "heads page", i, sel->n));
        ATN_TRY(atn_capture_load(cx, c, sel->at[i], &p));
        ATN_TRY(
            add_layer(cx, &p, sel->heads + i * sel->max_heads, size, pool, t, &next));
        atn_capture_unload(cx, &p);
        p = (atn_problem){0};
    }
    ATN_TRY(atn_table_set_meta(cx, t, "pattern", atn_layer_pattern(l)));
    ATN_TRY(atn_table_set_meta(cx, t, "title", "Attention of every head"));
    ATN_TRY(atn_part_subtitle(cx, c, sel, t));
    ATN_TRY(set_pool(cx, t, pool, size));
    ATN_TRY(set_meta_i64(cx, t, "cells_q", rows));
    ATN_TRY(set_meta_i64(cx, t, "cells_k", cols));
    ATN_TRY(atn_table_set_matrix(cx, t,
                                 (atn_cmat){pooled, sel->n_heads * rows, cols, cols},
                                 "layer, head, query", "key"));
    *out = t;
    t = NULL;
done:
    atn_capture_unload(cx, &p);
    atn_free(cx, pooled);
    atn_table_destroy(cx, t);
    return st;
}
