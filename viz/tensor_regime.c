/* viz/tensor_regime.c -- which heads polynomial attention could serve: a point a head,
 * lines of as many features.
 *
 * Accepts  a table of kind tensor_regime: columns x_max_<case>, d, fast_<case>_e<e> of
 *          the case and relative error that the parameters name.
 * Math     the line of R: d with C(d + g, g) = R, g the least even degree of Taylor with
 *          e^X X^(g+1) / (g+1)! (1 - X / (g+2) + ..) below the relative error. Of the
 *          case centred d is one more.
 * Limits   lines end where degree 2 REACHES does.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>

#include "viz/palette.h"
#include "viz/plot.h"

extern const atn_figure atn_figure_tensor_regime;

enum { REACHES = 256, LINES = 6, CENTRED = 1, TENSOR = 2 };
static const char *const cases[] = {"matrix", "centred", "tensor"};

typedef struct regime_params {
    int which;
    int64_t eps;
} regime_params;

static const atn_param params[] = {
    ATN_PARAM_CHOICE(regime_params, which, 2, "matrix|centred|tensor",
                     "attention as it is, with row constants taken out, or of third "
                     "order with both keys alike"),
    ATN_PARAM_I64(regime_params, eps, 2, 1, 4,
                  "relative error of the polynomial, 10 to the minus this"),
    ATN_PARAM_END,
};

typedef struct plot {
    const atn_table *t;
    int x, d, fast;
    int which, eps;
    double reach[REACHES]; /* the largest X of degrees 2, 4, .. */
} plot;

/* The largest X that degree g serves with this error, below 1. The error grows with X,
 * and is above 1 at g / 2. */
static double reach_of(int g, double error)
{
    double lo = 0, hi = g;

    for (int k = 0; k < 60; k++) {
        const double x = (lo + hi) / 2;
        double sum = 0, term = 1;

        for (int j = 2; fabs(term) > 1e-17 && j < 2000; j++) {
            sum += term;
            term *= -x / (g + j);
        }
        if (x + (g + 1) * log(x) - lgamma(g + 2.0) + log(sum) <= log(error))
            lo = x;
        else
            hi = x;
    }
    return lo;
}

static plot columns_of(const atn_table *t, const regime_params *q)
{
    plot p = {.t = t, .which = q->which, .eps = (int)q->eps};
    char name[64];

    snprintf(name, sizeof name, "x_max_%s", cases[p.which]);
    p.x = atn_table_find_col(t, name);
    p.d = atn_table_find_col(t, "d");
    snprintf(name, sizeof name, "fast_%s_e%d", cases[p.which], p.eps);
    p.fast = atn_table_find_col(t, name);
    return p;
}

static bool usable(const plot *p, atn_idx r)
{
    const double x = atn_table_get_f64(p->t, r, p->x);
    const double d = atn_table_get_f64(p->t, r, p->d);

    return x >= 0 && isfinite(x) && d > 0 && isfinite(d);
}

static const char *check(const atn_table *t)
{
    static const regime_params usual = {2, 2};
    const plot p = columns_of(t, &usual);

    if (!atn_is_number_col(t, p.x) || !atn_is_number_col(t, p.d))
        return "it has no numeric columns x_max_tensor and d (give the table of "
               "attnscope "
               "tensor RUN --regime)";
    for (atn_idx r = 0; r < atn_table_rows(t); r++)
        if (usable(&p, r)) return NULL;
    return "no row has both a largest logit and a d";
}

static atn_status height(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *q,
                         const atn_figure_opts *o, double *points)
{
    atn_status st = ATN_OK;

    (void)q, (void)o;
    ATN_TRY(atn_plot_height(cx, c, t, -1, points));
    *points += c->font * 8;
done:
    return st;
}

/* ---- axes, of logarithms ---- */

