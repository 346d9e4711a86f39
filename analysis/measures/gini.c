/* analysis/measures/gini.c -- how unequally a row spreads its weight.
 *
 * Math    G_i = sum_k (2k - n_i - 1) p_(k) / (n_i sum p) over the n_i visible keys, p
 *         ascending, k from 1; mean over rows.
 * Oracle  uniform 0; one-hot 1 - 1 / n_i; (.1 .15 .5 .25): 0.325.
 * Source  card B1.
 * Cost    sorts every row, so it is asked for by name.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/measure.h"

extern const atn_measure atn_measure_gini;

static double gini(const atn_head_stats *s, atn_idx i)
{
    return atn_row_shared(s, ATN_ROW_GINI, i);
}

static const atn_measure_col cols[] = {
    {"gini_mean", "", "[0, 1)",
     "mean over rows of the Gini coefficient of their weights", gini},
    ATN_MEASURE_COLS_END,
};

const atn_measure atn_measure_gini = {
    .id = "gini",
    .title = "Gini coefficient of the rows",
    .source = "Gini coefficient over the visible keys of each row",
    .needs = ATN_NEED_GINI,
    .named = true,
    .cols = cols,
};
