/* capture/arch/gemma3.c -- the language model within a Gemma 3 that sees images. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/arch/gemma3.h"

extern const atn_arch atn_arch_gemma3;

const atn_arch atn_arch_gemma3 = {
    .id = "gemma3",
    .title = "Gemma 3 (the text part of a model that sees images)",
    .prefixes = {"model.language_model.", "language_model.model."},
    .part = "text_config",
    ATN_GEMMA3_TEXT,
};
