/* approx/landmarks.c -- attention through landmarks, see the header.
 *
 * Keys go in shares (approx/shares.h), whose sums are added in order.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/landmarks.h"

#include <math.h>
#include <string.h>

#include "approx/shares.h"
#include "core/rows.h"

enum { TILE = ATN_SHARE_TILE };

void atn_landmarks_release(atn_ctx *cx, atn_landmarks *l)
{
    atn_free(cx, l->a);
    atn_free(cx, l->b);
    atn_free(cx, l->left);
    atn_free(cx, l->right);
    atn_free(cx, l->log_sum);
    *l = (atn_landmarks){0};
}

double atn_landmarks_executed(const atn_head *h, atn_idx m)
{
    const double d = (double)h->q.cols, dv = (double)h->v.cols, k = (double)m;

    return k * (double)(h->nq + h->nk) + k * k * dv / (d + dv);
}

atn_spending atn_landmarks_spending(const atn_head *h, atn_idx m)
{
    return (atn_spending){.numbers = 2 * (double)m,
                          .executed = atn_landmarks_executed(h, m)};
}

/* What a thread needs for a tile: rows of a head in double, and their entries. */
static double tile_bytes(const atn_ctx *cx, const atn_head *h, atn_idx m)
{
    const double rows = ATN_MIN((double)TILE, (double)ATN_MAX(h->nq, h->nk));

    return cx->threads *
           (rows * (double)(h->q.cols + h->v.cols + m) * sizeof(double) + 512);
}

double atn_landmarks_bytes(const atn_ctx *cx, const atn_head *h, atn_idx m)
{
    const double k = (double)m, d = (double)h->q.cols;

    return (2 * k * d + 2 * k * k + k) * sizeof(double) +
           2 * (double)atn_shares_of(h->nk) * k * sizeof(double) +
           tile_bytes(cx, h, m) + 4096;
}

/* ---- entries of F1 and F3, by products ---- */

/* Rows [first, first + n) of x. */
static atn_cmat some_rows(atn_cmat x, atn_idx first, atn_idx n)
{
    return (atn_cmat){atn_crow(x, first), n, x.cols, x.ld};
}

static void widen(atn_cmat x, double *out)
{
    for (atn_idx i = 0; i < x.rows; i++)
        for (atn_idx c = 0; c < x.cols; c++)
            out[i * x.cols + c] = (double)atn_crow(x, i)[c];
}

static double square(const double *x, atn_idx d)
{
    double sum = 0;

    for (atn_idx c = 0; c < d; c++) sum += x[c] * x[c];
    return sum;
}

