/* viz/similarity.c -- a square matrix of similarities, values in the cells where they
 * fit.
 *
 * Accepts  a table with columns layer_a, layer_b (or with head_a, head_b too) and a
 *          value column; pairs that the table leaves out are mirrored from the other
 *          half, or grey. Every stack and step has a panel; all have the same colours.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "viz/figure.h"
#include "viz/sections.h"

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

enum { MEMBERS_MAX = 4096, PANELS_MAX = 64 };

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

/* The rows of one stack and step. */
typedef struct part {
    const atn_table *t;
    const int *of; /* [rows] the group of each */
    int group, col;
} part;

/* The members in order of appearance on either side, behind the n of other parts. */
static atn_status find_members(atn_ctx *cx, part p, member *list, atn_idx *n)
{
    const atn_idx from = *n;
    atn_status st = ATN_OK;

    for (atn_idx i = 0; i < atn_table_rows(p.t); i++)
        for (char side = 'a'; p.of[i] == p.group && side <= 'b'; side++) {
            const member one = member_of(p.t, i, side);
            if (find_member(list + from, *n - from, one) >= 0) continue;
            if (*n == MEMBERS_MAX)
                ATN_FAIL(ATN_USAGE, "figure similarity shows at most %d members",
                         MEMBERS_MAX);
            list[(*n)++] = one;
        }
done:
    return st;
}

