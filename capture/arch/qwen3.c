/* capture/arch/qwen3.c -- Qwen3: Llama with a norm on every head's q and k, wide heads. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/arch.h"

extern const atn_arch atn_arch_qwen3;

const atn_arch atn_arch_qwen3 = {
    .id = "qwen3",
    .title = "Qwen3",
    .prefixes = {"model."},
    .names = {ATN_LLAMA_NAMES, .q_norm = "layers.%d.self_attn.q_norm.weight",
              .k_norm = "layers.%d.self_attn.k_norm.weight"},
    .causal = true,
    .norm = ATN_NORM_RMS,
    .place = ATN_NORM_PRE,
    .qk_norm = ATN_QK_HEAD,
    .rope = true,
    .bias_keys = ATN_BIAS_QKV | ATN_BIAS_O,
    .window = ATN_WINDOW_SOME,
    .kv_heads = 32,
    .head_dim = 128,
    .max_positions = 32768,
    .sliding_window = 4096,
    .max_window_layers = 28,
    .eps_key = "rms_norm_eps",
    .eps = 1e-6,
    .act = "silu",
};
