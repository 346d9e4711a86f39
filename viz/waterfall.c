/* viz/waterfall.c -- where a speed-up goes: a bar a step of the simulation, each with
 * the factor that the step takes.
 *
 * Accepts  a table of kind waterfall: columns id (or step, a text), speedup or time_ms
 *          and, where they are, pattern, kernel, gpu, text and limited_by. Rows of
 *          another pattern, kernel or gpu than the row before, or that begin again with
 *          the first step, are another panel. The step "dense" is no bar but a line; of
 *          times the step "whole" is left out, for it is of more than attention.
 * Math     the factor of a step is the value before over its own; of time its own over
 *          the one before.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "viz/axes.h"
#include "viz/palette.h"

extern const atn_figure atn_figure_waterfall;

enum {
    VALUE_SPEEDUP,
    VALUE_TIME,
    ROWS_MOST = 400,
    NAMES = 3,
    LEFT_OVER = 0,
    LOST = 1,
    WON = 4
};
static const double ROW = 1.6, NAME = 1.7, GAP = 0.7, BELOW = 3.4; /* of the font */
static const double TEXT_MOST = 0.36; /* of the width, for the texts of steps */

typedef struct waterfall_params {
    int value;
    int axis;
} waterfall_params;

static const atn_param params[] = {
    ATN_PARAM_CHOICE(waterfall_params, value, VALUE_SPEEDUP, "speedup|time",
                     "what the bars are"),
    ATN_PARAM_CHOICE(waterfall_params, axis, ATN_AXIS_AUTO, "auto|linear|log",
                     "auto: log where the largest value is thirty times the least"),
    ATN_PARAM_END,
};

/* A step that is drawn. */
typedef struct bar {
    atn_idx row;
    double value, last; /* last: of the last one of its panel that has a value */
    double dense;       /* where the line of its panel is; NaN = none */
    bool begins;        /* a panel */
} bar;

typedef struct plot {
    const atn_table *t;
    int name[NAMES], id, text, value, limit;
    bool varies[NAMES];
    bool time;
    bar *bar; /* [n] */
    int n, panels;
    bool named; /* some panel has a name */
    atn_axis x;
    double texts, labels; /* points beside the bars: of steps, of values */
    double row;           /* points */
    atn_plot_area a;
    char note[200];
} plot;

static bool is_text_col(const atn_table *t, int col)
{
    return col >= 0 && atn_table_col_type(t, col) == ATN_COL_STR;
}

static plot columns_of(const atn_table *t, bool time)
{
    const int id = atn_table_find_col(t, "id"), step = atn_table_find_col(t, "step");

    return (plot){.t = t,
                  .name = {atn_table_find_col(t, "pattern"),
                           atn_table_find_col(t, "kernel"),
                           atn_table_find_col(t, "gpu")},
                  .id = is_text_col(t, id) ? id : step,
                  .text = atn_table_find_col(t, "text"),
                  .limit = atn_table_find_col(t, "limited_by"),
                  .value = atn_table_find_col(t, time ? "time_ms" : "speedup"),
                  .time = time};
}

static double value_of(const plot *p, atn_idx r)
{
    const double v = atn_table_get_f64(p->t, r, p->value);

    return isfinite(v) && v > 0 ? v : NAN;
}

static const char *step_of(const plot *p, atn_idx r)
{
    const char *text = atn_table_text(p->t, r, p->text);

    return *text ? text : atn_table_text(p->t, r, p->id);
}

static bool is_step(const plot *p, atn_idx r, const char *id)
{
    return strcmp(atn_table_text(p->t, r, p->id), id) == 0;
}

/* Is row r a bar? */
static bool is_bar(const plot *p, atn_idx r)
{
    return !is_step(p, r, "dense") && !(p->time && is_step(p, r, "whole"));
}

static bool begins(const plot *p, atn_idx r)
{
    if (r == 0) return true;
    for (int k = 0; k < NAMES; k++)
        if (strcmp(atn_table_text(p->t, r, p->name[k]),
                   atn_table_text(p->t, r - 1, p->name[k])) != 0)
            return true;
    return is_step(p, r, atn_table_text(p->t, 0, p->id));
}

