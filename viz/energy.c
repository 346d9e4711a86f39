/* viz/energy.c -- what message passing does from iteration to iteration.
 *
 * Accepts  a table of kind adapter: columns layer, head (and stack, step), iteration, p
 *          where there are several, and energy or the column that meta `y` names. The
 *          energy is shown by that of the first iteration that there is; the label says
 *          which where it is not 0.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/panels.h"

extern const atn_figure atn_figure_energy;

static const atn_param params[] = {
    ATN_PARAM_CHOICE(
        atn_panels_params, lines, 0, ATN_LINES_CHOICES_SPREAD,
        "one line a head, one a layer, or the heads' median; auto: as many as can be "
        "told apart"),
    ATN_PARAM_CHOICE(atn_panels_params, axis, 0, ATN_Y_AXIS_CHOICES,
                     "linear or log; auto: log where the largest value is a hundred "
                     "times the least"),
    ATN_PARAM_BOOL(atn_panels_params, absolute, 0,
                   "the energy as it is, not by that of the first iteration"),
    ATN_PARAM_END,
};

static const char *const y[][2] = {
    {"energy", "energy"}, {"output_change", "change of the output"}, {NULL, NULL}};

static const atn_curve_kind kind = {
    .title = "Energy by iteration",
    .x = "iteration",
    .lack = "it has no column iteration",
    .fewer = "curves (give attnscope graph fewer --iterations)",
    .x_label = "iteration",
    .y = y,
    .panels_most = 12,
    .numeric = true,
    .by = "p",
    .relative = "energy",
    .relative_label = "relative energy",
    .spread = true,
    .loose = true};

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

const atn_figure atn_figure_energy = {
    .id = "energy",
    .title = "Message passing by iteration",
    .text = "energy, or another value, of p-Laplacian message passing by iteration",
    .params = params,
    .params_size = sizeof(atn_panels_params),
    .columns = ATN_FIGURE_Y,
    .check = check,
    .height = height,
    .draw = draw,
};
