/* tests/core/test_cuda_abi.c -- what core/cuda/driver.h says of the CUDA driver and cuBLAS, held
 * against the toolkit's own headers; skipped, visibly, where there are none.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "core/cuda/driver.h"

#if __has_include(<cuda.h>) && __has_include(<cublas_v2.h>)
#    pragma GCC diagnostic push
#    pragma GCC diagnostic ignored "-Wpedantic"
#    pragma GCC diagnostic ignored "-Wstrict-prototypes"
#    include <cublas_v2.h>
#    include <cuda.h>
#    pragma GCC diagnostic pop

#    define SAME(ours, theirs)                                                         \
        _Static_assert((long long)(ours) == (long long)(theirs), #theirs)
SAME(ATN_CU_OUT_OF_MEMORY, CUDA_ERROR_OUT_OF_MEMORY);
SAME(ATN_CU_NO_DEVICE, CUDA_ERROR_NO_DEVICE);
SAME(ATN_CU_INVALID_IMAGE, CUDA_ERROR_INVALID_IMAGE);
SAME(ATN_CU_NO_BINARY, CUDA_ERROR_NO_BINARY_FOR_GPU);
SAME(ATN_CU_UNSUPPORTED_PTX, CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
SAME(ATN_CU_ATTRIBUTE_SM_COUNT, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
SAME(ATN_CU_ATTRIBUTE_MAJOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
SAME(ATN_CU_ATTRIBUTE_MINOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
SAME(ATN_CU_FUNCTION_DYNAMIC_SHARED, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES);
SAME(ATN_CU_STREAM_NON_BLOCKING, CU_STREAM_NON_BLOCKING);
SAME(ATN_CU_BLAS_F32, CUDA_R_32F);
SAME(ATN_CU_BLAS_BF16, CUDA_R_16BF);
SAME(ATN_CU_BLAS_COMPUTE_F32, CUBLAS_COMPUTE_32F);
SAME(ATN_CU_BLAS_COMPUTE_TF32, CUBLAS_COMPUTE_32F_FAST_TF32);
SAME(ATN_CU_BLAS_DEFAULT, CUBLAS_GEMM_DEFAULT);
SAME(0, CUBLAS_OP_N);
SAME(1, CUBLAS_OP_T);
SAME(sizeof(atn_cu_ptr), sizeof(CUdeviceptr));
SAME(sizeof(atn_cu_handle), sizeof(CUstream));
SAME(sizeof(int), sizeof(CUresult));
SAME(sizeof(int), sizeof(cublasStatus_t));
SAME(sizeof(int), sizeof(CUdevice));

#    define TEXT(...) #__VA_ARGS__
#    define STRING(x) TEXT(x)

/* The header renames some functions to versioned ones; ours must be the same. */
static void names(atn_ctx *cx)
{
    (void)cx;
    CHECK_STR(STRING(cuMemAlloc), "cuMemAlloc_v2");
    CHECK_STR(STRING(cuMemFree), "cuMemFree_v2");
    CHECK_STR(STRING(cuMemGetInfo), "cuMemGetInfo_v2");
    CHECK_STR(STRING(cuMemcpyHtoDAsync), "cuMemcpyHtoDAsync_v2");
    CHECK_STR(STRING(cuMemcpyDtoHAsync), "cuMemcpyDtoHAsync_v2");
    CHECK_STR(STRING(cuMemcpyDtoDAsync), "cuMemcpyDtoDAsync_v2");
    CHECK_STR(STRING(cuDeviceTotalMem), "cuDeviceTotalMem_v2");
    CHECK_STR(STRING(cuDevicePrimaryCtxRelease), "cuDevicePrimaryCtxRelease_v2");
    CHECK_STR(STRING(cuStreamDestroy), "cuStreamDestroy_v2");
    CHECK_STR(STRING(cuEventDestroy), "cuEventDestroy_v2");
}

/* Types, one for one: a call through each of their prototypes with variables of ours. */
typedef CUresult (*launch_type)(CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned,
                                unsigned, unsigned, CUstream, void **, void **);
_Static_assert(__builtin_types_compatible_p(__typeof__(&cuLaunchKernel), launch_type),
               "cuLaunchKernel");
typedef cublasStatus_t (*gemm_type)(cublasHandle_t, cublasOperation_t, cublasOperation_t,
                                    int, int, int, const void *, const void *,
                                    cudaDataType, int, const void *, cudaDataType, int,
                                    const void *, void *, cudaDataType, int,
                                    cublasComputeType_t, cublasGemmAlgo_t);
_Static_assert(__builtin_types_compatible_p(__typeof__(&cublasGemmEx), gemm_type),
               "cublasGemmEx");
typedef cublasStatus_t (*batch_type)(cublasHandle_t, cublasOperation_t, cublasOperation_t,
                                     int, int, int, const void *, const void *,
                                     cudaDataType, int, long long, const void *,
                                     cudaDataType, int, long long, const void *, void *,
                                     cudaDataType, int, long long, int,
                                     cublasComputeType_t, cublasGemmAlgo_t);
_Static_assert(__builtin_types_compatible_p(__typeof__(&cublasGemmStridedBatchedEx),
                                            batch_type),
               "cublasGemmStridedBatchedEx");

CHECK_MAIN({"names", names})
#else
int main(void)
{
    fputs("skipped: no headers of the CUDA toolkit here\n", stderr);
    return 77;
}
#endif
