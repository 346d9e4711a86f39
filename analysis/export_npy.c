/* analysis/export_npy.c -- tensors of a capture as .npy arrays, one a tensor and stack.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/export.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/io/file.h"
#include "core/io/json.h"
#include "core/io/npy.h"
#include "core/rows.h"

enum { Q, K, V, P, TENSORS, STACKS_MOST = 3 };
static const char *const names[TENSORS] = {"q", "k", "v", "p"};
#define SCHEMA "attnscope/export/1"

/* The selected layers of one stack, in all steps. */
typedef struct group {
    const char *stack;
    atn_idx steps, layers, heads, kv_heads;
} group;

typedef struct writing {
    const atn_capture *c;
    const atn_selection *sel;
    const atn_export_opts *o;
    bool wanted[TENSORS];
    bool each; /* heads were chosen: k and v are those of each */
    group groups[STACKS_MOST];
    int n;
    char *part; /* owned: where it is made */
} writing;

static const atn_layer_info *layer_at(const writing *w, int i)
{
    return atn_capture_layer(w->c, w->sel->at[i]);
}

static const bool *heads_at(const writing *w, int i)
{
    return w->sel->heads + (atn_idx)i * w->sel->max_heads;
}

static bool stored(const atn_layer_info *l, int tensor)
{
    return tensor == V ? l->has_v : tensor == P ? l->has_p : l->has_qk;
}

/* ---- what is to be written ---- */

static atn_status read_wanted(atn_ctx *cx, writing *w)
{
    const char *at = w->o->tensors;
    atn_status st = ATN_OK;

    for (int t = 0; t < TENSORS && !at; t++) {
        w->wanted[t] = true;
        for (int i = 0; i < w->sel->n; i++) w->wanted[t] &= stored(layer_at(w, i), t);
    }
    while (at) {
        const size_t n = strcspn(at, ",");
        int t = 0;

        while (t < TENSORS && (n != 1 || names[t][0] != *at)) t++;
        if (t == TENSORS)
            ATN_FAIL(ATN_USAGE, "export: --tensors \"%.60s\" is no list of q, k, v, p",
                     w->o->tensors);
        w->wanted[t] = true;
        at = at[n] ? at + n + 1 : NULL;
    }
    for (int i = 0; i < w->sel->n; i++)
        for (int t = 0; t < TENSORS; t++)
            if (w->wanted[t] && !stored(layer_at(w, i), t) && t != P)
                ATN_FAIL(ATN_DATA, "export: layer %d has no %s (it has %s)",
                         layer_at(w, i)->layer, names[t], layer_at(w, i)->tensors);
done:
    return st;
}

/* Layers of a stack have one shape; every step has as many. */
static atn_status add_layer(atn_ctx *cx, writing *w, int i, int first[STACKS_MOST])
{
    const atn_layer_info *l = layer_at(w, i), *a;
    atn_status st = ATN_OK;
    int g = 0;

    while (g < w->n && strcmp(w->groups[g].stack, l->stack) != 0) g++;
    if (g == STACKS_MOST)
        ATN_FAIL(ATN_DATA, "export: the capture has more than %d stacks", STACKS_MOST);
    if (g == w->n) {
        first[w->n++] = i;
        w->groups[g] = (group){.stack = l->stack,
                               .heads = atn_selection_heads(w->sel, i),
                               .kv_heads = l->kv_heads};
    }
    a = layer_at(w, first[g]);
    w->groups[g].steps += i == first[g] || l->step != layer_at(w, i - 1)->step;
    w->groups[g].layers++;
    w->each |= atn_selection_heads(w->sel, i) < l->heads;
    if (a->nq != l->nq || a->nk != l->nk || a->heads != l->heads ||
        a->kv_heads != l->kv_heads || a->d != l->d || a->dv != l->dv ||
        atn_selection_heads(w->sel, i) != w->groups[g].heads)
        ATN_FAIL(ATN_DATA,
                 "export: layers %d and %d differ in heads or tokens, and an array has "
                 "one shape (choose layers that are alike with --layers or --steps)",
                 a->layer, l->layer);
done:
    return st;
}

