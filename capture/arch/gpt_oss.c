/* capture/arch/gpt_oss.c -- gpt-oss: attention sinks, a mixture of experts, every
 * other layer with a window. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/arch.h"

extern const atn_arch atn_arch_gpt_oss;

const atn_arch atn_arch_gpt_oss = {
    .id = "gpt_oss",
    .title = "gpt-oss",
    .prefixes = {"model."},
    .names = {.embed = "embed_tokens.weight",
              .final_norm = "norm.weight",
              .head = "lm_head.weight",
              .attn_norm = "layers.%d.input_layernorm.weight",
              .q = "layers.%d.self_attn.q_proj.weight",
              .k = "layers.%d.self_attn.k_proj.weight",
              .v = "layers.%d.self_attn.v_proj.weight",
              .o = "layers.%d.self_attn.o_proj.weight",
              .sinks = "layers.%d.self_attn.sinks",
              .mlp_norm = "layers.%d.post_attention_layernorm.weight",
              .router = "layers.%d.mlp.router.weight",
              .expert_gate_up = "layers.%d.mlp.experts.gate_up_proj",
              .expert_gate_up_bias = "layers.%d.mlp.experts.gate_up_proj_bias",
              .expert_down = "layers.%d.mlp.experts.down_proj",
              .expert_down_bias = "layers.%d.mlp.experts.down_proj_bias"},
    .causal = true,
    .norm = ATN_NORM_RMS,
    .place = ATN_NORM_PRE,
    .rope = true,
    .theta = 150000,
    .rope_default = "{\"rope_type\": \"yarn\", \"factor\": 32.0, \"beta_fast\": 32.0, "
                    "\"beta_slow\": 1.0, \"truncate\": false, "
                    "\"original_max_position_embeddings\": 4096}",
    .bias_keys = ATN_BIAS_QKV | ATN_BIAS_O,
    .bias_absent = ATN_BIAS_QKV | ATN_BIAS_O,
    .window = ATN_WINDOW_PATTERN,
    .window_pattern = 2,
    .kv_heads = 8,
    .head_dim = 64,
    .max_positions = 131072,
    .sliding_window = 128,
    .experts_per_token = 4,
    .eps_key = "rms_norm_eps",
    .eps = 1e-5,
    .act = "silu",
};
