/* analysis/stats.c -- runs the row-statistics pass over a selection and tabulates measures. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/stats_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/layer_facts.h"

static const double BATCH_BYTES = 64.0 * 1024 * 1024;

static atn_status create(atn_ctx *cx, const atn_capture *c, const atn_selection *sel,
                         const atn_stats_opts *opts, atn_stats **out)
{
    const atn_stats_plan_opts plan = {.measures = opts->measures,
                                      .skip_rows = opts->skip_rows,
                                      .quantiles = opts->quantiles,
                                      .n_quantiles = opts->n_quantiles,
                                      .bins = opts->bins};
    atn_status st = ATN_OK;
    atn_stats *s = NULL;
    atn_idx total, n = 0;

    ATN_NEW(s, 1);
    s->capture = c;
    s->selection = sel;
    s->n = sel->n_heads;
    s->strict = opts->strict;
    ATN_TRY(atn_stats_plan_make(cx, &plan, &s->plan));
    ATN_NEW(s->row, s->n);
    for (int i = 0; i < sel->n; i++)
        for (atn_idx h = 0; h < sel->max_heads; h++)
            if (sel->heads[i * sel->max_heads + h])
                s->row[n++] = (stats_row){atn_capture_layer(c, sel->at[i]), h, false};
    ATN_ASSERT(n == s->n);
    if (!atn_mul(s->n, s->plan.n_slots, &total))
        ATN_FAIL(ATN_MEMORY, "stats: %lld heads of %d values overflow", (long long)s->n,
                 s->plan.n_slots);
    ATN_TRY(atn_mem_check(cx, 8.0 * (double)total, "stats"));
    ATN_NEW(s->values, total);
    for (atn_idx i = 0; i < total; i++) s->values[i] = NAN;
    *out = s;
    s = NULL;
done:
    atn_stats_destroy(cx, s);
    return st;
}

void atn_stats_destroy(atn_ctx *cx, atn_stats *s)
{
    if (!s) return;
    atn_stats_plan_release(cx, &s->plan);
    atn_free(cx, s->row);
    atn_free(cx, s->values);
    atn_free(cx, s);
}

/* ---- one layer ---- */

/* The heads of a layer, and where the values of the selected ones go. */
typedef struct layer_job {
    const atn_problem *problem;
    const bool *keep;
    int at;
    atn_idx first;  /* row of the first selected head among the results */
    atn_head *head; /* [heads] all of them */
    atn_idx *row;   /* [heads] row among the results; of kept heads */
    bool *bad;      /* [heads] whose values are no numbers */
} layer_job;

static double *values_of(atn_stats *s, atn_idx row)
{
    return s->values + row * s->plan.n_slots;
}

static atn_status put_head(atn_ctx *cx, atn_stats *s, atn_idx row,
                           const atn_head_stats *h)
{
    for (atn_idx i = h->opts.skip_rows; i < h->nq; i++)
        s->empty_rows += h->seen[i] == 0;
    return atn_stats_plan_values(cx, &s->plan, h, NULL, values_of(s, row));
}

static const int32_t *tokens_of(const atn_stats *s, const atn_problem *p)
{
    const int32_t *tokens = NULL;

    return atn_capture_tokens(s->capture, &tokens, NULL) == p->nk ? tokens : NULL;
}

/* The row statistics of some heads together. */
static atn_status one_batch(atn_ctx *cx, atn_stats *s, const layer_job *j,
                            const atn_head *heads, atn_idx n)
{
    atn_status st = ATN_OK;
    atn_row_stats *stats = NULL;

    ATN_TRY(atn_row_stats_run(cx, heads, n, tokens_of(s, j->problem), &s->plan.rows,
                              &stats));
    for (atn_idx i = 0; i < n; i++) {
        const atn_head_stats h = atn_row_stats_head(stats, i);

        ATN_TRY(put_head(cx, s, j->row[heads[i].head], &h));
    }
done:
    atn_row_stats_destroy(cx, stats);
    return st;
}

static void give_up(atn_ctx *cx, atn_stats *s, atn_idx row)
{
    if (cx->err.text[0]) atn_log(cx, ATN_LOG_WARN, "%s", cx->err.text);
    atn_err_clear(cx);
    s->row[row].failed = true;
}

