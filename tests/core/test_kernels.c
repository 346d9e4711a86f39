/* tests/core/test_kernels.c -- the row kernels against twins in double and libm. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "core/kernels/kernels.h"
#include "core/mat.h"
#include "core/rng.h"

enum { MAX_N = 700 };

static void fill(float *x, int n, double scale, int trial)
{
    atn_rng r = atn_rng_stream(7, "test/kernels", trial, n);

    for (int j = 0; j < n; j++) x[j] = (float)(scale * atn_rng_normal(&r));
}

/* e^-87 .. e^87: relative error below 1.5e-7, exact 1 at 0, 0 far below. */
static void exp_against_libm(atn_ctx *cx)
{
    double worst = 0;

    (void)cx;
    for (int i = 0; i <= 200000; i++) {
        const float x = (float)(-87.0 + 174.0 * i / 200000.0);
        const double want = exp((double)x);
        worst = check_worst(worst, fabs((double)atn_expf(x) - want) / want);
    }
    CHECK_LE(worst, 1.5e-7);
    CHECK(atn_expf(0.0f) == 1.0f);
    CHECK(atn_expf(-100.0f) == 0.0f);
    CHECK(atn_expf(-INFINITY) == 0.0f);
}

/* {0, ln 2, ln 4} shifted by its max: weights 1/4, 1/2, 1; sum 7/4; dot = sum w ln w. */
static void exp_row_golden(atn_ctx *cx)
{
    float x[] = {(float)log(2), (float)log(4), 0};
    double dot, sum;

    (void)cx;
    CHECK_NEAR(atn_row_max(x, 3), log(4), 1e-6);
    sum = atn_row_exp(x, 3, x[1], &dot);
    CHECK_NEAR(sum, 1.75, 1e-6);
    CHECK_NEAR(dot, -log(2) * 0.5 - log(4) * 0.25, 1e-6);
    CHECK_NEAR(x[2], 0.25, 1e-7);
}

static void exp_row_against_double(atn_ctx *cx)
{
    (void)cx;
    for (int n = 1; n < MAX_N; n += 13) {
        float x[MAX_N], e[MAX_N];
        double sum = 0, dot = 0, got_dot, got, max = -1e30;

        fill(x, n, 3, n);
        for (int j = 0; j < n; j++) max = fmax(max, (double)x[j]);
        for (int j = 0; j < n; j++) {
            sum += exp(x[j] - max);
            dot += exp(x[j] - max) * (x[j] - max);
        }
        memcpy(e, x, sizeof e);
        CHECK(atn_row_max(x, n) == (float)max);
        got = atn_row_exp(e, n, (float)max, &got_dot);
        CHECK_NEAR(got, sum, 3e-7 * sum);
        CHECK_NEAR(got_dot, dot, 5e-7 * fabs(dot) + 1e-12);
    }
}

static void bad_values_show(atn_ctx *cx)
{
    const float bad[] = {NAN, INFINITY, -INFINITY};

    (void)cx;
    for (int b = 0; b < 3; b++)
        for (int at = 0; at < 40; at += 13) {
            float x[40];
            double dot, sum;
            float max;

            fill(x, 40, 1, 0);
            x[at] = bad[b];
            max = atn_row_max(x, 40);
            sum = atn_row_exp(x, 40, max, &dot);
            CHECK(!isfinite(max) || !isfinite(sum) || !isfinite(dot));
        }
}

/* Lengths around the number of lanes; (1,2,3) . (4,-5,6) = 12. */
static void dot_against_double(atn_ctx *cx)
{
    static float x[MAX_N], y[MAX_N];
    static double z[MAX_N];
    const float a[] = {1, 2, 3}, b[] = {4, -5, 6};

    (void)cx;
    CHECK_NEAR(atn_row_dot(a, b, 3), 12, 0);
    for (int n = 0; n < 70; n++) {
        double want = 0, scale = 0;

        fill(x, n, 1, 1);
        fill(y, n, 3, 2);
        for (int j = 0; j < n; j++) {
            want += (double)x[j] * (double)y[j];
            scale += fabs((double)x[j] * (double)y[j]);
        }
        CHECK_NEAR(atn_row_dot(x, y, n), want, 1e-14 * scale);
        for (int j = 0; j < n; j++) z[j] = j;
        atn_row_add(x, n, -2.5, z);
        for (int j = 0; j < n; j++) CHECK_NEAR(z[j], j - 2.5 * (double)x[j], 1e-14);
    }
}

static void moments_against_double(atn_ctx *cx)
{
    (void)cx;
    for (int n = 1; n < MAX_N; n += 17) {
        float w[MAX_N];
        const double at = n / 3.0; /* keys on both sides */
        double square = 0, distance = 0, got_square, got_distance;

        fill(w, n, 1, n);
        for (int j = 0; j < n; j++) {
            w[j] = fabsf(w[j]);
            square += (double)w[j] * w[j];
            distance += w[j] * fabs(j - at);
        }
        atn_row_moments(w, n, at, &got_square, &got_distance);
        CHECK_NEAR(got_square, square, 1e-12 * square);
        CHECK_NEAR(got_distance, distance, 1e-12 * distance + 1e-12);
    }
}

