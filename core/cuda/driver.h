/* core/cuda/driver.h -- the CUDA driver and cuBLAS, loaded at run time.
 *
 * One binary runs with and without them: libcuda.so.1 and libcublas.so are opened when
 * a GPU is asked for. The entry points that we call are listed once below with their
 * types, so that no header of the toolkit is needed; a test compares them with the
 * toolkit's where there is one.
 * Source  CUDA Driver API and cuBLAS reference manuals (ABI of CUDA 11 to 13).
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/ctx.h"

typedef uint64_t atn_cu_ptr; /* CUdeviceptr */
typedef void *atn_cu_handle; /* CUcontext, CUstream, CUmodule, CUfunction, CUevent */

/* X(our name, symbol, parameters); all return int, 0 = success */
#define ATN_CU_DRIVER(X)                                                               \
    X(init, cuInit, (unsigned flags))                                                  \
    X(version, cuDriverGetVersion, (int *version))                                     \
    X(count, cuDeviceGetCount, (int *count))                                           \
    X(device, cuDeviceGet, (int *device, int ordinal))                                 \
    X(name, cuDeviceGetName, (char *name, int size, int device))                       \
    X(attribute, cuDeviceGetAttribute, (int *value, int attribute, int device))        \
    X(total, cuDeviceTotalMem_v2, (size_t * bytes, int device))                        \
    X(retain, cuDevicePrimaryCtxRetain, (atn_cu_handle * context, int device))         \
    X(unretain, cuDevicePrimaryCtxRelease_v2, (int device))                            \
    X(current, cuCtxSetCurrent, (atn_cu_handle context))                               \
    X(room, cuMemGetInfo_v2, (size_t * free_bytes, size_t * total_bytes))              \
    X(alloc, cuMemAlloc_v2, (atn_cu_ptr * memory, size_t bytes))                       \
    X(free, cuMemFree_v2, (atn_cu_ptr memory))                                         \
    X(pin, cuMemHostAlloc, (void **memory, size_t bytes, unsigned flags))              \
    X(unpin, cuMemFreeHost, (void *memory))                                            \
    X(to_device, cuMemcpyHtoDAsync_v2,                                                 \
      (atn_cu_ptr to, const void *from, size_t bytes, atn_cu_handle stream))           \
    X(to_host, cuMemcpyDtoHAsync_v2,                                                   \
      (void *to, atn_cu_ptr from, size_t bytes, atn_cu_handle stream))                 \
    X(copy, cuMemcpyDtoDAsync_v2,                                                      \
      (atn_cu_ptr to, atn_cu_ptr from, size_t bytes, atn_cu_handle stream))            \
    X(fill, cuMemsetD8Async,                                                           \
      (atn_cu_ptr to, unsigned char value, size_t bytes, atn_cu_handle stream))        \
    X(stream, cuStreamCreate, (atn_cu_handle * stream, unsigned flags))                \
    X(stream_wait, cuStreamSynchronize, (atn_cu_handle stream))                        \
    X(stream_destroy, cuStreamDestroy_v2, (atn_cu_handle stream))                      \
    X(event, cuEventCreate, (atn_cu_handle * event, unsigned flags))                   \
    X(event_record, cuEventRecord, (atn_cu_handle event, atn_cu_handle stream))        \
    X(event_wait, cuEventSynchronize, (atn_cu_handle event))                           \
    X(event_time, cuEventElapsedTime,                                                  \
      (float *milliseconds, atn_cu_handle start, atn_cu_handle end))                   \
    X(event_destroy, cuEventDestroy_v2, (atn_cu_handle event))                         \
    X(module, cuModuleLoadData, (atn_cu_handle * module, const void *image))           \
    X(module_unload, cuModuleUnload, (atn_cu_handle module))                           \
    X(function, cuModuleGetFunction,                                                   \
      (atn_cu_handle * function, atn_cu_handle module, const char *name))              \
    X(function_set, cuFuncSetAttribute,                                                \
      (atn_cu_handle function, int attribute, int value))                              \
    X(launch, cuLaunchKernel,                                                          \
      (atn_cu_handle function, unsigned gx, unsigned gy, unsigned gz, unsigned bx,     \
       unsigned by, unsigned bz, unsigned shared, atn_cu_handle stream, void **params, \
       void **extra))                                                                  \
    X(error_name, cuGetErrorName, (int error, const char **name))                      \
    X(error_text, cuGetErrorString, (int error, const char **text))

