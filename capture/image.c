/* capture/image.c -- finds out what a picture file is, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/image_internal.h"

#include <string.h>

#include "core/io/file.h"
#include "core/io/npy.h"

atn_status atn_image_new(atn_ctx *cx, const char *path, double height, double width,
                         atn_image *out)
{
    atn_status st = ATN_OK;

    if (!(height >= 1 && width >= 1 && height * width < 1e12))
        ATN_FAIL(ATN_DATA, "%s: a picture of %.0fx%.0f cannot be read", path, height,
                 width);
    ATN_TRY(atn_mem_check(cx, 3 * height * width, "the picture"));
    out->channels = 3;
    out->height = (atn_idx)height;
    out->width = (atn_idx)width;
    ATN_NEW(out->rgb, out->height * out->width * 3);
done:
    return st;
}

/* ---- .npy ---- */

static atn_status take_bytes(atn_ctx *cx, const char *path, const atn_npy *a,
                             atn_image *out)
{
    const atn_idx each = a->rank == 3 ? a->shape[2] : 1;
    atn_status st = ATN_OK;

    if (a->rank < 2 || a->rank > 3 || (each != 1 && each != 3))
        ATN_FAIL(
            ATN_DATA,
            "%s: bytes of a picture are [H, W, 3], [H, W, 1] or [H, W], this array "
            "has another shape",
            path);
    ATN_TRY(atn_image_new(cx, path, (double)a->shape[0], (double)a->shape[1], out));
    for (atn_idx i = 0; i < a->count; i++)
        if (a->i64[i] < 0 || a->i64[i] > 255)
            ATN_FAIL(ATN_DATA, "%s: value %lld is no byte of a picture (0 to 255)",
                     path, (long long)a->i64[i]);
    for (atn_idx i = 0; i < 3 * out->height * out->width; i++)
        out->rgb[i] = (uint8_t)a->i64[each == 3 ? i : i / 3];
done:
    return st;
}

static atn_status take_values(atn_ctx *cx, const char *path, atn_npy *a, atn_image *out)
{
    atn_status st = ATN_OK;

    if (a->rank != 3)
        ATN_FAIL(ATN_DATA,
                 "%s: floats of an image are [C, H, W] as the model takes them, this "
                 "array has %d axes",
                 path, a->rank);
    if (a->count == 0) ATN_FAIL(ATN_DATA, "%s: the image is empty", path);
    for (atn_idx i = 0; i < a->count; i++)
        if (!atn_all_finite(&a->f32[i], ATN_F32, 1))
            ATN_FAIL(ATN_DATA, "%s: value %lld is NaN or infinity", path, (long long)i);
    out->channels = a->shape[0];
    out->height = a->shape[1];
    out->width = a->shape[2];
    out->values = a->f32;
    a->f32 = NULL;
done:
    return st;
}

static atn_status read_npy(atn_ctx *cx, const char *path, atn_image *out)
{
    atn_status st = ATN_OK;
    atn_npy a = {0};

    ATN_TRY(atn_npy_load(cx, path, &a));
    if (a.is_float)
        ATN_TRY(take_values(cx, path, &a, out));
    else
        ATN_TRY(take_bytes(cx, path, &a, out));
done:
    atn_npy_release(cx, &a);
    return st;
}

/* ---- kinds ---- */

static bool begins(const atn_map *m, const char *bytes, size_t n)
{
    return m->size >= n && memcmp(m->data, bytes, n) == 0;
}

static atn_status unknown_kind(atn_ctx *cx, const char *path, const atn_map *m)
{
    const char *kind = "";

    if (begins(m, "\xff\xd8\xff", 3)) kind = "is a JPEG file, which is not read";
    if (begins(m, "GIF8", 4)) kind = "is a GIF file, which is not read";
    if (begins(m, "RIFF", 4)) kind = "is a WebP or other RIFF file, which is not read";
    if (begins(m, "P1", 2) || begins(m, "P4", 2) || begins(m, "P7", 2))
        kind = "is a Netpbm file of a kind that is not read";
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "%s: %s; give a PNG, PPM, PGM or .npy file (ImageMagick: convert "
                    "FILE photo.png)",
                    path, *kind ? kind : "is no picture of a known kind");
}

atn_status atn_image_read(atn_ctx *cx, const char *path, atn_image *out)
{
    atn_status st = ATN_OK;
    atn_map m = {NULL, 0};

    *out = (atn_image){0};
    ATN_TRY(atn_map_open(cx, path, &m));
    if (begins(&m, "\x89PNG\r\n\x1a\n", 8))
        ATN_TRY(atn_image_read_png(cx, path, m.data, m.size, out));
    else if (begins(&m, "\x93NUMPY", 6))
        ATN_TRY(read_npy(cx, path, out));
    else if (begins(&m, "P2", 2) || begins(&m, "P3", 2) || begins(&m, "P5", 2) ||
             begins(&m, "P6", 2))
        ATN_TRY(atn_image_read_pnm(cx, path, m.data, m.size, out));
    else
        ATN_TRY(unknown_kind(cx, path, &m));
done:
    atn_map_close(&m);
    if (st != ATN_OK) atn_image_release(cx, out);
    return st;
}

void atn_image_release(atn_ctx *cx, atn_image *im)
{
    atn_free(cx, im->rgb);
    atn_free(cx, im->values);
    *im = (atn_image){0};
}
