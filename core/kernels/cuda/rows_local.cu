/* core/kernels/cuda/rows_local.cu -- weights at the keys after the first and around the
 * query's own place, from a product each, once the level of the row is known.
 *
 * Math    P_ij = e^(s_ij - level_i) for j = f + 1 .. f + 3, t and t - 1
 *         (core/row_values.h).
 * Cost    one warp a row, 10 d flop: nothing beside the walk over all keys, which need
 *         not look for these five then.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/cuda/rows.cuh"

/* The product of a row of Q with a row of K, d words each; all 32 lanes get it. */
static __device__ float product(const unsigned *q, const unsigned *k, int d, bool pairs)
{
    float sum = 0;

    for (int w = atn_lane(); w < d; w += 32) {
        if (pairs)
            sum += atn_from_bf16(q[w] & 0xffffu) * atn_from_bf16(k[w] & 0xffffu) +
                   atn_from_bf16(q[w] >> 16) * atn_from_bf16(k[w] >> 16);
        else
            sum += __uint_as_float(q[w]) * __uint_as_float(k[w]);
    }
    return atn_warp_sum(sum);
}

static __device__ float weight(const atn_cu_rows_args &a, const atn_cu_head &h, int i,
                               int j)
{
    const float level = h.values[(int64_t)ATN_CU_ROW_LEVEL * a.nq + i];
    int lo, hi;
    float s;

    atn_see(a.sight, i, &lo, &hi);
    if (j < lo || j >= hi) return 0;
    s = product(static_cast<const unsigned *>(h.q) + (int64_t)i * a.d,
                static_cast<const unsigned *>(h.k) + (int64_t)j * a.d, a.d,
                a.pairs != 0);
    return expf(atn_logit(s * h.scale, atn_bias_of(h), j - i - a.sight.offset,
                          a.sight.softcap) -
                level);
}

extern "C" __global__ void atn_cu_rows_local(atn_cu_rows_args a)
{
    const atn_cu_head h = a.heads[blockIdx.y];
    const int i = (int)(blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32),
              at = i + a.sight.offset, f = a.sight.key_first;
    const int64_t n = a.nq;
    float four, diagonal, previous;

    if (i >= a.nq) return;
    four = h.values[ATN_ROW_FIRST * n + i];
    for (int j = f + 1; j < f + 4; j++) four += weight(a, h, i, j);
    diagonal = weight(a, h, i, at);
    previous = weight(a, h, i, at - 1);
    if (atn_lane() != 0) return;
    h.values[ATN_ROW_FIRST4 * n + i] = four;
    h.values[ATN_ROW_DIAGONAL * n + i] = diagonal;
    h.values[ATN_ROW_PREVIOUS * n + i] = previous;
}
