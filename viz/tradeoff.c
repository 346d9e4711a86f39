/* viz/tradeoff.c -- error against predicted speed-up: a point a case, and the front
 * that no other point betters in both.
 *
 * Accepts  a table of kind tradeoff, of a model: columns method, speedup and
 *          output_error_relative (or those that meta x and y name), and family, budget,
 *          speedup_low, speedup_high, limited_by, on_front where there are some.
 *
 * Points have the colour of their family; those on the front are filled and joined by
 * steps: at a speed-up the least error that is to be had. A whisker is the interval of
 * the prediction. Rows without a speed-up, whose launches are mostly starting, are
 * hollow squares at the right edge. Dense attention stands at 1 x. Names: the front,
 * of its hybrids the first and the last, then what would be on it without them. A table
 * without on_front is one of a front. Below a logarithm errors that are none, or next
 * to none, have levels of their own.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viz/axes.h"
#include "viz/names.h"
#include "viz/palette.h"

extern const atn_figure atn_figure_tradeoff;

typedef struct tradeoff_params {
    int x_axis, y_axis;    /* auto, linear, log */
    double worst, slowest; /* beyond these points are counted, not drawn */
    bool names, intervals;
} tradeoff_params;

static const atn_param params[] = {
    ATN_PARAM_CHOICE(tradeoff_params, x_axis, ATN_AXIS_AUTO, "auto|linear|log",
                     "auto: log where the largest value is thirty times the least"),
    ATN_PARAM_CHOICE(tradeoff_params, y_axis, ATN_AXIS_LOG, "auto|linear|log",
                     "of the error"),
    ATN_PARAM_F64(tradeoff_params, worst, 2, 0, 1e300,
                  "largest error that is drawn; an output of 0 errs by 1"),
    ATN_PARAM_F64(tradeoff_params, slowest, 0.2, 0, 1e300,
                  "least speed-up that is drawn"),
    ATN_PARAM_BOOL(tradeoff_params, names, 1, "methods are named beside their points"),
    ATN_PARAM_BOOL(tradeoff_params, intervals, 1, "whiskers of the prediction"),
    ATN_PARAM_END,
};

enum { POINTS_MOST = 4096 };

typedef struct point {
    atn_idx row;
    double x, y, low, high; /* of the table; x NaN = launch */
    bool front, candidate, hybrid, second;
    int family;
} point;

typedef struct plot {
    const atn_table *t;
    int x, y, low, high, method, family, budget, front;
    atn_axis x_axis, y_axis;
    double zero, tiny, most_tiny; /* levels below a logarithm, as its edges; NaN = none;
                                     the largest error that has no place on it */
    point *at;
    int n, launches, unnamed, beyond;
    atn_series families;
    atn_names taken;
} plot;

static plot columns_of(const atn_table *t)
{
    return (plot){
        .t = t,
        .x = atn_meta_col(t, "x", atn_table_find_col(t, "speedup")),
        .y = atn_meta_col(t, "y", atn_table_find_col(t, "output_error_relative")),
        .low = atn_table_find_col(t, "speedup_low"),
        .high = atn_table_find_col(t, "speedup_high"),
        .method = atn_table_find_col(t, "method"),
        .family = atn_table_find_col(t, "family"),
        .budget = atn_table_find_col(t, "budget"),
        .front = atn_table_find_col(t, "on_front")};
}

static double number_of(const plot *p, atn_idx r, int col)
{
    return col >= 0 ? atn_table_get_f64(p->t, r, col) : NAN;
}

/* Rows of layers in place of the model: a method at a budget comes again in another. */
static bool is_by_layer(const plot *p)
{
    const int layer = atn_table_find_col(p->t, "layer");

    for (atn_idx r = 1; layer >= 0 && r < atn_table_rows(p->t); r++)
        if (strcmp(atn_table_text(p->t, r, p->method),
                   atn_table_text(p->t, 0, p->method)) == 0 &&
            strcmp(atn_table_text(p->t, r, p->budget),
                   atn_table_text(p->t, 0, p->budget)) == 0 &&
            number_of(p, r, layer) != number_of(p, 0, layer))
            return true;
    return false;
}

