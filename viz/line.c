/* viz/line.c -- values against a column, one line a series.
 *
 * Accepts  a table with a numeric x column (meta `x`; default layer, else the first column) and a
 *          numeric y column (meta `y`; default the first value). Rows with a `head` (or meta `series`)
 *          column make one line a value of it; several rows of one x and series are averaged.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

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

static const char *check(const atn_table *t)
{
    if (atn_table_rows(t) == 0) return "it has no rows";
    if (!atn_is_number_col(t, x_col(t))) return "it has no numeric column for x";
    if (!atn_is_number_col(t, y_col(t))) return "it has no numeric column for y";
    return NULL;
}

static double height(const atn_table *t, const void *p, double width, double font)
{
    (void)p, (void)width;
    return atn_heading_height(t, font) + font * 26;
}

static int series_col(const atn_table *t)
{
    const int head = atn_table_find_col(t, "head");
    const int col = atn_meta_col(t, "series", head);

    return col >= 0 && atn_table_col_type(t, col) == ATN_COL_I64 ? col : -1;
}

static bool point(const atn_table *t, atn_idx r, double *x, double *y)
{
    *x = atn_table_get_f64(t, r, x_col(t));
    *y = atn_table_get_f64(t, r, y_col(t));
    return isfinite(*x) && isfinite(*y);
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
    if (!(a->x1 >= a->x0)) *a = (atn_plot_area){a->x, a->y, a->w, a->h, 0, 1, 0, 1};
    if (a->x1 == a->x0) a->x1 = a->x0 + 1;
    if (a->y0 >= 0 && a->y0 < 0.5 * a->y1) a->y0 = 0;
    if (a->y1 == a->y0) a->y1 = a->y0 + 1;
    a->y1 += 0.05 * (a->y1 - a->y0);
}

/* The rows of one series in table order; equal neighbouring x are averaged. */
static void draw_series(atn_canvas *c, const atn_plot_area *a, const atn_table *t,
                        int64_t id, const unsigned char *colour)
{
    const int col = series_col(t);
    double sum = 0, x_now = NAN, x, y;
    atn_idx n = 0;
    bool open = false;

    atn_canvas_colour(c, colour);
    cairo_set_line_width(c->cr, 1);
    for (atn_idx r = 0; r <= atn_table_rows(t); r++) {
        const bool end = r == atn_table_rows(t);
        if (!end &&
            (!point(t, r, &x, &y) || (col >= 0 && atn_table_get_i64(t, r, col) != id)))
            continue;
        if (n > 0 && (end || x != x_now)) {
            const double px = atn_plot_px(a, x_now),
                         py = atn_plot_py(a, sum / (double)n);
            if (open)
                cairo_line_to(c->cr, px, py);
            else
                cairo_move_to(c->cr, px, py);
            open = true;
            sum = 0;
            n = 0;
        }
        if (end) break;
        x_now = x;
        sum += y;
        n++;
    }
    cairo_stroke(c->cr);
}

static void x_axis(atn_canvas *c, const atn_plot_area *a, const atn_table *t)
{
    double ticks[16];
    const bool whole = atn_table_col_type(t, x_col(t)) == ATN_COL_I64;
    const int n = atn_nice_ticks(a->x0, a->x1, 6, ticks);
    char text[160];

    atn_canvas_grey(c, 0.15);
    for (int i = 0; i < n; i++) {
        if (whole && ticks[i] != floor(ticks[i])) continue;
        atn_number_label(ticks[i], text);
        atn_canvas_line(c, atn_plot_px(a, ticks[i]), a->y + a->h,
                        atn_plot_px(a, ticks[i]), a->y + a->h + 2, 0.5);
        atn_canvas_text(c, atn_plot_px(a, ticks[i]), a->y + a->h + c->font, ATN_CENTRE,
                        0.9, 0, 0, text);
    }
    atn_col_label(t, x_col(t), text, sizeof text);
    atn_canvas_text(c, a->x + a->w / 2, a->y + a->h + c->font * 2.3, ATN_CENTRE, 0.95,
                    0, a->w, text);
}

static atn_status draw(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                       const atn_figure_opts *o)
{
    const int col = series_col(t);
    const double top = atn_plot_heading(c, t, o, y_col(t)), left = c->font * 6;
    atn_plot_area a = {left, top, c->width - left - c->font * 1.5, 0, 0, 1, 0, 1};
    int64_t ids[ATN_SERIES_MAX] = {0};
    const char *names[ATN_SERIES_MAX];
    char texts[ATN_SERIES_MAX][64], label[160];
    int n = col < 0;
    double legend;

    (void)cx, (void)p;
    for (atn_idx r = 0; col >= 0 && r < atn_table_rows(t); r++) {
        const int64_t id = atn_table_get_i64(t, r, col);
        int k = 0;
        while (k < n && ids[k] != id) k++;
        if (k == n && n < ATN_SERIES_MAX) ids[n++] = id;
    }
    for (int i = 0; i < n; i++) {
        snprintf(texts[i], sizeof texts[i], "%.40s %lld",
                 col >= 0 ? atn_table_col_name(t, col) : "", (long long)ids[i]);
        names[i] = texts[i];
    }
    legend = n > 1 ? atn_plot_legend(c, a.x, 0, a.w, names, n, false) : 0;
    a.h = c->height - top - legend - c->font * 3.8;
    ranges(t, &a);
    atn_col_label(t, y_col(t), label, sizeof label);
    atn_plot_frame(c, &a, label);
    for (int i = 0; i < n; i++) draw_series(c, &a, t, ids[i], atn_palette_series(i, n));
    x_axis(c, &a, t);
    if (n > 1)
        (void)atn_plot_legend(c, a.x, a.y + a.h + c->font * 3.2, a.w, names, n, true);
    return ATN_OK;
}

const atn_figure atn_figure_line = {
    .id = "line",
    .title = "Values along a column",
    .text = "lines of one column against another, one a head or series",
    .check = check,
    .height = height,
    .draw = draw,
};
