/* capture/image_png.c -- PNG files through libpng, see image.h.
 *
 * Limits  the size is looked at before anything is unpacked, and a file that cannot
 *         hold so much is refused: deflate packs at most 1032 to 1; errors of libpng
 *         come back by its longjmp and are ours from there on; its warnings are not
 *         shown.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include "capture/image_internal.h"

enum { SIDE_MOST = 1 << 20, CHUNK_MOST = 8 << 20, PACKED_MOST = 1040 };

/* All that lives over a jump. */
typedef struct reader {
    png_structp png;
    png_infop info;
    const unsigned char *data;
    size_t size, at;
    int pixel_bits; /* in the file */
    png_bytep *rows;
    char error[128];
} reader;

static void on_error(png_structp png, png_const_charp text)
{
    reader *r = png_get_error_ptr(png);

    snprintf(r->error, sizeof r->error, "%s", text);
    longjmp(png_jmpbuf(png), 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png, (void)text;
}

static void read_bytes(png_structp png, png_bytep to, size_t n)
{
    reader *r = png_get_io_ptr(png);

    if (n > r->size - r->at) png_error(png, "the file is cut short");
    memcpy(to, r->data + r->at, n);
    r->at += n;
}

/* The header and what is to become RGB of 8 bits; false after an error. */
static bool read_header(reader *r)
{
    if (setjmp(png_jmpbuf(r->png))) return false;
    png_set_read_fn(r->png, r, read_bytes);
    png_set_user_limits(r->png, SIDE_MOST, SIDE_MOST);
    png_set_chunk_malloc_max(r->png, CHUNK_MOST);
    png_read_info(r->png, r->info);
    r->pixel_bits =
        png_get_channels(r->png, r->info) * png_get_bit_depth(r->png, r->info);
    png_set_expand(r->png);
    png_set_strip_16(r->png);
    png_set_gray_to_rgb(r->png);
    png_set_strip_alpha(r->png);
    png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->info);
    return true;
}

static bool read_pixels(reader *r)
{
    if (setjmp(png_jmpbuf(r->png))) return false;
    png_read_image(r->png, r->rows);
    png_read_end(r->png, NULL);
    return true;
}

/* The rows as they are in the file, before they become RGB. */
static atn_status check_size(atn_ctx *cx, const char *path, const reader *r)
{
    const double height = png_get_image_height(r->png, r->info),
                 width = png_get_image_width(r->png, r->info);
    const double bits = width * r->pixel_bits;

    if (height * bits / 8 <= PACKED_MOST * (double)r->size) return ATN_OK;
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "%s: unsound PNG: %zu bytes cannot hold a picture of %.0fx%.0f",
                    path, r->size, height, width);
}

static atn_status unpack(atn_ctx *cx, const char *path, reader *r, atn_image *out)
{
    atn_status st = ATN_OK;

    if (!read_header(r)) ATN_FAIL(ATN_DATA, "%s: unsound PNG: %s", path, r->error);
    ATN_TRY(check_size(cx, path, r));
    ATN_TRY(atn_image_new(cx, path, png_get_image_height(r->png, r->info),
                          png_get_image_width(r->png, r->info), out));
    if (png_get_rowbytes(r->png, r->info) != (size_t)(3 * out->width))
        ATN_FAIL(ATN_DATA, "%s: a PNG of a kind that does not become RGB", path);
    ATN_NEW(r->rows, out->height);
    for (atn_idx y = 0; y < out->height; y++)
        r->rows[y] = out->rgb + 3 * y * out->width;
    if (!read_pixels(r)) ATN_FAIL(ATN_DATA, "%s: unsound PNG: %s", path, r->error);
done:
    return st;
}

atn_status atn_image_read_png(atn_ctx *cx, const char *path, const unsigned char *data,
                              size_t size, atn_image *out)
{
    atn_status st = ATN_OK;
    reader r = {.data = data, .size = size};

    r.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, on_error, on_warning);
    if (r.png) r.info = png_create_info_struct(r.png);
    if (!r.info) ATN_FAIL(ATN_MEMORY, "%s: no memory for libpng", path);
    ATN_TRY(unpack(cx, path, &r, out));
done:
    if (r.png) png_destroy_read_struct(&r.png, &r.info, NULL);
    atn_free(cx, r.rows);
    return st;
}
