/* approx/patterns/longformer.c -- a dilated window to both sides, and global tokens.
 *
 * Math    |i - j| <= window dilation and dilation divides i - j; or j is global; or i
 *         is, in blocks. Causal: j <= i as well.
 * Oracle  window >= n - 1, dilation 1, no global token: full attention. dilation 2 and
 *         no global token: odd distances are never reached. After k layers 1 + 2 k w.
 * Source  Beltagy et al., Longformer, arXiv 2004.05150; allenai/longformer, where
 *         attention_window is one-sided, too. first = w and window = w: the global
 *         sliding window of Bu et al., arXiv 2510.17896, with full strips.
 * Limits  cut off at the ends. That global rows have projections of their own is no
 *         matter of the pattern.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/generate.h"

typedef struct longformer {
    atn_list global;
    int64_t window, dilation, first, block;
    bool causal;
} longformer;

static const atn_param params[] = {
    ATN_PARAM_I64(longformer, window, 256, 0, ATN_EXTENT_MOST,
                  "neighbours to either side, without the query's own"),
    ATN_PARAM_I64(longformer, dilation, 1, 1, ATN_EXTENT_MOST,
                  "distance of one neighbour to the next"),
    ATN_PARAM_LIST(longformer, global, "", 0, ATN_EXTENT_MOST,
                   "blocks that see all and that all see"),
    ATN_PARAM_I64(longformer, first, 0, 0, ATN_EXTENT_MOST,
                  "first blocks that are global, besides those listed"),
    ATN_PARAM_BOOL(longformer, causal, 0, "keys up to the query only"),
    ATN_PARAM_BLOCK(longformer, 1),
    ATN_PARAM_END,
};

/* The rows and columns of the global blocks; *out is NULL without one. */
static atn_status globals(atn_ctx *cx, const longformer *t, const atn_frame *f,
                          atn_pattern **out)
{
    const atn_span all = {0, atn_generator_reach(f)};
    const atn_span first = {0, atn_generator_first(f, t->first)};
    atn_status st = ATN_OK;
    atn_span *spans = NULL;
    atn_box *boxes = NULL;
    atn_idx n = 0, made = 0;

    *out = NULL;
    ATN_TRY(
        atn_generator_places(cx, "longformer", "global", f, &t->global, &spans, &n));
    ATN_TAKE(boxes, 2 * n + 2);
    for (atn_idx i = 0; i < n; i++) {
        boxes[made++] = (atn_box){all, spans[i]};
        boxes[made++] = (atn_box){spans[i], all};
    }
    if (t->first) {
        boxes[made++] = (atn_box){all, first};
        boxes[made++] = (atn_box){first, all};
    }
    if (made) ATN_TRY(atn_pattern_boxes(cx, f, boxes, made, out));
done:
    return st;
}

static atn_status make(atn_ctx *cx, const void *params_, const atn_layout *l,
                       atn_pattern **out)
{
    const longformer *t = params_;
    const atn_frame f = atn_generator_frame(l, t->block, t->causal);
    const atn_idx reach = atn_generator_reach(&f), side = t->window + 1;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_pattern *near = NULL, *global = NULL;
    atn_status st = ATN_OK;
    atn_span *teeth = NULL;
    atn_idx n;

    n = atn_generator_comb(reach, t->dilation, side, !t->causal, NULL);
    ATN_TAKE(teeth, n);
    atn_generator_comb(reach, t->dilation, side, !t->causal, teeth);
    ATN_TRY(globals(cx, t, &f, &global));
    ATN_TRY(atn_pattern_shift(cx, &f, teeth, n, 0, &near));
    st = atn_generator_join(cx, near, global, out);
    near = global = NULL;
done:
    atn_pattern_destroy(cx, near);
    atn_pattern_destroy(cx, global);
    atn_arena_rewind(cx, mark);
    return st;
}

static double bytes(const void *params_, const atn_layout *l)
{
    const longformer *t = params_;
    const double teeth = ATN_MIN((double)t->window + 1, (double)(l->first + l->nq));

    return 64 * 2 * teeth + 256 * (double)(t->global.n + 2);
}

const atn_generator atn_generator_longformer = {
    .id = "longformer",
    .title = "Longformer",
    .source = "Beltagy et al., Longformer, arXiv 2004.05150",
    .text = "neighbours to both sides, and global tokens",
    .params = params,
    .params_size = sizeof(longformer),
    .budget = "window",
    .make = make,
    .bytes = bytes,
};
