/* capture/arch/gemma3_text.c -- Gemma 3: norms around both sublayers and on q and k, a
 * rotary table of their own for the layers with a window. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/arch/gemma3.h"

extern const atn_arch atn_arch_gemma3_text;

const atn_arch atn_arch_gemma3_text = {
    .id = "gemma3_text",
    .title = "Gemma 3 (text)",
    .prefixes = {"model."},
    ATN_GEMMA3_TEXT,
};
