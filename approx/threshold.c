/* approx/threshold.c -- the keys whose weight is above a number.
 *
 * Math    S_i = { j : P_ij > t }, a sink logit of the head among the denominator; by
 *         blocks, those whose mean over the rows of what they give to the keys of the
 *         block is above t.
 * Oracle  t = 0: every key of weight. The uniform row of m keys: all where m < 1 / t,
 *         else none.
 * Source  the edges of card A5 of the graph cards.
 * Cost    dense logits and one exp an entry, in double; memory a few rows a thread.
 * Limits  an oracle, not a speed-up; rows may be left empty.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "approx/oracle.h"

typedef struct threshold {
    double t;
    int64_t block;
} threshold;

static const atn_param params[] = {
    ATN_PARAM_F64(threshold, t, .01, 0, 1, "weight above which a key is kept"),
    ATN_PARAM_I64(threshold, block, 1, 1, 1 << 20,
                  "tokens of a block of queries and of keys, 1 = single ones"),
    ATN_PARAM_END,
};

typedef struct choosing {
    const threshold *t;
    atn_chosen *chosen;
} choosing;

static atn_status choose(atn_ctx *cx, const atn_oracle *o, atn_oracle_list *l,
                         void *state)
{
    const choosing *s = state;

    (void)o;
    return atn_oracle_keep(cx, s->chosen, l, (atn_cut){s->t->t, 0});
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const threshold *t = params_;
    const atn_oracle o = {&in->head[first], t->block, ATN_SCORE_SUM, false};
    choosing s = {.t = t};
    atn_status st = ATN_OK;

    (void)n;
    ATN_TRY(atn_oracle_open(cx, &o, &s.chosen));
    ATN_TRY(atn_oracle_run(cx, &o, choose, &s, "looking for large weights"));
    st = atn_oracle_finish(cx, &o, s.chosen, out);
    s.chosen = NULL;
    ATN_TRY(st);
done:
    atn_chosen_abandon(cx, s.chosen);
    return st;
}

/* Rows of a block choose together. */
static unsigned looks(const void *params_, const atn_input *in)
{
    const threshold *t = params_;

    (void)in;
    return t->block > 1 ? ATN_LOOKS_KEYS | ATN_LOOKS_QUERIES : 0;
}

static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const threshold *t = params_;
    const atn_oracle o = {&in->head[0], t->block, ATN_SCORE_SUM, false};

    /* the weights of a row are 1 in all; of a row of blocks, 1 a row */
    return atn_oracle_bytes(cx, &o, t->t > 0 ? 1 / t->t + 1 : INFINITY);
}

const atn_method atn_method_threshold = {
    .id = "threshold",
    .title = "Large weights (oracle)",
    .family = "oracle",
    .source = "own derivation",
    .text = "the keys of weight above a number",
    .reads = ATN_READS_WEIGHTS,
    .oracle = atn_always,
    .sides = ATN_BOTH_WAYS,
    .params = params,
    .params_size = sizeof(threshold),
    .budget = "t",
    .budget_falls = true,
    .looks = looks,
    .plan = plan,
    .bytes = bytes,
};
