/* cli/cmd_import.c -- attnscope import: a capture of tensors from elsewhere. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>
#include <string.h>

#include "analysis/describe.h"
#include "capture/import.h"
#include "cli/output.h"

static const atn_option options[] = {
    {"q", 0, ATN_OPT_FILE, "FILE", "queries", 0, 0},
    {"k", 0, ATN_OPT_FILE, "FILE", "keys; may have fewer heads", 0, 0},
    {"v", 0, ATN_OPT_FILE, "FILE", "values", 0, 0},
    {"attn", 0, ATN_OPT_FILE, "FILE",
     "attention matrices after the softmax, in place of --q and --k", 0, 0},
    {"bertviz", 0, ATN_OPT_FILE, "FILE",
     "attention and tokens of a BertViz view, its JSON or HTML, in place of all these",
     0, 0},
    {"npy", 0, ATN_OPT_FILE, "DIR",
     "all that `export --to npy` made, the arrays and index.json, in place of all "
     "these",
     0, 0},
    {"d-o", 0, ATN_OPT_FILE, "FILE",
     "gradient of a loss by every head's output, as --q but as wide as --v", 0, 0},
    {"tokens", 0, ATN_OPT_FILE, "FILE",
     "token texts, a JSON list of strings; equal texts are equal tokens", 0, 0},
    {"roles", 0, ATN_OPT_FILE, "FILE",
     "a JSON list of a role a key: \"none\", \"landmark\" or \"global\"", 0, 0},
    {"grid", 0, ATN_OPT_TEXT, "AxBxC",
     "the first tokens form a grid, row-major; those after it are text", 0, 0},
    {"prompt", 0, ATN_OPT_COUNT, "N",
     "the first N tokens were given, the rest generated", 1, 1e12},
    {"steps", 0, ATN_OPT_FLAG, NULL, "the first axis of every tensor is of steps", 0,
     0},
    {"causal", 0, ATN_OPT_FLAG, NULL, "a query sees itself and what is before it", 0,
     0},
    {"window", 0, ATN_OPT_COUNT, "N", "and of that the last N keys (all)", 1,
     2147483647},
    {"d", 0, ATN_OPT_COUNT, "N",
     "how long the queries and keys behind --attn were (not known)", 1, 1e6},
    {"scale", 0, ATN_OPT_F64, "S", "factor of the dot product (1/sqrt(d))", 1e-30,
     1e30},
    ATN_OPTION_END,
};

/* Adds the files that an argument names to the run record. */
static atn_status add_inputs(atn_cli *cli, atn_run *run, const char *spec)
{
    char *sources[ATN_IMPORT_SLOTS] = {0}, *path = NULL;
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    if (!spec) return ATN_OK;
    ATN_TRY(atn_import_sources(cx, spec, sources));
    for (int s = 0; s < ATN_IMPORT_SLOTS; s++) {
        if (!sources[s]) continue;
        path = atn_import_path(cx, sources[s]);
        if (!path) ATN_TRY(cx->err.code);
        ATN_TRY(atn_run_add_input(cx, run, path));
        atn_free(cx, path);
        path = NULL;
    }
done:
    atn_free(cx, path);
    for (int s = 0; s < ATN_IMPORT_SLOTS; s++) atn_free(cx, sources[s]);
    return st;
}

/* Facts of one stack, its name before them where there are several. */
static atn_status summarise_part(atn_ctx *cx, const atn_import_part *r, atn_table *t)
{
    const char *of = r->stack, *blank = *of ? " " : "";
    atn_status st = ATN_OK;
    char name[64];

    snprintf(name, sizeof name, "%s%slayers", of, blank);
    ATN_TRY(atn_facts_add(cx, t, name, "%lld", (long long)r->layers));
    snprintf(name, sizeof name, "%s%sheads", of, blank);
    ATN_TRY(atn_facts_add(cx, t, name, "%lld", (long long)r->heads));
    snprintf(name, sizeof name, "%s%skey and value heads", of, blank);
    if (r->kv_heads && r->kv_heads != r->heads)
        ATN_TRY(atn_facts_add(cx, t, name, "%lld", (long long)r->kv_heads));
    snprintf(name, sizeof name, "%s%squeries", of, blank);
    ATN_TRY(atn_facts_add(cx, t, name, "%lld", (long long)r->nq));
    snprintf(name, sizeof name, "%s%skeys", of, blank);
    ATN_TRY(atn_facts_add(cx, t, name, "%lld", (long long)r->nk));
    snprintf(name, sizeof name, "%s%sd", of, blank);
    if (r->d) ATN_TRY(atn_facts_add(cx, t, name, "%lld", (long long)r->d));
    snprintf(name, sizeof name, "%s%smask", of, blank);
    ATN_TRY(
        atn_facts_add(cx, t, name, "%s%s", r->causal ? "causal" : "both ways",
                      r->causal_detected ? " (nothing lies above the diagonal)" : ""));
done:
    return st;
}

