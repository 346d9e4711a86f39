/* core/kernels/cuda/sparse_attention.cu -- attention over lists of tiles: of every head
 * and tile of queries, the tiles of keys to compute (mma.sync, sm_80 and later).
 *
 * A block of eight warps owns 128 queries, 16 a warp: their fragments, the output so
 * far and the running softmax stay in registers. Tiles of 64 keys and their values pass
 * through two stages of shared memory, one being copied while the other is used. A tile
 * of 128 keys would take 32 registers more a thread and end above 255 at d = 128; 64
 * queries a block would read keys and values twice as often.
 *
 * Layout  of a 16 x 8 product a thread has rows g and g + 8, columns 2 c and 2 c + 1:
 *         g = lane / 4, c = lane % 4. Two products side by side, rounded to bf16, are
 *         the left operand of the second product; values come transposed
 *         (ldmatrix.trans).
 * Math    m' = max(m, max s), z' = z 2^(m - m') + sum 2^(s - m'), o' likewise, s in
 *         units of ln 2; at the end o / z. Weights are rounded to bf16 before they
 *         meet the values, z is summed before that. Nothing visible: output 0, lse
 *         -inf.
 * Oracle  a twin in double: tests/core/test_sparse_attention.c.
 * Source  FlashAttention-2, arXiv:2307.08691; online softmax, arXiv:1805.02867.
 * Cost    4 * 128 * 64 * d flop a tile; keys and values once a tile, from L2.
 * Limits  d = 64 or 128, scale above 0; a NaN in q, k or v ends up in the output.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/cuda/device.cuh"

#define KEYS    ATN_CU_SPARSE_KEYS
#define ROWS    ATN_CU_SPARSE_ROWS
#define THREADS ATN_CU_SPARSE_THREADS
#define NT      (KEYS / 8)
#define LOG2E   1.4426950408889634f
#define LN2     0.6931471805599453f

/* Rows of W words, four words apart from one another's banks; a stage has the keys and
 * then the values of a tile. */
template <int W> struct stage {
    static const int pitch = W + 4, values = KEYS * pitch, words = 2 * KEYS * pitch;
};

/* What a warp keeps of its 16 queries. */
template <int W> struct state {
    unsigned q[W / 8][4];
    float o[W / 4][4];
    float m[2], z[2]; /* of rows g and g + 8; z of this thread's columns */
};

template <int W>
static __device__ __forceinline__ void load_queries(state<W> *t, const uint32_t *q,
                                                    int first, int nq)
{
    const int g = atn_lane() / 4, c = atn_lane() % 4;

#pragma unroll
    for (int step = 0; step < W / 8; step++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            const int r = first + g + e % 2 * 8;

            t->q[step][e] = r < nq ? q[(int64_t)r * W + step * 8 + e / 2 * 4 + c] : 0u;
        }
#pragma unroll
    for (int j = 0; j < W / 4; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) t->o[j][e] = 0;
    t->m[0] = t->m[1] = -INFINITY;
    t->z[0] = t->z[1] = 0;
}

/* Keys and values [first, first + KEYS) on their way into a stage, zeros behind nk. */
template <int W>
static __device__ __forceinline__ void send_tile(unsigned *to, const uint32_t *k,
                                                 const uint32_t *v, int first, int nk)
{
    for (int e = (int)threadIdx.x; e < KEYS * W / 4; e += THREADS) {
        const int r = e / (W / 4), piece = e % (W / 4) * 4;
        const bool there = first + r < nk;
        const int64_t from = (int64_t)(there ? first + r : 0) * W + piece;

        atn_copy16(to + r * stage<W>::pitch + piece, k + from, there);
        atn_copy16(to + stage<W>::values + r * stage<W>::pitch + piece, v + from,
                   there);
    }
    atn_copies_close();
}

/* s <- the warp's queries times the keys of a stage. */
template <int W>
static __device__ __forceinline__ void
multiply_keys(const state<W> &t, const unsigned *keys, float (*s)[4])
{
    const unsigned *row =
        keys + (atn_lane() & 7) * stage<W>::pitch + atn_lane() / 8 * 4;

#pragma unroll
    for (int n = 0; n < NT; n++)
#pragma unroll
        for (int e = 0; e < 4; e++) s[n][e] = 0;
#pragma unroll
    for (int step = 0; step < W / 8; step += 2)
#pragma unroll
        for (int n = 0; n < NT; n++) {
            unsigned b[4];

            atn_load_matrices(b, row + n * 8 * stage<W>::pitch + step * 8);
            atn_mma_bf16(s[n], t.q[step], b[0], b[1]);
            atn_mma_bf16(s[n], t.q[step + 1], b[2], b[3]);
        }
}

/* -inf where a query does not see the key, or, unless `asks`, where there is none. */
static __device__ __forceinline__ void mask(float (*s)[4], int row, int key0, bool asks,
                                            const atn_cu_sparse_args &a)
{
    const int key = key0 + atn_lane() % 4 * 2;

#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int i = row + 8 * half;
        int lo = 0, hi = a.nk;

        if (asks) atn_see(a.sight, i, &lo, &hi);
        hi = min(hi, a.nk);
#pragma unroll
        for (int n = 0; n < NT; n++)
#pragma unroll
            for (int e = 0; e < 2; e++) {
                const int j = key + n * 8 + e;

                if (j < lo || j >= hi) s[n][2 * half + e] = -INFINITY;
            }
    }
}

