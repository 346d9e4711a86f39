/* theory/features.c -- random features of e^x: variances of entries, row sums and
 * outputs.
 *
 * Math    q', k' are queries and keys times the root of the scale, z = q' + k', delta =
 *         q' - k', m draws. An entry relative to e^{q'.k'} has mean 1, variance c / m:
 *             positive       c(x) = e^x - 1,     x = |z|^2
 *             hyperbolic     c(x) = cosh x - 1,  x = |z|^2
 *             trigonometric  c(x) = cosh x - 1,  x = |delta|^2
 *         Two entries of a row have covariance c(z_j . z_l) / m, so that
 *             Var(D^) / D^2 = sum_jl P_j P_l c(z_j . z_l) / m
 *         and to first order
 *             E |o^ - o|^2 = sum_jl P_j P_l g(z_j . z_l) (v_j - o) . (v_l - o) / m,
 *         g = c + 1. The Gaussian kernel by cosines: variance (1 - e^{-x})^2 / (2 m).
 * Oracle  d = 2, q' = k' = (.5, 0): variances of entries 2.8329677996 (positive),
 *         .8953885943 (hyperbolic), 0 (trigonometric), each times e^{2 q'.k'}.
 * Source  own derivation, cards/kernel-theory.md cards 6 and 7; orthogonal draws:
 *         Choromanski et al., arXiv 2009.14794, as quoted there.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "theory/bound.h"

#include <math.h>

enum { POSITIVE };

#define KIND                                                                           \
    {                                                                                  \
        "kind", "0 positive, 1 hyperbolic, 2 trigonometric", false, 0, 2               \
    }
#define DRAWS                                                                          \
    {                                                                                  \
        "draws", "m directions", false, 1, INFINITY                                    \
    }
#define WEIGHTS                                                                        \
    {                                                                                  \
        "weights", "P_j of the n keys that the row sees", true, 0, 1                   \
    }
#define PRODUCTS                                                                       \
    {                                                                                  \
        "products", "z_j . z_l, or delta_j . delta_l of kind 2, n n of them", true,    \
            -INFINITY, INFINITY                                                        \
    }

static double excess(double kind, double x)
{
    return kind == POSITIVE ? expm1(x) : cosh(x) - 1;
}

static double mean(const atn_quantities *q)
{
    (void)q;
    return 1;
}

static double variance(const atn_quantities *q)
{
    return excess(q->x[0], q->x[1]) / q->x[2];
}

/* Lists of n, and n n, numbers. */
static bool square_lists(const atn_quantities *q)
{
    return q->n[2] == q->n[1] * q->n[1];
}

static double row_sum(const atn_quantities *q)
{
    const size_t n = q->n[1];
    double sum = 0;

    for (size_t j = 0; j < n; j++)
        for (size_t l = 0; l < n; l++)
            sum +=
                q->list[1][j] * q->list[1][l] * excess(q->x[0], q->list[2][j * n + l]);
    return sum / q->x[3];
}

static bool all_lists(const atn_quantities *q)
{
    return square_lists(q) && q->n[3] == q->n[2];
}

/* Without its draws. */
static double spread(const atn_quantities *q)
{
    const size_t n = q->n[1];
    double sum = 0;

    for (size_t j = 0; j < n; j++)
        for (size_t l = 0; l < n; l++)
            sum += q->list[1][j] * q->list[1][l] * q->list[3][j * n + l] *
                   (excess(q->x[0], q->list[2][j * n + l]) + 1);
    return sum;
}

static double output(const atn_quantities *q)
{
    return spread(q) / q->x[4];
}

static double draws(const atn_quantities *q)
{
    return spread(q) / (q->x[4] * q->x[4]);
}

static double fourier(const atn_quantities *q)
{
    return expm1(-q->x[0]) * expm1(-q->x[0]) / (2 * q->x[1]);
}

static double fourier_tail(const atn_quantities *q)
{
    return fmin(2 * exp(-q->x[0] * q->x[1] * q->x[1] / 2), 1);
}

