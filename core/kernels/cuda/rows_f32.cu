/* core/kernels/cuda/rows_f32.cu -- the row pass in plain float: the readable reference of the
 * matrix kernels (rows_mma.cu), and the one that --dtype f32 runs.
 *
 * A block of four warps owns 16 queries, a warp four of them; the keys pass in tiles of 32 through
 * shared memory, a lane to a key. Shared memory: q [16][d], k [32][d + 1], lists [16][32].
 * Oracle  the CPU's row pass; NMSE <= 1e-7.
 * Cost    2 d flop an entry on the float units: far from the matrix units' rate.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/cuda/rows.cuh"

#define ROWS     16
#define KEYS     32
#define PER_WARP 4

static __device__ __forceinline__ void load(const float *from, int rows, int d, int first, int limit,
                            int ld, float *to)
{
    for (int e = (int)threadIdx.x; e < rows * d; e += (int)blockDim.x) {
        const int r = e / d, c = e % d;
        to[r * ld + c] = first + r < limit ? from[(int64_t)(first + r) * d + c] : 0.0f;
    }
}

/* The products of this warp's four queries with this lane's key. */
static __device__ __forceinline__ void products(const float *q, const float *k, int d, float *s)
{
#pragma unroll
    for (int r = 0; r < PER_WARP; r++) s[r] = 0;
    for (int c = 0; c < d; c++)
#pragma unroll
        for (int r = 0; r < PER_WARP; r++) s[r] += q[r * d + c] * k[c];
}

extern "C" __global__ void atn_cu_rows_f32(atn_cu_rows_args a)
{
    const atn_cu_head h = a.heads[blockIdx.y];
    const int first = (int)(gridDim.x - 1 - blockIdx.x) * ROWS,
              last = min(first + ROWS, a.nq), warp = (int)threadIdx.x / 32;
    float *q = reinterpret_cast<float *>(atn_dynamic_shared());
    float *k = q + ROWS * a.d, *list = k + KEYS * (a.d + 1) + warp * PER_WARP * 32;
    const bool tokens = (a.needs & ATN_NEED_TOKENS) != 0;
    atn_row_state row[PER_WARP];
    float floor[PER_WARP];
    int from, to;

#pragma unroll
    for (int r = 0; r < PER_WARP; r++) {
        row[r] = atn_row_start();
        floor[r] = -INFINITY;
        list[r * 32 + atn_lane()] = -INFINITY;
    }
    load(static_cast<const float *>(h.q), ROWS, a.d, first, a.nq, a.d, q);
    atn_tile_span(a, first, last, KEYS, &from, &to);
    for (int j0 = from; j0 < to; j0 += KEYS) {
        const int j = j0 + atn_lane();
        const int here = tokens && j < a.nk ? a.tokens[j] : -1;
        const int before = tokens && j > 0 && j <= a.nk ? a.tokens[j - 1] : -1;
        float s[PER_WARP];

        __syncthreads();
        load(static_cast<const float *>(h.k), KEYS, a.d, j0, a.nk, a.d + 1, k);
        __syncthreads();
        products(q + warp * PER_WARP * a.d, k + atn_lane() * (a.d + 1), a.d, s);
#pragma unroll
        for (int r = 0; r < PER_WARP; r++) {
            const int i = first + warp * PER_WARP + r, at = i + a.sight.offset;
            atn_row_look look = {at, a.sight.key_first, 0, true, tokens};
            int lo, hi;
            bool seen;
            float x;

            atn_see(a.sight, i, &lo, &hi);
            seen = i < a.nq && j >= lo && j < hi;
            if (tokens) look.token = at >= 0 && at < a.nk ? a.tokens[at] : -2;
            x = seen ? atn_logit(s[r] * h.scale, h.slope, j - at, a.sight.softcap)
                     : -INFINITY;
            atn_row_raise(&row[r], atn_warp_max(x));
            if (seen) atn_row_take(&row[r], look, j, x, here, before);
            if (a.needs & ATN_NEED_TOPK)
                floor[r] = atn_topk_insert(list + r * 32, x, a.top_k, floor[r]);
        }
    }
#pragma unroll
    for (int r = 0; r < PER_WARP; r++) {
        const int i = first + warp * PER_WARP + r;
        float best;

        atn_row_join(&row[r], 32);
        best = atn_topk_sum(list + r * 32, a.top_k, row[r].m,
                            atn_row_inverse(row[r], h));
        if (i >= a.nq || atn_lane() != 0) continue;
        atn_row_write(row[r], h, a, (int)blockIdx.y, i);
        h.values[(int64_t)ATN_ROW_TOPK * a.nq + i] = best;
    }
}

/* The second walk; weights of the tile go through shared memory as well: p [16][33]. */
extern "C" __global__ void atn_cu_sums_f32(atn_cu_rows_args a)
{
    const atn_cu_head h = a.heads[blockIdx.y];
    const int first = (int)(gridDim.x - 1 - blockIdx.x) * ROWS,
              last = min(first + ROWS, a.nq), warp = (int)threadIdx.x / 32;
    float *q = reinterpret_cast<float *>(atn_dynamic_shared());
    float *k = q + ROWS * a.d, *p = k + KEYS * (a.d + 1);
    int from, to;

    load(static_cast<const float *>(h.q), ROWS, a.d, first, a.nq, a.d, q);
    atn_tile_span(a, first, last, KEYS, &from, &to);
    for (int j0 = from; j0 < to; j0 += KEYS) {
        const int j = j0 + atn_lane();
        float s[PER_WARP];

        __syncthreads();
        load(static_cast<const float *>(h.k), KEYS, a.d, j0, a.nk, a.d + 1, k);
        __syncthreads();
        products(q + warp * PER_WARP * a.d, k + atn_lane() * (a.d + 1), a.d, s);
#pragma unroll
        for (int r = 0; r < PER_WARP; r++) {
            const int i = first + warp * PER_WARP + r;
            float weight = 0;
            int lo, hi;

            atn_see(a.sight, i, &lo, &hi);
            if (i < a.nq && j >= lo && j < hi)
                weight = expf(atn_logit(s[r] * h.scale, h.slope,
                                        j - i - a.sight.offset, a.sight.softcap) -
                              h.values[(int64_t)ATN_CU_ROW_MAX * a.nq + i]) *
                         h.values[(int64_t)ATN_CU_ROW_INV * a.nq + i];
            p[(warp * PER_WARP + r) * (KEYS + 1) + atn_lane()] = weight;
        }
        __syncthreads();
        atn_tile_sums(p, ROWS, KEYS, first, j0, a, h);
    }
}
