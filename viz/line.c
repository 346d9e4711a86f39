/* viz/line.c -- values against a column, one line a series.
 *
 * Accepts  a table with a numeric x column (meta `x`; default layer, else the first
 *          column) and a numeric y column (meta `y`; default the first value). Rows
 *          with a `head` (or meta `series`, whole numbers or texts) column make one
 *          line a value of it, and of each stack and step; several rows of one x and
 *          series are averaged.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/lines.h"

extern const atn_figure atn_figure_line;

static const atn_line_kind kind = {.title = NULL};

static const char *check(const atn_table *t)
{
    return atn_lines_check(t, &kind);
}

static atn_status height(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                         const atn_figure_opts *o, double *points)
{
    (void)p, (void)o;
    return atn_lines_height(cx, c, t, &kind, points);
}

static atn_status draw(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                       const atn_figure_opts *o)
{
    (void)p;
    return atn_lines_draw(cx, c, t, &kind, o);
}

const atn_figure atn_figure_line = {
    .id = "line",
    .title = "Values along a column",
    .text = "lines of one column against another, one a head or series",
    .columns = ATN_FIGURE_X | ATN_FIGURE_Y | ATN_FIGURE_SERIES,
    .check = check,
    .height = height,
    .draw = draw,
};
