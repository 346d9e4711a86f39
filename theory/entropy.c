/* theory/entropy.c -- what the entropy of a row says of its k best keys.
 *
 * Math    p_(j) <= 1 / j of the j-th largest, so all beyond the k-th bring at least
 *         ln(k + 1) each: (mass beyond) ln(k + 1) <= H. Split the row into the k best
 *         and the n - k others (Fano): H <= ln 2 + (1 - t) ln k + t ln(n - k).
 * Oracle  p = (.1 .4 .2 .3), H = 1.279854, k = 1: .6 is beyond it,
 *         between (H - ln 2) / ln 3 = .534044 and H / ln 2 = 1.846439.
 * Source  own derivation; Fano's inequality.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "theory/bound.h"

#include <math.h>

static const atn_quantity upper_of[] = {{"entropy", "H_i, nats", false, 0, INFINITY},
                                        {"keys_kept", "k", false, 1, INFINITY},
                                        {0}};
static const atn_quantity lower_of[] = {
    {"entropy", "H_i, nats", false, 0, INFINITY},
    {"keys_kept", "k", false, 1, INFINITY},
    {"keys_seen", "n_i, that the row sees", false, 1, INFINITY},
    {0}};

static double upper(const atn_quantities *q)
{
    return q->x[0] / log(q->x[1] + 1);
}

static bool enough_keys(const atn_quantities *q)
{
    return q->x[2] > 2 * q->x[1];
}

static double lower(const atn_quantities *q)
{
    const double k = q->x[1], n = q->x[2];

    return (q->x[0] - log(2) - log(k)) / (log(n - k) - log(k));
}

const atn_bound atn_bound_entropy_topk_upper = {
    .id = "entropy_topk_upper",
    .label = "B10",
    .title = "most that the k best keys leave out",
    .statement = "1 - m_i(k) <= H_i / ln(k + 1)",
    .source = "own derivation",
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = upper_of,
    .predict = upper,
};
const atn_bound atn_bound_entropy_topk_lower = {
    .id = "entropy_topk_lower",
    .label = "B10",
    .title = "least that any k keys leave out",
    .statement = "1 - m_i(k) >= (H_i - ln 2 - ln k) / (ln(n_i - k) - ln k)",
    .assumption = "the row sees more than 2 k keys",
    .source = "own derivation, by Fano's inequality",
    .verified = true,
    .relation = ATN_AT_LEAST,
    .quantities = lower_of,
    .assumes = enough_keys,
    .predict = lower,
};
