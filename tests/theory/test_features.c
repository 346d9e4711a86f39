/* Bounds of random features: by hand, and by integrals over the direction. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "theory/bound.h"

static double predict(const char *id, const atn_quantities *q)
{
    const atn_bound *b = atn_bound_find(id);

    CHECK(b);
    return atn_bound_predict(b, q);
}

/* Card 6 (f), d = 2: q' = k' = (.5, 0), so |z| = 1, delta = 0, and entries are e^{1/4}:
 * variances of entries 2.8329677996, .8953885943, 0. q' = -k': |z| = 0, |delta| = 1,
 * entries e^{-1/4}: 0, 0, .3293950557. */
static void golden_variances(atn_ctx *cx)
{
    static const double want[2][3] = {{2.8329677996, .8953885943, 0},
                                      {0, 0, .3293950557}};

    (void)cx;
    for (int way = 0; way < 2; way++)
        for (int kind = 0; kind < 3; kind++) {
            const double square = (way == 0) == (kind < 2) ? 1 : 0;
            const double entry = exp(way == 0 ? .25 : -.25);

            CHECK_NEAR(entry * entry *
                           predict("feature_variance",
                                   &(atn_quantities){.x = {kind, square, 1}}),
                       want[way][kind], 1e-10);
        }
    CHECK_NEAR(predict("feature_variance", &(atn_quantities){.x = {1, 1, 4}}),
               (cosh(1) - 1) / 4, 1e-15);
}

/* Two directions of one normal: g(t), h(t) along correlated projections a, b with unit
 * steps; the integral of f(a) f(b). Here z_j = |z_j| (cos t_j, sin t_j). */
static double covariance(int kind, const double *z, const double *y)
{
    double sum = 0, step = .05;

    for (double u = -9; u <= 9; u += step)
        for (double v = -9; v <= 9; v += step) {
            const double a = u * z[0] + v * z[1], b = u * y[0] + v * y[1];
            const double za = z[0] * z[0] + z[1] * z[1];
            const double zb = y[0] * y[0] + y[1] * y[1];
            double f = 0;

            if (kind == 0) f = exp(a + b - za / 2 - zb / 2);
            if (kind == 1) f = cosh(a) * cosh(b) * exp(-za / 2 - zb / 2);
            if (kind == 2) f = cos(a) * cos(b) * exp(za / 2 + zb / 2);
            sum += f * exp(-(u * u + v * v) / 2) * step * step;
        }
    return sum / (2 * acos(-1)) - 1;
}

/* Row sums and outputs of three keys: every covariance integrated. */
static void rows_by_integrals(atn_ctx *cx)
{
    static const double z[3][2] = {{.7, -.2}, {-.1, .9}, {.4, .5}};
    static const double p[] = {.5, .2, .3}, v[3][2] = {{1, 0}, {-2, 1}, {.5, 3}};
    double products[9], values[9], o[2] = {0}, sum = 0, output = 0;
    atn_quantities q = {.list = {0, p, products, values}, .n = {0, 3, 9, 9}};

    (void)cx;
    for (int j = 0; j < 3; j++)
        for (int c = 0; c < 2; c++) o[c] += p[j] * v[j][c];
    for (int e = 0; e < 9; e++) {
        const int j = e / 3, l = e % 3;

        products[e] = z[j][0] * z[l][0] + z[j][1] * z[l][1];
        values[e] =
            (v[j][0] - o[0]) * (v[l][0] - o[0]) + (v[j][1] - o[1]) * (v[l][1] - o[1]);
    }
    for (int kind = 0; kind < 3; kind++) {
        sum = output = 0;
        for (int e = 0; e < 9; e++) {
            const double c = covariance(kind, z[e / 3], z[e % 3]);

            sum += p[e / 3] * p[e % 3] * c;
            output += p[e / 3] * p[e % 3] * (c + 1) * values[e];
        }
        q.x[0] = kind;
        q.x[3] = 5;
        CHECK_NEAR(predict("feature_row_sum", &q), sum / 5, 1e-9);
        q.x[4] = 5;
        CHECK_NEAR(predict("feature_output", &q), output / 5, 1e-9);
        q.x[4] = .1;
        CHECK_NEAR(predict("feature_draws", &q), output / .01, 1e-6);
    }
    q.n[3] = 4;
    CHECK(isnan(predict("feature_output", &q)));
    q.n[2] = 8;
    CHECK(isnan(predict("feature_row_sum", &q)));
}

/* delta^2 = 1: (1 - 1/e)^2 / 2 = .19978820, the integral of cos^2 less the mean. 16 at
 * .5: 2 e^{-2}. Never more than 1. */
static void cosines(atn_ctx *cx)
{
    double sum = 0, step = .01;

    (void)cx;
    for (double u = -10; u <= 10; u += step)
        sum += pow(cos(u) - exp(-.5), 2) * exp(-u * u / 2) * step;
    CHECK_NEAR(predict("fourier_variance", &(atn_quantities){.x = {1, 1}}),
               sum / sqrt(2 * acos(-1)), 1e-10);
    CHECK_NEAR(predict("fourier_variance", &(atn_quantities){.x = {1, 2}}), .0998941,
               1e-6);
    CHECK_NEAR(predict("fourier_tail", &(atn_quantities){.x = {16, .5}}), 2 * exp(-2),
               1e-15);
    CHECK_NEAR(predict("fourier_tail", &(atn_quantities){.x = {1, .1}}), 1, 0);
}

/* d = m = 8, all coordinates .2: |z|^2 = 1.28, entries e^{.32}: the statement gives
 * .5414, independent draws have .6156. More draws than dimensions: not said. */
static void orthogonal_as_quoted(atn_ctx *cx)
{
    const double entry = exp(.64);

    (void)cx;
    CHECK_NEAR(entry *
                   predict("orthogonal_draws", &(atn_quantities){.x = {1.28, 8, 8}}),
               .5414, 5e-5);
    CHECK_NEAR(entry *
                   predict("feature_variance", &(atn_quantities){.x = {0, 1.28, 8}}),
               .6156, 5e-5);
    CHECK(isnan(predict("orthogonal_draws", &(atn_quantities){.x = {1.28, 8, 9}})));
    CHECK(!atn_bound_find("orthogonal_draws")->verified);
    CHECK(!atn_bound_find("centred_length")->verified);
}

CHECK_MAIN({"golden variances", golden_variances},
           {"rows by integrals", rows_by_integrals}, {"cosines", cosines},
           {"orthogonal draws as quoted", orthogonal_as_quoted})
