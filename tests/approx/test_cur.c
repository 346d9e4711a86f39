/* tests/approx/test_cur.c -- skeletons: exact where the rank is reached, and by the
 * formula C G^-1 R. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/decomposed.h"

enum { N = 20 };

/* x = g^-1 b of small matrices by elimination with pivots: g [r, r], b [r, n]. */
static void solve(double *g, double *b, int r, int n)
{
    for (int c = 0; c < r; c++) {
        int best = c;

        for (int i = c; i < r; i++)
            if (fabs(g[i * r + c]) > fabs(g[best * r + c])) best = i;
        for (int k = 0; k < r; k++) {
            const double t = g[c * r + k];

            g[c * r + k] = g[best * r + k];
            g[best * r + k] = t;
        }
        for (int k = 0; k < n; k++) {
            const double t = b[c * n + k];

            b[c * n + k] = b[best * n + k];
            b[best * n + k] = t;
        }
        for (int i = 0; i < r; i++) {
            const double f = i == c ? 0 : g[i * r + c] / g[c * r + c];

            for (int k = 0; k < r; k++) g[i * r + k] -= f * g[c * r + k];
            for (int k = 0; k < n; k++) b[i * n + k] -= f * b[c * n + k];
        }
    }
    for (int i = 0; i < r; i++)
        for (int k = 0; k < n; k++) b[i * n + k] /= g[i * r + i];
}

/* By hand from the residual matrix: rows and columns of the card's search. */
static void search(const double *p, int nq, int nk, int r, int *rows, int *cols)
{
    double rest[N * N];
    bool used[N] = {false};
    int i = 0;

    memcpy(rest, p, sizeof(double) * (size_t)(nq * nk));
    for (int k = 0; k < r; k++) {
        double u[N], pivot;
        int j = 0;

        for (int c = 1; c < nk; c++)
            if (fabs(rest[i * nk + c]) > fabs(rest[i * nk + j])) j = c;
        rows[k] = i;
        cols[k] = j;
        used[i] = true;
        pivot = rest[i * nk + j];
        for (int a = 0; a < nq; a++) u[a] = rest[a * nk + j] / pivot;
        for (int c = 0; c < nk; c++) {
            const double v = rest[i * nk + c];

            for (int a = 0; a < nq; a++) rest[a * nk + c] -= u[a] * v;
        }
        i = -1;
        for (int a = 0; a < nq; a++)
            if (!used[a] && (i < 0 || fabs(u[a]) > fabs(u[i]))) i = a;
    }
}

static void is_the_skeleton(atn_ctx *cx)
{
    for (int kind = 0; kind < 3; kind++)
        for (int r = 1; r <= 6; r++) {
            const int nq = kind == 1 ? 13 : N, nk = kind == 2 ? 11 : N;
            double p[N * N], w[N * N], g[36], b[6 * N];
            int rows[6], cols[6];
            char spec[64];
            zoo z;

            zoo_random(&z, 1, 1, nq, nk, 31 + (uint64_t)r);
            zoo_causal(&z, kind == 0);
            if (kind == 2) z.head[0].sight.offset = 0;
            dense_rows(&z, p);
            search(p, nq, nk, r, rows, cols);
            for (int a = 0; a < r; a++) {
                for (int k = 0; k < r; k++) g[a * r + k] = p[rows[a] * nk + cols[k]];
                for (int j = 0; j < nk; j++) b[a * nk + j] = p[rows[a] * nk + j];
            }
            solve(g, b, r, nk);
            snprintf(spec, sizeof spec, "cur:rank=%d,mask=0", r);
            decompose(cx, &z, spec, w);
            for (int i = 0; i < nq; i++)
                for (int j = 0; j < nk; j++) {
                    double want = 0;

                    for (int k = 0; k < r; k++)
                        want += p[i * nk + cols[k]] * b[k * nk + j];
                    CHECK_NEAR(w[i * nk + j], want, 1e-8 * (1 + fabs(want)));
                }
            for (int k = 0; k < r; k++)
                for (int j = 0; j < nk; j++) /* chosen rows are met */
                    CHECK_NEAR(w[rows[k] * nk + j], p[rows[k] * nk + j], 1e-9);
            zoo_free(&z);
        }
}

/* x_i y_j + (i + 1) / (j + 2) and equal rows: rank 2, exact, and no third step. */
static void a_rank_is_found(atn_ctx *cx)
{
    float x[N * N];
    double w[N * N], p[N * N];
    zoo z;

    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            const int a = i % 3; /* only three rows, of rank 2 */

            x[i * N + j] = (float)(a + 1) * (float)(j % 5) + (float)(2 - a);
        }
    given_head(&z, x, N, N);
    for (int e = 0; e < N * N; e++) p[e] = (double)x[e];
    CHECK_NEAR(decompose(cx, &z, "cur:rank=9", w), 4, 0);
    CHECK_LE(apart(p, w, N * N), 1e-12);
    for (int e = 0; e < N; e++) x[e] = 0; /* a first row of nothing */
    for (int e = 0; e < N * N; e++) p[e] = (double)x[e];
    CHECK_NEAR(decompose(cx, &z, "cur:rank=9", w), 4, 0);
    CHECK_LE(apart(p, w, N * N), 1e-12);
    for (int e = 0; e < N * N; e++) x[e] = 0;
    CHECK_NEAR(decompose(cx, &z, "cur:rank=9", w), N, 0); /* nothing is stored */
    CHECK_NEAR(apart(w, NULL, N * N), 0, 0);
    z.in.head = z.head;
    zoo_free(&z);
}

static void memory_runs_out(atn_ctx *cx)
{
    zoo z;

    (void)cx;
    zoo_random(&z, 1, 1, N, N, 2);
    zoo_failing(&z, "cur", "rank=3");
    zoo_free(&z);
}

CHECK_MAIN({"is the skeleton", is_the_skeleton}, {"a rank is found", a_rank_is_found},
           {"memory runs out", memory_runs_out})
