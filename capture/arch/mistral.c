/* capture/arch/mistral.c -- Mistral: Llama without biases, with a window in every layer. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/arch.h"

extern const atn_arch atn_arch_mistral;

const atn_arch atn_arch_mistral = {
    .id = "mistral",
    .title = "Mistral",
    .prefixes = {"model."},
    .names = {ATN_LLAMA_NAMES},
    .causal = true,
    .norm = ATN_NORM_RMS,
    .place = ATN_NORM_PRE,
    .rope = true,
    .window = ATN_WINDOW_ALL,
    .kv_heads = 8,
    .max_positions = 131072,
    .sliding_window = 4096,
    .eps_key = "rms_norm_eps",
    .eps = 1e-6,
    .act = "silu",
};
