/* core/kernels/cuda/rows_mma.cu -- the row pass on the matrix units: bf16 or tf32 operands, float
 * accumulation (mma.sync, sm_80 and later).
 *
 * A block of four warps owns 64 queries, a warp 16 of them, held in registers as fragments; the
 * keys pass in tiles of 64 through shared memory. Logits stay in the accumulators: a thread
 * has 2 rows (g, g + 8) x 16 columns of each tile, so that a row is shared by 4 lanes. Only
 * when some logit enters a row's list of largest do they go through shared memory.
 * Both formats are rows of 32-bit words (bf16 pairs or tf32 values), so that the code is one:
 * fragment word t of step s is word 8 s + t of its row.
 * Oracle  the CPU's row pass on operands rounded alike.
 * Cost    2 d flop an entry on the matrix units, one expf and some 25 float operations; shared
 *         memory 64 (W + 4) words for W words a row (the 4 keep the banks apart).
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/cuda/rows.cuh"

#define ROWS    64
#define KEYS    64
#define THREADS 128
#define NT      (KEYS / 8) /* accumulator tiles of 8 keys */

template <bool TF32, int W> struct tile {
    unsigned q[W / 8][4]; /* fragments of this warp's 16 queries */
    float s[NT][4];       /* products: rows g, g, g + 8, g + 8 */
};

template <bool TF32, int W>
static __device__ __forceinline__ void load_queries(tile<TF32, W> *t, const unsigned *q, int first, int nq)
{
    const int g = atn_lane() / 4, c = atn_lane() % 4;
    const int r0 = first + (int)threadIdx.x / 32 * 16 + g, r1 = r0 + 8;

#pragma unroll
    for (int step = 0; step < W / 8; step++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int at = step * 8 + half * 4 + c;
            t->q[step][half * 2] = r0 < nq ? q[(int64_t)r0 * W + at] : 0u;
            t->q[step][half * 2 + 1] = r1 < nq ? q[(int64_t)r1 * W + at] : 0u;
        }
}

/* Keys [j0, j0 + KEYS) into shared memory, zeros behind nk. */
template <int W>
static __device__ __forceinline__ void load_keys(unsigned *to, const unsigned *k, int j0, int nk)
{
    for (int e = (int)threadIdx.x; e < KEYS * W / 4; e += THREADS) {
        const int r = e / (W / 4), c = e % (W / 4) * 4;
        const atn_word4 zero = {0, 0, 0, 0};
        *reinterpret_cast<atn_word4 *>(to + r * (W + 4) + c) =
            j0 + r < nk
                ? *reinterpret_cast<const atn_word4 *>(k + (int64_t)(j0 + r) * W + c)
                : zero;
    }
}

template <bool TF32, int W>
static __device__ __forceinline__ void multiply(tile<TF32, W> *t, const unsigned *k)
{
    const int g = atn_lane() / 4, c = atn_lane() % 4;

#pragma unroll
    for (int n = 0; n < NT; n++) {
        const unsigned *row = k + (n * 8 + g) * (W + 4) + c;

        t->s[n][0] = t->s[n][1] = t->s[n][2] = t->s[n][3] = 0;
#pragma unroll
        for (int step = 0; step < W / 8; step++) {
            if (TF32)
                atn_mma_tf32(t->s[n], t->q[step], row[step * 8], row[step * 8 + 4]);
            else
                atn_mma_bf16(t->s[n], t->q[step], row[step * 8], row[step * 8 + 4]);
        }
    }
}

/* Products to logits, -inf where a query does not see the key. */
template <bool TF32, int W>
static __device__ __forceinline__ void mask(tile<TF32, W> *t, int i0, int j0, const atn_cu_rows_args &a,
                            const atn_cu_head &h)
{
    const int j = j0 + atn_lane() % 4 * 2;

#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int i = i0 + 8 * half, at = i + a.sight.offset;
        int lo, hi;

        atn_see(a.sight, i, &lo, &hi);
        if (i >= a.nq) hi = lo;
#pragma unroll
        for (int n = 0; n < NT; n++)
#pragma unroll
            for (int e = 0; e < 2; e++) {
                const int key = j + n * 8 + e;
                float *s = &t->s[n][half * 2 + e];
                *s = key >= lo && key < hi
                         ? atn_logit(*s * h.scale, h.slope, key - at, a.sight.softcap)
                         : -INFINITY;
            }
    }
}

