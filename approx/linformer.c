/* approx/linformer.c -- Linformer: softmax over random mixtures of the keys.
 *
 * Math    O = softmax(s Q (E'K)') F'V with E, F [nk, rank] of independent normal
 *         numbers of mean 0 and variance 1 / rank. `share`: F = E.
 * Oracle  E = F = 1, rank = nk: dense attention. With w fixed and R = F',
 *         E |P R'R w - P w|^2 = (|P|_F^2 |w|^2 + |P w|^2) / rank.
 * Source  Wang et al., arXiv 2006.04768; lucidrains/linformer, whose first E has a
 *         third of this variance.
 * Cost    2 nk rank (d + dv) flop of the index, once for the heads that share keys, and
 *         nq rank pairs; memory 8 nk rank bytes a head of them, and 4 beside.
 * Limits  no causal form, for a mixture holds later keys. A sink logit stays in the
 *         denominator.
 *
 * The mixtures are virtual keys, of which the columns of F say what they stand for.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "approx/plain_head.h"
#include "core/rows.h"

typedef struct linformer {
    int64_t rank;
    bool share;
} linformer;

static const atn_param params[] = {
    ATN_PARAM_I64(linformer, rank, 256, 1, 1 << 16, "mixtures of the keys"),
    ATN_PARAM_BOOL(linformer, share, 0, "mix values as keys are mixed: F = E"),
    ATN_PARAM_END,
};

enum { COLUMNS = 16 }; /* of a task */

typedef struct mixing {
    atn_cmat x;
    const float *e; /* [x.rows, rank] */
    atn_idx rank;
    float *out; /* [rank, x.cols] */
} mixing;