static const char *check(const atn_table *t)
{
    const plot p = columns_of(t);
    bool speed = false;

    if (p.method < 0 || atn_table_col_type(t, p.method) != ATN_COL_STR)
        return "it has no column method of text (give the table of tradeoff)";
    if (is_by_layer(&p))
        return "it has rows of layers (give the table of tradeoff without --per layer)";
    if (p.x < 0) return "it has no numeric column speedup (give the table of tradeoff)";
    if (!atn_is_number_col(t, p.y))
        return "it has no numeric column output_error_relative";
    if (atn_table_rows(t) > POINTS_MOST) return "it has more than 4096 rows";
    for (atn_idx r = 0; r < atn_table_rows(t); r++)
        speed |= isfinite(number_of(&p, r, p.x)) && isfinite(number_of(&p, r, p.y));
    if (!speed)
        return "no row has both a speed-up and an error: launches below 0.1 ms have no "
               "speed-up (give tradeoff a larger --batch)";
    return NULL;
}

static atn_status height(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *q,
                         const atn_figure_opts *o, double *points)
{
    const plot p = columns_of(t);
    atn_status st = ATN_OK;

    (void)q, (void)o;
    ATN_TRY(atn_plot_height(cx, c, t, p.family, points));
    *points += c->font * 14; /* room for names, and the line below */
done:
    return st;
}

/* ---- points and axes ---- */

/* By speed-up, those without one last; then by error, then as in the table. */
static int before(const void *a_, const void *b_)
{
    const point *a = a_, *b = b_;
    const double x = isnan(a->x) ? INFINITY : a->x, y = isnan(b->x) ? INFINITY : b->x;

    if (x != y) return x < y ? -1 : 1;
    if (a->y != b->y) return a->y < b->y ? -1 : 1;
    return (a->row > b->row) - (a->row < b->row);
}

/* Candidates that no other one but hybrids betters. */
static void find_second(plot *p)
{
    for (int i = 0; i < p->n; i++) {
        point *q = &p->at[i];

        q->second = q->candidate && !q->hybrid && !isnan(q->x);
        for (int k = 0; q->second && k < p->n; k++) {
            const point *o = &p->at[k];

            if (!o->candidate || o->hybrid || isnan(o->x)) continue;
            q->second = !(o->x >= q->x && o->y <= q->y &&
                          (o->x > q->x || o->y < q->y || k < i));
        }
    }
}

static atn_status find_points(atn_ctx *cx, plot *p, const tradeoff_params *asked)
{
    const atn_table *t = p->t;
    atn_status st = ATN_OK;

    ATN_TAKE(p->at, atn_table_rows(t));
    p->taken.room = (int)(2 * atn_table_rows(t) + 1);
    ATN_TAKE(p->taken.taken, p->taken.room);
    ATN_TRY(atn_series_find(cx, t, p->family, &p->families));
    for (atn_idx r = 0; r < atn_table_rows(t); r++) {
        point q = {.row = r,
                   .x = number_of(p, r, p->x),
                   .y = number_of(p, r, p->y),
                   .low = number_of(p, r, p->low),
                   .high = number_of(p, r, p->high),
                   .front = p->front < 0 || number_of(p, r, p->front) == 1,
                   .candidate = p->front < 0 || atn_table_has(t, r, p->front),
                   .hybrid = strcmp(atn_table_text(p->t, r, p->family), "hybrid") == 0,
                   .family = atn_series_of(&p->families, t, r)};

        if (!isfinite(q.y)) continue;
        if (!isfinite(q.x)) q.x = NAN;
        if (q.y > asked->worst || q.x < asked->slowest) {
            p->beyond++;
            continue;
        }
        p->launches += isnan(q.x);
        p->at[p->n++] = q;
    }
    qsort(p->at, (size_t)p->n, sizeof *p->at, before);
    find_second(p);
done:
    return st;
}

/* Room below a logarithm for errors of 0, and for those too small for it; below a
 * linear axis for the marks that stand on it. */