/* The running numbers of both rows of this thread. */
template <bool TF32, int W>
static __device__ __forceinline__ void take(const tile<TF32, W> *t, int i0, int j0,
                            const atn_cu_rows_args &a, const int *tokens,
                            atn_row_state *row)
{
    const int j = j0 + atn_lane() % 4 * 2;

#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int i = i0 + 8 * half, at = i + a.sight.offset;
        const bool near = (j0 < a.sight.key_first + 4 && j0 + KEYS > a.sight.key_first) ||
                          (j0 <= at && j0 + KEYS >= at);
        atn_row_look look = {at, a.sight.key_first, -2, near, tokens != 0};
        float largest = -INFINITY;

        if (tokens && i < a.nq && at >= 0 && at < a.nk) look.token = a.tokens[at];
#pragma unroll
        for (int n = 0; n < NT; n++)
            largest = fmaxf(largest, fmaxf(t->s[n][half * 2], t->s[n][half * 2 + 1]));
        largest = fmaxf(largest, __shfl_xor_sync(ATN_WARP_ALL, largest, 1));
        largest = fmaxf(largest, __shfl_xor_sync(ATN_WARP_ALL, largest, 2));
        atn_row_raise(&row[half], largest);
#pragma unroll
        for (int n = 0; n < NT; n++)
#pragma unroll
            for (int e = 0; e < 2; e++) {
                const int key = j + n * 8 + e;
                const float s = t->s[n][half * 2 + e];
                if (s == -INFINITY) continue;
                atn_row_take(&row[half], look, key, s,
                             tokens ? tokens[key - j0 + 1] : -1,
                             tokens ? tokens[key - j0] : -1);
            }
    }
}