/* In units of the squared entry: |z|^2, |q'|^2 + |k'|^2, m, d. */
static double orthogonal(const atn_quantities *q)
{
    const double m = q->x[2], rest = 1 - exp(-q->x[0] / 2);

    return expm1(q->x[0]) / m - 2 * (m - 1) / (m * (q->x[1] + 2)) * rest * rest;
}

static bool draws_fit(const atn_quantities *q)
{
    return q->x[2] <= q->x[1];
}

static double itself(const atn_quantities *q)
{
    return q->x[0];
}

static double nothing(const atn_quantities *q)
{
    (void)q;
    return 0;
}

static const atn_quantity mean_of[] = {KIND, {0}};
static const atn_quantity variance_of[] = {
    KIND,
    {"square", "|q' + k'|^2, or |q' - k'|^2 of kind 2", false, 0, INFINITY},
    DRAWS,
    {0}};
static const atn_quantity row_sum_of[] = {KIND, WEIGHTS, PRODUCTS, DRAWS, {0}};
static const atn_quantity output_of[] = {
    KIND,
    WEIGHTS,
    PRODUCTS,
    {"values", "(v_j - o) . (v_l - o), n n of them", true, -INFINITY, INFINITY},
    DRAWS,
    {0}};
static const atn_quantity draws_of[] = {
    KIND,
    WEIGHTS,
    PRODUCTS,
    {"values", "(v_j - o) . (v_l - o), n n of them", true, -INFINITY, INFINITY},
    {"error", "|o^ - o| in the mean, absolute", false, 1e-300, INFINITY},
    {0}};
static const atn_quantity fourier_of[] = {
    {"square", "|q' - k'|^2", false, 0, INFINITY}, DRAWS, {0}};
static const atn_quantity tail_of[] = {
    DRAWS, {"error", "t, absolute", false, 0, INFINITY}, {0}};
static const atn_quantity orthogonal_of[] = {
    {"square", "|q' + k'|^2", false, 0, INFINITY},
    {"width", "d", false, 1, INFINITY},
    {"draws", "m, orthogonal directions", false, 1, INFINITY},
    {0}};
static const atn_quantity none_of[] = {{0}};
static const atn_quantity positive_of[] = {
    {"positive", "square error of the output, by as many positive features", false, 0,
     INFINITY},
    {0}};
static const atn_quantity length_of[] = {
    {"square", "mean of |q' + k'|^2, keys as they are", false, 0, INFINITY}, {0}};

