/* capture/arch/roberta.c -- RoBERTa: BERT, with positions counted over what is no
 * padding.
 *
 * Source  transformers v5, modeling_roberta.py, configuration_roberta.py.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/arch.h"

extern const atn_arch atn_arch_roberta;

const atn_arch atn_arch_roberta = {
    .id = "roberta",
    .title = "RoBERTa",
    .prefixes = {"roberta."},
    .names = {ATN_BERT_NAMES},
    .norm = ATN_NORM_LAYER,
    .place = ATN_NORM_POST,
    .bias = ATN_BIAS_ALL,
    .plain_heads = true,
    .position_rule = ATN_POSITION_PAD,
    .pad = 1,
    .max_positions = 512,
    .type_vocab = 2,
    .eps_key = "layer_norm_eps",
    .eps = 1e-12,
    .act = "gelu",
    .tied = true,
};
