/* tests/graph/test_horizon.c -- distances through stacked windows. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "core/rng.h"
#include "graph/horizon.h"

static atn_horizon_facts stacked(atn_idx window, int layers, double residual,
                                 double eps)
{
    const atn_idx n = layers * (window - 1) + 1;
    double *p = calloc((size_t)n, sizeof *p), *q = calloc((size_t)n, sizeof *q);
    atn_horizon_facts f;

    p[0] = 1;
    for (int l = 0; l < layers; l++) atn_horizon_step(p, q, n, window, residual);
    f = atn_horizon_of(p, n, window, eps);
    free(p);
    free(q);
    return f;
}

/* W = 64, 16 layers without residual: mean 16 * 31.5, variance 16 (64^2 - 1) / 12. */
static void published_numbers(atn_ctx *cx)
{
    static const double beyond[2][3] = {{.0071, .108, .680}, {.027, .319, .957}};
    static const double closed[] = {2, 1.537, 1.177, 1};
    static const double residuals[] = {.9, .95, .98, .99};
    const atn_horizon_facts f = stacked(64, 16, 0, .01);

    (void)cx;
    CHECK_NEAR(f.mean, 504, 1e-9);
    CHECK_NEAR(f.deviation, 73.8918, 5e-5);
    for (int a = 0; a < 2; a++)
        for (int l = 0; l < 3; l++)
            CHECK_NEAR(stacked(64, 4 << 2 * l, a ? .9 : .95, .01).beyond, beyond[a][l],
                       6e-4);
    for (int a = 0; a < 4; a++)
        CHECK_NEAR(atn_horizon_closed(1, residuals[a], .01), closed[a], 6e-4);
    CHECK_NEAR(atn_horizon_closed(64, .9, .01), 128, 1e-9);
    CHECK(isnan(atn_horizon_closed(64, 0, .01)));
    CHECK_NEAR(atn_horizon_closed(64, 1, .01), 0, 0);
}

/* Two layers of W = 3, residual 1/4: (1/2 1/4 1/4) squared by hand. */
static void two_layers_by_hand(atn_ctx *cx)
{
    static const double want[] = {1 / 4., 1 / 4., 5 / 16., 1 / 8., 1 / 16.};
    double p[5] = {1}, q[5];
    atn_horizon_facts f;

    (void)cx;
    atn_horizon_step(p, q, 5, 3, .25);
    CHECK_NEAR(p[0], .5, 1e-15);
    CHECK_NEAR(p[2], .25, 1e-15);
    atn_horizon_step(p, q, 5, 3, .25);
    for (int d = 0; d < 5; d++) CHECK_NEAR(p[d], want[d], 1e-15);
    f = atn_horizon_of(p, 5, 3, .0625);
    CHECK_NEAR(f.mean, 1.5, 1e-15);
    CHECK_NEAR(f.beyond, 3 / 16., 1e-15);
    CHECK_NEAR(f.reach, 3, 0); /* 1/16 lies beyond */
    CHECK_NEAR(atn_horizon_of(p, 5, 3, .06).reach, 4, 0);
    CHECK(isnan(atn_horizon_of(p, 5, 0, .06).beyond));
    /* a residual of 1 stays, whatever the window */
    f = stacked(9, 5, 1, .01);
    CHECK_NEAR(f.mean, 0, 0);
    CHECK_NEAR(f.reach, 0, 0);
}

/* Any windows and residuals, against sums by definition; weight is kept. */
static void against_the_sum(atn_ctx *cx)
{
    enum { N = 60 };
    atn_rng r = atn_rng_stream(5, "test/horizon", 0, 0);

    (void)cx;
    for (int trial = 0; trial < 50; trial++) {
        double p[N] = {1}, q[N], want[N] = {1}, sum = 0;

        for (int l = 0; l < 5; l++) {
            const int window = 1 + (int)atn_rng_below(&r, 12);
            const double a = atn_rng_uniform(&r);
            double next[N];

            for (int d = 0; d < N; d++) {
                next[d] = a * want[d];
                for (int t = 0; t < window && t <= d; t++)
                    next[d] += (1 - a) / window * want[d - t];
            }
            memcpy(want, next, sizeof next);
            atn_horizon_step(p, q, N, window, a);
        }
        for (int d = 0; d < N; d++) {
            CHECK_NEAR(p[d], want[d], 1e-14);
            sum += p[d];
        }
        CHECK_NEAR(sum, 1, 1e-12);
    }
}

CHECK_MAIN({"published numbers", published_numbers},
           {"two layers by hand", two_layers_by_hand},
           {"against the sum", against_the_sum})
