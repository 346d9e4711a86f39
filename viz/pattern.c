/* viz/pattern.c -- the picture of a sparse pattern: which keys a query reads.
 *
 * Accepts  a table with a matrix, queries down, keys across: the share of the pairs of
 *          a cell that are kept, 0 .. 1; NaN where none is visible. Its first row may
 *          say pattern, tokens, block, head, pairs, density_full, density_causal,
 *          density_block_causal, density_kv; see viz/token_map.h for positions.
 * Limits   above 1024 cells a side neighbours are joined by their largest share.
 *
 * A cell with any pair kept has a colour well apart from one without, however small its
 * share: a thin diagonal among millions of tokens must not fade.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "viz/palette.h"
#include "viz/token_map.h"

extern const atn_figure atn_figure_pattern;

static const unsigned char NOT_KEPT[3] = {228, 228, 224},
                           NOT_VISIBLE[3] = {255, 255, 255};

static bool is_share(float v)
{
    return v >= 0 && v <= 1.000001f;
}

static const char *check(const atn_table *t)
{
    const atn_cmat m = atn_table_get_matrix(t);
    const char *why = atn_token_map_check(t);
    bool any = false;

    if (why) return why;
    for (atn_idx r = 0; r < m.rows; r++)
        for (atn_idx j = 0; j < m.cols; j++) {
            const float v = atn_crow(m, r)[j];

            if (!isnan(v) && !is_share(v)) return "its matrix holds no shares, 0 .. 1";
            any |= !isnan(v);
        }
    return any ? NULL : "its matrix has no visible pair";
}

typedef struct layout {
    atn_cmat m;
    atn_scale scale;
    atn_token_map map;
    bool shares, missed, hidden; /* there are cells kept in part; not kept; not seen */
    char note[640];
} layout;

static void look(layout *l)
{
    for (atn_idx r = 0; r < l->m.rows; r++)
        for (atn_idx j = 0; j < l->m.cols; j++) {
            const float v = atn_crow(l->m, r)[j];

            l->hidden |= isnan(v);
            l->missed |= v == 0;
            l->shares |= v > 0 && v < 1;
        }
}

/* ---- the text below ---- */

static void add(char *out, size_t size, const char *format, double v)
{
    const size_t n = strlen(out);

    if (isfinite(v) && n < size) snprintf(out + n, size - n, format, v);
}

static void make_note(const atn_table *t, layout *l)
{
    char *out = l->note;
    const size_t size = sizeof l->note;
    const double full = atn_token_map_fact(t, "density_full"),
                 pairs = atn_token_map_fact(t, "pairs");

    atn_token_map_facts(t, &l->map, out, size);
    if (!isfinite(full)) return;
    add(out, size, pairs == 1 ? ". Kept: %.0f pair," : ". Kept: %.0f pairs,", pairs);
    if (!isfinite(pairs)) add(out, size, ". Kept:", 0);
    add(out, size, " %.3g %% of all", 100 * full);
    add(out, size, ", %.3g %% of the causal ones",
        100 * atn_token_map_fact(t, "density_causal"));
    if (atn_token_map_fact(t, "block") > 1)
        add(out, size, ", %.3g %% of the causal blocks",
            100 * atn_token_map_fact(t, "density_block_causal"));
    add(out, size, "; a query reads at most %.3g %% of the keys",
        100 * atn_token_map_fact(t, "density_kv"));
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

/* ---- the legend: kept (where there is no bar), not kept, not visible ---- */

/* The state of entry i: of those that there are. */
static int entry(const layout *l, int i)
{
    const int state = i + l->shares;

    return state > 0 && !l->missed ? state + 1 : state;
}

static void legend_name(const void *state, int i, char *out, size_t size)
{
    static const char *const names[] = {"kept", "not kept", "not visible"};
    const layout *l = state;

    snprintf(out, size, "%s", names[entry(l, i)]);
}

static void legend_mark(atn_canvas *c, const void *state, int i, double x, double y)
{
    const layout *l = state;
    const unsigned char *const rgb[] = {atn_palette_at(l->scale.palette, 1), NOT_KEPT,
                                        NOT_VISIBLE};
    const double h = c->font * 0.8;

    atn_canvas_colour(c, rgb[entry(l, i)]);
    atn_canvas_rect(c, x, y - h / 2, c->font * 1.2, h);
    atn_canvas_grey(c, 0.5);
    atn_canvas_frame(c, x, y - h / 2, c->font * 1.2, h);
}

static double legend(atn_canvas *c, const layout *l, double x, double y, bool draw)
{
    return atn_legend_draw(c,
                           &(atn_legend){.x = x,
                                         .y = y,
                                         .width = c->width - x - c->font,
                                         .n = !l->shares + l->missed + l->hidden,
                                         .name = legend_name,
                                         .mark = legend_mark,
                                         .state = l},
                           draw);
}

/* ---- layout and drawing ---- */

static atn_status lay_out(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                          const atn_figure_opts *o, layout *l)
{
    atn_figure_opts with = *o;
    atn_status st = ATN_OK;

    *l = (layout){.m = atn_table_get_matrix(t)};
    if (!with.palette) with.palette = "ink";
    look(l);
    ATN_TRY(atn_figure_scale(cx, l->m, p, &with, "linear", &l->scale));
    if (l->shares) l->map.right = atn_scale_bar_room(c, &l->scale);
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
    double bar;
    layout l;

    ATN_TRY(lay_out(cx, c, t, p, o, &l));
    bar = l.shares ? l.map.top + atn_scale_bar_height(c, &l.scale, l.map.h) : 0;
    *points = fmax(atn_token_map_height(c, &l.map), bar + l.map.foot);
done:
    return st;
}

static uint32_t pixel(const void *state, atn_idx r, atn_idx j, atn_idx n)
{
    const layout *l = state;
    const double v = atn_cells_largest(l->m, r, j, n);

    if (isnan(v)) return atn_pixel(NOT_VISIBLE);
    if (!(v > 0)) return atn_pixel(NOT_KEPT);
    return atn_pixel(atn_palette_at(l->scale.palette, atn_scale_at(&l->scale, v)));
}

static atn_status draw(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                       const atn_figure_opts *o)
{
    atn_status st = ATN_OK;
    double y, block;
    layout l;

    ATN_TRY(lay_out(cx, c, t, p, o, &l));
    block = atn_token_map_fact(t, "block");
    atn_token_map_heading(c, t, o, atn_figure_pattern.title);
    ATN_TRY(atn_token_map_draw(
        cx, c, &l.map,
        (atn_cells){.rows = l.m.rows, .cols = l.m.cols, .pixel = pixel, .state = &l},
        block >= 1              ? block
        : l.map.across.unit > 1 ? 0
                                : 1));
    if (l.shares)
        atn_scale_bar(c, &l.scale, l.map.left + l.map.w + c->font * 1.2, l.map.top,
                      l.map.h, "share of pairs kept");
    y = c->height - l.map.foot;
    y += legend(c, &l, l.map.left, y, true);
    atn_canvas_grey(c, 0.15);
    (void)note(c, &l, y + c->font * 0.2, true);
done:
    return st;
}

const atn_figure atn_figure_pattern = {
    .id = "pattern",
    .title = "A sparse pattern",
    .text = "which keys every query reads, as the share of a cell's pairs",
    .params = atn_colour_params,
    .params_size = sizeof(atn_colours),
    .scale = "linear",
    .check = check,
    .height = height,
    .draw = draw,
};
