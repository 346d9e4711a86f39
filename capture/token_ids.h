/* capture/token_ids.h -- token ids from a file: whitespace-separated integers, .npy, or
 * .json: a list of integers, or an object that has one as input_ids or ids. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/ctx.h"

/* "-" reads standard input. ids is heap memory. DATA names file, position and value of
 * what is no integer in 0..2^31-1; an empty file is DATA. */
atn_status atn_token_ids_load(atn_ctx *cx, const char *path, int32_t **ids,
                              atn_idx *n) ATN_WARN_UNUSED;
