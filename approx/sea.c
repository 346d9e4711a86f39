/* approx/sea.c -- SEA: every row keeps the columns of keys that an estimate says are
 * heaviest, the heads of a layer together.
 *
 * Math    the L keys that a row sees are cut into M columns (approx/sea.h); of the
 *         H M columns of all heads, the round(H k M / L) of largest estimated mass are
 *         kept, at least one, ties to the lower head, then the lower column; a head
 *         keeps the keys of its columns. Weights A^S. round is half to even.
 * Oracle  M >= L and k >= L: dense. Second fixture of the cards, oracle, k = 3, M = 6,
 *         row 23: {} in head 0, {4-7, 16-19} in head 1.
 * Source  Lee et al., SEA, arXiv 2310.01777; gmlwns2000/sea-attention,
 *         src/models/perlin_attention. The trained estimator is replaced by the true
 *         mass (estimate=oracle) or that of Performer's features; its scalers and the
 *         average of the values that it mixes in are left out.
 * Cost    the estimate, O(H M) a row to choose; memory O(H n k) for what is kept, and
 *         for features a prefix of every edge of min(M, n) columns, a thread.
 * Limits  the estimate by features knows no position bias and no soft-cap.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/sea.h"

#include <math.h>
#include <string.h>

#include "approx/chosen.h"
#include "approx/generate.h"
#include "core/wide_rows.h"

enum { COLUMNS_MOST = 1 << 14, FEATURES_MOST = 1 << 14 };
enum { ORACLE, PERFORMER };

typedef struct sea {
    int64_t k, columns, features;
    int estimate;
    bool ortho;
} sea;

static const atn_param params[] = {
    ATN_PARAM_I64(sea, k, 64, 1, ATN_EXTENT_MOST, "keys of a row and head, on average"),
    ATN_PARAM_I64(sea, columns, 256, 1, COLUMNS_MOST, "columns that a row is cut into"),
    ATN_PARAM_CHOICE(sea, estimate, ORACLE, "oracle|performer",
                     "the mass of a column: the true one, or by random features"),
    ATN_PARAM_I64(sea, features, 0, 0, FEATURES_MOST,
                  "random features, 0 = floor(d ln d)"),
    ATN_PARAM_BOOL(sea, ortho, 1, "projections orthogonal in blocks of d"),
    ATN_PARAM_END,
};

/* ---- columns ---- */

/* The column of key j of n. */
static atn_idx column_of(atn_idx j, atn_idx n, atn_idx columns)
{
    const double c = floor(((double)j + .5) / (double)n * (double)columns - 1e-4);

    return ATN_MIN(ATN_MAX((atn_idx)c, 0), columns - 1);
}

void atn_sea_edges(atn_idx n, atn_idx columns, atn_idx *edge)
{
    edge[0] = 0;
    edge[columns] = n;
    for (atn_idx c = 1; c < columns; c++) {
        const double guess = ((double)c + 1e-4) * (double)n / (double)columns - .5;
        atn_idx j = ATN_MIN(ATN_MAX((atn_idx)guess, 0), n);

        while (j > 0 && column_of(j - 1, n, columns) >= c) j--;
        while (j < n && column_of(j, n, columns) < c) j++;
        edge[c] = j;
    }
}

/* ---- the oracle ---- */