static void find_range(const plot *p, atn_plot_area *a)
{
    double least = INFINITY, most = 0, d0 = INFINITY, d1 = 0;

    for (atn_idx r = 0; r < atn_table_rows(p->t); r++) {
        const double x = atn_table_get_f64(p->t, r, p->x);
        const double d = atn_table_get_f64(p->t, r, p->d);

        if (!usable(p, r)) continue;
        if (x > 0) least = fmin(least, x);
        most = fmax(most, x);
        d0 = fmin(d0, d);
        d1 = fmax(d1, d);
    }
    if (!(least < INFINITY)) least = most = 1;
    a->x0 = log10(fmin(least, 0.5) / 1.4);
    a->x1 = log10(fmax(most, 5) * 1.4);
    a->y0 = log10(fmin(d0, 8) / 1.6);
    a->y1 = log10(fmax(d1, 64) * 1.6);
}

static double px_of(const atn_plot_area *a, double x)
{
    return atn_plot_px(a, fmax(x > 0 ? log10(x) : a->x0, a->x0));
}

static void draw_tick(atn_canvas *c, const atn_plot_area *a, bool of_x, double v)
{
    const double x = px_of(a, v), y = atn_plot_py(a, log10(v));
    char text[32];

    snprintf(text, sizeof text, "%g", v);
    atn_canvas_grey(c, 0.92);
    if (of_x)
        atn_canvas_line(c, x, a->y, x, a->y + a->h, 0.4);
    else
        atn_canvas_line(c, a->x, y, a->x + a->w, y, 0.4);
    atn_canvas_grey(c, 0);
    if (of_x)
        atn_canvas_text(c, x, a->y + a->h + c->font * 0.8, ATN_CENTRE, 0.85, 0, 0,
                        text);
    else
        atn_canvas_text(c, a->x - c->font * 0.4, y, ATN_RIGHT, 0.85, 0, 0, text);
}

static void draw_axes(atn_canvas *c, const plot *p, const atn_plot_area *a)
{
    static const double steps[] = {1, 2, 5};
    const bool dense = a->x1 - a->x0 < 2.5;
    char text[96];

    for (int e = -6; e <= 12; e++)
        for (int k = 0; k < (dense ? 3 : 1); k++) {
            const double v = steps[k] * pow(10, e);

            if (log10(v) >= a->x0 && log10(v) <= a->x1) draw_tick(c, a, true, v);
        }
    for (int e = 0; e <= 20; e++)
        if (e * log10(2) >= a->y0 && e * log10(2) <= a->y1)
            draw_tick(c, a, false, pow(2, e));
    atn_canvas_grey(c, 0);
    snprintf(text, sizeof text, "largest logit X (%s)",
             p->which == 0         ? "as it is"
             : p->which == CENTRED ? "half the range of a row"
                                   : "third order, K1 = K2");
    atn_canvas_text(c, a->x + a->w / 2, a->y + a->h + c->font * 2.2, ATN_CENTRE, 1, 0,
                    a->w, text);
    atn_canvas_text(c, c->font * 0.9, a->y + a->h / 2, ATN_CENTRE, 1, -90, a->h, "d");
}

/* ---- lines of equal R ---- */

/* The d with C(d + g, g) = 10^power, less than 1 where there is none. */
static double dimension_of(int g, double power)
{
    double lo = 0, hi = 1e7;

    for (int k = 0; k < 80; k++) {
        const double d = (lo + hi) / 2;
        const double features =
            (lgamma(d + g + 1) - lgamma(d + 1) - lgamma(g + 1.0)) / log(10);

        if (features <= power)
            lo = d;
        else
            hi = d;
    }
    return lo;
}

static void draw_line(atn_canvas *c, const plot *p, const atn_plot_area *a, int power)
{
    double before = 0, label_x = NAN, label_y = NAN, last_y = NAN;
    char text[24];

    cairo_save(c->cr);
    cairo_rectangle(c->cr, a->x, a->y, a->w, a->h);
    cairo_clip(c->cr);
    atn_canvas_grey(c, 0.45);
    for (int i = 0; i < REACHES; i++) {
        const double d = dimension_of(2 * i + 2, power) - (p->which == CENTRED);
        const double x0 = px_of(a, before), x1 = px_of(a, p->reach[i]);
        double y;

        before = p->reach[i];
        if (d < 1e-3) break;
        y = atn_plot_py(a, log10(d));
        if (!isnan(last_y)) atn_canvas_line(c, x0, last_y, x0, y, 0.7);
        atn_canvas_line(c, x0, y, fmin(x1, a->x + a->w), y, 0.7);
        last_y = y;
        if (isnan(label_x) && y > a->y + c->font * (0.4 + 0.45 * power) &&
            x1 > a->x + c->font) {
            label_x = fmin((x0 + x1) / 2, a->x + a->w - c->font * 2);
            label_y = y;
        }
        if (x1 > a->x + a->w) break;
    }
    cairo_restore(c->cr);
    if (isnan(label_x) || label_y > a->y + a->h - c->font) return;
    snprintf(text, sizeof text, "R = 1e%d", power);
    atn_canvas_grey(c, 0.25);
    atn_canvas_text(c, label_x, label_y - c->font * 0.6, ATN_CENTRE, 0.75, 0, 0, text);
}

