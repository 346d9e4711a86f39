/* cli/cmd_tradeoff.c -- attnscope tradeoff: error on a capture against predicted time
 * on a GPU. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/approx_dense.h"
#include "approx/method.h"
#include "cli/trading.h"

#include <string.h>

static const atn_option options[] = {
    {"gpu", 0, ATN_OPT_TEXT, "NAME|FILE",
     "a device of attnscope list devices, or a file of one", 0, 0},
    {"kernel", 0, ATN_OPT_TEXT, "NAME|FILE",
     "of what is chosen: one of attnscope list kernels, or a file (the one that suits "
     "the GPU and a choice of blocks)",
     0, 0},
    {"dense-kernel", 0, ATN_OPT_TEXT, "NAME|FILE",
     "of dense attention that it is compared with (that of --kernel, else the one that "
     "suits dense attention on the GPU)",
     0, 0},
    {"batch", 0, ATN_OPT_COUNT, "N", "sequences like the captured one in a launch (1)",
     1, 1e6},
    {"per", 0, ATN_OPT_CHOICE, "model|layer",
     "a row a case, or a case and layer (model)", 0, 0},
    {"method", 0, ATN_OPT_TEXT, "LIST",
     "compute these anew, as of approx (what is stored, else all)", 0, 0},
    {"budget", 0, ATN_OPT_TEXT, "LIST",
     "compute these anew, as of approx (what is stored, else 10%,25%)", 0, 0},
    {"rows", 0, ATN_OPT_COUNT, "N",
     "compute anew, comparing a sample of N query rows a layer, as of approx",
     ATN_SAMPLE_LEAST, 1e12},
    {"grid", 0, ATN_OPT_TEXT, "AxBxC",
     "compute anew with this grid of the first tokens, as of approx", 0, 0},
    {"prompt", 0, ATN_OPT_COUNT, "N",
     "compute anew with so many tokens of the prompt, as of approx", 1, 1e12},
    {"no-sharing", 0, ATN_OPT_FLAG, NULL,
     "leave out layers that use another's attention, which compares all layers", 0, 0},
    {"no-hybrids", 0, ATN_OPT_FLAG, NULL,
     "leave out models whose layers take a case each", 0, 0},
    ATN_OPTION_KEEP,
    ATN_OPTION_END,
};

static atn_status emit(atn_cli *cli, atn_subject *s, const atn_trading *trade)
{
    static const atn_keys_of keys[] = {ATN_KEYS_MODEL, ATN_KEYS_LAYER};
    const atn_keys_of per = keys[atn_opt_i64(cli, "per", 0)];
    atn_table *t[2] = {NULL, NULL};
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    ATN_TRY(atn_tradeoff_table(cx, trade->tradeoff, per, &t[0]));
    ATN_TRY(atn_tradeoff_front(cx, trade->tradeoff, &t[1]));
    ATN_TRY(atn_cli_emit_all(cli, &s->run, (const atn_table *const *)t, 2, 0,
                             cli->args[0]));
done:
    for (int i = 0; i < 2; i++) atn_table_destroy(cx, t[i]);
    return st;
}

/* What it would take. */
static atn_status print_plan(atn_cli *cli, atn_subject *s, const atn_trading_opts *o)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_table *t = NULL;

    ATN_TRY(atn_trading_plan(cli, s, o, &t));
    ATN_TRY(atn_cli_print(cli, t));
done:
    atn_table_destroy(cx, t);
    return st;
}

static atn_status run(atn_cli *cli)
{
    atn_list grid = {0};
    const atn_trading_opts o = {.methods = atn_opt_text(cli, "method", NULL),
                                .budgets = atn_opt_text(cli, "budget", NULL),
                                .grid = atn_opt_given(cli, "grid") ? &grid : NULL,
                                .prompt = atn_opt_i64(cli, "prompt", 0),
                                .sample = atn_opt_i64(cli, "rows", 0),
                                .no_sharing = atn_opt_given(cli, "no-sharing"),
                                .no_hybrids = atn_opt_given(cli, "no-hybrids"),
                                .keep = atn_opt_given(cli, "keep")};
    atn_ctx *cx = cli->cx;
    atn_trading trade = {.tradeoff = NULL};
    atn_status st = ATN_OK;
    atn_subject s = {0};

    ATN_TRY(atn_opt_shape(cli, "grid", 3, &grid));
    ATN_TRY(atn_cli_check_output(cli, atn_opt_text(cli, "output", NULL)));
    ATN_TRY(atn_subject_open(cli, cli->args[0], &s));
    if (atn_opt_given(cli, "dry-run")) {
        ATN_TRY(print_plan(cli, &s, &o));
        goto done;
    }
    ATN_TRY(atn_trading_run(cli, &s, &o, &trade));
    ATN_TRY(emit(cli, &s, &trade));
done:
    atn_trading_release(cx, &trade);
    atn_subject_close(cli, &s);
    return st;
}

static const char *word(const char *option, int i)
{
    if (!option) return NULL;
    if (strcmp(option, "gpu") == 0) return atn_device_id(i);
    if (strcmp(option, "kernel") == 0 || strcmp(option, "dense-kernel") == 0)
        return atn_kernel_id(i);
    return strcmp(option, "method") == 0 ? atn_method_id(i) : NULL;
}

static const char *const examples[] = {
    "tradeoff RUN --gpu h200 --batch 4096 --format csv",
    "tradeoff RUN --gpu h100 --batch 4096 --method window,stream,moa,topk --budget "
    "10%,25%",
    "tradeoff RUN --gpu b200 --method window --per layer --format csv",
    "tradeoff RUN --gpu h200 --batch 4096 --method topk,window --keep -o tradeoff.csv",
    NULL};

const atn_command atn_command_tradeoff = {
    .id = "tradeoff",
    .summary = "every method: error on a capture against predicted time on a GPU",
    .args = "RUN --gpu NAME",
    .examples = examples,
    .text =
        "Takes results of approx that are stored in RUN/results (approx RUN --keep), "
        "or computes them where there are none or --method, --budget, --grid or "
        "--prompt "
        "ask for others, "
        "and predicts for every case the time of attention on the GPU: the heads of a "
        "layer are one launch, what choosing costs is another, a model is the sum of "
        "its layers. Beside the methods stand dense attention, layers that use another "
        "layer's attention (sharing), and models whose layers take a case each "
        "(hybrid). Against it is dense attention under the same masks.\n"
        "Tables: tradeoff, a row a case (--per layer: and layer), and front, the cases "
        "that no other one is better than in both error and time, the fastest first; "
        "oracles, which know dense attention, are none of it. As CSV -o FILE writes "
        "FILE.front.csv beside FILE.\n"
        "A launch below 0.1 ms is mostly starting: limited_by says launch, there is no "
        "speed-up, and it is not on the front (give a larger --batch). Times are of "
        "the length that was "
        "captured. attnscope plot tradeoff FILE, or RUN with --gpu, draws it; "
        "docs/guide/tradeoff.md says how "
        "to read it.",
    .options = options,
    .uses = ATN_USE_SELECT | ATN_USE_TABLE | ATN_USE_DRY,
    .second = "front",
    .word = word,
    .one_piece = "it reads what approx stored (share out approx, with --keep)",
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
