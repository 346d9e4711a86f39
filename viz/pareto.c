/* viz/pareto.c -- error against cost: a point a method and budget, and the front that
 * no other point betters in both.
 *
 * Accepts  a table of kind pareto: columns method, executed_share and
 *          output_error_relative (or those that meta x and y name), and family,
 *          budget, on_front where there are some.
 *
 * Points have the colour of their family; those on the front are filled, joined by
 * steps, and named first. A name goes where nothing is: right, left, above or below;
 * one without room is left out and counted below the plot.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viz/axes.h"
#include "viz/names.h"
#include "viz/palette.h"

extern const atn_figure atn_figure_pareto;

typedef struct pareto_params {
    int x_axis, y_axis; /* auto, linear, log */
    bool names;
} pareto_params;

static const atn_param params[] = {
    ATN_PARAM_CHOICE(pareto_params, x_axis, ATN_AXIS_AUTO, "auto|linear|log",
                     "auto: log where the largest value is thirty times the least"),
    ATN_PARAM_CHOICE(pareto_params, y_axis, ATN_AXIS_AUTO, "auto|linear|log",
                     "auto: log where the largest value is thirty times the least"),
    ATN_PARAM_BOOL(pareto_params, names, 1, "methods are named beside their points"),
    ATN_PARAM_END,
};

enum { POINTS_MOST = 4096 };

typedef struct point {
    atn_idx row;
    double x, y; /* of the table */
    bool front;
    int family;
} point;

typedef struct plot {
    const atn_table *t;
    int x, y, method, family, budget, front;
    atn_axis x_axis, y_axis;
    point *at;
    int n;
    atn_series families;
    atn_names taken;
    int unnamed;
    bool many_budgets;
} plot;

static plot columns_of(const atn_table *t)
{
    return (plot){
        .t = t,
        .x = atn_meta_col(t, "x", atn_table_find_col(t, "executed_share")),
        .y = atn_meta_col(t, "y", atn_table_find_col(t, "output_error_relative")),
        .method = atn_table_find_col(t, "method"),
        .family = atn_table_find_col(t, "family"),
        .budget = atn_table_find_col(t, "budget"),
        .front = atn_table_find_col(t, "on_front")};
}

static bool usable(const plot *p, atn_idx r)
{
    return isfinite(atn_table_get_f64(p->t, r, p->x)) &&
           isfinite(atn_table_get_f64(p->t, r, p->y));
}

/* Is row r of another layer or head than the first? */
static bool is_elsewhere(const atn_table *t, atn_idx r)
{
    static const char *const keys[] = {"step", "layer", "head"};

    for (size_t k = 0; k < ATN_LEN(keys); k++) {
        const int col = atn_table_find_col(t, keys[k]);

        if (col >= 0 && atn_table_get_f64(t, r, col) != atn_table_get_f64(t, 0, col))
            return true;
    }
    return false;
}

/* Rows of heads or layers in place of means: a method at a budget comes again. */
static bool is_by_head(const plot *p)
{
    for (atn_idx r = 1; r < atn_table_rows(p->t); r++)
        if (strcmp(atn_table_text(p->t, r, p->method),
                   atn_table_text(p->t, 0, p->method)) == 0 &&
            strcmp(atn_table_text(p->t, r, p->budget),
                   atn_table_text(p->t, 0, p->budget)) == 0 &&
            is_elsewhere(p->t, r))
            return true;
    return false;
}

static const char *check(const atn_table *t)
{
    const plot p = columns_of(t);

    if (p.method < 0)
        return "it has no column method (give the pareto table of approx)";
    if (atn_table_col_type(t, p.method) != ATN_COL_STR)
        return "its column method is no text (give the pareto table of approx)";
    if (!atn_is_number_col(t, p.x)) return "it has no numeric column executed_share";
    if (!atn_is_number_col(t, p.y))
        return "it has no numeric column output_error_relative";
    if (strcmp(atn_table_kind(t), "best") == 0 ||
        atn_table_find_col(t, "second_error_relative") >= 0)
        return "it has the best method of every head (give the pareto table, "
               "FILE.pareto.csv beside the FILE of approx -o FILE)";
    if (is_by_head(&p))
        return "it has several rows of one method and budget, those of heads or layers "
               "(give the "
               "means, FILE.pareto.csv beside the FILE of approx -o FILE)";
    if (atn_table_rows(t) > POINTS_MOST) return "it has more than 4096 rows";
    for (atn_idx r = 0; r < atn_table_rows(t); r++)
        if (usable(&p, r)) return NULL;
    return "no row has both a cost and an error";
}

