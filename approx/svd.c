/* approx/svd.c -- the best approximation of a rank: truncated singular values.
 *
 * Math    P_r = sum over the r largest of sigma_k u_k v_k'; with `mask` what it puts on
 *         keys that the mask hides is cut off. Nothing is renormalised.
 * Oracle  |P - P_r|_F^2 = sum_{k>r} sigma_k^2 without a mask, and not more with it;
 *         rank = min(nq, nk): dense attention.
 * Source  Eckart, Young, Mirsky; Halko et al., arXiv 0909.4061; card 23.
 * Cost    lapack 22 n^3 flop and the matrix in double; random four walks over the rows
 *         and 5 (nq + nk) (rank + 10) doubles, never the matrix.
 * Limits  random: approx/lowrank.h. auto is lapack up to 256 queries and keys.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/lowrank.h"

typedef struct svd {
    int64_t rank;
    int how;
    bool mask;
} svd;

enum { AUTO, LAPACK, RANDOM, LAPACK_UP_TO = 256 };

static const atn_param params[] = {
    ATN_PARAM_I64(svd, rank, 16, 1, 1 << 20, "singular values kept"),
    ATN_PARAM_CHOICE(svd, how, AUTO, "auto|lapack|random",
                     "all of them, or the first ones by random directions"),
    ATN_PARAM_BOOL(svd, mask, 1, "cut off what falls on hidden keys"),
    ATN_PARAM_END,
};

static atn_idx rank_of(const void *params_, const atn_head *h)
{
    const svd *t = params_;

    return ATN_MIN(t->rank, ATN_MIN(h->nq, h->nk));
}

static bool is_dense(const svd *t, const atn_head *h)
{
    if (t->how == AUTO) return ATN_MAX(h->nq, h->nk) <= LAPACK_UP_TO;
    return t->how == LAPACK;
}

static atn_status by_lapack(atn_ctx *cx, const atn_head *h, const atn_lowrank *to)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *p = NULL;

    if (ATN_MAX(h->nq, h->nk) > ATN_STORED_MOST)
        ATN_FAIL(ATN_USAGE,
                 "svd: how=lapack stores the attention matrix, and layer %d has %lld "
                 "tokens, more than %d (give how=random)",
                 h->layer, (long long)ATN_MAX(h->nq, h->nk), ATN_STORED_MOST);
    ATN_TRY(atn_mem_check(
        cx, atn_weights_store_bytes(cx, h) + atn_lowrank_dense_bytes(h->nq, h->nk),
        "singular vectors"));
    ATN_TAKE(p, h->nq * h->nk);
    ATN_TRY(atn_weights_store(cx, h, p));
    ATN_TRY(atn_lowrank_dense(cx, p, to));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status by_random(atn_ctx *cx, const atn_input *in, const atn_head *h,
                            const atn_lowrank *to)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *x = NULL;

    ATN_TRY(
        atn_mem_check(cx, atn_lowrank_stream_bytes(h, to->rank), "singular vectors"));
    ATN_TAKE(x, atn_lowrank_directions(h->nq, h->nk, to->rank) * h->nk);
    ATN_TRY(atn_lowrank_draw(cx, in, h, "svd/directions", to->rank, x));
    ATN_TRY(atn_lowrank_stream(cx, h, x, to));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static void count(const svd *t, const atn_head *h, atn_idx rank, atn_plan *out)
{
    const double pairs = atn_visible_pairs(h), d = (double)h->q.cols;
    const double nq = (double)h->nq, nk = (double)h->nk, r = (double)ATN_MIN(nq, nk);
    const double walks = ATN_POWER + 2, l = (double)rank + ATN_OVERSAMPLE;

    out->index_flops = is_dense(t, h) ? 2 * d * pairs + 22 * nq * nk * r
                                      : walks * pairs * (2 * d + 4 * l);
    out->index_bytes =
        ATN_COST_BYTES * (nq + nk) * (is_dense(t, h) ? d : walks * (d + l));
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const svd *t = params_;
    const atn_head *h = &in->head[first];
    const atn_idx rank = rank_of(t, h);
    atn_status st = ATN_OK;
    atn_factors f = {0};
    atn_lowrank to;

    (void)n;
    ATN_TRY(atn_factors_open(cx, h, rank, t->mask, &f));
    to = (atn_lowrank){h->nq, h->nk, rank, f.block->u, f.block->v};
    if (rank > 0)
        ATN_TRY(is_dense(t, h) ? by_lapack(cx, h, &to) : by_random(cx, in, h, &to));
    ATN_TRY(atn_factors_plan(cx, h, &f, out));
    count(t, h, rank, out);
done:
    atn_factors_release(cx, &f);
    return st;
}

static bool spends(const void *params_, const atn_head *h, atn_spending *out)
{
    *out = atn_factors_spending(h, rank_of(params_, h));
    return true;
}

static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const svd *t = params_;
    const atn_head *h = &in->head[0];
    const atn_idx rank = rank_of(t, h);
    const double l = (double)atn_lowrank_directions(h->nq, h->nk, rank);
    const double kept = sizeof(double) * (double)rank * (double)(h->nq + h->nk);

    return ATN_METHOD_LITTLE + kept +
           (is_dense(t, h)
                ? atn_weights_store_bytes(cx, h) + atn_lowrank_dense_bytes(h->nq, h->nk)
                : l * (double)h->nk * (2 * sizeof(float) + sizeof(double)) +
                      atn_lowrank_stream_bytes(h, rank));
}

const atn_method atn_method_svd = {
    .id = "svd",
    .title = "Best of a rank (oracle)",
    .family = "oracle",
    .source = "Eckart, Young, Mirsky; Halko et al., arXiv 0909.4061",
    .text = "the largest singular values of the weights",
    .reads = ATN_READS_WEIGHTS | ATN_READS_DRAWS,
    .oracle = atn_always,
    .sides = ATN_BOTH_WAYS,
    .params = params,
    .params_size = sizeof(svd),
    .budget = "rank",
    .spends = spends,
    .weights = ATN_WEIGHTS_SIGNED | ATN_WEIGHTS_FREE,
    .rank = rank_of,
    .exact = "rank=#",
    .looks = atn_looks_ahead,
    .plan = plan,
    .bytes = bytes,
};
