/* analysis/approx_run.c -- every case on every selected head, layer by layer. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/approx_dump.h"

#include <math.h>
#include <string.h>

#include "analysis/shares.h"
#include "core/io/file.h"

static atn_status make_cases(atn_ctx *cx, atn_approx *a)
{
    atn_approx_list *l = &a->list;
    atn_status st = ATN_OK;

    a->each = l->n * l->budgets;
    ATN_NEW(a->cases, (atn_idx)a->sweep.temperatures * a->each);
    for (int t = 0; t < a->sweep.temperatures; t++)
        for (int m = 0; m < l->n; m++)
            for (int b = 0; b < l->budgets; b++)
                a->cases[a->n_cases++] =
                    (atn_approx_case){.temperature = a->sweep.temperature[t],
                                      .method = &l->method[m],
                                      .budget = &l->budget[b],
                                      .published = a->opts->as_published};
done:
    return st;
}

/* Methods, budgets and what is swept. */
static atn_status read_lists(atn_ctx *cx, atn_approx *a)
{
    const atn_approx_opts *o = a->opts;
    const char *budgets = o->budgets;
    atn_status st = ATN_OK;

    ATN_TRY(atn_approx_sweep_read(cx, o->sweep, &a->sweep));
    if (a->sweep.budgets[0] && budgets)
        ATN_FAIL(ATN_USAGE, "--sweep budget and --budget name budgets both (give one)");
    if (a->sweep.budgets[0]) budgets = a->sweep.budgets;
    if (a->sweep.warms && !budgets) budgets = "k=32";
    a->matrix = o->matrix || o->sweep;
    ATN_TRY(atn_approx_list_read(cx, o->methods, budgets, &a->list));
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
    ATN_TRY(read_lists(cx, a));
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
    if (opts->tiles) ATN_TRY(atn_tile_shapes_of(cx, c, sel, opts->kernel, &a->shapes));
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

/* What was given is there, though no method may need it. */
static atn_status check_draws(atn_ctx *cx, const char *given)
{
    atn_status st = ATN_OK;
    atn_draws *d = NULL;
    char *list = NULL;

    if (!given) return ATN_OK;
    if (!atn_dir_exists(given)) {
        ATN_TRY(atn_draws_open(cx, given, &d));
        goto done;
    }
    list = atn_path_join(cx, given, "dump.json");
    if (!list) ATN_TRY(cx->err.code);
    if (!atn_file_exists(list))
        ATN_FAIL(ATN_NOINPUT,
                 "--draws %s: is no dump, it has no dump.json (give what --dump wrote, "
                 "or a file of draws)",
                 given);
done:
    atn_draws_close(cx, d);
    atn_free(cx, list);
    return st;
}

/* The file that case c takes its draws from in the folder of layer l, NULL = none: the
 * one that was given, or that of the case in a dump, which it may lack. */
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
    if (!atn_dir_exists(dir) && a->cases[c].method->named)
        ATN_FAIL(ATN_NOINPUT,
                 "--draws %s: has no folder %s (give a dump of the same methods and "
                 "budgets, in the same order)",
                 given, a->cases[c].folder);
    name = atn_approx_beside(cx, a, c, l, "draws.safetensors");
    *out = name ? atn_path_join(cx, given, name) : NULL;
    if (!*out) ATN_TRY(cx->err.code);
done:
    atn_free(cx, name);
    atn_free(cx, dir);
    return st;
}

/* Of a file that is not there every object is missing. */
static atn_status open_one(atn_ctx *cx, const char *file, atn_draws **out)
{
    const bool there = file && atn_file_exists(file);
    atn_status st = atn_draws_open(cx, there ? file : NULL, out);

    return st == ATN_OK && file && !there ? atn_draws_miss(cx, *out, file) : st;
}

static void close_draws(atn_ctx *cx, const atn_approx *a, atn_approx_folder *f)
{
    for (int c = 0; f->tries && c < a->n_cases; c++) {
        atn_draws_close(cx, f->draws[c]);
        atn_draws_close(cx, f->tries[c]);
    }
    atn_free(cx, f->draws);
    atn_free(cx, f->tries);
    f->draws = f->tries = NULL;
}

/* What nothing asked for of a file: a name with a slip in it would pass for one that is
 * not there. Of heads and layers that are there but not selected nothing is asked. */
static bool is_left_aside(const atn_approx *a, const atn_approx_folder *f,
                          const atn_draw *w)
{
    bool there = false;

    for (atn_idx k = 0; k < a->n; k++)
        if (same_folder(a->head[k].info, f->layer) &&
            a->head[k].info->layer == w->layer &&
            (w->head < 0 || w->head == a->head[k].head))
            return false;
    for (int i = 0; i < atn_capture_layers(a->capture); i++) {
        const atn_layer_info *l = atn_capture_layer(a->capture, i);

        there |= same_folder(l, f->layer) && l->layer == w->layer && w->head < l->heads;
    }
    return there;
}

