/* tests/approx/test_linear.c -- linear attention against loops. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/operator_checks.h"

static double phi(double x)
{
    return x > 0 ? x + 1 : exp(x);
}

static void twin(const g8 *x, bool causal, double eps, double o[G8_N][G8_D])
{
    for (int i = 0; i < G8_N; i++) {
        double sum = eps;

        memset(o[i], 0, sizeof o[i]);
        for (int j = 0; j < (causal ? i + 1 : G8_N); j++) {
            double a = 0;

            for (int l = 0; l < G8_D; l++) a += phi(x->q[i][l]) * phi(x->k[j][l]);
            sum += a;
            for (int l = 0; l < G8_D; l++) o[i][l] += a * x->v[j][l];
        }
        for (int l = 0; l < G8_D; l++) o[i][l] /= sum;
    }
}

static void golden(atn_ctx *cx)
{
    for (int way = 0; way < 6; way++) {
        const bool causal = way & 1;
        const double eps[] = {0, 1e-6, .5};
        double o[G8_N][G8_D], got[G8_N * G8_D], w[G8_N * G8_N];
        const g8 exact = g8_exact();
        g8 floats;
        zoo z;

        twin(&exact, causal, 0, o);
        g8_check(causal ? "linear causal" : "linear", o[0], 1e-9);
        g8_zoo(&z, causal);
        floats = g8_of(&z);
        z.in.as_published = way / 2 == 1;
        g8_run(cx, &z, "linear", got, w);
        g8_check(causal ? "linear causal" : "linear", got, 2e-5);
        op_run(cx, &z, way / 2 == 2 ? "linear:eps=.5" : "linear", w, got);
        g8_same(&z, w, got, 1e-12);
        twin(&floats, causal, eps[way / 2], o);
        for (int e = 0; e < G8_N * G8_D; e++)
            CHECK_NEAR(got[e], o[e / G8_D][e % G8_D], 1e-12);
        zoo_free(&z);
    }
}

/* A causal row is the full one of its prefix; keys in another order change no full
 * row. */
static void prefixes(atn_ctx *cx)
{
    double causal[30 * 5], full[30 * 5];
    zoo z;

    zoo_random(&z, 1, 1, 30, 30, 8);
    op_run(cx, &z, "linear", NULL, causal);
    zoo_causal(&z, false);
    z.head[0].nk = z.head[0].k.rows = z.head[0].v.rows = z.head[0].sight.key_last = 21;
    op_run(cx, &z, "linear", NULL, full);
    for (int e = 0; e < 5; e++) CHECK_NEAR(causal[100 + e], full[100 + e], 1e-12);
    for (int j = 0; j < 10; j++)
        for (int e = 0; e < 8; e++) {
            const float x = z.k[j * 8 + e];

            z.k[j * 8 + e] = z.k[(20 - j) * 8 + e];
            z.k[(20 - j) * 8 + e] = x;
            if (e >= 5) continue;
            causal[e] = (double)z.v[j * 5 + e];
            z.v[j * 5 + e] = z.v[(20 - j) * 5 + e];
            z.v[(20 - j) * 5 + e] = (float)causal[e];
        }
    op_run(cx, &z, "linear", NULL, causal);
    for (int e = 0; e < 150; e++) CHECK_NEAR(causal[e], full[e], 1e-12);
    zoo_free(&z);
}

static void operators(atn_ctx *cx)
{
    atn_plan p;
    atn_choice c;
    zoo z;

    op_all(cx, "linear", ATN_BOTH_WAYS);
    op_causal(cx, "linear");
    zoo_random(&z, 1, 1, 9, 9, 2);
    zoo_failing(&z, "linear", NULL);
    z.head[0].sight.softcap = 2;
    CHECK_OK(atn_choice_read(cx, "linear", NULL, &c));
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_DATA, "soft-cap");
    zoo_free(&z);
}

static void survives(atn_ctx *cx)
{
    static const char *const list[] = {"eps=0", "eps=1"};

    zoo_survives_all(cx, "linear", list, ATN_LEN(list));
}

CHECK_MAIN({"golden rows", golden}, {"prefixes", prefixes}, {"the operator", operators},
           {"survives", survives})
