/* cli/cmd_stats.c -- attnscope stats: the measures of every selected head. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/stats.h"

#include <string.h>

#include "cli/output.h"

static const atn_option options[] = {
    {"measures", 0, ATN_OPT_TEXT, "LIST", "measures, as entropy,sink (all)", 0, 0},
    {"top-k", 0, ATN_OPT_COUNT, "K", "keys of the top-k mass (8)", 1, 1e9},
    {"skip-rows", 0, ATN_OPT_COUNT, "N", "leave the first N rows out of means (0)", 0,
     1e12},
    ATN_OPTION_KEEP,
    ATN_OPTION_END,
};

static atn_status run(atn_cli *cli)
{
    const atn_stats_opts opts = {.measures = atn_opt_text(cli, "measures", NULL),
                                 .top_k = atn_opt_i64(cli, "top-k", 0),
                                 .skip_rows = atn_opt_i64(cli, "skip-rows", 0)};
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    atn_subject s = {0};

    ATN_TRY(atn_cli_check_output(cli, atn_opt_text(cli, "output", NULL)));
    ATN_TRY(atn_subject_open(cli, cli->args[0], &s));
    ATN_TRY(atn_stats_table(cx, s.capture, &s.selection, &opts, &t));
    ATN_TRY(atn_cli_emit(cli, &s.run, t, cli->args[0]));
done:
    atn_table_destroy(cx, t);
    atn_subject_close(cli, &s);
    return st;
}

static const char *word(const char *option, int i)
{
    if (!option || strcmp(option, "measures") != 0 || !atn_measures[i]) return NULL;
    return atn_measures[i]->id;
}

static const char *const examples[] = {"stats RUN",
                                       "stats RUN --format csv",
                                       "stats RUN --measures entropy,sink --layers 0,2",
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
