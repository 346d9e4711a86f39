/* capture/arch/mt5.c -- mT5: T5 with a gated MLP and logits that are not scaled. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/arch.h"

extern const atn_arch atn_arch_mt5;

static const atn_arch_names decoder = {ATN_T5_NAMES("decoder", "2"),
                                       ATN_T5_CROSS_NAMES};

const atn_arch atn_arch_mt5 = {
    .id = "mt5",
    .title = "mT5",
    .prefixes = {"transformer."},
    .names = {ATN_T5_NAMES("encoder", "1")},
    .decoder = &decoder,
    .keys = {ATN_T5_KEYS},
    .norm = ATN_NORM_RMS,
    .place = ATN_NORM_PRE,
    .head_dim = 64,
    .eps_key = "layer_norm_epsilon",
    .eps = 1e-6,
    .act = "gated-gelu",
    .scaled = {"", false},
    .act_says_gated = true,
    .tied_without_head = true,
    .rel_buckets = 32,
    .rel_distance = 128,
};
