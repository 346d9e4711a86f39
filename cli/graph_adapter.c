/* cli/graph_adapter.c -- attnscope graph --p and --adapter. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdlib.h>
#include <string.h>

#include "analysis/adapter_tables.h"
#include "cli/graph_adapter.h"
#include "core/io/file.h"
#include "core/param.h"

atn_status atn_cli_read_p(atn_cli *cli, double *p, int *n)
{
    const char *text = atn_opt_text(cli, "p", NULL);
    atn_adapter_params a = atn_adapter_defaults;
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    char *end;

    *n = 0;
    while (text) {
        const double x = strtod(text, &end);

        if (end == text || (*end && *end != ','))
            ATN_FAIL(ATN_USAGE, "--p takes numbers from 1 to 3, as 1,1.5,2, not '%s'",
                     text);
        a.p = x;
        ATN_TRY(atn_adapter_check(cx, &a)); /* says why not */
        if (*n == ATN_P_MOST)
            ATN_FAIL(ATN_USAGE, "--p takes at most %d numbers", ATN_P_MOST);
        p[(*n)++] = x;
        text = *end ? end + 1 : NULL;
    }
done:
    return st;
}

/* The seed of --adapter random:SEED as it is written, or NULL. */
static const char *seed_of(atn_cli *cli)
{
    const char *text = atn_opt_text(cli, "adapter", "");

    return strncmp(text, "random:", 7) == 0 ? text + 7 : NULL;
}

/* "random", "random:7" or a file. */
static atn_status read_weights(atn_cli *cli, atn_adapter_opts *o)
{
    const char *text = atn_opt_text(cli, "adapter", "random"), *given = seed_of(cli);
    atn_ctx *cx = cli->cx;
    atn_idx seed = 0;
    atn_status st = ATN_OK;

    o->seed = cx->seed;
    if (given) {
        ATN_TRY(atn_parse_count(cx, "--adapter random", given, &seed));
        o->seed = (uint64_t)seed;
    } else if (strcmp(text, "random") != 0) {
        if (!atn_file_exists(text))
            ATN_FAIL(
                ATN_NOINPUT,
                "--adapter %s: there is no such file, and it is neither random nor "
                "random:SEED",
                text);
        o->weights = text;
    }
done:
    return st;
}

static atn_status read_opts(atn_cli *cli, double *p, atn_adapter_opts *o)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    *o = atn_adapter_opts_default;
    ATN_TRY(atn_cli_read_p(cli, p, &o->n_p));
    if (o->n_p > 0) o->p = p;
    ATN_TRY(read_weights(cli, o));
    o->mu = atn_opt_f64(cli, "mu", o->mu);
    o->eps = atn_opt_f64(cli, "eps", o->eps);
    o->snap = atn_opt_f64(cli, "snap", o->snap);
    o->damping = atn_opt_f64(cli, "damping", o->damping);
    o->iterations = (int)atn_opt_i64(cli, "iterations", o->iterations);
    o->beta = (atn_adapter_beta)atn_opt_i64(cli, "beta", o->beta);
    o->form = (atn_adapter_form)atn_opt_i64(cli, "form", o->form);
    o->alpha = (atn_pgnn_alpha)atn_opt_i64(cli, "alpha", o->alpha);
    o->dense_most = atn_opt_i64(cli, "dense", 0);
    o->rank = atn_opt_i64(cli, "rank", 0);
    if (atn_opt_given(cli, "self"))
        o->self = strcmp(atn_opt_text(cli, "self", ""), "drop") == 0 ? ATN_SELF_DROP
                                                                     : ATN_SELF_KEEP;
    o->stop = atn_opt_given(cli, "stop");
    o->skip_rows = atn_opt_i64(cli, "skip-rows", 0);
    ATN_TRY(atn_adapter_opts_check(cx, o));
done:
    return st;
}

