/* analysis/measures/confidence.c -- how sure a head is of one key.
 *
 * Math    mean over rows of max_j P_ij; the same without the first key, the rest of the
 *         row divided by its own mass; without the last key (an end-of-sentence token),
 *         the row as it is.
 * Oracle  F4: 0.625, without row 0: 0.5; uniform: mean of 1 / n_i; one-hot rows: 1.
 * Source  card B11 (after Voita et al. 2019).
 * Limits  the first key stands for the sinks; a row with no other weight stays out.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "analysis/measure.h"

extern const atn_measure atn_measure_confidence;

static double best(const atn_head_stats *s, atn_idx i)
{
    return atn_row_shared(s, ATN_ROW_MAX, i);
}

static double without_first(const atn_head_stats *s, atn_idx i)
{
    const double rest = atn_row_value(s, ATN_ROW_REST, i);

    return rest > 1e-6 * atn_row_value(s, ATN_ROW_MASS, i)
               ? fmin(atn_row_value(s, ATN_ROW_MAX_REST, i) / rest, 1)
               : (double)NAN;
}

static double without_last(const atn_head_stats *s, atn_idx i)
{
    return atn_row_value(s, ATN_ROW_MAX_INNER, i);
}

static const atn_measure_col cols[] = {
    {"confidence_mean", "", "(0, 1]", "mean over rows of the largest weight", best},
    {"confidence_without_first", "", "(0, 1]",
     "the same with the first key left out and the row renormalised", without_first},
    {"confidence_without_last", "", "[0, 1]",
     "mean of the largest weight beside the last key, rows as they are", without_last},
    ATN_MEASURE_COLS_END,
};

const atn_measure atn_measure_confidence = {
    .id = "confidence",
    .title = "Largest weight of the rows",
    .source = "head confidence, after Voita et al. 2019",
    .needs = ATN_NEED_MAX | ATN_NEED_FIRST,
    .cols = cols,
};
