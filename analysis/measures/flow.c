/* analysis/measures/flow.c -- how much of every input can reach a token through the
 * layers.
 *
 * Math    largest flows through the step matrices of rollout, from the token after a
 *         layer to each input, scaled to sum 1: graph/flow.h. More tokens than `nodes`
 *         are averaged to blocks.
 * Oracle  two layers [1 0; .5 .5], [1 0; .25 .75]: 2/3 itself, 1/3 the first; .4 and .6
 *         at rho = 0.
 * Source  card B8; Abnar and Zuidema, arXiv 2005.00928.
 * Cost    one walk over the rows of all heads, one more for a measured residual; then
 *         nodes flows a layer, each through all the layers below.
 * Limits  at most 256 nodes, dense. The same number stands for every head of a layer.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/attribution.h"

extern const atn_measure atn_measure_flow;

typedef struct flow_params {
    atn_attribution_opts o;
    int64_t nodes;
} flow_params;

static const atn_param params[] = {
    ATN_ATTRIBUTION_PARAMS(flow_params),
    ATN_PARAM_I64(flow_params, nodes, 128, 1, 256,
                  "nodes a layer; more tokens are averaged to blocks"),
    ATN_PARAM_END,
};

static const atn_measure_col cols[] = {
    {"flow_self", "", "[0, 1]", "share of the token's own node", NULL},
    {"flow_first", "", "[0, 1]", "share of the node of the first key", NULL},
    {"flow_entropy_nats", "nats", ">= 0", "entropy of the shares of all nodes", NULL},
    {"flow_effective_nodes", "", ">= 1", "its exponential", NULL},
    {"flow_distance_tokens", "tokens", ">= 0", "mean distance of what flows in", NULL},
    {"flow_top", "", "[0, 1]", "largest share", NULL},
    {"flow_top_position", "", ">= 0", "first position of the node that has it", NULL},
    {"flow_total", "", ">= 1", "sum of the flows before they are scaled", NULL},
    {"flow_block_tokens", "tokens", ">= 1", "tokens a node", NULL},
    {"flow_rho", "", "[0, 1]", "weight of the residual in this layer", NULL},
    ATN_MEASURE_COLS_END,
};

static void put(const atn_attribution *a, int layer, double *out)
{
    out = atn_attribution_say(a, layer, out);
    /* 1 at least, but for the rounding of rows in single precision */
    *out++ =
        a->total[layer] > 1 - 1e-6 ? ATN_MAX(a->total[layer], 1.0) : a->total[layer];
    *out++ = (double)a->block;
    *out++ = a->rho[layer];
}

static atn_status model(atn_ctx *cx, const atn_model_facts *m, const void *params_,
                        double *out)
{
    const flow_params *p = params_;

    return atn_attribution_model(cx, m, &p->o, p->nodes,
                                 atn_measure_n_cols(&atn_measure_flow), put, out);
}

const atn_measure atn_measure_flow = {
    .id = "flow",
    .title = "Attention flow",
    .source = "largest flows through the layers, Abnar and Zuidema 2020",
    .named = true,
    .passes = 2,
    .params = params,
    .params_size = sizeof(flow_params),
    .cols = cols,
    .model = model,
};
