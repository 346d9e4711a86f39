/* viz/lines.c -- lines of one column against another, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/lines.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "viz/palette.h"
#include "viz/sections.h"

enum { PAIRS_MOST = 1 << 20, NAME = 160 };
static const double MARKS_APART = 1.1; /* of the font */

static int x_col(const atn_table *t, const atn_line_kind *k)
{
    const int layer = atn_table_find_col(t, "layer");

    if (k->x) return atn_meta_col(t, "x", atn_table_find_col(t, k->x));
    return atn_meta_col(t, "x", layer >= 0 ? layer : 0);
}

static int y_col(const atn_table *t, const atn_line_kind *k)
{
    const int first = atn_first_value_col(t);

    if (k->y) return atn_meta_col(t, "y", atn_table_find_col(t, k->y));
    /* a plain table's first column is x: y is the next numeric one */
    if (first == x_col(t, k))
        for (int c = first + 1; c < atn_table_cols(t); c++)
            if (atn_is_number_col(t, c)) return atn_meta_col(t, "y", c);
    return atn_meta_col(t, "y", first);
}

/* Whole numbers or texts. */
static int series_col(const atn_table *t, const atn_line_kind *k)
{
    const int usual = atn_table_find_col(t, k->series ? k->series : "head");
    const int col = atn_meta_col(t, "series", usual);

    if (col < 0) return -1;
    return atn_table_col_type(t, col) == ATN_COL_I64 ||
                   atn_table_col_type(t, col) == ATN_COL_STR
               ? col
               : -1;
}

/* The columns, once. */
typedef struct lines {
    const atn_line_kind *k;
    const atn_table *t;
    int x, y;
    atn_series s;
} lines;

static lines lines_of(const atn_table *t, const atn_line_kind *k)
{
    return (lines){.k = k, .t = t, .x = x_col(t, k), .y = y_col(t, k)};
}

static bool point(const lines *l, atn_idx r, double *x, double *y)
{
    *x = atn_table_get_f64(l->t, r, l->x);
    *y = atn_table_get_f64(l->t, r, l->y);
    return isfinite(*x) && isfinite(*y);
}

/* ---- the series ---- */

/* Is the column x, y or the series itself? */
static bool is_used(const atn_table *t, const atn_line_kind *k, const char *name)
{
    const int col = atn_table_find_col(t, name);

    return col >= 0 &&
           (col == x_col(t, k) || col == y_col(t, k) || col == series_col(t, k));
}

/* "decoder, head 3"; of no series the group alone. */
static atn_status name_pair(atn_ctx *cx, const atn_table *t, const atn_series *s,
                            const char *group, atn_idx row, const char **out)
{
    atn_status st = ATN_OK;
    char *text = NULL;

    ATN_TAKE(text, NAME);
    if (s->col < 0)
        snprintf(text, NAME, "%s", group);
    else if (s->names)
        snprintf(text, NAME, "%s%s%.64s", group, *group ? ", " : "",
                 s->names[s->of[row]]);
    else
        snprintf(text, NAME, "%s%s%.40s %lld", group, *group ? ", " : "",
                 atn_table_col_name(t, s->col),
                 (long long)s->ids[atn_series_of(s, t, row)]);
    *out = text;
done:
    return st;
}

/* A series a group and series of s: those that have points, by group. */
static atn_status pair_up(atn_ctx *cx, const lines *l, const atn_sections *g,
                          atn_series *s)
{
    const atn_table *t = l->t;
    const atn_idx pairs = (atn_idx)g->groups * s->n, rows = atn_table_rows(t);
    atn_series out = {.col = 0};
    atn_status st = ATN_OK;
    atn_idx *row = NULL; /* of each pair the first, -1 = none */
    int *at = NULL;
    double x, y;

    if (pairs > PAIRS_MOST)
        ATN_FAIL(ATN_USAGE,
                 "%d stacks and steps of %d series are too many to tell apart",
                 g->groups, s->n);
    ATN_TAKE(row, pairs);
    ATN_TAKE(at, pairs);
    ATN_TAKE(out.of, rows);
    ATN_TAKE(out.names, ATN_SERIES_MAX);
    for (atn_idx i = 0; i < pairs; i++) row[i] = -1;
    for (atn_idx r = rows - 1; r >= 0; r--) {
        out.of[r] = g->of[r] * s->n + atn_series_of(s, t, r);
        if (point(l, r, &x, &y)) row[out.of[r]] = r;
    }
    for (atn_idx i = 0; i < pairs; i++) {
        at[i] = 0; /* of rows that are no points */
        if (row[i] < 0) continue;
        if (out.n == ATN_SERIES_MAX)
            ATN_FAIL(ATN_USAGE, "more than %d lines are too many to tell apart",
                     ATN_SERIES_MAX);
        ATN_TRY(name_pair(cx, t, s, g->group_name[g->of[row[i]]], row[i],
                          &out.names[out.n]));
        at[i] = out.n++;
    }
    for (atn_idx r = 0; r < rows; r++) out.of[r] = at[out.of[r]];
    *s = out;
done:
    return st;
}