static void add_levels(plot *p)
{
    atn_axis *y = &p->y_axis;
    const double step = 0.07 * (y->hi - y->lo);
    bool zero = false;

    p->zero = p->tiny = p->most_tiny = NAN;
    if (!y->log && y->lo == 0) y->lo -= step / 2;
    if (!y->log) return;
    for (int i = 0; i < p->n; i++) {
        if (!atn_axis_is_below(y, p->at[i].y)) continue;
        zero |= !(p->at[i].y > 0);
        if (p->at[i].y > 0) p->most_tiny = fmax(p->most_tiny, p->at[i].y);
    }
    if (!isnan(p->most_tiny)) {
        p->tiny = y->lo - step / 2;
        y->lo -= step;
    }
    if (zero) {
        p->zero = y->lo - step / 2;
        y->lo -= step;
    }
}

/* The speed-ups, the ends of their whiskers, and 1. */
static atn_status find_axes(atn_ctx *cx, plot *p, const tradeoff_params *q)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *v = NULL;
    int n = 0;

    ATN_TAKE(v, 3 * (atn_idx)p->n + 1);
    v[n++] = 1;
    for (int i = 0; i < p->n; i++) {
        if (isnan(p->at[i].x)) continue;
        v[n++] = p->at[i].x;
        if (!q->intervals || !p->at[i].front) continue;
        if (isfinite(p->at[i].low)) v[n++] = p->at[i].low;
        if (isfinite(p->at[i].high)) v[n++] = p->at[i].high;
    }
    p->x_axis = atn_axis_of(v, n, q->x_axis, true);
    for (n = 0; n < p->n; n++) v[n] = p->at[n].y;
    p->y_axis = atn_axis_of(v, n, q->y_axis, true);
    add_levels(p);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static double px_of(const plot *p, const atn_plot_area *a, double x)
{
    const double at =
        isnan(x) ? a->x + a->w : atn_plot_px(a, atn_axis_place(&p->x_axis, x));

    return fmin(fmax(at, a->x), a->x + a->w);
}

static double py_of(const plot *p, const atn_plot_area *a, double y)
{
    const bool zero = !isnan(p->zero) && !(y > 0);
    const bool tiny = !isnan(p->tiny) && y > 0 && y <= p->most_tiny;

    return atn_plot_py(a, zero   ? p->zero
                          : tiny ? p->tiny
                                 : atn_axis_place(&p->y_axis, y));
}

static double radius(const atn_canvas *c, const point *q)
{
    return c->font * (q->front ? 0.36 : 0.26);
}

/* A level below the logarithm, with its label. */
static void draw_level(atn_canvas *c, const atn_plot_area *a, double at,
                       const char *label)
{
    const double y = atn_plot_py(a, at);

    if (isnan(at)) return;
    atn_canvas_grey(c, 0.9);
    atn_canvas_line(c, a->x, y, a->x + a->w, y, 0.4);
    atn_canvas_grey(c, 0);
    atn_canvas_text(c, a->x - c->font * 0.4, y, ATN_RIGHT, 0.85, 0, 0, label);
}

static void draw_levels(atn_canvas *c, const plot *p, const atn_plot_area *a)
{
    char text[32] = "";

    if (!isnan(p->tiny))
        snprintf(text, sizeof text, "<1e%d", (int)floor(log10(p->most_tiny)) + 1);
    draw_level(c, a, p->tiny, text);
    draw_level(c, a, p->zero, "0");
}

static void draw_axes(atn_canvas *c, const plot *p, atn_plot_area *a)
{
    const bool usual = strcmp(atn_table_col_name(p->t, p->x), "speedup") == 0;
    char x[160], y[160];
    double one;

    atn_col_label(p->t, p->x, x, sizeof x);
    atn_col_label(p->t, p->y, y, sizeof y);
    atn_axes_draw(c, a, &p->x_axis, &p->y_axis,
                  usual ? "predicted speed-up of attention" : x, y);
    draw_levels(c, p, a);
    one = px_of(p, a, 1);
    cairo_save(c->cr);
    cairo_set_dash(c->cr, (double[]){3, 2}, 2, 0);
    atn_canvas_grey(c, 0.5);
    atn_canvas_line(c, one, a->y, one, a->y + a->h, 0.7);
    cairo_restore(c->cr);
}

