/* theory/scatterbrain.c -- sparse and low rank together: what Scatterbrain states.
 *
 * Math    an entry is e^x where its pair is in the support, with chance p, else
 *         phi(q) . phi(k) of m draws; z = q' + k':
 *             E = e^x,   Var = (1 - p) (cosh |z|^2 - 1) e^{2 x} / m
 *         In L tables of r sides of planes, at an angle theta:
 *             p = 1 - (1 - (1 - theta / pi)^r)^L
 * Oracle  p = 1: no variance; q = -k: none, either. A right angle, r = 2, L = 1: 1 / 4.
 * Source  cards/kernel-theory.md, card 1 (d) and card 6 (d); Chen et al., arXiv
 *         2110.15343, theorem 1 as quoted there.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "theory/bound.h"

static double itself(const atn_quantities *q)
{
    return q->x[0];
}

static const atn_quantity mean_of[] = {
    {"entry", "e^{q'.k'}, or 1 of entries relative to it", false, 0, INFINITY},
    {0},
};

const atn_bound atn_bound_scatterbrain_mean = {
    .id = "scatterbrain_mean",
    .label = "SB-1",
    .title = "mean of an entry before normalisation",
    .statement = "E A~_ij = A_ij",
    .assumption = "features are drawn independently of the support",
    .source = "derived, cards/kernel-theory.md card 1",
    .verified = true,
    .in_mean = true,
    .relation = ATN_IN_MEAN,
    .quantities = mean_of,
    .predict = itself,
};

static double variance(const atn_quantities *q)
{
    return (1 - q->x[0]) * (cosh(q->x[1]) - 1) / q->x[2] * q->x[3] * q->x[3];
}

static const atn_quantity variance_of[] = {
    {"chance", "p that the pair is in the support", false, 0, 1},
    {"square", "|q' + k'|^2", false, 0, INFINITY},
    {"draws", "m of hyperbolic features, two features each", false, 1, INFINITY},
    {"entry", "e^{q'.k'}, or 1 of entries relative to it", false, 0, INFINITY},
    {0},
};

const atn_bound atn_bound_scatterbrain_variance = {
    .id = "scatterbrain_variance",
    .label = "SB-2",
    .title = "variance of an entry before normalisation",
    .statement = "Var A~_ij = (1 - p_ij) (cosh |z|^2 - 1) A_ij^2 / m",
    .assumption = "features are drawn independently of the support",
    .source = "derived, cards/kernel-theory.md cards 1 and 6",
    .verified = true,
    .in_mean = true,
    .relation = ATN_IN_MEAN,
    .quantities = variance_of,
    .predict = variance,
};

static double collision(const atn_quantities *q)
{
    const double one = 1 - q->x[0] / 3.14159265358979323846;

    return 1 - pow(1 - pow(fmax(one, 0), q->x[1]), q->x[2]);
}

static const atn_quantity collision_of[] = {
    {"angle", "theta between the vectors that are hashed", false, 0,
     3.1415926535897936},
    {"sides", "r planes of a table", false, 1, INFINITY},
    {"tables", "L", false, 1, INFINITY},
    {0},
};

const atn_bound atn_bound_sign_collision = {
    .id = "sign_collision",
    .label = "SB-2",
    .title = "chance that two vectors share a word of sides of planes",
    .statement = "p = 1 - (1 - (1 - theta / pi)^r)^L",
    .source = "Charikar 2002; cards/kernel-theory.md card 1",
    .verified = true,
    .in_mean = true,
    .relation = ATN_IN_MEAN,
    .quantities = collision_of,
    .predict = collision,
};

static double smaller(const atn_quantities *q)
{
    return fmin(q->x[0], q->x[1]);
}

static const atn_quantity parts_of[] = {
    {"sparse", "error of the support alone", false, 0, INFINITY},
    {"low_rank", "error of the features alone", false, 0, INFINITY},
    {0},
};

const atn_bound atn_bound_scatterbrain_parts = {
    .id = "scatterbrain_parts",
    .label = "SB-3",
    .title = "error of both parts together against each alone",
    .statement = "error of sparse and low rank <= that of either, at equal numbers",
    .assumption = "no theorem after normalisation",
    .source = "own expectation; cards/kernel-theory.md card 1",
    .verified = false,
    .relation = ATN_AT_MOST,
    .quantities = parts_of,
    .predict = smaller,
};

/* 1: low rank suffices and sparse fails; 2: both together do, either alone fails; 3:
 * sparse suffices and low rank fails. The theorem is of orders of growth: limits are taken
 * without constants. */
static double regime(const atn_quantities *q)
{
    const double beta = q->x[0], ln_n = log(q->x[1]), noise = q->x[3];

    if (beta <= ln_n / log(q->x[2])) return 1;
    if (beta > ln_n) return 3;
    return beta >= (1 - noise * noise) * ln_n ? 2 : NAN;
}

static bool cluster_process(const atn_quantities *q)
{
    const double ln_n = log(q->x[1]);

    return q->x[2] >= pow(ln_n, 1.5) && q->x[3] <= pow(ln_n, -.25);
}

static const atn_quantity regime_of[] = {
    {"beta", "inverse temperature of logits beta x_i . x_j", false, 0, INFINITY},
    {"tokens", "n of the cluster process", false, 3, INFINITY},
    {"width", "d", false, 3, INFINITY},
    {"noise", "Delta: spread of a cluster, relative", false, 0, 1},
    {0},
};

const atn_bound atn_bound_scatterbrain_regime = {
    .id = "scatterbrain_regime",
    .label = "SB-4",
    .title = "which of sparse, low rank and both a cluster process needs",
    .statement = "beta = o(ln n / ln d): low rank (1); (1 - Delta^2) ln n .. O(ln n): "
                 "both (2); omega(ln n): sparse (3)",
    .assumption = "clusters with d >= ln^{3/2} n and Delta <= ln^{-1/4} n, up to "
                  "constants",
    .source = "Chen et al., arXiv 2110.15343, theorem 1; no experiment checks it",
    .verified = false,
    .relation = ATN_EQUAL,
    .quantities = regime_of,
    .assumes = cluster_process,
    .predict = regime,
};
