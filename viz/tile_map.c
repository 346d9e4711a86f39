/* viz/tile_map.c -- the tiles of a head that a kernel visits: empty, partial, full.
 *
 * Accepts  a table with a matrix, Q tiles down, KV tiles across: 0 empty, 1 partial, 2
 *          full; means where a cell joins several. Meta queries and keys say how many
 *          tiles a side there are. Its first row may say head, tile, visited_tiles,
 *          full_tiles, partial_tiles, padding_tiles.
 * Limits   a cell that joins tiles has a colour between those of its tiles, and is
 *          never as pale as an empty one where any of them is visited.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "viz/palette.h"
#include "viz/token_map.h"

extern const atn_figure atn_figure_tile_map;

enum { EMPTY, PARTIAL, FULL, STATES };
static const unsigned char EMPTY_RGB[3] = {232, 232, 228};
static const double LEAST = 0.5; /* of a step, for what is not empty */

typedef struct layout {
    atn_cmat m;
    atn_token_map map;
    bool has[STATES], joined, masked;
    char note[640];
} layout;

static const unsigned char *colour_of(int state)
{
    return state == EMPTY     ? EMPTY_RGB
           : state == PARTIAL ? atn_palette_category(1)
                              : atn_palette_category(0);
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

            if (!isnan(v) && !(v >= 0 && v <= 2.000001f))
                return "its matrix holds no states of tiles, 0 .. 2";
            any |= !isnan(v);
        }
    return any ? NULL : "its matrix has no tile";
}

static void look(layout *l)
{
    for (atn_idx r = 0; r < l->m.rows; r++)
        for (atn_idx j = 0; j < l->m.cols; j++) {
            const float v = atn_crow(l->m, r)[j];

            l->masked |= isnan(v);
            l->joined |= !isnan(v) && v != floorf(v);
            l->has[EMPTY] |= v < 1;
            l->has[PARTIAL] |= v > 0 && v < 2;
            l->has[FULL] |= v > 1;
        }
}

/* ---- the text below ---- */

static void add_count(char *out, size_t size, const char *text, double n, double of)
{
    const size_t used = strlen(out);

    if (!isfinite(n) || used >= size) return;
    snprintf(out + used, size - used, text, n);
    if (of > 0 && strlen(out) < size)
        snprintf(out + strlen(out), size - strlen(out), " (%.3g %%)", 100 * n / of);
}

