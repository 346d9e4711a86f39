/* Captures on disk that hold given rows of attention, P. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "check.h"

#include "analysis/select.h"

typedef struct p_layer {
    int index;
    const char *stack; /* "" */
    bool causal;
    atn_idx heads, nq, nk;
    const float *p; /* [heads, nq, nk] */
} p_layer;

static inline json_t *p_layer_json(const p_layer *l)
{
    return json_pack(
        "{s:i, s:s, s:s, s:[s], s:I, s:I, s:I, s:I, s:I, s:i, s:i, s:f, s:o}", "index",
        l->index, "stack", l->stack, "mask", l->causal ? "causal" : "full", "tensors",
        "p", "heads", (json_int_t)l->heads, "kv_heads", (json_int_t)l->heads, "n_q",
        (json_int_t)l->nq, "n_k", (json_int_t)l->nk, "offset",
        (json_int_t)(l->causal ? l->nk - l->nq : 0), "d", 1, "d_v", 1, "scale", 1.0,
        "file",
        json_sprintf("%s%slayer-%03d.safetensors", l->stack, *l->stack ? "/" : "",
                     l->index));
}

/* tokens [nk of the layers], NULL = unknown. Open; close it with atn_capture_close. */
static inline atn_capture *p_capture(atn_ctx *cx, const char *name,
                                     const p_layer *layers, int n,
                                     const int32_t *tokens)
{
    json_t *list = json_array(), *ids = json_array(), *manifest;
    atn_capture_writer *w = NULL;
    atn_capture *c = NULL;
    char path[600];

    for (int i = 0; i < n; i++) json_array_append_new(list, p_layer_json(&layers[i]));
    for (atn_idx j = 0; tokens && j < layers[0].nk; j++)
        json_array_append_new(ids, json_integer(tokens[j]));
    manifest = json_pack("{s:s, s:{s:s}, s:o}", "schema", "attnscope/capture/1",
                         "model", "name", "given", "layers", list);
    if (tokens) json_object_set_new(manifest, "tokens", json_pack("{s:O}", "ids", ids));
    json_decref(ids);
    snprintf(path, sizeof path, "%s/run", check_scratch(name));
    CHECK_OK(atn_capture_begin(cx, path, manifest, "00", false, &w));
    for (int i = 0; i < n; i++) {
        const atn_st_out t = {"p",
                              ATN_F32,
                              3,
                              {layers[i].heads, layers[i].nq, layers[i].nk},
                              layers[i].p};
        CHECK_OK(atn_capture_put(cx, w, i, &t, 1));
    }
    CHECK_OK(atn_capture_finish(cx, w, NULL));
    json_decref(manifest);
    CHECK_OK(atn_capture_open(cx, path, &c));
    return c;
}
