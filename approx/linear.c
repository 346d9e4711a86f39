/* approx/linear.c -- linear attention with elu(x) + 1.
 *
 * Math    phi(x) = x + 1 where x > 0, else e^x, of every coordinate of q and k as they
 *         are, without scale; w_ij = phi(q_i) . phi(k_j) / (sum_l phi(q_i) . phi(k_l) +
 *         eps).
 * Oracle  G8: o_00 = .6251505154, causal o_31 = .6116494002. A causal row is the full
 *         one of its prefix; constant keys: uniform.
 * Source  Katharopoulos et al., arXiv 2006.16236; idiap/fast-transformers: eps 1e-6.
 * Cost    4 n d (dv + 1) flop to apply; memory 2 n d doubles.
 * Limits  another kernel than the softmax's, which it does not approximate.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "approx/features.h"

typedef struct linear {
    double eps;
} linear;

static const atn_param params[] = {
    ATN_PARAM_F64(linear, eps, 0, 0, 1, "added to the denominator"),
    ATN_PARAM_END,
};

static void map(atn_cmat x, double *out)
{
    for (atn_idx i = 0; i < x.rows; i++)
        for (atn_idx c = 0; c < x.cols; c++) {
            const double a = (double)atn_crow(x, i)[c];

            out[i * x.cols + c] = a > 0 ? a + 1 : exp(a);
        }
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const linear *t = params_;
    const atn_head *h = &in->head[first];
    const double numbers = (double)(h->nq + h->nk) * (double)h->q.cols;
    atn_features f = {0};
    atn_status st = ATN_OK;

    ATN_ASSERT(n == 1);
    ATN_TRY(atn_features_check(cx, "linear", h, false));
    ATN_TRY(atn_features_open(cx, h, h->q.cols, false, &f));
    map(h->q, f.q);
    map(h->k, f.k);
    f.normalise = true;
    f.eps = t->eps == 0 && in->as_published ? 1e-6 : t->eps;
    ATN_TRY(atn_features_plan(cx, h, &f, 0, out));
    out->index_flops = numbers;
    out->index_bytes = ATN_COST_BYTES * 2 * numbers;
done:
    atn_features_release(cx, &f);
    return st;
}

static bool spends(const void *params_, const atn_head *h, atn_spending *out)
{
    (void)params_;
    out->numbers = 2 * (double)h->q.cols;
    out->executed = atn_features_executed(h, h->q.cols);
    return true;
}

static atn_idx rank(const void *params_, const atn_head *h)
{
    (void)params_;
    return h->q.cols;
}

static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const atn_head *h = &in->head[0];

    (void)params_;
    return atn_features_bytes(cx, h, h->q.cols);
}

const atn_method atn_method_linear = {
    .id = "linear",
    .title = "Linear attention, elu + 1",
    .family = "kernel",
    .source = "Katharopoulos et al. 2020, arXiv 2006.16236; idiap/fast-transformers",
    .text = "everything, by products of elu(q) + 1 and elu(k) + 1",
    .reads = ATN_READS_QK,
    .sides = ATN_BOTH_WAYS,
    .publishes = true,
    .params = params,
    .params_size = sizeof(linear),
    .spends = spends,
    .rank = rank,
    .plan = plan,
    .bytes = bytes,
};
