/* tests/core/test_products.c -- products with a matrix that comes in rows. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "core/products.h"
#include "core/rng.h"

/* A banded matrix: row i has the columns [i / 2 - 3, i / 2 + width). */
typedef struct band {
    atn_idx nq, nk, width;
    atn_idx fails_at; /* row, -1 = never */
} band;

static void span(const band *b, atn_idx i, atn_idx *lo, atn_idx *hi)
{
    *lo = ATN_MIN(ATN_MAX(i / 2 - 3, 0), b->nk);
    *hi = ATN_MAX(ATN_MIN(i / 2 + b->width, b->nk), *lo);
    if (i % 7 == 3) *hi = *lo;
}

static double entry(atn_idx i, atn_idx j)
{
    return sin((double)(3 * i + 5 * j)) + .25;
}

static atn_tile tile(const void *state, atn_idx first, atn_idx rows)
{
    const band *b = state;
    atn_idx lo = b->nk, hi = 0;

    rows = ATN_MIN(rows, b->nq - first);
    for (atn_idx i = first; i < first + rows; i++) {
        atn_idx from, to;
        span(b, i, &from, &to);
        if (from == to) continue;
        lo = ATN_MIN(lo, from);
        hi = ATN_MAX(hi, to);
    }
    return (atn_tile){first, rows, hi > lo ? lo : 0, ATN_MAX(hi - lo, 0)};
}

static atn_status fill(atn_ctx *cx, const atn_tile *t, atn_mat out, void *state)
{
    const band *b = state;

    for (atn_idx r = 0; r < t->rows; r++) {
        atn_idx lo, hi;

        if (t->first + r == b->fails_at)
            return atn_fail(cx, ATN_DATA, __FILE__, __LINE__, "row %lld is bad",
                            (long long)b->fails_at);
        span(b, t->first + r, &lo, &hi);
        for (atn_idx c = 0; c < t->keys; c++) {
            const atn_idx j = t->key0 + c;
            atn_row(out, r)[c] =
                j >= lo && j < hi ? (float)entry(t->first + r, j) : 0.0f;
        }
    }
    return ATN_OK;
}

static float *noise(atn_idx n, int stream)
{
    atn_rng r = atn_rng_stream(1, "test/products", stream, 0);
    float *x = malloc((size_t)n * sizeof *x);

    for (atn_idx i = 0; i < n; i++) x[i] = (float)atn_rng_normal(&r);
    return x;
}

static void check_shape(atn_ctx *cx, atn_idx nq, atn_idx nk, atn_idx width, atn_idx r)
{
    band b = {nq, nk, width, -1};
    const atn_row_source m = {nq, nk, tile, fill, &b};
    float *x = noise(nk * r, 0), *w = noise(nq * r, 1);
    double *z = malloc((size_t)(nk * (r + 1)) * sizeof *z);
    double *want = calloc((size_t)(nk * (r + 1)), sizeof *want);
    double *left = calloc((size_t)(nk * r), sizeof *left);
    float *y = malloc((size_t)(nq * r) * sizeof *y);

    for (atn_idx i = 0; i < nq; i++) {
        atn_idx lo, hi;
        span(&b, i, &lo, &hi);
        for (atn_idx c = 0; c <= r; c++) {
            double dot = c == r;
            for (atn_idx j = lo; j < hi && c < r; j++)
                dot += (double)(float)entry(i, j) * (double)x[j * r + c];
            for (atn_idx j = lo; j < hi; j++) {
                want[j * (r + 1) + c] += (double)(float)entry(i, j) * dot;
                if (c < r)
                    left[j * r + c] +=
                        (double)(float)entry(i, j) * (double)w[i * r + c];
            }
        }
    }
    CHECK_OK(atn_product_run(
        cx, &m, &(atn_product){.r = r, .x = x, .ones = true, .z = z, .y = y}, "test"));
    for (atn_idx i = 0; i < nk * (r + 1); i++)
        CHECK_NEAR(z[i], want[i], 1e-6 * (double)(nq + nk) + 2e-5 * fabs(want[i]));
    for (atn_idx i = 0; i < nq; i++) {
        atn_idx lo, hi;
        double dot = 0;
        span(&b, i, &lo, &hi);
        for (atn_idx j = lo; j < hi; j++) dot += entry(i, j) * (double)x[j * r];
        CHECK_NEAR(y[i * r], dot, 1e-4);
    }
    CHECK_OK(atn_product_run(cx, &m, &(atn_product){.r = r, .w = w, .z = z}, "test"));
    for (atn_idx i = 0; i < nk * r; i++)
        CHECK_NEAR(z[i], left[i], 1e-6 * (double)(nq + nk) + 2e-5 * fabs(left[i]));
    /* both at once: each as it is alone */
    memset(y, 0, (size_t)(nq * r) * sizeof *y);
    CHECK_OK(atn_product_run(
        cx, &m, &(atn_product){.r = r, .x = x, .w = w, .z = z, .y = y}, "test"));
    for (atn_idx i = 0; i < nk * r; i++)
        CHECK_NEAR(z[i], left[i], 1e-6 * (double)(nq + nk) + 2e-5 * fabs(left[i]));
    for (atn_idx i = 0; i < nq; i++) {
        atn_idx lo, hi;
        double dot = 0;
        span(&b, i, &lo, &hi);
        for (atn_idx j = lo; j < hi; j++) dot += entry(i, j) * (double)x[j * r];
        CHECK_NEAR(y[i * r], dot, 1e-4);
    }
    free(x);
    free(w);
    free(z);
    free(want);
    free(left);
    free(y);
}

static void against_dense(atn_ctx *cx)
{
    check_shape(cx, 1, 1, 1, 1);
    check_shape(cx, 40, 23, 7, 3);
    check_shape(cx, 17, 600, 500, 2);
    check_shape(cx, 700, 1100, 1000, 5);
    check_shape(cx, 600, 4, 1, 1);
}

static void threads_agree(atn_ctx *cx)
{
    band b = {900, 1300, 1000, -1};
    const atn_row_source m = {900, 1300, tile, fill, &b};
    float *x = noise(1300 * 4, 0);
    double *z[2];

    for (int i = 0; i < 2; i++) {
        cx->threads = 1 + 2 * i;
        z[i] = malloc(1300 * 4 * sizeof **z);
        CHECK_OK(
            atn_product_run(cx, &m, &(atn_product){.r = 4, .x = x, .z = z[i]}, "test"));
    }
    CHECK(memcmp(z[0], z[1], 1300 * 4 * sizeof **z) == 0);
    free(z[0]);
    free(z[1]);
    free(x);
}

static void failures(atn_ctx *cx)
{
    band b = {90, 30, 10, 70};
    const atn_row_source m = {90, 30, tile, fill, &b};
    float *x = noise(30, 0);
    double z[30];

    CHECK_FAILS(atn_product_run(cx, &m, &(atn_product){.r = 1, .x = x, .z = z}, "test"),
                ATN_DATA, "row 70 is bad");
    cx->mem_limit = 1;
    CHECK_FAILS(atn_product_run(cx, &m, &(atn_product){.r = 1, .x = x, .z = z}, "test"),
                ATN_MEMORY, "test needs");
    free(x);
}

CHECK_MAIN({"against dense", against_dense}, {"threads agree", threads_agree},
           {"failures", failures})
