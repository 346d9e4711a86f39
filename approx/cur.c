/* approx/cur.c -- skeleton: some columns and rows of the weights stand for all, chosen
 * by adaptive cross approximation.
 *
 * Math    R = P; row i = 0; step k: column j = argmax |R_ij|; u_k = R_:j / R_ij,
 *         v_k = R_i:; R <- R - u_k v_k'; next row = argmax |u_k| among unused ones.
 *         After r steps U V' = C G^-1 R of the chosen columns, rows and their crossing.
 *         Stops at rank r, or when |u_k| |v_k| <= eps |U V'|_F. A row whose residual is
 *         0 (1e-14 of the largest weight) is passed over for the next unused one.
 * Oracle  a matrix of rank r: exact after r steps; the chosen rows and columns are met
 *         exactly.
 * Source  Goreinov, Tyrtyshnikov; Bebendorf's partial pivoting; card 25.
 * Cost    r^2 n in place of r n^2: residuals are computed a row and a column at a time.
 *         Here the weights are stored, for it is an oracle.
 * Limits  equal entries: the lower index. Pivots are not of maximal volume, so the
 *         bound (r + 1) sigma_{r+1} is not promised.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "approx/lowrank.h"

typedef struct cur {
    int64_t rank;
    double eps;
    bool mask;
} cur;

static const atn_param params[] = {
    ATN_PARAM_I64(cur, rank, 16, 1, 1 << 20, "rows and columns taken"),
    ATN_PARAM_F64(cur, eps, 1e-14, 0, 1, "stop at a step of this share of the norm"),
    ATN_PARAM_BOOL(cur, mask, 1, "cut off what falls on hidden keys"),
    ATN_PARAM_END,
};

/* Of the largest entry. */
static const double ROUNDING = 1e-14;

typedef struct crossing {
    const double *p;
    atn_idx nq, nk, r; /* r steps are room for */
    double least;      /* what is below it is rounding */
    double *u, *v;     /* [r][nq], [r][nk] */
    bool *used;        /* [nq] */
} crossing;

/* Of x [n] the first of the largest |.| that is not used (NULL = all are free); -1. */
static atn_idx largest(const double *x, atn_idx n, const bool *used)
{
    atn_idx best = -1;

    for (atn_idx i = 0; i < n; i++)
        if (!(used && used[i]) && (best < 0 || fabs(x[i]) > fabs(x[best]))) best = i;
    return best;
}

static double largest_of(const double *x, atn_idx n)
{
    const atn_idx at = largest(x, n, NULL);

    return at < 0 ? 0 : fabs(x[at]);
}

static double product(const double *x, const double *y, atn_idx n)
{
    double sum = 0;

    for (atn_idx i = 0; i < n; i++) sum += x[i] * y[i];
    return sum;
}

/* The residual of row i after `steps`, into v; its largest column. */
static atn_idx residual_row(const crossing *c, atn_idx steps, atn_idx i, double *v)
{
    memcpy(v, c->p + i * c->nk, (size_t)c->nk * sizeof *v);
    for (atn_idx k = 0; k < steps; k++) {
        const double a = c->u[k * c->nq + i];

        for (atn_idx j = 0; j < c->nk; j++) v[j] -= a * c->v[k * c->nk + j];
    }
    return largest(v, c->nk, NULL);
}

static void residual_column(const crossing *c, atn_idx steps, atn_idx j, double pivot,
                            double *u)
{
    for (atn_idx i = 0; i < c->nq; i++) u[i] = c->p[i * c->nk + j];
    for (atn_idx k = 0; k < steps; k++) {
        const double a = c->v[k * c->nk + j];

        for (atn_idx i = 0; i < c->nq; i++) u[i] -= a * c->u[k * c->nq + i];
    }
    for (atn_idx i = 0; i < c->nq; i++) u[i] /= pivot;
}

/* |U V'|_F^2 grows by that of step k. */
static double grown(const crossing *c, atn_idx k, double size)
{
    const double *u = c->u + k * c->nq, *v = c->v + k * c->nk;
    double sum = size;

    for (atn_idx l = 0; l < k; l++)
        sum += 2 * product(u, c->u + l * c->nq, c->nq) *
               product(v, c->v + l * c->nk, c->nk);
    return sum;
}

