/* viz/token_map.c -- layout and axes of a map of pairs, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/token_map.h"

#include <math.h>
#include <stdio.h>

static const double TITLE = 1.5, EDGE = 0.8;   /* of the font */
static const double LOWEST = 0.2, HIGHEST = 2; /* height by width */
static const double CELL_MOST = 6;             /* of the font */
static const double RULES_APART = 4;           /* points */

const char *atn_token_map_check(const atn_table *t)
{
    const atn_cmat m = atn_table_get_matrix(t);

    return m.data && m.rows > 0 && m.cols > 0 ? NULL : "it has no matrix";
}

double atn_token_map_fact(const atn_table *t, const char *name)
{
    const int col = atn_table_find_col(t, name);

    return col >= 0 && atn_table_rows(t) > 0 && atn_is_number_col(t, col)
               ? atn_table_get_f64(t, 0, col)
               : NAN;
}

/* Tokens along a side of n cells, never fewer than cells. */
static double tokens_of(const atn_table *t, const char *key, atn_idx n)
{
    const double said = atn_token_map_fact(t, "tokens");
    const double cell = atn_meta_number(t, "tokens_per_cell", 1);
    const double tokens =
        atn_meta_number(t, key, isfinite(said) ? said : (double)n * cell);

    return tokens >= (double)n && tokens <= 1e15 ? tokens : (double)n;
}

/* A table that says both its tokens and those of a cell may end in a part of one; of
 * what does not go together the tokens are believed, and cells are alike. */
static atn_ruler axis_of(const atn_table *t, const char *key, atn_idx cells, bool left)
{
    const double tokens = tokens_of(t, key, cells), n = (double)cells;
    const double cell = atn_meta_number(t, "tokens_per_cell", 0);
    const bool fits = cell >= 1 && cell * (n - 1) < tokens && tokens <= cell * n;

    return (atn_ruler){.total = tokens, .unit = fits ? cell : tokens / n, .left = left};
}

static void set_length(atn_ruler *a, double points)
{
    a->cell = points * a->unit / a->total;
}

atn_status atn_token_map_fit(atn_ctx *cx, const atn_table *t, atn_canvas *c,
                             atn_token_map *m)
{
    const atn_cmat cells = atn_table_get_matrix(t);
    double ratio, w, h;

    m->down = axis_of(t, "queries", cells.rows, true);
    m->across = axis_of(t, "keys", cells.cols, false);
    ratio = fmin(fmax(m->down.total / m->across.total, LOWEST), HIGHEST);
    set_length(&m->down, 1);
    set_length(&m->across, 1);
    m->left = atn_ruler_room(c, &m->down) + c->font * (TITLE + 0.5);
    m->below = atn_ruler_room(c, &m->across) + c->font * TITLE;
    m->top = atn_heading_height(t, 1, c->font);
    w = c->width - m->left - m->right - c->font * EDGE;
    h = c->height - m->top - m->below - m->foot - c->font * EDGE;
    m->w = fmin(fmin(w, h / ratio), CELL_MOST * c->font * (double)cells.cols);
    m->h = m->w * ratio;
    set_length(&m->down, m->h);
    set_length(&m->across, m->w);
    if (w > 0 && h > 0)
        m->down.step = m->across.step =
            fmax(atn_ruler_step(c, &m->down), atn_ruler_step(c, &m->across));
    return atn_canvas_fits(cx, c, w, h);
}

double atn_token_map_height(const atn_canvas *c, const atn_token_map *m)
{
    return atn_token_map_foot(m) + m->foot + c->font * EDGE;
}

double atn_token_map_foot(const atn_token_map *m)
{
    return m->top + m->h + m->below;
}

/* Light rules between tokens or blocks, so that cells can be counted. */
static void draw_rules(atn_canvas *c, const atn_token_map *m, double rule)
{
    const double dx = m->w / m->across.total * rule, dy = m->h / m->down.total * rule;

    atn_canvas_grey(c, 0.8);
    if (dx >= RULES_APART)
        for (double x = dx; x < m->w - 0.5; x += dx)
            atn_canvas_line(c, m->left + x, m->top, m->left + x, m->top + m->h, 0.35);
    if (dy >= RULES_APART)
        for (double y = dy; y < m->h - 0.5; y += dy)
            atn_canvas_line(c, m->left, m->top + y, m->left + m->w, m->top + y, 0.35);
}

static void draw_titles(atn_canvas *c, const atn_token_map *m)
{
    const char *unit = m->unit ? m->unit : "tokens";
    char query[48], key[48];

    snprintf(query, sizeof query, m->h < 8 * c->font ? "query" : "query (%s)", unit);
    snprintf(key, sizeof key, "key (%s)", unit);
    atn_canvas_grey(c, 0.15);
    atn_canvas_text(c, c->font, m->top + m->h / 2, ATN_CENTRE, 0.95, -90, m->h, query);
    atn_canvas_text(c, m->left + m->w / 2, m->top + m->h + m->below - c->font * 0.6,
                    ATN_CENTRE, 0.95, 0, 0, key);
}

atn_status atn_token_map_draw(atn_ctx *cx, atn_canvas *c, const atn_token_map *m,
                              atn_cells cells, double rule)
{
    atn_status st = ATN_OK;

    cells.x = m->left;
    cells.y = m->top;
    cells.w = m->across.cell * (double)cells.cols;
    cells.h = m->down.cell * (double)cells.rows;
    cairo_save(c->cr); /* of a last cell in part, that part */
    cairo_rectangle(c->cr, m->left, m->top, m->w, m->h);
    cairo_clip(c->cr);
    st = atn_canvas_cells(cx, c, &cells);
    cairo_restore(c->cr);
    ATN_TRY(st);
    if (rule > 0) draw_rules(c, m, rule);
    atn_canvas_grey(c, 0.4);
    atn_canvas_frame(c, m->left, m->top, m->w, m->h);
    atn_ruler_draw(c, &m->down, m->left, m->top);
    atn_ruler_draw(c, &m->across, m->left, m->top + m->h);
    draw_titles(c, m);
done:
    return st;
}

void atn_token_map_facts(const atn_table *t, const atn_token_map *m, char *out,
                         size_t size)
{
    const double block = atn_token_map_fact(t, "block"),
                 head = atn_token_map_fact(t, "head");
    const double queries = m->down.total, keys = m->across.total;
    size_t n = (size_t)snprintf(out, size, "%.0f token%s", keys, keys == 1 ? "" : "s");

    if (queries != keys)
        n = (size_t)snprintf(out, size, "%.0f quer%s, %.0f key%s", queries,
                             queries == 1 ? "y" : "ies", keys, keys == 1 ? "" : "s");
    if (block > 1)
        n += (size_t)snprintf(out + n, size - n, " in blocks of %.0f", block);
    if (head >= 0) n += (size_t)snprintf(out + n, size - n, ", head %.0f", head);
    if (m->down.unit > 1 || m->across.unit > 1)
        snprintf(out + n, size - n, "; a cell joins %.5g x %.5g pairs", m->down.unit,
                 m->across.unit);
}

void atn_token_map_heading(atn_canvas *c, const atn_table *t, const atn_figure_opts *o,
                           const char *otherwise)
{
    const char *pattern = atn_table_text(t, 0, atn_table_find_col(t, "pattern"));
    atn_figure_opts with = *o;

    if (!o->title && !atn_table_get_meta(t, "title"))
        with.title = *pattern ? pattern : otherwise;
    (void)atn_figure_heading(c, t, &with, 1);
}
