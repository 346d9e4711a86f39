/* viz/plot.c -- frames, ticks and legends, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/plot.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "viz/palette.h"

bool atn_is_number_col(const atn_table *t, int col)
{
    return col >= 0 && atn_table_col_type(t, col) != ATN_COL_STR;
}

bool atn_is_key_col(const atn_table *t, int col)
{
    static const char *const keys[] = {"stack",    "step",       "layer",   "head",
                                       "position", "layer_a",    "layer_b", "head_a",
                                       "head_b",   "temperature"};

    for (size_t i = 0; i < ATN_LEN(keys); i++)
        if (strcmp(keys[i], atn_table_col_name(t, col)) == 0) return true;
    return false;
}

static bool has_number(const atn_table *t, int col)
{
    for (atn_idx r = 0; r < atn_table_rows(t); r++)
        if (isfinite(atn_table_get_f64(t, r, col))) return true;
    return false;
}

int atn_first_value_col(const atn_table *t)
{
    int first = -1;

    for (int c = 0; c < atn_table_cols(t); c++) {
        if (!atn_is_number_col(t, c) || atn_is_key_col(t, c)) continue;
        if (has_number(t, c)) return c;
        if (first < 0) first = c;
    }
    return first;
}

int atn_meta_col(const atn_table *t, const char *key, int def)
{
    const char *name = atn_table_get_meta(t, key);

    return name ? atn_table_find_col(t, name) : def;
}

void atn_col_label(const atn_table *t, int col, char *out, size_t size)
{
    const char *name = atn_table_col_name(t, col), *unit = atn_table_col_unit(t, col);
    size_t n = strlen(name), k = strlen(unit);

    if (k > 0 && n > k + 1 && strcmp(name + n - k, unit) == 0 && name[n - k - 1] == '_')
        n -= k + 1;
    snprintf(out, size, "%.*s%s%s%s", (int)n, name, k ? " (" : "", unit, k ? ")" : "");
    for (char *c = out; *c; c++)
        if (*c == '_') *c = ' ';
}

/* Heading and the half of the uppermost tick label that reaches over the plot. */
static double plot_top(const atn_canvas *c, const atn_table *t)
{
    return atn_heading_height(t, 1, c->font) + c->font * 0.5;
}

static const double LEFT = 6, RIGHT = 1.5, BELOW = 3.8; /* of the font */

static double plot_width(const atn_canvas *c)
{
    return c->width - c->font * (LEFT + RIGHT);
}

atn_status atn_plot_height_of(atn_ctx *cx, atn_canvas *c, const atn_table *t,
                              const atn_series *s, double *points)
{
    *points = plot_top(c, t) + c->font * (20 + BELOW) +
              atn_plot_legend(c, 0, 0, plot_width(c), t, s, false);
    return atn_canvas_fits(cx, c, plot_width(c), INFINITY);
}

atn_status atn_plot_height(atn_ctx *cx, atn_canvas *c, const atn_table *t,
                           int series_col, double *points)
{
    atn_status st = ATN_OK;
    atn_series s;

    ATN_TRY(atn_canvas_fits(cx, c, plot_width(c), INFINITY));
    ATN_TRY(atn_series_find(cx, t, series_col, &s));
    ATN_TRY(atn_plot_height_of(cx, c, t, &s, points));
done:
    return st;
}

atn_status atn_plot_begin(atn_ctx *cx, atn_canvas *c, const atn_table *t,
                          const atn_series *s, atn_plot_area *a)
{
    const double top = plot_top(c, t);
    const double legend = atn_plot_legend(c, 0, 0, plot_width(c), t, s, false);

    *a = (atn_plot_area){.x = c->font * LEFT,
                         .y = top,
                         .w = plot_width(c),
                         .h = c->height - top - legend - c->font * BELOW,
                         .x1 = 1,
                         .y1 = 1};
    return atn_canvas_fits(cx, c, a->w, a->h);
}