/* A batch with a head whose logits overflow goes head by head, and on without that head. */
static atn_status batch_or_heads(atn_ctx *cx, atn_stats *s, const layer_job *j,
                                 const atn_head *heads, atn_idx n)
{
    atn_status st = one_batch(cx, s, j, heads, n);

    if (st != ATN_DATA || s->strict) return st;
    for (atn_idx i = 0; i < n; i++) {
        if (n > 1) {
            atn_err_clear(cx);
            st = one_batch(cx, s, j, &heads[i], 1);
        }
        if (st == ATN_DATA)
            give_up(cx, s, j->row[heads[i].head]);
        else if (st != ATN_OK)
            return st;
    }
    return ATN_OK;
}

/* The head measures, in batches whose row statistics fit BATCH_BYTES. */
static atn_status head_measures(atn_ctx *cx, atn_stats *s, const layer_job *j)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const double each = atn_row_stats_bytes(&j->head[0], 1, &s->plan.rows);
    const atn_idx most = (atn_idx)ATN_MAX(BATCH_BYTES / ATN_MAX(each, 1.0), 1.0);
    atn_status st = ATN_OK;
    atn_head *heads = NULL;
    atn_idx n = 0;

    ATN_TAKE(heads, j->problem->heads);
    for (atn_idx h = 0; h < j->problem->heads; h++)
        if (j->keep[h] && !j->bad[h]) heads[n++] = j->head[h];
    for (atn_idx first = 0; first < n; first += most)
        ATN_TRY(batch_or_heads(cx, s, j, heads + first, ATN_MIN(most, n - first)));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Copies a layer or model measure's values [heads][cols] to the slots of the kept heads. */
static void put_values(atn_stats *s, int m, const bool *keep, atn_idx heads,
                       atn_idx first, const double *out)
{
    const int n = atn_measure_n_cols(s->plan.measure[m]);

    for (atn_idx h = 0; h < heads; h++) {
        if (keep && !keep[h]) continue;
        for (int c = 0; c < n; c++)
            values_of(s, first)[atn_stats_plan_slot(&s->plan, m, c)] = out[h * n + c];
        first++;
    }
}

static atn_status one_layer_measure(atn_ctx *cx, atn_stats *s, const layer_job *j,
                                    const atn_layer_facts *f, int m)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_measure *measure = s->plan.measure[m];
    const char *lack = atn_layer_facts_lack(f, measure->wants);
    const int n = atn_measure_n_cols(measure);
    atn_status st = ATN_OK;
    double *out = NULL;

    if (lack) {
        atn_log(cx, ATN_LOG_WARN, "layer %d: %s is left out, the capture has no %s",
                (int)f->problem->layer, measure->id, lack);
        goto done;
    }
    ATN_TAKE(out, f->heads * n);
    for (atn_idx i = 0; i < f->heads * n; i++) out[i] = NAN;
    ATN_TRY(measure->layer(cx, f, s->plan.params[m], out));
    put_values(s, m, j->keep, f->heads, j->first, out);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static bool any_bad(const layer_job *j)
{
    for (atn_idx h = 0; h < j->problem->heads; h++)
        if (j->bad[h]) return true;
    return false;
}

/* They compare the heads of a layer: one bad head leaves none of them a value. */
static atn_status layer_measures(atn_ctx *cx, atn_stats *s, const layer_job *j)
{
    const atn_layer_wants wants = {s->plan.wants, j->keep, s->plan.rows.skip_rows,
                                   j->head};
    atn_status st = ATN_OK;
    atn_layer_facts f = {0};
    bool any = false;

    for (int m = 0; m < s->plan.n; m++) any |= s->plan.measure[m]->layer != NULL;
    if (!any) return ATN_OK;
    if (any_bad(j)) {
        atn_log(cx, ATN_LOG_WARN,
                "layer %d: measures of whole layers are left out, for a head is bad",
                (int)j->problem->layer);
        return ATN_OK;
    }
    ATN_TRY(atn_layer_facts_load(cx, s->capture, j->at, j->problem, &wants, &f));
    for (int m = 0; m < s->plan.n; m++)
        if (s->plan.measure[m]->layer) ATN_TRY(one_layer_measure(cx, s, j, &f, m));
done:
    atn_layer_facts_release(cx, &f);
    return st;
}

static bool any_head_measure(const atn_stats_plan *plan)
{
    for (int m = 0; m < plan->n; m++)
        if (!plan->measure[m]->layer && !plan->measure[m]->model) return true;
    return false;
}

