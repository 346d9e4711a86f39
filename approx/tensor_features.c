/* approx/tensor_features.c -- tensor attention by the polynomial of Taylor: monomials
 * in blocks, each done with all tokens before the next.
 *
 * Math    of a block of monomials, U^t [R, n] those of K^t and U those of c q:
 *         S^t = U^t (V^t, 1), H = S^1 * S^2 * .. entrywise, (num, den) += U' H. Causal:
 *         S^t runs over the tokens, and is read after each.
 * Cost    see tensor.h; GROUPS runs of blocks side by side, each with sums of its own,
 *         added in order, so that threads change nothing.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "approx/tensor.h"
#include "core/kernels/kernels.h"
#include "core/linalg.h"
#include "core/rows.h"

enum { GROUPS = 8, TOKENS = 1024, R = ATN_MONOMIALS_BLOCK };

typedef struct job {
    const atn_tensor *t;
    int degree;
    double features, per_group;
    atn_idx width;                   /* dv + 1 */
    double *q;                       /* [d, nq], by columns */
    double *k[ATN_TENSOR_KEYS_MOST]; /* [d, nk] */
    double *v[ATN_TENSOR_KEYS_MOST]; /* [nk, dv + 1], ones at the end */
    double *sum;                     /* [GROUPS, nq, dv + 1] */
    double *part;                    /* [GROUPS, nq] sums of absolute parts of den */
} job;

typedef struct scratch {
    atn_monomial_block block;
    double weight[R];
    double *u, *stack, *x;
    double *s[ATN_TENSOR_KEYS_MOST]; /* [R, width] */
    double *h;
} scratch;

/* Monomials of n tokens of x [d, all], which begins with the first of them. */
static void monomials(scratch *s, const double *x, atn_idx d, atn_idx all, atn_idx n,
                      double *u)
{
    for (atn_idx l = 0; l < d; l++)
        memcpy(s->x + l * n, x + l * all, (size_t)n * sizeof *x);
    atn_monomials_of(&s->block, s->x, n, s->stack, u);
}

static void weigh(scratch *s, atn_idx n)
{
    for (int r = 0; r < s->block.n; r++)
        for (atn_idx i = 0; i < n; i++) s->u[r * n + i] *= s->weight[r];
}

static void sum_keys(const job *j, scratch *s)
{
    const atn_tensor *t = j->t;

    for (int k = 0; k < t->keys; k++)
        for (atn_idx from = 0; from < t->nk; from += TOKENS) {
            const atn_idx n = ATN_MIN((atn_idx)TOKENS, t->nk - from);
            const atn_cwide u = {s->u, s->block.n, n, n};
            const atn_cwide v = {j->v[k] + from * j->width, n, j->width, j->width};

            monomials(s, j->k[k] + from, t->d, t->nk, n, s->u);
            atn_gemm_wide(ATN_AB, 1, u, v, from > 0,
                          (atn_wide){s->s[k], s->block.n, j->width, j->width});
        }
}

static void read_queries(const job *j, scratch *s, double *sum, double *part)
{
    const atn_tensor *t = j->t;
    const atn_idx size = s->block.n * j->width;

    for (atn_idx i = 0; i < size; i++) {
        s->h[i] = s->s[0][i];
        for (int k = 1; k < t->keys; k++) s->h[i] *= s->s[k][i];
    }
    for (atn_idx from = 0; from < t->nq; from += TOKENS) {
        const atn_idx n = ATN_MIN((atn_idx)TOKENS, t->nq - from);

        monomials(s, j->q + from, t->d, t->nq, n, s->u);
        weigh(s, n);
        atn_gemm_wide(ATN_ATB, 1, (atn_cwide){s->u, s->block.n, n, n},
                      (atn_cwide){s->h, s->block.n, j->width, j->width}, 1,
                      (atn_wide){sum + from * j->width, n, j->width, j->width});
        for (int r = 0; r < s->block.n; r++)
            for (atn_idx i = 0; i < n; i++)
                part[from + i] += fabs(s->u[r * n + i] * s->h[r * j->width + t->dv]);
    }
}

static ATN_CLONES void add_row(double a, const double *x, atn_idx n, double *y)
{
    for (atn_idx l = 0; l < n; l++) y[l] += a * x[l];
}

static ATN_CLONES void times_row(const double *x, atn_idx n, double *y)
{
    for (atn_idx l = 0; l < n; l++) y[l] *= x[l];
}

