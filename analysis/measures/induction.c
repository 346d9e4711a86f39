/* analysis/measures/induction.c -- does a head look at what followed the same token before?
 *
 * Math    for the rows whose token occurred before: prefix matching = mean weight on all keys
 *         m + 1 with token_m = token_i, m < i; duplicate = mean weight on the keys m.
 * Oracle  a perfect induction head on r tokens repeated once: 1 on the rows of the second
 *         copy; a perfect duplicate-token head likewise.
 * Source  card B5; prefix matching after Olsson et al. 2022, here on any text.
 * Limits  needs token ids; empty where no token repeats.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "analysis/measure.h"

extern const atn_measure atn_measure_induction;

static void compute(const atn_head_rows *r, double *out)
{
    double next = 0, same = 0;
    atn_idx n = 0;

    out[0] = out[1] = NAN;
    if (!r->induction) return;
    for (atn_idx i = r->skip_rows; i < r->nq; i++) {
        if (r->seen[i] == 0 || !r->repeated[i]) continue;
        next += r->induction[i];
        same += r->duplicate[i];
        n++;
    }
    if (n == 0) return;
    out[0] = next / (double)n;
    out[1] = same / (double)n;
}

const atn_measure atn_measure_induction = {
    .id = "induction",
    .title = "Induction and duplicate-token score",
    .source = "prefix matching after Olsson et al. 2022, on the text at hand",
    .needs = ATN_NEED_TOKENS,
    .cols =
        {{"induction_score", "",
          "mean weight on keys that followed the same token earlier, rows whose token "
          "repeats"},
         {"duplicate_score", "",
          "mean weight on earlier places of the same token, the same rows"}},
    .compute = compute,
};
