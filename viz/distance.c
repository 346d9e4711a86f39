/* viz/distance.c -- the distance profile: how much of the weight lies how far away.
 *
 * Accepts  a table of kind distance: columns layer, head (and stack, step),
 *          distance_first_tokens, the first distance of a bin, and mass_share. Bins are
 *          0, 1, 2-3, 4-7, ...: equal steps along x are powers of two.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>

#include "viz/panels.h"

extern const atn_figure atn_figure_distance;

static const atn_param params[] = {
    ATN_PARAM_CHOICE(
        atn_panels_params, lines, 0, ATN_LINES_CHOICES,
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

static const char *const y[][2] = {{"mass_share", "share of the weight"}, {NULL, NULL}};

static const atn_curve_kind kind = {.x = "distance_first_tokens",
                                    .lack = "it has no column distance_first_tokens",
                                    .fewer = "curves (join distances)",
                                    .x_label = "distance (tokens), in doubling bins",
                                    .y = y,
                                    .panels_most = 12,
                                    .tick = tick};

static const char *check(const atn_table *t)
{
    return atn_panels_check(t, &kind);
}

static atn_status height(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                         const atn_figure_opts *o, double *points)
{
    (void)o;
    return atn_panels_height(cx, c, t, (atn_panels){&kind, p}, points);
}

static atn_status draw(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                       const atn_figure_opts *o)
{
    return atn_panels_draw(cx, c, t, (atn_panels){&kind, p}, o);
}

const atn_figure atn_figure_distance = {
    .id = "distance",
    .title = "How far the weight lies",
    .text = "share of the weight by distance of query and key, in doubling bins",
    .params = params,
    .params_size = sizeof(atn_panels_params),
    .columns = ATN_FIGURE_Y,
    .check = check,
    .height = height,
    .draw = draw,
};
