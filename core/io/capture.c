/* core/io/capture.c -- reading capture directories; capture_writer.c writes them.
 *
 * The manifest is hostile input: every number is checked before it is used, every layer file
 * against its hash and against the shapes the manifest promises.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/io/capture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/file.h"
#include "core/io/json.h"

static const int64_t SIZE_MAX_DIM = (int64_t)1 << 31;

struct atn_capture {
    char *dir;
    json_t *manifest;
    bool complete;
    atn_model_info model;
    atn_layer_info *layers;
    int n_layers;
    int32_t *ids;
    const char **texts; /* borrowed from the manifest */
    atn_idx n_tokens;
};

/* ---- the manifest ---- */

static atn_status layer_error(atn_ctx *cx, const atn_capture *c, size_t i,
                              const char *rule)
{
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "%s/capture.json: layers[%zu]: %s (capture it again)", c->dir, i,
                    rule);
}

/* [step-NNN/][stack/]layer-NNN.safetensors and nothing that leaves the directory. */
static bool safe_layer_file(const char *name)
{
    return *name && *name != '/' && !strstr(name, "..") && !strchr(name, '\\') &&
           strlen(name) < 256;
}

static bool has_tensor(const json_t *layer, const char *name)
{
    const json_t *list = json_object_get(layer, "tensors"), *v;
    size_t i;

    json_array_foreach(list, i,
                       v) if (json_is_string(v) &&
                              strcmp(json_string_value(v), name) == 0) return true;
    return false;
}

static atn_status read_sight(atn_ctx *cx, const atn_capture *c, const char *what,
                             const json_t *j, size_t i, atn_layer_info *l)
{
    const char *mask = NULL;
    atn_status st = ATN_OK;

    ATN_TRY(atn_json_get_str(cx, what, j, "mask", "full", &mask));
    if (strcmp(mask, "causal") != 0 && strcmp(mask, "full") != 0)
        ATN_TRY(layer_error(cx, c, i, "\"mask\" is neither causal nor full"));
    l->sight.causal = mask[0] == 'c';
    ATN_TRY(atn_json_get_i64(cx, what, j, "offset", 0, -SIZE_MAX_DIM, SIZE_MAX_DIM,
                             &l->sight.offset));
    ATN_TRY(
        atn_json_get_i64(cx, what, j, "window", 0, 0, SIZE_MAX_DIM, &l->sight.window));
    ATN_TRY(
        atn_json_get_i64(cx, what, j, "key_first", 0, 0, l->nk, &l->sight.key_first));
    ATN_TRY(atn_json_get_i64(cx, what, j, "key_last", l->nk, l->sight.key_first, l->nk,
                             &l->sight.key_last));
    ATN_TRY(atn_json_get_f64(cx, what, j, "softcap", 0, &l->sight.softcap));
    if (!(l->sight.softcap >= 0) || !isfinite(l->sight.softcap))
        ATN_TRY(layer_error(cx, c, i, "\"softcap\" is negative"));
done:
    return st;
}

static atn_status read_layer(atn_ctx *cx, atn_capture *c, size_t i, const json_t *j)
{
    atn_layer_info *l = &c->layers[i];
    char what[512];
    atn_status st = ATN_OK;
    int64_t index = 0, step = 0;

    snprintf(what, sizeof what, "%.400s/capture.json: layers[%zu]", c->dir, i);
    if (!json_is_object(j)) ATN_TRY(layer_error(cx, c, i, "is no object"));
    ATN_TRY(atn_json_need_i64(cx, what, j, "index", 0, 100000, &index));
    ATN_TRY(atn_json_get_i64(cx, what, j, "step", 0, 0, 1000000, &step));
    ATN_TRY(atn_json_get_str(cx, what, j, "stack", "", &l->stack));
    ATN_TRY(atn_json_get_str(cx, what, j, "file", NULL, &l->file));
    ATN_TRY(atn_json_get_str(cx, what, j, "hash", NULL, &l->hash));
    ATN_TRY(atn_json_need_i64(cx, what, j, "heads", 1, 100000, &l->heads));
    ATN_TRY(
        atn_json_get_i64(cx, what, j, "kv_heads", l->heads, 1, l->heads, &l->kv_heads));
    ATN_TRY(atn_json_need_i64(cx, what, j, "n_q", 1, SIZE_MAX_DIM, &l->nq));
    ATN_TRY(atn_json_need_i64(cx, what, j, "n_k", 1, SIZE_MAX_DIM, &l->nk));
    ATN_TRY(atn_json_get_i64(cx, what, j, "d", 0, 0, 1 << 20, &l->d));
    ATN_TRY(atn_json_get_i64(cx, what, j, "d_v", l->d, 0, 1 << 20, &l->dv));
    ATN_TRY(atn_json_get_f64(cx, what, j, "scale", 1, &l->scale));
    l->layer = (int)index;
    l->step = (int)step;
    if (!l->file || !safe_layer_file(l->file))
        ATN_TRY(layer_error(cx, c, i, "\"file\" is missing or leaves the directory"));
    if (l->heads % l->kv_heads != 0)
        ATN_TRY(layer_error(cx, c, i, "\"heads\" is no multiple of \"kv_heads\""));
    if (!isfinite(l->scale)) ATN_TRY(layer_error(cx, c, i, "\"scale\" is not finite"));
    l->has_qk = has_tensor(j, "q") && has_tensor(j, "k");
    l->has_v = has_tensor(j, "v");
    l->has_p = has_tensor(j, "p");
    l->has_w_o = has_tensor(j, "w_o");
    if (!l->has_qk && !l->has_p)
        ATN_TRY(layer_error(cx, c, i, "\"tensors\" has neither q and k nor p"));
    if (l->has_qk && l->d == 0) ATN_TRY(layer_error(cx, c, i, "\"d\" is missing"));
    ATN_TRY(read_sight(cx, c, what, j, i, l));
done:
    return st;
}

