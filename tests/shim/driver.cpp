/* tests/shim/driver.cpp -- libcuda.so.1 and libcublas.so in one: a GPU made of the CPU.
 *
 * The program under test opens it like the real ones (LD_LIBRARY_PATH) and notices nothing. As
 * on a GPU, what is queued on a stream happens later: nothing runs before somebody waits, so
 * that a host buffer that is reused or read too early shows. Fresh memory holds NaN.
 * Environment:
 *   ATN_SHIM_MEMORY_MIB  size of the card (1024)
 *   ATN_SHIM_CAPABILITY  compute capability, ten times (90)
 *   ATN_SHIM_DEVICES     number of cards (1)
 *   ATN_SHIM_FAIL        symbol:call:code - that call of that function fails with the code
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fibres.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace
{

enum { OUT_OF_MEMORY = 2, INVALID_VALUE = 1, NOT_FOUND = 500 };

std::map<uint64_t, size_t> memory;
size_t used;
std::deque<std::function<void()>> queue;
struct event {
    size_t at = 0; /* reached once `ran` is */
    std::shared_ptr<double> seconds = std::make_shared<double>(0);
};
size_t queued, ran;

long setting(const char *name, long otherwise)
{
    const char *text = getenv(name);

    return text ? atol(text) : otherwise;
}

size_t card()
{
    return (size_t)setting("ATN_SHIM_MEMORY_MIB", 1024) << 20;
}

/* The code this call has to fail with, 0 = none. */
int fails(const char *symbol)
{
    static std::map<std::string, long> calls;
    const char *text = getenv("ATN_SHIM_FAIL");
    const size_t n = strlen(symbol);
    const long call = ++calls[symbol];
    char *end;

    if (!text || strncmp(text, symbol, n) != 0 || text[n] != ':') return 0;
    return strtol(text + n + 1, &end, 10) == call ? atoi(end + 1) : 0;
}

#define MAY_FAIL(symbol)                                                               \
    if (const int code = fails(symbol)) return code

void later(std::function<void()> work)
{
    queue.push_back(std::move(work));
    queued++;
}

void run_until(size_t at)
{
    while (ran < at && !queue.empty()) {
        queue.front()();
        queue.pop_front();
        ran++;
    }
}

void *address(uint64_t at)
{
    return reinterpret_cast<void *>(static_cast<uintptr_t>(at));
}
} // namespace

/* ---- devices ---- */

EXPORT int cuInit(unsigned)
{
    MAY_FAIL("cuInit");
    return 0;
}

EXPORT int cuDriverGetVersion(int *version)
{
    *version = 12040;
    return 0;
}

EXPORT int cuDeviceGetCount(int *count)
{
    *count = (int)setting("ATN_SHIM_DEVICES", 1);
    return 0;
}

EXPORT int cuDeviceGet(int *device, int ordinal)
{
    *device = ordinal;
    return 0;
}

EXPORT int cuDeviceGetName(char *name, int size, int)
{
    snprintf(name, (size_t)size, "host shim");
    return 0;
}

EXPORT int cuDeviceGetAttribute(int *value, int attribute, int)
{
    const int capability = (int)setting("ATN_SHIM_CAPABILITY", 90);

    *value = attribute == 75 ? capability / 10 : attribute == 76 ? capability % 10 : 1;
    return 0;
}

EXPORT int cuDeviceTotalMem_v2(size_t *bytes, int)
{
    *bytes = card();
    return 0;
}

EXPORT int cuDevicePrimaryCtxRetain(void **context, int)
{
    static int one;

    MAY_FAIL("cuDevicePrimaryCtxRetain");
    *context = &one;
    return 0;
}

EXPORT int cuDevicePrimaryCtxRelease_v2(int)
{
    run_until(queued);
    if (!memory.empty()) {
        fprintf(stderr, "shim: %zu pieces of GPU memory were not freed\n",
                memory.size());
        abort();
    }
    return 0;
}

EXPORT int cuCtxSetCurrent(void *)
{
    return 0;
}

/* ---- memory ---- */

EXPORT int cuMemGetInfo_v2(size_t *free_bytes, size_t *total_bytes)
{
    *total_bytes = card();
    *free_bytes = *total_bytes - used;
    return 0;
}

