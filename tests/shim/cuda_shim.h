/* tests/shim/cuda_shim.h -- enough of CUDA C++ to compile the kernels as host code and
 * run them on the CPU: grid, block, shared memory, barriers, warp operations, atomics,
 * matrix fragments.
 *
 * A thread of a block is a fibre; blocks run one after the other. A barrier or a warp
 * operation suspends the fibre until all have arrived; one that not all reach stops the
 * program with a message, where a GPU would hang or return garbage. Dynamic shared
 * memory has exactly the size of the launch, starts as NaN, and lies on the heap, so
 * that ASan sees a step too far. Matrix operations multiply exactly what the hardware
 * would get, in double, and round the sum to float once: within the rounding of the
 * hardware's own order. Included before each .cu file by the compiler's command line
 * (-include).
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#define ATN_CUDA_SHIM 1
#define __global__
#define __device__ __attribute__((unused))
#define __host__
#define __forceinline__ inline __attribute__((unused))
#define __shared__      static
#define __launch_bounds__(...)

using std::isfinite;

namespace shim
{

struct dim {
    unsigned x, y, z;
};

extern dim grid, block, block_at;
const dim &thread_at();

void barrier();
/* All 32 lanes bring `size` bytes; *all receives those of every lane. kind: what is
 * done, the same in all lanes. */
void exchange(unsigned mask, int kind, const void *mine, size_t size, void *all);
unsigned *dynamic_shared();
/* cp.async: nothing arrives before it has been waited for. */
void copy_later(unsigned *to, const unsigned *from, bool there);
void close_copies();
void wait_for_copies();

template <class T> T lane_of(unsigned mask, int kind, T v, int lane)
{
    T all[32];

    exchange(mask, kind, &v, sizeof v, all);
    return all[lane & 31];
}

int lane();
} // namespace shim

#define gridDim   (shim::grid)
#define blockDim  (shim::block)
#define blockIdx  (shim::block_at)
#define threadIdx (shim::thread_at())

inline void __syncthreads()
{
    shim::barrier();
}

inline void __syncwarp()
{
    shim::lane_of(0xffffffffu, 1, 0, 0);
}

template <class T> T __shfl_sync(unsigned mask, T v, int from)
{
    return shim::lane_of(mask, 2, v, from);
}

template <class T> T __shfl_xor_sync(unsigned mask, T v, int with)
{
    return shim::lane_of(mask, 3, v, shim::lane() ^ with);
}

template <class T> T __shfl_up_sync(unsigned mask, T v, int by)
{
    const int from = shim::lane() - by;

    return shim::lane_of(mask, 4, v, from < 0 ? shim::lane() : from);
}

inline unsigned __ballot_sync(unsigned mask, bool v)
{
    bool all[32];
    unsigned bits = 0;

    shim::exchange(mask, 5, &v, sizeof v, all);
    for (int l = 0; l < 32; l++) bits |= (unsigned)all[l] << l;
    return bits;
}

inline bool __any_sync(unsigned mask, bool v)
{
    return __ballot_sync(mask, v) != 0;
}

inline int __popc(unsigned v)
{
    return __builtin_popcount(v);
}

inline int __ffs(int v)
{
    return __builtin_ffs(v);
}

inline unsigned __float_as_uint(float v)
{
    unsigned bits;

    memcpy(&bits, &v, sizeof bits);
    return bits;
}

inline float __uint_as_float(unsigned bits)
{
    float v;

    memcpy(&v, &bits, sizeof v);
    return v;
}

inline int min(int a, int b)
{
    return a < b ? a : b;
}

inline int max(int a, int b)
{
    return a > b ? a : b;
}

inline int atomicMin(int *at, int v)
{
    const int old = *at;

    *at = min(old, v);
    return old;
}

inline unsigned long long atomicAdd(unsigned long long *at, unsigned long long v)
{
    const unsigned long long old = *at;

    *at += v;
    return old;
}

inline unsigned *atn_dynamic_shared()
{
    return shim::dynamic_shared();
}

inline unsigned long long __float2ull_rn(float v)
{
    return (unsigned long long)std::nearbyint(v);
}

inline float atn_exp2(float x)
{
    return exp2f(x);
}

inline void atn_copy16(unsigned *to, const unsigned *from, bool there)
{
    shim::copy_later(to, from, there);
}

inline void atn_copies_close()
{
    shim::close_copies();
}

inline void atn_copies_wait()
{
    shim::wait_for_copies();
}

inline void atn_load_matrices(unsigned *to, const unsigned *row)
{
    const unsigned *all[32];
    const int lane = shim::lane();

    shim::exchange(0xffffffffu, 8, &row, sizeof row, all);
    for (int m = 0; m < 4; m++) to[m] = all[m * 8 + lane / 4][lane % 4];
}

inline void atn_load_transposed(unsigned *to, const unsigned *row)
{
    const unsigned *all[32];
    const int column = shim::lane() / 4, first = shim::lane() % 4 * 2;

    shim::exchange(0xffffffffu, 9, &row, sizeof row, all);
    for (int m = 0; m < 4; m++) {
        const unsigned low = all[m * 8 + first][column / 2] >> column % 2 * 16,
                       high = all[m * 8 + first + 1][column / 2] >> column % 2 * 16;

        to[m] = (low & 0xffffu) | high << 16;
    }
}

inline unsigned atn_pair_bf16(float low, float high)
{
    const float pair[2] = {low, high};
    unsigned word = 0;

    for (int e = 0; e < 2; e++) {
        const unsigned bits = __float_as_uint(pair[e]);
        const unsigned half = std::isnan(pair[e])
                                  ? 0x7fffu
                                  : (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
        word |= half << 16 * e;
    }
    return word;
}

void atn_mma_bf16(float *c, const unsigned *a, unsigned b0, unsigned b1);
void atn_mma_tf32(float *c, const unsigned *a, unsigned b0, unsigned b1);
