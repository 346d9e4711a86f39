/* viz/dendrogram.c -- heads joined by likeness: leaves on the left, merges at their
 * heights.
 *
 * Accepts  a table of kind clusters: a row a leaf (node, layer, head, cluster) and a
 *          row a merge (node, left, right, height). Leaves are nodes 0 .. m - 1, merges
 *          m .. 2m - 2 in any order of rows; a merge joins two nodes of smaller number.
 *          One stack and step. Meta cut: the height where the tree was cut into
 *          clusters; distance: what heights are.
 * Limits   leaves without room for their names are named at every step of 1, 2, 5, ...
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "viz/palette.h"
#include "viz/plot.h"
#include "viz/sections.h"

extern const atn_figure atn_figure_dendrogram;

enum { LEAVES_MOST = 4096, NONE = -1 };
static const double CROWDED = 3;                                       /* points */
static const double LEAF = 1.25, LOWEST = 6, RIGHT = 1.5, UNDER = 3.2; /* of the font */

/* Is the row of the same stack and step as the first? */
static bool same_part(const atn_table *t, atn_idx row)
{
    const int stack = atn_table_find_col(t, "stack"),
              step = atn_table_find_col(t, "step");

    if (strcmp(atn_table_text(t, 0, stack), atn_table_text(t, row, stack)) != 0)
        return false;
    return step < 0 ||
           atn_table_get_f64(t, 0, step) == atn_table_get_f64(t, row, step) ||
           !atn_is_number_col(t, step);
}

static const char *check(const atn_table *t)
{
    static const char *const whole[] = {"node", "layer", "head", "left", "right"};

    if (atn_table_rows(t) < 3) return "a tree has at least two heads";
    for (size_t i = 0; i < ATN_LEN(whole); i++) {
        const int col = atn_table_find_col(t, whole[i]);

        if (col < 0 || atn_table_col_type(t, col) != ATN_COL_I64)
            return "it has no whole numbers in columns node, layer, head, left, right";
    }
    if (!atn_is_number_col(t, atn_table_find_col(t, "height")))
        return "it has no numeric column height";
    for (atn_idx r = 1; r < atn_table_rows(t); r++)
        if (!same_part(t, r))
            return "it has trees of several stacks or steps (choose one with --stack, "
                   "--steps)";
    return NULL;
}

typedef struct node {
    int left, right;   /* NONE: a leaf */
    double height, at; /* at: its place among the leaves */
    int64_t cluster;   /* of all its leaves; NONE = of several */
    atn_idx row;       /* in the table */
    int colour;        /* NONE = grey */
} node;

typedef struct layout {
    node *nodes;
    int *order;  /* [leaves] the leaves from above */
    int *size;   /* [colours] leaves of a coloured cluster */
    int64_t *id; /* [colours] its number */
    int leaves, colours, alone;
    double highest, cut; /* cut NAN: none */
    atn_ruler axis;
    atn_plot_area a; /* a.x is where leaves end and the tree begins */
    double top, legend;
} layout;

/* ---- the tree ---- */

static int64_t whole_at(const atn_table *t, atn_idx row, const char *name, int64_t def)
{
    const int col = atn_table_find_col(t, name);

    return col >= 0 && atn_table_col_type(t, col) == ATN_COL_I64 &&
                   atn_table_has(t, row, col)
               ? atn_table_get_i64(t, row, col)
               : def;
}

static atn_status read_node(atn_ctx *cx, const atn_table *t, atn_idx row, layout *l)
{
    const int64_t id = whole_at(t, row, "node", NONE),
                  rows = 2 * (int64_t)l->leaves - 1;
    const int64_t left = whole_at(t, row, "left", NONE),
                  right = whole_at(t, row, "right", NONE);
    const double height = atn_table_get_f64(t, row, atn_table_find_col(t, "height"));
    const bool leaf = id < l->leaves;
    atn_status st = ATN_OK;

    if (id < 0 || id >= rows || l->nodes[id].row >= 0)
        ATN_FAIL(ATN_USAGE,
                 "figure dendrogram: row %lld: node %lld is not one of 0 .. %lld, each "
                 "once",
                 (long long)row + 1, (long long)id, (long long)rows - 1);
    if (leaf != (left == NONE) || leaf != (right == NONE) ||
        (!leaf && (left < 0 || right < 0 || left >= id || right >= id ||
                   left == right || !(height >= 0 && isfinite(height)))))
        ATN_FAIL(
            ATN_USAGE,
            "figure dendrogram: row %lld: node %lld is neither a leaf nor joins two "
            "nodes before it at a height",
            (long long)row + 1, (long long)id);
    l->nodes[id] = (node){.left = (int)left,
                          .right = (int)right,
                          .height = leaf ? 0 : height,
                          .cluster = whole_at(t, row, "cluster", NONE),
                          .row = row,
                          .colour = NONE};
    l->highest = fmax(l->highest, l->nodes[id].height);
done:
    return st;
}

