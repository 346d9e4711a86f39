/* analysis/measures/distance.c -- how far back the weight lies.
 *
 * Math    d_i = sum_j P_ij |t_i - j| with t_i the query's position; relative d_i / t_i
 *         over rows with t_i >= 1; without the first key: (d_i - P_if
 *         |t_i - f|) / (1 - P_if).
 * Oracle  identity 0; previous token (n-1)/n; uniform causal (n-1)/4; F4 0.575.
 * Source  card B2; mean attention distance, Dosovitskiy et al. 2020.
 * Limits  one-dimensional positions; a sink at the first key inflates the distance,
 *         hence the third column; rows with no weight beside the first key stay out of
 *         it.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "analysis/measure.h"

extern const atn_measure atn_measure_distance;

static double tokens(const atn_head_stats *s, atn_idx i)
{
    return atn_row_value(s, ATN_ROW_DISTANCE, i);
}

static double relative(const atn_head_stats *s, atn_idx i)
{
    const double t = (double)atn_sight_at(s->sight, i);

    return t >= 1 ? tokens(s, i) / t : (double)NAN;
}

static double without_first(const atn_head_stats *s, atn_idx i)
{
    const double rest = atn_row_value(s, ATN_ROW_REST, i);

    return rest > 1e-6 * atn_row_value(s, ATN_ROW_MASS, i)
               ? atn_row_value(s, ATN_ROW_REST_DISTANCE, i) / rest
               : (double)NAN;
}

static const atn_measure_col cols[] = {
    {"distance_mean_tokens", "tokens", "[0, max(nq, nk))",
     "mean distance of query and key: sum p |i - j|", tokens},
    {"distance_relative", "", "[0, 1] (causal)",
     "mean of distance / position, positions >= 1", relative},
    {"distance_without_first_tokens", "tokens", "[0, max(nq, nk))",
     "the same with the first key left out and the row renormalised", without_first},
    ATN_MEASURE_COLS_END,
};

const atn_measure atn_measure_distance = {
    .id = "distance",
    .title = "Mean attention distance",
    .source = "Dosovitskiy et al. 2020 (mean attention distance), in token positions",
    .needs = ATN_NEED_MOMENTS | ATN_NEED_FIRST,
    .cols = cols,
    .by_place = (unsigned)ATN_EVERY_COL,
};
