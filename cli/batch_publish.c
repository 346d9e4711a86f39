/* cli/batch_publish.c -- what the jobs of a batch give together: a table of them, a
 * table a command, and one report. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "analysis/describe.h"
#include "cli/batch.h"
#include "cli/pages.h"
#include "core/io/file.h"

enum { HEAD_ROWS = 12, JOB_ROWS = 40 };

/* ---- the jobs ---- */

static atn_status add_job_row(const atn_batch *b, const atn_batch_job *job,
                              atn_table *t)
{
    atn_ctx *cx = b->cli->cx;
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_add_row(cx, t));
    ATN_TRY(atn_table_set_str(cx, t, 0, b->plan.models[job->model].name));
    ATN_TRY(atn_table_set_str(cx, t, 1, b->plan.texts[job->text].name));
    ATN_TRY(atn_table_set_str(
        cx, t, 2, job->command < 0 ? "capture" : b->plan.commands[job->command].name));
    ATN_TRY(atn_table_set_str(cx, t, 3, atn_batch_state_name(job->state)));
    if (job->state == ATN_BATCH_NOT_RUN) goto message;
    atn_table_set_i64(t, 4, job->exit_code);
    atn_table_set_f64(t, 5, job->seconds);
    if (job->output) ATN_TRY(atn_table_set_str(cx, t, 6, job->output));
    if (*job->result_hash) ATN_TRY(atn_table_set_str(cx, t, 7, job->result_hash));
message:
    if (*job->message) ATN_TRY(atn_table_set_str(cx, t, 8, job->message));
done:
    return st;
}

atn_status atn_batch_table(atn_batch *b, atn_table **out)
{
    static const struct {
        const char *name, *unit, *text;
        atn_col_type type;
    } cols[] = {{"model", "", "name in the plan", ATN_COL_STR},
                {"text", "", "name in the plan", ATN_COL_STR},
                {"command", "", "name in the plan, or capture", ATN_COL_STR},
                {"status", "", "done, check, partial, failed, not_run", ATN_COL_STR},
                {"exit_code", "", "of the process", ATN_COL_I64},
                {"time_s", "s", "of the process", ATN_COL_F32},
                {"output", "", "its first file", ATN_COL_STR},
                {"xxh3_128", "", "of that file", ATN_COL_STR},
                {"message", "", "what it said last, where it failed", ATN_COL_STR}};
    atn_ctx *cx = b->cli->cx;
    atn_status st = ATN_OK;
    atn_table *t = NULL;

    *out = NULL;
    ATN_TRY(atn_table_create(cx, "batch", &t));
    for (size_t i = 0; i < ATN_LEN(cols); i++)
        ATN_TRY(atn_table_add_col(cx, t, cols[i].name, cols[i].type, cols[i].unit,
                                  cols[i].text, NULL));
    for (int i = 0; i < b->n_jobs; i++) ATN_TRY(add_job_row(b, &b->jobs[i], t));
    *out = t;
    t = NULL;
done:
    atn_table_destroy(cx, t);
    return st;
}

/* ---- a table a command ---- */

static bool has_results(const atn_batch_job *job)
{
    return job->state == ATN_BATCH_DONE || job->state == ATN_BATCH_CHECK ||
           job->state == ATN_BATCH_PARTIAL;
}

/* What follows the command's name in the path of a CSV file of this job; NULL = it is
 * none. */
static const char *csv_ending(const atn_batch *b, const atn_batch_job *job,
                              const json_t *output)
{
    const char *path = json_string_value(json_object_get(output, "path"));

    return path && atn_ends_with(path, ".csv")
               ? path + strlen(job->base) - strlen(b->out) - 1
               : NULL;
}

/* One combined table under way: all cells are texts, as the files have them. */
typedef struct combined {
    atn_batch *b;
    const char *command, *ending; /* ".csv" */
    atn_table **parts;            /* [n_jobs]; NULL = the job has none */
    atn_table *all;
} combined;

