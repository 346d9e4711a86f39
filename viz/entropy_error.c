/* viz/entropy_error.c -- error against how spread out the attention is: a point a head
 * and method.
 *
 * Accepts  a table of approx by head: columns method, row_entropy_mean_nats, and
 *          error_matrix or else output_error_relative (meta x and y name others, series
 *          another text in place of the method). With a sweep of the temperature a head
 *          has a point for each.
 *
 * A value that a logarithm has no place for is a hollow mark at its edge, and counted
 * below the figure.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
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
    const atn_approx_rows r = atn_approx_rows_of(t, "row_entropy_mean_nats");
    atn_status st = ATN_OK;

    (void)p, (void)o;
    ATN_TRY(atn_plot_height(cx, c, t, r.method, points));
    *points += c->font * 1.4; /* the line below */
done:
    return st;
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

typedef struct points {
    const atn_table *t;
    atn_approx_rows r;
    atn_series s;
    atn_plot_area a;
    atn_axis x, y;
    int all, below; /* the edge of an axis */
} points;

static void draw_points(atn_canvas *c, points *p)
{
    for (atn_idx i = 0; i < atn_table_rows(p->t); i++) {
        const double x = atn_table_get_f64(p->t, i, p->r.x);
        const double y = atn_table_get_f64(p->t, i, p->r.y);

        if (!atn_approx_rows_has(p->t, &p->r, i)) continue;
        p->s.hollow = atn_axis_is_below(&p->x, x) || atn_axis_is_below(&p->y, y);
        atn_series_mark(c, &p->s, atn_series_of(&p->s, p->t, i),
                        atn_plot_px(&p->a, atn_axis_place(&p->x, x)),
                        atn_plot_py(&p->a, atn_axis_place(&p->y, y)));
        p->below += p->s.hollow;
        p->all++;
    }
    p->s.hollow = false;
}

static atn_status draw(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *q,
                       const atn_figure_opts *o)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const entropy_params *asked = q;
    points p = {.t = t, .r = atn_approx_rows_of(t, "row_entropy_mean_nats")};
    atn_figure_opts with = *o;
    char x_label[160], y_label[160];
    atn_status st = ATN_OK;

    if (!o->title && !atn_table_get_meta(t, "title"))
        with.title = "Error against row entropy";
    ATN_TRY(atn_series_find(cx, t, p.r.method, &p.s));
    p.s.marks = true;
    ATN_TRY(axis_of(cx, t, &p.r, p.r.x, asked->x_axis, &p.x));
    ATN_TRY(axis_of(cx, t, &p.r, p.r.y, asked->y_axis, &p.y));
    ATN_TRY(atn_plot_begin(cx, c, t, &p.s, &p.a));
    p.a.h -= c->font * 1.4; /* the line below */
    ATN_TRY(atn_canvas_fits(cx, c, p.a.w, p.a.h));
    (void)atn_figure_heading(c, t, &with, 1);
    atn_col_label(t, p.r.x, x_label, sizeof x_label);
    atn_col_label(t, p.r.y, y_label, sizeof y_label);
    atn_axes_draw(c, &p.a, &p.x, &p.y, x_label, y_label);
    draw_points(c, &p);
    (void)atn_plot_legend(c, p.a.x, p.a.y + p.a.h + c->font * 3.2, p.a.w, t, &p.s,
                          true);
    atn_axes_say_below(c, &p.a, p.below, p.all);
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
