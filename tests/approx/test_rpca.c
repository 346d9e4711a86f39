/* tests/approx/test_rpca.c -- robust principal components on the card's matrix. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/rpca.h"
#include "tests/approx/decomposed.h"

enum { N = 60 };

/* L = sin .1i cos .1j + cos .3i sin .2j, S = 5 (-1)^{i+j} where (7i + 3j) mod 20 = 0: 180
 * entries. 21 steps and 1.0795e-7; at half lambda 19 and 1.745e-7, at twice 39 and
 * 5.216e-8. */
static void golden(atn_ctx *cx)
{
    static const double factors[] = {1, .5, 2},
                        errors[] = {1.0795e-7, 1.745e-7, 5.216e-8};
    static const int steps[] = {21, 19, 39};
    static double l0[N * N], m[N * N], t[N * N], l[N * N], s[N * N];

    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            l0[i * N + j] = sin(.1 * i) * cos(.1 * j) + cos(.3 * i) * sin(.2 * j);
            m[i * N + j] = l0[i * N + j] +
                           ((7 * i + 3 * j) % 20 == 0 ? ((i + j) % 2 ? -5 : 5) : 0);
        }
    for (size_t k = 0; k < ATN_LEN(factors); k++) {
        atn_rpca r = {.factor = factors[k], .steps = 1000, .l = l, .s = s};

        CHECK_OK(atn_rpca_run(cx, m, N, N, &r));
        CHECK_EQ(r.taken, steps[k]);
        CHECK_EQ(r.rank, 2);
        CHECK_EQ(r.entries, 180);
        CHECK_LE(r.residual, 1e-7);
        CHECK_NEAR(apart(l, l0, N * N) / apart(l0, NULL, N * N), errors[k],
                   1e-3 * errors[k]);
    }
    /* some rows more, either way: the transpose comes apart in the same way */
    for (int wide = 0; wide < 2; wide++) {
        static double st[N * N], lt[N * N];
        atn_rpca a = {.factor = 1, .steps = 1000, .l = l, .s = s};
        atn_rpca b = {.factor = 1, .steps = 1000, .l = lt, .s = st};
        const int rows = wide ? 40 : N, cols = wide ? N : 45;

        for (int i = 0; i < rows; i++)
            for (int j = 0; j < cols; j++) {
                t[j * rows + i] = m[i * N + j];
                st[i * cols + j] = m[i * N + j];
            }
        memcpy(l0, st, sizeof(double) * (size_t)(rows * cols));
        CHECK_OK(atn_rpca_run(cx, l0, rows, cols, &a));
        CHECK_OK(atn_rpca_run(cx, t, cols, rows, &b));
        CHECK_EQ(a.taken, b.taken);
        CHECK_EQ(a.rank, b.rank);
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < cols; j++)
                CHECK_NEAR(l[i * cols + j], lt[j * rows + i], 1e-9);
    }
}

/* The method: all that it finds is the matrix to 1e-7; at a budget no more than that;
 * limits. */
static void as_a_method(atn_ctx *cx)
{
    atn_plan plan[ZOO_HEADS_MOST];
    double p[30 * 30], w[30 * 30];
    atn_choice c;
    zoo z;

    zoo_random(&z, 1, 1, 30, 30, 5);
    dense_rows(&z, p);
    decompose(cx, &z, "rpca:steps=10000", w);
    CHECK_LE(apart(p, w, 900), 1.01e-7 * apart(p, NULL, 900));
    CHECK_LE(decompose(cx, &z, "rpca:numbers=8", w), 8);
    CHECK(apart(p, w, 900) > 1e-3);
    CHECK_OK(atn_choice_read(cx, "rpca", "most=20", &c));
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, plan), ATN_USAGE, "most=30");
    atn_err_clear(cx);
    zoo_failing(&z, "rpca", "steps=3");
    zoo_failing(&z, "rpca", "steps=3,numbers=8");
    zoo_free(&z);
}

static void nothing_at_all(atn_ctx *cx)
{
    double m[6] = {0}, l[6], s[6];
    atn_rpca r = {.factor = 1, .steps = 9, .l = l, .s = s};

    CHECK_OK(atn_rpca_run(cx, m, 2, 3, &r));
    CHECK(r.taken == 0 && r.rank == 0 && r.entries == 0 && l[5] == 0 && s[0] == 0);
}

CHECK_MAIN({"golden", golden}, {"as a method", as_a_method},
           {"nothing at all", nothing_at_all})