/* ---- drawing ---- */

/* Dense attention is black and a hybrid grey; the others have colours of their own. */
static void family_ink(atn_canvas *c, const plot *p, int family)
{
    const char *name = p->families.names ? p->families.names[family] : "";
    int i = family;

    if (strcmp(name, "dense") == 0) {
        atn_canvas_grey(c, 0);
        return;
    }
    if (strcmp(name, "hybrid") == 0) {
        atn_canvas_grey(c, 0.45);
        return;
    }
    for (int k = 0; p->families.names && k < family; k++)
        i -= strcmp(p->families.names[k], "dense") == 0 ||
             strcmp(p->families.names[k], "hybrid") == 0;
    atn_canvas_colour(c, atn_palette_category(i % ATN_PALETTE_CATEGORIES));
}

/* At a speed-up the error of the nearest faster one that is no worse than needed. */
static void draw_front(atn_canvas *c, const plot *p, const atn_plot_area *a)
{
    double last = NAN;

    atn_canvas_grey(c, 0.35);
    for (int i = 0; i < p->n; i++) {
        const double x = px_of(p, a, p->at[i].x), y = py_of(p, a, p->at[i].y);

        if (!p->at[i].front || isnan(p->at[i].x)) continue;
        if (isnan(last))
            cairo_move_to(c->cr, x, y);
        else
            cairo_line_to(c->cr, last, y);
        cairo_line_to(c->cr, x, y);
        last = x;
    }
    cairo_set_line_width(c->cr, 0.8);
    cairo_stroke(c->cr);
}

static void draw_whisker(atn_canvas *c, const plot *p, const atn_plot_area *a,
                         const point *q)
{
    const double y = py_of(p, a, q->y), r = c->font * 0.2;
    double x0, x1;

    if (isnan(q->x) || !isfinite(q->low) || !isfinite(q->high)) return;
    x0 = px_of(p, a, q->low);
    x1 = px_of(p, a, q->high);
    atn_canvas_grey(c, q->front ? 0.45 : 0.8);
    atn_canvas_line(c, x0, y, x1, y, q->front ? 0.6 : 0.4);
    if (!q->front) return;
    atn_canvas_line(c, x0, y - r, x0, y + r, 0.6);
    atn_canvas_line(c, x1, y - r, x1, y + r, 0.6);
}

static void draw_point(atn_canvas *c, plot *p, const atn_plot_area *a, const point *q)
{
    const double x = px_of(p, a, q->x), y = py_of(p, a, q->y), r = radius(c, q);

    if (isnan(q->x))
        cairo_rectangle(c->cr, x - r, y - r, 2 * r, 2 * r);
    else
        cairo_arc(c->cr, x, y, r, 0, 2 * acos(-1));
    if (q->front && !isnan(q->x))
        family_ink(c, p, q->family);
    else
        atn_canvas_grey(c, 1);
    cairo_fill_preserve(c->cr);
    family_ink(c, p, q->family);
    cairo_set_line_width(c->cr, 1.1);
    cairo_stroke(c->cr);
    atn_names_take(&p->taken, x - r, y - r, x + r, y + r);
}

static void draw_points(atn_canvas *c, plot *p, const atn_plot_area *a, bool intervals)
{
    for (int front = 0; front < 2; front++) {
        for (int i = 0; intervals && i < p->n; i++)
            if (p->at[i].front == (front == 1)) draw_whisker(c, p, a, &p->at[i]);
        for (int i = 0; i < p->n; i++)
            if (p->at[i].front == (front == 1)) draw_point(c, p, a, &p->at[i]);
    }
}

static void put_name(atn_canvas *c, plot *p, const atn_plot_area *a, const point *q)
{
    const char *budget = atn_table_text(p->t, q->row, p->budget);
    atn_name name = {.x = px_of(p, a, q->x),
                     .y = py_of(p, a, q->y),
                     .radius = radius(c, q),
                     .bold = q->front};

    snprintf(name.text, sizeof name.text, "%.60s%s%.30s",
             atn_table_text(p->t, q->row, p->method), budget[0] ? " " : "", budget);
    p->unnamed += !atn_names_put(c, &p->taken, a, &name);
}

