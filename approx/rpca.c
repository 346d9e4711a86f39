/* approx/rpca.c -- robust principal components of the weights.
 *
 * Math    approx/rpca.h; numbers > 0: of L the best of rank numbers / 4, and of P less
 *         that the numbers / 2 largest of every row, so that it can be compared at equal
 *         budget. Hidden keys have no weight in the end.
 * Oracle  approx/rpca.h.
 * Source  Candes, Li, Ma, Wright 2011; dganguli/robust-pca; card 22.
 * Cost    up to 1000 steps of about 9 n^3 flop, hence the limit of 1024 tokens.
 * Limits  attention is neither incoherent nor are its entries random: what the theorem
 *         promises is not promised here. numbers = 0: rank and entries are what comes
 *         of it.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/rpca.h"

#include <math.h>
#include <string.h>

#include "approx/alternate.h"
#include "core/linalg.h"

typedef struct rpca {
    double factor;
    int64_t steps, numbers, most;
    bool mask;
} rpca;

static const atn_param params[] = {
    ATN_PARAM_F64(rpca, factor, 1, 1e-3, 1e3, "of lambda = 1 / sqrt(tokens)"),
    ATN_PARAM_I64(rpca, steps, ATN_RPCA_STEPS, 1, 10000, "steps at most"),
    ATN_PARAM_I64(rpca, numbers, 0, 0, 1 << 20,
                  "stored a row: half of them entries, a quarter the rank; 0 = as many "
                  "as it finds"),
    ATN_PARAM_I64(rpca, most, 1024, 1, ATN_STORED_MOST, "tokens at most"),
    ATN_PARAM_BOOL(rpca, mask, 1, "cut off what falls on hidden keys"),
    ATN_PARAM_END,
};

/* ---- the decomposition ---- */

typedef struct pursuit {
    const double *a;
    atn_idx m, n, r; /* r = min(m, n) */
    double mu, lambda;
    double *y, *x;      /* [m, n] */
    double *gram, *val; /* [r, r], [r] */
    double *half;       /* [max(m, n), r] */
} pursuit;

/* x'x, or x x' where that is smaller: its eigenvectors are singular vectors of x, the
 * roots of its eigenvalues singular values. */
static atn_status singular(atn_ctx *cx, const pursuit *p)
{
    const atn_idx r = p->r;
    atn_status st = ATN_OK;

    memset(p->gram, 0, (size_t)(r * r) * sizeof *p->gram);
    atn_gram_add(p->m < p->n, p->x, p->m < p->n ? p->n : p->m, p->r, p->gram);
    for (atn_idx i = 0; i < r; i++)
        for (atn_idx j = 0; j < i; j++) p->gram[j * r + i] = p->gram[i * r + j];
    ATN_TRY(atn_eigenvectors(cx, p->gram, r, p->val));
done:
    return st;
}

/* l <- x with singular values shrunk by 1 / mu; how many are left. */
static atn_idx shrink_rank(const pursuit *p, double *l)
{
    const atn_idx m = p->m, n = p->n, r = p->r;
    atn_idx first = r;
    double *v, *h = p->half;

    while (first > 0 && sqrt(fmax(p->val[first - 1], 0)) > 1 / p->mu) first--;
    v = p->gram + first * r;
    memset(l, 0, (size_t)(m * n) * sizeof *l);
    if (first == r) return 0;
    if (m < n) /* L = sum f u (u'x) */
        atn_gemm_wide(ATN_AB, 1, (atn_cwide){v, r - first, r, r},
                      (atn_cwide){p->x, m, n, n}, 0, (atn_wide){h, r - first, n, n});
    else /* L = sum f (x v) v' */
        atn_gemm_wide(ATN_ABT, 1, (atn_cwide){v, r - first, r, r},
                      (atn_cwide){p->x, m, n, n}, 0, (atn_wide){h, r - first, m, m});
    for (atn_idx k = first; k < r; k++) {
        const double f = 1 - 1 / (p->mu * sqrt(p->val[k]));
        const atn_idx cols = m < n ? n : m;

        for (atn_idx c = 0; c < cols; c++) h[(k - first) * cols + c] *= f;
    }
    if (m < n)
        atn_gemm_wide(ATN_ATB, 1, (atn_cwide){v, r - first, r, r},
                      (atn_cwide){h, r - first, n, n}, 0, (atn_wide){l, m, n, n});
    else
        atn_gemm_wide(ATN_ATB, 1, (atn_cwide){h, r - first, m, m},
                      (atn_cwide){v, r - first, r, r}, 0, (atn_wide){l, m, n, n});
    return r - first;
}

