/* core/kernels/rows.c -- one row of logits or weights: max, exp, sums, moments.
 *
 * Math    see core/rows.h; every sum is ATN_LANES double partial sums over floats.
 * Oracle  tests/core/test_kernels.c: twins in long double; expf against libm's exp.
 * Cost    one load an element.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/kernels.h"
#include "core/kernels/lanes.h"

ATN_CLONES float atn_row_max(const float *x, atn_idx n)
{
    enum { WIDE = 64 };
    float lanes[WIDE], max = -INFINITY;
    atn_idx j = 0;

    for (int l = 0; l < WIDE; l++) lanes[l] = -INFINITY;
    for (; j + WIDE <= n; j += WIDE)
        for (int l = 0; l < WIDE; l++)
            lanes[l] = x[j + l] > lanes[l] ? x[j + l] : lanes[l];
    for (; j < n; j++) max = x[j] > max ? x[j] : max;
    for (int w = WIDE / 2; w > 0; w /= 2)
        for (int l = 0; l < w; l++)
            lanes[l] = lanes[l + w] > lanes[l] ? lanes[l + w] : lanes[l];
    return lanes[0] > max ? lanes[0] : max;
}

/* Lanes 0..16 of the running sums take the next 16 elements of x. */
ATN_PART void sum_16(const float *x, atn_double8 sum[2])
{
    atn_double8 y;

    atn_widen8(x, &y);
    sum[0] += y;
    atn_widen8(x + 8, &y);
    sum[1] += y;
}

/* Blocks keep the exponential apart from the double sums: each loop is simple enough to
 * become vector code, and the block stays in the first-level cache. */
ATN_CLONES double atn_row_exp(float *x, atn_idx n, float max, double *dot)
{
    enum { BLOCK = 256 };
    atn_double8 sums[2] = {{0}}, products[2] = {{0}};
    double sum[ATN_LANES], product[ATN_LANES];
    float ws[BLOCK];
    int j = 0, m = 0;

    for (atn_idx at = 0; at < n; at += BLOCK) {
        float *w = x + at;

        m = (int)ATN_MIN((atn_idx)BLOCK, n - at);
        for (int i = 0; i < m; i++) {
            const float s = w[i] - max, e = atn_expf(s);
            w[i] = e;
            ws[i] = e * s;
        }
        for (j = 0; j + ATN_LANES <= m; j += ATN_LANES) {
            sum_16(w + j, sums);
            sum_16(ws + j, products);
        }
    }
    memcpy(sum, sums, sizeof sum);
    memcpy(product, products, sizeof product);
    for (int l = 0; j < m; j++, l++) {
        sum[l] += (double)x[n - m + j];
        product[l] += (double)ws[j];
    }
    *dot = atn_fold16(product);
    return atn_fold16(sum);
}

ATN_PART bool any_equal(const float *x, int n, float value)
{
    int any = 0;

    for (int l = 0; l < n; l++) any |= x[l] == value;
    return any;
}

ATN_CLONES atn_idx atn_row_find(const float *x, atn_idx n, float value)
{
    enum { WIDE = 128 };
    atn_idx j = 0;

    while (j + WIDE <= n && !any_equal(x + j, WIDE, value)) j += WIDE;
    while (j + ATN_LANES <= n && !any_equal(x + j, ATN_LANES, value)) j += ATN_LANES;
    while (j < n && x[j] != value) j++;
    return j;
}

ATN_CLONES void atn_row_scale(float *x, atn_idx n, float a)
{
    for (atn_idx j = 0; j < n; j++) x[j] *= a;
}

ATN_CLONES void atn_row_slope(float *x, atn_idx n, float slope, float first)
{
    for (atn_idx j = 0; j < n; j++) x[j] += slope * (first + (float)j);
}

void atn_row_softcap(float *x, atn_idx n, float cap)
{
    for (atn_idx j = 0; j < n; j++) x[j] = cap * tanhf(x[j] / cap);
}

ATN_CLONES double atn_row_sum(const float *x, atn_idx n)
{
    return atn_sum_lanes(x, n);
}

ATN_CLONES double atn_row_square(const float *x, atn_idx n)
{
    double sum[ATN_LANES] = {0};
    atn_idx j = 0;

    for (; j + ATN_LANES <= n; j += ATN_LANES)
        for (int l = 0; l < ATN_LANES; l++)
            sum[l] += (double)x[j + l] * (double)x[j + l];
    for (int l = 0; j < n; j++, l++) sum[l] += (double)x[j] * (double)x[j];
    return atn_fold16(sum);
}

ATN_CLONES double atn_row_dot(const float *x, const float *y, atn_idx n)
{
    double sum[ATN_LANES] = {0};
    atn_idx j = 0;

    for (; j + ATN_LANES <= n; j += ATN_LANES)
        for (int l = 0; l < ATN_LANES; l++)
            sum[l] += (double)x[j + l] * (double)y[j + l];
    for (int l = 0; j < n; j++, l++) sum[l] += (double)x[j] * (double)y[j];
    return atn_fold16(sum);
}

ATN_CLONES void atn_row_sum_square(const float *x, atn_idx n, double *sum,
                                   double *square)
{
    atn_double8 plain[2] = {{0}}, sq[2] = {{0}};
    double s[ATN_LANES], q[ATN_LANES];
    atn_idx j = 0;

    for (; j + ATN_LANES <= n; j += ATN_LANES)
        for (int h = 0; h < 2; h++) {
            atn_double8 y;

            atn_widen8(x + j + 8 * h, &y);
            plain[h] += y;
            sq[h] += y * y;
        }
    memcpy(s, plain, sizeof s);
    memcpy(q, sq, sizeof q);
    for (int l = 0; j < n; j++, l++) {
        s[l] += (double)x[j];
        q[l] += (double)x[j] * (double)x[j];
    }
    *sum = atn_fold16(s);
    *square = atn_fold16(q);
}

ATN_CLONES void atn_row_add(const float *x, atn_idx n, double a, double *y)
{
    for (atn_idx j = 0; j < n; j++) y[j] += a * (double)x[j];
}

ATN_CLONES void atn_row_moments(const float *w, atn_idx n, double at, double *square,
                                double *distance)
{
    atn_double8 sq[2] = {{0}}, far[2] = {{0}},
                away[2] = {{0, 1, 2, 3, 4, 5, 6, 7}, {8, 9, 10, 11, 12, 13, 14, 15}};
    double q[ATN_LANES], f[ATN_LANES];
    atn_idx j = 0;

    for (int h = 0; h < 2; h++) away[h] -= at;
    for (; j + ATN_LANES <= n; j += ATN_LANES)
        for (int h = 0; h < 2; h++) {
            atn_double8 x, d;

            atn_widen8(w + j + 8 * h, &x);
            atn_abs8(&away[h], &d);
            sq[h] += x * x;
            far[h] += x * d;
            away[h] += (double)ATN_LANES;
        }
    memcpy(q, sq, sizeof q);
    memcpy(f, far, sizeof f);
    for (int l = 0; j < n; j++, l++) {
        const double x = (double)w[j];
        q[l] += x * x;
        f[l] += x * fabs((double)j - at);
    }
    *square = atn_fold16(q);
    *distance = atn_fold16(f);
}

double atn_row_plogp(const float *w, atn_idx n)
{
    double sum = 0;

    for (atn_idx j = 0; j < n; j++)
        if (w[j] > 0) sum -= (double)w[j] * log((double)w[j]);
    return sum;
}
