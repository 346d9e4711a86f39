/* analysis/curves.c -- distance profiles, coverage curves and sink maps, see the
 * header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/curves.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/keys.h"
#include "analysis/sums.h"

/* ---- of one head ---- */

unsigned atn_curves_needs(unsigned which)
{
    return (which & ATN_CURVE_DISTANCE ? ATN_NEED_DIAGONALS : 0u) |
           (which & ATN_CURVE_COVERAGE ? ATN_NEED_COVER : 0u) |
           (which & ATN_CURVE_SINKS ? ATN_NEED_COLUMNS : 0u);
}

int atn_distance_bins(atn_idx nq, atn_idx nk, const atn_sight *sight)
{
    const atn_idx back = sight->offset + nq - 1, ahead = nk - 1 - sight->offset;
    atn_idx most = ATN_MAX(back, 0);

    if (!sight->causal) most = ATN_MAX(most, ahead);
    if (sight->window > 0) most = ATN_MIN(most, sight->window - sight->causal);
    return atn_distance_bin(most) + 1;
}

void atn_sink_means(const atn_head_stats *s, atn_idx n, double *counts, double *a)
{
    for (atn_idx k = 0; k < n; k++) {
        counts[k] = atn_column_rows(s, s->sight->key_first + k);
        a[k] = atn_column_mean(s, s->sight->key_first + k);
    }
}

int atn_sink_columns(atn_idx n)
{
    int columns = (int)ATN_MIN(n, ATN_SINKS_SINGLE);

    for (atn_idx from = ATN_SINKS_SINGLE; from < n; from *= 2) columns++;
    return columns;
}

void atn_sink_row(const double *counts, const double *a, atn_idx n, int columns,
                  float *row)
{
    atn_idx from = 0;

    for (int c = 0; c < columns; c++) {
        const atn_idx end =
            c < ATN_SINKS_SINGLE ? c + 1 : (atn_idx)ATN_SINKS_SINGLE << (c - 63);
        double most = NAN;

        for (; from < ATN_MIN(end, n); from++)
            if (2 * counts[from] >= counts[0]) most = fmax(most, a[from]);
        row[c] = (float)most;
    }
}

void atn_cover_means(const atn_head_stats *s, atn_row_field f, double *keys,
                     double *share)
{
    double sum = 0, shares = 0, n = 0;

    for (atn_idx i = 0; i < s->nq; i++) {
        const double k = atn_row_shared(s, f, i);

        if (!atn_row_counts(s, i) || isnan(k)) continue;
        sum += k;
        shares += k / (double)s->seen[i];
        n++;
    }
    *keys = n > 0 ? sum / n : NAN;
    *share = n > 0 ? shares / n : NAN;
}

/* ---- tables ---- */

typedef struct builder {
    atn_curves *out;
    unsigned which;
    const atn_selection *sel;
    atn_keys distance, coverage, sinks;
    int columns;      /* of the sink map */
    float *map;       /* [sel->n_heads, columns] */
    atn_idx map_rows; /* filled so far */
} builder;

static atn_status add_row(atn_ctx *cx, atn_table *t, const atn_keys *k,
                          const atn_layer_info *l, atn_idx head)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_add_row(cx, t));
    ATN_TRY(atn_keys_set(cx, t, k, l, head));
done:
    return st;
}

/* A value, or an empty cell. */
static void put(atn_table *t, int col, double v)
{
    if (!isnan(v)) atn_table_set_f64(t, col, v);
}

static atn_status name_table(atn_ctx *cx, const atn_capture *c, const builder *b,
                             const char *title, atn_table *t)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_set_meta(cx, t, "title", title));
    ATN_TRY(atn_part_subtitle(cx, c, b->sel, t));
done:
    return st;
}

static atn_status start_distance(atn_ctx *cx, const atn_capture *c, builder *b)
{
    atn_status st = ATN_OK;
    atn_table *t;

    ATN_TRY(atn_table_create(cx, "distance", &b->out->distance));
    t = b->out->distance;
    ATN_TRY(atn_keys_add(cx, b->sel, ATN_KEYS_HEAD, t, &b->distance));
    ATN_TRY(atn_table_add_col(cx, t, "distance_first_tokens", ATN_COL_I64, "tokens",
                              "smallest distance of the bin", NULL));
    ATN_TRY(atn_table_add_col(cx, t, "distance_last_tokens", ATN_COL_I64, "tokens",
                              "largest distance of the bin", NULL));
    ATN_TRY(atn_table_add_col(cx, t, "mass_share", ATN_COL_F64, "",
                              "share of the head's weight at these distances", NULL));
    ATN_TRY(name_table(cx, c, b, "How far away the weight lies", t));
done:
    return st;
}

