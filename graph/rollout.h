/* graph/rollout.h -- attention as the steps of a walk from a token down through the
 * layers.
 *
 * Math    of one layer A = mean of its heads' matrices, or their largest entries with
 *         rows scaled back to sum 1; step matrix S = (1 - rho) A + rho I with rows
 *         scaled to sum 1, a row without weight staying where it is. Rollout R_l = S_l
 *         R_l-1, R_0 = I, layer 1 the lowest: row i of R_l is where the output of layer
 *         l at token i comes from. Rows are pushed down from the top, w <- S'w, so that
 *         no n x n matrix is held.
 * Oracle  A_1 = [1 0; .5 .5], A_2 = [1 0; .25 .75]: R = [1 0; .34375 .65625] at
 *         rho = .5, [1 0; .625 .375] at 0; identities give I; rows sum to 1.
 * Source  Abnar and Zuidema, arXiv 2005.00928 (samiraabnar/attention_flow: rho = .5).
 * Cost    a layer: the rows of all its heads once, 2 n^2 flop for each row pushed down.
 * Limits  self-attention of n tokens in every layer. Values and the MLP play no part.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/rows.h"

typedef enum atn_rollout_heads { ATN_ROLLOUT_MEAN, ATN_ROLLOUT_MAX } atn_rollout_heads;
#define ATN_ROLLOUT_HEADS "mean|max"

/* The graph of one layer; borrowed. The heads have equal nq = nk and sight. */
typedef struct atn_rollout_layer {
    const atn_head *heads;
    atn_idx n_heads;
    atn_rollout_heads combine;
    double rho; /* weight of the token itself, the residual, in [0, 1] */
} atn_rollout_layer;

/* w [r, n] <- S'w, a vector a row. */
atn_status atn_rollout_step(atn_ctx *cx, const atn_rollout_layer *l, atn_idx r,
                            double *w) ATN_WARN_UNUSED;
double atn_rollout_bytes(const atn_ctx *cx, const atn_rollout_layer *l, atn_idx r);

/* s [n / block, n / block], rounded up: the step matrix between blocks of tokens, the
 * mean over the rows of a block of what they give to the keys of another. Dense. */
atn_status atn_rollout_matrix(atn_ctx *cx, const atn_rollout_layer *l, atn_idx block,
                              double *s) ATN_WARN_UNUSED;
