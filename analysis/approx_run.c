/* analysis/approx_run.c -- every case on every selected head, layer by layer. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/approx_dump.h"

#include <math.h>
#include <string.h>

#include "core/io/file.h"

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

/* ---- draws ---- */

/* Whether two layers are in one folder of a capture. */
static bool same_folder(const atn_layer_info *x, const atn_layer_info *y)
{
    return x->step == y->step && strcmp(x->stack, y->stack) == 0;
}

char *atn_approx_beside(atn_ctx *cx, const atn_approx *a, int c,
                        const atn_layer_info *l, const char *name)
{
    const char *slash = strrchr(l->file, '/');

    return atn_strfmt(cx, "%s/%.*s%s", a->cases[c].folder,
                      slash ? (int)(slash + 1 - l->file) : 0, l->file, name);
}

/* A folder of the dump for every case. */
static atn_status name_folders(atn_ctx *cx, atn_approx *a)
{
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
    }
done:
    return st;
}

/* The file that case c takes its draws from in the folder of layer l, NULL = none: the
 * one that was given, or that of the case in a dump. */
static atn_status file_of(atn_ctx *cx, const atn_approx *a, int c,
                          const atn_layer_info *l, char **out)
{
    const char *given = a->opts->draws;
    char *name = NULL, *dir = NULL;
    atn_status st = ATN_OK;

    *out = NULL;
    if (!given) return ATN_OK;
    if (!atn_dir_exists(given)) {
        *out = atn_strdup(cx, given);
        return *out ? ATN_OK : cx->err.code;
    }
    dir = atn_path_join(cx, given, a->cases[c].folder);
    if (!dir) ATN_TRY(cx->err.code);
    if (!atn_dir_exists(dir)) {
        if (!a->cases[c].method->named) goto done; /* left out there as here */
        ATN_FAIL(ATN_NOINPUT,
                 "--draws %s: has no folder %s (give a dump of the same methods and "
                 "budgets, in the same order)",
                 given, a->cases[c].folder);
    }
    name = atn_approx_beside(cx, a, c, l, "draws.safetensors");
    *out = name ? atn_path_join(cx, given, name) : NULL;
    if (!*out) ATN_TRY(cx->err.code);
    if (!atn_file_exists(*out)) { /* the method had nothing to write */
        atn_free(cx, *out);
        *out = NULL;
    }
done:
    atn_free(cx, name);
    atn_free(cx, dir);
    return st;
}

static void close_draws(atn_ctx *cx, atn_approx_case *k)
{
    atn_draws_close(cx, k->draws);
    atn_draws_close(cx, k->tries);
    k->draws = k->tries = NULL;
}

/* Draws of the methods that make some, where they are kept or come from a file: of the
 * folder of layer l, in which no name stands twice. */
static atn_status open_draws(atn_ctx *cx, atn_approx *a, const atn_layer_info *l)
{
    const atn_approx_opts *o = a->opts;
    atn_status st = ATN_OK;
    char *file = NULL;

    for (int c = 0; c < a->n_cases; c++) {
        atn_approx_case *k = &a->cases[c];

        if (!o->dump && !o->draws) continue;
        if (!(atn_choice_describe(&k->method->choice).reads & ATN_READS_DRAWS))
            continue;
        ATN_TRY(file_of(cx, a, c, l, &file));
        ATN_TRY(atn_draws_open(cx, file, &k->draws));
        ATN_TRY(atn_draws_open(cx, file, &k->tries));
        atn_draws_loosen(k->tries);
        atn_free(cx, file);
        file = NULL;
    }
done:
    atn_free(cx, file);
    return st;
}

static atn_status end_folder(atn_ctx *cx, atn_approx *a, const atn_layer_info *l)
{
    atn_status st = ATN_OK;

    for (int c = 0; c < a->n_cases; c++) {
        if (a->dump) ATN_TRY(atn_dump_draws(cx, a->dump, c, l));
        close_draws(cx, &a->cases[c]);
    }
done:
    return st;
}

/* ---- a run ---- */

static atn_status run_layers(atn_ctx *cx, atn_approx *a)
{
    const atn_selection *sel = a->selection;
    const atn_layer_info *last = NULL;
    atn_status st = ATN_OK;
    atn_idx first = 0;

    for (int i = 0; i < sel->n; i++) {
        const atn_layer_info *l = atn_capture_layer(a->capture, sel->at[i]);

        if (!last || !same_folder(last, l)) {
            if (last) ATN_TRY(end_folder(cx, a, last));
            ATN_TRY(open_draws(cx, a, l));
        }
        ATN_TRY(atn_approx_run_layer(cx, a, i, first));
        first += atn_selection_heads(sel, i);
        last = l;
    }
    if (last) ATN_TRY(end_folder(cx, a, last));
done:
    return st;
}

/* What all layers take. */
static atn_status needs(atn_ctx *cx, const atn_approx *a, atn_approx_cost *out)
{
    const atn_approx_source source = atn_approx_source_of(a, cx->seed);
    atn_status st = ATN_OK;

    *out = (atn_approx_cost){0};
    for (int i = 0; i < a->selection->n; i++)
        ATN_TRY(atn_approx_need(cx, a, &source, i, out));
done:
    return st;
}

atn_status atn_approx_run(atn_ctx *cx, const atn_capture *c, const atn_selection *sel,
                          const atn_approx_opts *opts, atn_approx **out)
{
    atn_status st = ATN_OK;
    atn_approx_cost cost;
    atn_approx *a = NULL;

    *out = NULL;
    ATN_TRY(create(cx, c, sel, opts, &a));
    ATN_TRY(needs(cx, a, &cost));
    ATN_TRY(atn_mem_check(cx, cost.bytes, "comparing the methods of a layer"));
    ATN_TRY(name_folders(cx, a));
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
        close_draws(cx, &a->cases[c]);
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
    atn_status st = ATN_OK;
    atn_approx *a = NULL;

    *out = (atn_approx_cost){0};
    ATN_TRY(create(cx, c, sel, opts, &a));
    ATN_TRY(needs(cx, a, out));
    out->in_use = cx->in_use ? (double)*cx->in_use : 0;
done:
    atn_approx_destroy(cx, a);
    return st;
}
