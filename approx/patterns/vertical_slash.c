/* approx/patterns/vertical_slash.c -- given columns and given diagonals.
 *
 * Math    j <= i, in blocks: j in columns, or i - j in diagonals.
 * Oracle  pairs = sum over columns c of (n - c) + over diagonals d of (n - d) - the
 *         crossings c + d < n.
 * Source  the form of Jiang et al., MInference, arXiv 2407.02490; there the columns and
 *         diagonals are chosen for every prompt.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/generate.h"

#include <string.h>

typedef struct vertical_slash {
    atn_list columns, diagonals;
    int64_t sink, window, block;
} vertical_slash;

static const atn_param params[] = {
    ATN_PARAM_LIST(vertical_slash, columns, "", 0, ATN_EXTENT_MOST,
                   "blocks that all later ones see"),
    ATN_PARAM_LIST(vertical_slash, diagonals, "", 0, ATN_EXTENT_MOST,
                   "distances that are seen"),
    ATN_PARAM_I64(vertical_slash, sink, 1, 0, ATN_EXTENT_MOST,
                  "first columns, besides those listed"),
    ATN_PARAM_I64(vertical_slash, window, 1, 0, ATN_EXTENT_MOST,
                  "first diagonals, besides those listed"),
    ATN_PARAM_BLOCK(vertical_slash, 1),
    ATN_PARAM_END,
};

/* The columns as boxes over all rows; *out is NULL without one. */
static atn_status verticals(atn_ctx *cx, const vertical_slash *t, const atn_frame *f,
                            atn_pattern **out)
{
    const atn_idx reach = atn_generator_reach(f);
    atn_status st = ATN_OK;
    atn_span *spans = NULL;
    atn_box *boxes = NULL;
    atn_idx n = 0;

    *out = NULL;
    ATN_TRY(atn_generator_places(cx, "vertical_slash", "column", f, &t->columns, &spans,
                                 &n));
    ATN_TAKE(boxes, ATN_MAX(n, 1));
    for (atn_idx i = 0; i < n; i++)
        boxes[i] = (atn_box){{spans[i].lo, reach}, spans[i]};
    if (n) ATN_TRY(atn_pattern_boxes(cx, f, boxes, n, out));
done:
    return st;
}

static atn_status make(atn_ctx *cx, const void *params_, const atn_layout *l,
                       atn_pattern **out)
{
    const vertical_slash *t = params_;
    const atn_frame f = atn_generator_frame(l, t->block, true);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_pattern *slashes = NULL, *columns = NULL;
    atn_span offsets[ATN_LIST_MOST + 1], *spans = NULL;
    atn_status st = ATN_OK;
    atn_idx n = 0;

    ATN_TRY(atn_generator_places(cx, "vertical_slash", "diagonal", &f, &t->diagonals,
                                 &spans, &n));
    memcpy(offsets, spans, (size_t)n * sizeof *spans);
    if (t->window)
        n += atn_generator_comb(atn_generator_reach(&f), 1, t->window, false,
                                offsets + n);
    ATN_TRY(verticals(cx, t, &f, &columns));
    ATN_TRY(atn_pattern_shift(cx, &f, offsets, n, atn_generator_first(&f, t->sink),
                              &slashes));
    st = atn_generator_join(cx, slashes, columns, out);
    slashes = columns = NULL;
done:
    atn_pattern_destroy(cx, slashes);
    atn_pattern_destroy(cx, columns);
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_generator atn_generator_vertical_slash = {
    .id = "vertical_slash",
    .title = "Vertical and slash lines",
    .source = "Jiang et al., MInference, arXiv 2407.02490",
    .text = "given keys, and keys at given distances",
    .params = params,
    .params_size = sizeof(vertical_slash),
    .budget = "window",
    .make = make,
};