/* The entries, the multipliers; the square of the residual. */
static double shrink_entries(const pursuit *p, atn_rpca *out)
{
    const double by = p->lambda / p->mu;
    double left = 0;

    out->entries = 0;
    for (atn_idx e = 0; e < p->m * p->n; e++) {
        const double x = p->a[e] - out->l[e] + p->y[e] / p->mu;
        const double rest = fabs(x) - by;
        double gap;

        out->s[e] = rest > 0 ? copysign(rest, x) : 0;
        out->entries += out->s[e] != 0;
        gap = p->a[e] - out->l[e] - out->s[e];
        p->y[e] += p->mu * gap;
        left += gap * gap;
    }
    return left;
}

static atn_status pursue(atn_ctx *cx, pursuit *p, double norm, atn_rpca *out)
{
    const atn_idx all = p->m * p->n;
    atn_status st = ATN_OK;

    for (out->taken = 1;; out->taken++) {
        for (atn_idx e = 0; e < all; e++)
            p->x[e] = p->a[e] - out->s[e] + p->y[e] / p->mu;
        ATN_TRY(singular(cx, p));
        out->rank = shrink_rank(p, out->l);
        out->residual = sqrt(shrink_entries(p, out)) / norm;
        if (out->residual <= 1e-7 || out->taken == out->steps) break;
        ATN_TRY(atn_progress(cx, "robust principal components", (double)out->taken,
                             (double)out->steps));
    }
done:
    return st;
}

