/* analysis/measures/local.c -- weight on the query's own position and on the one before.
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

static void compute(const atn_head_rows *r, double *out)
{
    double own = 0, before = 0;
    atn_idx n = 0;

    for (atn_idx i = r->skip_rows; i < r->nq; i++) {
        if (r->seen[i] == 0 || i + r->offset < 1) continue;
        own += r->diagonal[i];
        before += r->previous[i];
        n++;
    }
    out[0] = n > 0 ? own / (double)n : NAN;
    out[1] = n > 0 ? before / (double)n : NAN;
}

const atn_measure atn_measure_local = {
    .id = "local",
    .title = "Diagonal and previous-token mass",
    .source = "mean weight on offsets 0 and -1, positions >= 1",
    .needs = ATN_NEED_LOCAL,
    .cols = {{"diagonal_mass", "", "mean weight on the query's own position"},
             {"previous_mass", "", "mean weight on the position before"}},
    .compute = compute,
};
