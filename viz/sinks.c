/* viz/sinks.c -- the sink map: the mean weight that every head puts on each of the
 * first keys.
 *
 * Accepts  a table of one row a head (columns layer, head, and stack and step where
 *          there are several) with a matrix of as many rows: column c < single (meta,
 *          64) is the key c, the columns behind those are doubling buckets [single, 2
 *          single), [2 single, 4 single), ...
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>

#include "viz/figure.h"
#include "viz/sections.h"

extern const atn_figure atn_figure_sinks;

enum { COLUMNS_MOST = 4096, BUCKETS_MOST = 40, ROWS_A_RASTER = 1024 };
static const double ROW = 1.3, LOWEST = 6, GAP = 0.6; /* of the font */
static const double RULED = 4; /* points: layers as high as this are parted */

static int singles_of(const atn_table *t)
{
    const double single = atn_meta_number(t, "single", 64);

    return (int)fmin(fmax(single, 1), COLUMNS_MOST);
}

static const char *check(const atn_table *t)
{
    const atn_cmat m = atn_table_get_matrix(t);
    const char *why = atn_sections_check(t);

    if (why) return why;
    if (!m.data || m.rows != atn_table_rows(t) || m.cols < 1)
        return "it has no matrix of a row a head";
    if (m.cols > COLUMNS_MOST || m.cols - singles_of(t) > BUCKETS_MOST)
        return "its matrix has more columns than keys and doubling buckets (meta "
               "single)";
    return NULL;
}

typedef struct layout {
    atn_sections s;
    atn_scale scale;
    atn_ruler down;
    int singles, buckets;
    bool few;                                 /* some row has keys without a value */
    double top, left, keys, note, below, gap; /* keys: room of their labels */
    double cell, bucket, row, w, h;
} layout;

static void bucket_label(const layout *l, int b, char out[32])
{
    const double from = ldexp(l->singles, b);

    if (from >= 1024 && fmod(from, 1024) == 0)
        snprintf(out, 32, "%.0fk+", from / 1024);
    else
        snprintf(out, 32, "%.0f+", from);
}

/* "layer.head" of every row. */
static atn_status name_rows(atn_ctx *cx, const atn_table *t, layout *l)
{
    const atn_idx rows = atn_table_rows(t);
    const char **names = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(names, rows);
    for (atn_idx r = 0; r < rows; r++) {
        char *text = NULL;
        ATN_TAKE(text, 128);
        snprintf(text, 128, "%.96s.%lld", l->s.name[l->s.of[r]],
                 (long long)atn_section_head(t, r));
        names[r] = text;
    }
    l->down = (atn_ruler){
        .texts = names, .names = true, .total = (double)rows, .unit = 1, .left = true};
done:
    return st;
}

static double below_room(atn_canvas *c, const layout *l)
{
    double room = c->font * 1.6;
    char text[32];

    for (int b = 0; b < l->buckets; b++) {
        bucket_label(l, b, text);
        room = fmax(room, atn_canvas_text_width(c, 0.85, text) + 6);
    }
    return room;
}

/* Has some row both: a value, and single keys without one? A head without any is
 * another matter. */
static bool has_few(const layout *l, atn_cmat m)
{
    for (atn_idx r = 0; r < m.rows; r++) {
        int n = 0;

        for (int k = 0; k < l->singles; k++) n += !isnan(atn_crow(m, r)[k]);
        if (n > 0 && n < l->singles) return true;
    }
    return false;
}

/* What the map shows of the keys behind the single ones, and what it leaves out. */
static double map_note(atn_canvas *c, const layout *l, double y, bool draw)
{
    char buckets[96] = "", text[192];
    const atn_note n = {.x = c->width / 2,
                        .y = y,
                        .width = c->width - c->font * 2,
                        .size = 0.8,
                        .text = text};

    if (l->buckets == 0 && !l->few) return 0;
    if (l->buckets > 0)
        snprintf(buckets, sizeof buckets,
                 "from %d on: the largest value of a doubling bucket; ", l->singles);
    snprintf(text, sizeof text,
             "%skeys that fewer than half of the rows come after are %s", buckets,
             l->few ? "grey" : "left out");
    return atn_canvas_note(c, &n, draw);
}

