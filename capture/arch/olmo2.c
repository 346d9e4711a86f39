/* capture/arch/olmo2.c -- OLMo 2: norms behind the sublayers and over the whole q and k. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/arch.h"

extern const atn_arch atn_arch_olmo2;

const atn_arch atn_arch_olmo2 = {
    .id = "olmo2",
    .title = "OLMo 2",
    .prefixes = {"model."},
    .names = {ATN_LLAMA_LINEAR_NAMES,
              .attn_norm = "layers.%d.post_attention_layernorm.weight",
              .mlp_norm = "layers.%d.post_feedforward_layernorm.weight",
              .q_norm = "layers.%d.self_attn.q_norm.weight",
              .k_norm = "layers.%d.self_attn.k_norm.weight"},
    .causal = true,
    .norm = ATN_NORM_RMS,
    .place = ATN_NORM_OUTPUT,
    .qk_norm = ATN_QK_FULL,
    .rope = true,
    .bias_keys = ATN_BIAS_QKV | ATN_BIAS_O,
    .max_positions = 2048,
    .eps_key = "rms_norm_eps",
    .eps = 1e-5,
    .act = "silu",
};
