/* viz/regime.c -- which kind of approximation is better when: error against
 * temperature, a line a method.
 *
 * Accepts  a table of approx with a sweep of the temperature: columns method,
 *          temperature, and error_matrix or else output_error_relative (meta x and y
 *          name others, series another text in place of the method). Rows of one
 *          method and temperature are averaged, in the order of the table.
 *
 * Both axes are logarithms, unless the parameters say otherwise.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdlib.h>

#include "viz/approx_rows.h"
#include "viz/axes.h"
#include "viz/palette.h"

extern const atn_figure atn_figure_regime;

typedef struct regime_params {
    int x_axis, y_axis;
} regime_params;

static const atn_param params[] = {
    ATN_PARAM_CHOICE(regime_params, x_axis, ATN_AXIS_LOG, "auto|linear|log",
                     "auto: log where the largest value is thirty times the least"),
    ATN_PARAM_CHOICE(regime_params, y_axis, ATN_AXIS_LOG, "auto|linear|log",
                     "likewise"),
    ATN_PARAM_END,
};

enum { PLACES_MOST = 1024 };

/* Means of series s at place x of the axis. */
typedef struct regime {
    const atn_table *t;
    atn_approx_rows r;
    atn_series s;
    double *x; /* [n] ascending */
    int n;
    double *mean;   /* [s.n, n], NaN where there is none */
    int all, below; /* the edge of an axis, of means */
} regime;

static const char *check(const atn_table *t)
{
    const atn_approx_rows r = atn_approx_rows_of(t, "temperature");

    return atn_approx_rows_check(t, &r,
                                 "it has no column temperature (give a table of approx "
                                 "--sweep temperature=0.25:8)");
}

