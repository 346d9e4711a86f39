/* theory/sampling.c -- bounds on products whose columns are sampled: approximate matrix
 * multiplication, estimates that normalise themselves, and what HyperAttention assumes
 * and states.
 *
 * Math    m columns j of P, drawn with probabilities p_j, each counted 1 / (m p_j):
 *             E |P V - X|_F^2 = (sum_j |P e_j|^2 |v_j|^2 / p_j - |P V|_F^2) / m
 *         and a tail by the matrix Bernstein inequality. Of m columns whose weights are
 *         scaled to sum to 1, to first order in 1 / m:
 *             E |o~_i - o_i|^2 = (sum_j P_ij^2 |v_j - o_i|^2 / p_j) / m
 * Oracle  P = I, |v_j| = 1, p_j = 1 / n: (n^2 - n) / m. All p on the only column that
 *         counts: 0.
 * Source  cards/kernel-theory.md, card 2 and B16, B23; Han et al., arXiv 2310.05869;
 *         Tropp, Foundations of Computational Mathematics 12 (2012), theorem 1.6.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "theory/bound.h"

/* sum_j a_j^2 b_j^2 / p_j; a column without weight is never needed. */
static double weighted_squares(const double *a, const double *b, const double *p,
                               size_t n)
{
    double sum = 0;

    for (size_t j = 0; j < n; j++) {
        const double x = a[j] * b[j];
        if (x > 0) sum += x * x / p[j];
    }
    return sum;
}

/* As many of each, and a chance wherever there is weight. */
static bool three_lists(const atn_quantities *q)
{
    if (q->n[0] != q->n[1] || q->n[0] != q->n[2]) return false;
    for (size_t j = 0; j < q->n[0]; j++)
        if (q->list[0][j] * q->list[1][j] > 0 && !(q->list[2][j] > 0)) return false;
    return true;
}

/* ---- B16: P V from m of its columns ---- */

static double amm(const atn_quantities *q)
{
    const double c = q->x[3], m = q->x[4];
    const double sum = weighted_squares(q->list[0], q->list[1], q->list[2], q->n[0]);

    return fmax(sum - c * c, 0) / m;
}

static const atn_quantity amm_of[] = {
    {"column_norms", "|P e_j| of every key", true, 0, INFINITY},
    {"value_norms", "|v_j|", true, 0, INFINITY},
    {"probabilities", "p_j, which sum to 1", true, 0, 1},
    {"product_norm", "|P V|_F", false, 0, INFINITY},
    {"samples", "m", false, 1, INFINITY},
    {0},
};

const atn_bound atn_bound_amm_second_moment = {
    .id = "amm_second_moment",
    .label = "B16",
    .title = "squared error of a product from sampled columns",
    .statement = "E |PV - X|_F^2 = (sum_j |P e_j|^2 |v_j|^2 / p_j - |PV|_F^2) / m",
    .assumption = "columns drawn independently, p_j > 0 wherever |P e_j| |v_j| > 0",
    .source = "derived, cards/kernel-theory.md B16",
    .verified = true,
    .in_mean = true,
    .relation = ATN_IN_MEAN,
    .quantities = amm_of,
    .assumes = three_lists,
    .predict = amm,
};

static double bernstein(const atn_quantities *q)
{
    const double n = q->x[0] + q->x[1], v = q->x[2], most = q->x[3], t = q->x[4];
    const double under = v + most * t / 3;

    if (t == 0) return 1;
    return under > 0 ? fmin(1, n * exp(-t * t / 2 / under)) : 0;
}

static const atn_quantity bernstein_of[] = {
    {"rows", "n_q", false, 1, INFINITY},
    {"width", "d_v", false, 1, INFINITY},
    {"variance", "the larger of the two variance norms of the sum", false, 0, INFINITY},
    {"largest", "L: the largest norm of a term", false, 0, INFINITY},
    {"error", "t", false, 0, INFINITY},
    {0},
};

const atn_bound atn_bound_amm_bernstein = {
    .id = "amm_bernstein",
    .label = "B16",
    .title = "chance of a large error of a product from sampled columns",
    .statement = "Pr(|PV - X|_op >= t) <= (n_q + d_v) exp(-t^2 / 2 / (v + L t / 3))",
    .assumption = "columns drawn independently, p_j > 0 wherever |P e_j| |v_j| > 0",
    .source = "Tropp 2012, theorem 1.6; cards/kernel-theory.md B16",
    .verified = true,
    .in_mean = true,
    .relation = ATN_AT_MOST,
    .quantities = bernstein_of,
    .predict = bernstein,
};

