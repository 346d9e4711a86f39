/* tests/analysis/approx_twin.h -- what a plan loses on a head, by definition in double:
 * loops of its own over dense matrices. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "dense_heads.h"

#include "analysis/approx_compare.h"
#include "core/plan.h"

enum { TWIN_WIDTH = 7 };

/* A head without its padding, and what is dense about it. */
typedef struct twin {
    dense_head x;
    atn_head h;
    atn_idx row0, key0;
    double *a; /* [nq, nk] rows shared out over the keys; zeros where there are none */
    double *share; /* [nq] */
    double *o;     /* [nq, dv] */
    float *w_o;    /* [dv, TWIN_WIDTH] */
} twin;

static inline twin twin_make(dense_kind kind, atn_idx n, int trial)
{
    twin t = {.x = make_dense(kind, n, trial)};
    atn_rng r = atn_rng_stream(9, "test/twin", trial, kind);
    atn_idx nq, nk;

    t.h = atn_head_trim(&t.x.h, &t.row0);
    t.key0 = t.x.h.sight.key_first;
    nq = t.h.nq;
    nk = t.h.nk;
    t.a = calloc((size_t)(nq * nk + 1), sizeof *t.a);
    t.share = calloc((size_t)nq + 1, sizeof *t.share);
    t.o = calloc((size_t)(nq * DENSE_DV + 1), sizeof *t.o);
    t.w_o = calloc(DENSE_DV * TWIN_WIDTH, sizeof *t.w_o);
    for (int i = 0; i < DENSE_DV * TWIN_WIDTH; i++)
        t.w_o[i] = (float)atn_rng_normal(&r);
    for (atn_idx i = 0; i < nq; i++) {
        const double *p = t.x.p + (i + t.row0) * t.x.h.nk + t.key0;
        double sum = 0;

        for (atn_idx j = 0; j < nk; j++) sum += p[j];
        t.share[i] = kind == DENSE_GIVEN || sum == 0 ? 1 : sum;
        for (atn_idx j = 0; j < nk && sum > 0; j++) {
            t.a[i * nk + j] = p[j] / sum;
            for (int c = 0; c < DENSE_DV; c++)
                t.o[i * DENSE_DV + c] +=
                    t.share[i] * t.a[i * nk + j] * (double)t.h.v.data[j * DENSE_DV + c];
        }
    }
    return t;
}

static inline void twin_drop(twin *t)
{
    drop_dense(&t->x);
    free(t->a);
    free(t->share);
    free(t->o);
    free(t->w_o);
}

static inline bool twin_sees(const twin *t, atn_idx i, atn_idx j)
{
    return t->x.sees[(i + t->row0) * t->x.h.nk + j + t->key0];
}

/* The row gives weight to a key. */
static inline bool twin_counts(const twin *t, atn_idx i)
{
    for (atn_idx j = 0; j < t->h.nk; j++)
        if (t->a[i * t->h.nk + j] > 0) return true;
    return false;
}

static inline double twin_norm(const double *x, atn_idx n)
{
    double sum = 0;

    for (atn_idx c = 0; c < n; c++) sum += x[c] * x[c];
    return sqrt(sum);
}

static inline double twin_norm_behind(const twin *t, const double *x)
{
    double y[TWIN_WIDTH] = {0};

    for (int c = 0; c < DENSE_DV; c++)
        for (int e = 0; e < TWIN_WIDTH; e++)
            y[e] += x[c] * (double)t->w_o[c * TWIN_WIDTH + e];
    return twin_norm(y, TWIN_WIDTH);
}

/* Is key j among the k of largest weight of row i? Weights are compared as the float32
 * they are computed in, where they are given; others differ. */
static inline bool twin_top(const twin *t, atn_idx i, atn_idx j, atn_idx k)
{
    const double *a = t->a + i * t->h.nk;
    atn_idx before = 0;

    if (!twin_sees(t, i, j)) return false;
    for (atn_idx l = 0; l < t->h.nk; l++)
        before += twin_sees(t, i, l) && (a[l] > a[j] || (a[l] == a[j] && l < j));
    return before < k;
}

/* A row of weights b [nk] over the keys (sum any), and the output o [dv]. */
typedef struct twin_row {
    double *b, *o;
} twin_row;

typedef struct twin_sums {
    double value[ATN_APPROX_VALUES];
    double mass[128], weight[128];
    atn_idx n;
} twin_sums;

static inline int twin_by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Adds the weights of row i: the square of what they are off and of their size, and the
 * entropies. */
typedef struct twin_weights {
    double off, size, entropy, share, all, many;
} twin_weights;

static inline void twin_add_weights(const twin *t, const double *b, atn_idx i, double w,
                                    twin_weights *x)
{
    const double *a = t->a + i * t->h.nk;
    double entropy = 0;
    atn_idx seen = 0;

    for (atn_idx j = 0; j < t->h.nk; j++) {
        seen += twin_sees(t, i, j);
        x->off += w * pow(b[i * t->h.nk + j] - t->share[i] * a[j], 2);
        x->size += w * pow(t->share[i] * a[j], 2);
        entropy -= a[j] > 0 ? a[j] * log(a[j]) : 0;
    }
    x->all += w;
    x->entropy += w * entropy;
    if (seen < 2) return;
    x->many += w;
    x->share += w * entropy / log((double)seen);
}

