/* analysis/measures/toeplitz.c -- how much of a head depends on the distance alone?
 *
 * Math    z an entry of the head, b_delta its mean over diagonal delta = t - j, both
 *         signs where the head is not causal: T(z) = 1 - sum (z - b_delta)^2 / sum
 *         (z - mean z)^2 over the entries that rows see, and over those with
 *         |delta| <= floor(nk / 2) ("near"). For z = ln P_ij (logit - LSE of the row:
 *         what a row adds to all its logits is not seen) and for z = P_ij. Local weight
 *         M_w = mean over rows of sum_|delta|<=w P_ij, w = 1, 2, 4.
 * Oracle  T does not see a scale or a shift, so with z = P: entries .4 - .05 delta of
 *         n = 6 give 1; with .1 more at (4, 2) .938953; with .1 more in the corner (5,
 *         0) still 1: that diagonal has one entry.
 * Source  after relative position scores, Dai et al., arXiv 1901.02860, and Sugiharto
 *         et al., arXiv 2308.03429 (RCMHA); the share is an analysis of variance,
 *         derived.
 * Cost    sums over diagonals and of squares in the row pass; O(nq + nk) here.
 * Limits  a causal head whose logits depend on the distance alone has ln P below 1: the
 *         LSE of the first rows still depends on how many keys they see. A diagonal of
 *         one entry is always explained: read the near form. Empty where z is constant
 *         (sum of squares within 1e-8 of that of a constant), where only some rows are
 *         there, and ln P where a given weight is 0.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "analysis/measure.h"

extern const atn_measure atn_measure_toeplitz;

enum { LOGIT, LOGIT_NEAR, WEIGHT, WEIGHT_NEAR, LOCAL_1, LOCAL_2, LOCAL_4 };
static const double CONSTANT = 1e-8;

/* count[e], e = 0 .. nq + nk - 2: entries that rows that count see on diagonal i - j =
 * e - nk + 1. */
static void count_entries(const atn_head_stats *s, double *count)
{
    for (atn_idx e = 0; e < s->nq + s->nk; e++) count[e] = 0;
    for (atn_idx i = 0; i < s->nq; i++) {
        atn_idx lo, hi;

        if (!atn_row_counts(s, i)) continue;
        atn_sight_row(s->sight, i, &lo, &hi);
        count[i - hi + s->nk] += 1;
        count[i - lo + s->nk] -= 1;
    }
    for (atn_idx e = 1; e < s->nq + s->nk; e++) count[e] += count[e - 1];
}

static double sum_field(const atn_head_stats *s, atn_row_field f)
{
    double sum = 0;

    for (atn_idx i = 0; i < s->nq; i++)
        if (atn_row_counts(s, i)) sum += atn_row_value(s, f, i);
    return sum;
}

/* The range of diagonals with |t - j| <= most. */
static void diagonals_within(const atn_head_stats *s, atn_idx most, atn_idx *from,
                             atn_idx *to)
{
    const atn_idx own = s->nk - 1 - s->sight->offset; /* of distance 0 */

    *from = ATN_MAX(own - most, 0);
    *to = ATN_MIN(own + most + 1, s->nq + s->nk - 1);
}

/* T over the diagonals within `most`, whose squares sum to `square`. */
static double share(const atn_head_stats *s, const double *count,
                    const double *diagonal, double square, atn_idx most)
{
    double n = 0, sum = 0, explained = 0, spread;
    atn_idx from, to;

    diagonals_within(s, most, &from, &to);
    for (atn_idx e = from; e < to; e++) {
        if (!(count[e] > 0)) continue;
        n += count[e];
        sum += diagonal[e];
        explained += diagonal[e] * diagonal[e] / count[e];
    }
    spread = n > 0 ? square - sum * sum / n : 0;
    if (!(spread > CONSTANT * square)) return NAN;
    return fmax(0, fmin(1 - (square - explained) / spread, 1));
}

static double local(const atn_head_stats *s, atn_idx most)
{
    double rows = 0, sum = 0;
    atn_idx from, to;

    diagonals_within(s, most, &from, &to);
    for (atn_idx i = 0; i < s->nq; i++) rows += atn_row_counts(s, i);
    for (atn_idx e = from; e < to; e++) sum += s->diagonals[e];
    return rows > 0 ? fmin(sum / rows, 1) : (double)NAN;
}

static void compute(const atn_head_stats *s, const void *params, double *out)
{
    const atn_idx all = s->nq + s->nk, near = s->nk / 2;
    double *count = s->scratch;

    (void)params;
    if (!s->diagonals || !s->logit_diagonals) return;
    count_entries(s, count);
    out[LOGIT] =
        share(s, count, s->logit_diagonals, sum_field(s, ATN_ROW_LOGIT_SQUARE), all);
    out[LOGIT_NEAR] = share(s, count, s->logit_diagonals,
                            sum_field(s, ATN_ROW_LOGIT_SQUARE_NEAR), near);
    out[WEIGHT] = share(s, count, s->diagonals, sum_field(s, ATN_ROW_SQUARE), all);
    out[WEIGHT_NEAR] =
        share(s, count, s->diagonals, sum_field(s, ATN_ROW_SQUARE_NEAR), near);
    out[LOCAL_1] = local(s, 1);
    out[LOCAL_2] = local(s, 2);
    out[LOCAL_4] = local(s, 4);
}

static const atn_measure_col cols[] = {
    {"toeplitz_logit_share", "", "[0, 1]",
     "share of the variance of ln p that the distance explains", NULL},
    {"toeplitz_logit_near_share", "", "[0, 1]",
     "the same over distances up to half of the keys", NULL},
    {"toeplitz_weight_share", "", "[0, 1]",
     "share of the variance of p that the distance explains", NULL},
    {"toeplitz_weight_near_share", "", "[0, 1]",
     "the same over distances up to half of the keys", NULL},
    {"toeplitz_local_mass_1", "", "[0, 1]", "mean weight at distances up to 1", NULL},
    {"toeplitz_local_mass_2", "", "[0, 1]", "mean weight at distances up to 2", NULL},
    {"toeplitz_local_mass_4", "", "[0, 1]", "mean weight at distances up to 4", NULL},
    ATN_MEASURE_COLS_END,
};

const atn_measure atn_measure_toeplitz = {
    .id = "toeplitz",
    .title = "Share of relative position",
    .source =
        "relative positions as in Sugiharto et al., arXiv 2308.03429; share derived",
    .needs = ATN_NEED_MOMENTS | ATN_NEED_DIAGONALS | ATN_NEED_LOGITS,
    .cols = cols,
    .by_place = (unsigned)ATN_EVERY_COL,
    .compute = compute,
};
