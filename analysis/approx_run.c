/* analysis/approx_run.c -- every case on every selected head, layer by layer. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/approx_dump.h"

#include <math.h>
#include <string.h>

static atn_status make_cases(atn_ctx *cx, atn_approx *a)
{
    atn_approx_list *l = &a->list;
    atn_status st = ATN_OK;

    ATN_NEW(a->cases, (atn_idx)l->n * l->budgets);
    for (int m = 0; m < l->n; m++)
        for (int b = 0; b < l->budgets; b++)
            a->cases[a->n_cases++] = (atn_approx_case){
                .method = &l->method[m], .budget = &l->budget[b], .start = NAN};
done:
    return st;
}

static atn_status create(atn_ctx *cx, const atn_capture *c, const atn_selection *sel,
                         const atn_approx_opts *opts, atn_approx **out)
{
    atn_status st = ATN_OK;
    atn_approx *a = NULL;
    atn_idx n = 0, cells = 0;

    if (opts->sample != 0 && opts->sample < ATN_SAMPLE_LEAST)
        ATN_FAIL(ATN_USAGE,
                 "approx: a sample of %lld rows is too small (give %d or more)",
                 (long long)opts->sample, ATN_SAMPLE_LEAST);
    ATN_NEW(a, 1);
    *out = a;
    a->capture = c;
    a->selection = sel;
    a->opts = opts;
    a->n = sel->n_heads;
    ATN_TRY(atn_approx_list_read(cx, opts->methods, opts->budgets, &a->list));
    ATN_TRY(make_cases(cx, a));
    ATN_NEW(a->head, a->n);
    for (int i = 0; i < sel->n; i++)
        for (atn_idx h = 0; h < sel->max_heads; h++)
            if (sel->heads[i * sel->max_heads + h])
                a->head[n++] = (atn_approx_head){
                    .info = atn_capture_layer(c, sel->at[i]), .head = h};
    ATN_ASSERT(n == a->n);
    if (!atn_mul(a->n, a->n_cases, &cells))
        ATN_FAIL(ATN_MEMORY, "approx: %lld heads and %d methods are too many",
                 (long long)a->n, a->n_cases);
    ATN_NEW(a->cell, cells);
done:
    return st;
}

/* Whether two layers are in one folder of a capture. */
static bool same_folder(const atn_layer_info *x, const atn_layer_info *y)
{
    return x->step == y->step && strcmp(x->stack, y->stack) == 0;
}

static atn_status dump_draws(atn_ctx *cx, atn_approx *a, const atn_layer_info *l)
{
    atn_status st = ATN_OK;

    for (int c = 0; a->dump && c < a->n_cases; c++)
        ATN_TRY(atn_dump_draws(cx, a->dump, c, l));
done:
    return st;
}

static atn_status run_layers(atn_ctx *cx, atn_approx *a)
{
    const atn_selection *sel = a->selection;
    const atn_layer_info *last = NULL;
    atn_status st = ATN_OK;
    atn_idx first = 0;

    for (int i = 0; i < sel->n; i++) {
        const atn_layer_info *l = atn_capture_layer(a->capture, sel->at[i]);

        if (last && !same_folder(last, l)) ATN_TRY(dump_draws(cx, a, last));
        ATN_TRY(atn_approx_run_layer(cx, a, i, first));
        first += atn_selection_heads(sel, i);
        last = l;
    }
    if (last) ATN_TRY(dump_draws(cx, a, last));
done:
    return st;
}

/* Draws of the methods that make some, where they are kept or come from a file; a
 * folder of the dump for every case. */
static atn_status open_draws(atn_ctx *cx, atn_approx *a)
{
    const atn_approx_opts *o = a->opts;
    atn_status st = ATN_OK;

    for (int c = 0; c < a->n_cases; c++) {
        atn_approx_case *k = &a->cases[c];
        const char *id = atn_choice_id(&k->method->choice);
        int before = 0;

        for (int b = 0; b < c; b++)
            before += strcmp(atn_choice_id(&a->cases[b].method->choice), id) == 0;
        k->folder =
            before ? atn_strfmt(cx, "%s-%d", id, before + 1) : atn_strdup(cx, id);
        if (!k->folder) ATN_TRY(cx->err.code);
        if (!o->dump && !o->draws) continue;
        if (!(atn_choice_describe(&k->method->choice).reads & ATN_READS_DRAWS))
            continue;
        ATN_TRY(atn_draws_open(cx, o->draws, &k->draws));
        ATN_TRY(atn_draws_open(cx, o->draws, &k->tries));
    }
done:
    return st;
}

atn_status atn_approx_run(atn_ctx *cx, const atn_capture *c, const atn_selection *sel,
                          const atn_approx_opts *opts, atn_approx **out)
{
    atn_status st = ATN_OK;
    atn_approx *a = NULL;

    *out = NULL;
    ATN_TRY(create(cx, c, sel, opts, &a));
    ATN_TRY(open_draws(cx, a));
    if (opts->dump) ATN_TRY(atn_dump_open(cx, a, opts->dump, opts->force, &a->dump));
    ATN_TRY(run_layers(cx, a));
    if (a->dump) {
        st = atn_dump_close(cx, a->dump, opts->run);
        a->dump = NULL;
        ATN_TRY(st);
    }
    *out = a;
    a = NULL;
done:
    atn_approx_destroy(cx, a);
    return st;
}

void atn_approx_destroy(atn_ctx *cx, atn_approx *a)
{
    if (!a) return;
    atn_dump_abandon(cx, a->dump);
    for (int c = 0; c < a->n_cases; c++) {
        atn_draws_close(cx, a->cases[c].draws);
        atn_draws_close(cx, a->cases[c].tries);
        atn_free(cx, a->cases[c].folder);
    }
    atn_approx_list_release(cx, &a->list);
    atn_free(cx, a->cases);
    atn_free(cx, a->head);
    atn_free(cx, a->cell);
    atn_free(cx, a);
}

atn_idx atn_approx_failed(const atn_approx *a)
{
    atn_idx n = 0;

    for (atn_idx h = 0; h < a->n; h++) n += a->head[h].failed;
    return n;
}

atn_status atn_approx_estimate(atn_ctx *cx, const atn_capture *c,
                               const atn_selection *sel, const atn_approx_opts *opts,
                               atn_approx_cost *out)
{
    atn_approx_source source;
    atn_status st = ATN_OK;
    atn_approx *a = NULL;

    *out = (atn_approx_cost){0};
    ATN_TRY(create(cx, c, sel, opts, &a));
    source = atn_approx_source_of(a, cx->seed);
    for (int i = 0; i < sel->n; i++) ATN_TRY(atn_approx_need(cx, a, &source, i, out));
done:
    atn_approx_destroy(cx, a);
    return st;
}
