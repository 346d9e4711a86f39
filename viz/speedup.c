/* viz/speedup.c -- speed-up by density: a curve a case, the density from which on it
 * pays, and the pattern itself on it.
 *
 * Accepts  a table of kind density: columns density and speedup, and, where they are,
 *          pattern, kernel, gpu (what is different between rows names a curve),
 *          is_point (the row of the pattern itself), density_pairs and
 *          break_even_density. Or the table of simulate, of which every row is a
 *          pattern without a curve, by tile_density where there is one, else by its
 *          pairs.
 * Math     the bound of the FLOPs is 1 / density.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "viz/axes.h"
#include "viz/palette.h"

extern const atn_figure atn_figure_speedup;

enum { CURVES_MOST = 64, NAMED = 16, NAMES = 3 };

typedef struct speedup_params {
    int x_axis, y_axis;
} speedup_params;

static const atn_param params[] = {
    ATN_PARAM_CHOICE(speedup_params, x_axis, ATN_AXIS_AUTO, "auto|linear|log",
                     "auto: log where the largest value is thirty times the least"),
    ATN_PARAM_CHOICE(speedup_params, y_axis, ATN_AXIS_AUTO, "auto|linear|log",
                     "likewise"),
    ATN_PARAM_END,
};

/* Rows [from, to) of one case. */
typedef struct curve {
    atn_idx from, to;
    double break_even;
    bool point, below; /* the pattern itself; as fast as that is no ratio for it */
    int dots;          /* of the curve */
} curve;

/* What the densities are shares of. */
typedef enum share { SHARE, SHARE_TILES, SHARE_PAIRS } share;

typedef struct plot {
    const atn_table *t;
    int x, y, point, pairs, even, name[NAMES];
    bool points; /* alone: every row is a pattern */
    share of;
    bool varies[NAMES];
    curve *at; /* [n] */
    int n;
    bool even_alike; /* and there is one */
    atn_axis x_axis, y_axis;
    atn_plot_area a;
    char note[400];
} plot;

static plot columns_of(const atn_table *t)
{
    const int tiles = atn_table_find_col(t, "tile_density"),
              density = atn_table_find_col(t, "density"),
              even = atn_table_find_col(t, "break_even_tile_density");
    plot p = {.t = t,
              .x = density,
              .y = atn_table_find_col(t, "speedup"),
              .point = atn_table_find_col(t, "is_point"),
              .pairs = atn_table_find_col(t, "density_pairs"),
              .even = even >= 0 ? even : atn_table_find_col(t, "break_even_density"),
              .name = {atn_table_find_col(t, "pattern"),
                       atn_table_find_col(t, "kernel"), atn_table_find_col(t, "gpu")}};

    p.of = p.point >= 0 ? SHARE_TILES : SHARE;
    p.points = p.point < 0 && atn_table_find_col(t, "visited_tiles") >= 0;
    if (!p.points) return p;
    p.of = tiles >= 0 ? SHARE_TILES : SHARE_PAIRS;
    p.x = tiles >= 0 ? tiles : density;
    p.pairs = tiles >= 0 ? density : -1;
    if (tiles < 0) p.even = -1; /* it is a share of tiles */
    return p;
}

static double positive(const atn_table *t, atn_idx r, int col)
{
    const double v = col >= 0 ? atn_table_get_f64(t, r, col) : NAN;

    return isfinite(v) && v > 0 ? v : NAN;
}

static bool usable(const plot *p, atn_idx r)
{
    return !isnan(positive(p->t, r, p->x)) && !isnan(positive(p->t, r, p->y));
}

static bool is_point(const plot *p, atn_idx r)
{
    return p->points || (p->point >= 0 && atn_table_get_f64(p->t, r, p->point) == 1);
}

static const char *name_at(const plot *p, atn_idx r, int k)
{
    return atn_table_text(p->t, r, p->name[k]);
}

static bool same_case(const plot *p, atn_idx a, atn_idx b)
{
    for (int k = 0; k < NAMES; k++)
        if (strcmp(name_at(p, a, k), name_at(p, b, k)) != 0) return false;
    return true;
}

/* Curves begin where a name changes, or the density falls back. */
static bool begins(const plot *p, atn_idx r)
{
    return r == 0 || p->points || !same_case(p, r, r - 1) ||
           (!is_point(p, r) && !is_point(p, r - 1) &&
            atn_table_get_f64(p->t, r, p->x) < atn_table_get_f64(p->t, r - 1, p->x));
}

/* Is row r too fast for a ratio? */
static bool is_launch(const plot *p, atn_idx r)
{
    const int limit = atn_table_find_col(p->t, "limited_by"),
              ms = atn_table_find_col(p->t, "time_ms");
    const char *text = atn_table_text(p->t, r, limit);

    return !isnan(positive(p->t, r, p->x)) &&
           (*text ? strcmp(text, "launch") == 0 : positive(p->t, r, ms) < 0.1);
}