void atn_plot_heading(atn_canvas *c, const atn_table *t, const atn_figure_opts *o,
                      int col)
{
    atn_figure_opts with = *o;
    char title[256];

    if (!o->title && !atn_table_get_meta(t, "title")) {
        snprintf(title, sizeof title, "%s", atn_table_col_text(t, col));
        if (!*title) atn_col_label(t, col, title, sizeof title);
        if (title[0] >= 'a' && title[0] <= 'z') title[0] = (char)(title[0] - 'a' + 'A');
        with.title = title;
    }
    (void)atn_figure_heading(c, t, &with, 1);
}

double atn_plot_px(const atn_plot_area *a, double x)
{
    return a->x + (a->x1 > a->x0 ? (x - a->x0) / (a->x1 - a->x0) : 0.5) * a->w;
}

double atn_plot_py(const atn_plot_area *a, double y)
{
    return a->y + a->h - (y - a->y0) / (a->y1 - a->y0) * a->h;
}

void atn_plot_frame(atn_canvas *c, const atn_plot_area *a, const atn_table *t,
                    const atn_figure_opts *o, int col)
{
    char label[160];

    atn_col_label(t, col, label, sizeof label);
    atn_plot_frame_as(c, a, t, o, col, label);
}

void atn_plot_frame_as(atn_canvas *c, const atn_plot_area *a, const atn_table *t,
                       const atn_figure_opts *o, int col, const char *label)
{
    double ticks[16];
    const int n = atn_nice_ticks(a->y0, a->y1,
                                 (int)fmax(2, fmin(6, a->h / (c->font * 3))), ticks);
    char text[32];

    atn_plot_heading(c, t, o, col);
    for (int i = 0; i < n; i++) {
        const double y = atn_plot_py(a, ticks[i]);
        atn_canvas_grey(c, 0.9);
        atn_canvas_line(c, a->x, y, a->x + a->w, y, 0.4);
        atn_canvas_grey(c, 0.15);
        atn_number_label(ticks[i], text);
        atn_canvas_text(c, a->x - 3.5, y, ATN_RIGHT, 0.9, 0, 0, text);
    }
    atn_canvas_grey(c, 0.4);
    atn_canvas_frame(c, a->x, a->y, a->w, a->h);
    atn_canvas_grey(c, 0.15);
    atn_canvas_text(c, c->font, a->y + a->h / 2, ATN_CENTRE, 0.95, -90, a->h, label);
}

void atn_plot_x_axis(atn_canvas *c, const atn_plot_area *a, bool whole,
                     const char *label)
{
    double ticks[16] = {a->x0};
    const int n = a->x1 > a->x0 ? atn_nice_ticks(a->x0, a->x1, 6, ticks) : 1;
    char text[32];

    atn_canvas_grey(c, 0.15);
    for (int i = 0; i < n; i++) {
        const double px = atn_plot_px(a, ticks[i]);

        if (whole && ticks[i] != floor(ticks[i])) continue;
        atn_number_label(ticks[i], text);
        atn_canvas_line(c, px, a->y + a->h, px, a->y + a->h + 2, 0.5);
        atn_canvas_text(c, px, a->y + a->h + c->font, ATN_CENTRE, 0.9, 0, 0, text);
    }
    atn_canvas_text(c, a->x + a->w / 2, a->y + a->h + c->font * 2.3, ATN_CENTRE, 0.95,
                    0, a->w, label);
}

/* ---- series ---- */

