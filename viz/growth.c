/* viz/growth.c -- how the receptive field grows with depth, a line a pattern.
 *
 * Accepts  a table of kind field: depth, and accuracy_last or the column that meta `y`
 *          names; a line a value of pattern, or of the column that meta `series` names.
 *
 * Patterns that are complete coincide at 1: lines differ in dashes and marks as well as
 * in colour.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/lines.h"

extern const atn_figure atn_figure_growth;

static const char *const y[][2] = {
    {"accuracy_last", "share reached by the last token"},
    {"reached_blocks_last", "blocks reached by the last token"},
    {"reached_tokens_last", "tokens reached by the last one"},
    {"contiguous_blocks_last", "blocks on end, last token"},
    {"pairs_share", "share of visible pairs reached"},
    {"rows_complete_share", "share of rows that are complete"},
    {NULL, NULL}};

static const atn_line_kind kind = {.title = "Receptive field by depth",
                                   .x = "depth",
                                   .y = "accuracy_last",
                                   .series = "pattern",
                                   .x_label = "layers",
                                   .y_labels = y,
                                   .marks = true};

static const char *check(const atn_table *t)
{
    if (atn_table_find_col(t, "depth") < 0) return "it has no column depth";
    if (!atn_table_get_meta(t, "y") && atn_table_find_col(t, kind.y) < 0)
        return "it has no column accuracy_last";
    return atn_lines_check(t, &kind);
}

static atn_status height(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                         const atn_figure_opts *o, double *points)
{
    (void)p, (void)o;
    return atn_lines_height(cx, c, t, &kind, points);
}

static atn_status draw(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *p,
                       const atn_figure_opts *o)
{
    (void)p;
    return atn_lines_draw(cx, c, t, &kind, o);
}

const atn_figure atn_figure_growth = {
    .id = "growth",
    .title = "Receptive field by depth",
    .text = "how far a token can see after every layer, a line a pattern",
    .columns = ATN_FIGURE_Y | ATN_FIGURE_SERIES,
    .check = check,
    .height = height,
    .draw = draw,
};
