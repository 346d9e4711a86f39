/* capture/arch/t5.c -- T5: an encoder and a decoder, a bias by relative position. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/arch.h"

extern const atn_arch atn_arch_t5;

static const atn_arch_names decoder = {ATN_T5_NAMES("decoder", "2"),
                                       ATN_T5_CROSS_NAMES};

const atn_arch atn_arch_t5 = {
    .id = "t5",
    .title = "T5, T5 1.1, Flan-T5",
    .prefixes = {"transformer."},
    .names = {ATN_T5_NAMES("encoder", "1")},
    .decoder = &decoder,
    .keys = {ATN_T5_KEYS},
    .norm = ATN_NORM_RMS,
    .place = ATN_NORM_PRE,
    .head_dim = 64,
    .eps_key = "layer_norm_epsilon",
    .eps = 1e-6,
    .act = "relu",
    .tied = true,
    .head_scaled_key = "scale_decoder_outputs",
    .scaled = {"", false},
    .act_says_gated = true,
    .tied_without_head = true,
    .rel_buckets = 32,
    .rel_distance = 128,
};
