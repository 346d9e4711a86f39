/* capture/arch/bert.c -- BERT and MiniLM: post-LayerNorm, learned positions, token types. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/arch.h"

extern const atn_arch atn_arch_bert;

const atn_arch atn_arch_bert = {
    .id = "bert",
    .title = "BERT, MiniLM",
    .prefixes = {"bert."},
    .names = {.embed = "embeddings.word_embeddings.weight",
              .position = "embeddings.position_embeddings.weight",
              .type = "embeddings.token_type_embeddings.weight",
              .embed_norm = "embeddings.LayerNorm.weight",
              .attn_norm = "encoder.layer.%d.attention.output.LayerNorm.weight",
              .q = "encoder.layer.%d.attention.self.query.weight",
              .k = "encoder.layer.%d.attention.self.key.weight",
              .v = "encoder.layer.%d.attention.self.value.weight",
              .o = "encoder.layer.%d.attention.output.dense.weight",
              .mlp_norm = "encoder.layer.%d.output.LayerNorm.weight",
              .up = "encoder.layer.%d.intermediate.dense.weight",
              .down = "encoder.layer.%d.output.dense.weight"},
    .norm = ATN_NORM_LAYER,
    .place = ATN_NORM_POST,
    .bias = ATN_BIAS_ALL,
    .max_positions = 512,
    .type_vocab = 2,
    .eps_key = "layer_norm_eps",
    .eps = 1e-12,
    .act = "gelu",
    .tied = true,
};
