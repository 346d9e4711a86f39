/* approx/patterns/block_diagonal.c -- blocks that see themselves.
 *
 * Math    floor(i / block) = floor(j / block); causal j <= i as well.
 * Oracle  n = m block: m block^2 pairs, causal m block (block + 1) / 2. The field never
 *         grows.
 * Source  Qiu et al., Blockwise self-attention, arXiv 1911.02972, without permutation.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/generate.h"

typedef struct block_diagonal {
    int64_t block;
    bool causal;
} block_diagonal;

static const atn_param params[] = {
    ATN_PARAM_I64(block_diagonal, block, 64, 1, ATN_EXTENT_MOST,
                  "tokens of a block, the last may be short"),
    ATN_PARAM_BOOL(block_diagonal, causal, 0, "keys up to the query only"),
    ATN_PARAM_END,
};

static atn_status make(atn_ctx *cx, const void *params_, const atn_layout *l,
                       atn_pattern **out)
{
    static const atn_span self = {0, 1};
    const block_diagonal *t = params_;
    const atn_frame f = atn_generator_frame(l, t->block, t->causal);

    return atn_pattern_shift(cx, &f, &self, 1, 0, out);
}

const atn_generator atn_generator_block_diagonal = {
    .id = "block_diagonal",
    .title = "Block-diagonal",
    .source = "Qiu et al., arXiv 1911.02972",
    .text = "the keys of the query's own block",
    .params = params,
    .params_size = sizeof(block_diagonal),
    .budget = "block",
    .make = make,
};
