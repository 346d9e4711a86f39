/* tests/approx/test_sparse_lowrank.c -- entries and a rank by turns, against the same
 * turns in plain loops. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/decomposed.h"

enum { N = 24, RANK = 2, K = 4 };

/* The best of rank r of a [N, N]: power iteration on what is left, one at a time. */
static void truncate(const double *a, int r, double *out)
{
    double rest[N * N];

    memcpy(rest, a, sizeof rest);
    memset(out, 0, sizeof rest);
    for (int k = 0; k < r; k++) {
        double u[N], v[N], size = 0;

        for (int j = 0; j < N; j++) v[j] = 1 + .3 * sin(j + k);
        for (int turn = 0; turn < 4000; turn++) {
            size = 0;
            for (int i = 0; i < N; i++) {
                u[i] = 0;
                for (int j = 0; j < N; j++) u[i] += rest[i * N + j] * v[j];
            }
            for (int j = 0; j < N; j++) {
                v[j] = 0;
                for (int i = 0; i < N; i++) v[j] += rest[i * N + j] * u[i];
                size += v[j] * v[j];
            }
            for (int j = 0; j < N; j++) v[j] /= sqrt(size) + 1e-300;
        }
        for (int i = 0; i < N; i++) {
            u[i] = 0;
            for (int j = 0; j < N; j++) u[i] += rest[i * N + j] * v[j];
        }
        for (int e = 0; e < N * N; e++) {
            out[e] += u[e / N] * v[e % N];
            rest[e] -= u[e / N] * v[e % N];
        }
    }
}

/* s <- the K largest |.| of every row of x; of what is seen, with a mask. */
static void largest(const double *x, bool causal, double *s)
{
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            const int end = causal ? i + 1 : N;
            int n = 0;

            for (int c = 0; c < end; c++)
                n += fabs(x[i * N + c]) > fabs(x[i * N + j]) ||
                     (fabs(x[i * N + c]) == fabs(x[i * N + j]) && c < j);
            s[i * N + j] = n < K && j < end ? x[i * N + j] : 0;
        }
}

static double by_turns(const double *p, bool causal, bool start, double *w)
{
    double s[N * N] = {0}, l[N * N], rest[N * N], left = 0;

    if (start) largest(p, causal, s);
    for (int round = 0; round < 10; round++) {
        for (int e = 0; e < N * N; e++) rest[e] = p[e] - s[e];
        truncate(rest, RANK, l);
        for (int e = 0; e < N * N; e++)
            rest[e] = causal && e % N > e / N ? 0 : p[e] - l[e];
        largest(rest, causal, s);
    }
    for (int e = 0; e < N * N; e++) {
        w[e] = causal && e % N > e / N ? 0 : l[e] + s[e];
        left += (p[e] - w[e]) * (p[e] - w[e]);
    }
    return left;
}

static void against_plain_turns(atn_ctx *cx)
{
    for (int trial = 0; trial < 6; trial++) {
        double p[N * N], a[N * N], b[N * N], w[N * N], x, y;
        const bool causal = trial % 2;
        zoo z;

        zoo_random(&z, 1, 1, N, N, 50 + (uint64_t)trial);
        for (int e = 0; e < N * 8; e++) z.q[e] *= 3;
        zoo_causal(&z, causal);
        dense_rows(&z, p);
        x = by_turns(p, causal, false, a);
        y = by_turns(p, causal, true, b);
        CHECK_NEAR(decompose(cx, &z, "sparse_lowrank:numbers=8,how=lapack", w),
                   2 * RANK + (causal ? K - 6. / N : K), 1e-9);
        CHECK_LE(apart(w, x <= y ? a : b, N * N), 1e-5);
        CHECK_NEAR(apart(p, w, N * N), sqrt(fmin(x, y)), 1e-6);
        decompose(cx, &z, "sparse_lowrank:numbers=8,how=random", w);
        CHECK_LE(apart(p, w, N * N), 1.1 * sqrt(fmin(x, y)));
        zoo_free(&z);
    }
}

/* u v' plus two large entries a row is found, as far as ten rounds go: the best of rank 8,
 * of four times the numbers, is not near it. */
static void what_is_there_is_found(atn_ctx *cx)
{
    float x[N * N];
    double p[N * N], w[N * N];
    zoo z;

    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            x[i * N + j] = (float)((2 + sin(i)) * (2 + cos(2 * j)) / 200 +
                                   ((7 * i + 5 * j) % 12 == 0 ? .5 : 0));
    given_head(&z, x, N, N);
    for (int e = 0; e < N * N; e++) p[e] = (double)x[e];
    decompose(cx, &z, "sparse_lowrank:numbers=8", w);
    CHECK_LE(apart(p, w, N * N), 1e-3);
    decompose(cx, &z, "svd:rank=8", w);
    CHECK(apart(p, w, N * N) > .1);
    zoo_free(&z);
}

static void memory_runs_out(atn_ctx *cx)
{
    zoo z;

    (void)cx;
    zoo_random(&z, 1, 1, N, N, 2);
    zoo_failing(&z, "sparse_lowrank", "numbers=8,how=lapack");
    zoo_failing(&z, "sparse_lowrank", "numbers=8,how=random");
    zoo_free(&z);
}

CHECK_MAIN({"against plain turns", against_plain_turns},
           {"what is there is found", what_is_there_is_found},
           {"memory runs out", memory_runs_out})
