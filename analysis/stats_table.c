/* analysis/stats_table.c -- tables of the values that a run of measures left.
 *
 * Math    a layer's value is the plain mean of its heads', the model's that of its
 *         layers'; empty cells stay out.
 * Source  card 0.1, rule 9.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/stats_internal.h"

#include <math.h>
#include <string.h>

bool atn_stats_undone(const atn_stats *s, atn_idx from, atn_idx to)
{
    for (atn_idx i = from; i < to; i++)
        if (!s->row[i].done) return true;
    return false;
}

atn_idx atn_stats_layer_end(const atn_stats *s, atn_idx from)
{
    atn_idx i = from;

    while (i < s->n && s->row[i].info == s->row[from].info) i++;
    return i;
}

/* Adds x where it is a number. */
static void add_mean(double x, double *sum, double *n)
{
    if (isnan(x)) return;
    *sum += x;
    *n += 1;
}

static double layer_mean(const atn_stats *s, atn_idx from, atn_idx to, int slot)
{
    double sum = 0, n = 0;

    for (atn_idx i = from; i < to; i++)
        add_mean(s->values[i * s->plan.n_slots + slot], &sum, &n);
    return n > 0 ? sum / n : NAN;
}

static double model_mean(const atn_stats *s, int slot)
{
    double sum = 0, n = 0;

    for (atn_idx from = 0, to; from < s->n; from = to) {
        to = atn_stats_layer_end(s, from);
        add_mean(layer_mean(s, from, to, slot), &sum, &n);
    }
    return n > 0 ? sum / n : NAN;
}

static const char *common_pattern(const atn_stats *s)
{
    for (atn_idx i = 1; i < s->n; i++)
        if (strcmp(atn_layer_pattern(s->row[i].info),
                   atn_layer_pattern(s->row[0].info)) != 0)
            return "mixed";
    return s->n > 0 ? atn_layer_pattern(s->row[0].info) : "";
}

atn_status atn_stats_tabulate(atn_ctx *cx, const atn_stats *s, atn_stats_per per,
                              atn_table **out)
{
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    atn_keys k;
    int first;

    ATN_TRY(atn_table_create(cx, "stats", &t));
    ATN_TRY(atn_keys_add(cx, s->selection, (atn_keys_of)per, t, &k));
    first = atn_table_cols(t);
    ATN_TRY(atn_stats_plan_columns(cx, &s->plan, 0, s->plan.n_table, t));
    for (atn_idx from = 0, to; from < s->n; from = to) {
        to = per == ATN_PER_HEAD    ? from + 1
             : per == ATN_PER_LAYER ? atn_stats_layer_end(s, from)
                                    : s->n;
        if (atn_stats_undone(s, from, to)) continue;
        ATN_TRY(atn_table_add_row(cx, t));
        ATN_TRY(atn_keys_set(cx, t, &k, s->row[from].info, s->row[from].head));
        if (per == ATN_PER_MODEL)
            ATN_TRY(atn_table_set_str(cx, t, k.pattern, common_pattern(s)));
        for (int i = 0; i < s->plan.n_table; i++) {
            const double x =
                per == ATN_PER_MODEL ? model_mean(s, i) : layer_mean(s, from, to, i);
            if (!isnan(x)) atn_table_set_f64(t, first + i, x);
        }
    }
    *out = t;
    t = NULL;
done:
    atn_table_destroy(cx, t);
    return st;
}

/* ---- the profile over positions ---- */

static atn_status profile_row(atn_ctx *cx, const atn_stats *s, atn_table *t,
                              const atn_keys *k, atn_idx row, int bin)
{
    const int width = (s->plan.n_slots - s->plan.n_table) / s->plan.bins;
    const double *x = s->values + row * s->plan.n_slots + s->plan.n_table + bin * width;
    const atn_idx nq = s->row[row].info->nq, bins = s->plan.bins;
    const atn_idx from = bin * nq / bins, to = (bin + 1) * nq / bins;
    const int at = atn_table_find_col(t, "row_first");
    atn_status st = ATN_OK;

    if (from == to) return ATN_OK; /* fewer rows than bins */
    ATN_TRY(atn_table_add_row(cx, t));
    ATN_TRY(atn_keys_set(cx, t, k, s->row[row].info, s->row[row].head));
    atn_table_set_i64(t, at, from);
    atn_table_set_i64(t, at + 1, to - 1);
    for (int c = 0; c < width; c++)
        if (!isnan(x[c])) atn_table_set_f64(t, at + 2 + c, x[c]);
done:
    return st;
}

atn_status atn_stats_profile(atn_ctx *cx, const atn_stats *s, atn_table **out)
{
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    atn_keys k;
    int width;

    ATN_ASSERT(s->plan.bins > 0);
    width = (s->plan.n_slots - s->plan.n_table) / s->plan.bins;
    ATN_TRY(atn_table_create(cx, "profile", &t));
    ATN_TRY(atn_keys_add(cx, s->selection, ATN_KEYS_HEAD, t, &k));
    ATN_TRY(atn_table_add_col(cx, t, "row_first", ATN_COL_I64, "",
                              "first query row of the bin, from 0", NULL));
    ATN_TRY(atn_table_add_col(cx, t, "row_last", ATN_COL_I64, "",
                              "last query row of the bin", NULL));
    ATN_TRY(atn_stats_plan_columns(cx, &s->plan, s->plan.n_table,
                                   s->plan.n_table + width, t));
    for (atn_idx row = 0; row < s->n; row++)
        for (int bin = 0; bin < s->plan.bins && s->row[row].done; bin++)
            ATN_TRY(profile_row(cx, s, t, &k, row, bin));
    *out = t;
    t = NULL;
done:
    atn_table_destroy(cx, t);
    return st;
}

atn_status atn_stats_table(atn_ctx *cx, const atn_capture *c, const atn_selection *sel,
                           const atn_stats_opts *opts, atn_table **out)
{
    atn_status st = ATN_OK;
    atn_stats *s = NULL;

    ATN_TRY(atn_stats_run(cx, c, sel, opts, &s));
    ATN_TRY(atn_stats_tabulate(cx, s, ATN_PER_HEAD, out));
done:
    atn_stats_destroy(cx, s);
    return st;
}
