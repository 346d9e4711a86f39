/* core/kernels/cuda/rows.cuh -- the running numbers of one row while its keys go by.
 *
 * Math    with m the largest logit so far: Z = sum e^(s-m), D = sum e^(s-m) (s-m), and the
 *         other sums of core/row_values.h with e^(s-m) in place of P. When m grows by g,
 *         D <- e^-g (D - g Z), every other sum is multiplied by e^-g, the square by e^-2g.
 *         At the end inv = 1 / (Z + e^(sink-m)), H = ln Z - D / Z, P = e^(s-m) inv.
 * Oracle  tests/core/test_backends.c: the row pass of the CPU.
 * Limits  sums are float and of n_k / 4 (matrix kernel) or n_k / 32 terms a thread.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/kernels/cuda/device.cuh"
#include "core/row_values_needs.h"

/* A thread's share of a row; m is the same in all threads of the row. */
struct atn_row_state {
    float m, z, dot, square, distance, first, first4, diagonal, previous, next, same;
};

static __device__ __forceinline__ atn_row_state atn_row_start()
{
    const atn_row_state r = {-INFINITY, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};

    return r;
}

static __device__ __forceinline__ void atn_row_raise(atn_row_state *r, float m)
{
    const float grow = m - r->m, f = expf(-grow);

    if (!(m > r->m)) return;
    if (r->z > 0) {
        r->dot = f * (r->dot - grow * r->z);
        r->z *= f;
        r->square *= f * f;
        r->distance *= f;
        r->first *= f;
        r->first4 *= f;
        r->diagonal *= f;
        r->previous *= f;
        r->next *= f;
        r->same *= f;
    }
    r->m = m;
}

/* What every key of a row shares. */
struct atn_row_look {
    int at, first;        /* the query's position; the first key that is no padding */
    int token;            /* the query's token */
    bool local, tokens;   /* this tile holds keys that `first`.. or `diagonal`.. want */
};

/* Key j with logit s <= m; here / before: the tokens at j and j - 1. */
static __device__ __forceinline__ void atn_row_take(atn_row_state *r,
                                                    const atn_row_look &k, int j,
                                                    float s, int here, int before)
{
    const float x = s - r->m, e = expf(x);

    r->z += e;
    r->dot += e * x;
    r->square += e * e;
    r->distance += e * fabsf((float)(k.at - j));
    if (k.local) {
        if (j == k.first) r->first += e;
        if (j >= k.first && j < k.first + 4) r->first4 += e;
        if (j == k.at) r->diagonal += e;
        if (j == k.at - 1) r->previous += e;
    }
    if (k.tokens) {
        if (here == k.token && j < k.at) r->same += e;
        if (before == k.token && j <= k.at && j > 0) r->next += e;
    }
}

/* Adds up the shares of `width` neighbouring lanes; all of them get the total. */
static __device__ __forceinline__ float atn_share(float v, int width)
{
    for (int o = width / 2; o > 0; o >>= 1) v += __shfl_xor_sync(ATN_WARP_ALL, v, o);
    return v;
}

static __device__ void atn_row_join(atn_row_state *r, int width)
{
    r->z = atn_share(r->z, width);
    r->dot = atn_share(r->dot, width);
    r->square = atn_share(r->square, width);
    r->distance = atn_share(r->distance, width);
    r->first = atn_share(r->first, width);
    r->first4 = atn_share(r->first4, width);
    r->diagonal = atn_share(r->diagonal, width);
    r->previous = atn_share(r->previous, width);
    r->next = atn_share(r->next, width);
    r->same = atn_share(r->same, width);
}

/* One over the denominator; 0 for a row without mass. */
static __device__ __forceinline__ float atn_row_inverse(const atn_row_state &r,
                                                        const atn_cu_head &h)
{
    const float all = r.z + (h.has_sink ? expf(h.sink - r.m) : 0.0f);

    return r.z > 0 && isfinite(all) ? 1.0f / all : 0.0f;
}

