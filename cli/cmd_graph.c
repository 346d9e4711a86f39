/* cli/cmd_graph.c -- attnscope graph: attention as a graph over the tokens. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>

#include "analysis/adapter_tables.h"
#include "analysis/attribution.h"
#include "analysis/graph_tables.h"
#include "cli/graph_adapter.h"
#include "graph/flow.h"

/* What is printed. */
enum { HEADS = 1, CLASSES = 2, SPECTRUM = 4, ADAPTER = 8, ROLLOUT = 16 };

static const atn_option options[] = {
    {"homophily", 0, ATN_OPT_TEXT, "LIST",
     "columns: edge, node, adjusted, insensitive (these need labels), feature", 0, 0},
    {"labels", 0, ATN_OPT_FILE, ATN_TOKEN_LABELS,
     "label of every token; a file is CSV with a column label", 0, 0},
    {"class-matrix", 0, ATN_OPT_FLAG, NULL,
     "instead: how much weight goes from class to class", 0, 0},
    {"self", 0, ATN_OPT_CHOICE, "both|keep|drop",
     "columns with edges of a token to itself, without, or both (both)", 0, 0},
    {"features", 0, ATN_OPT_CHOICE, ATN_GRAPH_FEATURES,
     "signals on the tokens: values of the head, or the layer's input (values)", 0, 0},
    {"centred", 0, ATN_OPT_FLAG, NULL, "cosines of features less their mean", 0, 0},
    {"dirichlet", 0, ATN_OPT_F64, "P",
     "add the Dirichlet energy of power P (slow at large n)", 0.1, 10},
    {"frequency", 0, ATN_OPT_FLAG, NULL,
     "frequency columns, beside those of --homophily", 0, 0},
    {"worst-gain", 0, ATN_OPT_FLAG, NULL,
     "add the largest gain over all signals (up to --lanczos-steps passes)", 0, 0},
    {"spectrum", 0, ATN_OPT_FLAG, NULL,
     "instead: energy and response of heads by graph frequency", 0, 0},
    {"bins", 0, ATN_OPT_COUNT, "N", "spectrum: bins, 0 = a row an eigenvalue (8)", 0,
     ATN_GRAPH_BINS_MOST},
    {"dense", 0, ATN_OPT_COUNT, "N",
     "most tokens: all eigenvalues of a spectrum (2048), --response (2048), --form "
     "pgnn (4096)",
     0, ATN_ADAPTER_DENSE_EVER},
    {"edge-least", 0, ATN_OPT_F64, "W",
     "spectrum: least weight of an edge that joins (0.01)", 0, 1},
    {"lanczos-steps", 0, ATN_OPT_I64, "N",
     "spectrum, worst gain: steps of Lanczos (40)", 2, 512},
    ATN_ADAPTER_OPTIONS,
    {"rollout", 0, ATN_OPT_FLAG, NULL,
     "instead: how much of a token's state comes from each token, after each layer", 0,
     0},
    {"flow", 0, ATN_OPT_FLAG, NULL, "rollout: the largest flows, too", 0, 0},
    {"token", 0, ATN_OPT_I64, "T", "rollout: position of the token (the last)", 0,
     1e12},
    {"rho", 0, ATN_OPT_F64, "X", "rollout: weight of the residual (0.5)", 0, 1},
    {"residual", 0, ATN_OPT_CHOICE, ATN_RESIDUALS,
     "rollout: rho as given, measured from h and w_o, or 0 (given)", 0, 0},
    {"combine", 0, ATN_OPT_CHOICE, ATN_ROLLOUT_HEADS,
     "rollout: how the heads of a layer become one matrix (mean)", 0, 0},
    {"skip-rows", 0, ATN_OPT_COUNT, "N", "leave the first N rows out of means (0)", 0,
     1e12},
    ATN_OPTION_KEEP,
    ATN_OPTION_END,
};

/* ---- which options go together ---- */

