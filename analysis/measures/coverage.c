/* analysis/measures/coverage.c -- how many keys hold most of a row's weight.
 *
 * Math    keys_i(c) = least number of keys, largest weights first, with sum >= c times
 *         the row's mass; its mean over rows, and the mean of keys_i(c) / n_i, the
 *         density of the best token sparsity at coverage c.
 * Oracle  F4: 1, 2, 3, 3 keys for 0.9 and 1, 2, 3, 4 for 0.95; uniform: ceil(c n_i).
 * Source  card B4; ties count by index, which does not change the number.
 * Limits  a sum that is one unit of float32 short of c counts as reached; a row whose
 *         weight a sink logit took whole stays out.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "analysis/measure.h"

extern const atn_measure atn_measure_coverage;

#define KEYS(level)                                                                    \
    static double keys_##level(const atn_head_stats *s, atn_idx i)                     \
    {                                                                                  \
        return atn_row_shared(s, ATN_ROW_KEYS_##level, i);                             \
    }                                                                                  \
    static double share_##level(const atn_head_stats *s, atn_idx i)                    \
    {                                                                                  \
        return keys_##level(s, i) / (double)s->seen[i];                                \
    }
KEYS(50)
KEYS(80)
KEYS(90)
KEYS(95)
KEYS(99)
KEYS(999)
#undef KEYS

static const atn_measure_col cols[] = {
    {"coverage_50_mean_keys", "keys", "[1, nk]",
     "mean number of keys with half the weight", keys_50},
    {"coverage_80_mean_keys", "keys", "[1, nk]", "the same for 80 % of the weight",
     keys_80},
    {"coverage_90_mean_keys", "keys", "[1, nk]", "the same for 90 % of the weight",
     keys_90},
    {"coverage_95_mean_keys", "keys", "[1, nk]", "the same for 95 % of the weight",
     keys_95},
    {"coverage_99_mean_keys", "keys", "[1, nk]", "the same for 99 % of the weight",
     keys_99},
    {"coverage_999_mean_keys", "keys", "[1, nk]", "the same for 99.9 % of the weight",
     keys_999},
    {"coverage_50_density", "", "(0, 1]", "mean of these keys / visible keys, for half",
     share_50},
    {"coverage_80_density", "", "(0, 1]", "the same for 80 % of the weight", share_80},
    {"coverage_90_density", "", "(0, 1]", "the same for 90 % of the weight", share_90},
    {"coverage_95_density", "", "(0, 1]", "the same for 95 % of the weight", share_95},
    {"coverage_99_density", "", "(0, 1]", "the same for 99 % of the weight", share_99},
    {"coverage_999_density", "", "(0, 1]", "the same for 99.9 % of the weight",
     share_999},
    ATN_MEASURE_COLS_END,
};

const atn_measure atn_measure_coverage = {
    .id = "coverage",
    .title = "Keys needed for most of the weight",
    .source = "the oracle of token sparsity: largest weights first",
    .needs = ATN_NEED_COVER,
    .cols = cols,
};
