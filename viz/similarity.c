/* viz/similarity.c -- a square matrix of similarities, values in the cells where they fit.
 *
 * Accepts  a table with columns layer_a, layer_b (or with head_a, head_b too) and a value column;
 *          pairs that the table leaves out are mirrored from the other half, or grey.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "viz/figure.h"

extern const atn_figure atn_figure_similarity;

typedef struct similarity_params {
    int column;
    double from;
} similarity_params;

#define COLUMNS "cos_elem|cos_row|cos_avg|match|pearson|copy_err"

static const atn_param params[] = {
    ATN_PARAM_CHOICE(similarity_params, column, 0, COLUMNS, "which column to draw"),
    ATN_PARAM_F64(similarity_params, from, 0, -1, 0.999,
                  "value where the colours begin"),
    ATN_PARAM_END,
};

static const char *const column_names[] = {"cos_elem", "cos_row", "cos_avg",
                                           "match",    "pearson", "copy_err"};

enum { MEMBERS_MAX = 4096 };

static const char *check(const atn_table *t)
{
    const int a = atn_table_find_col(t, "layer_a"),
              b = atn_table_find_col(t, "layer_b");

    if (a < 0 || b < 0 || atn_table_rows(t) == 0)
        return "it has no columns layer_a and layer_b";
    if (atn_table_col_type(t, a) != ATN_COL_I64 ||
        atn_table_col_type(t, b) != ATN_COL_I64)
        return "its layer_a and layer_b are no whole numbers";
    return NULL;
}

/* A member of the axes: a layer, or a head of one. */
typedef struct member {
    int64_t layer, head; /* head -1: the layer itself */
} member;

static member member_of(const atn_table *t, atn_idx row, char side)
{
    char name[16];
    member m = {0, -1};
    int col;

    snprintf(name, sizeof name, "layer_%c", side);
    m.layer = atn_table_get_i64(t, row, atn_table_find_col(t, name));
    snprintf(name, sizeof name, "head_%c", side);
    col = atn_table_find_col(t, name);
    if (col >= 0 && atn_table_col_type(t, col) == ATN_COL_I64)
        m.head = atn_table_get_i64(t, row, col);
    return m;
}

static atn_idx find_member(const member *list, atn_idx n, member m)
{
    for (atn_idx i = n - 1; i >= 0; i--)
        if (list[i].layer == m.layer && list[i].head == m.head) return i;
    return -1;
}

/* The members in order of appearance on either side, and the matrix of one column. */
static atn_status gather(atn_ctx *cx, const atn_table *t, int col, member **members,
                         atn_mat *m)
{
    const atn_idx rows = atn_table_rows(t);
    atn_status st = ATN_OK;
    member *list = NULL;
    atn_idx n = 0;

    ATN_TAKE(list, ATN_MIN(2 * rows, (atn_idx)MEMBERS_MAX));
    for (atn_idx i = 0; i < rows; i++)
        for (char side = 'a'; side <= 'b'; side++) {
            const member one = member_of(t, i, side);
            if (find_member(list, n, one) >= 0) continue;
            if (n == MEMBERS_MAX)
                ATN_FAIL(ATN_USAGE, "figure similarity shows at most %d members",
                         MEMBERS_MAX);
            list[n++] = one;
        }
    *m = (atn_mat){NULL, n, n, n};
    ATN_TAKE(m->data, n * n);
    for (atn_idx i = 0; i < n * n; i++) m->data[i] = NAN;
    for (atn_idx i = 0; i < rows; i++) {
        const atn_idx a = find_member(list, n, member_of(t, i, 'a'));
        const atn_idx b = find_member(list, n, member_of(t, i, 'b'));
        const float v = (float)atn_table_get_f64(t, i, col);

        atn_row(*m, a)[b] = v;
        if (isnan(atn_row(*m, b)[a])) atn_row(*m, b)[a] = v;
    }
    *members = list;
done:
    return st;
}

static atn_idx count_members(const atn_table *t)
{
    int64_t largest = 0, heads = 0;

    for (atn_idx i = 0; i < atn_table_rows(t); i++) {
        const member a = member_of(t, i, 'a');
        largest = ATN_MAX(largest, a.layer + 1);
        heads = ATN_MAX(heads, a.head + 1);
    }
    return largest * ATN_MAX(heads, 1);
}

