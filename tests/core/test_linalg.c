/* tests/core/test_linalg.c -- Cholesky and eigenvalues. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "core/linalg.h"
#include "core/rng.h"

enum { MOST = 90 };

/* [[4,2],[2,5]] = L L' with L = [[2,0],[1,2]]; x = (1,-2) has a x = (0,-8). */
static void cholesky_golden(atn_ctx *cx)
{
    double a[] = {4, 99, 2, 5}, b[] = {0, -8}, bad[] = {1, 0, 2, 1};

    (void)cx;
    CHECK(atn_cholesky(a, 2));
    CHECK_NEAR(a[0], 2, 1e-15);
    CHECK_NEAR(a[2], 1, 1e-15);
    CHECK_NEAR(a[3], 2, 1e-15);
    atn_cholesky_solve(a, 2, b);
    CHECK_NEAR(b[0], 1, 1e-15);
    CHECK_NEAR(b[1], -2, 1e-15);
    CHECK(!atn_cholesky(bad, 2)); /* 1 - 2 * 2 < 0 */
}

static double *random_square(atn_ctx *cx, atn_idx n)
{
    atn_rng r = atn_rng_stream(cx->seed, "linalg", n, 0);
    double *x = malloc((size_t)(n * n) * sizeof *x);

    for (atn_idx i = 0; i < n * n; i++) x[i] = atn_rng_normal(&r);
    return x;
}

/* a <- x x' + shift; solves and multiplies back. */
static void cholesky_solves(atn_ctx *cx)
{
    for (atn_idx n = 1; n < 40; n += 7) {
        double *x = random_square(cx, n), a[40 * 40], l[40 * 40], b[40], got;

        for (atn_idx i = 0; i < n; i++)
            for (atn_idx j = 0; j < n; j++) {
                a[i * n + j] = i == j ? .5 : 0;
                for (atn_idx k = 0; k < n; k++)
                    a[i * n + j] += x[i * n + k] * x[j * n + k];
            }
        memcpy(l, a, sizeof a);
        for (atn_idx i = 0; i < n; i++) b[i] = x[i];
        CHECK(atn_cholesky(l, n));
        atn_cholesky_solve(l, n, b);
        for (atn_idx i = 0; i < n; i++) {
            got = 0;
            for (atn_idx j = 0; j < n; j++) got += a[i * n + j] * b[j];
            CHECK_NEAR(got, x[i], 1e-9);
        }
        free(x);
    }
}

/* [[2,1],[1,2]]: 1 and 3. A second difference matrix: 2 - 2 cos(k pi / (n + 1)). */
static void eigenvalues_golden(atn_ctx *cx)
{
    double a[] = {2, 1, 1, 2}, v[MOST], *t = calloc(MOST * MOST, sizeof *t);

    CHECK_OK(atn_eigenvalues(cx, a, 2, v));
    CHECK_NEAR(v[0], 1, 1e-14);
    CHECK_NEAR(v[1], 3, 1e-14);
    for (int i = 0; i < MOST; i++) {
        t[i * MOST + i] = 2;
        if (i > 0) t[i * MOST + i - 1] = t[(i - 1) * MOST + i] = -1;
    }
    CHECK_OK(atn_eigenvalues(cx, t, MOST, v));
    for (int k = 1; k <= MOST; k++)
        CHECK_NEAR(v[k - 1], 2 - 2 * cos(k * M_PI / (MOST + 1)), 1e-12);
    free(t);
}

/* Their sum is the trace, that of their squares the squared length; ascending. */
static void eigenvalues_of_random_matrices(atn_ctx *cx)
{
    for (atn_idx n = 1; n <= MOST; n = n * 3 + 1) {
        double *a = random_square(cx, n), v[MOST], trace = 0, square = 0;

        for (atn_idx i = 0; i < n; i++)
            for (atn_idx j = 0; j <= i; j++) a[j * n + i] = a[i * n + j];
        for (atn_idx i = 0; i < n * n; i++) square += a[i] * a[i];
        for (atn_idx i = 0; i < n; i++) trace += a[i * n + i];
        CHECK_OK(atn_eigenvalues(cx, a, n, v));
        for (atn_idx i = 0; i < n; i++) {
            trace -= v[i];
            square -= v[i] * v[i];
            if (i > 0) CHECK_LE(v[i - 1], v[i]);
        }
        CHECK_NEAR(trace, 0, 1e-11);
        CHECK_NEAR(square, 0, 1e-9);
        free(a);
    }
}

/* The companion matrix of (x - 2)(x + 3)(x^2 - 2x + 5), whose roots are 2, -3, 1 +- 2i:
 * x^4 - x^3 - 3x^2 + 17x - 30. */
