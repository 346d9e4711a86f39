/* capture/arch/gemma2.c -- Gemma 2: norms around both sublayers, soft-caps, every
 * other layer with a window. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/arch.h"

extern const atn_arch atn_arch_gemma2;

const atn_arch atn_arch_gemma2 = {
    .id = "gemma2",
    .title = "Gemma 2",
    .prefixes = {"model."},
    .names = {ATN_GEMMA_NAMES},
    .keys = {.act = "hidden_activation"},
    .causal = true,
    .norm = ATN_NORM_RMS,
    .place = ATN_NORM_BOTH,
    .norm_offset = 1,
    .scaled_embed = true,
    .query_scalar = 256,
    .softcaps = true,
    .attn_softcap = 50,
    .head_softcap = 30,
    .rope = true,
    .bias_keys = ATN_BIAS_QKV | ATN_BIAS_O,
    .window = ATN_WINDOW_PATTERN,
    .window_pattern = 2,
    .kv_heads = 4,
    .head_dim = 256,
    .max_positions = 8192,
    .sliding_window = 4096,
    .eps_key = "rms_norm_eps",
    .eps = 1e-6,
    .act = "gelu_pytorch_tanh",
    .tied = true,
};