static const struct {
    const char *name, *of; /* `of` says what it belongs to */
    unsigned modes;
} places[] = {
    {"homophily", "the table of heads", HEADS},
    {"labels", "homophily, --class-matrix and --p", HEADS | CLASSES | ADAPTER},
    {"self", "homophily, --class-matrix and --p", HEADS | CLASSES | ADAPTER},
    {"features", "the table of heads and --spectrum", HEADS | SPECTRUM},
    {"centred", "the table of heads", HEADS},
    {"dirichlet", "the table of heads", HEADS},
    {"frequency", "the table of heads", HEADS},
    {"worst-gain", "the table of heads", HEADS},
    {"bins", "--spectrum", SPECTRUM},
    {"dense", "--spectrum, --response and --form pgnn", SPECTRUM | ADAPTER},
    {"edge-least", "--spectrum", SPECTRUM},
    {"lanczos-steps", "--spectrum and --worst-gain", SPECTRUM | HEADS},
    {"mu", "--p", ADAPTER},
    {"iterations", "--p", ADAPTER},
    {"beta", "--p", ADAPTER},
    {"snap", "--p", ADAPTER},
    {"eps", "--p", ADAPTER},
    {"damping", "--p", ADAPTER},
    {"form", "--p", ADAPTER},
    {"alpha", "--p with --form pgnn", ADAPTER},
    {"rank", "--adapter", ADAPTER},
    {"stop", "--p", ADAPTER},
    {"response", "--p", ADAPTER},
    {"flow", "--rollout", ROLLOUT},
    {"token", "--rollout", ROLLOUT},
    {"rho", "--rollout", ROLLOUT},
    {"residual", "--rollout", ROLLOUT},
    {"combine", "--rollout", ROLLOUT},
    {"skip-rows", "homophily, --class-matrix and --p", HEADS | CLASSES | ADAPTER},
};

/* The one table that is asked for. */
static atn_status find_mode(atn_cli *cli, unsigned *mode)
{
    static const struct {
        const char *name;
        unsigned mode;
    } asks[] = {{"class-matrix", CLASSES},
                {"spectrum", SPECTRUM},
                {"p", ADAPTER},
                {"adapter", ADAPTER},
                {"rollout", ROLLOUT}};
    const char *first = NULL;

    *mode = HEADS;
    for (size_t i = 0; i < ATN_LEN(asks); i++) {
        if (!atn_opt_given(cli, asks[i].name)) continue;
        if (first && *mode != asks[i].mode)
            return atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
                            "graph: --%s and --%s print different tables (leave one of "
                            "the two out)",
                            first, asks[i].name);
        first = asks[i].name;
        *mode = asks[i].mode;
    }
    return ATN_OK;
}

static atn_status check_places(atn_cli *cli, unsigned mode)
{
    for (size_t i = 0; i < ATN_LEN(places); i++)
        if (atn_opt_given(cli, places[i].name) && !(places[i].modes & mode))
            return atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
                            "graph: --%s is of %s (ask for that, or leave it out)",
                            places[i].name, places[i].of);
    return ATN_OK;
}

/* ---- the table of heads ---- */

static atn_status read_homophily(atn_cli *cli, unsigned *what)
{
    static const char *const names[] = {"edge", "node", "adjusted", "insensitive",
                                        "feature"};
    const char *text = atn_opt_text(cli, "homophily", NULL);
    char known[128];

    *what = 0;
    while (text) {
        const char *comma = strchr(text, ',');
        const size_t n = comma ? (size_t)(comma - text) : strlen(text);
        size_t i = 0;

        while (i < ATN_LEN(names) &&
               (strlen(names[i]) != n || strncmp(names[i], text, n) != 0))
            i++;
        if (i == ATN_LEN(names)) {
            atn_known(text, names, ATN_LEN(names), known, sizeof known);
            return atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
                            "--homophily: there is no '%.*s' %s", (int)n, text, known);
        }
        *what |= 1u << i;
        text = comma ? comma + 1 : NULL;
    }
    return ATN_OK;
}

/* Options that no column asked for would show. */
static atn_status check_columns(atn_cli *cli, unsigned what)
{
    static const struct {
        const char *name, *of;
        unsigned what;
    } needs[] = {{"self", "homophily", ATN_GRAPH_LABELLED | ATN_GRAPH_FEATURE},
                 {"skip-rows", "homophily", ATN_GRAPH_LABELLED | ATN_GRAPH_FEATURE},
                 {"centred", "--homophily feature", ATN_GRAPH_FEATURE},
                 {"features", "--homophily feature and --frequency",
                  ATN_GRAPH_FEATURE | ATN_GRAPH_FREQUENCY},
                 {"lanczos-steps", "--spectrum and --worst-gain", ATN_GRAPH_WORST}};

    for (size_t i = 0; i < ATN_LEN(needs); i++)
        if (atn_opt_given(cli, needs[i].name) && !(what & needs[i].what))
            return atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
                            "graph: --%s is of %s (ask for that, or leave it out)",
                            needs[i].name, needs[i].of);
    return ATN_OK;
}

