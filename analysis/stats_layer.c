/* analysis/stats_layer.c -- one layer of a run of measures: its heads, sampled or not,
 * its layer measures, and then the heads that are done.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/stats_internal.h"

#include <math.h>
#include <string.h>

#include "analysis/keys.h"
#include "analysis/layer_facts.h"
#include "core/kernels/kernels.h"
#include "core/rows.h"

static const double FLOAT_SAFE = 1e37;

/* The heads of a layer, and where the values of the selected ones go. */
typedef struct layer_job {
    const atn_problem *problem;
    const bool *keep;     /* [heads] selected ones of this part of the work */
    const bool *selected; /* [heads] of all parts */
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

/* The row statistics of some heads together. */
static atn_status one_batch(atn_ctx *cx, atn_stats *s, const layer_job *j,
                            const atn_head *heads, atn_idx n)
{
    atn_status st = ATN_OK;
    atn_row_stats *stats = NULL;

    ATN_TRY(atn_row_stats_run(cx, heads, n, atn_layer_token_ids(s->capture, j->at),
                              &j->rows, &stats));
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
    if (s->row[row].done) {
        atn_err_clear(cx);
        return ATN_OK;
    }
    atn_err_forgive(cx);
    s->row[row].failed = true;
    return atn_stats_finish_head(cx, s, row);
}

/* A batch with a head whose logits overflow goes head by head, and on without that
 * head. */
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

/* Replaces the heads by some of their rows, where that is asked for and there are
 * more. */
static atn_status sample_heads(atn_ctx *cx, const atn_stats *s, layer_job *j)
{
    const atn_idx nq = j->problem->nq, skip = s->plan.rows.skip_rows;
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

/* ---- layer measures, and heads whose values are no numbers ---- */

static atn_status nothing(atn_ctx *cx, const atn_head *h, const atn_tile *t, atn_cmat p,
                          const atn_row_info *info, void *state)
{
    (void)cx;
    (void)h;
    (void)t;
    (void)p;
    (void)info;
    (void)state;
    return ATN_OK;
}

/* Which heads do not get through their rows? */
static atn_status find_bad(atn_ctx *cx, atn_stats *s, layer_job *j)
{
    for (atn_idx h = 0; h < j->problem->heads; h++) {
        atn_status st;

        if (j->bad[h]) continue;
        st =
            atn_rows_stream(cx, &j->head[h], 1, nothing, NULL, "looking for bad heads");
        if (st == ATN_OK) continue;
        if (st != ATN_DATA) return st;
        j->bad[h] = true;
        if (!j->keep[h])
            atn_err_forgive(cx);
        else if ((st = give_up(cx, s, j->row[h])) != ATN_OK)
            return st;
    }
    return ATN_OK;
}

/* A copy of [n, rows, cols] whose planes that are bad hold zeros. */
static atn_status zero_planes(atn_ctx *cx, const float *x, const bool *bad, atn_idx n,
                              atn_idx size, const float **out)
{
    atn_status st = ATN_OK;
    float *copy = NULL;

    *out = NULL;
    if (!x) return ATN_OK;
    ATN_TAKE(copy, n * size);
    for (atn_idx i = 0; i < n; i++)
        if (bad[i])
            memset(copy + i * size, 0, (size_t)size * sizeof *copy);
        else
            memcpy(copy + i * size, x + i * size, (size_t)size * sizeof *copy);
    *out = copy;
done:
    return st;
}

/* Bad heads become zeros, so that the others can be taken together without them; their
 * own values are dropped afterwards. Lives in the arena. */
static atn_status without_bad(atn_ctx *cx, const atn_stats *s, layer_job *j,
                              atn_problem *clean)
{
    const atn_problem *p = j->problem;
    atn_status st = ATN_OK;
    bool *bad_kv = NULL;

    *clean = *p;
    ATN_TRY(atn_mem_check(
        cx,
        4.0 * (double)p->nk * (double)p->kv_heads * (double)(p->d + p->dv) +
            4.0 * (double)p->heads * (double)p->nq * (double)(p->q ? p->d : p->nk),
        "a layer without its bad heads"));
    ATN_TAKE(bad_kv, p->kv_heads);
    for (atn_idx g = 0; g < p->kv_heads; g++)
        bad_kv[g] =
            (p->k && !atn_all_finite(p->k + g * p->nk * p->d, ATN_F32, p->nk * p->d)) ||
            (p->v && !atn_all_finite(p->v + g * p->nk * p->dv, ATN_F32, p->nk * p->dv));
    ATN_TRY(zero_planes(cx, p->q, j->bad, p->heads, p->nq * p->d, &clean->q));
    ATN_TRY(zero_planes(cx, p->p, j->bad, p->heads, p->nq * p->nk, &clean->p));
    ATN_TRY(zero_planes(cx, p->k, bad_kv, p->kv_heads, p->nk * p->d, &clean->k));
    ATN_TRY(zero_planes(cx, p->v, bad_kv, p->kv_heads, p->nk * p->dv, &clean->v));
    j->problem = clean;
    for (atn_idx h = 0; h < p->heads; h++) j->head[h] = atn_problem_head(clean, h);
    ATN_TRY(sample_heads(cx, s, j));
done:
    return st;
}

static bool any_bad(const layer_job *j)
{
    for (atn_idx h = 0; h < j->problem->heads; h++)
        if (j->bad[h]) return true;
    return false;
}

/* Empties what bad heads have or had a part in. */
static void drop_bad(const atn_stats *s, const layer_job *j, int m, double *out)
{
    const atn_measure *measure = s->plan.measure[m];
    const int n = atn_measure_n_cols(measure);

    for (atn_idx h = 0; h < j->problem->heads; h++)
        for (int c = 0; c < n; c++)
            if (j->bad[h] || (measure->mixes && measure->mixes(s->plan.params[m], c)))
                out[h * n + c] = NAN;
}

static void all_fail(atn_stats *s, const layer_job *j)
{
    for (atn_idx h = 0; h < j->problem->heads; h++)
        if (j->keep[h]) s->row[j->row[h]].failed = true;
}

static bool none(const double *x, atn_idx n)
{
    for (atn_idx i = 0; i < n; i++)
        if (!isnan(x[i])) return false;
    return true;
}

/* Values [heads][columns] of some heads of the layer: they go to their rows and, where
 * nothing was wrong with the layer, to the journal. */
static atn_status put_measure(atn_ctx *cx, atn_stats *s, const layer_job *j,
                              const atn_layer_facts *f, int m, const bool *keep,
                              double *out)
{
    const atn_measure *measure = s->plan.measure[m];
    const int n = atn_measure_n_cols(measure);
    atn_status st = ATN_OK;

    if (any_bad(j)) {
        drop_bad(s, j, m, out);
        if (measure->mixes) all_fail(s, j);
    }
    for (int c = 0; c < n; c++)
        for (atn_idx h = 0; h < f->heads; h++)
            if (atn_measure_placeless(measure, c, &f->head[h].sight))
                out[h * n + c] = NAN;
    for (atn_idx h = 0; h < f->heads; h++) {
        if (!keep[h]) continue;
        atn_stats_put(s, m, NULL, 1, j->row[h], out + h * n);
        if (!any_bad(j) && !f->damaged)
            ATN_TRY(atn_stats_finish_measure(cx, s, j->row[h], m));
    }
done:
    return st;
}

static bool mixes_any(const atn_stats *s, int m)
{
    const atn_measure *measure = s->plan.measure[m];

    for (int c = 0; measure->mixes && c < atn_measure_n_cols(measure); c++)
        if (measure->mixes(s->plan.params[m], c)) return true;
    return false;
}

/* Is the measure still to be taken of head h? */
static bool lacks(const atn_stats *s, const layer_job *j, atn_idx h, int m)
{
    return j->keep[h] && !s->row[j->row[h]].done &&
           !s->there[j->row[h] * s->plan.n + m];
}

/* From head *at on those that lack the measure, `most` of them: true in keep; false =
 * there are none. */
static bool next_heads(const atn_stats *s, const layer_job *j, int m, atn_idx most,
                       atn_idx *at, bool *keep)
{
    atn_idx n = 0;

    memset(keep, 0, (size_t)j->problem->heads * sizeof *keep);
    for (; *at < j->problem->heads && n < most; (*at)++) {
        const atn_idx h = *at;

        keep[h] = lacks(s, j, h, m);
        n += keep[h];
    }
    return n > 0;
}

/* Where there is a journal, a thread a head at a time, so that what is done is kept. */
static atn_status one_layer_measure(atn_ctx *cx, atn_stats *s, const layer_job *j,
                                    const atn_layer_facts *f, int m)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_measure *measure = s->plan.measure[m];
    const bool whole = !s->journal.file || !measure->by_head || mixes_any(s, m);
    const char *lack = atn_layer_facts_lack(f, measure->wants);
    const int n = atn_measure_n_cols(measure);
    atn_layer_facts asked = *f;
    atn_status st = ATN_OK;
    double *out = NULL;
    bool *keep = NULL, valued = false, any = false;
    atn_idx at = 0;

    if (lack) {
        atn_log(cx, ATN_LOG_WARN, "%s: %s is left out, the capture has no %s",
                atn_layer_facts_name(f).text, measure->id, lack);
        goto done;
    }
    if ((measure->wants & ATN_WANT_W_O) && !f->w_o)
        atn_log(cx, ATN_LOG_WARN,
                "%s: %s: what needs w_o stays empty, the capture has none",
                atn_layer_facts_name(f).text, measure->id);
    ATN_TAKE(out, f->heads * n);
    ATN_TAKE(keep, f->heads);
    while (next_heads(s, j, m, whole ? f->heads : cx->threads, &at, keep)) {
        for (atn_idx i = 0; i < f->heads * n; i++) out[i] = NAN;
        /* heads of other parts count where values hang together */
        asked.keep = whole && measure->mixes ? j->selected : keep;
        ATN_TRY(measure->layer(cx, &asked, s->plan.params[m], out));
        ATN_TRY(put_measure(cx, s, j, f, m, keep, out));
        valued |= !none(out, f->heads * n);
        any = true;
    }
    if (j->sampled && any && !valued)
        atn_log(cx, ATN_LOG_WARN, "%s: %s has no value on a sample of rows",
                atn_layer_facts_name(f).text, measure->id);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Of heads that had it before another one met bad data. */
static void empty_measure(atn_stats *s, const layer_job *j, int m)
{
    const int first = atn_stats_plan_slot(&s->plan, m, 0);

    for (atn_idx h = 0; h < j->problem->heads; h++)
        for (int c = 0; j->keep[h] && c < atn_measure_n_cols(s->plan.measure[m]); c++)
            atn_stats_values(s, j->row[h])[first + c] = NAN;
}

/* One measure that meets bad data is left out; the others go on. */
static atn_status each_layer_measure(atn_ctx *cx, atn_stats *s, const layer_job *j,
                                     const atn_layer_facts *f)
{
    atn_status st = ATN_OK;

    for (int m = 0; m < s->plan.n; m++) {
        if (!s->plan.measure[m]->layer) continue;
        st = one_layer_measure(cx, s, j, f, m);
        if (st != ATN_OK && !atn_stats_may_go_on(s, st)) return st;
        if (st == ATN_OK) continue;
        atn_err_forgive(cx);
        atn_log(cx, ATN_LOG_WARN, "%s: %s is left out", atn_layer_facts_name(f).text,
                s->plan.measure[m]->id);
        all_fail(s, j);
        empty_measure(s, j, m);
        st = atn_stats_note_left_out(cx, s, j->first, m);
        if (st != ATN_OK) return st;
    }
    return ATN_OK;
}

static bool any_mixes(const atn_stats_plan *plan)
{
    for (int m = 0; m < plan->n; m++)
        if (plan->measure[m]->mixes) return true;
    return false;
}

/* Of the layer measures that heads lack: what they want; false = none is lacking. */
static bool wanted(const atn_stats *s, const layer_job *j, unsigned *wants)
{
    bool any = false;

    *wants = 0;
    for (int m = 0; m < s->plan.n; m++) {
        bool lacking = false;

        for (atn_idx h = 0; s->plan.measure[m]->layer && h < j->problem->heads; h++)
            lacking |= lacks(s, j, h, m);
        if (lacking) *wants |= s->plan.measure[m]->wants;
        any |= lacking;
    }
    return any;
}

static atn_status with_facts(atn_ctx *cx, atn_stats *s, layer_job *j)
{
    atn_layer_wants wants = {.keep = any_mixes(&s->plan) ? j->selected : j->keep,
                             .skip_rows = j->rows.skip_rows,
                             .head = j->head,
                             .strict = s->strict};
    atn_status st = ATN_OK;
    atn_layer_facts f = {0};

    if (!wanted(s, j, &wants.wants)) return ATN_OK;
    ATN_TRY(atn_layer_facts_load(cx, s->capture, j->at, j->problem, &wants, &f));
    if (f.damaged) all_fail(s, j);
    ATN_TRY(each_layer_measure(cx, s, j, &f));
done:
    atn_layer_facts_release(cx, &f);
    return st;
}

static bool any_layer_measure(const atn_stats_plan *plan)
{
    for (int m = 0; m < plan->n; m++)
        if (plan->measure[m]->layer) return true;
    return false;
}

/* Can a logit leave float32? |q . k| is at most the product of the norms. */
static bool may_overflow(const atn_problem *p)
{
    double q = 0, k = 0;

    if (!p->q || !p->k) return false;
    for (atn_idx i = 0; i < p->heads * p->nq; i++)
        q = fmax(q, atn_row_square(p->q + i * p->d, p->d));
    for (atn_idx i = 0; i < p->kv_heads * p->nk; i++)
        k = fmax(k, atn_row_square(p->k + i * p->d, p->d));
    return !(sqrt(q) * sqrt(k) * fmax(p->scale, 1) < FLOAT_SAFE);
}

/* Numbers that overflow show in the rows alone, so they are looked for first. */
static atn_status layer_measures(atn_ctx *cx, atn_stats *s, layer_job *j)
{
    const atn_problem *whole = j->problem;
    atn_status st = ATN_OK;
    atn_problem clean;

    if (!any_layer_measure(&s->plan)) return ATN_OK;
    if (!s->strict && may_overflow(whole)) ATN_TRY(find_bad(cx, s, j));
    if (any_bad(j)) ATN_TRY(without_bad(cx, s, j, &clean));
    ATN_TRY(with_facts(cx, s, j));
done:
    if (j->problem != whole) { /* the heads as they are again */
        j->problem = whole;
        for (atn_idx h = 0; h < whole->heads; h++)
            j->head[h] = atn_problem_head(whole, h);
        if (st == ATN_OK) st = sample_heads(cx, s, j);
    }
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
                 "stats: --skip-rows %lld leaves no row of %s, which has %lld "
                 "(give a smaller number)",
                 (long long)s->plan.rows.skip_rows,
                 atn_layer_name(atn_capture_layer(s->capture, j->at)).text,
                 (long long)p->nq);
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

/* The selected heads of layer i but for those of other parts; in the arena. */
static atn_status keep_own(atn_ctx *cx, const atn_stats *s, int i, atn_idx first,
                           const bool **out)
{
    const atn_idx heads = s->selection->max_heads;
    const bool *selected = s->selection->heads + i * heads;
    atn_status st = ATN_OK;
    bool *keep = NULL;

    ATN_TAKE(keep, heads);
    for (atn_idx h = 0; h < heads; h++) {
        keep[h] = selected[h] && first >= s->from && first < s->to;
        first += selected[h];
    }
    *out = keep;
done:
    return st;
}

atn_status atn_stats_layer(atn_ctx *cx, atn_stats *s, int i, atn_idx first)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_selection *sel = s->selection;
    layer_job j = {.selected = sel->heads + i * sel->max_heads,
                   .at = sel->at[i],
                   .first = ATN_MAX(first, s->from),
                   .rows = s->plan.rows};
    const atn_idx heads = atn_capture_layer(s->capture, j.at)->heads;
    atn_status st = ATN_OK;
    atn_problem p = {0};

    ATN_TRY(keep_own(cx, s, i, first, &j.keep));
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
    st = atn_layer_named(cx, atn_capture_layer(s->capture, j.at), st);
    atn_capture_unload(cx, &p);
    atn_arena_rewind(cx, mark);
    return st;
}
