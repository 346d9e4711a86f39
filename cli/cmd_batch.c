/* cli/cmd_batch.c -- attnscope batch: a plan of models x texts x commands. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "analysis/describe.h"
#include "cli/batch.h"
#include "cli/parts.h"
#include "core/io/file.h"

static const atn_option options[] = {
    {"resume", 0, ATN_OPT_FLAG, NULL, "run only what is not there yet, or has changed",
     0, 0},
    {"jobs", 'j', ATN_OPT_I64, "N",
     "processes at once; threads and memory are shared out (a fourth of --threads)", 1,
     1024},
    {"shard", 0, ATN_OPT_TEXT, "i/N",
     "only part i of N (0/N to N-1/N) of the captures, and no report; slurm = as the "
     "array task says",
     0, 0},
    {"pages", 0, ATN_OPT_I64, "N", "captures whose pages go into the report (8)", 0,
     100000},
    {"format", 0, ATN_OPT_CHOICE, "text|csv|jsonl", "form of the summary (text)", 0, 0},
    ATN_OPTION_END,
};

/* ---- where it goes ---- */

/* -o, or the plan's path without .json. */
static atn_status choose_out(atn_cli *cli, atn_batch *b)
{
    const char *given = atn_opt_text(cli, "output", NULL), *path = cli->args[0];
    size_t n = strlen(given ? given : path);
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    if (given && !*given) ATN_FAIL(ATN_USAGE, "batch: -o names no folder");
    if (!given && (n <= 5 || !atn_ends_with(path, ".json")))
        ATN_FAIL(ATN_USAGE,
                 "%s: does not end in .json, so no folder is called after it (give -o "
                 "OUT)",
                 path);
    if (!given) n -= 5;
    while (given && n > 1 && given[n - 1] == '/') n--;
    /* a word that begins with - would be an option of the jobs */
    b->out = atn_strfmt(cx, "%s%.*s", (given ? given : path)[0] == '-' ? "./" : "",
                        (int)n, given ? given : path);
    if (!b->out) ATN_TRY(cx->err.code);
done:
    return st;
}

static void journal_name(const atn_batch *b, char name[80])
{
    if (b->shares)
        snprintf(name, 80, "journal-%ld-of-%ld.jsonl", b->share, b->shares);
    else
        snprintf(name, 80, "journal.jsonl");
}

/* Is there this journal (NULL = any)? */
static bool has_journal(const char *out, const char *name)
{
    DIR *d = opendir(out);
    const struct dirent *e;
    bool there = false;

    if (!d) return false;
    while ((e = readdir(d)))
        there |= name ? strcmp(e->d_name, name) == 0 : atn_batch_journal_is(e->d_name);
    closedir(d);
    return there;
}

static atn_status check_out(atn_cli *cli, const atn_batch *b)
{
    const bool resume = atn_opt_given(cli, "resume");
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    char name[80];

    journal_name(b, name);
    if (atn_file_exists(b->out))
        ATN_FAIL(ATN_CANTCREATE, "%s: is a file (choose another -o)", b->out);
    if (!atn_dir_exists(b->out) || atn_dir_is_empty(b->out)) return ATN_OK;
    if ((resume || atn_opt_given(cli, "force")) && !has_journal(b->out, NULL))
        ATN_FAIL(ATN_CANTCREATE,
                 "%s: is not of a batch, there is no journal.jsonl (choose another -o)",
                 b->out);
    /* other shares may be there */
    if (b->shares && has_journal(b->out, NULL) && !has_journal(b->out, name))
        return ATN_OK;
    if (!resume && !atn_opt_given(cli, "force"))
        ATN_FAIL(ATN_CANTCREATE,
                 "%s: exists already (--resume goes on with it, --force runs all of it "
                 "again, or choose another -o)",
                 b->out);
done:
    return st;
}

/* ---- the share of every process ---- */

static void share_out(atn_cli *cli, atn_batch *b)
{
    const int threads = cli->cx->threads;
    int most = (int)atn_opt_i64(cli, "jobs", (threads + 3) / 4);

    most = ATN_MIN(most, b->n_jobs);
    b->processes = ATN_MAX(most, 1);
    b->threads = ATN_MAX(threads / b->processes, 1);
    b->mem_limit = cli->cx->mem_limit / (size_t)b->processes;
}

static atn_status record(atn_cli *cli, atn_batch *b)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    ATN_TRY(atn_cli_record(cli, &b->record));
    ATN_TRY(atn_run_add_input(cx, &b->record, b->plan.path));
    b->version = json_string_value(json_object_get(b->record.json, "version"));
    b->git = json_string_value(json_object_get(b->record.json, "git"));
done:
    return st;
}

/* ---- --dry-run ---- */

