/* viz/heads.c -- all heads of a model as small multiples, layers down, heads across.
 *
 * Accepts  a table of one row a head (columns layer, head) whose matrix stacks the
 *          heads: block i of cells_q rows (meta) belongs to row i.
 * Limits   as high as half more than it is wide; many layers of few heads go into
 *          several columns.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>

#include "viz/figure.h"

extern const atn_figure atn_figure_heads;

static atn_idx cells_of(const atn_table *t)
{
    return (atn_idx)atn_meta_number(t, "cells_q", 0);
}

static const char *check(const atn_table *t)
{
    const atn_cmat m = atn_table_get_matrix(t);
    const int layer = atn_table_find_col(t, "layer"),
              head = atn_table_find_col(t, "head");
    const atn_idx cells = cells_of(t);

    if (!m.data || cells < 1 || m.cols < 1 || m.rows != cells * atn_table_rows(t))
        return "it has no stacked matrix of heads (meta cells_q)";
    if (layer < 0 || head < 0 || atn_table_col_type(t, layer) != ATN_COL_I64 ||
        atn_table_col_type(t, head) != ATN_COL_I64)
        return "it has no columns layer and head";
    return NULL;
}

/* The layers that occur, and heads up to the largest. */
typedef struct grid {
    atn_idx layers, heads;
} grid;

static grid grid_of(const atn_table *t)
{
    const int layer = atn_table_find_col(t, "layer"),
              head = atn_table_find_col(t, "head");
    grid g = {1, 1};

    for (atn_idx i = 0; i < atn_table_rows(t); i++) {
        g.heads = ATN_MAX(g.heads, atn_table_get_i64(t, i, head) + 1);
        g.layers += i > 0 && atn_table_get_i64(t, i, layer) !=
                                 atn_table_get_i64(t, i - 1, layer);
    }
    return g;
}

/* The grid in `blocks` columns of `rows` layers each; w and h are of a panel and its
 * gap. */
typedef struct layout {
    atn_scale scale;
    grid g;
    atn_idx joined, blocks, rows;
    double top, w, h, room; /* room: a block's layer numbers */
} layout;

static const double LABELS = 2.6, MARGIN = 1.6; /* of the font */

static double block_width(const layout *l)
{
    return l->room + (double)l->g.heads * l->w;
}

/* The number of blocks that makes panels largest. */
static void fit_panels(atn_canvas *c, layout *l, double shape, double width,
                       double height)
{
    enum { BLOCKS = 8 };

    for (atn_idx blocks = 1; blocks <= ATN_MIN(l->g.layers, (atn_idx)BLOCKS);
         blocks++) {
        const atn_idx rows = (l->g.layers + blocks - 1) / blocks;
        const double across = width / (double)blocks - l->room;
        const double w = fmin(fmin(across / (double)l->g.heads, c->font * 14),
                              height / (double)rows / shape);

        if (w <= 1.25 * l->w) continue;
        l->w = w;
        l->h = w * shape;
        l->blocks = blocks;
        l->rows = rows;
    }
}

static atn_status lay_out(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                          const atn_figure_opts *o, layout *l)
{
    const atn_cmat m = atn_table_get_matrix(t);
    const atn_idx cells = cells_of(t);
    const double shape = fmin(fmax((double)cells / (double)m.cols, 0.2), 3);
    const double highest = isfinite(c->height) ? c->height : 1.5 * c->width;
    atn_status st = ATN_OK;
    double width, height;

    *l = (layout){.g = grid_of(t),
                  .joined = atn_raster_join(ATN_MAX(cells, m.cols), atn_table_rows(t)),
                  .blocks = 1,
                  .rows = 1,
                  .room = c->font * LABELS};
    ATN_TRY(atn_weight_scale(cx, t, p, o, "log", &l->scale));
    l->top = atn_heading_height(t, l->joined, c->font) + c->font * 2.2;
    width = c->width - c->font * MARGIN - atn_scale_bar_room(c, &l->scale);
    height = highest - l->top - c->font;
    ATN_TRY(atn_canvas_fits(cx, c, width - l->room, height));
    fit_panels(c, l, shape, width, height);
done:
    return st;
}

static atn_status height(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                         const atn_figure_opts *o, double *points)
{
    atn_status st = ATN_OK;
    double grid_height;
    layout l;

    ATN_TRY(lay_out(cx, c, t, p, o, &l));
    grid_height = (double)l.rows * l.h;
    *points = l.top +
              fmax(grid_height, atn_scale_bar_height(c, &l.scale, grid_height)) +
              c->font;
done:
    return st;
}

