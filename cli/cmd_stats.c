/* cli/cmd_stats.c -- attnscope stats: the measures of every selected head. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdlib.h>
#include <string.h>

#include "analysis/attribution.h"
#include "analysis/head_types.h"
#include "cli/parts.h"

enum { MAX_QUANTILES = 32 };

static const atn_option options[] = {
    {"measure", 0, ATN_OPT_TEXT, "LIST",
     "measures, as entropy,topk:k=16 or all (" ATN_STATS_DEFAULT ")", 0, 0},
    {"per", 0, ATN_OPT_CHOICE, ATN_STATS_PER,
     "one row a head, or means of heads, of layers (head)", 0, 0},
    {"quantiles", 0, ATN_OPT_TEXT, "LIST",
     "also these quantiles over the rows, as 0.05,0.5,0.95", 0, 0},
    {"profile", 0, ATN_OPT_COUNT, "BINS",
     "instead: means over BINS equal stretches of query positions", 1, 4096},
    {"heads-by-type", 0, ATN_OPT_FLAG, NULL,
     "instead: the type of every head, and the rules", 0, 0},
    {"attribution", 0, ATN_OPT_FLAG, NULL,
     "instead: how much of the last token's state comes from each token", 0, 0},
    {"rows", 0, ATN_OPT_COUNT, "N",
     "draw N query rows a layer (an even number) and print standard errors",
     ATN_SAMPLE_LEAST, 1e12},
    {"time-budget", 0, ATN_OPT_TEXT, "TIME",
     "stop after 90s, 10m, 2h; with -o the same command then goes on", 0, 0},
    {"skip-rows", 0, ATN_OPT_COUNT, "N", "leave the first N rows out of means (0)", 0,
     1e12},
    {"strict", 0, ATN_OPT_FLAG, NULL, "a head that holds NaN is an error, not left out",
     0, 0},
    ATN_OPTION_KEEP,
    ATN_OPTION_END,
};

static atn_status read_quantiles(atn_cli *cli, double *q, int *n)
{
    const char *text = atn_opt_text(cli, "quantiles", NULL);
    atn_ctx *cx = cli->cx;
    char *end;

    *n = 0;
    while (text) {
        const double x = strtod(text, &end);

        if (end == text || (*end && *end != ',') || !(x >= 0 && x <= 1))
            return atn_fail(
                cx, ATN_USAGE, __FILE__, __LINE__,
                "--quantiles takes numbers in [0, 1], as 0.05,0.5,0.95, not "
                "'%s'",
                text);
        if (*n == MAX_QUANTILES)
            return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                            "--quantiles takes at most %d numbers", MAX_QUANTILES);
        q[(*n)++] = x;
        text = *end ? end + 1 : NULL;
    }
    return ATN_OK;
}

/* The tables of the request, as many as returned in *n; the first is the command's
 * output. */
static atn_status make_tables(atn_cli *cli, const atn_stats *stats, atn_table *t[2],
                              int *n)
{
    const atn_stats_per per = (atn_stats_per)atn_opt_i64(cli, "per", 0);
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    *n = 1;
    if (atn_opt_given(cli, "heads-by-type")) {
        *n = 2;
        ATN_TRY(atn_head_types_tables(cx, stats, &t[0], &t[1]));
    } else if (atn_opt_given(cli, "profile")) {
        ATN_TRY(atn_stats_profile(cx, stats, &t[0]));
    } else {
        ATN_TRY(atn_stats_tabulate(cx, stats, per, &t[0]));
    }
done:
    return st;
}

/* "90", "90s", "10m", "2h" -> seconds; 0 without the option. */
static atn_status read_budget(atn_cli *cli, double *seconds)
{
    const char *text = atn_opt_text(cli, "time-budget", NULL);
    char *end;

    *seconds = 0;
    if (!text) return ATN_OK;
    *seconds = strtod(text, &end);
    if (*end == 'm') *seconds *= 60;
    if (*end == 'h') *seconds *= 3600;
    if (end != text && (*end == 's' || *end == 'm' || *end == 'h')) end++;
    if (end == text || *end || !(*seconds > 0 && *seconds < 1e9))
        return atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
                        "--time-budget takes a time, as 90, 10m or 2h, not '%s'", text);
    return ATN_OK;
}

/* The first of the options `ids`, up to NULL, that is given. */
static const char *given_of(atn_cli *cli, const char *const *ids)
{
    for (; *ids; ids++)
        if (atn_opt_given(cli, *ids)) return *ids;
    return NULL;
}