/* A token at a time: keys i into the states, then what query i reads. */
static void token(const job *j, scratch *s, atn_idx i, atn_idx n, double *sum,
                  double *part)
{
    const atn_tensor *t = j->t;
    const atn_idx w = j->width, at = i % TOKENS;
    const atn_idx size = R * (atn_idx)TOKENS;

    for (int r = 0; r < s->block.n; r++) {
        double *h = s->h;
        double a;

        for (int k = 0; k < t->keys; k++) {
            double *state = s->s[k] + r * w;

            add_row(s->u[(k + 1) * size + r * n + at], j->v[k] + i * w, w, state);
            if (k == 0)
                memcpy(h, state, (size_t)w * sizeof *h);
            else
                times_row(state, w, h);
        }
        a = s->u[r * n + at];
        add_row(a, h, w, sum + i * w);
        part[i] += fabs(a * h[t->dv]);
    }
}

static void causal(const job *j, scratch *s, double *sum, double *part)
{
    const atn_tensor *t = j->t;

    for (int k = 0; k < t->keys; k++)
        memset(s->s[k], 0, (size_t)(s->block.n * j->width) * sizeof(double));
    for (atn_idx from = 0; from < t->nq; from += TOKENS) {
        const atn_idx n = ATN_MIN((atn_idx)TOKENS, t->nq - from);

        monomials(s, j->q + from, t->d, t->nq, n, s->u);
        weigh(s, n);
        for (int k = 0; k < t->keys; k++)
            monomials(s, j->k[k] + from, t->d, t->nk, n,
                      s->u + (k + 1) * (atn_idx)R * TOKENS);
        for (atn_idx i = from; i < from + n; i++) token(j, s, i, n, sum, part);
    }
}

static atn_status take(atn_ctx *cx, const job *j, scratch *s)
{
    const atn_idx n = ATN_MIN((atn_idx)TOKENS, ATN_MAX(j->t->nq, j->t->nk));
    const atn_idx sets = j->t->causal ? j->t->keys + 1 : 1;
    atn_status st = ATN_OK;

    ATN_TAKE(s->u, sets * R * TOKENS);
    ATN_TAKE(s->stack, ATN_DEGREE_MOST * n);
    ATN_TAKE(s->x, j->t->d * n);
    ATN_TAKE(s->h, R * j->width);
    for (int k = 0; k < j->t->keys; k++) ATN_TAKE(s->s[k], R * j->width);
done:
    return st;
}

