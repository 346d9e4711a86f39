/* cli/cmd_approx.c -- attnscope approx: approximations of attention side by side. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "analysis/approx.h"
#include "analysis/describe.h"
#include "cli/parts.h"

static const atn_option options[] = {
    {"method", 0, ATN_OPT_TEXT, "LIST",
     "methods and static patterns, as topk:k=32,window, a family, or all (all)", 0, 0},
    {"budget", 0, ATN_OPT_TEXT, "LIST",
     "fit each method to these: 10% of the visible pairs executed, k=256 numbers "
     "stored "
     "a row (a key is one, a rank two)",
     0, 0},
    {"per", 0, ATN_OPT_CHOICE, "head|layer|model",
     "one row a head, or means of heads, of layers (head)", 0, 0},
    {"top-k", 0, ATN_OPT_COUNT, "K", "keys a row whose recall is counted (32)", 1, 1e6},
    {"rows", 0, ATN_OPT_COUNT, "N",
     "compare a sample of N query rows a layer, 4 at least; of an odd N one less",
     ATN_SAMPLE_LEAST, 1e12},
    {"grid", 0, ATN_OPT_TEXT, "AxBxC",
     "the grid of the first tokens, row-major (what the capture says)", 0, 0},
    {"prompt", 0, ATN_OPT_COUNT, "N", "tokens of the prompt (what the capture says)", 1,
     1e12},
    {"sweep", 0, ATN_OPT_TEXT, "NAME=LO:HI",
     "go through temperature=0.25:8 (logits times, doubled; budget k=32 unless given) "
     "or budget=8:128 (k=, doubled); also LO:HI:FACTOR, or a list; with --matrix",
     0, 0},
    {"matrix", 0, ATN_OPT_FLAG, NULL,
     "compare the weights of masks, too: error_matrix of all methods", 0, 0},
    {"unmasked", 0, ATN_OPT_FLAG, NULL,
     "take causality and windows off all heads, on the dense side, too", 0, 0},
    {"as-published", 0, ATN_OPT_FLAG, NULL,
     "with the bugs of the reference codes, which the methods' cards list", 0, 0},
    {"draws", 0, ATN_OPT_FILE, "FILE",
     "take random objects, and what budgets fitted, from FILE (draws.safetensors of a "
     "--dump, or the whole dump) instead of drawing and fitting",
     0, 0},
    {"dump", 0, ATN_OPT_FILE, "DIR",
     "also store outputs, plans and random objects of every method under DIR", 0, 0},
    {"timings", 0, ATN_OPT_FLAG, NULL,
     "add the seconds that planning and applying took", 0, 0},
    ATN_OPTION_KEEP,
    ATN_OPTION_END,
};

/* People who ask for nothing else read the summaries, of a sweep the means alone: forty
 * columns for every head are for programs. */
static bool is_summary(const atn_cli *cli)
{
    return atn_cli_format(cli) == ATN_TABLE_TEXT && !atn_opt_given(cli, "per") &&
           !atn_opt_given(cli, "output") && !atn_opt_given(cli, "keep");
}

static atn_status print_tables(atn_cli *cli, atn_subject *s, const atn_approx *a)
{
    const atn_keys_of per = (atn_keys_of)atn_opt_i64(cli, "per", 0);
    atn_table *t[3] = {NULL, NULL, NULL};
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    ATN_TRY(atn_approx_table(cx, a, per, &t[0]));
    ATN_TRY(atn_approx_pareto(cx, a, &t[1]));
    ATN_TRY(atn_approx_best(cx, a, &t[2]));
    if (is_summary(cli))
        ATN_TRY(atn_cli_emit_all(cli, &s->run, (const atn_table *const *)t + 1,
                                 atn_opt_given(cli, "sweep") ? 1 : 2, -1, NULL));
    else
        ATN_TRY(atn_cli_emit_all(cli, &s->run, (const atn_table *const *)t, 3, 0,
                                 cli->args[0]));
done:
    for (int i = 0; i < 3; i++) atn_table_destroy(cx, t[i]);
    return st;
}