static bool all_launch(const plot *p)
{
    bool all = atn_table_rows(p->t) > 0, any = false;

    for (atn_idx r = 0; r < atn_table_rows(p->t); r++) {
        any |= is_launch(p, r);
        all &= p->y < 0 || !atn_table_has(p->t, r, p->y);
    }
    return all && any;
}

static const char *check(const atn_table *t)
{
    const plot p = columns_of(t);
    bool any = false;
    int n = 0;

    if (!atn_is_number_col(t, p.x))
        return "it has no numeric column density (give the table of attnscope "
               "simulate, or of plot speedup)";
    if (p.y >= 0 && all_launch(&p)) /* an empty column is none of numbers */
        return "it is launch bound: no launch takes 0.1 ms, below which there is no "
               "speed-up (give larger --tokens or --batch)";
    if (!atn_is_number_col(t, p.y)) return "it has no numeric column speedup";
    for (atn_idx r = 0; r < atn_table_rows(t); r++) {
        any |= usable(&p, r);
        n += begins(&p, r);
    }
    if (n > CURVES_MOST) return "it has more than 64 curves (keep fewer patterns)";
    return any ? NULL : "no row has both a density and a speed-up";
}

/* ---- what there is to draw ---- */

static atn_status find_curves(atn_ctx *cx, plot *p)
{
    const atn_idx rows = atn_table_rows(p->t);
    atn_status st = ATN_OK;

    ATN_TAKE(p->at, CURVES_MOST);
    for (atn_idx r = 0; r < rows; r++) {
        if (begins(p, r)) p->at[p->n++] = (curve){.from = r, .break_even = NAN};
        p->at[p->n - 1].to = r + 1;
        if (p->even >= 0 && isnan(p->at[p->n - 1].break_even))
            p->at[p->n - 1].break_even = positive(p->t, r, p->even);
        p->at[p->n - 1].point |= is_point(p, r) && usable(p, r);
        p->at[p->n - 1].below |= is_point(p, r) && !usable(p, r);
        p->at[p->n - 1].dots += !is_point(p, r) && usable(p, r);
        for (int k = 0; k < NAMES; k++)
            p->varies[k] |= strcmp(name_at(p, r, k), name_at(p, 0, k)) != 0;
    }
    p->even_alike = p->n > 1 && !isnan(p->at[0].break_even);
    for (int i = 1; i < p->n; i++)
        p->even_alike &= p->at[i].break_even == p->at[0].break_even;
done:
    return st;
}

/* What is said of a curve behind its name. */
static void fact_of(const plot *p, const curve *k, char *out, size_t size)
{
    const bool even = !isnan(k->break_even) && !p->even_alike;
    char number[32];

    atn_number_label(k->break_even, number);
    snprintf(out, size, "%s%s", even ? "break-even at " : "", even ? number : "");
    if (k->below)
        snprintf(out + strlen(out), size - strlen(out), "%slaunch bound",
                 even ? ", " : "");
    else if (isnan(k->break_even) && p->even >= 0)
        snprintf(out, size, "never pays");
}

static void curve_name(const void *state, int i, char *out, size_t size)
{
    const plot *p = state;
    const curve *k = &p->at[i];
    const bool none = !p->varies[0] && !p->varies[1] && !p->varies[2];
    char fact[80];
    size_t n = 0;

    *out = '\0';
    for (int j = 0; j < NAMES; j++) {
        if (!(p->varies[j] || (none && j == 0)) || !*name_at(p, k->from, j)) continue;
        snprintf(out + n, size - n, "%s%.70s", n ? ", " : "", name_at(p, k->from, j));
        n = strlen(out);
    }
    fact_of(p, k, fact, sizeof fact);
    if (n == 0) snprintf(out, size, "speed-up");
    n = strlen(out);
    if (*fact) snprintf(out + n, size - n, " (%s)", fact);
}

/* Colours come again where there are more curves; marks are of another shape then. */
static void curve_pen(atn_canvas *c, int i)
{
    atn_canvas_colour(c, atn_palette_series(i % ATN_PALETTE_DISTINCT, 1));
    cairo_set_line_join(c->cr, CAIRO_LINE_JOIN_ROUND);
    cairo_set_line_width(c->cr, 1.3);
}

static void curve_disc(atn_canvas *c, int i, double x, double y)
{
    curve_pen(c, i);
    atn_mark_path(c, i / ATN_PALETTE_DISTINCT, x, y, 1.5);
    cairo_fill(c->cr);
}