/* ---- B23: a row that normalises itself ---- */

static double self_normalised(const atn_quantities *q)
{
    return weighted_squares(q->list[0], q->list[1], q->list[2], q->n[0]) / q->x[3];
}

static const atn_quantity self_of[] = {
    {"weights", "P_ij of the row", true, 0, 1},
    {"distances", "|v_j - o_i|", true, 0, INFINITY},
    {"probabilities", "p_j, which sum to 1", true, 0, 1},
    {"samples", "m", false, 1, INFINITY},
    {0},
};

const atn_bound atn_bound_self_normalised = {
    .id = "self_normalised",
    .label = "B23",
    .title = "squared error of a row of sampled keys, scaled to sum to 1",
    .statement = "E |o~ - o|^2 = sum_j P_j^2 |v_j - o|^2 / p_j / m to first order",
    .assumption = "keys drawn independently; (sum_j P_j^2 / p_j - 1) / m is small",
    .source = "derived, cards/kernel-theory.md B23",
    .verified = true,
    .in_mean = true,
    .relation = ATN_ABOUT,
    .quantities = self_of,
    .assumes = three_lists,
    .predict = self_normalised,
};

static double self_best(const atn_quantities *q)
{
    double sum = 0;

    for (size_t j = 0; j < q->n[0]; j++) sum += q->list[0][j] * q->list[1][j];
    return sum * sum / q->x[2];
}

static bool two_lists(const atn_quantities *q)
{
    return q->n[0] == q->n[1];
}

static const atn_quantity best_of[] = {
    {"weights", "P_ij of the row", true, 0, 1},
    {"distances", "|v_j - o_i|", true, 0, INFINITY},
    {"samples", "m", false, 1, INFINITY},
    {0},
};

const atn_bound atn_bound_self_normalised_best = {
    .id = "self_normalised_best",
    .label = "B23",
    .title = "the best choice of keys to sample for a row",
    .statement = "sum_j P_j^2 |v_j - o|^2 / p_j / m >= (sum_j P_j |v_j - o|)^2 / m",
    .source = "derived, cards/kernel-theory.md B23 (Cauchy-Schwarz)",
    .verified = true,
    .relation = ATN_AT_LEAST,
    .quantities = best_of,
    .assumes = two_lists,
    .predict = self_best,
};

/* ---- what HyperAttention assumes ---- */

static double alpha(const atn_quantities *q)
{
    double most = 0;

    for (size_t j = 0; j < q->n[0]; j++) most = fmax(most, q->list[0][j]);
    return (double)q->n[0] * most * most;
}

static const atn_quantity alpha_of[] = {
    {"column_norms", "|P e_j| of every key", true, 0, INFINITY},
    {0},
};

const atn_bound atn_bound_hyper_alpha = {
    .id = "hyper_alpha",
    .label = "HA-4",
    .title = "alpha, which HyperAttention assumes to be small",
    .statement = "|P|_F^2 <= alpha = n max_j |P e_j|^2",
    .source = "derived, cards/kernel-theory.md card 2",
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = alpha_of,
    .predict = alpha,
};

static double ln_kappa(const atn_quantities *q)
{
    return log(q->x[1] / q->x[0]) + q->x[2];
}

static bool fewest_first(const atn_quantities *q)
{
    return q->x[0] <= q->x[1];
}

static const atn_quantity kappa_of[] = {
    {"fewest", "entries left in a row after the mask, at least", false, 1, INFINITY},
    {"most", "the same, at most", false, 1, INFINITY},
    {"range", "largest less smallest logit that is left", false, 0, INFINITY},
    {0},
};

const atn_bound atn_bound_hyper_kappa = {
    .id = "hyper_kappa",
    .label = "HA-4",
    .title = "ln kappa: how uneven rows are after large entries are removed",
    .statement = "ln kappa <= ln(most / fewest entries of a row) + range of logits",
    .assumption = "rows in which the mask leaves nothing do not count",
    .source = "own derivation of a ceiling; kappa: Han et al., arXiv 2310.05869",
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = kappa_of,
    .assumes = fewest_first,
    .predict = ln_kappa,
};

static double half_of(const atn_quantities *q)
{
    return q->x[0] / 2;
}

