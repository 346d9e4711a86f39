/* capture/arch/vit.h -- names and switches that ViT and DeiT share. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "capture/arch.h"

#define ATN_VIT_NAMES                                                                  \
    .position = "embeddings.position_embeddings",                                      \
    .patch = "embeddings.patch_embeddings.projection.weight",                          \
    .final_norm = "layernorm.weight",                                                  \
    .attn_norm = "encoder.layer.%d.layernorm_before.weight",                           \
    .q = "encoder.layer.%d.attention.attention.query.weight",                          \
    .k = "encoder.layer.%d.attention.attention.key.weight",                            \
    .v = "encoder.layer.%d.attention.attention.value.weight",                          \
    .o = "encoder.layer.%d.attention.output.dense.weight",                             \
    .mlp_norm = "encoder.layer.%d.layernorm_after.weight",                             \
    .up = "encoder.layer.%d.intermediate.dense.weight",                                \
    .down = "encoder.layer.%d.output.dense.weight"

/* As transformers v5 names them in memory, and some files do. */
#define ATN_VIT_NAMES_V5                                                               \
    .attn_norm = "layers.%d.layernorm_before.weight",                                  \
    .q = "layers.%d.attention.q_proj.weight",                                          \
    .k = "layers.%d.attention.k_proj.weight",                                          \
    .v = "layers.%d.attention.v_proj.weight",                                          \
    .o = "layers.%d.attention.o_proj.weight",                                          \
    .mlp_norm = "layers.%d.layernorm_after.weight", .up = "layers.%d.mlp.fc1.weight",  \
    .down = "layers.%d.mlp.fc2.weight"

#define ATN_VIT_SWITCHES                                                               \
    .keys = {.attn_bias = "qkv_bias"}, .plain_heads = true, .bias_keys = ATN_BIAS_QKV, \
    .bias_absent = ATN_BIAS_QKV, .input = ATN_INPUT_IMAGE, .norm = ATN_NORM_LAYER,     \
    .place = ATN_NORM_PRE, .bias = ATN_BIAS_O | ATN_BIAS_MLP, .image_size = 224,       \
    .patch_size = 16, .channels = 3, .eps_key = "layer_norm_eps", .eps = 1e-12,        \
    .act = "gelu"
