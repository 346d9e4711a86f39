/* viz/canvas.h -- a page to draw on: Cairo for shapes, Pango for text, points for units.
 *
 * Every figure draws with these few operations only. Errors are sticky in the canvas and asked
 * for once at the end.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cairo.h>

#include "core/table.h"

typedef struct atn_canvas {
    cairo_t *cr;
    double width, height; /* points, 1/72 inch */
    double font;          /* points */
} atn_canvas;

typedef enum atn_anchor { ATN_LEFT, ATN_CENTRE, ATN_RIGHT } atn_anchor;

/* Draws one line of text with its vertical middle at y; a text wider than max_width (> 0) ends
 * in an ellipsis. size is relative to the font; angle in degrees, about (x, y). */
void atn_canvas_text(atn_canvas *c, double x, double y, atn_anchor anchor, double size,
                     double angle, double max_width, const char *text);
void atn_canvas_bold(atn_canvas *c, double x, double y, atn_anchor anchor, double size,
                     double max_width, const char *text);
/* Width of a text in points. */
double atn_canvas_text_width(atn_canvas *c, double size, const char *text);
void atn_canvas_colour(atn_canvas *c, const unsigned char rgb[3]);
void atn_canvas_grey(atn_canvas *c, double level); /* 0 black .. 1 white */
void atn_canvas_rect(atn_canvas *c, double x, double y, double w,
                     double h); /* filled */
void atn_canvas_frame(atn_canvas *c, double x, double y, double w,
                      double h); /* hairline */
void atn_canvas_line(atn_canvas *c, double x0, double y0, double x1, double y1,
                     double width);

/* A label of a token: control characters, bidi overrides and line ends made visible, a leading
 * blank shown as a middle dot, at most `chars` characters. out holds size bytes. */
void atn_token_label(const char *text, int chars, char *out, size_t size);

/* ---- values to colours ---- */

typedef enum atn_scale_kind {
    ATN_SCALE_LINEAR,
    ATN_SCALE_LOG,
    ATN_SCALE_RANK
} atn_scale_kind;
#define ATN_SCALES "linear|log|rank"

typedef struct atn_scale {
    atn_scale_kind kind;
    double low, high; /* colours run between these values */
    double floor;     /* log: everything below is shown as this */
    double min, max;  /* of the data */
    double *sorted;   /* rank: the values, ascending; in the arena */
    atn_idx n;        /* finite values */
    const unsigned char (*palette)[3];
} atn_scale;

/* Looks at the finite values of m. Linear scales of values >= 0 start at 0; clip > 0 ends the
 * scale at that quantile (0..1) instead of the maximum. rank sorts a copy in the arena. */
atn_status atn_scale_fit(atn_ctx *cx, atn_cmat m, atn_scale_kind kind, double floor,
                         double clip, const char *palette,
                         atn_scale *out) ATN_WARN_UNUSED;
double atn_scale_at(const atn_scale *s, double value); /* 0..1; NaN for NaN */
/* Colour bar from (x, y) downwards, with ticks and the data's extremes below it. */
void atn_scale_bar(atn_canvas *c, const atn_scale *s, double x, double y, double w,
                   double h, const char *label);
/* Rounds a number for people: 4 significant digits at most. */
void atn_number_label(double v, char out[32]);
/* Up to `want` + 2 round positions in [low, high]; returns their number and fills ticks[16]. */
int atn_nice_ticks(double low, double high, int want, double ticks[16]);

/* Paints the matrix into the rectangle as an embedded raster with hard cell edges; NaN is grey.
 * More cells than a raster may have are pooled by their largest value; returns how many cells a
 * side were joined (1 = none). */
atn_status atn_canvas_matrix(atn_ctx *cx, atn_canvas *c, atn_cmat m, const atn_scale *s,
                             double x, double y, double w, double h,
                             atn_idx *joined) ATN_WARN_UNUSED;
/* Axis labels along a matrix of n cells: the texts where they fit (may be NULL), else numbers in
 * steps of `unit` a cell. left: along the left edge, else below. Returns the room taken. */
double atn_axis_room(atn_canvas *c, const char *const *texts, atn_idx n, double extent,
                     double unit, bool left);
void atn_axis_draw(atn_canvas *c, const char *const *texts, atn_idx n, double x,
                   double y, double extent, double unit, bool left);