static atn_status group(atn_ctx *cx, atn_idx g, void *state)
{
    const job *j = state;
    const atn_tensor *t = j->t;
    const atn_arena_mark mark = atn_arena_save(cx);
    double *sum = j->sum + g * t->nq * j->width, *part = j->part + g * t->nq;
    atn_monomials walk = {.d = t->d, .degree = j->degree};
    scratch *s = NULL;
    double at = 0;
    atn_status st = ATN_OK;

    ATN_TAKE(s, 1);
    ATN_TRY(take(cx, j, s));
    while (at < (double)g * j->per_group && atn_monomials_next(&walk)) at++;
    for (;;) {
        const double left = (double)(g + 1) * j->per_group - at;

        if (left < 1) break;
        atn_monomials_block(&walk, left < R ? (atn_idx)left : R, &s->block);
        if (s->block.n == 0) break;
        at += s->block.n;
        for (int r = 0; r < s->block.n; r++)
            s->weight[r] = atn_monomial_weight(&s->block, r, t->scale);
        if (t->causal) {
            causal(j, s, sum, part);
        } else {
            sum_keys(j, s);
            read_queries(j, s, sum, part);
        }
        ATN_TRY(atn_stopped(cx, "tensor features"));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* out [cols, rows] <- x [rows, cols] */
static void turned(atn_reals x, atn_idx rows, atn_idx cols, double *out)
{
    for (atn_idx i = 0; i < rows; i++)
        for (atn_idx l = 0; l < cols; l++)
            out[l * rows + i] = atn_real_at(x, i * cols + l);
}

static atn_status prepare(atn_ctx *cx, job *j)
{
    const atn_tensor *t = j->t;
    atn_status st = ATN_OK;

    ATN_TAKE(j->q, t->nq * t->d);
    turned(t->q, t->nq, t->d, j->q);
    for (int k = 0; k < t->keys; k++) {
        ATN_TAKE(j->k[k], t->nk * t->d);
        turned(t->k[k], t->nk, t->d, j->k[k]);
        ATN_TAKE(j->v[k], t->nk * j->width);
        for (atn_idx i = 0; i < t->nk; i++) {
            for (atn_idx l = 0; l < t->dv; l++)
                j->v[k][i * j->width + l] = atn_real_at(t->v[k], i * t->dv + l);
            j->v[k][i * j->width + t->dv] = 1;
        }
    }
    ATN_TAKE(j->sum, GROUPS * t->nq * j->width);
    ATN_TAKE(j->part, GROUPS * t->nq);
    memset(j->sum, 0, (size_t)(GROUPS * t->nq * j->width) * sizeof *j->sum);
    memset(j->part, 0, (size_t)(GROUPS * t->nq) * sizeof *j->part);
done:
    return st;
}

/* Row i of all groups becomes the output. */
static atn_status divide(atn_ctx *cx, const job *j, atn_idx i, double *o,
                         int64_t *vanished)
{
    const atn_tensor *t = j->t;
    double *sum = j->sum + i * j->width, part = 0, den;

    for (int g = 1; g < GROUPS; g++)
        for (atn_idx l = 0; l < j->width; l++)
            sum[l] += j->sum[(g * t->nq + i) * j->width + l];
    for (int g = 0; g < GROUPS; g++) part += j->part[g * t->nq + i];
    den = sum[t->dv];
    if (t->has_null) {
        den += exp(t->null_logit);
        part += exp(t->null_logit);
    }
    if (!isfinite(part))
        return atn_fail(
            cx, ATN_DATA, __FILE__, __LINE__,
            "tensor: monomials of query %lld are beyond the range of double "
            "(give a smaller --degree, or scale the inputs)",
            (long long)i);
    if (fabs(den) < 1e-12 * part || den == 0) ++*vanished;
    for (atn_idx l = 0; l < t->dv; l++) o[l] = den == 0 ? 0 : sum[l] / den;
    return ATN_OK;
}

atn_status atn_tensor_features(atn_ctx *cx, const atn_tensor *t, int degree, double *o,
                               int64_t *vanished)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    job j = {.t = t,
             .degree = degree,
             .features = atn_monomials_count(t->d, degree),
             .width = t->dv + 1};
    int64_t counted = 0;
    atn_status st = ATN_OK;

    ATN_ASSERT(!t->causal || (t->offset == 0 && t->nq == t->nk));
    ATN_ASSERT(degree >= 0 && degree <= ATN_DEGREE_MOST && t->d <= ATN_MONOMIALS_WIDE);
    j.per_group = ceil(ceil(j.features / GROUPS) / R) * R;
    ATN_TRY(prepare(cx, &j));
    ATN_TRY(atn_parallel(cx, GROUPS, group, &j, "tensor features"));
    for (atn_idx i = 0; i < t->nq; i++)
        ATN_TRY(divide(cx, &j, i, o + i * t->dv, &counted));
    if (vanished) *vanished = counted;
done:
    atn_arena_rewind(cx, mark);
    return st;
}

double atn_tensor_features_bytes(const atn_ctx *cx, const atn_tensor *t)
{
    const double w = (double)(t->dv + 1), keys = t->keys;
    const double n = (double)ATN_MIN((atn_idx)TOKENS, ATN_MAX(t->nq, t->nk));
    const double shared = (double)t->nq * (double)t->d +
                          keys * (double)t->nk * ((double)t->d + w) +
                          GROUPS * (double)t->nq * (w + 1);
    const double each = (t->causal ? keys + 1 : 1) * R * TOKENS +
                        n * (ATN_DEGREE_MOST + (double)t->d) + R * w * (keys + 1);

    return 8 * (shared + (double)cx->threads * each) +
           (double)cx->threads * sizeof(scratch) + 0x1p16;
}

double atn_tensor_features_flops(const atn_tensor *t, double features)
{
    const double nq = (double)t->nq, tokens = nq + t->keys * (double)t->nk;

    return features * ((2 * tokens + t->keys) * (double)t->dv + 4 * nq);
}

/* Do features cost less, with n keys and as many queries a key as t has? */
static bool pays(const atn_tensor *t, double features, double n)
{
    const double scaled = n / (double)ATN_MAX(t->nk, 1);
    atn_tensor at = *t;

    at.nk = (atn_idx)n;
    at.nq = (atn_idx)fmin(fmax(1, round(scaled * (double)t->nq)), 0x1p60);
    at.offset = (atn_idx)fmin(fmax(-0x1p60, round(scaled * (double)t->offset)), 0x1p60);
    return atn_tensor_features_flops(&at, features) < atn_tensor_exact_flops(&at);
}

double atn_tensor_break_even(const atn_tensor *t, double features)
{
    const double all = t->causal ? t->keys + 1 : 1; /* tuples, for one that is seen */
    const double tokens = 1 + t->keys * (double)t->nk / (double)ATN_MAX(t->nq, 1);
    const double dv = (double)t->dv, width = (double)t->d + dv;
    double lo = 0, hi = 1;

    while (hi < 0x1p50 && !pays(t, features, hi)) lo = hi, hi *= 2;
    if (hi >= 0x1p50) /* what is of the highest order in n */
        return pow(all * features * (tokens * dv + 2) / width, 1.0 / t->keys);
    while (hi - lo > 1) {
        const double mid = floor((lo + hi) / 2);

        if (pays(t, features, mid))
            hi = mid;
        else
            lo = mid;
    }
    return hi;
}
