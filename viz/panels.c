/* viz/panels.c -- panels of curves, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/panels.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "viz/palette.h"
#include "viz/panels_internal.h"

/* That of the figure, else of the column. */
static void y_label_of(const atn_panel_data *p, char *out, size_t size)
{
    const char *name = atn_table_col_name(p->t, p->y_col);

    if (p->relative) {
        char base[32];

        atn_number_label(p->x[0], base);
        snprintf(out, size, p->x[0] == 0 ? "%s" : "%s (by that of %s %s)",
                 p->k->relative_label, p->k->x, base);
        return;
    }
    for (int i = 0; p->k->y[i][0]; i++)
        if (strcmp(name, p->k->y[i][0]) == 0) {
            snprintf(out, size, "%s", p->k->y[i][1]);
            return;
        }
    atn_col_label(p->t, p->y_col, out, size);
}

/* With the one value of what would split the panels, the one layer and the one head:
 * neither a title nor the legend names them. */
static void x_label_of(const atn_panel_data *p, char *out, size_t size)
{
    char one[192] = "", number[32];
    size_t n = 0;

    atn_number_label(p->by[0], number);
    if (p->by_col >= 0 && p->n_by == 1)
        n += (size_t)snprintf(one, sizeof one, ", %.24s = %s", p->k->by, number);
    if (p->s.n == 1)
        n += (size_t)snprintf(one + n, sizeof one - n, ", %s %s", p->s.axis,
                              p->s.name[0]);
    if (p->one_head)
        snprintf(one + n, sizeof one - n, ", head %lld",
                 (long long)atn_section_head(p->t, 0));
    snprintf(out, size, *one ? "%s (%s)" : "%s", p->k->x_label, one + 2);
}

