/* viz/heads.c -- all heads of a model as small multiples, layers down, heads across.
 *
 * Accepts  a table of one row a head (columns layer, head) whose matrix stacks the heads: block i of
 *          cells_q rows (meta) belongs to row i.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "viz/figure.h"

extern const atn_figure atn_figure_heads;

typedef struct heads_params {
    double floor, clip;
} heads_params;

static const atn_param params[] = {
    ATN_PARAM_F64(heads_params, floor, 1e-4, 1e-30, 1,
                  "smallest value a log scale tells apart"),
    ATN_PARAM_F64(heads_params, clip, 0, 0, 1,
                  "quantile where the colours end, 0 = the maximum"),
    ATN_PARAM_END,
};

static atn_idx meta_number(const atn_table *t, const char *key)
{
    const char *text = atn_table_get_meta(t, key);

    return text ? strtoll(text, NULL, 10) : 0;
}

static const char *check(const atn_table *t)
{
    const atn_cmat m = atn_table_get_matrix(t);
    const int layer = atn_table_find_col(t, "layer"),
              head = atn_table_find_col(t, "head");
    const atn_idx cells = meta_number(t, "cells_q");

    if (!m.data || cells < 1 || m.cols < 1 || m.rows != cells * atn_table_rows(t))
        return "it has no stacked matrix of heads (meta cells_q)";
    if (layer < 0 || head < 0 || atn_table_col_type(t, layer) != ATN_COL_I64 ||
        atn_table_col_type(t, head) != ATN_COL_I64)
        return "it has no columns layer and head";
    return NULL;
}

/* Rows and columns of the grid: the layers that occur, and the largest head. */
typedef struct grid {
    atn_idx layers, heads;
} grid;

static atn_idx layer_row(const atn_table *t, atn_idx row)
{
    const int col = atn_table_find_col(t, "layer");
    atn_idx n = 0;

    for (atn_idx i = 1; i <= row; i++)
        n += atn_table_get_i64(t, i, col) != atn_table_get_i64(t, i - 1, col);
    return n;
}

static grid grid_of(const atn_table *t)
{
    const int col = atn_table_find_col(t, "head");
    grid g = {layer_row(t, atn_table_rows(t) - 1) + 1, 0};

    for (atn_idx i = 0; i < atn_table_rows(t); i++)
        g.heads = ATN_MAX(g.heads, atn_table_get_i64(t, i, col) + 1);
    return g;
}

static double cell_shape(const atn_table *t)
{
    return fmin(
        fmax((double)meta_number(t, "cells_q") / (double)atn_table_get_matrix(t).cols,
             0.2),
        3);
}

static double panel_width(const atn_table *t, double width, double font, grid g)
{
    (void)t;
    return fmin((width - font * 10.5) / (double)g.heads, font * 14);
}

static double height(const atn_table *t, const void *p, double width, double font)
{
    const grid g = grid_of(t);

    (void)p;
    return atn_heading_height(t, font) +
           fmax(panel_width(t, width, font, g) * cell_shape(t) * (double)g.layers,
                font * 9) +
           font * 3.5;
}

static void label_grid(atn_canvas *c, const atn_table *t, grid g, double left,
                       double top, double w, double h)
{
    const int col = atn_table_find_col(t, "layer");
    char text[32];

    atn_canvas_grey(c, 0.15);
    for (atn_idx k = 0; k < g.heads; k++) {
        /* skip labels that would touch */
        if (w < c->font * 1.6 && k % 2) continue;
        snprintf(text, sizeof text, "%lld", (long long)k);
        atn_canvas_text(c, left + ((double)k + 0.5) * w, top - c->font * 0.7,
                        ATN_CENTRE, 0.85, 0, 0, text);
    }
    for (atn_idx i = 0; i < atn_table_rows(t); i++) {
        if (i > 0 && layer_row(t, i) == layer_row(t, i - 1)) continue;
        snprintf(text, sizeof text, "%lld", (long long)atn_table_get_i64(t, i, col));
        atn_canvas_text(c, left - 4, top + ((double)layer_row(t, i) + 0.5) * h,
                        ATN_RIGHT, 0.85, 0, 0, text);
    }
    atn_canvas_text(c, c->font * 0.9, top + (double)g.layers * h / 2, ATN_CENTRE, 0.95,
                    -90, 0, "layer");
    atn_canvas_text(c, left + (double)g.heads * w / 2, top - c->font * 1.8, ATN_CENTRE,
                    0.95, 0, 0, "head");
}

static atn_status draw(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p_,
                       const atn_figure_opts *o)
{
    const heads_params *p = p_;
    const atn_cmat m = atn_table_get_matrix(t);
    const atn_idx cells = meta_number(t, "cells_q");
    const double left = c->font * 3.6,
                 top = atn_figure_heading(c, t, o) + c->font * 2.2;
    const grid g = grid_of(t);
    const double w = fmin((c->width - c->font * 10.5) / (double)g.heads, c->font * 14);
    const double h =
        fmin(w * cell_shape(t), (c->height - top - c->font) / (double)g.layers);
    const double gap = fmin(w * 0.08, 3);
    const int head = atn_table_find_col(t, "head");
    atn_status st = ATN_OK;
    atn_scale_kind kind;
    atn_scale scale;

    ATN_TRY(atn_figure_scale(cx, o, "log", &kind));
    ATN_TRY(
        atn_scale_fit(cx, m, kind, p->floor, p->clip, atn_figure_palette(o), &scale));
    for (atn_idx i = 0; i < atn_table_rows(t); i++) {
        const atn_cmat one = {atn_crow(m, i * cells), cells, m.cols, m.ld};
        const double x = left + (double)atn_table_get_i64(t, i, head) * w;
        const double y = top + (double)layer_row(t, i) * h;

        ATN_TRY(atn_canvas_matrix(cx, c, one, &scale, x, y, w - gap, h - gap, NULL));
        atn_canvas_grey(c, 0.6);
        atn_canvas_frame(c, x, y, w - gap, h - gap);
    }
    label_grid(c, t, g, left, top, w, h);
    atn_scale_bar(
        c, &scale, left + (double)g.heads * w + c->font * 0.6, top, c->font,
        fmin(fmax((double)g.layers * h - c->font * 3, c->font * 5), c->font * 22),
        "weight");
done:
    return st;
}

const atn_figure atn_figure_heads = {
    .id = "heads",
    .title = "Attention of every head",
    .text = "all heads of a model as small heatmaps, layers down and heads across",
    .params = params,
    .params_size = sizeof(heads_params),
    .scale = "log",
    .check = check,
    .height = height,
    .draw = draw,
};
