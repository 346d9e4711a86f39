/* core/kernels/cuda/rows.cuh -- the running numbers of one row while its keys go by.
 *
 * Math    with m the largest logit so far: Z = sum e^(s-m), D = sum e^(s-m) (s-m), and
 *         the other sums of core/row_values.h with e^(s-m) in place of P. When m grows
 *         by g, D <- e^-g (D - g Z), every other sum is multiplied by e^-g, the square
 *         by e^-2g. The first key f is kept apart, so that what the others do can be
 *         told where it has nearly all of the weight, and joins them at the end (its
 *         term of D is e ln e). Then inv = 1 / (Z + e^(sink-m)), H = ln Z - D / Z,
 *         P = e^(s-m) inv, and the row's level ln(1 / inv) + m gives P = e^(s-level) to
 *         later walks.
 * Oracle  tests/core/test_backends.c: the row pass of the CPU.
 * Limits  sums are float and of n_k / 4 (matrix kernel, 64 keys at a time) or n_k / 32
 *         terms a thread.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/kernels/cuda/device.cuh"
#include "core/row_values_needs.h"

#define ATN_LN2   0.693147180559945309f
#define ATN_LOG2E 1.44269504088896341f
#define ATN_FIXED 1099511627776.0f /* 2^40 */

/* A thread's share of a row; m is the same in all threads of the row. */
struct atn_row_state {
    float m, first; /* first: e^(s-m) of key f, which the next four leave out */
    float z, dot, square, distance, next, same;
};

static __device__ __forceinline__ atn_row_state atn_row_start()
{
    const atn_row_state r = {-INFINITY, 0, 0, 0, 0, 0, 0, 0};

    return r;
}

/* The largest logit grows to m; f = e^(r->m - m). */
static __device__ __forceinline__ void atn_row_raise(atn_row_state *r, float m, float f)
{
    const float grow = m - r->m;

    r->m = m;
    if (!(r->z + r->first > 0)) return;
    r->dot = f * (r->dot - grow * r->z);
    r->z *= f;
    r->first *= f;
    r->square *= f * f;
    r->distance *= f;
    r->next *= f;
    r->same *= f;
}

/* Adds up the shares of `width` neighbouring lanes; all of them get the total. */
static __device__ __forceinline__ float atn_share(float v, int width)
{
    for (int o = width / 2; o > 0; o >>= 1) v += __shfl_xor_sync(ATN_WARP_ALL, v, o);
    return v;
}

static __device__ __forceinline__ void atn_row_join(atn_row_state *r, int width)
{
    r->z = atn_share(r->z, width);
    r->first = atn_share(r->first, width);
    r->dot = atn_share(r->dot, width);
    r->square = atn_share(r->square, width);
    r->distance = atn_share(r->distance, width);
    r->next = atn_share(r->next, width);
    r->same = atn_share(r->same, width);
}

/* The denominator over e^m; 0 for a row without mass. */
static __device__ __forceinline__ float atn_row_all(const atn_row_state &r,
                                                    const atn_cu_head &h)
{
    const float z = r.z + r.first, all = z + (h.has_sink ? expf(h.sink - r.m) : 0.0f);

    return z > 0 && isfinite(all) ? all : 0.0f;
}

static __device__ __forceinline__ float atn_row_level(const atn_row_state &r,
                                                      const atn_cu_head &h)
{
    const float all = atn_row_all(r, h);

    return all > 0 ? r.m + logf(all) : INFINITY;
}

/* Writes what the walk knows of row i, top-k apart; one thread a row, after
 * atn_row_join. */
static __device__ void atn_row_write(const atn_row_state &r, const atn_cu_head &h,
                                     const atn_cu_rows_args &a, int head, int i)
{
    const float all = atn_row_all(r, h), inv = all > 0 ? 1.0f / all : 0.0f;
    const float z = r.z + r.first,
                dot = r.dot + (r.first > 0 ? r.first * logf(r.first) : 0.0f);
    const float far = fabsf((float)(i + a.sight.offset - a.sight.key_first));
    float *out = h.values + i;
    const int64_t n = a.nq;
    int lo, hi;

    atn_see(a.sight, i, &lo, &hi);
    if (lo < hi && !(isfinite(r.m) && isfinite(z) && isfinite(r.dot)))
        atomicMin(&a.bad[head], i);
    out[ATN_ROW_ENTROPY * n] = z > 0 ? fmaxf(logf(z) - dot / z, 0.0f) : 0.0f;
    out[ATN_ROW_MASS * n] = z * inv;
    out[ATN_ROW_SQUARE * n] = (r.square + r.first * r.first) * inv * inv;
    out[ATN_ROW_DISTANCE * n] = (r.distance + r.first * far) * inv;
    out[ATN_ROW_FIRST * n] = r.first * inv;
    out[ATN_ROW_REST * n] = r.z * inv;
    out[ATN_ROW_REST_DISTANCE * n] = r.distance * inv;
    out[ATN_ROW_INDUCTION * n] = r.next * inv;
    out[ATN_ROW_DUPLICATE * n] = r.same * inv;
    out[ATN_CU_ROW_LEVEL * n] = atn_row_level(r, h);
}

/* ---- the k largest logits of a row, kept sorted in list[32] ---- */

/* All 32 lanes: v of this lane joins the list where it is above the k-th; returns the
 * k-th. */
static __device__ float atn_topk_insert(float *list, float v, int k, float floor)
{
    unsigned todo = __ballot_sync(ATN_WARP_ALL, v > floor);
    float mine;

    if (todo == 0) return floor;
    mine = list[atn_lane()];
    for (; todo != 0; todo &= todo - 1) {
        const float x = __shfl_sync(ATN_WARP_ALL, v, __ffs((int)todo) - 1);
        const int at = __popc(__ballot_sync(ATN_WARP_ALL, mine >= x));
        const float above = __shfl_up_sync(ATN_WARP_ALL, mine, 1);

        mine = atn_lane() < at ? mine : atn_lane() == at ? x : above;
    }
    list[atn_lane()] = mine;
    return __shfl_sync(ATN_WARP_ALL, mine, k - 1);
}

/* Sum of the weights of the k best logits, once level is known; all 32 lanes get it. */
static __device__ float atn_topk_sum(float logit, int k, float level)
{
    return atn_warp_sum(atn_lane() < k && logit > -INFINITY ? expf(logit - level)
                                                            : 0.0f);
}

/* ---- sums over columns, diagonals and blocks ---- */

/* Units of 2^-40: the scaling is exact, and sums of integers do not depend on their
 * order. */
static __device__ __forceinline__ void atn_add_fixed(unsigned long long *to, float x)
{
    if (x != 0) atomicAdd(to, __float2ull_rn(x * ATN_FIXED));
}

/* Keys [*lo, *hi) that some row of [first, last) sees, *lo a multiple of `step`: what a
 * row sees begins and ends no earlier than what the row before it sees. */
static __device__ __forceinline__ void atn_tile_span(const atn_cu_sight &sight,
                                                     int first, int last, int step,
                                                     int *lo, int *hi)
{
    int other;

    atn_see(sight, first, lo, &other);
    atn_see(sight, last - 1, &other, hi);
    *lo = *lo / step * step;
    *hi = min(*hi, sight.key_last);
}