/* What is asked for that would be without effect; NULL = nothing. */
static const char *without_effect(atn_cli *cli)
{
    const int64_t form = atn_opt_i64(cli, "form", ATN_FORM_BIPARTITE);
    const bool pgnn = form == ATN_FORM_PGNN, adapter = atn_opt_given(cli, "adapter");
    const bool response = atn_opt_given(cli, "response");
    const bool both = strcmp(atn_opt_text(cli, "self", "keep"), "both") == 0;
    const bool code = atn_opt_i64(cli, "beta", ATN_BETA_PAPER) == ATN_BETA_CODE;
    const struct {
        bool given;
        const char *why;
    } rules[] = {
        {both, "--p passes messages with self edges or without: --self both does not "
               "go with it (give keep or drop)"},
        {response && adapter,
         "--response is of captured heads, not of --adapter (leave "
         "one of the two out)"},
        {response && atn_opt_given(cli, "labels"),
         "--response has no labels (leave --labels out)"},
        {response && atn_opt_given(cli, "skip-rows"),
         "--response is of whole signals (leave --skip-rows out)"},
        {adapter && form != ATN_FORM_BIPARTITE,
         "the heads of --adapter are bipartite, queries against values (leave --form "
         "out)"},
        {pgnn && code, "--beta code is of the forms bipartite and nodes (leave it out; "
                       "what pGNN's code does otherwise is --alpha code)"},
        {pgnn && atn_opt_given(cli, "eps"), "--form pgnn has no eps (leave --eps out)"},
        {pgnn && atn_opt_given(cli, "self"),
         "the graph of --form pgnn never has self edges (leave --self out)"},
        {!pgnn && atn_opt_given(cli, "alpha"),
         "--alpha is of --form pgnn (ask for that, or leave it out)"},
        {!pgnn && !response && atn_opt_given(cli, "dense"),
         "--dense is of --spectrum, --response and --form pgnn (ask for that, or leave "
         "it out)"},
        {!adapter && atn_opt_given(cli, "rank"),
         "--rank is of --adapter (ask for that, or leave it out)"},
        {seed_of(cli) && atn_opt_given(cli, "seed"),
         "--adapter random:SEED has a seed of its own (leave --seed out)"}};

    for (size_t i = 0; i < ATN_LEN(rules); i++)
        if (rules[i].given) return rules[i].why;
    return NULL;
}

atn_status atn_cli_adapter_check(atn_cli *cli)
{
    const char *why = without_effect(cli);
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    double p[ATN_P_MOST];
    atn_adapter_opts o;

    if (why) ATN_FAIL(ATN_USAGE, "graph: %s", why);
    if (atn_opt_given(cli, "dense") && atn_opt_i64(cli, "dense", 0) < 1)
        ATN_FAIL(ATN_USAGE, "graph: --dense 0 leaves no tokens (give 1 or more)");
    ATN_TRY(read_opts(cli, p, &o));
done:
    return st;
}

atn_status atn_cli_adapter_tables(atn_cli *cli, atn_subject *s,
                                  const atn_token_labels *labels, atn_table *t[2],
                                  int *n, atn_idx *failed)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    double p[ATN_P_MOST];
    atn_adapter_opts o;

    *n = 1;
    ATN_TRY(read_opts(cli, p, &o));
    o.labels = labels;
    if (atn_opt_given(cli, "adapter")) {
        *n = 2;
        atn_run_set_seed(&s->run, o.seed);
        ATN_TRY(atn_adapter_layer_table(cx, s->capture, &s->selection, &o, &t[0], &t[1],
                                        failed));
    } else if (atn_opt_given(cli, "response")) {
        ATN_TRY(atn_adapter_response_table(cx, s->capture, &s->selection, &o, &t[0],
                                           failed));
    } else {
        ATN_TRY(atn_adapter_table(cx, s->capture, &s->selection, &o, &t[0], failed));
    }
done:
    return st;
}
