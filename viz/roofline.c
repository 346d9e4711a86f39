/* viz/roofline.c -- what a GPU can reach by flop per byte, and kernels below it.
 *
 * Accepts  a table of kind roofline: column tflops, and flop_per_byte of rows that are
 *          points; rows without one are roofs: hbm_gbs of one that rises, tflops of a
 *          flat one. Columns name, gpu and kernel say what a row is; what differs
 *          between the rows is in their names.
 * Math     a roof that rises: GB/s * flop/byte / 1000 TFLOP/s. Flat ones begin where
 *          the first of those meets them.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "viz/axes.h"
#include "viz/palette.h"

extern const atn_figure atn_figure_roofline;

enum { POINTS_MOST = 256, ROOFS_MOST = 64, NAMED = 24 };

typedef struct entry {
    atn_idx row;
    double intensity, tflops, gbs; /* of points; of roofs one of the last two */
} entry;

typedef struct plot {
    const atn_table *t;
    int intensity, tflops, gbs, name, gpu, kernel;
    bool kernels; /* differ between points */
    bool gpus;    /* between all rows */
    entry *roof, *point;
    int roofs, points;
    atn_axis x, y;
    atn_plot_area a;
} plot;

static plot columns_of(const atn_table *t)
{
    return (plot){.t = t,
                  .intensity = atn_table_find_col(t, "flop_per_byte"),
                  .tflops = atn_table_find_col(t, "tflops"),
                  .gbs = atn_table_find_col(t, "hbm_gbs"),
                  .name = atn_table_find_col(t, "name"),
                  .gpu = atn_table_find_col(t, "gpu"),
                  .kernel = atn_table_find_col(t, "kernel")};
}

static double positive(const atn_table *t, atn_idx r, int col)
{
    const double v = col >= 0 ? atn_table_get_f64(t, r, col) : NAN;

    return isfinite(v) && v > 0 ? v : NAN;
}

static entry entry_of(const plot *p, atn_idx r)
{
    return (entry){r, positive(p->t, r, p->intensity), positive(p->t, r, p->tflops),
                   positive(p->t, r, p->gbs)};
}

static bool is_point(const entry *e)
{
    return !isnan(e->intensity) && !isnan(e->tflops);
}

static bool is_roof(const entry *e)
{
    return isnan(e->intensity) && (!isnan(e->tflops) || !isnan(e->gbs));
}

static const char *check(const atn_table *t)
{
    const plot p = columns_of(t);
    int points = 0, roofs = 0;

    if (p.tflops < 0 || p.intensity < 0)
        return "it has no columns tflops and flop_per_byte (give the roofline "
               "table of attnscope plot roofline)";
    for (atn_idx r = 0; r < atn_table_rows(t); r++) {
        const entry e = entry_of(&p, r);

        points += is_point(&e);
        roofs += is_roof(&e);
    }
    if (points > POINTS_MOST) return "it has more than 256 points (keep fewer kernels)";
    if (roofs > ROOFS_MOST) return "it has more than 64 roofs (keep fewer devices)";
    return points + roofs ? NULL : "no row is a roof or a point";
}

static atn_status find_entries(atn_ctx *cx, plot *p)
{
    atn_status st = ATN_OK;

    ATN_TAKE(p->roof, ROOFS_MOST);
    ATN_TAKE(p->point, POINTS_MOST);
    for (atn_idx r = 0; r < atn_table_rows(p->t); r++) {
        const entry e = entry_of(p, r);

        if (is_point(&e)) p->point[p->points++] = e;
        if (is_roof(&e)) p->roof[p->roofs++] = e;
        p->gpus |= strcmp(atn_table_text(p->t, r, p->gpu),
                          atn_table_text(p->t, 0, p->gpu)) != 0;
    }
    for (int i = 1; i < p->points; i++)
        p->kernels |= strcmp(atn_table_text(p->t, p->point[i].row, p->kernel),
                             atn_table_text(p->t, p->point[0].row, p->kernel)) != 0;
done:
    return st;
}

/* ---- legend: roofs with their values, then points ---- */

static bool same_name(const plot *p, const entry *a, const entry *b)
{
    return strcmp(atn_table_text(p->t, a->row, p->name),
                  atn_table_text(p->t, b->row, p->name)) == 0 &&
           strcmp(atn_table_text(p->t, a->row, p->gpu),
                  atn_table_text(p->t, b->row, p->gpu)) == 0;
}

/* A roof is of a kernel where another one of that GPU is called the same. */
static bool names_kernel(const plot *p, const entry *e, bool roof)
{
    if (!roof) return p->kernels;
    for (int i = 0; i < p->roofs; i++)
        if (p->roof[i].row != e->row && same_name(p, &p->roof[i], e)) return true;
    return false;
}

