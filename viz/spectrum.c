/* viz/spectrum.c -- how the energy of a signal is spread over the frequencies of a
 * head's graph.
 *
 * Accepts  a table of kind spectrum: columns layer, head (and stack, step), lambda_low
 *          and lambda_high, the edges of a band of eigenvalues in [0, 2], and
 *          energy_share or the column that meta `y` names; response, where there is
 *          one, is drawn beside it. Without lambda_high a row is of one eigenvalue. Or
 *          one of kind response: p, frequency_low, frequency_high, energy_in_share,
 *          gain.
 * Limits   256 different bands.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/panels.h"

extern const atn_figure atn_figure_spectrum;

static const atn_param params[] = {
    ATN_PARAM_CHOICE(
        atn_panels_params, lines, 0, ATN_LINES_CHOICES_SPREAD,
        "one line a head, one a layer, or the heads' median; auto: as many as can be "
        "told apart"),
    ATN_PARAM_END,
};

static const char *const y[][2] = {{"energy_share", "share of energy"}, {NULL, NULL}};

static const atn_curve_kind bands = {
    .title = "Energy by graph frequency",
    .x = "lambda_low",
    .lack = "it has no column lambda_low or lambda",
    .fewer = "curves (give attnscope graph --spectrum a --bins of 1 .. 256)",
    .x_label = "graph frequency, an eigenvalue of the Laplacian",
    .y = y,
    .panels_most = 12,
    .numeric = true,
    .to = 2,
    .x_high = "lambda_high",
    .by = "p",
    .other = "response",
    .spread = true};

static const char *const response_y[][2] = {
    {"energy_in_share", "share of energy, before"},
    {"energy_out_share", "share of energy, after"},
    {NULL, NULL}};

/* A table of single eigenvalues names them lambda, one of message passing has names of
 * its own. */
static atn_curve_kind kind_of(const atn_table *t)
{
    atn_curve_kind k = bands;

    if (atn_table_find_col(t, "frequency_low") >= 0) {
        k.x = "frequency_low";
        k.x_high = "frequency_high";
        k.y = response_y;
        k.other = "gain";
    } else if (atn_table_find_col(t, "lambda_low") < 0) {
        k.x = "lambda";
        k.x_high = NULL;
    }
    return k;
}

static const char *check(const atn_table *t)
{
    const atn_curve_kind k = kind_of(t);

    return atn_panels_check(t, &k);
}

static atn_status height(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                         const atn_figure_opts *o, double *points)
{
    const atn_curve_kind k = kind_of(t);

    (void)o;
    return atn_panels_height(cx, c, t, (atn_panels){&k, p}, points);
}

static atn_status draw(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                       const atn_figure_opts *o)
{
    const atn_curve_kind k = kind_of(t);

    return atn_panels_draw(cx, c, t, (atn_panels){&k, p}, o);
}

const atn_figure atn_figure_spectrum = {
    .id = "spectrum",
    .title = "Energy by graph frequency",
    .text = "how much of a head's signal lies in low and high graph frequencies",
    .params = params,
    .params_size = sizeof(atn_panels_params),
    .columns = ATN_FIGURE_Y,
    .check = check,
    .height = height,
    .draw = draw,
};
