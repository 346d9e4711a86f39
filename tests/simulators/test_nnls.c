/* Non-negative least squares against all active sets, and by its optimality. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "simulators/fit.h"

enum { MOST = 6, ROWS = 12 };

static uint64_t state = 7;

static double draw(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) / 9007199254740992.0 * 2 - 1;
}

/* x of the columns in `set` by elimination on normal equations; false if singular. */
static bool solve_set(const double *a, const double *b, int m, int n, unsigned set,
                      double *x)
{
    double g[MOST][MOST + 1];
    int at[MOST], k = 0;

    for (int j = 0; j < n; j++) {
        x[j] = 0;
        if (set >> j & 1) at[k++] = j;
    }
    for (int i = 0; i < k; i++) {
        for (int j = 0; j <= k; j++) {
            g[i][j] = 0;
            for (int r = 0; r < m; r++)
                g[i][j] += a[r * n + at[i]] * (j < k ? a[r * n + at[j]] : b[r]);
        }
    }
    for (int i = 0; i < k; i++) {
        if (fabs(g[i][i]) < 1e-12) return false;
        for (int r = 0; r < k; r++) {
            const double f = g[r][i] / g[i][i];

            if (r == i) continue;
            for (int j = 0; j <= k; j++) g[r][j] -= f * g[i][j];
        }
    }
    for (int i = 0; i < k; i++) x[at[i]] = g[i][k] / g[i][i];
    return true;
}

static double rest(const double *a, const double *b, int m, int n, const double *x)
{
    double sum = 0;

    for (int r = 0; r < m; r++) {
        double e = -b[r];

        for (int j = 0; j < n; j++) e += a[r * n + j] * x[j];
        sum += e * e;
    }
    return sum;
}

static double best_of_all(const double *a, const double *b, int m, int n)
{
    double best = INFINITY, x[MOST];

    for (unsigned set = 0; set < 1u << n; set++) {
        bool fine = solve_set(a, b, m, n, set, x);

        for (int j = 0; j < n; j++) fine = fine && x[j] >= 0;
        if (fine) best = fmin(best, rest(a, b, m, n, x));
    }
    return best;
}

static void against_all_sets(atn_ctx *cx)
{
    for (int trial = 0; trial < 600; trial++) {
        const int n = 1 + trial % MOST, m = n + trial % (ROWS - MOST + 1);
        double a[ROWS * MOST], b[ROWS], x[MOST], best;

        for (int i = 0; i < m * n; i++) a[i] = draw() * pow(10, i % n);
        for (int i = 0; i < m; i++) b[i] = draw();
        CHECK_OK(atn_nnls(cx, a, b, m, n, x));
        best = best_of_all(a, b, m, n);
        CHECK_NEAR(rest(a, b, m, n, x), best, 1e-10 + 1e-8 * best);
        for (int j = 0; j < n; j++) {
            double g = 0, size = 0;

            CHECK(x[j] >= 0);
            for (int r = 0; r < m; r++) {
                double e = b[r];

                for (int k = 0; k < n; k++) e -= a[r * n + k] * x[k];
                g += a[r * n + j] * e;
                size += a[r * n + j] * a[r * n + j];
            }
            CHECK_LE(g / sqrt(size), 1e-9);
            if (x[j] > 0) CHECK_LE(fabs(g) / sqrt(size), 1e-9);
        }
    }
}

/* min |(1 1; 1 -1) x - (1, 3)|: without the sign x = (2, -1); with it (2, 0). */
static void golden(atn_ctx *cx)
{
    const double a[] = {1, 1, 1, -1}, b[] = {1, 3};
    double x[2];

    CHECK_OK(atn_nnls(cx, a, b, 2, 2, x));
    CHECK_NEAR(x[0], 2, 1e-14);
    CHECK_NEAR(x[1], 0, 0);
}

/* A column of zeros, one twice over, fewer rows than columns. */
static void dependent_columns(atn_ctx *cx)
{
    const double a[] = {1, 0, 1, 0, 2, 0, 2, 1, 3, 0, 3, 5}, b[] = {1, 3, 8};
    const double wide[] = {1, 2, 3, 4, 0, 1, 1, 5}, two[] = {1, 1};
    double x[4];

    CHECK_OK(atn_nnls(cx, a, b, 3, 4, x));
    CHECK_NEAR(x[0] + x[2], 1, 1e-12);
    CHECK_NEAR(x[1], 0, 0);
    CHECK_NEAR(x[3], 1, 1e-12);
    CHECK_OK(atn_nnls(cx, wide, two, 2, 4, x));
    CHECK_NEAR(rest(wide, two, 2, 4, x), 0, 1e-12);
}

CHECK_MAIN({"golden", golden}, {"against all sets", against_all_sets},
           {"dependent columns", dependent_columns})
