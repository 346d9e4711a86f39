/* theory/polynomials.c -- bounds of attention by polynomials, and of what third order
 * can do that second cannot.
 *
 * Math    |T_g(z) e^-z - 1| <= e^X X^(g+1) / (g+1)! (1 - X / (g+2) + ..) on [-X, X].
 *         Weights off by factors in [1 - e, 1 + e] have total variation e / (1 + sqrt(1
 *         - e^2)), and an average of numbers of a range moves by no more than that
 *         times the range. Match-3: with a_i = 2 pi x_i / M the trilinear form is
 *         cos(a_i + a_j + a_k), 1 where x_i + x_j + x_k = 0 mod M and below 1 - gap
 *         elsewhere, gap = 1 - cos(2 pi / M); all times c = (2 / gap) ln(4 n^2), and a
 *         null tuple of logit c (1 - gap / 2) and value 0 in between.
 * Oracle  X = 2, g = 8: below 1e-2, g = 6 above. e = .6: 1/3. n = 8: .99611, .2.
 * Source  own derivation; Sanford, Hsu and Telgarsky, arXiv 2306.02896 for the task.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "theory/bound.h"

#include <math.h>

#include "theory/polynomial.h"

static const atn_quantity taylor_of[] = {
    {"degree", "g of the polynomial", false, 0, 1e6},
    {"x", "largest |z| of the logits that it stands for", false, 0, INFINITY},
    {0}};
static const atn_quantity fall_of[] = {
    {"degree", "g of the polynomial", false, 0, 1e6},
    {"x", "largest |z| of the logits that it stands for", false, 0, INFINITY},
    {"error", "largest relative error of degree g", false, 0, INFINITY},
    {0}};
static const atn_quantity tensor_of[] = {
    {"ratio", "e: weights are off by factors in [1 - e, 1 + e]", false, 0, 1},
    {"range", "max - min of a column of products of values", false, 0, INFINITY},
    {0}};
static const atn_quantity tokens_of[] = {{"tokens", "n", false, 1, INFINITY}, {0}};
static const atn_quantity nothing[] = {{0}};

static double taylor(const atn_quantities *q)
{
    return atn_taylor_error((int)q->x[0], q->x[1]);
}

/* Below X - 1 the error is above 1, and no more is said. */
static bool is_high(const atn_quantities *q)
{
    return q->x[0] >= q->x[1] - 1;
}

static double fall(const atn_quantities *q)
{
    return q->x[1] * q->x[1] / ((q->x[0] + 1) * (q->x[0] + 2)) * q->x[2];
}

static double tensor(const atn_quantities *q)
{
    return q->x[0] / (1 + sqrt(1 - q->x[0] * q->x[0])) * q->x[1];
}

static double rounding(const atn_quantities *q)
{
    (void)q;
    return 1e-12;
}

static double hit(const atn_quantities *q)
{
    return 1 / (1 + 1 / (4 * q->x[0] * q->x[0]));
}

static double fifth(const atn_quantities *q)
{
    (void)q;
    return 0.2;
}

static double none(const atn_quantities *q)
{
    (void)q;
    return 0;
}

const atn_bound atn_bound_taylor_error = {
    .id = "taylor_error",
    .label = "V17",
    .title = "weights of the polynomial of Taylor before they are normalised",
    .statement =
        "|T_g(z) / e^z - 1| <= e^X X^(g+1) / (g+1)! (1 - X/(g+2) + ..), |z| <= X",
    .assumption = "g >= X - 1",
    .source = "own derivation",
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = taylor_of,
    .assumes = is_high,
    .predict = taylor,
};
const atn_bound atn_bound_taylor_fall = {
    .id = "taylor_fall",
    .label = "TE-3",
    .title = "how the error of the polynomial falls with two degrees more",
    .statement = "max |T_(g+2) / e^z - 1| <= X^2 / ((g+1) (g+2)) max |T_g / e^z - 1|: "
                 "faster than any power once g > e X",
    .source = "own derivation: T_g e^-z - 1 is the integral of t^g e^-t / g! to z",
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = fall_of,
    .predict = fall,
};
const atn_bound atn_bound_tensor_features = {
    .id = "tensor_features",
    .label = "V18",
    .title = "tensor attention by monomials is the polynomial of every logit",
    .statement = "max |o_features - o_Taylor| <= 1e-12",
    .source = "own derivation",
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = nothing,
    .predict = rounding,
};
const atn_bound atn_bound_tensor_error = {
    .id = "tensor_error",
    .label = "V18",
    .title = "output of tensor attention whose weights are off by factors",
    .statement = "|o^_il - o_il| <= e / (1 + sqrt(1 - e^2)) (max - min of v1_jl v2_kl)",
    .assumption = "factors in [1 - e, 1 + e]",
    .source = "own derivation",
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = tensor_of,
    .predict = tensor,
};
const atn_bound atn_bound_match3_hit = {
    .id = "match3_hit",
    .label = "V18",
    .title = "third-order attention where x_i + x_j + x_k = 0 mod M for some j, k",
    .statement = "output >= 1 / (1 + 1/(4 n^2))",
    .source = "own derivation; the task is of Sanford, Hsu and Telgarsky",
    .verified = true,
    .relation = ATN_AT_LEAST,
    .quantities = tokens_of,
    .predict = hit,
};
const atn_bound atn_bound_match3_miss = {
    .id = "match3_miss",
    .label = "V18",
    .title = "third-order attention where there is no such pair",
    .statement = "output <= 1/5",
    .source = "own derivation; the task is of Sanford, Hsu and Telgarsky",
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = tokens_of,
    .predict = fifth,
};
const atn_bound atn_bound_match3_indicator = {
    .id = "match3_indicator",
    .label = "V18",
    .title = "Match-3 by third-order attention in double and single precision",
    .statement = "no output is on the wrong side of 1/2",
    .assumption =
        "logits in float32 or wider: bfloat16 rounds them by more than the gap",
    .source = "own derivation; the task is of Sanford, Hsu and Telgarsky",
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = nothing,
    .predict = none,
};
