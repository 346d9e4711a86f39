/* analysis/measures/span.c -- how far one must look to see most of the weight.
 *
 * Math    span_c of a row is the smallest s with sum over |t_i - j| <= s of P_ij >= c
 *         times the row's mass; mean over rows. Shares of the head's mass by distance,
 *         in the bins {0}, {1}, {2, 3}, {4..7}, ..., the last without end.
 * Oracle  identity 0; previous token 1 (row 0: 0); F4: span_50 (0 + 0 + 0 + 1) / 4.
 * Source  card B2.
 * Limits  one-dimensional positions.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/measure.h"
#include "analysis/sums.h"

extern const atn_measure atn_measure_span;

enum { ROW_COLS = 3, BINS = 12 };

static double span_50(const atn_head_stats *s, atn_idx i)
{
    return atn_row_shared(s, ATN_ROW_SPAN_50, i);
}

static double span_90(const atn_head_stats *s, atn_idx i)
{
    return atn_row_shared(s, ATN_ROW_SPAN_90, i);
}

static double span_95(const atn_head_stats *s, atn_idx i)
{
    return atn_row_shared(s, ATN_ROW_SPAN_95, i);
}

static void compute(const atn_head_stats *s, const void *params, double *out)
{
    (void)params;
    atn_distance_shares(s, BINS, out + ROW_COLS);
}

static const atn_measure_col cols[] = {
    {"span_50_mean_tokens", "tokens", "[0, max(nq, nk))",
     "mean distance within which a row has half of its weight", span_50},
    {"span_90_mean_tokens", "tokens", "[0, max(nq, nk))",
     "the same for 90 % of the weight", span_90},
    {"span_95_mean_tokens", "tokens", "[0, max(nq, nk))",
     "the same for 95 % of the weight", span_95},
    {"span_share_0", "", "[0, 1]", "share of the head's weight at distance 0", NULL},
    {"span_share_1", "", "[0, 1]", "share of the head's weight at distance 1", NULL},
    {"span_share_2", "", "[0, 1]", "share at distances 2 and 3", NULL},
    {"span_share_4", "", "[0, 1]", "share at distances 4 to 7", NULL},
    {"span_share_8", "", "[0, 1]", "share at distances 8 to 15", NULL},
    {"span_share_16", "", "[0, 1]", "share at distances 16 to 31", NULL},
    {"span_share_32", "", "[0, 1]", "share at distances 32 to 63", NULL},
    {"span_share_64", "", "[0, 1]", "share at distances 64 to 127", NULL},
    {"span_share_128", "", "[0, 1]", "share at distances 128 to 255", NULL},
    {"span_share_256", "", "[0, 1]", "share at distances 256 to 511", NULL},
    {"span_share_512", "", "[0, 1]", "share at distances 512 to 1023", NULL},
    {"span_share_1024", "", "[0, 1]", "share at distances of 1024 and more", NULL},
    ATN_MEASURE_COLS_END,
};

const atn_measure atn_measure_span = {
    .id = "span",
    .title = "Span of the weight, and its shares by distance",
    .source = "quantiles of |i - j| under the rows' weights",
    .needs = ATN_NEED_SPAN | ATN_NEED_DIAGONALS,
    .cols = cols,
    .by_place = (unsigned)ATN_EVERY_COL,
    .compute = compute,
};
