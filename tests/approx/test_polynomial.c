/* tests/approx/test_polynomial.c -- polynomial attention against the polynomial of
 * every logit. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/operator_checks.h"

static double taylor(int degree, double x)
{
    double sum = 1;

    for (int m = degree; m >= 1; m--) sum = 1 + sum * x / m; /* Horner */
    return sum;
}

static void twin(const g8 *x, bool causal, int degree, double o[G8_N][G8_D])
{
    for (int i = 0; i < G8_N; i++) {
        double sum = 0;

        memset(o[i], 0, sizeof o[i]);
        for (int j = 0; j < (causal ? i + 1 : G8_N); j++) {
            double a = 0;

            for (int l = 0; l < G8_D; l++) a += x->q[i][l] * x->k[j][l];
            a = taylor(degree, G8_SCALE * a);
            sum += a;
            for (int l = 0; l < G8_D; l++) o[i][l] += a * x->v[j][l];
        }
        for (int l = 0; l < G8_D; l++) o[i][l] /= sum;
    }
}

static void golden(atn_ctx *cx)
{
    const g8 exact = g8_exact();
    double o[G8_N][G8_D], got[G8_N * G8_D], w[G8_N * G8_N];
    g8 floats;
    zoo z;

    twin(&exact, true, 4, o);
    g8_check("polynomial 4 causal", o[0], 1e-9);
    for (int way = 0; way < 16; way++) {
        char spec[40];

        g8_zoo(&z, way & 1);
        floats = g8_of(&z);
        snprintf(spec, sizeof spec, "polynomial:degree=%d", way / 2);
        op_run(cx, &z, spec, w, got);
        g8_same(&z, w, got, 1e-12);
        if (way == 9) g8_check("polynomial 4 causal", got, 2e-5);
        twin(&floats, way & 1, way / 2, o);
        for (int e = 0; e < G8_N * G8_D; e++)
            CHECK_NEAR(got[e], o[e / G8_D][e % G8_D], 1e-12);
        zoo_free(&z);
    }
}

/* Softmax in double of head 0, without a mask. */
static void softmax(const zoo *z, double *p)
{
    const atn_head *h = &z->head[0];

    for (atn_idx i = 0; i < h->nq; i++) {
        double sum = 0;

        for (atn_idx j = 0; j < h->nk; j++) {
            double a = 0;

            for (atn_idx l = 0; l < h->q.cols; l++)
                a += (double)atn_crow(h->q, i)[l] * (double)atn_crow(h->k, j)[l];
            p[i * h->nk + j] = exp(h->scale * a);
            sum += p[i * h->nk + j];
        }
        for (atn_idx j = 0; j < h->nk; j++) p[i * h->nk + j] /= sum;
    }
}

/* A high degree is softmax; with the keys far from 0 only where they are centred. */
static void tends_to_softmax(atn_ctx *cx)
{
    static double w[20 * 20], p[20 * 20];
    zoo z;

    zoo_random(&z, 1, 1, 20, 20, 4);
    for (int e = 0; e < 20 * 8; e++) z.q[e] *= .3f, z.k[e] *= .3f;
    softmax(&z, p);
    zoo_causal(&z, false);
    op_run(cx, &z, "polynomial:degree=6", w, NULL);
    for (int e = 0; e < 400; e++) CHECK_NEAR(w[e], p[e], 1e-4);
    for (int e = 0; e < 20 * 8; e++) z.k[e] += 20;
    op_run(cx, &z, "polynomial:degree=6,centre=yes", w, NULL);
    for (int e = 0; e < 400; e++) CHECK_NEAR(w[e], p[e], 1e-4);
    zoo_free(&z);
}

static void refusals(atn_ctx *cx)
{
    atn_plan p;
    atn_choice c;
    zoo z;

    zoo_random(&z, 1, 1, 9, 9, 2);
    CHECK_OK(atn_choice_read(cx, "polynomial", "degree=40", &c));
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_USAGE,
                "makes 377348994 features, above the limit of 100000");
    CHECK_OK(atn_choice_read(cx, "polynomial", "degree=4", &c));
    z.q[0] = 1e30f, z.k[5] = 1e38f;
    CHECK_OK(atn_choice_read(cx, "polynomial", "degree=9", &c));
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_DATA, "beyond the range");
    z.head[0].sight.softcap = 2;
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_DATA, "soft-cap");
    zoo_free(&z);
}

static void operators(atn_ctx *cx)
{
    zoo z;

    op_all(cx, "polynomial:degree=2", ATN_BOTH_WAYS);
    op_all(cx, "polynomial:degree=4,centre=yes", ATN_BOTH_WAYS);
    op_causal(cx, "polynomial:degree=4");
    zoo_random(&z, 1, 1, 9, 9, 2);
    zoo_failing(&z, "polynomial", NULL);
    zoo_free(&z);
}

static void survives(atn_ctx *cx)
{
    static const char *const list[] = {"degree=0", "degree=2", "degree=4",
                                       "centre=yes"};

    zoo_survives_all(cx, "polynomial", list, ATN_LEN(list));
}

CHECK_MAIN({"golden rows", golden}, {"tends to softmax", tends_to_softmax},
           {"refusals", refusals}, {"the operator", operators}, {"survives", survives})
