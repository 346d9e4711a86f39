/* analysis/approx_dense.c -- what dense attention gives for one head. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/approx_dense.h"

#include <math.h>
#include <string.h>

#include "core/kernels/kernels.h"
#include "core/linalg.h"
#include "core/rows.h"

static void take_top(const atn_dense *d, atn_idx i, const float *w, atn_idx lo,
                     float *heap)
{
    const atn_idx n = d->seen[i], k = atn_dense_tops(d, i);
    int32_t *top = d->top + i * d->top_k;
    float least = -INFINITY;
    atn_idx equal = 0, found = 0;

    if (k < n) {
        least = atn_row_kth(w, n, k, heap);
        for (atn_idx j = 0; j < n; j++) equal -= w[j] > least;
        equal += k;
    }
    for (atn_idx j = 0; j < n && found < k; j++) {
        if (!(w[j] > least) && !(w[j] == least && equal-- > 0)) continue;
        top[found++] = (int32_t)(lo + j);
    }
}

/* Given weights become shares of their sum. */
static void share_out(const atn_dense *d, const atn_tile *t, const atn_row_info *info)
{
    for (atn_idx r = 0; r < t->rows; r++) {
        const double mass = info[r].mass;

        if (!(mass > 0)) continue;
        atn_row_scale(d->o + (t->first + r) * d->head.v.cols, d->head.v.cols,
                      (float)(1 / mass));
    }
}

static void outputs(const atn_dense *d, const atn_tile *t, atn_cmat p,
                    const atn_row_info *info)
{
    const atn_head *h = &d->head;
    const atn_mat o = {d->o + t->first * h->v.cols, t->rows, h->v.cols, h->v.cols};
    const atn_cmat w = {p.data, t->rows, t->keys, p.ld};
    const atn_cmat v = {atn_crow(h->v, t->key0), t->keys, h->v.cols, h->v.ld};

    if (t->keys == 0) {
        memset(o.data, 0, (size_t)(t->rows * o.cols) * sizeof *o.data);
        return;
    }
    atn_gemm(false, 1, w, v, 0, o);
    if (h->p.data) share_out(d, t, info);
}

static atn_status visit(atn_ctx *cx, const atn_head *h, const atn_tile *t, atn_cmat p,
                        const atn_row_info *info, void *state)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_dense *d = state;
    atn_status st = ATN_OK;
    float *heap = NULL;

    ATN_TAKE(heap, ATN_MIN(d->top_k, h->nk));
    for (atn_idx r = 0; r < t->rows; r++) {
        const atn_idx i = t->first + r, n = info[r].hi - info[r].lo;
        const float *w = atn_crow(p, r) + (info[r].lo - t->key0);

        d->seen[i] = n;
        d->lse[i] = n == 0 ? -INFINITY : h->p.data ? log(info[r].mass) : info[r].lse;
        d->entropy[i] = n == 0 ? NAN : info[r].entropy;
        d->share[i] = n > 0 && !h->p.data ? info[r].mass : 1;
        take_top(d, i, w, info[r].lo, heap);
    }
    if (d->o) outputs(d, t, p, info);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static double norm_of(const float *x, atn_idx n)
{
    return sqrt(atn_row_square(x, n));
}

static void reaches(atn_dense *d)
{
    const atn_head *h = &d->head;
    double most = 0;

    for (atn_idx j = 0; j < h->nk && h->k.data; j++)
        most = fmax(most, norm_of(atn_crow(h->k, j), h->k.cols));
    for (atn_idx i = 0; i < d->n; i++)
        d->reach[i] =
            h->q.data ? fabs(h->scale) * most * norm_of(atn_crow(h->q, i), h->q.cols)
                      : 0;
}