static const atn_quantity denominators_of[] = {
    {"error", "eps: every |D~ / D - 1| <= eps / 3", false, 0, 1},
    {0},
};

const atn_bound atn_bound_hyper_denominators = {
    .id = "hyper_denominators",
    .label = "HA-2",
    .title = "weights whose rows are divided by estimated sums",
    .statement = "|(D~^-1 - D^-1) A|_op <= (eps / 2) |P|_op",
    .assumption = "every |D~ / D - 1| <= eps / 3, eps <= 1",
    .source = "derived, cards/kernel-theory.md card 2",
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = denominators_of,
    .predict = half_of,
};

/* ---- what HyperAttention states ---- */

static double theory_samples(const atn_quantities *q)
{
    return pow(q->x[0], 7) * pow(q->x[1], 2) * pow(q->x[2], -6) * log(q->x[3]);
}

static const atn_quantity samples_of[] = {
    {"kappa", "ratio of row sums after the mask", false, 1, INFINITY},
    {"alpha", "n max_j |P e_j|^2", false, 0, INFINITY},
    {"error", "eps", false, 1e-300, 1},
    {"keys", "n", false, 2, INFINITY},
    {0},
};

const atn_bound atn_bound_hyper_samples = {
    .id = "hyper_samples",
    .label = "HA-3",
    .title = "samples that the theorem of HyperAttention asks for",
    .statement = "m = kappa^7 alpha^2 eps^-6 ln n, up to a constant",
    .source = "Han et al., arXiv 2310.05869",
    .verified = false,
    .relation = ATN_AT_MOST,
    .quantities = samples_of,
    .predict = theory_samples,
};

static double spectral(const atn_quantities *q)
{
    const double scale = q->x[1] * q->x[2];

    return scale > 0 ? sqrt(q->x[0]) / scale : NAN;
}

static const atn_quantity spectral_of[] = {
    {"second_moment", "of B16, of what is sampled", false, 0, INFINITY},
    {"weights_norm", "|P|_op", false, 0, INFINITY},
    {"values_norm", "|V|_op", false, 0, INFINITY},
    {0},
};

const atn_bound atn_bound_hyper_error = {
    .id = "hyper_error",
    .label = "HA-3",
    .title = "spectral error of HyperAttention against that of sampled columns",
    .statement = "eps = |PV - O|_op / (|P|_op |V|_op) <= sqrt(B16) / (|P|_op |V|_op)",
    .assumption = "rows that do not normalise themselves; HyperAttention's do",
    .source = "own comparison; cards/kernel-theory.md card 2, HA-3",
    .verified = false,
    .relation = ATN_AT_MOST,
    .quantities = spectral_of,
    .predict = spectral,
};

static double half(const atn_quantities *q)
{
    (void)q;
    return -0.5;
}

static const atn_quantity nothing[] = {{0}};

const atn_bound atn_bound_hyper_slope = {
    .id = "hyper_slope",
    .label = "HA-3",
    .title = "how the spectral error of HyperAttention falls with samples",
    .statement = "ln eps over ln m falls by 0.5",
    .assumption = "no row is dominated by few keys",
    .source = "own expectation; cards/kernel-theory.md card 2, HA-3",
    .verified = false,
    .relation = ATN_ABOUT,
    .quantities = nothing,
    .predict = half,
};

static double one(const atn_quantities *q)
{
    (void)q;
    return 1;
}

const atn_bound atn_bound_gray_path = {
    .id = "gray_path",
    .label = "HA",
    .title = "neighbours in the order of the hash",
    .statement = "words next to one another in the Gray sequence differ in one bit",
    .source = "derived, cards/kernel-theory.md card 2",
    .verified = true,
    .relation = ATN_EQUAL,
    .quantities = nothing,
    .predict = one,
};

static double given(const atn_quantities *q)
{
    return q->x[0];
}

static const atn_quantity share_of[] = {
    {"share", "of the weight that blocks have under the other order", false, 0, 1},
    {0},
};

const atn_bound atn_bound_gray_capture = {
    .id = "gray_capture",
    .label = "HA",
    .title = "weight that blocks of the sorted order have, by either order",
    .statement = "the Gray sequence keeps about as much as its published table",
    .source = "own expectation; cards/kernel-theory.md card 2, pitfalls",
    .verified = true,
    .relation = ATN_ABOUT,
    .quantities = share_of,
    .predict = given,
};
