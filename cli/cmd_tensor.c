/* cli/cmd_tensor.c -- attnscope tensor: third-order attention, and which heads of a
 * capture polynomials could serve. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/tensor_regime.h"
#include "cli/output.h"
#include "cli/tensor_files.h"

static const atn_option options[] = {
    {"q", 0, ATN_OPT_FILE, "FILE",
     "queries, .npy of [n, d] or [.., n, d]; -o is the output then, .npy too", 0, 0},
    {"k1", 0, ATN_OPT_FILE, "FILE", "first keys", 0, 0},
    {"k2", 0, ATN_OPT_FILE, "FILE", "second keys", 0, 0},
    {"k3", 0, ATN_OPT_FILE, "FILE", "third keys, for order 4", 0, 0},
    {"k4", 0, ATN_OPT_FILE, "FILE", "fourth keys, for order 5", 0, 0},
    {"k5", 0, ATN_OPT_FILE, "FILE", "fifth keys, for order 6", 0, 0},
    {"v1", 0, ATN_OPT_FILE, "FILE", "values of the first keys", 0, 0},
    {"v2", 0, ATN_OPT_FILE, "FILE", "values of the second keys", 0, 0},
    {"v3", 0, ATN_OPT_FILE, "FILE", "values of the third keys", 0, 0},
    {"v4", 0, ATN_OPT_FILE, "FILE", "values of the fourth keys", 0, 0},
    {"v5", 0, ATN_OPT_FILE, "FILE", "values of the fifth keys", 0, 0},
    {"degree", 0, ATN_OPT_I64, "G",
     "by the monomials of Taylor's polynomial of this degree, even if you can", 0, 40},
    {"causal", 0, ATN_OPT_FLAG, NULL, "a query sees tuples of keys up to itself", 0, 0},
    {"scale", 0, ATN_OPT_F64, "S", "factor of the product (1/d)", -1e30, 1e30},
    {"marginals", 0, ATN_OPT_FILE, "FILE",
     "write what each key of each tensor gets in all, [tensors, n, n]", 0, 0},
    {"max-features", 0, ATN_OPT_COUNT, "N", "refuse more monomials than this (1m)", 1,
     1e12},
    {"regime", 0, ATN_OPT_FLAG, NULL,
     "of RUN: a row a head, how large its logits are and what they ask for", 0, 0},
    ATN_OPTION_KEEP,
    ATN_OPTION_END,
};

static atn_status regime(atn_cli *cli)
{
    /* a screen is not as wide as the table */
    const bool screen = atn_cli_format(cli) == ATN_TABLE_TEXT &&
                        !atn_opt_given(cli, "output") && !atn_opt_given(cli, "keep");
    const char *file = atn_tensor_files_option(cli);
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_subject s = {0};
    atn_table *t = NULL;

    if (file)
        ATN_FAIL(ATN_USAGE,
                 "tensor: --%s is of tensors given as files, RUN --regime of a capture "
                 "(leave one of the two out)",
                 file);
    if (!atn_opt_given(cli, "regime"))
        ATN_FAIL(ATN_USAGE, "tensor: of a capture there is the regime of its heads "
                            "(give --regime too)");
    ATN_TRY(atn_cli_check_output(cli, atn_opt_text(cli, "output", NULL)));
    ATN_TRY(atn_subject_open(cli, cli->args[0], &s));
    ATN_TRY(atn_tensor_regime(cx, s.capture, &s.selection, screen ? 2 : 0, &t));
    atn_table_be_brief(t);
    ATN_TRY(atn_cli_emit(cli, &s.run, t, cli->args[0]));
done:
    atn_table_destroy(cx, t);
    atn_subject_close(cli, &s);
    return st;
}

static atn_status run(atn_cli *cli)
{
    static const char *const of_captures[] = {"stack",  "steps", "layers",    "heads",
                                              "regime", "keep",  "run-record"};
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    if (cli->n_args > 0) return regime(cli);
    for (size_t i = 0; i < ATN_LEN(of_captures); i++)
        if (atn_opt_given(cli, of_captures[i]))
            ATN_FAIL(
                ATN_USAGE,
                "tensor: --%s is of a capture (give RUN --regime, or leave it out)",
                of_captures[i]);
    ATN_TRY(atn_tensor_files(cli));
done:
    return st;
}

static const char *const examples[] = {
    "tensor --q Q.npy --k1 K1.npy --k2 K2.npy --v1 V1.npy --v2 V2.npy -o OUT.npy",
    "tensor --q Q.npy --k1 K1.npy --k2 K2.npy --v1 V1.npy --v2 V2.npy -o OUT.npy "
    "--degree 4",
    "tensor --q Q.npy --k1 K1.npy --k2 K2.npy --v1 V1.npy --v2 V2.npy --causal "
    "--marginals M.npy --format csv",
    "tensor RUN --regime",
    "tensor RUN --regime --format csv",
    NULL};

const atn_command atn_command_tensor = {
    .id = "tensor",
    .summary = "third-order attention, exact or by polynomials",
    .args =
        "--q FILE --k1 FILE --k2 FILE --v1 FILE --v2 FILE [-o FILE], or RUN --regime",
    .examples = examples,
    .text =
        "A query weighs pairs of keys: the logit of the pair (j, t) is scale sum_l "
        "q_l k1_jl k2_tl, its value v1_j times v2_t, number by number; the output is "
        "their mean under the softmax over all pairs. With --k3, --v3 and so on it "
        "weighs triples and more. That costs n^3; with --degree G e^x is replaced by "
        "its polynomial of Taylor, which splits into C(d + G, G) features and is "
        "linear "
        "in n, and as good as logits are small: the table has both, how far they are "
        "apart, and from which n on features pay. The output has the width of the "
        "inputs, float32 or float64, and goes to the .npy file of -o; the table is "
        "printed. RUN --regime asks the same of captured heads: the "
        "largest logit, as it is, with the mean of each row taken out, and as a third-"
        "order head with both keys alike; the degree for relative errors of 10^-1 to "
        "10^-4 (columns _e1 to _e4; on a screen _e2 alone), and what it costs. "
        "attnscope "
        "plot tensor_regime "
        "draws that table, which here is what -o writes.",
    .options = options,
    .uses = ATN_USE_SELECT | ATN_USE_TABLE,
    .one_piece = "its heads are compared with one another",
    .min_args = 0,
    .max_args = 1,
    .run = run,
};
