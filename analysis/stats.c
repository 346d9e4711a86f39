/* analysis/stats.c -- runs the row-statistics pass over a selection and tabulates measures. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/stats.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/param.h"

enum { MAX_MEASURES = 64, DEFAULT_TOP_K = 8 };
static const double BATCH_BYTES = 64.0 * 1024 * 1024;

/* What to compute and where it goes. */
typedef struct job {
    const atn_measure *measures[MAX_MEASURES];
    int n_measures;
    atn_row_stats_opts rows;
    const int32_t *tokens;
    atn_idx n_tokens;
    atn_table *table;
    int stack_col, step_col, layer_col, head_col, first_col;
    atn_idx empty_rows;
} job;

static atn_status unknown_measure(atn_ctx *cx, const char *id)
{
    const char *ids[MAX_MEASURES];
    char known[ATN_ERR_TEXT / 2];
    int n = 0;

    for (; atn_measures[n] && n < MAX_MEASURES; n++) ids[n] = atn_measures[n]->id;
    atn_known(id, ids, n, known, sizeof known);
    return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__, "no measure '%s' %s", id, known);
}

static atn_status choose_measures(atn_ctx *cx, const char *list, job *j)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    char *copy = NULL, *save = NULL;

    if (!list)
        for (; atn_measures[j->n_measures] && j->n_measures < MAX_MEASURES;
             j->n_measures++)
            j->measures[j->n_measures] = atn_measures[j->n_measures];
    else {
        ATN_TAKE(copy, strlen(list) + 1);
        strcpy(copy, list);
        for (char *id = strtok_r(copy, ",", &save); id;
             id = strtok_r(NULL, ",", &save)) {
            const atn_measure *m = atn_measure_find(id);
            if (!m) ATN_TRY(unknown_measure(cx, id));
            if (j->n_measures == MAX_MEASURES)
                ATN_FAIL(ATN_USAGE, "--measures names more than %d", MAX_MEASURES);
            j->measures[j->n_measures++] = m;
        }
    }
    for (int i = 0; i < j->n_measures; i++) j->rows.needs |= j->measures[i]->needs;
    /* needs 0 would mean everything: a list of cheap measures still wants one bit */
    if (j->rows.needs == 0) j->rows.needs = ATN_NEED_LOCAL;
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status start(atn_ctx *cx, const atn_stats_opts *opts,
                        const atn_selection *sel, job *j)
{
    atn_status st = ATN_OK;

    j->rows.top_k = opts->top_k > 0 ? opts->top_k : DEFAULT_TOP_K;
    j->rows.skip_rows = opts->skip_rows;
    ATN_TRY(choose_measures(cx, opts->measures, j));
    ATN_TRY(atn_table_create(cx, "stats", &j->table));
    if (sel->many_stacks)
        ATN_TRY(atn_table_add_col(cx, j->table, "stack", ATN_COL_STR, "",
                                  "encoder, decoder or cross", &j->stack_col));
    if (sel->many_steps)
        ATN_TRY(atn_table_add_col(cx, j->table, "step", ATN_COL_I64, "",
                                  "generation step", &j->step_col));
    ATN_TRY(atn_table_add_col(cx, j->table, "layer", ATN_COL_I64, "", "layer, from 0",
                              &j->layer_col));
    ATN_TRY(atn_table_add_col(cx, j->table, "head", ATN_COL_I64, "",
                              "query head, from 0", &j->head_col));
    j->first_col = j->head_col + 1;
    for (int i = 0; i < j->n_measures; i++)
        for (int c = 0; c < atn_measure_n_cols(j->measures[i]); c++) {
            const atn_measure_col *col = &j->measures[i]->cols[c];
            ATN_TRY(atn_table_add_col(cx, j->table, col->name, ATN_COL_F64, col->unit,
                                      col->text, NULL));
        }
done:
    return st;
}