static bool is_fast(const plot *p, atn_idx r)
{
    return p->fast >= 0 && atn_table_get_f64(p->t, r, p->fast) == 1;
}

/* Returns how many heads are in the regime, of how many. */
static int draw_heads(atn_canvas *c, const plot *p, const atn_plot_area *a, int *of)
{
    int n = 0;

    *of = 0;

    for (atn_idx r = 0; r < atn_table_rows(p->t); r++) {
        const bool fast = is_fast(p, r);

        if (!usable(p, r)) continue;
        cairo_arc(c->cr, px_of(a, atn_table_get_f64(p->t, r, p->x)),
                  atn_plot_py(a, log10(atn_table_get_f64(p->t, r, p->d))),
                  c->font * 0.3, 0, 2 * acos(-1));
        if (fast)
            atn_canvas_colour(c, atn_palette_category(0));
        else
            atn_canvas_grey(c, 1);
        cairo_fill_preserve(c->cr);
        atn_canvas_colour(c, atn_palette_category(0));
        cairo_set_line_width(c->cr, 1);
        cairo_stroke(c->cr);
        n += fast;
        ++*of;
    }
    return n;
}

static atn_status draw(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *q,
                       const atn_figure_opts *o)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    plot p = columns_of(t, q);
    atn_figure_opts with = *o;
    atn_series one;
    atn_plot_area a;
    int fast, heads;
    char text[240];
    atn_status st = ATN_OK;

    if (!o->title && !atn_table_get_meta(t, "title"))
        with.title = "Where polynomial attention is fast";
    if (!atn_is_number_col(t, p.x))
        ATN_FAIL(ATN_USAGE, "tensor_regime: the table has no column x_max_%s",
                 cases[p.which]);
    ATN_TRY(atn_series_find(cx, t, -1, &one));
    ATN_TRY(atn_plot_begin(cx, c, t, &one, &a));
    a.h -= c->font * 1.4; /* the line below */
    ATN_TRY(atn_canvas_fits(cx, c, a.w, a.h));
    find_range(&p, &a);
    (void)atn_figure_heading(c, t, &with, 1);
    draw_axes(c, &p, &a);
    for (int i = 0; i < REACHES; i++) p.reach[i] = reach_of(2 * i + 2, pow(10, -p.eps));
    for (int k = 1; k <= LINES; k++) draw_line(c, &p, &a, 3 * k);
    atn_canvas_grey(c, 0);
    atn_canvas_frame(c, a.x, a.y, a.w, a.h);
    fast = draw_heads(c, &p, &a, &heads);
    snprintf(text, sizeof text,
             "filled: features cost less than all %s at this length, %d of %d heads; "
             "lines: R features, relative error 1e-%d",
             p.which == TENSOR ? "triples" : "pairs", fast, heads, p.eps);
    atn_canvas_grey(c, 0.35);
    atn_canvas_text(c, a.x, c->height - c->font * 0.8, ATN_LEFT, 0.8, 0, a.w, text);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_figure atn_figure_tensor_regime = {
    .id = "tensor_regime",
    .title = "Where polynomial attention is fast",
    .text = "heads by their largest logit and d, with lines of as many features, of a "
            "table of tensor --regime",
    .params = params,
    .params_size = sizeof(regime_params),
    .check = check,
    .height = height,
    .draw = draw,
};
