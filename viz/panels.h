/* viz/panels.h -- curves of heads over values of x, in small panels or one line a
 * layer.
 *
 * A table has one row a head and value of x. Either every layer has a panel and every
 * head a line, or every stack and step has a panel and every layer a line, the mean of
 * its heads; a column may split the panels further. Many heads of a panel are drawn
 * faintly below their median and the band of their middle half.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "viz/plot.h"

typedef enum atn_lines {
    ATN_LINES_AUTO,
    ATN_LINES_HEADS,
    ATN_LINES_LAYERS,
    ATN_LINES_SPREAD
} atn_lines;
#define ATN_LINES_CHOICES        "auto|heads|layers"
#define ATN_LINES_CHOICES_SPREAD "auto|heads|layers|spread" /* of a kind with spread */

typedef enum atn_y_axis { ATN_Y_AUTO, ATN_Y_LINEAR, ATN_Y_LOG } atn_y_axis;
#define ATN_Y_AXIS_CHOICES "auto|linear|log"

/* The curves of a figure. */
typedef struct atn_curve_kind {
    const char *title;    /* of the first y; NULL = what its column holds */
    const char *x, *lack; /* the column of x; what is said where there is none */
    const char *fewer;    /* what helps against too many values of x */
    const char *x_label;
    const char *const (
        *y)[2];      /* columns with their labels, {NULL} at the end; first the usual */
    int panels_most; /* auto: heads have lines up to so many panels */
    void (*tick)(double x, char *out, size_t size); /* the label of a value of x */
    bool (*marked)(double x); /* has a rule across the panel; NULL = none */

    /* The values of x stand at equal steps, with `tick`; or, numeric, where they are,
     * between from and to at least. */
    bool numeric;
    double from, to;
    const char *x_high; /* x is the middle between both columns where there are both */
    const char *by;     /* a column that splits the panels; NULL = none */
    const char *other; /* a second column, dashed, by an axis of its own on the right */
    const char *relative; /* this y is shown by its value at the first x */
    const char *relative_label;
    bool spread; /* more heads than there are colours are drawn as their spread */
    bool loose;  /* y need not begin at 0; a wide range is drawn by its logarithm */
} atn_curve_kind;

typedef struct atn_panels_params {
    int lines;     /* atn_lines */
    int axis;      /* atn_y_axis, of a loose kind */
    bool absolute; /* nothing is relative */
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
