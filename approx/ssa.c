/* approx/ssa.c -- SSA at inference: blocks chosen by all heads of a group.
 *
 * Math    approx/group_blocks.h; o_t = gate_t (A^S V), gate 1 unless the draws file has
 *         "gates" [nq] of the head: then sum_j w_tj = gate_t.
 * Oracle  k >= blocks: dense. Groups of one head, block = 1: the query's own key and
 *         the k - 1 best before it. Second fixture of the cards, block 4, k = 3, row
 *         18: S = {4-7, 12-18}, m = .623565.
 * Source  Shen et al., SSA, arXiv 2511.20102; zhenyi4/ssa. As published the current
 *         block weighs 1 a head, which ties with a single past block.
 * Cost    2 d flop a query and block; memory O(n k) for what is kept.
 * Limits  meant for models trained with it.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/generate.h"
#include "approx/group_blocks.h"

typedef struct ssa {
    int64_t k, block;
} ssa;

static const atn_param params[] = {
    ATN_PARAM_I64(ssa, k, 16, 1, ATN_EXTENT_MOST,
                  "blocks kept, that of the query among them"),
    ATN_PARAM_I64(ssa, block, 16, 1, ATN_EXTENT_MOST, "tokens of a block"),
    ATN_PARAM_END,
};

/* The gates of a head, where the draws file has them. */
static atn_status take_gates(atn_ctx *cx, const atn_input *in, const atn_head *h,
                             float **out)
{
    const atn_draw w = {.what = "gates",
                        .purpose = "ssa/gates",
                        .layer = h->layer,
                        .head = h->head,
                        .rows = h->nq};
    atn_status st = ATN_OK;

    if (!atn_draws_have(in->draws, &w)) goto done;
    ATN_NEW(*out, h->nq);
    ATN_TRY(atn_draw_given(cx, in->draws, &w, *out));
done:
    return st;
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *values,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const ssa *s = values;
    const atn_head *heads = &in->head[first];
    const atn_group_rule rule = {"ssa", s->block, s->k, in->as_published};
    atn_group_choice choice = {0};
    atn_status st = ATN_OK;
    atn_cmat means;

    ATN_TRY(atn_group_means(cx, &heads[0], s->block, &means));
    ATN_TRY(atn_group_blocks(cx, heads, n, &rule, means, &choice));
    for (atn_idx h = 0; h < n; h++) {
        atn_plan_mask(&out[h], atn_pattern_keep(choice.pattern), 0, 1,
                      ATN_MIN(s->block, heads[h].nk));
        atn_tally_cost(&choice.tally, &heads[h], means.rows, n, &out[h]);
        ATN_TRY(take_gates(cx, in, &heads[h], &out[h].branch[0].scale));
    }
done:
    atn_pattern_destroy(cx, choice.pattern);
    return st;
}

static double bytes(const atn_ctx *cx, const void *values, const atn_input *in)
{
    const ssa *s = values;

    return atn_group_blocks_bytes(cx, &in->head[0], s->block, s->k);
}

const atn_method atn_method_ssa = {
    .id = "ssa",
    .title = "SSA: blocks chosen by a group of heads",
    .family = "block",
    .source = "Shen et al. 2025, arXiv 2511.20102; zhenyi4/ssa",
    .text =
        "its own block, and the past blocks whose mean keys weigh most to the group",
    .reads = ATN_READS_QK | ATN_READS_DRAWS,
    .sides = ATN_CAUSAL,
    .unit = ATN_UNIT_GROUP,
    .publishes = true,
    .params = params,
    .params_size = sizeof(ssa),
    .budget = "k",
    .plan = plan,
    .bytes = bytes,
};