static atn_status find_series(atn_ctx *cx, const atn_table *t, const atn_line_kind *k,
                              atn_series *out)
{
    const lines l = lines_of(t, k);
    atn_status st = ATN_OK;
    atn_sections g;

    ATN_TRY(atn_series_find(cx, t, series_col(t, k), out));
    if (is_used(t, k, "stack") || is_used(t, k, "step")) goto done;
    ATN_TRY(atn_groups_find(cx, t, &g));
    if (g.groups > 1) ATN_TRY(pair_up(cx, &l, &g, out));
done:
    return st;
}

/* ---- check and ranges ---- */

const char *atn_lines_check(const atn_table *t, const atn_line_kind *k)
{
    const lines l = lines_of(t, k);
    double x, y;

    if (atn_table_rows(t) == 0) return "it has no rows";
    if (!atn_is_number_col(t, l.x)) return "it has no numeric column for x";
    if (!atn_is_number_col(t, l.y)) return "it has no numeric column for y";
    for (atn_idx r = 0; r < atn_table_rows(t); r++)
        if (point(&l, r, &x, &y)) return NULL;
    return "no row has both an x and a y";
}

static bool is_share(const char *name)
{
    const size_t n = strlen(name);

    return (n > 6 && strcmp(name + n - 6, "_share") == 0) ||
           strncmp(name, "accuracy", 8) == 0 || strncmp(name, "complete", 8) == 0;
}

static void find_y_range(const lines *l, atn_plot_area *a)
{
    if (a->y0 >= 0 && a->y1 <= 1 && is_share(atn_table_col_name(l->t, l->y))) {
        a->y0 = 0;
        a->y1 = 1.04; /* what ends at 1 stands off the frame */
        return;
    }
    if (a->y0 >= 0 && (a->y0 < 0.5 * a->y1 || a->y0 == a->y1)) a->y0 = 0;
    if (a->y1 == a->y0) a->y1 = a->y0 + 1;
    a->y1 += 0.05 * (a->y1 - a->y0);
}

static void find_ranges(const lines *l, atn_plot_area *a)
{
    double x, y;

    a->x0 = a->y0 = INFINITY;
    a->x1 = a->y1 = -INFINITY;
    for (atn_idx r = 0; r < atn_table_rows(l->t); r++) {
        if (!point(l, r, &x, &y)) continue;
        a->x0 = fmin(a->x0, x);
        a->x1 = fmax(a->x1, x);
        a->y0 = fmin(a->y0, y);
        a->y1 = fmax(a->y1, y);
    }
    find_y_range(l, a);
    if (!l->k->marks) return;
    x = 0.02 * (a->x1 - a->x0);
    a->x0 -= x;
    a->x1 += x;
}

/* The points of a series, in table order, as they are drawn. */
typedef struct walk {
    const lines *l;
    const atn_plot_area *a;
    int series;
    atn_idx row;
    double px, py;
} walk;

/* Goes to the next point: the mean of rows on end that have the same x. */
static bool step(walk *w)
{
    double sum = 0, x_now = NAN, x, y;
    atn_idx n = 0;

    for (; w->row < atn_table_rows(w->l->t); w->row++) {
        if (!point(w->l, w->row, &x, &y) ||
            atn_series_of(&w->l->s, w->l->t, w->row) != w->series)
            continue;
        if (n > 0 && x != x_now) break;
        x_now = x;
        sum += y;
        n++;
    }
    if (n == 0) return false;
    w->px = atn_plot_px(w->a, x_now);
    w->py = atn_plot_py(w->a, sum / (double)n);
    return true;
}