static atn_status height(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                         const atn_figure_opts *o, double *points)
{
    const int method = atn_approx_rows_of(t, "temperature").method;
    atn_status st = ATN_OK;

    (void)p, (void)o;
    ATN_TRY(atn_plot_height(cx, c, t, method, points));
    *points += c->font * 1.4; /* the line below */
done:
    return st;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* The different x, ascending. */
static atn_status find_places(atn_ctx *cx, regime *g)
{
    const atn_idx rows = atn_table_rows(g->t);
    atn_status st = ATN_OK;
    atn_idx n = 0;

    ATN_TAKE(g->x, rows);
    for (atn_idx r = 0; r < rows; r++)
        if (atn_approx_rows_has(g->t, &g->r, r))
            g->x[n++] = atn_table_get_f64(g->t, r, g->r.x);
    qsort(g->x, (size_t)n, sizeof *g->x, by_size);
    for (atn_idx i = 0; i < n; i++) {
        if (g->n > 0 && g->x[g->n - 1] == g->x[i]) continue;
        if (g->n == PLACES_MOST)
            ATN_FAIL(ATN_USAGE, "regime: more than %d values along the axis",
                     PLACES_MOST);
        g->x[g->n++] = g->x[i];
    }
done:
    return st;
}

static atn_status find_means(atn_ctx *cx, regime *g)
{
    double *sum = NULL, *count = NULL;
    atn_status st = ATN_OK;
    atn_idx cells = 0;

    if (!atn_mul(g->s.n, g->n, &cells))
        ATN_FAIL(ATN_MEMORY, "regime: %d methods are too many", g->s.n);
    ATN_TAKE(sum, cells);
    ATN_TAKE(count, cells);
    ATN_TAKE(g->mean, cells);
    for (atn_idx i = 0; i < cells; i++) sum[i] = count[i] = 0;
    for (atn_idx r = 0; r < atn_table_rows(g->t); r++) {
        const double x = atn_table_get_f64(g->t, r, g->r.x);
        const double *at = bsearch(&x, g->x, (size_t)g->n, sizeof x, by_size);
        atn_idx cell;

        if (!at || !atn_approx_rows_has(g->t, &g->r, r)) continue;
        cell = (atn_idx)atn_series_of(&g->s, g->t, r) * g->n + (at - g->x);
        sum[cell] += atn_table_get_f64(g->t, r, g->r.y);
        count[cell]++;
    }
    for (atn_idx i = 0; i < cells; i++)
        g->mean[i] = count[i] > 0 ? sum[i] / count[i] : NAN;
done:
    return st;
}

/* The means that there are, one after another. */
static atn_status axis_of_means(atn_ctx *cx, const regime *g, int asked, atn_axis *out)
{
    const atn_idx cells = (atn_idx)g->s.n * g->n;
    atn_status st = ATN_OK;
    double *v = NULL;
    atn_idx n = 0;

    ATN_TAKE(v, cells);
    for (atn_idx i = 0; i < cells; i++)
        if (!isnan(g->mean[i])) v[n++] = g->mean[i];
    *out = atn_axis_of(v, n, asked, true);
done:
    return st;
}

static void draw_line(atn_canvas *c, regime *g, const atn_plot_area *a,
                      const atn_axis axis[2], int s)
{
    const double *mean = g->mean + (ptrdiff_t)s * g->n;

    atn_series_pen(c, &g->s, s);
    cairo_new_path(c->cr);
    for (int i = 0; i < g->n; i++)
        if (!isnan(mean[i]))
            cairo_line_to(c->cr, atn_plot_px(a, atn_axis_place(&axis[0], g->x[i])),
                          atn_plot_py(a, atn_axis_place(&axis[1], mean[i])));
    cairo_stroke(c->cr);
    cairo_set_dash(c->cr, NULL, 0, 0);
    for (int i = 0; i < g->n; i++) {
        if (isnan(mean[i])) continue;
        g->s.hollow = atn_axis_is_below(&axis[0], g->x[i]) ||
                      atn_axis_is_below(&axis[1], mean[i]);
        atn_series_mark(c, &g->s, s, atn_plot_px(a, atn_axis_place(&axis[0], g->x[i])),
                        atn_plot_py(a, atn_axis_place(&axis[1], mean[i])));
        g->below += g->s.hollow;
        g->all++;
    }
    g->s.hollow = false;
}

static atn_status draw(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                       const atn_figure_opts *o)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const regime_params *asked = p;
    regime g = {.t = t, .r = atn_approx_rows_of(t, "temperature")};
    atn_figure_opts with = *o;
    char x_label[160], y_label[160];
    atn_status st = ATN_OK;
    atn_axis axis[2];
    atn_plot_area a;

    if (!o->title && !atn_table_get_meta(t, "title"))
        with.title = "Error against temperature";
    ATN_TRY(atn_series_find(cx, t, g.r.method, &g.s));
    g.s.lines = g.s.marks = true;
    ATN_TRY(find_places(cx, &g));
    ATN_TRY(find_means(cx, &g));
    ATN_TRY(axis_of_means(cx, &g, asked->y_axis, &axis[1]));
    axis[0] = atn_axis_of(g.x, g.n, asked->x_axis, false);
    atn_axis_tick_at(&axis[0], g.x, g.n);
    ATN_TRY(atn_plot_begin(cx, c, t, &g.s, &a));
    a.h -= c->font * 1.4; /* the line below */
    ATN_TRY(atn_canvas_fits(cx, c, a.w, a.h));
    (void)atn_figure_heading(c, t, &with, 1);
    atn_col_label(t, g.r.x, x_label, sizeof x_label);
    atn_col_label(t, g.r.y, y_label, sizeof y_label);
    atn_axes_draw(c, &a, &axis[0], &axis[1], x_label, y_label);
    for (int s = 0; s < g.s.n; s++) draw_line(c, &g, &a, axis, s);
    (void)atn_plot_legend(c, a.x, a.y + a.h + c->font * 3.2, a.w, t, &g.s, true);
    atn_axes_say_below(c, &a, g.below, g.all);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_figure atn_figure_regime = {
    .id = "regime",
    .title = "Error against temperature",
    .text = "the error of approximations by the temperature of the softmax, one line a "
            "method, of approx --sweep temperature",
    .params = params,
    .params_size = sizeof(regime_params),
    .columns = ATN_FIGURE_X | ATN_FIGURE_Y | ATN_FIGURE_SERIES,
    .check = check,
    .height = height,
    .draw = draw,
};