static int by_step_stack_layer(const void *a, const void *b)
{
    const atn_layer_info *x = a, *y = b;
    const int stack = strcmp(x->stack, y->stack);

    if (x->step != y->step) return x->step - y->step;
    return stack ? stack : x->layer - y->layer;
}

static bool layer_on_disk(atn_ctx *cx, const atn_capture *c, const atn_layer_info *l)
{
    char *path = atn_path_join(cx, c->dir, l->file);
    const bool there = path && atn_file_exists(path);

    atn_free(cx, path);
    return there;
}

static atn_status read_layers(atn_ctx *cx, atn_capture *c)
{
    const json_t *list = json_object_get(c->manifest, "layers"), *j;
    atn_status st = ATN_OK;
    size_t i;
    int kept = 0;

    if (!json_is_array(list) || json_array_size(list) == 0 ||
        json_array_size(list) > 1000000)
        ATN_FAIL(ATN_DATA,
                 "%s/capture.json: \"layers\" is no array of 1..1000000 layers",
                 c->dir);
    ATN_NEW(c->layers, json_array_size(list));
    json_array_foreach(list, i, j)
    {
        ATN_TRY(read_layer(cx, c, i, j));
        if (layer_on_disk(cx, c, &c->layers[i]))
            c->layers[kept++] = c->layers[i];
        else if (c->complete)
            ATN_FAIL(ATN_DATA, "%s/%s: the layer file is missing (capture it again)",
                     c->dir, c->layers[i].file);
    }
    c->n_layers = kept;
    qsort(c->layers, (size_t)kept, sizeof *c->layers, by_step_stack_layer);
    for (int l = 1; l < kept; l++)
        if (by_step_stack_layer(&c->layers[l - 1], &c->layers[l]) == 0)
            ATN_FAIL(ATN_DATA, "%s/capture.json: layer %d is listed twice", c->dir,
                     c->layers[l].layer);
done:
    return st;
}

static atn_status read_model(atn_ctx *cx, atn_capture *c)
{
    const json_t *m = json_object_get(c->manifest, "model");
    const char *what = "capture.json: model";
    atn_status st = ATN_OK;

    if (!json_is_object(m)) return ATN_OK;
    ATN_TRY(atn_json_get_str(cx, what, m, "name", NULL, &c->model.name));
    ATN_TRY(atn_json_get_str(cx, what, m, "dir", NULL, &c->model.dir));
    ATN_TRY(atn_json_get_str(cx, what, m, "model_type", NULL, &c->model.model_type));
    ATN_TRY(atn_json_get_i64(cx, what, m, "layers", 0, 0, 100000, &c->model.layers));
    ATN_TRY(
        atn_json_get_i64(cx, what, m, "width", 0, 0, SIZE_MAX_DIM, &c->model.width));
    ATN_TRY(atn_json_get_i64(cx, what, m, "ffn", 0, 0, SIZE_MAX_DIM, &c->model.ffn));
    ATN_TRY(
        atn_json_get_i64(cx, what, m, "vocab", 0, 0, SIZE_MAX_DIM, &c->model.vocab));
    ATN_TRY(atn_json_get_bool(cx, what, m, "gated", false, &c->model.gated));
    ATN_TRY(atn_json_get_bool(cx, what, m, "tied", false, &c->model.tied));
    ATN_TRY(atn_json_get_bool(cx, what, m, "causal", false, &c->model.causal));
done:
    return st;
}

