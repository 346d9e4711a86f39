/* capture/arch/opt.c -- OPT: learned positions from row 2, norms before or behind,
 * mapped words.
 *
 * Source  transformers v5, modeling_opt.py, configuration_opt.py.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/arch.h"

extern const atn_arch atn_arch_opt;

const atn_arch atn_arch_opt = {
    .id = "opt",
    .title = "OPT",
    .prefixes = {"model."},
    .names = {.embed = "decoder.embed_tokens.weight",
              .position = "decoder.embed_positions.weight",
              .embed_map = "decoder.project_in.weight",
              .head_map = "decoder.project_out.weight",
              .final_norm = "decoder.final_layer_norm.weight",
              .head = "lm_head.weight",
              .attn_norm = "decoder.layers.%d.self_attn_layer_norm.weight",
              .q = "decoder.layers.%d.self_attn.q_proj.weight",
              .k = "decoder.layers.%d.self_attn.k_proj.weight",
              .v = "decoder.layers.%d.self_attn.v_proj.weight",
              .o = "decoder.layers.%d.self_attn.out_proj.weight",
              .mlp_norm = "decoder.layers.%d.final_layer_norm.weight",
              .up = "decoder.layers.%d.fc1.weight",
              .down = "decoder.layers.%d.fc2.weight"},
    .keys = {.ffn = "ffn_dim",
             .act = "activation_function",
             .attn_bias = "enable_bias",
             .mlp_bias = "enable_bias",
             .embed_width = "word_embed_proj_dim"},
    .causal = true,
    .norm = ATN_NORM_LAYER,
    .place = ATN_NORM_PRE,
    .bias_keys = ATN_BIAS_ALL,
    .bias_absent = ATN_BIAS_ALL,
    .plain_heads = true,
    .position_rule = ATN_POSITION_SKIP,
    .position_skip = 2,
    .embed_map = ATN_MAP_WORDS,
    .norm_before = {"do_layer_norm_before", true},
    .no_final_norm = {"_remove_final_layer_norm", false},
    .only = {{"layer_norm_elementwise_affine", true}},
    .max_positions = 2048,
    .eps = 1e-5,
    .act = "relu",
    .tied = true,
};
