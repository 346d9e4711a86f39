/* analysis/measures/topk.c -- the share of weight that the k best keys of a row hold.
 *
 * Math    topk_i(k) = sum of the k largest P_ij; mean over rows. k is --top-k (8).
 * Oracle  geometric 2^-j: 1 - 2^-k of the mass; 1 once k covers the row.
 * Source  card B4.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/measure.h"

extern const atn_measure atn_measure_topk;

static void compute(const atn_head_rows *r, double *out)
{
    out[0] = atn_rows_mean(r, r->topk);
}

const atn_measure atn_measure_topk = {
    .id = "topk",
    .title = "Top-k mass",
    .source = "sum of the k largest weights of a row (--top-k, default 8)",
    .needs = ATN_NEED_TOPK,
    .cols = {{"topk_mass", "",
              "mean weight on the k best keys of a row (--top-k, default 8)"}},
    .compute = compute,
};