/* Products to weights over 2^m, and what was there before to the same m. */
template <int W>
static __device__ __forceinline__ void soften(state<W> *t, float (*s)[4], float factor)
{
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float m = -INFINITY, z = 0, base, before;

#pragma unroll
        for (int n = 0; n < NT; n++)
            m = fmaxf(m, fmaxf(s[n][2 * half], s[n][2 * half + 1]));
        m = fmaxf(m, __shfl_xor_sync(ATN_WARP_ALL, m, 1));
        m = fmaxf(m, __shfl_xor_sync(ATN_WARP_ALL, m, 2));
        m = fmaxf(t->m[half], m * factor);
        base = m == -INFINITY ? 0.0f : m;
        before = atn_exp2(t->m[half] - base);
        t->m[half] = m;
#pragma unroll
        for (int n = 0; n < NT; n++)
#pragma unroll
            for (int e = 0; e < 2; e++) {
                float *x = &s[n][2 * half + e];

                *x = atn_exp2(fmaf(*x, factor, -base));
                z += *x;
            }
        t->z[half] = fmaf(t->z[half], before, z);
#pragma unroll
        for (int j = 0; j < W / 4; j++)
#pragma unroll
            for (int e = 0; e < 2; e++) t->o[j][2 * half + e] *= before;
    }
}

/* o += weights times the values of a stage. */
template <int W>
static __device__ __forceinline__ void multiply_values(state<W> *t, float (*s)[4],
                                                       const unsigned *values)
{
    const unsigned *row =
        values + (atn_lane() & 15) * stage<W>::pitch + atn_lane() / 16 * 4;

#pragma unroll
    for (int step = 0; step < NT / 2; step++) {
        const float *left = s[2 * step], *right = s[2 * step + 1];
        const unsigned p[4] = {
            atn_pair_bf16(left[0], left[1]), atn_pair_bf16(left[2], left[3]),
            atn_pair_bf16(right[0], right[1]), atn_pair_bf16(right[2], right[3])};

#pragma unroll
        for (int j = 0; j < W / 4; j += 2) {
            unsigned b[4];

            atn_load_transposed(b, row + step * 16 * stage<W>::pitch + j * 4);
            atn_mma_bf16(t->o[j], p, b[0], b[1]);
            atn_mma_bf16(t->o[j + 1], p, b[2], b[3]);
        }
    }
}

template <int W>
static __device__ __forceinline__ void write(state<W> *t, int64_t head_row, int row,
                                             const atn_cu_sparse_args &a)
{
    const int c = atn_lane() % 4;

#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int i = row + 8 * half;
        const int64_t at = (head_row + i) * W + c;
        float z = t->z[half], share;

        z += __shfl_xor_sync(ATN_WARP_ALL, z, 1);
        z += __shfl_xor_sync(ATN_WARP_ALL, z, 2);
        share = z == 0 ? 0.0f : 1 / z;
        if (i >= a.nq) continue;
        if (a.lse && c == 0)
            a.lse[head_row + i] = z == 0 ? -INFINITY : LN2 * t->m[half] + logf(z);
#pragma unroll
        for (int j = 0; j < W / 4; j++) {
            const float x = t->o[j][2 * half] * share,
                        y = t->o[j][2 * half + 1] * share;

            if (a.out) a.out[at + 4 * j] = atn_pair_bf16(x, y);
            if (a.wide) {
                a.wide[2 * (at + 4 * j)] = x;
                a.wide[2 * (at + 4 * j) + 1] = y;
            }
        }
    }
}

template <int W>
static __device__ __forceinline__ void attend(const atn_cu_sparse_args &a)
{
    const int head = (int)blockIdx.y, tiles = (int)gridDim.x,
              tile = tiles - 1 - (int)blockIdx.x,
              first = tile * ROWS + (int)threadIdx.x / 32 * 16,
              row = first + atn_lane() / 4;
    const int kv = (int)((int64_t)head * a.kv_heads / (int)gridDim.y);
    const uint32_t *k = a.k + (int64_t)kv * a.nk * W, *v = a.v + (int64_t)kv * a.nk * W;
    const int64_t list = (int64_t)(head % a.lists) * tiles + tile;
    const int32_t *item = a.item + a.ptr[list], *const end = a.item + a.ptr[list + 1];
    const float factor = a.scale * LOG2E;
    unsigned *stages = atn_dynamic_shared();
    state<W> t;
    int now = 0;

    load_queries(&t, a.q + (int64_t)head * a.nq * W, first, a.nq);
    if (item < end) send_tile<W>(stages, k, v, *item / 2 * KEYS, a.nk);
    for (; item < end; item++, now ^= 1) {
        const unsigned *keys = stages + now * stage<W>::words;
        const int key0 = *item / 2 * KEYS;
        float s[NT][4];

        atn_copies_wait();
        __syncthreads();
        if (item + 1 < end)
            send_tile<W>(stages + (now ^ 1) * stage<W>::words, k, v, item[1] / 2 * KEYS,
                         a.nk);
        multiply_keys(t, keys, s);
        if (*item % 2 || key0 + KEYS > a.nk) mask(s, row, key0, *item % 2, a);
        soften(&t, s, factor);
        multiply_values(&t, s, keys + stage<W>::values);
    }
    write(&t, (int64_t)head * a.nq, row, a);
}

#define ATN_INSTANCE(d, blocks)                                                        \
    extern "C" __global__ void __launch_bounds__(THREADS, blocks)                      \
        atn_cu_sparse_##d(atn_cu_sparse_args a)                                        \
    {                                                                                  \
        attend<(d) / 2>(a);                                                            \
    }
ATN_INSTANCE(64, 2)
ATN_INSTANCE(128, 1)
