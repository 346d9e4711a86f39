/* viz/reach.c -- how soon a token can know of another: the first layer at which every
 * pair is reached.
 *
 * Accepts  a table with a matrix, queries down, keys across: 0 itself, 1 .. depth the
 *          layer (of a cell that joins pairs the first of any), depth + 1 not within
 *          depth layers, NaN never to be seen. depth is meta or a column; without it
 *          every cell is reached. pattern, tokens, block, pairs_share may stand in its
 *          first row; see viz/token_map.h for positions.
 * Limits   many layers share colours in groups, up to the last in which anything is
 *          reached; above 1024 cells a side neighbours are joined by the first of any.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "viz/palette.h"
#include "viz/token_map.h"

extern const atn_figure atn_figure_reach;

enum { GROUPS_MOST = 12 }; /* colours of layers */
static const int DEPTH_MOST = 1 << 20;
static const unsigned char ITSELF[3] = {20, 20, 24}, NOT_VISIBLE[3] = {255, 255, 255};

/* Largest value of the cells; NaN = none is visible. */
static double last_of(atn_cmat m)
{
    double last = NAN;

    for (atn_idx r = 0; r < m.rows; r++)
        for (atn_idx j = 0; j < m.cols; j++)
            last = fmax(last, (double)atn_crow(m, r)[j]);
    return last;
}

/* The depth that the table states, else the last layer in it. */
static double depth_of(const atn_table *t)
{
    const double column = atn_token_map_fact(t, "depth");
    const double said = atn_meta_number(t, "depth", column);

    return isnan(said) ? round(last_of(atn_table_get_matrix(t))) : said;
}

static const char *check(const atn_table *t)
{
    const atn_cmat m = atn_table_get_matrix(t);
    const char *why = atn_token_map_check(t);
    double depth;

    if (why) return why;
    if (strcmp(atn_table_kind(t), "pattern") == 0)
        return "its matrix holds shares of pairs, no layers (draw it by figure "
               "pattern)";
    if (isnan(last_of(m))) return "its matrix has no visible pair";
    depth = depth_of(t);
    if (!(depth >= 0 && depth <= DEPTH_MOST)) return "its depth is no number of layers";
    for (atn_idx r = 0; r < m.rows; r++)
        for (atn_idx j = 0; j < m.cols; j++) {
            const double v = (double)atn_crow(m, r)[j];

            if (v < 0 || v > depth + 1.5)
                return "its matrix holds no layers, 0 .. depth + 1";
            if (!isnan(v) && v != round(v))
                return "its matrix holds no layers, which are whole numbers";
        }
    return NULL;
}

typedef struct layout {
    atn_cmat m;
    const unsigned char (*palette)[3];
    int depth, last; /* the last layer in which anything is reached */
    int step;        /* layers that share a colour */
    int groups;      /* of layers, as far as there are any: 1 .. groups */
    bool itself, missed, hidden;
    atn_token_map map;
    char note[512];
} layout;

/* Layers a group, 1, 2, 5, 10, ..: so that there are few. */
static int step_for(int last)
{
    return (int)atn_label_step(1, (double)last / GROUPS_MOST);
}

/* 0 itself, 1 .. groups, groups + 1 not reached; -1 not visible. */
static int group_of(const layout *l, double v)
{
    const int layer = isnan(v) ? -1 : (int)lround(v);

    if (layer <= 0) return layer;
    return layer > l->depth ? l->groups + 1 : 1 + (layer - 1) / l->step;
}

static void look(layout *l)
{
    for (atn_idx r = 0; r < l->m.rows; r++)
        for (atn_idx j = 0; j < l->m.cols; j++) {
            const double v = (double)atn_crow(l->m, r)[j];
            const int layer = isnan(v) ? -1 : (int)lround(v);

            l->hidden |= layer < 0;
            l->itself |= layer == 0;
            l->missed |= layer > l->depth;
            if (layer <= l->depth) l->last = ATN_MAX(l->last, layer);
        }
    l->step = step_for(l->last);
    l->groups = (l->last + l->step - 1) / l->step;
}

static const unsigned char *colour_of(const layout *l, int group)
{
    const int n = l->groups;

    if (group == 0) return ITSELF;
    return atn_palette_at(l->palette,
                          n > 1 ? 0.15 + 0.83 * (group - 1) / (n - 1) : 0.4);
}

/* ---- the legend: itself, the layers, not reached, not visible ---- */

/* The group of entry i, which lists those that there are. */
static int entry(const layout *l, int i)
{
    const int group = i + !l->itself;

    if (group <= l->groups) return group;
    return group == l->groups + 1 && l->missed ? l->groups + 1 : -1;
}

static void legend_name(const void *state, int i, char *out, size_t size)
{
    const layout *l = state;
    const int group = entry(l, i);
    const int from = (group - 1) * l->step + 1,
              to = ATN_MIN(from + l->step - 1, l->last);

    if (group < 0)
        snprintf(out, size, "never visible");
    else if (group == 0)
        snprintf(out, size, "itself");
    else if (group > l->groups)
        snprintf(out, size, "not within %d layer%s", l->depth,
                 l->depth == 1 ? "" : "s");
    else if (from == to)
        snprintf(out, size, "%s%d", group == 1 ? "layer " : "", from);
    else
        snprintf(out, size, "%s%d-%d", group == 1 ? "layers " : "", from, to);
}