static atn_status read_tree(atn_ctx *cx, const atn_table *t, layout *l)
{
    const atn_idx rows = atn_table_rows(t);
    atn_status st = ATN_OK;
    bool *joined = NULL;

    if (rows % 2 == 0 || rows < 3 || rows > 2 * LEAVES_MOST - 1)
        ATN_FAIL(
            ATN_USAGE,
            "figure dendrogram: %lld rows are no tree of m leaves and m - 1 merges, "
            "2 to %d leaves",
            (long long)rows, LEAVES_MOST);
    l->leaves = (int)(rows + 1) / 2;
    ATN_TAKE(l->nodes, rows);
    ATN_TAKE(joined, rows);
    for (atn_idx i = 0; i < rows; i++) {
        l->nodes[i].row = NONE;
        joined[i] = false;
    }
    for (atn_idx r = 0; r < rows; r++) ATN_TRY(read_node(cx, t, r, l));
    for (atn_idx i = l->leaves; i < rows; i++)
        for (int side = 0; side < 2; side++) {
            const int child = side ? l->nodes[i].right : l->nodes[i].left;

            if (joined[child])
                ATN_FAIL(ATN_USAGE, "figure dendrogram: node %d is joined twice",
                         child);
            joined[child] = true;
        }
done:
    return st;
}

/* Leaves from above, left before right; merges stand between their two. Merges come in
 * the order of their numbers, so children are placed before parents. */
static atn_status place_nodes(atn_ctx *cx, layout *l)
{
    const int root = 2 * l->leaves - 2;
    atn_status st = ATN_OK;
    int *stack = NULL, depth = 0, n = 0;

    ATN_TAKE(l->order, l->leaves);
    ATN_TAKE(stack, l->leaves + 1);
    stack[depth++] = root;
    while (depth > 0) {
        const int i = stack[--depth];

        if (i < l->leaves) {
            l->nodes[i].at = n;
            l->order[n++] = i;
        } else {
            stack[depth++] = l->nodes[i].right;
            stack[depth++] = l->nodes[i].left;
        }
    }
    for (int i = l->leaves; i <= root; i++) {
        const node *a = &l->nodes[l->nodes[i].left], *b = &l->nodes[l->nodes[i].right];

        l->nodes[i].at = (a->at + b->at) / 2;
        l->nodes[i].cluster = a->cluster == b->cluster ? a->cluster : NONE;
    }
done:
    return st;
}

/* Clusters of two leaves and more get colours, in the order of their first leaves from
 * above. */
static atn_status colour_clusters(atn_ctx *cx, layout *l)
{
    atn_status st = ATN_OK;

    ATN_TAKE(l->size, l->leaves);
    ATN_TAKE(l->id, l->leaves);
    for (int first = 0, end; first < l->leaves; first = end) {
        const int64_t cluster = l->nodes[l->order[first]].cluster;

        end = first + 1;
        while (end < l->leaves && l->nodes[l->order[end]].cluster == cluster) end++;
        if (cluster == NONE || end - first < 2) {
            l->alone += cluster != NONE;
            continue;
        }
        for (int i = first; i < end; i++) l->nodes[l->order[i]].colour = l->colours;
        l->id[l->colours] = cluster;
        l->size[l->colours++] = end - first;
    }
    for (int i = l->leaves; i < 2 * l->leaves - 1; i++) {
        const int a = l->nodes[l->nodes[i].left].colour,
                  b = l->nodes[l->nodes[i].right].colour;

        l->nodes[i].colour = a == b ? a : NONE;
    }
done:
    return st;
}

/* ---- layout ---- */

static void legend_name(const void *state, int i, char *out, size_t size)
{
    const layout *l = state;

    snprintf(out, size, "cluster %lld: %d heads", (long long)l->id[i], l->size[i]);
}