static atn_status load_parts(combined *c, int command)
{
    atn_batch *b = c->b;
    atn_ctx *cx = b->cli->cx;
    atn_status st = ATN_OK;
    char *path = NULL;

    for (int i = 0; i < b->n_jobs; i++) {
        const atn_batch_job *job = &b->jobs[i];
        const json_t *output;
        size_t k;

        if (job->command != command || !has_results(job)) continue;
        json_array_foreach(job->outputs, k, output)
        {
            const char *ending = csv_ending(b, job, output);

            if (!ending || strcmp(ending, c->ending) != 0) continue;
            path = atn_strfmt(cx, "%s%s", job->base, ending);
            if (!path) ATN_TRY(cx->err.code);
            ATN_TRY(atn_table_load_text(cx, path, "*", &c->parts[i]));
            if (atn_table_cols(c->parts[i]) > 0 &&
                atn_table_col_type(c->parts[i], 0) != ATN_COL_STR)
                ATN_FAIL(ATN_DATA, "%s: is JSON and goes into no common table", path);
            atn_free(cx, path);
            path = NULL;
        }
    }
done:
    atn_free(cx, path);
    return st;
}

/* The name of a part's column among all: one called model or text gives way to ours. */
static const char *name_in_all(const combined *c, const char *name, char own[256])
{
    if (strcmp(name, "model") != 0 && strcmp(name, "text") != 0) return name;
    snprintf(own, 256, "%.120s_%s", c->command, name);
    return own;
}

/* The columns of all parts in the order of their first one; one that only later parts
 * have comes last. */
static atn_status unite_columns(combined *c)
{
    atn_ctx *cx = c->b->cli->cx;
    atn_status st = ATN_OK;
    char own[256];

    ATN_TRY(atn_table_create(cx, "batch_part", &c->all));
    ATN_TRY(atn_table_add_col(cx, c->all, "model", ATN_COL_STR, "", "", NULL));
    ATN_TRY(atn_table_add_col(cx, c->all, "text", ATN_COL_STR, "", "", NULL));
    for (int i = 0; i < c->b->n_jobs; i++)
        for (int k = 0; c->parts[i] && k < atn_table_cols(c->parts[i]); k++) {
            const char *name = name_in_all(c, atn_table_col_name(c->parts[i], k), own);

            if (atn_table_find_col(c->all, name) < 0)
                ATN_TRY(atn_table_add_col(cx, c->all, name, ATN_COL_STR, "", "", NULL));
        }
done:
    return st;
}

static atn_status add_part(combined *c, const atn_batch_job *job, const atn_table *part)
{
    atn_ctx *cx = c->b->cli->cx;
    atn_status st = ATN_OK;
    char own[256];

    for (atn_idx r = 0; r < atn_table_rows(part); r++) {
        ATN_TRY(atn_table_add_row(cx, c->all));
        for (int k = 0; k < atn_table_cols(part); k++) {
            const char *cell = atn_table_get_str(part, r, k);
            const int col = atn_table_find_col(
                c->all, name_in_all(c, atn_table_col_name(part, k), own));

            if (cell) ATN_TRY(atn_table_set_str(cx, c->all, col, cell));
        }
        ATN_TRY(atn_table_set_str(cx, c->all, 0, c->b->plan.models[job->model].name));
        ATN_TRY(atn_table_set_str(cx, c->all, 1, c->b->plan.texts[job->text].name));
    }
done:
    return st;
}

static atn_status head_of(atn_ctx *cx, const atn_table *t, atn_table **out)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_create(cx, atn_table_kind(t), out));
    for (int k = 0; k < atn_table_cols(t); k++)
        ATN_TRY(atn_table_add_col(cx, *out, atn_table_col_name(t, k), ATN_COL_STR, "",
                                  "", NULL));
    for (atn_idx r = 0; r < ATN_MIN(atn_table_rows(t), (atn_idx)HEAD_ROWS); r++) {
        ATN_TRY(atn_table_add_row(cx, *out));
        for (int k = 0; k < atn_table_cols(t); k++)
            if (atn_table_has(t, r, k))
                ATN_TRY(atn_table_set_str(cx, *out, k, atn_table_get_str(t, r, k)));
    }