static atn_status height(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *q,
                         const atn_figure_opts *o, double *points)
{
    const plot p = columns_of(t);
    atn_status st = ATN_OK;

    (void)q, (void)o;
    ATN_TRY(atn_plot_height(cx, c, t, p.family, points));
    *points += c->font * 10; /* room for names, and the line below */
done:
    return st;
}

/* ---- points and axes ---- */

/* By cost, then by error, then as in the table. */
static int before(const void *a_, const void *b_)
{
    const point *a = a_, *b = b_;

    if (a->x != b->x) return a->x < b->x ? -1 : 1;
    if (a->y != b->y) return a->y < b->y ? -1 : 1;
    return (a->row > b->row) - (a->row < b->row);
}

static atn_status find_points(atn_ctx *cx, plot *p)
{
    const atn_table *t = p->t;
    const char *first = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(p->at, atn_table_rows(t));
    p->taken.room = (int)(2 * atn_table_rows(t));
    ATN_TAKE(p->taken.taken, p->taken.room);
    ATN_TRY(atn_series_find(cx, t, p->family, &p->families));
    for (atn_idx r = 0; r < atn_table_rows(t); r++) {
        const char *budget =
            p->budget >= 0 && atn_table_col_type(t, p->budget) == ATN_COL_STR
                ? atn_table_get_str(t, r, p->budget)
                : NULL;

        if (!usable(p, r)) continue;
        p->at[p->n++] =
            (point){.row = r,
                    .x = atn_table_get_f64(t, r, p->x),
                    .y = atn_table_get_f64(t, r, p->y),
                    .front = p->front >= 0 && atn_table_get_f64(t, r, p->front) == 1,
                    .family = atn_series_of(&p->families, t, r)};
        if (budget && first && strcmp(budget, first) != 0) p->many_budgets = true;
        if (budget) first = budget;
    }
    qsort(p->at, (size_t)p->n, sizeof *p->at, before);
done:
    return st;
}