static void legend_mark(atn_canvas *c, const void *state, int i, double x, double y)
{
    (void)state;
    atn_legend_swatch(c, i, x, y);
}

static double legend(atn_canvas *c, const layout *l, double y, bool draw)
{
    const int shown = ATN_MIN(l->colours, (int)ATN_PALETTE_CATEGORIES);
    char more[64] = "";
    int used = 0;

    if (shown < l->colours)
        used = snprintf(more, sizeof more, "and %d more", l->colours - shown);
    if (l->alone > 0)
        snprintf(more + used, sizeof more - (size_t)used, "%s%d alone",
                 used ? "; " : "", l->alone);
    if (shown == 0 && !*more) return 0;
    return atn_legend_draw(c,
                           &(atn_legend){.x = c->font,
                                         .y = y,
                                         .width = c->width - 2 * c->font,
                                         .n = shown,
                                         .name = legend_name,
                                         .mark = legend_mark,
                                         .state = l,
                                         .more = *more ? more : NULL},
                           draw);
}

/* "layer.head" of every leaf, from above. */
static atn_status name_leaves(atn_ctx *cx, const atn_table *t, layout *l)
{
    const int stack = atn_table_find_col(t, "stack");
    const bool stacks = stack >= 0 && atn_table_col_type(t, stack) == ATN_COL_STR;
    const char **names = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(names, l->leaves);
    for (int i = 0; i < l->leaves; i++) {
        const atn_idx row = l->nodes[l->order[i]].row;
        const char *of = stacks ? atn_table_get_str(t, row, stack) : NULL;
        const int64_t step = whole_at(t, row, "step", NONE);
        char *text = NULL, steps[32] = "";

        ATN_TAKE(text, 96);
        if (step != NONE) snprintf(steps, sizeof steps, "%lld.", (long long)step);
        snprintf(text, 96, "%.8s%s%s%lld.%lld", of ? of : "", of ? "\xc2\xa0" : "",
                 steps, (long long)whole_at(t, row, "layer", 0),
                 (long long)whole_at(t, row, "head", 0));
        names[i] = text;
    }
    l->axis = (atn_ruler){
        .texts = names, .names = true, .total = l->leaves, .unit = 1, .left = true};
done:
    return st;
}

static atn_status lay_out(atn_ctx *cx, atn_canvas *c, const atn_table *t, layout *l)
{
    atn_status st = ATN_OK;
    double most, room;

    *l = (layout){.top = atn_heading_height(t, 1, c->font) + c->font * 1.2,
                  .cut = atn_meta_number(t, "cut", NAN)};
    ATN_TRY(read_tree(cx, t, l));
    ATN_TRY(place_nodes(cx, l));
    ATN_TRY(colour_clusters(cx, l));
    ATN_TRY(name_leaves(cx, t, l));
    l->legend = legend(c, l, 0, false);
    room = (isfinite(c->height) ? c->height : 1.5 * c->width) - l->top -
           c->font * UNDER - l->legend;
    most = isfinite(c->height) ? room
                               : fmin(room, c->font * fmax(l->leaves * LEAF, LOWEST));
    l->axis.cell = most / l->leaves;
    l->axis.step = atn_label_step(l->axis.cell, c->font * 1.15);
    l->a = (atn_plot_area){.x = c->font * 2.8 + atn_ruler_room(c, &l->axis),
                           .y = l->top,
                           .h = most,
                           .x1 = fmax(l->highest, isfinite(l->cut) ? l->cut : 0),
                           .y1 = 1};
    if (!(l->a.x1 > 0)) l->a.x1 = 1;
    l->a.x1 *= 1.03;
    l->a.w = c->width - l->a.x - c->font * RIGHT;
    ATN_TRY(atn_canvas_fits(cx, c, l->a.w, l->a.h));
done:
    return st;
}

static atn_status height(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                         const atn_figure_opts *o, double *points)
{
    atn_status st = ATN_OK;
    layout l;

    (void)p, (void)o;
    ATN_TRY(lay_out(cx, c, t, &l));
    *points = l.top + l.a.h + c->font * UNDER + l.legend;
done:
    return st;
}

/* ---- drawing ---- */

static double y_of(const layout *l, const node *n)
{
    return l->a.y + (n->at + 0.5) * l->axis.cell;
}

