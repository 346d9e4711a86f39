/* analysis/measures/entropy.c -- how many keys a row spreads its weight over.
 *
 * Math    H_i = -sum_j P_ij ln P_ij (rows renormalised where a sink logit takes mass);
 *         normalised H_i / ln n_i over rows with n_i > 1; effective keys exp H_i;
 *         participation ratio 1 / sum_j P_ij^2. Each is averaged over the rows.
 * Oracle  F4: 0.732693 nats; uniform causal: ln(n!) / n; 1 <= PR <= exp H <= n_i row by
 *         row.
 * Source  card B1; participation ratio is the Renyi entropy of order 2, exponentiated.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "analysis/measure.h"

extern const atn_measure atn_measure_entropy;

static double nats(const atn_head_stats *s, atn_idx i)
{
    return atn_row_shared(s, ATN_ROW_ENTROPY, i);
}

static double normalised(const atn_head_stats *s, atn_idx i)
{
    return s->seen[i] > 1 ? nats(s, i) / log((double)s->seen[i]) : (double)NAN;
}

static double effective_keys(const atn_head_stats *s, atn_idx i)
{
    return exp(nats(s, i));
}

/* of the row divided by its mass, which a sink logit makes less than 1 */
static double participation(const atn_head_stats *s, atn_idx i)
{
    const double mass = atn_row_value(s, ATN_ROW_MASS, i);
    const double square = atn_row_value(s, ATN_ROW_SQUARE, i);

    return square > 0 ? mass * mass / square : (double)NAN;
}

static const atn_measure_col cols[] = {
    {"entropy_mean_nats", "nats", "[0, ln nk]", "mean over rows of -sum p ln p", nats},
    {"entropy_normalised", "", "[0, 1]",
     "mean of entropy / ln(visible keys), rows with more than one", normalised},
    {"effective_keys", "keys", "[1, nk]", "mean of exp(entropy)", effective_keys},
    {"participation_ratio", "keys", "[1, nk]", "mean of 1 / sum p^2", participation},
    ATN_MEASURE_COLS_END,
};

const atn_measure atn_measure_entropy = {
    .id = "entropy",
    .title = "Entropy and effective number of keys",
    .source =
        "Shannon entropy of the rows; participation ratio = exp of the Renyi-2 entropy",
    .needs = ATN_NEED_MOMENTS,
    .cols = cols,
};
