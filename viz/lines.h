/* viz/lines.h -- lines of one column against another, one a series.
 *
 * Stacks and steps have series of their own, unless they are x or the series.
 * Rows of one x that follow one another in a series are averaged. Where x goes back the
 * line is broken: there the rows are of something else.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "viz/plot.h"

typedef struct atn_line_kind {
    const char *title;          /* NULL = what the column of y holds */
    const char *x, *y, *series; /* the usual columns; NULL = those of figure line */
    const char *x_label;        /* NULL = of its column */
    const char *const (*y_labels)[2]; /* columns and what stands for them, {NULL}; or
                                         NULL */
    bool marks; /* points have marks; lines differ in dashes, too, for they coincide */
} atn_line_kind;

/* Why t has no lines; NULL = it has. */
const char *atn_lines_check(const atn_table *t, const atn_line_kind *k);
atn_status atn_lines_height(atn_ctx *cx, atn_canvas *c, const atn_table *t,
                            const atn_line_kind *k, double *points) ATN_WARN_UNUSED;
/* A column whose name says that it is a share runs from 0 to 1. */
atn_status atn_lines_draw(atn_ctx *cx, atn_canvas *c, const atn_table *t,
                          const atn_line_kind *k,
                          const atn_figure_opts *o) ATN_WARN_UNUSED;
