/* capture/image.h -- pictures from PNG, PPM, PGM and .npy files.
 *
 * Math    every PNG becomes RGB of 8 bits: grey repeated, palettes looked up, alpha
 *         dropped and not blended (as PIL's convert("RGB") does), of 16 bits the upper
 *         8. Of PPM and PGM (P2, P3, P5, P6) a value v of maxval m becomes v 255 / m,
 *         rounded to the nearest.
 * Source  PNG through libpng; Netpbm's ppm(5), pgm(5).
 * Limits  a .npy file holds [H, W, 3], [H, W, 1] or [H, W] bytes, a picture like the
 *         others, or [C, H, W] floats: values as the model takes them.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/ctx.h"

typedef struct atn_image {
    atn_idx channels, height, width;
    uint8_t *rgb;  /* [height, width, 3]; channels 3; owned */
    float *values; /* [channels, height, width] in its place; owned */
} atn_image;

/* By the first bytes of the file, not by its name. DATA for another kind of file, named
 * where it is known, and for one that is cut or unsound; MEMORY before a picture is
 * unpacked that does not fit the limit. */
atn_status atn_image_read(atn_ctx *cx, const char *path,
                          atn_image *out) ATN_WARN_UNUSED;
void atn_image_release(atn_ctx *cx, atn_image *im);