/* Is it the first hybrid of the front from i on, in this direction? */
static bool ends_hybrids(const plot *p, int i, int step)
{
    if (!p->at[i].hybrid || !p->at[i].front) return false;
    for (i += step; i >= 0 && i < p->n; i += step)
        if (p->at[i].hybrid && p->at[i].front) return false;
    return true;
}

static void draw_names(atn_canvas *c, plot *p, const atn_plot_area *a)
{
    for (int front = 1; front >= 0; front--)
        for (int i = 0; i < p->n; i++) {
            const point *q = &p->at[i];

            if (q->front != (front == 1)) continue;
            if (q->hybrid && !ends_hybrids(p, i, 1) && !ends_hybrids(p, i, -1))
                continue;
            if (q->front || q->second) put_name(c, p, a, q);
        }
}

static void family_name(const void *state, int i, char *out, size_t size)
{
    const plot *p = state;

    snprintf(out, size, "%s", p->families.names ? p->families.names[i] : "methods");
}

static void family_mark(atn_canvas *c, const void *state, int i, double x, double y)
{
    const double wide = c->font * 1.2, tall = c->font * 0.8;

    family_ink(c, state, i);
    atn_canvas_rect(c, x, y - tall / 2, wide, tall);
}

/* What is below; returns its height. */
static double foot(atn_canvas *c, const plot *p, double y, bool draw)
{
    /* names are counted as they are drawn: before, the longest text there may be */
    const int unnamed = draw ? p->unnamed : p->n;
    char text[240];
    int n = snprintf(text, sizeof text, "filled: no other point is better in both");

    if (p->launches > 0)
        n += snprintf(text + n, sizeof text - (size_t)n,
                      "; squares: launches below 0.1 ms, no speed-up");
    if (p->beyond > 0)
        n += snprintf(text + n, sizeof text - (size_t)n, "; %d beyond the edges",
                      p->beyond);
    if (unnamed > 0)
        snprintf(text + n, sizeof text - (size_t)n, "; %d without room for a name",
                 unnamed);
    atn_canvas_grey(c, 0.35);
    return atn_canvas_note(c,
                           &(atn_note){.x = c->width / 2,
                                       .y = y,
                                       .width = c->width - 2 * c->font,
                                       .size = 0.8,
                                       .text = text},
                           draw);
}

static atn_status draw(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *q,
                       const atn_figure_opts *o)
{
    const tradeoff_params *asked = q;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_figure_opts with = *o;
    plot p = columns_of(t);
    atn_legend legend = {.name = family_name, .mark = family_mark, .state = &p};
    atn_status st = ATN_OK;
    atn_plot_area a;
    double below;

    if (!o->title && !atn_table_get_meta(t, "title"))
        with.title = "Error against predicted speed-up";
    ATN_TRY(find_points(cx, &p, asked));
    ATN_TRY(atn_plot_begin(cx, c, t, &p.families, &a));
    below = foot(c, &p, 0, false) + c->font * 0.4;
    a.h -= below;
    ATN_TRY(atn_canvas_fits(cx, c, a.w, a.h));
    ATN_TRY(find_axes(cx, &p, asked));
    (void)atn_figure_heading(c, t, &with, 1);
    draw_axes(c, &p, &a);
    draw_front(c, &p, &a);
    draw_points(c, &p, &a, asked->intervals);
    if (asked->names) draw_names(c, &p, &a);
    legend.x = a.x;
    legend.y = a.y + a.h + c->font * 3.2;
    legend.width = a.w;
    legend.n = p.families.n;
    if (legend.n > 1) (void)atn_legend_draw(c, &legend, true);
    (void)foot(c, &p, c->height - below, true);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_figure atn_figure_tradeoff = {
    .id = "tradeoff",
    .title = "Error against predicted speed-up",
    .text = "the error of approximations by their predicted speed-up on a GPU, and the "
            "front of the best, of a table of tradeoff",
    .params = params,
    .params_size = sizeof(tradeoff_params),
    .columns = ATN_FIGURE_X | ATN_FIGURE_Y,
    .check = check,
    .height = height,
    .draw = draw,
};