done:
    return st;
}

static atn_status show_combined(combined *c, const char *name, atn_report *report)
{
    atn_ctx *cx = c->b->cli->cx;
    atn_status st = ATN_OK;
    atn_table *head = NULL;
    char caption[400];

    ATN_TRY(head_of(cx, c->all, &head));
    snprintf(caption, sizeof caption, "%.200s: the first %lld of %lld rows", name,
             (long long)atn_table_rows(head), (long long)atn_table_rows(c->all));
    ATN_TRY(atn_report_table(cx, report, head, caption, 0));
done:
    atn_table_destroy(cx, head);
    return st;
}

static atn_status combine(atn_batch *b, int command, const char *ending,
                          atn_report *report)
{
    combined c = {.b = b, .command = b->plan.commands[command].name, .ending = ending};
    atn_ctx *cx = b->cli->cx;
    atn_status st = ATN_OK;
    char *path = NULL;

    ATN_NEW(c.parts, b->n_jobs);
    ATN_TRY(load_parts(&c, command));
    ATN_TRY(unite_columns(&c));
    for (int i = 0; i < b->n_jobs; i++)
        if (c.parts[i]) ATN_TRY(add_part(&c, &b->jobs[i], c.parts[i]));
    path = atn_strfmt(cx, "%s/%s%s", b->out, b->plan.commands[command].name, ending);
    if (!path) ATN_TRY(cx->err.code);
    ATN_TRY(atn_table_save(cx, c.all, &b->record, ATN_TABLE_CSV, path, true));
    ATN_TRY(show_combined(&c, path + strlen(b->out) + 1, report));
done:
    for (int i = 0; c.parts && i < b->n_jobs; i++) atn_table_destroy(cx, c.parts[i]);
    atn_free(cx, c.parts);
    atn_table_destroy(cx, c.all);
    atn_free(cx, path);
    return st;
}

/* Every ending of CSV files that the command left, once: the keys of an object. */
static atn_status find_endings(atn_batch *b, int command, json_t **out)
{
    json_t *endings = json_object();
    atn_ctx *cx = b->cli->cx;

    *out = endings;
    if (!endings)
        return atn_fail(cx, ATN_MEMORY, __FILE__, __LINE__,
                        "no memory for the names of tables");
    for (int i = 0; i < b->n_jobs; i++) {
        const atn_batch_job *job = &b->jobs[i];
        const json_t *output;
        size_t k;

        if (job->command != command || !has_results(job)) continue;
        json_array_foreach(job->outputs, k, output)
        {
            const char *ending = csv_ending(b, job, output);

            if (ending) (void)json_object_set_new(endings, ending, json_true());
        }
    }
    return ATN_OK;
}

/* A table of all jobs, and its record. A name that cannot be one is passed over. */
static atn_status remove_table(const atn_batch *b, const char *name)
{
    static const char *const more[] = {"", ".run.json"};
    atn_ctx *cx = b->cli->cx;

    if (!name || *name == '.' || strchr(name, '/') || !atn_ends_with(name, ".csv"))
        return ATN_OK;
    for (size_t i = 0; i < ATN_LEN(more); i++) {
        char *path = atn_strfmt(cx, "%s/%s%s", b->out, name, more[i]);

        if (!path) return cx->err.code;
        (void)unlink(path);
        atn_free(cx, path);
    }
    return ATN_OK;
}

static atn_status combine_command(atn_batch *b, int command, atn_report *report)
{
    json_t *endings = NULL, *value;
    atn_ctx *cx = b->cli->cx;
    atn_status st = ATN_OK;
    const char *ending;
    char name[512];

    ATN_TRY(find_endings(b, command, &endings));
    json_object_foreach(endings, ending, value)
    {
        st = combine(b, command, ending, report);
        if (st == ATN_DATA) { /* a file that is called .csv and is none */
            atn_err_forgive(cx);
            snprintf(name, sizeof name, "%.120s%.380s", b->plan.commands[command].name,
                     ending);
            st = remove_table(b, name);
        }
        ATN_TRY(st);
    }
done:
    json_decref(endings);
    return st;
}

