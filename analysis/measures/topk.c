/* analysis/measures/topk.c -- the share of weight that the k best keys of a row hold.
 *
 * Math    topk_i(k) = sum of the k largest P_ij; mean over rows. k is a parameter (8).
 * Oracle  geometric 2^-j: 1 - 2^-k of the mass; 1 once k covers the row.
 * Source  card B4.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/measure.h"

extern const atn_measure atn_measure_topk;

typedef struct topk_params {
    int64_t k;
} topk_params;

static const atn_param params[] = {
    ATN_PARAM_I64(topk_params, k, 8, 1, 1 << 30, "keys whose weights are summed"),
    ATN_PARAM_END,
};

static void want(const void *p, atn_row_stats_opts *opts)
{
    opts->top_k = ((const topk_params *)p)->k;
}

static double mass(const atn_head_stats *s, atn_idx i)
{
    return atn_row_value(s, ATN_ROW_TOPK, i);
}

static const atn_measure_col cols[] = {
    {"topk_mass", "", "[0, 1]", "mean weight on the k best keys of a row (topk:k=8)",
     mass},
    ATN_MEASURE_COLS_END,
};

const atn_measure atn_measure_topk = {
    .id = "topk",
    .title = "Top-k mass",
    .source = "sum of the k largest weights of a row (topk:k=..., default 8)",
    .needs = ATN_NEED_TOPK,
    .params = params,
    .params_size = sizeof(topk_params),
    .cols = cols,
    .want = want,
};