static double height(const atn_table *t, const void *p, double width, double font)
{
    const double side = fmin(width - font * 12, (double)count_members(t) * font * 6);

    (void)p;
    return atn_heading_height(t, font) + fmax(side, font * 12) + font * 5;
}

static atn_status axis_texts(atn_ctx *cx, const member *list, atn_idx n,
                             const char *const **out)
{
    const char **texts = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(texts, n);
    for (atn_idx i = 0; i < n; i++) {
        char *text = NULL;
        ATN_TAKE(text, 48);
        if (list[i].head < 0)
            snprintf(text, 48, "%lld", (long long)list[i].layer);
        else
            snprintf(text, 48, "%lld.%lld", (long long)list[i].layer,
                     (long long)list[i].head);
        texts[i] = text;
    }
    *out = texts;
done:
    return st;
}

/* Values in the cells, dark on light and light on dark. */
static void print_values(atn_canvas *c, atn_cmat m, const atn_scale *s, double x,
                         double y, double cell)
{
    const double size = fmin(cell / (c->font * 2.9), 1);
    char text[32];

    if (size < 0.55) return;
    for (atn_idx i = 0; i < m.rows; i++)
        for (atn_idx j = 0; j < m.cols; j++) {
            const double v = (double)atn_crow(m, i)[j];
            if (isnan(v)) continue;
            snprintf(text, sizeof text, "%.2f", v);
            atn_canvas_grey(c, atn_scale_at(s, v) > 0.6 ? 0.05 : 0.98);
            atn_canvas_text(c, x + ((double)j + 0.5) * cell,
                            y + ((double)i + 0.5) * cell, ATN_CENTRE, size, 0, 0, text);
        }
}

static atn_status draw(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p_,
                       const atn_figure_opts *o)
{
    const similarity_params *p = p_;
    const char *name = column_names[p->column];
    const int col = atn_table_find_col(t, name);
    const double top = atn_figure_heading(c, t, o);
    const char *const *texts = NULL;
    const char *what;
    atn_status st = ATN_OK;
    atn_scale_kind kind;
    member *members = NULL;
    atn_scale scale;
    atn_mat m;
    double left, side, cell;

    if (col < 0)
        ATN_FAIL(ATN_USAGE, "figure similarity: the table has no column %s", name);
    ATN_TRY(gather(cx, t, col, &members, &m));
    ATN_TRY(axis_texts(cx, members, m.rows, &texts));
    ATN_TRY(atn_figure_scale(cx, o, "linear", &kind));
    ATN_TRY(
        atn_scale_fit(cx, atn_const(m), kind, 1e-4, 0, atn_figure_palette(o), &scale));
    if (p->from != 0 && p->from < scale.high) scale.low = p->from;
    side = fmin(c->width - c->font * 12, c->height - top - c->font * 4.5);
    cell = side / (double)m.rows;
    left = c->font * 2.2 + atn_axis_room(c, texts, m.rows, side, 1, true);
    ATN_TRY(
        atn_canvas_matrix(cx, c, atn_const(m), &scale, left, top, side, side, NULL));
    atn_canvas_grey(c, 0.4);
    atn_canvas_frame(c, left, top, side, side);
    print_values(c, atn_const(m), &scale, left, top, cell);
    atn_axis_draw(c, texts, m.rows, left, top, side, 1, true);
    atn_axis_draw(c, texts, m.rows, left, top + side, side, 1, false);
    atn_canvas_grey(c, 0.15);
    what = members[0].head < 0 ? "layer" : "layer.head";
    atn_canvas_text(c, c->font, top + side / 2, ATN_CENTRE, 0.95, -90, 0,
                    p->column == 5 ? "leader" : what);
    atn_canvas_text(c, left + side / 2,
                    top + side + atn_axis_room(c, texts, m.rows, side, 1, false) +
                        c->font * 0.9,
                    ATN_CENTRE, 0.95, 0, 0, p->column == 5 ? "follower" : what);
    atn_scale_bar(c, &scale, left + side + c->font * 1.2, top, c->font,
                  fmin(fmax(side - c->font * 3, c->font * 5), c->font * 22), name);
done:
    return st;
}

const atn_figure atn_figure_similarity = {
    .id = "similarity",
    .title = "Similarity of layers or heads",
    .text =
        "layers against layers, or heads against heads, with the values where they fit",
    .params = params,
    .params_size = sizeof(similarity_params),
    .scale = "linear",
    .check = check,
    .height = height,
    .draw = draw,
};
