/* Bounds of sampled columns: by hand, and the mean of all draws that there are. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "theory/bound.h"

static double predict(const char *id, const atn_quantities *q)
{
    const atn_bound *b = atn_bound_find(id);

    CHECK(b);
    return atn_bound_predict(b, q);
}

/* P = I of 3, |v| = 2, 1, 2, m = 2. |PV|^2 = 9. Values: p = 4/9, 1/9, 4/9 gives
 * (9 + 9 + 9 - 9) / 2 = 9; best: p = .4, .2, .4 gives (25 - 9) / 2 = 8; uniform
 * (27 - 9) / 2 = 9. */
static void golden_moments(atn_ctx *cx)
{
    const double a[] = {1, 1, 1}, b[] = {2, 1, 2};
    const double by_values[] = {4 / 9., 1 / 9., 4 / 9.}, best[] = {.4, .2, .4};
    const double never[] = {.5, 0, .5};
    atn_quantities q = {
        .x = {0, 0, 0, 3, 2}, .list = {a, b, by_values}, .n = {3, 3, 3}};

    (void)cx;
    CHECK_NEAR(predict("amm_second_moment", &q), 9, 1e-14);
    q.list[2] = best;
    CHECK_NEAR(predict("amm_second_moment", &q), 8, 1e-14);
    q.list[2] = never;
    CHECK(isnan(predict("amm_second_moment", &q)));
    q.n[2] = 2;
    CHECK(isnan(predict("amm_second_moment", &q)));
}

/* All n^m draws of m columns, with their chances: the mean is the bound. */
static void mean_over_every_draw(atn_ctx *cx)
{
    enum { N = 4, Q = 3, D = 2 };
    static const double p[Q][N] = {
        {.1, .5, .3, .1}, {.7, 0, .1, .2}, {.25, .2, .05, .5}};
    static const double v[N][D] = {{1, -2}, {.5, .3}, {-1, 4}, {2, 2}};
    static const double chance[N] = {.3, .2, .4, .1};
    double a[N], b[N], o[Q][D] = {{0}}, square = 0, mean = 0;
    atn_quantities q = {.list = {a, b, chance}, .n = {N, N, N}, .x = {0, 0, 0, 0, 3}};

    (void)cx;
    for (int j = 0; j < N; j++) {
        a[j] = sqrt(p[0][j] * p[0][j] + p[1][j] * p[1][j] + p[2][j] * p[2][j]);
        b[j] = hypot(v[j][0], v[j][1]);
        for (int e = 0; e < Q * D; e++) o[e / D][e % D] += p[e / D][j] * v[j][e % D];
    }
    for (int e = 0; e < Q * D; e++) square += o[e / D][e % D] * o[e / D][e % D];
    for (int draw = 0; draw < N * N * N; draw++) {
        const int at[] = {draw % N, draw / N % N, draw / N / N};
        double error = 0;

        for (int e = 0; e < Q * D; e++) {
            double x = -o[e / D][e % D];
            for (int t = 0; t < 3; t++)
                x += p[e / D][at[t]] * v[at[t]][e % D] / 3 / chance[at[t]];
            error += x * x;
        }
        mean += error * chance[at[0]] * chance[at[1]] * chance[at[2]];
    }
    q.x[3] = sqrt(square);
    CHECK_NEAR(predict("amm_second_moment", &q), mean, 1e-12);
}

/* n + dv = 10, v = 1, L = 3, t = 2: 10 e^{-2 / 3}, above 1; t = 10: 10 e^{-50 / 11}. */
static void golden_tail(atn_ctx *cx)
{
    atn_quantities q = {.x = {6, 4, 1, 3, 2}};

    (void)cx;
    CHECK_NEAR(predict("amm_bernstein", &q), 1, 0);
    q.x[4] = 10;
    CHECK_NEAR(predict("amm_bernstein", &q), 10 * exp(-50 / 11.), 1e-15);
    q.x[2] = q.x[3] = 0;
    CHECK_NEAR(predict("amm_bernstein", &q), 0, 0);
}

/* Weights .2 .8, distances 4 1, m = 10: uniform (.64 + .64) / .5 / 10 = .256; the best
 * has p = .5 .5: (.8 + .8)^2 / 10 = .256, and .9 .1 is worse: (.64 / .9 + 6.4) / 10. */
static void golden_rows(atn_ctx *cx)
{
    const double w[] = {.2, .8}, far[] = {4, 1}, p[] = {.5, .5}, worse[] = {.9, .1};
    atn_quantities q = {.list = {w, far, p}, .n = {2, 2, 2}, .x = {0, 0, 10, 10}};

    (void)cx;
    CHECK_NEAR(predict("self_normalised", &q), .256, 1e-15);
    CHECK_NEAR(predict("self_normalised_best", &q), .256, 1e-15);
    q.list[2] = worse;
    CHECK_NEAR(predict("self_normalised", &q), (.64 / .9 + 6.4) / 10, 1e-15);
}

/* alpha of norms 1 .5 2: 3 x 4. kappa: 4 entries against 2, range 3: ln 2 + 3.
 * kappa 2, alpha 3, eps 1/2, n = e: 128 x 9 x 64. */
static void golden_hyper(atn_ctx *cx)
{
    const double a[] = {1, .5, 2};

    (void)cx;
    CHECK_NEAR(predict("hyper_alpha", &(atn_quantities){.list = {a}, .n = {3}}), 12, 0);
    CHECK_NEAR(predict("hyper_kappa", &(atn_quantities){.x = {2, 4, 3}}), log(2) + 3,
               1e-15);
    CHECK(isnan(predict("hyper_kappa", &(atn_quantities){.x = {4, 2, 3}})));
    CHECK_NEAR(predict("hyper_samples", &(atn_quantities){.x = {2, 3, .5, exp(1)}}),
               128 * 9 * 64, 1e-9);
    CHECK_NEAR(predict("hyper_error", &(atn_quantities){.x = {9, 2, 3}}), .5, 1e-15);
    CHECK_NEAR(predict("hyper_denominators", &(atn_quantities){.x = {.5}}), .25, 0);
    CHECK(isnan(predict("hyper_denominators", &(atn_quantities){.x = {1.5}})));
    CHECK_NEAR(predict("hyper_slope", &(atn_quantities){.x = {0}}), -.5, 0);
    CHECK_NEAR(predict("gray_path", &(atn_quantities){.x = {0}}), 1, 0);
    CHECK_NEAR(predict("gray_capture", &(atn_quantities){.x = {.4}}), .4, 0);
    CHECK(!atn_bound_find("hyper_samples")->verified);
}

CHECK_MAIN({"second moments by hand", golden_moments},
           {"the mean over every draw", mean_over_every_draw},
           {"the tail by hand", golden_tail}, {"rows by hand", golden_rows},
           {"what HyperAttention states", golden_hyper})
