/* core/order.h -- orders for qsort, and the greatest common divisor. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/mat.h"

/* Ascending: of atn_idx, of int32_t, of atn_span by where they begin. */
int atn_by_idx(const void *a, const void *b);
int atn_by_int32(const void *a, const void *b);
int atn_by_begin(const void *a, const void *b);

/* a, b >= 0; of a and 0 it is a. */
atn_idx atn_common_divisor(atn_idx a, atn_idx b);