static atn_status check_options(atn_cli *cli)
{
    static const char *const types[] = {"measure",     "per",  "quantiles", "profile",
                                        "attribution", "rows", NULL};
    static const char *const tokens[] = {"per",  "quantiles",   "profile",
                                         "rows", "time-budget", NULL};
    const char *other;

    other = atn_opt_given(cli, "heads-by-type") ? given_of(cli, types) : NULL;
    if (other)
        return atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
                        "stats: --heads-by-type has its own measures and takes no --%s",
                        other);
    other = atn_opt_given(cli, "attribution") ? given_of(cli, tokens) : NULL;
    if (other)
        return atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
                        "stats: --attribution is a table of tokens and takes no --%s",
                        other);
    if (atn_opt_given(cli, "profile") &&
        (atn_opt_given(cli, "per") || atn_opt_given(cli, "quantiles")))
        return atn_fail(
            cli->cx, ATN_USAGE, __FILE__, __LINE__,
            "stats: --profile is a table of means by head and takes neither "
            "--per nor --quantiles");
    return ATN_OK;
}

/* Where finished heads are kept while the command runs: beside its output. */
static atn_status journal_path(atn_cli *cli, char **path)
{
    const char *output = atn_opt_text(cli, "output", NULL);

    *path = NULL;
    if (!output || strcmp(output, "-") == 0 || cli->ranks) return ATN_OK;
    *path = atn_strfmt(cli->cx, "%s.part", output);
    return *path ? ATN_OK : cli->cx->err.code;
}

static atn_status out_of_time(atn_ctx *cx, const atn_stats *stats, const char *journal)
{
    const long long left = (long long)atn_stats_left(stats);
    const long long asked = (long long)atn_stats_asked(stats);

    if (!journal)
        return atn_fail(
            cx, ATN_TERMINATED, __FILE__, __LINE__,
            "stats: out of time, %lld of %lld heads are left out (with -o FILE the "
            "same command can go on where it stopped)",
            left, asked);
    if (!atn_stats_progressed(stats))
        return atn_fail(
            cx, ATN_TERMINATED, __FILE__, __LINE__,
            "stats: out of time, no head was finished in it and %lld of %lld heads are "
            "left: one needs more (give a larger --time-budget)",
            left, asked);
    return atn_fail(cx, ATN_TERMINATED, __FILE__, __LINE__,
                    "stats: out of time, %lld of %lld heads are left (what is done "
                    "waits in %s: the "
                    "same command goes on from there)",
                    left, asked, journal);
}

/* Without an output file what is done is shown; with one it waits in the journal. */
static atn_status emit(atn_cli *cli, atn_subject *s, atn_stats *stats,
                       const atn_stats_opts *opts)
{
    const atn_idx failed = atn_stats_failed(stats), left = atn_stats_left(stats);
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_table *t[2] = {NULL, NULL};
    int n = 0;

    if (left > 0 && opts->journal) return out_of_time(cx, stats, opts->journal);
    if (atn_shard_is_part(cli->shard)) {
        ATN_TRY(atn_cli_emit_part(cli, &s->run));
    } else {
        ATN_TRY(make_tables(cli, stats, t, &n));
        ATN_TRY(atn_cli_emit_all(cli, &s->run, (const atn_table *const *)t, n, 0,
                                 cli->args[0]));
    }
    atn_stats_forget(cx, stats);
    if (left > 0) ATN_TRY(out_of_time(cx, stats, NULL));
    if (failed > 0)
        ATN_FAIL(ATN_PARTIAL,
                 "stats: %lld of %lld heads lack values, for the reasons above (their "
                 "cells are "
                 "empty)",
                 (long long)failed, (long long)s->selection.n_heads);
done:
    atn_table_destroy(cx, t[0]);
    atn_table_destroy(cx, t[1]);
    return st;
}

static atn_status read_opts(atn_cli *cli, double *quantiles, atn_stats_opts *o)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    *o = (atn_stats_opts){.measures = atn_opt_text(cli, "measure", NULL),
                          .skip_rows = atn_opt_i64(cli, "skip-rows", 0),
                          .sample = atn_opt_i64(cli, "rows", 0),
                          .quantiles = quantiles,
                          .bins = (int)atn_opt_i64(cli, "profile", 0),
                          .shard = cli->shard,
                          .strict = atn_opt_given(cli, "strict"),
                          .force = atn_opt_given(cli, "force")};
    ATN_TRY(check_options(cli));
    ATN_TRY(read_quantiles(cli, quantiles, &o->n_quantiles));
    ATN_TRY(read_budget(cli, &o->time_budget));
done:
    return st;
}