static atn_status read_tokens(atn_ctx *cx, atn_capture *c)
{
    const json_t *tokens = json_object_get(c->manifest, "tokens");
    const json_t *ids = json_object_get(tokens, "ids"),
                 *texts = json_object_get(tokens, "texts");
    const size_t n = ATN_MAX(json_array_size(ids), json_array_size(texts));
    atn_status st = ATN_OK;

    if (!json_is_object(tokens) || n == 0) return ATN_OK;
    if ((json_is_array(ids) && json_array_size(ids) != n) ||
        (json_is_array(texts) && json_array_size(texts) != n))
        ATN_FAIL(ATN_DATA, "%s/capture.json: tokens: ids and texts differ in number",
                 c->dir);
    if (json_is_array(ids)) ATN_NEW(c->ids, n);
    if (json_is_array(texts)) ATN_NEW(c->texts, n);
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_array_get(ids, i), *text = json_array_get(texts, i);

        if (json_is_array(ids) && (!json_is_integer(id) || json_integer_value(id) < 0 ||
                                   json_integer_value(id) > INT32_MAX))
            ATN_FAIL(ATN_DATA, "%s/capture.json: tokens.ids[%zu] is no token id",
                     c->dir, i);
        if (json_is_array(texts) && !json_is_string(text))
            ATN_FAIL(ATN_DATA, "%s/capture.json: tokens.texts[%zu] is no string",
                     c->dir, i);
        if (c->ids) c->ids[i] = (int32_t)json_integer_value(id);
        if (c->texts) c->texts[i] = json_string_value(text);
    }
    c->n_tokens = (atn_idx)n;
done:
    return st;
}

static atn_status read_manifest(atn_ctx *cx, atn_capture *c)
{
    char *path = atn_path_join(cx, c->dir, "capture.json");
    const char *schema = NULL;
    atn_status st = ATN_OK;

    if (!path) return cx->err.code;
    if (!atn_dir_exists(c->dir))
        ATN_FAIL(ATN_NOINPUT,
                 "%s: there is no such directory (make one with `attnscope capture`)",
                 c->dir);
    if (!atn_file_exists(path))
        ATN_FAIL(ATN_NOINPUT, "%s: is no capture, it has no capture.json", c->dir);
    ATN_TRY(atn_json_load(cx, path, false, &c->manifest));
    ATN_TRY(atn_json_get_str(cx, path, c->manifest, "schema", "", &schema));
    if (strcmp(schema, "attnscope/capture/1") != 0)
        ATN_FAIL(ATN_DATA, "%s: schema \"%.60s\" is not attnscope/capture/1", path,
                 schema);
    ATN_TRY(atn_json_get_bool(cx, path, c->manifest, "complete", false, &c->complete));
done:
    atn_free(cx, path);
    return st;
}

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
    ATN_TRY(read_manifest(cx, c));
    ATN_TRY(read_model(cx, c));
    ATN_TRY(read_layers(cx, c));
    ATN_TRY(read_tokens(cx, c));
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

void atn_capture_close(atn_ctx *cx, atn_capture *c)
{
    if (!c) return;
    json_decref(c->manifest);
    atn_free(cx, c->dir);
    atn_free(cx, c->layers);
    atn_free(cx, c->ids);
    atn_free(cx, c->texts);
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
const atn_layer_info *atn_capture_layer(const atn_capture *c, int i)
{
    return &c->layers[i];
}

atn_idx atn_capture_tokens(const atn_capture *c, const int32_t **ids,
                           const char *const **texts)
{
    if (ids) *ids = c->ids;
    if (texts) *texts = c->texts;
    return c->n_tokens;
}

/* ---- layers ---- */

/* What a loaded problem keeps alive. */
typedef struct loaded {
    atn_st *file;
    float *heap[8];
    int n_heap;
} loaded;

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
done:
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

/* NaN and infinities are named by head and row. */
static atn_status check_finite(atn_ctx *cx, const atn_layer_info *l, const char *name,
                               const float *x, atn_idx heads, atn_idx rows,
                               atn_idx cols)
{
    for (atn_idx i = 0; i < heads * rows; i++) {
        float bad = 0;

        for (atn_idx j = 0; j < cols; j++) bad += x[i * cols + j] * 0.0f;
        if (bad == 0) continue;
        return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                        "layer %d: %s of head %lld, row %lld holds NaN or infinity",
                        l->layer, name, (long long)(i / rows), (long long)(i % rows));
    }
    return ATN_OK;
}

