/* capture/resample.h -- pictures in another size, as Pillow makes them.
 *
 * Math    per axis, horizontally first: out = sum_j w_j in_j, w_j = f((j + 1/2 - c) /
 *         s) / sum, c = (i + 1/2) scale, s = max(scale, 1), over |j + 1/2 - c| < s
 *         support: a filter that widens with the reduction. Weights have 22 bits behind
 *         the point, and the result of each axis is rounded to a byte. `nearest` takes
 *         the pixel at (i + 1/2) scale.
 * Oracle  PIL.Image.resize of Pillow up to 12, byte for byte, and of 13 where it has
 *         the same order: it takes the rows first where the height loses more than 0
 *         and more than twice what the width loses, in pixels. Rounding between the
 *         axes makes that differ, by up to some 15 of 255 in a pixel.
 * Source  Pillow, src/libImaging/Resample.c and Geometry.c.
 * Cost    3 (H W' k_x + H' W' k_y) multiply-adds, k = 2 support s + 1.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "capture/image.h"

/* As Pillow numbers them. */
typedef enum atn_filter {
    ATN_FILTER_NEAREST,
    ATN_FILTER_LANCZOS,
    ATN_FILTER_BILINEAR,
    ATN_FILTER_BICUBIC,
    ATN_FILTER_BOX,
    ATN_FILTER_HAMMING,
} atn_filter;

/* Whether Pillow 13 would take the rows first here, in both axes. */
bool atn_image_rows_first(const atn_image *from, atn_idx height, atn_idx width);

/* *out: `from` at another size; the caller releases it. MEMORY before there is too
 * little. */
atn_status atn_image_resize(atn_ctx *cx, const atn_image *from, atn_idx height,
                            atn_idx width, atn_filter filter,
                            atn_image *out) ATN_WARN_UNUSED;
