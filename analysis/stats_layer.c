/* analysis/stats_layer.c -- one layer of a run of measures: its heads, sampled or not, its layer
 * measures, and then the heads that are done.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/stats_internal.h"

#include <math.h>
#include <string.h>

#include "analysis/layer_facts.h"

/* The heads of a layer, and where the values of the selected ones go. */
typedef struct layer_job {
    const atn_problem *problem;
    const bool *keep;
    int at;
    atn_idx first;  /* row of the first selected head among the results */
    atn_head *head; /* [heads] all of them */
    atn_idx *row;   /* [heads] row among the results; of kept heads */
    bool *bad;      /* [heads] whose values are no numbers */
    bool sampled;
    atn_row_sample sample;
    atn_row_stats_opts
        rows; /* of the plan; a sample is drawn from the rows that count */
} layer_job;

static atn_status put_head(atn_ctx *cx, atn_stats *s, const layer_job *j, atn_idx row,
                           const atn_head_stats *h)
{
    atn_status st = ATN_OK;

    s->row[row].empty = 0;
    for (atn_idx i = 0; i < h->nq; i++)
        s->row[row].empty += atn_sight_query(h->sight, i) >= h->opts.skip_rows &&
                             !(h->value[ATN_ROW_MASS][i] > 0);
    ATN_TRY(atn_stats_plan_values(cx, &s->plan, h, j->sampled ? &j->sample : NULL,
                                  atn_stats_values(s, row)));
    ATN_TRY(atn_stats_finish_head(cx, s, row));
done:
    return st;
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

    ATN_TRY(
        atn_row_stats_run(cx, heads, n, tokens_of(s, j->problem), &j->rows, &stats));
    for (atn_idx i = 0; i < n; i++) {
        const atn_head_stats h = atn_row_stats_head(stats, i);

        ATN_TRY(put_head(cx, s, j, j->row[heads[i].head], &h));
    }
done:
    atn_row_stats_destroy(cx, stats);
    return st;
}

static atn_status give_up(atn_ctx *cx, atn_stats *s, atn_idx row)
{
    if (s->row[row].done) return ATN_OK;
    if (cx->err.text[0]) atn_log(cx, ATN_LOG_WARN, "%s", cx->err.text);
    atn_err_clear(cx);
    s->row[row].failed = true;
    return atn_stats_finish_head(cx, s, row);
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
        if (st == ATN_DATA) st = give_up(cx, s, j->row[heads[i].head]);
        if (st != ATN_OK) return st;
    }
    return ATN_OK;
}

/* The head measures, in batches. */
static atn_status head_measures(atn_ctx *cx, atn_stats *s, const layer_job *j)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx most = atn_row_stats_batch(cx, &j->head[0], &j->rows);
    atn_status st = ATN_OK;
    atn_head *heads = NULL;
    atn_idx n = 0;

    ATN_TAKE(heads, j->problem->heads);
    for (atn_idx h = 0; h < j->problem->heads; h++)
        if (j->keep[h] && !s->row[j->row[h]].done) heads[n++] = j->head[h];
    for (atn_idx first = 0; first < n; first += most)
        ATN_TRY(batch_or_heads(cx, s, j, heads + first, ATN_MIN(most, n - first)));
done:
    atn_arena_rewind(cx, mark);
    return st;
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
    atn_stats_put(s, m, j->keep, f->heads, j->first, out);
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

static bool any_layer_measure(const atn_stats_plan *plan)
{
    for (int m = 0; m < plan->n; m++)
        if (plan->measure[m]->layer) return true;
    return false;
}

static atn_status try_layer_measures(atn_ctx *cx, atn_stats *s, const layer_job *j)
{
    const atn_layer_wants wants = {s->plan.wants, j->keep, j->rows.skip_rows, j->head};
    atn_status st = ATN_OK;
    atn_layer_facts f = {0};

    ATN_TRY(atn_layer_facts_load(cx, s->capture, j->at, j->problem, &wants, &f));
    for (int m = 0; m < s->plan.n; m++)
        if (s->plan.measure[m]->layer) ATN_TRY(one_layer_measure(cx, s, j, &f, m));
done:
    atn_layer_facts_release(cx, &f);
    return st;
}

/* They take the heads of a layer together: one bad head leaves none of them a value. */
static atn_status layer_measures(atn_ctx *cx, atn_stats *s, const layer_job *j)
{
    atn_status st = ATN_OK;

    if (!any_layer_measure(&s->plan)) return ATN_OK;
    if (!any_bad(j)) st = try_layer_measures(cx, s, j);
    if (st != ATN_OK && (st != ATN_DATA || s->strict)) return st;
    if (st == ATN_OK && !any_bad(j)) return ATN_OK;
    if (st == ATN_DATA) atn_log(cx, ATN_LOG_WARN, "%s", cx->err.text);
    atn_err_clear(cx);
    atn_log(cx, ATN_LOG_WARN,
            "layer %d: what takes all heads of a layer together is left out there",
            (int)j->problem->layer);
    for (atn_idx h = 0; h < j->problem->heads; h++)
        if (j->keep[h]) s->row[j->row[h]].failed = true;
    return ATN_OK;
}

/* Replaces the heads by some of their rows, where that is asked for and there are more. */
static atn_status sample_heads(atn_ctx *cx, const atn_stats *s, layer_job *j)
{
    const atn_idx nq = j->problem->nq, skip = j->rows.skip_rows;
    atn_status st = ATN_OK;

    if (s->sample == 0 || s->sample >= nq - skip) return ATN_OK;
    ATN_TRY(atn_row_sample_draw(cx, nq, skip, s->sample, &j->sample));
    j->sampled = true;
    j->rows.skip_rows = 0;
    for (atn_idx h = 0; h < j->problem->heads; h++)
        ATN_TRY(
            atn_head_sample(cx, &j->head[h], j->sample.row, j->sample.n, &j->head[h]));
done:
    return st;
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
        if (j->bad[h]) ATN_TRY(give_up(cx, s, row));
        row++;
    }
    ATN_TRY(sample_heads(cx, s, j));
done:
    return st;
}

atn_status atn_stats_layer(atn_ctx *cx, atn_stats *s, int i, atn_idx first)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_selection *sel = s->selection;
    layer_job j = {.keep = sel->heads + i * sel->max_heads,
                   .at = sel->at[i],
                   .first = first,
                   .rows = s->plan.rows};
    const atn_idx heads = atn_capture_layer(s->capture, j.at)->heads;
    atn_status st = ATN_OK;
    atn_problem p = {0};

    ATN_TAKE(j.bad, heads);
    memset(j.bad, 0, (size_t)heads * sizeof *j.bad);
    ATN_TRY(atn_capture_load_heads(cx, s->capture, j.at, &p, s->strict ? NULL : j.bad));
    j.problem = &p;
    ATN_TRY(start_layer(cx, s, &j));
    ATN_TRY(layer_measures(cx, s, &j));
    if (atn_stats_any_head_measure(&s->plan)) ATN_TRY(head_measures(cx, s, &j));
    for (atn_idx row = first; row < atn_stats_layer_end(s, first); row++)
        if (!s->row[row].done) ATN_TRY(atn_stats_finish_head(cx, s, row));
done:
    atn_capture_unload(cx, &p);
    atn_arena_rewind(cx, mark);
    return st;
}
