/* viz/published.c -- predictions against what is published: a point a number, the line
 * on which both agree, and a band of 15 % about it.
 *
 * Accepts  a table of kind published: columns published and predicted, and, where they
 *          are, gpu (colours), predicted_low and predicted_high (whiskers) and
 *          in_sample (hollow).
 * Math     both axes by logarithms, with the same edges: a factor is the same distance
 *          everywhere.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>

#include "viz/axes.h"
#include "viz/palette.h"

extern const atn_figure atn_figure_published;

typedef struct published_params {
    bool ratio;
} published_params;

static const atn_param params[] = {
    ATN_PARAM_BOOL(published_params, ratio, 0,
                   "upwards predicted / published, which shows small errors"),
    ATN_PARAM_END,
};

static const double BAND = 0.15;
enum { ROWS_MOST = 4096 };

typedef struct plot {
    const atn_table *t;
    int x, y, low, high, sample;
    bool ratio;
    atn_series gpus;
    atn_axis x_axis, y_axis;
    atn_plot_area a;
    int points, near;
} plot;

static const char *const used[] = {"gpu",           "published",      "predicted",
                                   "predicted_low", "predicted_high", "in_sample"};

static plot columns_of(const atn_table *t)
{
    return (plot){.t = t,
                  .x = atn_table_find_col(t, "published"),
                  .y = atn_table_find_col(t, "predicted"),
                  .low = atn_table_find_col(t, "predicted_low"),
                  .high = atn_table_find_col(t, "predicted_high"),
                  .sample = atn_table_find_col(t, "in_sample")};
}

static double value(const plot *p, atn_idx r, int col)
{
    const double v = col >= 0 ? atn_table_get_f64(p->t, r, col) : NAN;

    return isfinite(v) && v > 0 ? v : NAN;
}

/* Upwards: the value, or over what is published. */
static double upwards(const plot *p, atn_idx r, int col)
{
    return value(p, r, col) / (p->ratio ? value(p, r, p->x) : 1);
}

static bool usable(const plot *p, atn_idx r)
{
    return !isnan(value(p, r, p->x)) && !isnan(value(p, r, p->y));
}

static const char *check(const atn_table *t)
{
    const plot p = columns_of(t);
    const int gpu = atn_table_find_col(t, "gpu");

    if (!atn_is_number_col(t, p.x))
        return "it has no numeric column published (give the table of attnscope "
               "simulate --published)";
    if (!atn_is_number_col(t, p.y)) return "it has no numeric column predicted";
    if (gpu >= 0 && atn_table_col_type(t, gpu) != ATN_COL_STR)
        return "its column gpu is no text";
    if (atn_table_rows(t) > ROWS_MOST) return "it has more than 4096 rows";
    for (atn_idx r = 0; r < atn_table_rows(t); r++)
        if (usable(&p, r)) return NULL;
    return "no row has both a published number and a prediction";
}

/* ---- what there is to draw ---- */

static atn_status copy_cells(atn_ctx *cx, const atn_table *t, atn_idx r, atn_table *out)
{
    atn_status st = ATN_OK;
    int c = 0;

    ATN_TRY(atn_table_add_row(cx, out));
    for (size_t i = 0; i < ATN_LEN(used); i++) {
        const int from = atn_table_find_col(t, used[i]);

        if (from < 0) continue;
        if (i == 0) {
            const char *text = atn_table_get_str(t, r, from);

            ATN_TRY(atn_table_set_str(cx, out, c, text ? text : "unknown"));
        } else if (isfinite(atn_table_get_f64(t, r, from))) {
            atn_table_set_f64(out, c, atn_table_get_f64(t, r, from));
        }
        c++;
    }
done:
    return st;
}

/* Rows that have a point: the legend names no others. */
static atn_status keep_points(atn_ctx *cx, const atn_table *t, atn_table **out)
{
    const char *title = atn_table_get_meta(t, "title");
    const plot p = columns_of(t);
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_create(cx, "published", out));
    if (title) ATN_TRY(atn_table_set_meta(cx, *out, "title", title));
    for (size_t i = 0; i < ATN_LEN(used); i++)
        if (atn_table_find_col(t, used[i]) >= 0)
            ATN_TRY(atn_table_add_col(
                cx, *out, used[i], i == 0 ? ATN_COL_STR : ATN_COL_F64, "", NULL, NULL));
    for (atn_idx r = 0; r < atn_table_rows(t); r++)
        if (usable(&p, r)) ATN_TRY(copy_cells(cx, t, r, *out));
done:
    return st;
}

static atn_status height(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *q,
                         const atn_figure_opts *o, double *points)
{
    atn_status st = ATN_OK;
    atn_table *kept = NULL;

    (void)q, (void)o;
    ATN_TRY(keep_points(cx, t, &kept));
    ATN_TRY(atn_plot_height(cx, c, kept, atn_table_find_col(kept, "gpu"), points));
    *points += c->font * 10; /* two axes as long, nearly, and the line below */
done:
    atn_table_destroy(cx, kept);
    return st;
}

/* Whole decades, where there are several, with a tick at each. */
static atn_axis decades(double least, double most)
{
    atn_axis a = {.log = true};
    int step = 1;

    a.lo = floor(log10(least) + 1e-9);
    a.hi = ceil(log10(most) - 1e-9);
    if (a.hi <= a.lo) a.hi = a.lo + 1;
    while ((a.hi - a.lo) / step > 12) step++;
    for (double at = a.lo; at <= a.hi && a.ticks < (int)ATN_LEN(a.tick); at += step)
        a.tick[a.ticks++] = pow(10, at);
    return a;
}

