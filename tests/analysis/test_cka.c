/* tests/analysis/test_cka.c -- linear CKA, biased and debiased. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "analysis/cka.h"
#include "core/rng.h"

enum { MOST = 300 };

static atn_cmat view(const float *x, atn_idx n, atn_idx d)
{
    const atn_cmat m = {x, n, d, d};

    return m;
}

/* Both forms for one pair. */
static void cka(atn_ctx *cx, atn_cmat x, atn_cmat y, double *biased, double *debiased)
{
    const atn_cmat both[] = {x, y};
    double plain[4], bare[4];

    CHECK_OK(atn_cka_pairs(cx, both, 2, plain, bare));
    *biased = plain[1];
    *debiased = bare[1];
}

/* Card B12. By hand for (1,-1,1,-1): the centred columns of X are (0,-1,0,1) and
 * (-1.25,-.25,-.25,1.75), X'y = (0,-3), X'X = [[2,2],[2,4.75]], y'y = 4:
 * 9 / (4 sqrt 34.5625) = .382719. */
static void golden(atn_ctx *cx)
{
    const float x[] = {1, 0, 0, 1, 1, 1, 2, 3}, up[] = {1, 2, 3, 5},
                sign[] = {1, -1, 1, -1};
    float turned[8];
    double a, b;

    cka(cx, view(x, 4, 2), view(up, 4, 1), &a, &b);
    CHECK_NEAR(a, .934320, 1e-6);
    cka(cx, view(x, 4, 2), view(sign, 4, 1), &a, &b);
    CHECK_NEAR(a, .382719, 1e-6);
    for (int i = 0; i < 4; i++) {
        turned[2 * i] = 3 * (.6f * x[2 * i] - .8f * x[2 * i + 1]) + 7;
        turned[2 * i + 1] = 3 * (.8f * x[2 * i] + .6f * x[2 * i + 1]) - 2;
    }
    cka(cx, view(x, 4, 2), view(turned, 4, 2), &a, &b);
    CHECK_NEAR(a, 1, 1e-6);
    CHECK_NEAR(b, 1, 1e-6);
}

/* By definition, with n x n matrices of the columns as they are. */
static double dense_dot(const float *x, atn_idx d, atn_idx i, atn_idx j,
                        const double *mean)
{
    double s = 0;

    for (atn_idx c = 0; c < d; c++)
        s += ((double)x[i * d + c] - mean[c]) * ((double)x[j * d + c] - mean[c]);
    return s;
}

static void means(const float *x, atn_idx n, atn_idx d, double *mean)
{
    for (atn_idx c = 0; c < d; c++) {
        mean[c] = 0;
        for (atn_idx i = 0; i < n; i++) mean[c] += (double)x[i * d + c] / (double)n;
    }
}

static double dense_hsic(const float *x, atn_idx dx, const float *y, atn_idx dy,
                         atn_idx n, bool debiased)
{
    static const double zero[MOST];
    double mx[MOST] = {0}, my[MOST] = {0}, trace = 0, both = 0, all_k = 0, all_l = 0;

    if (!debiased) {
        means(x, n, dx, mx);
        means(y, n, dy, my);
    }
    for (atn_idx i = 0; i < n; i++) {
        double row_k = 0, row_l = 0;

        for (atn_idx j = 0; j < n; j++) {
            const double k = dense_dot(x, dx, i, j, debiased ? zero : mx);
            const double l = dense_dot(y, dy, i, j, debiased ? zero : my);

            if (debiased && i == j) continue;
            trace += k * l;
            row_k += k;
            row_l += l;
        }
        both += row_k * row_l;
        all_k += row_k;
        all_l += row_l;
    }
    if (!debiased) return trace;
    return trace + all_k * all_l / (double)((n - 1) * (n - 2)) -
           2 * both / (double)(n - 2);
}

static double dense_cka(const float *x, atn_idx dx, const float *y, atn_idx dy,
                        atn_idx n, bool debiased)
{
    return dense_hsic(x, dx, y, dy, n, debiased) /
           sqrt(dense_hsic(x, dx, x, dx, n, debiased) *
                dense_hsic(y, dy, y, dy, n, debiased));
}

static float *random_rows(atn_ctx *cx, atn_idx count, int which, double mean)
{
    atn_rng r = atn_rng_stream(cx->seed, "cka", which, 0);
    float *x = malloc((size_t)count * sizeof *x);

    for (atn_idx i = 0; i < count; i++) x[i] = (float)(mean + atn_rng_normal(&r));
    return x;
}

/* Both ways to the same number: few rows of many columns, and many rows of few. */
static void dense_twin(atn_ctx *cx)
{
    static const atn_idx shapes[][3] = {{4, 2, 3},   {5, 200, 130}, {40, 17, 1},
                                        {150, 9, 8}, {290, 3, 33},  {33, 64, 64}};

    for (int s = 0; s < 6; s++) {
        const atn_idx n = shapes[s][0], dx = shapes[s][1], dy = shapes[s][2];
        float *x = random_rows(cx, n * dx, s, 3),
              *y = random_rows(cx, n * dy, s + 50, -1);
        double biased, debiased;

        for (atn_idx i = 0; i < n; i++) y[i * dy] += x[i * dx];
        cka(cx, view(x, n, dx), view(y, n, dy), &biased, &debiased);
        CHECK_NEAR(biased, dense_cka(x, dx, y, dy, n, false), 2e-6);
        CHECK_NEAR(debiased, dense_cka(x, dx, y, dy, n, true), 2e-5);
        free(x);
        free(y);
    }
}

