/* graph/flow.h -- attention as pipes: how much can flow from a token down to each
 * input?
 *
 * Math    layers of n nodes; an edge from node i of layer l to node j of layer l - 1
 *         carries at most S_l[i, j] (graph/rollout.h). score_j = the largest flow from
 *         node i of the top to node j of the bottom, one flow at a time, then scaled to
 *         sum 1.
 * Oracle  the two layers of rollout.h from node 1: .375 and .75, so 1/3 and 2/3, at
 *         rho = .5; .75 and .5, so .6 and .4, at 0; from node 0: 1 and 0. Never less
 *         than the rollout: the products of its paths are a flow.
 * Source  Abnar and Zuidema, arXiv 2005.00928 (which runs Edmonds and Karp's
 *         algorithm); here Dinic's.
 * Cost    n flows in a graph of L n^2 edges, each a few searches of it;
 *         8 L n^2 + 36 (L + 1) n bytes a thread.
 * Limits  dense: refuses more than 256 nodes a layer. Edges below 1e-12 carry nothing.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/ctx.h"

enum { ATN_FLOW_NODES_MAX = 256 };

/* s[l] [n, n], l = 0 the lowest of `layers`; flow [n] from `source` at the top, not
 * scaled. */
atn_status atn_flow(atn_ctx *cx, const double *const *s, int layers, atn_idx n,
                    atn_idx source, double *flow) ATN_WARN_UNUSED;
double atn_flow_bytes(const atn_ctx *cx, int layers, atn_idx n);
