/* analysis/stats.c -- runs the row-statistics pass over a selection and tabulates measures. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/stats_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/layer_facts.h"
#include "core/backend.h"
#include "core/io/file.h"
#include "core/run.h"

static const double BATCH_BYTES = 64.0 * 1024 * 1024, BATCH_PAIRS = 1 << 24;

static atn_status create(atn_ctx *cx, const atn_capture *c, const atn_selection *sel,
                         const atn_stats_opts *opts, atn_stats **out)
{
    const atn_stats_plan_opts plan = {.measures = opts->measures,
                                      .skip_rows = opts->skip_rows,
                                      .quantiles = opts->quantiles,
                                      .n_quantiles = opts->n_quantiles,
                                      .bins = opts->bins,
                                      .sampled = opts->sample > 0};
    atn_status st = ATN_OK;
    atn_stats *s = NULL;
    atn_idx total, n = 0;

    ATN_NEW(s, 1);
    s->capture = c;
    s->selection = sel;
    s->n = sel->n_heads;
    s->strict = opts->strict;
    s->sample = opts->sample;
    ATN_TRY(atn_stats_plan_make(cx, &plan, &s->plan));
    ATN_NEW(s->row, s->n);
    for (int i = 0; i < sel->n; i++)
        for (atn_idx h = 0; h < sel->max_heads; h++)
            if (sel->heads[i * sel->max_heads + h])
                s->row[n++] =
                    (stats_row){.info = atn_capture_layer(c, sel->at[i]), .head = h};
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
    atn_journal_close(cx, &s->journal, false);
    atn_stats_plan_release(cx, &s->plan);
    atn_free(cx, s->row);
    atn_free(cx, s->values);
    atn_free(cx, s);
}

/* ---- finished heads ---- */

static double *values_of(atn_stats *s, atn_idx row)
{
    return s->values + row * s->plan.n_slots;
}

static atn_status finish_head(atn_ctx *cx, atn_stats *s, atn_idx row)
{
    s->row[row].done = true;
    if (!s->journal.file) return ATN_OK;
    return atn_journal_add(cx, &s->journal, row, s->row[row].failed, values_of(s, row));
}

static void found_head(void *user, atn_idx row, bool failed, const double *values)
{
    atn_stats *s = user;

    s->row[row].done = true;
    s->row[row].failed = failed;
    memcpy(values_of(s, row), values, (size_t)s->plan.n_slots * sizeof *values);
}

/* A hash of all that decides the values: two requests with the same one may share a journal. */
static atn_status fingerprint(atn_ctx *cx, const atn_stats *s, const atn_stats_opts *o,
                              char hex[33])
{
    atn_status st = ATN_OK;
    char *text = NULL, *longer = NULL, manifest[33];

    ATN_TRY(atn_capture_checksum(cx, atn_capture_manifest(s->capture), manifest));
    text = atn_strfmt(cx, ATN_VERSION " %s %s %lld %d %lld %llu %s", manifest,
                      o->measures ? o->measures : ATN_STATS_DEFAULT,
                      (long long)o->skip_rows, o->bins, (long long)o->sample,
                      (unsigned long long)cx->seed, cx->backend->device);
    if (!text) ATN_TRY(cx->err.code);
    for (int i = 0; i < o->n_quantiles + (int)s->n; i++) {
        longer = i < o->n_quantiles ? atn_strfmt(cx, "%s q%a", text, o->quantiles[i])
                                    : atn_strfmt(cx, "%s %s/%d", text,
                                                 s->row[i - o->n_quantiles].info->file,
                                                 (int)s->row[i - o->n_quantiles].head);
        if (!longer) ATN_TRY(cx->err.code);
        atn_free(cx, text);
        text = longer;
    }
    atn_hash_bytes(text, strlen(text), hex);
done:
    atn_free(cx, text);
    return st;
}

static atn_status open_journal(atn_ctx *cx, atn_stats *s, const atn_stats_opts *o)
{
    atn_status st = ATN_OK;
    atn_idx found = 0;
    char hex[33];

    if (!o->journal) return ATN_OK;
    ATN_TRY(fingerprint(cx, s, o, hex));
    ATN_TRY(atn_journal_open(cx, o->journal, hex, s->n, s->plan.n_slots, o->force,
                             found_head, s, &s->journal));
    for (atn_idx i = 0; i < s->n; i++) found += s->row[i].done;
    if (found > 0)
        atn_log(cx, ATN_LOG_INFO, "stats: %lld of %lld heads are in %s already",
                (long long)found, (long long)s->n, o->journal);
done:
    return st;
}

void atn_stats_forget(atn_ctx *cx, atn_stats *s)
{
    atn_journal_close(cx, &s->journal, true);
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
    bool sampled;
    atn_row_sample sample;
    atn_row_stats_opts
        rows; /* of the plan; a sample is drawn from the rows that count */
} layer_job;

