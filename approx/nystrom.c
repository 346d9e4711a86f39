/* approx/nystrom.c -- Nystromformer: attention through the means of segments.
 *
 * Math    m = min(landmarks, nq, nk); a_v, b_v the means of segments of the queries and
 *         of the keys: floor(n / m) = z rows in the first m (z + 1) - n segments, z + 1
 *         in the others. F1 = softmax(s Q b'), F2 = softmax(s a b'),
 *         F3 = softmax(s a K'); P ~ F1 F2^+ F3.
 *         F2^+ by `iterations` steps (approx/pinv.h); 0 = exact.
 * Oracle  landmarks = nq = nk and the exact inverse: dense attention, for P P^+ P = P.
 *         Rows sum to 1 where F2 is inverted, for F2 1 = 1. All rows equal: the mean.
 * Source  Xiong et al., arXiv 2102.03902; mlpen/Nystromformer. Its three ways to begin
 *         the iteration are one for a single head: rows of F2 sum to 1.
 * Cost    4 n m (d + dv) + 2 m^2 dv flop, and of the index 2 m^2 d + 8 m^3 a step.
 * Limits  no causal form. The convolution that trained models add to it is not here.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/nystrom.h"

#include <math.h>

#include "approx/landmarks.h"
#include "approx/pinv.h"
#include "approx/plain_head.h"

typedef struct nystrom {
    int64_t landmarks, iterations;
} nystrom;

static const atn_param params[] = {
    ATN_PARAM_I64(nystrom, landmarks, 64, 1, 4096,
                  "segments whose means stand for queries and keys"),
    ATN_PARAM_I64(nystrom, iterations, 6, 0, 64,
                  "steps towards the inverse between them, 0 = exact"),
    ATN_PARAM_END,
};

static atn_idx landmarks_of(const nystrom *t, const atn_head *h)
{
    return ATN_MIN(t->landmarks, ATN_MIN(h->nq, h->nk));
}

/* out [m, d] <- means of segments of x. */
static void segment_means(atn_cmat x, atn_idx m, double *out)
{
    const atn_idx z = x.rows / m, longer = m * (z + 1) - x.rows;
    atn_idx at = 0;

    for (atn_idx v = 0; v < m; v++) {
        const atn_idx n = v < longer ? z : z + 1;
        double *o = out + v * x.cols;

        for (atn_idx c = 0; c < x.cols; c++) o[c] = 0;
        for (atn_idx i = at; i < at + n; i++)
            for (atn_idx c = 0; c < x.cols; c++) o[c] += (double)atn_crow(x, i)[c];
        for (atn_idx c = 0; c < x.cols; c++) o[c] /= (double)n;
        at += n;
    }
}

/* f [m, m] <- F2 */
static void middle(const atn_landmarks *l, double scale, atn_idx d, double *f)
{
    const atn_idx m = l->m;

    atn_gemm_wide(ATN_ABT, scale, (atn_cwide){l->a, m, d, d},
                  (atn_cwide){l->b, m, d, d}, 0, (atn_wide){f, m, m, m});
    for (atn_idx i = 0; i < m; i++) {
        double *z = f + i * m, max = z[0], sum = 0;

        for (atn_idx v = 1; v < m; v++) max = ATN_MAX(max, z[v]);
        for (atn_idx v = 0; v < m; v++) sum += z[v] = exp(z[v] - max);
        for (atn_idx v = 0; v < m; v++) z[v] /= sum;
    }
}

atn_status atn_nystrom_middle(atn_ctx *cx, const atn_head *h, atn_idx m, double *f)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_landmarks l = {.m = m};
    atn_status st = ATN_OK;

    ATN_ASSERT(m >= 1 && m <= h->nq && m <= h->nk);
    ATN_TAKE(l.a, m * h->q.cols);
    ATN_TAKE(l.b, m * h->q.cols);
    segment_means(h->q, m, l.a);
    segment_means(h->k, m, l.b);
    middle(&l, h->scale, h->q.cols, f);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status invert(atn_ctx *cx, const nystrom *t, const double *f,
                         atn_landmarks *l)
{
    const atn_idx m = l->m;
    atn_status st = ATN_OK;

    ATN_NEW(l->right, m * m);
    l->r = m;
    if (t->iterations > 0) {
        ATN_TRY(atn_pinv_steps(cx, f, m, t->iterations, l->right));
    } else {
        ATN_NEW(l->left, m * m);
        ATN_TRY(atn_pinv_exact(cx, f, m, l->left, l->right, &l->r));
    }
done:
    return st;
}

static double index_flops(const nystrom *t, const atn_head *h, atn_idx landmarks)
{
    const double m = (double)landmarks, d = (double)h->q.cols;
    const double steps = (double)t->iterations;

    return d * (double)(h->nq + h->nk) + 2 * m * m * d +
           (t->iterations > 0 ? 8 * steps : 22) * m * m * m;
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const nystrom *t = params_;
    const atn_head *h = &in->head[first];
    const atn_idx m = landmarks_of(t, h), d = h->q.cols;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_landmarks l = {.m = m};
    atn_status st = ATN_OK;
    double *f = NULL;

    (void)n;
    ATN_TRY(atn_plain_head(cx, h, "nystrom", false));
    ATN_NEW(l.a, m * d);
    ATN_NEW(l.b, m * d);
    if (m > 0) {
        ATN_TAKE(f, m * m);
        segment_means(h->q, m, l.a);
        segment_means(h->k, m, l.b);
        middle(&l, h->scale, d, f);
        ATN_TRY(invert(cx, t, f, &l));
    }
    ATN_TRY(atn_landmarks_plan(cx, h, &l, out));
    out->index_flops = index_flops(t, h, m);
    out->index_bytes =
        ATN_COST_BYTES * (double)(d * (h->nq + h->nk) + 2 * m * d + m * m);
done:
    atn_landmarks_release(cx, &l);
    atn_arena_rewind(cx, mark);
    return st;
}

static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const atn_idx m = landmarks_of(params_, &in->head[0]);

    return atn_landmarks_bytes(cx, &in->head[0], m) + atn_pinv_bytes(m) +
           (double)m * (double)m * sizeof(double);
}

static bool spends(const void *params_, const atn_head *h, atn_spending *out)
{
    *out = atn_landmarks_spending(h, landmarks_of(params_, h));
    return true;
}

static atn_idx rank(const void *params_, const atn_head *h)
{
    return landmarks_of(params_, h);
}

const atn_method atn_method_nystrom = {
    .id = "nystrom",
    .title = "Nystromformer",
    .family = "low_rank",
    .source = "Xiong et al., Nystromformer, arXiv 2102.03902; mlpen/Nystromformer",
    .text = "all keys, through the means of segments of queries and keys",
    .reads = ATN_READS_QK,
    .sides = ATN_BIDIRECTIONAL,
    .params = params,
    .params_size = sizeof(nystrom),
    .budget = "landmarks",
    .spends = spends,
    .weights = ATN_WEIGHTS_SIGNED | ATN_WEIGHTS_FREE,
    .rank = rank,
    .exact = "landmarks=#,iterations=0",
    .plan = plan,
    .bytes = bytes,
};
