/* approx/patterns/dilated.c -- every r-th key of a window.
 *
 * Math    D = i - j in blocks: D mod dilation = 0 and 0 <= D / dilation < window;
 *         two-sided |D|.
 * Oracle  the last row reaches min(ceil(n / r), k (w - 1) + 1) after k layers and never
 *         the distances that r does not divide; 128 blocks of power_dilated: 64.
 * Source  dilated windows as in Beltagy et al., Longformer, arXiv 2004.05150;
 *         power_dilated: Chen et al., PowerAttention, arXiv 2503.03588, algorithm 4.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/generate.h"

typedef struct dilated {
    int64_t window, dilation, block;
    bool two_sided;
} dilated;

static const atn_param params[] = {
    ATN_PARAM_I64(dilated, window, 512, 1, ATN_EXTENT_MOST,
                  "blocks seen to one side, the query's own among them"),
    ATN_PARAM_I64(dilated, dilation, 2, 1, ATN_EXTENT_MOST,
                  "distance of one to the next"),
    ATN_PARAM_BOOL(dilated, two_sided, 0, "as many ahead as behind; else causal"),
    ATN_PARAM_BLOCK(dilated, 1),
    ATN_PARAM_END,
};

static const atn_preset presets[] = {
    {"power_dilated", "block=256,window=10,dilation=2",
     "the dilated window that PowerAttention is compared with"},
    {NULL, NULL, NULL},
};

static atn_status make(atn_ctx *cx, const void *params_, const atn_layout *l,
                       atn_pattern **out)
{
    const dilated *t = params_;
    const atn_frame f = atn_generator_frame(l, t->block, !t->two_sided);
    const atn_idx reach = atn_generator_reach(&f);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_span *teeth = NULL;
    atn_idx n;

    n = atn_generator_comb(reach, t->dilation, t->window, t->two_sided, NULL);
    ATN_TAKE(teeth, n);
    atn_generator_comb(reach, t->dilation, t->window, t->two_sided, teeth);
    ATN_TRY(atn_pattern_shift(cx, &f, teeth, n, 0, out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static double bytes(const void *params_, const atn_layout *l)
{
    const dilated *t = params_;

    return 64 * (2 * ATN_MIN((double)t->window, (double)(l->first + l->nq)) + 2);
}

const atn_generator atn_generator_dilated = {
    .id = "dilated",
    .title = "Dilated window",
    .source = "Beltagy et al., Longformer, arXiv 2004.05150",
    .text = "every r-th of the nearest keys",
    .params = params,
    .params_size = sizeof(dilated),
    .budget = "window",
    .presets = presets,
    .make = make,
    .bytes = bytes,
};