#define ATN_CU_BLAS(X)                                                                 \
    X(blas_create, cublasCreate_v2, (atn_cu_handle * handle))                          \
    X(blas_destroy, cublasDestroy_v2, (atn_cu_handle handle))                          \
    X(blas_stream, cublasSetStream_v2, (atn_cu_handle handle, atn_cu_handle stream))   \
    X(blas_version, cublasGetVersion_v2, (atn_cu_handle handle, int *version))         \
    X(gemm, cublasGemmEx,                                                              \
      (atn_cu_handle handle, int trans_a, int trans_b, int m, int n, int k,            \
       const void *alpha, const void *a, int a_type, int lda, const void *b,           \
       int b_type, int ldb, const void *beta, void *c, int c_type, int ldc,            \
       int compute, int algorithm))                                                    \
    X(gemm_batch, cublasGemmStridedBatchedEx,                                          \
      (atn_cu_handle handle, int trans_a, int trans_b, int m, int n, int k,            \
       const void *alpha, const void *a, int a_type, int lda, long long step_a,        \
       const void *b, int b_type, int ldb, long long step_b, const void *beta,         \
       void *c, int c_type, int ldc, long long step_c, int count, int compute,         \
       int algorithm))

typedef struct atn_cu_driver {
    void *cuda, *blas; /* dlopen handles; blas NULL until asked for */
#define ATN_CU_MEMBER(name, symbol, parameters) int(*name) parameters;
    ATN_CU_DRIVER(ATN_CU_MEMBER)
    ATN_CU_BLAS(ATN_CU_MEMBER)
#undef ATN_CU_MEMBER
} atn_cu_driver;

enum { /* values of the API that we pass or test */
       ATN_CU_INVALID_IMAGE = 200,
       ATN_CU_NO_DEVICE = 100,
       ATN_CU_OUT_OF_MEMORY = 2,
       ATN_CU_NO_BINARY = 209,
       ATN_CU_UNSUPPORTED_PTX = 222,
       ATN_CU_ATTRIBUTE_SM_COUNT = 16,
       ATN_CU_ATTRIBUTE_MAJOR = 75,
       ATN_CU_ATTRIBUTE_MINOR = 76,
       ATN_CU_FUNCTION_DYNAMIC_SHARED = 8,
       ATN_CU_STREAM_NON_BLOCKING = 1,
       ATN_CU_BLAS_F32 = 0,
       ATN_CU_BLAS_BF16 = 14,
       ATN_CU_BLAS_COMPUTE_F32 = 68,
       ATN_CU_BLAS_COMPUTE_TF32 = 77,
       ATN_CU_BLAS_DEFAULT = -1,
};

/* Opens libcuda and starts it. UNAVAILABLE with what is missing and what to do. */
atn_status atn_cu_driver_open(atn_ctx *cx, atn_cu_driver *out) ATN_WARN_UNUSED;
/* Opens cuBLAS beside it. */
atn_status atn_cu_driver_open_blas(atn_ctx *cx, atn_cu_driver *d) ATN_WARN_UNUSED;
void atn_cu_driver_close(atn_cu_driver *d); /* a zeroed one is fine */

/* ATN_OK, or the failure of `what` in words: MEMORY when the card is full, else
 * UNAVAILABLE. */
atn_status atn_cu_check(atn_ctx *cx, const atn_cu_driver *d, int result,
                        const char *what) ATN_WARN_UNUSED;

typedef struct atn_gpu_info {
    int index;
    char name[128];
    int major, minor; /* compute capability */
    int sm_count;
    size_t total_bytes;
} atn_gpu_info;

/* The GPUs that the driver sees; *list is the caller's, free with atn_free. */
atn_status atn_cu_devices(atn_ctx *cx, const atn_cu_driver *d, atn_gpu_info **list,
                          int *n) ATN_WARN_UNUSED;
