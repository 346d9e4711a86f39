/* viz/panels.c -- panels of curves, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/panels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viz/palette.h"
#include "viz/sections.h"

enum { X_MOST = 256, CELLS_MOST = 1 << 24, HEADS_MOST = 16 };

static int x_col_of(const atn_table *t, const atn_curve_kind *k)
{
    return atn_table_find_col(t, k->x);
}

static int y_col_of(const atn_table *t, const atn_curve_kind *k)
{
    return atn_meta_col(t, "y", atn_table_find_col(t, k->y[0][0]));
}

/* That of the figure, else of the column. */
static void y_label_of(const atn_table *t, const atn_curve_kind *k, char *out,
                       size_t size)
{
    const int col = y_col_of(t, k);

    for (int i = 0; k->y[i][0]; i++)
        if (strcmp(atn_table_col_name(t, col), k->y[i][0]) == 0) {
            snprintf(out, size, "%s", k->y[i][1]);
            return;
        }
    atn_col_label(t, col, out, size);
}

const char *atn_panels_check(const atn_table *t, const atn_curve_kind *k)
{
    const char *why = atn_sections_check(t);
    const int x_col = x_col_of(t, k), y_col = y_col_of(t, k);

    if (x_col < 0) return k->lack;
    if (why) return why;
    if (!atn_is_number_col(t, x_col)) return "it has no numeric column for x";
    if (!atn_is_number_col(t, y_col)) return "it has no numeric column for y";
    for (atn_idx r = 0; r < atn_table_rows(t); r++)
        if (isfinite(atn_table_get_f64(t, r, x_col)) &&
            isfinite(atn_table_get_f64(t, r, y_col)))
            return NULL;
    return "no row has both an x and a y";
}

/* The curves, and where they are drawn. */
typedef struct plot {
    const atn_curve_kind *k;
    const atn_table *t;
    int x_col, y_col;
    atn_sections s;
    bool by_head, one_head;
    int n_x, n_lines, panels;
    double x[X_MOST];  /* the different values, ascending */
    double *sum, *n;   /* [panels, n_lines, n_x] of what falls there */
    atn_series series; /* the lines: heads or layers */
    double high, low;  /* of the means */
    /* a panel with its title; the label's room on the left, ticks and label below */
    int across, down;
    double left, top, under, legend, w, h;
} plot;

/* ---- the values ---- */

/* The place of x in the list; with add it is put there. -1 = not there, or no room. */
static int place_of(plot *p, double x, bool add)
{
    int at = 0;

    while (at < p->n_x && p->x[at] < x) at++;
    if (at < p->n_x && p->x[at] == x) return at;
    if (!add || p->n_x == X_MOST) return -1;
    memmove(p->x + at + 1, p->x + at, (size_t)(p->n_x - at) * sizeof *p->x);
    p->x[at] = x;
    p->n_x++;
    return at;
}

static atn_status find_x(atn_ctx *cx, plot *p)
{
    atn_status st = ATN_OK;

    for (atn_idx r = 0; r < atn_table_rows(p->t); r++) {
        const double x = atn_table_get_f64(p->t, r, p->x_col);

        if (isfinite(x) && place_of(p, x, true) < 0)
            ATN_FAIL(ATN_USAGE,
                     "column %s has more than %d values, too many for curves",
                     atn_table_col_name(p->t, p->x_col), X_MOST);
    }
done:
    return st;
}

static double *cell(const plot *p, double *of, int panel, int line)
{
    return of + ((atn_idx)panel * p->n_lines + line) * p->n_x;
}

/* Where a row goes: its panel and line. */
static void route(const plot *p, atn_idx row, int *panel, int *line)
{
    const int section = p->s.of[row];

    *panel = p->by_head ? section : p->s.group[section];
    *line = atn_series_of(&p->series, p->t, row);
}

static void add_rows(plot *p)
{
    for (atn_idx r = 0; r < atn_table_rows(p->t); r++) {
        const double x = atn_table_get_f64(p->t, r, p->x_col);
        const double y = atn_table_get_f64(p->t, r, p->y_col);
        const int at = isfinite(x) ? place_of(p, x, false) : -1;
        int panel, line;

        if (at < 0 || !isfinite(y)) continue;
        route(p, r, &panel, &line);
        cell(p, p->sum, panel, line)[at] += y;
        cell(p, p->n, panel, line)[at]++;
    }
}

static void find_range(plot *p)
{
    const atn_idx cells = (atn_idx)p->panels * p->n_lines * p->n_x;

    p->low = 0;
    p->high = -INFINITY;
    for (atn_idx i = 0; i < cells; i++) {
        if (p->n[i] == 0) continue;
        p->low = fmin(p->low, p->sum[i] / p->n[i]);
        p->high = fmax(p->high, p->sum[i] / p->n[i]);
    }
    if (!(p->high > p->low)) p->high = p->low + 1;
    p->high += 0.05 * (p->high - p->low);
}

