/* core/io/capture.c -- captures and their layers; capture_manifest.c reads
 * capture.json, capture_writer.c writes both.
 *
 * Every layer file is checked against its hash and against the shapes the manifest
 * promises.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/io/capture_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/io/file.h"

atn_status atn_capture_open(atn_ctx *cx, const char *dir, atn_capture **out)
{
    atn_status st = ATN_OK;
    atn_capture *c = NULL;

    *out = NULL;
    ATN_NEW(c, 1);
    c->dir = atn_strdup(cx, dir);
    if (!c->dir) {
        st = cx->err.code;
        goto done;
    }
    ATN_TRY(atn_capture_read_manifest(cx, c));
    if (!c->complete)
        atn_log(
            cx, ATN_LOG_WARN,
            "%s is incomplete, %d of %zu layers are there (the same capture command "
            "resumes it)",
            dir, c->n_layers, json_array_size(json_object_get(c->manifest, "layers")));
    *out = c;
    c = NULL;
done:
    atn_capture_close(cx, c);
    return st;
}

atn_status atn_capture_check(atn_ctx *cx, const char *where, json_t *manifest)
{
    atn_status st = ATN_OK;
    atn_capture *c = NULL;

    ATN_NEW(c, 1);
    c->planned = true;
    c->manifest = json_incref(manifest);
    c->dir = atn_strdup(cx, where);
    if (!c->dir) ATN_TRY(cx->err.code);
    ATN_TRY(atn_capture_take_manifest(cx, c));
done:
    atn_capture_close(cx, c);
    return st;
}

void atn_capture_close(atn_ctx *cx, atn_capture *c)
{
    if (!c) return;
    json_decref(c->manifest);
    atn_free(cx, c->dir);
    atn_free(cx, c->layers);
    atn_free(cx, c->turn);
    for (size_t i = 0; i < c->n_turns; i++) atn_free(cx, c->turns[i]);
    atn_free(cx, c->turns);
    atn_capture_drop_tokens(cx, c);
    atn_free(cx, c->roles);
    atn_free(cx, c->grid);
    atn_free(cx, c);
}

const char *atn_capture_dir(const atn_capture *c)
{
    return c->dir;
}
bool atn_capture_complete(const atn_capture *c)
{
    return c->complete;
}
const json_t *atn_capture_manifest(const atn_capture *c)
{
    return c->manifest;
}
const atn_model_info *atn_capture_model(const atn_capture *c)
{
    return &c->model;
}
int atn_capture_layers(const atn_capture *c)
{
    return c->n_layers;
}

atn_layer_label atn_layer_name(const atn_layer_info *l)
{
    atn_layer_label out;
    char step[32] = "";

    if (l->steps) snprintf(step, sizeof step, ", step %d", l->step);
    snprintf(out.text, sizeof out.text, "%.64s%slayer %d%s", l->stack,
             *l->stack ? " " : "", l->layer, step);
    return out;
}

const atn_layer_info *atn_capture_layer(const atn_capture *c, int i)
{
    return &c->layers[i];
}

bool atn_layer_has(const atn_layer_info *l, const char *name)
{
    const size_t n = strlen(name);

    for (const char *at = l->tensors; at; at = strchr(at, ' ')) {
        at += *at == ' ';
        if (strncmp(at, name, n) == 0 && (at[n] == ' ' || at[n] == '\0')) return true;
    }
    return false;
}

const atn_list *atn_capture_grid(const atn_capture *c)
{
    return c->grid;
}

atn_idx atn_capture_grid_first(const atn_capture *c)
{
    return c->grid_first;
}
const uint8_t *atn_capture_roles(const atn_capture *c)
{
    return c->roles;
}
atn_idx atn_capture_prompt(const atn_capture *c)
{
    return c->prompt;
}

/* ---- layers ---- */

