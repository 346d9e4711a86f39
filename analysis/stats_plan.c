/* analysis/stats_plan.c -- specs of measures, and the values of one head.
 *
 * Math    a row column has values x_i on the rows that count. Mean; quantiles of type 7
 *         (linear between order statistics). On a stratified sample with weights
 *         w_i = N_s/n_s: mean = sum w x / sum w, standard error^2 = sum_s N_s^2
 *         (1 - f_s) v_s / n_s / (sum w)^2 with v_s the variance within stratum s of
 *         x_i - mean (0 for rows that do not count) and f_s the share of its rows that
 *         was drawn.
 * Oracle  quantiles of 1, 2, 4, 8: 0.5 -> 3; a sample of all rows has error 0.
 * Source  Hyndman and Fan 1996, type 7; Cochran, Sampling Techniques, chapters 5 and
 *         5A.
 * Limits  quantiles of a sample are those of the rows drawn, without weights. Strata
 *         differ by one row at most, so a draw stands for half a row more or less than
 *         another.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/stats_plan.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_MEASURES = 128, NAME_SIZE = 96 };

/* ---- measures ---- */

static atn_status unknown_measure(atn_ctx *cx, const char *id)
{
    const char *ids[MAX_MEASURES];
    char known[ATN_ERR_TEXT / 2];
    int n = 0;

    for (; atn_measures[n] && n < MAX_MEASURES; n++) ids[n] = atn_measures[n]->id;
    atn_known(id, ids, n, known, sizeof known);
    return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__, "no measure '%s' %s", id, known);
}

static atn_status add_measure(atn_ctx *cx, atn_stats_plan *plan, const atn_measure *m,
                              const char *spec)
{
    atn_status st = ATN_OK;
    void *params = NULL;
    int at = 0;

    for (; at < plan->n && plan->measure[at] != m; at++) {
    }
    if (at < plan->n && !spec) return ATN_OK;
    if (spec && !m->params)
        ATN_FAIL(ATN_USAGE, "measure %s takes no parameters, not '%s'", m->id, spec);
    if (m->params) {
        params = atn_alloc(cx, 1, m->params_size);
        if (!params) ATN_TRY(cx->err.code);
        atn_param_defaults(m->params, params);
        ATN_TRY(atn_param_parse(cx, m->id, m->params, spec, params));
        if (m->check) ATN_TRY(m->check(cx, params, NULL));
    }
    /* parameters given later, as in "all,topk:k=16", hold */
    atn_free(cx, plan->params[at]);
    plan->measure[at] = m;
    plan->params[at] = params;
    plan->n = ATN_MAX(plan->n, at + 1);
    params = NULL;
    plan->rows.needs |= m->needs;
    plan->wants |= m->layer ? m->wants : 0;
    if (m->want) m->want(plan->params[at], &plan->rows);
done:
    atn_free(cx, params);
    return st;
}

static atn_status add_spec(atn_ctx *cx, atn_stats_plan *plan, char *id, char *spec)
{
    const atn_measure *m = atn_measure_find(id);
    atn_status st = ATN_OK;

    if (strcmp(id, "all") == 0 && !spec) {
        for (const atn_measure *const *each = atn_measures; *each; each++)
            if (!(*each)->named) ATN_TRY(add_measure(cx, plan, *each, NULL));
        return ATN_OK;
    }
    if (!m) ATN_TRY(unknown_measure(cx, id));
    ATN_TRY(add_measure(cx, plan, m, spec));
done:
    return st;
}

static atn_status read_specs(atn_ctx *cx, atn_stats_plan *plan, const char *list)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    char *rest = NULL, *id = NULL, *spec = NULL;

    ATN_TAKE(rest, strlen(list) + 1);
    strcpy(rest, list);
    while (atn_spec_next(&rest, &id, &spec)) ATN_TRY(add_spec(cx, plan, id, spec));
    if (plan->n == 0)
        ATN_FAIL(ATN_USAGE, "--measure '%s' names no measure (attnscope list measures)",
                 list);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

