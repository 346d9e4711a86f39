/* Degrees against the card's table, errors against brute force. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"
#include "theory/bound.h"
#include "theory/polynomial.h"

/* Rows of X, pairs (Taylor, best) for relative errors of 1e-1, .. 1e-4. */
static void table_of_the_card(atn_ctx *cx)
{
    static const double xs[] = {0.5, 1, 2, 4, 6, 8};
    static const int want[6][4][2] = {{{2, 1}, {3, 2}, {4, 3}, {5, 4}},
                                      {{3, 2}, {5, 3}, {6, 4}, {7, 5}},
                                      {{7, 3}, {8, 5}, {10, 6}, {11, 7}},
                                      {{14, 6}, {15, 7}, {17, 9}, {19, 10}},
                                      {{21, 8}, {22, 10}, {24, 12}, {26, 13}},
                                      {{28, 10}, {30, 12}, {31, 14}, {33, 16}}};

    (void)cx;
    for (int i = 0; i < 6; i++)
        for (int e = 0; e < 4; e++) {
            const double eps = pow(10, -1 - e);
            const int even = atn_taylor_degree(xs[i], eps, true);

            CHECK_EQ(atn_taylor_degree(xs[i], eps, false), want[i][e][0]);
            CHECK_EQ(atn_best_degree(xs[i], eps), want[i][e][1]);
            CHECK_EQ(even, (want[i][e][0] + 1) / 2 * 2);
        }
}

/* Two degrees more: from the closed form of the errors, for every X; e X = 2.7 of g = 4
 * gives a factor of 1 / 30. */
static void errors_fall(atn_ctx *cx)
{
    const atn_bound *b = atn_bound_find("taylor_fall");

    (void)cx;
    CHECK_NEAR(atn_bound_predict(b, &(atn_quantities){.x = {4, 1, .6}}), .02, 1e-15);
    for (int g = 0; g < 20; g++)
        for (double x = .25; x < 9; x *= 2) {
            const double before = g < x - 1 ? NAN : atn_taylor_error(g, x);
            const double said =
                atn_bound_predict(b, &(atn_quantities){.x = {g, x, before}});

            if (isnan(before)) continue; /* no closed form */
            CHECK_LE(atn_taylor_error(g + 2, x), said * (1 + 1e-12));
            CHECK_LE(said * .05, atn_taylor_error(g + 2, x)); /* and it is not idle */
        }
}

static double taylor(int degree, double x)
{
    long double term = 1, sum = 1;

    for (int m = 1; m <= degree; m++) {
        term *= (long double)x / m;
        sum += term;
    }
    return (double)fabsl(sum * expl(-(long double)x) - 1);
}

static void taylor_is_worst_at_the_end(atn_ctx *cx)
{
    (void)cx;
    for (int g = 0; g < 24; g++)
        for (double x = 0.25; x < g + 1; x *= 1.7) {
            const double want = taylor(g, -x);
            double most = 0;

            for (int k = -50; k <= 50; k++) most = fmax(most, taylor(g, x * k / 50));
            CHECK_NEAR(atn_taylor_error(g, x), want, 1e-10 * want + 1e-15);
            CHECK_LE(most, want * (1 + 1e-12) + 1e-15);
        }
    CHECK(isinf(atn_taylor_error(3, 9)));
    CHECK(taylor(3, -9) > 1);
    CHECK_NEAR(atn_taylor_error(4, 0), 0, 0);
}

/* Least squares with weights that follow the error (Lawson) is above the best error,
 * and near it: another road to the same number. */
static double lawson(int degree, double x)
{
    enum { GRID = 400, MOST = 9 };
    static double weight[GRID], basis[GRID][MOST], error[GRID];
    const int n = degree + 1;
    double most = 0;

    for (int k = 0; k < GRID; k++) {
        const double t = -cos(acos(-1) * k / (GRID - 1));

        weight[k] = 1.0 / GRID;
        for (int p = 0; p < n; p++) /* Chebyshev polynomials times e^-x */
            basis[k][p] = cos(p * acos(fmax(-1, fmin(1, t)))) * exp(-x * t);
    }
    for (int round = 0; round < 600; round++) {
        double a[MOST][MOST + 1] = {{0}}, total = 0;

        for (int k = 0; k < GRID; k++)
            for (int p = 0; p < n; p++) {
                for (int s = 0; s < n; s++)
                    a[p][s] += weight[k] * basis[k][p] * basis[k][s];
                a[p][n] += weight[k] * basis[k][p];
            }
        for (int p = 0; p < n; p++)
            for (int s = 0; s < n; s++) {
                const double f = s == p ? 0 : a[s][p] / a[p][p];

                for (int e = 0; e <= n; e++) a[s][e] -= f * a[p][e];
            }
        most = 0;
        for (int k = 0; k < GRID; k++) {
            double y = -1;

            for (int p = 0; p < n; p++) y += basis[k][p] * a[p][n] / a[p][p];
            error[k] = fabs(y);
            most = fmax(most, error[k]);
            total += weight[k] * error[k];
        }
        for (int k = 0; k < GRID; k++) weight[k] *= error[k] / total;
    }
    return most;
}

static void best_is_best(atn_ctx *cx)
{
    (void)cx;
    for (double x = 0.1; x < 60; x *= 1.9)
        CHECK_NEAR(atn_best_error(0, x), tanh(x), 1e-9);
    for (int g = 1; g < 7; g++)
        for (double x = 0.5; x < 3; x *= 2) {
            const double best = atn_best_error(g, x), near = lawson(g, x);

            CHECK_LE(best, near * 1.0002);
            CHECK_LE(near, best * 1.05);
        }
    for (double x = 0.5; x < 120; x *= 1.6) { /* more degrees, less error */
        double before = 1;

        for (int g = 0; g < 12 && before > 1e-10; g++) {
            const double e = atn_best_error(g, x);

            CHECK_LE(e, before * (1 + 1e-9));
            before = e;
        }
    }
    CHECK(isnan(atn_best_error(3, 201)));
    CHECK(isnan(atn_best_error(255, 2)));
}

/* Large X: best is below Taylor, and both grow with X and 1 / eps. */
static void large(atn_ctx *cx)
{
    int before = 0;

    (void)cx;
    for (double x = 1; x < 130; x *= 1.5) {
        const int t = atn_taylor_degree(x, 1e-2, false), b = atn_best_degree(x, 1e-2);

        CHECK(b > 0 && b <= t && b >= before);
        CHECK(atn_best_error(b, x) <= 1e-2 && atn_best_error(b - 1, x) > 1e-2);
        CHECK(atn_best_degree(x, 1e-4) > b);
        CHECK(atn_best_degree(x, 1e-4) <= b + 4 + 0.7 * sqrt(x));
        before = b;
    }
    CHECK_EQ(atn_taylor_degree(1e7, 1e-2, true), -1);
    CHECK(atn_taylor_degree(1e5, 1e-2, true) > 1e5);
    CHECK_EQ(atn_taylor_degree(NAN, 1e-2, true), -1);
    CHECK_EQ(atn_best_degree(NAN, 1e-2), -1);
    CHECK_EQ(atn_best_degree(0, 1e-2), 0);
    CHECK_EQ(atn_taylor_degree(0, 1e-2, true), 0);
    CHECK_NEAR(atn_polynomial_features(64, 4), 814385, 1e-6);
    CHECK(isinf(atn_polynomial_features(4096, 100000)));
}

CHECK_MAIN({"table of the card", table_of_the_card},
           {"taylor is worst at the end", taylor_is_worst_at_the_end},
           {"errors fall", errors_fall}, {"best is best", best_is_best},
           {"large", large})
