/* approx/skyformer.c -- Skyformer: a Gaussian kernel in place of the softmax, through
 * sampled rows of queries and keys.
 *
 * Math    C_ij = e^{-s |q_i - k_j|^2 / 2}, the target is C V: no softmax, rows sum to
 *         anything. x_v are m rows of [Q; K], the first floor(m / 2) drawn from Q, the
 *         others from K, with replacement. G = C(x, x) + ridge, r = (G 1)^{-1/2},
 *         N = diag(r) G diag(r);
 *         C ~ C(Q, x) diag(r) N^+ diag(r) C(x, K).
 *         N^+ by `iterations` steps (approx/pinv.h); 0 = exact.
 * Oracle  all nq + nk rows sampled once, ridge 0, exact: C itself. The exact inverse
 *         does not depend on r. softmax from C: A = diag(e^{s|q|^2/2}) C
 *         diag(e^{s|k|^2/2}), e^{s q.k}.
 * Source  Chen et al., arXiv 2111.00035; pkuzengqi/Skyformer, attention_skyformer.py.
 * Cost    4 n m (d + dv) + 2 m^2 dv flop, and of the index 2 m^2 d + 8 m^3 a step.
 * Limits  no causal form. The scale is that of the model; the code has 32^{-1/4}
 *         instead.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "approx/landmarks.h"
#include "approx/pinv.h"
#include "approx/plain_head.h"
#include "core/rng.h"

typedef struct skyformer {
    int64_t samples, iterations;
    double ridge;
} skyformer;

static const atn_param params[] = {
    ATN_PARAM_I64(skyformer, samples, 128, 1, 512,
                  "rows of queries and keys that are sampled, half of each"),
    ATN_PARAM_I64(skyformer, iterations, 6, 0, 64,
                  "steps towards the inverse between them, 0 = exact"),
    ATN_PARAM_F64(skyformer, ridge, .1, 0, 1e6, "added to the diagonal between them"),
    ATN_PARAM_END,
};

/* Rows of [Q; K]; none where one side is empty. */
static atn_idx samples_of(const skyformer *t, const atn_head *h)
{
    return h->nq > 0 && h->nk > 0 ? t->samples : 0;
}

static atn_status draw_rows(atn_ctx *cx, const atn_input *in, const atn_head *h,
                            atn_idx m, int32_t *row)
{
    atn_rng r = atn_rng_stream(in->seed, "skyformer/samples", h->layer, h->head);
    const atn_draw what = {"samples", "skyformer/samples", h->layer, h->head, m, 0};
    atn_status st = ATN_OK;

    ATN_TRY(atn_draws_need(cx, in->draws, &what));
    for (atn_idx v = 0; v < m; v++)
        row[v] = (int32_t)(v < m / 2 ? atn_rng_below(&r, h->nq)
                                     : h->nq + atn_rng_below(&r, h->nk));
    ATN_TRY(atn_draw_given_counts(cx, in->draws, &what, h->nq + h->nk, row));
done:
    return st;
}

static void take_rows(const atn_head *h, const int32_t *row, atn_landmarks *l)
{
    const atn_idx d = h->q.cols;

    for (atn_idx v = 0; v < l->m; v++) {
        const float *x =
            row[v] < h->nq ? atn_crow(h->q, row[v]) : atn_crow(h->k, row[v] - h->nq);

        for (atn_idx c = 0; c < d; c++)
            l->a[v * d + c] = l->b[v * d + c] = (double)x[c];
    }
}

/* f [m, m] <- N, r [m] */
static void middle(const skyformer *t, const atn_landmarks *l, double scale, atn_idx d,
                   double *f, double *r)
{
    const atn_idx m = l->m;

    for (atn_idx i = 0; i < m; i++) {
        double sum = 0;

        for (atn_idx v = 0; v < m; v++) {
            double gap = 0;

            for (atn_idx c = 0; c < d; c++) {
                const double by = l->a[i * d + c] - l->a[v * d + c];

                gap += by * by;
            }
            f[i * m + v] = exp(-scale * gap / 2) + (i == v ? t->ridge : 0);
            sum += f[i * m + v];
        }
        r[i] = 1 / sqrt(sum);
    }
    for (atn_idx i = 0; i < m; i++)
        for (atn_idx v = 0; v < m; v++) f[i * m + v] *= r[i] * r[v];
}

