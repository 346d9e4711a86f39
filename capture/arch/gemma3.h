/* capture/arch/gemma3.h -- what Gemma 3 alone and within a model that sees images
 * share. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "capture/arch.h"

#define ATN_GEMMA3_TEXT                                                                \
    .names = {ATN_GEMMA_NAMES, .q_norm = "layers.%d.self_attn.q_norm.weight",          \
              .k_norm = "layers.%d.self_attn.k_norm.weight"},                          \
    .keys = {.act = "hidden_activation", .pattern = "sliding_window_pattern"},         \
    .causal = true, .norm = ATN_NORM_RMS, .place = ATN_NORM_BOTH,                      \
    .qk_norm = ATN_QK_HEAD, .norm_offset = 1, .scaled_embed = true,                    \
    .query_scalar = 256, .softcaps = true, .rope = true, .theta = 1e6,                 \
    .local_theta = 1e4, .bias_keys = ATN_BIAS_QKV | ATN_BIAS_O,                        \
    .window = ATN_WINDOW_PATTERN, .window_pattern = 6, .kv_heads = 4, .head_dim = 256, \
    .max_positions = 131072, .sliding_window = 4096, .eps_key = "rms_norm_eps",        \
    .eps = 1e-6, .act = "gelu_pytorch_tanh", .tied = true