const atn_bound atn_bound_feature_mean = {
    .id = "feature_mean",
    .label = "B19",
    .title = "mean of an entry of random features",
    .statement = "E phi(q') . phi(k') = e^{q'.k'}",
    .source = "Choromanski et al., arXiv 2009.14794",
    .verified = true,
    .in_mean = true,
    .relation = ATN_IN_MEAN,
    .quantities = mean_of,
    .predict = mean,
};
const atn_bound atn_bound_feature_variance = {
    .id = "feature_variance",
    .label = "B19",
    .title = "variance of an entry of random features",
    .statement = "Var / e^{2 q'.k'} = (e^{|z|^2} - 1) / m, (cosh |z|^2 - 1) / m or "
                 "(cosh |delta|^2 - 1) / m",
    .source = "own derivation",
    .verified = true,
    .in_mean = true,
    .relation = ATN_IN_MEAN,
    .quantities = variance_of,
    .predict = variance,
};
const atn_bound atn_bound_feature_row_sum = {
    .id = "feature_row_sum",
    .label = "B19",
    .title = "variance of a row sum of random features",
    .statement = "Var(D^) / D^2 = sum_jl P_j P_l (g(z_j . z_l) - 1) / m",
    .source = "own derivation",
    .verified = true,
    .in_mean = true,
    .relation = ATN_IN_MEAN,
    .quantities = row_sum_of,
    .assumes = square_lists,
    .predict = row_sum,
};
const atn_bound atn_bound_feature_output = {
    .id = "feature_output",
    .label = "B19",
    .title = "error of outputs by random features, to first order",
    .statement = "E |o^ - o|^2 ~ sum_jl P_j P_l g(z_j . z_l) (v_j - o) . (v_l - o) / m",
    .assumption = "small variance of row sums: max |z_j|^2 <= 2, Var(D^) / D^2 <= .02",
    .source = "own derivation, by the delta method",
    .verified = true,
    .in_mean = true,
    .relation = ATN_ABOUT,
    .quantities = output_of,
    .assumes = all_lists,
    .predict = output,
};
const atn_bound atn_bound_feature_draws = {
    .id = "feature_draws",
    .label = "B19",
    .title = "draws that an error of the output takes, to first order",
    .statement = "m = sum_jl P_j P_l g(z_j . z_l) (v_j - o) . (v_l - o) / eps^2",
    .assumption = "small variance of row sums",
    .source = "own derivation, by the delta method",
    .verified = true,
    .relation = ATN_AT_LEAST,
    .quantities = draws_of,
    .assumes = all_lists,
    .predict = draws,
};
const atn_bound atn_bound_hyperbolic_output = {
    .id = "hyperbolic_output",
    .label = "B19",
    .title = "outputs by hyperbolic features against positive ones, equally many",
    .statement = "E |o^ - o|^2 of m pairs <= that of 2 m positive features",
    .assumption = "a theorem for entries: their variances stand as 1 - e^{-|z|^2} to 1",
    .source = "own expectation for outputs",
    .verified = false,
    .relation = ATN_AT_MOST,
    .quantities = positive_of,
    .predict = itself,
};
const atn_bound atn_bound_fourier_variance = {
    .id = "fourier_variance",
    .label = "B19",
    .title = "variance of the Gaussian kernel by cosines",
    .statement = "Var = (1 - e^{-|delta|^2})^2 / (2 m)",
    .source = "own derivation; features of Rahimi, Recht 2007",
    .verified = true,
    .in_mean = true,
    .relation = ATN_IN_MEAN,
    .quantities = fourier_of,
    .predict = fourier,
};
const atn_bound atn_bound_fourier_tail = {
    .id = "fourier_tail",
    .label = "B19",
    .title = "how often the Gaussian kernel by cosines is far off",
    .statement = "Pr(|error| >= t) <= 2 e^{-m t^2 / 2}",
    .source = "Hoeffding's inequality",
    .verified = true,
    .in_mean = true,
    .relation = ATN_AT_MOST,
    .quantities = tail_of,
    .predict = fourier_tail,
};
const atn_bound atn_bound_orthogonal_draws = {
    .id = "orthogonal_draws",
    .label = "B19",
    .title = "variance of an entry by orthogonal directions",
    .statement = "MSE / e^{2 q'.k'} <= (e^{|z|^2} - 1) / m - 2 (m - 1) / (m (d + 2)) "
                 "(1 - e^{-|z|^2 / 2})^2",
    .assumption = "m <= d, positive features",
    .source = "Choromanski et al., arXiv 2009.14794, as quoted",
    .verified = false,
    .relation = ATN_AT_MOST,
    .quantities = orthogonal_of,
    .assumes = draws_fit,
    .predict = orthogonal,
};
const atn_bound atn_bound_centred_keys = {
    .id = "centred_keys",
    .label = "B19",
    .title = "keys less their mean: the same weights",
    .statement = "max |P(Q, K - 1 mean') - P(Q, K)| = 0",
    .assumption = "no soft-cap",
    .source = "own derivation: a row of logits moves by one number",
    .verified = true,
    .relation = ATN_EQUAL,
    .quantities = none_of,
    .predict = nothing,
};
const atn_bound atn_bound_centred_length = {
    .id = "centred_length",
    .label = "B19",
    .title = "mean of |q' + k'|^2 after keys lose their mean, against before",
    .statement = "mean |q' + k' - mean'|^2 <= mean |q' + k'|^2, as a rule",
    .assumption = "no theorem: means of queries and keys may point apart",
    .source = "own expectation",
    .verified = false,
    .relation = ATN_AT_MOST,
    .quantities = length_of,
    .predict = itself,
};
