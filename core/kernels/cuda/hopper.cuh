/* core/kernels/cuda/hopper.cuh -- matrix products of Hopper's warp groups (sm_90a):
 * four warps at once, one operand from registers, the other from shared memory.
 *
 * Layout  A and D are the fragments of mma.m16n8k16 for each warp's 16 rows. B is rows
 *         of words in slabs of 32 words: [W / 32][rows][32], each piece of four words
 *         at its place xor the row's number modulo 8 (the 128-byte swizzle); a slab
 *         starts at a multiple of 1024 bytes.
 * Source  PTX ISA, "Asynchronous Warpgroup Level Matrix Instructions": wgmma.mma_async,
 *         the matrix descriptor (address / 16; stride of 8 rows / 16 from bit 32;
 *         swizzle in bits 62, 63).
 * Limits  no shim runs these; tests/core/test_backends.c on such a GPU does.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/kernels/cuda/device.cuh"

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#    define ATN_HOPPER 1

/* Of rows of 32 words in shared memory. */
static __device__ __forceinline__ uint64_t atn_matrix_descriptor(const unsigned *rows)
{
    const uint64_t at = (uint64_t)__cvta_generic_to_shared(rows);

    return (at & 0x3ffff) >> 4 | (uint64_t)1 << 16 | (uint64_t)(1024 >> 4) << 32 |
           (uint64_t)1 << 62;
}

/* What threads wrote to shared memory, and registers, may be read by the products from
 * here on. The first before the barrier, by every thread that wrote. */
static __device__ __forceinline__ void atn_shared_written()
{
    asm volatile("fence.proxy.async.shared::cta;" : : : "memory");
}

static __device__ __forceinline__ void atn_group_begin()
{
    asm volatile("wgmma.fence.sync.aligned;" : : : "memory");
}

/* Starts what was issued and waits for it. */
static __device__ __forceinline__ void atn_group_wait()
{
    asm volatile("wgmma.commit_group.sync.aligned;" : : : "memory");
    asm volatile("wgmma.wait_group.sync.aligned 0;" : : : "memory");
}

#    define ATN_GROUP_MULTIPLY(shape, tail)                                            \
        asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %37, 0;\n"                      \
                     "wgmma.mma_async.sync.aligned." shape " {"                        \
                     "%0, %1, %2, %3, %4, %5, %6, %7, "                                \
                     "%8, %9, %10, %11, %12, %13, %14, %15, "                          \
                     "%16, %17, %18, %19, %20, %21, %22, %23, "                        \
                     "%24, %25, %26, %27, %28, %29, %30, %31"                          \
                     "}, {%32, %33, %34, %35}, %36, p, 1, 1" tail ";\n}"               \
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]),     \
                       "+f"(d[5]), "+f"(d[6]), "+f"(d[7]), "+f"(d[8]), "+f"(d[9]),     \
                       "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]),             \
                       "+f"(d[14]), "+f"(d[15]), "+f"(d[16]), "+f"(d[17]),             \
                       "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]),             \
                       "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), "+f"(d[25]),             \
                       "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]),             \
                       "+f"(d[30]), "+f"(d[31])                                        \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add))

/* d (+)= A B^T on 64 x 64: `b` describes 64 rows of eight words; bf16 pairs or tf32.
 * Begun, not done: see atn_group_wait. */
static __device__ __forceinline__ void atn_group_bf16(float *d, const unsigned *a,
                                                      uint64_t b, int add)
{
    ATN_GROUP_MULTIPLY("m64n64k16.f32.bf16.bf16", ", 0");
}

static __device__ __forceinline__ void atn_group_tf32(float *d, const unsigned *a,
                                                      uint64_t b, int add)
{
    ATN_GROUP_MULTIPLY("m64n64k8.f32.tf32.tf32", "");
}
#endif
