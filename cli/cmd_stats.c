/* cli/cmd_stats.c -- attnscope stats: the measures of every selected head. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/stats.h"

#include <stdlib.h>
#include <string.h>

#include "cli/output.h"

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
    while (text && *text) {
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
        text = *end ? end + 1 : end;
    }
    return ATN_OK;
}

static atn_status run(atn_cli *cli)
{
    const int bins = (int)atn_opt_i64(cli, "profile", 0);
    double quantiles[MAX_QUANTILES];
    atn_stats_opts opts = {.measures = atn_opt_text(cli, "measure", NULL),
                           .skip_rows = atn_opt_i64(cli, "skip-rows", 0),
                           .quantiles = quantiles,
                           .bins = bins,
                           .strict = atn_opt_given(cli, "strict")};
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_stats *stats = NULL;
    atn_table *t = NULL;
    atn_subject s = {0};

    ATN_TRY(read_quantiles(cli, quantiles, &opts.n_quantiles));
    ATN_TRY(atn_cli_check_output(cli, atn_opt_text(cli, "output", NULL)));
    ATN_TRY(atn_subject_open(cli, cli->args[0], &s));
    ATN_TRY(atn_stats_run(cx, s.capture, &s.selection, &opts, &stats));
    if (bins > 0)
        ATN_TRY(atn_stats_profile(cx, stats, &t));
    else
        ATN_TRY(atn_stats_tabulate(cx, stats, (atn_stats_per)atn_opt_i64(cli, "per", 0),
                                   &t));
    ATN_TRY(atn_cli_emit(cli, &s.run, t, cli->args[0]));
    if (atn_stats_failed(stats) > 0)
        ATN_FAIL(ATN_PARTIAL,
                 "stats: %lld of %lld heads are left out, their values being NaN or "
                 "infinite (named above; their cells are empty)",
                 (long long)atn_stats_failed(stats), (long long)s.selection.n_heads);
done:
    atn_table_destroy(cx, t);
    atn_stats_destroy(cx, stats);
    atn_subject_close(cli, &s);
    return st;
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
    .uses = ATN_USE_SELECT | ATN_USE_TABLE | ATN_USE_DEVICE,
    .word = word,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
