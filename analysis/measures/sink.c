/* analysis/measures/sink.c -- weight on the first keys.
 *
 * Math    a_0 = mean_i P_i,f with f the first key that is no padding; the same for the
 *         keys f .. f + 3 together.
 * Oracle  uniform causal, n = 64: a_0 = H_64 / 64 = 0.0741233; F4 0.45.
 * Source  card B3; a_0 > 0.3 is the sink criterion of Gu et al., arXiv 2410.10781
 *         (there at 64 tokens). First-four mass after StreamingLLM.
 * Limits  behind a sliding window the first key is invisible and counts as 0.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/measure.h"

extern const atn_measure atn_measure_sink;

static double first(const atn_head_stats *s, atn_idx i)
{
    return atn_row_value(s, ATN_ROW_FIRST, i);
}

static double first_four(const atn_head_stats *s, atn_idx i)
{
    return atn_row_value(s, ATN_ROW_FIRST4, i);
}

static const atn_measure_col cols[] = {
    {"sink_mass", "", "[0, 1]", "mean weight on the first key", first},
    {"sink_mass_first4", "", "[0, 1]", "mean weight on the first four keys",
     first_four},
    ATN_MEASURE_COLS_END,
};

const atn_measure atn_measure_sink = {
    .id = "sink",
    .title = "Sink mass",
    .source = "Gu et al., arXiv 2410.10781 (a_0)",
    .needs = ATN_NEED_FIRST,
    .cols = cols,
};
