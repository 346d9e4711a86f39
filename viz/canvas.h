/* viz/canvas.h -- a page to draw on: Cairo for shapes, Pango for text, points for
 * units.
 *
 * Every figure draws with these few operations only. Errors are sticky in the canvas
 * and asked for once at the end.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cairo.h>

#include "core/table.h"

typedef struct atn_canvas {
    cairo_t *cr;
    double width, height; /* points, 1/72 inch; height INFINITY while it is asked for */
    double font;          /* points */
} atn_canvas;

typedef enum atn_anchor { ATN_LEFT, ATN_CENTRE, ATN_RIGHT } atn_anchor;

/* Draws one line of text with its vertical middle at y; a text wider than max_width (>
 * 0) ends in an ellipsis. size is relative to the font; angle in degrees, about (x,
 * y). */
void atn_canvas_text(atn_canvas *c, double x, double y, atn_anchor anchor, double size,
                     double angle, double max_width, const char *text);
void atn_canvas_bold(atn_canvas *c, double x, double y, atn_anchor anchor, double size,
                     double max_width, const char *text);
/* A text of several lines, broken between words, centred at x, the first line's top at
 * y. Returns its height; with draw false nothing is painted. */
typedef struct atn_note {
    double x, y, width, size;
    const char *text;
} atn_note;
double atn_canvas_note(atn_canvas *c, const atn_note *n, bool draw);
/* Width of a text in points. */
double atn_canvas_text_width(atn_canvas *c, double size, const char *text);
void atn_canvas_colour(atn_canvas *c, const unsigned char rgb[3]);
void atn_canvas_grey(atn_canvas *c, double level); /* 0 black .. 1 white */
/* The grey of a cell without a value, which is no colour of any scale. */
void atn_canvas_masked(atn_canvas *c);
/* The ink that is read on this colour. */
void atn_canvas_ink(atn_canvas *c, const unsigned char rgb[3]);
void atn_canvas_rect(atn_canvas *c, double x, double y, double w,
                     double h); /* filled */
void atn_canvas_frame(atn_canvas *c, double x, double y, double w,
                      double h); /* hairline */
void atn_canvas_line(atn_canvas *c, double x0, double y0, double x1, double y1,
                     double width);

/* A label of a token: control characters, bidi overrides and line ends made visible, a
 * leading blank shown as a middle dot, at most `chars` characters. out holds size
 * bytes. */
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
    double clip;      /* quantile where the colours end, 0 = the maximum */
    double min, max;  /* of the data */
    double *sorted;   /* rank: the values, ascending; in the arena */
    atn_idx n;        /* finite values */
    const unsigned char (*palette)[3];
} atn_scale;

/* Looks at the finite values of m. Linear scales of values >= 0 start at 0; clip > 0
 * ends the scale at that quantile (0..1) instead of the maximum. rank sorts a copy in
 * the arena. */
atn_status atn_scale_fit(atn_ctx *cx, atn_cmat m, atn_scale_kind kind, double floor,
                         double clip, const char *palette,
                         atn_scale *out) ATN_WARN_UNUSED;
double atn_scale_at(const atn_scale *s, double value); /* 0..1; NaN for NaN */
/* Position (0..1 from the bottom of a colour bar) and value of up to 16 ticks. */
int atn_scale_ticks(const atn_scale *s, double at[16], double value[16]);
/* Colour bar from (x, y) downwards beside a drawing that is `beside` points high, with
 * ticks and the data's extremes below it. bar_room is the width that it takes with a
 * gap on its left, bar_height its height with what stands below. */
void atn_scale_bar(atn_canvas *c, const atn_scale *s, double x, double y, double beside,
                   const char *label);
double atn_scale_bar_room(atn_canvas *c, const atn_scale *s);
double atn_scale_bar_height(const atn_canvas *c, const atn_scale *s, double beside);
/* Rounds a number for people: 4 significant digits at most. */
void atn_number_label(double v, char out[32]);
/* Up to `want` + 2 round positions in [low, high]; returns their number and fills
 * ticks[16]. */
int atn_nice_ticks(double low, double high, int want, double ticks[16]);
/* The smallest of 1, 2, 5, 10, 20, ... whose labels are `need` points apart when
 * neighbours are `cell` apart. */
double atn_label_step(double cell, double need);

/* How many cells a side are joined to one, so that `panels` rasters with this many
 * cells on their longer side stay within one page's pixels; 1 = none. */
atn_idx atn_raster_join(atn_idx cells, atn_idx panels);
/* Paints one of `panels` matrices into the rectangle as an embedded raster with hard
 * cell edges; NaN is grey, cells that are joined show their largest value. */
atn_status atn_canvas_matrix(atn_ctx *cx, atn_canvas *c, atn_cmat m, const atn_scale *s,
                             double x, double y, double w, double h,
                             atn_idx panels) ATN_WARN_UNUSED;

/* A ruler along a matrix: the texts where they fit, else numbers. */
typedef struct atn_ruler {
    const char *const *texts; /* one a cell; NULL = numbers */
    bool names;   /* texts that do not fit are skipped, not replaced by numbers */
    double total; /* positions */
    double unit;  /* positions that a cell joins */
    double cell;  /* points a cell */
    double step;  /* positions between numbers */
    bool left;    /* along the left edge, else below */
} atn_ruler;

/* Are the texts skipped, so that only every step-th shows? */
bool atn_ruler_skips(const atn_canvas *c, const atn_ruler *a);
/* The step at which numbers or names do not touch; both axes of a matrix take the
 * larger one. */
double atn_ruler_step(atn_canvas *c, const atn_ruler *a);
double atn_ruler_room(atn_canvas *c, const atn_ruler *a); /* points beside the matrix */
void atn_ruler_draw(atn_canvas *c, const atn_ruler *a, double x, double y);

/* USAGE when a drawing of w x h points is too small beside text of this size. */
atn_status atn_canvas_fits(atn_ctx *cx, const atn_canvas *c, double w,
                           double h) ATN_WARN_UNUSED;