static atn_status start_coverage(atn_ctx *cx, const atn_capture *c, builder *b)
{
    atn_status st = ATN_OK;
    atn_table *t;

    ATN_TRY(atn_table_create(cx, "coverage", &b->out->coverage));
    t = b->out->coverage;
    ATN_TRY(atn_keys_add(cx, b->sel, ATN_KEYS_HEAD, t, &b->coverage));
    ATN_TRY(atn_table_add_col(cx, t, "coverage", ATN_COL_F64, "",
                              "share of a row's weight that is held", NULL));
    ATN_TRY(atn_table_add_col(cx, t, "keys_mean", ATN_COL_F64, "keys",
                              "mean of the least number of keys that hold it", NULL));
    ATN_TRY(atn_table_add_col(cx, t, "share_mean", ATN_COL_F64, "",
                              "mean of that number / visible keys", NULL));
    ATN_TRY(name_table(cx, c, b, "Keys that hold the weight", t));
done:
    return st;
}

static atn_idx keys_of(const atn_layer_info *l)
{
    return ATN_MAX(l->sight.key_last - l->sight.key_first, 0);
}

static atn_status start_sinks(atn_ctx *cx, const atn_capture *c, builder *b)
{
    atn_status st = ATN_OK;
    atn_idx keys = 1, cells = 0;
    char text[32];

    for (int i = 0; i < b->sel->n; i++)
        keys = ATN_MAX(keys, keys_of(atn_capture_layer(c, b->sel->at[i])));
    b->columns = atn_sink_columns(keys);
    if (!atn_mul(b->sel->n_heads, b->columns, &cells))
        ATN_FAIL(ATN_MEMORY, "the sink map of %lld heads overflows",
                 (long long)b->sel->n_heads);
    ATN_NEW(b->map, cells);
    ATN_TRY(atn_table_create(cx, "sinks", &b->out->sinks));
    ATN_TRY(atn_keys_add(cx, b->sel, ATN_KEYS_HEAD, b->out->sinks, &b->sinks));
    ATN_TRY(name_table(cx, c, b, "Weight on the first keys", b->out->sinks));
    snprintf(text, sizeof text, "%lld", (long long)keys);
    ATN_TRY(atn_table_set_meta(cx, b->out->sinks, "keys", text));
    snprintf(text, sizeof text, "%d", ATN_SINKS_SINGLE);
    ATN_TRY(atn_table_set_meta(cx, b->out->sinks, "single", text));
done:
    return st;
}

/* s NULL: a head whose values are no numbers. */
static atn_status add_distance(atn_ctx *cx, builder *b, const atn_layer_info *l,
                               atn_idx head, const atn_head_stats *s)
{
    const int bins = atn_distance_bins(l->nq, l->nk, &l->sight);
    const int first = b->distance.pattern + 1;
    atn_table *t = b->out->distance;
    double share[ATN_DISTANCE_BINS];
    atn_status st = ATN_OK;

    for (int i = 0; i < bins; i++) share[i] = NAN;
    if (s && !l->sight.cross) atn_distance_shares(s, bins, share);
    for (int i = 0; i < bins; i++) {
        ATN_TRY(add_row(cx, t, &b->distance, l, head));
        atn_table_set_i64(t, first, i == 0 ? 0 : (int64_t)1 << (i - 1));
        atn_table_set_i64(t, first + 1, i == 0 ? 0 : ((int64_t)1 << i) - 1);
        put(t, first + 2, share[i]);
    }
done:
    return st;
}

static atn_status add_coverage(atn_ctx *cx, builder *b, const atn_layer_info *l,
                               atn_idx head, const atn_head_stats *s)
{
    const int first = b->coverage.pattern + 1;
    atn_table *t = b->out->coverage;
    atn_status st = ATN_OK;

    for (int i = 0; i < ATN_COVER_LEVELS; i++) {
        double keys = NAN, share = NAN;

        if (s) atn_cover_means(s, (atn_row_field)(ATN_ROW_KEYS_50 + i), &keys, &share);
        ATN_TRY(add_row(cx, t, &b->coverage, l, head));
        atn_table_set_f64(t, first, atn_cover_levels[i]);
        put(t, first + 1, keys);
        put(t, first + 2, share);
    }
done:
    return st;
}

static atn_status add_sinks(atn_ctx *cx, builder *b, const atn_layer_info *l,
                            atn_idx head, const atn_head_stats *s)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx n = keys_of(l);
    float *row = b->map + b->map_rows++ * b->columns;
    atn_status st = ATN_OK;
    double *counts = NULL, *a = NULL;

    ATN_TRY(add_row(cx, b->out->sinks, &b->sinks, l, head));
    for (int c = 0; c < b->columns; c++) row[c] = NAN;
    if (!s) goto done;
    ATN_TAKE(counts, n);
    ATN_TAKE(a, n);
    atn_sink_means(s, n, counts, a);
    atn_sink_row(counts, a, n, b->columns, row);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status add_head(atn_ctx *cx, builder *b, const atn_layer_info *l,
                           atn_idx head, const atn_head_stats *s)
{
    atn_status st = ATN_OK;

    if (b->which & ATN_CURVE_DISTANCE) ATN_TRY(add_distance(cx, b, l, head, s));
    if (b->which & ATN_CURVE_COVERAGE) ATN_TRY(add_coverage(cx, b, l, head, s));
    if (b->which & ATN_CURVE_SINKS) ATN_TRY(add_sinks(cx, b, l, head, s));
done:
    return st;
}

/* ---- the pass ---- */

