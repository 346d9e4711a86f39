/* core/kernels/rows.c -- one row of logits or weights: max, exp, moments, top-k.
 *
 * Math    see core/rows.h; every sum is ATN_LANES double partial sums over floats.
 * Oracle  tests/core/test_kernels.c: twins in long double; expf against libm's exp.
 * Cost    one load an element; top-k one vector compare an element and k log k swaps for
 *         the rare element that enters.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/kernels.h"

#include <float.h>

/* Adds the lanes pairwise: 8 + 8, 4 + 4, ... */
static double fold(double lanes[ATN_LANES])
{
    for (int width = ATN_LANES / 2; width > 0; width /= 2)
        for (int l = 0; l < width; l++) lanes[l] += lanes[l + width];
    return lanes[0];
}

ATN_CLONES float atn_row_max(const float *x, atn_idx n)
{
    float lanes[ATN_LANES], max = -INFINITY;
    atn_idx j = 0;

    for (int l = 0; l < ATN_LANES; l++) lanes[l] = -INFINITY;
    for (; j + ATN_LANES <= n; j += ATN_LANES)
        for (int l = 0; l < ATN_LANES; l++)
            lanes[l] = x[j + l] > lanes[l] ? x[j + l] : lanes[l];
    for (; j < n; j++) max = x[j] > max ? x[j] : max;
    for (int l = 0; l < ATN_LANES; l++) max = lanes[l] > max ? lanes[l] : max;
    return max;
}

/* Blocks keep the exponential apart from the double sums: each loop is simple enough to
 * become vector code, and the block stays in the first-level cache. */
ATN_CLONES double atn_row_exp(float *x, atn_idx n, float max, double *dot)
{
    enum { BLOCK = 512 };
    double sum[ATN_LANES] = {0}, product[ATN_LANES] = {0};
    float ws[BLOCK];

    for (atn_idx at = 0; at < n; at += BLOCK) {
        const int m = (int)ATN_MIN((atn_idx)BLOCK, n - at);
        float *w = x + at;
        int j = 0;

        for (int i = 0; i < m; i++) {
            const float s = w[i] - max, e = atn_expf(s);
            w[i] = e;
            ws[i] = e * s;
        }
        for (; j + ATN_LANES <= m; j += ATN_LANES)
            for (int l = 0; l < ATN_LANES; l++) {
                sum[l] += (double)w[j + l];
                product[l] += (double)ws[j + l];
            }
        for (int l = 0; j < m; j++, l++) {
            sum[l] += (double)w[j];
            product[l] += (double)ws[j];
        }
    }
    *dot = fold(product);
    return fold(sum);
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
    double sum[ATN_LANES] = {0};
    atn_idx j = 0;

    for (; j + ATN_LANES <= n; j += ATN_LANES)
        for (int l = 0; l < ATN_LANES; l++) sum[l] += (double)x[j + l];
    for (int l = 0; j < n; j++, l++) sum[l] += (double)x[j];
    return fold(sum);
}

ATN_CLONES double atn_row_square(const float *x, atn_idx n)
{
    double sum[ATN_LANES] = {0};
    atn_idx j = 0;

    for (; j + ATN_LANES <= n; j += ATN_LANES)
        for (int l = 0; l < ATN_LANES; l++)
            sum[l] += (double)x[j + l] * (double)x[j + l];
    for (int l = 0; j < n; j++, l++) sum[l] += (double)x[j] * (double)x[j];
    return fold(sum);
}

ATN_CLONES double atn_row_dot(const float *x, const float *y, atn_idx n)
{
    double sum[ATN_LANES] = {0};
    atn_idx j = 0;

    for (; j + ATN_LANES <= n; j += ATN_LANES)
        for (int l = 0; l < ATN_LANES; l++)
            sum[l] += (double)x[j + l] * (double)y[j + l];
    for (int l = 0; j < n; j++, l++) sum[l] += (double)x[j] * (double)y[j];
    return fold(sum);
}

ATN_CLONES void atn_row_add(const float *x, atn_idx n, double a, double *y)
{
    for (atn_idx j = 0; j < n; j++) y[j] += a * (double)x[j];
}