/* The way that x goes in a series, mostly: 1 to the right, -1 to the left. */
static int way_of(walk w)
{
    atn_idx right = 0;
    double last;

    if (!step(&w)) return 1;
    for (last = w.px; step(&w); last = w.px) right += w.px > last ? 1 : -1;
    return right < 0 ? -1 : 1;
}

static void end_line(atn_canvas *c, const walk *w, atn_idx points)
{
    if (points > 1) {
        cairo_stroke(c->cr);
        return;
    }
    cairo_new_path(c->cr);
    if (points == 0 || w->l->k->marks) return;
    cairo_arc(c->cr, w->px, w->py, 2, 0, 2 * acos(-1));
    cairo_fill(c->cr);
}

/* Through all points; where x goes back, rows of something else begin, and so does
 * another line. A point alone is a dot. */
static void draw_line(atn_canvas *c, const lines *l, const atn_plot_area *a, int series)
{
    walk w = {.l = l, .a = a, .series = series};
    const int way = way_of(w);
    atn_idx points = 0;
    walk last = w;

    atn_series_pen(c, &l->s, series);
    for (; step(&w); last = w) {
        if (points > 0 && way * (w.px - last.px) < 0) {
            end_line(c, &last, points);
            points = 0;
        }
        if (points++ > 0)
            cairo_line_to(c->cr, w.px, w.py);
        else
            cairo_move_to(c->cr, w.px, w.py);
    }
    end_line(c, &last, points);
    cairo_set_dash(c->cr, NULL, 0, 0);
}

/* A mark at every point, or at some where they would touch. */
static void draw_marks(atn_canvas *c, const lines *l, const atn_plot_area *a,
                       int series)
{
    walk w = {.l = l, .a = a, .series = series};
    double last = -INFINITY;

    while (step(&w)) {
        if (fabs(w.px - last) < MARKS_APART * c->font) continue;
        last = w.px;
        atn_series_mark(c, &l->s, series, w.px, w.py);
    }
}

static void y_label(const lines *l, char *out, size_t size)
{
    const char *name = atn_table_col_name(l->t, l->y);

    for (int i = 0; l->k->y_labels && l->k->y_labels[i][0]; i++)
        if (strcmp(l->k->y_labels[i][0], name) == 0) {
            snprintf(out, size, "%s", l->k->y_labels[i][1]);
            return;
        }
    atn_col_label(l->t, l->y, out, size);
}

atn_status atn_lines_height(atn_ctx *cx, atn_canvas *c, const atn_table *t,
                            const atn_line_kind *k, double *points)
{
    atn_status st = ATN_OK;
    atn_series s;

    ATN_TRY(find_series(cx, t, k, &s));
    s.lines = true;
    ATN_TRY(atn_plot_height_of(cx, c, t, &s, points));
done:
    return st;
}

atn_status atn_lines_draw(atn_ctx *cx, atn_canvas *c, const atn_table *t,
                          const atn_line_kind *k, const atn_figure_opts *o)
{
    atn_figure_opts with = *o;
    lines l = lines_of(t, k);
    atn_status st = ATN_OK;
    char label[160];
    atn_plot_area a;

    if (!o->title && !atn_table_get_meta(t, "title")) with.title = k->title;
    ATN_TRY(find_series(cx, t, k, &l.s));
    l.s.lines = true;
    l.s.marks = k->marks;
    ATN_TRY(atn_plot_begin(cx, c, t, &l.s, &a));
    find_ranges(&l, &a);
    y_label(&l, label, sizeof label);
    atn_plot_frame_as(c, &a, t, &with, l.y, label);
    for (int i = 0; i < l.s.n; i++) draw_line(c, &l, &a, i);
    for (int i = 0; i < l.s.n && k->marks; i++) draw_marks(c, &l, &a, i);
    atn_col_label(t, l.x, label, sizeof label);
    atn_plot_x_axis(c, &a, atn_table_col_type(t, l.x) == ATN_COL_I64,
                    k->x_label ? k->x_label : label);
    (void)atn_plot_legend(c, a.x, a.y + a.h + c->font * 3.2, a.w, t, &l.s, true);
done:
    return st;
}
