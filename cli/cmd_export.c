/* cli/cmd_export.c -- attnscope export: a capture for other tools. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/describe.h"
#include "analysis/export.h"
#include "cli/output.h"

enum { NPY, BERTVIZ, MINFERENCE };
static const double MAX_SIZE = 64.0 * 0x1p20;

static const atn_option options[] = {
    {"to", 0, ATN_OPT_CHOICE, "npy|bertviz|minference",
     "a directory of arrays, a BertViz view, a MInference configuration", 0, 0},
    {"tensors", 0, ATN_OPT_TEXT, "LIST",
     "npy: of q, k, v, p; p is computed where it is not stored (what all layers have)",
     0, 0},
    {"digits", 0, ATN_OPT_I64, "N",
     "bertviz: significant digits, 9 give every float32 back (9)", 3, 9},
    {"max-size", 0, ATN_OPT_BYTES, "SIZE", "bertviz: refuse a larger file (64MiB)", 0,
     0},
    {"ratio", 0, ATN_OPT_F64, "R",
     "minference: sizes of the shapes times this, for short texts (1)", 1e-6, 1024},
    ATN_OPTION_END,
};

static atn_status summary(atn_ctx *cx, const atn_export_opts *o,
                          const atn_export_result *r, int form, atn_table *t)
{
    atn_status st = ATN_OK;

    if (o->path)
        ATN_TRY(
            atn_facts_add(cx, t, o->dry ? "would write" : "written", "%s", o->path));
    ATN_TRY(atn_facts_add(cx, t, "files", "%lld", (long long)r->files));
    ATN_TRY(atn_facts_add(cx, t, "layers", "%lld", (long long)r->layers));
    if (r->heads)
        ATN_TRY(atn_facts_add(cx, t, "heads of a layer", "%lld", (long long)r->heads));
    ATN_TRY(atn_facts_add(cx, t, form == BERTVIZ || o->dry ? "bytes at most" : "bytes",
                          "%.0f", r->bytes));
    if (form == MINFERENCE && !o->dry)
        ATN_TRY(atn_facts_add(cx, t, "mean share kept", "%.6g", r->score));
    if (r->whole)
        ATN_TRY(atn_facts_add(cx, t, "note", "%s",
                              "a shape covers the whole text, so heads do not differ "
                              "(longer texts, or --ratio below 1)"));
done:
    return st;
}

/* Options that say nothing of the form are refused. */
static atn_status check_options(atn_cli *cli, int form)
{
    static const struct {
        const char *option;
        int form;
    } of[] = {{"tensors", NPY},
              {"digits", BERTVIZ},
              {"max-size", BERTVIZ},
              {"ratio", MINFERENCE}};
    static const char *const names[] = {"npy", "bertviz", "minference"};

    for (size_t i = 0; i < ATN_LEN(of); i++)
        if (atn_opt_given(cli, of[i].option) && of[i].form != form)
            return atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
                            "export: --%s is of --to %s, and has no effect on --to %s "
                            "(leave it out)",
                            of[i].option, names[of[i].form], names[form]);
    return ATN_OK;
}

static atn_status run(atn_cli *cli)
{
    const int form = (int)atn_opt_i64(cli, "to", -1);
    const double most = (double)atn_opt_i64(cli, "max-size", 0);
    const atn_export_opts o = {.path = atn_opt_text(cli, "output", NULL),
                               .force = atn_opt_given(cli, "force"),
                               .dry = atn_opt_given(cli, "dry-run"),
                               .tensors = atn_opt_text(cli, "tensors", NULL),
                               .digits = (int)atn_opt_i64(cli, "digits", 9),
                               .bytes_most = most > 0 ? most : MAX_SIZE,
                               .ratio = atn_opt_f64(cli, "ratio", 1)};
    atn_ctx *cx = cli->cx;
    atn_export_result r = {0};
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    atn_subject s = {0};

    if (form < 0)
        ATN_FAIL(ATN_USAGE, "export: give --to npy, --to bertviz or --to minference");
    ATN_TRY(check_options(cli, form));
    if (!o.dry && (!o.path || !*o.path))
        ATN_FAIL(ATN_USAGE, "export: give -o %s",
                 form == NPY ? "DIR, the directory to make" : "FILE.json");
    if (form != NPY && !o.dry) ATN_TRY(atn_cli_check_output(cli, o.path));
    ATN_TRY(atn_subject_open(cli, cli->args[0], &s));
    if (form == NPY)
        ATN_TRY(atn_export_npy(cx, s.capture, &s.selection, &o, &r));
    else if (form == BERTVIZ)
        ATN_TRY(atn_export_bertviz(cx, s.capture, &s.selection, &o, &r));
    else
        ATN_TRY(atn_export_minference(cx, s.capture, &s.selection, &o, &r));
    ATN_TRY(atn_facts_create(cx, &t));
    ATN_TRY(summary(cx, &o, &r, form, t));
    ATN_TRY(atn_cli_print(cli, t));
done:
    atn_table_destroy(cx, t);
    atn_subject_close(cli, &s);
    return st;
}

static const char *const examples[] = {
    "export RUN --to npy -o arrays",
    "export RUN --to npy --tensors p --layers 0 --heads 1,2 -o attention",
    "export RUN --to bertviz --layers 0-1 --digits 4 -o view.json -f",
    "export RUN --to minference --ratio 0.01 -o shapes.json", NULL};

const atn_command atn_command_export = {
    .id = "export",
    .summary = "write a capture for NumPy, BertViz or MInference",
    .args = "RUN --to FORM -o PATH",
    .examples = examples,
    .text =
        "npy makes a directory of [STACK.]TENSOR.npy of shape [layers, heads, n, d], "
        "with the steps before the layers where there are several, and index.json; "
        "with queries and keys go the sinks and biases of their logits. `import --npy "
        "DIR` takes everything back. Where --heads chooses some, k and v are those "
        "that each of them reads. bertviz makes the JSON that head_view and model_view "
        "of BertViz draw, with the attention computed where it is not stored; `import "
        "--bertviz` takes it back. Its size is known before and refused beyond "
        "--max-size. minference searches the shape of every head that keeps most of "
        "its attention and writes the list that MInference loads, and that `--method "
        "minference:plan=FILE` reads. The layer files of a capture are safetensors as "
        "they are.",
    .options = options,
    .uses = ATN_USE_SELECT | ATN_USE_OUTPUT | ATN_USE_DRY,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