static atn_status gather(atn_ctx *cx, const atn_table *t, atn_panels with, plot *p)
{
    const atn_curve_kind *k = with.kind;
    const int lines = with.params ? with.params->lines : ATN_LINES_AUTO;
    atn_status st = ATN_OK;
    atn_idx cells;

    *p = (plot){.k = k, .t = t, .x_col = x_col_of(t, k), .y_col = y_col_of(t, k)};
    ATN_TRY(atn_sections_find(cx, t, &p->s));
    ATN_TRY(atn_series_find(cx, t, atn_table_find_col(t, "head"), &p->series));
    p->by_head = lines == ATN_LINES_HEADS ||
                 (lines == ATN_LINES_AUTO && p->s.n <= k->panels_most &&
                  p->series.n <= HEADS_MOST);
    p->one_head = p->series.n == 1;
    if (!p->by_head)
        ATN_TRY(atn_series_find(cx, t, atn_table_find_col(t, "layer"), &p->series));
    p->series.lines = true;
    ATN_TRY(find_x(cx, p));
    p->panels = p->by_head ? p->s.n : p->s.groups;
    p->n_lines = p->series.n;
    cells = (atn_idx)p->panels * p->n_lines * p->n_x;
    if (cells > CELLS_MOST)
        ATN_FAIL(ATN_USAGE,
                 "%d panels of %d curves are too many to draw (choose fewer layers)",
                 p->panels, p->n_lines);
    ATN_TAKE(p->sum, cells);
    ATN_TAKE(p->n, cells);
    for (atn_idx i = 0; i < cells; i++) p->sum[i] = p->n[i] = 0;
    add_rows(p);
    find_range(p);
done:
    return st;
}

/* ---- layout ---- */

static const double LEFT = 6, RIGHT = 1.2, TITLE = 1.5, UNDER = 3.6; /* of the font */

static double legend(atn_canvas *c, const plot *p, bool draw)
{
    return atn_plot_legend(c, c->font * LEFT, c->height - p->legend,
                           c->width - c->font * (LEFT + RIGHT), p->t, &p->series, draw);
}

static atn_status lay_out(atn_ctx *cx, atn_canvas *c, const atn_table *t, atn_panels k,
                          plot *p)
{
    const double width = c->width - c->font * (LEFT + RIGHT);
    atn_status st = ATN_OK;
    double room;

    ATN_TRY(gather(cx, t, k, p));
    p->left = c->font * LEFT;
    p->top = atn_heading_height(t, 1, c->font) + c->font * 0.3;
    p->under = c->font * UNDER;
    p->across = (int)fmin(p->panels, fmax(floor(width / (c->font * 13)), 1));
    if (p->panels == 4) p->across = ATN_MIN(p->across, 2);
    p->down = (p->panels + p->across - 1) / p->across;
    p->w = width / p->across;
    p->legend = legend(c, p, false);
    room = c->height - p->top - p->under - p->legend;
    p->h = isfinite(c->height) ? room / p->down
           : p->down == 1      ? c->font * 20
                               : fmin(0.75 * p->w, c->font * 15);
    ATN_TRY(atn_canvas_fits(cx, c, p->w - c->font, p->h - c->font * TITLE));
done:
    return st;
}

atn_status atn_panels_height(atn_ctx *cx, atn_canvas *c, const atn_table *t,
                             atn_panels k, double *points)
{
    atn_status st = ATN_OK;
    plot p;

    ATN_TRY(lay_out(cx, c, t, k, &p));
    *points = p.top + p.down * p.h + p.under + p.legend;
done:
    return st;
}

/* ---- drawing ---- */

/* The rectangle of a panel's curves. */
static atn_plot_area area_of(const atn_canvas *c, const plot *p, int panel)
{
    const double title = p->panels > 1 ? c->font * TITLE : c->font * 0.5;

    return (atn_plot_area){.x = p->left + panel % p->across * p->w,
                           .y = p->top + panel / p->across * p->h + title,
                           .w = p->w - c->font * (p->across > 1 ? 1 : 0),
                           .h = p->h - title - c->font * 0.4,
                           .x0 = -0.3,
                           .x1 = p->n_x - 0.7,
                           .y0 = p->low,
                           .y1 = p->high};
}

static const char *title_of(const plot *p, int panel, char out[128])
{
    if (p->by_head && p->s.groups > 1)
        snprintf(out, 128, "%s", p->s.name[panel]);
    else if (p->by_head)
        snprintf(out, 128, "%s %s", p->s.axis, p->s.name[panel]);
    else
        snprintf(out, 128, "%s", p->s.group_name[panel]);
    return out;
}

