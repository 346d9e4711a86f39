/* analysis/measures/smoothed.c -- entropy as Clark et al. smooth it.
 *
 * Math    q = .9999 P_ij / sum P + .0001 / n_i on the n_i visible keys, H_i = -sum q ln
 *         q; a head is broad when the mean exceeds 3.8 nats, a limit made for 128
 *         tokens.
 * Oracle  uniform rows keep ln n_i; a one-hot row of 4 keys has 0.000870 nats.
 * Source  Clark et al., arXiv 1906.04341, as their analysis notebook does it; card B1.
 * Cost    a logarithm an entry, so it is asked for by name.
 * Limits  smoothing over the visible keys, which for causal rows are not all keys.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/measure.h"

extern const atn_measure atn_measure_smoothed;

static double nats(const atn_head_stats *s, atn_idx i)
{
    return atn_row_shared(s, ATN_ROW_SMOOTHED, i);
}

static const atn_measure_col cols[] = {
    {"smoothed_mean_nats", "nats", "[0, ln nk]",
     "mean entropy of the rows smoothed by .0001", nats},
    ATN_MEASURE_COLS_END,
};

const atn_measure atn_measure_smoothed = {
    .id = "smoothed",
    .title = "Entropy of smoothed rows",
    .source = "Clark et al., arXiv 1906.04341",
    .needs = ATN_NEED_SMOOTHED,
    .named = true,
    .cols = cols,
};