/* The rows are named one by one where there is room, else their layers. */
static bool names_rows(const atn_canvas *c, const layout *l)
{
    return !atn_ruler_skips(c, &l->down);
}

static double name_room(atn_canvas *c, const layout *l)
{
    double widest = 0;

    if (names_rows(c, l)) return atn_ruler_room(c, &l->down);
    for (int i = 0; i < l->s.n; i++)
        widest = fmax(widest, atn_canvas_text_width(c, 0.9, l->s.name[i]));
    return widest + 6;
}

static atn_status lay_out(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                          const atn_figure_opts *o, layout *l)
{
    const atn_cmat m = atn_table_get_matrix(t);
    const double page = isfinite(c->height) ? c->height : 1.5 * c->width;
    atn_status st = ATN_OK;
    double room;

    *l = (layout){.top = atn_heading_height(t, 1, c->font)};
    l->singles = (int)ATN_MIN(m.cols, singles_of(t));
    l->buckets = (int)(m.cols - l->singles);
    l->few = has_few(l, m);
    l->gap = l->buckets > 0 ? GAP * c->font : 0;
    ATN_TRY(atn_sections_find(cx, t, &l->s));
    ATN_TRY(name_rows(cx, t, l));
    ATN_TRY(atn_figure_scale(cx, m, p, o, "log", &l->scale));
    l->keys = below_room(c, l);
    l->note = map_note(c, l, 0, false);
    l->below = l->keys + c->font * 1.8 + l->note;
    room = page - l->top - l->below - c->font * 0.5;
    l->row = c->font * fmax(ROW, LOWEST / (double)m.rows);
    l->row = fmin(l->row, room / (double)m.rows);
    if (o->height_in > 0) l->row = room / (double)m.rows;
    l->h = l->row * (double)m.rows;
    l->down.cell = l->row;
    l->left = c->font * 2 + name_room(c, l);
    room = c->width - l->left - atn_scale_bar_room(c, &l->scale) - c->font * 0.5;
    l->bucket = 1.3 * c->font;
    l->cell =
        fmin((room - l->gap - l->buckets * l->bucket) / l->singles, 2.5 * c->font);
    l->bucket = fmax(l->bucket, l->cell);
    l->w = l->cell * l->singles + l->gap + l->buckets * l->bucket;
    ATN_TRY(atn_canvas_fits(cx, c, l->cell * l->singles, l->h));
done:
    return st;
}

/* Below the axis and below what stands under the colour bar. */
static double note_y(atn_canvas *c, const layout *l)
{
    return l->top + fmax(l->h + l->keys + c->font * 1.8,
                         atn_scale_bar_height(c, &l->scale, l->h));
}

static atn_status height(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                         const atn_figure_opts *o, double *points)
{
    atn_status st = ATN_OK;
    layout l;

    ATN_TRY(lay_out(cx, c, t, p, o, &l));
    *points = note_y(c, &l) + l.note + c->font * 0.5;
done:
    return st;
}

/* Columns [from, from + n) of the matrix, in rasters of so many rows that none is
 * joined. */
static atn_status paint(atn_ctx *cx, atn_canvas *c, atn_cmat m, const layout *l,
                        int from, int n, double x, double w)
{
    atn_status st = ATN_OK;

    for (atn_idx r = 0; r < m.rows; r += ROWS_A_RASTER) {
        const atn_idx rows = ATN_MIN(m.rows - r, (atn_idx)ROWS_A_RASTER);
        const atn_cmat part = {atn_crow(m, r) + from, rows, n, m.ld};

        ATN_TRY(atn_canvas_matrix(cx, c, part, &l->scale, x,
                                  l->top + (double)r * l->row, w, (double)rows * l->row,
                                  1));
    }
    atn_canvas_grey(c, 0.4);
    atn_canvas_frame(c, x, l->top, w, l->h);
done:
    return st;
}

