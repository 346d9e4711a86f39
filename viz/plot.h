/* viz/plot.h -- what line and bar plots share: columns by name, a frame with ticks, a legend. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "viz/figure.h"

enum { ATN_SERIES_MAX = 64 };

typedef struct atn_plot_area {
    double x, y, w, h;     /* points */
    double x0, x1, y0, y1; /* data at the edges */
} atn_plot_area;

bool atn_is_number_col(const atn_table *t, int col);
/* stack, step, layer, head, ...: what a row is about, not what it says. */
bool atn_is_key_col(const atn_table *t, int col);
/* First numeric column that is no key; -1 = none. */
int atn_first_value_col(const atn_table *t);
/* meta `key` as a column index; def when absent, -1 when the table has no such column. */
int atn_meta_col(const atn_table *t, const char *key, int def);
/* "entropy_mean_nats" -> "entropy mean (nats)" where the unit is known. */
void atn_col_label(const atn_table *t, int col, char *out, size_t size);
/* The figure's heading; a table without a title is headed by what the column holds. */
double atn_plot_heading(atn_canvas *c, const atn_table *t, const atn_figure_opts *o,
                        int col);
double atn_plot_px(const atn_plot_area *a, double x);
double atn_plot_py(const atn_plot_area *a, double y);
/* Frame, y ticks with light rules, and the y label. */
void atn_plot_frame(atn_canvas *c, const atn_plot_area *a, const char *y_label);
/* Swatches and names below the plot, wrapped; returns the height they take at this width. With
 * draw false nothing is painted. */
double atn_plot_legend(atn_canvas *c, double x, double y, double width,
                       const char *const *names, int n, bool draw);
