/* capture/image_internal.h -- the readers of one kind of file each. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "capture/image.h"

/* A picture of height x width x 3 bytes in heap memory, once it fits the limit. */
atn_status atn_image_new(atn_ctx *cx, const char *path, double height, double width,
                         atn_image *out) ATN_WARN_UNUSED;
/* `data` is the whole file. */
atn_status atn_image_read_png(atn_ctx *cx, const char *path, const unsigned char *data,
                              size_t size, atn_image *out) ATN_WARN_UNUSED;
atn_status atn_image_read_pnm(atn_ctx *cx, const char *path, const unsigned char *data,
                              size_t size, atn_image *out) ATN_WARN_UNUSED;