static atn_status put_head(atn_ctx *cx, atn_stats *s, const layer_job *j, atn_idx row,
                           const atn_head_stats *h)
{
    atn_status st = ATN_OK;

    for (atn_idx i = h->opts.skip_rows; i < h->nq; i++)
        s->empty_rows += h->seen[i] == 0;
    ATN_TRY(atn_stats_plan_values(cx, &s->plan, h, j->sampled ? &j->sample : NULL,
                                  values_of(s, row)));
    ATN_TRY(finish_head(cx, s, row));
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
    return finish_head(cx, s, row);
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

/* Heads streamed together: their statistics fit BATCH_BYTES, and where one head alone keeps all
 * threads busy it is finished alone, so that little is lost when the run is stopped. */
static atn_idx batch_of(const layer_job *j)
{
    const double each = atn_row_stats_bytes(&j->head[0], 1, &j->rows);
    const double pairs = (double)j->head[0].nq * (double)j->head[0].nk;
    const double fit =
        ATN_MIN(BATCH_BYTES / ATN_MAX(each, 1.0), BATCH_PAIRS / ATN_MAX(pairs, 1.0));

    return (atn_idx)ATN_MAX(fit, 1.0);
}

/* The head measures, in batches whose row statistics fit BATCH_BYTES. */
static atn_status head_measures(atn_ctx *cx, atn_stats *s, const layer_job *j)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx most = batch_of(j);
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

static bool any_head_measure(const atn_stats_plan *plan)
{
    for (int m = 0; m < plan->n; m++)
        if (!plan->measure[m]->layer && !plan->measure[m]->model) return true;
    return false;
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

static atn_status one_layer(atn_ctx *cx, atn_stats *s, int i, atn_idx first)
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
    if (any_head_measure(&s->plan)) ATN_TRY(head_measures(cx, s, &j));
    for (atn_idx row = first; row < atn_stats_layer_end(s, first); row++)
        if (!s->row[row].done) ATN_TRY(finish_head(cx, s, row));
done:
    atn_capture_unload(cx, &p);
    atn_arena_rewind(cx, mark);
    return st;
}

/* A measure of the whole model cannot do without a head. */
static void leave_out(atn_ctx *cx, atn_stats *s, int m)
{
    atn_log(cx, ATN_LOG_WARN, "%s", cx->err.text);
    atn_err_clear(cx);
    atn_log(cx, ATN_LOG_WARN, "%s is left out, for it takes all heads together",
            s->plan.measure[m]->id);
    for (atn_idx i = 0; i < s->n; i++) s->row[i].failed = true;
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
        st = measure->model(cx, &facts, s->plan.params[m], out);
        if (st == ATN_DATA && !s->strict) {
            leave_out(cx, s, m);
            st = ATN_OK;
            continue;
        }
        ATN_TRY(st);
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

static atn_status all_layers(atn_ctx *cx, atn_stats *s)
{
    atn_status st = ATN_OK;
    atn_idx first = 0;

    if (atn_stats_undone(s, 0, s->n)) ATN_TRY(model_measures(cx, s));
    for (int i = 0; i < s->selection->n; i++) {
        const atn_idx end = atn_stats_layer_end(s, first);

        ATN_TRY(atn_progress(cx, "stats", i, s->selection->n));
        if (atn_stats_undone(s, first, end)) ATN_TRY(one_layer(cx, s, i, first));
        first = end;
    }
done:
    return st;
}

/* Out of time is no failure: what is done is done. */
static atn_status all_in_time(atn_ctx *cx, atn_stats *s, double budget)
{
    atn_status st;

    if (budget > 0) cx->deadline = atn_seconds() + budget;
    st = all_layers(cx, s);
    if (st == ATN_TERMINATED && atn_cancelled() == 0) {
        atn_err_clear(cx);
        st = ATN_OK;
    }
    cx->deadline = 0;
    return st;
}

atn_status atn_stats_run(atn_ctx *cx, const atn_capture *c, const atn_selection *sel,
                         const atn_stats_opts *opts, atn_stats **out)
{
    atn_status st = ATN_OK;
    atn_stats *s = NULL;

    if (opts->sample != 0 && opts->sample < ATN_SAMPLE_LEAST)
        ATN_FAIL(ATN_USAGE,
                 "stats: a sample of %lld rows is too small (give %d or more)",
                 (long long)opts->sample, ATN_SAMPLE_LEAST);
    ATN_TRY(create(cx, c, sel, opts, &s));
    ATN_TRY(open_journal(cx, s, opts));
    say_passes(cx, s);
    ATN_TRY(all_in_time(cx, s, opts->time_budget));
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

atn_idx atn_stats_left(const atn_stats *s)
{
    atn_idx n = 0;

    for (atn_idx i = 0; i < s->n; i++) n += !s->row[i].done;
    return n;
}
