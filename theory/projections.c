/* theory/projections.c -- random projections of keys, landmarks, binary codes.
 *
 * Math    B18: R [k, n] of independent normal numbers of variance 1 / k. Given w,
 *         E |P R'R w - P w|^2 = (|P|_F^2 |w|^2 + |P w|^2) / k, and of two vectors
 *         E (<Rx, Ry> - <x, y>)^2 = (|x|^2 |y|^2 + <x, y>^2) / k.
 *         NY: a step of the iteration takes an eigenvalue e of the residual 1 - A Z to
 *         (3 e^3 + e^4) / 4; a matrix of rank m is at least sqrt(sum_{i>m} sigma_i^2)
 *         from P.
 *         BI: the sides of b random planes on which two vectors at angle theta lie
 *         differ in a share of mean theta / pi, and by Hoeffding
 *         Pr(|share - theta / pi| >= sqrt(ln(2 / eta) / (2 b))) <= eta.
 * Oracle  P = 1 of n = 3, w = (1, 2, 2), k = 2: (3 * 9 + 9) / 2 = 18. From .999 on:
 *         .997 .989 .966 .895 .697 .313. b = 8, eta = .05: .480.
 * Source  own derivations; cards/kernel-theory.md, cards 16 to 18, B18.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "theory/bound.h"

#include <math.h>

#define AMOUNT(name, text)                                                             \
    {                                                                                  \
        name, text, false, 0, INFINITY                                                 \
    }
#define COUNT(name, text)                                                              \
    {                                                                                  \
        name, text, false, 1, INFINITY                                                 \
    }
#define QUANTITIES_END                                                                 \
    {                                                                                  \
        NULL, NULL, false, 0, 0                                                        \
    }

/* ---- B18 ---- */

static const atn_quantity moment_of[] = {
    AMOUNT("weights", "|P|_F"), AMOUNT("vector", "|w|"), AMOUNT("product", "|P w|"),
    COUNT("rank", "k, rows of R"), QUANTITIES_END};
static const atn_quantity inner_of[] = {
    AMOUNT("left", "|x|"),
    AMOUNT("right", "|y|"),
    {"product", "<x, y>", false, -INFINITY, INFINITY},
    COUNT("rank", "k, rows of R"),
    QUANTITIES_END};
static const atn_quantity relative_of[] = {
    AMOUNT("product", "|P w|"), COUNT("keys", "n"), COUNT("rank", "k, rows of R"),
    QUANTITIES_END};

static double moment(const atn_quantities *q)
{
    return (q->x[0] * q->x[0] * q->x[1] * q->x[1] + q->x[2] * q->x[2]) / q->x[3];
}

/* The smallest eps with 5 ln n <= k (eps^2 - eps^3), which is largest at 2 / 3. */
static double relative_error(const atn_quantities *q)
{
    const double need = 5 * log(q->x[1]) / q->x[2];
    double lo = 0, hi = 2.0 / 3;

    for (int step = 0; step < 100; step++) {
        const double mid = (lo + hi) / 2;

        if (mid * mid * (1 - mid) < need)
            lo = mid;
        else
            hi = mid;
    }
    return hi * q->x[0];
}

static bool rank_suffices(const atn_quantities *q)
{
    return 5 * log(q->x[1]) <= q->x[2] * 4 / 27;
}

const atn_bound atn_bound_linformer_moment = {
    .id = "linformer_moment",
    .label = "B18",
    .title = "what a random projection of the keys does to a product",
    .statement = "E |P R'R w - P w|^2 = (|P|_F^2 |w|^2 + |P w|^2) / k",
    .assumption = "R has independent normal entries of variance 1 / k",
    .source = "own derivation",
    .verified = true,
    .in_mean = true,
    .relation = ATN_IN_MEAN,
    .quantities = moment_of,
    .predict = moment,
};
const atn_bound atn_bound_inner_product_moment = {
    .id = "inner_product_moment",
    .label = "B18",
    .title = "what a random projection does to an inner product",
    .statement = "E (<Rx, Ry> - <x, y>)^2 = (|x|^2 |y|^2 + <x, y>^2) / k",
    .assumption = "R has independent normal entries of variance 1 / k",
    .source = "own derivation",
    .verified = true,
    .in_mean = true,
    .relation = ATN_IN_MEAN,
    .quantities = inner_of,
    .predict = moment,
};
const atn_bound atn_bound_linformer_relative = {
    .id = "linformer_relative",
    .label = "B18",
    .title = "the error of a projection relative to the product",
    .statement = "|P R'R w - P w| <= eps |P w| for k = 5 ln n / (eps^2 - eps^3)",
    .assumption = "k is large enough for some eps",
    .source = "Wang et al., arXiv 2006.04768, Theorem 1",
    .relation = ATN_AT_MOST,
    .quantities = relative_of,
    .assumes = rank_suffices,
    .predict = relative_error,
};