/* What a loaded problem keeps alive. */
typedef struct loaded {
    atn_st *file;
    float *heap[9];
    int n_heap;
    int64_t mapped;    /* bytes in use through the map of the file */
    bool *bad;         /* [heads] while loading; NULL = an error instead */
    const char *dtype; /* of the manifest; NULL = not said */
} loaded;

static atn_status check_listed(atn_ctx *cx, const atn_layer_info *l, const atn_st *f,
                               const char *path)
{
    char name[16];

    for (const char *at = l->tensors; *at; at += strspn(at, " ")) {
        const size_t n = strcspn(at, " ");

        snprintf(name, sizeof name, "%.*s", (int)n, at);
        if (!atn_st_find(f, name))
            return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                            "%s: tensor \"%s\" is not in the file, but the manifest "
                            "lists it (capture it again)",
                            path, name);
        at += n;
    }
    return ATN_OK;
}

static atn_status open_layer(atn_ctx *cx, const atn_capture *c, const atn_layer_info *l,
                             atn_st **out)
{
    char *path = atn_path_join(cx, c->dir, l->file), hex[33];
    atn_status st = ATN_OK;

    *out = NULL;
    if (!path) return cx->err.code;
    if (l->hash) {
        ATN_TRY(atn_hash_file(cx, path, hex));
        if (strcmp(hex, l->hash) != 0)
            ATN_FAIL(
                ATN_DATA,
                "%s: its XXH3-128 is %s, the manifest says %.32s: the file was changed "
                "after the capture (capture it again)",
                path, hex, l->hash);
    }
    ATN_TRY(atn_st_open(cx, path, out));
    ATN_TRY(check_listed(cx, l, *out, path));
done:
    if (st != ATN_OK) {
        atn_st_close(cx, *out);
        *out = NULL;
    }
    atn_free(cx, path);
    return st;
}

/* The tensor as float32: borrowed from the map where it can be, else widened. */
static atn_status float_tensor(atn_ctx *cx, const atn_st_tensor *t, float **heap,
                               const float **out)
{
    *heap = NULL;
    if (t->loadable && t->type == ATN_F32 && (uintptr_t)t->data % sizeof(float) == 0) {
        *out = t->data;
        return ATN_OK;
    }
    if (!t->loadable || (t->type != ATN_F32 && t->type != ATN_F16 &&
                         t->type != ATN_BF16 && t->type != ATN_F64))
        return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                        "%s: tensor \"%s\" is %s, wanted F32, F16, BF16 or F64",
                        t->path, t->name, t->dtype);
    *heap = atn_alloc(cx, t->count, sizeof **heap);
    if (!*heap) return cx->err.code;
    atn_widen(t->data, t->type, t->count, *heap);
    *out = *heap;
    return ATN_OK;
}

/* Marks the query heads that read head h of a tensor of `heads`. */
static void mark_bad(const atn_layer_info *l, atn_idx heads, atn_idx h, bool *bad)
{
    for (atn_idx q = 0; q < l->heads; q++)
        if (q * heads / l->heads == h) bad[q] = true;
}

/* "q of head 1"; a head of keys and values with the query heads that read it. */
static void name_head(const atn_layer_info *l, const char *name, atn_idx heads,
                      atn_idx h, char *out, size_t size)
{
    const atn_idx shared = heads > 0 ? l->heads / heads : 0;
    const long long first = (long long)(h * shared), last = first + shared - 1;

    if (heads == 0)
        snprintf(out, size, "%s", name);
    else if (heads != l->kv_heads || shared <= 1)
        snprintf(out, size, "%s of head %lld", name, (long long)h);
    else
        snprintf(out, size, "%s of key and value head %lld (query heads %lld%s%lld)",
                 name, (long long)h, first, shared == 2 ? ", " : " to ", last);
}

