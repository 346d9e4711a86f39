/* core/io/capture.h -- capture directories: Q, K, V of a model run, one file a layer.
 *
 * capture.json is the manifest (schema attnscope/capture/1);
 * [step-NNN/][stack/]layer-NNN. safetensors hold q [H, nq, d], k [H_kv, nk, d], v
 * [H_kv, nk, dv] as they enter the dot product, or only p [H, nq, nk]; w_o [H dv, D];
 * on request q_pre, k_pre, p, h. Every key is described in
 * docs/guide/capture-format.md.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <jansson.h>

#include "core/io/safetensors.h"
#include "core/param.h"
#include "core/problem.h"
#include "core/rel_bias.h"

/* One captured layer as the manifest describes it. */
typedef struct atn_layer_info {
    int layer;         /* index in the model */
    const char *stack; /* "" for a single stack, else encoder, decoder, cross */
    int step;
    bool steps; /* the capture has several */
    atn_idx heads, kv_heads, d, dv, nq, nk;
    double scale;
    atn_sight sight;
    bool has_qk, has_v, has_p, has_w_o;
    atn_rel_rule rel;      /* of its bias by relative position */
    char tensors[64];      /* the names of all it has, "q k v w_o" */
    const char *file;      /* relative to the capture */
    const char *hash;      /* XXH3-128 of the layer file, NULL when unknown */
    const json_t *weights; /* of the model, see atn_capture_weight; NULL when unknown */
    atn_idx rotary;        /* as of atn_model_info: the layer's own, or the model's */
    const double *turn;
} atn_layer_info;

/* Model facts of the manifest; 0, NULL or false where unknown (imported tensors). */
typedef struct atn_model_info {
    const char *name, *dir, *model_type;
    atn_idx layers, width, ffn, vocab; /* D, MLP width, vocabulary */
    bool gated, tied, causal;
    /* Rotary embedding of the layers that have none of their own: numbers e and
     * e + rotary of a query or key of position t turn by t turn[e]; 0 = the model has
     * none, -1 = unknown. */
    atn_idx rotary;
    const double *turn; /* [rotary] radians a position */
} atn_model_info;

typedef struct atn_capture atn_capture;

/* "layer 3", "cross layer 3, step 7": the layer as messages name it. */
typedef struct atn_layer_label {
    char text[128];
} atn_layer_label;
atn_layer_label atn_layer_name(const atn_layer_info *l);

/* Opens and checks the manifest (DATA: a key, its value, the rule; or a checksum that
 * says it was edited by hand). An incomplete capture opens with a warning in the log.
 * Layer files are checked against their hash when loaded. */
atn_status atn_capture_open(atn_ctx *cx, const char *dir,
                            atn_capture **out) ATN_WARN_UNUSED;
void atn_capture_close(atn_ctx *cx, atn_capture *c);
const char *atn_capture_dir(const atn_capture *c);
bool atn_capture_complete(const atn_capture *c);
const json_t *atn_capture_manifest(const atn_capture *c);
const atn_model_info *atn_capture_model(const atn_capture *c);
/* Layers present on disk, in order of step, stack, layer. */
int atn_capture_layers(const atn_capture *c);
const atn_layer_info *atn_capture_layer(const atn_capture *c, int i);
/* The manifest says that the layer has the tensor; others of its file are not read. */
bool atn_layer_has(const atn_layer_info *l, const char *name);
/* Token ids [n] and texts (NULL when unknown); n = 0 when the capture has no tokens. */
atn_idx atn_capture_tokens(const atn_capture *c, const int32_t **ids,
                           const char *const **texts);
/* Tokens of the queries and of the keys of layer i, its own where the stacks of the
 * capture have tokens each: those of cross-attention are queries of the decoder and
 * keys of the encoder. n = 0 where not known. */
typedef struct atn_tokens {
    atn_idx n;
    const int32_t *ids;       /* NULL = unknown */
    const char *const *texts; /* NULL = unknown */
} atn_tokens;
void atn_capture_layer_tokens(const atn_capture *c, int i, atn_tokens *queries,
                              atn_tokens *keys);

/* Facts that some methods need, each optional. All are about the keys, the most that a
 * layer has where steps grow. */
/* 1 to 3 axes of a grid of tokens, row-major, from key grid_first on: those before it
 * are special tokens, those after it text. NULL when there is none. */
const atn_list *atn_capture_grid(const atn_capture *c);
atn_idx atn_capture_grid_first(const atn_capture *c);
/* Are the tokens places of an image or of latents, with a grid, and no text? */
bool atn_capture_is_image(const atn_capture *c);
const uint8_t *
atn_capture_roles(const atn_capture *c);          /* of atn_role; NULL = unknown */
atn_idx atn_capture_prompt(const atn_capture *c); /* tokens of it, 0 = unknown */

/* Loads layer i (index into atn_capture_layers) as float32; checks shapes against the
 * manifest, the hash, and that no value is NaN or infinite (DATA: layer, tensor, head,
 * row). */
atn_status atn_capture_load(atn_ctx *cx, const atn_capture *c, int i,
                            atn_problem *out) ATN_WARN_UNUSED;
