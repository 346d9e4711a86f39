/* capture/arch/dit_diffusers.c -- DiT as diffusers stores it: every block has embedders
 * of its own, the position table is computed. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/arch.h"

extern const atn_arch atn_arch_dit_diffusers;

#define BLOCK "transformer_blocks.%d."

const atn_arch atn_arch_dit_diffusers = {
    .id = "dit_diffusers",
    .title = "DiT of diffusers",
    .class_names = {"DiTTransformer2DModel", "Transformer2DModel"},
    .names = {.patch = "pos_embed.proj.weight",
              .q = BLOCK "attn1.to_q.weight",
              .k = BLOCK "attn1.to_k.weight",
              .v = BLOCK "attn1.to_v.weight",
              .o = BLOCK "attn1.to_out.0.weight",
              .up = BLOCK "ff.net.0.proj.weight",
              .down = BLOCK "ff.net.2.weight",
              .time_in = BLOCK "norm1.emb.timestep_embedder.linear_1.weight",
              .time_out = BLOCK "norm1.emb.timestep_embedder.linear_2.weight",
              .classes = BLOCK "norm1.emb.class_embedder.embedding_table.weight",
              .modulation = BLOCK "norm1.linear.weight"},
    .keys = {.layers = "num_layers",
             .head_dim = "attention_head_dim",
             .attn_bias = "attention_bias",
             .act = "activation_fn",
             .image = "sample_size",
             .channels = "in_channels",
             .classes = "num_embeds_ada_norm"},
    .width_of_heads = true,
    .input = ATN_INPUT_LATENTS,
    .norm = ATN_NORM_LAYER,
    .place = ATN_NORM_PRE,
    .bias_keys = ATN_BIAS_QKV,
    .bias_absent = ATN_BIAS_QKV,
    .bias = ATN_BIAS_O | ATN_BIAS_MLP,
    .image_size = 32,
    .patch_size = 2,
    .channels = 4,
    .classes = 1000,
    .sine_positions = true,
    .time_span = 127,
    .eps = 1e-6,
    .mlp_eps_key = "norm_eps",
    .mlp_eps = 1e-5,
    .must_key = "norm_type",
    .must_value = "ada_norm_zero",
    .ffn_times = 4,
    .act = "gelu-approximate",
};
