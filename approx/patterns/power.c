/* approx/patterns/power.c -- PowerAttention: the nearest blocks, those at distances of
 * powers of two, and the first.
 *
 * Math    j <= i and, with D = floor(i / block) - floor(j / block): D < window, or D a
 *         power of two, or floor(j / block) < sink.
 * Oracle  128 blocks: the last sees 10 and reaches 10, 35, 75, 110, 126, 128; 6.96 % of
 *         the square, 13.8 % of the triangle. window = 1, sink = 0, block = 1 (preset
 *         powers): largest row ceil(log2 n) + 1 keys, distance = ones of i - j.
 * Source  Chen et al., PowerAttention, arXiv 2503.03588, section 3 and theorem B.1,
 *         which prints "less than log2 n" for an out-degree of ceil(log2 n).
 * Limits  not the linear attention of the same name (Gelada et al.).
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/generate.h"

typedef struct power {
    int64_t window, sink, block;
} power;

static const atn_param params[] = {
    ATN_PARAM_I64(power, window, 5, 1, ATN_EXTENT_MOST,
                  "nearest blocks, the query's own among them"),
    ATN_PARAM_I64(power, sink, 1, 0, ATN_EXTENT_MOST, "first blocks, seen by all"),
    ATN_PARAM_BLOCK(power, 256),
    ATN_PARAM_END,
};

static const atn_preset presets[] = {
    {"powers", "block=1,window=1,sink=0", "powers of two and the query alone"},
    {NULL, NULL, NULL},
};

static atn_status make(atn_ctx *cx, const void *params_, const atn_layout *l,
                       atn_pattern **out)
{
    const power *t = params_;
    const atn_frame f = atn_generator_frame(l, t->block, true);
    atn_span offsets[ATN_POWERS_MOST + 1];
    const atn_idx n = atn_generator_powers(atn_generator_reach(&f), t->window, offsets);

    return atn_pattern_shift(cx, &f, offsets, n, atn_generator_first(&f, t->sink), out);
}

const atn_generator atn_generator_power = {
    .id = "power",
    .title = "Powers of two (PowerAttention)",
    .source = "Chen et al., PowerAttention, arXiv 2503.03588",
    .text = "the nearest blocks, those at distances of powers of two, and the first",
    .params = params,
    .params_size = sizeof(power),
    .budget = "window",
    .presets = presets,
    .make = make,
};