static bool was_asked(const atn_approx *a, const atn_approx_folder *f, atn_idx i)
{
    bool any = false, asked = false;

    for (int c = 0; c < a->n_cases && !any; c++) {
        if (f->draws[c] && atn_draws_tensor(f->draws[c], i, &asked)) any |= asked;
        if (f->tries[c] && atn_draws_tensor(f->tries[c], i, &asked)) any |= asked;
    }
    return any;
}

/* Of one file for all cases; a dump has a file for each. */
static void say_unread(atn_ctx *cx, atn_approx *a, const atn_approx_folder *f)
{
    const char *given = a->opts->draws, *name, *first = NULL;
    const atn_draws *d = NULL;
    atn_idx unread = 0;
    bool asked;

    if (!given || a->said_unread || atn_dir_exists(given) || a->opts->shard) return;
    for (int c = 0; c < a->n_cases && !d; c++) d = f->draws[c];
    if (!d)
        atn_log(cx, ATN_LOG_WARN, "--draws %s: no method here reads such a file",
                given);
    for (atn_idx i = 0; d && (name = atn_draws_tensor(d, i, &asked)); i++) {
        atn_draw w;

        if (was_asked(a, f, i)) continue;
        if (atn_draw_parse(name, &w) && is_left_aside(a, f, &w)) continue;
        if (unread++ == 0) first = name;
    }
    if (unread > 0)
        atn_log(
            cx, ATN_LOG_WARN,
            "--draws %s: %lld tensor%s that nothing here reads, as \"%s\" (names are "
            "on the methods' cards, with layer and head of three digits)",
            given, (long long)unread, unread == 1 ? "" : "s", first);
    a->said_unread = !d || unread > 0;
}

/* Draws of the methods that make or read some, where they are kept or come from a
 * file. */
static atn_status open_draws(atn_ctx *cx, const atn_approx *a, atn_approx_folder *f)
{
    const atn_approx_opts *o = a->opts;
    atn_status st = ATN_OK;
    char *file = NULL;

    f->open = true;
    ATN_NEW(f->draws, a->n_cases);
    ATN_NEW(f->tries, a->n_cases);
    for (int c = 0; c < a->n_cases; c++) {
        const atn_choice *choice = &a->cases[c].method->choice;

        if (!o->dump && !o->draws) continue;
        if (!(atn_choice_describe(choice).reads & (ATN_READS_DRAWS | ATN_READS_GIVEN)))
            continue;
        ATN_TRY(file_of(cx, a, c, f->layer, &file));
        ATN_TRY(open_one(cx, file, &f->draws[c]));
        ATN_TRY(open_one(cx, file, &f->tries[c]));
        atn_draws_loosen(f->tries[c]);
        atn_free(cx, file);
        file = NULL;
    }
done:
    atn_free(cx, file);
    return st;
}

/* The folders of the selected layers. */
static atn_status find_folders(atn_ctx *cx, atn_approx *a)
{
    const atn_selection *sel = a->selection;
    atn_status st = ATN_OK;

    ATN_NEW(a->folder, sel->n);
    for (int i = 0; i < sel->n; i++) {
        const atn_layer_info *l = atn_capture_layer(a->capture, sel->at[i]);
        int f = 0;

        while (f < a->folders && !same_folder(a->folder[f].layer, l)) f++;
        if (f == a->folders) a->folder[a->folders++].layer = l;
        a->folder[f].left++;
    }
done:
    return st;
}

/* ---- a run ---- */

/* Layer i of the selection with the draws of its folder, which are saved and closed
 * with the last of its layers. */
static atn_status run_layer(atn_ctx *cx, atn_approx *a, int i, atn_idx first)
{
    const atn_layer_info *l = atn_capture_layer(a->capture, a->selection->at[i]);
    atn_approx_folder *f = a->folder;
    atn_status st = ATN_OK;

    while (!same_folder(f->layer, l)) f++;
    if (!f->open) ATN_TRY(open_draws(cx, a, f));
    for (int c = 0; c < a->n_cases; c++) {
        a->cases[c].draws = f->draws[c];
        a->cases[c].tries = f->tries[c];
    }
    if (first < a->to && first + atn_selection_heads(a->selection, i) > a->from)
        ATN_TRY(atn_approx_run_layer(cx, a, i, first));
    if (--f->left > 0) return ATN_OK;
    for (int c = 0; a->dump && c < a->n_cases; c++)
        ATN_TRY(atn_dump_draws(cx, a->dump, c, l));
    say_unread(cx, a, f);
    close_draws(cx, a, f);
done:
    return st;
}

