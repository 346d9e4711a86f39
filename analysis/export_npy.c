/* analysis/export_npy.c -- tensors of a capture as .npy arrays, one a tensor and stack.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/export_internal.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/io/file.h"
#include "core/io/json.h"
#include "core/io/npy.h"
#include "core/rows.h"

typedef atn_exporting writing;
typedef atn_export_group group;

enum {
    Q = ATN_EXPORT_Q,
    K = ATN_EXPORT_K,
    V = ATN_EXPORT_V,
    P = ATN_EXPORT_P,
    SINK = ATN_EXPORT_SINK,
    REL = ATN_EXPORT_REL,
    CHOICES = ATN_EXPORT_SINK, /* what may be asked for */
    TENSORS = ATN_EXPORT_TENSORS,
    STACKS_MOST = ATN_EXPORT_STACKS
};
const char *const atn_export_names[TENSORS] = {"q",    "k",     "v",       "p",
                                               "sink", "alibi", "rel_bias"};

const atn_layer_info *atn_export_layer(const writing *w, int i)
{
    return atn_capture_layer(w->c, w->sel->at[i]);
}

const bool *atn_export_heads(const writing *w, int i)
{
    return w->sel->heads + (atn_idx)i * w->sel->max_heads;
}

const group *atn_export_group_of(const writing *w, int i)
{
    int g = 0;

    while (strcmp(w->groups[g].stack, atn_export_layer(w, i)->stack) != 0) g++;
    return &w->groups[g];
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

    for (int t = 0; t < CHOICES && !at; t++) {
        w->wanted[t] = true;
        for (int i = 0; i < w->sel->n; i++)
            w->wanted[t] &= stored(atn_export_layer(w, i), t);
    }
    while (at) {
        const size_t n = strcspn(at, ",");
        int t = 0;

        while (t < CHOICES && (n != 1 || atn_export_names[t][0] != *at)) t++;
        if (t == CHOICES)
            ATN_FAIL(ATN_USAGE, "export: --tensors \"%.60s\" is no list of q, k, v, p",
                     w->o->tensors);
        w->wanted[t] = true;
        at = at[n] ? at + n + 1 : NULL;
    }
    for (int i = 0; i < w->sel->n; i++)
        for (int t = 0; t < CHOICES; t++)
            if (w->wanted[t] && !stored(atn_export_layer(w, i), t) && t != P)
                ATN_FAIL(ATN_DATA, "export: layer %d has no %s (it has %s)",
                         atn_export_layer(w, i)->layer, atn_export_names[t],
                         atn_export_layer(w, i)->tensors);
done:
    return st;
}

/* Logits are more than q k where there are sinks and biases. */
static atn_status add_extras(atn_ctx *cx, const writing *w, const atn_layer_info *l,
                             group *g)
{
    for (int t = 0; t < CHOICES; t++) g->has[t] = w->wanted[t];
    for (int t = SINK; t < TENSORS && w->wanted[Q] && w->wanted[K]; t++)
        g->has[t] |= atn_layer_has(l, atn_export_names[t]);
    if (!g->has[REL] || l->rel.buckets == 0) return ATN_OK;
    if (g->buckets == 0) g->buckets = l->rel.buckets;
    if (g->buckets == l->rel.buckets) return ATN_OK;
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "export: layer %d has %lld biases by distance, others have %lld "
                    "(choose layers that are alike with --layers)",
                    l->layer, (long long)l->rel.buckets, (long long)g->buckets);
}

/* Layers of a stack have one shape; every step has as many. */
static atn_status add_layer(atn_ctx *cx, writing *w, int i, int first[STACKS_MOST])
{
    const atn_layer_info *l = atn_export_layer(w, i), *a;
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
    a = atn_export_layer(w, first[g]);
    w->groups[g].steps += i == first[g] || l->step != atn_export_layer(w, i - 1)->step;
    w->groups[g].layers++;
    w->each |= atn_selection_heads(w->sel, i) < l->heads;
    if (a->nq != l->nq || a->nk != l->nk || a->heads != l->heads ||
        a->kv_heads != l->kv_heads || a->d != l->d || a->dv != l->dv ||
        atn_selection_heads(w->sel, i) != w->groups[g].heads)
        ATN_FAIL(ATN_DATA,
                 "export: layers %d and %d differ in heads or tokens, and an array has "
                 "one shape (choose layers that are alike with --layers or --steps)",
                 a->layer, l->layer);
    ATN_TRY(add_extras(cx, w, l, &w->groups[g]));
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
    if (tensor == REL) shape[n++] = g->buckets;
    if (tensor >= SINK) {
        shape[n++] = g->heads;
        return n;
    }
    shape[n++] = keys && !w->each ? g->kv_heads : g->heads;
    shape[n++] = keys ? l->nk : l->nq;
    shape[n++] = tensor == V ? l->dv : tensor == P ? l->nk : l->d;
    return n;
}

