/* tests/analysis/kind_capture.h -- layers of layer_kinds.h as a capture on disk. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "layer_kinds.h"

#include "core/io/capture.h"
#include "core/io/file.h"
#include "core/io/json.h"

enum { WITH_W_O = 1, WITH_D_O = 2, WITH_PRE = 4, WITHOUT_V = 8, WITH_H = 16 };

typedef struct kind_tensors {
    atn_st_out list[11];
    json_t *names;
    int n;
} kind_tensors;

static inline void add_tensor(kind_tensors *t, const char *name, const float *x,
                              atn_idx a, atn_idx b, atn_idx c)
{
    const int rank = c > 0 ? 3 : b > 0 ? 2 : 1;

    if (!x) return;
    t->list[t->n++] = (atn_st_out){name, ATN_F32, rank, {a, b, c}, x};
    json_array_append_new(t->names, json_string(name));
}

static inline kind_tensors kind_tensors_of(const kind_layer *l, unsigned with)
{
    const atn_problem *p = &l->p;
    kind_tensors t = {.names = json_array()};

    add_tensor(&t, "q", p->q, p->heads, p->nq, p->d);
    add_tensor(&t, "k", p->k, p->kv_heads, p->nk, p->d);
    add_tensor(&t, "p", p->p, p->heads, p->nq, p->nk);
    if (!(with & WITHOUT_V)) add_tensor(&t, "v", p->v, p->kv_heads, p->nk, p->dv);
    add_tensor(&t, "sink", p->sink, p->heads, 0, 0);
    add_tensor(&t, "alibi", p->alibi_slope, p->heads, 0, 0);
    if (p->rel_bias)
        add_tensor(&t, "rel_bias", l->table, (atn_idx)4 * KIND_N, KIND_HEADS, 0);
    if (with & WITH_W_O) add_tensor(&t, "w_o", l->w_o, p->heads * p->dv, KIND_WIDTH, 0);
    if (with & WITH_D_O) add_tensor(&t, "d_o", l->d_o, p->heads, p->nq, p->dv);
    if (with & WITH_PRE) {
        add_tensor(&t, "q_pre", l->q_pre, p->heads, p->nq, p->d);
        add_tensor(&t, "k_pre", l->k_pre, p->kv_heads, p->nk, p->d);
    }
    if (with & WITH_H) add_tensor(&t, "h", l->h, p->nk, KIND_WIDTH, 0);
    return t;
}

/* ---- the model that the capture was made of ---- */

/* A weight of the model directory as the manifest names it. */
static inline json_t *kind_place(const char *tensor, const void *data, size_t size)
{
    char hex[33];

    atn_hash_bytes(data, size, hex);
    return json_pack("{s:s, s:s, s:s}", "file", "model.safetensors", "tensor", tensor,
                     "hash", hex);
}

/* Writes w_q, w_k, w_v of n layers, and embed and unembed (vocab, KIND_WIDTH) where they are
 * not NULL, into dir; weights[i] and *tokens receive what the manifest says of them. */
static inline void kind_model(atn_ctx *cx, const char *dir, kind_layer *const *l, int n,
                              const float *embed, const float *unembed, atn_idx vocab,
                              json_t **weights, json_t **tokens)
{
    static char names[8][3][16];
    atn_st_out list[26];
    char path[700];
    int used = 0;

    for (int i = 0; i < n; i++) {
        const atn_problem *p = &l[i]->p;
        const struct {
            const char *key;
            const float *data;
            atn_idx rows;
        } all[3] = {{"w_q", l[i]->w_q, p->heads * KIND_D},
                    {"w_k", l[i]->w_k, p->kv_heads * KIND_D},
                    {"w_v", l[i]->w_v, p->kv_heads * KIND_DV}};

        weights[i] = json_object();
        for (int k = 0; k < 3; k++) {
            snprintf(names[i][k], sizeof names[i][k], "%s%d", all[k].key, i);
            list[used++] = (atn_st_out){
                names[i][k], ATN_F32, 2, {all[k].rows, KIND_WIDTH}, all[k].data};
            json_object_set_new(weights[i], all[k].key,
                                kind_place(names[i][k], all[k].data,
                                           (size_t)all[k].rows * KIND_WIDTH * 4));
        }
    }
    *tokens = json_object();
    for (int k = 0; k < 2; k++) {
        const float *data = k ? unembed : embed;
        const char *key = k ? "unembed" : "embed";

        if (!data) continue;
        list[used++] = (atn_st_out){key, ATN_F32, 2, {vocab, KIND_WIDTH}, data};
        json_object_set_new(*tokens, key,
                            kind_place(key, data, (size_t)vocab * KIND_WIDTH * 4));
    }
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    CHECK_OK(atn_st_save(cx, path, list, used, NULL, true, NULL));
}

