/* capture/arch/vit.c -- ViT: patches of an image behind a class token,
 * pre-LayerNorm. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/arch/vit.h"

extern const atn_arch atn_arch_vit;

static const atn_arch_names v5 = {ATN_VIT_NAMES_V5};

const atn_arch atn_arch_vit = {
    .id = "vit",
    .title = "ViT",
    .prefixes = {"vit."},
    .names = {ATN_VIT_NAMES, .special = {"embeddings.cls_token"},
              .labels = {"classifier.weight"}},
    .also = &v5,
    ATN_VIT_SWITCHES,
    .image = {.resample = 2, .resize = 1},
};
