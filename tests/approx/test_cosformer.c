/* tests/approx/test_cosformer.c -- cosFormer against its cosine, not split. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/operator_checks.h"

/* Weights of rows that see keys up to `at` or all; M infinite where it is 0. */
static void weights(const zoo *z, double m, double *w)
{
    const atn_head *h = &z->head[0];

    for (atn_idx i = 0; i < h->nq; i++) {
        const atn_idx at = i + h->sight.offset;
        double sum = 0;

        for (atn_idx j = 0; j < h->nk; j++) {
            double *a = &w[i * h->nk + j];

            *a = 0;
            if (h->sight.causal && j > at) continue;
            for (atn_idx c = 0; c < h->q.cols; c++)
                *a += fmax((double)atn_crow(h->q, i)[c], 0) *
                      fmax((double)atn_crow(h->k, j)[c], 0);
            if (m > 0) *a *= cos(acos(-1) * (double)(at - j) / (2 * m));
            sum += *a;
        }
        for (atn_idx j = 0; j < h->nk; j++) w[i * h->nk + j] /= fmax(sum, 1e-6);
    }
}

static void golden(atn_ctx *cx)
{
    for (int causal = 0; causal < 2; causal++) {
        const char *row = causal ? "cosformer 8 causal" : "cosformer 8";
        double want[G8_N * G8_N], w[G8_N * G8_N], got[G8_N * G8_D];
        zoo z;

        g8_zoo(&z, causal);
        g8_run(cx, &z, "cosformer", got, w);
        g8_check(row, got, 2e-5);
        weights(&z, 8, want);
        op_run(cx, &z, "cosformer:m=8", w, got);
        g8_same(&z, w, got, 1e-12);
        g8_check(row, got, 1e-6);
        for (int e = 0; e < G8_N * G8_N; e++) CHECK_NEAR(w[e], want[e], 1e-9);
        zoo_free(&z);
    }
}

/* Random heads, any offset; M large is ReLU alone. */
static void random_heads(atn_ctx *cx)
{
    static double want[40 * 40], w[40 * 40];
    static const char *const specs[] = {"cosformer", "cosformer:m=90",
                                        "cosformer:m=1073741824"};
    static const double m[] = {40, 90, 0};

    for (int k = 0; k < 12; k++) {
        zoo z;

        zoo_random(&z, 1, 1, k % 4 < 2 ? 40 : 7, 40, 60 + (uint64_t)k);
        zoo_causal(&z, k & 1);
        weights(&z, m[k / 4], want);
        op_run(cx, &z, specs[k / 4], w, NULL);
        for (atn_idx e = 0; e < z.head[0].nq * 40; e++) {
            CHECK_NEAR(w[e], want[e], 1e-9);
            CHECK_LE(0, w[e]);
        }
        zoo_free(&z);
    }
}

/* No positive coordinate: nothing, and it is counted. Below the text's length m is
 * refused. */
static void edges(atn_ctx *cx)
{
    double o[9 * 5];
    atn_plan p;
    atn_choice c;
    zoo z;

    zoo_random(&z, 1, 1, 9, 9, 2);
    for (int e = 0; e < 8; e++) z.q[4 * 8 + e] = -1;
    CHECK_OK(atn_choice_read(cx, "cosformer", NULL, &c));
    CHECK_OK(atn_choice_plan(cx, &c, &z.in, 0, &p));
    CHECK_EQ(p.op.vanished, 1);
    CHECK_NEAR(p.numbers, 32, 0);
    atn_plan_release(cx, &p);
    op_run(cx, &z, "cosformer", NULL, o);
    for (int e = 0; e < 5; e++) CHECK(o[20 + e] == 0);
    CHECK_OK(atn_choice_read(cx, "cosformer", "m=8", &c));
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_USAGE, "m=9 or more");
    zoo_failing(&z, "cosformer", NULL);
    z.head[0].has_sink = true;
    CHECK_OK(atn_choice_read(cx, "cosformer", NULL, &c));
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_DATA, "sink");
    zoo_free(&z);
}

static void operators(atn_ctx *cx)
{
    static const char *const list[] = {"m=0", "m=24,floor=1", "m=3"};

    op_all(cx, "cosformer", ATN_BOTH_WAYS);
    op_causal(cx, "cosformer");
    zoo_survives_all(cx, "cosformer", list, ATN_LEN(list));
}

CHECK_MAIN({"golden rows", golden}, {"random heads", random_heads}, {"edges", edges},
           {"the operator", operators})
