/* approx/patterns/causal.c -- every query sees the keys up to itself.
 *
 * Math    S_i = {j : j <= i}.
 * Oracle  n (n + 1) / 2 pairs.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/generate.h"

typedef struct causal {
    int64_t block;
} causal;

static const atn_param params[] = {
    ATN_PARAM_BLOCK(causal, 1),
    ATN_PARAM_END,
};

static atn_status make(atn_ctx *cx, const void *params_, const atn_layout *l,
                       atn_pattern **out)
{
    const causal *t = params_;
    const atn_frame f = atn_generator_frame(l, t->block, true);
    const atn_span past = {0, atn_generator_reach(&f)};

    return atn_pattern_shift(cx, &f, &past, 1, 0, out);
}

const atn_generator atn_generator_causal = {
    .id = "causal",
    .title = "Causal attention",
    .source = "Vaswani et al., arXiv 1706.03762",
    .text = "all keys up to the query",
    .params = params,
    .params_size = sizeof(causal),
    .make = make,
};