static void fill(part p, const member *list, atn_mat m)
{
    for (atn_idx i = 0; i < m.rows * m.cols; i++) m.data[i] = NAN;
    for (atn_idx i = 0; i < atn_table_rows(p.t); i++) {
        const float v = (float)atn_table_get_f64(p.t, i, p.col);
        atn_idx a, b;

        if (p.of[i] != p.group) continue;
        a = find_member(list, m.rows, member_of(p.t, i, 'a'));
        b = find_member(list, m.rows, member_of(p.t, i, 'b'));
        atn_row(m, a)[b] = v;
        if (isnan(atn_row(m, b)[a])) atn_row(m, b)[a] = v;
    }
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

typedef struct panel {
    const char *title;
    atn_mat m;
    atn_ruler down, across;
    double left, below; /* room of the labels */
} panel;

typedef struct layout {
    const char *name, *axis_a, *axis_b;
    panel *panels;
    int n, across;
    atn_mat all; /* the values of all panels; of one, its matrix */
    atn_scale scale;
    double top, title, left, below, side, width, height; /* of a panel's place */
} layout;

static atn_status colours(atn_ctx *cx, const similarity_params *p,
                          const atn_figure_opts *o, layout *l)
{
    const atn_colours usual = {1e-4, 0};
    atn_status st = ATN_OK;

    ATN_TRY(atn_figure_scale(cx, atn_const(l->all), &usual, o, "linear", &l->scale));
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

/* The matrices of all panels, one behind the other. */
static atn_status fill_panels(atn_ctx *cx, part p, const member *list, layout *l)
{
    atn_status st = ATN_OK;
    float *data = NULL;
    atn_idx cells = 0;

    for (int g = 0; g < l->n; g++) cells += l->panels[g].m.rows * l->panels[g].m.rows;
    ATN_TAKE(data, cells);
    l->all = (atn_mat){data, 1, cells, cells};
    for (p.group = 0; p.group < l->n; p.group++) {
        panel *one = &l->panels[p.group];
        const atn_idx n = one->m.rows;
        const char *const *texts = NULL;

        one->m.data = data;
        fill(p, list, one->m);
        ATN_TRY(axis_texts(cx, list, n, &texts));
        one->across =
            (atn_ruler){.texts = texts, .names = true, .total = (double)n, .unit = 1};
        one->down = one->across;
        one->down.left = true;
        data += n * n;
        list += n;
    }
    if (l->n == 1) l->all = l->panels[0].m;
done:
    return st;
}

static atn_status gather(atn_ctx *cx, const atn_table *t, const similarity_params *p,
                         layout *l)
{
    const char *const name = column_names[p->column];
    const bool copy = strcmp(name, "copy_err") == 0;
    part rows = {.t = t, .col = atn_table_find_col(t, name)};
    atn_status st = ATN_OK;
    member *members = NULL;
    atn_idx n = 0;
    atn_sections s;
    const char *what;

    if (rows.col < 0)
        ATN_FAIL(ATN_USAGE, "figure similarity: the table has no column %s", name);
    ATN_TRY(atn_groups_find(cx, t, &s));
    if (s.groups > PANELS_MAX)
        ATN_FAIL(ATN_USAGE,
                 "figure similarity shows at most %d stacks and steps, the table has "
                 "%d (choose fewer with --stack, --steps)",
                 PANELS_MAX, s.groups);
    l->n = s.groups;
    rows.of = s.of;
    ATN_TAKE(members, ATN_MIN(2 * atn_table_rows(t), (atn_idx)MEMBERS_MAX));
    ATN_TAKE(l->panels, l->n);
    for (rows.group = 0; rows.group < l->n; rows.group++) {
        const atn_idx before = n;

        ATN_TRY(find_members(cx, rows, members, &n));
        l->panels[rows.group] =
            (panel){.title = s.group_name[rows.group],
                    .m = {NULL, n - before, n - before, n - before}};
    }
    ATN_TRY(fill_panels(cx, rows, members, l));
    what = members[0].head < 0 ? "layer" : "layer.head";
    l->name = name;
    l->axis_a = copy ? "leader" : what;
    l->axis_b = copy ? "follower" : what;
done:
    return st;
}

static const double PANEL = 14; /* of the font: room of a panel, at least */

/* Labels of a panel whose cells take `side` together. */
static void rule(atn_canvas *c, panel *p, double side)
{
    const double cell = fmax(side / (double)p->m.rows, 1e-6);

    p->down.cell = p->across.cell = cell;
    p->down.step = p->across.step = atn_ruler_step(c, &p->down);
    p->left = c->font * 2.2 + atn_ruler_room(c, &p->down);
    p->below = c->font * 2.2 + atn_ruler_room(c, &p->across);
}

static atn_status lay_out(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                          const atn_figure_opts *o, layout *l)
{
    atn_status st = ATN_OK;
    double bar, most = 0;
    int down;

    *l = (layout){.top = atn_heading_height(t, 1, c->font)};
    ATN_TRY(gather(cx, t, p, l));
    ATN_TRY(colours(cx, p, o, l));
    bar = atn_scale_bar_room(c, &l->scale);
    l->across = (int)fmin(l->n, fmax(floor((c->width - bar) / (c->font * PANEL)), 1));
    if (l->n == 4) l->across = ATN_MIN(l->across, 2);
    down = (l->n + l->across - 1) / l->across;
    l->title = l->n > 1 ? c->font * 1.6 : 0;
    l->width = (c->width - bar) / l->across;
    l->height = (c->height - l->top) / down;
    for (int i = 0; i < l->n; i++)
        most = fmax(most, (double)l->panels[i].m.rows * c->font * 6);
    l->side = l->width - c->font * 6;
    for (int pass = 0; pass < 3; pass++) {
        l->left = l->below = 0;
        for (int i = 0; i < l->n; i++) {
            rule(c, &l->panels[i], l->side);
            l->left = fmax(l->left, l->panels[i].left);
            l->below = fmax(l->below, l->panels[i].below);
        }
        l->side =
            fmin(l->width - l->left - c->font * 0.5, l->height - l->title - l->below);
        l->side = fmin(l->side, isfinite(c->height) ? l->side : most);
    }
    for (int i = 0; i < l->n; i++)
        l->panels[i].down.cell = l->panels[i].across.cell =
            l->side / (double)l->panels[i].m.rows;
    if (!isfinite(c->height)) l->height = l->title + l->side + l->below;
    l->width = fmin(l->width, l->left + l->side + c->font * 1.5);
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
    *points = l.top + (l.n - 1) / l.across * l.height +
              fmax(l.height,
                   l.title + atn_scale_bar_height(c, &l.scale, l.side) + c->font * 0.5);
done:
    return st;
}

static atn_status draw_panel(atn_ctx *cx, atn_canvas *c, const layout *l, int i)
{
    const panel *p = &l->panels[i];
    const double x = i % l->across * l->width + l->left,
                 y = l->top + i / l->across * l->height + l->title;
    atn_status st = ATN_OK;

    ATN_TRY(atn_canvas_matrix(cx, c, atn_const(p->m), &l->scale, x, y, l->side, l->side,
                              1));
    atn_canvas_grey(c, 0.4);
    atn_canvas_frame(c, x, y, l->side, l->side);
    print_values(c, atn_const(p->m), &l->scale, x, y, p->down.cell);
    atn_ruler_draw(c, &p->down, x, y);
    atn_ruler_draw(c, &p->across, x, y + l->side);
    atn_canvas_grey(c, 0.15);
    if (l->n > 1)
        atn_canvas_text(c, x, y - c->font * 0.75, ATN_LEFT, 0.9, 0, l->side, p->title);
    if (i % l->across == 0)
        atn_canvas_text(c, c->font, y + l->side / 2, ATN_CENTRE, 0.95, -90, 0,
                        l->axis_a);
    if (i + l->across >= l->n)
        atn_canvas_text(c, x + l->side / 2, y + l->side + l->below - c->font * 1.1,
                        ATN_CENTRE, 0.95, 0, 0, l->axis_b);
done:
    return st;
}

static atn_status draw(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                       const atn_figure_opts *o)
{
    atn_idx joined = 1;
    atn_status st = ATN_OK;
    layout l;

    ATN_TRY(lay_out(cx, c, t, p, o, &l));
    for (int i = 0; i < l.n; i++)
        joined = ATN_MAX(joined, atn_raster_join(l.panels[i].m.rows, 1));
    (void)atn_figure_heading(c, t, o, joined);
    for (int i = 0; i < l.n; i++) ATN_TRY(draw_panel(cx, c, &l, i));
    atn_scale_bar(c, &l.scale,
                  (l.across - 1) * l.width + l.left + l.side + c->font * 1.2,
                  l.top + l.title, l.side, l.name);
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
