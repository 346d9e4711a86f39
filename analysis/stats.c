/* analysis/stats.c -- runs the row-statistics pass over a selection and tabulates
 * measures. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/stats_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "analysis/layer_facts.h"
#include "core/backend.h"
#include "core/io/file.h"
#include "core/run.h"

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
    s->shard = opts->shard;
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
    ATN_NEW(s->there, s->n * s->plan.n);
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
    atn_free(cx, s->there);
    atn_free(cx, s->values);
    atn_free(cx, s);
}

/* ---- finished heads ---- */

double *atn_stats_values(atn_stats *s, atn_idx row)
{
    return s->values + row * s->plan.n_slots;
}

static atn_status add_line(atn_ctx *cx, atn_stats *s, const atn_journal_line *line)
{
    if (!s->journal.file || s->row[line->row].failed) return ATN_OK;
    s->lately++;
    return atn_journal_add(cx, &s->journal, line);
}

atn_status atn_stats_finish_head(atn_ctx *cx, atn_stats *s, atn_idx row)
{
    const atn_journal_line line = {.row = row,
                                   .empty = s->row[row].empty,
                                   .n = s->plan.n_slots,
                                   .values = atn_stats_values(s, row)};

    s->row[row].done = true;
    return add_line(cx, s, &line);
}

atn_status atn_stats_finish_measure(atn_ctx *cx, atn_stats *s, atn_idx row, int m)
{
    const int first = atn_stats_plan_slot(&s->plan, m, 0);
    const atn_journal_line line = {.row = row,
                                   .empty = -1,
                                   .first = first,
                                   .n = atn_measure_n_cols(s->plan.measure[m]),
                                   .values = atn_stats_values(s, row) + first};

    return add_line(cx, s, &line);
}

/* Copies a layer or model measure's values [heads][cols] to the slots of the kept
 * heads. */
void atn_stats_put(atn_stats *s, int m, const bool *keep, atn_idx heads, atn_idx first,
                   const double *out)
{
    const int n = atn_measure_n_cols(s->plan.measure[m]);

    for (atn_idx h = 0; h < heads; h++) {
        if (keep && !keep[h]) continue;
        for (int c = 0; c < n; c++)
            atn_stats_values(s, first)[atn_stats_plan_slot(&s->plan, m, c)] =
                out[h * n + c];
        first++;
    }
}

bool atn_stats_may_go_on(const atn_stats *s, atn_status st)
{
    return !s->strict && (st == ATN_DATA || st == ATN_NOINPUT);
}

bool atn_stats_any_head_measure(const atn_stats_plan *plan)
{
    for (int m = 0; m < plan->n; m++)
        if (!plan->measure[m]->layer && !plan->measure[m]->model) return true;
    return false;
}

static void found_line(void *user, const atn_journal_line *line)
{
    atn_stats *s = user;

    memcpy(atn_stats_values(s, line->row) + line->first, line->values,
           (size_t)line->n * sizeof *line->values);
    if (line->empty >= 0) {
        s->row[line->row].done = true;
        s->row[line->row].empty = line->empty;
        return;
    }
    for (int m = 0; m < s->plan.n; m++)
        if (s->plan.measure[m]->layer &&
            atn_stats_plan_slot(&s->plan, m, 0) == line->first &&
            atn_measure_n_cols(s->plan.measure[m]) == line->n)
            s->there[line->row * s->plan.n + m] = true;
}

/* What a layer file is known by: its hash, or where the manifest has none, size and
 * time. */
static atn_status file_mark(atn_ctx *cx, const atn_stats *s, const atn_layer_info *l,
                            char **out)
{
    struct stat at;
    char *path = NULL;

    *out = NULL;
    if (l->hash) {
        *out = atn_strdup(cx, l->hash);
        return *out ? ATN_OK : cx->err.code;
    }
    path = atn_path_join(cx, atn_capture_dir(s->capture), l->file);
    if (!path) return cx->err.code;
    if (stat(path, &at) == 0)
        *out = atn_strfmt(cx, "%lld/%lld.%09ld", (long long)at.st_size,
                          (long long)at.st_mtim.tv_sec, at.st_mtim.tv_nsec);
    else
        *out = atn_strdup(cx, "absent");
    atn_free(cx, path);
    return *out ? ATN_OK : cx->err.code;
}

static atn_status append(atn_ctx *cx, char **text, const char *more)
{
    char *longer = atn_strfmt(cx, "%s %s", *text, more);

    if (!longer) return cx->err.code;
    atn_free(cx, *text);
    *text = longer;
    return ATN_OK;
}