/* ---- landmarks ---- */

static const atn_quantity residual_of[] = {
    {"residual", "eigenvalue of 1 - A Z_0", false, -1e-12, 1},
    AMOUNT("steps", "of the iteration"),
    QUANTITIES_END};
static const atn_quantity floor_of[] = {
    {"singular", "values of P, descending", true, 0, INFINITY},
    AMOUNT("rank", "m, landmarks"),
    QUANTITIES_END};
static const atn_quantity none[] = {QUANTITIES_END};

static double residual(const atn_quantities *q)
{
    double e = q->x[0];

    for (int k = 0; k < q->x[1]; k++) e = (3 + e) * e * e * e / 4;
    return e;
}

static double tail(const atn_quantities *q)
{
    double sum = 0;

    for (size_t k = q->n[0]; k-- > 0 && (double)k >= q->x[1];)
        sum += q->list[0][k] * q->list[0][k];
    return sqrt(sum);
}

static double about_cut(const atn_quantities *q)
{
    (void)q;
    return .03;
}

const atn_bound atn_bound_nystrom_residual = {
    .id = "nystrom_residual",
    .label = "NY-1",
    .title = "what the iteration for the inverse leaves",
    .statement = "an eigenvalue e of 1 - A Z becomes (3 e^3 + e^4) / 4",
    .assumption = "Z_0 is a multiple of A'",
    .source = "own derivation; the iteration of Xiong et al., arXiv 2102.03902",
    .verified = true,
    .relation = ATN_EQUAL,
    .quantities = residual_of,
    .predict = residual,
};
const atn_bound atn_bound_nystrom_cut = {
    .id = "nystrom_cut",
    .label = "NY-1",
    .title = "singular values that six steps leave out, relative to the largest",
    .statement = "six steps repair half of a value of about .03 of the largest",
    .source = "observed, cards/kernel-theory.md, V20",
    .relation = ATN_ABOUT,
    .quantities = none,
    .predict = about_cut,
};
const atn_bound atn_bound_nystrom_floor = {
    .id = "nystrom_floor",
    .label = "NY-2",
    .title = "what m landmarks leave at least",
    .statement = "|P - W|_F >= sqrt(sum_{i>m} sigma_i(P)^2) for W of rank m",
    .source = "Eckart, Young",
    .verified = true,
    .relation = ATN_AT_LEAST,
    .quantities = floor_of,
    .predict = tail,
};

/* ---- codes ---- */

static const atn_quantity angle_of[] = {{"angle", "theta / pi", false, 0, 1},
                                        QUANTITIES_END};
static const atn_quantity risk_of[] = {
    {"risk", "eta", false, 0, 1}, COUNT("bits", "b"), QUANTITIES_END};

static double first(const atn_quantities *q)
{
    return q->x[0];
}

/* How far off is an error, for a risk. */
static double far_off(const atn_quantities *q)
{
    return q->x[0] > 0 ? sqrt(log(2 / q->x[0]) / (2 * q->x[1])) : INFINITY;
}

static double one(const atn_quantities *q)
{
    (void)q;
    return 1;
}

const atn_bound atn_bound_hamming_mean = {
    .id = "hamming_mean",
    .label = "BI-1",
    .title = "share of random planes that two vectors lie on different sides of",
    .statement = "E Ham / b = theta / pi",
    .assumption = "planes of independent normal entries",
    .source = "Charikar 2002",
    .verified = true,
    .in_mean = true,
    .relation = ATN_IN_MEAN,
    .quantities = angle_of,
    .predict = first,
};
const atn_bound atn_bound_hamming_tail = {
    .id = "hamming_tail",
    .label = "BI-1",
    .title = "how often that share is further off than said",
    .statement = "Pr(|Ham / b - theta / pi| >= sqrt(ln(2 / eta) / (2 b))) <= eta",
    .assumption = "planes of independent normal entries",
    .source = "Hoeffding's inequality",
    .verified = true,
    .in_mean = true,
    .relation = ATN_AT_MOST,
    .quantities = risk_of,
    .predict = first,
};
const atn_bound atn_bound_hamming_distance = {
    .id = "hamming_distance",
    .label = "BI-1",
    .title = "how far off that share is in all but eta of the draws",
    .statement = "|Ham / b - theta / pi| <= sqrt(ln(2 / eta) / (2 b))",
    .assumption = "planes of independent normal entries",
    .source = "Hoeffding's inequality",
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = risk_of,
    .predict = far_off,
};
const atn_bound atn_bound_code_rank = {
    .id = "code_rank",
    .label = "BI-2",
    .title = "do binary codes keep the order of the logits?",
    .statement = "Spearman correlation of <b_i, b_j> and s_ij in a row, <= 1",
    .source = "codes of You et al., arXiv 2306.06446",
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = none,
    .predict = one,
};