static double block_x(const atn_canvas *c, const layout *l, atn_idx block)
{
    return c->font * MARGIN + l->room + (double)block * block_width(l);
}

/* Numbers that would touch are skipped. */
static void label_heads(atn_canvas *c, const layout *l)
{
    char text[32];
    double step;

    snprintf(text, sizeof text, "%lld", (long long)l->g.heads - 1);
    step = atn_label_step(l->w, atn_canvas_text_width(c, 0.85, text) + c->font * 0.5);
    for (atn_idx b = 0; b < l->blocks; b++) {
        const double x = block_x(c, l, b);

        for (double k = 0; k < (double)l->g.heads; k += step) {
            snprintf(text, sizeof text, "%.0f", k);
            atn_canvas_text(c, x + (k + 0.5) * l->w, l->top - c->font * 0.7, ATN_CENTRE,
                            0.85, 0, 0, text);
        }
        atn_canvas_text(c, x + (double)l->g.heads * l->w / 2, l->top - c->font * 1.8,
                        ATN_CENTRE, 0.95, 0, 0, "head");
    }
}

static void label_layer(atn_canvas *c, const layout *l, atn_idx at, int64_t layer)
{
    const double step = atn_label_step(l->h, c->font * 1.15);
    const double y = l->top + ((double)(at % l->rows) + 0.5) * l->h;
    char text[32];

    if (fmod((double)(at % l->rows), step) != 0) return;
    snprintf(text, sizeof text, "%lld", (long long)layer);
    atn_canvas_text(c, block_x(c, l, at / l->rows) - 4, y, ATN_RIGHT, 0.85, 0, 0, text);
}

static atn_status panels(atn_ctx *cx, atn_canvas *c, const atn_table *t,
                         const layout *l)
{
    const int layer = atn_table_find_col(t, "layer"),
              head = atn_table_find_col(t, "head");
    const atn_cmat m = atn_table_get_matrix(t);
    const atn_idx cells = cells_of(t);
    const double gap = fmin(l->w * 0.08, 3);
    atn_status st = ATN_OK;
    atn_idx at = -1;

    for (atn_idx i = 0; i < atn_table_rows(t); i++) {
        const atn_cmat one = {atn_crow(m, i * cells), cells, m.cols, m.ld};
        const int64_t now = atn_table_get_i64(t, i, layer);
        double x, y;

        if (i == 0 || now != atn_table_get_i64(t, i - 1, layer)) {
            at++;
            atn_canvas_grey(c, 0.15);
            label_layer(c, l, at, now);
        }
        x = block_x(c, l, at / l->rows) + (double)atn_table_get_i64(t, i, head) * l->w;
        y = l->top + (double)(at % l->rows) * l->h;
        ATN_TRY(atn_canvas_matrix(cx, c, one, &l->scale, x, y, l->w - gap, l->h - gap,
                                  atn_table_rows(t)));
        if (l->w < c->font) continue; /* a frame would hide so small a panel */
        atn_canvas_grey(c, 0.6);
        atn_canvas_frame(c, x, y, l->w - gap, l->h - gap);
    }
done:
    return st;
}

static atn_status draw(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                       const atn_figure_opts *o)
{
    atn_status st = ATN_OK;
    layout l;

    ATN_TRY(lay_out(cx, c, t, p, o, &l));
    (void)atn_figure_heading(c, t, o, l.joined);
    ATN_TRY(panels(cx, c, t, &l));
    atn_canvas_grey(c, 0.15);
    label_heads(c, &l);
    atn_canvas_text(c, c->font * 0.9, l.top + (double)l.rows * l.h / 2, ATN_CENTRE,
                    0.95, -90, 0, "layer");
    atn_scale_bar(c, &l.scale, block_x(c, &l, l.blocks) - l.room + c->font * 1.2, l.top,
                  (double)l.rows * l.h, atn_weight_label(t));
done:
    return st;
}

const atn_figure atn_figure_heads = {
    .id = "heads",
    .title = "Attention of every head",
    .text = "all heads of a model as small heatmaps, layers down and heads across",
    .params = atn_colour_params,
    .params_size = sizeof(atn_colours),
    .scale = "log",
    .check = check,
    .height = height,
    .draw = draw,
};
