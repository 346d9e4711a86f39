/* approx/lowrank.c -- stored weights, and truncated singular value decompositions. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/lowrank.h"

#include <string.h>

#include "core/linalg.h"
#include "core/products.h"
#include "core/svd.h"
#include "core/wide_rows.h"

/* ---- weights ---- */

typedef struct storing {
    const atn_head *h;
    double *p;
    atn_idx rows;
} storing;

static atn_status store_tile(atn_ctx *cx, atn_idx task, void *state)
{
    const storing *s = state;
    const atn_head *h = s->h;
    const atn_tile t = atn_tile_of(h, task * s->rows, s->rows);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *w = NULL, mass;

    ATN_TAKE(w, t.rows * t.keys);
    ATN_TRY(atn_wide_logits(cx, h, &t, w));
    for (atn_idx r = 0; r < t.rows; r++) {
        double *row = w + r * t.keys, *out = s->p + (t.first + r) * h->nk;
        atn_idx lo, hi;

        memset(out, 0, (size_t)h->nk * sizeof *out);
        atn_sight_row(&h->sight, t.first + r, &lo, &hi);
        if (lo >= hi) continue;
        row += lo - t.key0;
        ATN_TRY(atn_wide_softmax(cx, h, t.first + r, row, hi - lo, &mass));
        memcpy(out + lo, row, (size_t)(hi - lo) * sizeof *out);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_weights_store(atn_ctx *cx, const atn_head *h, double *p)
{
    storing s = {h, p, atn_wide_rows(h)};

    return atn_parallel(cx, (h->nq + s.rows - 1) / s.rows, store_tile, &s,
                        "storing weights");
}

double atn_weights_store_bytes(const atn_ctx *cx, const atn_head *h)
{
    return sizeof(double) * (double)h->nq * (double)h->nk +
           (double)cx->threads * (atn_wide_bytes(h) + 1024) + 128;
}

/* ---- dense ---- */

atn_idx atn_lowrank_directions(atn_idx nq, atn_idx nk, atn_idx rank)
{
    const atn_idx most = ATN_MIN(nq, nk);

    return rank > most - ATN_OVERSAMPLE ? most : rank + ATN_OVERSAMPLE;
}

/* Of s, u [m, from] and vt [from, n] the first ones. */
static void put(const atn_lowrank *out, const double *s, const double *u,
                const double *vt, atn_idx from)
{
    for (atn_idx k = 0; k < out->rank; k++) {
        for (atn_idx i = 0; i < out->m; i++)
            out->u[i * out->rank + k] = u[i * from + k] * s[k];
        for (atn_idx j = 0; j < out->n; j++)
            out->v[j * out->rank + k] = vt[k * out->n + j];
    }
}

atn_status atn_lowrank_dense(atn_ctx *cx, const double *a, const atn_lowrank *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx m = out->m, n = out->n, r = ATN_MIN(m, n);
    double *copy = NULL, *s = NULL, *u = NULL, *vt = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(copy, m * n);
    ATN_TAKE(s, r);
    ATN_TAKE(u, m * r);
    ATN_TAKE(vt, r * n);
    memcpy(copy, a, (size_t)(m * n) * sizeof *a);
    ATN_TRY(atn_svd(cx, copy, m, n, s, u, vt));
    put(out, s, u, vt, r);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

double atn_lowrank_dense_bytes(atn_idx m, atn_idx n)
{
    const double r = (double)ATN_MIN(m, n);

    return sizeof(double) * ((double)m * (double)n + r + r * (double)(m + n)) + 6 * 64 +
           atn_svd_bytes(m, n, true);
}

/* ---- random ---- */

/* y [l][m] <- the products of the matrix and x [l][n], and z [l][n] those of its
 * transpose and y; NULL = not wanted. */
typedef atn_status product(atn_ctx *cx, const void *matrix, const double *x, double *y,
                           double *z);

typedef struct dense {
    const double *a;
    atn_idx m, n, l;
} dense;

static atn_status multiply_dense(atn_ctx *cx, const void *matrix, const double *x,
                                 double *y, double *z)
{
    const dense *d = matrix;
    const atn_cwide a = {d->a, d->m, d->n, d->n}, by = {x, d->l, d->n, d->n};
    const atn_cwide again = {y, d->l, d->m, d->m};

    (void)cx;
    atn_gemm_wide(ATN_ABT, 1, by, a, 0, (atn_wide){y, d->l, d->m, d->m});
    if (z) atn_gemm_wide(ATN_AB, 1, again, a, 0, (atn_wide){z, d->l, d->n, d->n});
    return ATN_OK;
}

/* The best of Y X', y [l][m], x [l][n] orthonormal: Y' = R'Q with Q [l][m]
 * orthonormal, so the singular vectors are those of the small R. */
static atn_status finish(atn_ctx *cx, const double *y, const double *x, atn_idx l,
                         const atn_lowrank *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx m = out->m, n = out->n;
    double *q = NULL, *r = NULL, *s = NULL, *w = NULL, *wt = NULL, *u = NULL,
           *vt = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(q, l * m);
    ATN_TAKE(r, l * l);
    ATN_TAKE(s, l);
    ATN_TAKE(w, l * l);
    ATN_TAKE(wt, l * l);
    ATN_TAKE(u, m * l);
    ATN_TAKE(vt, l * n);
    memcpy(q, y, (size_t)(l * m) * sizeof *q);
    atn_orthonormalise(q, l, m);
    atn_gemm_wide(ATN_ABT, 1, (atn_cwide){q, l, m, m}, (atn_cwide){y, l, m, m}, 0,
                  (atn_wide){r, l, l, l});
    ATN_TRY(atn_svd(cx, r, l, l, s, w, wt));
    atn_gemm_wide(ATN_ATB, 1, (atn_cwide){q, l, m, m}, (atn_cwide){w, l, l, l}, 0,
                  (atn_wide){u, m, l, l});
    atn_gemm_wide(ATN_AB, 1, (atn_cwide){wt, l, l, l}, (atn_cwide){x, l, n, n}, 0,
                  (atn_wide){vt, l, n, n});
    put(out, s, u, vt, l);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status iterate(atn_ctx *cx, product *multiply, const void *matrix, double *x,
                          const atn_lowrank *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx l = atn_lowrank_directions(out->m, out->n, out->rank);
    double *y = NULL, *z = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(y, l * out->m);
    ATN_TAKE(z, l * out->n);
    for (int step = 0; step <= ATN_POWER; step++) {
        ATN_TRY(multiply(cx, matrix, x, y, z));
        atn_orthonormalise(z, l, out->n);
        memcpy(x, z, (size_t)(l * out->n) * sizeof *x);
    }
    ATN_TRY(multiply(cx, matrix, x, y, NULL));
    ATN_TRY(finish(cx, y, x, l, out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_lowrank_random(atn_ctx *cx, const double *a, double *x,
                              const atn_lowrank *out)
{
    const dense d = {a, out->m, out->n,
                     atn_lowrank_directions(out->m, out->n, out->rank)};

    return iterate(cx, multiply_dense, &d, x, out);
}

double atn_lowrank_random_bytes(atn_idx m, atn_idx n, atn_idx rank)
{
    const double l = (double)atn_lowrank_directions(m, n, rank);

    return sizeof(double) * (3 * l * (double)m + 2 * l * (double)n + 3 * l * l + l) +
           9 * 64 + atn_svd_bytes((atn_idx)l, (atn_idx)l, true);
}

/* ---- streamed ---- */

typedef struct streamed {
    const atn_head *h;
    atn_idx l;
    float *x, *y; /* [nk, l], [nq, l] */
    double *z;    /* [nk, l] */
} streamed;

static atn_status multiply_stream(atn_ctx *cx, const void *matrix, const double *x,
                                  double *y, double *z)
{
    const streamed *s = matrix;
    const atn_row_source rows = atn_row_source_of(s->h);
    const atn_product p = {.r = s->l, .x = s->x, .z = s->z, .y = s->y};
    const atn_idx nq = s->h->nq, nk = s->h->nk, l = s->l;
    atn_status st = ATN_OK;

    for (atn_idx j = 0; j < nk; j++)
        for (atn_idx k = 0; k < l; k++) s->x[j * l + k] = (float)x[k * nk + j];
    ATN_TRY(atn_product_run(cx, &rows, &p, "singular vectors"));
    for (atn_idx k = 0; k < l; k++) {
        for (atn_idx i = 0; i < nq; i++) y[k * nq + i] = (double)s->y[i * l + k];
        for (atn_idx j = 0; z && j < nk; j++) z[k * nk + j] = s->z[j * l + k];
    }
done:
    return st;
}

atn_status atn_lowrank_stream(atn_ctx *cx, const atn_head *h, double *x,
                              const atn_lowrank *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    streamed s = {.h = h, .l = atn_lowrank_directions(h->nq, h->nk, out->rank)};
    atn_status st = ATN_OK;

    ATN_TAKE(s.x, h->nk * s.l);
    ATN_TAKE(s.y, h->nq * s.l);
    ATN_TAKE(s.z, h->nk * s.l);
    ATN_TRY(iterate(cx, multiply_stream, &s, x, out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

double atn_lowrank_stream_bytes(const atn_head *h, atn_idx rank)
{
    const double l = (double)atn_lowrank_directions(h->nq, h->nk, rank);
    const atn_row_source rows = atn_row_source_of(h);

    return l * (sizeof(float) * (double)(h->nq + h->nk) +
                sizeof(double) * (double)h->nk) +
           192 + atn_product_bytes(&rows, (atn_idx)l) +
           atn_lowrank_random_bytes(h->nq, h->nk, rank);
}

atn_status atn_lowrank_draw(atn_ctx *cx, const atn_input *in, const atn_head *h,
                            const char *purpose, atn_idx rank, double *x)
{
    const atn_idx l = atn_lowrank_directions(h->nq, h->nk, rank);
    const atn_draw w = {.what = "directions",
                        .purpose = purpose,
                        .layer = h->layer,
                        .head = h->head,
                        .rows = l,
                        .cols = h->nk};
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    float *drawn = NULL;

    ATN_TAKE(drawn, l * h->nk);
    ATN_TRY(atn_draw_normal(cx, in->draws, in->seed, &w, drawn));
    for (atn_idx e = 0; e < l * h->nk; e++) x[e] = (double)drawn[e];
done:
    atn_arena_rewind(cx, mark);
    return st;
}
