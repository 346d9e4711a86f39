/* analysis/measures/uniformity.c -- how far the rows are from uniform attention.
 *
 * Math    KL(P_i || U_i) = ln n_i - H_i with U_i = 1 / n_i on the n_i keys that row i
 *         sees; rows renormalised where a sink logit takes mass.
 * Oracle  rows (1), (.5 .5), (.2 .3 .5): 0, 0, .068959; uniform attention 0; one key of
 *         n: ln n.
 * Source  Mo et al., arXiv 2411.19652 (uniform attention maps); the divergence is
 *         derived.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "analysis/measure.h"

extern const atn_measure atn_measure_uniformity;

static double divergence(const atn_head_stats *s, atn_idx i)
{
    if (!(atn_row_value(s, ATN_ROW_MASS, i) > 0)) return (double)NAN;
    return fmax(log((double)s->seen[i]) - atn_row_value(s, ATN_ROW_ENTROPY, i), 0.0);
}

static const atn_measure_col cols[] = {
    {"uniform_kl_nats", "nats", "[0, ln nk]",
     "mean over rows of KL(row || uniform on the visible keys)", divergence},
    ATN_MEASURE_COLS_END,
};

const atn_measure atn_measure_uniformity = {
    .id = "uniformity",
    .title = "Divergence from uniform attention",
    .source = "Mo et al., arXiv 2411.19652; KL = ln(visible keys) - entropy",
    .cols = cols,
};
