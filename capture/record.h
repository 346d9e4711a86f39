/* capture/record.h -- runs a model on a text and writes a capture directory. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/run.h"

typedef struct atn_record_args {
    const char *model_dir;
    const char *text; /* UTF-8, NULL when ids are given */
    size_t text_len;
    const int32_t *ids; /* NULL when text is given */
    atn_idx n_ids;
    const char *image; /* a file, of models that read images */
    /* of diffusion transformers, see capture/vision.h */
    const char *latents, *timesteps, *classes;
    const char *source; /* where text or ids come from, for messages; may be NULL */
    /* likewise, what a decoder beside an encoder predicts; neither = the encoder alone
     * runs */
    const char *target_text;
    size_t target_text_len;
    const int32_t *target_ids;
    atn_idx n_target_ids;
    const char *target_source;
    atn_idx prompt; /* tokens of the prompt, the rest was generated; 0 = not said */
    const char *out_dir;
    const char *layers; /* list syntax, NULL = all */
    const char *dtype;  /* of the stored tensors: f32 (NULL), f16, bf16 */
    bool save_p, save_h, save_q_pre, save_k_pre, no_w_o;
    bool truncate;   /* a text longer than the model's positions is cut */
    bool allow_long; /* or run as it is (rotary models only) */
    bool force, dry_run;
} atn_record_args;

typedef struct atn_record_result {
    char model_name[128];
    const char *model_type;
    atn_idx tokens, target_tokens, layers,
        layers_found; /* found = done by an earlier, interrupted run */
    char stacks[96]; /* "6 encoder, 6 decoder, 6 cross"; "" = the model has one stack */
    const char *note; /* why a stack did not run, NULL = nothing to explain */
    bool has_loss;
    double loss;    /* nats a token */
    atn_idx steps;  /* of a diffusion transformer, else 1 */
    bool has_label; /* the likeliest class of an image, and what it is called */
    atn_idx label;
    double label_probability;
    char label_text[96];
    const char *no_loss; /* why a language model has none, NULL = nothing to explain */
    double parameters, flops, memory_bytes, weight_bytes, capture_bytes, seconds;
} atn_record_result;

/* Resumes an incomplete capture of the same model, tokens and options. DATA for an
 * empty or malformed text or an id outside the vocabulary (index and value named);
 * USAGE for a text longer than the model's positions unless truncate or allow_long.
 * With dry_run nothing is written and the result holds the counts. */
atn_status atn_record(atn_ctx *cx, const atn_record_args *args, atn_run *run,
                      atn_record_result *out) ATN_WARN_UNUSED;
