/* viz/heatmap.c -- the attention matrix of one head: queries down, keys across.
 *
 * Accepts  any table with a matrix; a column `token` with as many texts as the matrix
 *          has columns labels the keys where the labels fit, and a column `query_token`
 *          the queries; without it `token` does where they are as many and meta tokens
 *          does not say "keys". Meta: title, subtitle, pool, pool_size, queries, keys,
 *          measure.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "viz/figure.h"

extern const atn_figure atn_figure_heatmap;

static const char *check(const atn_table *t)
{
    const atn_cmat m = atn_table_get_matrix(t);

    return m.data && m.rows > 0 && m.cols > 0 ? NULL : "it has no matrix";
}

/* Positions along a side of n cells: what the table says, where that can be. */
static double total_of(const atn_table *t, const char *key, atn_idx n, double unit)
{
    const double said = atn_meta_number(t, key, 0), most = (double)n * unit;

    return said > most - unit && said <= most ? said : most;
}

/* Token texts of a column in the arena; NULL when they are not one a cell: the rows
 * behind the n-th are of the other side. */
static atn_status labels_of(atn_ctx *cx, const atn_table *t, const char *name,
                            atn_idx n, const char *const **out)
{
    const int col = atn_table_find_col(t, name);
    const char **texts = NULL;
    atn_status st = ATN_OK;

    *out = NULL;
    if (col < 0 || atn_table_rows(t) < n || atn_table_col_type(t, col) != ATN_COL_STR)
        return ATN_OK;
    for (atn_idx i = n; i < atn_table_rows(t); i++)
        if (atn_table_has(t, i, col)) return ATN_OK;
    ATN_TAKE(texts, n);
    for (atn_idx i = 0; i < n; i++) {
        texts[i] = atn_table_get_str(t, i, col);
        if (!texts[i]) texts[i] = "";
    }
    *out = texts;
done:
    return st;
}

typedef struct layout {
    atn_scale scale;
    atn_ruler down, across;
    atn_idx joined;
    double top, left, below; /* room above, left and below the matrix */
    double w, h;             /* of what the matrix covers */
} layout;

/* Square cells as large as fit; the labels' room depends on the cells, so twice. */
static void fit_cells(atn_canvas *c, layout *l)
{
    const double title = c->font * 1.5, bar = atn_scale_bar_room(c, &l->scale);
    const double rows = l->down.total / l->down.unit,
                 cols = l->across.total / l->across.unit;
    double w = c->width - bar - c->font * 6, h = c->height - l->top - c->font * 6;

    for (int pass = 0; pass < 3; pass++) {
        const double cell = fmin(fmin(w / cols, h / rows), 4 * w / rows);

        l->down.cell = l->across.cell = fmax(cell, 1e-6);
        l->down.step = l->across.step =
            fmax(atn_ruler_step(c, &l->down), atn_ruler_step(c, &l->across));
        l->left = atn_ruler_room(c, &l->down) + title + c->font * 0.5;
        l->below = atn_ruler_room(c, &l->across) + title;
        l->w = l->down.cell * cols;
        l->h = l->down.cell * rows;
        w = c->width - bar - l->left - c->font * 0.5;
        h = c->height - l->top - l->below - c->font * 0.5;
    }
}

static atn_status lay_out(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                          const atn_figure_opts *o, layout *l)
{
    const atn_cmat m = atn_table_get_matrix(t);
    const double unit = fmax(atn_meta_number(t, "pool_size", 1), 1);
    const bool same = m.rows == m.cols && !atn_table_get_meta(t, "tokens");
    atn_status st = ATN_OK;

    *l = (layout){.joined = atn_raster_join(ATN_MAX(m.rows, m.cols), 1),
                  .down = {.total = total_of(t, "queries", m.rows, unit),
                           .unit = unit,
                           .left = true},
                  .across = {.total = total_of(t, "keys", m.cols, unit), .unit = unit}};
    ATN_TRY(atn_weight_scale(cx, t, p, o, "linear", &l->scale));
    ATN_TRY(labels_of(cx, t, "token", m.cols, &l->across.texts));
    ATN_TRY(labels_of(cx, t, "query_token", m.rows, &l->down.texts));
    if (same && !l->down.texts) l->down.texts = l->across.texts;
    l->top = atn_heading_height(t, l->joined, c->font);
    fit_cells(c, l);
    ATN_TRY(atn_canvas_fits(cx, c,
                            c->width - atn_scale_bar_room(c, &l->scale) - l->left,
                            c->height - l->top - l->below));
done:
    return st;
}

static atn_status height(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                         const atn_figure_opts *o, double *points)
{
    atn_status st = ATN_OK;
    layout l;

    ATN_TRY(lay_out(cx, c, t, p, o, &l));
    *points = l.top + fmax(l.h + l.below, atn_scale_bar_height(c, &l.scale, l.h)) +
              c->font * 0.5;
done:
    return st;
}

/* The last cells of a pooled matrix may join fewer positions: what lies beyond is
 * cut. */
static atn_status paint_matrix(atn_ctx *cx, atn_canvas *c, atn_cmat m, const layout *l)
{
    atn_status st;

    cairo_save(c->cr);
    cairo_rectangle(c->cr, l->left, l->top, l->w, l->h);
    cairo_clip(c->cr);
    st = atn_canvas_matrix(cx, c, m, &l->scale, l->left, l->top,
                           l->across.cell * (double)m.cols,
                           l->down.cell * (double)m.rows, 1);
    cairo_restore(c->cr);
    return st;
}

static const char *bar_label(const atn_table *t, const atn_scale *s, char out[96])
{
    const char *measure = atn_table_get_meta(t, "measure");

    if (!measure)
        measure =
            strcmp(atn_table_kind(t), "heatmap") == 0 ? atn_weight_label(t) : "value";
    snprintf(out, 96, "%.60s%s", measure,
             s->kind == ATN_SCALE_RANK ? " (colour by rank)" : "");
    return out;
}

static atn_status draw(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                       const atn_figure_opts *o)
{
    atn_status st = ATN_OK;
    char label[96];
    layout l;

    ATN_TRY(lay_out(cx, c, t, p, o, &l));
    (void)atn_figure_heading(c, t, o, l.joined);
    ATN_TRY(paint_matrix(cx, c, atn_table_get_matrix(t), &l));
    atn_canvas_grey(c, 0.4);
    atn_canvas_frame(c, l.left, l.top, l.w, l.h);
    atn_ruler_draw(c, &l.down, l.left, l.top);
    atn_ruler_draw(c, &l.across, l.left, l.top + l.h);
    atn_canvas_grey(c, 0.15);
    atn_canvas_text(c, c->font, l.top + l.h / 2, ATN_CENTRE, 0.95, -90, 0,
                    atn_table_row_axis(t));
    atn_canvas_text(c, l.left + l.w / 2, l.top + l.h + l.below - c->font * 0.6,
                    ATN_CENTRE, 0.95, 0, 0, atn_table_col_axis(t));
    atn_scale_bar(c, &l.scale, l.left + l.w + c->font * 1.2, l.top, l.h,
                  bar_label(t, &l.scale, label));
done:
    return st;
}

const atn_figure atn_figure_heatmap = {
    .id = "heatmap",
    .title = "Attention of one head",
    .text = "the attention matrix of one head, with tokens where they fit",
    .params = atn_colour_params,
    .params_size = sizeof(atn_colours),
    .scale = "linear",
    .check = check,
    .height = height,
    .draw = draw,
};