static atn_status name_tables(atn_batch *b, json_t *names)
{
    json_t *endings = NULL, *value;
    atn_ctx *cx = b->cli->cx;
    atn_status st = ATN_OK;
    const char *ending;
    char *name = NULL;

    for (int c = 0; c < b->plan.n_commands; c++) {
        ATN_TRY(find_endings(b, c, &endings));
        json_object_foreach(endings, ending, value)
        {
            name = atn_strfmt(cx, "%s%s", b->plan.commands[c].name, ending);
            if (!name) ATN_TRY(cx->err.code);
            (void)json_array_append_new(names, json_string(name));
            atn_free(cx, name);
            name = NULL;
        }
        json_decref(endings);
        endings = NULL;
    }
done:
    json_decref(endings);
    return st;
}

static bool has_name(const json_t *names, const char *name)
{
    const json_t *v;
    size_t i;

    json_array_foreach(names, i, v)
    {
        if (strcmp(json_string_value(v), name) == 0) return true;
    }
    return false;
}

/* Tables that an earlier run made and this one does not go; the journal notes those
 * that this one makes. */
static atn_status change_tables(atn_batch *b)
{
    json_t *names = json_array();
    atn_ctx *cx = b->cli->cx;
    atn_status st = ATN_OK;
    const json_t *old;
    size_t i;

    if (!names) ATN_FAIL(ATN_MEMORY, "no memory for the names of tables");
    ATN_TRY(name_tables(b, names));
    json_array_foreach(b->journal.tables, i, old)
    {
        const char *name = json_string_value(old);

        if (name && !has_name(names, name)) ATN_TRY(remove_table(b, name));
    }
    if (!json_equal(names, b->journal.tables))
        ATN_TRY(atn_batch_journal_tables(cx, &b->journal, names));
done:
    json_decref(names);
    return st;
}

/* ---- the report ---- */

static atn_status count_states(atn_batch *b, atn_table *t)
{
    atn_ctx *cx = b->cli->cx;
    atn_status st = ATN_OK;

    for (int s = ATN_BATCH_DONE; s < ATN_BATCH_STATES; s++) {
        int n = 0;

        for (int i = 0; i < b->n_jobs; i++) n += b->jobs[i].state == (atn_batch_state)s;
        if (n)
            ATN_TRY(atn_facts_add(cx, t, atn_batch_state_name((atn_batch_state)s), "%d",
                                  n));
    }
done:
    return st;
}

static atn_status show_batch(atn_batch *b, const atn_table *jobs, atn_report *report)
{
    atn_ctx *cx = b->cli->cx;
    atn_status st = ATN_OK;
    atn_table *facts = NULL;

    ATN_TRY(atn_report_section(cx, report, "Jobs"));
    ATN_TRY(atn_facts_create(cx, &facts));
    ATN_TRY(atn_facts_add(cx, facts, "plan", "%s", b->plan.path));
    ATN_TRY(atn_facts_add(cx, facts, "models", "%d", b->plan.n_models));
    ATN_TRY(atn_facts_add(cx, facts, "texts", "%d", b->plan.n_texts));
    ATN_TRY(atn_facts_add(cx, facts, "commands", "%d", b->plan.n_commands));
    ATN_TRY(count_states(b, facts));
    ATN_TRY(atn_report_table(cx, report, facts, "the plan", 0));
    ATN_TRY(atn_report_table(cx, report, jobs,
                             "every job (batch.csv); a log of each stands beside its "
                             "output",
                             JOB_ROWS));
done:
    atn_table_destroy(cx, facts);
    return st;
}

