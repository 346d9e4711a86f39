/* approx/rff.c -- random Fourier features: attention by the Gaussian kernel.
 *
 * Math    approx/random_features.h: c_ij = phi(q_i) . phi(k_j), whose mean is
 *         e^{-|q' - k'|^2 / 2}; w = c, or divided by its row's sum. Times
 *         e^{(|q'|^2 + |k'|^2) / 2} it is the softmax kernel: performer:kind=trig.
 * Oracle  variance (1 - e^{-|delta|^2})^2 / (2 m) of m draws; delta = 0: 1 for any
 *         projections; P(|error| >= t) <= 2 e^{-m t^2 / 2}.
 * Source  Rahimi, Recht: Random features for large-scale kernel machines (2007).
 * Cost    4 n m d flop for features, 8 n m (dv + 1) to apply; memory 4 n m doubles.
 * Limits  not softmax attention: keys far from the query have no weight, however long.
 *         Sums of rows far from all keys are noise, and may be next to nothing: divided
 *         by them rows are huge. No bias, soft-cap or sink.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/random_features.h"

typedef struct rff {
    int64_t features;
    bool orthogonal, normalise;
} rff;

static const atn_param params[] = {
    ATN_PARAM_I64(rff, features, 256, 2, 1 << 16, "features, two a draw"),
    ATN_PARAM_BOOL(rff, orthogonal, 0, "projections orthogonal in blocks of d"),
    ATN_PARAM_BOOL(rff, normalise, 0,
                   "rows are divided by their sums; no: the kernel as it is"),
    ATN_PARAM_END,
};

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const rff *t = params_;
    const atn_head *h = &in->head[first];
    const atn_idx m = t->features / 2, d = h->q.cols;
    const atn_projections projections = {"rff", m, d, t->orthogonal, false};
    const double rows = (double)(h->nq + h->nk);
    atn_random_map map = {.kind = ATN_MAP_GAUSSIAN, .scale = h->scale};
    const atn_arena_mark mark = atn_arena_save(cx);
    float *omega = NULL;
    atn_features f = {0};
    atn_status st = ATN_OK;

    ATN_ASSERT(n == 1);
    ATN_TRY(atn_features_check(cx, "rff", h, false));
    ATN_TAKE(omega, m * d);
    ATN_TRY(atn_projections_make(cx, in, &projections, omega));
    map.omega = (atn_cmat){omega, m, d, d};
    ATN_TRY(atn_random_open(cx, &map, h, &f, "rff"));
    f.normalise = t->normalise;
    ATN_TRY(atn_features_plan(cx, h, &f, 0, out));
    out->index_flops = 2 * rows * (double)m * (double)d;
    out->index_bytes = ATN_COST_BYTES * rows * (double)(d + 2 * m);
done:
    atn_features_release(cx, &f);
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_idx rank(const void *params_, const atn_head *h)
{
    const rff *t = params_;

    (void)h;
    return t->features / 2 * 2;
}

static bool spends(const void *params_, const atn_head *h, atn_spending *out)
{
    out->numbers = 2 * (double)rank(params_, h);
    out->executed = atn_features_executed(h, rank(params_, h));
    return true;
}

static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const rff *t = params_;

    return atn_random_open_bytes(cx, &in->head[0], ATN_MAP_GAUSSIAN, t->features / 2);
}

const atn_method atn_method_rff = {
    .id = "rff",
    .title = "Random Fourier features",
    .family = "kernel",
    .source = "Rahimi, Recht 2007",
    .text = "everything, by a Gaussian of the distance of query and key, of random "
            "features",
    .reads = ATN_READS_QK | ATN_READS_DRAWS,
    .sides = ATN_BOTH_WAYS,
    .params = params,
    .params_size = sizeof(rff),
    .budget = "features",
    .spends = spends,
    .weights = ATN_WEIGHTS_SIGNED | ATN_WEIGHTS_FREE,
    .rank = rank,
    .plan = plan,
    .bytes = bytes,
};
