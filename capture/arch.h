/* capture/arch.h -- model families as data: tensor names and feature switches.
 *
 * A family is one file in capture/arch/ and one line in archs.def. The forward pass
 * reads the switches; no code asks which family it runs.
 *
 * Source  Hugging Face transformers v5, modeling_*.py and configuration_*.py of each
 *         family.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/backend.h"

/* Where the normalisation of a sublayer f stands. */
typedef enum atn_norm_place {
    ATN_NORM_PRE,    /* x + f(norm(x)) */
    ATN_NORM_POST,   /* norm(x + f(x)) */
    ATN_NORM_OUTPUT, /* x + norm(f(x)) */
    ATN_NORM_BOTH,   /* x + norm'(f(norm(x))), norm' of attn_out_norm, mlp_out_norm */
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
    ATN_WINDOW_ALL,     /* sliding_window, if set, holds for every layer */
    ATN_WINDOW_SOME,    /* use_sliding_window and layer_types or max_window_layers */
    ATN_WINDOW_PATTERN, /* layer_types, else all but every window_pattern-th layer */
} atn_window_rule;

/* How one tensor holds the outputs of q, k and v. */
typedef enum atn_fused {
    ATN_FUSED_NONE,   /* three tensors */
    ATN_FUSED_BLOCKS, /* [Q; K; V] */
    ATN_FUSED_HEADS,  /* head after head, [q; k; v] of each */
} atn_fused;

/* Which row of the position table a token takes. */
typedef enum atn_position_rule {
    ATN_POSITION_PLAIN, /* its position */
    /* its position + position_skip; max_positions does not count the rows skipped */
    ATN_POSITION_SKIP,
    /* pad + its rank from 1 among the tokens that are no padding, which takes row pad;
     * max_positions counts all rows */
    ATN_POSITION_PAD,
} atn_position_rule;

/* Where embeddings of a width of their own become as wide as the model. */
typedef enum atn_embed_map {
    ATN_MAP_NONE,
    ATN_MAP_WORDS, /* the tokens', before positions are added; without bias, and there
                      only if the widths differ */
    ATN_MAP_ALL,   /* behind the sum and its norm, with bias */
} atn_embed_map;

typedef enum atn_input_kind {
    ATN_INPUT_TOKENS,
    ATN_INPUT_IMAGE,
    ATN_INPUT_LATENTS, /* and timesteps, classes */
} atn_input_kind;

/* A switch of config.json and what its absence means; key NULL = the family has
 * none. */
typedef struct atn_arch_switch {
    const char *key;
    bool absent;
} atn_arch_switch;

/* Keys of config.json that the family spells in its own way; NULL = the usual one,
 * which is also read where the file lacks the family's own; "" = there is no such
 * key. */
typedef struct atn_arch_keys {
    const char *width;       /* hidden_size */
    const char *layers;      /* num_hidden_layers */
    const char *heads;       /* num_attention_heads */
    const char *ffn;         /* intermediate_size */
    const char *positions;   /* max_position_embeddings */
    const char *head_dim;    /* head_dim */
    const char *act;         /* hidden_act */
    const char *attn_bias;   /* attention_bias */
    const char *mlp_bias;    /* mlp_bias */
    const char *theta;       /* rope_theta */
    const char *partial;     /* partial_rotary_factor; NULL = whole heads are turned */
    const char *embed_width; /* NULL = embeddings are as wide as the model */
    const char *image;       /* image_size: a side, or both, of image or latents */
    const char *channels;    /* num_channels */
    const char *classes;     /* num_classes */
    const char *pattern; /* of window_pattern; NULL = the family has no key for it */
} atn_arch_keys;

/* Templates without the base prefix; %d is the layer, two of them the group and the
 * layer within it. NULL = the family has none. A bias is the same name with .bias
 * for .weight. */
