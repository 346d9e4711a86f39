/* core/kernels/cuda/forward.cu -- the operations of a forward pass that are no matrix
 * product: norms, rotary embedding, activations, sums, number formats, softmax, loss.
 *
 * Oracle  tests/core/test_backends.c: the CPU's operations and twins in double.
 * Cost    each element is read and written once; bandwidth-bound.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/cuda/device.cuh"

#define ATN_WARPS (ATN_CU_THREADS / 32)

/* Four bf16, stored at once. */
struct alignas(8) half4 {
    uint16_t v[4];
};

/* Whole vectors in n floats, 0 where one of the arrays does not begin at one. */
static __device__ __forceinline__ int64_t vectors(int64_t n, const float *x,
                                                  const float *y, const float *z)
{
    const uintptr_t at = reinterpret_cast<uintptr_t>(x) |
                         reinterpret_cast<uintptr_t>(y) |
                         reinterpret_cast<uintptr_t>(z);

    return at % sizeof(atn_float4) == 0 ? n / 4 : 0;
}

static __device__ __forceinline__ atn_float4 load4(const float *x, int64_t at)
{
    return reinterpret_cast<const atn_float4 *>(x)[at];
}

static __device__ __forceinline__ void store4(float *x, int64_t at, atn_float4 v)
{
    reinterpret_cast<atn_float4 *>(x)[at] = v;
}

/* Sum over a row of x - mean, or of its square; the same in every thread. */
static __device__ float row_sum(const float *x, float mean, bool square, int64_t n,
                                int64_t whole, float *scratch)
{
    float sum = 0;

    for (int64_t j = threadIdx.x; j < whole; j += blockDim.x) {
        const atn_float4 v = load4(x, j);
        for (int e = 0; e < 4; e++)
            sum += (v.v[e] - mean) * (square ? v.v[e] - mean : 1.0f);
    }
    for (int64_t j = whole * 4 + threadIdx.x; j < n; j += blockDim.x)
        sum += (x[j] - mean) * (square ? x[j] - mean : 1.0f);
    return atn_block_sum(sum, scratch);
}

