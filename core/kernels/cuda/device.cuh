/* core/kernels/cuda/device.cuh -- what the kernels share: dynamic shared memory,
 * reductions, number formats, what a query sees, and the matrix instructions.
 *
 * Everything here also compiles as host C++ under the shim of the tests, which brings
 * its own grid, shuffles, dynamic memory and matrix instructions
 * (docs/guide/write-a-kernel.md).
 * Source  fragment layouts: PTX ISA, "Matrix fragments for mma.m16n8k16 / m16n8k8",
 *         ldmatrix (.trans); cvt, "packed";
 *         copies: cp.async and its groups.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/kernels/cuda/args.h"

#define ATN_WARP_ALL 0xffffffffu

#ifndef ATN_CUDA_SHIM
static __device__ __forceinline__ unsigned *atn_dynamic_shared()
{
    extern __shared__ uint4 atn_dynamic_memory[];
    return reinterpret_cast<unsigned *>(atn_dynamic_memory);
}

/* c += A B on 16 x 16 by 16 x 8 bf16 pairs; accumulated in float. */
static __device__ __forceinline__ void atn_mma_bf16(float *c, const unsigned *a,
                                                    unsigned b0, unsigned b1)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/* c += A B on 16 x 8 by 8 x 8 tf32 values; accumulated in float. */
static __device__ __forceinline__ void atn_mma_tf32(float *c, const unsigned *a,
                                                    unsigned b0, unsigned b1)
{
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/* Four 8 x 8 matrices of 16-bit pairs, that is 8 rows of 4 words each, from shared
 * memory: lane l gives the address of row l % 8 of matrix l / 8 and receives word l % 4
 * of row l / 4 of each. */
static __device__ __forceinline__ void atn_load_matrices(unsigned *to,
                                                         const unsigned *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"((unsigned)__cvta_generic_to_shared(row)));
}

/* The same, each matrix transposed: lane l receives words l % 4 of row l / 4 of the
 * transposed ones, that is numbers 2 (l % 4) and 2 (l % 4) + 1 of column l / 4. */
static __device__ __forceinline__ void atn_load_transposed(unsigned *to,
                                                           const unsigned *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"((unsigned)__cvta_generic_to_shared(row)));
}

/* 16 bytes from global to shared memory, or zeros where !there. They arrive when this
 * thread has waited for the group that atn_copies_close() closes over them; then a
 * barrier. */
static __device__ __forceinline__ void atn_copy16(unsigned *to, const unsigned *from,
                                                  bool there)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"((unsigned)__cvta_generic_to_shared(to)), "l"(from),
                   "r"(there ? 16 : 0)
                 : "memory");
}

static __device__ __forceinline__ void atn_copies_close()
{
    asm volatile("cp.async.commit_group;" : : : "memory");
}

/* All closed groups have arrived. */
static __device__ __forceinline__ void atn_copies_wait()
{
    asm volatile("cp.async.wait_group 0;" : : : "memory");
}

/* Two numbers rounded to bf16, nearest even, as one word: `low` in its lower half. */
static __device__ __forceinline__ unsigned atn_pair_bf16(float low, float high)
{
    unsigned word;

    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    return word;
}

/* 2^x within 2 units of the last place; 0 below 2^-126. */
static __device__ __forceinline__ float atn_exp2(float x)
{
    float y;

    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
#endif

/* Four floats, loaded at once. */
struct alignas(16) atn_float4 {
    float v[4];
};

static __device__ __forceinline__ int atn_lane()
{
    return (int)(threadIdx.x & 31);
}

static __device__ __forceinline__ float atn_warp_sum(float v)
{
    for (int o = 16; o > 0; o >>= 1) v += __shfl_xor_sync(ATN_WARP_ALL, v, o);
    return v;
}

static __device__ __forceinline__ float atn_warp_max(float v)
{
    for (int o = 16; o > 0; o >>= 1) v = fmaxf(v, __shfl_xor_sync(ATN_WARP_ALL, v, o));
    return v;
}

/* Sum over the block, the same in every thread; scratch: one float a warp. */
static __device__ float atn_block_sum(float v, float *scratch)
{
    const int warps = (int)(blockDim.x / 32);
    float total = 0;

    v = atn_warp_sum(v);
    __syncthreads();
    if (atn_lane() == 0) scratch[threadIdx.x / 32] = v;
    __syncthreads();
    for (int w = 0; w < warps; w++) total += scratch[w];
    return total;
}

static __device__ float atn_block_max(float v, float *scratch)
{
    const int warps = (int)(blockDim.x / 32);

    v = atn_warp_max(v);
    __syncthreads();
    if (atn_lane() == 0) scratch[threadIdx.x / 32] = v;
    __syncthreads();
    v = scratch[0];
    for (int w = 1; w < warps; w++) v = fmaxf(v, scratch[w]);
    return v;
}

/* ---- number formats ---- */

static __device__ __forceinline__ float atn_from_bf16(unsigned bits)
{
    return __uint_as_float(bits << 16);
}

/* Round to nearest even; NaN stays NaN. */
static __device__ __forceinline__ unsigned atn_to_bf16(float x)
{
    const unsigned bits = __float_as_uint(x);

    if ((bits & 0x7fffffffu) > 0x7f800000u) return (bits >> 16) | 0x40u;
    return (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}

/* 10 bits of fraction, ties away from zero, as cvt.rna.tf32.f32 rounds. */
static __device__ __forceinline__ unsigned atn_to_tf32(float x)
{
    const unsigned bits = __float_as_uint(x);

    if ((bits & 0x7f800000u) == 0x7f800000u) return bits;
    return (bits + 0x1000u) & ~0x1fffu;
}

static __device__ __forceinline__ float atn_from_f16(unsigned h)
{
    const unsigned sign = (h & 0x8000u) << 16, e = (h >> 10) & 31u, f = h & 1023u;

    if (e == 31) return __uint_as_float(sign | 0x7f800000u | (f << 13));
    if (e > 0) return __uint_as_float(sign | ((e + 112u) << 23) | (f << 13));
    return __uint_as_float(sign | __float_as_uint((float)f * 5.9604644775390625e-8f));
}

/* ---- what a query sees ---- */

static __device__ __forceinline__ void atn_see(const atn_cu_sight &s, int i, int *lo,
                                               int *hi)
{
    const int at = i + s.offset;
    int first = s.key_first, last = s.key_last;

    if (s.causal) last = min(last, at + 1);
    if (s.window > 0) {
        first = max(first, s.causal ? at - s.window + 1 : at - s.window);
        last = min(last, at + s.window + 1);
    }
    *lo = first;
    *hi = max(first, last);
}

/* What positions add to a logit. */
typedef struct atn_bias {
    float slope;
    const float *rel; /* bias of distance -zero on, NULL = none */
    int64_t zero;
} atn_bias;

static __device__ __forceinline__ atn_bias atn_bias_of(const atn_cu_head &h)
{
    const atn_bias b = {h.slope, h.rel, h.rel_zero};

    return b;
}

/* The logit of a scaled product: the bias, then the soft-cap. `away` is j - t. One
 * that overflows downwards becomes NaN, for -inf means "not seen" and would pass for
 * it. */
static __device__ __forceinline__ float atn_logit(float s, const atn_bias &b, int away,
                                                  float softcap)
{
    if (b.slope != 0) s += b.slope * (float)away;
    if (b.rel) s += b.rel[b.zero + away];
    if (softcap > 0) s = softcap * tanhf(s / softcap);
    return s == -INFINITY ? NAN : s;
}
