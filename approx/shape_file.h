/* approx/shape_file.h -- files of the shapes of heads, as MInference publishes them.
 *
 *   [{"0": ["vertical_and_slash", 1000, 6096, 0.96], "1": [..], ..}, ..]
 *
 * a list of layers, from 0 on, of an object from head to [type, columns, diagonals,
 * share]; the share need not be there and is not read. Types: "vertical_and_slash",
 * "stream_llm" (its numbers are first and recent tokens) and "block_sparse" (its
 * numbers are not read). A head that is not there is vertical_and_slash (1000, 6096).
 * Source  microsoft/MInference, minference/configs and minference_forward.py.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/ctx.h"

typedef enum atn_shape_type {
    ATN_SHAPE_LINES,
    ATN_SHAPE_BAND,
    ATN_SHAPE_BLOCKS,
} atn_shape_type;

typedef struct atn_shape_rule {
    atn_shape_type type;
    atn_idx v, s;
} atn_shape_rule;

enum { ATN_SHAPE_V = 1000, ATN_SHAPE_S = 6096 }; /* of a head that is not there */

/* DATA names layer, head and what is wrong; layers of the model, 0 = unknown. */
atn_status atn_shape_file_read(atn_ctx *cx, const char *path, int layer, int head,
                               int layers, atn_shape_rule *out) ATN_WARN_UNUSED;