const char *atn_panels_check(const atn_table *t, const atn_curve_kind *k)
{
    const char *why = atn_sections_check(t);
    const int x_col = atn_table_find_col(t, k->x), y_col = atn_panel_y_col(t, k);

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

/* The curves, and where they are drawn: a panel with its title; the label's room on the
 * left, ticks and label below. */
typedef struct plot {
    atn_panel_data d;
    int across, down;
    double left, right, top, under, legend, w, h;
} plot;

/* ---- the legend: the lines, or what a spread is made of ---- */

static const int INK = 0; /* the colour of a spread, of atn_palette_series */
static const double FAINT = 0.3, BAND = 0.25;
static const unsigned char OTHER[3] = {150, 60, 0};

static void set_ink(atn_canvas *c, double alpha)
{
    const unsigned char *rgb = atn_palette_series(INK, 1);

    cairo_set_source_rgba(c->cr, rgb[0] / 255.0, rgb[1] / 255.0, rgb[2] / 255.0, alpha);
}

static void spread_name(const void *state, int i, char *out, size_t size)
{
    static const char *const names[] = {"a head", "middle half of the heads",
                                        "their median"};

    (void)state;
    snprintf(out, size, "%s", names[i]);
}

static void spread_mark(atn_canvas *c, const void *state, int i, double x, double y)
{
    const double w = c->font * 1.3;

    (void)state;
    set_ink(c, i == 0 ? FAINT : i == 1 ? BAND : 1);
    if (i == 1)
        atn_canvas_rect(c, x, y - c->font * 0.4, w, c->font * 0.8);
    else
        atn_canvas_line(c, x, y, x + w, y, i == 0 ? 0.6 : 1.6);
}

static double legend(atn_canvas *c, const plot *p, bool draw)
{
    const double y = c->height - p->legend, w = c->width - p->left - p->right;
    const atn_legend spread = {.x = p->left,
                               .y = y,
                               .width = w,
                               .n = 3,
                               .name = spread_name,
                               .mark = spread_mark};

    if (p->d.spread) return atn_legend_draw(c, &spread, draw);
    return atn_plot_legend(c, p->left, y, w, p->d.t, &p->d.series, draw);
}

/* ---- layout ---- */

static const double LEFT = 6, RIGHT = 1.2, TITLE = 1.5, UNDER = 3.6; /* of the font */
static const double OTHER_ROOM = 5;

static atn_status lay_out(atn_ctx *cx, atn_canvas *c, const atn_table *t, atn_panels k,
                          plot *p)
{
    atn_status st = ATN_OK;
    double room, width;

    *p = (plot){.left = c->font * LEFT, .under = c->font * UNDER};
    ATN_TRY(atn_panel_gather(cx, t, k, &p->d));
    p->right = c->font * (RIGHT + (p->d.other ? OTHER_ROOM : 0));
    width = c->width - p->left - p->right;
    p->top = atn_heading_height(t, 1, c->font) + c->font * 0.3;
    p->across = (int)fmin(p->d.n_shown, fmax(floor(width / (c->font * 13)), 1));
    if (p->d.n_shown == 4) p->across = ATN_MIN(p->across, 2);
    p->down = (p->d.n_shown + p->across - 1) / p->across;
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

/* ---- axes ---- */

/* The rectangle of a panel's curves; at is its place among those shown. */
static atn_plot_area area_of(const atn_canvas *c, const plot *p, int at)
{
    const atn_panel_data *d = &p->d;
    const double title = d->panels > 1 ? c->font * TITLE : c->font * 0.5;
    atn_plot_area a = {.x = p->left + at % p->across * p->w,
                       .y = p->top + at / p->across * p->h + title,
                       .w = p->w - c->font * (p->across > 1 ? 1 : 0),
                       .h = p->h - title - c->font * 0.4,
                       .x0 = -0.3,
                       .x1 = d->n_x - 0.7,
                       .y0 = d->low,
                       .y1 = d->high};

    if (!d->k->numeric) return a;
    a.x0 = d->x[0];
    a.x1 = d->x[d->n_x - 1];
    if (d->k->to > d->k->from) {
        a.x0 = fmin(a.x0, d->k->from);
        a.x1 = fmax(a.x1, d->k->to);
    } else {
        const double pad = 0.03 * (a.x1 - a.x0);

        a.x0 -= pad;
        a.x1 += pad;
    }
    return a;
}

static double x_at(const plot *p, const atn_plot_area *a, int i)
{
    return atn_plot_px(a, p->d.k->numeric ? p->d.x[i] : i);
}

static const char *title_of(const plot *p, int panel, char out[192])
{
    const atn_panel_data *d = &p->d;
    const int inner = panel % (d->panels / d->n_by),
              outer = panel / (d->panels / d->n_by);
    const char *name = d->by_head ? d->s.name[inner] : d->s.group_name[inner];
    char by[64] = "", number[32];

    if (d->n_by > 1) {
        atn_number_label(d->by[outer], number);
        snprintf(by, sizeof by, "%.24s = %s", d->k->by, number);
        if (d->panels == d->n_by) name = "";
    }
    snprintf(out, 192, "%s%s%s%s%s", by, *by && *name ? ", " : "",
             *name && d->by_head && d->s.groups == 1 ? d->s.axis : "",
             *name && d->by_head && d->s.groups == 1 ? " " : "", name);
    return out;
}

/* Does a tick of the logarithm stand for a power of ten? Others are left out where the
 * axis has several. */
static bool is_plain(const atn_panel_data *d, double tick)
{
    return !d->log || d->high - d->low < 1.5 || tick == floor(tick);
}

static void y_axis(atn_canvas *c, const plot *p, const atn_plot_area *a, bool labels)
{
    const int want = (int)fmax(2, fmin(6, a->h / (c->font * 2.2)));
    double ticks[16];
    const int n = atn_nice_ticks(a->y0, a->y1, want, ticks);
    char text[32];

    for (int i = 0; i < n; i++) {
        const double y = atn_plot_py(a, ticks[i]);

        if (!is_plain(&p->d, ticks[i])) continue;
        atn_canvas_grey(c, 0.9);
        atn_canvas_line(c, a->x, y, a->x + a->w, y, 0.4);
        if (!labels) continue;
        atn_canvas_grey(c, 0.15);
        atn_number_label(p->d.log ? pow(10, ticks[i]) : ticks[i], text);
        atn_canvas_text(c, a->x - 3.5, y, ATN_RIGHT, 0.9, 0, 0, text);
    }
    if (!p->d.relative) return;
    atn_canvas_grey(c, 0.6); /* 1: as it was at the first x */
    atn_canvas_line(c, a->x, atn_plot_py(a, !p->d.log), a->x + a->w,
                    atn_plot_py(a, !p->d.log), 0.6);
}

/* The area in terms of the second column. */
static atn_plot_area other_area(const plot *p, const atn_plot_area *a)
{
    atn_plot_area other = *a;

    other.y0 = 0;
    other.y1 = p->d.other_high;
    return other;
}

static void other_axis(atn_canvas *c, const plot *p, const atn_plot_area *a)
{
    const atn_plot_area other = other_area(p, a);
    const int want = (int)fmax(2, fmin(6, a->h / (c->font * 2.2)));
    const double x = a->x + a->w;
    double ticks[16];
    const int n = atn_nice_ticks(0, other.y1, want, ticks);
    char text[32];

    atn_canvas_colour(c, OTHER);
    for (int i = 0; i < n; i++) {
        const double y = atn_plot_py(&other, ticks[i]);

        atn_canvas_line(c, x, y, x + 2, y, 0.5);
        atn_number_label(ticks[i], text);
        atn_canvas_text(c, x + 3.5, y, ATN_LEFT, 0.9, 0, 0, text);
    }
}

/* How many values of x apart labels do not touch. */
static int label_every(atn_canvas *c, const plot *p, const atn_plot_area *a)
{
    double widest = 0;
    char text[64];

    for (int i = 0; i < p->d.n_x; i++) {
        p->d.k->tick(p->d.x[i], text, sizeof text);
        widest = fmax(widest, atn_canvas_text_width(c, 0.85, text));
    }
    return (int)ceil((widest + c->font * 0.6) / (a->w / p->d.n_x));
}

static void steps_axis(atn_canvas *c, const plot *p, const atn_plot_area *a,
                       bool labels)
{
    const atn_panel_data *d = &p->d;
    const int every = label_every(c, p, a);
    char text[64];

    for (int i = 0; i < d->n_x; i++) {
        const double x = atn_plot_px(a, i), y = a->y + a->h;

        if (d->k->marked && d->k->marked(d->x[i])) {
            atn_canvas_grey(c, 0.72);
            atn_canvas_line(c, x, a->y, x, y, 0.5);
        }
        atn_canvas_grey(c, 0.15);
        atn_canvas_line(c, x, y, x, y + 2, 0.5);
        if (!labels || i % every != 0) continue;
        d->k->tick(d->x[i], text, sizeof text);
        atn_canvas_text(c, x, y + c->font, ATN_CENTRE, 0.85, 0, 0, text);
    }
}

static void numbers_axis(atn_canvas *c, const plot *p, const atn_plot_area *a, int at,
                         bool labels)
{
    const bool last = at % p->across == p->across - 1 || at + 1 == p->d.n_shown;
    const bool whole = atn_table_col_type(p->d.t, p->d.x_col) == ATN_COL_I64;
    const int want = (int)fmax(2, fmin(6, a->w / (c->font * 4)));
    double ticks[16] = {a->x0};
    const int n = a->x1 > a->x0 ? atn_nice_ticks(a->x0, a->x1, want, ticks) : 1;
    char text[32];

    for (int i = 0; i < n; i++) {
        const double x = atn_plot_px(a, ticks[i]), y = a->y + a->h;

        if (whole && ticks[i] != floor(ticks[i])) continue;
        atn_canvas_grey(c, 0.15);
        atn_canvas_line(c, x, y, x, y + 2, 0.5);
        /* at its right edge it would touch the 0 of the next panel */
        if (!labels || (!last && x > a->x + a->w - c->font)) continue;
        atn_number_label(ticks[i], text);
        atn_canvas_text(c, x, y + c->font, ATN_CENTRE, 0.85, 0, 0, text);
    }
}

/* ---- curves ---- */

/* A path that is begun anew after a gap; a value alone is a dot or, of a dashed curve,
 * a dash. */
typedef struct trail {
    atn_canvas *c;
    bool dashed;
    int n; /* points since it began */
    double x, y;
} trail;

static void end_trail(trail *t)
{
    if (t->n == 1 && t->dashed) {
        cairo_move_to(t->c->cr, t->x - 1.5, t->y);
        cairo_line_to(t->c->cr, t->x + 1.5, t->y);
        cairo_stroke(t->c->cr);
    } else if (t->n == 1) {
        cairo_new_path(t->c->cr);
        cairo_arc(t->c->cr, t->x, t->y, 2, 0, 2 * acos(-1));
        cairo_fill(t->c->cr);
    } else if (t->n > 1) {
        cairo_stroke(t->c->cr);
    }
    t->n = 0;
}

static void go_on(trail *t, double x, double y)
{
    if (t->n == 0)
        cairo_move_to(t->c->cr, x, y);
    else
        cairo_line_to(t->c->cr, x, y);
    t->x = x;
    t->y = y;
    t->n++;
}

/* One curve, with the pen that is set. Where a value is missing it is broken; a curve
 * that has no row at a numeric x has values elsewhere, and goes on. */
static void curve(atn_canvas *c, const plot *p, const atn_plot_area *a,
                  const atn_curve_sum *points, bool other)
{
    trail t = {.c = c, .dashed = other};

    for (int i = 0; i < p->d.n_x; i++) {
        const double v = other ? points[i].n > 0 ? points[i].sum / points[i].n : NAN
                               : atn_panel_value(&p->d, &points[i]);

        if (isfinite(v))
            go_on(&t, x_at(p, a, i), atn_plot_py(a, v));
        else if (points[i].n != 0 || !p->d.k->numeric)
            end_trail(&t);
    }
    end_trail(&t);
}

static void set_dashes(atn_canvas *c, double width)
{
    cairo_set_line_width(c->cr, width);
    cairo_set_line_join(c->cr, CAIRO_LINE_JOIN_ROUND);
    cairo_set_dash(c->cr, (const double[]){3, 1.5}, 2, 0);
}

static void draw_lines(atn_canvas *c, const plot *p, const atn_plot_area *a, int panel)
{
    const atn_panel_data *d = &p->d;
    const atn_plot_area right = other_area(p, a);

    for (int i = 0; i < d->n_lines; i++) {
        atn_series_pen(c, &d->series, i);
        curve(c, p, a, atn_panel_curve(d, d->y, panel, i), false);
        if (!d->other) continue;
        set_dashes(c, 0.7);
        curve(c, p, &right, atn_panel_curve(d, d->other, panel, i), true);
    }
    cairo_set_dash(c->cr, NULL, 0, 0);
}

/* The middle half of the lines, from quartile to quartile; where too few of them have
 * values there is none. */
static void draw_band(atn_canvas *c, const plot *p, const atn_plot_area *a, int panel)
{
    double q[3];
    int from = 0;

    set_ink(c, BAND);
    for (int to = 0; to <= p->d.n_x; to++) {
        if (to < p->d.n_x && atn_panel_quartiles(&p->d, p->d.y, panel, to, q)) {
            cairo_line_to(c->cr, x_at(p, a, to), atn_plot_py(a, q[2]));
            continue;
        }
        for (int i = to - 1; i >= from; i--) {
            (void)atn_panel_quartiles(&p->d, p->d.y, panel, i, q);
            cairo_line_to(c->cr, x_at(p, a, i), atn_plot_py(a, q[0]));
        }
        cairo_fill(c->cr);
        from = to + 1;
    }
}

static void draw_median(atn_canvas *c, const plot *p, const atn_plot_area *a, int panel,
                        const atn_curve_sum *of)
{
    trail t = {.c = c, .dashed = of == p->d.other};
    double q[3];

    for (int i = 0; i < p->d.n_x; i++)
        if (atn_panel_quartiles(&p->d, of, panel, i, q))
            go_on(&t, x_at(p, a, i), atn_plot_py(a, q[1]));
        else
            end_trail(&t);
    end_trail(&t);
}

static void draw_spread(atn_canvas *c, const plot *p, const atn_plot_area *a, int panel)
{
    const atn_panel_data *d = &p->d;
    const atn_plot_area right = other_area(p, a);

    cairo_set_line_join(c->cr, CAIRO_LINE_JOIN_ROUND);
    cairo_set_line_width(c->cr, 0.5);
    set_ink(c, FAINT);
    for (int i = 0; i < d->n_lines; i++)
        curve(c, p, a, atn_panel_curve(d, d->y, panel, i), false);
    draw_band(c, p, a, panel);
    set_ink(c, 1);
    cairo_set_line_width(c->cr, 1.6);
    draw_median(c, p, a, panel, d->y);
    if (!d->other) return;
    atn_canvas_colour(c, OTHER);
    set_dashes(c, 1.2);
    draw_median(c, p, &right, panel, d->other);
    cairo_set_dash(c->cr, NULL, 0, 0);
}

static void draw_panel(atn_canvas *c, const plot *p, int at)
{
    const atn_plot_area a = area_of(c, p, at);
    const int panel = p->d.shown[at];
    /* the last panel of each column has the labels */
    const bool last = at + p->across >= p->d.n_shown;
    char title[192];

    y_axis(c, p, &a, at % p->across == 0);
    if (p->d.k->numeric)
        numbers_axis(c, p, &a, at, last);
    else
        steps_axis(c, p, &a, last);
    atn_canvas_grey(c, 0.4);
    atn_canvas_frame(c, a.x, a.y, a.w, a.h);
    if (p->d.other && (at % p->across == p->across - 1 || at + 1 == p->d.n_shown))
        other_axis(c, p, &a);
    cairo_save(c->cr);
    cairo_rectangle(c->cr, a.x - 2, a.y - 2, a.w + 4, a.h + 4);
    cairo_clip(c->cr);
    if (p->d.spread)
        draw_spread(c, p, &a, panel);
    else
        draw_lines(c, p, &a, panel);
    cairo_restore(c->cr);
    atn_canvas_grey(c, 0.15);
    if (p->d.panels > 1)
        atn_canvas_text(c, a.x, a.y - c->font * 0.7, ATN_LEFT, 0.9, 0, a.w,
                        title_of(p, panel, title));
}

static void draw_labels(atn_canvas *c, const plot *p)
{
    const double middle = p->top + p->down * p->h / 2;
    char label[160], text[200];

    y_label_of(&p->d, label, sizeof label);
    snprintf(text, sizeof text, "%s%s", label,
             p->d.by_head || p->d.one_head ? "" : ", mean of heads");
    atn_canvas_grey(c, 0.15);
    atn_canvas_text(c, c->font, middle, ATN_CENTRE, 0.95, -90, p->down * p->h, text);
    x_label_of(&p->d, text, sizeof text);
    atn_canvas_text(c, p->left + (c->width - p->left - p->right) / 2,
                    p->top + p->down * p->h + c->font * 2.2, ATN_CENTRE, 0.95, 0,
                    c->width - p->left, text);
    if (!p->d.other) return;
    atn_col_label(p->d.t, p->d.other_col, label, sizeof label);
    snprintf(text, sizeof text, "%s%s (dashed)", label, p->d.spread ? ", median" : "");
    atn_canvas_colour(c, OTHER);
    atn_canvas_text(c, c->width - c->font, middle, ATN_CENTRE, 0.95, -90,
                    p->down * p->h, text);
}

/* Is y the column that the figure is about? */
static bool is_usual(const atn_panel_data *p)
{
    return strcmp(atn_table_col_name(p->t, p->y_col), p->k->y[0][0]) == 0;
}

atn_status atn_panels_draw(atn_ctx *cx, atn_canvas *c, const atn_table *t, atn_panels k,
                           const atn_figure_opts *o)
{
    atn_status st = ATN_OK;
    atn_figure_opts with = *o;
    plot p;

    ATN_TRY(lay_out(cx, c, t, k, &p));
    if (!o->title && !atn_table_get_meta(t, "title") && is_usual(&p.d))
        with.title = k.kind->title;
    atn_plot_heading(c, t, &with, p.d.y_col);
    for (int i = 0; i < p.d.n_shown; i++) draw_panel(c, &p, i);
    draw_labels(c, &p);
    (void)legend(c, &p, true);
done:
    return st;
}