typedef struct atn_arch_names {
    const char *embed, *position, *type, *embed_norm, *final_norm, *head;
    const char *embed_map, *head_map; /* embedding to model width, and back */
    const char *attn_norm, *q, *k, *v, *o, *q_norm, *k_norm;
    const char *mlp_norm, *gate, *up, *down;
    /* patches of an image or latents in place of `embed`; tokens in front of them, and
     * what reads the classes of an image off these */
    const char *patch, *special[2], *labels[2];
    /* of timestep and class: two linears, a table, and what a layer is modulated by;
     * with %d where every layer has its own */
    const char *time_in, *time_out, *classes, *modulation;
    const char *qkv;     /* instead of q, k, v */
    const char *gate_up; /* instead of gate, up: rows [gate; up] */
    const char
        *up_alone; /* instead of up where the config says that nothing is gated */
    const char *rel_bias;   /* [buckets, heads] of all self-attention of the stack */
    const char *buffers[2]; /* of old files: no weights */
    const char *attn_out_norm, *mlp_out_norm; /* of ATN_NORM_BOTH */
    const char *sinks;                        /* [heads] */
    /* attention of a decoder to the rows of the encoder, in front of the MLP */
    const char *cross_norm, *cross_q, *cross_k, *cross_v, *cross_o;
    /* a mixture of experts in place of gate, up and down: router [E, width]; gate_up
     * [E, width, 2 ffn], gate and up in turns; down [E, ffn, width] */
    const char *router, *expert_gate_up, *expert_gate_up_bias, *expert_down,
        *expert_down_bias;
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
    const atn_arch_names *also;    /* other spellings of them; NULL = none */
    const atn_arch_names *decoder; /* of a second, causal stack; NULL = there is one */
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
    unsigned bias_absent; /* of bias_keys: on without the key */
    atn_fused fused;      /* names.qkv */
    bool in_out;          /* a matrix has a row an input (Conv1D) */
    bool pairs;           /* rows of q and k stand in adjacent rotary pairs (GGUF) */
    bool plain_heads;     /* as many keys as queries, each width / heads wide */
    bool alibi;           /* logits + slope * key position */
    atn_position_rule position_rule;
    atn_idx position_skip, pad; /* pad: default of pad_token_id */
    atn_embed_map embed_map;
    atn_arch_switch parallel;        /* x + attention + MLP, both of x */
    atn_arch_switch norm_before;     /* false: norm(x + f(x)), and no final norm */
    atn_arch_switch no_final_norm;   /* though norms stand before */
    atn_arch_switch residual_normed; /* norm(x) + f(norm(x)) */
    atn_arch_switch scaled;          /* false: q.k is not scaled */
    atn_arch_switch scaled_by_layer; /* the scale is divided by layer + 1 */
    atn_arch_switch only[2];         /* another value than `absent` is refused */
    const char *groups, *inner;      /* keys of shared layers: groups, layers in one */
    bool longrope_only;              /* yarn is longrope, other scalings are refused */
    atn_window_rule window;
    /* defaults of absent keys; 0 = derived from the others */
    atn_idx kv_heads, head_dim, max_positions, sliding_window, max_window_layers,
        type_vocab, embed_width;
    bool width_of_heads; /* the width is that of all heads, there is no key for it */
    atn_idx image_size, patch_size, channels, classes;
    atn_arch_image image;
    bool sine_positions; /* of rows and columns, in no file */
    double time_span;    /* feature i of a timestep turns by 10000^(-i / time_span) */
    const char
        *mlp_eps_key; /* of the norm before the MLP; NULL = mlp_eps, 0 = as eps */
    double mlp_eps;
    const char *must_key, *must_value;  /* a key that has this value, if it is there */
    double partial, original_positions; /* of the rotary embedding */
    atn_idx ffn_times; /* MLP width without a key for it, in widths; 0 = it is needed */
    const char *eps_key;
    double eps;
    const char *act;
    bool tied;
    const char
        *part; /* key of the sub-object of config.json that is read; NULL = all */
    float norm_offset;   /* added to the weights of all norms */
    bool scaled_embed;   /* embeddings times sqrt(width) */
    double query_scalar; /* default of query_pre_attn_scalar, whose -1/2 power is the
                            scale; 0 = head_dim, without a key */
    /* attn_logit_softcapping and final_logit_softcapping with their defaults, 0 =
     * none */
    bool softcaps;
    double attn_softcap, head_softcap;
    atn_idx window_pattern;
    double theta;       /* of the rotary embedding; 0 = 10000 */
    double local_theta; /* of the sliding layers' own table, by rope_local_base_freq or
                           rope_parameters by layer type; 0 = one table */
    const char *rope_default;  /* JSON of rope_parameters where there are none */
    atn_idx experts_per_token; /* default of num_experts_per_tok */
    bool act_says_gated;       /* "gated-gelu" (then of tanh) or "relu" */
    bool tied_without_head;    /* as if tied where the files have no head */
    /* the logits are divided by sqrt(width): by this key, without it where
     * tie_word_embeddings is not false */
    const char *head_scaled_key;
    /* defaults of relative_attention_num_buckets, relative_attention_max_distance; 0 =
     * there is no bias by relative position */
    atn_idx rel_buckets, rel_distance;
} atn_arch;