static void find_axes(plot *p)
{
    double x0 = INFINITY, x1 = 0, y0 = 1, y1 = 1;

    for (atn_idx r = 0; r < atn_table_rows(p->t); r++) {
        const double x = value(p, r, p->x), y = upwards(p, r, p->y);

        x0 = fmin(x0, x);
        x1 = fmax(x1, x);
        y0 = fmin(y0, y);
        y1 = fmax(y1, y);
        p->points++;
        p->near += fabs(value(p, r, p->y) / x - 1) <= BAND;
    }
    if (!p->ratio) {
        x0 = y0 = fmin(x0, y0);
        x1 = y1 = fmax(x1, y1);
    }
    p->x_axis = decades(x0, x1);
    p->y_axis = decades(y0, y1);
}

/* ---- drawing ---- */

static double px_of(const plot *p, double v)
{
    return atn_plot_px(&p->a, atn_axis_place(&p->x_axis, v));
}

static double py_of(const plot *p, double v)
{
    return atn_plot_py(&p->a, atn_axis_place(&p->y_axis, v));
}

/* Within the frame: the band runs off its corners. */
static void draw_band(atn_canvas *c, const plot *p)
{
    const double lo = pow(10, p->x_axis.lo), hi = pow(10, p->x_axis.hi);
    const double from = p->ratio ? 1 : lo, to = p->ratio ? 1 : hi;

    cairo_save(c->cr);
    cairo_rectangle(c->cr, p->a.x, p->a.y, p->a.w, p->a.h);
    cairo_clip(c->cr);
    atn_canvas_grey(c, 0.87);
    cairo_move_to(c->cr, px_of(p, lo), py_of(p, from * (1 - BAND)));
    cairo_line_to(c->cr, px_of(p, hi), py_of(p, to * (1 - BAND)));
    cairo_line_to(c->cr, px_of(p, hi), py_of(p, to * (1 + BAND)));
    cairo_line_to(c->cr, px_of(p, lo), py_of(p, from * (1 + BAND)));
    cairo_close_path(c->cr);
    cairo_fill(c->cr);
    atn_canvas_grey(c, 0.45);
    atn_canvas_line(c, px_of(p, lo), py_of(p, from), px_of(p, hi), py_of(p, to), 0.7);
    cairo_restore(c->cr);
}

static void draw_points(atn_canvas *c, plot *p)
{
    for (atn_idx r = 0; r < atn_table_rows(p->t); r++) {
        const double low = upwards(p, r, p->low), high = upwards(p, r, p->high);
        const double x = px_of(p, value(p, r, p->x));

        atn_canvas_grey(c, 0.6);
        if (!isnan(low) && !isnan(high))
            atn_canvas_line(c, x, py_of(p, low), x, py_of(p, high), 0.6);
        p->gpus.hollow = p->sample >= 0 && value(p, r, p->sample) == 1;
        atn_series_mark(c, &p->gpus, atn_series_of(&p->gpus, p->t, r), x,
                        py_of(p, upwards(p, r, p->y)));
    }
    p->gpus.hollow = false;
}

static void say(atn_canvas *c, const plot *p, bool sample)
{
    char text[200];

    snprintf(text, sizeof text, "band: 15 %%, which holds %d of %d%s", p->near,
             p->points,
             sample ? "; hollow: a number of the prediction was fitted to it" : "");
    (void)atn_canvas_note(c,
                          &(atn_note){.x = c->width / 2,
                                      .y = c->height - c->font * 1.3,
                                      .width = c->width - 2 * c->font,
                                      .size = 0.8,
                                      .text = text},
                          true);
}

static atn_status draw_kept(atn_ctx *cx, atn_canvas *c, plot *p,
                            const atn_figure_opts *o)
{
    atn_figure_opts with = *o;
    atn_status st = ATN_OK;

    if (!o->title && !atn_table_get_meta(p->t, "title"))
        with.title = atn_figure_published.title;
    ATN_TRY(atn_series_find(cx, p->t, atn_table_find_col(p->t, "gpu"), &p->gpus));
    p->gpus.marks = true;
    find_axes(p);
    ATN_TRY(atn_plot_begin(cx, c, p->t, &p->gpus, &p->a));
    p->a.h -= c->font * 1.8; /* the line below */
    ATN_TRY(atn_canvas_fits(cx, c, p->a.w, p->a.h));
    (void)atn_figure_heading(c, p->t, &with, 1);
    atn_axes_draw(c, &p->a, &p->x_axis, &p->y_axis, "published (ms, or a ratio)",
                  p->ratio ? "predicted / published" : "predicted (ms, or a ratio)");
    draw_band(c, p);
    draw_points(c, p);
    (void)atn_plot_legend(c, p->a.x, p->a.y + p->a.h + c->font * 3.2, p->a.w, p->t,
                          &p->gpus, true);
    say(c, p, p->sample >= 0);
done:
    return st;
}

static atn_status draw(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *q,
                       const atn_figure_opts *o)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const published_params *asked = q;
    atn_table *kept = NULL;
    atn_status st = ATN_OK;
    plot p;

    ATN_TRY(keep_points(cx, t, &kept));
    p = columns_of(kept);
    p.ratio = asked->ratio;
    ATN_TRY(draw_kept(cx, c, &p, o));
done:
    atn_table_destroy(cx, kept);
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_figure atn_figure_published = {
    .id = "published",
    .title = "Predicted against published",
    .text =
        "predictions of simulate --published against the published numbers, with the "
        "line on which both agree and a band of 15 %",
    .params = params,
    .params_size = sizeof(published_params),
    .check = check,
    .height = height,
    .draw = draw,
};