/* The value of a fact of capture's summary; NULL = it says none. */
static const char *fact(const atn_table *facts, const char *name)
{
    for (atn_idx r = 0; r < atn_table_rows(facts); r++)
        if (strcmp(atn_table_text(facts, r, 0), name) == 0)
            return atn_table_text(facts, r, 1);
    return NULL;
}

static atn_status add_dry_row(atn_batch *b, atn_batch_job *job, atn_table *t)
{
    static const char *const facts[] = {"work", "memory", "on disk"};
    atn_ctx *cx = b->cli->cx;
    atn_status st = ATN_OK;
    atn_table *said = NULL;
    char *csv = NULL;

    ATN_TRY(atn_table_add_row(cx, t));
    ATN_TRY(atn_table_set_str(cx, t, 0, job->id));
    if (job->command >= 0) return ATN_OK;
    ATN_TRY(atn_batch_ask(b, job, &csv));
    if (csv) ATN_TRY(atn_table_parse(cx, job->id, csv, strlen(csv), &said));
    for (int i = 0; said && i < (int)ATN_LEN(facts); i++) {
        const char *value = fact(said, facts[i]);

        if (value) ATN_TRY(atn_table_set_str(cx, t, 1 + i, value));
    }
    if (*job->message) ATN_TRY(atn_table_set_str(cx, t, 4, job->message));
done:
    atn_table_destroy(cx, said);
    atn_free(cx, csv);
    return st;
}

static atn_status list_jobs(atn_batch *b)
{
    static const char *const names[] = {"job", "work", "memory", "on_disk", "message"};
    atn_ctx *cx = b->cli->cx;
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    int bad = 0;

    ATN_TRY(atn_table_create(cx, "batch_plan", &t));
    for (size_t i = 0; i < ATN_LEN(names); i++)
        ATN_TRY(atn_table_add_col(cx, t, names[i], ATN_COL_STR, "", "", NULL));
    for (int i = 0; i < b->n_jobs; i++) {
        ATN_TRY(atn_progress(cx, "asking", i, b->n_jobs));
        ATN_TRY(add_dry_row(b, &b->jobs[i], t));
        bad += *b->jobs[i].message != '\0';
    }
    ATN_TRY(atn_cli_print(b->cli, t));
    if (bad)
        ATN_FAIL(ATN_PARTIAL,
                 "%d of %d captures cannot run, for the reasons in the column message",
                 bad, b->n_captures);
done:
    atn_table_destroy(cx, t);
    return st;
}

/* ---- running ---- */

static atn_status open_journal(atn_batch *b)
{
    const bool resume = atn_opt_given(b->cli, "resume");
    atn_ctx *cx = b->cli->cx;
    atn_status st = ATN_OK;
    char name[80];

    journal_name(b, name);
    ATN_TRY(atn_dir_make(cx, b->out));
    ATN_TRY(atn_batch_journal_open(cx, b->out, name, resume, &b->journal));
    if (*b->journal.plan && strcmp(b->journal.plan, b->plan.hash) != 0)
        atn_log(cx, ATN_LOG_INFO,
                "%s has changed since: only jobs that this changes run again",
                b->plan.path);
    ATN_TRY(atn_batch_journal_add(
        cx, &b->journal,
        json_pack("{s:s, s:s, s:s, s:s}", "schema", "attnscope/batch_journal/1", "plan",
                  b->plan.hash, "version", b->version, "git", b->git)));
done:
    return st;
}

/* PARTIAL names the jobs that did not simply succeed, as many as fit. */
static atn_status verdict(atn_batch *b)
{
    char names[300] = "";
    int n = 0;

    for (int i = 0; i < b->n_jobs; i++) {
        const atn_batch_job *job = &b->jobs[i];
        const size_t used = strlen(names);

        if (job->state == ATN_BATCH_DONE) continue;
        n++;
        if (used + strlen(job->id) + 24 < sizeof names)
            snprintf(names + used, sizeof names - used, "%s%s (%s)", used ? ", " : "",
                     job->id, atn_batch_state_name(job->state));
    }
    if (n == 0) return ATN_OK;
    return atn_fail(b->cli->cx, ATN_PARTIAL, __FILE__, __LINE__,
                    "%d of %d jobs are not simply done: %s%s (%s in %s has all; "
                    "--resume tries the failed ones again)",
                    n, b->n_jobs, names, *names ? "" : "their names are long",
                    b->shares ? "the journal" : "batch.csv", b->out);
}