EXPORT int cuMemAlloc_v2(uint64_t *at, size_t bytes)
{
    void *p;

    MAY_FAIL("cuMemAlloc_v2");
    if (bytes == 0) return INVALID_VALUE;
    if (bytes > card() - used || posix_memalign(&p, 256, bytes) != 0)
        return OUT_OF_MEMORY;
    memset(p, 0xff, bytes);
    *at = reinterpret_cast<uintptr_t>(p);
    memory[*at] = bytes;
    used += bytes;
    return 0;
}

EXPORT int cuMemFree_v2(uint64_t at)
{
    const auto it = memory.find(at);

    run_until(queued); /* freeing waits, as on a GPU */
    if (it == memory.end()) {
        fprintf(stderr, "shim: freed what was not allocated\n");
        abort();
    }
    used -= it->second;
    memory.erase(it);
    free(address(at));
    return 0;
}

EXPORT int cuMemHostAlloc(void **p, size_t bytes, unsigned)
{
    MAY_FAIL("cuMemHostAlloc");
    *p = malloc(bytes);
    return *p ? 0 : OUT_OF_MEMORY;
}

EXPORT int cuMemFreeHost(void *p)
{
    run_until(queued);
    free(p);
    return 0;
}

EXPORT int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, void *)
{
    MAY_FAIL("cuMemcpyHtoDAsync_v2");
    later([=] { memcpy(address(to), from, bytes); });
    return 0;
}

EXPORT int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, void *)
{
    MAY_FAIL("cuMemcpyDtoHAsync_v2");
    later([=] { memcpy(to, address(from), bytes); });
    return 0;
}

EXPORT int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, void *)
{
    MAY_FAIL("cuMemcpyDtoDAsync_v2");
    later([=] { memcpy(address(to), address(from), bytes); });
    return 0;
}

EXPORT int cuMemsetD8Async(uint64_t to, unsigned char value, size_t bytes, void *)
{
    later([=] { memset(address(to), value, bytes); });
    return 0;
}

/* ---- streams and events ---- */

EXPORT int cuStreamCreate(void **stream, unsigned)
{
    static int one;

    *stream = &one;
    return 0;
}

EXPORT int cuStreamSynchronize(void *)
{
    MAY_FAIL("cuStreamSynchronize");
    run_until(queued);
    return 0;
}

EXPORT int cuStreamDestroy_v2(void *)
{
    return 0;
}

EXPORT int cuEventCreate(void **e, unsigned)
{
    *e = new event();
    return 0;
}

EXPORT int cuEventRecord(void *e, void *)
{
    event *const it = static_cast<event *>(e);

    later([seconds = it->seconds] {
        *seconds = std::chrono::duration<double>(
                       std::chrono::steady_clock::now().time_since_epoch())
                       .count();
    });
    it->at = queued;
    return 0;
}

EXPORT int cuEventSynchronize(void *e)
{
    MAY_FAIL("cuEventSynchronize");
    run_until(static_cast<event *>(e)->at);
    return 0;
}

EXPORT int cuEventElapsedTime(float *milliseconds, void *from, void *to)
{
    *milliseconds = static_cast<float>(1e3 * (*static_cast<event *>(to)->seconds -
                                              *static_cast<event *>(from)->seconds));
    return 0;
}

EXPORT int cuEventDestroy_v2(void *e)
{
    delete static_cast<event *>(e);
    return 0;
}

/* ---- kernels ---- */

EXPORT int cuModuleLoadData(void **module, const void *)
{
    static int one;

    MAY_FAIL("cuModuleLoadData");
    *module = &one;
    return 0;
}

EXPORT int cuModuleUnload(void *)
{
    return 0;
}

EXPORT int cuModuleGetFunction(void **function, void *, const char *name)
{
    for (size_t i = 0; i < shim::n_kernels; i++)
        if (strcmp(shim::kernels[i].name, name) == 0) {
            *function = const_cast<shim::kernel *>(&shim::kernels[i]);
            return 0;
        }
    return NOT_FOUND;
}

EXPORT int cuFuncSetAttribute(void *, int, int value)
{
    return value <= 227 << 10 ? 0 : INVALID_VALUE;
}

EXPORT int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz,
                          unsigned bx, unsigned by, unsigned bz, unsigned shared,
                          void *, void **params, void **)
{
    const shim::kernel *k = static_cast<const shim::kernel *>(function);
    const char *from = static_cast<const char *>(params[0]);
    std::vector<char> args(from, from + k->args_size);

    MAY_FAIL("cuLaunchKernel");
    if (gx == 0 || gy == 0 || gy > 65535 || gz != 1 || by != 1 || bz != 1)
        return INVALID_VALUE;
    later([=]() mutable { shim::run_kernel(*k, args.data(), gx, gy, bx, shared); });
    return 0;
}

