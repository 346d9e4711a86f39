/* capture/arch/gpt_neox.c -- GPT-NeoX, Pythia: parallel residual, partial rotary
 * embedding.
 *
 * Source  transformers v5, modeling_gpt_neox.py, configuration_gpt_neox.py.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/arch.h"

extern const atn_arch atn_arch_gpt_neox;

const atn_arch atn_arch_gpt_neox = {
    .id = "gpt_neox",
    .title = "GPT-NeoX, Pythia",
    .prefixes = {"gpt_neox."},
    .names = {.embed = "embed_in.weight",
              .final_norm = "final_layer_norm.weight",
              .head = "embed_out.weight",
              .attn_norm = "layers.%d.input_layernorm.weight",
              .qkv = "layers.%d.attention.query_key_value.weight",
              .o = "layers.%d.attention.dense.weight",
              .mlp_norm = "layers.%d.post_attention_layernorm.weight",
              .up = "layers.%d.mlp.dense_h_to_4h.weight",
              .down = "layers.%d.mlp.dense_4h_to_h.weight",
              .buffers = {"layers.%d.attention.bias",
                          "layers.%d.attention.masked_bias"}},
    .keys = {.theta = "rotary_emb_base", .partial = "rotary_pct"},
    .causal = true,
    .norm = ATN_NORM_LAYER,
    .place = ATN_NORM_PRE,
    .rope = true,
    .bias = ATN_BIAS_MLP,
    .bias_keys = ATN_BIAS_QKV | ATN_BIAS_O,
    .bias_absent = ATN_BIAS_QKV | ATN_BIAS_O,
    .fused = ATN_FUSED_HEADS,
    .plain_heads = true,
    .parallel = {"use_parallel_residual", true},
    .max_positions = 2048,
    .partial = 0.25,
    .eps_key = "layer_norm_eps",
    .eps = 1e-5,
    .act = "gelu",
};