static atn_status summary(atn_batch *b)
{
    int done = 0, kept = 0;
    atn_ctx *cx = b->cli->cx;
    atn_status st = ATN_OK;
    atn_table *t = NULL;

    for (int i = 0; i < b->n_jobs; i++) {
        done += b->jobs[i].state == ATN_BATCH_DONE;
        kept += b->jobs[i].kept;
    }
    ATN_TRY(atn_facts_create(cx, &t));
    ATN_TRY(atn_facts_add(cx, t, "jobs", "%d", b->n_jobs));
    ATN_TRY(atn_facts_add(cx, t, "done", "%d", done));
    if (kept) ATN_TRY(atn_facts_add(cx, t, "of an earlier run", "%d", kept));
    if (b->shares) {
        ATN_TRY(atn_facts_add(cx, t, "part",
                              "%ld of 0 to %ld; --resume without --shard "
                              "puts all together",
                              b->share, b->shares - 1));
    } else {
        ATN_TRY(atn_facts_add(cx, t, "table of jobs", "%s/batch.csv", b->out));
        ATN_TRY(atn_facts_add(cx, t, "report", "%s/report.html", b->out));
    }
    ATN_TRY(atn_cli_print(b->cli, t));
done:
    atn_table_destroy(cx, t);
    return st;
}

static atn_status run_jobs(atn_batch *b)
{
    atn_ctx *cx = b->cli->cx;
    atn_status st = ATN_OK;

    ATN_TRY(check_out(b->cli, b));
    ATN_TRY(open_journal(b));
    atn_log(cx, ATN_LOG_INFO, "%d jobs of %d captures, %d at once with %d %s each",
            b->n_jobs, b->n_captures, b->processes, b->threads,
            b->threads == 1 ? "thread" : "threads");
    ATN_TRY(atn_batch_run(b));
    if (!b->shares) ATN_TRY(atn_batch_publish(b, (int)atn_opt_i64(b->cli, "pages", 8)));
    ATN_TRY(summary(b));
    ATN_TRY(verdict(b));
done:
    return st;
}

static void release(atn_ctx *cx, atn_batch *b)
{
    for (int i = 0; i < b->n_jobs; i++) {
        atn_free(cx, b->jobs[i].id);
        atn_free(cx, b->jobs[i].dir);
        atn_free(cx, b->jobs[i].base);
        atn_free(cx, b->jobs[i].output);
        json_decref(b->jobs[i].outputs);
    }
    atn_free(cx, b->jobs);
    atn_free(cx, b->out);
    atn_batch_journal_close(cx, &b->journal);
    atn_batch_plan_release(cx, &b->plan);
    atn_run_release(&b->record);
}

static atn_status run(atn_cli *cli)
{
    atn_batch b = {.cli = cli, .journal = {.fd = -1, .all = -1}};
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    if (atn_opt_given(cli, "resume") && atn_opt_given(cli, "force"))
        ATN_FAIL(ATN_USAGE,
                 "batch: --resume keeps what is there, --force does not (give "
                 "one of them)");
    if (atn_opt_given(cli, "shard"))
        ATN_TRY(
            atn_share_read(cx, atn_opt_text(cli, "shard", ""), &b.share, &b.shares));
    ATN_TRY(choose_out(cli, &b));
    ATN_TRY(atn_batch_plan_load(cx, cli->args[0], &b.plan));
    ATN_TRY(record(cli, &b));
    ATN_TRY(atn_batch_list(cx, &b));
    share_out(cli, &b);
    ATN_TRY(atn_opt_given(cli, "dry-run") ? list_jobs(&b) : run_jobs(&b));
done:
    release(cx, &b);
    return st;
}

static const char *const examples[] = {"batch plan.json",
                                       "batch plan.json --resume",
                                       "batch plan.json --dry-run",
                                       "batch plan.json -o OUT --jobs 2",
                                       "batch plan.json --shard 0/2",
                                       NULL};

const atn_command atn_command_batch = {
    .id = "batch",
    .summary = "a plan of models, texts and commands, several processes, one report",
    .args = "PLAN.json",
    .examples = examples,
    .text =
        "A plan names models, texts and commands: every model reads every text, every "
        "command runs on every capture (docs/guide/batch.md has an example). OUT, "
        "which "
        "is the plan's name without .json, gets MODEL/TEXT/run and "
        "MODEL/TEXT/COMMAND.* "
        "with a log of each, COMMAND.csv with the rows of all captures, batch.csv with "
        "a line a job, and report.html.\n\nA job that fails does not stop the others: "
        "it is named at the end, with exit code 3. After an interruption, a failure or "
        "a change of the plan, --resume runs what is missing or has changed: a job is "
        "kept where its words, inputs, version of the program and outputs are those in "
        "OUT/journal.jsonl.\n\nWith --shard i/N each of N processes, on one machine or "
        "several with a common folder, does its part of the captures; the same command "
        "with --resume and without --shard then makes tables and report.",
    .options = options,
    .uses = ATN_USE_OUTPUT | ATN_USE_DRY,
    .one_piece = "it gives its jobs to processes of its own (--jobs N, --shard i/N)",
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
