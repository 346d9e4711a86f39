/* analysis/measures/stripes.c -- vertical and slash lines in the attention matrix.
 *
 * Math    vertical: the key k != first, k in the first half of the keys, with the
 *         largest a_k (mean of P_ik over rows at or after k); share of the head's
 *         weight in the 8 largest columns beside the first key's. Slash: the distance
 *         2 <= delta <= floor(nk / 2) with the largest mean weight b_delta over the
 *         entries of its diagonal; share of the weight in the 8 largest diagonals of
 *         distance 2 and more. Ties: the smaller index.
 * Oracle  one planted column k: key k, mass 1, share 1; one planted diagonal likewise.
 * Source  card B15 (full column and diagonal sums); distances 0 and 1 are the current
 *         and previous token's and have names of their own.
 * Limits  causal and other heads alike look at keys at or before the query.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "analysis/measure.h"
#include "analysis/sums.h"

extern const atn_measure atn_measure_stripes;

enum { LARGEST = 8, NEAREST = 2 };
enum { KEY, KEY_MASS, KEY_SHARE, OFFSET, OFFSET_MASS, OFFSET_SHARE };

typedef struct best_of {
    double sum[LARGEST]; /* descending */
    double most, total;
    atn_idx at;
} best_of;

static void offer_sum(best_of *b, double sum)
{
    int i = LARGEST;

    while (i > 0 && sum > b->sum[i - 1]) i--;
    for (int j = LARGEST - 1; j > i; j--) b->sum[j] = b->sum[j - 1];
    if (i < LARGEST) b->sum[i] = sum;
}

static void offer_mean(best_of *b, atn_idx at, double mean)
{
    if (isnan(mean) || (b->at >= 0 && mean <= b->most)) return;
    b->most = mean;
    b->at = at;
}

static void put(const best_of *b, double *out)
{
    double share = 0;

    for (int i = 0; i < LARGEST; i++) share += b->sum[i];
    if (b->at >= 0) {
        out[0] = (double)b->at;
        out[1] = b->most;
    }
    if (b->total > 0) out[2] = fmin(share / b->total, 1);
}

static void compute(const atn_head_stats *s, const void *params, double *out)
{
    best_of key = {.at = -1}, slash = {.at = -1};

    (void)params;
    for (atn_idx k = s->sight->key_first; k < s->sight->key_last; k++) {
        key.total += s->columns[k];
        if (k == s->sight->key_first) continue;
        offer_sum(&key, s->columns[k]);
        if (k <= atn_first_half(s)) offer_mean(&key, k, atn_column_mean(s, k));
    }
    slash.total = key.total;
    for (atn_idx delta = NEAREST; delta < s->nq + s->sight->offset; delta++) {
        const double sum = atn_diagonal_sum(s, delta);

        offer_sum(&slash, sum);
        if (delta <= s->nk / 2)
            offer_mean(&slash, delta, sum / atn_diagonal_entries(s, delta));
    }
    put(&key, out + KEY);
    put(&slash, out + OFFSET);
}

static const atn_measure_col cols[] = {
    {"stripes_key", "", "[0, nk)", "strongest key beside the first", NULL},
    {"stripes_key_mass", "", "[0, 1]", "its mean weight, rows at or after it", NULL},
    {"stripes_key_share", "", "[0, 1]",
     "share of the weight in the 8 largest columns beside the first", NULL},
    {"stripes_offset_tokens", "tokens", "[2, nk/2]", "strongest distance beyond 1",
     NULL},
    {"stripes_offset_mass", "", "[0, 1]", "mean weight on its diagonal", NULL},
    {"stripes_offset_share", "", "[0, 1]",
     "share of the weight in the 8 largest diagonals beyond distance 1", NULL},
    ATN_MEASURE_COLS_END,
};

const atn_measure atn_measure_stripes = {
    .id = "stripes",
    .title = "Vertical and slash lines",
    .source = "column and diagonal sums, after MInference, arXiv 2407.02490",
    .needs = ATN_NEED_COLUMNS | ATN_NEED_DIAGONALS,
    .cols = cols,
    .by_place =
        ATN_COL_BIT(OFFSET) | ATN_COL_BIT(OFFSET_MASS) | ATN_COL_BIT(OFFSET_SHARE),
    .compute = compute,
};
