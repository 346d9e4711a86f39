/* approx/patterns/window.c -- the nearest keys.
 *
 * Math    with distance D = i - j in blocks: 0 <= D < window; two-sided |D| < window.
 *         The query's own block counts, so `window` blocks are seen, or 2 window - 1.
 * Oracle  causal n w - w (w - 1) / 2 pairs: 7,872,000 for n = 8192, w = 1025; two-sided
 *         15,735,808. After k layers the last sees min(n, k (w - 1) + 1).
 * Limits  cut off at the ends, unlike neighbourhood attention (gna), which moves the
 *         window.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/generate.h"

typedef struct window {
    int64_t window, block;
    bool two_sided;
} window;

static const atn_param params[] = {
    ATN_PARAM_I64(window, window, 1024, 1, ATN_EXTENT_MOST,
                  "blocks seen to one side, the query's own among them"),
    ATN_PARAM_BOOL(window, two_sided, 0, "as many ahead as behind; else causal"),
    ATN_PARAM_BLOCK(window, 1),
    ATN_PARAM_END,
};

static atn_status make(atn_ctx *cx, const void *params_, const atn_layout *l,
                       atn_pattern **out)
{
    const window *t = params_;
    const atn_frame f = atn_generator_frame(l, t->block, !t->two_sided);
    atn_span near;

    atn_generator_comb(atn_generator_reach(&f), 1, t->window, t->two_sided, &near);
    return atn_pattern_shift(cx, &f, &near, 1, 0, out);
}

const atn_generator atn_generator_window = {
    .id = "window",
    .title = "Sliding window",
    .source = "Child et al., arXiv 1904.10509; Beltagy et al., arXiv 2004.05150",
    .text = "the nearest keys",
    .params = params,
    .params_size = sizeof(window),
    .budget = "window",
    .make = make,
};
