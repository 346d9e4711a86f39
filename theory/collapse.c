/* theory/collapse.c -- how fast layers of attention forget the differences of tokens.
 *
 * Math    tau(P) = max_{i,l} |P_i - P_l|_1 / 2 = 1 - min sum_j min(P_ij, P_lj), the
 *         coefficient of Dobrushin: osc(P X) <= tau osc(X) column by column, osc the
 *         largest difference of two rows. tau of a product is at most the product.
 *         Where a row is e_1, as the first of a causal head, tau >= 1 - min_i P_i1.
 *         res(X) = X - 1 x', x the mean row; norm |X|_{1,inf} = sqrt(|X|_1 |X|_inf).
 * Oracle  rows (1, 0), (.25, .75): tau = .75. The identity: 1; equal rows: 0.
 * Source  Dobrushin (1956); Dong, Cordonnier, Loukas, arXiv 2103.03404, whose constants
 *         were not checked.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "theory/bound.h"

#include <math.h>

static const atn_quantity contraction[] = {
    {"tau", "coefficient of Dobrushin", false, 0, 1},
    {"osc", "largest difference of two rows of X, of a column", false, 0, INFINITY},
    {0}};

static double contracted(const atn_quantities *q)
{
    return q->x[0] * q->x[1];
}

const atn_bound atn_bound_dobrushin = {
    .id = "dobrushin",
    .label = "B20",
    .title = "attention brings rows together",
    .statement = "osc(P X) <= tau(P) osc(X), of every column",
    .source = "Dobrushin (1956)",
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = contraction,
    .predict = contracted,
};

static const atn_quantity overlap[] = {
    {"overlap", "min over pairs of rows of sum_j min(P_ij, P_lj)", false, 0, 1}, {0}};

static double one_less(const atn_quantities *q)
{
    return 1 - q->x[0];
}

const atn_bound atn_bound_dobrushin_overlap = {
    .id = "dobrushin_overlap",
    .label = "B20",
    .title = "the coefficient of Dobrushin, two ways",
    .statement =
        "max |P_i - P_l|_1 / 2 = 1 - min sum_j min(P_ij, P_lj), of rows that sum to "
        "1",
    .source = "own derivation",
    .verified = true,
    .relation = ATN_EQUAL,
    .quantities = overlap,
    .predict = one_less,
};

static const atn_quantity sink[] = {
    {"least", "smallest weight of the first key, of all rows", false, 0, 1},
    {"first", "weight of the first key in the first row", false, 0, 1},
    {0}};

static bool sees_itself(const atn_quantities *q)
{
    return q->x[1] == 1;
}

const atn_bound atn_bound_dobrushin_sink = {
    .id = "dobrushin_sink",
    .label = "B20",
    .title = "only a first-token sink brings rows together at once",
    .statement = "tau(P) >= 1 - min_i P_i1",
    .assumption = "the first row sees the first key alone",
    .source = "own derivation",
    .verified = true,
    .relation = ATN_AT_LEAST,
    .quantities = sink,
    .assumes = sees_itself,
    .predict = one_less,
};

static const atn_quantity layers[] = {
    {"tau", "of the mean of the heads, of every layer so far", true, 0, 1},
    {"osc", "largest difference of two rows that went in", false, 0, INFINITY},
    {0}};

static double product(const atn_quantities *q)
{
    double all = q->x[1];

    for (size_t l = 0; l < q->n[0]; l++) all *= q->list[0][l];
    return all;
}

const atn_bound atn_bound_dobrushin_product = {
    .id = "dobrushin_product",
    .label = "B20",
    .title = "pure attention forgets, layer by layer",
    .statement = "osc(P_L .. P_1 X) <= tau(P_L) .. tau(P_1) osc(X)",
    .source = "Dobrushin (1956)",
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = layers,
    .predict = product,
};

static const atn_quantity collapse[] = {
    {"residual", "|res(X)| that went in, of norms (1, inf)", false, 0, INFINITY},
    {"factor", "4 gamma beta H / sqrt(d)", false, 0, INFINITY},
    {"layers", "L", false, 0, 64},
    {0}};

static bool is_below_one(const atn_quantities *q)
{
    return q->x[0] < 1;
}

static double collapsed(const atn_quantities *q)
{
    const double power = pow(3, q->x[2]);

    return pow(q->x[1], (power - 1) / 2) * pow(q->x[0], power);
}

const atn_bound atn_bound_rank_collapse = {
    .id = "rank_collapse",
    .label = "B21",
    .title = "doubly exponential collapse of pure attention",
    .statement = "|res(SAN(X))| <= (4 gamma beta H / sqrt d)^((3^L - 1)/2) "
                 "|res(X)|^(3^L)",
    .assumption = "no skip connections, no MLP; a residual below 1",
    .source = "Dong, Cordonnier, Loukas, arXiv 2103.03404",
    .verified = false,
    .relation = ATN_AT_MOST,
    .quantities = collapse,
    .assumes = is_below_one,
    .predict = collapsed,
};
