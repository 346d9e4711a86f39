/* approx/patterns/stream.c -- the first keys and the nearest: StreamingLLM, A-shape.
 *
 * Math    j <= i and (j < sink or i - j < window), in blocks.
 * Oracle  sum_i min(i + 1, sink + window) pairs: 81 for n = 16, sink 2, window 4;
 *         7,893,498 for n = 8192, 4, 1024. window = 1, sink = 0: every query itself.
 * Source  Xiao et al., StreamingLLM, arXiv 2309.17453, the mask (keys keep their
 *         positions); its cache, 4 + 512, is the default. A-shape: Jiang et al.,
 *         MInference, arXiv 2407.02490. power_sliding: Chen et al., arXiv 2503.03588.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/generate.h"

typedef struct stream {
    int64_t sink, window, block;
} stream;

static const atn_param params[] = {
    ATN_PARAM_I64(stream, sink, 4, 0, ATN_EXTENT_MOST, "first blocks, seen by all"),
    ATN_PARAM_I64(stream, window, 512, 1, ATN_EXTENT_MOST,
                  "nearest blocks, the query's own among them"),
    ATN_PARAM_BLOCK(stream, 1),
    ATN_PARAM_END,
};

static const atn_preset presets[] = {
    {"a_shape", "sink=100,window=800", "the A-shape of MInference's search"},
    {"power_sliding", "block=256,window=9,sink=1",
     "the sliding window that PowerAttention is compared with"},
    {NULL, NULL, NULL},
};

static atn_status make(atn_ctx *cx, const void *params_, const atn_layout *l,
                       atn_pattern **out)
{
    const stream *t = params_;
    const atn_frame f = atn_generator_frame(l, t->block, true);
    const atn_idx sink = atn_generator_first(&f, t->sink);
    atn_span near;

    atn_generator_comb(atn_generator_reach(&f), 1, t->window, false, &near);
    return atn_pattern_shift(cx, &f, &near, 1, sink, out);
}

const atn_generator atn_generator_stream = {
    .id = "stream",
    .title = "Sink and window (StreamingLLM)",
    .source = "Xiao et al., StreamingLLM, arXiv 2309.17453",
    .text = "the first keys and the nearest",
    .params = params,
    .params_size = sizeof(stream),
    .budget = "window",
    .presets = presets,
    .make = make,
};