static atn_status emit(atn_cli *cli, atn_subject *s, const atn_approx *a)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    if (atn_shard_is_part(cli->shard))
        ATN_TRY(atn_cli_emit_part(cli, &s->run));
    else
        ATN_TRY(print_tables(cli, s, a));
    if (atn_approx_failed(a) > 0)
        ATN_FAIL(ATN_PARTIAL,
                 "approx: %lld of %lld heads are left out, for the reasons above",
                 (long long)atn_approx_failed(a), (long long)s->selection.n_heads);
done:
    return st;
}

/* With --keep what tradeoff needs of the plans is stored, too. */
static atn_status keep_tiles(atn_cli *cli, const atn_subject *s, const atn_approx *a)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_table *t = NULL;

    ATN_TRY(atn_approx_tiles(cx, a, &t));
    ATN_TRY(atn_cli_keep(cli, &s->run, t, false, cli->args[0]));
done:
    atn_table_destroy(cx, t);
    return st;
}

/* What it would take. */
static atn_status print_cost(atn_cli *cli, const atn_subject *s,
                             const atn_approx_opts *o)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_approx_cost c;
    atn_table *t = NULL;

    ATN_TRY(atn_approx_estimate(cx, s->capture, &s->selection, o, &c));
    ATN_TRY(atn_facts_create(cx, &t));
    ATN_TRY(atn_facts_add(cx, t, "heads", "%lld", (long long)c.heads));
    ATN_TRY(atn_facts_add(cx, t, "methods and budgets", "%lld", (long long)c.cases));
    /* with what is in use by now, as --mem-limit counts it */
    ATN_TRY(atn_facts_add(cx, t, "memory",
                          "%.0f MiB at most, beside the program itself",
                          ceil((c.bytes + c.in_use) / 0x1p20)));
    /* what choosing takes no formula of shapes says, so there is no time */
    ATN_TRY(atn_facts_add(cx, t, "work",
                          "%.4g GFLOP of dense attention and of applying; choosing, "
                          "and fitting to a budget, come on top",
                          c.flops / 1e9));
    ATN_TRY(atn_cli_print(cli, t));
done:
    atn_table_destroy(cx, t);
    return st;
}

static atn_status run(atn_cli *cli)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_approx *a = NULL;
    atn_subject s = {0};
    atn_list grid = {0};
    atn_approx_opts o = {.methods = atn_opt_text(cli, "method", "all"),
                         .budgets = atn_opt_text(cli, "budget", NULL),
                         .draws = atn_opt_text(cli, "draws", NULL),
                         .grid = atn_opt_given(cli, "grid") ? &grid : NULL,
                         .prompt = atn_opt_i64(cli, "prompt", 0),
                         .top_k = atn_opt_i64(cli, "top-k", 0),
                         .sample = atn_opt_i64(cli, "rows", 0),
                         .sweep = atn_opt_text(cli, "sweep", NULL),
                         .matrix = atn_opt_given(cli, "matrix"),
                         .unmasked = atn_opt_given(cli, "unmasked"),
                         .as_published = atn_opt_given(cli, "as-published"),
                         .timings = atn_opt_given(cli, "timings"),
                         .people = atn_cli_format(cli) == ATN_TABLE_TEXT,
                         .dump = atn_opt_text(cli, "dump", NULL),
                         .force = atn_opt_given(cli, "force"),
                         .shard = cli->shard};

    /* of rows of heads alone */
    o.tiles = atn_opt_given(cli, "keep") && atn_opt_i64(cli, "per", 0) == ATN_KEYS_HEAD;
    ATN_TRY(atn_opt_shape(cli, "grid", 3, &grid));
    ATN_TRY(atn_cli_check_output(cli, atn_opt_text(cli, "output", NULL)));
    ATN_TRY(atn_subject_open(cli, cli->args[0], &s));
    o.run = &s.run;
    if (atn_opt_given(cli, "dry-run")) {
        ATN_TRY(print_cost(cli, &s, &o));
        goto done;
    }
    ATN_TRY(atn_approx_run(cx, s.capture, &s.selection, &o, &a));
    st = emit(cli, &s, a);
    if (st != ATN_OK && st != ATN_PARTIAL) goto done;
    if (o.tiles && !atn_shard_is_part(cli->shard)) {
        const atn_status kept = keep_tiles(cli, &s, a);

        if (kept != ATN_OK) st = kept;
    }
