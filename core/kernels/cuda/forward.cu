/* core/kernels/cuda/forward.cu -- the operations of a forward pass that are no matrix product:
 * norms, rotary embedding, activations, sums, number formats, softmax, loss.
 *
 * Oracle  tests/core/test_backends.c: the CPU's operations and twins in double.
 * Cost    each element is read and written once (softmax: read three times, from cache while
 *         a row fits it); bandwidth-bound.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/cuda/device.cuh"

#define ATN_WARPS (ATN_CU_THREADS / 32)

/* One block a row. y = x / rms(x) * (w + w_offset), or (x - mean) / std * w + b. */
extern "C" __global__ void atn_cu_norm(atn_cu_norm_args a)
{
    __shared__ float scratch[ATN_WARPS];
    const float *x = a.x + (int64_t)blockIdx.x * a.dim;
    float *y = a.y + (int64_t)blockIdx.x * a.dim;
    float mean = 0, square = 0, factor;

    if (!a.rms) {
        for (int64_t j = threadIdx.x; j < a.dim; j += blockDim.x) mean += x[j];
        mean = atn_block_sum(mean, scratch) / (float)a.dim;
    }
    for (int64_t j = threadIdx.x; j < a.dim; j += blockDim.x)
        square += (x[j] - mean) * (x[j] - mean);
    square = atn_block_sum(square, scratch) / (float)a.dim;
    factor = 1.0f / sqrtf(square + a.eps);
    for (int64_t j = threadIdx.x; j < a.dim; j += blockDim.x)
        y[j] = (x[j] - mean) * factor * (a.w[j] + a.w_offset) + (a.b ? a.b[j] : 0.0f);
}

static __device__ __forceinline__ int64_t first_index()
{
    return (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
}

static __device__ __forceinline__ int64_t index_step()
{
    return (int64_t)gridDim.x * blockDim.x;
}

/* Half-split: components c and c + half turn by the angle of c. */
extern "C" __global__ void atn_cu_rope(atn_cu_rope_args a)
{
    const int64_t count = a.n * a.heads * a.half;

    for (int64_t e = first_index(); e < count; e += index_step()) {
        const int64_t c = e % a.half, at = e / a.half; /* at: token and head */
        const int64_t turn = at / a.heads * a.half + c;
        float *x = a.x + at * a.d + c;
        const float u = x[0], v = x[a.half];

        x[0] = u * a.cosine[turn] - v * a.sine[turn];
        x[a.half] = v * a.cosine[turn] + u * a.sine[turn];
    }
}

/* The order is that of enum atn_act. */
static __device__ float act(int kind, float x)
{
    if (kind == 0) return x / (1.0f + expf(-x));
    if (kind == 1) return 0.5f * x * (1.0f + erff(x * 0.70710678f));
    if (kind == 2)
        return 0.5f * x * (1.0f + tanhf(0.79788456f * (x + 0.044715f * x * x * x)));
    return fmaxf(x, 0.0f);
}

extern "C" __global__ void atn_cu_activate(atn_cu_act_args a)
{
    for (int64_t e = first_index(); e < a.count; e += index_step())
        a.y[e] = act(a.kind, a.x[e]) * (a.gate ? a.gate[e] : 1.0f);
}

extern "C" __global__ void atn_cu_add(atn_cu_add_args a)
{
    for (int64_t e = first_index(); e < a.count; e += index_step())
        a.y[e] += a.x[e % a.period];
}

extern "C" __global__ void atn_cu_widen(atn_cu_widen_args a)
{
    for (int64_t e = first_index(); e < a.count; e += index_step()) {
        if (a.type == ATN_CU_F32)
            a.y[e] = static_cast<const float *>(a.x)[e];
        else if (a.type == ATN_CU_F16)
            a.y[e] = atn_from_f16(static_cast<const uint16_t *>(a.x)[e]);
        else
            a.y[e] = atn_from_bf16(static_cast<const uint16_t *>(a.x)[e]);
    }
}

extern "C" __global__ void atn_cu_pack(atn_cu_pack_args a)
{
    for (int64_t e = first_index(); e < a.rows * a.words; e += index_step()) {
        const int64_t r = e / a.words, c = (e % a.words) * (a.tf32 ? 1 : 2);
        const float *x = a.x + r * a.ld;
        const float u = c < a.cols ? x[c] : 0.0f, v = c + 1 < a.cols ? x[c + 1] : 0.0f;

        a.y[e] = a.tf32 ? atn_to_tf32(u) : atn_to_bf16(u) | atn_to_bf16(v) << 16;
    }
}

/* One block a row: largest logit, sum, weights; exact zeros where the query sees nothing. */
extern "C" __global__ void atn_cu_softmax(atn_cu_softmax_args a)
{
    __shared__ float scratch[ATN_WARPS];
    const int i = a.first + (int)blockIdx.x;
    float *s = a.s + (int64_t)blockIdx.x * a.ld;
    uint16_t *narrow = a.narrow ? a.narrow + (int64_t)blockIdx.x * a.ld : 0;
    float largest = -INFINITY, sum = 0, inv;
    int lo, hi;

    atn_see(a.sight, i, &lo, &hi);
    for (int j = lo + (int)threadIdx.x; j < hi; j += (int)blockDim.x) {
        const float x =
            atn_logit(s[j - a.key0], a.slope, j - i - a.sight.offset, a.sight.softcap);
        s[j - a.key0] = x;
        largest = fmaxf(largest, x);
    }
    largest = atn_block_max(largest, scratch);
    for (int j = lo + (int)threadIdx.x; j < hi; j += (int)blockDim.x)
        sum += expf(s[j - a.key0] - largest);
    sum = atn_block_sum(sum, scratch);
    if (lo < hi && !(isfinite(largest) && isfinite(sum)) && threadIdx.x == 0)
        atomicMin(a.bad, i);
    if (a.has_sink) sum += expf(a.sink - largest);
    inv = lo < hi && isfinite(sum) ? 1.0f / sum : 0.0f;
    for (int c = (int)threadIdx.x; c < a.keys; c += (int)blockDim.x) {
        const int j = a.key0 + c;
        const float p = j >= lo && j < hi ? expf(s[c] - largest) * inv : 0.0f;

        s[c] = p;
        if (narrow) narrow[c] = (uint16_t)atn_to_bf16(p);
    }
}

extern "C" __global__ void atn_cu_loss(atn_cu_loss_args a)
{
    __shared__ float scratch[ATN_WARPS];
    const float *x = a.logits + (int64_t)blockIdx.x * a.width;
    const int64_t target = (int64_t)a.targets[blockIdx.x] - a.first;
    float largest = -INFINITY, sum = 0;

    for (int64_t j = threadIdx.x; j < a.width; j += blockDim.x)
        largest = fmaxf(largest, x[j]);
    largest = atn_block_max(largest, scratch);
    for (int64_t j = threadIdx.x; j < a.width; j += blockDim.x)
        sum += expf(x[j] - largest);
    sum = atn_block_sum(sum, scratch);
    if (threadIdx.x == 0) {
        float *out = a.out + (int64_t)blockIdx.x * 3;
        out[0] = largest;
        out[1] = sum;
        out[2] = target >= 0 && target < a.width ? x[target] : 0.0f;
    }
}
