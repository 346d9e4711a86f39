/* cli/cmd_bounds.c -- attnscope bounds: published bounds against what is measured. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>
#include <string.h>

#include "analysis/bounds.h"
#include "analysis/experiments/experiment.h"
#include "cli/parts.h"

static const atn_option options[] = {
    {"bound", 0, ATN_OPT_TEXT, "LIST",
     "bounds or experiments by name or label, as B10,V4,row_sum_variance (all)", 0, 0},
    {"trials", 0, ATN_OPT_COUNT, "N",
     "draws of random checks (what each experiment takes)", 1, 1e9},
    {"tokens", 0, ATN_OPT_COUNT, "N",
     "the first tokens of longer heads that are looked at (1024 for most)", 2, 16384},
    {"all-heads", 0, ATN_OPT_FLAG, NULL,
     "experiments that take 4 heads run on all selected ones", 0, 0},
    ATN_OPTION_KEEP,
    ATN_OPTION_END,
};

/* How it came out, in one line, before anything else. */
static void print_count(atn_cli *cli, const atn_bounds *b)
{
    const long long holds = atn_bounds_count(b, ATN_HOLDS);
    const long long violated = atn_bounds_count(b, ATN_VIOLATED);
    FILE *out = atn_cli_format(cli) == ATN_TABLE_TEXT ? stdout : stderr;

    atn_cli_clear_meter(cli);
    if (out == stderr && cli->cx->log_level < ATN_LOG_WARN) return;
    fprintf(out,
            "%lld of %lld checks hold, %lld violated; %lld not applicable, %lld "
            "reported\n%s",
            holds, holds + violated, violated,
            (long long)atn_bounds_count(b, ATN_NOT_APPLICABLE),
            (long long)atn_bounds_count(b, ATN_REPORTED), out == stdout ? "\n" : "");
}

/* Why experiments did not run: of those that were asked for, or with -v; else how
 * many. */
static void say_left_out(atn_ctx *cx, const atn_bounds *b, bool named)
{
    int none = 0;

    for (int m = 0; m < b->parts; m++) {
        if (!b->part[m].left_out) continue;
        none += !b->part[m].heads;
        atn_log(cx, named ? ATN_LOG_INFO : ATN_LOG_DEBUG, "%s %s is left out%s: %s",
                b->part[m].of->label, b->part[m].of->id,
                b->part[m].heads > 0 ? " on some heads" : "", b->part[m].left_out);
    }
    if (none > 0 && !named && cx->log_level < ATN_LOG_DEBUG)
        atn_log(cx, ATN_LOG_WARN,
                "%d experiments are left out on all heads (-v says which, and why)",
                none);
}

/* People read the bounds; programs, and those who ask for a file, the checks. */
static atn_status emit(atn_cli *cli, atn_subject *s, const atn_bounds *b)
{
    const bool text = atn_cli_format(cli) == ATN_TABLE_TEXT &&
                      !atn_opt_given(cli, "output") && !atn_opt_given(cli, "keep");
    const bool lines = atn_cli_format(cli) == ATN_TABLE_JSONL;
    atn_table *t[2] = {NULL, NULL};
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    ATN_TRY(atn_bounds_table(cx, b, &t[0]));
    ATN_TRY(atn_bounds_verdicts(cx, b, &t[1]));
    if (!text) {
        ATN_TRY(atn_cli_emit_all(cli, &s->run, (const atn_table *const *)t,
                                 lines ? 1 : 2, 0, cli->args[0]));
        goto done;
    }
    atn_table_be_brief(t[1]);
    ATN_TRY(
        atn_cli_emit_all(cli, &s->run, (const atn_table *const *)t + 1, 1, -1, NULL));
done:
    for (int i = 0; i < 2; i++) atn_table_destroy(cx, t[i]);
    return st;
}

