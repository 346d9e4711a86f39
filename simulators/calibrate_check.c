/* simulators/calibrate_check.c -- errors of predictions against timings, as tables. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "core/mat.h"
#include "simulators/calibrate.h"
#include "simulators/timing_work.h"

static const double twin_least_us = 300;

typedef enum key { GPU, KERNEL, HEAD_DIM, PASS, MODEL, KEYS } key;
typedef enum error_col {
    ROWS_OF = KEYS,
    ROWS,
    ERROR_MEAN,
    ERROR_MEDIAN,
    ERROR_P90,
    RATIO_P05,
    RATIO_P95
} error_col;

static atn_status add_keys(atn_ctx *cx, atn_table *t)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_add_col(cx, t, "gpu", ATN_COL_STR, "", "device", NULL));
    ATN_TRY(atn_table_add_col(cx, t, "kernel", ATN_COL_STR, "", "kernel", NULL));
    ATN_TRY(atn_table_add_col(cx, t, "head_dim", ATN_COL_I64, "", "head dim", NULL));
    ATN_TRY(atn_table_add_col(cx, t, "pass", ATN_COL_STR, "",
                              "forward, backward or decode", NULL));
    ATN_TRY(atn_table_add_col(cx, t, "model", ATN_COL_STR, "", "four or full", NULL));
done:
    return st;
}

static atn_status set_keys(atn_ctx *cx, atn_table *t, const atn_timing_groups *g,
                           const atn_timing_group *group, const atn_time_fit *f)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_add_row(cx, t));
    ATN_TRY(atn_table_set_str(cx, t, GPU, g->choice.device->id));
    ATN_TRY(atn_table_set_str(cx, t, KERNEL, g->choice.kernel->id));
    atn_table_set_i64(t, HEAD_DIM, group->head_dim);
    ATN_TRY(atn_table_set_str(cx, t, PASS, atn_pass_names[group->pass]));
    ATN_TRY(atn_table_set_str(cx, t, MODEL, atn_time_kind_names[f->model]));
done:
    return st;
}

/* Mean, median and 90 % of errors, which are sorted, from column `col` on. */
static void set_errors(atn_table *t, int col, double *error, atn_idx n)
{
    double sum = 0;

    for (atn_idx i = 0; i < n; i++) sum += error[i];
    atn_sort(error, n);
    atn_table_set_f64(t, col, sum / (double)n);
    atn_table_set_f64(t, col + 1, atn_quantile(error, n, 0.5));
    atn_table_set_f64(t, col + 2, atn_quantile(error, n, 0.9));
}

/* ---- the table of fits ---- */

typedef enum fit_col {
    FIT_ROWS = KEYS,
    FIT_MEAN,
    FIT_MEDIAN,
    FIT_P90,
    FIT_LOW,
    FIT_HIGH,
    FIT_TERMS
} fit_col;

static atn_status fit_columns(atn_ctx *cx, atn_table *t)
{
    static const struct {
        const char *name, *text;
    } of_clock[] = {
        {"slow", "share of the clock that long runs lose (a)"},
        {"theta_ms", "run time at which half of it is lost"},
        {"power", "of the sum of compute and bytes (decode)"},
    };
    atn_status st = ATN_OK;
    char name[64];

    ATN_TRY(add_keys(cx, t));
    ATN_TRY(atn_table_add_col(cx, t, "rows", ATN_COL_I64, "", "rows fitted to", NULL));
    ATN_TRY(atn_table_add_col(cx, t, "error_mean", ATN_COL_F64, "",
                              "mean of |predicted / measured - 1| on them", NULL));
    ATN_TRY(atn_table_add_col(cx, t, "error_median", ATN_COL_F64, "",
                              "the median, of all rows that the model is about", NULL));
    ATN_TRY(atn_table_add_col(cx, t, "error_p90", ATN_COL_F64, "",
                              "90 % have no larger one", NULL));
    ATN_TRY(atn_table_add_col(cx, t, "ratio_p05", ATN_COL_F64, "",
                              "5 % have a smaller measured / predicted", NULL));
    ATN_TRY(atn_table_add_col(cx, t, "ratio_p95", ATN_COL_F64, "",
                              "5 % have a larger one", NULL));
    for (int i = 0; i < ATN_TERMS; i++) {
        snprintf(name, sizeof name, "c_%s", atn_term_names[i]);
        ATN_TRY(atn_table_add_col(cx, t, name, ATN_COL_F64, "",
                                  "us a unit of this term", NULL));
    }
    for (size_t i = 0; i < ATN_LEN(of_clock); i++)
        ATN_TRY(atn_table_add_col(cx, t, of_clock[i].name, ATN_COL_F64, "",
                                  of_clock[i].text, NULL));
done:
    return st;
}