/* A light rule where a layer ends; names of the layers where the rows have none. */
static void part_layers(atn_canvas *c, const atn_table *t, const layout *l)
{
    double last = -INFINITY;
    atn_idx first = 0;

    for (atn_idx r = 1; r <= atn_table_rows(t); r++) {
        const double y = l->top + (double)r * l->row;
        const double middle = l->top + (double)(first + r) / 2 * l->row;

        if (r < atn_table_rows(t) && l->s.of[r] == l->s.of[first]) continue;
        if (r < atn_table_rows(t) && (double)(r - first) * l->row >= RULED) {
            atn_canvas_grey(c, 1);
            atn_canvas_line(c, l->left, y, l->left + l->w, y, 1);
        }
        if (!names_rows(c, l) && middle - last >= c->font * 1.15) {
            atn_canvas_grey(c, 0.15);
            atn_canvas_text(c, l->left - 3.5, middle, ATN_RIGHT, 0.9, 0, 0,
                            l->s.name[l->s.of[first]]);
            last = middle;
        }
        first = r;
    }
}

static void label_keys(atn_canvas *c, const layout *l)
{
    const double y = l->top + l->h, x0 = l->left + l->cell * l->singles + l->gap;
    char text[32];
    double step;

    snprintf(text, sizeof text, "%d", l->singles - 1);
    step = atn_label_step(l->cell, atn_canvas_text_width(c, 0.9, text) + c->font * 0.7);
    atn_canvas_grey(c, 0.15);
    for (double k = 0; k < l->singles; k += step) {
        const double x = l->left + (k + 0.5) * l->cell;

        snprintf(text, sizeof text, "%.0f", k);
        atn_canvas_line(c, x, y, x, y + 2, 0.5);
        atn_canvas_text(c, x, y + 3 + c->font * 0.6, ATN_CENTRE, 0.9, 0, 0, text);
    }
    for (int b = 0; b < l->buckets; b++) {
        bucket_label(l, b, text);
        atn_canvas_text(c, x0 + (b + 0.5) * l->bucket, y + 3, ATN_RIGHT, 0.85, -90, 0,
                        text);
    }
}

static atn_status draw(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                       const atn_figure_opts *o)
{
    const atn_cmat m = atn_table_get_matrix(t);
    atn_status st = ATN_OK;
    char axis[64];
    layout l;

    ATN_TRY(lay_out(cx, c, t, p, o, &l));
    (void)atn_figure_heading(c, t, o, 1);
    ATN_TRY(paint(cx, c, m, &l, 0, l.singles, l.left, l.cell * l.singles));
    if (l.buckets > 0)
        ATN_TRY(paint(cx, c, m, &l, l.singles, l.buckets,
                      l.left + l.cell * l.singles + l.gap, l.buckets * l.bucket));
    part_layers(c, t, &l);
    if (names_rows(c, &l)) atn_ruler_draw(c, &l.down, l.left, l.top);
    label_keys(c, &l);
    snprintf(axis, sizeof axis, "%s%s", l.s.axis, names_rows(c, &l) ? ".head" : "");
    atn_canvas_grey(c, 0.15);
    atn_canvas_text(c, c->font, l.top + l.h / 2, ATN_CENTRE, 0.95, -90, 0, axis);
    atn_canvas_text(c, l.left + l.w / 2, l.top + l.h + l.keys + c->font * 0.8,
                    ATN_CENTRE, 0.95, 0, 0, "key");
    (void)map_note(c, &l, note_y(c, &l), true);
    atn_scale_bar(c, &l.scale, l.left + l.w + c->font * 1.2, l.top, l.h, "mean weight");
done:
    return st;
}

const atn_figure atn_figure_sinks = {
    .id = "sinks",
    .title = "The sink map",
    .text = "mean weight of every head on each of the first keys",
    .params = atn_colour_params,
    .params_size = sizeof(atn_colours),
    .scale = "log",
    .check = check,
    .height = height,
    .draw = draw,
};
