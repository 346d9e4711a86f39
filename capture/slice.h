/* capture/slice.h -- which outputs of which tensor are q, k, v, gate and up.
 *
 * A family may keep several projections in one tensor; output e of head h of one of
 * them is output first + h step + e of the tensor.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "capture/config.h"

typedef enum atn_part {
    ATN_PART_Q,
    ATN_PART_K,
    ATN_PART_V,
    ATN_PART_GATE,
    ATN_PART_UP,
} atn_part;

typedef struct atn_slice {
    const char *name; /* template of the tensor, NULL = there is none */
    atn_idx heads, d; /* gate and up are one head */
    atn_idx first, step;
    atn_idx outputs; /* of the whole tensor */
    bool pairs; /* output e of a head is its 2 (e mod d/2) + e div d/2 in the file */
} atn_slice;

/* Of tensors by the names n. */
atn_slice atn_slice_of(const atn_config *c, const atn_arch_names *n, atn_part part);
/* Whether output `at` of the tensor belongs to the slice; then its head and place
 * there. */
bool atn_slice_has(const atn_slice *s, atn_idx at, atn_idx *head, atn_idx *e);
/* to <- the outputs of the slice, one after another: of a matrix [outputs, inputs],
 * a matrix [inputs, outputs] (in_out; of a type without blocks) or a bias (inputs
 * 1). */
void atn_slice_copy(const atn_slice *s, const void *from, atn_dtype type,
                    atn_idx inputs, bool in_out, void *to);