/* Logits that may be among the largest go through p [16][KEYS + 1] to a lane each. */
template <bool TF32, int W>
static __device__ __forceinline__ void take_largest(const tile<TF32, W> *t, const atn_cu_rows_args &a,
                                    float *p, float *list, float *floor)
{
    const int g = atn_lane() / 4, c = atn_lane() % 4 * 2;
    bool any = false;

#pragma unroll
    for (int n = 0; n < NT; n++)
#pragma unroll
        for (int e = 0; e < 4; e++) any = any || t->s[n][e] > floor[e / 2];
    if (!__any_sync(ATN_WARP_ALL, any)) return;
#pragma unroll
    for (int n = 0; n < NT; n++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            p[(g + e / 2 * 8) * (KEYS + 1) + n * 8 + c + e % 2] = t->s[n][e];
    __syncwarp();
    for (int r = 0; r < 16; r++) {
        float low = __shfl_sync(ATN_WARP_ALL, r < 8 ? floor[0] : floor[1], r % 8 * 4);

        for (int half = 0; half < KEYS / 32; half++)
            low = atn_topk_insert(list + r * 32,
                                  p[r * (KEYS + 1) + half * 32 + atn_lane()], a.top_k,
                                  low);
        if (g == r) floor[0] = low;
        if (g + 8 == r) floor[1] = low;
    }
    __syncwarp();
}

/* Tokens j0 - 1 .. j0 + KEYS - 1; -1 outside. */
static __device__ __forceinline__ void load_tokens(int *to, const atn_cu_rows_args &a, int j0)
{
    for (int e = (int)threadIdx.x; e < KEYS + 1; e += THREADS) {
        const int j = j0 + e - 1;
        to[e] = j >= 0 && j < a.nk ? a.tokens[j] : -1;
    }
}

template <bool TF32, int W> static __device__ __forceinline__ void rows(const atn_cu_rows_args &a)
{
    __shared__ float lists[ROWS * 32];
    __shared__ int tokens[KEYS + 1];
    const atn_cu_head h = a.heads[blockIdx.y];
    const int first = (int)(gridDim.x - 1 - blockIdx.x) * ROWS,
              warp = (int)threadIdx.x / 32, i0 = first + warp * 16 + atn_lane() / 4;
    unsigned *k = atn_dynamic_shared();
    float *p = reinterpret_cast<float *>(k + KEYS * (W + 4)) + warp * 16 * (KEYS + 1);
    float *list = lists + warp * 16 * 32, floor[2] = {-INFINITY, -INFINITY};
    const bool topk = (a.needs & ATN_NEED_TOPK) != 0,
               with_tokens = (a.needs & ATN_NEED_TOKENS) != 0;
    atn_row_state row[2] = {atn_row_start(), atn_row_start()};
    tile<TF32, W> t;
    int from, to;

    for (int r = 0; r < 16; r++) list[r * 32 + atn_lane()] = -INFINITY;
    load_queries(&t, static_cast<const unsigned *>(h.q), first, a.nq);
    atn_tile_span(a, first, min(first + ROWS, a.nq), KEYS, &from, &to);
    for (int j0 = from; j0 < to; j0 += KEYS) {
        __syncthreads();
        load_keys<W>(k, static_cast<const unsigned *>(h.k), j0, a.nk);
        if (with_tokens) load_tokens(tokens, a, j0);
        __syncthreads();
        multiply(&t, k);
        mask(&t, i0, j0, a, h);
        take(&t, i0, j0, a, with_tokens ? tokens : 0, row);
        if (topk) take_largest(&t, a, p, list, floor);
    }
#pragma unroll
    for (int half = 0; half < 2; half++) {
        atn_row_join(&row[half], 4);
        if (i0 + 8 * half < a.nq && atn_lane() % 4 == 0)
            atn_row_write(row[half], h, a, (int)blockIdx.y, i0 + 8 * half);
    }
    for (int r = 0; topk && r < 16; r++) {
        const float m = r < 8 ? row[0].m : row[1].m,
                    inv = r < 8 ? atn_row_inverse(row[0], h) : atn_row_inverse(row[1], h);
        const float best = atn_topk_sum(list + r * 32, a.top_k,
                                        __shfl_sync(ATN_WARP_ALL, m, r % 8 * 4),
                                        __shfl_sync(ATN_WARP_ALL, inv, r % 8 * 4));
        const int i = first + warp * 16 + r;
        if (i < a.nq && atn_lane() == 0)
            h.values[(int64_t)ATN_ROW_TOPK * a.nq + i] = best;
    }
}

/* The second walk: weights of the tile through p [ROWS][KEYS + 1]. */
template <bool TF32, int W> static __device__ __forceinline__ void sums(const atn_cu_rows_args &a)
{
    __shared__ float p[ROWS * (KEYS + 1)];
    const atn_cu_head h = a.heads[blockIdx.y];
    const int first = (int)(gridDim.x - 1 - blockIdx.x) * ROWS,
              r0 = (int)threadIdx.x / 32 * 16 + atn_lane() / 4, c = atn_lane() % 4 * 2;
    unsigned *k = atn_dynamic_shared();
    float m[2] = {0, 0}, inv[2] = {0, 0};
    tile<TF32, W> t;
    int from, to;

#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int i = first + r0 + 8 * half;
        if (i >= a.nq) continue;
        m[half] = h.values[(int64_t)ATN_CU_ROW_MAX * a.nq + i];
        inv[half] = h.values[(int64_t)ATN_CU_ROW_INV * a.nq + i];
    }
    load_queries(&t, static_cast<const unsigned *>(h.q), first, a.nq);
    atn_tile_span(a, first, min(first + ROWS, a.nq), KEYS, &from, &to);
    for (int j0 = from; j0 < to; j0 += KEYS) {
        __syncthreads();
        load_keys<W>(k, static_cast<const unsigned *>(h.k), j0, a.nk);
        __syncthreads();
        multiply(&t, k);
        mask(&t, first + r0, j0, a, h);
#pragma unroll
        for (int n = 0; n < NT; n++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const float s = t.s[n][e];
                p[(r0 + e / 2 * 8) * (KEYS + 1) + n * 8 + c + e % 2] =
                    s == -INFINITY ? 0.0f : expf(s - m[e / 2]) * inv[e / 2];
            }
        __syncthreads();
        atn_tile_sums(p, ROWS, KEYS, first, j0, a, h);
    }
}

#define ATN_INSTANCE(format, tf32, words)                                              \
    extern "C" __global__ void __launch_bounds__(THREADS)                              \
        atn_cu_rows_##format##_##words(atn_cu_rows_args a)                             \
    {                                                                                  \
        rows<tf32, words>(a);                                                          \
    }                                                                                  \
    extern "C" __global__ void __launch_bounds__(THREADS)                              \
        atn_cu_sums_##format##_##words(atn_cu_rows_args a)                             \
    {                                                                                  \
        sums<tf32, words>(a);                                                          \
    }
ATN_INSTANCE(bf16, false, 32)
ATN_INSTANCE(bf16, false, 64)
ATN_INSTANCE(bf16, false, 128)
ATN_INSTANCE(tf32, true, 32)
ATN_INSTANCE(tf32, true, 64)
ATN_INSTANCE(tf32, true, 128)