static atn_status append_heads(atn_ctx *cx, const atn_stats *s, char **text)
{
    atn_status st = ATN_OK;
    char *mark = NULL, head[32];

    for (atn_idx i = 0; i < s->n; i++) {
        if (i == 0 || s->row[i].info != s->row[i - 1].info) {
            ATN_TRY(file_mark(cx, s, s->row[i].info, &mark));
            ATN_TRY(append(cx, text, s->row[i].info->file));
            ATN_TRY(append(cx, text, mark));
            atn_free(cx, mark);
            mark = NULL;
        }
        snprintf(head, sizeof head, "%lld", (long long)s->row[i].head);
        ATN_TRY(append(cx, text, head));
    }
done:
    atn_free(cx, mark);
    return st;
}

/* A hash of all that decides the values: two requests with the same one may share a
 * journal. */
static atn_status fingerprint(atn_ctx *cx, const atn_stats *s, const atn_stats_opts *o,
                              char hex[33])
{
    const bool part = atn_shard_is_part(s->shard);
    atn_status st = ATN_OK;
    char *text = NULL, manifest[33], q[48];

    ATN_TRY(atn_capture_checksum(cx, atn_capture_manifest(s->capture), manifest));
    text = atn_strfmt(cx, ATN_VERSION " %s %s %lld %d %lld %llu %s %s", manifest,
                      o->measures ? o->measures : ATN_STATS_DEFAULT,
                      (long long)o->skip_rows, o->bins, (long long)o->sample,
                      (unsigned long long)cx->seed, cx->backend->device,
                      cx->backend->arithmetic);
    if (!text) ATN_TRY(cx->err.code);
    if (part) {
        snprintf(q, sizeof q, "part %d/%d", s->shard->index, s->shard->count);
        ATN_TRY(append(cx, &text, q));
    }
    for (int i = 0; i < o->n_quantiles; i++) {
        snprintf(q, sizeof q, "q%a", o->quantiles[i]);
        ATN_TRY(append(cx, &text, q));
    }
    ATN_TRY(append_heads(cx, s, &text));
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
                             found_line, s, &s->journal));
    for (atn_idx i = s->from; i < s->to; i++) found += s->row[i].done;
    if (found > 0)
        atn_log(cx, ATN_LOG_INFO, "stats: %lld of %lld heads are in %s already",
                (long long)found, (long long)(s->to - s->from), o->journal);
done:
    return st;
}

void atn_stats_forget(atn_ctx *cx, atn_stats *s)
{
    atn_journal_close(cx, &s->journal, true);
}

/* A measure of the whole model cannot do without a head. */
static void leave_out(atn_ctx *cx, atn_stats *s, int m)
{
    atn_err_forgive(cx);
    atn_log(cx, ATN_LOG_WARN, "%s is left out", s->plan.measure[m]->id);
    for (atn_idx i = 0; i < s->n; i++) s->row[i].failed = true;
}

