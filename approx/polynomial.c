/* approx/polynomial.c -- attention whose e^x is its polynomial of Taylor.
 *
 * Math    a_ij = T_g(s q_i . k_j), T_g the polynomial of degree g, by the monomials of
 *         q and k up to degree g: R = C(d + g, g) features; rows are normalised.
 *         centre: k_j less the mean key, which leaves the softmax as it is and makes
 *         logits smaller.
 * Oracle  G8-b: degree 4, causal, o_31 = .5832774121. |T_g(z) e^-z - 1| <= e on all
 *         logits: total variation <= e / (1 + sqrt(1 - e^2)).
 * Source  Alman and Song, arXiv 2302.13214; cards/kernel-theory.md, cards 4 and 5.
 * Cost    4 n R (dv + 1) flop to apply, memory 2 n R doubles.
 * Limits  an even degree has no real zero; an odd one can make weights negative and
 *         denominators vanish. With centre a causal head looks ahead.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>

#include "approx/features.h"
#include "approx/monomials.h"

typedef struct polynomial {
    int64_t degree, most;
    bool centre;
} polynomial;

static const atn_param params[] = {
    ATN_PARAM_I64(polynomial, degree, 2, 0, ATN_DEGREE_MOST,
                  "of the polynomial; even ones are never negative"),
    ATN_PARAM_BOOL(polynomial, centre, false, "take the mean off the keys first"),
    ATN_PARAM_I64(polynomial, most, 100000, 1, 1e9, "more features are refused"),
    ATN_PARAM_END,
};

enum { TOKENS = 256 };

static double features_of(const polynomial *t, const atn_head *h)
{
    return atn_monomials_count(h->q.cols, (int)t->degree);
}

typedef struct side {
    atn_cmat x;
    const double *mean; /* NULL = 0 */
    double scale;       /* of weights; 0 = there are none */
    double *out;        /* [rows, features] */
} side;

typedef struct scratch {
    atn_monomial_block block;
    double *x, *stack, *u;
} scratch;

/* Tokens [from, from + n) of one side, in columns. */
static void turn(const side *s, atn_idx from, atn_idx n, double *x)
{
    for (atn_idx i = 0; i < n; i++)
        for (atn_idx l = 0; l < s->x.cols; l++)
            x[l * n + i] =
                (double)atn_crow(s->x, from + i)[l] - (s->mean ? s->mean[l] : 0);
}

/* Their monomials; false where one is beyond double. */
static bool fill(const side *s, int degree, atn_idx features, atn_idx from, atn_idx n,
                 scratch *c)
{
    atn_monomials walk = {.d = s->x.cols, .degree = degree};
    atn_idx at = 0;
    bool finite = true;

    turn(s, from, n, c->x);
    for (;;) {
        atn_monomials_block(&walk, ATN_MONOMIALS_BLOCK, &c->block);
        if (c->block.n == 0) return finite;
        atn_monomials_of(&c->block, c->x, n, c->stack, c->u);
        for (int r = 0; r < c->block.n; r++, at++) {
            const double w =
                s->scale > 0 ? atn_monomial_weight(&c->block, r, s->scale) : 1;

            for (atn_idx i = 0; i < n; i++) {
                const double y = w * c->u[r * n + i];

                finite = finite && isfinite(y);
                s->out[(from + i) * features + at] = y;
            }
        }
    }
}