static void general_golden(atn_ctx *cx)
{
    double a[] = {1, 3, -17, 30, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0}, re[4], im[4];
    static const double want[4][2] = {{2, 0}, {-3, 0}, {1, 2}, {1, -2}};

    CHECK_OK(atn_eigenvalues_general(cx, a, 4, re, im));
    for (int w = 0; w < 4; w++) {
        double least = INFINITY;
        for (int i = 0; i < 4; i++)
            least = fmin(least, hypot(re[i] - want[w][0], im[i] - want[w][1]));
        CHECK_NEAR(least, 0, 1e-12);
    }
}

/* Sums of the eigenvalues and of their squares are traces of a and of a a; symmetric matrices
 * have those of the other function. */
static void general_of_random_matrices(atn_ctx *cx)
{
    for (atn_idx n = 1; n <= MOST; n = n * 3 + 1) {
        double *a = random_square(cx, n), *b = random_square(cx, n);
        double re[MOST], im[MOST], v[MOST], trace = 0, square = 0, sum = 0;

        for (atn_idx i = 0; i < n; i++) {
            trace += a[i * n + i];
            for (atn_idx j = 0; j < n; j++) square += a[i * n + j] * a[j * n + i];
        }
        CHECK_OK(atn_eigenvalues_general(cx, a, n, re, im));
        for (atn_idx i = 0; i < n; i++) {
            trace -= re[i];
            square -= re[i] * re[i] - im[i] * im[i];
            sum += im[i];
        }
        CHECK_NEAR(trace, 0, 1e-10);
        CHECK_NEAR(square, 0, 1e-8);
        CHECK_NEAR(sum, 0, 1e-10);
        for (atn_idx i = 0; i < n; i++)
            for (atn_idx j = 0; j <= i; j++)
                b[j * n + i] = a[i * n + j] = a[j * n + i] = b[i * n + j];
        CHECK_OK(atn_eigenvalues_general(cx, a, n, re, im));
        CHECK_OK(atn_eigenvalues(cx, b, n, v));
        for (atn_idx i = 0; i < n; i++) {
            double least = INFINITY;
            for (atn_idx j = 0; j < n; j++)
                least = fmin(least, hypot(re[j] - v[i], im[j]));
            CHECK_NEAR(least, 0, 1e-9);
        }
        free(a);
        free(b);
    }
}

static void what_has_no_eigenvalues(atn_ctx *cx)
{
    double a[] = {1, NAN, NAN, 1}, v[2], w[2];

    CHECK_OK(atn_eigenvalues(cx, a, 0, v));
    CHECK_FAILS(atn_eigenvalues(cx, a, 2, v), ATN_DATA, "not finite");
    CHECK_OK(atn_eigenvalues_general(cx, a, 0, v, w));
    CHECK_FAILS(atn_eigenvalues_general(cx, a, 2, v, w), ATN_DATA, "not finite");
}

/* B B' with B = (2 0), (1 0), (0 3), of rank 2: L L' is that again, and L is lower. */
static void semidefinite(atn_ctx *cx)
{
    const double want[9] = {4, 2, 0, 2, 1, 0, 0, 0, 9};
    double a[9], zero[4] = {0};

    (void)cx;
    memcpy(a, want, sizeof a);
    a[1] = a[2] = a[5] = NAN; /* not read */
    atn_cholesky_half(a, 3);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            double sum = 0;

            for (int k = 0; k < 3; k++) sum += a[3 * i + k] * a[3 * j + k];
            CHECK_NEAR(sum, want[3 * i + j], 1e-12);
            if (j > i) CHECK_NEAR(a[3 * i + j], 0, 0);
        }
    CHECK_NEAR(a[4], 0, 0);
    atn_cholesky_half(zero, 2);
    for (int i = 0; i < 4; i++) CHECK_NEAR(zero[i], 0, 0);
}

/* 21 random vectors of 50 numbers, two of them spanned by others: the rest are orthonormal, those
 * two become 0, and every one lies in the span of what came before. */
static void orthonormal_vectors(atn_ctx *cx)
{
    enum { R = 21, N = 50 };
    atn_rng r = atn_rng_stream(3, "test/orthonormal", 0, 0);
    double q[R * N], from[R * N];

    (void)cx;
    for (int i = 0; i < R * N; i++) q[i] = atn_rng_normal(&r);
    for (int i = 0; i < N; i++) {
        q[4 * N + i] = 3 * q[1 * N + i] - q[3 * N + i];
        q[15 * N + i] = q[14 * N + i] + 1e3 * q[2 * N + i];
    }
    memcpy(from, q, sizeof q);
    atn_orthonormalise(q, R, N);
    for (int a = 0; a < R; a++)
        for (int b = 0; b <= a; b++) {
            double sum = 0;

            for (int i = 0; i < N; i++) sum += q[a * N + i] * q[b * N + i];
            CHECK_NEAR(sum, a == b && a != 4 && a != 15, 1e-12);
        }
    for (int a = 0; a < R; a++) {
        double left[N];

        memcpy(left, from + a * N, sizeof left);
        for (int b = 0; b <= a; b++) {
            double sum = 0;

            for (int i = 0; i < N; i++) sum += left[i] * q[b * N + i];
            for (int i = 0; i < N; i++) left[i] -= sum * q[b * N + i];
        }
        for (int i = 0; i < N; i++) CHECK_NEAR(left[i], 0, 1e-9);
    }
}