/* Loads [heads, rows, cols] (rank 3; cols 0: rank 1) into *out; absent tensors stay NULL. */
static atn_status load_tensor(atn_ctx *cx, loaded *own, const atn_layer_info *l,
                              const char *name, atn_idx heads, atn_idx rows,
                              atn_idx cols, const float **out)
{
    const atn_st_tensor *t = atn_st_find(own->file, name);
    const bool vector = cols == 0;
    atn_status st = ATN_OK;

    *out = NULL;
    if (!t) return ATN_OK;
    if (vector ? t->rank != 1 || t->shape[0] != heads
               : t->rank != 3 || t->shape[0] != heads || t->shape[1] != rows ||
                     t->shape[2] != cols)
        ATN_FAIL(ATN_DATA,
                 "%s: \"%s\" has rank %d and %lld values, the manifest says [%lld, "
                 "%lld, %lld]",
                 t->path, name, t->rank, (long long)t->count, (long long)heads,
                 (long long)rows, (long long)cols);
    ATN_TRY(float_tensor(cx, t, &own->heap[own->n_heap], out));
    own->n_heap++;
    ATN_TRY(
        check_finite(cx, l, name, *out, heads, vector ? 1 : rows, vector ? 1 : cols));
done:
    return st;
}

/* Weights are not negative, and no row sums to more than 1 but for rounding. */
static atn_status check_weights(atn_ctx *cx, const atn_layer_info *l, const float *p)
{
    for (atn_idx i = 0; i < l->heads * l->nq; i++) {
        double sum = 0;
        bool negative = false;

        for (atn_idx j = 0; j < l->nk; j++) {
            sum += (double)p[i * l->nk + j];
            negative |= p[i * l->nk + j] < 0;
        }
        if (negative || sum > 1 + 1e-2)
            return atn_fail(
                cx, ATN_DATA, __FILE__, __LINE__,
                "layer %d: p of head %lld, row %lld %s, so it is no attention",
                l->layer, (long long)(i / l->nq), (long long)(i % l->nq),
                negative ? "is negative somewhere" : "sums to more than 1");
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
    return 4 * floats;
}

atn_status atn_capture_load(atn_ctx *cx, const atn_capture *c, int i, atn_problem *out)
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
    ATN_TRY(open_layer(cx, c, l, &own->file));
    if (l->has_qk) {
        ATN_TRY(load_tensor(cx, own, l, "q", l->heads, l->nq, l->d, &p.q));
        ATN_TRY(load_tensor(cx, own, l, "k", l->kv_heads, l->nk, l->d, &p.k));
    } else {
        ATN_TRY(load_tensor(cx, own, l, "p", l->heads, l->nq, l->nk, &p.p));
        if (p.p) ATN_TRY(check_weights(cx, l, p.p));
    }
    if (l->has_v)
        ATN_TRY(load_tensor(cx, own, l, "v", l->kv_heads, l->nk, l->dv, &p.v));
    ATN_TRY(load_tensor(cx, own, l, "sink", l->heads, 0, 0, &p.sink));
    ATN_TRY(load_tensor(cx, own, l, "alibi", l->heads, 0, 0, &p.alibi_slope));
    if ((l->has_qk && (!p.q || !p.k)) || (!l->has_qk && !p.p) || (l->has_v && !p.v))
        ATN_FAIL(ATN_DATA, "%s/%s: a tensor that the manifest lists is not in the file",
                 c->dir, l->file);
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

void atn_capture_unload(atn_ctx *cx, atn_problem *p)
{
    loaded *own = p->owned;

    if (own) {
        for (int i = 0; i < own->n_heap; i++) atn_free(cx, own->heap[i]);
        atn_st_close(cx, own->file);
        atn_free(cx, own);
    }
    *p = (atn_problem){0};
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
    t = atn_st_find(file, name);
    if (!t) goto done;
    ATN_TRY(atn_mem_check(cx, 4.0 * (double)t->count, name));
    ATN_TRY(float_tensor(cx, t, out, &data));
    if (!*out) {
        ATN_NEW(*out, t->count);
        memcpy(*out, data, (size_t)t->count * sizeof **out);
    }
    ATN_TRY(
        check_finite(cx, &c->layers[i], name, *out, 1, t->count > 0 ? 1 : 0, t->count));
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