static atn_status map(atn_ctx *cx, const side *s, int degree, atn_idx features)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx n = ATN_MIN((atn_idx)TOKENS, s->x.rows);
    scratch *c = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(c, 1);
    ATN_TAKE(c->x, s->x.cols * n);
    ATN_TAKE(c->stack, ATN_DEGREE_MOST * n);
    ATN_TAKE(c->u, ATN_MONOMIALS_BLOCK * n);
    for (atn_idx from = 0; from < s->x.rows; from += TOKENS) {
        if (!fill(s, degree, features, from, ATN_MIN(n, s->x.rows - from), c))
            ATN_FAIL(
                ATN_DATA,
                "polynomial: monomials of degree %d are beyond the range of double "
                "(give a smaller degree)",
                degree);
        ATN_TRY(atn_stopped(cx, "polynomial"));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status check(atn_ctx *cx, const polynomial *t, const atn_head *h)
{
    const double n = features_of(t, h);
    atn_status st = ATN_OK;
    char count[32];

    snprintf(count, sizeof count, n < 0x1p53 ? "%.0f" : "%.3g", n);
    ATN_TRY(atn_features_check(cx, "polynomial", h, false));
    if (n > (double)t->most)
        ATN_FAIL(ATN_USAGE,
                 "polynomial: degree = %lld of d = %lld makes %s features, above the "
                 "limit of %lld (give a smaller degree, or raise most)",
                 (long long)t->degree, (long long)h->q.cols, count, (long long)t->most);
done:
    return st;
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const polynomial *t = params_;
    const atn_head *h = &in->head[first];
    const atn_arena_mark mark = atn_arena_save(cx);
    const int degree = (int)t->degree;
    atn_features f = {0};
    double *mean = NULL;
    atn_idx features;
    atn_status st = ATN_OK;

    ATN_ASSERT(n == 1);
    ATN_TRY(check(cx, t, h));
    features = (atn_idx)features_of(t, h);
    ATN_TRY(atn_features_open(cx, h, features, false, &f));
    if (t->centre) {
        ATN_TAKE(mean, h->k.cols);
        atn_mat_mean(h->k, mean);
    }
    ATN_TRY(map(cx, &(side){h->q, NULL, h->scale, f.q}, degree, features));
    ATN_TRY(map(cx, &(side){h->k, mean, 0, f.k}, degree, features));
    f.normalise = true;
    ATN_TRY(atn_features_plan(cx, h, &f, 0, out));
    out->index_flops = (double)(h->nq + h->nk) * (double)features;
    out->index_bytes =
        ATN_COST_BYTES * (double)(h->nq + h->nk) * (double)(features + h->q.cols);
done:
    atn_features_release(cx, &f);
    atn_arena_rewind(cx, mark);
    return st;
}

static bool spends(const void *params_, const atn_head *h, atn_spending *out)
{
    const double n = features_of(params_, h);

    if (n > 0x1p50) return false;
    out->numbers = 2 * n;
    out->executed = atn_features_executed(h, (atn_idx)n);
    return true;
}

static atn_idx rank(const void *params_, const atn_head *h)
{
    const double n = features_of(params_, h);

    return n < 0x1p50 ? (atn_idx)n : -1;
}

static unsigned looks(const void *params_, const atn_input *in)
{
    const polynomial *t = params_;

    return t->centre && in->head[0].sight.causal ? ATN_LOOKS_KEYS : 0;
}

static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const polynomial *t = params_;
    const atn_head *h = &in->head[0];
    const double n = ATN_MIN(features_of(t, h), (double)t->most);
    const double each = (double)h->q.cols + ATN_DEGREE_MOST + ATN_MONOMIALS_BLOCK;

    return atn_features_bytes(cx, h, (atn_idx)n) + 8 * TOKENS * each + sizeof(scratch) +
           8 * (double)h->k.cols;
}

const atn_method atn_method_polynomial = {
    .id = "polynomial",
    .title = "Polynomial attention",
    .family = "kernel",
    .source = "Alman and Song 2023, arXiv 2302.13214",
    .text = "everything, by the polynomial of Taylor in place of e^x",
    .reads = ATN_READS_QK,
    .sides = ATN_BOTH_WAYS,
    .params = params,
    .params_size = sizeof(polynomial),
    .budget = "degree",
    .spends = spends,
    .weights = ATN_WEIGHTS_SIGNED,
    .rank = rank,
    .looks = looks,
    .plan = plan,
    .bytes = bytes,
};
