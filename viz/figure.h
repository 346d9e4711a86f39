/* viz/figure.h -- a figure: a table in, a drawing out; no figure computes anything
 * else.
 *
 * A new figure is one file viz/<id>.c and one line in figures.def.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/param.h"
#include "core/table.h"
#include "viz/canvas.h"

typedef struct atn_figure_opts {
    double width_in, height_in; /* inches, 0 = 5.5 and as high as it needs */
    double font_pt;             /* 0 = 8 */
    double dpi;                 /* of PNG alone, 0 = 300 */
    const char *palette;        /* NULL = viridis */
    const char *scale;          /* linear, log, rank; NULL = the figure's own */
    const char *title;          /* NULL = the table's */
    const char *params; /* key=value,... of the figure's table; NULL = defaults */
} atn_figure_opts;

/* Meta x, y and series of the table name columns; with YS y names several, "a,b,c". */
enum { ATN_FIGURE_X = 1, ATN_FIGURE_Y = 2, ATN_FIGURE_SERIES = 4, ATN_FIGURE_YS = 8 };

typedef struct atn_figure {
    const char *id, *title;
    const char *text;        /* one line of help: what it shows, of which table */
    const atn_param *params; /* NULL = none */
    size_t params_size;
    const char *scale; /* default scale, NULL = has no colours for values */
    bool palette;      /* has colours of a palette all the same */
    unsigned columns;  /* ATN_FIGURE_X, ..: the columns that a user may name */
    /* NULL when the table fits, else the reason. */
    const char *(*check)(const atn_table *t);
    /* Height in points that suits the canvas, on which nothing is drawn yet. */
    atn_status (*height)(atn_ctx *cx, atn_canvas *c, const atn_table *t,
                         const void *params, const atn_figure_opts *o, double *points);
    atn_status (*draw)(atn_ctx *cx, atn_canvas *c, const atn_table *t,
                       const void *params, const atn_figure_opts *o);
} atn_figure;

extern const atn_figure *const atn_figures[];      /* by id, NULL-terminated */
const atn_figure *atn_figure_find(const char *id); /* NULL = none */

/* Draws to PATH as its ending says: .svg, .pdf or .png. USAGE for another ending, an
 * option out of range or a table that does not fit (with the reason); CANTCREATE when
 * the file exists and !force. With SOURCE_DATE_EPOCH the same table gives the same
 * bytes. */
atn_status atn_figure_draw(atn_ctx *cx, const atn_figure *f, const atn_table *t,
                           const atn_figure_opts *o, const char *path,
                           bool force) ATN_WARN_UNUSED;
/* The same as SVG text in heap memory. */
atn_status atn_figure_svg(atn_ctx *cx, const atn_figure *f, const atn_table *t,
                          const atn_figure_opts *o, char **svg,
                          size_t *n) ATN_WARN_UNUSED;

/* "3.25in", "84mm", "20cm", "400pt" or inches without unit. */
atn_status atn_parse_length(atn_ctx *cx, const char *what, const char *text,
                            double *inches) ATN_WARN_UNUSED;

/* ---- for the figures themselves ---- */

/* Title and subtitle of the table (or of the options) at the top; returns the y below
 * them. A matrix whose cells were pooled, or joined (> 1) to be drawn, is said to be
 * so. */
double atn_figure_heading(atn_canvas *c, const atn_table *t, const atn_figure_opts *o,
                          atn_idx joined);
double atn_heading_height(const atn_table *t, atn_idx joined, double font);

/* What --params says about colours. */
typedef struct atn_colours {
    double floor, clip;
} atn_colours;
extern const atn_param atn_colour_params[];
/* The scale of the options, or `def`, fitted to the matrix. */
atn_status atn_figure_scale(atn_ctx *cx, atn_cmat m, const atn_colours *p,
                            const atn_figure_opts *o, const char *def,
                            atn_scale *out) ATN_WARN_UNUSED;
/* The same for a matrix of attention weights. Pooled by sum (meta pool) it holds masses
 * of blocks: then the scale is log where the options name none, and the usual floor
 * that of a row of the block. */
atn_status atn_weight_scale(atn_ctx *cx, const atn_table *t, const atn_colours *p,
                            const atn_figure_opts *o, const char *def,
                            atn_scale *out) ATN_WARN_UNUSED;
const char *atn_weight_label(const atn_table *t); /* what its cells are */
/* meta `key` as a number; def where it is none. */
double atn_meta_number(const atn_table *t, const char *key, double def);