ATN_CLONES void atn_row_moments(const float *w, atn_idx n, double at, double *square,
                                double *distance)
{
    double sq[ATN_LANES] = {0}, far[ATN_LANES] = {0}, away[ATN_LANES];
    atn_idx j = 0;

    for (int l = 0; l < ATN_LANES; l++) away[l] = l - at;
    for (; j + ATN_LANES <= n; j += ATN_LANES)
        for (int l = 0; l < ATN_LANES; l++) {
            const double x = (double)w[j + l];
            sq[l] += x * x;
            far[l] += x * fabs(away[l]);
            away[l] += (double)ATN_LANES;
        }
    for (int l = 0; j < n; j++, l++) {
        const double x = (double)w[j];
        sq[l] += x * x;
        far[l] += x * fabs(away[l]);
    }
    *square = fold(sq);
    *distance = fold(far);
}

double atn_row_plogp(const float *w, atn_idx n)
{
    double sum = 0;

    for (atn_idx j = 0; j < n; j++)
        if (w[j] > 0) sum -= (double)w[j] * log((double)w[j]);
    return sum;
}

/* Restores the min-heap property below `at` in heap[0..k). */
static void sift(float *heap, atn_idx k, atn_idx at)
{
    const float x = heap[at];

    for (;;) {
        atn_idx child = 2 * at + 1;
        if (child >= k) break;
        if (child + 1 < k && heap[child + 1] < heap[child]) child++;
        if (heap[child] >= x) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = x;
}

static inline bool any_above(const float *w, int n, float floor)
{
    int any = 0;

    for (int l = 0; l < n; l++) any |= w[l] > floor;
    return any;
}

/* First j >= from with w[j] > floor; n when there is none. Wide strides first: a large
 * element is rare. */
ATN_CLONES static atn_idx next_above(const float *w, atn_idx n, atn_idx from,
                                     float floor)
{
    enum { WIDE = 128 };
    atn_idx j = from;

    while (j + WIDE <= n && !any_above(w + j, WIDE, floor)) j += WIDE;
    while (j + ATN_LANES <= n && !any_above(w + j, ATN_LANES, floor)) j += ATN_LANES;
    while (j < n && !(w[j] > floor)) j++;
    return j;
}

/* A value that at least k of w[0..n) reach: the k-th largest of the maxima of GROUPS
 * interleaved groups, k <= GROUPS <= n. It keeps all but a few elements out of the heap. */
enum { GROUPS = 64 };
ATN_CLONES static float floor_of(const float *w, atn_idx n, atn_idx k)
{
    float most[GROUPS];
    atn_idx j = GROUPS;

    for (int l = 0; l < GROUPS; l++) most[l] = w[l];
    for (; j + GROUPS <= n; j += GROUPS)
        for (int l = 0; l < GROUPS; l++)
            most[l] = w[j + l] > most[l] ? w[j + l] : most[l];
    for (atn_idx i = 0;; i++) {
        int best = 0;
        for (int l = 1; l < GROUPS; l++) best = most[l] > most[best] ? l : best;
        if (i == k - 1) return most[best];
        most[best] = -INFINITY;
    }
}

double atn_row_topk(const float *w, atn_idx n, atn_idx k, float *heap)
{
    double sum = 0;
    atn_idx from = 0;

    if (k > n) k = n;
    if (k <= 0) return 0;
    if (k <= GROUPS / 4 && n >= GROUPS) {
        const float floor = floor_of(w, n, k);
        for (atn_idx i = 0; i < k; i++) heap[i] = floor;
    } else {
        memcpy(heap, w, (size_t)k * sizeof *heap);
        for (atn_idx i = k / 2; i-- > 0;) sift(heap, k, i);
        from = k;
    }
    for (atn_idx j = next_above(w, n, from, heap[0]); j < n;
         j = next_above(w, n, j + 1, heap[0])) {
        heap[0] = w[j];
        sift(heap, k, 0);
    }
    /* pop the smallest to the end, so that the sum runs from the largest down */
    for (atn_idx m = k; m > 1; m--) {
        const float smallest = heap[0];
        heap[0] = heap[m - 1];
        sift(heap, m - 1, 0);
        heap[m - 1] = smallest;
    }
    for (atn_idx i = 0; i < k; i++) sum += (double)heap[i];
    return sum;
}
