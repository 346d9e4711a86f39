/* core/row_values_needs.h -- what the row pass can be asked for and what it leaves per
 * row; also read by the CUDA kernels. The definitions are in core/row_values.h.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

enum { /* what is wanted beyond entropy, mass and the number of visible keys */
       ATN_NEED_MOMENTS = 1,
       ATN_NEED_FIRST = 2,
       ATN_NEED_LOCAL = 4,
       ATN_NEED_TOPK = 8,
       ATN_NEED_TOKENS = 16,
       ATN_NEED_ALL = 31, /* every number per row that a device computes */
       ATN_NEED_COLUMNS = 32,
       ATN_NEED_DIAGONALS = 64,
       ATN_NEED_BLOCKS = 128,
       ATN_NEED_SUMS = 224,
       ATN_NEED_DEVICE = 255, /* what a device computes; the rest is the CPU's */
       ATN_NEED_MAX = 256,
       ATN_NEED_COVER = 512,
       ATN_NEED_SPAN = 1024,
       ATN_NEED_GINI = 2048,     /* sorts the row */
       ATN_NEED_SMOOTHED = 4096, /* a logarithm an entry */
       ATN_NEED_LOGITS = 8192,
       ATN_NEED_NEEDED = 16384, /* with BLOCKS and COVER, asked for or not */
};

/* Fields of ATN_NEED_COVER, and bits of a byte of ATN_NEED_NEEDED: shares of a row's
 * mass. */
enum { ATN_COVER_LEVELS = 6, ATN_SPAN_LEVELS = 3 };

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
    ATN_ROW_DEVICE_FIELDS, /* those before are what a device computes */
    ATN_ROW_MAX = ATN_ROW_DEVICE_FIELDS,
    ATN_ROW_MAX_AT,
    ATN_ROW_MAX_REST,
    ATN_ROW_MAX_INNER,
    ATN_ROW_KEYS_50, /* the levels of atn_cover_levels, in their order */
    ATN_ROW_KEYS_80,
    ATN_ROW_KEYS_90,
    ATN_ROW_KEYS_95,
    ATN_ROW_KEYS_99,
    ATN_ROW_KEYS_999,
    ATN_ROW_SPAN_50,
    ATN_ROW_SPAN_90,
    ATN_ROW_SPAN_95,
    ATN_ROW_GINI,
    ATN_ROW_SMOOTHED,
    ATN_ROW_LOGIT,
    ATN_ROW_LOGIT_SQUARE,
    ATN_ROW_LOGIT_NEAR,
    ATN_ROW_LOGIT_SQUARE_NEAR,
    ATN_ROW_SQUARE_NEAR,
    ATN_ROW_FIELDS
} atn_row_field;
