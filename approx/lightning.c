/* approx/lightning.c -- Lightning Attention: linear attention that forgets at a steady
 * pace, as TransNormer has it.
 *
 * Math    w_ij = c q_i . k_j e^{-lam (t_i - j)} over the keys that row i sees, t_i its
 *         position; no softmax, no denominator. lam is `slope`, or by the convention:
 *           transnormer  c = 1; H heads, a power of two: lam_h = 2^{-8 (h + 1) / H};
 *                        else those of the largest power of two C below H, then every
 *                        other one of those of 2 C heads; times
 *                        1 - layer / (layers - 1) + 1e-5
 *           fla          c = d^{-1/2}; lam_h = (8 h / H) (1 - layer / layers)
 *         `norm` srms divides a row of the output by the root of its mean square plus
 *         1e-6, which makes the weights depend on the values.
 * Oracle  lam = 0: linear attention without a feature map or a denominator; lam large:
 *         (q_i . k_i) v_i. H = 6: .25 .0625 .015625 .00390625 .5 .125. G8 row.
 * Source  Qin et al., arXiv 2405.17381 and 2401.04658; OpenNLPLab/lightning-attention,
 *         utils.py; flash-linear-attention, ops/lightning_attn/chunk.py; cards/
 *         kernel-theory.md, card 9.
 * Cost    approx/features.h with d features.
 * Limits  causal heads. The models add a SiLU before it and a gate after it, which are
 *         not here.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "approx/features.h"
#include "approx/lightning.h"
#include "approx/plain_head.h"
#include "approx/widen.h"

typedef struct lightning {
    int convention, norm;
    double slope;
} lightning;

enum { TRANSNORMER, FLA };
enum { NORM_NONE, NORM_SRMS };

static const atn_param params[] = {
    ATN_PARAM_CHOICE(lightning, convention, TRANSNORMER, "transnormer|fla",
                     "whose decay by head and layer, and whose scale"),
    ATN_PARAM_F64(lightning, slope, -1, -1, 1e4,
                  "decay a token of every head; below 0 it is that of the convention"),
    ATN_PARAM_CHOICE(lightning, norm, NORM_NONE, "none|srms",
                     "divide every output by its root mean square"),
    ATN_PARAM_END,
};

/* ---- decay ---- */

static double of_power(atn_idx h, atn_idx heads)
{
    return exp2(-8 * (double)(h + 1) / (double)heads);
}

double atn_lightning_slope(atn_idx h, atn_idx heads)
{
    atn_idx below = 1;

    while (below <= heads / 2) below *= 2;
    if (h < below) return of_power(h, below);
    return of_power(2 * (h - below), 2 * below);
}

/* layers 0 = unknown: as in the first layer. */
static double decay_of(const lightning *t, const atn_input *in, const atn_head *h)
{
    const double layer = in->layers > 0 ? (double)h->layer : 0;
    const double layers = (double)in->layers;

    if (t->slope >= 0) return t->slope;
    if (t->convention == FLA)
        return 8 * (double)h->head / (double)in->heads *
               (1 - (layers > 0 ? fmin(layer / layers, 1) : 0));
    return atn_lightning_slope(h->head, in->heads) *
           (1 - (layers > 1 ? fmin(layer / (layers - 1), 1) : 0) + 1e-5);
}

/* ---- features ---- */

static atn_status make_features(atn_ctx *cx, const atn_input *in, const lightning *t,
                                const atn_head *h, atn_features *f)
{
    const double scale = t->convention == FLA ? 1 / sqrt((double)h->k.cols) : 1;
    atn_status st = ATN_OK;

    *f = (atn_features){.n = h->k.cols, .decay = decay_of(t, in, h)};
    ATN_TRY(atn_widen_rows(cx, "lightning", h, h->q, scale, &f->q));
    ATN_TRY(atn_widen_rows(cx, "lightning", h, h->k, 1, &f->k));
done:
    return st;
}