/* Grey with dark strokes: no colour of any layer, and no white where a cell is small. */
static void hatch(atn_canvas *c, double x, double y, double w, double h)
{
    const double apart = c->font * 0.45;

    cairo_save(c->cr);
    cairo_rectangle(c->cr, x, y, w, h);
    cairo_clip(c->cr);
    atn_canvas_grey(c, 0.78);
    cairo_paint(c->cr);
    atn_canvas_grey(c, 0.45);
    for (double at = -h; at < w; at += apart)
        atn_canvas_line(c, x + at, y + h, x + at + h, y, 0.5);
    cairo_restore(c->cr);
}

static void legend_mark(atn_canvas *c, const void *state, int i, double x, double y)
{
    const layout *l = state;
    const int group = entry(l, i);
    const double w = c->font * 1.2, h = c->font * 0.8;

    if (group > l->groups) {
        hatch(c, x, y - h / 2, w, h);
    } else {
        atn_canvas_colour(c, group < 0 ? NOT_VISIBLE : colour_of(l, group));
        atn_canvas_rect(c, x, y - h / 2, w, h);
    }
    atn_canvas_grey(c, 0.5);
    atn_canvas_frame(c, x, y - h / 2, w, h);
}

static double legend(atn_canvas *c, const layout *l, double x, double y, bool draw)
{
    return atn_legend_draw(
        c,
        &(atn_legend){.x = x,
                      .y = y,
                      .width = c->width - x - c->font,
                      .n = l->itself + l->groups + l->missed + l->hidden,
                      .name = legend_name,
                      .mark = legend_mark,
                      .state = l},
        draw);
}

/* ---- layout and drawing ---- */

static void make_note(const atn_table *t, layout *l)
{
    const double share = atn_token_map_fact(t, "pairs_share");
    const bool blocks = atn_token_map_fact(t, "block") > 1;
    size_t n;

    atn_token_map_facts(t, &l->map, l->note, sizeof l->note);
    n = strlen(l->note);
    if (l->map.down.unit > 1 || l->map.across.unit > 1)
        n += (size_t)snprintf(l->note + n, sizeof l->note - n,
                              " and shows the first layer of any");
    if (isfinite(share))
        snprintf(l->note + n, sizeof l->note - n,
                 ". Reached within %d layer%s: %.4g %% of the visible pairs%s",
                 l->depth, l->depth == 1 ? "" : "s", 100 * share,
                 blocks ? " of blocks" : "");
}

static double note(atn_canvas *c, const layout *l, double y, bool draw)
{
    return atn_canvas_note(c,
                           &(atn_note){.x = c->width / 2,
                                       .y = y,
                                       .width = c->width - 2 * c->font,
                                       .size = 0.85,
                                       .text = l->note},
                           draw);
}

static atn_status lay_out(atn_ctx *cx, atn_canvas *c, const atn_table *t,
                          const atn_figure_opts *o, layout *l)
{
    const char *palette = o->palette ? o->palette : "viridis";
    atn_status st = ATN_OK;

    *l = (layout){.m = atn_table_get_matrix(t),
                  .palette = atn_palette_find(palette),
                  .depth = (int)depth_of(t)};
    if (!l->palette)
        ATN_FAIL(ATN_USAGE, "palette '%s' is not one of %s", palette, ATN_PALETTES);
    look(l);
    ATN_TRY(atn_token_map_fit(cx, t, c, &l->map)); /* for what the note says */
    make_note(t, l);
    l->map.foot =
        c->font * 0.5 + legend(c, l, l->map.left, 0, false) + note(c, l, 0, false);
    ATN_TRY(atn_token_map_fit(cx, t, c, &l->map));
done:
    return st;
}

static atn_status height(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                         const atn_figure_opts *o, double *points)
{
    atn_status st = ATN_OK;
    layout l;

    (void)p;
    ATN_TRY(lay_out(cx, c, t, o, &l));
    *points = atn_token_map_height(c, &l.map);
done:
    return st;
}

/* What is not reached lets the hatching through. */
static uint32_t pixel(const void *state, atn_idx r, atn_idx j, atn_idx n)
{
    const layout *l = state;
    double first = NAN;
    int group;

    for (atn_idx i = r; i < ATN_MIN(r + n, l->m.rows); i++)
        for (atn_idx k = j; k < ATN_MIN(j + n, l->m.cols); k++)
            first = fmin(first, (double)atn_crow(l->m, i)[k]);
    group = group_of(l, first);
    if (group < 0) return atn_pixel(NOT_VISIBLE);
    return group > l->groups ? 0 : atn_pixel(colour_of(l, group));
}

static atn_status draw(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                       const atn_figure_opts *o)
{
    atn_status st = ATN_OK;
    double y, block;
    layout l;

    (void)p;
    ATN_TRY(lay_out(cx, c, t, o, &l));
    block = atn_token_map_fact(t, "block");
    atn_token_map_heading(c, t, o, atn_figure_reach.title);
    if (l.missed) hatch(c, l.map.left, l.map.top, l.map.w, l.map.h);
    ATN_TRY(atn_token_map_draw(
        cx, c, &l.map,
        (atn_cells){.rows = l.m.rows, .cols = l.m.cols, .pixel = pixel, .state = &l},
        block >= 1              ? block
        : l.map.across.unit > 1 ? 0
                                : 1));
    y = c->height - l.map.foot;
    y += legend(c, &l, l.map.left, y, true);
    atn_canvas_grey(c, 0.15);
    (void)note(c, &l, y + c->font * 0.2, true);
done:
    return st;
}

const atn_figure atn_figure_reach = {
    .id = "reach",
    .title = "How soon a token can know of another",
    .text = "the first layer at which every pair of tokens is reached",
    .palette = true,
    .check = check,
    .height = height,
    .draw = draw,
};