static void curve_mark(atn_canvas *c, const void *state, int i, double x, double y)
{
    const plot *p = state;

    curve_pen(c, i);
    cairo_new_path(c->cr);
    if (p->at[i].dots > 1) {
        cairo_move_to(c->cr, x, y);
        cairo_line_to(c->cr, x + c->font * 1.3, y);
        cairo_stroke(c->cr);
    }
    if (p->at[i].point || p->at[i].dots == 1) curve_disc(c, i, x + c->font * 0.65, y);
}

static double legend(atn_canvas *c, const plot *p, double y, bool draw)
{
    char more[48];
    const int n = ATN_MIN(p->n, NAMED);

    snprintf(more, sizeof more, "(%d of %d named)", n, p->n);
    return atn_legend_draw(c,
                           &(atn_legend){.x = p->a.x,
                                         .y = y,
                                         .width = p->a.w,
                                         .n = n,
                                         .name = curve_name,
                                         .mark = curve_mark,
                                         .state = p,
                                         .more = n < p->n ? more : NULL},
                           draw);
}

/* ---- layout ---- */

static double note(atn_canvas *c, const plot *p, double y, bool draw)
{
    return atn_canvas_note(c,
                           &(atn_note){.x = c->width / 2,
                                       .y = y,
                                       .width = c->width - 2 * c->font,
                                       .size = 0.8,
                                       .text = p->note},
                           draw);
}

static void make_note(plot *p)
{
    bool points = false, even = false;
    char at[48] = "", number[32];

    for (int i = 0; i < p->n; i++) {
        points |= p->at[i].point;
        even |= !isnan(p->at[i].break_even);
    }
    atn_number_label(p->n ? p->at[0].break_even : 0, number);
    if (p->even_alike) snprintf(at, sizeof at, ", at %s", number);
    snprintf(p->note, sizeof p->note,
             "dashed: the bound of the FLOPs, 1 / density%s%s%s%s",
             even ? "; dotted: break-even" : "", at,
             !points                ? ""
             : p->of == SHARE_PAIRS ? "; filled: a pattern, by its pairs"
                                    : "; filled: a pattern, by its tiles",
             points && p->pairs >= 0 ? "; hollow: by its pairs" : "");
}

static atn_status lay_out(atn_ctx *cx, atn_canvas *c, const atn_table *t, plot *p)
{
    atn_status st = ATN_OK;
    atn_series one;

    *p = columns_of(t);
    ATN_TRY(find_curves(cx, p));
    make_note(p);
    ATN_TRY(atn_series_find(cx, t, -1, &one));
    if (isfinite(c->height)) {
        ATN_TRY(atn_plot_begin(cx, c, t, &one, &p->a));
        p->a.h -= legend(c, p, 0, false) + note(c, p, 0, false) + c->font;
        ATN_TRY(atn_canvas_fits(cx, c, p->a.w, p->a.h));
    } else {
        p->a.x = c->font * 6;
        p->a.w = c->width - c->font * 7.5;
    }
done:
    return st;
}

static atn_status height(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *q,
                         const atn_figure_opts *o, double *points)
{
    atn_status st = ATN_OK;
    plot p;

    (void)q, (void)o;
    ATN_TRY(atn_plot_height(cx, c, t, -1, points));
    ATN_TRY(lay_out(cx, c, t, &p));
    *points += legend(c, &p, 0, false) + note(c, &p, 0, false) + c->font;
done:
    return st;
}

/* Axes that hold the curves, the points, break-even, and speed-up 1. */
static atn_status find_axes(atn_ctx *cx, plot *p, const speedup_params *q)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx rows = atn_table_rows(p->t);
    atn_status st = ATN_OK;
    double *x = NULL, *y = NULL;
    atn_idx n = 0, m = 0;

    ATN_TAKE(x, 2 * rows + p->n + 1);
    ATN_TAKE(y, rows + 1);
    for (atn_idx r = 0; r < rows; r++) {
        if (!usable(p, r)) continue;
        x[n++] = positive(p->t, r, p->x);
        if (is_point(p, r) && !isnan(positive(p->t, r, p->pairs)))
            x[n++] = positive(p->t, r, p->pairs);
        y[m++] = positive(p->t, r, p->y);
    }
    for (int i = 0; i < p->n; i++)
        if (!isnan(p->at[i].break_even)) x[n++] = p->at[i].break_even;
    x[n++] = y[m++] = 1;
    p->x_axis = atn_axis_of(x, n, q->x_axis, true);
    p->y_axis = atn_axis_of(y, m, q->y_axis, true);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- drawing ---- */

static double px_of(const plot *p, double x)
{
    return atn_plot_px(&p->a, atn_axis_place(&p->x_axis, x));
}

static double py_of(const plot *p, double y)
{
    return atn_plot_py(&p->a, atn_axis_place(&p->y_axis, y));
}

