/* tests/graph/test_lanczos.c -- spectra from products. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "core/linalg.h"
#include "core/rng.h"
#include "graph/lanczos.h"

/* A dense symmetric matrix. */
typedef struct matrix {
    atn_idx n;
    const double *a;
} matrix;

static atn_status apply(atn_ctx *cx, const float *x, atn_idx r, float *y, void *state)
{
    const matrix *m = state;

    (void)cx;
    for (atn_idx i = 0; i < m->n; i++)
        for (atn_idx c = 0; c < r; c++) {
            double sum = 0;

            for (atn_idx k = 0; k < m->n; k++)
                sum += m->a[i * m->n + k] * (double)x[k * r + c];
            y[i * r + c] = (float)sum;
        }
    return ATN_OK;
}

/* Diagonal 3, 1, 2 from (1, 1, 1): each value, each with a third; a start along one
 * axis sees that value alone, and one of zeros none. */
static void diagonal(atn_ctx *cx)
{
    const double a[] = {3, 0, 0, 0, 1, 0, 0, 0, 2};
    const float start[] = {1, 0, 0, 1, 0, 0, 1, 5, 0};
    matrix m = {3, a};
    const atn_symmetric s = {3, apply, &m};
    atn_ritz ritz[3 * 8];
    int count[3];

    CHECK_OK(
        atn_lanczos(cx, &s, start, 3, &(atn_lanczos_opts){.steps = 8}, ritz, count));
    CHECK_EQ(count[0], 3);
    for (int i = 0; i < 3; i++) {
        CHECK_NEAR(ritz[i].value, i + 1, 1e-6);
        CHECK_NEAR(ritz[i].weight, 1.0 / 3, 1e-6);
        CHECK_LE(ritz[i].residual, 1e-4);
    }
    CHECK_EQ(count[1], 1);
    CHECK_NEAR(ritz[8].value, 2, 1e-6);
    CHECK_NEAR(ritz[8].weight, 1, 1e-12);
    CHECK_EQ(count[2], 0);
}

/* Of a random matrix in few steps: moments s'A^k s of degree below twice the steps,
 * ends of the spectrum within their residuals, and without the top vector the next. */
static void moments_and_ends(atn_ctx *cx)
{
    enum { N = 40, STEPS = 6 };
    double a[N * N], v[N * N], value[N], moment[2 * STEPS], x[N], y[N];
    float start[N];
    matrix m = {N, a};
    const atn_symmetric s = {N, apply, &m};
    atn_ritz ritz[N];
    int count;
    atn_rng r = atn_rng_stream(5, "test/lanczos", 0, 0);

    for (int i = 0; i < N; i++)
        for (int j = 0; j <= i; j++)
            a[i * N + j] = a[j * N + i] = atn_rng_normal(&r) / N;
    memcpy(v, a, sizeof v);
    CHECK_OK(atn_eigenvectors(cx, v, N, value));
    for (int i = 0; i < N; i++) x[i] = start[i] = (float)atn_rng_normal(&r);
    for (int k = 0; k < 2 * STEPS; k++) {
        moment[k] = 0;
        for (int i = 0; i < N; i++) moment[k] += x[i] * (double)start[i];
        for (int i = 0; i < N; i++) {
            y[i] = 0;
            for (int j = 0; j < N; j++) y[i] += a[i * N + j] * x[j];
        }
        memcpy(x, y, sizeof x);
    }
    CHECK_OK(atn_lanczos(cx, &s, start, 1, &(atn_lanczos_opts){.steps = STEPS}, ritz,
                         &count));
    CHECK_EQ(count, STEPS);
    for (int k = 0; k < 2 * STEPS; k++) {
        double sum = 0;
        for (int i = 0; i < count; i++)
            sum += moment[0] * ritz[i].weight * pow(ritz[i].value, k);
        CHECK_NEAR(sum, moment[k], 1e-4 * moment[0] * pow(value[N - 1], k));
    }
    CHECK_LE(ritz[count - 1].value, value[N - 1] + 1e-6);
    CHECK_LE(value[0] - 1e-6, ritz[0].value);
    CHECK_OK(atn_lanczos(cx, &s, start, 1,
                         &(atn_lanczos_opts){.steps = N, .top_tolerance = 1e-4}, ritz,
                         &count));
    CHECK(count < N);
    CHECK_NEAR(ritz[count - 1].value, value[N - 1], 1e-4);
    CHECK_LE(ritz[count - 1].residual, 1e-4 * value[N - 1]);
    CHECK_OK(atn_lanczos(cx, &s, start, 1,
                         &(atn_lanczos_opts){.steps = N, .without = v + (N - 1) * N},
                         ritz, &count));
    CHECK_NEAR(ritz[count - 1].value, value[N - 2], 1e-5);
    CHECK_NEAR(ritz[0].value, value[0], 1e-5);
}