static atn_status add_head(atn_ctx *cx, job *j, const atn_layer_info *info,
                           const atn_head *h, const atn_head_rows *rows)
{
    atn_status st = ATN_OK;
    int col = j->first_col;

    ATN_TRY(atn_table_add_row(cx, j->table));
    if (j->stack_col >= 0)
        ATN_TRY(atn_table_set_str(cx, j->table, j->stack_col, info->stack));
    if (j->step_col >= 0) atn_table_set_i64(j->table, j->step_col, info->step);
    atn_table_set_i64(j->table, j->layer_col, h->layer);
    atn_table_set_i64(j->table, j->head_col, h->head);
    for (int i = 0; i < j->n_measures; i++) {
        double out[ATN_MEASURE_COLS];

        for (int c = 0; c < ATN_MEASURE_COLS; c++) out[c] = NAN;
        j->measures[i]->compute(rows, out);
        for (int c = 0; c < atn_measure_n_cols(j->measures[i]); c++, col++)
            if (!isnan(out[c])) atn_table_set_f64(j->table, col, out[c]);
    }
    for (atn_idx i = rows->skip_rows; i < rows->nq; i++)
        j->empty_rows += rows->seen[i] == 0;
done:
    return st;
}

/* The chosen heads of one problem, in batches whose row statistics fit BATCH_BYTES. */
static atn_status add_problem(atn_ctx *cx, job *j, const atn_layer_info *info,
                              const atn_problem *p, const bool *keep)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx most =
        (atn_idx)ATN_MAX(BATCH_BYTES / atn_row_stats_bytes(1, ATN_MAX(p->nq, 1)), 1.0);
    const int32_t *tokens = j->n_tokens == p->nk ? j->tokens : NULL;
    atn_status st = ATN_OK;
    atn_row_stats *stats = NULL;
    atn_head *heads = NULL;
    atn_idx n = 0;

    if (j->rows.skip_rows >= p->nq)
        ATN_FAIL(ATN_USAGE,
                 "stats: --skip-rows %lld leaves no row of layer %d, which has %lld "
                 "(give a smaller number)",
                 (long long)j->rows.skip_rows, (int)p->layer, (long long)p->nq);
    ATN_TAKE(heads, p->heads);
    for (atn_idx h = 0; h < p->heads; h++)
        if (keep[h]) heads[n++] = atn_problem_head(p, h);
    for (atn_idx first = 0; first < n; first += most) {
        const atn_idx batch = ATN_MIN(most, n - first);

        ATN_TRY(atn_row_stats_run(cx, heads + first, batch, tokens, &j->rows, &stats));
        for (atn_idx h = 0; h < batch; h++) {
            const atn_head_rows rows = atn_row_stats_head(stats, h);
            ATN_TRY(add_head(cx, j, info, &heads[first + h], &rows));
        }
        atn_row_stats_destroy(cx, stats);
        stats = NULL;
    }
done:
    atn_row_stats_destroy(cx, stats);
    atn_arena_rewind(cx, mark);
    return st;
}

static void report_empty(atn_ctx *cx, const job *j)
{
    if (j->empty_rows > 0)
        atn_log(cx, ATN_LOG_WARN, "%lld rows see no key; they count in no mean",
                (long long)j->empty_rows);
}

atn_status atn_stats_table(atn_ctx *cx, const atn_capture *c, const atn_selection *sel,
                           const atn_stats_opts *opts, atn_table **out)
{
    atn_status st = ATN_OK;
    job j = {.stack_col = -1, .step_col = -1};
    atn_problem p = {0};

    ATN_TRY(start(cx, opts, sel, &j));
    j.n_tokens = atn_capture_tokens(c, &j.tokens, NULL);
    for (int i = 0; i < sel->n; i++) {
        const atn_layer_info *info = atn_capture_layer(c, sel->at[i]);

        ATN_TRY(atn_progress(cx, "stats", i, sel->n));
        ATN_TRY(atn_capture_load(cx, c, sel->at[i], &p));
        ATN_TRY(add_problem(cx, &j, info, &p, sel->heads + i * sel->max_heads));
        atn_capture_unload(cx, &p);
        p = (atn_problem){0};
    }
    report_empty(cx, &j);
    *out = j.table;
    j.table = NULL;
done:
    atn_capture_unload(cx, &p);
    atn_table_destroy(cx, j.table);
    return st;
}
