/* viz/bars.c -- one value of every head, heads grouped by layer.
 *
 * Accepts  a table with columns layer and head (and stack and step where there are
 *          several) and a numeric column: the one that meta `y` names, or the first
 *          with a number. Layers of different stacks and steps are groups apart. Other
 *          tables: one bar a row, labelled by the first text or key column.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>

#include "viz/palette.h"
#include "viz/plot.h"
#include "viz/sections.h"

extern const atn_figure atn_figure_bars;

static int y_col(const atn_table *t)
{
    return atn_meta_col(t, "y", atn_first_value_col(t));
}

static const char *check(const atn_table *t)
{
    const int y = y_col(t);

    if (atn_table_rows(t) == 0) return "it has no rows";
    if (y < 0 || !atn_is_number_col(t, y))
        return "it has no numeric column of that name";
    for (atn_idx r = 0; r < atn_table_rows(t); r++)
        if (isfinite(atn_table_get_f64(t, r, y))) return NULL;
    return "its column has no number in any row (name another with --y)";
}

static void value_range(const atn_table *t, int col, double *low, double *high)
{
    *low = *high = 0;
    for (atn_idx r = 0; r < atn_table_rows(t); r++) {
        const double v = atn_table_get_f64(t, r, col);
        if (!isfinite(v)) continue;
        *low = fmin(*low, v);
        *high = fmax(*high, v);
    }
    if (*high == *low) *high = *low + 1;
    *high += 0.05 * (*high - *low);
    if (*low < 0) *low -= 0.05 * (*high - *low);
}

/* What stands below the bars: layers, where the table has them. */
static bool has_layers(const atn_table *t)
{
    const int layer = atn_table_find_col(t, "layer");

    return layer >= 0 && atn_table_col_type(t, layer) == ATN_COL_I64;
}

/* A table and its layers; without them of = NULL. */
typedef struct grouped {
    const atn_table *t;
    atn_sections s;
} grouped;

static atn_status find_groups(atn_ctx *cx, const atn_table *t, grouped *out)
{
    *out = (grouped){.t = t};
    return has_layers(t) ? atn_sections_find(cx, t, &out->s) : ATN_OK;
}

/* The group a row belongs to: its layer, else the row itself. */
static int64_t group_of(const grouped *g, atn_idx r)
{
    return g->s.of ? g->s.of[r] : r;
}

static atn_idx count_groups(const grouped *g)
{
    atn_idx n = 1;

    for (atn_idx r = 1; r < atn_table_rows(g->t); r++)
        n += group_of(g, r) != group_of(g, r - 1);
    return n;
}

static bool has_texts(const atn_table *t)
{
    return atn_table_find_col(t, "layer") < 0 &&
           atn_table_col_type(t, 0) == ATN_COL_STR;
}

static void group_label(const grouped *g, atn_idx r, char *out, size_t size)
{
    const atn_table *t = g->t;

    if (g->s.of)
        snprintf(out, size, "%s", g->s.name[g->s.of[r]]);
    else if (has_texts(t))
        atn_token_label(atn_table_has(t, r, 0) ? atn_table_get_str(t, r, 0) : "", 20,
                        out, size);
    else
        snprintf(out, size, "%lld", (long long)r);
}

static int series_col(const atn_table *t)
{
    const int head = atn_table_find_col(t, "head");

    return head >= 0 && atn_table_col_type(t, head) == ATN_COL_I64 ? head : -1;
}

/* Every how many groups are labelled: numbers that would touch are skipped; texts are
 * cut to their group, and skipped where nothing would be left of them. */
static double label_step(atn_canvas *c, const grouped *g, double group)
{
    const atn_table *t = g->t;
    char text[96];
    double widest = 0;

    if (has_texts(t)) return atn_label_step(group, c->font * 1.5);
    for (atn_idx r = 0; r < atn_table_rows(t); r++) {
        group_label(g, r, text, sizeof text);
        widest = fmax(widest, atn_canvas_text_width(c, 0.9, text));
    }
    return atn_label_step(group, widest + c->font * 0.6);
}

static void draw_bars(atn_canvas *c, const atn_plot_area *a, const grouped *g, int col,
                      const atn_series *s)
{
    const atn_table *t = g->t;
    const atn_idx rows = atn_table_rows(t), groups = count_groups(g);
    const double slot = a->w / ((double)rows + 0.8 * (double)groups),
                 zero = atn_plot_py(a, 0), group = a->w / (double)groups,
                 step = label_step(c, g, group);
    double x = a->x + 0.4 * slot, group_x = x, at = 0;
    char text[96];

    for (atn_idx r = 0; r < rows; r++) {
        const double v = atn_table_get_f64(t, r, col);
        const bool last = r + 1 == rows || group_of(g, r + 1) != group_of(g, r);

        if (isfinite(v)) {
            const double y = atn_plot_py(a, v);
            atn_canvas_colour(c, atn_palette_series(atn_series_of(s, t, r), s->n));
            atn_canvas_rect(c, x + 0.06 * slot, fmin(y, zero), 0.88 * slot,
                            fabs(zero - y));
        }
        x += slot;
        if (!last) continue;
        group_label(g, r, text, sizeof text);
        atn_canvas_grey(c, 0.15);
        if (fmod(at++, step) == 0)
            atn_canvas_text(c, (group_x + x) / 2, a->y + a->h + c->font * 0.9,
                            ATN_CENTRE, 0.9, 0, has_texts(t) ? group * step : 0, text);
        x += 0.8 * slot;
        group_x = x;
    }
}

static atn_status height(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                         const atn_figure_opts *o, double *points)
{
    (void)p, (void)o;
    return atn_plot_height(cx, c, t, series_col(t), points);
}

static atn_status draw(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                       const atn_figure_opts *o)
{
    const bool layers = atn_table_find_col(t, "layer") >= 0;
    atn_status st = ATN_OK;
    atn_plot_area a;
    atn_series s;
    grouped g;

    (void)p;
    ATN_TRY(find_groups(cx, t, &g));
    ATN_TRY(atn_series_find(cx, t, series_col(t), &s));
    ATN_TRY(atn_plot_begin(cx, c, t, &s, &a));
    value_range(t, y_col(t), &a.y0, &a.y1);
    atn_plot_frame(c, &a, t, o, y_col(t));
    draw_bars(c, &a, &g, y_col(t), &s);
    if (layers)
        atn_canvas_text(c, a.x + a.w / 2, a.y + a.h + c->font * 2.3, ATN_CENTRE, 0.95,
                        0, a.w, g.s.of ? g.s.axis : "layer");
    (void)atn_plot_legend(c, a.x, a.y + a.h + c->font * 3.2, a.w, t, &s, true);
done:
    return st;
}

const atn_figure atn_figure_bars = {
    .id = "bars",
    .title = "One value of every head",
    .text = "bars of one column, heads side by side within their layer",
    .columns = ATN_FIGURE_Y,
    .check = check,
    .height = height,
    .draw = draw,
};