static atn_status model_measures(atn_ctx *cx, atn_stats *s)
{
    const atn_model_facts facts = {s->capture, s->selection, s->plan.rows.skip_rows};
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *out = NULL;
    atn_idx number = 0;

    for (int m = 0; m < s->plan.n; m++) {
        const atn_measure *measure = s->plan.measure[m];
        const int n = atn_measure_n_cols(measure);

        if (!measure->model || !atn_shard_takes(s->shard, number++)) continue;
        ATN_TAKE(out, s->n * n);
        for (atn_idx i = 0; i < s->n * n; i++) out[i] = NAN;
        st = measure->model(cx, &facts, s->plan.params[m], out);
        if (st != ATN_OK && atn_stats_may_go_on(s, st)) {
            leave_out(cx, s, m);
            ATN_TRY(atn_stats_note_model(cx, s, m, NULL));
            continue;
        }
        ATN_TRY(st);
        atn_stats_put(s, m, NULL, s->n, 0, out);
        ATN_TRY(atn_stats_note_model(cx, s, m, out));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Passes beyond the one that head measures share are said before they begin. Most of
 * them take all heads of a layer, whichever are selected. */
static void say_passes(atn_ctx *cx, const atn_stats *s)
{
    const int out = (s->plan.wants & ATN_WANT_OUT) != 0;
    const int rows = atn_stats_any_head_measure(&s->plan);
    atn_idx heads = 0;
    int own = 0;

    for (int m = 0; m < s->plan.n; m++) own += s->plan.measure[m]->passes;
    if (own + out == 0) return;
    for (int i = 0; i < s->selection->n; i++)
        heads += atn_capture_layer(s->capture, s->selection->at[i])->heads;
    atn_log(
        cx, ATN_LOG_INFO,
        "stats: up to %d pass%s over the rows of the %lld head%s of these layers "
        "(%d for row statistics, %d for head outputs, %d of the measures asked for)",
        rows + out + own, rows + out + own == 1 ? "" : "es", (long long)heads,
        heads == 1 ? "" : "s", rows, out, own);
}

static atn_status all_layers(atn_ctx *cx, atn_stats *s)
{
    atn_status st = ATN_OK;
    atn_idx first = 0;

    /* what a part found of the model is in no journal */
    if (atn_shard_is_part(s->shard) || atn_stats_undone(s, 0, s->n))
        ATN_TRY(model_measures(cx, s));
    for (int i = 0; i < s->selection->n; i++) {
        const atn_idx end = atn_stats_layer_end(s, first);

        ATN_TRY(atn_progress(cx, "stats", i, s->selection->n));
        if (atn_stats_undone(s, first, end)) ATN_TRY(atn_stats_layer(cx, s, i, first));
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

/* Of cross-attention say_places speaks: its layers have no tokens of their own. */
static void say_tokens(atn_ctx *cx, const atn_stats *s, bool asked)
{
    bool needs = s->plan.rows.needs & ATN_NEED_TOKENS, self = false;

    for (int i = 0; i < s->selection->n; i++) {
        if (atn_layer_token_ids(s->capture, s->selection->at[i])) return;
        self |= !atn_capture_layer(s->capture, s->selection->at[i])->sight.cross;
    }
    for (int m = 0; m < s->plan.n; m++)
        needs |=
            !s->plan.measure[m]->layer && (s->plan.measure[m]->wants & ATN_WANT_TOKENS);
    if (needs && self)
        atn_log(cx, asked ? ATN_LOG_INFO : ATN_LOG_DEBUG,
                "stats: the capture has no token ids; what needs them stays empty");
}

/* Which measures have cells that are empty for want of a place of the queries? */
static void say_places(atn_ctx *cx, const atn_stats *s)
{
    char list[256] = "";
    bool cross = false;

    for (int i = 0; i < s->selection->n; i++)
        cross |= atn_capture_layer(s->capture, s->selection->at[i])->sight.cross;
    for (int m = 0; cross && m < s->plan.n; m++) {
        const size_t n = strlen(list);

        if (s->plan.measure[m]->by_place)
            snprintf(list + n, sizeof list - n, "%s%s", n > 0 ? ", " : "",
                     s->plan.measure[m]->id);
    }
    if (list[0])
        atn_log(cx, ATN_LOG_INFO,
                "stats: queries of cross-attention have no place among the keys; what "
                "needs it stays empty there (%s)",
                list);
}

static void say_empty(atn_ctx *cx, const atn_stats *s)
{
    atn_idx n = 0;

    for (atn_idx i = 0; i < s->n; i++) n += s->row[i].empty;
    if (n > 0)
        atn_log(cx, ATN_LOG_WARN,
                "%lld rows see no key or have no weight; they count in no mean of what "
                "they lack",
                (long long)n);
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
    ATN_TRY(atn_stats_share(cx, s));
    say_tokens(cx, s, opts->measures != NULL);
    say_places(cx, s);
    if (atn_shard_merges(s->shard)) {
        ATN_TRY(atn_stats_merge(cx, s));
    } else {
        ATN_TRY(open_journal(cx, s, opts));
        say_passes(cx, s);
        ATN_TRY(all_in_time(cx, s, opts->time_budget));
        ATN_TRY(atn_stats_note_heads(cx, s));
    }
    if (!atn_shard_is_part(s->shard)) say_empty(cx, s);
    *out = s;
    s = NULL;
done:
    /* bad data stays bad: nothing is left to go on from */
    if (s && st == ATN_DATA) atn_stats_forget(cx, s);
    atn_stats_destroy(cx, s);
    return st;
}

atn_idx atn_stats_failed(const atn_stats *s)
{
    atn_idx n = 0;

    for (atn_idx i = 0; i < s->n; i++) n += s->row[i].failed && !s->row[i].other;
    return n;
}

atn_idx atn_stats_asked(const atn_stats *s)
{
    return s->to - s->from;
}

bool atn_stats_progressed(const atn_stats *s)
{
    return s->lately > 0;
}

atn_idx atn_stats_left(const atn_stats *s)
{
    atn_idx n = 0;

    for (atn_idx i = 0; i < s->n; i++) n += !s->row[i].done;
    return n;
}