extern const atn_arch *const atn_archs[];              /* NULL-terminated, by id */
const atn_arch *atn_arch_find(const char *model_type); /* NULL = unknown */

/* The names of Llama, which Mistral, Qwen and OLMo took over; OLMo's norms stand
 * elsewhere. */
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

/* The names of BERT, which RoBERTa took over. */
#define ATN_BERT_NAMES                                                                 \
    .embed = "embeddings.word_embeddings.weight",                                      \
    .position = "embeddings.position_embeddings.weight",                               \
    .type = "embeddings.token_type_embeddings.weight",                                 \
    .embed_norm = "embeddings.LayerNorm.weight",                                       \
    .attn_norm = "encoder.layer.%d.attention.output.LayerNorm.weight",                 \
    .q = "encoder.layer.%d.attention.self.query.weight",                               \
    .k = "encoder.layer.%d.attention.self.key.weight",                                 \
    .v = "encoder.layer.%d.attention.self.value.weight",                               \
    .o = "encoder.layer.%d.attention.output.dense.weight",                             \
    .mlp_norm = "encoder.layer.%d.output.LayerNorm.weight",                            \
    .up = "encoder.layer.%d.intermediate.dense.weight",                                \
    .down = "encoder.layer.%d.output.dense.weight"
/* Gemma's: Llama's with norms before and behind each sublayer. */
#define ATN_GEMMA_NAMES                                                                \
    ATN_LLAMA_LINEAR_NAMES,                                                            \
        .attn_norm = "layers.%d.input_layernorm.weight",                               \
        .attn_out_norm = "layers.%d.post_attention_layernorm.weight",                  \
        .mlp_norm = "layers.%d.pre_feedforward_layernorm.weight",                      \
        .mlp_out_norm = "layers.%d.post_feedforward_layernorm.weight"

/* The names of T5, which mT5 took over: of a stack, whose MLP is the sublayer `mlp`. */
#define ATN_T5_LAYER(stack, sub, name) stack ".block.%d.layer." sub "." name ".weight"
#define ATN_T5_NAMES(stack, mlp)                                                       \
    .embed = "shared.weight", .final_norm = stack ".final_layer_norm.weight",          \
    .head = "lm_head.weight",                                                          \
    .rel_bias = stack ".block.0.layer.0.SelfAttention.relative_attention_bias.weight", \
    .attn_norm = ATN_T5_LAYER(stack, "0", "layer_norm"),                               \
    .q = ATN_T5_LAYER(stack, "0", "SelfAttention.q"),                                  \
    .k = ATN_T5_LAYER(stack, "0", "SelfAttention.k"),                                  \
    .v = ATN_T5_LAYER(stack, "0", "SelfAttention.v"),                                  \
    .o = ATN_T5_LAYER(stack, "0", "SelfAttention.o"),                                  \
    .mlp_norm = ATN_T5_LAYER(stack, mlp, "layer_norm"),                                \
    .gate = ATN_T5_LAYER(stack, mlp, "DenseReluDense.wi_0"),                           \
    .up = ATN_T5_LAYER(stack, mlp, "DenseReluDense.wi_1"),                             \
    .up_alone = ATN_T5_LAYER(stack, mlp, "DenseReluDense.wi"),                         \
    .down = ATN_T5_LAYER(stack, mlp, "DenseReluDense.wo")
#define ATN_T5_CROSS_NAMES                                                             \
    .cross_norm = ATN_T5_LAYER("decoder", "1", "layer_norm"),                          \
    .cross_q = ATN_T5_LAYER("decoder", "1", "EncDecAttention.q"),                      \
    .cross_k = ATN_T5_LAYER("decoder", "1", "EncDecAttention.k"),                      \
    .cross_v = ATN_T5_LAYER("decoder", "1", "EncDecAttention.v"),                      \
    .cross_o = ATN_T5_LAYER("decoder", "1", "EncDecAttention.o")
#define ATN_T5_KEYS                                                                    \
    .width = "d_model", .layers = "num_layers", .heads = "num_heads", .ffn = "d_ff",   \
    .head_dim = "d_kv", .act = "feed_forward_proj"