/* The parameters are those of the measure rollout, whose struct begins with them. */
static atn_status attribution_table(atn_cli *cli, const atn_subject *s, atn_table **t)
{
    const atn_stats_plan_opts opts = {.measures =
                                          atn_opt_text(cli, "measure", "rollout")};
    const atn_model_facts facts = {s->capture, &s->selection,
                                   atn_opt_i64(cli, "skip-rows", 0)};
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_stats_plan plan = {0};

    ATN_TRY(atn_stats_plan_make(cx, &opts, &plan));
    if (plan.n != 1 || strcmp(plan.measure[0]->id, "rollout") != 0)
        ATN_FAIL(ATN_USAGE,
                 "stats: --attribution takes the measure rollout alone, not '%s'",
                 opts.measures);
    ATN_TRY(atn_rollout_table(cx, &facts, plan.params[0],
                              &(atn_attribution_rows){.last = true}, t));
done:
    atn_stats_plan_release(cx, &plan);
    return st;
}

static atn_status run_attribution(atn_cli *cli)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    atn_subject s = {0};

    ATN_TRY(check_options(cli));
    ATN_TRY(atn_cli_check_output(cli, atn_opt_text(cli, "output", NULL)));
    ATN_TRY(atn_subject_open(cli, cli->args[0], &s));
    ATN_TRY(attribution_table(cli, &s, &t));
    ATN_TRY(atn_cli_emit(cli, &s.run, t, cli->args[0]));
done:
    atn_table_destroy(cx, t);
    atn_subject_close(cli, &s);
    return st;
}

/* A signal that stops the work leaves what is done in the journal. */
static void say_journal(atn_ctx *cx, atn_status st, const char *journal)
{
    char text[ATN_ERR_TEXT];

    if ((st != ATN_INTERRUPTED && st != ATN_TERMINATED) || !journal ||
        !atn_file_exists(journal))
        return;
    snprintf(text, sizeof text, "%s", cx->err.text);
    (void)atn_fail(cx, st, __FILE__, __LINE__,
                   "%s (what is done waits in %s: the same command goes on from there)",
                   text, journal);
}

static atn_status run_measures(atn_cli *cli)
{
    double quantiles[MAX_QUANTILES];
    char *journal = NULL, types[ATN_HEAD_SPECS];
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_stats *stats = NULL;
    atn_stats_opts opts;
    atn_subject s = {0};

    ATN_TRY(read_opts(cli, quantiles, &opts));
    ATN_TRY(atn_cli_check_output(cli, atn_opt_text(cli, "output", NULL)));
    ATN_TRY(journal_path(cli, &journal));
    ATN_TRY(atn_subject_open(cli, cli->args[0], &s));
    opts.journal = journal;
    if (atn_opt_given(cli, "heads-by-type")) {
        atn_head_types_measures(s.capture, &s.selection, types);
        opts.measures = types;
    }
    ATN_TRY(atn_stats_run(cx, s.capture, &s.selection, &opts, &stats));
    ATN_TRY(emit(cli, &s, stats, &opts));
done:
    if (!stats) say_journal(cx, st, journal);
    atn_stats_destroy(cx, stats);
    atn_free(cx, journal);
    atn_subject_close(cli, &s);
    return st;
}

static atn_status run(atn_cli *cli)
{
    return atn_opt_given(cli, "attribution") ? run_attribution(cli) : run_measures(cli);
}

static const char *one_piece_with(const atn_cli *cli)
{
    return atn_opt_given(cli, "attribution")
               ? "--attribution goes through the layers one after another"
               : NULL;
}

static const char *word(const char *option, int i)
{
    if (!option || strcmp(option, "measure") != 0 || !atn_measures[i]) return NULL;
    return atn_measures[i]->id;
}

static const char *const examples[] = {
    "stats RUN",
    "stats RUN --measure all --format csv",
    "stats RUN --measure entropy,sink --layers 0,2",
    "stats RUN --measure entropy --quantiles 0.05,0.5,0.95 --per layer",
    "stats RUN --measure entropy --profile 16",
    "stats RUN --heads-by-type",
    "stats RUN --attribution --measure rollout:token=40",
    "stats RUN --measure entropy,sink,coverage --rows 4096 --format jsonl",
    "stats RUN --measure all --time-budget 10m -o all.csv",
    "stats RUN --heads 2.3,3.0 -o heads.csv",
    "stats RUN --device auto",
    NULL};

const atn_command atn_command_stats = {
    .id = "stats",
    .summary = "measures of every head: entropy, distance, sinks, induction",
    .args = "RUN",
    .examples = examples,
    .text = "One row a head. RUN is a capture. The rows of the attention matrix are "
            "streamed, the matrix itself is never held. attnscope list measures "
            "explains the columns.",
    .options = options,
    .uses = ATN_USE_SELECT | ATN_USE_TABLE | ATN_USE_DEVICE | ATN_USE_SHARD,
    .second = "head_rules",
    .word = word,
    .one_piece_with = one_piece_with,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
