/* viz/heatmap.c -- the attention matrix of one head: queries down, keys across.
 *
 * Accepts  any table with a matrix; a column `token` with as many rows as the matrix has sides
 *          labels the axes where the labels fit. Meta: title, subtitle, pool, pool_size.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "viz/figure.h"

extern const atn_figure atn_figure_heatmap;

typedef struct heatmap_params {
    double floor, clip;
} heatmap_params;

static const atn_param params[] = {
    ATN_PARAM_F64(heatmap_params, floor, 1e-4, 1e-30, 1,
                  "smallest value a log scale tells apart"),
    ATN_PARAM_F64(heatmap_params, clip, 0, 0, 1,
                  "quantile where the colours end, 0 = the maximum"),
    ATN_PARAM_END,
};

static const char *check(const atn_table *t)
{
    const atn_cmat m = atn_table_get_matrix(t);

    return m.data && m.rows > 0 && m.cols > 0 ? NULL : "it has no matrix";
}

static double pool_size(const atn_table *t)
{
    const char *text = atn_table_get_meta(t, "pool_size");
    const double size = text ? strtod(text, NULL) : 1;

    return size >= 1 ? size : 1;
}

/* Token texts of the table in the arena; NULL when they are not one a cell. */
static atn_status labels_of(atn_ctx *cx, const atn_table *t, atn_idx n,
                            const char *const **out)
{
    const int col = atn_table_find_col(t, "token");
    const char **texts = NULL;
    atn_status st = ATN_OK;

    *out = NULL;
    if (col < 0 || atn_table_rows(t) != n || atn_table_col_type(t, col) != ATN_COL_STR)
        return ATN_OK;
    ATN_TAKE(texts, n);
    for (atn_idx i = 0; i < n; i++) {
        texts[i] = atn_table_get_str(t, i, col);
        if (!texts[i]) texts[i] = "";
    }
    *out = texts;
done:
    return st;
}

/* Room right of the matrix for the colour bar. */
static double bar_room(double font)
{
    return font * 6.2;
}

static double height(const atn_table *t, const void *p, double width, double font)
{
    const atn_cmat m = atn_table_get_matrix(t);
    const double side = width - bar_room(font) - font * 6;
    const double shape = fmin(fmax((double)m.rows / (double)m.cols, 0.15), 4);
    /* below the matrix: token labels where they may fit, else one line of numbers */
    const bool tokens =
        atn_table_find_col(t, "token") >= 0 && (double)m.cols * font * 0.7 <= side;

    (void)p;
    return atn_heading_height(t, font) + side * shape + font * (tokens ? 7.5 : 4.5);
}

static atn_status draw(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p_,
                       const atn_figure_opts *o)
{
    const heatmap_params *p = p_;
    const atn_cmat m = atn_table_get_matrix(t);
    const double top = atn_figure_heading(c, t, o), unit = pool_size(t),
                 title = c->font * 1.5;
    const char *const *rows = NULL, *const *cols = NULL;
    atn_status st = ATN_OK;
    atn_scale_kind kind;
    atn_scale scale;
    double left, below, w, h, cell;

    ATN_TRY(atn_figure_scale(cx, o, "linear", &kind));
    ATN_TRY(
        atn_scale_fit(cx, m, kind, p->floor, p->clip, atn_figure_palette(o), &scale));
    ATN_TRY(labels_of(cx, t, m.rows, &rows));
    ATN_TRY(labels_of(cx, t, m.cols, &cols));
    /* square cells as large as fit; the labels' room depends on the cells, so twice */
    w = c->width - bar_room(c->font) - c->font * 6;
    h = c->height - top - c->font * 6;
    for (int pass = 0; pass < 2; pass++) {
        cell = fmin(w / (double)m.cols, h / (double)m.rows);
        left =
            atn_axis_room(c, rows, m.rows, cell * (double)m.rows, unit, true) + title;
        below =
            atn_axis_room(c, cols, m.cols, cell * (double)m.cols, unit, false) + title;
        w = c->width - bar_room(c->font) - left - c->font;
        h = c->height - top - below - c->font * 0.5;
    }
    cell = fmin(w / (double)m.cols, h / (double)m.rows);
    w = cell * (double)m.cols;
    h = cell * (double)m.rows;
    left += c->font * 0.5;
    ATN_TRY(atn_canvas_matrix(cx, c, m, &scale, left, top, w, h, NULL));
    atn_canvas_grey(c, 0.4);
    atn_canvas_frame(c, left, top, w, h);
    atn_axis_draw(c, rows, m.rows, left, top, h, unit, true);
    atn_axis_draw(c, cols, m.cols, left, top + h, w, unit, false);
    atn_canvas_grey(c, 0.15);
    atn_canvas_text(c, c->font, top + h / 2, ATN_CENTRE, 0.95, -90, h,
                    atn_table_row_axis(t));
    atn_canvas_text(c, left + w / 2, top + h + below - title * 0.4, ATN_CENTRE, 0.95, 0,
                    w, atn_table_col_axis(t));
    atn_scale_bar(c, &scale, left + w + c->font * 1.2, top, c->font,
                  fmin(fmax(h - c->font * 3, c->font * 5), c->font * 22),
                  kind == ATN_SCALE_RANK ? "weight (colour by rank)" : "weight");
done:
    return st;
}

const atn_figure atn_figure_heatmap = {
    .id = "heatmap",
    .title = "Attention of one head",
    .text = "the attention matrix of one head, with tokens where they fit",
    .params = params,
    .params_size = sizeof(heatmap_params),
    .scale = "linear",
    .check = check,
    .height = height,
    .draw = draw,
};