static atn_status fit_row(atn_ctx *cx, atn_table *t, const atn_timing_groups *g, int i,
                          const atn_time_fit *f)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_timing_group *group = &g->group[i];
    double *error = NULL, us;
    atn_idx n = 0;
    atn_status st = ATN_OK;

    ATN_TRY(set_keys(cx, t, g, group, f));
    ATN_TAKE(error, group->n);
    for (atn_idx r = 0; r < group->n; r++) {
        if (!atn_timing_counts(group->row[r], f->model)) continue;
        ATN_TRY(atn_timing_predict(cx, g->choice.kernel, g->choice.device, f,
                                   group->row[r], &us));
        error[n++] = fabs(us / group->row[r]->us - 1);
    }
    set_errors(t, FIT_MEAN, error, n);
    atn_table_set_i64(t, FIT_ROWS, f->rows);
    atn_table_set_f64(t, FIT_MEAN, f->mape);
    atn_table_set_f64(t, FIT_LOW, f->low);
    atn_table_set_f64(t, FIT_HIGH, f->high);
    for (int k = 0; k < ATN_TERMS; k++)
        if (f->c[k] > 0) atn_table_set_f64(t, FIT_TERMS + k, f->c[k]);
    if (f->slow > 0) {
        atn_table_set_f64(t, FIT_TERMS + ATN_TERMS, f->slow);
        atn_table_set_f64(t, FIT_TERMS + ATN_TERMS + 1, f->theta_ms);
    }
    if (f->power > 0) atn_table_set_f64(t, FIT_TERMS + ATN_TERMS + 2, f->power);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_calibrate_table(atn_ctx *cx, const atn_timing_groups *g,
                               const atn_time_fit *made, atn_table **out)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_create(cx, "calibrate", out));
    ATN_TRY(fit_columns(cx, *out));
    for (int i = 0; i < g->n; i++)
        if (made[i].rows > 0) ATN_TRY(fit_row(cx, *out, g, i, &made[i]));
    atn_table_be_brief(*out);
done:
    if (st != ATN_OK) {
        atn_table_destroy(cx, *out);
        *out = NULL;
    }
    return st;
}

/* ---- the plan ---- */

/* Seconds that a row takes, about. */
static const double prefill_seconds = 1e-4, decode_seconds = 5e-4;

atn_status atn_calibrate_plan(atn_ctx *cx, const atn_timing_groups *g, int kind,
                              atn_table **out)
{
    atn_status st = ATN_OK;
    atn_table *t = NULL;

    ATN_TRY(atn_table_create(cx, "calibrate_plan", &t));
    ATN_TRY(add_keys(cx, t));
    ATN_TRY(atn_table_add_col(cx, t, "rows", ATN_COL_I64, "",
                              "rows that the model is about", NULL));
    ATN_TRY(atn_table_add_col(cx, t, "time_s", ATN_COL_F64, "s",
                              "what the fit takes, about", NULL));
    for (int i = 0; i < g->n; i++) {
        const atn_timing_group *group = &g->group[i];
        const atn_time_fit f = {.model = atn_timing_group_kind(group, kind)};
        const atn_idx rows = atn_timing_group_counts(group, f.model);

        ATN_TRY(set_keys(cx, t, g, group, &f));
        atn_table_set_i64(t, KEYS, rows);
        atn_table_set_f64(t, KEYS + 1,
                          (double)rows * (group->pass == ATN_PASS_DECODE
                                              ? decode_seconds
                                              : prefill_seconds));
    }
    *out = t;
    t = NULL;
done:
    atn_table_destroy(cx, t);
    return st;
}

/* ---- errors ---- */

typedef struct judged {
    const atn_timing *row;
    double us; /* predicted */
} judged;

enum { ALL_ROWS = -1, BLOCK_ROWS = -2 };

/* Rows of a window (0 = dense), of random blocks, or all. */
static bool is_of(const atn_timing *row, atn_idx window)
{
    if (window == ALL_ROWS) return true;
    if (window == BLOCK_ROWS) return row->density < 1;
    return row->density == 1 && row->window == window;
}

static atn_status add_errors(atn_ctx *cx, atn_table *t, const judged *rows, atn_idx n,
                             atn_idx window, const char *of)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    double *error = NULL, *ratio = NULL;
    atn_idx m = 0;
    atn_status st = ATN_OK;

    ATN_TAKE(error, n);
    ATN_TAKE(ratio, n);
    for (atn_idx i = 0; i < n; i++) {
        if (!is_of(rows[i].row, window)) continue;
        error[m] = fabs(rows[i].us / rows[i].row->us - 1);
        ratio[m++] = rows[i].row->us / rows[i].us;
    }
    ATN_TRY(atn_table_set_str(cx, t, ROWS_OF, of));
    atn_table_set_i64(t, ROWS, m);
    set_errors(t, ERROR_MEAN, error, m);
    atn_sort(ratio, m);
    atn_table_set_f64(t, RATIO_P05, atn_quantile(ratio, m, 0.05));
    atn_table_set_f64(t, RATIO_P95, atn_quantile(ratio, m, 0.95));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* The least window above `after` among the rows; -1 = none. */