/* One block a row. y = x / rms(x) * (w + w_offset), or (x - mean) / std * w + b. */
extern "C" __global__ void atn_cu_norm(atn_cu_norm_args a)
{
    __shared__ float scratch[ATN_WARPS];
    const float *x = a.x + (int64_t)blockIdx.x * a.dim;
    float *y = a.y + (int64_t)blockIdx.x * a.dim;
    const int64_t whole = vectors(a.dim, a.b, x, y) ? vectors(a.dim, a.w, x, y) : 0;
    float mean = 0, factor;

    if (!a.rms)
        mean = row_sum(x, 0, false, a.dim, vectors(a.dim, x, x, x), scratch) /
               (float)a.dim;
    factor = row_sum(x, mean, true, a.dim, vectors(a.dim, x, x, x), scratch);
    factor = 1.0f / sqrtf(factor / (float)a.dim + a.eps);
    for (int64_t j = threadIdx.x; j < whole; j += blockDim.x) {
        const atn_float4 none = {}, w = load4(a.w, j), b = a.b ? load4(a.b, j) : none;
        atn_float4 v = load4(x, j);
        for (int e = 0; e < 4; e++)
            v.v[e] = (v.v[e] - mean) * factor * (w.v[e] + a.w_offset) + b.v[e];
        store4(y, j, v);
    }
    for (int64_t j = whole * 4 + threadIdx.x; j < a.dim; j += blockDim.x)
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

/* One block a token. Half-split: components c and c + half turn by the angle of c. */
extern "C" __global__ void atn_cu_rope(atn_cu_rope_args a)
{
    const int half = (int)a.half, count = (int)a.heads * half;
    const float *cosine = a.cosine + (int64_t)blockIdx.x * half,
                *sine = a.sine + (int64_t)blockIdx.x * half;
    float *token = a.x + (int64_t)blockIdx.x * a.heads * a.d;

    for (int e = (int)threadIdx.x; e < count; e += (int)blockDim.x) {
        const int c = e % half;
        float *x = token + e / half * a.d + c;
        const float u = x[0], v = x[half];

        x[0] = u * cosine[c] - v * sine[c];
        x[half] = v * cosine[c] + u * sine[c];
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
    const int64_t whole = vectors(a.count, a.x, a.y, a.gate);

    for (int64_t e = first_index(); e < whole; e += index_step()) {
        const atn_float4 ones = {{1, 1, 1, 1}}, gate = a.gate ? load4(a.gate, e) : ones;
        atn_float4 v = load4(a.x, e);
        for (int i = 0; i < 4; i++) v.v[i] = act(a.kind, v.v[i]) * gate.v[i];
        store4(a.y, e, v);
    }
    for (int64_t e = whole * 4 + first_index(); e < a.count; e += index_step())
        a.y[e] = act(a.kind, a.x[e]) * (a.gate ? a.gate[e] : 1.0f);
}

/* Adding a row to all rows has a division an element; a plain sum has none. */
extern "C" __global__ void atn_cu_add(atn_cu_add_args a)
{
    const int64_t whole = a.period == a.count ? vectors(a.count, a.x, a.y, a.y) : 0;

    for (int64_t e = first_index(); e < whole; e += index_step()) {
        const atn_float4 x = load4(a.x, e);
        atn_float4 y = load4(a.y, e);
        for (int i = 0; i < 4; i++) y.v[i] += x.v[i];
        store4(a.y, e, y);
    }
    for (int64_t e = whole * 4 + first_index(); e < a.count; e += index_step())
        a.y[e] += a.x[e % a.period];
}

/* Weights, and the rows of an embedding, which add up. */
extern "C" __global__ void atn_cu_widen(atn_cu_widen_args a)
{
    for (int64_t e = first_index(); e < a.count; e += index_step()) {
        const float x = a.type == ATN_CU_F32 ? static_cast<const float *>(a.x)[e]
                        : a.type == ATN_CU_F16
                            ? atn_from_f16(static_cast<const uint16_t *>(a.x)[e])
                            : atn_from_bf16(static_cast<const uint16_t *>(a.x)[e]);

        a.y[e] = a.add ? a.y[e] + x : x;
    }
}

/* One word of row r. */
static __device__ __forceinline__ uint32_t pack_word(const atn_cu_pack_args &a,
                                                     int64_t r, int64_t word)
{
    const int64_t c = word * (a.tf32 ? 1 : 2);
    const float *x = a.x + r * a.ld;
    const float u = c < a.cols ? x[c] : 0.0f, v = c + 1 < a.cols ? x[c + 1] : 0.0f;

    return a.tf32 ? atn_to_tf32(u) : atn_to_bf16(u) | atn_to_bf16(v) << 16;
}

/* Rows of bf16 pairs that leave no gaps are one array: there, vectors and no
 * division. */
extern "C" __global__ void atn_cu_pack(atn_cu_pack_args a)
{
    const int64_t count = a.rows * a.words;
    const bool flat = !a.tf32 && a.ld == a.cols && a.words * 2 == a.cols &&
                      reinterpret_cast<uintptr_t>(a.y) % sizeof(half4) == 0;
    const int64_t whole = flat ? vectors(count * 2, a.x, a.x, a.x) : 0;

    for (int64_t e = first_index(); e < whole; e += index_step()) {
        const atn_float4 v = load4(a.x, e);
        half4 h;
        for (int i = 0; i < 4; i++) h.v[i] = (uint16_t)atn_to_bf16(v.v[i]);
        reinterpret_cast<half4 *>(a.y)[e] = h;
    }
    for (int64_t e = whole * 2 + first_index(); e < count; e += index_step())
        a.y[e] = pack_word(a, e / a.words, e % a.words);
}

enum { SOFTMAX_VECTORS = ATN_CU_TILE_KEYS / (4 * 32) };

/* The logits of a row that query i sees, -infinity elsewhere; a lane has every 32nd
 * vector. */
static __device__ __forceinline__ void load_logits(const atn_cu_softmax_args &a,
                                                   const float *s, int i, int lo,
                                                   int hi, atn_float4 *x)
{
    const atn_bias bias = {a.slope[blockIdx.y],
                           a.rel ? a.rel + blockIdx.y * a.rel_step : nullptr,
                           a.rel_zero};

#pragma unroll
    for (int n = 0; n < SOFTMAX_VECTORS; n++) {
        const int c = (n * 32 + atn_lane()) * 4;

        if (c < a.keys) x[n] = *reinterpret_cast<const atn_float4 *>(s + c);
#pragma unroll
        for (int e = 0; e < 4; e++) {
            const int j = a.key0 + c + e;
            x[n].v[e] = j >= lo && j < hi
                            ? atn_logit(x[n].v[e], bias, j - i - a.sight.offset,
                                        a.sight.softcap)
                            : -INFINITY;
        }
    }
}

/* Weights to the tile: in bf16 where that is wanted, else over the logits. */
static __device__ __forceinline__ void store_weights(const atn_cu_softmax_args &a,
                                                     int64_t row, const atn_float4 *x)
{
#pragma unroll
    for (int n = 0; n < SOFTMAX_VECTORS; n++) {
        const int c = (n * 32 + atn_lane()) * 4;
        half4 h;

        if (c >= a.keys) continue;
        for (int e = 0; e < 4; e++) h.v[e] = (uint16_t)atn_to_bf16(x[n].v[e]);
        if (a.narrow)
            *reinterpret_cast<half4 *>(a.narrow + row * a.ld + c) = h;
        else
            *reinterpret_cast<atn_float4 *>(a.s + row * a.ld + c) = x[n];
    }
}

/* Weights to p, whose rows may begin at any float. */
static __device__ void store_p(const atn_cu_softmax_args &a, int r, const atn_float4 *x)
{
    float *p = a.p + blockIdx.y * a.p_step + r * a.p_ld;

    for (int n = 0; n < SOFTMAX_VECTORS; n++)
        for (int e = 0; e < 4; e++) {
            const int c = (n * 32 + atn_lane()) * 4 + e;
            if (c < a.keys) p[c] = x[n].v[e];
        }
}

/* x <- e^(x - largest); returns their sum over the row. */
static __device__ __forceinline__ float exponentials(atn_float4 *x, float largest)
{
    float sum = 0;

#pragma unroll
    for (int n = 0; n < SOFTMAX_VECTORS; n++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            x[n].v[e] = expf(x[n].v[e] - largest);
            sum += x[n].v[e];
        }
    return atn_warp_sum(sum);
}

static __device__ __forceinline__ void scale(atn_float4 *x, float factor)
{
#pragma unroll
    for (int n = 0; n < SOFTMAX_VECTORS; n++)
#pragma unroll
        for (int e = 0; e < 4; e++) x[n].v[e] *= factor;
}

/* One warp a row, which it keeps in registers: read once, written once. Exact zeros
 * where the query sees nothing. A sink is a logit that was seen before all others. */
extern "C" __global__ void atn_cu_softmax(atn_cu_softmax_args a)
{
    const int r = (int)blockIdx.x * ATN_WARPS + (int)threadIdx.x / 32, i = a.first + r;
    const int64_t row = (int64_t)blockIdx.y * a.rows + r;
    float *state = a.state + blockIdx.y * a.state_step + r * 2;
    float largest = -INFINITY, top, kept, sum;
    atn_float4 x[SOFTMAX_VECTORS] = {};
    int lo, hi;

    if (r >= a.rows) return;
    atn_see(a.sight, i, &lo, &hi);
    lo = max(lo, a.key0);
    hi = min(hi, a.key0 + a.keys);
    if (lo >= hi) {
        if (!a.p) store_weights(a, row, x);
        return;
    }
    load_logits(a, a.s + row * a.ld, i, lo, hi, x);
    kept = state[1];
    top = kept > 0 ? state[0] : -INFINITY;
    if (a.p) {
        exponentials(x, top);
        scale(x, 1.0f / kept);
        store_p(a, r, x);
        return;
    }
    if (a.has_sink && kept == 0) {
        top = a.sink[blockIdx.y];
        kept = 1;
    }
#pragma unroll
    for (int n = 0; n < SOFTMAX_VECTORS; n++)
        for (int e = 0; e < 4; e++) largest = fmaxf(largest, x[n].v[e]);
    largest = fmaxf(top, atn_warp_max(largest));
    sum = exponentials(x, largest);
    if (!isfinite(largest) || !isfinite(sum))
        if (atn_lane() == 0) atomicMin(a.bad + blockIdx.y, i);
    kept = kept > 0 ? kept * expf(top - largest) : 0.0f;
    scale(x, 1.0f / (kept + sum));
    store_weights(a, row, x);
    if (kept > 0) {
        float *out = a.out + blockIdx.y * a.out_step + r * a.out_ld;
        for (int c = atn_lane(); c < a.dv; c += 32) out[c] *= kept / (kept + sum);
    }
    if (atn_lane() == 0) {
        state[0] = largest;
        state[1] = kept + sum;
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
