/* capture/arch/bert.c -- BERT and MiniLM: post-LayerNorm, learned positions, token
 * types. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/arch.h"

extern const atn_arch atn_arch_bert;

const atn_arch atn_arch_bert = {
    .id = "bert",
    .title = "BERT, MiniLM",
    .prefixes = {"bert."},
    .names = {ATN_BERT_NAMES},
    .norm = ATN_NORM_LAYER,
    .place = ATN_NORM_POST,
    .bias = ATN_BIAS_ALL,
    .plain_heads = true,
    .max_positions = 512,
    .type_vocab = 2,
    .eps_key = "layer_norm_eps",
    .eps = 1e-12,
    .act = "gelu",
    .tied = true,
};
