/* approx/cosformer.c -- cosFormer: linear attention with ReLU, weighed by distance.
 *
 * Math    a_ij = relu(q_i) . relu(k_j) cos(pi (i - j) / (2 M)), as 2 d features by the
 *         cosine of a difference; w_ij = a_ij / max(sum_l a_il, floor). Positions i, j
 *         from 1, M = max(nq, nk) or more, the same in the causal form.
 * Oracle  G8, M = 8: o_00 = .4806718020, causal o_31 = .5969410573. M -> infinity:
 *         linear attention with ReLU. No weight is negative, as |i - j| <= M.
 * Source  Qin et al., arXiv 2202.08791; OpenNLPLab/cosFormer: floor 1e-6.
 * Cost    8 n d (dv + 1) flop to apply; memory 4 n d doubles.
 * Limits  a query without a positive coordinate gives 0. Not the softmax's kernel.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "approx/features.h"

typedef struct cosformer {
    int64_t m;
    double floor;
} cosformer;

static const atn_param params[] = {
    ATN_PARAM_I64(cosformer, m, 0, 0, 1 << 30,
                  "length at which the weight of distance ends, 0 = that of the text"),
    ATN_PARAM_F64(cosformer, floor, 1e-6, 0, 1, "of the denominator"),
    ATN_PARAM_END,
};

static const double HALF_PI = 1.57079632679489661923;

/* relu(x) times cosine and sine of the position `at` (from 1), [2 d]. */
static void map_row(const float *x, atn_idx d, atn_idx at, double m, double *out)
{
    const double turn = HALF_PI * (double)at / m, along = cos(turn), across = sin(turn);

    for (atn_idx c = 0; c < d; c++) {
        const double a = x[c] > 0 ? (double)x[c] : 0;

        out[c] = a * along;
        out[d + c] = a * across;
    }
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const cosformer *t = params_;
    const atn_head *h = &in->head[first];
    const atn_idx d = h->q.cols, last = h->nq ? atn_sight_at(&h->sight, h->nq - 1) : 0;
    const atn_idx length = ATN_MAX(ATN_MAX(h->nq, h->nk), last + 1);
    const double m = (double)(t->m ? t->m : length);
    const double numbers = (double)(h->nq + h->nk) * (double)d;
    atn_features f = {0};
    atn_status st = ATN_OK;

    ATN_ASSERT(n == 1);
    ATN_TRY(atn_features_check(cx, "cosformer", h, false));
    if (t->m && t->m < length)
        ATN_FAIL(
            ATN_USAGE,
            "cosformer: m = %lld is below the %lld tokens of layer %d, so that far "
            "keys would weigh less than nothing (give m=%lld or more, or m=0)",
            (long long)t->m, (long long)length, h->layer, (long long)length);
    ATN_TRY(atn_features_open(cx, h, 2 * d, false, &f));
    for (atn_idx i = 0; i < h->nq; i++)
        map_row(atn_crow(h->q, i), d, atn_sight_at(&h->sight, i) + 1, m,
                f.q + 2 * d * i);
    for (atn_idx j = 0; j < h->nk; j++)
        map_row(atn_crow(h->k, j), d, j + 1, m, f.k + 2 * d * j);
    f.normalise = true;
    f.floor = t->floor;
    ATN_TRY(atn_features_plan(cx, h, &f, 0, out));
    out->index_flops = 3 * numbers;
    out->index_bytes = ATN_COST_BYTES * 3 * numbers;
done:
    atn_features_release(cx, &f);
    return st;
}

static bool spends(const void *params_, const atn_head *h, atn_spending *out)
{
    (void)params_;
    out->numbers = 4 * (double)h->q.cols;
    out->executed = atn_features_executed(h, 2 * h->q.cols);
    return true;
}

static atn_idx rank(const void *params_, const atn_head *h)
{
    (void)params_;
    return 2 * h->q.cols;
}

static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const atn_head *h = &in->head[0];

    (void)params_;
    return atn_features_bytes(cx, h, 2 * h->q.cols);
}

const atn_method atn_method_cosformer = {
    .id = "cosformer",
    .title = "cosFormer",
    .family = "kernel",
    .source = "Qin et al. 2022, arXiv 2202.08791; OpenNLPLab/cosFormer",
    .text = "everything, by products of the positive parts, less with distance",
    .reads = ATN_READS_QK | ATN_READS_PLACE,
    .sides = ATN_BOTH_WAYS,
    .params = params,
    .params_size = sizeof(cosformer),
    .spends = spends,
    .rank = rank,
    .plan = plan,
    .bytes = bytes,
};
