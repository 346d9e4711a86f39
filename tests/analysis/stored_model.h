/* Small captures on disk, for the tests of measures that read several layers. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "check.h"

#include "analysis/measure.h"
#include "core/rng.h"

enum { STORED_LAYERS = 4, STORED_WIDTH = 9 };

/* Fill it in, then store it. Tensors that are NULL are not written; all are borrowed. */
typedef struct stored_layer {
    atn_idx heads, kv_heads, nq, nk, d, dv;
    double scale;
    atn_sight sight;
    const char *stack;
    const float *q, *k, *v, *p, *w_o, *h, *alibi; /* alibi [heads] */
    double softcap;
    atn_idx width; /* of w_o and h */
} stored_layer;

typedef struct stored_model {
    int layers;
    stored_layer layer[STORED_LAYERS];
    const int32_t *ids;
    atn_idx n_ids;
    char path[600];
    atn_capture *capture;
    atn_selection selection;
} stored_model;

static inline void stored_tensor(const char *name, const float *x, int rank, atn_idx a,
                                 atn_idx b, atn_idx c, json_t *names, atn_st_out *t,
                                 atn_idx *n)
{
    if (!x) return;
    json_array_append_new(names, json_string(name));
    t[(*n)++] = (atn_st_out){name, ATN_F32, rank, {a, b, c}, x};
}

static inline atn_idx stored_tensors(const stored_layer *l, json_t *names,
                                     atn_st_out t[7])
{
    atn_idx n = 0;

    stored_tensor("q", l->q, 3, l->heads, l->nq, l->d, names, t, &n);
    stored_tensor("k", l->k, 3, l->kv_heads, l->nk, l->d, names, t, &n);
    stored_tensor("v", l->v, 3, l->kv_heads, l->nk, l->dv, names, t, &n);
    stored_tensor("p", l->p, 3, l->heads, l->nq, l->nk, names, t, &n);
    stored_tensor("w_o", l->w_o, 2, l->heads * l->dv, l->width, 0, names, t, &n);
    stored_tensor("h", l->h, 2, l->nq, l->width, 0, names, t, &n);
    stored_tensor("alibi", l->alibi, 1, l->heads, 0, 0, names, t, &n);
    return n;
}

static inline json_t *stored_describe(const stored_model *m, int i)
{
    const stored_layer *l = &m->layer[i];
    json_t *names = json_array(), *j = json_object();
    atn_st_out t[7];

    stored_tensors(l, names, t);
    json_object_set_new(j, "index", json_integer(i));
    json_object_set_new(j, "mask", json_string(l->sight.causal ? "causal" : "full"));
    json_object_set_new(j, "scale", json_real(l->scale > 0 ? l->scale : 1));
    json_object_set_new(j, "tensors", names);
    json_object_set_new(j, "heads", json_integer(l->heads));
    json_object_set_new(j, "kv_heads", json_integer(l->kv_heads));
    json_object_set_new(j, "n_q", json_integer(l->nq));
    json_object_set_new(j, "n_k", json_integer(l->nk));
    if (l->q) json_object_set_new(j, "d", json_integer(l->d));
    if (l->v) json_object_set_new(j, "d_v", json_integer(l->dv));
    json_object_set_new(j, "offset", json_integer(l->sight.offset));
    if (l->sight.window > 0)
        json_object_set_new(j, "window", json_integer(l->sight.window));
    if (l->sight.key_last > 0) {
        json_object_set_new(j, "key_first", json_integer(l->sight.key_first));
        json_object_set_new(j, "key_last", json_integer(l->sight.key_last));
    }
    if (l->softcap > 0) json_object_set_new(j, "softcap", json_real(l->softcap));
    if (l->stack) json_object_set_new(j, "stack", json_string(l->stack));
    json_object_set_new(j, "file",
                        json_sprintf("%s%slayer-%03d.safetensors",
                                     l->stack ? l->stack : "", l->stack ? "/" : "", i));
    return j;
}

static inline json_t *stored_tokens(const stored_model *m)
{
    json_t *ids = json_array();

    for (atn_idx i = 0; i < m->n_ids; i++)
        json_array_append_new(ids, json_integer(m->ids[i]));
    return json_pack("{s:o}", "ids", ids);
}

/* Writes, opens and selects all. */
static inline void store_model(atn_ctx *cx, stored_model *m, const char *name)
{
    json_t *layers = json_array();
    atn_capture_writer *out = NULL;
    json_t *manifest;

    for (int i = 0; i < m->layers; i++)
        json_array_append_new(layers, stored_describe(m, i));
    manifest = json_pack("{s:s, s:{s:s, s:i}, s:o}", "schema", "attnscope/capture/1",
                         "model", "name", "stored", "vocab", 1000, "layers", layers);
    if (m->ids) json_object_set_new(manifest, "tokens", stored_tokens(m));
    snprintf(m->path, sizeof m->path, "%s/run", check_scratch(name));
    CHECK_OK(atn_capture_begin(cx, m->path, manifest, "00", false, &out));
    for (int i = 0; i < m->layers; i++) {
        json_t *names = json_array();
        atn_st_out t[7];
        const atn_idx n = stored_tensors(&m->layer[i], names, t);

        CHECK_OK(atn_capture_put(cx, out, i, t, n));
        json_decref(names);
    }
    CHECK_OK(atn_capture_finish(cx, out, NULL));
    json_decref(manifest);
    CHECK_OK(atn_capture_open(cx, m->path, &m->capture));
    CHECK_OK(atn_select(cx, m->capture, &(atn_select_args){0}, &m->selection));
}

static inline void drop_stored(atn_ctx *cx, stored_model *m)
{
    atn_selection_release(cx, &m->selection);
    atn_capture_close(cx, m->capture);
}

/* Runs a model measure into out [selected heads, columns], NaN before. */
static inline atn_status stored_measure(atn_ctx *cx, const stored_model *m,
                                        const char *id, atn_idx skip_rows,
                                        const char *params_text, double *out)
{
    const atn_measure *measure = atn_measure_find(id);
    const atn_model_facts facts = {m->capture, &m->selection, skip_rows};
    atn_status st = ATN_OK;
    void *params = NULL;

    for (atn_idx i = 0; i < m->selection.n_heads * atn_measure_n_cols(measure); i++)
        out[i] = NAN;
    if (measure->params) {
        params = calloc(1, measure->params_size);
        atn_param_defaults(measure->params, params);
        CHECK_OK(atn_param_parse(cx, id, measure->params, params_text, params));
    }
    st = measure->model(cx, &facts, params, out);
    free(params);
    return st;
}

/* Column `name` of the row-th selected head. */
static inline double stored_value(const char *id, const double *out, atn_idx row,
                                  const char *name)
{
    const atn_measure *m = atn_measure_find(id);
    const int n = atn_measure_n_cols(m);

    for (int c = 0; c < n; c++)
        if (strcmp(m->cols[c].name, name) == 0) return out[row * n + c];
    fail_msg("no column %s", name);
    return 0;
}

static inline float *stored_noise(atn_idx n, int stream, double scale)
{
    atn_rng r = atn_rng_stream(11, "test/stored", stream, 0);
    float *x = malloc((size_t)n * sizeof *x);

    for (atn_idx i = 0; i < n; i++) x[i] = (float)(scale * atn_rng_normal(&r));
    return x;
}
