/* capture/arch.h -- model families as data: tensor names and feature switches.
 *
 * A family is one file in capture/arch/ and one line in archs.def. The forward pass reads the
 * switches; no code asks which family it runs.
 *
 * Source  Hugging Face transformers v5, modeling_*.py and configuration_*.py of each family.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/backend.h"

/* Where the normalisation of a sublayer f stands. */
typedef enum atn_norm_place {
    ATN_NORM_PRE,    /* x + f(norm(x)) */
    ATN_NORM_POST,   /* norm(x + f(x)) */
    ATN_NORM_OUTPUT, /* x + norm(f(x)) */
} atn_norm_place;

typedef enum atn_qk_norm {
    ATN_QK_NONE,
    ATN_QK_HEAD, /* RMS norm of every head vector, weight [head_dim] */
    ATN_QK_FULL, /* RMS norm of the whole projection, weight [heads * head_dim] */
} atn_qk_norm;

/* Which projections have a bias; sets of these. */
enum {
    ATN_BIAS_QKV = 1,
    ATN_BIAS_O = 2,
    ATN_BIAS_MLP = 4, /* gate, up, down */
    ATN_BIAS_ALL = 7,
};

typedef enum atn_window_rule {
    ATN_WINDOW_NONE,
    ATN_WINDOW_ALL,  /* sliding_window, if set, holds for every layer */
    ATN_WINDOW_SOME, /* use_sliding_window and layer_types or max_window_layers */
} atn_window_rule;

typedef enum atn_input_kind {
    ATN_INPUT_TOKENS,
    ATN_INPUT_IMAGE,
    ATN_INPUT_LATENTS, /* and timesteps, classes */
} atn_input_kind;

/* Keys of config.json that the family spells in its own way; NULL = the usual one. */
typedef struct atn_arch_keys {
    const char *width;     /* hidden_size */
    const char *layers;    /* num_hidden_layers */
    const char *heads;     /* num_attention_heads */
    const char *ffn;       /* intermediate_size */
    const char *positions; /* max_position_embeddings */
    const char *head_dim;  /* head_dim */
    const char *act;       /* hidden_act */
    const char *bias_qkv;  /* asks for the biases of q, k, v; absent: true */
    const char *image; /* image_size: side, or [height, width], of image or latents */
    const char *channels; /* num_channels */
    const char *classes;  /* num_classes */
} atn_arch_keys;

/* Templates without the base prefix; %d is the layer. NULL = the family has none. A bias is the
 * same name with .bias for .weight. */
typedef struct atn_arch_names {
    const char *embed, *position, *type, *embed_norm, *final_norm, *head;
    const char *attn_norm, *q, *k, *v, *o, *q_norm, *k_norm;
    const char *mlp_norm, *gate, *up, *down;
    /* patches of an image or latents in place of `embed`; tokens in front of them, and what
     * reads the classes of an image off these */
    const char *patch, *special[2], *labels[2];
    /* of timestep and class: two linears, a table, and what a layer is modulated by; with %d
     * where every layer has its own */
    const char *time_in, *time_out, *classes, *modulation;
} atn_arch_names;

/* Preprocessing of an image where the model directory does not say it. */
typedef struct atn_arch_image {
    int resample; /* as PIL numbers them: 2 bilinear, 3 bicubic */
    double
        resize; /* sides are resized to so many model sizes, then the centre is cut out */
} atn_arch_image;

typedef struct atn_arch {
    const char *id;             /* model_type */
    const char *class_names[3]; /* _class_name of a config.json without model_type */
    const char *title;
    const char *prefixes[3]; /* base prefixes that files may carry */
    atn_arch_names names;
    const atn_arch_names *also; /* other spellings of them; NULL = none */
    atn_arch_keys keys;
    atn_input_kind input;
    bool causal;
    atn_norm norm;
    atn_norm_place place;
    atn_qk_norm qk_norm;
    bool rope;
    unsigned bias; /* always */
    unsigned
        bias_keys; /* on request: QKV and O by attention_bias, MLP by mlp_bias; a key
                           that is not listed is ignored */
    atn_window_rule window;
    /* defaults of absent keys; 0 = derived from the others */
    atn_idx kv_heads, head_dim, max_positions, sliding_window, max_window_layers,
        type_vocab;
    bool width_of_heads; /* the width is that of all heads, there is no key for it */
    atn_idx image_size, patch_size, channels, classes;
    atn_arch_image image;
    bool sine_positions; /* of rows and columns, in no file */
    double time_span;    /* feature i of a timestep turns by 10000^(-i / time_span) */
    const char
        *mlp_eps_key; /* of the norm before the MLP; NULL = mlp_eps, 0 = as eps */
    double mlp_eps;
    const char *must_key, *must_value; /* a key that has this value, if it is there */
    atn_idx ffn_times; /* MLP width without a key for it, in widths; 0 = it is needed */
    const char *eps_key;
    double eps;
    const char *act;
    bool tied;
} atn_arch;

extern const atn_arch *const atn_archs[];              /* NULL-terminated, by id */
const atn_arch *atn_arch_find(const char *model_type); /* NULL = unknown */

/* The names of Llama, which Mistral, Qwen and OLMo took over; OLMo's norms stand elsewhere. */
#define ATN_LLAMA_NAMES                                                                \
    ATN_LLAMA_LINEAR_NAMES, .attn_norm = "layers.%d.input_layernorm.weight",           \
                            .mlp_norm = "layers.%d.post_attention_layernorm.weight"
#define ATN_LLAMA_LINEAR_NAMES                                                         \
    .embed = "embed_tokens.weight", .final_norm = "norm.weight",                       \
    .head = "lm_head.weight", .q = "layers.%d.self_attn.q_proj.weight",                \
    .k = "layers.%d.self_attn.k_proj.weight",                                          \
    .v = "layers.%d.self_attn.v_proj.weight",                                          \
    .o = "layers.%d.self_attn.o_proj.weight",                                          \
    .gate = "layers.%d.mlp.gate_proj.weight", .up = "layers.%d.mlp.up_proj.weight",    \
    .down = "layers.%d.mlp.down_proj.weight"
