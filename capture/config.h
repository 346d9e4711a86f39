/* capture/config.h -- config.json of a model directory, checked, with the family's
 * defaults.
 *
 * Source  Hugging Face configuration classes; readings in docs/guide/add-a-family.md.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <jansson.h>

#include "capture/arch.h"
#include "core/rel_bias.h"

typedef enum atn_rope_kind {
    ATN_ROPE_DEFAULT,
    ATN_ROPE_LINEAR,
    ATN_ROPE_DYNAMIC,
    ATN_ROPE_LLAMA3,
    ATN_ROPE_YARN,
    ATN_ROPE_LONGROPE,
    ATN_ROPE_PROPORTIONAL,
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
    atn_idx turned;              /* proportional: pairs that turn, of dim / 2 */
    const json_t *short_factor, *long_factor; /* longrope, borrowed from the config */
} atn_rope;

/* A run of layers with tensors of its own: the only one of a model, or the encoder's
 * and the decoder's. */
typedef struct atn_stack {
    const char *name; /* "encoder", "decoder"; "" = the only one */
    atn_arch_names names;
    atn_idx layers;
    bool causal;
    atn_rel_rule rel; /* of the bias that all its self-attention adds */
} atn_stack;

enum { ATN_STACKS_MOST = 2 };

typedef struct atn_config {
    json_t *json; /* owned; of a family with a part, that */
    const atn_arch *arch;
    atn_arch *own; /* what arch points to where it is no registered family; owned */
    atn_stack stacks[ATN_STACKS_MOST]; /* in the order in which they run */
    int n_stacks;
    atn_idx width, layers /* of the first stack */, heads, kv_heads, head_dim, ffn,
        vocab, max_positions, type_vocab;
    atn_idx max_tokens;    /* max_positions without rows of padding */
    atn_idx pad;           /* token that ATN_POSITION_PAD takes as padding */
    atn_idx embed_width;   /* width, unless embeddings are mapped to it */
    atn_idx groups, inner; /* shared layers, see atn_config_block; else 0 */
    atn_idx decoder_start; /* id that a decoder beside an encoder reads first */
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
    bool head_scaled; /* the logits are divided by sqrt(width) */
    atn_idx *window;  /* [layers], 0 = none; owned */
    atn_rope rope;
    bool two_ropes; /* layers with a window have the second */
    atn_rope local_rope;
    double attn_softcap, head_softcap; /* 0 = none */
    /* mixture of experts; 0 = none */
    atn_idx experts, experts_per_token;
    double expert_limit, expert_gain; /* clamp and sigmoid gain of its activation */
} atn_config;

enum { ATN_TIME_FEATURES = 256 }; /* of a timestep */

/* Reads DIR/config.json. DATA names key, value and rule; an unknown model_type lists
 * the supported ones. */
atn_status atn_config_load(atn_ctx *cx, const char *dir,
                           atn_config *out) ATN_WARN_UNUSED;
/* The same of a JSON object, which is stolen, also on failure; `path` names it in
 * messages. */
atn_status atn_config_read(atn_ctx *cx, const char *path, json_t *json,
                           atn_config *out) ATN_WARN_UNUSED;
void atn_config_release(atn_ctx *cx, atn_config *c);

/* Layer l of a model with shared layers is the `inner`-th of its group; elsewhere group
 * = l. The number of its set of weights, which is l where none are shared. */
atn_idx atn_config_block(const atn_config *c, atn_idx l, atn_idx *group,
                         atn_idx *inner);
/* What one attention of a layer of the stack has, and the MLP behind it, if it is the
 * last of the layer: of its self-attention, or of cross-attention under the names of
 * that. */
atn_arch_names atn_stack_names(const atn_stack *s, bool cross);
/* Whether there is a map between the widths of embeddings and model. */
bool atn_config_maps(const atn_config *c);

/* Angles f_i, i < dim / 2, of the rotary embedding for inputs of n positions. */
void atn_rope_frequencies(const atn_rope *r, double max_positions, atn_idx n,
                          double *f);
/* Of a layer. */
const atn_rope *atn_config_rope(const atn_config *c, atn_idx layer);
/* cos and sin tables [n, dim / 2], rounded once from double, times the attention
 * factor. */
atn_status atn_rope_tables(atn_ctx *cx, const atn_rope *r, double max_positions,
                           atn_idx n, float *cosine, float *sine) ATN_WARN_UNUSED;
