/* Contraction: by hand, and small matrices by brute force. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "core/rng.h"
#include "theory/bound.h"

static double predict(const char *id, const atn_quantities *q)
{
    const atn_bound *b = atn_bound_find(id);

    CHECK(b);
    return atn_bound_predict(b, q);
}

static void golden(atn_ctx *cx)
{
    const double taus[] = {.5, .8, .25};
    const atn_quantities layers = {.x = {0, 3}, .list = {taus}, .n = {3}};

    (void)cx;
    CHECK_NEAR(predict("dobrushin", &(atn_quantities){.x = {.75, 4}}), 3, 1e-15);
    CHECK_NEAR(predict("dobrushin_overlap", &(atn_quantities){.x = {.25}}), .75, 0);
    CHECK_NEAR(predict("dobrushin_sink", &(atn_quantities){.x = {.2, 1}}), .8, 0);
    CHECK(isnan(predict("dobrushin_sink", &(atn_quantities){.x = {.2, .9}})));
    CHECK_NEAR(predict("dobrushin_product", &layers), .3, 1e-15);
    /* 2^(4) .5^9 */
    CHECK_NEAR(predict("rank_collapse", &(atn_quantities){.x = {.5, 2, 2}}), 1 / 32.,
               1e-15);
    CHECK(!atn_bound_find("rank_collapse")->verified);
}

enum { N = 4 };

static double osc(const double *x)
{
    double lo = x[0], hi = x[0];

    for (int i = 1; i < N; i++) {
        lo = fmin(lo, x[i]);
        hi = fmax(hi, x[i]);
    }
    return hi - lo;
}

/* Random stochastic matrices: all corners x in {0, 1}^4 stay within tau, and one that
 * reaches it exists. */
static void contraction_is_sharp(atn_ctx *cx)
{
    atn_rng r = atn_rng_stream(3, "test/collapse", 0, 0);

    (void)cx;
    for (int trial = 0; trial < 50; trial++) {
        double p[N][N], tau = 0, most = 0;

        for (int i = 0; i < N; i++) {
            double sum = 0;
            for (int j = 0; j < N; j++) sum += p[i][j] = atn_rng_uniform(&r);
            for (int j = 0; j < N; j++) p[i][j] /= sum;
        }
        for (int i = 0; i < N; i++)
            for (int l = 0; l < N; l++) {
                double sum = 0;
                for (int j = 0; j < N; j++) sum += fabs(p[i][j] - p[l][j]) / 2;
                tau = fmax(tau, sum);
            }
        for (int corner = 1; corner < 15; corner++) {
            double y[N] = {0};
            for (int i = 0; i < N; i++)
                for (int j = 0; j < N; j++) y[i] += p[i][j] * (corner >> j & 1);
            most = fmax(most, osc(y));
            CHECK_LE(osc(y),
                     predict("dobrushin", &(atn_quantities){.x = {tau, 1}}) + 1e-12);
        }
        CHECK_NEAR(most, tau, 1e-12);
    }
}

CHECK_MAIN({"golden", golden}, {"contraction is sharp", contraction_is_sharp})