static void entry_name(const void *state, int i, char *out, size_t size)
{
    const plot *p = state;
    const bool roof = i < p->roofs;
    const entry *e = roof ? &p->roof[i] : &p->point[i - p->roofs];
    const char *gpu = p->gpus ? atn_table_text(p->t, e->row, p->gpu) : "";
    const char *kernel =
        names_kernel(p, e, roof) ? atn_table_text(p->t, e->row, p->kernel) : "";
    const bool rises = roof && !isnan(e->gbs);
    char number[32];

    atn_number_label(rises ? e->gbs : e->tflops, number);
    snprintf(out, size, "%s %s: %.120s%s%.60s%s%.60s", number,
             rises ? "GB/s" : "TFLOP/s", atn_table_text(p->t, e->row, p->name),
             *gpu ? ", " : "", gpu, *kernel ? ", " : "", kernel);
}

static atn_series pens_of(const plot *p)
{
    return (atn_series){.col = -1, .n = p->points, .marks = true};
}

static void roof_pen(atn_canvas *c, const plot *p, int i)
{
    static const double dashes[][2] = {{0, 0}, {6, 2}, {1.2, 1.6}, {8, 1.5}, {3, 3}};
    const bool rises = !isnan(p->roof[i].gbs);
    int flat = 0;

    for (int k = 0; k < i; k++) flat += isnan(p->roof[k].gbs);
    cairo_set_line_width(c->cr, rises || flat == 0 ? 1.4 : 1);
    atn_canvas_grey(c, rises ? 0.1 : 0.15 + 0.1 * (flat % 4));
    flat %= (int)ATN_LEN(dashes);
    cairo_set_dash(c->cr, dashes[flat], rises || flat == 0 ? 0 : 2, 0);
}

static void entry_mark(atn_canvas *c, const void *state, int i, double x, double y)
{
    const plot *p = state;
    const atn_series s = pens_of(p);

    if (i >= p->roofs) {
        atn_series_mark(c, &s, i - p->roofs, x + c->font * 0.65, y);
        return;
    }
    roof_pen(c, p, i);
    cairo_move_to(c->cr, x, isnan(p->roof[i].gbs) ? y : y + c->font * 0.4);
    cairo_line_to(c->cr, x + c->font * 1.3,
                  isnan(p->roof[i].gbs) ? y : y - c->font * 0.4);
    cairo_stroke(c->cr);
    cairo_set_dash(c->cr, NULL, 0, 0);
}

static double legend(atn_canvas *c, const plot *p, double y, bool draw)
{
    const int all = p->roofs + p->points, n = ATN_MIN(all, NAMED);
    char more[48];

    snprintf(more, sizeof more, "(%d of %d named)", n, all);
    return atn_legend_draw(c,
                           &(atn_legend){.x = c->font * 2,
                                         .y = y,
                                         .width = c->width - c->font * 3,
                                         .n = n,
                                         .name = entry_name,
                                         .mark = entry_mark,
                                         .state = p,
                                         .more = n < all ? more : NULL},
                           draw);
}

/* ---- layout ---- */

