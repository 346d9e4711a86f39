/* capture/arch/gpt2.c -- GPT-2: learned positions, Conv1D weights, q, k, v in one
 * tensor.
 *
 * Source  transformers v5, modeling_gpt2.py, configuration_gpt2.py.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/arch.h"

extern const atn_arch atn_arch_gpt2;

const atn_arch atn_arch_gpt2 = {
    .id = "gpt2",
    .title = "GPT-2",
    .prefixes = {"transformer."},
    .names = {.embed = "wte.weight",
              .position = "wpe.weight",
              .final_norm = "ln_f.weight",
              .head = "lm_head.weight",
              .attn_norm = "h.%d.ln_1.weight",
              .qkv = "h.%d.attn.c_attn.weight",
              .o = "h.%d.attn.c_proj.weight",
              .mlp_norm = "h.%d.ln_2.weight",
              .up = "h.%d.mlp.c_fc.weight",
              .down = "h.%d.mlp.c_proj.weight",
              .buffers = {"h.%d.attn.bias", "h.%d.attn.masked_bias"}},
    .keys = {.width = "n_embd",
             .layers = "n_layer",
             .heads = "n_head",
             .ffn = "n_inner",
             .positions = "n_positions",
             .act = "activation_function"},
    .causal = true,
    .norm = ATN_NORM_LAYER,
    .place = ATN_NORM_PRE,
    .bias = ATN_BIAS_ALL,
    .fused = ATN_FUSED_BLOCKS,
    .in_out = true,
    .plain_heads = true,
    .scaled = {"scale_attn_weights", true},
    .scaled_by_layer = {"scale_attn_by_inverse_layer_idx", false},
    .max_positions = 1024,
    .ffn_times = 4,
    .eps_key = "layer_norm_epsilon",
    .eps = 1e-5,
    .act = "gelu_new",
    .tied = true,
};