bool atn_stats_is_default(const char *id)
{
    const char *at = ATN_STATS_DEFAULT;

    for (size_t n; *at; at += n + (at[n] == ',')) {
        n = strcspn(at, ",");
        if (strlen(id) == n && strncmp(id, at, n) == 0) return true;
    }
    return false;
}

/* ---- slots ---- */

static void add_slot(atn_stats_plan *plan, atn_stats_slot slot)
{
    if (plan->slot) plan->slot[plan->n_slots] = slot;
    plan->n_slots++;
}

/* Counts the slots, or lists them once there is room. */
static void list_slots(atn_stats_plan *plan, const atn_stats_plan_opts *opts)
{
    plan->n_slots = 0;
    for (int m = 0; m < plan->n; m++)
        for (int c = 0; plan->measure[m]->cols[c].name; c++) {
            atn_stats_slot s = {.measure = m, .col = c};

            add_slot(plan, s);
            if (!plan->measure[m]->cols[c].row) continue;
            s.kind = ATN_SLOT_ERROR;
            if (opts->sampled) add_slot(plan, s);
            s.kind = ATN_SLOT_QUANTILE;
            for (int q = 0; q < opts->n_quantiles; q++) {
                s.quantile = opts->quantiles[q];
                add_slot(plan, s);
            }
        }
    plan->n_table = plan->n_slots;
    for (int bin = 0; bin < opts->bins; bin++)
        for (int m = 0; m < plan->n; m++)
            for (int c = 0; plan->measure[m]->cols[c].name; c++)
                if (plan->measure[m]->cols[c].row)
                    add_slot(plan, (atn_stats_slot){m, c, ATN_SLOT_BIN, 0, bin});
}

/* Their columns are named to six decimals, which must tell them apart. */
static atn_status check_quantiles(atn_ctx *cx, const double *q, int n)
{
    for (int i = 0; i < n; i++) {
        if (!(fabs(1e6 * q[i] - rint(1e6 * q[i])) < 1e-4))
            return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                            "--quantiles: %g has more than six decimals", q[i]);
        for (int j = 0; j < i; j++)
            if (rint(1e6 * q[i]) == rint(1e6 * q[j]))
                return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                                "--quantiles: %g is given twice", q[i]);
    }
    return ATN_OK;
}

static bool any_row_column(const atn_stats_plan *plan)
{
    for (int m = 0; m < plan->n; m++)
        for (const atn_measure_col *c = plan->measure[m]->cols; c->name; c++)
            if (c->row) return true;
    return false;
}

atn_status atn_stats_plan_make(atn_ctx *cx, const atn_stats_plan_opts *opts,
                               atn_stats_plan *plan)
{
    atn_status st = ATN_OK;

    memset(plan, 0, sizeof *plan);
    ATN_TRY(check_quantiles(cx, opts->quantiles, opts->n_quantiles));
    ATN_NEW(plan->measure, MAX_MEASURES);
    ATN_NEW(plan->params, MAX_MEASURES);
    plan->bins = opts->bins;
    plan->sampled = opts->sampled;
    plan->rows.skip_rows = opts->skip_rows;
    ATN_TRY(read_specs(cx, plan, opts->measures ? opts->measures : ATN_STATS_DEFAULT));
    if ((opts->bins > 0 || opts->n_quantiles > 0) && !any_row_column(plan))
        ATN_FAIL(
            ATN_USAGE,
            "stats: none of these measures is a mean over rows, so there are no "
            "profiles and quantiles (attnscope list measures says the kind of each)");
    list_slots(plan, opts);
    ATN_NEW(plan->slot, plan->n_slots);
    list_slots(plan, opts);
done:
    return st;
}

void atn_stats_plan_release(atn_ctx *cx, atn_stats_plan *plan)
{
    for (int i = 0; plan->params && i < plan->n; i++) atn_free(cx, plan->params[i]);
    atn_free(cx, plan->params);
    atn_free(cx, (void *)plan->measure);
    atn_free(cx, plan->slot);
    memset(plan, 0, sizeof *plan);
}