static atn_status read_what(atn_cli *cli, atn_graph_table_opts *o)
{
    const bool labels = atn_opt_given(cli, "labels");
    const bool frequency = atn_opt_given(cli, "frequency");
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    unsigned what;

    ATN_TRY(read_homophily(cli, &what));
    if (!atn_opt_given(cli, "homophily")) what = labels ? ATN_GRAPH_LABELLED : 0;
    if (frequency || what == 0) what |= ATN_GRAPH_FREQUENCY;
    if (what == ATN_GRAPH_FREQUENCY && !frequency) what |= ATN_GRAPH_FEATURE;
    if (atn_opt_given(cli, "worst-gain")) what |= ATN_GRAPH_WORST;
    if (atn_opt_given(cli, "dirichlet")) what |= ATN_GRAPH_FEATURE;
    if ((what & ATN_GRAPH_LABELLED) && !labels)
        ATN_FAIL(ATN_USAGE,
                 "graph: --homophily edge, node, adjusted and insensitive need labels "
                 "(give --labels class, token, position, segment or a file, or "
                 "--homophily feature)");
    if (!(what & ATN_GRAPH_LABELLED) && labels)
        ATN_FAIL(ATN_USAGE,
                 "graph: no column asked for needs --labels (give --homophily "
                 "edge,node,adjusted, or leave --labels out)");
    ATN_TRY(check_columns(cli, what));
    o->what = what;
done:
    return st;
}

static atn_status read_opts(atn_cli *cli, unsigned mode, atn_graph_table_opts *o)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    atn_graph_defaults(o);
    o->self = (atn_graph_self)atn_opt_i64(cli, "self", ATN_GRAPH_BOTH);
    o->features = (atn_graph_features)atn_opt_i64(cli, "features", ATN_GRAPH_VALUES);
    o->centred = atn_opt_given(cli, "centred");
    o->power = atn_opt_f64(cli, "dirichlet", 0);
    o->skip_rows = atn_opt_i64(cli, "skip-rows", 0);
    o->worst_steps = (int)atn_opt_i64(cli, "lanczos-steps", o->worst_steps);
    o->spectrum.steps = o->worst_steps;
    o->spectrum.bins = (int)atn_opt_i64(cli, "bins", o->spectrum.bins);
    o->spectrum.dense = atn_opt_i64(cli, "dense", o->spectrum.dense);
    o->spectrum.edge = atn_opt_f64(cli, "edge-least", o->spectrum.edge);
    if (mode == HEADS) ATN_TRY(read_what(cli, o));
    if (mode == CLASSES && !atn_opt_given(cli, "labels"))
        ATN_FAIL(ATN_USAGE, "graph: --class-matrix needs labels (give --labels class, "
                            "token, position, segment or a file)");
    if (mode == CLASSES && atn_opt_given(cli, "self") && o->self == ATN_GRAPH_BOTH)
        ATN_FAIL(ATN_USAGE, "graph: --class-matrix has self edges or not: --self both "
                            "does not go with it (give keep or drop)");
    if (mode == SPECTRUM && o->spectrum.dense > ATN_GRAPH_DENSE_MOST)
        ATN_FAIL(ATN_USAGE, "graph: --dense %lld: all eigenvalues of at most %d tokens",
                 (long long)o->spectrum.dense, ATN_GRAPH_DENSE_MOST);
done:
    return st;
}

/* ---- rollout ---- */

static atn_status rollout(atn_cli *cli, const atn_subject *s, atn_table **t)
{
    const atn_model_facts facts = {s->capture, &s->selection, 0};
    const atn_attribution_opts o = {
        .rho = atn_opt_f64(cli, "rho", .5),
        .token = atn_opt_i64(cli, "token", -1),
        .heads = (int)atn_opt_i64(cli, "combine", ATN_ROLLOUT_MEAN),
        .residual = (int)atn_opt_i64(cli, "residual", ATN_RESIDUAL_GIVEN)};
    const atn_attribution_rows rows = {
        .flow = atn_opt_given(cli, "flow") ? ATN_FLOW_NODES_MAX : 0};

    return atn_rollout_table(cli->cx, &facts, &o, &rows, t);
}

/* ---- the command ---- */

static atn_status make_tables(atn_cli *cli, atn_subject *s, unsigned mode,
                              const atn_graph_table_opts *o, atn_table *t[2], int *n,
                              atn_idx *failed)
{
    const atn_capture *c = s->capture;
    atn_ctx *cx = cli->cx;

    *n = mode == SPECTRUM ? 2 : 1;
    if (mode == ADAPTER) return atn_cli_adapter_tables(cli, s, o->labels, t, n, failed);
    if (mode == ROLLOUT) return rollout(cli, s, &t[0]);
    if (mode == CLASSES)
        return atn_graph_classes_table(cx, c, &s->selection, o, &t[0], failed);
    if (mode == SPECTRUM)
        return atn_graph_spectrum_tables(cx, c, &s->selection, o, &t[0], &t[1], failed);
    return atn_graph_table(cx, c, &s->selection, o, &t[0], failed);
}

