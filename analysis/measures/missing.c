/* analysis/measures/missing.c -- weight that no key has.
 *
 * Math    1 - sum_j P_ij, mean over rows: what a sink logit or gating takes, or what
 *         rows that were imported lack.
 * Oracle  softmax rows 0; a sink logit of 0 beside uniform rows of n keys: 1 / (n + 1).
 * Source  card 0.1, rule 7: measures of the renormalised row report the missing mass
 *         apart.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "analysis/measure.h"

extern const atn_measure atn_measure_missing;

/* rows of float32 sum to 1 but for rounding */
static double missing(const atn_head_stats *s, atn_idx i)
{
    return fmax(1 - atn_row_value(s, ATN_ROW_MASS, i), 0);
}

static const atn_measure_col cols[] = {
    {"missing_mass", "", "[0, 1]", "mean weight of a row that no key has", missing},
    ATN_MEASURE_COLS_END,
};

const atn_measure atn_measure_missing = {
    .id = "missing",
    .title = "Weight that no key has",
    .source = "1 - the sum of a row",
    .cols = cols,
};