static atn_status not_finite(atn_ctx *cx, const atn_st_tensor *t,
                             const atn_layer_info *l, const atn_idx shape[3],
                             const float *row, atn_idx i)
{
    char place[160], at[64] = "", column[48] = "";
    atn_idx col = 0;

    while (isfinite(row[col])) col++;
    name_head(l, t->name, shape[0], i / shape[1], place, sizeof place);
    if (shape[1] > 1 || shape[2] > 1)
        snprintf(at, sizeof at, ", row %lld", (long long)(i % shape[1]));
    if (shape[2] > 1) snprintf(column, sizeof column, " (column %lld)", (long long)col);
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "%s: layer %d: %s%s holds NaN or infinity%s", t->path, l->layer,
                    place, at, column);
}

/* NaN and infinities are named by head and row: an error, or, where `bad` is given, a
 * warning for the first of each head, which is marked. 0 heads: the tensor has rows
 * alone. */
static atn_status check_finite(atn_ctx *cx, const atn_st_tensor *t,
                               const atn_layer_info *l, const float *x,
                               const atn_idx shape[3], bool *bad)
{
    const atn_idx rows = shape[1], cols = shape[2];

    for (atn_idx i = 0; i < ATN_MAX(shape[0], 1) * rows; i++) {
        float sum = 0;

        for (atn_idx j = 0; j < cols; j++) sum += x[i * cols + j] * 0.0f;
        if (sum == 0) continue;
        not_finite(cx, t, l, shape, x + i * cols, i);
        if (!bad) return ATN_DATA;
        atn_err_forgive(cx);
        mark_bad(l, shape[0], i / rows, bad);
        i = (i / rows + 1) * rows - 1;
    }
    return ATN_OK;
}

/* "dtype" of the manifest is that of q, k, v and p. */
static atn_status check_dtype(atn_ctx *cx, const loaded *own, const atn_st_tensor *t)
{
    if (!own->dtype || t->rank != 3 || strcmp(own->dtype, t->dtype) == 0) return ATN_OK;
    return atn_fail(
        cx, ATN_DATA, __FILE__, __LINE__,
        "%s: tensor \"%s\" is %s, \"dtype\" of the manifest says %s (capture "
        "it again)",
        t->path, t->name, t->dtype, own->dtype);
}

/* Loads [heads, rows, cols] (rank 3; cols 0: rank 1) into *out; tensors that are not
 * listed stay NULL. */
static atn_status load_tensor(atn_ctx *cx, loaded *own, const atn_layer_info *l,
                              const char *name, const atn_idx want[3],
                              const float **out)
{
    const atn_idx heads = want[0], rows = want[1], cols = want[2];
    const atn_idx shape[3] = {heads, cols == 0 ? 1 : rows, cols == 0 ? 1 : cols};
    const atn_st_tensor *t = atn_st_find(own->file, name);
    const bool vector = cols == 0;
    atn_status st = ATN_OK;

    *out = NULL;
    if (!t || !atn_layer_has(l, name)) return ATN_OK;
    ATN_TRY(check_dtype(cx, own, t));
    if (vector ? t->rank != 1 || t->shape[0] != heads
               : t->rank != 3 || t->shape[0] != heads || t->shape[1] != rows ||
                     t->shape[2] != cols)
        ATN_FAIL(ATN_DATA,
                 "%s: \"%s\" has rank %d and %lld values, the manifest says [%lld, "
                 "%lld, %lld]",
                 t->path, name, t->rank, (long long)t->count, (long long)heads,
                 (long long)rows, (long long)cols);
    ATN_TRY(float_tensor(cx, t, &own->heap[own->n_heap], out));
    if (own->heap[own->n_heap]) {
        own->n_heap++;
    } else {
        own->mapped += t->count * (atn_idx)sizeof **out;
        atn_mem_count(cx, t->count * (atn_idx)sizeof **out);
    }
    ATN_TRY(check_finite(cx, t, l, *out, shape, own->bad));
done:
    return st;
}

