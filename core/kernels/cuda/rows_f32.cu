/* core/kernels/cuda/rows_f32.cu -- the row pass in plain float: the readable reference
 * of the matrix kernels (rows_mma.cu), and the one that --dtype f32 runs.
 *
 * A block of four warps owns 32 queries, a warp eight of them; the keys pass in tiles
 * of 32 through shared memory, a lane to a key. Rows are padded with zeros to
 * dp = ATN_CU_F32_PAD(d) floats, so that four are read at once. Shared memory: q
 * [32][dp], k [32][dp + 4], lists or weights.
 * Oracle  the CPU's row pass; NMSE <= 1e-7.
 * Cost    2 d flop an entry on the float units: far from the matrix units' rate.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/cuda/rows.cuh"

#define ROWS     32
#define KEYS     32
#define PER_WARP 8

/* `rows` rows of d floats from `first` on, zeros behind d and behind the limit. */
static __device__ __forceinline__ void load(const float *from, int rows, int d,
                                            int first, int limit, int ld, float *to)
{
    const int dp = ATN_CU_F32_PAD(d);

    for (int e = (int)threadIdx.x; e < rows * dp; e += (int)blockDim.x) {
        const int r = e / dp, c = e % dp;
        to[r * ld + c] =
            first + r < limit && c < d ? from[(int64_t)(first + r) * d + c] : 0.0f;
    }
}

/* The products of this warp's queries with this lane's key. */
static __device__ __forceinline__ void products(const float *q, const float *k, int dp,
                                                float *s)
{
#pragma unroll
    for (int r = 0; r < PER_WARP; r++) s[r] = 0;
#pragma unroll 2
    for (int c = 0; c < dp; c += 4) {
        const atn_float4 b = *reinterpret_cast<const atn_float4 *>(k + c);

#pragma unroll
        for (int r = 0; r < PER_WARP; r++) {
            const atn_float4 a = *reinterpret_cast<const atn_float4 *>(q + r * dp + c);

            s[r] = fmaf(
                a.v[0], b.v[0],
                fmaf(a.v[1], b.v[1], fmaf(a.v[2], b.v[2], fmaf(a.v[3], b.v[3], s[r]))));
        }
    }
}

/* What the keys of a row are looked at for. */
struct row_look {
    int at, token; /* the query's position and token; token -2 = none looked for */
    int first;     /* the first key that is no padding */
};

/* Key j with logit s <= m; here / before: the tokens at j and j - 1. */
static __device__ __forceinline__ void take(atn_row_state *r, const row_look &k, int j,
                                            float s, int here, int before)
{
    const float x = s - r->m, e = expf(x);

    if (j == k.first) {
        r->first += e;
    } else {
        r->z += e;
        r->dot += e * x;
        r->square += e * e;
        r->distance += e * fabsf((float)(k.at - j));
    }
    if (k.token == -2) return;
    if (here == k.token && j < k.at) r->same += e;
    if (before == k.token && j <= k.at && j > 0) r->next += e;
}

extern "C" __global__ void atn_cu_rows_f32(atn_cu_rows_args a)
{
    const atn_cu_head h = a.heads[blockIdx.y];
    const int first = (int)(gridDim.x - 1 - blockIdx.x) * ROWS,
              last = min(first + ROWS, a.nq), warp = (int)threadIdx.x / 32;
    const int dp = ATN_CU_F32_PAD(a.d);
    float *q = reinterpret_cast<float *>(atn_dynamic_shared());
    float *k = q + ROWS * dp, *list = k + KEYS * (dp + 4) + warp * PER_WARP * 32;
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
    load(static_cast<const float *>(h.q), ROWS, a.d, first, a.nq, dp, q);
    atn_tile_span(a.sight, first, last, KEYS, &from, &to);
    for (int j0 = from; j0 < to; j0 += KEYS) {
        const int j = j0 + atn_lane();
        const int here = tokens && j < a.nk ? a.tokens[j] : -1;
        const int before = tokens && j > 0 && j <= a.nk ? a.tokens[j - 1] : -1;
        float s[PER_WARP];

        __syncthreads();
        load(static_cast<const float *>(h.k), KEYS, a.d, j0, a.nk, dp + 4, k);
        __syncthreads();
        products(q + warp * PER_WARP * dp, k + atn_lane() * (dp + 4), dp, s);
#pragma unroll
        for (int r = 0; r < PER_WARP; r++) {
            const int i = first + warp * PER_WARP + r, at = i + a.sight.offset;
            const row_look look = {at,
                                   tokens && at >= 0 && at < a.nk ? a.tokens[at] : -2,
                                   a.sight.key_first};
            int lo, hi;
            bool seen;
            float x, largest;

            atn_see(a.sight, i, &lo, &hi);
            seen = i < a.nq && j >= lo && j < hi;
            x = seen
                    ? atn_logit(s[r] * h.scale, atn_bias_of(h), j - at, a.sight.softcap)
                    : -INFINITY;
            largest = atn_warp_max(x);
            if (largest > row[r].m)
                atn_row_raise(&row[r], largest, expf(row[r].m - largest));
            if (seen) take(&row[r], look, j, x, here, before);
            if (a.needs & ATN_NEED_TOPK)
                floor[r] = atn_topk_insert(list + r * 32, x, a.top_k, floor[r]);
        }
    }
#pragma unroll
    for (int r = 0; r < PER_WARP; r++) {
        const int i = first + warp * PER_WARP + r;
        float best;

        atn_row_join(&row[r], 32);
        best =
            atn_topk_sum(list[r * 32 + atn_lane()], a.top_k, atn_row_level(row[r], h));
        if (i >= a.nq || atn_lane() != 0) continue;
        atn_row_write(row[r], h, a, (int)blockIdx.y, i);
        h.values[(int64_t)ATN_ROW_TOPK * a.nq + i] = best;
    }
}