static atn_idx next_window(const judged *rows, atn_idx n, atn_idx after)
{
    atn_idx found = -1;

    for (atn_idx i = 0; i < n; i++) {
        const atn_idx w = rows[i].row->window;

        if (rows[i].row->density == 1 && w > after && (found < 0 || w < found))
            found = w;
    }
    return found;
}

typedef struct speedup {
    double flop, tiles, model;
} speedup;

static const atn_timing *twin_of(const atn_timing_groups *g, const atn_timing *row)
{
    const atn_launch *s = &row->launch;

    for (atn_idx i = 0; i < g->all->n; i++) {
        const atn_timing *r = &g->all->row[i];
        const atn_launch *t = &r->launch;

        if (r->window_given == 0 && r->density == 1 && t->pass == s->pass &&
            t->batch == s->batch && t->q_len == s->q_len && t->kv_len == s->kv_len &&
            t->heads == s->heads && t->kv_heads == s->kv_heads &&
            t->head_dim == s->head_dim && strcmp(r->gpu, row->gpu) == 0 &&
            strcmp(r->kernel, row->kernel) == 0)
            return r;
    }
    return NULL;
}

/* Cells of all tiles that are computed. */
static atn_status cells_of(atn_ctx *cx, const atn_timing_groups *g, atn_time_kind kind,
                           const atn_timing *row, double *cells)
{
    const atn_kernel_tile *tile = atn_timing_tile(g->choice.kernel, row);
    atn_regressors x;
    atn_work w;
    atn_status st = ATN_OK;

    ATN_TRY(atn_timing_work(cx, g->choice.kernel, g->choice.device, kind, row, &w, &x));
    *cells = w.tiles * (double)tile->q.at[0] * (double)tile->k.at[0];
done:
    return st;
}

static atn_status judge_speedup(atn_ctx *cx, const atn_timing_groups *g,
                                const atn_time_fit *f, const judged *row,
                                const atn_timing *twin, speedup *out)
{
    const double len = (double)row->row->launch.q_len, w = (double)row->row->window;
    const double measured = twin->us / row->row->us;
    double us, dense, sparse;
    atn_status st = ATN_OK;

    ATN_TRY(atn_timing_predict(cx, g->choice.kernel, g->choice.device, f, twin, &us));
    ATN_TRY(cells_of(cx, g, f->model, twin, &dense));
    ATN_TRY(cells_of(cx, g, f->model, row->row, &sparse));
    out->flop = len * (len + 1) / 2 / (w * (w + 1) / 2 + (len - w) * w);
    out->flop = fabs(out->flop / measured - 1);
    out->tiles = fabs(dense / sparse / measured - 1);
    out->model = fabs(us / row->us / measured - 1);
done:
    return st;
}

