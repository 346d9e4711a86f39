/* tests/approx/operator_twin.h -- methods that are no choice of keys against weights
 * that a test computes by loops of its own, over small layers with corners. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/apply.h"
#include "tests/approx/block_cases.h"

/* Fills w [nq, nk], zeroed, of a head. */
typedef void twin_weights(const zoo *z, atn_idx head, const void *p, double *w);

static inline double twin_dot(const float *a, const float *b, atn_idx n)
{
    double sum = 0;

    for (atn_idx e = 0; e < n; e++) sum += (double)a[e] * (double)b[e];
    return sum;
}

/* o [nq, dv] of an operator in double, else of the executor. */
static inline void twin_apply(atn_ctx *cx, const atn_head *h, const atn_plan *p,
                              double *o)
{
    const atn_idx nq = h->nq, dv = h->v.cols;
    float *out = zoo_floats(nq * dv);

    CHECK_OK(atn_plan_apply(cx, h, p, (atn_mat){out, nq, dv, dv}, NULL, "test"));
    for (atn_idx e = 0; e < nq * dv; e++) o[e] = (double)out[e];
    if (p->op.kind) CHECK_OK(p->op.kind->apply(cx, h, p->op.state, o, "test"));
    for (atn_idx e = 0; e < nq * dv; e++)
        CHECK_NEAR(o[e], out[e], 1e-6 * (1 + fabs(o[e])));
    free(out);
}

/* Rows of a plan are w within `tolerance` of the largest, outputs w v. */
static inline void twin_compare(atn_ctx *cx, const zoo *z, atn_idx head,
                                const atn_plan *p, const double *w, double tolerance)
{
    const atn_head *h = &z->head[head];
    const atn_idx nq = h->nq, nk = h->nk, dv = h->v.cols;
    double *rows = malloc((size_t)(nq * nk) * sizeof *rows);
    double *o = malloc((size_t)(nq * dv) * sizeof *o), most = 1;

    CHECK_OK(atn_plan_rows(cx, h, p, 0, nq, rows));
    twin_apply(cx, h, p, o);
    for (atn_idx e = 0; e < nq * nk; e++) most = fmax(most, fabs(w[e]));
    for (atn_idx e = 0; e < nq * nk; e++)
        if (!(fabs(rows[e] - w[e]) <= tolerance * most))
            fail_msg("head %lld, row %lld, key %lld: %.12g, wanted %.12g",
                     (long long)head, (long long)(e / nk), (long long)(e % nk), rows[e],
                     w[e]);
    for (atn_idx i = 0; i < nq; i++)
        for (atn_idx c = 0; c < dv; c++) {
            double sum = 0;

            for (atn_idx j = 0; j < nk; j++)
                sum += w[i * nk + j] * (double)atn_crow(h->v, j)[c];
            CHECK_NEAR(o[i * dv + c], sum, tolerance * most * (double)nk);
        }
    free(rows);
    free(o);
}

/* All heads of a layer at this setting. */
static inline void twin_layer(atn_ctx *cx, const zoo *z, const char *spec,
                              twin_weights *weigh, const void *p, double tolerance)
{
    atn_plan plans[ZOO_HEADS_MOST];

    for (atn_idx head = 0; head < z->in.heads; head++) {
        const atn_head *h = &z->head[head];
        double *w = calloc((size_t)(h->nq * h->nk), sizeof *w);
        const atn_idx n = zoo_plan(cx, z, spec, head, plans);

        weigh(z, head, p, w);
        twin_compare(cx, z, head, &plans[0], w, tolerance);
        zoo_release(cx, plans, n);
        free(w);
    }
}

