/* viz/entropy_error.c -- error against how spread out the attention is: a point a head
 * and method.
 *
 * Accepts  a table of approx by head: columns method, row_entropy_mean_nats, and
 *          error_matrix or else output_error_relative (meta x and y name others, series
 *          another text in place of the method). With a sweep of the temperature a head
 *          has a point for each.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "viz/approx_rows.h"
#include "viz/axes.h"
#include "viz/palette.h"

extern const atn_figure atn_figure_entropy_error;

typedef struct entropy_params {
    int x_axis, y_axis;
} entropy_params;

static const atn_param params[] = {
    ATN_PARAM_CHOICE(entropy_params, x_axis, ATN_AXIS_LINEAR, "auto|linear|log",
                     "auto: log where the largest value is thirty times the least"),
    ATN_PARAM_CHOICE(entropy_params, y_axis, ATN_AXIS_AUTO, "auto|linear|log",
                     "likewise"),
    ATN_PARAM_END,
};

static const char *check(const atn_table *t)
{
    const atn_approx_rows r = atn_approx_rows_of(t, "row_entropy_mean_nats");

    return atn_approx_rows_check(
        t, &r,
        "it has no column row_entropy_mean_nats (give the table "
        "of approx --per head, not pareto nor best)");
}

static atn_status height(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                         const atn_figure_opts *o, double *points)
{
    (void)p, (void)o;
    return atn_plot_height(
        cx, c, t, atn_approx_rows_of(t, "row_entropy_mean_nats").method, points);
}

/* The axis of a column, of the rows that are drawn. */
static atn_status axis_of(atn_ctx *cx, const atn_table *t, const atn_approx_rows *r,
                          int col, int asked, atn_axis *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *v = NULL;
    atn_idx n = 0;

    ATN_TAKE(v, atn_table_rows(t));
    for (atn_idx i = 0; i < atn_table_rows(t); i++)
        if (atn_approx_rows_has(t, r, i)) v[n++] = atn_table_get_f64(t, i, col);
    *out = atn_axis_of(v, n, asked, true);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status draw(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                       const atn_figure_opts *o)
{
    const atn_approx_rows r = atn_approx_rows_of(t, "row_entropy_mean_nats");
    const atn_arena_mark mark = atn_arena_save(cx);
    const entropy_params *asked = p;
    atn_figure_opts with = *o;
    char x_label[160], y_label[160];
    atn_status st = ATN_OK;
    atn_plot_area a;
    atn_axis x, y;
    atn_series s;

    if (!o->title && !atn_table_get_meta(t, "title"))
        with.title = "Error against row entropy";
    ATN_TRY(atn_series_find(cx, t, r.method, &s));
    s.marks = true;
    ATN_TRY(axis_of(cx, t, &r, r.x, asked->x_axis, &x));
    ATN_TRY(axis_of(cx, t, &r, r.y, asked->y_axis, &y));
    ATN_TRY(atn_plot_begin(cx, c, t, &s, &a));
    (void)atn_figure_heading(c, t, &with, 1);
    atn_col_label(t, r.x, x_label, sizeof x_label);
    atn_col_label(t, r.y, y_label, sizeof y_label);
    atn_axes_draw(c, &a, &x, &y, x_label, y_label);
    for (atn_idx i = 0; i < atn_table_rows(t); i++)
        if (atn_approx_rows_has(t, &r, i))
            atn_series_mark(
                c, &s, atn_series_of(&s, t, i),
                atn_plot_px(&a, atn_axis_place(&x, atn_table_get_f64(t, i, r.x))),
                atn_plot_py(&a, atn_axis_place(&y, atn_table_get_f64(t, i, r.y))));
    (void)atn_plot_legend(c, a.x, a.y + a.h + c->font * 3.2, a.w, t, &s, true);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_figure atn_figure_entropy_error = {
    .id = "entropy_error",
    .title = "Error against row entropy",
    .text =
        "the error of approximations by the mean entropy of a head's rows, a point a "
        "head and method, of approx --per head --matrix",
    .params = params,
    .params_size = sizeof(entropy_params),
    .columns = ATN_FIGURE_X | ATN_FIGURE_Y | ATN_FIGURE_SERIES,
    .check = check,
    .height = height,
    .draw = draw,
};
