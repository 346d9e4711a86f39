/* approx/patterns/s2.c -- S2-Attention: the nearest blocks, and every v-th column of
 * blocks, other columns in other heads.
 *
 * Math    j <= i and, for blocks a of the query and c of the key in head h: a - c <
 *         local, or (c + h t + 1) mod stride = 0. t = 0 where the heads are alike, else
 *         max(1, floor(stride / H)), or as given.
 * Oracle  64 blocks, local 4: H = 8, stride 4: 685, 700, 715, 730, .. of 2080 blocks,
 *         together all. H = 4, stride 8: 1150 only; the heads together see everything
 *         where H >= stride. H = 2, stride 3: 1450.
 * Source  Lin et al., S2-Attention, arXiv 2407.17678; vLLM,
 *         attention/ops/blocksparse_attention/utils.py.
 * Limits  only heads with h t = stride - 1 mod stride see the first block from afar.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/generate.h"

typedef struct s2 {
    int64_t local, stride, step, block;
    bool homo;
} s2;

static const atn_param params[] = {
    ATN_PARAM_I64(s2, local, 4, 0, ATN_EXTENT_MOST,
                  "nearest blocks, the query's own among them"),
    ATN_PARAM_I64(s2, stride, 4, 1, ATN_EXTENT_MOST, "columns of which one is seen"),
    ATN_PARAM_BOOL(s2, homo, 1, "all heads see the same columns"),
    ATN_PARAM_I64(
        s2, step, 0, 0, ATN_EXTENT_MOST,
        "columns from one head to the next; 0 = stride over heads, at least 1"),
    ATN_PARAM_BLOCK(s2, 64),
    ATN_PARAM_END,
};

static const atn_preset presets[] = {
    {"s2_sharded", "homo=no", "S2-Attention with other columns in other heads"},
    {NULL, NULL, NULL},
};

static atn_status make(atn_ctx *cx, const void *params_, const atn_layout *l,
                       atn_pattern **out)
{
    const s2 *t = params_;
    const atn_frame f = atn_generator_frame(l, t->block, true);
    const atn_idx heads = t->homo ? 1 : l->heads, v = t->stride;
    const atn_idx step = t->step ? t->step : ATN_MAX(v / l->heads, 1);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_pattern *local = NULL, *columns = NULL;
    atn_status st = ATN_OK;
    atn_idx *phase = NULL;
    atn_span near = {0, 0};

    if (t->homo && t->step)
        ATN_FAIL(
            ATN_USAGE,
            "s2: step = %lld moves the columns from head to head, which homo = yes "
            "forbids (give homo=no or no step)",
            (long long)t->step);
    ATN_TAKE(phase, heads);
    for (atn_idx h = 0; h < heads; h++) phase[h] = v - 1 - h % v * (step % v) % v;
    if (t->local) {
        atn_generator_comb(atn_generator_reach(&f), 1, t->local, false, &near);
        ATN_TRY(atn_pattern_shift(cx, &f, &near, 1, 0, &local));
    }
    ATN_TRY(atn_pattern_columns(cx, &f, v, 1, phase, heads, &columns));
    st = atn_generator_join(cx, local, columns, out);
    local = columns = NULL;
done:
    atn_pattern_destroy(cx, local);
    atn_pattern_destroy(cx, columns);
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_generator atn_generator_s2 = {
    .id = "s2",
    .title = "S2-Attention",
    .source = "Lin et al., S2-Attention, arXiv 2407.17678",
    .text = "the nearest blocks, and every v-th column of blocks",
    .params = params,
    .params_size = sizeof(s2),
    .budget = "stride",
    .budget_falls = true,
    .presets = presets,
    .make = make,
};