int atn_stats_plan_slot(const atn_stats_plan *plan, int m, int col)
{
    for (int i = 0; i < plan->n_table; i++)
        if (plan->slot[i].kind == ATN_SLOT_VALUE && plan->slot[i].measure == m &&
            plan->slot[i].col == col)
            return i;
    return -1;
}

/* "p50" of .5, "p99_5" of .995 */
static void quantile_name(double q, char *out, size_t size)
{
    size_t n;

    snprintf(out, size, "p%.4f", 100 * q);
    for (n = strlen(out); out[n - 1] == '0'; n--) {
    }
    if (out[n - 1] == '.') n--;
    out[n] = '\0';
    for (char *c = out; *c; c++)
        if (*c == '.') *c = '_';
}

/* "entropy_mean_nats" with statistic "p50" is "entropy_p50_nats". */
static void statistic_name(const atn_measure_col *col, const char *statistic,
                           char out[NAME_SIZE])
{
    const size_t n = strlen(col->name), u = strlen(col->unit);
    size_t stem = n;
    const char *unit = "";

    if (u > 0 && n > u + 1 && strcmp(col->name + n - u, col->unit) == 0 &&
        col->name[n - u - 1] == '_') {
        stem = n - u - 1;
        unit = col->name + stem;
    }
    if (stem > 5 && strncmp(col->name + stem - 5, "_mean", 5) == 0) stem -= 5;
    snprintf(out, NAME_SIZE, "%.*s_%s%s", (int)stem, col->name, statistic, unit);
}

static atn_status add_column(atn_ctx *cx, const atn_stats_plan *plan,
                             const atn_stats_slot *s, atn_table *t)
{
    const atn_measure_col *col = &plan->measure[s->measure]->cols[s->col];
    char name[NAME_SIZE], statistic[32], text[256];

    switch (s->kind) {
    case ATN_SLOT_QUANTILE:
        quantile_name(s->quantile, statistic, sizeof statistic);
        snprintf(text, sizeof text, "quantile %g over the rows of: %s", s->quantile,
                 col->text);
        break;
    case ATN_SLOT_ERROR:
        snprintf(statistic, sizeof statistic, "se");
        snprintf(text, sizeof text, "standard error, rows being sampled, of: %s",
                 col->text);
        break;
    default:
        return atn_table_add_col(cx, t, col->name, ATN_COL_F64, col->unit, col->text,
                                 NULL);
    }
    statistic_name(col, statistic, name);
    return atn_table_add_col(cx, t, name, ATN_COL_F64, col->unit, text, NULL);
}

atn_status atn_stats_plan_columns(atn_ctx *cx, const atn_stats_plan *plan, int first,
                                  int last, atn_table *t)
{
    atn_status st = ATN_OK;

    for (int i = first; i < last; i++) ATN_TRY(add_column(cx, plan, &plan->slot[i], t));
done:
    return st;
}

/* ---- values ---- */

typedef struct rows_of {
    double *x;      /* [nq] values of the column, NaN where a row does not count */
    double *sorted; /* [valid] */
    atn_idx nq, valid;
} rows_of;

static double quantile(const rows_of *r, double q)
{
    const double at = q * (double)(r->valid - 1), low = floor(at);
    const atn_idx i = (atn_idx)low;

    if (r->valid == 0) return NAN;
    if (i + 1 >= r->valid) return r->sorted[r->valid - 1];
    return r->sorted[i] + (at - low) * (r->sorted[i + 1] - r->sorted[i]);
}

/* Mean over rows [from, to), weighted where rows are drawn. */
static double mean(const rows_of *r, const atn_row_sample *sample, atn_idx from,
                   atn_idx to)
{
    double sum = 0, weight = 0;

    for (atn_idx i = from; i < to; i++) {
        const double w = sample ? sample->weight[i] : 1;

        if (isnan(r->x[i])) continue;
        sum += w * r->x[i];
        weight += w;
    }
    return weight > 0 ? sum / weight : NAN;
}