/* The same bits at 1 and 4 threads, weights and outputs. */
static inline void twin_threads(atn_ctx *cx, const zoo *z, const char *spec)
{
    const atn_head *h = &z->head[0];
    const size_t rows = (size_t)(h->nq * h->nk), outs = (size_t)(h->nq * h->v.cols);
    double *x[2];

    for (int k = 0; k < 2; k++) {
        atn_plan plans[ZOO_HEADS_MOST];
        atn_idx n;

        cx->threads = k == 0 ? 1 : 4;
        x[k] = calloc(rows + outs, sizeof *x[k]);
        n = zoo_plan(cx, z, spec, 0, plans);
        CHECK_OK(atn_plan_rows(cx, h, &plans[0], 0, h->nq, x[k]));
        twin_apply(cx, h, &plans[0], x[k] + rows);
        zoo_release(cx, plans, n);
    }
    CHECK(memcmp(x[0], x[1], (rows + outs) * sizeof *x[0]) == 0);
    free(x[0]);
    free(x[1]);
}

/* New keys, values and queries after row i of a causal layer change no row up to i. */
static inline void twin_causal(atn_ctx *cx, zoo *z, const char *spec)
{
    const atn_head *h = &z->head[0];
    const atn_idx cut = h->nk / 2, dv = h->v.cols;
    double *o[2];

    for (int k = 0; k < 2; k++) {
        atn_plan plans[ZOO_HEADS_MOST];
        const atn_idx n = zoo_plan(cx, z, spec, 0, plans);

        o[k] = malloc((size_t)(h->nq * dv) * sizeof **o);
        twin_apply(cx, h, &plans[0], o[k]);
        zoo_release(cx, plans, n);
        for (atn_idx e = (cut + 1) * h->k.cols; e < h->nk * h->k.cols; e++)
            z->k[e] = 1 - 2 * z->k[e];
        for (atn_idx e = (cut + 1) * h->q.cols; e < h->nq * h->q.cols; e++)
            z->q[e] = 2 - z->q[e];
        for (atn_idx e = (cut + 1) * dv; e < h->nk * dv; e++) z->v[e] += 5;
    }
    CHECK(memcmp(o[0], o[1], (size_t)((cut + 1) * dv) * sizeof **o) == 0);
    CHECK(memcmp(o[0], o[1], (size_t)(h->nq * dv) * sizeof **o) != 0);
    free(o[0]);
    free(o[1]);
}

/* Zero queries, equal keys, one large key, logits of 1e4, one token: planned and
 * applied with finite numbers, or refused in words. */
static inline void twin_degenerate(atn_ctx *cx, const char *id, const char *params,
                                   bool causal)
{
    for (int kind = 0; kind < 6; kind++) {
        const atn_idx n = kind == 4 ? 1 : 12;
        double o[12 * 5], w[12 * 12];
        atn_choice c;
        atn_plan p;
        atn_status st;
        zoo z;

        zoo_random(&z, 1, 1, n, n, 3);
        zoo_causal(&z, causal);
        for (int e = 0; e < n * 8; e++) {
            if (kind == 0) z.q[e] = 0;
            if (kind == 1) z.k[e] = (float)(e % 8);
            if (kind == 2) z.k[e] = e / 8 == 3 ? 40 : 0;
            if (kind == 3) z.q[e] *= 2e3F;
            if (kind == 3) z.k[e] *= 4;
            if (kind == 5) z.q[e] = z.k[e] = -3e3F;
        }
        CHECK_OK(atn_choice_read(cx, id, params, &c));
        st = atn_choice_plan(cx, &c, &z.in, 0, &p);
        if (st == ATN_OK) {
            twin_apply(cx, &z.head[0], &p, o);
            CHECK_OK(atn_plan_rows(cx, &z.head[0], &p, 0, n, w));
            for (int e = 0; e < n * 5; e++) CHECK(isfinite(o[e]));
            for (int e = 0; e < n * n; e++) CHECK(isfinite(w[e]));
            atn_plan_release(cx, &p);
        } else {
            CHECK((st == ATN_DATA || st == ATN_USAGE) && strstr(cx->err.text, id));
            atn_err_clear(cx);
        }
        zoo_free(&z);
    }
}
