/* capture/arch/dit.c -- DiT as its authors store it: one embedder of timestep and
 * class, fused queries, keys and values. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/arch.h"

extern const atn_arch atn_arch_dit;

const atn_arch atn_arch_dit = {
    .id = "dit",
    .title = "DiT",
    .names = {.patch = "x_embedder.proj.weight",
              .position = "pos_embed",
              .qkv = "blocks.%d.attn.qkv.weight",
              .o = "blocks.%d.attn.proj.weight",
              .up = "blocks.%d.mlp.fc1.weight",
              .down = "blocks.%d.mlp.fc2.weight",
              .time_in = "t_embedder.mlp.0.weight",
              .time_out = "t_embedder.mlp.2.weight",
              .classes = "y_embedder.embedding_table.weight",
              .modulation = "blocks.%d.adaLN_modulation.1.weight"},
    .keys = {.layers = "depth",
             .heads = "num_heads",
             .image = "input_size",
             .channels = "in_channels"},
    .fused = ATN_FUSED_BLOCKS,
    .plain_heads = true,
    .input = ATN_INPUT_LATENTS,
    .norm = ATN_NORM_LAYER,
    .place = ATN_NORM_PRE,
    .bias = ATN_BIAS_ALL,
    .image_size = 32,
    .patch_size = 2,
    .channels = 4,
    .classes = 1000,
    .time_span = 128,
    .eps = 1e-6,
    .ffn_times = 4,
    .act = "gelu_pytorch_tanh",
};