/* Random symmetric matrices: A u = t u, unit vectors apart from one another, and the values of
 * the other function. [2 1; 1 2]: 1 along (1, -1), 3 along (1, 1). */
static void eigenvectors(atn_ctx *cx)
{
    enum { SIDE = 33 };
    atn_rng r = atn_rng_stream(9, "test/eigenvectors", 0, 0);
    double pair[] = {2, 1, 1, 2}, value[SIDE], alone[SIDE];

    CHECK_OK(atn_eigenvectors(cx, pair, 2, value));
    CHECK_NEAR(value[0], 1, 1e-14);
    CHECK_NEAR(value[1], 3, 1e-14);
    CHECK_NEAR(pair[0] + pair[1], 0, 1e-14);
    CHECK_NEAR(fabs(pair[2]), sqrt(.5), 1e-14);
    for (int n = 1; n <= SIDE; n += 8) {
        double a[SIDE * SIDE], u[SIDE * SIDE];

        for (int i = 0; i < n; i++)
            for (int j = 0; j <= i; j++)
                a[i * n + j] = a[j * n + i] = atn_rng_normal(&r);
        memcpy(u, a, sizeof u);
        CHECK_OK(atn_eigenvectors(cx, u, n, value));
        for (int k = 0; k < n; k++)
            for (int i = 0; i < n; i++) {
                double product = 0, dot = 0;

                for (int j = 0; j < n; j++) {
                    product += a[i * n + j] * u[k * n + j];
                    dot += u[i * n + j] * u[k * n + j];
                }
                CHECK_NEAR(product, value[k] * u[k * n + i], 1e-12);
                CHECK_NEAR(dot, i == k, 1e-12);
            }
        CHECK_OK(atn_eigenvalues(cx, a, n, alone));
        for (int k = 0; k < n; k++) CHECK_NEAR(value[k], alone[k], 1e-12);
    }
    pair[1] = pair[2] = NAN;
    CHECK_FAILS(atn_eigenvectors(cx, pair, 2, value), ATN_DATA, "not finite");
}

/* By hand: a = (1 2 3; 4 5 6), b = (7 8; 9 10; 11 12): a b = (58 64; 139 154); what is
 * beside the columns stays. */
static void products_in_double(atn_ctx *cx)
{
    const double a[] = {1, 2, 3, -1, 4, 5, 6, -1}, b[] = {7, 8, 9, 10, 11, 12};
    const double at[] = {1, 4, 2, 5, 3, 6}, bt[] = {7, 9, 11, 8, 10, 12};
    const double want[] = {58, 64, 139, 154};
    const atn_cwide left = {a, 2, 3, 4}, right = {b, 3, 2, 2};

    (void)cx;
    for (int of = ATN_AB; of <= ATN_ATB; of++) {
        double c[] = {1, 1, 5, 1, 1, 5};
        const atn_wide to = {c, 2, 2, 3};

        atn_gemm_wide((atn_product_of)of, 2,
                      of == ATN_ATB ? (atn_cwide){at, 3, 2, 2} : left,
                      of == ATN_ABT ? (atn_cwide){bt, 2, 3, 3} : right, 10, to);
        for (int i = 0; i < 4; i++)
            CHECK_NEAR(c[i / 2 * 3 + i % 2], 2 * want[i] + 10, 0);
        CHECK_NEAR(c[2], 5, 0);
        atn_gemm_wide(ATN_AB, 1, (atn_cwide){a, 2, 0, 0}, (atn_cwide){b, 0, 2, 2}, 0,
                      to);
        CHECK_NEAR(c[0] + c[4], 0, 0); /* no columns: only beta */
    }
}

CHECK_MAIN({"products in double", products_in_double},
           {"orthonormal vectors", orthonormal_vectors}, {"eigenvectors", eigenvectors},
           {"semidefinite", semidefinite}, {"cholesky golden", cholesky_golden},
           {"cholesky solves", cholesky_solves},
           {"eigenvalues golden", eigenvalues_golden},
           {"eigenvalues of random matrices", eigenvalues_of_random_matrices},
           {"general golden", general_golden},
           {"general of random matrices", general_of_random_matrices},
           {"what has no eigenvalues", what_has_no_eigenvalues})
