/* viz/bars.c -- one value of every head, heads grouped by layer.
 *
 * Accepts  a table with columns layer and head and a numeric column: the one that meta `y` names, or
 *          the first. Other tables: one bar a row, labelled by the first text or key column.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "viz/palette.h"
#include "viz/plot.h"

extern const atn_figure atn_figure_bars;

static const char *check(const atn_table *t)
{
    const int y = atn_meta_col(t, "y", atn_first_value_col(t));

    if (atn_table_rows(t) == 0) return "it has no rows";
    if (y < 0 || !atn_is_number_col(t, y))
        return "it has no numeric column of that name";
    return NULL;
}

static double height(const atn_table *t, const void *p, double width, double font)
{
    (void)p, (void)width;
    return atn_heading_height(t, font) + font * 24;
}

static void value_range(const atn_table *t, int col, double *low, double *high)
{
    *low = *high = 0;
    for (atn_idx r = 0; r < atn_table_rows(t); r++) {
        const double v = atn_table_get_f64(t, r, col);
        if (!isfinite(v)) continue;
        *low = fmin(*low, v);
        *high = fmax(*high, v);
    }
    if (*high == *low) *high = *low + 1;
    *high += 0.05 * (*high - *low);
    if (*low < 0) *low -= 0.05 * (*high - *low);
}

/* The group a row belongs to: its layer, else the row itself. */
static int64_t group_of(const atn_table *t, atn_idx r)
{
    const int layer = atn_table_find_col(t, "layer");

    return layer >= 0 && atn_table_col_type(t, layer) == ATN_COL_I64
               ? atn_table_get_i64(t, r, layer)
               : r;
}

static atn_idx count_groups(const atn_table *t)
{
    atn_idx n = 1;

    for (atn_idx r = 1; r < atn_table_rows(t); r++)
        n += group_of(t, r) != group_of(t, r - 1);
    return n;
}

static void group_label(const atn_table *t, atn_idx r, char *out, size_t size)
{
    const int layer = atn_table_find_col(t, "layer");

    if (layer < 0 && atn_table_col_type(t, 0) == ATN_COL_STR)
        atn_token_label(atn_table_has(t, r, 0) ? atn_table_get_str(t, r, 0) : "", 20,
                        out, size);
    else
        snprintf(out, size, "%lld", (long long)group_of(t, r));
}

static int series_of(const atn_table *t, atn_idx r)
{
    const int head = atn_table_find_col(t, "head");

    return head >= 0 && atn_table_col_type(t, head) == ATN_COL_I64
               ? (int)atn_table_get_i64(t, r, head)
               : 0;
}

static void draw_bars(atn_canvas *c, const atn_plot_area *a, const atn_table *t, int col,
                      int n)
{
    const atn_idx rows = atn_table_rows(t), groups = count_groups(t);
    const double slot = a->w / ((double)rows + 0.8 * (double)groups),
                 zero = atn_plot_py(a, 0);
    double x = a->x + 0.4 * slot, group_x = x;
    char text[64];

    for (atn_idx r = 0; r < rows; r++) {
        const double v = atn_table_get_f64(t, r, col);
        const bool last = r + 1 == rows || group_of(t, r + 1) != group_of(t, r);

        if (isfinite(v)) {
            const double y = atn_plot_py(a, v);
            atn_canvas_colour(c, atn_palette_series(series_of(t, r), n));
            atn_canvas_rect(c, x + 0.06 * slot, fmin(y, zero), 0.88 * slot,
                            fabs(zero - y));
        }
        x += slot;
        if (!last) continue;
        group_label(t, r, text, sizeof text);
        atn_canvas_grey(c, 0.15);
        if (x - group_x > c->font * 0.9)
            atn_canvas_text(c, (group_x + x) / 2, a->y + a->h + c->font * 0.9,
                            ATN_CENTRE, 0.9, 0, fmax(x - group_x + 0.7 * slot, c->font),
                            text);
        x += 0.8 * slot;
        group_x = x;
    }
}

static atn_status draw(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                       const atn_figure_opts *o)
{
    const int col = atn_meta_col(t, "y", atn_first_value_col(t));
    const bool layers = atn_table_find_col(t, "layer") >= 0;
    const char *names[ATN_SERIES_MAX];
    char texts[ATN_SERIES_MAX][24], label[160];
    const double top = atn_plot_heading(c, t, o, col), left = c->font * 6;
    atn_plot_area a = {left, top, c->width - left - c->font, 0, 0, 1, 0, 1};
    int n = 0;
    double legend;

    (void)cx, (void)p;
    for (atn_idx r = 0; r < atn_table_rows(t); r++) n = ATN_MAX(n, series_of(t, r) + 1);
    n = ATN_MIN(n, ATN_SERIES_MAX);
    for (int i = 0; i < n; i++) {
        snprintf(texts[i], sizeof texts[i], "head %d", i);
        names[i] = texts[i];
    }
    legend = n > 1 ? atn_plot_legend(c, a.x, 0, a.w, names, n, false) : 0;
    a.h = c->height - top - legend - c->font * 3.6;
    value_range(t, col, &a.y0, &a.y1);
    atn_col_label(t, col, label, sizeof label);
    atn_plot_frame(c, &a, label);
    draw_bars(c, &a, t, col, n);
    if (layers)
        atn_canvas_text(c, a.x + a.w / 2, a.y + a.h + c->font * 2.2, ATN_CENTRE, 0.95,
                        0, a.w, "layer");
    if (n > 1)
        (void)atn_plot_legend(c, a.x, a.y + a.h + c->font * 3, a.w, names, n, true);
    return ATN_OK;
}

const atn_figure atn_figure_bars = {
    .id = "bars",
    .title = "One value of every head",
    .text = "bars of one column, heads side by side within their layer",
    .check = check,
    .height = height,
    .draw = draw,
};
