/* Row sums from samples: by hand, and against all samples that there are. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "bound_value.h"

/* P = (.1 .4 .2 .3): sum P^2 = .3, N2 = 10 / 3, n / N2 = 1.2. */
static const double p[4] = {.1, .4, .2, .3};

static void by_hand(atn_ctx *cx)
{
    (void)cx;
    CHECK_NEAR(BOUND("row_sum_variance", 4, 10.0 / 3, 5), .04, 1e-15);
    CHECK_NEAR(BOUND("row_sum_variance", 8, 8, 1), 0, 0); /* uniform */
    CHECK_NEAR(BOUND("row_sum_variance", 8, 1, 7), 1, 0); /* one key */
    CHECK_NEAR(BOUND("row_sum_chebyshev", 4, 10.0 / 3, 5, .4), .25, 1e-14);
    CHECK_NEAR(BOUND("row_sum_chebyshev", 4, 10.0 / 3, 1, .1), 1, 0);
    /* 2 exp(-50 .16 / (.4 + 2 1.6 .4 / 3)) = 2 exp(-8 / .826667) */
    CHECK_NEAR(BOUND("row_sum_bernstein", 4, 10.0 / 3, 50, .4, .4),
               2 * exp(-8 / (.4 + 1.28 / 3)), 1e-15);
    /* .2 / (.01 .1) = 200, and (.4 + .32 / 3) ln 20 / .01 = 151.77 */
    CHECK_NEAR(BOUND("row_sum_samples", 4, 10.0 / 3, .1, .1, .4),
               (.4 + .32 / 3) * log(20) / .01, 1e-10);
    CHECK_NEAR(BOUND("row_sum_samples", 4, 10.0 / 3, .1, .5, .4), 40, 1e-10);
    CHECK(isnan(BOUND("row_sum_variance", 4, 10.0 / 3, 0)));
}

/* All 4^6 samples of six keys: the variance exactly, and the tails. */
static void every_sample(atn_ctx *cx)
{
    enum { M = 6, ALL = 4096 };
    double variance = 0;

    (void)cx;
    for (double eps = .1; eps < 1; eps += .1) {
        double beyond = 0;

        variance = 0;
        for (int s = 0; s < ALL; s++) {
            double sum = 0;

            for (int t = 0; t < M; t++) sum += p[s >> (2 * t) & 3];
            sum = sum * 4 / M - 1;
            variance += sum * sum / ALL;
            beyond += (fabs(sum) >= eps) / (double)ALL;
        }
        CHECK_LE(beyond, BOUND("row_sum_chebyshev", 4, 10.0 / 3, M, eps));
        CHECK_LE(beyond, BOUND("row_sum_bernstein", 4, 10.0 / 3, M, eps, .4));
    }
    CHECK_NEAR(variance, BOUND("row_sum_variance", 4, 10.0 / 3, M), 1e-14);
}

/* As many keys as it asks for keep the risk of both tails. */
static void enough(atn_ctx *cx)
{
    (void)cx;
    for (double eta = .01; eta < 1; eta *= 3)
        for (double eps = .05; eps < 1; eps *= 2) {
            const double m = BOUND("row_sum_samples", 40, 7, eps, eta, .3);

            CHECK_NEAR(fmin(BOUND("row_sum_chebyshev", 40, 7, m, eps),
                            BOUND("row_sum_bernstein", 40, 7, m, eps, .3)),
                       eta, 1e-12);
        }
}

CHECK_MAIN({"by hand", by_hand}, {"every sample", every_sample}, {"enough", enough})
