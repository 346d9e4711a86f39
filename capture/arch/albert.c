/* capture/arch/albert.c -- ALBERT: one set of weights for many layers, narrow
 * embeddings.
 *
 * Source  transformers v5, modeling_albert.py, configuration_albert.py.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/arch.h"

extern const atn_arch atn_arch_albert;

#define LAYER "encoder.albert_layer_groups.%d.albert_layers.%d."

const atn_arch atn_arch_albert = {
    .id = "albert",
    .title = "ALBERT",
    .prefixes = {"albert."},
    .names = {.embed = "embeddings.word_embeddings.weight",
              .position = "embeddings.position_embeddings.weight",
              .type = "embeddings.token_type_embeddings.weight",
              .embed_norm = "embeddings.LayerNorm.weight",
              .embed_map = "encoder.embedding_hidden_mapping_in.weight",
              .attn_norm = LAYER "attention.LayerNorm.weight",
              .q = LAYER "attention.query.weight",
              .k = LAYER "attention.key.weight",
              .v = LAYER "attention.value.weight",
              .o = LAYER "attention.dense.weight",
              .mlp_norm = LAYER "full_layer_layer_norm.weight",
              .up = LAYER "ffn.weight",
              .down = LAYER "ffn_output.weight"},
    .keys = {.embed_width = "embedding_size"},
    .norm = ATN_NORM_LAYER,
    .place = ATN_NORM_POST,
    .bias = ATN_BIAS_ALL,
    .plain_heads = true,
    .embed_map = ATN_MAP_ALL,
    .groups = "num_hidden_groups",
    .inner = "inner_group_num",
    .max_positions = 512,
    .type_vocab = 2,
    .embed_width = 128,
    .eps_key = "layer_norm_eps",
    .eps = 1e-12,
    .act = "gelu_new",
    .tied = true,
};
