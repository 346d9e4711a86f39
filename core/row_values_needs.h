/* core/row_values_needs.h -- what the row pass can be asked for and what it leaves per row; also
 * read by the CUDA kernels. The definitions are in core/row_values.h.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

enum { /* what is wanted beyond entropy, mass and the number of visible keys */
       ATN_NEED_MOMENTS = 1,
       ATN_NEED_FIRST = 2,
       ATN_NEED_LOCAL = 4,
       ATN_NEED_TOPK = 8,
       ATN_NEED_TOKENS = 16,
       ATN_NEED_ALL = 31, /* every number per row */
       ATN_NEED_COLUMNS = 32,
       ATN_NEED_DIAGONALS = 64,
       ATN_NEED_BLOCKS = 128,
       ATN_NEED_SUMS = 224,
};

typedef enum atn_row_field {
    ATN_ROW_ENTROPY,
    ATN_ROW_MASS,
    ATN_ROW_SQUARE,
    ATN_ROW_DISTANCE,
    ATN_ROW_FIRST,
    ATN_ROW_FIRST4,
    ATN_ROW_REST,
    ATN_ROW_REST_DISTANCE,
    ATN_ROW_DIAGONAL,
    ATN_ROW_PREVIOUS,
    ATN_ROW_TOPK,
    ATN_ROW_INDUCTION,
    ATN_ROW_DUPLICATE,
    ATN_ROW_FIELDS
} atn_row_field;