/* The axis of one column of the points. */
static atn_status find_axis(atn_ctx *cx, const plot *p, bool x, int asked,
                            atn_axis *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *v = NULL;

    ATN_TAKE(v, p->n);
    for (int i = 0; i < p->n; i++) v[i] = x ? p->at[i].x : p->at[i].y;
    *out = atn_axis_of(v, p->n, asked, true);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static double px_of(const plot *p, const atn_plot_area *a, double x)
{
    return atn_plot_px(a, atn_axis_place(&p->x_axis, x));
}

static double py_of(const plot *p, const atn_plot_area *a, double y)
{
    return atn_plot_py(a, atn_axis_place(&p->y_axis, y));
}

static void draw_axes(atn_canvas *c, const plot *p, atn_plot_area *a)
{
    char x[160], y[160];

    atn_col_label(p->t, p->x, x, sizeof x);
    atn_col_label(p->t, p->y, y, sizeof y);
    atn_axes_draw(c, a, &p->x_axis, &p->y_axis, x, y);
}

/* ---- points, front, names ---- */

static double radius(const atn_canvas *c, const point *q)
{
    return c->font * (q->front ? 0.36 : 0.28);
}

static void draw_front(atn_canvas *c, const plot *p, const atn_plot_area *a)
{
    double last = NAN;

    atn_canvas_grey(c, 0.35);
    for (int i = 0; i < p->n; i++) {
        const double x = px_of(p, a, p->at[i].x), y = py_of(p, a, p->at[i].y);

        if (!p->at[i].front) continue;
        if (isnan(last))
            cairo_move_to(c->cr, x, y);
        else
            cairo_line_to(c->cr, x, last);
        cairo_line_to(c->cr, x, y);
        last = y;
    }
    cairo_set_line_width(c->cr, 0.8);
    cairo_stroke(c->cr);
}

static void draw_points(atn_canvas *c, plot *p, const atn_plot_area *a)
{
    for (int i = 0; i < p->n; i++) {
        const point *q = &p->at[i];
        const double x = px_of(p, a, q->x), y = py_of(p, a, q->y), r = radius(c, q);

        cairo_arc(c->cr, x, y, r, 0, 2 * acos(-1));
        if (q->front) {
            atn_canvas_colour(c,
                              atn_palette_category(q->family % ATN_PALETTE_CATEGORIES));
            cairo_fill_preserve(c->cr);
        } else {
            atn_canvas_grey(c, 1);
            cairo_fill_preserve(c->cr);
        }
        atn_canvas_colour(c, atn_palette_category(q->family % ATN_PALETTE_CATEGORIES));
        cairo_set_line_width(c->cr, 1.1);
        cairo_stroke(c->cr);
        atn_names_take(&p->taken, x - r, y - r, x + r, y + r);
    }
}

static void name_of(const plot *p, const point *q, char *out, size_t size)
{
    const char *method = atn_table_get_str(p->t, q->row, p->method);
    const char *budget =
        p->many_budgets ? atn_table_get_str(p->t, q->row, p->budget) : NULL;

    snprintf(out, size, "%s%s%s", method ? method : "?", budget ? " " : "",
             budget ? budget : "");
}

static bool put_name(atn_canvas *c, plot *p, const atn_plot_area *a, const point *q)
{
    atn_name name = {.x = px_of(p, a, q->x),
                     .y = py_of(p, a, q->y),
                     .radius = radius(c, q),
                     .bold = q->front};

    name_of(p, q, name.text, sizeof name.text);
    return atn_names_put(c, &p->taken, a, &name);
}

static void family_name(const void *state, int i, char *out, size_t size)
{
    const plot *p = state;

    snprintf(out, size, "%s", p->families.names ? p->families.names[i] : "methods");
}

static void family_mark(atn_canvas *c, const void *state, int i, double x, double y)
{
    (void)state;
    atn_legend_swatch(c, i % ATN_PALETTE_CATEGORIES, x, y);
}

static void draw_names(atn_canvas *c, plot *p, const atn_plot_area *a)
{
    for (int front = 1; front >= 0; front--)
        for (int i = 0; i < p->n; i++)
            if (p->at[i].front == (front == 1) && !put_name(c, p, a, &p->at[i]))
                p->unnamed++;
}

/* A point without a word on the front is no candidate for it. */
static bool oracles_apart(const plot *p)
{
    for (int i = 0; i < p->n; i++)
        if (p->front >= 0 && !atn_table_has(p->t, p->at[i].row, p->front)) return true;
    return false;
}

static atn_status draw(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *q,
                       const atn_figure_opts *o)
{
    const pareto_params *asked = q;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_figure_opts with = *o;
    plot p = columns_of(t);
    atn_legend legend = {.name = family_name, .mark = family_mark, .state = &p};
    atn_status st = ATN_OK;
    atn_plot_area a;
    char text[160];

    if (!o->title && !atn_table_get_meta(t, "title")) with.title = "Error against cost";
    ATN_TRY(find_points(cx, &p));
    ATN_TRY(atn_plot_begin(cx, c, t, &p.families, &a));
    a.h -= c->font * 1.4; /* the line below */
    ATN_TRY(atn_canvas_fits(cx, c, a.w, a.h));
    ATN_TRY(find_axis(cx, &p, true, asked->x_axis, &p.x_axis));
    ATN_TRY(find_axis(cx, &p, false, asked->y_axis, &p.y_axis));
    (void)atn_figure_heading(c, t, &with, 1);
    draw_axes(c, &p, &a);
    draw_front(c, &p, &a);
    draw_points(c, &p, &a);
    if (asked->names) draw_names(c, &p, &a);
    legend.x = a.x;
    legend.y = a.y + a.h + c->font * 3.2;
    legend.width = a.w;
    legend.n = p.families.n;
    if (legend.n > 1) (void)atn_legend_draw(c, &legend, true);
    snprintf(text, sizeof text, "filled: no other point is better in both%s%s",
             oracles_apart(&p) ? ", oracles apart" : "", p.unnamed ? "" : ".");
    if (p.unnamed)
        snprintf(text + strlen(text), sizeof text - strlen(text),
                 "; %d of %d points have no room for a name", p.unnamed, p.n);
    atn_canvas_grey(c, 0.35);
    atn_canvas_text(c, a.x, c->height - c->font * 0.8, ATN_LEFT, 0.8, 0, a.w, text);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_figure atn_figure_pareto = {
    .id = "pareto",
    .title = "Error against cost",
    .text = "the error of approximations by what they execute, and the front of the "
            "best, of a pareto table of approx",
    .params = params,
    .params_size = sizeof(pareto_params),
    .columns = ATN_FIGURE_X | ATN_FIGURE_Y,
    .check = check,
    .height = height,
    .draw = draw,
};
