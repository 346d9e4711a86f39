/* viz/panels_internal.h -- the values of panels of curves, between gathering and
 * drawing. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "viz/panels.h"
#include "viz/sections.h"

enum { ATN_PANELS_X = 256, ATN_PANELS_BY = 64 };

/* What fell on a point of a curve: n > 0 values; 0 no row; -1 rows without a value. */
typedef struct atn_curve_sum {
    double sum;
    int n;
} atn_curve_sum;

typedef struct atn_panel_data {
    const atn_curve_kind *k;
    const atn_table *t;
    int x_col, x_high_col, y_col, by_col, other_col; /* -1 = none */
    atn_sections s;
    bool by_head, one_head, spread, relative, log;
    int n_x, n_by, n_lines, panels;
    int n_shown, *shown;                       /* the panels that have a value */
    double x[ATN_PANELS_X], by[ATN_PANELS_BY]; /* the different values, ascending */
    atn_curve_sum *y, *other;                  /* [panels, n_lines, n_x]; NULL = none */
    double *sorted;                            /* [n_lines] room for a median */
    atn_series series;                         /* the lines: heads or layers */
    double low, high, other_high;              /* of the means; low, high as drawn */
} atn_panel_data;

int atn_panel_y_col(const atn_table *t, const atn_curve_kind *k);
double atn_panel_x(const atn_panel_data *p, atn_idx row); /* NaN = has none */
atn_status atn_panel_gather(atn_ctx *cx, const atn_table *t, atn_panels with,
                            atn_panel_data *p) ATN_WARN_UNUSED;
/* The n_x points of a curve. */
const atn_curve_sum *atn_panel_curve(const atn_panel_data *p, const atn_curve_sum *of,
                                     int panel, int line);
/* As it is drawn: its logarithm where the axis is one; NaN = nothing to be drawn. */
double atn_panel_value(const atn_panel_data *p, const atn_curve_sum *at);
/* Quartiles of the lines of a panel at x[i], of `of` as it is drawn; false where fewer
 * than half of them have a value. */
bool atn_panel_quartiles(const atn_panel_data *p, const atn_curve_sum *of, int panel,
                         int i, double q[3]);
