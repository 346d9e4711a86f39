/* core/kernels/largest.c -- the k largest of a row, and sorting the largest first.
 *
 * Math    few elements: each goes to the place that its rank, the number of larger
 *         ones, gives it. Many: three passes over 11 bits of their floats.
 * Oracle  tests/core/test_kernels.c, tests/core/test_cover.c: qsort.
 * Cost    top-k: two vector compares an entry, then a rank for the few that may be
 *         among the k; for k above 32 up to 30 vector compares an entry.
 *         Sorting: n^2 / 16 compares up to ATN_FEW, then about 10 steps an entry.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/kernels.h"
#include "core/kernels/lanes.h"

/* Equal ones have one rank, and leave holes behind it. */
static void fill_holes(const float *x, const int32_t *rank, int n, float *sorted)
{
    for (int i = 0; i < n; i++) sorted[i] = NAN;
    for (int i = 0; i < n; i++) sorted[rank[i]] = x[i];
    for (int i = 1; i < n; i++)
        if (isnan(sorted[i])) sorted[i] = sorted[i - 1];
}

ATN_CLONES void atn_row_sort_few(const float *x, int n, float *sorted)
{
    enum { PAD = ATN_FEW + 16 };
    float padded[PAD];
    int32_t rank[PAD];
    int sum = 0;

    if (n == 1) sorted[0] = x[0];
    if (n <= 1) return;
    memcpy(padded, x, (size_t)n * sizeof *x);
    memset(padded + n, 0, 16 * sizeof *x);
    for (int i = 0; i < n; i += 16) {
        atn_float16 y;
        atn_int16x32 above = {0};

        memcpy(&y, padded + i, sizeof y);
        for (int j = 0; j < n; j++) above -= padded[j] > y;
        memcpy(rank + i, &above, sizeof above);
    }
    for (int i = 0; i < n; i++) {
        sorted[rank[i]] = x[i];
        sum += rank[i];
    }
    if (sum != n * (n - 1) / 2) fill_holes(x, rank, n, sorted);
}

/* Keys that ascend as the floats descend. */
ATN_PART uint32_t descending_key(float x)
{
    uint32_t b;

    memcpy(&b, &x, sizeof b);
    return b & UINT32_C(0x80000000) ? b : b ^ UINT32_C(0x7fffffff);
}

void atn_row_sort(float *x, atn_idx n, float *spare)
{
    enum { BITS = 11, DIGIT = 1 << BITS, PASSES = 3 };
    uint32_t places[PASSES][DIGIT] = {{0}};
    float *from = x, *to = spare;

    for (atn_idx i = 0; i < n; i++) {
        const uint32_t key = descending_key(x[i]);

        for (int p = 0; p < PASSES; p++) places[p][(key >> (BITS * p)) % DIGIT]++;
    }
    for (int p = 0; p < PASSES; p++) {
        const int shift = BITS * p;
        float *const next = from;
        uint32_t sum = 0;

        for (int d = 0; d < DIGIT; d++) {
            const uint32_t here = places[p][d];
            places[p][d] = sum;
            sum += here;
        }
        for (atn_idx i = 0; i < n; i++)
            to[places[p][(descending_key(from[i]) >> shift) % DIGIT]++] = from[i];
        from = to;
        to = next;
    }
    memcpy(x, spare, (size_t)n * sizeof *x);
}

/* ---- the k largest ---- */

enum { GROUPS = 64, BLOCK = 256 };

/* A value that at least k of w[0..n) reach, of which few are larger: the k-th largest
 * of the maxima of interleaved groups, about twice as many as k; k <= GROUPS / 2,
 * GROUPS <= n. */
ATN_CLONES static float floor_of(const float *w, atn_idx n, atn_idx k)
{
    float most[GROUPS], floor = -INFINITY;
    atn_idx j = GROUPS;
    int groups = GROUPS;

    for (int l = 0; l < GROUPS; l++) most[l] = w[l];
    for (; j + GROUPS <= n; j += GROUPS)
        for (int l = 0; l < GROUPS; l++)
            most[l] = w[j + l] > most[l] ? w[j + l] : most[l];
    for (; groups > 16 && groups / 4 >= k; groups /= 2)
        for (int l = 0; l < groups / 2; l++)
            most[l] = most[l + groups / 2] > most[l] ? most[l + groups / 2] : most[l];
    for (int i = 0; i < groups; i += 16) {
        atn_float16 y;
        atn_int16x32 reach = {0};
        int32_t count[16];

        memcpy(&y, most + i, sizeof y);
        for (int l = 0; l < groups; l++) reach -= most[l] >= y;
        memcpy(count, &reach, sizeof count);
        for (int l = 0; l < 16; l++)
            if (count[l] >= k && most[i + l] > floor) floor = most[i + l];
    }
    return floor;
}

/* hit[j] = w[j] >= floor; whether there is any. */
ATN_CLONES static bool hits_of(const float *w, int n, float floor, uint8_t *hit)
{
    int any = 0;

    for (int j = 0; j < n; j++) any |= w[j] >= floor;
    if (any)
        for (int j = 0; j < n; j++) hit[j] = w[j] >= floor;
    return any;
}

