/* analysis/measures/induction.c -- does a head look at what followed the same token
 * before?
 *
 * Math    for the rows whose token occurred before: prefix matching = mean weight on
 *         all keys m + 1 with token_m = token_i, m < i; duplicate = mean weight on the
 *         keys m.
 * Oracle  a perfect induction head on r tokens repeated once: 1 on the rows of the
 *         second copy; a perfect duplicate-token head likewise.
 * Source  card B5; prefix matching after Olsson et al. 2022, here on any text.
 * Limits  needs token ids; empty where no token repeats.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "analysis/measure.h"

extern const atn_measure atn_measure_induction;

static double next(const atn_head_stats *s, atn_idx i)
{
    return s->repeated && s->repeated[i] ? atn_row_value(s, ATN_ROW_INDUCTION, i)
                                         : (double)NAN;
}

static double same(const atn_head_stats *s, atn_idx i)
{
    return s->repeated && s->repeated[i] ? atn_row_value(s, ATN_ROW_DUPLICATE, i)
                                         : (double)NAN;
}

static const atn_measure_col cols[] = {
    {"induction_score", "", "[0, 1]",
     "mean weight on keys that followed the same token earlier, rows whose token "
     "repeats",
     next},
    {"duplicate_score", "", "[0, 1]",
     "mean weight on earlier places of the same token, the same rows", same},
    ATN_MEASURE_COLS_END,
};

const atn_measure atn_measure_induction = {
    .id = "induction",
    .title = "Induction and duplicate-token score",
    .source = "prefix matching after Olsson et al. 2022, on the text at hand",
    .needs = ATN_NEED_TOKENS,
    .cols = cols,
    .by_place = (unsigned)ATN_EVERY_COL,
};