static atn_status print(atn_cli *cli, atn_subject *s, unsigned mode,
                        const atn_graph_table_opts *o)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_table *t[2] = {NULL, NULL};
    atn_idx failed = 0;
    int n = 0;

    ATN_TRY(make_tables(cli, s, mode, o, t, &n, &failed));
    if (failed == 0 && mode != CLASSES)
        ATN_TRY(atn_cli_any_rows(cx, "graph", t[0]));
    ATN_TRY(atn_cli_emit_all(cli, &s->run, (const atn_table *const *)t, n, 0,
                             cli->args[0]));
    if (failed > 0)
        ATN_FAIL(ATN_PARTIAL,
                 "graph: %lld of %lld heads lack values, for the reasons above (their "
                 "cells are empty)",
                 (long long)failed, (long long)s->selection.n_heads);
done:
    atn_table_destroy(cx, t[0]);
    atn_table_destroy(cx, t[1]);
    return st;
}

static atn_status run(atn_cli *cli)
{
    const char *labels = atn_opt_text(cli, "labels", NULL);
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_token_labels l = {0};
    atn_graph_table_opts o;
    atn_subject s = {0};
    unsigned mode = HEADS;

    ATN_TRY(find_mode(cli, &mode));
    ATN_TRY(check_places(cli, mode));
    ATN_TRY(read_opts(cli, mode, &o));
    if (mode == ADAPTER) ATN_TRY(atn_cli_adapter_check(cli));
    ATN_TRY(atn_cli_check_output(cli, atn_opt_text(cli, "output", NULL)));
    ATN_TRY(atn_subject_open(cli, cli->args[0], &s));
    if (labels) {
        ATN_TRY(atn_token_labels_make(cx, s.capture, &s.selection, labels, &l));
        o.labels = &l;
    }
    ATN_TRY(print(cli, &s, mode, &o));
done:
    atn_token_labels_release(cx, &l);
    atn_subject_close(cli, &s);
    return st;
}

static const char *word(const char *option, int i)
{
    static const char *const words[] = {"class", "token", "position", "segment"};

    if (!option || strcmp(option, "labels") != 0 || i >= (int)ATN_LEN(words))
        return NULL;
    return words[i];
}

static const char *const examples[] = {
    "graph RUN",
    "graph RUN --homophily edge,node,adjusted --labels labels.csv",
    "graph RUN --labels class --layers 1-3 --format csv",
    "graph RUN --class-matrix --labels position:4 --heads 2.1",
    "graph RUN --homophily feature --frequency --worst-gain --layers 0",
    "graph RUN --spectrum --layers 0 --format csv",
    "graph RUN --p 1.5 --iterations 10 --format csv",
    "graph RUN --p 1,2,3 --labels class --heads 2.1",
    "graph RUN --p 1.5 --response --layers 1",
    "graph RUN --rollout --token 40",
    "graph RUN --rollout --flow --layers 0,1 -o rollout.csv",
    NULL};

const atn_command atn_command_graph = {
    .id = "graph",
    .summary = "attention as a graph: homophily, frequencies, p-Laplacian, rollout",
    .args = "RUN",
    .examples = examples,
    .text =
        "Attention is a weighted graph over the tokens. One row a head: do tokens look "
        "at tokens like themselves (homophily, by the values of the head or by labels "
        "that are given), and what does the head do to slow and fast signals "
        "(frequency). --class-matrix prints the weight from class to class, --spectrum "
        "the energy of the features and the head's response by eigenvalue of the "
        "graph's Laplacian, then the ends of every spectrum. --p passes messages with "
        "a p-Laplacian in place of attention and prints every step; --adapter does so "
        "behind every layer as p-adapter has it, on a capture made with --save h. "
        "--rollout follows attention down "
        "through the layers. A file of labels is CSV: a column label, a row a token, "
        "none or a whole number below 0 for no label; with a column position in any "
        "order; other columns do not matter. A second table goes, in CSV, to a file of "
        "its own beside FILE "
        "(-o FILE), or to stderr where the table goes to stdout.",
    .options = options,
    .uses = ATN_USE_SELECT | ATN_USE_TABLE,
    .second = "spectrum_ends,adapter_heads",
    .word = word,
    .one_piece = "its tables are kept in no parts (choose heads with --layers and "
                 "--heads instead)",
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
