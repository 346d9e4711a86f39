/* analysis/experiments/compressed_keys.c -- keys of a lower rank: weights and logits.
 *
 * Math    theory/perturbation.c. Q = U S X', M = K X S, B_r its first r right singular
 *         vectors: K^ = M B_r B_r' S^+ X', which is svd_r(K W) W^-1 of W = X S X'.
 *         Beside it the best keys of rank r whatever queries there are, K C_r C_r'.
 *         sigma(Q K')^2 are the eigenvalues of L' Q'Q L with L L' = K'K, a road of its
 *         own. r = d / 8, d / 4, d / 2.
 * Cost    3 + 3 products of queries and keys, singular values of nq x d and nk x d.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/experiments/perturbed.h"
#include "analysis/experiments/worst.h"
#include "approx/method.h"
#include "core/linalg.h"
#include "core/rows.h"
#include "core/svd.h"

extern const atn_experiment atn_experiment_compressed_keys;

enum { ROWS = 16 };

typedef struct asking {
    const atn_head_facts *f;
    const atn_bound *weights;
    double *down, *up; /* [d, m], [m, d]: K^ = K down B_r B_r' up */
    double *basis;     /* [m, m] B', rows by singular value */
    atn_idx m;
    double *sigma;      /* [d] of Q K' */
    double *keys, *off; /* [nk, d] K^, K^ - K */
    atn_worst *worst;   /* [tasks] */
    double *square;     /* [tasks] of Q dK' */
} asking;

static double dot(const double *x, const double *y, atn_idx n)
{
    double sum = 0;

    for (atn_idx e = 0; e < n; e++) sum += x[e] * y[e];
    return sum;
}

/* sigma [d] <- singular values of Q K', by way of Gram matrices. */
static atn_status find_sigma(atn_ctx *cx, asking *s)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_head_facts *f = s->f;
    const atn_idx d = f->d;
    double *g = NULL, *l = NULL, *gl = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(g, d * d);
    ATN_TAKE(l, d * d);
    ATN_TAKE(gl, d * d);
    atn_gemm_wide(ATN_ATB, 1, (atn_cwide){f->q, f->nq, d, d},
                  (atn_cwide){f->q, f->nq, d, d}, 0, (atn_wide){g, d, d, d});
    atn_gemm_wide(ATN_ATB, 1, (atn_cwide){f->k, f->nk, d, d},
                  (atn_cwide){f->k, f->nk, d, d}, 0, (atn_wide){l, d, d, d});
    atn_cholesky_half(l, d);
    atn_gemm_wide(ATN_AB, 1, (atn_cwide){g, d, d, d}, (atn_cwide){l, d, d, d}, 0,
                  (atn_wide){gl, d, d, d});
    atn_gemm_wide(ATN_ATB, 1, (atn_cwide){l, d, d, d}, (atn_cwide){gl, d, d, d}, 0,
                  (atn_wide){g, d, d, d});
    ATN_TRY(atn_eigenvalues(cx, g, d, gl));
    for (atn_idx e = 0; e < d; e++) s->sigma[e] = sqrt(fmax(gl[d - 1 - e], 0));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* x [rows, n] -> its singular values and the right vectors, m = min(rows, n). */
static atn_status right_vectors(atn_ctx *cx, const double *x, atn_idx rows, atn_idx n,
                                double *sigma, double *vt)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *a = NULL, *u = NULL;

    ATN_TAKE(a, rows * n);
    ATN_TAKE(u, rows * ATN_MIN(rows, n));
    memcpy(a, x, (size_t)(rows * n) * sizeof *a);
    ATN_TRY(atn_svd(cx, a, rows, n, sigma, u, vt));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* How queries use keys: down = X S, up = S^+ X', basis of K down. */