atn_idx atn_capture_bad_row(const float *p, atn_idx rows, atn_idx cols, double *sum)
{
    for (atn_idx i = 0; i < rows; i++) {
        bool negative = false;

        *sum = 0;
        for (atn_idx j = 0; j < cols; j++) {
            *sum += (double)p[i * cols + j];
            negative |= p[i * cols + j] < 0;
        }
        if (negative || *sum > 1 + 1e-2) return i;
    }
    return -1;
}

static atn_status check_weights(atn_ctx *cx, const char *path, const atn_layer_info *l,
                                const float *p, bool *bad)
{
    for (atn_idx h = 0; h < l->heads; h++) {
        double sum = 0;
        const atn_idx row =
            atn_capture_bad_row(p + h * l->nq * l->nk, l->nq, l->nk, &sum);

        if (row < 0 || (bad && bad[h])) continue;
        atn_fail(
            cx, ATN_DATA, __FILE__, __LINE__,
            "%s: layer %d: p of head %lld, row %lld is negative somewhere or sums to "
            "more than 1 (to %.6g), so it is no attention",
            path, l->layer, (long long)h, (long long)row, sum);
        if (!bad) return ATN_DATA;
        atn_err_forgive(cx);
        bad[h] = true;
    }
    return ATN_OK;
}

static double layer_bytes(const atn_layer_info *l)
{
    const double nq = (double)l->nq, nk = (double)l->nk;
    double floats = 0;

    if (l->has_qk)
        floats += (double)l->d * ((double)l->heads * nq + (double)l->kv_heads * nk);
    if (l->has_v) floats += (double)l->dv * (double)l->kv_heads * nk;
    if (!l->has_qk) floats += (double)l->heads * nq * nk;
    if (l->rel.buckets > 0)
        floats += (double)l->heads * ((double)l->rel.buckets + nq + nk);
    return 4 * floats;
}

/* The bias of every head by distance, of the table that distances share. */
static atn_status load_rel(atn_ctx *cx, loaded *own, const atn_layer_info *l,
                           const float **out)
{
    const atn_idx buckets = l->rel.buckets, heads = l->heads, n = l->nq + l->nk - 1;
    const atn_st_tensor *t = atn_st_find(own->file, "rel_bias");
    const float *table = NULL;
    float *by_distance = NULL;
    atn_status st = ATN_OK;

    if (!t || buckets == 0) goto done;
    if (t->rank != 2 || t->shape[0] != buckets || t->shape[1] != heads)
        ATN_FAIL(
            ATN_DATA,
            "%s: \"rel_bias\" has rank %d and %lld values, the manifest says [%lld, "
            "%lld]",
            t->path, t->rank, (long long)t->count, (long long)buckets,
            (long long)heads);
    ATN_TRY(float_tensor(cx, t, &own->heap[own->n_heap], &table));
    if (own->heap[own->n_heap]) own->n_heap++;
    by_distance = atn_alloc(cx, heads * n, sizeof *by_distance);
    if (!by_distance) ATN_TRY(cx->err.code);
    own->heap[own->n_heap++] = by_distance;
    atn_rel_expand(&l->rel, table, heads, l->nq, l->nk, l->sight.offset, by_distance);
    ATN_TRY(check_finite(cx, t, l, by_distance, (atn_idx[]){heads, 1, n}, own->bad));
    *out = by_distance;
done:
    return st;
}