/* In the order of the selection; where methods read other steps, the steps of a layer
 * one after another. */
static atn_status run_layers(atn_ctx *cx, atn_approx *a)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_approx_source source = atn_approx_source_of(a, cx->seed);
    const atn_selection *sel = a->selection;
    atn_status st = ATN_OK;
    atn_idx *first = NULL;
    bool *ran = NULL;

    ATN_TAKE(first, sel->n + 1);
    ATN_TAKE(ran, sel->n);
    first[0] = 0;
    for (int i = 0; i < sel->n; i++) {
        first[i + 1] = first[i] + atn_selection_heads(sel, i);
        ran[i] = false;
    }
    for (int i = 0; i < sel->n; i++) {
        const atn_layer_info *l = atn_capture_layer(a->capture, sel->at[i]);
        const int end = atn_approx_reads_steps(&source) ? sel->n : i + 1;

        for (int k = i; k < end; k++) {
            const atn_layer_info *of = atn_capture_layer(a->capture, sel->at[k]);

            if (ran[k] || !atn_approx_same_layer(l, of)) continue;
            ATN_TRY(run_layer(cx, a, k, first[k]));
            ran[k] = true;
        }
    }
done:
    atn_approx_layer_release(cx, &a->layer);
    atn_arena_rewind(cx, mark);
    return st;
}

/* A table of nothing is no answer. Heads that hold no numbers are told of elsewhere. */
static atn_status check_any(atn_ctx *cx, const atn_approx *a)
{
    const atn_approx_list *l = &a->list;
    atn_status st = ATN_OK;
    int m = 0;

    while (m < l->n && l->method[m].left_out) m++;
    if (m < l->n) return ATN_OK;
    for (atn_idx k = 0; k < a->n * a->n_cases; k++)
        if (a->cell[k].done) return ATN_OK;
    ATN_FAIL(ATN_DATA, "approx: no method of %d can run here: %s", l->n,
             l->method[0].why);
done:
    return st;
}

/* Of the CTAs that are kept as text: some nine characters each, of 64 queries or
 * more. */
static double ctas_bytes(const atn_approx *a)
{
    double bytes = 0;

    for (atn_idx h = 0; h < a->n; h++)
        bytes +=
            9.0 * a->n_cases * a->shapes.n * (double)(a->head[h].info->nq / 64 + 4);
    return bytes;
}

/* What all layers take. */
static atn_status needs(atn_ctx *cx, const atn_approx *a, atn_approx_cost *out)
{
    const atn_approx_source source = atn_approx_source_of(a, cx->seed);
    atn_status st = ATN_OK;

    *out = (atn_approx_cost){0};
    for (int i = 0; i < a->selection->n; i++)
        ATN_TRY(atn_approx_need(cx, a, &source, i, out));
    out->bytes += ctas_bytes(a);
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
    ATN_TRY(atn_share_heads(cx, opts->shard, c, sel, &a->from, &a->to));
    if (!atn_shard_merges(opts->shard)) ATN_TRY(check_draws(cx, opts->draws));
    ATN_TRY(needs(cx, a, &cost));
    ATN_TRY(atn_mem_check(cx, cost.bytes, "comparing the methods of a layer"));
    ATN_TRY(name_folders(cx, a));
    ATN_TRY(find_folders(cx, a));
    if (opts->dump) ATN_TRY(atn_dump_open(cx, a, opts->dump, opts->force, &a->dump));
    if (atn_shard_merges(opts->shard))
        ATN_TRY(atn_approx_merge(cx, a));
    else
        ATN_TRY(run_layers(cx, a));
    if (atn_shard_is_part(opts->shard)) {
        ATN_TRY(atn_approx_note(cx, a));
    } else {
        ATN_TRY(check_any(cx, a));
        atn_approx_notes(cx, a);
    }
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
    atn_approx_layer_release(cx, &a->layer);
    for (int f = 0; f < a->folders; f++) close_draws(cx, a, &a->folder[f]);
    atn_free(cx, a->folder);
    for (int c = 0; c < a->n_cases; c++) atn_free(cx, a->cases[c].folder);
    atn_approx_list_release(cx, &a->list);
    atn_free(cx, a->cases);
    for (atn_idx k = 0; a->cell && k < a->n * a->n_cases; k++)
        atn_approx_drop_ctas(cx, a, &a->cell[k]);
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
    ATN_TRY(check_draws(cx, opts->draws));
    ATN_TRY(needs(cx, a, out));
    out->in_use = cx->in_use ? (double)*cx->in_use : 0;
done:
    atn_approx_destroy(cx, a);
    return st;
}
