/* theory/log_rank.c -- the rank of the logarithms of a softmax.
 *
 * Math    ln P_ij = scale q_i . k_j - lse_i: a product of rank d and one column of
 *         constants, so rank d + 1 at most. A bias by distance, slope (j - i), adds the
 *         row j; its column is a constant of the row. A soft-cap bends the product: no
 *         rank is left.
 *         In single precision ln P is off by u |ln P| or so an entry, and independent
 *         errors of size e have a norm of e (sqrt(rows) + sqrt(columns)): what is beyond
 *         the rank is no more. That is an expectation, for logits may cancel.
 *         A row of a softmax sums to 1. Logits off by delta move it by tanh(delta / 2);
 *         products of d numbers in units u are off by (d + 16) u |q| |k|, 2 u' |q| |k| if
 *         factors were rounded to u' before.
 * Oracle  random q and k of length 5: sigma_7 / sigma_1 below 1e-13.
 * Source  own derivation; logits of language models show the same rank (Finlayson, Ren,
 *         Swayamdipta, 2024).
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "theory/bound.h"

#include <math.h>

/* What is no rank, beside the largest singular value. */
#define NOTHING 1e-6

static const atn_quantity quantities[] = {
    {"rank", "d + 1, with a bias by distance d + 2", false, 1, INFINITY},
    {"side", "rows or columns looked at, the fewer", false, 0, INFINITY},
    {"softcap", "cap of the logits, 0 = none", false, 0, 0},
    {0}};

static bool has_more(const atn_quantities *q)
{
    return q->x[1] > q->x[0];
}

static double predict(const atn_quantities *q)
{
    (void)q;
    return NOTHING;
}

const atn_bound atn_bound_log_rank = {
    .id = "log_rank",
    .label = "V6",
    .title = "rank of the logarithms of the weights",
    .statement = "sigma_(d+2) / sigma_1 <= 1e-6 of ln P (one more with ALiBi)",
    .assumption =
        "no soft-cap; a rectangle that is seen whole, of more than d + 1 rows "
        "and columns",
    .source = "own derivation",
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = quantities,
    .assumes = has_more,
    .predict = predict,
};

/* ---- how large rounding is ---- */

static const double UNIT = 5.9604644775390625e-8; /* 2^-24, of single precision */

static const atn_quantity noise_of[] = {
    {"largest", "max |ln P|", false, 0, INFINITY},
    {"rows", "that are looked at", false, 1, INFINITY},
    {"columns", "that are looked at", false, 1, INFINITY},
    {0}};

static double noise(const atn_quantities *q)
{
    return 8 * UNIT * fmax(q->x[0], 1) * (sqrt(q->x[1]) + sqrt(q->x[2]));
}

const atn_bound atn_bound_log_rank_rounding = {
    .id = "log_rank_rounding",
    .label = "V6",
    .title = "what is left beyond the rank, against rounding",
    .statement =
        "sigma_(d+2) <= 8 u max |ln P| (sqrt(rows) + sqrt(columns)), u = 2^-24",
    .assumption =
        "weights computed and stored in single precision, logits of the size of "
        "ln P",
    .source = "own expectation: independent errors of u |ln P| an entry",
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = noise_of,
    .predict = noise,
};

static const atn_quantity stored_of[] = {
    {"unit", "u' of the 16-bit numbers that P is stored in; 0 = float", false, 0, 1},
    {0}};

static double sum_of(const atn_quantities *q)
{
    return 1e-5 + q->x[0];
}

const atn_bound atn_bound_stored_rows = {
    .id = "stored_rows",
    .label = "V6",
    .title = "stored rows of attention sum to 1",
    .statement = "|sum_j P_ij - 1| <= 1e-5 + u'",
    .assumption = "a row that sees a key, without a share for a sink logit",
    .source = "definition of the softmax",
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = stored_of,
    .predict = sum_of,
};

static const atn_quantity softmax_of[] = {
    {"length", "scale |q_i| max |k_j| and the largest bias", false, 0, INFINITY},
    {"width", "d", false, 1, INFINITY},
    {"keys", "n of the row", false, 1, INFINITY},
    {"unit", "u' of 16-bit factors, products or weights; 0 = float", false, 0, 1},
    {0}};

static double apart(const atn_quantities *q)
{
    const double delta = q->x[0] * ((q->x[1] + 16) * UNIT + 2 * q->x[3]);

    return tanh(delta / 2) + (q->x[2] + 16) * UNIT + q->x[3];
}

const atn_bound atn_bound_stored_softmax = {
    .id = "stored_softmax",
    .label = "V6",
    .title = "stored attention is the softmax of the stored queries and keys",
    .statement = "|P_i - softmax(s q_i.k)|_1 / 2 <= tanh(delta / 2) + (n + 16) u + u', "
                 "delta = s |q_i| max |k| ((d + 16) u + 2 u')",
    .assumption = "queries, keys and weights are all stored",
    .source = "own derivation: B11 with the rounding of products",
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = softmax_of,
    .predict = apart,
};