atn_status atn_capture_load_heads(atn_ctx *cx, const atn_capture *c, int i,
                                  atn_problem *out, bool *bad)
{
    const atn_layer_info *l = &c->layers[i];
    atn_status st = ATN_OK;
    loaded *own = NULL;
    atn_problem p = {.layer = l->layer,
                     .heads = l->heads,
                     .kv_heads = l->kv_heads,
                     .nq = l->nq,
                     .nk = l->nk,
                     .d = l->d,
                     .dv = l->dv,
                     .scale = l->scale,
                     .sight = l->sight};

    *out = (atn_problem){0};
    ATN_TRY(atn_mem_check(cx, layer_bytes(l), "loading a layer"));
    ATN_NEW(own, 1);
    own->bad = bad;
    own->dtype = json_string_value(json_object_get(c->manifest, "dtype"));
    ATN_TRY(open_layer(cx, c, l, &own->file));
    if (l->has_qk) {
        ATN_TRY(load_tensor(cx, own, l, "q", (atn_idx[]){l->heads, l->nq, l->d}, &p.q));
        ATN_TRY(
            load_tensor(cx, own, l, "k", (atn_idx[]){l->kv_heads, l->nk, l->d}, &p.k));
    } else {
        ATN_TRY(
            load_tensor(cx, own, l, "p", (atn_idx[]){l->heads, l->nq, l->nk}, &p.p));
        ATN_TRY(check_weights(cx, atn_st_find(own->file, "p")->path, l, p.p, bad));
    }
    if (l->has_v)
        ATN_TRY(
            load_tensor(cx, own, l, "v", (atn_idx[]){l->kv_heads, l->nk, l->dv}, &p.v));
    ATN_TRY(load_tensor(cx, own, l, "sink", (atn_idx[]){l->heads, 0, 0}, &p.sink));
    ATN_TRY(
        load_tensor(cx, own, l, "alibi", (atn_idx[]){l->heads, 0, 0}, &p.alibi_slope));
    if (l->has_qk) ATN_TRY(load_rel(cx, own, l, &p.rel_bias));
    own->bad = NULL;
    own->dtype = NULL; /* of the capture, which may close before */
    p.owned = own;
    own = NULL;
    *out = p;
done:
    if (own) {
        p.owned = own;
        atn_capture_unload(cx, &p);
    }
    return st;
}

atn_status atn_capture_load(atn_ctx *cx, const atn_capture *c, int i, atn_problem *out)
{
    return atn_capture_load_heads(cx, c, i, out, NULL);
}

void atn_capture_unload(atn_ctx *cx, atn_problem *p)
{
    loaded *own = p->owned;

    if (own) {
        for (int i = 0; i < own->n_heap; i++) atn_free(cx, own->heap[i]);
        atn_mem_count(cx, -own->mapped);
        atn_st_close(cx, own->file);
        atn_free(cx, own);
    }
    *p = (atn_problem){0};
}

/* The last two dimensions are rows and columns, the one before is that of heads. */
static atn_status check_shaped(atn_ctx *cx, const atn_st_tensor *t,
                               const atn_layer_info *l, const float *x)
{
    const atn_idx cols = t->rank > 0 ? t->shape[t->rank - 1] : 1;
    const atn_idx heads = t->rank == 3 ? t->shape[0] : 0;

    if (t->count == 0) return ATN_OK;
    return check_finite(cx, t, l, x,
                        (atn_idx[]){heads, t->count / ATN_MAX(heads, 1) / cols, cols},
                        NULL);
}

atn_status atn_capture_tensor(atn_ctx *cx, const atn_capture *c, int i,
                              const char *name, float **out, int *rank,
                              atn_idx shape[ATN_ST_MAX_RANK])
{
    atn_status st = ATN_OK;
    atn_st *file = NULL;
    const atn_st_tensor *t;
    const float *data = NULL;

    *out = NULL;
    *rank = 0;
    ATN_TRY(open_layer(cx, c, &c->layers[i], &file));
    if (!atn_layer_has(&c->layers[i], name)) goto done;
    t = atn_st_find(file, name);
    ATN_TRY(atn_mem_check(cx, 4.0 * (double)t->count, name));
    ATN_TRY(float_tensor(cx, t, out, &data));
    if (!*out) {
        ATN_NEW(*out, t->count);
        memcpy(*out, data, (size_t)t->count * sizeof **out);
    }
    ATN_TRY(check_shaped(cx, t, &c->layers[i], *out));
    *rank = t->rank;
    memcpy(shape, t->shape, sizeof t->shape);
done:
    if (st != ATN_OK) {
        atn_free(cx, *out);
        *out = NULL;
    }
    atn_st_close(cx, file);
    return st;
}
