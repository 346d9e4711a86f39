/* ShiftAddViT's binary codes: the golden row, a dense twin, what is counted. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/low_rank.h"

enum { MOST = 48 };

/* Codes of x [n, d] into bit [n][8]. */
static void codes(const double *x, int n, int d, int bit[MOST][8])
{
    double unit[MOST][8], mean = 0;

    for (int i = 0; i < n; i++) {
        double length = 0;

        for (int c = 0; c < d; c++) length += x[i * d + c] * x[i * d + c];
        length = sqrt(length);
        for (int c = 0; c < d; c++) {
            unit[i][c] = length > 0 ? x[i * d + c] / length : 0;
            mean += unit[i][c] / (n * d);
        }
    }
    for (int i = 0; i < n; i++)
        for (int c = 0; c < d; c++) bit[i][c] = unit[i][c] > mean;
}

/* o [nq, dv] and w [nq, nk]; how many ones there are. The own key of query i is
 * i + nk - nq. */
static int twin(const double *q, const double *k, const double *v, const int *size,
                double *o, double *w)
{
    const int nq = size[0], nk = size[1], d = size[2], dv = size[3];
    static int a[MOST][8], b[MOST][8];
    int ones = 0;

    codes(q, nq, d, a);
    codes(k, nk, d, b);
    for (int i = 0; i < nq; i++) {
        double length = 0;

        for (int j = 0; j < nk; j++) {
            int of_a = 0, of_b = 0, apart = 0;

            for (int c = 0; c < d; c++) {
                of_a += a[i][c];
                of_b += b[j][c];
                apart += a[i][c] != b[j][c];
            }
            /* the product of codes by their Hamming distance */
            w[i * nk + j] =
                (of_a + of_b - apart) / 2 / acos(-1) + (j == i + nk - nq ? .5 : 0);
        }
        for (int c = 0; c < dv; c++) {
            o[i * dv + c] = 0;
            for (int j = 0; j < nk; j++) o[i * dv + c] += w[i * nk + j] * v[j * dv + c];
            length += o[i * dv + c] * o[i * dv + c];
        }
        length = sqrt(length);
        for (int c = 0; c < dv; c++) o[i * dv + c] /= length > 0 ? length : 1;
        for (int j = 0; j < nk; j++) w[i * nk + j] *= length > 0 ? 1 / length : 0;
        for (int c = 0; c < d; c++) ones += a[i][c];
    }
    for (int j = 0; j < nk; j++)
        for (int c = 0; c < d; c++) ones += b[j][c];
    return ones;
}

/* 18 ones of queries, 21 of keys, 4 numbers a value: 156 additions. */
static void golden(atn_ctx *cx)
{
    static const int size[] = {8, 8, 4, 4};
    const g8 x = g8_exact();
    atn_plan plans[ZOO_HEADS_MOST];
    double o[32], w[64], mine[64];
    atn_cost cost;
    zoo z;

    CHECK_EQ(twin(x.q[0], x.k[0], x.v[0], size, o, mine), 39);
    g8_check("shiftadd", o, 1e-9);
    g8_zoo(&z, false);
    g8_run(cx, &z, "shiftadd", o, w);
    g8_check("shiftadd", o, 2e-5);
    for (int e = 0; e < 64; e++) CHECK_NEAR(w[e], mine[e], 1e-6);
    low_exactly(cx, &z, "shiftadd");
    zoo_plan(cx, &z, "shiftadd", 0, plans);
    CHECK_OK(atn_plan_cost(cx, &z.head[0], &plans[0], &cost));
    CHECK_NEAR(cost.flops, 156, 1e-9);
    zoo_release(cx, plans, 1);
    zoo_free(&z);
}

static void against_twin(atn_ctx *cx)
{
    for (int trial = 0; trial < 20; trial++) {
        const int nk = 5 + 2 * trial, nq = trial % 2 ? nk : 1 + trial;
        const int size[] = {nq, nk, 8, 5};
        static double q[MOST * 8], k[MOST * 8], v[MOST * 5], o[MOST * 5],
            w[MOST * MOST];
        double *got = low_doubles(nq * nk), *out = low_doubles(nq * 5);
        zoo z;

        zoo_random(&z, 1, 1, nq, nk, 70 + (uint64_t)trial);
        zoo_causal(&z, false);
        for (int c = 0; trial % 3 == 0 && c < 8; c++) z.k[8 + c] = 0;
        for (int e = 0; e < nq * 8; e++) q[e] = (double)z.q[e];
        for (int e = 0; e < nk * 8; e++) k[e] = (double)z.k[e];
        for (int e = 0; e < nk * 5; e++) v[e] = (double)z.v[e];
        twin(q, k, v, size, o, w);
        g8_run(cx, &z, "shiftadd", out, got);
        for (int e = 0; e < nq * nk; e++) CHECK_NEAR(got[e], w[e], 1e-12);
        for (int i = 0; i < nq; i++) {
            double length = 0;

            for (int c = 0; c < 5; c++) {
                CHECK_NEAR(out[i * 5 + c], o[i * 5 + c], 1e-6);
                length += out[i * 5 + c] * out[i * 5 + c];
            }
            CHECK_NEAR(length, 1, 1e-6);
        }
        low_exactly(cx, &z, "shiftadd");
        free(got);
        free(out);
        zoo_free(&z);
    }
}

static void worst(atn_ctx *cx)
{
    zoo z;

    low_worst(cx, "shiftadd");
    low_refuses(cx, "shiftadd", false);
    low_chunk(cx, "shiftadd");
    zoo_random(&z, 1, 1, 600, 900, 3);
    zoo_causal(&z, false);
    low_threads(cx, &z, "shiftadd");
    selection_failing(&z, "shiftadd");
    z.head[0].v.data = NULL;
    selection_fails(cx, &z, "shiftadd", ATN_DATA, "values");
    zoo_free(&z);
}

CHECK_MAIN({"golden row", golden}, {"against the twin", against_twin},
           {"heads at their worst", worst})