/* 1 / density, as far as it is on the page. */
static void draw_bound(atn_canvas *c, const plot *p)
{
    static const double dash[] = {4, 2.5};
    enum { PIECES = 200 };

    atn_canvas_grey(c, 0.45);
    for (int i = 0; i <= PIECES; i++) {
        const double at = p->a.x0 + (p->a.x1 - p->a.x0) * i / PIECES;
        const double x = p->x_axis.log ? pow(10, at) : at;

        if (x > 0) cairo_line_to(c->cr, px_of(p, x), py_of(p, 1 / x));
    }
    cairo_set_dash(c->cr, dash, 2, 0);
    cairo_set_line_width(c->cr, 0.9);
    cairo_stroke(c->cr);
    cairo_set_dash(c->cr, NULL, 0, 0);
    atn_canvas_grey(c, 0.3);
    atn_canvas_line(c, p->a.x, py_of(p, 1), p->a.x + p->a.w, py_of(p, 1), 0.6);
}

static void draw_curve(atn_canvas *c, const plot *p, int i)
{
    static const double dots[] = {1, 1.6};
    const curve *k = &p->at[i];
    double x = 0, y = 0;
    bool on = false;

    curve_pen(c, i);
    for (atn_idx r = k->from; r < k->to; r++) {
        if (is_point(p, r)) continue;
        if (!usable(p, r)) {
            on = false;
            continue;
        }
        x = px_of(p, positive(p->t, r, p->x));
        y = py_of(p, positive(p->t, r, p->y));
        (on ? cairo_line_to : cairo_move_to)(c->cr, x, y);
        on = true;
    }
    cairo_stroke(c->cr);
    if (k->dots == 1) curve_disc(c, i, x, y);
    cairo_set_dash(c->cr, dots, 2, 0);
    if (!isnan(k->break_even))
        atn_canvas_line(c, px_of(p, k->break_even), py_of(p, 1),
                        px_of(p, k->break_even), p->a.y + p->a.h, 1);
    cairo_set_dash(c->cr, NULL, 0, 0);
}

/* The pattern by its tiles, filled, and by its pairs, a ring; between them is what its
 * tiles waste. */
static void draw_points(atn_canvas *c, const plot *p, int i)
{
    const curve *k = &p->at[i];

    for (atn_idx r = k->from; r < k->to; r++) {
        const double pairs = positive(p->t, r, p->pairs);
        double x, y;

        if (!is_point(p, r) || !usable(p, r)) continue;
        x = px_of(p, positive(p->t, r, p->x));
        y = py_of(p, positive(p->t, r, p->y));
        if (!isnan(pairs)) {
            curve_pen(c, i);
            atn_canvas_line(c, px_of(p, pairs), y, x, y, 0.8);
            atn_mark_path(c, i / ATN_PALETTE_DISTINCT, px_of(p, pairs), y, 1.25);
            atn_canvas_grey(c, 1);
            cairo_fill_preserve(c->cr);
            curve_pen(c, i);
            cairo_set_line_width(c->cr, 1);
            cairo_stroke(c->cr);
        }
        curve_disc(c, i, x, y);
    }
}

static void draw_inside(atn_canvas *c, const plot *p)
{
    cairo_save(c->cr);
    cairo_rectangle(c->cr, p->a.x, p->a.y, p->a.w, p->a.h);
    cairo_clip(c->cr);
    draw_bound(c, p);
    for (int i = 0; i < p->n; i++) draw_curve(c, p, i);
    for (int i = 0; i < p->n; i++) draw_points(c, p, i);
    cairo_restore(c->cr);
}

static atn_status draw(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *q,
                       const atn_figure_opts *o)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    static const char *const x_labels[] = {"density", "density (share of dense tiles)",
                                           "density (share of dense pairs)"};
    atn_figure_opts with = *o;
    atn_status st = ATN_OK;
    double y;
    plot p;

    if (!o->title && !atn_table_get_meta(t, "title"))
        with.title = "Speed-up by density";
    ATN_TRY(lay_out(cx, c, t, &p));
    ATN_TRY(find_axes(cx, &p, q));
    (void)atn_figure_heading(c, t, &with, 1);
    atn_axes_draw(c, &p.a, &p.x_axis, &p.y_axis, x_labels[p.of], "speed-up over dense");
    draw_inside(c, &p);
    y = p.a.y + p.a.h + c->font * 3.2;
    y += legend(c, &p, y, true);
    atn_canvas_grey(c, 0.35);
    (void)note(c, &p, y + c->font * 0.3, true);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_figure atn_figure_speedup = {
    .id = "speedup",
    .title = "Speed-up by density",
    .text = "the speed-up of a sparse kernel by density, with break-even and the bound "
            "of the FLOPs, of a density table or that of simulate",
    .params = params,
    .params_size = sizeof(speedup_params),
    .check = check,
    .height = height,
    .draw = draw,
};