/* Writes the arrays of row i, top-k apart; one thread a row, after atn_row_join. */
static __device__ void atn_row_write(const atn_row_state &r, const atn_cu_head &h,
                                     const atn_cu_rows_args &a, int head, int i)
{
    const float inv = atn_row_inverse(r, h);
    float *out = h.values + i;
    const int64_t n = a.nq;
    int lo, hi;

    atn_see(a.sight, i, &lo, &hi);
    if (lo < hi && !(isfinite(r.m) && isfinite(r.z) && isfinite(r.dot)))
        atomicMin(&a.bad[head], i);
    out[ATN_ROW_ENTROPY * n] = r.z > 0 ? fmaxf(logf(r.z) - r.dot / r.z, 0.0f) : 0.0f;
    out[ATN_ROW_MASS * n] = r.z * inv;
    out[ATN_ROW_SQUARE * n] = r.square * inv * inv;
    out[ATN_ROW_DISTANCE * n] = r.distance * inv;
    out[ATN_ROW_FIRST * n] = r.first * inv;
    out[ATN_ROW_FIRST4 * n] = r.first4 * inv;
    out[ATN_ROW_DIAGONAL * n] = r.diagonal * inv;
    out[ATN_ROW_PREVIOUS * n] = r.previous * inv;
    out[ATN_ROW_INDUCTION * n] = r.next * inv;
    out[ATN_ROW_DUPLICATE * n] = r.same * inv;
    out[ATN_CU_ROW_MAX * n] = r.m;
    out[ATN_CU_ROW_INV * n] = inv;
}

/* ---- the k largest logits of a row, kept sorted in list[32] ---- */

/* All 32 lanes: v of this lane joins the list where it is above the k-th; returns the k-th. */
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

/* Sum of the k best weights; all 32 lanes get it. */
static __device__ float atn_topk_sum(const float *list, int k, float m, float inv)
{
    const float s = list[atn_lane()];

    return atn_warp_sum(atn_lane() < k && s > -INFINITY ? expf(s - m) * inv : 0.0f);
}

/* ---- the second walk: sums over columns, diagonals and blocks of a tile of weights ---- */

static __device__ __forceinline__ void atn_add_fixed(unsigned long long *to, float x)
{
    if (x != 0) atomicAdd(to, (unsigned long long)((double)x * 1099511627776.0 + 0.5));
}

/* p [rows][keys + 1] in shared memory; entry (0, 0) is query i0, key j0. Whole block, after a
 * barrier. Columns beyond nk and rows beyond nq hold zeros. */
static __device__ void atn_tile_sums(const float *p, int rows, int keys, int i0, int j0,
                                     const atn_cu_rows_args &a, const atn_cu_head &h)
{
    const int ld = keys + 1;

    for (int c = (int)threadIdx.x; c < keys; c += (int)blockDim.x) {
        float sum = 0;
        for (int r = 0; r < rows; r++) sum += p[r * ld + c];
        if (h.columns && j0 + c < a.nk) atn_add_fixed(&h.columns[j0 + c], sum);
        if (h.blocks && j0 + c < a.nk)
            atn_add_fixed(&h.blocks[(int64_t)(i0 / a.block) *
                                        ((a.nk + a.block - 1) / a.block) +
                                    (j0 + c) / a.block],
                          sum);
    }
    if (!h.diagonals) return;
    for (int e = (int)threadIdx.x; e < rows + keys - 1; e += (int)blockDim.x) {
        const int first = max(0, e - keys + 1); /* r - c = e - keys + 1 */
        float sum = 0;
        for (int r = first; r < rows && r - (e - keys + 1) >= 0; r++)
            if (r - (e - keys + 1) < keys) sum += p[r * ld + r - (e - keys + 1)];
        if (sum != 0)
            atn_add_fixed(&h.diagonals[i0 - j0 + e - keys + 1 + a.nk - 1], sum);
    }
}

/* Keys [*lo, *hi) that some row of [first, last) sees, as multiples of `step`. */
static __device__ void atn_tile_span(const atn_cu_rows_args &a, int first, int last,
                                     int step, int *lo, int *hi)
{
    int from = a.nk, to = 0;

    for (int i = first; i < last; i++) {
        int l, h;
        atn_see(a.sight, i, &l, &h);
        if (l < h) from = min(from, l), to = max(to, h);
    }
    *lo = from / step * step;
    *hi = to;
}
