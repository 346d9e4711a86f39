/* tests/approx/test_rff.c -- random Fourier features against their formula. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/operator_checks.h"

/* Mean cosine of the differences, projections 2 I and their double. */
static void meets_formula(atn_ctx *cx)
{
    float omega[4 * G8_D] = {0};
    double w[G8_N * G8_N], n[G8_N * G8_N];
    g8 x;
    zoo z;

    for (int r = 0; r < 4; r++) omega[r * G8_D + r] = r < 3 ? 2 : -4;
    g8_zoo(&z, true);
    x = g8_of(&z);
    g8_draws(cx, &z, "rff", "projections", -1, omega, 4, G8_D);
    op_run(cx, &z, "rff:features=9", w, NULL);
    op_run(cx, &z, "rff:features=8,normalise=yes", n, NULL);
    for (int i = 0; i < G8_N; i++) {
        double sum = 0;

        for (int j = 0; j <= i; j++) {
            double mean = 0;

            for (int r = 0; r < 4; r++)
                mean += cos((double)omega[r * G8_D + r] * sqrt(.5) *
                            (x.q[i][r] - x.k[j][r])) /
                        4;
            CHECK_NEAR(w[i * G8_N + j], mean, 1e-12);
            sum += mean;
        }
        for (int j = 0; j <= i; j++)
            CHECK_NEAR(n[i * G8_N + j], w[i * G8_N + j] / sum, 1e-9);
    }
    zoo_draws_end(&z, cx);
    zoo_free(&z);
}

/* Many draws: the Gaussian kernel, whose outputs are a golden row (Hoeffding: with 2^14
 * draws an entry is off by .03 with probability below 2e-3). A key that is the query:
 * exactly 1. */
static void the_kernel(atn_ctx *cx)
{
    double w[G8_N * G8_N], o[G8_N][G8_D];
    const g8 x = g8_exact();
    zoo z;

    g8_zoo(&z, false);
    op_run(cx, &z, "rff:features=32768", w, NULL);
    for (int i = 0; i < G8_N; i++) {
        memset(o[i], 0, sizeof o[i]);
        for (int j = 0; j < G8_N; j++) {
            double square = 0;

            for (int l = 0; l < G8_D; l++) square += pow(x.q[i][l] - x.k[j][l], 2);
            CHECK_NEAR(w[i * G8_N + j], exp(-square / 4), .03);
            for (int l = 0; l < G8_D; l++) o[i][l] += exp(-square / 4) * x.v[j][l];
        }
    }
    g8_check("gaussian kernel", o[0], 1e-9);
    memcpy(z.k, z.q, sizeof(float) * G8_N * G8_D);
    op_run(cx, &z, "rff:features=6,orthogonal=yes", w, NULL);
    for (int i = 0; i < G8_N; i++) CHECK_NEAR(w[i * G8_N + i], 1, 1e-12);
    zoo_free(&z);
}

static void operators(atn_ctx *cx)
{
    atn_plan p;
    atn_choice c;
    zoo z;

    op_same(cx, "rff:features=16", ATN_BOTH_WAYS);
    op_degenerate(cx, "rff:features=16,normalise=yes", ATN_BOTH_WAYS);
    op_threads(cx, "rff:features=16", ATN_BOTH_WAYS);
    op_causal(cx, "rff:features=16");
    zoo_random(&z, 1, 1, 9, 9, 2);
    zoo_failing(&z, "rff", "features=4");
    z.head[0].alibi_slope = .1;
    CHECK_OK(atn_choice_read(cx, "rff", NULL, &c));
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_DATA, "ALiBi");
    zoo_free(&z);
}

static void survives(atn_ctx *cx)
{
    static const char *const list[] = {"features=2", "features=300,normalise=yes"};

    zoo_survives_all(cx, "rff", list, ATN_LEN(list));
}

CHECK_MAIN({"meets its formula", meets_formula}, {"the kernel", the_kernel},
           {"the operator", operators}, {"survives", survives})
