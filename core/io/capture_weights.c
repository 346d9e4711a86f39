/* core/io/capture_weights.c -- weights of the captured model, by the places that the
 * manifest gives: no family is known here.
 *
 * Limits  a tensor is read whole once for its hash.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/io/capture_internal.h"

#include <string.h>

#include "core/io/file.h"
#include "core/io/json.h"

enum { CHUNK = 512 };
static const int64_t MOST = (int64_t)1 << 31;

/* A weight as the manifest names it. */
typedef struct place {
    const char *file, *tensor, *hash;
    bool turned;
    int64_t first, step;
} place;

static atn_status read_place(atn_ctx *cx, const char *what, const char *name,
                             const json_t *j, place *out)
{
    const char *layout = NULL;
    char key[600];
    atn_status st = ATN_OK;

    snprintf(key, sizeof key, "%.480s: weights.%.40s", what, name);
    *out = (place){0};
    if (!json_is_object(j)) ATN_FAIL(ATN_DATA, "%s is no object", key);
    ATN_TRY(atn_json_get_str(cx, key, j, "file", "", &out->file));
    ATN_TRY(atn_json_get_str(cx, key, j, "tensor", "", &out->tensor));
    ATN_TRY(atn_json_get_str(cx, key, j, "hash", "", &out->hash));
    ATN_TRY(atn_json_get_str(cx, key, j, "layout", "out_in", &layout));
    ATN_TRY(atn_json_get_i64(cx, key, j, "first", 0, 0, MOST, &out->first));
    ATN_TRY(atn_json_get_i64(cx, key, j, "step", 0, 0, MOST, &out->step));
    if (!atn_capture_safe_name(out->file))
        ATN_FAIL(ATN_DATA, "%s: \"file\" is missing or leaves the directory", key);
    if (!*out->tensor) ATN_FAIL(ATN_DATA, "%s: \"tensor\" is missing", key);
    if (!atn_capture_is_hash(out->hash))
        ATN_FAIL(ATN_DATA, "%s: \"hash\" is not 32 hexadecimal digits", key);
    out->turned = strcmp(layout, "in_out") == 0;
    if (!out->turned && strcmp(layout, "out_in") != 0)
        ATN_FAIL(ATN_DATA, "%s: \"layout\" is neither out_in nor in_out", key);
done:
    return st;
}

atn_status atn_capture_check_weights(atn_ctx *cx, const char *what, const json_t *obj)
{
    json_t *all = json_object_get(obj, "weights"), *v;
    atn_status st = ATN_OK;
    const char *name;
    place p;

    if (!all || json_is_null(all)) return ATN_OK;
    if (!json_is_object(all)) ATN_FAIL(ATN_DATA, "%s: \"weights\" is no object", what);
    json_object_foreach(all, name, v) ATN_TRY(read_place(cx, what, name, v, &p));
done:
    return st;
}

/* Opens the file within the model directory. */
static atn_status open_file(atn_ctx *cx, const atn_capture *c, const place *p,
                            atn_st **out)
{
    const char *dir = c->model.dir;
    atn_status st = ATN_OK;
    char *path = NULL;

    if (!dir)
        ATN_FAIL(ATN_DATA, "%s/capture.json: names no model directory, but weights",
                 c->dir);
    if (!atn_dir_exists(dir))
        ATN_FAIL(ATN_NOINPUT,
                 "%s: the capture was made from the model directory %s, which is not "
                 "there%s (bring it back, or capture again from where it is)",
                 c->dir, dir, *dir == '/' ? "" : ", seen from here");
    path = atn_path_join(cx, dir, p->file);
    if (!path) ATN_TRY(cx->err.code);
    if (!atn_file_exists(path))
        ATN_FAIL(ATN_NOINPUT,
                 "%s: the weights in it that %s was captured from are gone (bring them "
                 "back, or capture again)",
                 path, c->dir);
    ATN_TRY(atn_st_open(cx, path, out));
done:
    atn_free(cx, path);
    return st;
}

static atn_status check_tensor(atn_ctx *cx, const atn_capture *c, const place *p,
                               const atn_st *file, const atn_st_tensor **out)
{
    const atn_st_tensor *t = atn_st_find(file, p->tensor);
    atn_status st = ATN_OK;
    char hex[33];

    if (!t)
        ATN_FAIL(ATN_DATA,
                 "%s: has no tensor \"%.100s\" any more: the model was changed after "
                 "%s was captured from it (capture it again)",
                 atn_st_at(file, 0)->path, p->tensor, c->dir);
    atn_hash_bytes(t->data, t->bytes, hex);
    if (strcmp(hex, p->hash) != 0)
        ATN_FAIL(ATN_DATA,
                 "%s: tensor \"%.100s\" is no longer the one that %s was captured from "
                 "(its XXH3-128 is %s, the manifest says %s): capture it again",
                 t->path, t->name, c->dir, hex, p->hash);
    if (t->rank != 2 || !t->loadable || t->type == ATN_I32 || t->type == ATN_I64 ||
        t->type == ATN_U8)
        ATN_FAIL(ATN_DATA, "%s: tensor \"%.100s\" is no matrix of floats", t->path,
                 t->name);
    *out = t;
done:
    return st;
}

