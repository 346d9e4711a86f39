/* core/cuda/backend_cuda.h -- the backend of an NVIDIA GPU.
 *
 * Its table starts as a copy of the CPU's and overrides what pays: memory, matrix
 * products (cuBLAS), the operations of the forward pass and the row pass (our kernels).
 * rows_fill, whose tiles go to the host anyway, stays the CPU's. One thread uses a
 * backend at a time.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/backend.h"
#include "core/cuda/driver.h"

typedef enum atn_math {
    ATN_MATH_F32,  /* float throughout */
    ATN_MATH_TF32, /* products of operands rounded to tf32, accumulated in float */
    ATN_MATH_BF16  /* weights and operands of products in bf16, accumulated in float */
} atn_math;

/* Opens GPU `device`. UNAVAILABLE when there is no driver, no cuBLAS, no such GPU, or
 * no kernels for it in this build. */
atn_status atn_cuda_open(atn_ctx *cx, int device, atn_math math,
                         atn_backend **out) ATN_WARN_UNUSED;
void atn_cuda_close(atn_ctx *cx, atn_backend *be); /* NULL is fine */
const atn_gpu_info *atn_cuda_info(const atn_backend *be);

/* What the backend holds of the GPU's memory, in bytes. */
typedef struct atn_cuda_memory {
    size_t now, peak;
} atn_cuda_memory;
atn_cuda_memory atn_cuda_memory_of(const atn_backend *be);

/* Bytes that are free on the GPU. */
atn_status atn_cuda_left(atn_ctx *cx, double *bytes) ATN_WARN_UNUSED;

/* A stopwatch on the GPU: a mark is set when everything queued before it is done. The
 * row pass sets ROWS and ROWS_END around its kernels. Seconds waits for `to`. */
enum {
    ATN_CUDA_MARK_START,
    ATN_CUDA_MARK_END,
    ATN_CUDA_MARK_ROWS,
    ATN_CUDA_MARK_ROWS_END,
    ATN_CUDA_MARKS
};
atn_status atn_cuda_mark(atn_ctx *cx, int mark) ATN_WARN_UNUSED;
atn_status atn_cuda_seconds(atn_ctx *cx, int from, int to,
                            double *seconds) ATN_WARN_UNUSED;
/* to <- from, of the same size; queued. Measures the bandwidth of the memory. */
atn_status atn_cuda_copy(atn_ctx *cx, atn_buf from, atn_buf to) ATN_WARN_UNUSED;

/* c [count][m, n] = a [count][m, k] times b, [n, k] transposed or [k, n]: cuBLAS alone,
 * on operands of weight_type. b is one matrix for all, or [count] of them; queued. */
atn_status atn_cuda_product(atn_ctx *cx, atn_buf a, atn_buf b, bool transposed,
                            atn_idx count, atn_idx m, atn_idx n, atn_idx k,
                            atn_buf c) ATN_WARN_UNUSED;

const char *atn_math_name(atn_math math); /* "f32" */

/* Does a GPU of this compute capability run the kernels of this build? */
bool atn_cuda_runs_on(int major);
/* The architectures that this build has kernels for: "sm_80 sm_90 compute_100",
 * "" = none. */
const char *atn_cuda_built_for(void);
