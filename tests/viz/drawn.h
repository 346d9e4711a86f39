/* tests/viz/drawn.h -- figures drawn for a test: their pixels by colour. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "check.h"

#include "viz/figure.h"

static const unsigned char DRAWN_WHITE[3] = {255, 255, 255};
static const unsigned char DRAWN_MASKED[3] = {209, 209, 214}; /* .82 .82 .84 */

/* A file in a scratch place of this test program alone: tests run side by side. */
static inline void drawn_path(const char *name, char path[700])
{
    const char *slash = strrchr(__BASE_FILE__, '/');

    snprintf(path, 700, "%s/%s", check_scratch(slash ? slash + 1 : __BASE_FILE__),
             name);
}

/* The table that a CSV holds. */
static inline atn_table *drawn_table(atn_ctx *cx, const char *csv)
{
    atn_table *t = NULL;
    char path[700];
    FILE *f;

    drawn_path("t.csv", path);
    f = fopen(path, "w");
    CHECK(f && fputs(csv, f) >= 0);
    fclose(f);
    CHECK_OK(atn_table_load(cx, path, &t));
    return t;
}

/* A part of a drawing, as shares of its width and height. */
typedef struct drawn_part {
    double x0, x1, y0, y1;
} drawn_part;
static const drawn_part DRAWN_ALL = {0, 1, 0, 1};

/* Pixels of this colour in a part of a figure drawn with these options at 144 dpi. */
static inline int drawn_in(atn_ctx *cx, const char *figure, const atn_table *t,
                           const atn_figure_opts *o, const unsigned char rgb[3],
                           drawn_part part)
{
    const uint32_t want = (uint32_t)rgb[0] << 16 | (uint32_t)rgb[1] << 8 | rgb[2];
    atn_figure_opts with = *o;
    cairo_surface_t *image;
    char path[700];
    int n = 0, w, h;

    with.dpi = 144;
    drawn_path("c.png", path);
    CHECK_OK(atn_figure_draw(cx, atn_figure_find(figure), t, &with, path, true));
    image = cairo_image_surface_create_from_png(path);
    CHECK(cairo_surface_status(image) == CAIRO_STATUS_SUCCESS);
    w = cairo_image_surface_get_width(image);
    h = cairo_image_surface_get_height(image);
    for (int y = (int)(part.y0 * h); y < (int)(part.y1 * h); y++) {
        const uint32_t *row =
            (const uint32_t *)(const void *)(cairo_image_surface_get_data(image) +
                                             (ptrdiff_t)y *
                                                 cairo_image_surface_get_stride(image));
        for (int x = (int)(part.x0 * w); x < (int)(part.x1 * w); x++)
            n += (row[x] & 0xffffff) == want;
    }
    cairo_surface_destroy(image);
    return n;
}

static inline int drawn_with(atn_ctx *cx, const char *figure, const atn_table *t,
                             const atn_figure_opts *o, const unsigned char rgb[3])
{
    return drawn_in(cx, figure, t, o, rgb, DRAWN_ALL);
}

static inline int drawn_pixels(atn_ctx *cx, const char *figure, const atn_table *t,
                               const unsigned char rgb[3])
{
    return drawn_with(cx, figure, t, &(atn_figure_opts){0}, rgb);
}

/* The figure can or cannot be drawn of the table. */
static inline void drawn_fails(atn_ctx *cx, const char *figure, const atn_table *t,
                               const char *part)
{
    char *svg = NULL;
    size_t n = 0;

    CHECK_FAILS(
        atn_figure_svg(cx, atn_figure_find(figure), t, &(atn_figure_opts){0}, &svg, &n),
        ATN_USAGE, part);
}