static void draw_tree(atn_canvas *c, const layout *l)
{
    const double width = fmin(1, fmax(l->axis.cell * 0.25, 0.25));
    /* leaves that stand so near that their lines would make one grey */
    const double alone = l->axis.cell < CROWDED ? 0.8 : 0.45;

    cairo_set_line_cap(c->cr, CAIRO_LINE_CAP_SQUARE);
    for (int i = l->leaves; i < 2 * l->leaves - 1; i++) {
        const node *n = &l->nodes[i];
        const double x = atn_plot_px(&l->a, n->height);

        for (int side = 0; side < 2; side++) {
            const node *child = &l->nodes[side ? n->right : n->left];
            const double y = y_of(l, child);

            /* the way up to a merge of other clusters is no longer the cluster's */
            if (child->colour != NONE)
                atn_canvas_colour(c, atn_palette_category(child->colour));
            else
                atn_canvas_grey(c, child->left == NONE ? alone : 0.45);
            atn_canvas_line(c, atn_plot_px(&l->a, child->height), y, x, y, width);
            if (n->colour == NONE) atn_canvas_grey(c, 0.45);
            atn_canvas_line(c, x, y, x, y_of(l, n), width);
        }
    }
    cairo_set_line_cap(c->cr, CAIRO_LINE_CAP_BUTT);
}

/* A swatch of the cluster before each leaf. */
static void draw_leaves(atn_canvas *c, const layout *l)
{
    for (int i = 0; i < l->leaves; i++) {
        const node *n = &l->nodes[l->order[i]];

        if (n->colour == NONE) continue;
        atn_canvas_colour(c, atn_palette_category(n->colour));
        atn_canvas_rect(c, l->a.x - c->font * 0.6, l->a.y + i * l->axis.cell,
                        c->font * 0.6, l->axis.cell * 1.02);
    }
}

static void draw_cut(atn_canvas *c, const layout *l)
{
    static const double dash[] = {3, 2};
    const double x = atn_plot_px(&l->a, l->cut);
    char value[32], text[48];

    if (!isfinite(l->cut) || l->cut < 0) return;
    atn_canvas_grey(c, 0.15);
    cairo_set_dash(c->cr, dash, 2, 0);
    atn_canvas_line(c, x, l->a.y - 2, x, l->a.y + l->a.h, 0.7);
    cairo_set_dash(c->cr, NULL, 0, 0);
    atn_number_label(l->cut, value);
    snprintf(text, sizeof text, "cut at %s", value);
    atn_canvas_text(c, x, l->a.y - c->font * 0.9, ATN_CENTRE, 0.85, 0, 0, text);
}

static atn_status draw(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                       const atn_figure_opts *o)
{
    const char *distance = atn_table_get_meta(t, "distance");
    const int col = atn_table_find_col(t, "height");
    atn_status st = ATN_OK;
    char label[160];
    layout l;

    (void)p;
    ATN_TRY(lay_out(cx, c, t, &l));
    atn_plot_heading(c, t, o, col);
    draw_tree(c, &l);
    draw_leaves(c, &l);
    atn_ruler_draw(c, &l.axis, l.a.x - c->font * 0.8, l.a.y);
    draw_cut(c, &l);
    atn_canvas_grey(c, 0.4);
    atn_canvas_line(c, l.a.x, l.a.y + l.a.h, l.a.x + l.a.w, l.a.y + l.a.h, 0.5);
    atn_col_label(t, col, label, sizeof label);
    atn_plot_x_axis(c, &l.a, false, distance ? distance : label);
    if (!atn_ruler_skips(c, &l.axis) || l.axis.step == 1)
        snprintf(label, sizeof label, "layer.head");
    else
        snprintf(label, sizeof label, "layer.head, every %.0fth", l.axis.step);
    atn_canvas_text(c, c->font, l.a.y + l.a.h / 2, ATN_CENTRE, 0.95, -90, l.a.h, label);
    (void)legend(c, &l, l.a.y + l.a.h + c->font * UNDER, true);
done:
    return st;
}

const atn_figure atn_figure_dendrogram = {
    .id = "dendrogram",
    .title = "Heads joined by likeness",
    .text = "the tree of heads that attend alike, cut into clusters",
    .check = check,
    .height = height,
    .draw = draw,
};
