/* viz/layers.c -- a value along the depth of a model: a dot for every head, a line
 * through the means of the layers.
 *
 * Accepts  a table of one row a head (columns layer, head, and stack and step where
 *          there are several) and a numeric column: the one that meta `y` names, else
 *          entropy_mean_nats, else the first.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "viz/palette.h"
#include "viz/plot.h"
#include "viz/sections.h"

extern const atn_figure atn_figure_layers;

enum { TEXT_MOST = 60 }; /* characters of a label */

static int y_col(const atn_table *t)
{
    const int usual = atn_table_find_col(t, "entropy_mean_nats");

    return atn_meta_col(t, "y", usual >= 0 ? usual : atn_first_value_col(t));
}

static const char *check(const atn_table *t)
{
    const char *why = atn_sections_check(t);
    const int y = y_col(t);

    if (why) return why;
    if (!atn_is_number_col(t, y)) return "it has no numeric column of that name";
    for (atn_idx r = 0; r < atn_table_rows(t); r++)
        if (isfinite(atn_table_get_f64(t, r, y))) return NULL;
    return "its column has no number in any row (name another with --y)";
}

/* What the column holds, in the table's words. Its name does where it has a unit, where
 * the words are long, and where the heading says them already. */
static void label_of(const atn_table *t, const atn_figure_opts *o, char *out,
                     size_t size)
{
    const char *text = atn_table_col_text(t, y_col(t)), *range = strstr(text, ", [");
    const size_t n = range ? (size_t)(range - text) : strlen(text);
    const bool headed = o->title || atn_table_get_meta(t, "title");

    if (headed && n > 0 && n <= TEXT_MOST && !*atn_table_col_unit(t, y_col(t)))
        snprintf(out, size, "%.*s", (int)n, text);
    else
        atn_col_label(t, y_col(t), out, size);
}

static void ranges(const atn_table *t, const atn_sections *s, atn_plot_area *a)
{
    a->x0 = a->y0 = INFINITY;
    a->x1 = a->y1 = -INFINITY;
    for (int i = 0; i < s->n; i++) {
        a->x0 = fmin(a->x0, (double)s->layer[i]);
        a->x1 = fmax(a->x1, (double)s->layer[i]);
    }
    for (atn_idx r = 0; r < atn_table_rows(t); r++) {
        const double y = atn_table_get_f64(t, r, y_col(t));

        if (!isfinite(y)) continue;
        a->y0 = fmin(a->y0, y);
        a->y1 = fmax(a->y1, y);
    }
    if (a->y0 >= 0 && (a->y0 < 0.5 * a->y1 || a->y0 == a->y1)) a->y0 = 0;
    if (a->y1 == a->y0) a->y1 = a->y0 + 1;
    a->y1 += 0.05 * (a->y1 - a->y0);
    if (a->y0 != 0) a->y0 -= 0.05 * (a->y1 - a->y0);
    if (a->x1 == a->x0) return;
    /* dots of the outer layers stand off the frame */
    a->x0 -= 0.03 * (a->x1 - a->x0);
    a->x1 += 0.03 * (a->x1 - a->x0);
}

static const unsigned char *colour_of(const atn_sections *s, int group)
{
    return atn_palette_series(group, s->groups);
}

static void dots(atn_canvas *c, const atn_plot_area *a, const atn_table *t,
                 const atn_sections *s)
{
    const double r = c->font * 0.22, full = 2 * acos(-1);
    const double share = (double)s->n / (double)atn_table_rows(t);
    const double alpha = fmin(0.5, fmax(8 * share, 0.1)); /* many heads: fainter */

    for (atn_idx i = 0; i < atn_table_rows(t); i++) {
        const double y = atn_table_get_f64(t, i, y_col(t));
        const int at = s->of[i];
        const unsigned char *rgb = colour_of(s, s->group[at]);

        if (!isfinite(y)) continue;
        cairo_set_source_rgba(c->cr, rgb[0] / 255.0, rgb[1] / 255.0, rgb[2] / 255.0,
                              alpha);
        cairo_arc(c->cr, atn_plot_px(a, (double)s->layer[at]), atn_plot_py(a, y), r, 0,
                  full);
        cairo_fill(c->cr);
    }
}

/* The mean of every section, over the heads that have a value; NaN = none. In the
 * arena. */
static atn_status means_of(atn_ctx *cx, const atn_table *t, const atn_sections *s,
                           double **out)
{
    atn_status st = ATN_OK;
    double *mean = NULL, *n = NULL;

    ATN_TAKE(mean, s->n);
    ATN_TAKE(n, s->n);
    for (int i = 0; i < s->n; i++) mean[i] = n[i] = 0;
    for (atn_idx r = 0; r < atn_table_rows(t); r++) {
        const double y = atn_table_get_f64(t, r, y_col(t));

        if (!isfinite(y)) continue;
        mean[s->of[r]] += y;
        n[s->of[r]]++;
    }
    for (int i = 0; i < s->n; i++) mean[i] = n[i] > 0 ? mean[i] / n[i] : NAN;
    *out = mean;
done:
    return st;
}