done:
    atn_approx_destroy(cx, a);
    atn_subject_close(cli, &s);
    return st;
}

static const char *one_piece_with(const atn_cli *cli)
{
    return atn_opt_given(cli, "dump") ? "--dump is a folder that one process writes"
                                      : NULL;
}

/* Is it of no method before m? */
static bool is_new(const atn_method *const *m, const char *family)
{
    for (const atn_method *const *x = atn_methods; x < m; x++)
        if (strcmp((*x)->family, family) == 0) return false;
    return true;
}

/* The i-th of all and the families. */
static const char *family(int i)
{
    if (i == 0) return "all";
    if (i == 1) return "static";
    for (const atn_method *const *m = atn_methods; *m; m++)
        if (is_new(m, (*m)->family) && i-- == 2) return (*m)->family;
    return NULL;
}

static const char *word(const char *option, int i)
{
    int n = 0;

    if (!option || strcmp(option, "method") != 0) return NULL;
    while (n <= i && atn_method_id(n)) n++;
    return n > i ? atn_method_id(i) : family(i - n);
}

static const char *const examples[] = {
    "approx RUN --method topk:k=3,moba:block=2,k=2 --format csv",
    "approx RUN --method all --budget 10% --format csv",
    "approx RUN --method window,stream,power --budget 10%,k=256 --per model",
    "approx RUN --method oracle --budget k=64 --layers 0 --heads 2",
    "approx RUN --method svd,topk,sparse_lowrank --sweep temperature=0.25:8 --format "
    "csv",
    "approx RUN --method hyper --dump OUT",
    NULL};

const atn_command atn_command_approx = {
    .id = "approx",
    .summary = "error and cost of approximations of attention, at equal budget",
    .args = "RUN",
    .examples = examples,
    .text =
        "A method chooses keys (or weights, or keys of its own) for every query; one "
        "executor applies what it chose. One row a method and head: the dense weight "
        "that it retains, the error of the output, the divergence of the rows, what it "
        "keeps and what a kernel of its tiles executes, what choosing costs, whether "
        "choosing reads ahead of the query, the bound of SSA on the error, and what "
        "the best keys of every row would reach, of as many executed pairs.\n"
        "With --budget the one parameter that a method names for it is fitted, per "
        "head, so that the executed pairs come closest to the budget from below; "
        "choosing is shown beside and not counted. Heads that a method plans together "
        "are fitted together and share the budget out; best takes a head of them only "
        "where it keeps to the budget by itself. Methods without such a parameter run "
        "as they are and are marked.\n"
        "--sweep goes through temperatures (all logits times them, on the dense side, "
        "too) or budgets, and compares the weights as well: plot regime draws it. A "
        "method that is for bidirectional heads alone is left out on causal ones, "
        "unless --unmasked takes the mask off.\n"
        "Further tables: pareto (means over the heads, and which methods no other "
        "betters in both error and cost) and best (the method of least error of every "
        "head); oracles, which know dense attention, stand apart in both. As text "
        "these "
        "two are all, unless --per, -o or --keep ask for more. As CSV -o FILE writes "
        "FILE.pareto.csv and FILE.best.csv beside FILE, and a run record FILE.run.json "
        "for each of the three; CSV on stdout puts these two on stderr, as text. "
        "docs/guide/approx-columns.md defines every column.\n"
        "attnscope list methods names the methods and static patterns, attnscope help "
        "method NAME explains one. Of all or a family, what cannot run on this capture "
        "is left out and said.",
    .options = options,
    .uses = ATN_USE_SELECT | ATN_USE_TABLE | ATN_USE_DRY | ATN_USE_SHARD,
    .second = "pareto,best",
    .word = word,
    .one_piece_with = one_piece_with,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
