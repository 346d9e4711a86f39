/* tests/approx/decomposed.h -- what tests of the decompositions share: heads that are
 * given as a matrix, weights of a plan, and its output against them. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/apply.h"
#include "tests/approx/zoo.h"

/* A head whose P is x, and random values; the mask hides nothing. */
static inline void given_head(zoo *z, float *x, atn_idx nq, atn_idx nk)
{
    zoo_random(z, 1, 1, nq, nk, 5);
    zoo_causal(z, false);
    z->head[0].sight.offset = 0;
    z->head[0].p = (atn_cmat){x, nq, nk, nk};
    z->head[0].q = z->head[0].k = (atn_cmat){0};
}

/* w [nq, nk] of head 0, and apply against them. Returns numbers a row. */
static inline double decompose(atn_ctx *cx, const zoo *z, const char *spec, double *w)
{
    const atn_head *h = &z->head[0];
    const atn_idx dv = h->v.cols;
    atn_plan plan[ZOO_HEADS_MOST];
    const atn_idx n = zoo_plan(cx, z, spec, 0, plan);
    float *o = zoo_floats(h->nq * dv);
    double numbers;
    atn_cost cost;

    CHECK_OK(atn_plan_rows(cx, h, &plan[0], 0, h->nq, w));
    CHECK_OK(
        atn_plan_apply(cx, h, &plan[0], (atn_mat){o, h->nq, dv, dv}, NULL, "applying"));
    for (atn_idx i = 0; i < h->nq; i++)
        for (atn_idx c = 0; c < dv; c++) {
            double want = 0;

            for (atn_idx j = 0; j < h->nk; j++)
                want += w[i * h->nk + j] * (double)atn_crow(h->v, j)[c];
            CHECK_NEAR(o[i * dv + c], want, 2e-6 * (1 + fabs(want)));
        }
    CHECK_OK(atn_plan_cost(cx, h, &plan[0], &cost));
    numbers = plan[0].numbers > 0 ? plan[0].numbers : cost.kept / (double)h->nq;
    zoo_release(cx, plan, n);
    free(o);
    return numbers;
}

/* |a - b|_F */
static inline double apart(const double *a, const double *b, atn_idx n)
{
    double sum = 0;

    for (atn_idx e = 0; e < n; e++)
        sum += (a[e] - (b ? b[e] : 0)) * (a[e] - (b ? b[e] : 0));
    return sqrt(sum);
}

/* Dense weights of head 0. */
static inline void dense_rows(const zoo *z, double *p)
{
    for (atn_idx i = 0; i < z->head[0].nq; i++)
        zoo_dense(z, 0, i, p + i * z->head[0].nk);
}

/* Singular values of a [m, n] by Jacobi's rotations of columns, descending: s [n],
 * m >= n. a is overwritten. */
static inline void jacobi_values(double *a, int m, int n, double *s)
{
    for (int sweep = 0; sweep < 60; sweep++)
        for (int p = 0; p < n; p++)
            for (int q = p + 1; q < n; q++) {
                double x = 0, y = 0, z = 0, t, c, g;

                for (int i = 0; i < m; i++) {
                    x += a[i * n + p] * a[i * n + p];
                    y += a[i * n + q] * a[i * n + q];
                    z += a[i * n + p] * a[i * n + q];
                }
                if (fabs(z) <= 1e-300) continue;
                g = (y - x) / (2 * z);
                t = (g >= 0 ? 1 : -1) / (fabs(g) + sqrt(1 + g * g));
                c = 1 / sqrt(1 + t * t);
                for (int i = 0; i < m; i++) {
                    const double u = a[i * n + p], v = a[i * n + q];

                    a[i * n + p] = c * (u - t * v);
                    a[i * n + q] = c * (t * u + v);
                }
            }
    for (int p = 0; p < n; p++) {
        double x = 0;

        for (int i = 0; i < m; i++) x += a[i * n + p] * a[i * n + p];
        s[p] = sqrt(x);
    }
    for (int p = 0; p < n; p++)
        for (int q = p + 1; q < n; q++)
            if (s[q] > s[p]) {
                const double x = s[p];

                s[p] = s[q];
                s[q] = x;
            }
}