/* row [nq] <- 1 / root mean square of the outputs of the plan. */
static atn_status norm_rows(atn_ctx *cx, const atn_head *h, const atn_plan *p,
                            double *row)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx dv = h->v.cols;
    atn_status st = ATN_OK;
    double *o = NULL;

    ATN_TAKE(o, h->nq * dv);
    ATN_TRY(p->op.kind->apply(cx, h, p->op.state, o, "norms"));
    for (atn_idx i = 0; i < h->nq; i++) {
        double sum = 0;

        for (atn_idx e = 0; e < dv; e++) sum += o[i * dv + e] * o[i * dv + e];
        row[i] = 1 / sqrt(sum / (double)dv + 1e-6);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- planning ---- */

static atn_status refuse(atn_ctx *cx, const lightning *t, const atn_head *h)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_bare_logits(cx, h, "lightning", 0));
    if (t->norm == NORM_SRMS && !h->v.data)
        ATN_FAIL(ATN_DATA,
                 "lightning: norm=srms reads the values, and layer %d has none (give "
                 "norm=none, or capture values)",
                 h->layer);
done:
    return st;
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const lightning *t = params_;
    const atn_head *h = &in->head[first];
    atn_status st = ATN_OK;
    atn_features f = {0};
    double *row = NULL;

    ATN_ASSERT(n == 1);
    ATN_TRY(refuse(cx, t, h));
    if (t->norm == NORM_SRMS) {
        atn_plan plain = {0};

        ATN_NEW(row, h->nq);
        ATN_TRY(make_features(cx, in, t, h, &f));
        st = atn_features_plan(cx, h, &f, 0, &plain);
        f = (atn_features){0};
        if (st == ATN_OK) st = norm_rows(cx, h, &plain, row);
        atn_plan_release(cx, &plain);
        ATN_TRY(st);
    }
    ATN_TRY(make_features(cx, in, t, h, &f));
    f.row = row;
    row = NULL;
    st = atn_features_plan(cx, h, &f, 0, out);
    f = (atn_features){0};
done:
    atn_free(cx, row);
    atn_features_release(cx, &f);
    return st;
}

static bool spends(const void *params_, const atn_head *h, atn_spending *out)
{
    (void)params_;
    out->numbers = 2 * (double)h->k.cols;
    out->executed = atn_features_executed(h, h->k.cols);
    return true;
}

static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const atn_head *h = &in->head[0];
    const lightning *t = params_;
    const double nq = (double)h->nq, nk = (double)h->nk, dv = (double)h->v.cols;
    const double features =
        8 * ((nq + nk) * (double)h->k.cols + nq) + ATN_METHOD_LITTLE;

    if (t->norm == NORM_NONE) return features;
    /* the outputs, and their sums with the denominators and logarithms */
    return features + 8 * nq * (2 * dv + 2) +
           atn_features_scratch(cx, h, h->k.cols, true);
}

static unsigned weights_of(const void *params_)
{
    const lightning *t = params_;
    const unsigned by_values = t->norm == NORM_SRMS ? ATN_WEIGHTS_VALUES : 0;

    return ATN_WEIGHTS_SIGNED | ATN_WEIGHTS_FREE | by_values;
}

const atn_method atn_method_lightning = {
    .id = "lightning",
    .title = "Lightning Attention",
    .family = "recurrent",
    .source = "Qin et al., arXiv 2405.17381, OpenNLPLab/lightning-attention",
    .text = "products of queries and keys that fade with distance",
    .reads = ATN_READS_QK,
    .sides = ATN_CAUSAL,
    .params = params,
    .params_size = sizeof(lightning),
    .spends = spends,
    .weights = ATN_WEIGHTS_SIGNED | ATN_WEIGHTS_FREE | ATN_WEIGHTS_VALUES,
    .weights_of = weights_of,
    .plan = plan,
    .bytes = bytes,
};