/* What a violation says, and how to see it again. */
static atn_status conclude(atn_cli *cli, const atn_subject *s, const atn_bounds *b)
{
    const long long violated = atn_bounds_count(b, ATN_VIOLATED);
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    if (violated > 0)
        ATN_FAIL(ATN_CHECK,
                 "bounds: %lld checks of verified bounds are violated (--format jsonl "
                 "has for each the command that repeats it)",
                 violated);
    if (b->failed > 0)
        ATN_FAIL(ATN_PARTIAL,
                 "bounds: %lld of %lld heads are left out, for the reasons above",
                 (long long)b->failed, (long long)s->selection.n_heads);
done:
    return st;
}

static atn_status run(atn_cli *cli)
{
    const atn_bounds_opts o = {.names = atn_opt_text(cli, "bound", NULL),
                               .trials = atn_opt_i64(cli, "trials", 0),
                               .most = atn_opt_i64(cli, "tokens", 0),
                               .all_heads = atn_opt_given(cli, "all-heads") ||
                                            atn_opt_given(cli, "heads"),
                               .shard = cli->shard};
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_subject s = {0};
    atn_bounds b = {0};

    ATN_TRY(atn_cli_check_output(cli, atn_opt_text(cli, "output", NULL)));
    ATN_TRY(atn_subject_open(cli, cli->args[0], &s));
    ATN_TRY(atn_bounds_run(cx, s.capture, &s.selection, &o, &b));
    if (atn_shard_is_part(cli->shard)) {
        ATN_TRY(atn_cli_emit_part(cli, &s.run));
        goto done;
    }
    print_count(cli, &b);
    ATN_TRY(emit(cli, &s, &b));
    say_left_out(cx, &b, o.names != NULL);
    ATN_TRY(conclude(cli, &s, &b));
done:
    atn_bounds_release(cx, &b);
    atn_subject_close(cli, &s);
    return st;
}

/* Has no bound before `from` its label? */
static bool is_new(int from)
{
    for (int k = 0; k < from; k++)
        if (strcmp(atn_bound_table[k]->label, atn_bound_table[from]->label) == 0)
            return false;
    return true;
}

/* Ids of bounds, their labels, then those of experiments. */
static const char *word(const char *option, int i)
{
    if (!option || strcmp(option, "bound") != 0) return NULL;
    for (int k = 0; atn_bound_table[k]; k++)
        if (i-- == 0) return atn_bound_table[k]->id;
    for (int k = 0; atn_bound_table[k]; k++)
        if (is_new(k) && i-- == 0) return atn_bound_table[k]->label;
    for (int k = 0; atn_experiments[k]; k++)
        if (i-- == 0) return atn_experiments[k]->label;
    for (int k = 0; atn_experiments[k]; k++)
        if (!atn_bound_find(atn_experiments[k]->id) && i-- == 0)
            return atn_experiments[k]->id;
    return NULL;
}

static const char *const examples[] = {"bounds RUN",
                                       "bounds RUN --format jsonl",
                                       "bounds RUN --bound B10,B1 --layers 0",
                                       "bounds RUN --bound V4 --heads 2.1",
                                       "bounds RUN --bound V9 --trials 1000 --seed 7",
                                       NULL};

const atn_command atn_command_bounds = {
    .id = "bounds",
    .summary = "published bounds against what is measured, on this model's heads",
    .args = "RUN",
    .examples = examples,
    .text =
        "A bound says what follows from stated quantities of a head: how much error "
        "the "
        "dropped mass can cause, how far softmax can move when logits do, which rank "
        "an "
        "error needs. Each is computed, and what it bounds is measured beside it. The "
        "first line counts the checks that hold; then one line a bound. --format csv "
        "or jsonl print every check: predicted, measured, slack (positive holds), "
        "verdict. Inequalities must hold to 1e-9; statements about means over random "
        "draws are tested at 99.9 %, shared out over all of them. What a "
        "source says with constants that nobody has checked here is reported and never "
        "violated. Exit code 1 when a verified bound is violated.\n"
        "attnscope list bounds names them, attnscope help bound NAME explains one; "
        "docs/guide/bounds.md says what each is good for. -v says which experiments "
        "are left out and why. CSV on stdout puts the line a bound on stderr.",
    .options = options,
    .uses = ATN_USE_SELECT | ATN_USE_TABLE | ATN_USE_SHARD,
    .second = "verdicts",
    .word = word,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
