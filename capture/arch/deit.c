/* capture/arch/deit.c -- DeiT: a ViT with a distillation token behind the class
 * token. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/arch/vit.h"

extern const atn_arch atn_arch_deit;

static const atn_arch_names also = {ATN_VIT_NAMES_V5, .labels = {"classifier.weight"}};

const atn_arch atn_arch_deit = {
    .id = "deit",
    .title = "DeiT",
    .prefixes = {"deit."},
    .names = {ATN_VIT_NAMES,
              .special = {"embeddings.cls_token", "embeddings.distillation_token"},
              .labels = {"cls_classifier.weight", "distillation_classifier.weight"}},
    .also = &also,
    ATN_VIT_SWITCHES,
    .image = {.resample = 3, .resize = 256.0 / 224},
};