/* Pages that a capture cannot have are no end of the report. */
static atn_status show_capture(atn_batch *b, const atn_batch_job *job,
                               atn_report *report)
{
    atn_pages pages = {report, NULL, ""};
    atn_ctx *cx = b->cli->cx;
    atn_status st = ATN_OK;
    char *prefix = atn_strfmt(cx, "%s/%s: ", b->plan.models[job->model].name,
                              b->plan.texts[job->text].name);

    if (!prefix) ATN_TRY(cx->err.code);
    pages.prefix = prefix;
    st = atn_pages_add(b->cli, &pages, job->base);
    if (st == ATN_DATA || st == ATN_MEMORY || st == ATN_USAGE) {
        const atn_err why = cx->err;

        ATN_TRY(atn_report_paragraph(cx, report, why.text));
        cx->err = why;
        atn_err_forgive(cx);
        st = ATN_OK;
    }
done:
    atn_free(cx, prefix);
    return st;
}

static atn_status show_captures(atn_batch *b, int pages, atn_report *report)
{
    atn_ctx *cx = b->cli->cx;
    atn_status st = ATN_OK;
    int shown = 0, others = 0;
    char text[200];

    for (int i = 0; i < b->n_jobs; i++) {
        const atn_batch_job *job = &b->jobs[i];

        if (job->command >= 0 || job->state != ATN_BATCH_DONE) continue;
        ATN_TRY(atn_progress(cx, "report", shown, ATN_MIN(pages, b->n_captures)));
        if (shown < pages)
            ATN_TRY(show_capture(b, job, report));
        else
            others++;
        shown += shown < pages;
    }
    if (!others) goto done;
    ATN_TRY(atn_report_section(cx, report, "Other captures"));
    snprintf(text, sizeof text,
             "%d more captures have no pages here (--pages N): attnscope report "
             "MODEL/TEXT/run -o FILE.html in this folder makes them.",
             others);
    ATN_TRY(atn_report_paragraph(cx, report, text));
done:
    return st;
}

/* Captures and texts go into the record of what all give together. */
static atn_status add_inputs(atn_batch *b)
{
    atn_ctx *cx = b->cli->cx;
    atn_status st = ATN_OK;
    char *path = NULL;

    for (int i = 0; i < b->n_jobs; i++) {
        if (b->jobs[i].command >= 0 || b->jobs[i].state != ATN_BATCH_DONE) continue;
        path = atn_path_join(cx, b->jobs[i].base, "capture.json");
        if (!path) ATN_TRY(cx->err.code);
        ATN_TRY(atn_run_add_input(cx, &b->record, path));
        atn_free(cx, path);
        path = NULL;
    }
    ATN_TRY(atn_run_finish(cx, &b->record));
done:
    atn_free(cx, path);
    return st;
}

static atn_status save_jobs(atn_batch *b, const atn_table *jobs)
{
    atn_ctx *cx = b->cli->cx;
    char *path = atn_path_join(cx, b->out, "batch.csv");
    atn_status st =
        path ? atn_table_save(cx, jobs, &b->record, ATN_TABLE_CSV, path, true)
             : cx->err.code;

    atn_free(cx, path);
    return st;
}

atn_status atn_batch_publish(atn_batch *b, int pages)
{
    atn_ctx *cx = b->cli->cx;
    atn_status st = ATN_OK;
    atn_report *report = NULL;
    atn_table *jobs = NULL;
    char *path = NULL;

    ATN_TRY(add_inputs(b));
    ATN_TRY(atn_batch_table(b, &jobs));
    ATN_TRY(save_jobs(b, jobs));
    ATN_TRY(change_tables(b));
    ATN_TRY(atn_report_create(cx, "Batch report", b->plan.path, &report));
    ATN_TRY(show_batch(b, jobs, report));
    ATN_TRY(atn_report_section(cx, report, "Tables"));
    for (int c = 0; c < b->plan.n_commands; c++) ATN_TRY(combine_command(b, c, report));
    ATN_TRY(show_captures(b, pages, report));
    path = atn_path_join(cx, b->out, "report.html");
    if (!path) ATN_TRY(cx->err.code);
    ATN_TRY(atn_report_save(cx, report, &b->record, path, true));
done:
    atn_report_destroy(cx, report);
    atn_table_destroy(cx, jobs);
    atn_free(cx, path);
    return st;
}