static atn_status add_speedups(atn_ctx *cx, atn_table *t, const atn_timing_groups *g,
                               const atn_timing_group *group, const atn_time_fit *f,
                               const judged *rows, atn_idx n)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    double *error[3] = {NULL, NULL, NULL};
    atn_idx m = 0;
    atn_status st = ATN_OK;

    for (int k = 0; k < 3; k++) ATN_TAKE(error[k], n);
    for (atn_idx i = 0; i < n; i++) {
        const atn_timing *row = rows[i].row, *twin;
        speedup s;

        if (row->window == 0 || row->density < 1 ||
            row->launch.q_len <= 2 * row->window)
            continue;
        twin = twin_of(g, row);
        if (!twin || twin->us < twin_least_us) continue;
        ATN_TRY(judge_speedup(cx, g, f, &rows[i], twin, &s));
        error[0][m] = s.flop;
        error[1][m] = s.tiles;
        error[2][m++] = s.model;
    }
    if (m == 0) goto done;
    ATN_TRY(set_keys(cx, t, g, group, f));
    atn_table_set_i64(t, KEYS, m);
    for (int k = 0; k < 3; k++) set_errors(t, KEYS + 1 + 3 * k, error[k], m);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status check_group(atn_ctx *cx, atn_check_tables *t,
                              const atn_timing_groups *g, int i, const atn_time_fit *f)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_timing_group *group = &g->group[i];
    judged *rows = NULL;
    atn_idx n = 0;
    char of[32];
    atn_status st = ATN_OK;

    ATN_TAKE(rows, group->n);
    for (atn_idx r = 0; r < group->n; r++) {
        if (!atn_timing_counts(group->row[r], f->model)) continue;
        rows[n].row = group->row[r];
        ATN_TRY(atn_timing_predict(cx, g->choice.kernel, g->choice.device, f,
                                   group->row[r], &rows[n].us));
        n++;
    }
    for (atn_idx w = next_window(rows, n, -1); w >= 0; w = next_window(rows, n, w)) {
        snprintf(of, sizeof of, "window %lld", (long long)w);
        ATN_TRY(set_keys(cx, t->errors, g, group, f));
        ATN_TRY(add_errors(cx, t->errors, rows, n, w, w == 0 ? "dense" : of));
    }
    for (atn_idx r = 0; r < n; r++)
        if (rows[r].row->density < 1) {
            ATN_TRY(set_keys(cx, t->errors, g, group, f));
            ATN_TRY(add_errors(cx, t->errors, rows, n, BLOCK_ROWS, "blocks"));
            break;
        }
    if (n > 0) {
        ATN_TRY(set_keys(cx, t->errors, g, group, f));
        ATN_TRY(add_errors(cx, t->errors, rows, n, ALL_ROWS, "all"));
    }
    if (group->pass == ATN_PASS_FORWARD)
        ATN_TRY(add_speedups(cx, t->speedups, g, group, f, rows, n));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status error_columns(atn_ctx *cx, atn_table *t)
{
    static const struct {
        const char *name, *text;
    } cols[] = {
        {"error_mean", "mean of |predicted / measured - 1|"},
        {"error_median", "median of it"},
        {"error_p90", "90 % of the rows have no larger one"},
        {"ratio_p05", "5 % have a smaller measured / predicted"},
        {"ratio_p95", "5 % have a larger one"},
    };
    atn_status st = ATN_OK;

    ATN_TRY(add_keys(cx, t));
    ATN_TRY(atn_table_add_col(cx, t, "rows_of", ATN_COL_STR, "",
                              "dense, a window, or all", NULL));
    ATN_TRY(atn_table_add_col(cx, t, "rows", ATN_COL_I64, "", "rows checked", NULL));
    for (size_t i = 0; i < ATN_LEN(cols); i++)
        ATN_TRY(atn_table_add_col(cx, t, cols[i].name, ATN_COL_F64, "", cols[i].text,
                                  NULL));
done:
    return st;
}

static atn_status speedup_columns(atn_ctx *cx, atn_table *t)
{
    static const char *const by[] = {"flop", "tiles", "model"};
    static const char *const of[] = {"mean", "median", "p90"};
    atn_status st = ATN_OK;
    char name[48];

    ATN_TRY(add_keys(cx, t));
    ATN_TRY(atn_table_add_col(cx, t, "pairs", ATN_COL_I64, "",
                              "windowed rows with a dense twin", NULL));
    for (int i = 0; i < 9; i++) {
        snprintf(name, sizeof name, "speedup_error_%s_%s", by[i / 3], of[i % 3]);
        ATN_TRY(atn_table_add_col(cx, t, name, ATN_COL_F64, "",
                                  "of the speed-up over dense as this ratio says it",
                                  NULL));
    }
done:
    return st;
}

atn_status atn_check_tables_create(atn_ctx *cx, atn_check_tables *t)
{
    atn_status st = ATN_OK;

    *t = (atn_check_tables){NULL, NULL};
    ATN_TRY(atn_table_create(cx, "calibrate_check", &t->errors));
    ATN_TRY(atn_table_create(cx, "calibrate_speedups", &t->speedups));
    ATN_TRY(error_columns(cx, t->errors));
    ATN_TRY(speedup_columns(cx, t->speedups));
    atn_table_be_brief(t->errors);
    atn_table_be_brief(t->speedups);
done:
    if (st != ATN_OK) atn_check_tables_destroy(cx, t);
    return st;
}

void atn_check_tables_destroy(atn_ctx *cx, atn_check_tables *t)
{
    atn_table_destroy(cx, t->errors);
    atn_table_destroy(cx, t->speedups);
    *t = (atn_check_tables){NULL, NULL};
}

atn_status atn_check_tables_add(atn_ctx *cx, atn_check_tables *t,
                                const atn_timing_groups *g, int kind, int *checked)
{
    atn_status st = ATN_OK;

    for (int i = 0; i < g->n; i++) {
        const atn_time_fit *f =
            atn_kernel_own_fit(g->choice.kernel, g->choice.device, g->group[i].head_dim,
                               g->group[i].pass, kind);

        if (!f) continue;
        ATN_TRY(atn_progress(cx, "check", i, g->n));
        ATN_TRY(check_group(cx, t, g, i, f));
        ++*checked;
    }
done:
    return st;
}