/* Heads [first, first + n) of a layer, of which none holds NaN. */
static atn_status one_batch(atn_ctx *cx, builder *b, const atn_layer_info *l,
                            const atn_head *heads, atn_idx n)
{
    const atn_row_stats_opts opts = {.needs = atn_curves_needs(b->which)};
    atn_row_stats *stats = NULL;
    atn_status st =
        n > 0 ? atn_row_stats_run(cx, heads, n, NULL, &opts, &stats) : ATN_OK;

    /* logits that overflow: head by head, on without the bad one, which is named */
    if (st == ATN_DATA) {
        if (n == 1) {
            atn_err_forgive(cx);
            return add_head(cx, b, l, heads[0].head, NULL);
        }
        atn_err_clear(cx);
        st = ATN_OK;
        for (atn_idx i = 0; i < n; i++) ATN_TRY(one_batch(cx, b, l, &heads[i], 1));
        goto done;
    }
    for (atn_idx i = 0; st == ATN_OK && i < n; i++) {
        const atn_head_stats s = atn_row_stats_head(stats, i);

        ATN_TRY(add_head(cx, b, l, heads[i].head, &s));
    }
done:
    atn_row_stats_destroy(cx, stats);
    return st;
}

/* The chosen heads of a loaded layer in their order, in batches that end before a bad
 * one. */
static atn_status some_heads(atn_ctx *cx, builder *b, const atn_layer_info *l,
                             const atn_problem *p, const bool *keep, const bool *bad)
{
    const atn_row_stats_opts opts = {.needs = atn_curves_needs(b->which)};
    const atn_head shape = atn_problem_head(p, 0);
    const atn_idx most = atn_row_stats_batch(cx, &shape, &opts);
    atn_status st = ATN_OK;
    atn_head *heads = NULL;
    atn_idx n = 0;

    ATN_TAKE(heads, p->heads);
    for (atn_idx h = 0; h < p->heads; h++) {
        if (keep[h] && !bad[h]) heads[n++] = atn_problem_head(p, h);
        if (n < most && !(keep[h] && bad[h])) continue;
        ATN_TRY(one_batch(cx, b, l, heads, n));
        n = 0;
        if (keep[h] && bad[h]) ATN_TRY(add_head(cx, b, l, h, NULL));
    }
    ATN_TRY(one_batch(cx, b, l, heads, n));
done:
    return st;
}

static atn_status one_layer(atn_ctx *cx, builder *b, const atn_capture *c, int i)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_layer_info *l = atn_capture_layer(c, b->sel->at[i]);
    atn_status st = ATN_OK;
    atn_problem p = {0};
    bool *bad = NULL;

    ATN_TAKE(bad, l->heads);
    memset(bad, 0, (size_t)l->heads * sizeof *bad);
    ATN_TRY(atn_capture_load_heads(cx, c, b->sel->at[i], &p, bad));
    ATN_TRY(some_heads(cx, b, l, &p, b->sel->heads + i * b->sel->max_heads, bad));
done:
    atn_capture_unload(cx, &p);
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status start(atn_ctx *cx, const atn_capture *c, builder *b)
{
    atn_status st = ATN_OK;

    if (b->which & ATN_CURVE_DISTANCE) ATN_TRY(start_distance(cx, c, b));
    if (b->which & ATN_CURVE_COVERAGE) ATN_TRY(start_coverage(cx, c, b));
    if (b->which & ATN_CURVE_SINKS) ATN_TRY(start_sinks(cx, c, b));
done:
    return st;
}

/* Buckets behind the last that has a value in some row are left out. */
static atn_status finish(atn_ctx *cx, const builder *b)
{
    atn_cmat map = {b->map, b->map_rows, b->columns, b->columns};
    bool empty = true;

    if (!b->out->sinks) return ATN_OK;
    while (map.cols > ATN_SINKS_SINGLE && empty) {
        for (atn_idx r = 0; r < map.rows; r++)
            empty &= isnan(atn_crow(map, r)[map.cols - 1]) != 0;
        map.cols -= empty;
    }
    return atn_table_set_matrix(cx, b->out->sinks, map, "layer, head", "key");
}

atn_status atn_curves_run(atn_ctx *cx, const atn_capture *c, const atn_selection *sel,
                          unsigned which, atn_curves *out)
{
    builder b = {.out = out, .which = which, .sel = sel};
    atn_status st = ATN_OK;

    *out = (atn_curves){NULL, NULL, NULL};
    ATN_TRY(start(cx, c, &b));
    for (int i = 0; i < sel->n; i++) {
        ATN_TRY(atn_progress(cx, "curves", i, sel->n));
        ATN_TRY(one_layer(cx, &b, c, i));
    }
    ATN_TRY(finish(cx, &b));
done:
    atn_free(cx, b.map);
    if (st != ATN_OK) atn_curves_release(cx, out);
    return st;
}

void atn_curves_release(atn_ctx *cx, atn_curves *c)
{
    atn_table_destroy(cx, c->distance);
    atn_table_destroy(cx, c->coverage);
    atn_table_destroy(cx, c->sinks);
    *c = (atn_curves){NULL, NULL, NULL};
}