/* What is unlike the usual attention, and how often. */
static atn_status note_part(atn_ctx *cx, const atn_import_part *r, atn_table *t)
{
    const char *of = *r->stack ? " of the " : "";
    atn_status st = ATN_OK;

    if (r->empty)
        ATN_TRY(atn_facts_add(cx, t, "note",
                              "%lld rows%s%s are all zero: such queries see nothing",
                              (long long)r->empty, of, r->stack));
    if (r->low)
        ATN_TRY(atn_facts_add(cx, t, "note",
                              "%lld rows%s%s sum to less than 1: taken as they are, as "
                              "of a head with a sink",
                              (long long)r->low, of, r->stack));
done:
    return st;
}

static atn_status summary(atn_ctx *cx, const atn_import_args *args,
                          const atn_import_result *r, atn_table *t)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_facts_add(cx, t, "capture", "%s", args->out_dir));
    if (args->steps || r->part[0].steps > 1)
        ATN_TRY(atn_facts_add(cx, t, "steps", "%lld", (long long)r->part[0].steps));
    for (int i = 0; i < r->n; i++) ATN_TRY(summarise_part(cx, &r->part[i], t));
    for (int i = 0; i < r->n; i++) ATN_TRY(note_part(cx, &r->part[i], t));
    if (*r->note) ATN_TRY(atn_facts_add(cx, t, "note", "%s", r->note));
done:
    return st;
}

static atn_status run(atn_cli *cli)
{
    const atn_import_args args = {.q = atn_opt_text(cli, "q", NULL),
                                  .k = atn_opt_text(cli, "k", NULL),
                                  .v = atn_opt_text(cli, "v", NULL),
                                  .p = atn_opt_text(cli, "attn", NULL),
                                  .d_o = atn_opt_text(cli, "d-o", NULL),
                                  .bertviz = atn_opt_text(cli, "bertviz", NULL),
                                  .npy = atn_opt_text(cli, "npy", NULL),
                                  .tokens = atn_opt_text(cli, "tokens", NULL),
                                  .roles = atn_opt_text(cli, "roles", NULL),
                                  .grid = atn_opt_text(cli, "grid", NULL),
                                  .prompt = atn_opt_i64(cli, "prompt", 0),
                                  .steps = atn_opt_given(cli, "steps"),
                                  .out_dir = atn_opt_text(cli, "output", NULL),
                                  .causal = atn_opt_given(cli, "causal"),
                                  .window = atn_opt_i64(cli, "window", 0),
                                  .scale = atn_opt_f64(cli, "scale", 0),
                                  .d = atn_opt_i64(cli, "d", 0),
                                  .force = atn_opt_given(cli, "force")};
    const char *const files[] = {args.q,   args.k,      args.v,     args.p,
                                 args.d_o, args.tokens, args.roles, args.bertviz};
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_import_result result;
    atn_table *t = NULL;
    atn_run record = {0};

    ATN_TRY(atn_import_check(cx, &args));
    ATN_TRY(atn_cli_record(cli, &record));
    for (size_t i = 0; i < ATN_LEN(files); i++)
        ATN_TRY(add_inputs(cli, &record, files[i]));
    ATN_TRY(atn_import(cx, &args, &record, &result));
    ATN_TRY(atn_facts_create(cx, &t));
    ATN_TRY(summary(cx, &args, &result, t));
    ATN_TRY(atn_cli_print(cli, t));
done:
    atn_table_destroy(cx, t);
    atn_run_release(&record);
    return st;
}

static const char *const examples[] = {
    "import --q Q.npy --k K.npy --v V.npy --causal -o RUN",
    "import --attn P.npy -o RUN",
    "import --q arrays.npz:q --k arrays.npz:q -o RUN",
    "import --q steps.safetensors:q --k steps.safetensors:k --v steps.safetensors:v "
    "--steps --grid 1x2 -o RUN",
    "import --attn dump.safetensors:attention --tokens tokens.json -o RUN",
    "import --attn encoder=E.npy,decoder=D.npy,cross=X.npy -o RUN",
    "import --bertviz view.json -o RUN",
    "import --npy exported -o RUN",
    NULL};

const atn_command atn_command_import = {
    .id = "import",
    .summary = "make a capture of .npy, .npz or safetensors dumps",
    .args = "--q FILE --k FILE --v FILE -o RUN, --attn FILE -o RUN, --bertviz FILE "
            "-o RUN, or --npy DIR -o RUN",
    .examples = examples,
    .text = "Shapes are [layers, heads, n, d], [heads, n, d] or [n, d]; of attention "
            "matrices [layers, heads, n, n] and so on; with --steps [steps, layers, "
            "heads, n, d] or [steps, heads, n, d]. FILE:name picks an array of a "
            ".npz or safetensors file. encoder=FILE,decoder=FILE,cross=FILE in place "
            "of FILE makes stacks of one capture, any of the three; the queries of "
            "cross-attention are the decoder's tokens, its keys the encoder's. What "
            "needs queries and keys says so when a "
            "capture has "
            "only attention matrices.",
    .options = options,
    .uses = ATN_USE_OUTPUT,
    .max_args = 0,
    .run = run,
};