/* What is between becomes diag(r) N^+ diag(r). */
static atn_status invert(atn_ctx *cx, const skyformer *t, const double *f,
                         const double *r, atn_landmarks *l)
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
    for (atn_idx k = 0; k < l->r; k++)
        for (atn_idx v = 0; v < m; v++)
            l->right[k * m + v] *= r[v] * (l->left ? 1 : r[k]);
    for (atn_idx e = 0; l->left && e < m * l->r; e++) l->left[e] *= r[e / l->r];
done:
    return st;
}

static double index_flops(const skyformer *t, const atn_head *h, atn_idx samples)
{
    const double m = (double)samples, d = (double)h->q.cols;
    const double steps = (double)t->iterations;

    return 2 * m * m * d + (t->iterations > 0 ? 8 * steps : 22) * m * m * m;
}

static atn_status make(atn_ctx *cx, const atn_input *in, const skyformer *t,
                       const atn_head *h, atn_landmarks *l)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    double *f = NULL, *r = NULL;
    atn_status st = ATN_OK;
    int32_t *row = NULL;

    ATN_TAKE(row, l->m);
    ATN_TAKE(f, l->m * l->m);
    ATN_TAKE(r, l->m);
    ATN_NEW(l->a, l->m * h->q.cols);
    ATN_NEW(l->b, l->m * h->q.cols);
    if (l->m == 0) goto done;
    ATN_TRY(draw_rows(cx, in, h, l->m, row));
    take_rows(h, row, l);
    middle(t, l, h->scale, h->q.cols, f, r);
    ATN_TRY(invert(cx, t, f, r, l));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const skyformer *t = params_;
    const atn_head *h = &in->head[first];
    const atn_idx m = samples_of(t, h), d = h->q.cols;
    atn_landmarks l = {.gaussian = true, .m = m};
    atn_status st = ATN_OK;

    (void)n;
    ATN_TRY(atn_plain_head(cx, h, "skyformer", false));
    if (!(h->scale >= 0))
        ATN_FAIL(
            ATN_DATA,
            "skyformer: layer %d has the scale %g, and a Gaussian kernel needs one "
            "that is not negative (choose other layers with --layers)",
            h->layer, h->scale);
    ATN_TRY(make(cx, in, t, h, &l));
    ATN_TRY(atn_landmarks_plan(cx, h, &l, out));
    out->index_flops = index_flops(t, h, m);
    out->index_bytes = ATN_COST_BYTES * (double)(m * d + m * m);
done:
    atn_landmarks_release(cx, &l);
    return st;
}

static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const atn_idx m = samples_of(params_, &in->head[0]);

    return atn_landmarks_bytes(cx, &in->head[0], m) + atn_pinv_bytes(m) +
           ((double)m + 2) * (double)m * sizeof(double);
}

static bool spends(const void *params_, const atn_head *h, atn_spending *out)
{
    *out = atn_landmarks_spending(h, samples_of(params_, h));
    return true;
}

static atn_idx rank(const void *params_, const atn_head *h)
{
    return samples_of(params_, h);
}

const atn_method atn_method_skyformer = {
    .id = "skyformer",
    .title = "Skyformer",
    .family = "low_rank",
    .source = "Chen et al., Skyformer, arXiv 2111.00035; pkuzengqi/Skyformer",
    .text = "all keys by a Gaussian kernel, not softmax, through sampled rows",
    .reads = ATN_READS_QK | ATN_READS_DRAWS,
    .sides = ATN_BIDIRECTIONAL,
    .params = params,
    .params_size = sizeof(skyformer),
    .budget = "samples",
    .spends = spends,
    .weights = ATN_WEIGHTS_SIGNED | ATN_WEIGHTS_FREE,
    .rank = rank,
    .plan = plan,
    .bytes = bytes,
};