/* Shape of a tensor of a group, in all steps and layers; returns the rank. */
static int shape_of(const writing *w, const group *g, const atn_layer_info *l,
                    int tensor, atn_idx shape[5])
{
    const bool keys = tensor == K || tensor == V;
    int n = 0;

    if (g->steps > 1) shape[n++] = g->steps;
    shape[n++] = g->layers / g->steps;
    shape[n++] = keys && !w->each ? g->kv_heads : g->heads;
    shape[n++] = keys ? l->nk : l->nq;
    shape[n++] = tensor == V ? l->dv : tensor == P ? l->nk : l->d;
    return n;
}

static int first_of(const writing *w, const group *g)
{
    int i = 0;

    while (strcmp(layer_at(w, i)->stack, g->stack) != 0) i++;
    return i;
}

/* Groups, bytes and files. */
static atn_status survey(atn_ctx *cx, writing *w, atn_export_result *r)
{
    int first[STACKS_MOST] = {0};
    atn_status st = ATN_OK;

    for (int i = 0; i < w->sel->n; i++) ATN_TRY(add_layer(cx, w, i, first));
    r->layers = w->sel->n;
    for (int g = 0; g < w->n; g++) {
        const group *at = &w->groups[g];

        r->heads = ATN_MAX(r->heads, at->heads);
        if (at->layers % at->steps != 0)
            ATN_FAIL(ATN_DATA, "export: the steps have not all the same layers (choose "
                               "one with --steps)");
        for (int t = 0; t < TENSORS; t++) {
            atn_idx shape[5];
            const int rank = shape_of(w, at, layer_at(w, first[g]), t, shape);
            double numbers = 1;

            for (int a = 0; a < rank; a++) numbers *= (double)shape[a];
            if (w->wanted[t]) r->bytes += numbers * sizeof(float) + 128;
            r->files += w->wanted[t];
        }
    }
    if (r->files == 0)
        ATN_FAIL(ATN_DATA, "export: no tensor is in all layers (choose some that are "
                           "alike with --layers)");
    r->files++; /* the index */
done:
    return st;
}

/* ---- arrays ---- */

static atn_status put(atn_ctx *cx, const writing *w, const float *x, atn_idx n,
                      FILE *out)
{
    if (fwrite(x, sizeof *x, (size_t)n, out) == (size_t)n) return ATN_OK;
    return atn_fail(cx, ATN_IO, __FILE__, __LINE__,
                    "%s: cannot be written (is the disk full?)", w->o->path);
}