/* Heads and rows by name: of a layer's w_q, w_k, w_v, else all outputs as one head. */
static void name_sizes(const atn_layer_info *l, const char *name, atn_idx outputs,
                       atn_weight *w)
{
    w->heads = 1;
    w->rows = outputs - w->first;
    if (!l) return;
    w->heads = strcmp(name, "w_q") == 0 ? l->heads : l->kv_heads;
    w->rows = strcmp(name, "w_v") == 0 ? l->dv : l->d;
}

atn_status atn_capture_weight_open(atn_ctx *cx, const atn_capture *c, int i,
                                   const char *name, atn_weight *out)
{
    const atn_layer_info *l = i >= 0 ? &c->layers[i] : NULL;
    const json_t *all = l ? l->weights : json_object_get(c->manifest, "weights"),
                 *named = json_object_get(all, name);
    atn_status st = ATN_OK;
    atn_weight w = {0};
    atn_idx outputs;
    place p;

    *out = w;
    if (!named) return ATN_OK;
    ATN_TRY(read_place(cx, c->dir, name, named, &p));
    ATN_TRY(open_file(cx, c, &p, &w.file));
    ATN_TRY(check_tensor(cx, c, &p, w.file, &w.tensor));
    w.first = p.first;
    w.turned = p.turned;
    w.cols = w.tensor->shape[p.turned ? 0 : 1];
    outputs = w.tensor->shape[p.turned ? 1 : 0];
    name_sizes(l, name, outputs, &w);
    w.step = p.step > 0 ? p.step : w.rows;
    if (w.rows < 1 || w.first + (w.heads - 1) * w.step + w.rows > outputs)
        ATN_FAIL(ATN_DATA,
                 "%s: tensor \"%.100s\" has %lld outputs, but %s of layer %d has %lld "
                 "heads of %lld, %lld apart from %lld on",
                 w.tensor->path, p.tensor, (long long)outputs, name, l ? l->layer : -1,
                 (long long)w.heads, (long long)w.rows, (long long)w.step,
                 (long long)w.first);
    *out = w;
    w.file = NULL;
done:
    atn_weight_close(cx, &w);
    return st;
}

void atn_weight_close(atn_ctx *cx, atn_weight *w)
{
    atn_st_close(cx, w->file);
    *w = (atn_weight){0};
}

void atn_weight_rows(const atn_weight *w, atn_idx h, atn_idx first, atn_idx n,
                     float *out)
{
    const size_t size = atn_dtype_size(w->tensor->type);
    const atn_idx from = w->first + h * w->step + first, ld = w->tensor->shape[1];
    const char *data = w->tensor->data;
    float part[CHUNK];

    if (!w->turned) {
        atn_widen(data + (size_t)(from * ld) * size, w->tensor->type, n * ld, out);
        return;
    }
    for (atn_idx c = 0; c < w->cols; c++)
        for (atn_idx r = 0; r < n; r += CHUNK) {
            const atn_idx some = ATN_MIN((atn_idx)CHUNK, n - r);

            atn_widen(data + (size_t)(c * ld + from + r) * size, w->tensor->type, some,
                      part);
            for (atn_idx e = 0; e < some; e++) out[(r + e) * w->cols + c] = part[e];
        }
}

atn_status atn_capture_weight(atn_ctx *cx, const atn_capture *c, int i,
                              const char *name, float **out, atn_idx shape[3])
{
    atn_status st = ATN_OK;
    atn_weight w = {0};
    float *data = NULL;

    *out = NULL;
    shape[0] = shape[1] = shape[2] = 0;
    ATN_TRY(atn_capture_weight_open(cx, c, i, name, &w));
    if (!w.file) goto done;
    ATN_TRY(atn_mem_check(cx, 4.0 * (double)w.heads * (double)w.rows * (double)w.cols,
                          name));
    ATN_NEW(data, w.heads * w.rows * w.cols);
    for (atn_idx h = 0; h < w.heads; h++)
        atn_weight_rows(&w, h, 0, w.rows, data + h * w.rows * w.cols);
    shape[0] = w.heads;
    shape[1] = w.rows;
    shape[2] = w.cols;
    *out = data;
done:
    atn_weight_close(cx, &w);
    return st;
}
