/* viz/coverage.c -- coverage curves: how many keys it takes to hold a share of the
 * weight.
 *
 * Accepts  a table of kind coverage: columns layer, head (and stack, step), coverage,
 *          and share_mean (of the visible keys) or the column that meta `y` names, such
 *          as keys_mean. The values of coverage stand at equal steps; .9, .95 and .99
 *          are marked.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>

#include "viz/panels.h"

extern const atn_figure atn_figure_coverage;

static const atn_param params[] = {
    ATN_PARAM_CHOICE(
        atn_panels_params, lines, 0, ATN_LINES_CHOICES,
        "one line a head, or one a layer; auto: a head where there is one layer"),
    ATN_PARAM_END,
};

static void tick(double x, char *out, size_t size)
{
    snprintf(out, size, "%.6g %%", 100 * x);
}

static bool marked(double x)
{
    return fabs(x - .9) < 1e-9 || fabs(x - .95) < 1e-9 || fabs(x - .99) < 1e-9;
}

static const char *const y[][2] = {{"share_mean", "keys needed / visible keys"},
                                   {"keys_mean", "keys needed"},
                                   {NULL, NULL}};

static const atn_curve_kind kind = {.x = "coverage",
                                    .lack = "it has no column coverage",
                                    .fewer = "curves (leave some of them out)",
                                    .x_label =
                                        "share of a row's weight that is to be held",
                                    .y = y,
                                    .panels_most = 1,
                                    .tick = tick,
                                    .marked = marked};

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

const atn_figure atn_figure_coverage = {
    .id = "coverage",
    .title = "Keys that hold the weight",
    .text = "share of the keys that hold 50 to 99.9 % of a row's weight",
    .params = params,
    .params_size = sizeof(atn_panels_params),
    .columns = ATN_FIGURE_Y,
    .check = check,
    .height = height,
    .draw = draw,
};
