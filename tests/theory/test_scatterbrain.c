/* Sparse and low rank together: variance by quadrature, collisions by hand. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "theory/bound.h"

static double predict(const char *id, const atn_quantities *q)
{
    const atn_bound *b = atn_bound_find(id);

    CHECK(b);
    return atn_bound_predict(b, q);
}

/* A draw is h = e^{-z^2 / 2} cosh(w z) of a normal w: its variance by an integral. */
static void variance_is_the_integral(atn_ctx *cx)
{
    (void)cx;
    for (int k = 0; k < 4; k++) {
        const double z = .3 + .4 * k, p = .2 * k, m = 1 + k, entry = 1.5;
        double mean = 0, two = 0;
        atn_quantities q = {.x = {p, z * z, m, entry}};

        for (int i = -12000; i <= 12000; i++) {
            const double w = i / 1000.;
            const double by = exp(-w * w / 2) / sqrt(2 * acos(-1)) / 1000;
            const double h = exp(-z * z / 2) * cosh(w * z);

            mean += by * h;
            two += by * h * h;
        }
        CHECK_NEAR(mean, 1, 1e-12);
        CHECK_NEAR(predict("scatterbrain_variance", &q),
                   (1 - p) * (two - 1) / m * entry * entry, 1e-10);
    }
}

/* A right angle and 2 sides: 1 / 4, in 2 tables 7 / 16; no angle: 1; opposite: 0. */
static void collisions(atn_ctx *cx)
{
    const double right = acos(0);

    (void)cx;
    CHECK_NEAR(predict("sign_collision", &(atn_quantities){.x = {right, 2, 1}}), .25,
               1e-15);
    CHECK_NEAR(predict("sign_collision", &(atn_quantities){.x = {right, 2, 2}}),
               7 / 16., 1e-15);
    CHECK_NEAR(predict("sign_collision", &(atn_quantities){.x = {0, 5, 3}}), 1, 0);
    CHECK_NEAR(predict("sign_collision", &(atn_quantities){.x = {2 * right, 5, 3}}), 0,
               1e-15);
}

/* n = 1024: ln n = 6.93; d = 64: ln n / ln d = 1.67; Delta = .5: the middle from 5.2. */
static void regimes(atn_ctx *cx)
{
    const double beta[] = {1, 3, 6, 9}, wanted[] = {1, NAN, 2, 3};

    (void)cx;
    for (int k = 0; k < 4; k++) {
        const double x = predict("scatterbrain_regime",
                                 &(atn_quantities){.x = {beta[k], 1024, 64, .5}});

        CHECK(isnan(wanted[k]) ? isnan(x) : x == wanted[k]);
    }
    CHECK(isnan(
        predict("scatterbrain_regime", &(atn_quantities){.x = {1, 1024, 8, .5}})));
    CHECK(!atn_bound_find("scatterbrain_regime")->verified);
    CHECK_STR(atn_bound_caveat(atn_bound_find("scatterbrain_regime")),
              "as quoted, constants not verified");
    CHECK_STR(atn_bound_caveat(atn_bound_find("scatterbrain_parts")),
              "an expectation, no theorem");
    CHECK(!atn_bound_caveat(atn_bound_find("scatterbrain_mean")));
    CHECK_NEAR(predict("scatterbrain_parts", &(atn_quantities){.x = {.3, .2}}), .2, 0);
    CHECK_NEAR(predict("scatterbrain_mean", &(atn_quantities){.x = {1}}), 1, 0);
}

CHECK_MAIN({"variance is the integral", variance_is_the_integral},
           {"collisions by hand", collisions}, {"regimes", regimes})