/* Steps taken. */
static atn_idx cross(const crossing *c, double eps)
{
    double norm = 0; /* squared */
    atn_idx i = 0, k = 0, tried = 0;

    while (k < c->r && i >= 0 && tried++ < c->nq) {
        double *u = c->u + k * c->nq, *v = c->v + k * c->nk, step;
        const atn_idx j = residual_row(c, k, i, v);

        c->used[i] = true;
        if (!(fabs(v[j]) > c->least)) {
            i = -1;
            for (atn_idx f = 0; f < c->nq && i < 0; f++)
                if (!c->used[f]) i = f;
            continue;
        }
        residual_column(c, k, j, v[j], u);
        step = product(u, u, c->nq) * product(v, v, c->nk);
        norm = grown(c, k, norm + step);
        k++;
        if (step <= eps * eps * norm) break;
        i = largest(u, c->nq, c->used);
    }
    return k;
}

static atn_idx rank_of(const void *params_, const atn_head *h)
{
    const cur *t = params_;

    return ATN_MIN(t->rank, ATN_MIN(h->nq, h->nk));
}

static atn_status fill(atn_ctx *cx, const atn_head *h, const crossing *c, atn_idx rank,
                       bool mask, atn_factors *f)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_factors_open(cx, h, rank, mask, f));
    for (atn_idx k = 0; k < rank; k++) {
        for (atn_idx i = 0; i < h->nq; i++)
            f->block->u[i * rank + k] = c->u[k * h->nq + i];
        for (atn_idx j = 0; j < h->nk; j++)
            f->block->v[j * rank + k] = c->v[k * h->nk + j];
    }
done:
    return st;
}

static double needs(const atn_ctx *cx, const atn_head *h, atn_idx rank)
{
    return atn_weights_store_bytes(cx, h) +
           2 * sizeof(double) * (double)rank * (double)(h->nq + h->nk) + (double)h->nq;
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const cur *t = params_;
    const atn_head *h = &in->head[first];
    crossing c = {.nq = h->nq, .nk = h->nk, .r = rank_of(t, h)};
    const atn_arena_mark mark = atn_arena_save(cx);
    const double nq = (double)h->nq, nk = (double)h->nk;
    atn_status st = ATN_OK;
    atn_factors f = {0};
    double *p = NULL;
    atn_idx rank;

    (void)n;
    ATN_TRY(atn_mem_check(cx, needs(cx, h, c.r), "skeleton"));
    ATN_TAKE(p, h->nq * h->nk);
    ATN_TAKE(c.u, c.r * h->nq);
    ATN_TAKE(c.v, c.r * h->nk);
    ATN_TAKE(c.used, h->nq);
    memset(c.used, 0, (size_t)h->nq * sizeof *c.used);
    ATN_TRY(atn_weights_store(cx, h, p));
    c.p = p;
    c.least = ROUNDING * largest_of(p, h->nq * h->nk);
    rank = h->nk > 0 && h->nq > 0 ? cross(&c, t->eps) : 0;
    ATN_TRY(fill(cx, h, &c, rank, t->mask, &f));
    ATN_TRY(atn_factors_plan(cx, h, &f, out));
    out->index_flops = 2 * (double)h->q.cols * atn_visible_pairs(h) +
                       2 * (double)rank * (double)rank * (nq + nk);
    out->index_bytes = ATN_COST_BYTES * (nq + nk) * (double)h->q.cols;
done:
    atn_factors_release(cx, &f);
    atn_arena_rewind(cx, mark);
    return st;
}

/* At most: it may stop before. */
static bool spends(const void *params_, const atn_head *h, atn_spending *out)
{
    *out = atn_factors_spending(h, rank_of(params_, h));
    return true;
}

static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const atn_head *h = &in->head[0];

    return ATN_METHOD_LITTLE + needs(cx, h, rank_of(params_, h));
}

const atn_method atn_method_cur = {
    .id = "cur",
    .title = "Skeleton of rows and columns (oracle)",
    .family = "oracle",
    .source = "Goreinov, Tyrtyshnikov: maximal volume; Bebendorf: adaptive cross "
              "approximation",
    .text = "rows and columns of the weights that stand for all",
    .reads = ATN_READS_WEIGHTS | ATN_READS_STORED,
    .oracle = atn_always,
    .sides = ATN_BOTH_WAYS,
    .params = params,
    .params_size = sizeof(cur),
    .budget = "rank",
    .spends = spends,
    .weights = ATN_WEIGHTS_SIGNED | ATN_WEIGHTS_FREE,
    .rank = rank_of,
    .exact = "rank=#",
    .looks = atn_looks_ahead,
    .plan = plan,
    .bytes = bytes,
};