/* The elements from floor on, if they are at most ATN_FEW; else -1. */
static int pick(const float *w, atn_idx n, float floor, float *few)
{
    uint8_t hit[BLOCK];
    int count = 0;

    for (atn_idx at = 0; at < n; at += BLOCK) {
        const int m = (int)ATN_MIN((atn_idx)BLOCK, n - at);

        if (!hits_of(w + at, m, floor, hit)) continue;
        memset(hit + m, 0, (size_t)(BLOCK - m));
        for (int j = 0; j < m; j += 64)
            for (uint64_t mask = atn_mask64(hit + j); mask; mask &= mask - 1) {
                if (count == ATN_FEW) return -1;
                few[count++] = w[at + j + __builtin_ctzll(mask)];
            }
    }
    return count;
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

/* Leaves the k largest in heap, the largest first. */
static void heap_largest(const float *w, atn_idx n, atn_idx k, float *heap)
{
    memcpy(heap, w, (size_t)k * sizeof *heap);
    for (atn_idx i = k / 2; i-- > 0;) sift(heap, k, i);
    for (atn_idx j = k; j < n; j++)
        if (w[j] > heap[0]) {
            heap[0] = w[j];
            sift(heap, k, 0);
        }
    for (atn_idx m = k; m > 1; m--) { /* the smallest goes to the end */
        const float smallest = heap[0];
        heap[0] = heap[m - 1];
        sift(heap, m - 1, 0);
        heap[m - 1] = smallest;
    }
}

/* How many of w are t or more. */
ATN_CLONES static atn_idx count_from(const float *w, atn_idx n, float t)
{
    int32_t lanes[ATN_LANES] = {0};
    atn_idx j = 0, count = 0;

    for (; j + ATN_LANES <= n; j += ATN_LANES)
        for (int l = 0; l < ATN_LANES; l++) lanes[l] += w[j + l] >= t;
    for (; j < n; j++) count += w[j] >= t;
    for (int l = 0; l < ATN_LANES; l++) count += lanes[l];
    return count;
}

ATN_CLONES static double sum_from(const float *w, atn_idx n, float t)
{
    double lanes[ATN_LANES] = {0}, sum = 0;
    atn_idx j = 0;

    for (; j + ATN_LANES <= n; j += ATN_LANES)
        for (int l = 0; l < ATN_LANES; l++)
            lanes[l] += w[j + l] >= t ? (double)w[j + l] : 0;
    for (; j < n; j++) sum += w[j] >= t ? (double)w[j] : 0;
    for (int l = 0; l < ATN_LANES; l++) sum += lanes[l];
    return sum;
}

/* The k largest of many, none negative: halves the range of their bits until as many are at or
 * above its lower end, or that is the k-th largest itself, of which there may be several. */
static double sum_of_many(const float *w, atn_idx n, atn_idx k, float max)
{
    uint32_t low = 0, high = atn_float_bits(max) + 1;
    atn_idx above = 0; /* at or above high */

    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        const atn_idx count = count_from(w, n, atn_bits_float(middle));

        if (count == k) return sum_from(w, n, atn_bits_float(middle));
        if (count > k) {
            low = middle;
        } else {
            high = middle;
            above = count;
        }
    }
    return (above > 0 ? sum_from(w, n, atn_bits_float(high)) : 0) +
           (double)(k - above) * (double)atn_bits_float(low);
}

/* The k largest, 1 <= k < n, in order: in sorted [ATN_FEW], or in heap [k]. */
static const float *k_largest(const float *w, atn_idx n, atn_idx k, float *sorted,
                              float *heap)
{
    float few[ATN_FEW];
    int count = -1;

    if (k <= GROUPS / 2 && n >= GROUPS) count = pick(w, n, floor_of(w, n, k), few);
    if (count < k) {
        heap_largest(w, n, k, heap);
        return heap;
    }
    atn_row_sort_few(few, count, sorted);
    return sorted;
}

float atn_row_kth(const float *w, atn_idx n, atn_idx k, float *heap)
{
    float sorted[ATN_FEW];

    return k_largest(w, n, k, sorted, heap)[k - 1];
}

double atn_row_topk(const float *w, atn_idx n, atn_idx k, float *heap)
{
    const bool many = k > GROUPS / 2 && n >= 16 * ATN_LANES;
    float sorted[ATN_FEW];
    const float *largest;
    double sum = 0;

    if (k > n) k = n;
    if (k <= 0) return 0;
    if (k == n) return atn_row_sum(w, n);
    if (many && count_from(w, n, 0) == n)
        return sum_of_many(w, n, k, atn_row_max(w, n));
    largest = k_largest(w, n, k, sorted, heap);
    /* from the largest down, so that ties do not matter */
    for (atn_idx i = 0; i < k; i++) sum += (double)largest[i];
    return sum;
}
