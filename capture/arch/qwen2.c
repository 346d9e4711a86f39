/* capture/arch/qwen2.c -- Qwen2, Qwen2.5: Llama with q, k, v biases and windows in some layers. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/arch.h"

extern const atn_arch atn_arch_qwen2;

const atn_arch atn_arch_qwen2 = {
    .id = "qwen2",
    .title = "Qwen2, Qwen2.5",
    .prefixes = {"model."},
    .names = {ATN_LLAMA_NAMES},
    .causal = true,
    .norm = ATN_NORM_RMS,
    .place = ATN_NORM_PRE,
    .rope = true,
    .bias = ATN_BIAS_QKV,
    .window = ATN_WINDOW_SOME,
    .kv_heads = 32,
    .max_positions = 32768,
    .sliding_window = 4096,
    .max_window_layers = 28,
    .eps_key = "rms_norm_eps",
    .eps = 1e-6,
    .act = "silu",
};
