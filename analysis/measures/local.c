/* analysis/measures/local.c -- weight on the query's own position and on the one
 * before.
 *
 * Math    diagonal: mean of P_ii, previous: mean of P_i,i-1, both over positions >= 1.
 * Oracle  previous-token head: 1; F4: previous (.5 + .3 + .5) / 3 = .433333, diagonal
 *         (.5 + .5 + .25) / 3 = .416667.
 * Source  card B5.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "analysis/measure.h"

extern const atn_measure atn_measure_local;

static double own(const atn_head_stats *s, atn_idx i)
{
    return atn_sight_at(s->sight, i) >= 1 ? atn_row_value(s, ATN_ROW_DIAGONAL, i)
                                          : (double)NAN;
}

static double before(const atn_head_stats *s, atn_idx i)
{
    return atn_sight_at(s->sight, i) >= 1 ? atn_row_value(s, ATN_ROW_PREVIOUS, i)
                                          : (double)NAN;
}

static const atn_measure_col cols[] = {
    {"diagonal_mass", "", "[0, 1]", "mean weight on the query's own position", own},
    {"previous_mass", "", "[0, 1]", "mean weight on the position before", before},
    ATN_MEASURE_COLS_END,
};

const atn_measure atn_measure_local = {
    .id = "local",
    .title = "Diagonal and previous-token mass",
    .source = "mean weight on offsets 0 and -1, positions >= 1",
    .needs = ATN_NEED_LOCAL,
    .cols = cols,
    .by_place = (unsigned)ATN_EVERY_COL,
};
