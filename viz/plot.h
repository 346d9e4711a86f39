/* viz/plot.h -- what line and bar plots share: columns by name, a frame with ticks, a
 * legend. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "viz/figure.h"

enum { ATN_SERIES_MAX = 4096, ATN_LEGEND_NAMES = 16 };

/* The different values of a column, in the arena: whole numbers ascending, texts in
 * order of appearance. */
typedef struct atn_series {
    int col; /* -1 = none: one series */
    int n;
    int64_t *ids;
    const char **names; /* of texts, instead of ids */
    int *of;            /* of texts: [rows] the series */
    bool lines;         /* drawn as lines: the legend shows a piece of each */
    bool marks;         /* points have, and lines too, with dashes however few */
    bool hollow;        /* marks are outlines */
} atn_series;

/* USAGE above ATN_SERIES_MAX. */
atn_status atn_series_find(atn_ctx *cx, const atn_table *t, int col,
                           atn_series *out) ATN_WARN_UNUSED;
int atn_series_of(const atn_series *s, const atn_table *t, atn_idx row);

/* Colour, width and dashes of a series' line. Of more series than there are colours
 * apart, those with colours alike differ in their dashes. */
void atn_series_pen(atn_canvas *c, const atn_series *s, int i);
/* The outline of a mark about (x, y), so many times as large as that of a series, as a
 * path: a disc first. */
enum { ATN_MARKS = 7 };
void atn_mark_path(atn_canvas *c, int shape, double x, double y, double times);
/* Its mark, of a shape of its own, about (x, y). */
void atn_series_mark(atn_canvas *c, const atn_series *s, int i, double x, double y);

typedef struct atn_plot_area {
    double x, y, w, h;     /* points */
    double x0, x1, y0, y1; /* data at the edges */
} atn_plot_area;

bool atn_is_number_col(const atn_table *t, int col);
/* stack, step, layer, head, ...: what a row is about, not what it says. */
bool atn_is_key_col(const atn_table *t, int col);
/* First numeric column that is no key and has a number in some row; without such a one
 * the first of them, and -1 = none. */
int atn_first_value_col(const atn_table *t);
/* meta `key` as a column index; def when absent, -1 when the table has no such
 * column. */
int atn_meta_col(const atn_table *t, const char *key, int def);
/* "entropy_mean_nats" -> "entropy mean (nats)" where the unit is known. */
void atn_col_label(const atn_table *t, int col, char *out, size_t size);
/* Height that suits a plot with this column of series. */
atn_status atn_plot_height(atn_ctx *cx, atn_canvas *c, const atn_table *t,
                           int series_col, double *points) ATN_WARN_UNUSED;
/* The same with series that are found. */
atn_status atn_plot_height_of(atn_ctx *cx, atn_canvas *c, const atn_table *t,
                              const atn_series *s, double *points) ATN_WARN_UNUSED;
/* The rectangle between heading, labels and legend; USAGE when nothing is left of the
 * page. */
atn_status atn_plot_begin(atn_ctx *cx, atn_canvas *c, const atn_table *t,
                          const atn_series *s, atn_plot_area *a) ATN_WARN_UNUSED;
/* A single x (x0 = x1) has no extent: it stands in the middle. */
double atn_plot_px(const atn_plot_area *a, double x);
double atn_plot_py(const atn_plot_area *a, double y);
/* Heading; a table without a title is headed by what the column holds. */
void atn_plot_heading(atn_canvas *c, const atn_table *t, const atn_figure_opts *o,
                      int col);
/* Heading, frame, y ticks with light rules, and the column's label. */
void atn_plot_frame(atn_canvas *c, const atn_plot_area *a, const atn_table *t,
                    const atn_figure_opts *o, int col);
/* The same with another label. */
void atn_plot_frame_as(atn_canvas *c, const atn_plot_area *a, const atn_table *t,
                       const atn_figure_opts *o, int col, const char *label);
/* Ticks and label below the frame; whole: at whole numbers alone. */
void atn_plot_x_axis(atn_canvas *c, const atn_plot_area *a, bool whole,
                     const char *label);

/* Marks and names, wrapped at width. */
typedef struct atn_legend {
    double x, y, width;
    int n;
    void (*name)(const void *state, int i, char *out, size_t size);
    /* Draws at x, which has font * 1.3 of room, about y. */
    void (*mark)(atn_canvas *c, const void *state, int i, double x, double y);
    const void *state;
    const char *more; /* said at the end; NULL = nothing */
} atn_legend;
/* A mark: a piece of the colour of a category. */
void atn_legend_swatch(atn_canvas *c, int category, double x, double y);
/* Returns the height it takes; with draw false nothing is painted. */
double atn_legend_draw(atn_canvas *c, const atn_legend *l, bool draw);

/* Swatches and names below the plot, wrapped; returns the height they take at this
 * width, 0 for a single series of numbers. Of many series only some are named, and how
 * many is said. With draw false nothing is painted. */
double atn_plot_legend(atn_canvas *c, double x, double y, double width,
                       const atn_table *t, const atn_series *s, bool draw);