/* Through the means of one group; a layer without values is passed over. */
static void mean_line(atn_canvas *c, const atn_plot_area *a, const atn_sections *s,
                      const double *mean, int group)
{
    double x = 0, y = 0;
    int n = 0;

    cairo_set_line_join(c->cr, CAIRO_LINE_JOIN_ROUND);
    for (int i = 0; i < s->n; i++) {
        if (s->group[i] != group || isnan(mean[i])) continue;
        x = atn_plot_px(a, (double)s->layer[i]);
        y = atn_plot_py(a, mean[i]);
        if (n++ > 0)
            cairo_line_to(c->cr, x, y);
        else
            cairo_move_to(c->cr, x, y);
    }
    atn_canvas_grey(c, 1); /* parts it from the dots */
    cairo_set_line_width(c->cr, 3);
    cairo_stroke_preserve(c->cr);
    atn_canvas_colour(c, colour_of(s, group));
    cairo_set_line_width(c->cr, 1.4);
    cairo_stroke(c->cr);
    if (n == 1) atn_canvas_line(c, x - c->font, y, x + c->font, y, 1.4);
}

/* ---- legend: what dots and lines are, then the groups ---- */

static void legend_name(const void *state, int i, char *out, size_t size)
{
    const atn_sections *s = state;

    if (i < 2)
        snprintf(out, size, "%s", i == 0 ? "a head" : "mean of a layer");
    else
        snprintf(out, size, "%s", s->group_name[i - 2]);
}

static void legend_mark(atn_canvas *c, const void *state, int i, double x, double y)
{
    const atn_sections *s = state;
    const double width = c->font * 1.3;

    if (s->groups > 1 && i < 2)
        atn_canvas_grey(c, 0.3);
    else
        atn_canvas_colour(c, colour_of(s, ATN_MAX(i - 2, 0)));
    if (i == 0) {
        cairo_arc(c->cr, x + width / 2, y, c->font * 0.22, 0, 2 * acos(-1));
        cairo_fill(c->cr);
    } else {
        atn_canvas_line(c, x, y, x + width, y, 1.4);
    }
}

static double legend(atn_canvas *c, const atn_sections *s, const atn_plot_area *a,
                     bool draw)
{
    const int shown = ATN_MIN(s->groups, (int)ATN_LEGEND_NAMES);
    const atn_legend l = {.x = a->x,
                          .y = a->y + a->h + c->font * 3.2,
                          .width = a->w,
                          .n = s->groups > 1 ? 2 + shown : 2,
                          .name = legend_name,
                          .mark = legend_mark,
                          .state = s,
                          .more = shown < s->groups ? "..." : NULL};

    return atn_legend_draw(c, &l, draw);
}

static atn_status height(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                         const atn_figure_opts *o, double *points)
{
    atn_status st = ATN_OK;
    atn_plot_area a;
    atn_sections s;

    (void)p, (void)o;
    ATN_TRY(atn_plot_height(cx, c, t, -1, points));
    ATN_TRY(atn_sections_find(cx, t, &s));
    ATN_TRY(atn_plot_begin(cx, c, t, &(atn_series){.col = -1, .n = 1}, &a));
    *points += legend(c, &s, &a, false);
done:
    return st;
}

static atn_status draw(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                       const atn_figure_opts *o)
{
    atn_status st = ATN_OK;
    double *mean = NULL;
    atn_plot_area a;
    atn_sections s;
    char label[160];

    (void)p;
    ATN_TRY(atn_sections_find(cx, t, &s));
    ATN_TRY(atn_plot_begin(cx, c, t, &(atn_series){.col = -1, .n = 1}, &a));
    a.h -= legend(c, &s, &a, false);
    ATN_TRY(atn_canvas_fits(cx, c, a.w, a.h));
    ranges(t, &s, &a);
    label_of(t, o, label, sizeof label);
    atn_plot_frame_as(c, &a, t, o, y_col(t), label);
    dots(c, &a, t, &s);
    ATN_TRY(means_of(cx, t, &s, &mean));
    for (int g = 0; g < s.groups; g++) mean_line(c, &a, &s, mean, g);
    atn_plot_x_axis(c, &a, true, "layer");
    (void)legend(c, &s, &a, true);
done:
    return st;
}

const atn_figure atn_figure_layers = {
    .id = "layers",
    .title = "One value by layer",
    .text = "a dot for every head, a line through the means of the layers",
    .columns = ATN_FIGURE_Y,
    .check = check,
    .height = height,
    .draw = draw,
};
