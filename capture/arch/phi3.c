/* capture/arch/phi3.c -- Phi-3: Llama with fused projections, and longrope.
 *
 * Source  transformers v5, modeling_phi3.py, configuration_phi3.py.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/arch.h"

extern const atn_arch atn_arch_phi3;

const atn_arch atn_arch_phi3 = {
    .id = "phi3",
    .title = "Phi-3",
    .prefixes = {"model."},
    .names = {.embed = "embed_tokens.weight",
              .final_norm = "norm.weight",
              .head = "lm_head.weight",
              .attn_norm = "layers.%d.input_layernorm.weight",
              .qkv = "layers.%d.self_attn.qkv_proj.weight",
              .o = "layers.%d.self_attn.o_proj.weight",
              .mlp_norm = "layers.%d.post_attention_layernorm.weight",
              .gate_up = "layers.%d.mlp.gate_up_proj.weight",
              .down = "layers.%d.mlp.down_proj.weight"},
    .keys = {.partial = "partial_rotary_factor"},
    .causal = true,
    .norm = ATN_NORM_RMS,
    .place = ATN_NORM_PRE,
    .rope = true,
    .fused = ATN_FUSED_BLOCKS,
    .longrope_only = true,
    .window = ATN_WINDOW_ALL,
    .max_positions = 4096,
    .original_positions = 4096,
    .eps_key = "rms_norm_eps",
    .eps = 1e-5,
    .act = "silu",
};
