/* capture/arch/llama.c -- Llama, TinyLlama, SmolLM: pre-RMSNorm, RoPE, GQA, SwiGLU. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/arch.h"

extern const atn_arch atn_arch_llama;

const atn_arch atn_arch_llama = {
    .id = "llama",
    .title = "Llama (TinyLlama, SmolLM, Llama 2 and 3)",
    .prefixes = {"model."},
    .names = {ATN_LLAMA_NAMES},
    .causal = true,
    .norm = ATN_NORM_RMS,
    .place = ATN_NORM_PRE,
    .rope = true,
    .bias_keys = ATN_BIAS_ALL,
    .max_positions = 2048,
    .eps_key = "rms_norm_eps",
    .eps = 1e-6,
    .act = "silu",
};