static double standard_error(const rows_of *r, const atn_row_sample *sample, double mid)
{
    double variance = 0, weight = 0;

    if (!sample) return 0;
    for (atn_idx s = 0; s < sample->strata; s++) {
        const atn_idx i = 2 * s;
        const double *x = r->x + i, *w = sample->weight + i;
        const double a = isnan(x[0]) ? 0 : x[0] - mid, b = isnan(x[1]) ? 0 : x[1] - mid;

        /* N^2 (1 - f) v / n with n = 2, N = 2 w and v = (a - b)^2 / 2 */
        variance += (1 - sample->fraction[s]) * w[0] * w[0] * (a - b) * (a - b);
        weight += (isnan(x[0]) ? 0 : w[0]) + (isnan(x[1]) ? 0 : w[1]);
    }
    return weight > 0 ? sqrt(variance) / weight : NAN;
}

static void gather(const atn_head_stats *s, const atn_measure_col *col, bool sort,
                   rows_of *r)
{
    r->valid = 0;
    for (atn_idx i = 0; i < r->nq; i++) {
        r->x[i] = atn_row_counts(s, i) ? col->row(s, i) : (double)NAN;
        if (!isnan(r->x[i])) r->sorted[r->valid++] = r->x[i];
    }
    if (sort) atn_sort(r->sorted, r->valid);
}

/* Where bin `bin` begins: rows of the layer in equal stretches, drawn or not. */
static atn_idx bin_start(const rows_of *r, const atn_row_sample *sample, atn_idx bin,
                         atn_idx bins)
{
    const atn_idx at = bin * (sample ? sample->nq : r->nq) / bins;
    atn_idx i = 0;

    if (!sample) return at;
    while (i < sample->n && sample->row[i] < at) i++;
    return i;
}

static double slot_value(const atn_stats_plan *plan, const atn_stats_slot *slot,
                         const rows_of *r, const atn_row_sample *sample)
{
    switch (slot->kind) {
    case ATN_SLOT_QUANTILE:
        return quantile(r, slot->quantile);
    case ATN_SLOT_ERROR:
        return standard_error(r, sample, mean(r, sample, 0, r->nq));
    case ATN_SLOT_BIN:
        return mean(r, sample, bin_start(r, sample, slot->bin, plan->bins),
                    bin_start(r, sample, slot->bin + 1, plan->bins));
    default:
        return mean(r, sample, 0, r->nq);
    }
}

/* Everything of one row column; its slots are looked up by their column. */
static void row_column(const atn_stats_plan *plan, int m, int c, const rows_of *r,
                       const atn_row_sample *sample, double *values)
{
    for (int i = 0; i < plan->n_slots; i++)
        if (plan->slot[i].measure == m && plan->slot[i].col == c)
            values[i] = slot_value(plan, &plan->slot[i], r, sample);
}

atn_status atn_stats_plan_values(atn_ctx *cx, const atn_stats_plan *plan,
                                 const atn_head_stats *s, const atn_row_sample *sample,
                                 double *values)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    rows_of r = {.nq = s->nq};
    double *out = NULL;

    ATN_TAKE(r.x, s->nq);
    ATN_TAKE(r.sorted, s->nq);
    for (int m = 0; m < plan->n; m++) {
        const atn_measure *measure = plan->measure[m];
        const int n = atn_measure_n_cols(measure);

        if (measure->layer || measure->model) continue;
        if (measure->check) ATN_TRY(measure->check(cx, plan->params[m], s));
        for (int c = 0; c < n; c++) {
            if (!measure->cols[c].row || atn_measure_placeless(measure, c, s->sight))
                continue;
            gather(s, &measure->cols[c], true, &r);
            row_column(plan, m, c, &r, sample, values);
        }
        /* sums over sampled rows are no sums over all */
        if (!measure->compute || sample) continue;
        ATN_TAKE(out, n);
        for (int c = 0; c < n; c++) out[c] = NAN;
        measure->compute(s, plan->params[m], out);
        for (int c = 0; c < n; c++)
            if (!measure->cols[c].row && !atn_measure_placeless(measure, c, s->sight))
                values[atn_stats_plan_slot(plan, m, c)] = out[c];
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}
