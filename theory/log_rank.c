/* theory/log_rank.c -- the rank of the logarithms of a softmax.
 *
 * Math    ln P_ij = scale q_i . k_j - lse_i: a product of rank d and one column of
 *         constants, so rank d + 1 at most. A bias by distance, slope (j - i), adds the
 *         row j; its column is a constant of the row. A soft-cap bends the product: no
 *         rank is left.
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