/* out [x.rows, m] <- exponents of rows x and the landmarks y. */
static atn_status exponents(atn_ctx *cx, const atn_landmarks *l, double scale,
                            atn_cmat x, const double *y, double *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx n = x.rows, d = x.cols, m = l->m;
    double *wide = NULL, *half = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(wide, n * d);
    ATN_TAKE(half, m);
    widen(x, wide);
    atn_gemm_wide(ATN_ABT, scale, (atn_cwide){wide, n, d, d}, (atn_cwide){y, m, d, d},
                  0, (atn_wide){out, n, m, m});
    if (!l->gaussian) goto done;
    for (atn_idx v = 0; v < m; v++) half[v] = scale / 2 * square(y + v * d, d);
    for (atn_idx i = 0; i < n; i++) {
        const double own = scale / 2 * square(wide + i * d, d);

        for (atn_idx v = 0; v < m; v++)
            out[i * m + v] = ATN_MIN(out[i * m + v] - own - half[v], 0);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Exponents z [m] of a row of F1 become its entries. */
static void finish_left(const atn_landmarks *l, double *z)
{
    double max = 0, sum = 0;

    for (atn_idx v = 0; v < l->m; v++) max = v == 0 || z[v] > max ? z[v] : max;
    if (l->gaussian) max = 0;
    for (atn_idx v = 0; v < l->m; v++) sum += z[v] = exp(z[v] - max);
    for (atn_idx v = 0; !l->gaussian && v < l->m; v++) z[v] /= sum;
}

/* ---- sums of rows of F3 ---- */

typedef struct sums {
    const atn_head *h;
    const atn_landmarks *l;
    double *max, *sum; /* [shares, m] */
} sums;

static atn_status sum_share(atn_ctx *cx, atn_idx at, void *state)
{
    const sums *s = state;
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx m = s->l->m, keys = atn_share_keys(s->h->nk);
    const atn_idx end = ATN_MIN((at + 1) * keys, s->h->nk);
    double *max = s->max + at * m, *sum = s->sum + at * m, *z = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(z, ATN_MIN((atn_idx)TILE, s->h->nk) * m);
    for (atn_idx v = 0; v < m; v++) {
        max[v] = -INFINITY;
        sum[v] = 0;
    }
    for (atn_idx j = at * keys; j < end; j += TILE) {
        const atn_idx n = ATN_MIN((atn_idx)TILE, end - j);

        ATN_TRY(exponents(cx, s->l, s->h->scale, some_rows(s->h->k, j, n), s->l->a, z));
        for (atn_idx e = 0; e < n * m; e++) {
            const atn_idx v = e % m;

            if (z[e] > max[v]) {
                sum[v] *= exp(max[v] - z[e]);
                max[v] = z[e];
            }
            sum[v] += exp(z[e] - max[v]);
        }
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status make_log_sum(atn_ctx *cx, const atn_head *h, atn_landmarks *l)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx n = atn_shares_of(h->nk), m = l->m;
    sums s = {h, l, NULL, NULL};
    atn_status st = ATN_OK;

    ATN_NEW(l->log_sum, m);
    ATN_TAKE(s.max, n * m);
    ATN_TAKE(s.sum, n * m);
    ATN_TRY(atn_parallel(cx, n, sum_share, &s, "landmarks"));
    for (atn_idx v = 0; v < m; v++) {
        double max = -INFINITY, sum = 0;

        for (atn_idx c = 0; c < n; c++) max = ATN_MAX(max, s.max[c * m + v]);
        for (atn_idx c = 0; c < n; c++)
            sum += s.sum[c * m + v] * exp(s.max[c * m + v] - max);
        l->log_sum[v] = max + log(sum);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- the fast way ---- */

typedef struct pass {
    const atn_head *h;
    const atn_landmarks *l;
    double *part; /* [shares, m, dv] */
    double *g;    /* [m, dv] */
    double *o;    /* [nq, dv] */
} pass;

/* part of a share <- F3 V of its keys. */
static atn_status gather_share(atn_ctx *cx, atn_idx at, void *state)
{
    const pass *p = state;
    const atn_head *h = p->h;
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx m = p->l->m, dv = h->v.cols, keys = atn_share_keys(h->nk);
    const atn_idx end = ATN_MIN((at + 1) * keys, h->nk);
    double *part = p->part + at * m * dv, *z = NULL, *v = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(z, ATN_MIN((atn_idx)TILE, h->nk) * m);
    ATN_TAKE(v, ATN_MIN((atn_idx)TILE, h->nk) * dv);
    memset(part, 0, (size_t)(m * dv) * sizeof *part);
    for (atn_idx j = at * keys; j < end; j += TILE) {
        const atn_idx n = ATN_MIN((atn_idx)TILE, end - j);

        ATN_TRY(exponents(cx, p->l, h->scale, some_rows(h->k, j, n), p->l->a, z));
        for (atn_idx e = 0; e < n * m; e++)
            z[e] = exp(p->l->gaussian ? z[e] : z[e] - p->l->log_sum[e % m]);
        widen(some_rows(h->v, j, n), v);
        atn_gemm_wide(ATN_ATB, 1, (atn_cwide){z, n, m, m}, (atn_cwide){v, n, dv, dv}, 1,
                      (atn_wide){part, m, dv, dv});
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status give_tile(atn_ctx *cx, atn_idx at, void *state)
{
    const pass *p = state;
    const atn_head *h = p->h;
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx m = p->l->m, dv = h->v.cols, first = at * TILE;
    const atn_idx n = ATN_MIN((atn_idx)TILE, h->nq - first);
    atn_status st = ATN_OK;
    double *z = NULL;

    ATN_TAKE(z, n * m);
    ATN_TRY(exponents(cx, p->l, h->scale, some_rows(h->q, first, n), p->l->b, z));
    for (atn_idx i = 0; i < n; i++) finish_left(p->l, z + i * m);
    atn_gemm_wide(ATN_AB, 1, (atn_cwide){z, n, m, m}, (atn_cwide){p->g, m, dv, dv}, 0,
                  (atn_wide){p->o + first * dv, n, dv, dv});
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* g <- left right (sum of the parts). */
static atn_status join(atn_ctx *cx, const pass *p)
{
    const atn_landmarks *l = p->l;
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx m = l->m, dv = p->h->v.cols, r = l->r;
    double *sum = p->part, *half = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(half, r * dv);
    for (atn_idx c = 1; c < atn_shares_of(p->h->nk); c++)
        for (atn_idx e = 0; e < m * dv; e++) sum[e] += p->part[c * m * dv + e];
    atn_gemm_wide(ATN_AB, 1, (atn_cwide){l->right, r, m, m},
                  (atn_cwide){sum, m, dv, dv}, 0,
                  (atn_wide){l->left ? half : p->g, r, dv, dv});
    if (l->left)
        atn_gemm_wide(ATN_AB, 1, (atn_cwide){l->left, m, r, r},
                      (atn_cwide){half, r, dv, dv}, 0, (atn_wide){p->g, m, dv, dv});
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status apply(atn_ctx *cx, const atn_head *h, const void *state, double *o,
                        const char *what)
{
    const atn_landmarks *l = state;
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx dv = h->v.cols, shares = atn_shares_of(h->nk);
    pass p = {h, l, NULL, NULL, o};
    atn_status st = ATN_OK;

    memset(o, 0, (size_t)(h->nq * dv) * sizeof *o);
    if (l->m == 0 || l->r == 0 || shares == 0) return ATN_OK;
    ATN_TAKE(p.part, shares * l->m * dv);
    ATN_TAKE(p.g, l->m * dv);
    ATN_TRY(atn_parallel(cx, shares, gather_share, &p, what));
    ATN_TRY(join(cx, &p));
    ATN_TRY(atn_parallel(cx, (h->nq + TILE - 1) / TILE, give_tile, &p, what));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static double apply_bytes(const atn_ctx *cx, const atn_head *h, const void *state)
{
    const atn_landmarks *l = state;
    const double m = (double)l->m;

    return ((double)atn_shares_of(h->nk) + 2) * m * (double)h->v.cols * sizeof(double) +
           tile_bytes(cx, h, l->m) + cx->threads * m * sizeof(double) + 4096;
}

/* ---- the plain way ---- */

/* The exponent of x and landmark y: for Gaussian weights from their difference. */
static double exponent(const atn_landmarks *l, double scale, const float *x,
                       const double *y, atn_idx d)
{
    double sum = 0;

    for (atn_idx c = 0; c < d; c++) {
        const double at = (double)x[c], gap = at - y[c];

        sum += l->gaussian ? -gap * gap / 2 : at * y[c];
    }
    return scale * sum;
}

/* g [m] <- row i of F1 left right; f [m], t [r] are scratch. */
static void left_row(const atn_head *h, const atn_landmarks *l, atn_idx i, double *f,
                     double *t, double *g)
{
    const atn_idx m = l->m, d = h->q.cols;

    for (atn_idx v = 0; v < m; v++)
        f[v] = exponent(l, h->scale, atn_crow(h->q, i), l->b + v * d, d);
    finish_left(l, f);
    for (atn_idx k = 0; k < l->r; k++) {
        t[k] = l->left ? 0 : f[k];
        for (atn_idx v = 0; l->left && v < m; v++) t[k] += f[v] * l->left[v * l->r + k];
    }
    for (atn_idx v = 0; v < m; v++) g[v] = 0;
    for (atn_idx k = 0; k < l->r; k++)
        for (atn_idx v = 0; v < m; v++) g[v] += t[k] * l->right[k * m + v];
}

static atn_status rows(atn_ctx *cx, const atn_head *h, const void *state, atn_idx first,
                       atn_idx n, double *w)
{
    const atn_landmarks *l = state;
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx m = l->m, d = h->k.cols;
    double *f = NULL, *t = NULL, *g = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(f, m);
    ATN_TAKE(t, m);
    ATN_TAKE(g, n * m);
    for (atn_idx i = 0; i < n; i++) left_row(h, l, first + i, f, t, g + i * m);
    for (atn_idx j = 0; j < h->nk; j++) {
        for (atn_idx v = 0; v < m; v++) {
            const double z = exponent(l, h->scale, atn_crow(h->k, j), l->a + v * d, d);

            f[v] = exp(l->gaussian ? z : z - l->log_sum[v]);
        }
        for (atn_idx i = 0; i < n; i++) {
            double sum = 0;

            for (atn_idx v = 0; v < m; v++) sum += g[i * m + v] * f[v];
            w[i * h->nk + j] = sum;
        }
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- */

static void release(atn_ctx *cx, void *state)
{
    if (state) atn_landmarks_release(cx, state);
    atn_free(cx, state);
}

static const atn_operator_kind kind = {
    .id = "landmarks",
    .apply = apply,
    .rows = rows,
    .bytes = apply_bytes,
    .release = release,
};

atn_status atn_landmarks_plan(atn_ctx *cx, const atn_head *h, atn_landmarks *l,
                              atn_plan *p)
{
    const double numbers = 2 * (double)l->m;
    atn_operator op = {.kind = &kind, .executed = atn_landmarks_executed(h, l->m)};
    atn_status st = ATN_OK;
    atn_landmarks *own = NULL;

    if (!l->gaussian) ATN_TRY(make_log_sum(cx, h, l));
    ATN_NEW(own, 1);
    *own = *l;
    *l = (atn_landmarks){0};
    op.state = own;
    atn_plan_operator(p, &op, numbers);
done:
    atn_landmarks_release(cx, l);
    return st;
}
