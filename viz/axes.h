/* viz/axes.h -- axes that are linear or go by logarithms, of plots that place points.
 *
 * Limits  what is not above 0 stands at the edge of a logarithm.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "viz/plot.h"

enum { ATN_AXIS_AUTO, ATN_AXIS_LINEAR, ATN_AXIS_LOG };

typedef struct atn_axis {
    bool log;
    double lo, hi; /* the edges, of a logarithm in powers of ten */
    double tick[16];
    int ticks;
} atn_axis;

/* Of n finite values. AUTO: a logarithm where the largest is thirty times the least
 * above 0. from_zero: a linear one begins at 0 where no value is below. */
atn_axis atn_axis_of(const double *v, atn_idx n, int asked, bool from_zero);
/* Ticks at these values, where they are few enough and far enough apart. */
void atn_axis_tick_at(atn_axis *x, const double *v, int n);
double atn_axis_place(const atn_axis *x, double v); /* as the edges */
/* Is it put at the edge of a logarithm for want of a place? */
bool atn_axis_is_below(const atn_axis *x, double v);
/* Sets the edges of the area, and draws rules, ticks, frame and labels. */
void atn_axes_draw(atn_canvas *c, atn_plot_area *a, const atn_axis *x,
                   const atn_axis *y, const char *x_label, const char *y_label);
/* At the foot of the canvas: how many points are hollow for they are below; where there
 * are any. */
void atn_axes_say_below(atn_canvas *c, const atn_plot_area *a, int below, int all);
