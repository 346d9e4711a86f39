/* approx/patterns/full.c -- every query sees every key.
 *
 * Math    S_i = all keys.
 * Oracle  nq nk pairs; the field is complete after one layer.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/generate.h"

typedef struct full {
    int64_t block;
} full;

static const atn_param params[] = {
    ATN_PARAM_BLOCK(full, 1),
    ATN_PARAM_END,
};

static atn_status make(atn_ctx *cx, const void *params_, const atn_layout *l,
                       atn_pattern **out)
{
    const full *t = params_;
    const atn_frame f = atn_generator_frame(l, t->block, false);
    const atn_idx reach = atn_generator_reach(&f);
    const atn_span all = {1 - reach, reach};

    return atn_pattern_shift(cx, &f, &all, 1, 0, out);
}

/* All keys. */
static bool placeless(const void *params_)
{
    (void)params_;
    return true;
}

const atn_generator atn_generator_full = {
    .id = "full",
    .title = "Full attention",
    .source = "Vaswani et al., arXiv 1706.03762",
    .text = "all keys",
    .params = params,
    .params_size = sizeof(full),
    .placeless = placeless,
    .make = make,
};
