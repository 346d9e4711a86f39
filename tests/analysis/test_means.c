/* Means of draws: their statistics, and how often these are beyond a critical value. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "analysis/experiments/means.h"
#include "core/normal.h"
#include "core/rng.h"

/* 1, 2, 6: mean 3, variance 7, third moment about the mean (-8 - 1 + 27) / 3 = 6; the
 * variance by n is 14 / 3. */
static void golden(atn_ctx *cx)
{
    static const double x[] = {2, 6, 1};
    const atn_mean m = atn_mean_of(x, 3);

    (void)cx;
    CHECK_NEAR(m.mean, 3, 1e-15);
    CHECK_NEAR(m.error, sqrt(7.0 / 3), 1e-15);
    CHECK_NEAR(m.skew, 6 / pow(14.0 / 3, 1.5) / sqrt(3), 1e-15);
    CHECK_NEAR(atn_mean_statistic(&m, 3 + 1e-12, 1e-9), 0, 0);
    CHECK_NEAR(atn_mean_outside(&m, 2.9, 3.1), 0, 0);
    CHECK(atn_mean_outside(&m, 9, 10) < 0);
    CHECK(atn_mean_outside(&m, -10, -9) > 0);
}

/* Without skewness it is Student's t: of 51 draws t = 3.4960 is exceeded in one of 1000
 * cases (tables of t, 50 degrees), where a normal number is at 3.2905. */
static void student(atn_ctx *cx)
{
    const atn_mean m = {.mean = 3.4960, .error = 1, .n = 51};

    (void)cx;
    CHECK_NEAR(atn_mean_statistic(&m, 0, 0), 3.2905, 2e-3);
    CHECK_NEAR(atn_mean_statistic(&m, 2 * 3.4960, 0), -3.2905, 2e-3);
}

static void no_spread(atn_ctx *cx)
{
    static const double x[] = {2, 2};
    const atn_mean m = atn_mean_of(x, 2), one = atn_mean_of(x, 1);

    (void)cx;
    CHECK_NEAR(atn_mean_statistic(&m, 2, 0), 0, 0);
    CHECK(atn_mean_statistic(&m, 1, 1e-9) == INFINITY);
    CHECK(atn_mean_statistic(&one, 3, 1e-9) == -INFINITY);
    CHECK(atn_mean_is_known(&m, 1));
    CHECK(!atn_mean_is_known(&(atn_mean){.mean = .5, .error = .2}, 1));
    CHECK(atn_mean_is_known(&(atn_mean){.mean = 5, .error = .2}, 1));
    CHECK(!atn_mean_is_known(&(atn_mean){.mean = 1, .skew = .4}, 1));
}

/* Grows with T, also beyond 6 / g; a sum of 128 squares of normal numbers, g = 1/4, is
 * beyond 2.576 on either side as often as a normal number is. */
static void unskewed(atn_ctx *cx)
{
    enum { RUNS = 20000, N = 128 };
    const double g = sqrt(8.0 / N);
    atn_rng r = atn_rng_stream(4, "means", 0, 0);
    int above = 0, below = 0;

    (void)cx;
    CHECK_NEAR(atn_mean_unskewed(2, .3), 2 - .3 * .5 + .09 * 8 / 108, 1e-15);
    CHECK_NEAR(atn_mean_unskewed(-2, .3), -2 - .3 * .5 - .09 * 8 / 108, 1e-15);
    CHECK(isinf(atn_mean_unskewed(INFINITY, .3)));
    for (double t = -100; t < 100; t += .5)
        CHECK(atn_mean_unskewed(t + .5, .1) > atn_mean_unskewed(t, .1));
    CHECK_LE(6, atn_mean_unskewed(20, .3));
    for (int run = 0; run < RUNS; run++) {
        double sum = 0, t;

        for (int e = 0; e < N; e++) sum += pow(atn_rng_normal(&r), 2);
        t = atn_mean_unskewed((sum - N) / sqrt(2.0 * N), g);
        above += t > 2.5758;
        below += t < -2.5758;
    }
    CHECK_LE(60, above);
    CHECK_LE(above, 150);
    CHECK_LE(60, below);
    CHECK_LE(below, 150);
}

/* Squares of normal numbers, 200 of them, mean 1: at the 1 % level 1 % of means are
 * beyond, where the plain statistic has twice that. */
static void squares(atn_ctx *cx)
{
    enum { RUNS = 20000, N = 200 };
    const double critical = atn_normal_critical(.01, 1);
    atn_rng r = atn_rng_stream(3, "means", 0, 0);
    double x[N];
    int beyond = 0, plain = 0;

    (void)cx;
    for (int run = 0; run < RUNS; run++) {
        atn_mean m;

        for (int e = 0; e < N; e++) {
            const double y = atn_rng_normal(&r);

            x[e] = y * y;
        }
        m = atn_mean_of(x, N);
        beyond += fabs(atn_mean_statistic(&m, 1, 0)) > critical;
        plain += fabs(m.mean - 1) / m.error > critical;
    }
    CHECK_LE(beyond, 300);
    CHECK_LE(100, beyond);
    CHECK_LE(350, plain);
}

CHECK_MAIN({"golden", golden}, {"student", student}, {"no spread", no_spread},
           {"unskewed", unskewed}, {"squares", squares})