/* L of W_O W_O' [dv, dv], both in double until then. */
static atn_status take_half(atn_ctx *cx, const atn_dense_opts *o, atn_dense *d)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx dv = d->head.v.cols;
    atn_status st = ATN_OK;
    double *wide = NULL, *gram = NULL;

    ATN_NEW(d->half, dv * dv);
    ATN_TAKE(wide, dv * o->width);
    ATN_TAKE(gram, dv * dv);
    memset(gram, 0, (size_t)(dv * dv) * sizeof *gram);
    for (atn_idx i = 0; i < dv * o->width; i++) wide[i] = (double)o->w_o[i];
    atn_gram_add(true, wide, o->width, dv, gram);
    atn_cholesky_half(gram, dv);
    for (atn_idx i = 0; i < dv * dv; i++) d->half[i] = (float)gram[i];
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status take_values(atn_ctx *cx, const atn_dense_opts *o, atn_dense *d)
{
    const atn_cmat v = d->head.v;
    atn_status st = ATN_OK;

    if (!v.data) return ATN_OK;
    ATN_NEW(d->o, d->n * v.cols);
    ATN_NEW(d->norm, d->head.nk);
    for (atn_idx j = 0; j < d->head.nk; j++)
        d->norm[j] = (float)norm_of(atn_crow(v, j), v.cols);
    ATN_TRY(atn_range_max_init(cx, d->norm, d->head.nk, &d->largest));
    if (o->w_o) ATN_TRY(take_half(cx, o, d));
done:
    return st;
}

atn_status atn_dense_make(atn_ctx *cx, const atn_head *h, const atn_dense_opts *o,
                          atn_dense *out)
{
    atn_status st = ATN_OK;

    *out = (atn_dense){.head = *h,
                       .sample = o->sample,
                       .n = h->nq,
                       .matrix = o->matrix,
                       .top_k = ATN_MAX(o->top_k, 1)};
    if (o->sample) {
        out->n = o->sample->n;
        ATN_TRY(atn_head_sample(cx, h, o->sample->row, out->n, &out->head));
    }
    out->top_k = ATN_MAX(ATN_MIN(out->top_k, h->nk), 1);
    ATN_NEW(out->seen, out->n);
    ATN_NEW(out->lse, out->n);
    ATN_NEW(out->share, out->n);
    ATN_NEW(out->entropy, out->n);
    ATN_NEW(out->reach, out->n);
    ATN_NEW(out->top, out->n * out->top_k);
    ATN_TRY(take_values(cx, o, out));
    reaches(out);
    ATN_TRY(atn_rows_stream(cx, &out->head, 1, visit, out, "dense attention"));
done:
    return st;
}

void atn_dense_release(atn_ctx *cx, atn_dense *d)
{
    atn_free(cx, d->seen);
    atn_free(cx, d->lse);
    atn_free(cx, d->share);
    atn_free(cx, d->entropy);
    atn_free(cx, d->reach);
    atn_free(cx, d->top);
    atn_free(cx, d->o);
    atn_free(cx, d->norm);
    atn_range_max_release(cx, &d->largest);
    atn_free(cx, d->half);
    *d = (atn_dense){0};
}

double atn_dense_bytes(const atn_ctx *cx, const atn_head *h, const atn_dense_opts *o,
                       double *pass)
{
    const double n = (double)(o->sample ? o->sample->n : h->nq), nk = (double)h->nk;
    const double dv = h->v.data ? (double)h->v.cols : 0;
    const double top = fmin((double)o->top_k, nk);
    const double weights = o->w_o ? 1 : 0;
    double bytes = n * (5 * sizeof(double) + top * sizeof(int32_t));

    *pass = atn_rows_stream_bytes(cx, h, 1) + cx->threads * top * sizeof(float) +
            weights * (dv * (double)o->width + dv * dv) * sizeof(double);
    bytes += n * dv * sizeof(float) + weights * dv * dv * sizeof(float);
    if (dv > 0) bytes += nk * sizeof(float) + atn_range_max_bytes(h->nk);
    if (o->sample) bytes += n * (double)(h->p.data ? h->nk : h->q.cols) * sizeof(float);
    return bytes;
}
