/* Singular values and vectors. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "core/rng.h"
#include "core/svd.h"

enum { MOST = 40 };

/* a = [3 0; 4 5]: a a' = [9 12; 12 41], eigenvalues 45 and 5. */
static void golden(atn_ctx *cx)
{
    double a[] = {3, 0, 4, 5}, b[] = {3, 0, 4, 5}, s[2], t[2], u[4], vt[4];

    CHECK_OK(atn_svd(cx, a, 2, 2, s, u, vt));
    CHECK_OK(atn_svd(cx, b, 2, 2, t, NULL, NULL));
    CHECK_NEAR(s[0], sqrt(45), 1e-14);
    CHECK_NEAR(s[1], sqrt(5), 1e-14);
    CHECK_NEAR(t[0], s[0], 1e-14);
    CHECK_NEAR(t[1], s[1], 1e-14);
    CHECK_NEAR(u[0] * s[0] * vt[0] + u[1] * s[1] * vt[2], 3, 1e-14);
    CHECK_NEAR(u[2] * s[0] * vt[1] + u[3] * s[1] * vt[3], 5, 1e-14);
}

static void one_shape(atn_ctx *cx, atn_idx m, atn_idx n)
{
    double a[MOST * MOST], b[MOST * MOST], s[MOST], u[MOST * MOST], vt[MOST * MOST];
    atn_rng rng = atn_rng_stream(1, "test/svd", m, n);
    const atn_idx r = ATN_MIN(m, n);

    for (atn_idx e = 0; e < m * n; e++) a[e] = b[e] = atn_rng_normal(&rng);
    CHECK_OK(atn_svd(cx, b, m, n, s, u, vt));
    for (atn_idx k = 0; k + 1 < r; k++) CHECK_LE(s[k + 1], s[k]);
    for (atn_idx i = 0; i < m; i++)
        for (atn_idx j = 0; j < n; j++) {
            double sum = 0;

            for (atn_idx k = 0; k < r; k++) sum += u[i * r + k] * s[k] * vt[k * n + j];
            CHECK_NEAR(sum, a[i * n + j], 1e-12);
        }
    for (atn_idx k = 0; k < r; k++)
        for (atn_idx l = 0; l < r; l++) {
            double left = 0, right = 0;

            for (atn_idx i = 0; i < m; i++) left += u[i * r + k] * u[i * r + l];
            for (atn_idx j = 0; j < n; j++) right += vt[k * n + j] * vt[l * n + j];
            CHECK_NEAR(left, k == l, 1e-12);
            CHECK_NEAR(right, k == l, 1e-12);
        }
}

static void shapes(atn_ctx *cx)
{
    static const atn_idx sides[] = {1, 2, 7, MOST};

    for (size_t a = 0; a < ATN_LEN(sides); a++)
        for (size_t b = 0; b < ATN_LEN(sides); b++) one_shape(cx, sides[a], sides[b]);
}

static void failures(atn_ctx *cx)
{
    double a[] = {1, 2, NAN, 4}, s[2], b[] = {1, 2, 3, 4};
    check_failing fail = {0};
    atn_ctx poor;

    CHECK_FAILS(atn_svd(cx, a, 2, 2, s, NULL, NULL), ATN_DATA, "entry 2 of a 2 x 2");
    CHECK_OK(atn_svd(cx, a, 0, 2, s, NULL, NULL));
    /* 4 r^2 numbers of workspace, and the matrix itself; nothing is read */
    CHECK_FAILS(atn_svd(cx, a, 23171, 23171, s, b, b), ATN_MEMORY,
                "23171 x 23171 matrix with vectors: there is no counting");
    CHECK_FAILS(atn_svd(cx, a, 46341, 46341, s, NULL, NULL), ATN_MEMORY,
                "46341 x 46341 matrix: there is no counting");
    CHECK_FAILS(atn_svd(cx, a, (atn_idx)1 << 40, 2, s, NULL, NULL), ATN_MEMORY,
                "there is no counting");
    atn_ctx_init(&poor);
    poor.alloc = (atn_allocator){check_failing_resize, &fail};
    CHECK_EQ(atn_svd(&poor, b, 2, 2, s, NULL, NULL), ATN_MEMORY);
    atn_ctx_release(&poor);
}

/* A long row: its length. */
static void long_row(atn_ctx *cx)
{
    enum { LONG = 40000 };
    static double a[LONG], vt[LONG];
    double s, u;

    for (int e = 0; e < LONG; e++) a[e] = e % 2 ? 3 : -4;
    CHECK_OK(atn_svd(cx, a, 1, LONG, &s, &u, vt));
    CHECK_NEAR(s, sqrt(12.5 * LONG), 1e-9);
    CHECK_NEAR(fabs(u), 1, 1e-14);
    CHECK_NEAR(u * s * vt[LONG - 1], 3, 1e-12);
}

CHECK_MAIN({"golden", golden}, {"shapes", shapes}, {"failures", failures},
           {"long row", long_row})