atn_status atn_rpca_run(atn_ctx *cx, const double *a, atn_idx m, atn_idx n,
                        atn_rpca *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    pursuit p = {.a = a, .m = m, .n = n, .r = ATN_MIN(m, n)};
    double sum = 0, squares = 0;
    atn_status st = ATN_OK;

    out->taken = out->rank = out->entries = 0;
    out->residual = 0;
    for (atn_idx e = 0; e < m * n; e++) {
        sum += fabs(a[e]);
        squares += a[e] * a[e];
        out->l[e] = out->s[e] = 0;
    }
    if (!(sum > 0)) goto done;
    p.mu = (double)m * (double)n / (4 * sum);
    p.lambda = out->factor / sqrt((double)ATN_MAX(m, n));
    ATN_TAKE(p.y, m * n);
    ATN_TAKE(p.x, m * n);
    ATN_TAKE(p.gram, p.r * p.r);
    ATN_TAKE(p.val, p.r);
    ATN_TAKE(p.half, p.r * ATN_MAX(m, n));
    memset(p.y, 0, (size_t)(m * n) * sizeof *p.y);
    ATN_TRY(pursue(cx, &p, sqrt(squares), out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

double atn_rpca_bytes(atn_idx m, atn_idx n)
{
    const double all = (double)m * (double)n, r = (double)ATN_MIN(m, n);

    return sizeof(double) * (2 * all + r * r + r + r * (double)ATN_MAX(m, n)) + 5 * 64 +
           atn_eigenvectors_bytes((atn_idx)r);
}

/* ---- the method ---- */

atn_status atn_rpca_parts(atn_ctx *cx, const atn_head *h, const double *p,
                          atn_rpca *found, atn_idx numbers, bool mask, atn_factors *f)
{
    const atn_idx most = ATN_MIN(h->nq, h->nk), nq = h->nq, nk = h->nk;
    const atn_idx rank = numbers > 0 ? ATN_MIN(numbers / 4, most) : found->rank;
    atn_status st = ATN_OK;

    ATN_TRY(atn_factors_open(cx, h, rank, mask, f));
    if (rank > 0)
        ATN_TRY(atn_lowrank_dense(
            cx, found->l, &(atn_lowrank){nq, nk, rank, f->block->u, f->block->v}));
    if (numbers > 0) {
        memcpy(found->s, p, (size_t)(nq * nk) * sizeof *p);
        if (rank > 0)
            atn_gemm_wide(ATN_ABT, -1, (atn_cwide){f->block->u, nq, rank, rank},
                          (atn_cwide){f->block->v, nk, rank, rank}, 1,
                          (atn_wide){found->s, nq, nk, nk});
        ATN_TRY(
            atn_keep_rows(cx, h, found->s, ATN_MIN(numbers / 2, nk), mask, found->s));
    }
    ATN_TRY(atn_factors_take(cx, found->s, f));
done:
    return st;
}

static double needs(const atn_ctx *cx, const rpca *t, const atn_head *h)
{
    const double all = (double)h->nq * (double)h->nk;
    const double r = (double)ATN_MIN(h->nq, h->nk);

    (void)t;
    return atn_weights_store_bytes(cx, h) +
           sizeof(double) * (3 * all + r * (double)(h->nq + h->nk)) + 12 * all +
           8 * (double)(h->nq + 1) + atn_rpca_bytes(h->nq, h->nk) +
           atn_lowrank_dense_bytes(h->nq, h->nk) +
           (double)cx->threads * 16 * (double)(h->nk + 32);
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const rpca *t = params_;
    const atn_head *h = &in->head[first];
    const double nq = (double)h->nq, nk = (double)h->nk;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_rpca found = {.factor = t->factor, .steps = t->steps};
    atn_status st = ATN_OK;
    atn_factors f = {0};
    double *p = NULL;

    (void)n;
    if (ATN_MAX(h->nq, h->nk) > t->most)
        ATN_FAIL(ATN_USAGE,
                 "rpca: layer %d has %lld tokens, and a step is cubic in them (give "
                 "most=%lld to wait for it, or fewer tokens)",
                 h->layer, (long long)ATN_MAX(h->nq, h->nk),
                 (long long)ATN_MAX(h->nq, h->nk));
    ATN_TRY(atn_mem_check(cx, needs(cx, t, h), "robust principal components"));
    ATN_TAKE(p, h->nq * h->nk);
    ATN_TAKE(found.l, h->nq * h->nk);
    ATN_TAKE(found.s, h->nq * h->nk);
    ATN_TRY(atn_weights_store(cx, h, p));
    ATN_TRY(atn_rpca_run(cx, p, h->nq, h->nk, &found));
    ATN_TRY(atn_rpca_parts(cx, h, p, &found, t->numbers, t->mask, &f));
    ATN_TRY(atn_factors_plan(cx, h, &f, out));
    out->index_flops = 2 * (double)h->q.cols * atn_visible_pairs(h) +
                       9 * (double)found.taken * nq * nk * ATN_MIN(nq, nk);
    out->index_bytes = ATN_COST_BYTES * (nq + nk) * (double)h->q.cols;
    atn_log(
        cx, ATN_LOG_DEBUG,
        "rpca: layer %d, head %d: rank %lld, %lld entries, residual %.3g after %lld "
        "steps",
        h->layer, h->head, (long long)found.rank, (long long)found.entries,
        found.residual, (long long)found.taken);
done:
    atn_factors_release(cx, &f);
    atn_arena_rewind(cx, mark);
    return st;
}

static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    return ATN_METHOD_LITTLE + needs(cx, params_, &in->head[0]);
}

const atn_method atn_method_rpca = {
    .id = "rpca",
    .title = "Robust principal components (oracle)",
    .family = "oracle",
    .source = "Candes, Li, Ma, Wright 2011; dganguli/robust-pca",
    .text = "a low rank and few entries, by convex relaxation",
    .reads = ATN_READS_WEIGHTS | ATN_READS_STORED,
    .oracle = atn_always,
    .sides = ATN_BOTH_WAYS,
    .params = params,
    .params_size = sizeof(rpca),
    .weights = ATN_WEIGHTS_SIGNED | ATN_WEIGHTS_FREE,
    .looks = atn_looks_ahead,
    .plan = plan,
    .bytes = bytes,
};