static int down(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;

    return (x < y) - (x > y);
}

/* Unsorted weights {.1 .4 .05 .3 .15}, k = 2: .7; k beyond n: the whole row. */
static void topk_golden(atn_ctx *cx)
{
    const float w[] = {.1f, .4f, .05f, .3f, .15f};
    float heap[5];

    (void)cx;
    CHECK_NEAR(atn_row_topk(w, 5, 2, heap), .7, 1e-7);
    CHECK_NEAR(atn_row_topk(w, 5, 1, heap), .4, 1e-7);
    CHECK_NEAR(atn_row_topk(w, 5, 9, heap), 1, 1e-7);
    CHECK_NEAR(atn_row_topk(w, 0, 3, heap), 0, 0);
}

/* Every k against sorting, with many ties (values rounded to 1/8). */
static void topk_against_sort(atn_ctx *cx)
{
    (void)cx;
    for (int trial = 0; trial < 60; trial++) {
        const int n = 1 + trial * 11, k = 1 + trial * 13 % 300;
        float w[MAX_N], sorted[MAX_N], heap[300];
        double want = 0;

        fill(w, n, 1, trial);
        for (int j = 0; j < n; j++)
            w[j] = trial % 2 ? roundf(8 * fabsf(w[j])) / 8 : fabsf(w[j]);
        memcpy(sorted, w, sizeof sorted);
        qsort(sorted, (size_t)n, sizeof *sorted, down);
        for (int j = 0; j < k && j < n; j++) want += sorted[j];
        CHECK_NEAR(atn_row_topk(w, n, k, heap), want, 1e-12 + 1e-14 * want);
    }
}

static void norms_against_double(atn_ctx *cx)
{
    float x[37], w[37], b[37], y[37];
    double mean = 0, var = 0, square = 0;

    (void)cx;
    fill(x, 37, 2, 1);
    fill(w, 37, 1, 2);
    fill(b, 37, 1, 3);
    for (int j = 0; j < 37; j++) mean += x[j] / 37.0;
    for (int j = 0; j < 37; j++) {
        var += (x[j] - mean) * (x[j] - mean) / 37.0;
        square += (double)x[j] * x[j] / 37.0;
    }
    atn_norm_layer(x, w, b, 1e-5f, 0, 37, y);
    for (int j = 0; j < 37; j++)
        CHECK_NEAR(y[j], (x[j] - mean) / sqrt(var + 1e-5) * w[j] + b[j], 1e-6);
    atn_norm_rms(x, w, 1e-6f, 1, 37, y); /* Gemma's 1 + w */
    for (int j = 0; j < 37; j++)
        CHECK_NEAR(y[j], x[j] / sqrt(square + 1e-6) * (1.0 + w[j]), 2e-6);
}

/* Published shapes: gelu(1) = .841345 exact, .841192 tanh; silu(1) = .731059. */
static void activations_golden(atn_ctx *cx)
{
    const float x[] = {1, -2, 100, -100}, gate[] = {2, 2, 1, 1};
    float y[4];

    (void)cx;
    atn_gelu_erf(x, NULL, 4, y);
    CHECK_NEAR(y[0], 0.8413447, 1e-6);
    CHECK_NEAR(y[1], -0.0455003, 1e-6);
    atn_gelu_tanh(x, NULL, 4, y);
    CHECK_NEAR(y[0], 0.8411920, 1e-6);
    atn_silu(x, gate, 4, y);
    CHECK_NEAR(y[0], 2 * 0.7310586, 1e-6);
    CHECK_NEAR(y[1], 2 * -0.2384058, 1e-6);
    CHECK_NEAR(y[2], 100, 1e-4);
    CHECK_NEAR(y[3], 0, 1e-30);
    atn_relu(x, NULL, 4, y);
    CHECK_NEAR(y[1], 0, 0);
}

/* A quarter turn maps (1, 0) to (0, 1). */
static void rope_golden(atn_ctx *cx)
{
    float x[] = {1, 3, 0, 4};
    const float c[] = {0, 1}, s[] = {1, 0};

    (void)cx;
    atn_rope_half(x, c, s, 2);
    CHECK_NEAR(x[0], 0, 0);
    CHECK_NEAR(x[2], 1, 0);
    CHECK_NEAR(x[1], 3, 0);
    CHECK_NEAR(x[3], 4, 0);
}

