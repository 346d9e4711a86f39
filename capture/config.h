/* capture/config.h -- config.json of a model directory, checked, with the family's defaults.
 *
 * Source  Hugging Face configuration classes; readings in docs/guide/add-a-family.md.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <jansson.h>

#include "capture/arch.h"

typedef enum atn_rope_kind {
    ATN_ROPE_DEFAULT,
    ATN_ROPE_LINEAR,
    ATN_ROPE_DYNAMIC,
    ATN_ROPE_LLAMA3,
    ATN_ROPE_YARN,
    ATN_ROPE_LONGROPE,
} atn_rope_kind;
const char *atn_rope_name(atn_rope_kind kind); /* as config.json spells it */

typedef struct atn_rope {
    atn_rope_kind kind;
    atn_idx dim; /* rotated dimensions, even */
    double theta, factor;
    double original;             /* M0: positions before scaling */
    double low, high;            /* llama3 */
    double beta_fast, beta_slow; /* yarn */
    bool truncate;               /* yarn */
    double attention_factor;     /* on cos and sin; 1 but for yarn, longrope */
    const json_t *short_factor, *long_factor; /* longrope, borrowed from the config */
} atn_rope;

typedef struct atn_config {
    json_t *json; /* owned */
    const atn_arch *arch;
    atn_idx width, layers, heads, kv_heads, head_dim, ffn, vocab, max_positions,
        type_vocab;
    atn_idx max_tokens;    /* max_positions without rows of padding */
    atn_idx pad;           /* token that ATN_POSITION_PAD takes as padding */
    atn_idx embed_width;   /* width, unless embeddings are mapped to it */
    atn_idx groups, inner; /* shared layers, see atn_config_block; else 0 */
    atn_norm_place place;
    bool final_norm, parallel, residual_normed;
    double scale; /* of q.k; scale_by_layer: divided by layer + 1 */
    bool scale_by_layer;
    double eps, mlp_eps;
    atn_idx image_h, image_w, patch, channels,
        classes;      /* of images and latents, else 0 */
    atn_idx specials; /* tokens before the patches */
    atn_act act;
    bool bias_qkv, bias_o, bias_mlp, tied, gated;
    atn_idx *window; /* [layers], 0 = none; owned */
    atn_rope rope;
} atn_config;

enum { ATN_TIME_FEATURES = 256 }; /* of a timestep */

/* Reads DIR/config.json. DATA names key, value and rule; an unknown model_type lists the
 * supported ones. */
atn_status atn_config_load(atn_ctx *cx, const char *dir,
                           atn_config *out) ATN_WARN_UNUSED;
void atn_config_release(atn_ctx *cx, atn_config *c);

/* Layer l of a model with shared layers is the `inner`-th of its group; elsewhere group = l.
 * The number of its set of weights, which is l where none are shared. */
atn_idx atn_config_block(const atn_config *c, atn_idx l, atn_idx *group,
                         atn_idx *inner);
/* Whether there is a map between the widths of embeddings and model. */
bool atn_config_maps(const atn_config *c);

/* Angles f_i, i < dim / 2, of the rotary embedding for inputs of n positions. */
void atn_rope_frequencies(const atn_rope *r, double max_positions, atn_idx n,
                          double *f);
/* cos and sin tables [n, dim / 2], rounded once from double, times the attention factor. */
atn_status atn_rope_tables(atn_ctx *cx, const atn_config *c, atn_idx n, float *cosine,
                           float *sine) ATN_WARN_UNUSED;
