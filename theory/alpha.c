/* theory/alpha.c -- the column norms that HyperAttention assumes to be small.
 *
 * Math    alpha = n_k max_j |P e_j|^2. A row that sees one key gives it all its weight,
 *         so that column has norm 1 at least and alpha >= n_k: so every causal head.
 * Oracle  identity: alpha = n; uniform P: 1; G8 of the cards, causal: 14.4964628569 of
 *         n = 8.
 * Source  HyperAttention (arXiv 2310.05869), whose theorems ask for alpha = n^o(1); the
 *         lower bound is our own derivation.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "theory/bound.h"

#include <math.h>

static const atn_quantity causal_of[] = {
    {"keys", "n_k", false, 1, INFINITY},
    {"fewest", "keys that a row sees, the fewest", false, 0, INFINITY},
    {0}};
static const atn_quantity growth_of[] = {{"keys", "n_k", false, 1, INFINITY}, {0}};

static bool sees_one(const atn_quantities *q)
{
    return q->x[1] == 1;
}

static double keys(const atn_quantities *q)
{
    return q->x[0];
}

const atn_bound atn_bound_alpha_causal = {
    .id = "alpha_causal",
    .label = "V7",
    .title = "a causal head has a large column",
    .statement = "alpha = n_k max_j |P e_j|^2 >= n_k",
    .assumption = "some row sees one key only",
    .source = "own derivation",
    .verified = true,
    .relation = ATN_AT_LEAST,
    .quantities = causal_of,
    .assumes = sees_one,
    .predict = keys,
};
const atn_bound atn_bound_alpha_growth = {
    .id = "alpha_growth",
    .label = "V7",
    .title = "alpha, which must grow slower than any power of the number of keys",
    .statement = "alpha = n^o(1); shown beside n_k, which is of no use",
    .source = "HyperAttention (arXiv 2310.05869), standing assumption",
    .verified = false,
    .relation = ATN_AT_MOST,
    .quantities = growth_of,
    .predict = keys,
};