/* Rows [n] of the head (weights NULL = each counts once) of a plan whose weights are b
 * [nq, nk] and outputs o [nq, dv]; keep says which keys have an entry. Long because one
 * loop over the rows has every column's definition, side by side. */
static inline void twin_values(const twin *t, const bool *keep, const double *b,
                               const double *o, bool mask, const atn_idx *rows,
                               const double *weights, atn_idx n, atn_idx top_k,
                               double *v)
{
    double w_all = 0, w_kl = 0, e2 = 0, s2 = 0, e2w = 0, s2w = 0, sorted[256];
    const atn_idx nk = t->h.nk;
    twin_weights matrix = {0};
    atn_idx counted = 0;

    for (int k = 0; k < ATN_APPROX_VALUES; k++) v[k] = 0;
    v[ATN_APPROX_SLACK] = INFINITY;
    for (atn_idx r = 0; r < n; r++) {
        const atn_idx i = rows ? rows[r] : r;
        const double w = weights ? weights[r] : 1, *a = t->a + i * nk;
        double m = 0, kl = 0, sum = 0, off[DENSE_DV], most = 0, size, bound;
        atn_idx top = 0, hits = 0;

        if (!twin_counts(t, i)) continue;
        w_all += w;
        twin_add_weights(t, b, i, w, &matrix);
        for (atn_idx j = 0; j < nk; j++) {
            const bool in = keep[i * nk + j] && twin_sees(t, i, j);

            if (in) m += a[j];
            sum += b[i * nk + j];
            if (twin_top(t, i, j, top_k)) {
                top++;
                hits += in;
            }
            if (twin_sees(t, i, j) && !in) {
                double x[DENSE_DV];

                for (int c = 0; c < DENSE_DV; c++)
                    x[c] = (double)t->h.v.data[j * DENSE_DV + c];
                most = fmax(most, twin_norm(x, DENSE_DV));
            }
        }
        for (atn_idx j = 0; j < nk; j++)
            if (b[i * nk + j] > 0)
                kl += b[i * nk + j] / sum * log(b[i * nk + j] / sum / a[j]);
        if (sum > 0) {
            w_kl += w;
            v[ATN_APPROX_KL] += w * kl;
        }
        for (int c = 0; c < DENSE_DV; c++)
            off[c] = t->o[i * DENSE_DV + c] - o[i * DENSE_DV + c];
        sorted[counted++] = m;
        v[ATN_APPROX_MASS] += w * m;
        v[ATN_APPROX_RECALL] += w * (double)hits / (double)top;
        v[ATN_APPROX_ROW_SUM] += w * sum;
        v[ATN_APPROX_ERROR_ABSOLUTE] += w * twin_norm(off, DENSE_DV);
        v[ATN_APPROX_ERROR_W_O_ABSOLUTE] += w * twin_norm_behind(t, off);
        e2 += w * pow(twin_norm(off, DENSE_DV), 2);
        s2 += w * pow(twin_norm(t->o + i * DENSE_DV, DENSE_DV), 2);
        e2w += w * pow(twin_norm_behind(t, off), 2);
        s2w += w * pow(twin_norm_behind(t, t->o + i * DENSE_DV), 2);
        size = twin_norm(o + i * DENSE_DV, DENSE_DV);
        bound = t->share[i] * (1 - m) * (most + size);
        v[ATN_APPROX_BOUND] += w * bound;
        v[ATN_APPROX_SLACK] =
            fmin(v[ATN_APPROX_SLACK], bound - twin_norm(off, DENSE_DV));
    }
    v[ATN_APPROX_KL] /= w_kl;
    v[ATN_APPROX_MASS] /= w_all;
    v[ATN_APPROX_RECALL] /= w_all;
    v[ATN_APPROX_ROW_SUM] /= w_all;
    v[ATN_APPROX_ERROR_ABSOLUTE] /= w_all;
    v[ATN_APPROX_ERROR_W_O_ABSOLUTE] /= w_all;
    v[ATN_APPROX_BOUND] /= w_all;
    v[ATN_APPROX_MATRIX] = sqrt(matrix.off / matrix.size);
    v[ATN_APPROX_ENTROPY] = matrix.entropy / matrix.all;
    v[ATN_APPROX_ENTROPY_SHARE] = matrix.share / matrix.many;
    v[ATN_APPROX_ERROR] = sqrt(e2 / s2);
    v[ATN_APPROX_ERROR_W_O] = sqrt(e2w / s2w);
    qsort(sorted, (size_t)counted, sizeof *sorted, twin_by_size);
    for (int q = 0; q < 2 && counted > 0; q++) {
        const double at = (q ? .05 : .01) * (double)(counted - 1);
        const atn_idx lo = (atn_idx)at, hi = lo + 1 < counted ? lo + 1 : lo;

        v[q ? ATN_APPROX_MASS_Q05 : ATN_APPROX_MASS_Q01] =
            sorted[lo] + (at - (double)lo) * (sorted[hi] - sorted[lo]);
    }
    if (mask)
        v[ATN_APPROX_ROW_SUM] = NAN;
    else
        v[ATN_APPROX_BOUND] = v[ATN_APPROX_SLACK] = NAN;
}