/* ---- the capture ---- */

/* Takes over t->names. */
static inline json_t *kind_json(const kind_layer *l, int at, const kind_tensors *t)
{
    const atn_problem *p = &l->p;
    const atn_sight *s = &p->sight;
    json_t *j = json_pack(
        "{s:i, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:s, s:I, s:I, s:I, s:o}",
        "index", at, "file", json_sprintf("layer-%03d.safetensors", at), "heads",
        (json_int_t)p->heads, "kv_heads", (json_int_t)p->kv_heads, "d",
        (json_int_t)p->d, "d_v", (json_int_t)p->dv, "n_q", (json_int_t)p->nq, "n_k",
        (json_int_t)p->nk, "scale", p->scale, "mask", s->causal ? "causal" : "full",
        "offset", (json_int_t)s->offset, "key_first", (json_int_t)s->key_first,
        "key_last", (json_int_t)s->key_last, "tensors", t->names);

    CHECK(j != NULL);
    if (p->rel_bias) {
        json_object_set_new(j, "rel_buckets", json_integer(4 * KIND_N));
        json_object_set_new(j, "rel_max_distance", json_integer(2 * KIND_N));
    }
    if (s->window > 0) json_object_set_new(j, "window", json_integer(s->window));
    if (s->softcap > 0) json_object_set_new(j, "softcap", json_real(s->softcap));
    return j;
}

/* A capture of n layers 0 .. n - 1. `model` is what the manifest says of the model, and
 * weights[i] of the weights of layer i; both may be NULL, and are taken over. */
static inline atn_capture *kind_capture(atn_ctx *cx, const char *name,
                                        kind_layer *const *l, int n, unsigned with,
                                        json_t *model, json_t *const *weights,
                                        json_t *tokens)
{
    char dir[700];
    json_t *layers = json_array(), *m;
    atn_capture_writer *w = NULL;
    atn_capture *c = NULL;

    snprintf(dir, sizeof dir, "%s/run", check_scratch(name));
    if (!model) model = json_object();
    json_object_set_new(model, "layers", json_integer(n));
    for (int i = 0; i < n; i++) {
        const kind_tensors t = kind_tensors_of(l[i], with);
        json_array_append_new(layers, kind_json(l[i], i, &t));
    }
    m = json_pack("{s:o, s:o}", "model", model, "layers", layers);
    CHECK_OK(atn_capture_begin(cx, dir, m, "f", true, &w));
    for (int i = 0; i < n; i++) {
        const kind_tensors t = kind_tensors_of(l[i], with);

        if (weights && weights[i])
            CHECK_OK(atn_capture_set_weights(cx, w, i, weights[i]));
        CHECK_OK(atn_capture_put(cx, w, i, t.list, t.n));
        json_decref(t.names);
    }
    if (tokens) CHECK_OK(atn_capture_set(cx, w, "weights", tokens));
    CHECK_OK(atn_capture_finish(cx, w, NULL));
    CHECK_OK(atn_capture_open(cx, dir, &c));
    json_decref(m);
    return c;
}

/* Runs a model measure over a selection of heads ("0.1,1.3", NULL = all); the caller frees. */
static inline double *run_model_measure(atn_ctx *cx, const atn_measure *m,
                                        const atn_capture *c, const char *heads,
                                        atn_idx skip, const char *spec)
{
    const atn_select_args args = {.heads = heads};
    atn_model_facts f = {c, NULL, skip};
    atn_selection s;
    double *out;
    void *params = calloc(1, m->params_size + 1);
    atn_idx n;

    CHECK_OK(atn_select(cx, c, &args, &s));
    f.selection = &s;
    n = s.n_heads * atn_measure_n_cols(m);
    out = malloc((size_t)n * sizeof *out);
    for (atn_idx i = 0; i < n; i++) out[i] = NAN;
    if (m->params) {
        atn_param_defaults(m->params, params);
        CHECK_OK(atn_param_parse(cx, m->id, m->params, spec, params));
    }
    CHECK_OK(m->model(cx, &f, params, out));
    atn_selection_release(cx, &s);
    free(params);
    return out;
}
