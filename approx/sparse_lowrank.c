/* approx/sparse_lowrank.c -- the best found of a few entries a row and a low rank
 * together: what sparse + low-rank methods could reach.
 *
 * Math    two starts, S = 0 and S = the k largest of every row of P; ten times
 *             L = the best of rank r of P - S
 *             S = the k largest |.| of every row of P - L
 *         and of the two the one with the smaller |P - S - L|_F. One budget a row:
 *         k = numbers / 2, r = numbers / 4. With `mask` hidden keys have no entries and
 *         no error, and L is cut off there.
 * Oracle  not worse than either start's first step; rank + sparse of a small size is
 *         found. numbers >= 2 keys: dense attention.
 * Source  card 1 (e) of the kernel cards: our stand-in for the oracle of Scatterbrain,
 *         arXiv 2110.15343.
 * Cost    20 truncated decompositions of the stored matrix.
 * Limits  no minimum is promised: a lower bound is theory/floors.c. auto is lapack up
 *         to 128 queries and keys; random goes on with the directions of the round
 *         before.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "approx/alternate.h"

typedef struct sparse_lowrank {
    int64_t numbers;
    int how;
    bool mask;
} sparse_lowrank;

enum { AUTO, LAPACK, RANDOM, LAPACK_UP_TO = 128 };

static const atn_param params[] = {
    ATN_PARAM_I64(sparse_lowrank, numbers, 32, 4, 1 << 20,
                  "stored a row: half of them entries, a quarter the rank"),
    ATN_PARAM_CHOICE(sparse_lowrank, how, AUTO, "auto|lapack|random",
                     "all singular values, or the first ones by random directions"),
    ATN_PARAM_BOOL(sparse_lowrank, mask, 1, "cut off what falls on hidden keys"),
    ATN_PARAM_END,
};

static atn_alternate sizes(const sparse_lowrank *t, const atn_head *h)
{
    const bool dense =
        t->how == AUTO ? ATN_MAX(h->nq, h->nk) <= LAPACK_UP_TO : t->how == LAPACK;

    return (atn_alternate){.k = ATN_MIN(t->numbers / 2, h->nk),
                           .rank = ATN_MIN(t->numbers / 4, ATN_MIN(h->nq, h->nk)),
                           .random = !dense,
                           .mask = t->mask};
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const sparse_lowrank *t = params_;
    const atn_head *h = &in->head[first];
    const atn_alternate a = sizes(t, h);
    const double nq = (double)h->nq, nk = (double)h->nk;
    const double l = (double)atn_lowrank_directions(h->nq, h->nk, a.rank);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_factors f = {0};
    double *p = NULL;

    (void)n;
    ATN_TRY(atn_mem_check(
        cx, atn_weights_store_bytes(cx, h) + atn_alternate_bytes(h->nq, h->nk, &a),
        "sparse and low rank"));
    ATN_TAKE(p, h->nq * h->nk);
    ATN_TRY(atn_weights_store(cx, h, p));
    ATN_TRY(atn_alternate_run(cx, in, h, p, &a, &f));
    ATN_TRY(atn_factors_plan(cx, h, &f, out));
    out->index_flops = 2 * (double)h->q.cols * atn_visible_pairs(h) +
                       2 * ATN_ALTERNATE_ROUNDS * nq * nk *
                           (a.random ? 4 * (ATN_POWER + 2) * l : 22 * ATN_MIN(nq, nk));
    out->index_bytes = ATN_COST_BYTES * (nq + nk) * (double)h->q.cols;
done:
    atn_factors_release(cx, &f);
    atn_arena_rewind(cx, mark);
    return st;
}

/* Of entries as many as there can be: one may be 0, and is not stored then. */
static bool spends(const void *params_, const atn_head *h, atn_spending *out)
{
    const atn_alternate a = sizes(params_, h);
    double numbers = (double)a.rank * (double)(h->nq + h->nk);

    for (atn_idx i = 0; i < h->nq; i++) {
        atn_idx lo, hi;

        atn_sight_row(&h->sight, i, &lo, &hi);
        if (lo < hi) numbers += (double)ATN_MIN(a.k, a.mask ? hi - lo : h->nk);
    }
    out->numbers = numbers / (double)ATN_MAX(h->nq, (atn_idx)1);
    out->executed = atn_factors_executed(h, numbers);
    return true;
}

static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const atn_head *h = &in->head[0];
    const atn_alternate a = sizes(params_, h);

    return ATN_METHOD_LITTLE + atn_weights_store_bytes(cx, h) +
           atn_alternate_bytes(h->nq, h->nk, &a);
}

const atn_method atn_method_sparse_lowrank = {
    .id = "sparse_lowrank",
    .title = "Entries and a rank (oracle)",
    .family = "oracle",
    .source = "alternating projections, after Chen et al., arXiv 2110.15343",
    .text = "the best found of a few entries a row and a low rank",
    .reads = ATN_READS_WEIGHTS | ATN_READS_DRAWS | ATN_READS_STORED,
    .oracle = atn_always,
    .sides = ATN_BOTH_WAYS,
    .params = params,
    .params_size = sizeof(sparse_lowrank),
    .budget = "numbers",
    .spends = spends,
    .weights = ATN_WEIGHTS_SIGNED | ATN_WEIGHTS_FREE,
    .looks = atn_looks_ahead,
    .plan = plan,
    .bytes = bytes,
};