/* Some rows of E'X, summed in double by ascending keys. */
static atn_status mix_tile(atn_ctx *cx, atn_idx at, void *state)
{
    const mixing *s = state;
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx first = at * COLUMNS, cols = s->x.cols;
    const atn_idx n = ATN_MIN((atn_idx)COLUMNS, s->rank - first);
    atn_status st = ATN_OK;
    double *sum = NULL;

    ATN_TAKE(sum, n * cols);
    memset(sum, 0, (size_t)(n * cols) * sizeof *sum);
    for (atn_idx j = 0; j < s->x.rows; j++) {
        const float *x = atn_crow(s->x, j), *e = s->e + j * s->rank + first;

        for (atn_idx v = 0; v < n; v++)
            for (atn_idx c = 0; c < cols; c++)
                sum[v * cols + c] += (double)e[v] * (double)x[c];
    }
    for (atn_idx k = 0; k < n * cols; k++) s->out[first * cols + k] = (float)sum[k];
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status mix(atn_ctx *cx, atn_cmat x, const float *e, atn_idx rank, float *out)
{
    mixing s = {x, e, rank, out};

    return atn_parallel(cx, (rank + COLUMNS - 1) / COLUMNS, mix_tile, &s, "mixtures");
}

/* out of w <- normal numbers / sqrt(rank); one for all heads of the layer. */
static atn_status draw(atn_ctx *cx, const atn_input *in, const atn_draw *w, float *out)
{
    const double by = 1 / sqrt((double)w->cols);
    atn_status st = ATN_OK;

    ATN_TRY(atn_draw_normal(cx, in->draws, in->seed, w, out));
    for (atn_idx e = 0; e < w->rows * w->cols; e++)
        out[e] = (float)(by * (double)out[e]);
done:
    return st;
}

static atn_status open(atn_ctx *cx, const atn_head *h, atn_idx rank, atn_plan *out)
{
    atn_status st = ATN_OK;

    out->virtuals = rank;
    ATN_NEW(out->vk, rank * h->k.cols);
    if (h->v.data) ATN_NEW(out->vv, rank * h->v.cols);
    ATN_NEW(out->expand_ptr, rank + 1);
    ATN_NEW(out->expand, h->nk * rank);
    ATN_NEW(out->expand_weight, h->nk * rank);
done:
    return st;
}

/* The virtual keys of a head that reads the same keys. */
static atn_status copy(atn_ctx *cx, const atn_head *h, const atn_plan *from,
                       atn_plan *out)
{
    const size_t r = (size_t)from->virtuals, all = (size_t)h->nk * r;
    atn_status st = ATN_OK;

    ATN_TRY(open(cx, h, from->virtuals, out));
    memcpy(out->vk, from->vk, r * (size_t)h->k.cols * sizeof *out->vk);
    if (h->v.data) memcpy(out->vv, from->vv, r * (size_t)h->v.cols * sizeof *out->vv);
    memcpy(out->expand_ptr, from->expand_ptr, (r + 1) * sizeof *out->expand_ptr);
    memcpy(out->expand, from->expand, all * sizeof *out->expand);
    memcpy(out->expand_weight, from->expand_weight, all * sizeof *out->expand_weight);
done:
    return st;
}

/* The virtual keys, and as expand_weight F by its columns. */
static atn_status make(atn_ctx *cx, const atn_input *in, const linformer *t,
                       const atn_head *h, atn_plan *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx n = h->nk, r = t->rank;
    const atn_draw keys = {"mix_keys", "linformer/keys", h->layer, -1, n, r};
    const atn_draw values = {"mix_values", "linformer/values", h->layer, -1, n, r};
    atn_status st = ATN_OK;
    float *e = NULL;

    ATN_TRY(open(cx, h, r, out));
    ATN_TAKE(e, n * r);
    ATN_TRY(draw(cx, in, &keys, e));
    ATN_TRY(mix(cx, h->k, e, r, out->vk));
    if (!t->share) ATN_TRY(draw(cx, in, &values, e));
    if (h->v.data) ATN_TRY(mix(cx, h->v, e, r, out->vv));
    for (atn_idx v = 0; v < r; v++) {
        out->expand_ptr[v + 1] = (v + 1) * n;
        for (atn_idx j = 0; j < n; j++) {
            out->expand[v * n + j] = (int32_t)j;
            out->expand_weight[v * n + j] = e[j * r + v];
        }
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* One group: all rows, all virtual keys. */
static atn_status group(atn_ctx *cx, const atn_head *h, atn_idx r, atn_plan *out)
{
    atn_groups *g = &out->branch[0].part[0].groups;
    atn_status st = ATN_OK;

    out->branches = out->branch[0].parts = 1;
    ATN_NEW(g->row_ptr, 2);
    ATN_NEW(g->row, h->nq);
    ATN_NEW(g->key_ptr, 2);
    ATN_NEW(g->key, r);
    g->n = 1;
    g->row_ptr[1] = h->nq;
    g->key_ptr[1] = r;
    for (atn_idx i = 0; i < h->nq; i++) g->row[i] = (int32_t)i;
    for (atn_idx v = 0; v < r; v++) g->key[v] = (int32_t)(h->nk + v);
done:
    return st;
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const linformer *t = params_;
    const atn_head *h = &in->head[first];
    const double r = (double)t->rank, nk = (double)h->nk;
    const double width = (double)(h->k.cols + h->v.cols);
    atn_idx entries;
    atn_status st = ATN_OK;

    for (atn_idx k = 0; k < n; k++)
        ATN_TRY(atn_plain_head(cx, &h[k], "linformer", true));
    if (!atn_mul(h->nk, t->rank, &entries) || h->nk + t->rank > INT32_MAX)
        ATN_FAIL(ATN_MEMORY,
                 "linformer: %lld keys in %lld mixtures are too many (give a smaller "
                 "rank)",
                 (long long)h->nk, (long long)t->rank);
    ATN_TRY(make(cx, in, t, h, out));
    for (atn_idx k = 0; k < n; k++) {
        if (k > 0) ATN_TRY(copy(cx, h, out, &out[k]));
        ATN_TRY(group(cx, &h[k], t->rank, &out[k]));
        out[k].numbers = 2 * r;
        out[k].index_flops = 2 * nk * r * width / (double)n;
        out[k].index_bytes = ATN_COST_BYTES *
                             (width * (nk + r) + nk * r * (t->share ? 1 : 2)) /
                             (double)n;
    }
done:
    return st;
}

static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const linformer *t = params_;
    const atn_head *h = &in->head[0];
    const double r = (double)t->rank, width = (double)(h->k.cols + h->v.cols);

    return (double)in->group *
               (r * (8 * (double)h->nk + 4 * width + 16) + 4 * (double)h->nq) +
           4 * r * (double)h->nk +
           cx->threads * (COLUMNS * width * sizeof(double) + 512) +
           (in->draws ? 8 * r * (double)h->nk : 0) + 4096;
}

static bool spends(const void *params_, const atn_head *h, atn_spending *out)
{
    const linformer *t = params_;

    *out = (atn_spending){2 * (double)t->rank, (double)t->rank * (double)h->nq};
    return true;
}

static atn_idx rank(const void *params_, const atn_head *h)
{
    const linformer *t = params_;

    return ATN_MIN(t->rank, ATN_MIN(h->nq, h->nk));
}

const atn_method atn_method_linformer = {
    .id = "linformer",
    .title = "Linformer",
    .family = "low_rank",
    .source = "Wang et al., Linformer, arXiv 2006.04768; lucidrains/linformer",
    .text = "random mixtures of the keys, in place of each of them",
    .reads = ATN_READS_QK | ATN_READS_DRAWS,
    .sides = ATN_BIDIRECTIONAL,
    .unit = ATN_UNIT_GROUP,
    .params = params,
    .params_size = sizeof(linformer),
    .budget = "rank",
    .spends = spends,
    .weights = ATN_WEIGHTS_SIGNED | ATN_WEIGHTS_FREE,
    .rank = rank,
    .plan = plan,
    .bytes = bytes,
};