/* p [ROWS][KEYS + 1] in shared memory; entry (0, 0) is query i0, key j0. Whole block,
 * after a barrier. Columns beyond nk and rows beyond nq hold zeros. */
static __device__ void tile_sums(const float *p, int i0, int j0,
                                 const atn_cu_rows_args &a, const atn_cu_head &h)
{
    const int ld = KEYS + 1;

    for (int c = (int)threadIdx.x; c < KEYS; c += (int)blockDim.x) {
        float sum = 0;
        for (int r = 0; r < ROWS; r++) sum += p[r * ld + c];
        if (h.columns && j0 + c < a.nk) atn_add_fixed(&h.columns[j0 + c], sum);
        if (h.blocks && j0 + c < a.nk)
            atn_add_fixed(
                &h.blocks[(int64_t)(i0 / a.block) * ((a.nk + a.block - 1) / a.block) +
                          (j0 + c) / a.block],
                sum);
    }
    if (!h.diagonals) return;
    for (int e = (int)threadIdx.x; e < ROWS + KEYS - 1; e += (int)blockDim.x) {
        const int first = max(0, e - KEYS + 1); /* r - c = e - KEYS + 1 */
        float sum = 0;
        for (int r = first; r < ROWS && r - (e - KEYS + 1) >= 0; r++)
            if (r - (e - KEYS + 1) < KEYS) sum += p[r * ld + r - (e - KEYS + 1)];
        if (sum != 0)
            atn_add_fixed(&h.diagonals[i0 - j0 + e - KEYS + 1 + a.nk - 1], sum);
    }
}

/* The second walk; weights of the tile go through shared memory as well: p [32][33]. */
extern "C" __global__ void atn_cu_sums_f32(atn_cu_rows_args a)
{
    const atn_cu_head h = a.heads[blockIdx.y];
    const int first = (int)(gridDim.x - 1 - blockIdx.x) * ROWS,
              last = min(first + ROWS, a.nq), warp = (int)threadIdx.x / 32;
    const int dp = ATN_CU_F32_PAD(a.d);
    float *q = reinterpret_cast<float *>(atn_dynamic_shared());
    float *k = q + ROWS * dp, *p = k + KEYS * (dp + 4);
    int from, to;

    load(static_cast<const float *>(h.q), ROWS, a.d, first, a.nq, dp, q);
    atn_tile_span(a.sight, first, last, KEYS, &from, &to);
    for (int j0 = from; j0 < to; j0 += KEYS) {
        const int j = j0 + atn_lane();
        float s[PER_WARP];

        __syncthreads();
        load(static_cast<const float *>(h.k), KEYS, a.d, j0, a.nk, dp + 4, k);
        __syncthreads();
        products(q + warp * PER_WARP * dp, k + atn_lane() * (dp + 4), dp, s);
#pragma unroll
        for (int r = 0; r < PER_WARP; r++) {
            const int i = first + warp * PER_WARP + r;
            float weight = 0;
            int lo, hi;

            atn_see(a.sight, i, &lo, &hi);
            if (i < a.nq && j >= lo && j < hi)
                weight = expf(atn_logit(s[r] * h.scale, atn_bias_of(h),
                                        j - i - a.sight.offset, a.sight.softcap) -
                              h.values[(int64_t)ATN_CU_ROW_LEVEL * a.nq + i]);
            p[(warp * PER_WARP + r) * (KEYS + 1) + atn_lane()] = weight;
        }
        __syncthreads();
        tile_sums(p, first, j0, a, h);
    }
}