/* P of a head by its row stream; what it does not see is 0. */
static atn_status put_weights(atn_ctx *cx, const writing *w, const atn_head *h,
                              FILE *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx step = atn_tile_rows(h);
    atn_row_info *info = NULL;
    float *p = NULL, *row = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(p, step * h->nk);
    ATN_TAKE(row, h->nk);
    ATN_TAKE(info, step);
    for (atn_idx first = 0; first < h->nq; first += step) {
        const atn_tile t = atn_tile_of(h, first, step);

        ATN_TRY(atn_rows_fill(cx, h, &t, (atn_mat){p, t.rows, t.keys, h->nk}, info));
        for (atn_idx r = 0; r < t.rows; r++) {
            memset(row, 0, (size_t)h->nk * sizeof *row);
            memcpy(row + t.key0, p + r * h->nk, (size_t)t.keys * sizeof *row);
            ATN_TRY(put(cx, w, row, h->nk, out));
        }
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* The selected heads of layer i; k and v as they are, or for each of them. */
static atn_status put_layer(atn_ctx *cx, const writing *w, int i, int tensor, FILE *out)
{
    const atn_layer_info *l = layer_at(w, i);
    atn_status st = ATN_OK;
    atn_problem p = {0};

    ATN_TRY(atn_capture_load(cx, w->c, w->sel->at[i], &p));
    if (!w->each && (tensor == K || tensor == V)) {
        ATN_TRY(put(cx, w, tensor == K ? p.k : p.v,
                    l->kv_heads * l->nk * (tensor == K ? l->d : l->dv), out));
        goto done;
    }
    for (atn_idx h = 0; h < l->heads; h++) {
        const atn_head head = atn_problem_head(&p, h);
        const atn_cmat views[TENSORS] = {head.q, head.k, head.v, head.p};

        if (!heads_at(w, i)[h]) continue;
        if (tensor == P)
            ATN_TRY(put_weights(cx, w, &head, out));
        else
            ATN_TRY(put(cx, w, views[tensor].data,
                        views[tensor].rows * views[tensor].cols, out));
    }
done:
    atn_capture_unload(cx, &p);
    return st;
}

static char *file_name(atn_ctx *cx, const group *g, int tensor)
{
    return atn_strfmt(cx, "%s%s%s.npy", g->stack, *g->stack ? "." : "", names[tensor]);
}

static atn_status write_array(atn_ctx *cx, const writing *w, const group *g, int tensor)
{
    char *name = file_name(cx, g, tensor),
         *path = name ? atn_path_join(cx, w->part, name) : NULL;
    const int first = first_of(w, g);
    atn_status st = ATN_OK;
    atn_out out = {0};
    atn_idx shape[5];
    int rank;

    if (!path) ATN_TRY(cx->err.code);
    rank = shape_of(w, g, layer_at(w, first), tensor, shape);
    ATN_TRY(atn_npy_begin_f32(cx, path, rank, shape, false, &out));
    for (int i = first; i < w->sel->n; i++) {
        if (strcmp(layer_at(w, i)->stack, g->stack) != 0) continue;
        ATN_TRY(atn_progress(cx, "export", i, w->sel->n));
        ATN_TRY(put_layer(cx, w, i, tensor, out.file));
    }
    ATN_TRY(atn_out_commit(cx, &out));
done:
    atn_out_abort(cx, &out);
    atn_free(cx, path);
    atn_free(cx, name);
    return st;
}

/* ---- the index ---- */

static json_t *layer_json(const writing *w, int i)
{
    const atn_layer_info *l = layer_at(w, i);
    json_t *heads = json_array();

    for (atn_idx h = 0; h < l->heads; h++)
        if (heads_at(w, i)[h]) json_array_append_new(heads, json_integer(h));
    return json_pack(
        "{s:s, s:i, s:i, s:o, s:I, s:f, s:s, s:I, s:o, s:o}", "stack", l->stack, "step",
        l->step, "layer", l->layer, "heads", heads, "kv_heads", (json_int_t)l->kv_heads,
        "scale", l->scale, "mask", l->sight.causal ? "causal" : "full", "offset",
        (json_int_t)l->sight.offset, "window",
        l->sight.window ? json_integer(l->sight.window) : json_null(), "softcap",
        l->sight.softcap > 0 ? json_real(l->sight.softcap) : json_null());
}

static atn_status write_index(atn_ctx *cx, const writing *w)
{
    const json_t *manifest = atn_capture_manifest(w->c);
    json_t *layers = json_array(), *files = json_object(), *all;
    char *path = atn_path_join(cx, w->part, "index.json");
    atn_status st = ATN_OK;

    for (int i = 0; i < w->sel->n; i++) json_array_append_new(layers, layer_json(w, i));
    for (int g = 0; g < w->n; g++) {
        json_t *of = json_object();

        for (int t = 0; t < TENSORS; t++)
            if (w->wanted[t])
                json_object_set_new(of, names[t],
                                    json_sprintf("%s%s%s.npy", w->groups[g].stack,
                                                 *w->groups[g].stack ? "." : "",
                                                 names[t]));
        json_object_set_new(files, w->groups[g].stack, of);
    }
    all =
        json_pack("{s:s, s:s, s:O?, s:O?, s:o, s:o}", "schema", SCHEMA, "capture",
                  atn_capture_dir(w->c), "tokens", json_object_get(manifest, "tokens"),
                  "stack_tokens", json_object_get(manifest, "stack_tokens"), "files",
                  files, "layers", layers);
    if (!all || !path) ATN_FAIL(ATN_MEMORY, "no memory for the index");
    ATN_TRY(atn_json_save(cx, path, all));
done:
    json_decref(all);
    atn_free(cx, path);
    return st;
}

/* ---- the directory ---- */

static bool ours(const char *name)
{
    return strcmp(name, "index.json") == 0 || atn_ends_with(name, ".npy");
}

/* Whether dir holds an index of ours and arrays, and nothing else. */
static bool is_export(atn_ctx *cx, const char *dir)
{
    char *path = atn_path_join(cx, dir, "index.json");
    DIR *d = path && atn_file_exists(path) ? opendir(dir) : NULL;
    bool good = d != NULL;

    atn_free(cx, path);
    for (const struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d))
        good &= strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
                ours(e->d_name);
    if (d) closedir(d);
    return good;
}

static void remove_export(atn_ctx *cx, const char *dir)
{
    DIR *d = opendir(dir);

    for (const struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
        char *path = ours(e->d_name) ? atn_path_join(cx, dir, e->d_name) : NULL;

        if (path) (void)unlink(path);
        atn_free(cx, path);
    }
    if (d) closedir(d);
    (void)rmdir(dir);
}

static atn_status check_place(atn_ctx *cx, const atn_export_opts *o)
{
    if (atn_file_exists(o->path))
        return atn_fail(
            cx, ATN_CANTCREATE, __FILE__, __LINE__,
            "%s is a file, and the arrays go to a directory (choose another)", o->path);
    if (!atn_dir_exists(o->path) || atn_dir_is_empty(o->path) ||
        (o->force && is_export(cx, o->path)))
        return ATN_OK;
    return atn_fail(cx, ATN_CANTCREATE, __FILE__, __LINE__,
                    o->force ? "%s exists already and holds other files than an export "
                               "(choose another directory)"
                             : "%s exists already (give --force to replace an export)",
                    o->path);
}

/* The old one goes when the new one is whole, and comes back if that fails. */
static atn_status replace(atn_ctx *cx, const writing *w)
{
    char *old = atn_strfmt(cx, "%s.old-%ld", w->o->path, (long)getpid());
    const bool there = atn_dir_exists(w->o->path);
    atn_status st = ATN_OK;

    if (!old) ATN_TRY(cx->err.code);
    if (there && rename(w->o->path, old) != 0)
        ATN_FAIL(ATN_CANTCREATE, "%s: cannot be replaced", w->o->path);
    if (rename(w->part, w->o->path) != 0) {
        if (there) (void)rename(old, w->o->path);
        ATN_FAIL(ATN_CANTCREATE, "%s: cannot be made", w->o->path);
    }
    if (there) remove_export(cx, old);
    atn_sync_parent(w->o->path);
done:
    atn_free(cx, old);
    return st;
}

static atn_status write_all(atn_ctx *cx, writing *w)
{
    atn_status st = ATN_OK;

    w->part = atn_strfmt(cx, "%s.part-%ld", w->o->path, (long)getpid());
    if (!w->part) ATN_TRY(cx->err.code);
    ATN_TRY(atn_dir_make(cx, w->part));
    for (int g = 0; g < w->n; g++)
        for (int t = 0; t < TENSORS; t++)
            if (w->wanted[t]) ATN_TRY(write_array(cx, w, &w->groups[g], t));
    ATN_TRY(write_index(cx, w));
    ATN_TRY(replace(cx, w));
done:
    if (st != ATN_OK && w->part) remove_export(cx, w->part);
    atn_free(cx, w->part);
    return st;
}

atn_status atn_export_npy(atn_ctx *cx, const atn_capture *c, const atn_selection *sel,
                          const atn_export_opts *o, atn_export_result *r)
{
    writing w = {.c = c, .sel = sel, .o = o};
    atn_status st = ATN_OK;

    *r = (atn_export_result){0};
    ATN_TRY(read_wanted(cx, &w));
    ATN_TRY(survey(cx, &w, r));
    if (o->dry) goto done;
    ATN_TRY(check_place(cx, o));
    ATN_TRY(write_all(cx, &w));
done:
    return st;
}