/* Every 16-bit pattern, at odd addresses; floats that round up, to even, to infinity. */
static void formats(atn_ctx *cx)
{
    static unsigned char bytes[2 * 65536 + 1];
    static float wide[65536];
    static uint16_t back[65536];
    const float odd[] = {1.00390625f, 1.01171875f, 3.4e38f, -INFINITY,
                         NAN,         -0.0f,       1e-45f};

    (void)cx;
    for (int i = 0; i < 65536; i++) {
        const uint16_t h = (uint16_t)i;
        memcpy(bytes + 1 + 2 * i, &h, 2);
        CHECK_EQ(atn_finite16(bytes + 1 + 2 * i, 1, 0x7f80), (i >> 7 & 255) != 255);
        CHECK_EQ(atn_finite16(bytes + 1 + 2 * i, 1, 0x7c00), (i >> 10 & 31) != 31);
    }
    atn_widen(bytes + 1, ATN_BF16, 65536, wide);
    atn_narrow(wide, ATN_BF16, 65536, back);
    for (int i = 0; i < 65536; i++) {
        CHECK_EQ(back[i],
                 i & 0x7f80 && !isnan(wide[i]) ? i : atn_bf16_from_f32(wide[i]));
        CHECK_EQ(atn_finite32(&wide[i], 1), isfinite(wide[i]) != 0);
    }
    atn_narrow(odd, ATN_BF16, 7, back);
    for (int i = 0; i < 7; i++) CHECK_EQ(back[i], atn_bf16_from_f32(odd[i]));
    for (int at = 0; at < 100; at++) { /* one among many, wherever it stands */
        for (int i = 0; i < 100; i++) wide[i] = i == at ? NAN : 1.5f;
        CHECK(!atn_all_finite(wide, ATN_F32, 100));
        CHECK(atn_all_finite(wide + at + 1, ATN_F32, 99 - at));
    }
    CHECK(!atn_all_finite((const double[]){1, 1e300}, ATN_F64, 2));
    CHECK(atn_all_finite((const double[]){1, 1e30}, ATN_F64, 2));
}

/* The sum alone, and what is not finite wherever it stands. */
static void exp_sum_against_double(atn_ctx *cx)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};

    (void)cx;
    for (int n = 1; n < MAX_N; n += 13) {
        float x[MAX_N], e[MAX_N];
        bool finite = false;
        double sum = 0;

        fill(x, n, 3, n);
        for (int j = 0; j < n; j++) sum += exp((double)x[j] - 9);
        memcpy(e, x, sizeof e);
        CHECK_NEAR(atn_row_exp_sum(e, n, 9, &finite) / sum, 1, 1e-6);
        CHECK(finite);
        for (int j = 0; j < n; j++) CHECK_NEAR(e[j] / exp((double)x[j] - 9), 1, 3e-6);
        x[n * 3 / 4] = bad[n % 3];
        (void)atn_row_exp_sum(x, n, 9, &finite);
        CHECK(!finite);
    }
}

/* Keys in no order, one twice; of widths that fill no vector. Key 6 has no slope
 * and no bias. */
static void picked_keys_against_double(atn_ctx *cx)
{
    enum { LD = 140, KEYS = 7, N = 11 };
    static const int32_t key[N] = {4, 1, 6, 2, 2, 0, 5, 3, 1, 6, 4};
    float m[LD * KEYS], q[LD], x[N], out[LD];

    (void)cx;
    fill(m, LD * KEYS, 1, 1);
    fill(q, LD, 1, 2);
    for (int d = 1; d < LD; d++) {
        const int n = 1 + d % N;

        atn_row_dots(q, &(atn_picks){m, LD, key, n, d}, .5f, x);
        for (int j = 0; j < n; j++) {
            double dot = 0;

            for (int e = 0; e < d; e++) dot += (double)q[e] * m[key[j] * LD + e];
            CHECK_NEAR(x[j], .5 * dot, 1e-5);
        }
        atn_row_mix(q, &(atn_picks){m, LD, key, n, d}, out);
        for (int e = 0; e < d; e++) {
            double sum = 0;

            for (int j = 0; j < n; j++) sum += (double)q[j] * m[key[j] * LD + e];
            CHECK_NEAR(out[e], sum, 1e-5);
        }
    }
    memset(x, 0, sizeof x);
    atn_row_slope_at(x, key, 4, .25f, 9, 6);
    CHECK_NEAR(x[0], -1.25, 0);
    CHECK_NEAR(x[1], -2, 0);
    CHECK_NEAR(x[2], 0, 0);
    CHECK_NEAR(x[3], -1.75, 0);
    memset(x, 0, sizeof x);
    for (int e = 0; e < LD; e++) q[e] = (float)e;
    atn_row_bias_at(x, key, 4, q, 9, 6);
    CHECK_NEAR(x[0], 13, 0);
    CHECK_NEAR(x[1], 10, 0);
    CHECK_NEAR(x[2], 0, 0);
    CHECK_NEAR(x[3], 11, 0);
}

CHECK_MAIN({"formats", formats}, {"exp against libm", exp_against_libm},
           {"exp row golden", exp_row_golden},
           {"exp row against double", exp_row_against_double},
           {"exp sum against double", exp_sum_against_double},
           {"picked keys against double", picked_keys_against_double},
           {"bad values show", bad_values_show},
           {"moments against double", moments_against_double},
           {"dot against double", dot_against_double}, {"topk golden", topk_golden},
           {"topk against sort", topk_against_sort},
           {"norms against double", norms_against_double},
           {"activations golden", activations_golden}, {"rope golden", rope_golden})
