/* viz/similarity.c -- a square matrix of similarities, values in the cells where they
 * fit.
 *
 * Accepts  a table with columns layer_a, layer_b (or with head_a, head_b too) and a
 *          value column; pairs that the table leaves out are mirrored from the other
 *          half, or grey.
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

/* Is the row of the same stack and step as the first? */
static bool same_part(const atn_table *t, atn_idx row)
{
    const int stack = atn_table_find_col(t, "stack"),
              step = atn_table_find_col(t, "step");

    if (strcmp(atn_table_text(t, 0, stack), atn_table_text(t, row, stack)) != 0)
        return false;
    return step < 0 || atn_table_col_type(t, step) != ATN_COL_I64 ||
           atn_table_get_i64(t, 0, step) == atn_table_get_i64(t, row, step);
}

static const char *check(const atn_table *t)
{
    const int a = atn_table_find_col(t, "layer_a"),
              b = atn_table_find_col(t, "layer_b");

    if (a < 0 || b < 0 || atn_table_rows(t) == 0)
        return "it has no columns layer_a and layer_b";
    if (atn_table_col_type(t, a) != ATN_COL_I64 ||
        atn_table_col_type(t, b) != ATN_COL_I64)
        return "its layer_a and layer_b are no whole numbers";
    for (atn_idx r = 1; r < atn_table_rows(t); r++)
        if (!same_part(t, r))
            return "it compares layers of several stacks or steps (choose one with "
                   "--stack, --steps)";
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

typedef struct layout {
    const char *name, *axis_a, *axis_b;
    atn_mat m;
    atn_scale scale;
    atn_ruler down, across;
    double top, left, below, side;
} layout;

static atn_status colours(atn_ctx *cx, const similarity_params *p,
                          const atn_figure_opts *o, layout *l)
{
    const atn_colours usual = {1e-4, 0};
    atn_status st = ATN_OK;

    ATN_TRY(atn_figure_scale(cx, atn_const(l->m), &usual, o, "linear", &l->scale));
    if (p->from == 0) goto done;
    if (l->scale.kind != ATN_SCALE_LINEAR || p->from >= l->scale.high)
        ATN_FAIL(
            ATN_USAGE,
            "figure similarity: from = %g begins a linear scale below its end, which "
            "is %.4g (give a smaller one, or leave it out)",
            p->from, l->scale.high);
    l->scale.low = p->from;
done:
    return st;
}

static atn_status gather_column(atn_ctx *cx, const atn_table *t,
                                const similarity_params *p, layout *l)
{
    const char *const name = column_names[p->column];
    const int col = atn_table_find_col(t, name);
    const bool copy = strcmp(name, "copy_err") == 0;
    const char *const *texts = NULL;
    atn_status st = ATN_OK;
    member *members = NULL;
    const char *what;

    if (col < 0)
        ATN_FAIL(ATN_USAGE, "figure similarity: the table has no column %s", name);
    ATN_TRY(gather(cx, t, col, &members, &l->m));
    ATN_TRY(axis_texts(cx, members, l->m.rows, &texts));
    what = members[0].head < 0 ? "layer" : "layer.head";
    l->name = name;
    l->axis_a = copy ? "leader" : what;
    l->axis_b = copy ? "follower" : what;
    l->across = (atn_ruler){
        .texts = texts, .names = true, .total = (double)l->m.rows, .unit = 1};
    l->down = l->across;
    l->down.left = true;
done:
    return st;
}

static atn_status lay_out(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                          const atn_figure_opts *o, layout *l)
{
    atn_status st = ATN_OK;
    double bar, most;

    *l = (layout){.top = atn_heading_height(t, 1, c->font)};
    ATN_TRY(gather_column(cx, t, p, l));
    ATN_TRY(colours(cx, p, o, l));
    bar = atn_scale_bar_room(c, &l->scale);
    most = (double)l->m.rows * c->font * 6;
    l->side = c->width - bar - c->font * 6;
    for (int pass = 0; pass < 3; pass++) {
        const double cell = fmax(l->side / (double)l->m.rows, 1e-6);

        l->down.cell = l->across.cell = cell;
        l->down.step = l->across.step = atn_ruler_step(c, &l->down);
        l->left = c->font * 2.2 + atn_ruler_room(c, &l->down);
        l->below = c->font * 2.2 + atn_ruler_room(c, &l->across);
        l->side = fmin(c->width - bar - l->left - c->font * 0.5,
                       c->height - l->top - l->below);
        l->side = fmin(l->side, isfinite(c->height) ? l->side : most);
    }
    l->down.cell = l->across.cell = l->side / (double)l->m.rows;
    ATN_TRY(atn_canvas_fits(cx, c, l->side, l->side));
done:
    return st;
}

static atn_status height(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                         const atn_figure_opts *o, double *points)
{
    atn_status st = ATN_OK;
    layout l;

    ATN_TRY(lay_out(cx, c, t, p, o, &l));
    *points = l.top + fmax(l.side + l.below,
                           atn_scale_bar_height(c, &l.scale, l.side) + c->font * 0.5);
done:
    return st;
}

static atn_status draw(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                       const atn_figure_opts *o)
{
    atn_status st = ATN_OK;
    layout l;

    ATN_TRY(lay_out(cx, c, t, p, o, &l));
    (void)atn_figure_heading(c, t, o, atn_raster_join(l.m.rows, 1));
    ATN_TRY(atn_canvas_matrix(cx, c, atn_const(l.m), &l.scale, l.left, l.top, l.side,
                              l.side, 1));
    atn_canvas_grey(c, 0.4);
    atn_canvas_frame(c, l.left, l.top, l.side, l.side);
    print_values(c, atn_const(l.m), &l.scale, l.left, l.top, l.down.cell);
    atn_ruler_draw(c, &l.down, l.left, l.top);
    atn_ruler_draw(c, &l.across, l.left, l.top + l.side);
    atn_canvas_grey(c, 0.15);
    atn_canvas_text(c, c->font, l.top + l.side / 2, ATN_CENTRE, 0.95, -90, 0, l.axis_a);
    atn_canvas_text(c, l.left + l.side / 2, l.top + l.side + l.below - c->font * 1.1,
                    ATN_CENTRE, 0.95, 0, 0, l.axis_b);
    atn_scale_bar(c, &l.scale, l.left + l.side + c->font * 1.2, l.top, l.side, l.name);
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
