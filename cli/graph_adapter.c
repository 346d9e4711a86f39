/* cli/graph_adapter.c -- attnscope graph --p and --adapter. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdlib.h>
#include <string.h>

#include "analysis/adapter_tables.h"
#include "cli/graph_adapter.h"
#include "core/param.h"

atn_status atn_cli_read_p(atn_cli *cli, double *p, int *n)
{
    const char *text = atn_opt_text(cli, "p", NULL);
    atn_ctx *cx = cli->cx;
    char *end;

    *n = 0;
    while (text) {
        const double x = strtod(text, &end);

        if (end == text || (*end && *end != ',') || !(x >= 1 && x <= 3))
            return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                            "--p takes numbers from 1 to 3, as 1,1.5,2, not '%s'",
                            text);
        if (*n == ATN_P_MOST)
            return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                            "--p takes at most %d numbers", ATN_P_MOST);
        p[(*n)++] = x;
        text = *end ? end + 1 : NULL;
    }
    return ATN_OK;
}

/* "random", "random:7" or a file. */
static atn_status read_weights(atn_cli *cli, const char **file)
{
    const char *text = atn_opt_text(cli, "adapter", "random");
    atn_ctx *cx = cli->cx;
    atn_idx seed = 0;
    atn_status st = ATN_OK;

    *file = NULL;
    if (strncmp(text, "random", 6) != 0 || (text[6] && text[6] != ':')) {
        *file = text;
        return ATN_OK;
    }
    if (text[6] != ':') return ATN_OK;
    ATN_TRY(atn_parse_count(cx, "--adapter random", text + 7, &seed));
    cx->seed = (uint64_t)seed;
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
    ATN_TRY(read_weights(cli, &o->weights));
    o->mu = atn_opt_f64(cli, "mu", o->mu);
    o->eps = atn_opt_f64(cli, "eps", o->eps);
    o->snap = atn_opt_f64(cli, "snap", o->snap);
    o->damping = atn_opt_f64(cli, "damping", o->damping);
    o->iterations = (int)atn_opt_i64(cli, "iterations", o->iterations);
    o->beta = (atn_adapter_beta)atn_opt_i64(cli, "beta", o->beta);
    o->form = (atn_adapter_form)atn_opt_i64(cli, "form", o->form);
    if (atn_opt_given(cli, "self"))
        o->self = strcmp(atn_opt_text(cli, "self", ""), "drop") == 0 ? ATN_SELF_DROP
                                                                     : ATN_SELF_KEEP;
    o->stop = atn_opt_given(cli, "stop");
    o->skip_rows = atn_opt_i64(cli, "skip-rows", 0);
    ATN_TRY(atn_adapter_opts_check(cx, o));
done:
    return st;
}

atn_status atn_cli_adapter_check(atn_cli *cli)
{
    const uint64_t seed = cli->cx->seed;
    const bool both = strcmp(atn_opt_text(cli, "self", "keep"), "both") == 0;
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    double p[ATN_P_MOST];
    atn_adapter_opts o;

    if (both)
        ATN_FAIL(ATN_USAGE,
                 "graph: --p passes messages with self edges or without: --self both "
                 "does not go with it (give keep or drop)");
    if (atn_opt_given(cli, "response") && atn_opt_given(cli, "adapter"))
        ATN_FAIL(ATN_USAGE,
                 "graph: --response is of captured heads, not of --adapter (leave one "
                 "of the two out)");
    if (atn_opt_given(cli, "response") && atn_opt_given(cli, "labels"))
        ATN_FAIL(ATN_USAGE, "graph: --response has no labels (leave --labels out)");
    ATN_TRY(read_opts(cli, p, &o));
done:
    cx->seed = seed;
    return st;
}

static atn_status widen_labels(atn_ctx *cx, const atn_token_labels *labels,
                               atn_adapter_opts *o)
{
    atn_status st = ATN_OK;
    int64_t *x = NULL;

    if (!labels) return ATN_OK;
    ATN_TAKE(x, labels->n);
    for (atn_idx i = 0; i < labels->n; i++) x[i] = labels->label[i];
    o->labels = x;
    o->n_labels = labels->n;
done:
    return st;
}

atn_status atn_cli_adapter_tables(atn_cli *cli, const atn_subject *s,
                                  const atn_token_labels *labels, atn_table *t[2],
                                  int *n, atn_idx *failed)
{
    atn_ctx *cx = cli->cx;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double p[ATN_P_MOST];
    atn_adapter_opts o;

    *n = 1;
    ATN_TRY(read_opts(cli, p, &o));
    ATN_TRY(widen_labels(cx, labels, &o));
    if (atn_opt_given(cli, "adapter")) {
        *n = 2;
        ATN_TRY(atn_adapter_layer_table(cx, s->capture, &s->selection, &o, &t[0], &t[1],
                                        failed));
    } else if (atn_opt_given(cli, "response")) {
        ATN_TRY(atn_adapter_response_table(cx, s->capture, &s->selection, &o, &t[0],
                                           failed));
    } else {
        ATN_TRY(atn_adapter_table(cx, s->capture, &s->selection, &o, &t[0], failed));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}