static void y_axis(atn_canvas *c, const atn_plot_area *a, bool labels)
{
    const int want = (int)fmax(2, fmin(6, a->h / (c->font * 2.2)));
    double ticks[16];
    const int n = atn_nice_ticks(a->y0, a->y1, want, ticks);
    char text[32];

    for (int i = 0; i < n; i++) {
        const double y = atn_plot_py(a, ticks[i]);

        atn_canvas_grey(c, 0.9);
        atn_canvas_line(c, a->x, y, a->x + a->w, y, 0.4);
        if (!labels) continue;
        atn_canvas_grey(c, 0.15);
        atn_number_label(ticks[i], text);
        atn_canvas_text(c, a->x - 3.5, y, ATN_RIGHT, 0.9, 0, 0, text);
    }
}

/* How many values of x apart labels do not touch. */
static int label_every(atn_canvas *c, const plot *p, const atn_plot_area *a)
{
    double widest = 0;
    char text[64];

    for (int i = 0; i < p->n_x; i++) {
        p->k->tick(p->x[i], text, sizeof text);
        widest = fmax(widest, atn_canvas_text_width(c, 0.85, text));
    }
    return (int)ceil((widest + c->font * 0.6) / (a->w / p->n_x));
}

static void x_axis(atn_canvas *c, const plot *p, const atn_plot_area *a, bool labels)
{
    const int every = label_every(c, p, a);
    char text[64];

    for (int i = 0; i < p->n_x; i++) {
        const double x = atn_plot_px(a, i), y = a->y + a->h;

        if (p->k->marked && p->k->marked(p->x[i])) {
            atn_canvas_grey(c, 0.72);
            atn_canvas_line(c, x, a->y, x, y, 0.5);
        }
        atn_canvas_grey(c, 0.15);
        atn_canvas_line(c, x, y, x, y + 2, 0.5);
        if (!labels || i % every != 0) continue;
        p->k->tick(p->x[i], text, sizeof text);
        atn_canvas_text(c, x, y + c->font, ATN_CENTRE, 0.85, 0, 0, text);
    }
}

/* One curve; where a value is missing it is broken, and a value alone is a dot. */
static void curve(atn_canvas *c, const plot *p, const atn_plot_area *a, int panel,
                  int line)
{
    const double *sum = cell(p, p->sum, panel, line), *n = cell(p, p->n, panel, line);

    atn_series_pen(c, &p->series, line);
    for (int i = 0; i < p->n_x; i++) {
        const bool before = i > 0 && n[i - 1] > 0,
                   after = i + 1 < p->n_x && n[i + 1] > 0;
        const double x = atn_plot_px(a, i), y = atn_plot_py(a, sum[i] / n[i]);

        if (n[i] == 0) continue;
        if (before) {
            cairo_line_to(c->cr, x, y);
        } else if (after) {
            cairo_move_to(c->cr, x, y);
        } else {
            cairo_stroke(c->cr);
            cairo_arc(c->cr, x, y, 2, 0, 2 * acos(-1));
            cairo_fill(c->cr);
        }
    }
    cairo_stroke(c->cr);
    cairo_set_dash(c->cr, NULL, 0, 0);
}

static void draw_panel(atn_canvas *c, const plot *p, int panel)
{
    const atn_plot_area a = area_of(c, p, panel);
    char title[128];

    y_axis(c, &a, panel % p->across == 0);
    /* the last panel of each column has the labels */
    x_axis(c, p, &a, panel + p->across >= p->panels);
    atn_canvas_grey(c, 0.4);
    atn_canvas_frame(c, a.x, a.y, a.w, a.h);
    for (int i = 0; i < p->n_lines; i++) curve(c, p, &a, panel, i);
    atn_canvas_grey(c, 0.15);
    if (p->panels > 1)
        atn_canvas_text(c, a.x, a.y - c->font * 0.7, ATN_LEFT, 0.9, 0, a.w,
                        title_of(p, panel, title));
}

atn_status atn_panels_draw(atn_ctx *cx, atn_canvas *c, const atn_table *t, atn_panels k,
                           const atn_figure_opts *o)
{
    atn_status st = ATN_OK;
    char label[160], y_label[200];
    double middle;
    plot p;

    ATN_TRY(lay_out(cx, c, t, k, &p));
    atn_plot_heading(c, t, o, p.y_col);
    for (int i = 0; i < p.panels; i++) draw_panel(c, &p, i);
    y_label_of(t, k.kind, label, sizeof label);
    snprintf(y_label, sizeof y_label, "%s%s", label,
             p.by_head || p.one_head ? "" : ", mean of heads");
    middle = p.top + p.down * p.h / 2;
    atn_canvas_grey(c, 0.15);
    atn_canvas_text(c, c->font, middle, ATN_CENTRE, 0.95, -90, p.down * p.h, y_label);
    atn_canvas_text(c, p.left + (c->width - p.left - c->font * RIGHT) / 2,
                    p.top + p.down * p.h + c->font * 2.2, ATN_CENTRE, 0.95, 0,
                    c->width - p.left, k.kind->x_label);
    (void)legend(c, &p, true);
done:
    return st;
}