atn_status atn_sea_weights(atn_ctx *cx, const atn_head *h, const atn_tile *t,
                           atn_mat mass)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *w = NULL, sum, whole;
    atn_idx *edge = NULL;

    ATN_TAKE(w, t->rows * t->keys);
    ATN_TAKE(edge, mass.cols + 1);
    ATN_TRY(atn_wide_logits(cx, h, t, w));
    for (atn_idx r = 0; r < t->rows; r++) {
        double *row = w + r * t->keys;
        atn_idx lo, hi;

        atn_sight_row(&h->sight, t->first + r, &lo, &hi);
        if (lo >= hi) continue;
        row += lo - t->key0;
        ATN_TRY(atn_wide_softmax(cx, h, t->first + r, row, hi - lo, &whole));
        atn_sea_edges(hi - lo, mass.cols, edge);
        for (atn_idx c = 0; c < mass.cols; c++) {
            sum = 0;
            for (atn_idx j = edge[c]; j < edge[c + 1]; j++) sum += row[j];
            atn_row(mass, r)[c] = (float)sum;
        }
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- the choice ---- */

typedef struct work {
    const atn_input *in;
    const sea *s;
    atn_sea_features features; /* where they are the estimate */
    atn_idx rows;              /* of a tile */
    atn_chosen **chosen;       /* [heads] */
    int64_t *ties;             /* [tiles] */
} work;

/* How many of all columns of all heads a row of n keys keeps. */
static atn_idx kept_columns(const work *w, atn_idx n)
{
    const double all = (double)w->in->heads * (double)w->s->columns;
    const double most =
        (double)w->in->heads * (double)w->s->k * (double)w->s->columns / (double)n;

    return (atn_idx)ATN_MIN(ATN_MAX(rint(most), 1), all);
}

/* The columns that a row keeps: of head h those from h columns on; and scratch. */
typedef struct choice {
    atn_idx *best, kept, *edge;
    atn_span *spans;
    float *scratch;
} choice;

/* Puts those of a head in row i, which begin at *at of all; it goes on to the next. */
static atn_status put_head(atn_ctx *cx, const work *w, const choice *x, atn_idx head,
                           atn_idx i, atn_idx *at)
{
    const atn_idx columns = w->s->columns, first = head * columns;
    const atn_sight *s = &w->in->head[head].sight;
    atn_status st = ATN_OK;
    atn_idx lo, hi, n = 0;

    atn_sight_row(s, i, &lo, &hi);
    for (; *at < x->kept && x->best[*at] < first + columns; ++*at) {
        const atn_idx c = x->best[*at] - first;

        if (x->edge[c] < x->edge[c + 1])
            x->spans[n++] = (atn_span){lo + x->edge[c], lo + x->edge[c + 1]};
    }
    if (n > 0)
        ATN_TRY(atn_chosen_put(cx, w->chosen[head], atn_sight_at(s, i), x->spans, n));
done:
    return st;
}

/* Row i, whose masses [heads, columns] are given. */
static atn_status choose_row(atn_ctx *cx, const work *w, choice *x, atn_idx i,
                             const float *mass, int64_t *ties)
{
    const atn_sight *s = &w->in->head[0].sight;
    const atn_idx all = w->in->heads * w->s->columns;
    atn_status st = ATN_OK;
    atn_idx lo, hi, at = 0;

    atn_sight_row(s, i, &lo, &hi);
    if (lo >= hi || atn_sight_at(s, i) < 0) goto done;
    atn_sea_edges(hi - lo, w->s->columns, x->edge);
    x->kept =
        atn_best_of(mass, all, kept_columns(w, hi - lo), x->best, x->scratch, ties);
    for (atn_idx h = 0; h < w->in->heads; h++) ATN_TRY(put_head(cx, w, x, h, i, &at));
done:
    return st;
}

static atn_status choose_tile(atn_ctx *cx, atn_idx task, void *state)
{
    const work *w = state;
    const atn_idx columns = w->s->columns, all = w->in->heads * columns;
    const atn_tile t = atn_tile_of(&w->in->head[0], task * w->rows, w->rows);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    float *mass = NULL;
    choice x;

    ATN_TAKE(mass, t.rows * all);
    ATN_TAKE(x.best, all);
    ATN_TAKE(x.scratch, all);
    ATN_TAKE(x.edge, columns + 1);
    ATN_TAKE(x.spans, columns);
    for (atn_idx h = 0; h < w->in->heads; h++) {
        const atn_mat of = {mass + h * columns, t.rows, columns, all};

        if (w->s->estimate == ORACLE)
            ATN_TRY(atn_sea_weights(cx, &w->in->head[h], &t, of));
        else
            ATN_TRY(atn_sea_masses(cx, &w->features, h, &t, of));
    }
    for (atn_idx r = 0; r < t.rows; r++)
        ATN_TRY(choose_row(cx, w, &x, t.first + r, mass + r * all, &w->ties[task]));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- the plan ---- */

static atn_idx features_of(const sea *s, const atn_head *h)
{
    const double d = (double)h->q.cols;

    return s->features > 0 ? s->features : ATN_MAX((atn_idx)(d * log(d)), 1);
}

/* Many rows for the features, whose prefixes cost as much as some rows to begin with;
 * few where there are many columns. */
static atn_idx tile_rows(const sea *s, const atn_input *in)
{
    const atn_idx fit = ((atn_idx)1 << 21) / (in->heads * s->columns) / 8 * 8;

    if (s->estimate == ORACLE) return atn_wide_rows(&in->head[0]);
    return ATN_MIN(ATN_MAX(fit, (atn_idx)8), (atn_idx)128);
}

/* Columns with keys, of all rows. */
static double count_masses(const atn_head *h, atn_idx columns)
{
    double n = 0;

    for (atn_idx i = 0; i < h->nq; i++) {
        atn_idx lo, hi;

        atn_sight_row(&h->sight, i, &lo, &hi);
        n += (double)ATN_MIN(ATN_MAX(hi - lo, 0), columns);
    }
    return n;
}

/* Reading queries and keys, and the masses of the columns written and read. */
static void set_cost(const work *w, atn_idx head, atn_plan *out)
{
    const atn_head *h = &w->in->head[head];
    const double d = (double)h->q.cols, m = (double)w->features.m;
    const double nq = (double)h->nq, masses = count_masses(h, w->s->columns);
    const double keys = (double)h->nk / (double)w->in->group;
    const double pairs = atn_visible_pairs(h);

    if (w->s->estimate == PERFORMER) {
        out->index_flops = 2 * m * d * (nq + keys) + 2 * m * masses;
        out->index_bytes =
            ATN_COST_BYTES * (d * (nq + keys) + 2 * m * keys + 2 * masses);
        return;
    }
    out->index_flops = h->p.data ? pairs : 2 * d * pairs;
    out->index_bytes =
        ATN_COST_BYTES * ((h->p.data ? pairs : d * (nq + (double)h->nk)) + 2 * masses);
}

static atn_status finish(atn_ctx *cx, work *w, atn_idx tiles, atn_plan *out)
{
    atn_status st = ATN_OK;
    int64_t ties = 0;

    for (atn_idx t = 0; t < tiles; t++) ties += w->ties[t];
    for (atn_idx h = 0; h < w->in->heads; h++) {
        atn_pattern *p = NULL;

        st = atn_chosen_finish(cx, w->chosen[h], &p);
        w->chosen[h] = NULL;
        ATN_TRY(st);
        atn_plan_mask(&out[h], p, 0, 1, 1);
        set_cost(w, h, &out[h]);
        out[h].ties = ties;
    }
done:
    return st;
}

/* Of one tile of rows: masses, the choice among them, and the estimate. */
static double tile_bytes(const sea *s, const atn_input *in)
{
    const atn_head *h = &in->head[0];
    const double rows = (double)ATN_MIN(tile_rows(s, in), h->nq);
    const double columns = (double)s->columns, all = (double)in->heads * columns;

    return all * (4 * rows + 12) + 24 * columns +
           (s->estimate == ORACLE
                ? atn_wide_bytes(h) + 8 * columns
                : atn_sea_masses_bytes(in, features_of(s, h), s->columns, rows));
}

/* What the rows keep, of all heads k columns of the mean length of a column. */
static double lists_bytes(const sea *s, const atn_input *in)
{
    const atn_head *h = &in->head[0];
    const double columns = (double)s->columns;
    double bytes = 0;

    for (atn_idx i = 0; i < h->nq; i++) {
        double n, spans;
        atn_idx lo, hi;

        atn_sight_row(&h->sight, i, &lo, &hi);
        n = (double)ATN_MAX(hi - lo, 1);
        spans = ATN_MIN((double)s->k * columns / n + 1, columns);
        bytes += 72 + 2 * sizeof(int32_t) * ATN_MIN(2 * spans, (2 * n + 2) / 3);
    }
    return (double)in->heads * bytes;
}

static double bytes_of(const sea *s, const atn_input *in, double tiles)
{
    const atn_head *h = &in->head[0];
    const double features =
        s->estimate == ORACLE ? 0 : atn_sea_features_bytes(in, features_of(s, h));

    return lists_bytes(s, in) + features + tiles * tile_bytes(s, in);
}

static double bytes(const atn_ctx *cx, const void *values, const atn_input *in)
{
    const atn_head *h = &in->head[0];
    const double tiles = ceil((double)h->nq / (double)tile_rows(values, in));

    return bytes_of(values, in, ATN_MIN(cx->threads, tiles));
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *values,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const atn_head *h = &in->head[0];
    const atn_frame f = atn_head_frame(h, 1);
    work w = {.in = in, .s = values};
    const atn_idx rows = tile_rows(w.s, in), tiles = (h->nq - 1) / rows + 1;
    atn_status st = ATN_OK;

    ATN_ASSERT(first == 0 && n == in->heads);
    if (w.s->estimate == PERFORMER && !h->q.data)
        ATN_FAIL(ATN_DATA,
                 "sea: estimate=performer reads queries and keys, and layer %d has "
                 "attention matrices alone (capture the model, or import --q and --k)",
                 h->layer);
    ATN_TRY(atn_mem_check(
        cx, bytes_of(w.s, in, (double)ATN_MIN((atn_idx)cx->threads, tiles)), "sea"));
    w.rows = rows;
    ATN_TAKE(w.ties, tiles);
    memset(w.ties, 0, (size_t)tiles * sizeof *w.ties);
    ATN_TAKE(w.chosen, n);
    memset(w.chosen, 0, (size_t)n * sizeof(*w.chosen));
    if (w.s->estimate == PERFORMER)
        ATN_TRY(atn_sea_features_make(cx, in, features_of(w.s, h), w.s->ortho,
                                      &w.features));
    for (atn_idx k = 0; k < n; k++) ATN_TRY(atn_chosen_open(cx, &f, 1, &w.chosen[k]));
    ATN_TRY(atn_parallel(cx, tiles, choose_tile, &w, "sea"));
    ATN_TRY(finish(cx, &w, tiles, out));
done:
    for (atn_idx k = 0; w.chosen && k < n; k++) atn_chosen_abandon(cx, w.chosen[k]);
    return st;
}

static bool oracle(const void *params_)
{
    const sea *t = params_;

    return t->estimate == ORACLE;
}

const atn_method atn_method_sea = {
    .id = "sea",
    .title = "SEA: columns by an estimated mask",
    .family = "estimate",
    .source = "Lee et al. 2023, arXiv 2310.01777; gmlwns2000/sea-attention",
    .text = "the columns of keys that an estimate says are heaviest, over all heads",
    .reads = ATN_READS_WEIGHTS | ATN_READS_DRAWS,
    .oracle = oracle,
    .sides = ATN_BOTH_WAYS,
    .unit = ATN_UNIT_LAYER,
    .params = params,
    .params_size = sizeof(sea),
    .budget = "k",
    .plan = plan,
    .bytes = bytes,
};