static const char *check_values(const plot *p)
{
    for (atn_idx r = 0; r < atn_table_rows(p->t); r++)
        if (is_bar(p, r) && !isnan(value_of(p, r))) return NULL;
    return p->time ? "no row has a time" : "no row has a speed-up";
}

static const char *check(const atn_table *t)
{
    const plot speed = columns_of(t, false), time = columns_of(t, true);

    if (!is_text_col(t, speed.id))
        return "it has no column id nor step of texts (give the table of attnscope "
               "simulate --waterfall)";
    if (!atn_is_number_col(t, speed.value) && !atn_is_number_col(t, time.value))
        return "it has no numeric column speedup nor time_ms";
    if (atn_table_rows(t) > ROWS_MOST)
        return "it has more than 400 rows (keep fewer patterns)";
    if (atn_is_number_col(t, speed.value) && !check_values(&speed)) return NULL;
    if (!atn_is_number_col(t, time.value)) return check_values(&speed);
    return check_values(&time) ? "no row has a speed-up, nor a time" : NULL;
}

static atn_status find_bars(atn_ctx *cx, plot *p)
{
    double last = NAN, dense = NAN;
    atn_status st = ATN_OK;
    bool fresh = false;

    ATN_TAKE(p->bar, atn_table_rows(p->t));
    for (atn_idx r = 0; r < atn_table_rows(p->t); r++) {
        for (int k = 0; k < NAMES; k++)
            p->varies[k] |= strcmp(atn_table_text(p->t, r, p->name[k]),
                                   atn_table_text(p->t, 0, p->name[k])) != 0;
        if (begins(p, r)) {
            fresh = true;
            last = NAN;
            dense = p->time ? NAN : 1;
        }
        if (is_step(p, r, "dense")) dense = value_of(p, r);
        if (!is_bar(p, r)) continue;
        p->bar[p->n++] = (bar){r, value_of(p, r), last, dense, fresh};
        if (!isnan(value_of(p, r))) last = value_of(p, r);
        p->panels += fresh;
        fresh = false;
    }
done:
    return st;
}

/* The pattern, and of kernel and gpu what is different between panels, or not said in
 * the table's subtitle. */
static void name_of(const plot *p, atn_idx r, char *out, size_t size)
{
    const bool said = atn_table_get_meta(p->t, "subtitle") != NULL;

    *out = '\0';
    for (int k = 0; k < NAMES; k++) {
        const char *text =
            k == 0 || p->varies[k] || !said ? atn_table_text(p->t, r, p->name[k]) : "";
        const size_t n = strlen(out);

        if (*text) snprintf(out + n, size - n, "%s%.160s", n ? ", " : "", text);
    }
}

/* ---- layout ---- */

static void label_of(const plot *p, const bar *b, char *out, size_t size)
{
    const double v = b->value, last = b->last;
    const double factor = p->time ? v / last : last / v;
    char number[32];

    if (isnan(v)) {
        snprintf(out, size, "%s",
                 strcmp(atn_table_text(p->t, b->row, p->limit), "launch") == 0
                     ? "launch bound"
                     : "no value");
        return;
    }
    snprintf(number, sizeof number, v < 1e4 && v >= 1e-2 ? "%.3g" : "%.2g", v);
    if (v >= 1000 && v < 1e4) snprintf(number, sizeof number, "%.0f", v);
    if (isnan(factor) || fabs(factor - 1) < 5e-3)
        snprintf(out, size, "%s%s", number, p->time ? " ms" : "x");
    else if (p->time)
        snprintf(out, size, "%s ms (\xc3\x97 %.3g)", number, factor);
    else
        snprintf(out, size, "%sx (%s %.3g)", number,
                 factor > 1 ? "\xc3\xb7" : "\xc3\x97",
                 factor > 1 ? factor : 1 / factor);
}

