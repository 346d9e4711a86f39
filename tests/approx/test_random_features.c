/* tests/approx/test_random_features.c -- projections and feature maps, against loops. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/random_features.h"
#include "tests/approx/g8.h"

enum { M = 7, D = 8, ROWS = 150 };

static const atn_map_kind kinds[] = {ATN_MAP_POSITIVE, ATN_MAP_HYPERBOLIC,
                                     ATN_MAP_TRIGONOMETRIC, ATN_MAP_GAUSSIAN};

/* Feature r of x by its formula, nothing taken out. */
static double plain(atn_map_kind kind, const float *omega, const double *x, int m,
                    int r)
{
    double u = 0, h = 0;

    for (int c = 0; c < D; c++) {
        u += (double)omega[r % m * D + c] * x[c];
        h += x[c] * x[c] / 2;
    }
    switch (kind) {
    case ATN_MAP_POSITIVE:
        return exp(u - h) / sqrt(m);
    case ATN_MAP_HYPERBOLIC:
        return exp((r < m ? u : -u) - h) / sqrt(2 * m);
    case ATN_MAP_TRIGONOMETRIC:
        return exp(h) * (r < m ? cos(u) : sin(u)) / sqrt(m);
    default:
        return (r < m ? cos(u) : sin(u)) / sqrt(m);
    }
}

static void meets_formulas(atn_ctx *cx)
{
    static double out[ROWS * 2 * M], log[ROWS];
    double mean[D];
    float omega[M * D];
    uint64_t seed = 3;
    zoo z;

    zoo_random(&z, 1, 1, ROWS, ROWS, 17);
    for (int e = 0; e < M * D; e++) omega[e] = (float)(4 * zoo_uniform(&seed) - 2);
    for (int c = 0; c < D; c++) mean[c] = zoo_uniform(&seed);
    for (size_t k = 0; k < 2 * ATN_LEN(kinds); k++) {
        const atn_random_map f = {
            kinds[k / 2], {omega, M, D, D}, k % 2 ? -.3 : .7, k % 2 ? mean : NULL};
        const int width = (int)atn_random_width(f.kind, M);

        CHECK_OK(atn_random_features(cx, &f, z.head[0].k, out, log, "test"));
        for (int i = 0; i < ROWS; i++)
            for (int r = 0; r < width; r++) {
                const double root = k % 2 ? -sqrt(.3) : sqrt(.7);
                double x[D], want;

                for (int c = 0; c < D; c++)
                    x[c] = root * ((double)z.k[i * D + c] - (k % 2 ? mean[c] : 0));
                want = plain(f.kind, omega, x, M, r);
                CHECK_LE(fabs(out[i * width + r]), 1);
                CHECK_NEAR(out[i * width + r] * exp(log[i]), want,
                           1e-12 * (1 + fabs(want)));
            }
    }
    zoo_free(&z);
}

/* Rows of 1e4: no number is lost. */
static void no_overflow(atn_ctx *cx)
{
    const float x[] = {1e4f, -1e4f, 1e4f, 0}, omega[] = {1, -1, 0, 2, 0, 1, 3, 0};
    double out[4], log;

    for (size_t k = 0; k < ATN_LEN(kinds); k++) {
        const atn_random_map f = {kinds[k], {omega, 2, 4, 4}, 1, NULL};
        const int width = (int)atn_random_width(f.kind, 2);
        double most = 0;

        CHECK_OK(
            atn_random_features(cx, &f, (atn_cmat){x, 1, 4, 4}, out, &log, "test"));
        CHECK(isfinite(log));
        for (int r = 0; r < width; r++) most = fmax(most, fabs(out[r]));
        CHECK_LE(most, 1);
        CHECK_LE(k < 2 ? 1 : 0, most);
    }
}

/* Blocks of d orthogonal rows; lengths of the right mean square; the same again. */
static void orthogonal(atn_ctx *cx)
{
    static float x[2][400 * D];
    double square = 0, across = 0;
    zoo z;

    zoo_random(&z, 1, 1, 1, 1, 1);
    for (int root = 0; root < 2; root++) {
        const atn_projections p = {"test", 20, D, true, root};

        CHECK_OK(atn_projections_make(cx, &z.in, &p, x[0]));
        for (int a = 0; a < 20; a++)
            for (int b = 0; b < a; b++) {
                double dot = 0;

                for (int c = 0; c < D; c++)
                    dot += (double)x[0][a * D + c] * (double)x[0][b * D + c];
                if (a / D == b / D)
                    CHECK_NEAR(dot, 0, 1e-5);
                else
                    across = fmax(across, fabs(dot));
            }
        CHECK_LE(.1, across);
        for (int a = 0; a < 20; a++) {
            double s = 0;

            for (int c = 0; c < D; c++) s += pow((double)x[0][a * D + c], 2);
            if (root) CHECK_NEAR(s, D, 1e-5);
        }
    }
    CHECK_OK(atn_projections_make(
        cx, &z.in, &(atn_projections){"test", 400, D, true, false}, x[0]));
    CHECK_OK(atn_projections_make(
        cx, &z.in, &(atn_projections){"test", 400, D, true, false}, x[1]));
    CHECK(memcmp(x[0], x[1], sizeof x[0]) == 0);
    for (int e = 0; e < 400 * D; e++) square += pow((double)x[0][e], 2);
    CHECK_NEAR(square / (400 * D), 1, .1); /* standard error .025 */
    zoo_free(&z);
}

static void widths(atn_ctx *cx)
{
    (void)cx;
    CHECK_EQ(atn_random_draws(ATN_MAP_POSITIVE, 7), 7);
    CHECK_EQ(atn_random_draws(ATN_MAP_HYPERBOLIC, 7), 3);
    CHECK_EQ(atn_random_draws(ATN_MAP_TRIGONOMETRIC, 1), 1);
    CHECK_EQ(atn_random_width(ATN_MAP_TRIGONOMETRIC, 3), 6);
    CHECK_EQ(atn_random_width(ATN_MAP_POSITIVE, 3), 3);
}

CHECK_MAIN({"maps meet their formulas", meets_formulas}, {"no overflow", no_overflow},
           {"orthogonal projections", orthogonal}, {"widths", widths})
