/* The best keys of every row, several numbers of them, against a search of its own. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx_twin.h"

#include "analysis/approx_oracle.h"

/* Error and mass of the k best keys of every row. */
static void best(const twin *t, atn_idx k, double *error, double *mass)
{
    double off2 = 0, size2 = 0, rows = 0;

    *mass = 0;
    for (atn_idx i = 0; i < t->h.nq; i++) {
        const double *a = t->a + i * t->h.nk;
        double m = 0, o[DENSE_DV] = {0}, rest = 1 / t->share[i] - 1;

        if (!twin_counts(t, i)) continue;
        rows++;
        for (atn_idx j = 0; j < t->h.nk; j++) {
            if (!twin_top(t, i, j, k)) continue;
            m += a[j];
            for (int c = 0; c < DENSE_DV; c++)
                o[c] += a[j] * (double)t->h.v.data[j * DENSE_DV + c];
        }
        *mass += m;
        for (int c = 0; c < DENSE_DV; c++) {
            const double dense = t->o[i * DENSE_DV + c];

            off2 += pow(dense - (m > 0 ? o[c] / (m + rest) : 0), 2);
            size2 += dense * dense;
        }
    }
    *mass /= rows;
    *error = sqrt(off2 / size2);
}

static void every_kind(atn_ctx *cx)
{
    static const atn_idx k[] = {0, 1, 2, 5, 17, 29, 1000};
    enum { KS = sizeof k / sizeof *k };

    for (int kind = 0; kind < DENSE_BLIND; kind++) {
        twin t = twin_make((dense_kind)kind, 29, 7);
        const atn_dense_opts opts = {NULL, NULL, 0, 4};
        double error[KS], mass[KS];
        atn_dense d;

        CHECK_OK(atn_dense_make(cx, &t.h, &opts, &d));
        CHECK_OK(atn_approx_oracle(cx, &d, k, KS, error, mass));
        for (int s = 0; s < KS; s++) {
            double e, m;

            best(&t, k[s], &e, &m);
            CHECK_NEAR(error[s], e, 2e-5);
            CHECK_NEAR(mass[s], m, 1e-6);
        }
        CHECK_NEAR(error[0], 1, 0);
        CHECK_NEAR(error[KS - 1], 0, 0);
        CHECK_NEAR(mass[KS - 1], 1, 1e-12);
        atn_dense_release(cx, &d);
        twin_drop(&t);
    }
}

/* Weights .25 .25 .25 .25 of one row, values 1 2 4 8: ties go to the lower key, so k =
 * 1 gives 1, k = 2 gives 1.5, k = 3 gives 7/3; dense 3.75. */
static void ties(atn_ctx *cx)
{
    const float q[1] = {0}, key[4] = {1, 2, 3, 4}, v[4] = {1, 2, 4, 8};
    const atn_head h = {.q = {q, 1, 1, 1},
                        .k = {key, 4, 1, 1},
                        .v = {v, 4, 1, 1},
                        .nq = 1,
                        .nk = 4,
                        .scale = 1,
                        .sight = {.key_last = 4}};
    static const atn_idx k[] = {1, 2, 3};
    const atn_dense_opts opts = {NULL, NULL, 0, 2};
    double error[3], mass[3];
    atn_dense d;

    CHECK_OK(atn_dense_make(cx, &h, &opts, &d));
    CHECK_EQ(d.top[0], 0);
    CHECK_EQ(d.top[1], 1);
    CHECK_OK(atn_approx_oracle(cx, &d, k, 3, error, mass));
    CHECK_NEAR(error[0], 2.75 / 3.75, 1e-6);
    CHECK_NEAR(error[1], 2.25 / 3.75, 1e-6);
    CHECK_NEAR(error[2], (3.75 - 7. / 3) / 3.75, 1e-6);
    CHECK_NEAR(mass[2], .75, 1e-7);
    atn_dense_release(cx, &d);
}

static void threads(atn_ctx *cx)
{
    static const atn_idx k[] = {3, 40, 90};
    twin t = twin_make(DENSE_CAUSAL, 300, 1);
    const atn_dense_opts opts = {NULL, NULL, 0, 4};
    double error[2][3], mass[2][3];

    for (int run = 0; run < 2; run++) {
        atn_dense d;

        cx->threads = run ? 4 : 1;
        CHECK_OK(atn_dense_make(cx, &t.h, &opts, &d));
        CHECK_OK(atn_approx_oracle(cx, &d, k, 3, error[run], mass[run]));
        atn_dense_release(cx, &d);
    }
    CHECK(memcmp(error[0], error[1], sizeof error[0]) == 0);
    CHECK(memcmp(mass[0], mass[1], sizeof mass[0]) == 0);
    twin_drop(&t);
}

CHECK_MAIN({"every kind", every_kind}, {"ties", ties}, {"threads", threads})
