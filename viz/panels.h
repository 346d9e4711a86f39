/* viz/panels.h -- curves of heads over a few values of x, in small panels or one line a
 * layer.
 *
 * A table has one row a head and value of x. Either every layer has a panel and every
 * head a line, or every stack and step has a panel and every layer a line, the mean of
 * its heads.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "viz/plot.h"

typedef enum atn_lines { ATN_LINES_AUTO, ATN_LINES_HEADS, ATN_LINES_LAYERS } atn_lines;
#define ATN_LINES_CHOICES "auto|heads|layers"

/* The curves of a figure. */
typedef struct atn_curve_kind {
    const char *x, *lack; /* the column of x; what is said where there is none */
    const char *x_label;
    const char *const (
        *y)[2];      /* columns with their labels, {NULL} at the end; first the usual */
    int panels_most; /* auto: heads have lines up to so many layers, and 16 heads */
    void (*tick)(double x, char *out, size_t size); /* the label of a value of x */
    bool (*marked)(double x); /* has a rule across the panel; NULL = none */
} atn_curve_kind;

typedef struct atn_panels_params {
    int lines; /* atn_lines */
} atn_panels_params;

/* These curves with the parameters of the figure, NULL = the usual ones. */
typedef struct atn_panels {
    const atn_curve_kind *kind;
    const atn_panels_params *params;
} atn_panels;

/* Why t has no curves; NULL = it has. */
const char *atn_panels_check(const atn_table *t, const atn_curve_kind *kind);
atn_status atn_panels_height(atn_ctx *cx, atn_canvas *c, const atn_table *t,
                             atn_panels k, double *points) ATN_WARN_UNUSED;
atn_status atn_panels_draw(atn_ctx *cx, atn_canvas *c, const atn_table *t, atn_panels k,
                           const atn_figure_opts *o) ATN_WARN_UNUSED;
