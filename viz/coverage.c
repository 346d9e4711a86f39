/* viz/coverage.c -- coverage curves: how many keys it takes to hold a share of the weight.
 *
 * Accepts  a table of kind coverage: columns layer, head (and stack, step), coverage, and share_mean
 *          (of the visible keys) or the column that meta `y` names, such as keys_mean. The values
 *          of coverage stand at equal steps; .9, .95 and .99 are marked.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>

#include "viz/panels.h"

extern const atn_figure atn_figure_coverage;

typedef struct coverage_params {
    int lines;
} coverage_params;

static const atn_param params[] = {
    ATN_PARAM_CHOICE(
        coverage_params, lines, 0, ATN_LINES_CHOICES,
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

static atn_panels panels_of(const atn_table *t, const void *p)
{
    const coverage_params *q = p;

    const int usual = atn_table_find_col(t, "share_mean"),
              keys = atn_table_find_col(t, "keys_mean");
    const int y = atn_meta_col(t, "y", usual);

    return (atn_panels){.x_col = atn_table_find_col(t, "coverage"),
                        .y_col = y,
                        .y_label = y == usual  ? "share of visible keys"
                                   : y == keys ? "keys"
                                               : NULL,
                        .lines = q ? (atn_lines)q->lines : ATN_LINES_AUTO,
                        .panels_most = 1,
                        .x_label = "share of a row's weight that is to be held",
                        .tick = tick,
                        .marked = marked};
}

static const char *check(const atn_table *t)
{
    const atn_panels k = panels_of(t, NULL);

    if (k.x_col < 0) return "it has no column coverage";
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

const atn_figure atn_figure_coverage = {
    .id = "coverage",
    .title = "Keys that hold the weight",
    .text = "share of the keys that hold 50 to 99.9 % of a row's weight",
    .params = params,
    .params_size = sizeof(coverage_params),
    .columns = ATN_FIGURE_Y,
    .check = check,
    .height = height,
    .draw = draw,
};
