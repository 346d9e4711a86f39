/* viz/line.c -- values against a column, one line a series.
 *
 * Accepts  a table with a numeric x column (meta `x`; default layer, else the first
 *          column) and a numeric y column (meta `y`; default the first value). Rows
 *          with a `head` (or meta `series`) column make one line a value of it; several
 *          rows of one x and series are averaged.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "viz/palette.h"
#include "viz/plot.h"

extern const atn_figure atn_figure_line;

static int x_col(const atn_table *t)
{
    const int layer = atn_table_find_col(t, "layer");

    return atn_meta_col(t, "x", layer >= 0 ? layer : 0);
}

static int y_col(const atn_table *t)
{
    const int first = atn_first_value_col(t);

    /* a plain table's first column is x: y is the next numeric one */
    if (first == x_col(t))
        for (int c = first + 1; c < atn_table_cols(t); c++)
            if (atn_is_number_col(t, c)) return atn_meta_col(t, "y", c);
    return atn_meta_col(t, "y", first);
}

static bool point(const atn_table *t, atn_idx r, double *x, double *y)
{
    *x = atn_table_get_f64(t, r, x_col(t));
    *y = atn_table_get_f64(t, r, y_col(t));
    return isfinite(*x) && isfinite(*y);
}

static const char *check(const atn_table *t)
{
    double x, y;

    if (atn_table_rows(t) == 0) return "it has no rows";
    if (!atn_is_number_col(t, x_col(t))) return "it has no numeric column for x";
    if (!atn_is_number_col(t, y_col(t))) return "it has no numeric column for y";
    for (atn_idx r = 0; r < atn_table_rows(t); r++)
        if (point(t, r, &x, &y)) return NULL;
    return "no row has both an x and a y";
}

static int series_col(const atn_table *t)
{
    const int head = atn_table_find_col(t, "head");
    const int col = atn_meta_col(t, "series", head);

    return col >= 0 && atn_table_col_type(t, col) == ATN_COL_I64 ? col : -1;
}

static void ranges(const atn_table *t, atn_plot_area *a)
{
    double x, y;

    a->x0 = a->y0 = INFINITY;
    a->x1 = a->y1 = -INFINITY;
    for (atn_idx r = 0; r < atn_table_rows(t); r++) {
        if (!point(t, r, &x, &y)) continue;
        a->x0 = fmin(a->x0, x);
        a->x1 = fmax(a->x1, x);
        a->y0 = fmin(a->y0, y);
        a->y1 = fmax(a->y1, y);
    }
    if (a->y0 >= 0 && (a->y0 < 0.5 * a->y1 || a->y0 == a->y1)) a->y0 = 0;
    if (a->y1 == a->y0) a->y1 = a->y0 + 1;
    a->y1 += 0.05 * (a->y1 - a->y0);
}

/* The rows of one series in table order; equal neighbouring x are averaged. A series of
 * one point is a dot. */
static void draw_series(atn_canvas *c, const atn_plot_area *a, const atn_table *t,
                        const atn_series *s, int series)
{
    double sum = 0, x_now = NAN, x, y, px = 0, py = 0;
    atn_idx n = 0, points = 0;

    atn_series_pen(c, s, series);
    for (atn_idx r = 0; r <= atn_table_rows(t); r++) {
        const bool end = r == atn_table_rows(t);

        if (!end && (!point(t, r, &x, &y) || atn_series_of(s, t, r) != series))
            continue;
        if (n > 0 && (end || x != x_now)) {
            px = atn_plot_px(a, x_now);
            py = atn_plot_py(a, sum / (double)n);
            if (points++ > 0)
                cairo_line_to(c->cr, px, py);
            else
                cairo_move_to(c->cr, px, py);
            sum = 0;
            n = 0;
        }
        if (end) break;
        x_now = x;
        sum += y;
        n++;
    }
    cairo_stroke(c->cr);
    cairo_set_dash(c->cr, NULL, 0, 0);
    if (points != 1) return;
    cairo_arc(c->cr, px, py, 2, 0, 2 * acos(-1));
    cairo_fill(c->cr);
}

static atn_status height(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                         const atn_figure_opts *o, double *points)
{
    (void)p, (void)o;
    return atn_plot_height(cx, c, t, series_col(t), points);
}

static atn_status draw(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                       const atn_figure_opts *o)
{
    atn_status st = ATN_OK;
    char label[160];
    atn_plot_area a;
    atn_series s;

    (void)p;
    ATN_TRY(atn_series_find(cx, t, series_col(t), &s));
    s.lines = true;
    ATN_TRY(atn_plot_begin(cx, c, t, &s, &a));
    ranges(t, &a);
    atn_plot_frame(c, &a, t, o, y_col(t));
    for (int i = 0; i < s.n; i++) draw_series(c, &a, t, &s, i);
    atn_col_label(t, x_col(t), label, sizeof label);
    atn_plot_x_axis(c, &a, atn_table_col_type(t, x_col(t)) == ATN_COL_I64, label);
    (void)atn_plot_legend(c, a.x, a.y + a.h + c->font * 3.2, a.w, t, &s, true);
done:
    return st;
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
