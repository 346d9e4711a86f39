/* analysis/measures/rollout.c -- where a token's state after every layer comes from.
 *
 * Math    row `token` of S_l ... S_1, S = (1 - rho) A + rho I of the mean (or the
 *         largest entries) of a layer's selected heads: graph/rollout.h. Of that row,
 *         which sums to 1: the token itself, the first key, entropy, mean distance, the
 *         largest entry.
 * Oracle  two layers [1 0; .5 .5], [1 0; .25 .75]: .65625 itself, .34375 the first.
 * Source  card B7; Abnar and Zuidema, arXiv 2005.00928.
 * Cost    one walk over the rows of all heads; one more for a measured residual.
 * Limits  ignores values and MLP. The same number stands for every head of a layer.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/attribution.h"

extern const atn_measure atn_measure_rollout;

typedef struct rollout_params {
    atn_attribution_opts o;
} rollout_params;

static const atn_param params[] = {
    ATN_ATTRIBUTION_PARAMS(rollout_params),
    ATN_PARAM_END,
};

static const atn_measure_col cols[] = {
    {"rollout_self", "", "[0, 1]", "share of the token itself in its state", NULL},
    {"rollout_first", "", "[0, 1]", "share of the first key that is no padding", NULL},
    {"rollout_entropy_nats", "nats", ">= 0", "entropy of the shares of all tokens",
     NULL},
    {"rollout_effective_tokens", "tokens", ">= 1", "its exponential", NULL},
    {"rollout_distance_tokens", "tokens", ">= 0", "mean distance of what it comes from",
     NULL},
    {"rollout_top", "", "[0, 1]", "largest share", NULL},
    {"rollout_top_position", "", ">= 0", "position of the token that has it", NULL},
    {"rollout_rho", "", "[0, 1]", "weight of the residual in this layer", NULL},
    ATN_MEASURE_COLS_END,
};

static void put(const atn_attribution *a, int layer, double *out)
{
    out = atn_attribution_say(a, layer, out);
    *out++ = a->rho[layer];
}

static atn_status model(atn_ctx *cx, const atn_model_facts *m, const void *params_,
                        double *out)
{
    const rollout_params *p = params_;

    return atn_attribution_model(cx, m, &p->o, 0,
                                 atn_measure_n_cols(&atn_measure_rollout), put, out);
}

const atn_measure atn_measure_rollout = {
    .id = "rollout",
    .title = "Attention rollout",
    .source =
        "where a token's state after the layer comes from, Abnar and Zuidema 2020",
    .named = true,
    .passes = 2,
    .params = params,
    .params_size = sizeof(rollout_params),
    .cols = cols,
    .model = model,
};
