/* viz/grid.c -- the model as a grid: layers down, heads across, each cell coloured by a
 * column.
 *
 * Accepts  a table of one row a head (columns layer, head, and stack and step where
 *          there are several) and the columns that meta `y` names, one panel each;
 *          default entropy_normalised, else the first value. Numbers have a colour bar,
 *          texts (at most 12 different ones) a legend; meta `categories` ("a,b,c")
 *          gives texts colours in this order, whichever of them occur. A head without a
 *          value is grey, a head without a row is blank.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viz/palette.h"
#include "viz/plot.h"
#include "viz/sections.h"

extern const atn_figure atn_figure_grid;

enum { PANELS = 12, CELLS_MAX = 1 << 20, TEXT_CHARS = 20 };
static const double GAP_FROM = 5; /* points: cells as large as this stand apart */

/* ---- the columns ---- */

/* The piece of "a,b,c" at *at, which moves behind it; false at the end. */
static bool next_name(const char **at, char name[128])
{
    const size_t n = strcspn(*at, ",");

    if (n == 0) return false;
    snprintf(name, 128, "%.*s", (int)ATN_MIN(n, (size_t)127), *at);
    *at += n + ((*at)[n] == ',');
    return true;
}

/* The columns to draw; 0 where one is not there, PANELS + 1 where they are too many. */
static int columns_of(const atn_table *t, int cols[PANELS])
{
    const char *names = atn_table_get_meta(t, "y");
    const int usual = atn_table_find_col(t, "entropy_normalised");
    char name[128];
    int n = 0;

    cols[0] = usual >= 0 ? usual : atn_first_value_col(t);
    if (!names) return cols[0] >= 0;
    while (next_name(&names, name)) {
        const int col = atn_table_find_col(t, name);

        if (col < 0) return 0;
        if (n == PANELS) return PANELS + 1;
        cols[n++] = col;
    }
    return n;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The different texts of a column, sorted; returns their number, PALETTE_CATEGORIES + 1
 * when there are more than that many. */
static int categories_of(const atn_table *t, int col,
                         const char *texts[ATN_PALETTE_CATEGORIES])
{
    int n = 0;

    for (atn_idx r = 0; r < atn_table_rows(t); r++) {
        const char *text = atn_table_get_str(t, r, col);
        bool known = !text;

        for (int i = 0; i < n && !known; i++) known = strcmp(texts[i], text) == 0;
        if (known) continue;
        if (n == ATN_PALETTE_CATEGORIES) return n + 1;
        texts[n++] = text;
    }
    qsort(texts, (size_t)n, sizeof *texts, by_text);
    return n;
}

/* Why a column cannot be drawn; NULL = it can. */
static const char *lack_of(const atn_table *t, int col)
{
    const char *texts[ATN_PALETTE_CATEGORIES];
    int n;

    if (atn_table_col_type(t, col) == ATN_COL_STR) {
        n = categories_of(t, col, texts);
        return n == 0 ? "has no value in any row"
               : n > ATN_PALETTE_CATEGORIES
                   ? "has more than 12 different texts, too many to tell apart"
                   : NULL;
    }
    for (atn_idx r = 0; r < atn_table_rows(t); r++)
        if (isfinite(atn_table_get_f64(t, r, col))) return NULL;
    return "has no number in any row";
}

static const char *check(const atn_table *t)
{
    const char *why = atn_sections_check(t);
    int cols[PANELS];
    int n;

    if (why) return why;
    n = columns_of(t, cols);
    if (n == 0) return "it has no column of that name";
    if (n > PANELS) return "a grid shows at most 12 columns";
    return NULL;
}

/* ---- panels ---- */

typedef struct panel {
    int col, n_texts; /* n_texts 0: numbers */
    const char *texts[ATN_PALETTE_CATEGORIES];
    int colour[ATN_PALETTE_CATEGORIES]; /* of each text */
    char label[160];
    atn_mat m; /* [sections, heads] */
    atn_scale scale;
} panel;

typedef struct layout {
    atn_sections s;
    bool *present; /* [sections, heads] */
    panel *panels;
    int n, across, down;
    bool titled; /* a label above each panel, else along its bar */
    atn_ruler heads, layers;
    double top, width, height; /* of a panel with all that belongs to it */
    double left, title, w, h;  /* room beside and above the cells; the cells */
    double under;              /* room below them */
    const atn_table *t;
} layout;

/* The place of text in "a,b,c", -1 = none. */
static int place_of(const char *list, const char *text)
{
    char name[128];

    for (int i = 0; list && next_name(&list, name); i++)
        if (strcmp(name, text) == 0) return i;
    return -1;
}

/* Colours of the texts: their place among meta categories, those that it does not name
 * behind. */
static void choose_colours(const atn_table *t, panel *p)
{
    const char *list = atn_table_get_meta(t, "categories");
    char name[128];
    int behind = 0;

    for (const char *at = list; at && next_name(&at, name);) behind++;
    for (int i = 0; i < p->n_texts; i++) {
        p->colour[i] = place_of(list, p->texts[i]);
        if (p->colour[i] < 0) p->colour[i] = behind++;
    }
}

/* The colour of text i for value i. */
static atn_status category_scale(atn_ctx *cx, panel *p)
{
    atn_status st = ATN_OK;
    unsigned char(*colours)[3] = NULL;

    ATN_TAKE(colours, 256);
    memset(colours, 0, 256 * sizeof *colours);
    for (int i = 0; i < p->n_texts; i++)
        memcpy(colours[i], atn_palette_category(p->colour[i]), 3);
    p->scale = (atn_scale){
        .kind = ATN_SCALE_LINEAR, .high = 255, .max = 255, .palette = colours};
done:
    return st;
}

static double value_of(const atn_table *t, atn_idx row, const panel *p)
{
    const char *text;

    if (p->n_texts == 0) return atn_table_get_f64(t, row, p->col);
    text = atn_table_get_str(t, row, p->col);
    for (int i = 0; text && i < p->n_texts; i++)
        if (strcmp(text, p->texts[i]) == 0) return i;
    return NAN;
}

static atn_status fill_panel(atn_ctx *cx, const atn_table *t, const void *params,
                             const atn_figure_opts *o, const layout *l, panel *p)
{
    const atn_idx cells = (atn_idx)l->s.n * l->s.heads;
    const char *lack = lack_of(t, p->col);
    atn_status st = ATN_OK;

    if (lack)
        ATN_FAIL(ATN_USAGE, "figure grid: column %s %s (choose another with --y)",
                 atn_table_col_name(t, p->col), lack);
    if (atn_table_col_type(t, p->col) == ATN_COL_STR)
        p->n_texts = categories_of(t, p->col, p->texts);
    choose_colours(t, p);
    atn_col_label(t, p->col, p->label, sizeof p->label);
    p->m = (atn_mat){NULL, l->s.n, l->s.heads, l->s.heads};
    ATN_TAKE(p->m.data, cells);
    for (atn_idx i = 0; i < cells; i++) p->m.data[i] = NAN;
    for (atn_idx r = 0; r < atn_table_rows(t); r++)
        atn_row(p->m, l->s.of[r])[atn_section_head(t, r)] = (float)value_of(t, r, p);
    if (p->n_texts > 0)
        ATN_TRY(category_scale(cx, p));
    else
        ATN_TRY(atn_figure_scale(cx, atn_const(p->m), params, o, "linear", &p->scale));
done:
    return st;
}

static atn_status fill(atn_ctx *cx, const atn_table *t, const void *params,
                       const atn_figure_opts *o, layout *l)
{
    atn_status st = ATN_OK;
    int cols[PANELS];

    ATN_TRY(atn_sections_find(cx, t, &l->s));
    if ((atn_idx)l->s.n * l->s.heads > CELLS_MAX)
        ATN_FAIL(ATN_USAGE,
                 "figure grid shows at most %d heads, this table has %d layers of "
                 "%lld (choose fewer)",
                 CELLS_MAX, l->s.n, (long long)l->s.heads);
    l->t = t;
    l->n = columns_of(t, cols);
    ATN_TAKE(l->panels, l->n);
    ATN_TAKE(l->present, (atn_idx)l->s.n * l->s.heads);
    memset(l->present, 0, (size_t)l->s.n * (size_t)l->s.heads);
    for (atn_idx r = 0; r < atn_table_rows(t); r++)
        l->present[l->s.of[r] * l->s.heads + atn_section_head(t, r)] = true;
    for (int i = 0; i < l->n; i++) {
        l->panels[i] = (panel){.col = cols[i]};
        ATN_TRY(fill_panel(cx, t, params, o, l, &l->panels[i]));
    }
done:
    return st;
}

/* ---- layout ---- */

static void text_name(const void *state, int i, char *out, size_t size)
{
    const panel *p = state;

    atn_token_label(p->texts[i], TEXT_CHARS, out, size);
}

static void text_mark(atn_canvas *c, const void *state, int i, double x, double y)
{
    const panel *p = state;

    atn_legend_swatch(c, p->colour[i], x, y);
}

/* Swatches of a panel of texts; the height they take. */
static double legend(atn_canvas *c, const panel *p, double x, double y, double width,
                     bool draw)
{
    const atn_legend l = {.x = x,
                          .y = y,
                          .width = width,
                          .n = p->n_texts,
                          .name = text_name,
                          .mark = text_mark,
                          .state = p};

    return p->n_texts > 0 ? atn_legend_draw(c, &l, draw) : 0;
}

static double bar_room(atn_canvas *c, const layout *l)
{
    double room = 0;

    for (int i = 0; i < l->n; i++)
        if (l->panels[i].n_texts == 0)
            room = fmax(room, atn_scale_bar_room(c, &l->panels[i].scale));
    return room;
}

/* Points that a panel needs below its cells, and its bar below theirs. */
static double below(atn_canvas *c, const layout *l, double cells)
{
    double most = l->under;

    for (int i = 0; i < l->n; i++) {
        const panel *p = &l->panels[i];

        most = fmax(most, p->n_texts > 0
                              ? l->under + legend(c, p, 0, 0, l->width - l->left, false)
                              : atn_scale_bar_height(c, &p->scale, cells) - cells);
    }
    return most;
}

/* Width first, then the height that suits it, at most half more than the page is
 * wide. */
static void fit(atn_canvas *c, const atn_figure_opts *o, layout *l)
{
    const double page = isfinite(c->height) ? c->height : 1.5 * c->width;
    double most, cells;

    l->width = (c->width - c->font * 0.5) / l->across;
    l->heads = (atn_ruler){.total = (double)l->s.heads, .unit = 1};
    l->layers = (atn_ruler){.texts = l->s.name,
                            .names = true,
                            .total = l->s.n,
                            .unit = 1,
                            .left = true,
                            .cell = c->font};
    l->left = c->font * 2 + atn_ruler_room(c, &l->layers);
    l->title = c->font * (l->titled ? 1.8 : 0.5);
    l->under = c->font * 3.4;
    l->w = l->width - l->left - bar_room(c, l);
    l->w = fmin(l->w, (double)l->s.heads * c->font * 5);
    l->heads.cell = l->w / (double)l->s.heads;
    most = (page - l->top) / l->down - l->title - c->font * 0.5;
    cells = most - below(c, l, most);
    if (o->height_in > 0)
        l->h = cells;
    else
        l->h = fmin(cells, l->s.n * fmin(l->heads.cell, c->font * 2.2));
    l->layers.cell = l->h / l->s.n;
    l->heads.step = atn_ruler_step(c, &l->heads);
    l->layers.step = atn_label_step(l->layers.cell, c->font * 1.15);
    l->height = l->title + l->h + below(c, l, l->h) + c->font * 0.5;
}

static atn_status lay_out(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                          const atn_figure_opts *o, layout *l)
{
    atn_status st = ATN_OK;
    double most;

    *l = (layout){.top = atn_heading_height(t, 1, c->font)};
    ATN_TRY(fill(cx, t, p, o, l));
    most = fmax(floor(c->width / (c->font * 22)), 1);
    l->across = (int)fmin(most, l->n);
    l->down = (l->n + l->across - 1) / l->across;
    l->titled = l->n > 1;
    fit(c, o, l);
    if (!l->titled && l->panels[0].n_texts == 0 &&
        l->h - c->font * 3 < atn_canvas_text_width(c, 0.85, l->panels[0].label)) {
        l->titled = true;
        fit(c, o, l);
    }
    ATN_TRY(atn_canvas_fits(cx, c, l->w, l->h));
done:
    return st;
}

static atn_status height(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                         const atn_figure_opts *o, double *points)
{
    atn_status st = ATN_OK;
    layout l;

    ATN_TRY(lay_out(cx, c, t, p, o, &l));
    *points = l.top + l.down * l.height;
done:
    return st;
}

/* ---- drawing ---- */

/* Heads that the table has no row of are no part of the model. */
static void blank_absent(atn_canvas *c, const layout *l, double x, double y)
{
    atn_canvas_grey(c, 1);
    for (atn_idx i = 0; i < l->s.n; i++)
        for (atn_idx h = 0; h < l->s.heads;) {
            const bool *row = l->present + i * l->s.heads;
            atn_idx end = h;

            while (end < l->s.heads && !row[end]) end++;
            if (end > h)
                atn_canvas_rect(c, x + (double)h * l->heads.cell,
                                y + (double)i * l->layers.cell,
                                (double)(end - h) * l->heads.cell, l->layers.cell);
            h = end + 1;
        }
}

static void part_cells(atn_canvas *c, const layout *l, double x, double y)
{
    if (fmin(l->heads.cell, l->layers.cell) < GAP_FROM) return;
    atn_canvas_grey(c, 1);
    for (atn_idx h = 1; h < l->s.heads; h++)
        atn_canvas_line(c, x + (double)h * l->heads.cell, y,
                        x + (double)h * l->heads.cell, y + l->h, 0.6);
    for (atn_idx i = 1; i < l->s.n; i++)
        atn_canvas_line(c, x, y + (double)i * l->layers.cell, x + l->w,
                        y + (double)i * l->layers.cell, 0.6);
}

/* As many digits as the largest value of the panel leaves to see. */
static void cell_text(const panel *p, double v, char out[96])
{
    const double most = fmax(fabs(p->scale.min), fabs(p->scale.max));

    if (p->n_texts > 0)
        atn_token_label(p->texts[(int)v], TEXT_CHARS, out, 96);
    else if (v == floor(v) && most >= 10)
        snprintf(out, 96, most >= 1e5 ? "%.2g" : "%.0f", v);
    else
        snprintf(out, 96,
                 most >= 1e5    ? "%.2g"
                 : most >= 100  ? "%.0f"
                 : most >= 10   ? "%.1f"
                 : most >= 0.1  ? "%.2f"
                 : most >= 0.01 ? "%.3f"
                                : "%.1e",
                 v);
}

/* The values, in one size, where the widest of them fits its cell. */
static void print_values(atn_canvas *c, const layout *l, const panel *p, double x,
                         double y)
{
    double widest = 0, size;
    char text[96];

    for (int pass = 0; pass < 2; pass++) {
        size = fmin(fmin(0.9 * l->heads.cell / fmax(widest, 1),
                         l->layers.cell / (c->font * 1.3)),
                    0.9);
        if (pass == 1 && size < 0.6) return;
        for (atn_idx i = 0; i < l->s.n; i++)
            for (atn_idx h = 0; h < l->s.heads; h++) {
                const double v = (double)atn_row(p->m, i)[h];

                if (!isfinite(v)) continue;
                cell_text(p, v, text);
                if (pass == 0) {
                    widest = fmax(widest, atn_canvas_text_width(c, 1, text));
                    continue;
                }
                atn_canvas_ink(
                    c, atn_palette_at(p->scale.palette, atn_scale_at(&p->scale, v)));
                atn_canvas_text(c, x + ((double)h + 0.5) * l->heads.cell,
                                y + ((double)i + 0.5) * l->layers.cell, ATN_CENTRE,
                                size, 0, 0, text);
            }
    }
}

static atn_status draw_panel(atn_ctx *cx, atn_canvas *c, const layout *l, int at)
{
    const panel *p = &l->panels[at];
    const double x = at % l->across * l->width + l->left,
                 y = l->top + at / l->across * l->height + l->title;
    atn_status st = ATN_OK;

    ATN_TRY(
        atn_canvas_matrix(cx, c, atn_const(p->m), &p->scale, x, y, l->w, l->h, l->n));
    blank_absent(c, l, x, y);
    part_cells(c, l, x, y);
    if (l->heads.cell >= c->font * 1.2) print_values(c, l, p, x, y);
    atn_canvas_grey(c, 0.6);
    atn_canvas_frame(c, x, y, l->w, l->h);
    atn_ruler_draw(c, &l->heads, x, y + l->h);
    atn_ruler_draw(c, &l->layers, x, y);
    atn_canvas_grey(c, 0.15);
    if (l->titled)
        atn_canvas_bold(c, x, y - c->font * 0.9, ATN_LEFT, 0.95,
                        l->width - l->left - c->font, p->label);
    atn_canvas_text(c, x - l->left + c->font, y + l->h / 2, ATN_CENTRE, 0.95, -90, 0,
                    l->s.axis);
    atn_canvas_text(c, x + l->w / 2, y + l->h + c->font * 2.4, ATN_CENTRE, 0.95, 0, 0,
                    "head");
    (void)legend(c, p, x, y + l->h + l->under, l->width - l->left, true);
    if (p->n_texts == 0)
        atn_scale_bar(c, &p->scale, x + l->w + c->font * 1.2, y, l->h,
                      l->titled ? "" : p->label);
done:
    return st;
}

static atn_status draw(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                       const atn_figure_opts *o)
{
    atn_figure_opts with = *o;
    atn_status st = ATN_OK;
    layout l;

    ATN_TRY(lay_out(cx, c, t, p, o, &l));
    if (l.n > 1 && !o->title && !atn_table_get_meta(t, "title"))
        with.title = "Measures of every head";
    atn_plot_heading(c, t, &with, l.panels[0].col);
    for (int i = 0; i < l.n; i++) ATN_TRY(draw_panel(cx, c, &l, i));
done:
    return st;
}

const atn_figure atn_figure_grid = {
    .id = "grid",
    .title = "The model as a grid",
    .text = "layers down, heads across, cells coloured by columns of a table",
    .params = atn_colour_params,
    .params_size = sizeof(atn_colours),
    .scale = "linear",
    .columns = ATN_FIGURE_Y | ATN_FIGURE_YS,
    .check = check,
    .height = height,
    .draw = draw,
};