/* Three matrices at once are the three pairs; symmetric, 1 on the diagonal, in [0, 1]. */
static void pairs_agree(atn_ctx *cx)
{
    const atn_idx n = 60, d[] = {5, 90, 12};
    float *x[3];
    atn_cmat m[3];
    double all[9], bare[9], one, other;

    for (int a = 0; a < 3; a++) {
        x[a] = random_rows(cx, n * d[a], a, 0);
        m[a] = view(x[a], n, d[a]);
    }
    CHECK_OK(atn_cka_pairs(cx, m, 3, all, bare));
    for (int a = 0; a < 3; a++)
        for (int b = 0; b < 3; b++) {
            cka(cx, m[a], m[b], &one, &other);
            CHECK_NEAR(all[a * 3 + b], one, 1e-7);
            CHECK_NEAR(bare[a * 3 + b], other, 1e-7);
            CHECK_NEAR(all[a * 3 + b], all[b * 3 + a], 0);
            CHECK(all[a * 3 + b] >= 0 && all[a * 3 + b] <= 1);
        }
    CHECK_NEAR(all[0], 1, 0);
    /* independent columns: the debiased form is near 0 where the biased one is not */
    CHECK_LE(fabs(bare[1]), .1);
    CHECK_LE(.2, all[1 * 3 + 2]);
    for (int a = 0; a < 3; a++) free(x[a]);
}

/* The order of the rows and a shift of a column are not seen. */
static void rows_may_move(atn_ctx *cx)
{
    const atn_idx n = 50;
    float *x = random_rows(cx, n * 7, 1, 0), *y = random_rows(cx, n * 4, 2, 0), t;
    double a, b, c, d;

    for (atn_idx i = 0; i < n; i++) y[i * 4] += 2 * x[i * 7 + 3];
    cka(cx, view(x, n, 7), view(y, n, 4), &a, &b);
    for (atn_idx i = 0; i < n / 2; i++) {
        for (int e = 0; e < 7; e++) {
            t = x[i * 7 + e];
            x[i * 7 + e] = x[(n - 1 - i) * 7 + e];
            x[(n - 1 - i) * 7 + e] = t;
        }
        for (int e = 0; e < 4; e++) {
            t = y[i * 4 + e];
            y[i * 4 + e] = y[(n - 1 - i) * 4 + e];
            y[(n - 1 - i) * 4 + e] = t;
        }
    }
    for (atn_idx i = 0; i < n; i++) x[i * 7 + 2] += 64;
    cka(cx, view(x, n, 7), view(y, n, 4), &c, &d);
    CHECK_NEAR(a, c, 1e-5);
    CHECK_NEAR(b, d, 1e-5);
    free(x);
    free(y);
}

static void what_has_no_cka(atn_ctx *cx)
{
    const float same[] = {.1f, .7f, .1f, .7f, .1f, .7f, .1f, .7f, .1f, .7f};
    const float x[] = {1, 2, 0, 4, 3};
    double a = 0, b = 0;

    cka(cx, view(same, 5, 2), view(x, 5, 1), &a, &b);
    CHECK(isnan(a) && isnan(b));
    cka(cx, view(x, 3, 1), view(x, 3, 1), &a, &b);
    CHECK(a == 1 && isnan(b));
    cka(cx, view(x, 1, 1), view(x, 1, 1), &a, &b);
    CHECK(isnan(a) && isnan(b));
    cka(cx, view(NULL, 0, 1), view(NULL, 0, 1), &a, &b);
    CHECK(isnan(a) && isnan(b));
}

static void threads_do_not_matter(atn_ctx *cx)
{
    float *x[3];
    atn_cmat m[3];
    double one[9], four[9];

    for (int a = 0; a < 3; a++) {
        x[a] = random_rows(cx, 200 * 20, a, 0);
        m[a] = view(x[a], 200, 20);
    }
    cx->threads = 1;
    CHECK_OK(atn_cka_pairs(cx, m, 3, one, NULL));
    cx->threads = 4;
    CHECK_OK(atn_cka_pairs(cx, m, 3, four, NULL));
    CHECK(memcmp(one, four, sizeof one) == 0);
    cx->mem_limit = 1000;
    CHECK_FAILS(atn_cka_pairs(cx, m, 3, one, NULL), ATN_MEMORY, "CKA");
    for (int a = 0; a < 3; a++) free(x[a]);
}

CHECK_MAIN({"golden", golden}, {"dense twin", dense_twin}, {"pairs agree", pairs_agree},
           {"rows may move", rows_may_move}, {"what has no CKA", what_has_no_cka},
           {"threads do not matter", threads_do_not_matter})
