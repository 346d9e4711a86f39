/* approx/shiftadd.h -- the binary codes of ShiftAddViT, for experiments. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/mat.h"

/* out [rows, cols] <- 1 where an entry of a row, scaled to length 1, is above the mean
 * of all of them, else 0; how many ones there are. */
double atn_shiftadd_codes(atn_cmat x, uint8_t *out);
