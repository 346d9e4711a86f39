/* cli/data.h -- finding the built-in data sets, wherever the program lives. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/ctx.h"

/* The path of a built-in file or directory ("datasets/tinytales/model") in heap memory,
 * looked for in $ATTNSCOPE_DATA, beside the program (../share/attnscope), where it was to be
 * installed, and in the source tree it was built from. NOINPUT names the places tried. */
atn_status atn_data_find(atn_ctx *cx, const char *name, char **out) ATN_WARN_UNUSED;