EXPORT int cuGetErrorName(int error, const char **name)
{
    *name = error == 719   ? "CUDA_ERROR_LAUNCH_FAILED"
            : error == 209 ? "CUDA_ERROR_NO_BINARY_FOR_GPU"
                           : "CUDA_ERROR_OF_THE_SHIM";
    return 0;
}

EXPORT int cuGetErrorString(int, const char **text)
{
    *text = "asked for by ATN_SHIM_FAIL";
    return 0;
}

/* ---- cuBLAS ---- */

EXPORT int cublasCreate_v2(void **handle)
{
    static int one;

    MAY_FAIL("cublasCreate_v2");
    *handle = &one;
    return 0;
}

EXPORT int cublasDestroy_v2(void *)
{
    return 0;
}

EXPORT int cublasSetStream_v2(void *, void *)
{
    return 0;
}

EXPORT int cublasGetVersion_v2(void *, int *version)
{
    *version = 120400;
    return 0;
}

namespace
{

/* An operand as cuBLAS sees it: columns first; tf32 is rounded to 10 bits, ties away. */
struct operand {
    const void *at;
    int type, ld;
    bool turned, tf32;

    double get(int row, int column) const
    {
        const size_t i = turned ? (size_t)row * (size_t)ld + (size_t)column
                                : (size_t)column * (size_t)ld + (size_t)row;
        uint32_t bits;
        float v;

        if (type == 14)
            bits = (uint32_t) static_cast<const uint16_t *>(at)[i] << 16;
        else
            memcpy(&bits, static_cast<const float *>(at) + i, sizeof bits);
        if (tf32 && (bits & 0x7f800000u) != 0x7f800000u)
            bits = (bits + 0x1000u) & ~0x1fffu;
        memcpy(&v, &bits, sizeof v);
        return (double)v;
    }
};

const void *step(const void *at, int type, long long elements)
{
    return static_cast<const char *>(at) + elements * (type == 14 ? 2 : 4);
}

void product(int m, int n, int k, double alpha, const operand &x, const operand &y,
             double beta, float *c, int ldc)
{
    for (int j = 0; j < n; j++)
        for (int i = 0; i < m; i++) {
            float *to = c + (size_t)j * (size_t)ldc + i;
            double sum = 0;
            for (int e = 0; e < k; e++) sum += x.get(i, e) * y.get(e, j);
            *to = (float)(alpha * sum + (beta != 0 ? beta * (double)*to : 0));
        }
}
} // namespace

EXPORT int cublasGemmStridedBatchedEx(void *, int trans_a, int trans_b, int m, int n,
                                      int k, const void *alpha, const void *a,
                                      int a_type, int lda, long long step_a,
                                      const void *b, int b_type, int ldb,
                                      long long step_b, const void *beta, void *c,
                                      int c_type, int ldc, long long step_c, int count,
                                      int compute, int)
{
    const double al = (double)*static_cast<const float *>(alpha),
                 be = (double)*static_cast<const float *>(beta);

    MAY_FAIL("cublasGemmStridedBatchedEx");
    if (c_type != 0 || lda < (trans_a ? k : m) || ldb < (trans_b ? n : k) || ldc < m)
        return 7; /* CUBLAS_STATUS_INVALID_VALUE */
    for (int at = 0; at < count; at++) {
        const operand x = {step(a, a_type, step_a * at), a_type, lda, trans_a != 0,
                           compute == 77},
                      y = {step(b, b_type, step_b * at), b_type, ldb, trans_b != 0,
                           compute == 77};
        float *const z = static_cast<float *>(c) + step_c * at;

        later([=] { product(m, n, k, al, x, y, be, z, ldc); });
    }
    return 0;
}

EXPORT int cublasGemmEx(void *handle, int trans_a, int trans_b, int m, int n, int k,
                        const void *alpha, const void *a, int a_type, int lda,
                        const void *b, int b_type, int ldb, const void *beta, void *c,
                        int c_type, int ldc, int compute, int algorithm)
{
    MAY_FAIL("cublasGemmEx");
    return cublasGemmStridedBatchedEx(handle, trans_a, trans_b, m, n, k, alpha, a,
                                      a_type, lda, 0, b, b_type, ldb, 0, beta, c,
                                      c_type, ldc, 0, 1, compute, algorithm);
}