static atn_status weigh_by_queries(atn_ctx *cx, asking *s)
{
    const atn_head_facts *f = s->f;
    const atn_idx d = f->d, m = ATN_MIN(f->nq, d), r = ATN_MIN(f->nk, m);
    const atn_arena_mark mark = atn_arena_save(cx);
    double *sigma = NULL, *xt = NULL, *product = NULL, *of = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(sigma, m);
    ATN_TAKE(xt, m * d);
    ATN_TAKE(product, f->nk * m);
    ATN_TAKE(of, m);
    ATN_TRY(right_vectors(cx, f->q, f->nq, d, sigma, xt));
    for (atn_idx k = 0; k < m; k++) {
        const bool none = !(sigma[k] > 1e-13 * sigma[0]);

        for (atn_idx e = 0; e < d; e++) {
            s->down[e * m + k] = none ? 0 : xt[k * d + e] * sigma[k];
            s->up[k * d + e] = none ? 0 : xt[k * d + e] / sigma[k];
        }
    }
    s->m = m;
    memset(s->basis, 0, (size_t)(m * m) * sizeof *s->basis);
    atn_gemm_wide(ATN_AB, 1, (atn_cwide){f->k, f->nk, d, d},
                  (atn_cwide){s->down, d, m, m}, 0, (atn_wide){product, f->nk, m, m});
    if (r > 0) ATN_TRY(right_vectors(cx, product, f->nk, m, of, s->basis));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* The same of keys alone: down and up are the identity. */
static atn_status weigh_alike(atn_ctx *cx, asking *s)
{
    const atn_idx d = s->f->d;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *sigma = NULL;

    ATN_TAKE(sigma, d);
    memset(s->down, 0, (size_t)(d * d) * sizeof *s->down);
    memset(s->up, 0, (size_t)(d * d) * sizeof *s->up);
    memset(s->basis, 0, (size_t)(d * d) * sizeof *s->basis);
    for (atn_idx e = 0; e < d; e++) s->down[e * d + e] = s->up[e * d + e] = 1;
    s->m = d;
    ATN_TRY(right_vectors(cx, s->f->k, s->f->nk, d, sigma, s->basis));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* K^ of rank r, and what it is off. */
static atn_status cut_keys(atn_ctx *cx, asking *s, atn_idx r)
{
    const atn_head_facts *f = s->f;
    const atn_idx d = f->d, m = s->m;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *a = NULL, *b = NULL;

    ATN_TAKE(a, f->nk * m);
    ATN_TAKE(b, f->nk * r);
    atn_gemm_wide(ATN_AB, 1, (atn_cwide){f->k, f->nk, d, d},
                  (atn_cwide){s->down, d, m, m}, 0, (atn_wide){a, f->nk, m, m});
    atn_gemm_wide(ATN_ABT, 1, (atn_cwide){a, f->nk, m, m},
                  (atn_cwide){s->basis, r, m, m}, 0, (atn_wide){b, f->nk, r, r});
    atn_gemm_wide(ATN_AB, 1, (atn_cwide){b, f->nk, r, r},
                  (atn_cwide){s->basis, r, m, m}, 0, (atn_wide){a, f->nk, m, m});
    atn_gemm_wide(ATN_AB, 1, (atn_cwide){a, f->nk, m, m}, (atn_cwide){s->up, m, d, d},
                  0, (atn_wide){s->keys, f->nk, d, d});
    for (atn_idx e = 0; e < f->nk * d; e++) s->off[e] = s->keys[e] - f->k[e];
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status check_rows(atn_ctx *cx, atn_idx task, void *state)
{
    const asking *s = state;
    const atn_head_facts *f = s->f;
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx first = task * ROWS, n = ATN_MIN(ROWS, f->nq - first);
    atn_status st = ATN_OK;
    double *y = NULL, *w = NULL;

    ATN_TAKE(y, n * f->nk);
    ATN_TAKE(w, f->nk);
    atn_gemm_wide(ATN_ABT, 1, (atn_cwide){f->q + first * f->d, n, f->d, f->d},
                  (atn_cwide){s->off, f->nk, f->d, f->d}, 0,
                  (atn_wide){y, n, f->nk, f->nk});
    s->square[task] = dot(y, y, n * f->nk);
    atn_perturbed_logits(f, f->q, s->keys, first, n, y);
    for (atn_idx i = first; i < first + n; i++) {
        const double *z = f->s + i * f->nk, *p = f->p + i * f->nk;
        atn_perturbed c;
        atn_idx lo, hi;

        atn_sight_row(&f->head.sight, i, &lo, &hi);
        if (isnan(f->lse[i])) continue;
        c = atn_perturbed_row(z + lo, p + lo, y + (i - first) * f->nk + lo, hi - lo, w);
        atn_worst_take(&s->worst[task], s->weights->relation,
                       atn_bound_predict(s->weights, &(atn_quantities){.x = {c.delta}}),
                       c.variation, 1);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Keys of rank r: the error of the logits is what the bound says. */
static atn_status check_rank(atn_ctx *cx, asking *s, atn_idx r, const atn_bound *b,
                             const char *text, atn_checks *out)
{
    const atn_idx tasks = (s->f->nq + ROWS - 1) / ROWS, d = s->f->d;
    const atn_quantities q = {
        .x = {0, (double)r}, .list = {s->sigma}, .n = {(size_t)d}};
    atn_check c = {.bound = b}, w;
    atn_status st = ATN_OK;

    ATN_TRY(cut_keys(cx, s, r));
    memset(s->worst, 0, (size_t)(tasks + 1) * sizeof *s->worst);
    ATN_TRY(atn_parallel(cx, tasks, check_rows, s, "keys"));
    for (atn_idx k = 0; k < tasks; k++) {
        if (k > 0) atn_worst_join(&s->worst[0], &s->worst[k]);
        c.measured += s->square[k];
    }
    c.predicted = atn_bound_predict(c.bound, &q);
    c.scale = dot(s->sigma, s->sigma, d);
    snprintf(c.variant, sizeof c.variant, "%s, rank %lld of %lld", text, (long long)r,
             (long long)d);
    snprintf(c.note, sizeof c.note, "relative to the logits %.4g",
             c.scale > 0 ? sqrt(c.measured / c.scale) : 0);
    w = atn_worst_check(&s->worst[0], s->weights, c.variant);
    ATN_TRY(atn_checks_add(cx, out, &w));
    ATN_TRY(atn_checks_add(cx, out, &c));
done:
    return st;
}

static atn_status check_ranks(atn_ctx *cx, asking *s, const atn_bound *b,
                              const char *text, atn_checks *out)
{
    atn_status st = ATN_OK;

    for (atn_idx by = 8; by > 1; by /= 2)
        if (s->f->d >= by && s->f->d / by <= ATN_MIN(s->m, s->f->nk))
            ATN_TRY(check_rank(cx, s, s->f->d / by, b, text, out));
done:
    return st;
}

static atn_status head(atn_ctx *cx, const atn_trial_head *t, atn_checks *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_head_facts *f = t->facts;
    const atn_idx d = f->d, tasks = (f->nq + ROWS - 1) / ROWS;
    asking s = {.f = f, .weights = &atn_bound_compressed_keys};
    atn_status st = ATN_OK;

    ATN_TAKE(s.down, d * d);
    ATN_TAKE(s.up, d * d);
    ATN_TAKE(s.basis, d * d);
    ATN_TAKE(s.sigma, d);
    ATN_TAKE(s.keys, f->nk * d);
    ATN_TAKE(s.off, f->nk * d);
    ATN_TAKE(s.worst, tasks + 1);
    ATN_TAKE(s.square, tasks + 1);
    ATN_TRY(find_sigma(cx, &s));
    ATN_TRY(weigh_by_queries(cx, &s));
    ATN_TRY(check_ranks(cx, &s, &atn_bound_compressed_keys_error, "by queries", out));
    ATN_TRY(weigh_alike(cx, &s));
    ATN_TRY(check_ranks(cx, &s, &atn_bound_compressed_keys_floor, "keys alone", out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_experiment atn_experiment_compressed_keys = {
    .id = "compressed_keys",
    .label = "V2",
    .title = "Keys of a lower rank",
    .text = "weights and logits of keys cut to a rank, by how queries use them and by "
            "themselves",
    .source = "own derivation; Eckart, Young, Mirsky",
    .qk = true,
    .sides = ATN_BOTH_WAYS,
    .head = head,
    .bounds = "compressed_keys compressed_keys_error compressed_keys_floor",
};
