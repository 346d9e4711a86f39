/* capture/arch/bloom.c -- BLOOM: ALiBi, and a norm of the embeddings.
 *
 * Source  transformers v5, modeling_bloom.py, configuration_bloom.py.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/arch.h"

extern const atn_arch atn_arch_bloom;

const atn_arch atn_arch_bloom = {
    .id = "bloom",
    .title = "BLOOM",
    .prefixes = {"transformer."},
    .names = {.embed = "word_embeddings.weight",
              .embed_norm = "word_embeddings_layernorm.weight",
              .final_norm = "ln_f.weight",
              .head = "lm_head.weight",
              .attn_norm = "h.%d.input_layernorm.weight",
              .qkv = "h.%d.self_attention.query_key_value.weight",
              .o = "h.%d.self_attention.dense.weight",
              .mlp_norm = "h.%d.post_attention_layernorm.weight",
              .up = "h.%d.mlp.dense_h_to_4h.weight",
              .down = "h.%d.mlp.dense_4h_to_h.weight"},
    .keys = {.width = "n_embed",
             .layers = "n_layer",
             .heads = "n_head",
             .ffn = "",
             .positions = "seq_length",
             .act = ""},
    .causal = true,
    .norm = ATN_NORM_LAYER,
    .place = ATN_NORM_PRE,
    .bias = ATN_BIAS_ALL,
    .fused = ATN_FUSED_HEADS,
    .plain_heads = true,
    .alibi = true,
    .residual_normed = {"apply_residual_connection_post_layernorm", false},
    .only = {{"slow_but_exact", false}},
    .max_positions = 2048,
    .ffn_times = 4,
    .eps_key = "layer_norm_epsilon",
    .eps = 1e-5,
    .act = "gelu_new",
    .tied = true,
};