/* A logarithm begins at 1, 2 or 5 times a power of ten, below all bars. Ticks: that
 * one, and as many of these as there is room for. */
static void log_ticks(atn_axis *x)
{
    static const double steps[] = {1, 2, 5};
    const double power = pow(10, floor(x->lo)), lead = pow(10, x->lo) / power;
    const double first = power * (lead >= 5 ? 5 : lead >= 2 ? 2 : 1);

    x->lo = log10(first);
    x->ticks = 0;
    x->tick[x->ticks++] = first;
    for (int e = (int)floor(x->lo); e <= (int)ceil(x->hi); e++)
        for (int k = 0; k < (x->hi - x->lo < 3.2 ? 3 : 1); k++) {
            const double v = steps[k] * pow(10, e);

            if (v < 1.01 * first || log10(v) > x->hi) continue;
            if (x->ticks < (int)ATN_LEN(x->tick)) x->tick[x->ticks++] = v;
        }
}

static atn_status find_axis(atn_ctx *cx, plot *p, int asked)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_idx n = 0;
    double *v = NULL;

    ATN_TAKE(v, 2 * p->n);
    for (int i = 0; i < p->n; i++) {
        if (!isnan(p->bar[i].value)) v[n++] = p->bar[i].value;
        if (!isnan(p->bar[i].dense)) v[n++] = p->bar[i].dense;
    }
    p->x = atn_axis_of(v, n, asked, true);
    if (p->x.log) {
        p->x.lo -= 0.1 * (p->x.hi - p->x.lo); /* no bar without length */
        log_ticks(&p->x);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static double note_of(atn_canvas *c, const plot *p, double y, bool draw)
{
    return atn_canvas_note(c,
                           &(atn_note){.x = c->width / 2,
                                       .y = y,
                                       .width = c->width - 2 * c->font,
                                       .size = 0.8,
                                       .text = p->note},
                           draw);
}

/* Points of everything but rows: heading, axis, note. */
static double around(atn_canvas *c, const plot *p)
{
    return atn_heading_height(p->t, 1, c->font) + c->font * (BELOW + 0.8) +
           note_of(c, p, 0, false);
}

/* Rows that panels are high: of steps, of names, of gaps between them. */
static double rows_of(const plot *p)
{
    const double names = p->named ? NAME / ROW : 0;

    return p->n + p->panels * names + (p->panels - 1) * GAP / ROW;
}

static atn_status lay_out(atn_ctx *cx, atn_canvas *c, const atn_table *t,
                          const waterfall_params *q, plot *p)
{
    bool time = q->value == VALUE_TIME;
    atn_status st = ATN_OK;
    char label[512];

    *p = columns_of(t, time);
    if (!time && (!atn_is_number_col(t, p->value) || check_values(p)))
        *p = columns_of(t, true);
    if (!atn_is_number_col(t, p->value) || check_values(p))
        ATN_FAIL(ATN_USAGE, "waterfall: the table has no times (give value=speedup)");
    ATN_TRY(find_bars(cx, p));
    for (int i = 0; i < p->n; i++) {
        label_of(p, &p->bar[i], label, sizeof label);
        p->labels = fmax(p->labels, atn_canvas_text_width(c, 0.85, label));
        p->texts =
            fmax(p->texts, atn_canvas_text_width(c, 0.9, step_of(p, p->bar[i].row)));
        name_of(p, p->bar[i].row, label, sizeof label);
        p->named |= *label != 0;
    }
    p->texts = fmin(p->texts, TEXT_MOST * c->width);
    snprintf(p->note, sizeof p->note, "%s",
             p->time ? "dark: time as far as each step goes; pale: what the step adds, "
                       "and by what factor; dashed: dense attention"
                     : "dark: speed-up that each step leaves; pale: what it takes, and "
                       "by what factor; dashed: dense attention");
    ATN_TRY(find_axis(cx, p, q->axis));
    p->a = (atn_plot_area){.x = p->texts + c->font * 1.6,
                           .y = atn_heading_height(t, 1, c->font) + c->font * 0.4};
    p->a.w = c->width - p->a.x - p->labels - c->font * 1.8;
    p->row = c->font * ROW;
    if (isfinite(c->height)) p->row = (c->height - around(c, p)) / rows_of(p);
    p->a.h = p->row * rows_of(p);
    ATN_TRY(atn_canvas_fits(cx, c, p->a.w, p->row < c->font ? 0 : p->a.h + c->font));
done:
    return st;
}

static atn_status height(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *q,
                         const atn_figure_opts *o, double *points)
{
    atn_status st = ATN_OK;
    plot p;

    (void)o;
    ATN_TRY(lay_out(cx, c, t, q, &p));
    *points = around(c, &p) + p.a.h;
done:
    return st;
}

/* ---- drawing ---- */

/* Centred below the bars, within the page. */
static void draw_label(atn_canvas *c, const plot *p, double y, const char *text)
{
    const double half = atn_canvas_text_width(c, 0.95, text) / 2 + c->font * 0.5;
    const double middle = fmin(p->a.x + p->a.w / 2, c->width - half);

    atn_canvas_grey(c, 0);
    atn_canvas_text(c, fmax(middle, half), y, ATN_CENTRE, 0.95, 0, c->width, text);
}

static void draw_axis(atn_canvas *c, plot *p)
{
    const atn_plot_area *a = &p->a;
    double last = -INFINITY;
    char text[32];

    p->a.x0 = p->x.lo;
    p->a.x1 = p->x.hi;
    for (int i = 0; i < p->x.ticks; i++) {
        const double at = atn_plot_px(a, atn_axis_place(&p->x, p->x.tick[i]));
        double half;

        atn_number_label(p->x.tick[i], text);
        half = atn_canvas_text_width(c, 0.85, text) / 2;
        if (at - half < last + c->font * 0.4) continue;
        last = at + half;
        atn_canvas_grey(c, 0);
        atn_canvas_text(c, at, a->y + a->h + c->font * 0.8, ATN_CENTRE, 0.85, 0, 0,
                        text);
    }
    draw_label(c, p, a->y + a->h + c->font * 2.2,
               p->time ? "time (ms)" : "speed-up over dense");
}

/* From value v0 to v1 at row y; v0 NaN = from the edge. */
static void draw_piece(atn_canvas *c, const plot *p, double y, double v0, double v1)
{
    const double x0 =
        isnan(v0) ? p->a.x : atn_plot_px(&p->a, atn_axis_place(&p->x, v0));
    const double x1 = atn_plot_px(&p->a, atn_axis_place(&p->x, v1));

    atn_canvas_rect(c, fmin(x0, x1), y + 0.14 * p->row, fabs(x1 - x0), 0.72 * p->row);
}

static void draw_bar(atn_canvas *c, const plot *p, const bar *b, double y)
{
    const double v = b->value, last = b->last;
    const bool better = p->time ? v < last : v > last;

    if (isnan(v)) return;
    atn_canvas_colour(c, atn_palette_category(LEFT_OVER));
    draw_piece(c, p, y, NAN, isnan(last) ? v : fmin(v, last));
    if (isnan(last) || v == last) return;
    atn_canvas_colour(c, atn_palette_category(better ? WON : LOST));
    draw_piece(c, p, y, last, v);
}

static double px_of(const plot *p, double v)
{
    return atn_plot_px(&p->a, atn_axis_place(&p->x, v));
}

/* Takes the line of dense attention away behind a label from x on. */
static void clear_line(atn_canvas *c, const plot *p, const bar *b, double x, double w,
                       double y)
{
    const double line = isnan(b->dense) ? -INFINITY : px_of(p, b->dense);

    if (line < x - 1 || line > x + w + 1) return;
    atn_canvas_grey(c, 1);
    atn_canvas_rect(c, line - 1, y + p->row / 2 - c->font * 0.6, 2, c->font * 1.2);
}

static void draw_texts(atn_canvas *c, const plot *p, const bar *b, double y)
{
    const double v = b->value, last = b->last;
    /* right of the bar, or of the line where there is none */
    const double far = isnan(v) ? b->dense : fmax(isnan(last) ? v : last, v);
    const double x = c->font * 0.4 + (isnan(far) ? p->a.x : px_of(p, far));
    char label[96];

    label_of(p, b, label, sizeof label);
    clear_line(c, p, b, x, atn_canvas_text_width(c, 0.85, label), y);
    atn_canvas_grey(c, isnan(v) ? 0.45 : 0);
    atn_canvas_text(c, x, y + p->row / 2, ATN_LEFT, 0.85, 0, 0, label);
    atn_canvas_text(c, p->a.x - c->font * 0.5, y + p->row / 2, ATN_RIGHT, 0.9, 0,
                    p->texts, step_of(p, b->row));
}

/* Of a panel from y0 to y1: rules at the ticks. */
static void draw_rules(atn_canvas *c, const plot *p, double y0, double y1)
{
    for (int i = 0; i < p->x.ticks; i++) {
        const double at = atn_plot_px(&p->a, atn_axis_place(&p->x, p->x.tick[i]));

        atn_canvas_grey(c, 0.9);
        atn_canvas_line(c, at, y0, at, y1, 0.4);
    }
}

/* Its edge, and a line where dense is. */
static void draw_edges(atn_canvas *c, const plot *p, double dense, double y0, double y1)
{
    static const double dash[] = {3, 2};
    const double x = atn_plot_px(&p->a, atn_axis_place(&p->x, dense));

    atn_canvas_grey(c, 0.4);
    atn_canvas_line(c, p->a.x, y0, p->a.x, y1, 0.5);
    if (isnan(dense)) return;
    cairo_set_dash(c->cr, dash, 2, 0);
    atn_canvas_line(c, x, y0, x, y1, 0.8);
    cairo_set_dash(c->cr, NULL, 0, 0);
}

/* Bars [i, end) of a panel. */
static void draw_panel(atn_canvas *c, const plot *p, int i, int end, double y)
{
    const double foot = y + (end - i) * p->row;

    draw_rules(c, p, y, foot);
    for (int k = i; k < end; k++) draw_bar(c, p, &p->bar[k], y + (k - i) * p->row);
    draw_edges(c, p, p->bar[i].dense, y, foot);
    for (int k = i; k < end; k++) draw_texts(c, p, &p->bar[k], y + (k - i) * p->row);
}

static void draw_panels(atn_canvas *c, const plot *p)
{
    const double high = p->named ? p->row * NAME / ROW : 0;
    double y = p->a.y;
    char name[512];
    int end;

    for (int i = 0; i < p->n; i = end) {
        for (end = i + 1; end < p->n && !p->bar[end].begins;) end++;
        name_of(p, p->bar[i].row, name, sizeof name);
        atn_canvas_grey(c, 0);
        atn_canvas_bold(c, c->font, y + high / 2, ATN_LEFT, 0.9, c->width - 2 * c->font,
                        name);
        draw_panel(c, p, i, end, y + high);
        y += high + p->row * (end - i + GAP / ROW);
    }
}

static atn_status draw(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *q,
                       const atn_figure_opts *o)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_figure_opts with = *o;
    atn_status st = ATN_OK;
    plot p;

    ATN_TRY(lay_out(cx, c, t, q, &p));
    if (!o->title && !atn_table_get_meta(t, "title"))
        with.title = p.time ? "Where the time goes" : "Where the speed-up goes";
    (void)atn_figure_heading(c, t, &with, 1);
    draw_axis(c, &p);
    draw_panels(c, &p);
    atn_canvas_grey(c, 0.35);
    (void)note_of(c, &p, p.a.y + p.a.h + c->font * BELOW, true);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_figure atn_figure_waterfall = {
    .id = "waterfall",
    .title = "Where the speed-up goes",
    .text = "what every step of the simulation takes of a speed-up, of a table of "
            "simulate --waterfall",
    .params = params,
    .params_size = sizeof(waterfall_params),
    .check = check,
    .height = height,
    .draw = draw,
};
