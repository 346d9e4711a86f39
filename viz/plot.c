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
    static const char *const keys[] = {"stack",   "step",     "layer",
                                       "head",    "position", "layer_a",
                                       "layer_b", "head_a",   "head_b"};

    for (size_t i = 0; i < ATN_LEN(keys); i++)
        if (strcmp(keys[i], atn_table_col_name(t, col)) == 0) return true;
    return false;
}

int atn_first_value_col(const atn_table *t)
{
    for (int c = 0; c < atn_table_cols(t); c++)
        if (atn_is_number_col(t, c) && !atn_is_key_col(t, c)) return c;
    return -1;
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

double atn_plot_heading(atn_canvas *c, const atn_table *t, const atn_figure_opts *o,
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
    return atn_figure_heading(c, t, &with);
}

double atn_plot_px(const atn_plot_area *a, double x)
{
    return a->x + (x - a->x0) / (a->x1 - a->x0) * a->w;
}

double atn_plot_py(const atn_plot_area *a, double y)
{
    return a->y + a->h - (y - a->y0) / (a->y1 - a->y0) * a->h;
}

void atn_plot_frame(atn_canvas *c, const atn_plot_area *a, const char *y_label)
{
    double ticks[16];
    const int n = atn_nice_ticks(a->y0, a->y1,
                                 (int)fmax(2, fmin(6, a->h / (c->font * 3))), ticks);
    char text[32];

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
    atn_canvas_text(c, c->font, a->y + a->h / 2, ATN_CENTRE, 0.95, -90, a->h, y_label);
}

double atn_plot_legend(atn_canvas *c, double x, double y, double width,
                       const char *const *names, int n, bool draw)
{
    const double row = c->font * 1.4;
    double at = x, down = 0;

    for (int i = 0; i < n; i++) {
        const double w = c->font * 2.6 + atn_canvas_text_width(c, 0.85, names[i]);

        if (at > x && at + w > x + width) {
            at = x;
            down += row;
        }
        if (draw) {
            atn_canvas_colour(c, atn_palette_series(i, n));
            atn_canvas_rect(c, at, y + down + row / 2 - c->font * 0.35, c->font * 1.2,
                            c->font * 0.7);
            atn_canvas_grey(c, 0.15);
            atn_canvas_text(c, at + c->font * 1.6, y + down + row / 2, ATN_LEFT, 0.85,
                            0, width, names[i]);
        }
        at += w;
    }
    return down + row;
}