static atn_status lay_out(atn_ctx *cx, atn_canvas *c, const atn_table *t, plot *p)
{
    atn_status st = ATN_OK;
    atn_series one;

    *p = columns_of(t);
    ATN_TRY(find_entries(cx, p));
    ATN_TRY(atn_series_find(cx, t, -1, &one));
    if (isfinite(c->height)) {
        ATN_TRY(atn_plot_begin(cx, c, t, &one, &p->a));
        p->a.h -= legend(c, p, 0, false);
        ATN_TRY(atn_canvas_fits(cx, c, p->a.w, p->a.h));
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
    *points += legend(c, &p, 0, false);
done:
    return st;
}

/* Rows of one GPU. */
static bool is_of(const plot *p, const entry *e, const char *gpu)
{
    return strcmp(atn_table_text(p->t, e->row, p->gpu), gpu) == 0;
}

/* GB/s of the first roof of that GPU that rises; NaN = none. */
static double slope_of(const plot *p, const char *gpu)
{
    for (int i = 0; i < p->roofs; i++)
        if (!isnan(p->roof[i].gbs) && is_of(p, &p->roof[i], gpu)) return p->roof[i].gbs;
    return NAN;
}

/* Its highest flat roof, or point; NaN = none. */
static double highest_of(const plot *p, const char *gpu)
{
    double roof = NAN, point = NAN;

    for (int i = 0; i < p->roofs; i++)
        if (is_of(p, &p->roof[i], gpu)) roof = fmax(roof, p->roof[i].tflops);
    for (int i = 0; i < p->points; i++)
        if (is_of(p, &p->point[i], gpu)) point = fmax(point, p->point[i].tflops);
    return isnan(roof) ? point : roof;
}

/* The flop per byte where roof e and that of the other kind meet; NaN = nowhere. */
static double corner_of(const plot *p, const entry *e)
{
    const char *gpu = atn_table_text(p->t, e->row, p->gpu);

    return isnan(e->gbs) ? e->tflops * 1e3 / slope_of(p, gpu)
                         : highest_of(p, gpu) * 1e3 / e->gbs;
}

/* Axes of logarithms that hold points and roofs, and the corners of these. */
static atn_status find_axes(atn_ctx *cx, plot *p)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    double most = NAN;
    atn_status st = ATN_OK;
    double *x = NULL, *y = NULL;
    atn_idx n = 0, m = 0;

    ATN_TAKE(x, p->points + 2 * p->roofs + 3);
    ATN_TAKE(y, p->points + p->roofs + 3);
    for (int i = 0; i < p->points; i++) {
        x[n++] = p->point[i].intensity;
        y[m++] = p->point[i].tflops;
    }
    for (int i = 0; i < p->roofs; i++) {
        const entry *e = &p->roof[i];
        const double corner = corner_of(p, e);

        most = fmax(most, e->tflops);
        if (!isnan(e->tflops)) y[m++] = e->tflops;
        if (isfinite(corner)) x[n++] = corner / 4;
        if (isfinite(corner)) x[n++] = corner * 4;
    }
    if (n == 0) x[n++] = 1;
    if (isfinite(most) && m > 0) y[m++] = most / 4;
    if (m == 0) y[m++] = 1;
    p->x = atn_axis_of(x, n, ATN_AXIS_LOG, false);
    p->y = atn_axis_of(y, m, ATN_AXIS_LOG, false);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- drawing ---- */

static double px_of(const plot *p, double x)
{
    return atn_plot_px(&p->a, atn_axis_place(&p->x, x));
}

static double py_of(const plot *p, double y)
{
    return atn_plot_py(&p->a, atn_axis_place(&p->y, y));
}

static void draw_roof(atn_canvas *c, const plot *p, int i)
{
    const entry *e = &p->roof[i];
    const double slope = e->gbs, corner = corner_of(p, e);
    const double left = pow(10, p->x.lo), right = pow(10, p->x.hi);

    roof_pen(c, p, i);
    if (isnan(e->gbs)) {
        const double from = isfinite(corner) ? fmin(fmax(corner, left), right) : left;

        cairo_move_to(c->cr, px_of(p, from), py_of(p, e->tflops));
        cairo_line_to(c->cr, p->a.x + p->a.w, py_of(p, e->tflops));
    } else {
        const double to = isfinite(corner) ? fmin(corner, right) : right;
        const double bottom = fmax(left, pow(10, p->y.lo) * 1e3 / slope);

        if (bottom < to) {
            cairo_move_to(c->cr, px_of(p, bottom), py_of(p, bottom * slope / 1e3));
            cairo_line_to(c->cr, px_of(p, to), py_of(p, to * slope / 1e3));
        }
    }
    cairo_stroke(c->cr);
    cairo_set_dash(c->cr, NULL, 0, 0);
}

static void draw_inside(atn_canvas *c, const plot *p)
{
    const atn_series s = pens_of(p);

    cairo_save(c->cr);
    cairo_rectangle(c->cr, p->a.x, p->a.y, p->a.w, p->a.h);
    cairo_clip(c->cr);
    for (int i = 0; i < p->roofs; i++) draw_roof(c, p, i);
    cairo_restore(c->cr);
    for (int i = 0; i < p->points; i++)
        atn_series_mark(c, &s, i, px_of(p, p->point[i].intensity),
                        py_of(p, p->point[i].tflops));
}

static atn_status draw(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *q,
                       const atn_figure_opts *o)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_figure_opts with = *o;
    atn_status st = ATN_OK;
    char title[128];
    plot p;

    (void)q;
    ATN_TRY(lay_out(cx, c, t, &p));
    if (!o->title && !atn_table_get_meta(t, "title")) {
        const char *gpu = p.gpus ? "" : atn_table_text(p.t, 0, p.gpu);

        snprintf(title, sizeof title, "Roofline%s%.80s", *gpu ? " of " : "", gpu);
        with.title = title;
    }
    ATN_TRY(find_axes(cx, &p));
    (void)atn_figure_heading(c, t, &with, 1);
    atn_axes_draw(c, &p.a, &p.x, &p.y, "arithmetic intensity (flop/byte)",
                  "attainable (TFLOP/s)");
    draw_inside(c, &p);
    (void)legend(c, &p, p.a.y + p.a.h + c->font * 3.2, true);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_figure atn_figure_roofline = {
    .id = "roofline",
    .title = "Roofline",
    .text = "what a GPU can reach by flop per byte, with simulated kernels below, of a "
            "roofline table",
    .check = check,
    .height = height,
    .draw = draw,
};