/* More columns than a group: each is what it is alone, whatever the threads. */
static void columns_are_apart(atn_ctx *cx)
{
    enum { N = 30, R = 37, STEPS = 5 };
    double a[N * N];
    float start[N * R], one[N];
    matrix m = {N, a};
    const atn_symmetric s = {N, apply, &m};
    const atn_lanczos_opts o = {.steps = STEPS};
    atn_ritz many[R * STEPS], again[R * STEPS], alone[STEPS];
    int count[R], single;
    atn_rng r = atn_rng_stream(6, "test/lanczos", 0, 0);

    for (int i = 0; i < N; i++)
        for (int j = 0; j <= i; j++) a[i * N + j] = a[j * N + i] = atn_rng_uniform(&r);
    for (int i = 0; i < N * R; i++) start[i] = (float)atn_rng_normal(&r);
    cx->threads = 1;
    CHECK_OK(atn_lanczos(cx, &s, start, R, &o, many, count));
    cx->threads = 4;
    CHECK_OK(atn_lanczos(cx, &s, start, R, &o, again, count));
    CHECK(memcmp(many, again, sizeof many) == 0);
    for (int c = 0; c < R; c += 12) {
        for (int i = 0; i < N; i++) one[i] = start[i * R + c];
        CHECK_OK(atn_lanczos(cx, &s, one, 1, &o, alone, &single));
        CHECK(memcmp(alone, many + c * STEPS, sizeof alone) == 0);
    }
}

static atn_status fails(atn_ctx *cx, const float *x, atn_idx r, float *y, void *state)
{
    (void)x;
    (void)r;
    (void)y;
    (void)state;
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__, "no product");
}

static void failure(atn_ctx *cx)
{
    const double a[] = {3, 0, 0, 1};
    const float start[] = {1, 1};
    matrix m = {2, a};
    const atn_symmetric bad = {2, fails, NULL}, good = {2, apply, &m};
    atn_status st = ATN_MEMORY;
    atn_ritz ritz[4];
    int count;

    CHECK_FAILS(
        atn_lanczos(cx, &bad, start, 1, &(atn_lanczos_opts){.steps = 4}, ritz, &count),
        ATN_DATA, "no product");
    for (long left = 0; st != ATN_OK && left < 30; left++) {
        check_failing f = {left};
        atn_ctx broken;

        atn_ctx_init(&broken);
        broken.threads = 1;
        broken.alloc = (atn_allocator){check_failing_resize, &f};
        st = atn_lanczos(&broken, &good, start, 1, &(atn_lanczos_opts){.steps = 4},
                         ritz, &count);
        CHECK(st == ATN_OK || st == ATN_MEMORY);
        atn_ctx_release(&broken);
    }
    CHECK(st == ATN_OK);
}

CHECK_MAIN({"diagonal", diagonal}, {"moments and ends", moments_and_ends},
           {"columns are apart", columns_are_apart}, {"failure", failure})