static int find_id(const atn_series *s, int64_t id, bool *found)
{
    int lo = 0, hi = s->n;

    while (lo < hi) {
        const int mid = (lo + hi) / 2;
        if (s->ids[mid] < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    *found = lo < s->n && s->ids[lo] == id;
    return lo;
}

static atn_status too_many(atn_ctx *cx, const atn_table *t, int col)
{
    return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                    "column %s has more than %d values, too many series to "
                    "tell apart (name another column)",
                    atn_table_col_name(t, col), ATN_SERIES_MAX);
}

/* Rows of a series mostly stand together: the series of the row before is tried first,
 * then the last ones. */
static atn_status find_texts(atn_ctx *cx, const atn_table *t, atn_series *out)
{
    const atn_idx rows = atn_table_rows(t);
    atn_status st = ATN_OK;
    int at = 0;

    ATN_TAKE(out->names, ATN_MIN(rows, ATN_SERIES_MAX));
    ATN_TAKE(out->of, rows);
    for (atn_idx r = 0; r < rows; r++) {
        const char *text =
            atn_table_has(t, r, out->col) ? atn_table_get_str(t, r, out->col) : "";

        if (at >= out->n || strcmp(out->names[at], text) != 0)
            for (at = out->n - 1; at >= 0 && strcmp(out->names[at], text) != 0;) at--;
        if (at < 0) {
            if (out->n == ATN_SERIES_MAX) ATN_TRY(too_many(cx, t, out->col));
            at = out->n++;
            out->names[at] = text;
        }
        out->of[r] = at;
    }
done:
    return st;
}

atn_status atn_series_find(atn_ctx *cx, const atn_table *t, int col, atn_series *out)
{
    atn_status st = ATN_OK;

    *out = (atn_series){.col = col, .n = col < 0};
    if (col < 0) return ATN_OK;
    if (atn_table_col_type(t, col) == ATN_COL_STR) return find_texts(cx, t, out);
    ATN_TAKE(out->ids, ATN_SERIES_MAX);
    for (atn_idx r = 0; r < atn_table_rows(t); r++) {
        const int64_t id = atn_table_get_i64(t, r, col);
        bool found;
        const int at = find_id(out, id, &found);

        if (found) continue;
        if (out->n == ATN_SERIES_MAX) ATN_TRY(too_many(cx, t, col));
        memmove(out->ids + at + 1, out->ids + at,
                (size_t)(out->n - at) * sizeof *out->ids);
        out->ids[at] = id;
        out->n++;
    }
done:
    return st;
}

int atn_series_of(const atn_series *s, const atn_table *t, atn_idx row)
{
    bool found;

    if (s->of) return s->of[row];
    return s->col < 0 ? 0 : find_id(s, atn_table_get_i64(t, row, s->col), &found);
}

void atn_series_pen(atn_canvas *c, const atn_series *s, int i)
{
    static const double dashes[][2] = {{0, 0}, {5, 2}, {1.5, 1.5}};
    const bool dashed = s->marks || s->n > ATN_PALETTE_DISTINCT;
    const size_t kind = dashed ? (size_t)i % ATN_LEN(dashes) : 0;

    atn_canvas_colour(c, atn_palette_series(i, s->n));
    cairo_set_line_width(c->cr, 1);
    cairo_set_line_join(c->cr, CAIRO_LINE_JOIN_ROUND);
    cairo_set_dash(c->cr, dashes[kind], kind ? 2 : 0, 0);
}

/* A polygon of n corners, the first one up or turned by half a step. */
static void polygon(atn_canvas *c, double x, double y, double r, int n, double turn)
{
    const double pi = acos(-1);

    for (int i = 0; i < n; i++) {
        const double angle = 2 * pi * (i + turn) / n - pi / 2;

        cairo_line_to(c->cr, x + r * cos(angle), y + r * sin(angle));
    }
    cairo_close_path(c->cr);
}

void atn_mark_path(atn_canvas *c, int shape, double x, double y, double times)
{
    static const struct {
        int corners; /* 0 = a disc */
        double turn, size;
    } shapes[ATN_MARKS] = {{0, 0, .24},  {4, .5, .31}, {3, 0, .35}, {4, 0, .33},
                           {3, .5, .35}, {5, 0, .32},  {6, 0, .3}};
    const int k = shape % ATN_MARKS;
    const double r = shapes[k].size * c->font * times;

    cairo_new_path(c->cr);
    if (shapes[k].corners)
        polygon(c, x, y, r, shapes[k].corners, shapes[k].turn);
    else
        cairo_arc(c->cr, x, y, r, 0, 2 * acos(-1));
}

void atn_series_mark(atn_canvas *c, const atn_series *s, int i, double x, double y)
{
    atn_canvas_colour(c, atn_palette_series(i, s->n));
    atn_mark_path(c, i, x, y, 1);
    if (!s->hollow) {
        cairo_fill(c->cr);
        return;
    }
    cairo_set_line_width(c->cr, 0.8);
    cairo_stroke(c->cr);
}

/* ---- legends ---- */

/* Where the legend's next entry goes. */
typedef struct pen {
    double x, width, at, down, row;
} pen;

static void advance(pen *p, double w)
{
    if (p->at > p->x && p->at + w > p->x + p->width) {
        p->at = p->x;
        p->down += p->row;
    }
}

void atn_legend_swatch(atn_canvas *c, int category, double x, double y)
{
    atn_canvas_colour(c, atn_palette_category(category));
    atn_canvas_rect(c, x, y - c->font * 0.4, c->font * 1.2, c->font * 0.8);
}

double atn_legend_draw(atn_canvas *c, const atn_legend *l, bool draw)
{
    pen p = {l->x, l->width, l->x, 0, c->font * 1.4};
    char text[256];

    for (int i = 0; i < l->n; i++) {
        double w;

        l->name(l->state, i, text, sizeof text);
        w = fmin(c->font * 2.6 + atn_canvas_text_width(c, 0.85, text),
                 l->width + c->font);
        advance(&p, w);
        if (draw) {
            const double middle = l->y + p.down + p.row / 2;

            l->mark(c, l->state, i, p.at, middle);
            atn_canvas_grey(c, 0.15);
            atn_canvas_text(c, p.at + c->font * 1.6, middle, ATN_LEFT, 0.85, 0,
                            l->width - c->font * 1.6, text);
        }
        p.at += w;
    }
    if (l->more) {
        advance(&p, atn_canvas_text_width(c, 0.85, l->more));
        if (draw)
            atn_canvas_text(c, p.at, l->y + p.down + p.row / 2, ATN_LEFT, 0.85, 0,
                            l->width, l->more);
    }
    return p.down + p.row;
}

/* The series that are named, of all. */
typedef struct named {
    const atn_table *t;
    const atn_series *s;
    int shown;
} named;

static int series_at(const named *k, int i)
{
    return k->shown == k->s->n ? i : (int)((int64_t)i * (k->s->n - 1) / (k->shown - 1));
}

/* As much of the text as fits, never a part of a character. */
static void cut_text(const char *text, char *out, size_t size)
{
    size_t n = strlen(text);

    if (n >= size) n = size - 1;
    while (n > 0 && text[n] && ((unsigned char)text[n] & 0xc0) == 0x80) n--;
    memcpy(out, text, n);
    out[n] = '\0';
}

static void series_name(const void *state, int i, char *out, size_t size)
{
    const named *k = state;

    if (k->s->names) {
        cut_text(k->s->names[series_at(k, i)], out, size);
        return;
    }
    snprintf(out, size, "%.40s %lld", atn_table_col_name(k->t, k->s->col),
             (long long)k->s->ids[series_at(k, i)]);
}

/* A piece of the line, the mark, or a swatch. */
static void series_mark(atn_canvas *c, const void *state, int i, double x, double y)
{
    const named *k = state;
    const int series = series_at(k, i);

    if (!k->s->lines && k->s->marks) {
        atn_series_mark(c, k->s, series, x + c->font * 0.65, y);
        return;
    }
    if (!k->s->lines) {
        atn_canvas_colour(c, atn_palette_series(series, k->s->n));
        atn_canvas_rect(c, x, y - c->font * 0.35, c->font * 1.2, c->font * 0.7);
        return;
    }
    atn_series_pen(c, k->s, series);
    cairo_move_to(c->cr, x, y);
    cairo_line_to(c->cr, x + c->font * 1.3, y);
    cairo_stroke(c->cr);
    cairo_set_dash(c->cr, NULL, 0, 0);
    if (k->s->marks) atn_series_mark(c, k->s, series, x + c->font * 0.65, y);
}

double atn_plot_legend(atn_canvas *c, double x, double y, double width,
                       const atn_table *t, const atn_series *s, bool draw)
{
    const named k = {t, s, ATN_MIN(s->n, (int)ATN_LEGEND_NAMES)};
    char more[48];

    if (s->n < 2 && !s->names) return 0;
    snprintf(more, sizeof more, "(%d of %d named)", k.shown, s->n);
    return atn_legend_draw(c,
                           &(atn_legend){.x = x,
                                         .y = y,
                                         .width = width,
                                         .n = k.shown,
                                         .name = series_name,
                                         .mark = series_mark,
                                         .state = &k,
                                         .more = k.shown < s->n ? more : NULL},
                           draw);
}