static int first_of(const writing *w, const group *g)
{
    int i = 0;

    while (strcmp(atn_export_layer(w, i)->stack, g->stack) != 0) i++;
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
            const int rank = shape_of(w, at, atn_export_layer(w, first[g]), t, shape);
            double numbers = 1;

            for (int a = 0; a < rank; a++) numbers *= (double)shape[a];
            if (at->has[t]) r->bytes += numbers * sizeof(float) + 128;
            r->files += at->has[t];
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

/* Sinks and biases of the selected heads of layer i; where it has none, what changes
 * nothing. */
static atn_status put_extra(atn_ctx *cx, const writing *w, int i, int tensor, FILE *out)
{
    const atn_layer_info *l = atn_export_layer(w, i);
    const group *g = atn_export_group_of(w, i);
    const atn_idx rows = tensor == REL ? g->buckets : 1;
    const float none = tensor == SINK ? -INFINITY : 0;
    atn_idx shape[ATN_ST_MAX_RANK];
    atn_status st = ATN_OK;
    float *x = NULL;
    int rank = 0;

    ATN_TRY(atn_capture_tensor(cx, w->c, w->sel->at[i], atn_export_names[tensor], &x,
                               &rank, shape));
    if (x && (rank != (tensor == REL ? 2 : 1) || shape[rank - 1] != l->heads ||
              (tensor == REL && shape[0] != rows)))
        ATN_FAIL(ATN_DATA,
                 "export: layer %d has a tensor %s of another shape than its "
                 "heads",
                 l->layer, atn_export_names[tensor]);
    for (atn_idx r = 0; r < rows; r++)
        for (atn_idx h = 0; h < l->heads; h++)
            if (atn_export_heads(w, i)[h])
                ATN_TRY(put(cx, w, x ? x + r * l->heads + h : &none, 1, out));
done:
    atn_free(cx, x);
    return st;
}

/* The selected heads of layer i; k and v as they are, or for each of them. */
static atn_status put_layer(atn_ctx *cx, const writing *w, int i, int tensor, FILE *out)
{
    const atn_layer_info *l = atn_export_layer(w, i);
    atn_status st = ATN_OK;
    atn_problem p = {0};

    if (tensor >= SINK) return put_extra(cx, w, i, tensor, out);
    ATN_TRY(atn_capture_load(cx, w->c, w->sel->at[i], &p));
    if (!w->each && (tensor == K || tensor == V)) {
        ATN_TRY(put(cx, w, tensor == K ? p.k : p.v,
                    l->kv_heads * l->nk * (tensor == K ? l->d : l->dv), out));
        goto done;
    }
    for (atn_idx h = 0; h < l->heads; h++) {
        const atn_head head = atn_problem_head(&p, h);
        const atn_cmat views[CHOICES] = {head.q, head.k, head.v, head.p};

        if (!atn_export_heads(w, i)[h]) continue;
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

char *atn_export_file(atn_ctx *cx, const group *g, int tensor)
{
    return atn_strfmt(cx, "%s%s%s.npy", g->stack, *g->stack ? "." : "",
                      atn_export_names[tensor]);
}

static atn_status write_array(atn_ctx *cx, const writing *w, const group *g, int tensor)
{
    char *name = atn_export_file(cx, g, tensor),
         *path = name ? atn_path_join(cx, w->part, name) : NULL;
    const int first = first_of(w, g);
    atn_status st = ATN_OK;
    atn_out out = {0};
    atn_idx shape[5];
    int rank;

    if (!path) ATN_TRY(cx->err.code);
    rank = shape_of(w, g, atn_export_layer(w, first), tensor, shape);
    ATN_TRY(atn_npy_begin_f32(cx, path, rank, shape, false, &out));
    for (int i = first; i < w->sel->n; i++) {
        if (strcmp(atn_export_layer(w, i)->stack, g->stack) != 0) continue;
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
            if (w->groups[g].has[t]) ATN_TRY(write_array(cx, w, &w->groups[g], t));
    ATN_TRY(atn_export_index(cx, w));
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