static void make_note(const atn_table *t, layout *l)
{
    const double visited = atn_token_map_fact(t, "visited_tiles"),
                 full = atn_token_map_fact(t, "full_tiles"),
                 partial = atn_token_map_fact(t, "partial_tiles"),
                 padding = atn_token_map_fact(t, "padding_tiles"),
                 head = atn_token_map_fact(t, "head");
    const double all = l->map.down.total * l->map.across.total;
    const char *tile = atn_table_text(t, 0, atn_table_find_col(t, "tile"));
    char *out = l->note;
    const size_t size = sizeof l->note;

    snprintf(out, size, "%.0f x %.0f tiles", l->map.down.total, l->map.across.total);
    if (*tile) snprintf(out + strlen(out), size - strlen(out), " of %.60s", tile);
    add_count(out, size, ", head %.0f", head, 0);
    if (l->map.down.unit > 1 || l->map.across.unit > 1)
        snprintf(out + strlen(out), size - strlen(out), "; a cell joins %.4g x %.4g",
                 l->map.down.unit, l->map.across.unit);
    add_count(out, size, ". Full: %.0f", full, all);
    add_count(out, size, ", partial: %.0f", partial, all);
    if (isfinite(full) && isfinite(partial))
        add_count(out, size, ", empty: %.0f", fmax(all - full - partial, 0), all);
    add_count(out, size, padding > 0 ? ", visited for padding alone: %.0f" : "",
              padding > 0 ? padding : NAN, 0);
    add_count(out, size, isfinite(full) ? "" : ". Visited: %.0f",
              isfinite(full) ? NAN : visited, all);
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

/* ---- legend ---- */

/* The state of entry i: of those that there are. */
static int state_at(const layout *l, int i)
{
    for (int s = STATES - 1; s >= 0; s--)
        if (l->has[s] && i-- == 0) return s;
    return EMPTY;
}

static void legend_name(const void *state, int i, char *out, size_t size)
{
    static const char *const names[] = {"empty: skipped", "partial: some pairs masked",
                                        "full: no pair masked"};

    snprintf(out, size, "%s", names[state_at(state, i)]);
}

static void legend_mark(atn_canvas *c, const void *state, int i, double x, double y)
{
    const double h = c->font * 0.8;

    atn_canvas_colour(c, colour_of(state_at(state, i)));
    atn_canvas_rect(c, x, y - h / 2, c->font * 1.2, h);
    atn_canvas_grey(c, 0.5);
    atn_canvas_frame(c, x, y - h / 2, c->font * 1.2, h);
}

static double legend(atn_canvas *c, const layout *l, double y, bool draw)
{
    return atn_legend_draw(
        c,
        &(atn_legend){.x = l->map.left,
                      .y = y,
                      .width = c->width - l->map.left - c->font,
                      .n = l->has[EMPTY] + l->has[PARTIAL] + l->has[FULL],
                      .name = legend_name,
                      .mark = legend_mark,
                      .state = l,
                      .more = l->joined ? "(between: several joined)" : NULL},
        draw);
}

/* ---- layout and drawing ---- */

static atn_status lay_out(atn_ctx *cx, atn_canvas *c, const atn_table *t, layout *l)
{
    atn_status st = ATN_OK;

    *l = (layout){.m = atn_table_get_matrix(t), .map = {.unit = "tiles"}};
    look(l);
    ATN_TRY(atn_token_map_fit(cx, t, c, &l->map)); /* for what the note says */
    make_note(t, l);
    l->map.foot = c->font * 0.5 + legend(c, l, 0, false) + note(c, l, 0, false);
    ATN_TRY(atn_token_map_fit(cx, t, c, &l->map));
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
    *points = atn_token_map_height(c, &l.map);
done:
    return st;
}

/* Mean of cells [r, r + n) x [j, j + n); NaN where there is none. */
static double mean_of(atn_cmat m, atn_idx r0, atn_idx j0, atn_idx n)
{
    double sum = 0;
    atn_idx k = 0;

    for (atn_idx r = r0; r < ATN_MIN(r0 + n, m.rows); r++)
        for (atn_idx j = j0; j < ATN_MIN(j0 + n, m.cols); j++) {
            const double v = (double)atn_crow(m, r)[j];

            if (isnan(v)) continue;
            sum += v;
            k++;
        }
    return k ? sum / (double)k : NAN;
}

static uint32_t pixel(const void *state, atn_idx r, atn_idx j, atn_idx n)
{
    static const unsigned char none[3] = {255, 255, 255};
    const layout *l = state;
    const double v = mean_of(l->m, r, j, n);
    const int low = v >= PARTIAL ? PARTIAL : EMPTY;
    const double into = v > 0 && v < 1 ? LEAST + (1 - LEAST) * v : v - low;
    const unsigned char *a = colour_of(low), *b = colour_of(low + 1);
    unsigned char rgb[3];

    if (isnan(v)) return atn_pixel(none);
    for (int k = 0; k < 3; k++)
        rgb[k] = (unsigned char)(a[k] + fmin(into, 1) * (b[k] - a[k]) + 0.5);
    return atn_pixel(rgb);
}

static atn_status draw(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                       const atn_figure_opts *o)
{
    atn_status st = ATN_OK;
    layout l;
    double y;

    (void)p;
    ATN_TRY(lay_out(cx, c, t, &l));
    atn_token_map_heading(c, t, o, atn_figure_tile_map.title);
    ATN_TRY(atn_token_map_draw(
        cx, c, &l.map,
        (atn_cells){.rows = l.m.rows, .cols = l.m.cols, .pixel = pixel, .state = &l},
        l.map.across.unit > 1 ? 0 : 1));
    y = c->height - l.map.foot;
    y += legend(c, &l, y, true);
    atn_canvas_grey(c, 0.15);
    (void)note(c, &l, y + c->font * 0.2, true);
done:
    return st;
}

const atn_figure atn_figure_tile_map = {
    .id = "tile_map",
    .title = "Tiles that are visited",
    .text = "full, partial and empty tiles of a head, of a table of tiles",
    .check = check,
    .height = height,
    .draw = draw,
};
