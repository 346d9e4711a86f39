/* graph/field_bits.h -- how graph/field_bits.c holds its fields. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "graph/field_internal.h"

enum { ATN_STRIPE = 512 }; /* keys */

typedef struct atn_stripe_row {
    uint64_t w[ATN_STRIPE / 64];
} atn_stripe_row;

typedef struct atn_field_bits_state {
    const atn_field_plan *plan;
    atn_field_table table; /* of the layer before */
    atn_idx stripes;
    atn_stripe_row *rows; /* [stripes, nodes] */
    uint8_t *whole;       /* [nodes], see graph/field_internal.h */
    bool own;
} atn_field_bits_state;

static inline bool atn_field_bit(const atn_field_bits_state *b, atn_idx row, atn_idx j)
{
    return b->rows[j / ATN_STRIPE * b->plan->nodes + row].w[j % ATN_STRIPE / 64] >>
               (j % 64) &
           1;
}

/* Bytes that the engine needs, and what it may have. */
atn_status atn_field_bits_fit(atn_ctx *cx, const atn_field_plan *p, double *bytes,
                              double *limit) ATN_WARN_UNUSED;