/* Fills the tables of the job whose problem, keep and bad are set. */
static atn_status start_layer(atn_ctx *cx, atn_stats *s, layer_job *j)
{
    const atn_problem *p = j->problem;
    atn_idx row = j->first;
    atn_status st = ATN_OK;

    if (s->plan.rows.skip_rows >= p->nq)
        ATN_FAIL(ATN_USAGE,
                 "stats: --skip-rows %lld leaves no row of layer %d, which has %lld "
                 "(give a smaller number)",
                 (long long)s->plan.rows.skip_rows, (int)p->layer, (long long)p->nq);
    ATN_TAKE(j->head, p->heads);
    ATN_TAKE(j->row, p->heads);
    for (atn_idx h = 0; h < p->heads; h++) {
        j->head[h] = atn_problem_head(p, h);
        j->row[h] = row;
        if (!j->keep[h]) continue;
        if (j->bad[h]) give_up(cx, s, row);
        row++;
    }
done:
    return st;
}

static atn_status one_layer(atn_ctx *cx, atn_stats *s, int i, atn_idx first)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_selection *sel = s->selection;
    layer_job j = {
        .keep = sel->heads + i * sel->max_heads, .at = sel->at[i], .first = first};
    const atn_idx heads = atn_capture_layer(s->capture, j.at)->heads;
    atn_status st = ATN_OK;
    atn_problem p = {0};

    ATN_TAKE(j.bad, heads);
    memset(j.bad, 0, (size_t)heads * sizeof *j.bad);
    ATN_TRY(atn_capture_load_heads(cx, s->capture, j.at, &p, s->strict ? NULL : j.bad));
    j.problem = &p;
    ATN_TRY(start_layer(cx, s, &j));
    ATN_TRY(layer_measures(cx, s, &j));
    if (any_head_measure(&s->plan)) ATN_TRY(head_measures(cx, s, &j));
done:
    atn_capture_unload(cx, &p);
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status model_measures(atn_ctx *cx, atn_stats *s)
{
    const atn_model_facts facts = {s->capture, s->selection, s->plan.rows.skip_rows};
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *out = NULL;

    for (int m = 0; m < s->plan.n; m++) {
        const atn_measure *measure = s->plan.measure[m];
        const int n = atn_measure_n_cols(measure);

        if (!measure->model) continue;
        ATN_TAKE(out, s->n * n);
        for (atn_idx i = 0; i < s->n * n; i++) out[i] = NAN;
        ATN_TRY(measure->model(cx, &facts, s->plan.params[m], out));
        put_values(s, m, NULL, s->n, 0, out);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Passes beyond the one that head measures share are said before they begin. */
static void say_passes(atn_ctx *cx, const atn_stats *s)
{
    const bool out = s->plan.wants & ATN_WANT_OUT;
    int passes = any_head_measure(&s->plan) + out, own = 0;

    for (int m = 0; m < s->plan.n; m++) own += s->plan.measure[m]->passes;
    if (own + out == 0) return;
    atn_log(
        cx, ATN_LOG_INFO,
        "stats: up to %d passes over the rows of %lld heads (%d for row statistics, "
        "%d for head outputs, %d of the measures asked for)",
        passes + own, (long long)s->n, passes - out, (int)out, own);
}

atn_status atn_stats_run(atn_ctx *cx, const atn_capture *c, const atn_selection *sel,
                         const atn_stats_opts *opts, atn_stats **out)
{
    atn_status st = ATN_OK;
    atn_stats *s = NULL;
    atn_idx first = 0;

    ATN_TRY(create(cx, c, sel, opts, &s));
    say_passes(cx, s);
    ATN_TRY(model_measures(cx, s));
    for (int i = 0; i < sel->n; i++) {
        ATN_TRY(atn_progress(cx, "stats", i, sel->n));
        ATN_TRY(one_layer(cx, s, i, first));
        for (atn_idx h = 0; h < sel->max_heads; h++)
            first += sel->heads[i * sel->max_heads + h];
    }
    if (s->empty_rows > 0)
        atn_log(cx, ATN_LOG_WARN, "%lld rows see no key; they count in no mean",
                (long long)s->empty_rows);
    *out = s;
    s = NULL;
done:
    atn_stats_destroy(cx, s);
    return st;
}

atn_idx atn_stats_failed(const atn_stats *s)
{
    atn_idx n = 0;

    for (atn_idx i = 0; i < s->n; i++) n += s->row[i].failed;
    return n;
}