/* The same, but a head whose values hold NaN or infinity (or, of p, are no attention)
 * is named in the log and marked in bad [heads], which the caller clears before; never
 * read it. */
atn_status atn_capture_load_heads(atn_ctx *cx, const atn_capture *c, int i,
                                  atn_problem *out, bool *bad) ATN_WARN_UNUSED;
void atn_capture_unload(atn_ctx *cx, atn_problem *p);
/* One more tensor of layer i ("w_o", "h", "q_pre", ...) as float32 in heap memory with
 * its shape; *out NULL when the manifest lists no such tensor of the layer. */
atn_status atn_capture_tensor(atn_ctx *cx, const atn_capture *c, int i,
                              const char *name, float **out, int *rank,
                              atn_idx shape[ATN_ST_MAX_RANK]) ATN_WARN_UNUSED;

/* A weight of the captured model in the directory that the manifest names: head h maps
 * cols numbers to rows numbers, y = W_h x. */
typedef struct atn_weight {
    atn_idx heads, rows, cols;
    /* private */
    atn_st *file;
    const atn_st_tensor *tensor;
    atn_idx first, step; /* head h has the outputs first + h step .. + rows */
    bool turned;         /* stored [cols, outputs] */
} atn_weight;

/* Opens "w_q", "w_k" or "w_v" of layer i, or, with i = -1, "embed" or "unembed" (one
 * head of vocabulary x D). out->file is NULL when the manifest does not name it, as of
 * an import. NOINPUT when the model directory or the file is gone; DATA when the tensor
 * is gone or is no longer what was captured. */
atn_status atn_capture_weight_open(atn_ctx *cx, const atn_capture *c, int i,
                                   const char *name, atn_weight *out) ATN_WARN_UNUSED;
void atn_weight_close(atn_ctx *cx, atn_weight *w); /* a zeroed one is fine */
/* Rows [first, first + n) of head h as float32, out (n, cols). */
void atn_weight_rows(const atn_weight *w, atn_idx h, atn_idx first, atn_idx n,
                     float *out);
/* All of it in heap memory [heads, rows, cols]; *out NULL when the manifest does not
 * name it. */
atn_status atn_capture_weight(atn_ctx *cx, const atn_capture *c, int i,
                              const char *name, float **out,
                              atn_idx shape[3]) ATN_WARN_UNUSED;

/* A manifest that is not written yet, as atn_capture_open checks it (all but files);
 * `where` stands for the capture in messages. Borrows it. */
atn_status atn_capture_check(atn_ctx *cx, const char *where,
                             json_t *manifest) ATN_WARN_UNUSED;

/* XXH3-128 of the manifest as compact text with sorted keys, but for its "checksum". */
atn_status atn_capture_checksum(atn_ctx *cx, const json_t *manifest,
                                char hex[33]) ATN_WARN_UNUSED;
/* Rows of attention [rows, cols] are not negative and sum to no more than 1 but for
 * rounding: the first that breaks this, with its sum, or -1. */
atn_idx atn_capture_bad_row(const float *p, atn_idx rows, atn_idx cols, double *sum);

/* Writer. `manifest` holds everything but complete, fingerprint, hashes and checksum
 * (see the guide); its "layers" array lists every layer to come. begin makes the
 * directory. CANTCREATE when it exists and is not an incomplete capture of the same
 * fingerprint; with force another capture, never another directory, is replaced: it
 * stays as it is until finish puts the new one, written beside it, in its place. Layers
 * of an earlier run whose file is what was written are done already. */
typedef struct atn_capture_writer atn_capture_writer;
atn_status atn_capture_begin(atn_ctx *cx, const char *dir, const json_t *manifest,
                             const char *fingerprint, bool force,
                             atn_capture_writer **out) ATN_WARN_UNUSED;
/* Where layers are written: the capture, or beside the one that it will replace.
 * Borrowed. */
const char *atn_capture_work(const atn_capture_writer *w);
bool atn_capture_has_layer(const atn_capture_writer *w,
                           int i); /* done by an earlier run */
/* Writes the layer, then the manifest with its hash. */
atn_status atn_capture_put(atn_ctx *cx, atn_capture_writer *w, int i,
                           const atn_st_out *tensors, atn_idx n) ATN_WARN_UNUSED;
/* "weights" of layer i, written with it and kept when the capture is resumed; steals
 * it. */
atn_status atn_capture_set_weights(atn_ctx *cx, atn_capture_writer *w, int i,
                                   json_t *weights) ATN_WARN_UNUSED;
/* Adds a key to the final manifest ("loss", ...); steals value. */
atn_status atn_capture_set(atn_ctx *cx, atn_capture_writer *w, const char *key,
                           json_t *value) ATN_WARN_UNUSED;
/* Writes the final manifest: complete, run record (may be NULL). Frees the writer, also
 * on failure; every layer must have been put or found. */
atn_status atn_capture_finish(atn_ctx *cx, atn_capture_writer *w,
                              const json_t *run) ATN_WARN_UNUSED;
/* Frees. Layers stay for resuming; where there is none, what begin made goes again. */
void atn_capture_abandon(atn_ctx *cx, atn_capture_writer *w);
