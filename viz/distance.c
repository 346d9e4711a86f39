/* viz/distance.c -- the distance profile: how much of the weight lies how far away.
 *
 * Accepts  a table of kind distance: columns layer, head (and stack, step), distance_first_tokens,
 *          the first distance of a bin, and mass_share. Bins are 0, 1, 2-3, 4-7, ...: equal steps
 *          along x are powers of two.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>

#include "viz/panels.h"

extern const atn_figure atn_figure_distance;

typedef struct distance_params {
    int lines;
} distance_params;

static const atn_param params[] = {
    ATN_PARAM_CHOICE(
        distance_params, lines, 0, ATN_LINES_CHOICES,
        "one line a head, or one a layer; auto: a layer where there are many"),
    ATN_PARAM_END,
};

/* 0, 1, 2, 4, .. 512, 1k, .. */
static void tick(double x, char *out, size_t size)
{
    if (x >= 1024)
        snprintf(out, size, "%.4gk", x / 1024);
    else
        snprintf(out, size, "%.4g", x);
}

static atn_panels panels_of(const atn_table *t, const void *p)
{
    const distance_params *q = p;

    const int usual = atn_table_find_col(t, "mass_share");
    const int y = atn_meta_col(t, "y", usual);

    return (atn_panels){.x_col = atn_table_find_col(t, "distance_first_tokens"),
                        .y_col = y,
                        .y_label = y == usual ? "share of the weight" : NULL,
                        .lines = q ? (atn_lines)q->lines : ATN_LINES_AUTO,
                        .panels_most = 12,
                        .x_label = "distance (tokens), in doubling bins",
                        .tick = tick};
}

static const char *check(const atn_table *t)
{
    const atn_panels k = panels_of(t, NULL);

    if (k.x_col < 0) return "it has no column distance_first_tokens";
    return atn_panels_check(t, k.x_col, k.y_col);
}

static atn_status height(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                         const atn_figure_opts *o, double *points)
{
    const atn_panels k = panels_of(t, p);

    return atn_panels_height(cx, c, t, &k, o, points);
}

static atn_status draw(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                       const atn_figure_opts *o)
{
    const atn_panels k = panels_of(t, p);

    return atn_panels_draw(cx, c, t, &k, o);
}

const atn_figure atn_figure_distance = {
    .id = "distance",
    .title = "How far the weight lies",
    .text = "share of the weight by distance of query and key, in doubling bins",
    .params = params,
    .params_size = sizeof(distance_params),
    .columns = ATN_FIGURE_Y,
    .check = check,
    .height = height,
    .draw = draw,
};
