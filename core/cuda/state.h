/* core/cuda/state.h -- what the files of the CUDA backend share; nobody else includes
 * it. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/cuda/backend_cuda.h"
#include "core/kernels/cuda/args.h"

typedef enum atn_cu_kernel {
#define ATN_CUDA_KERNEL(image, name, args) ATN_CU_KERNEL_##name,
#include "core/kernels/cuda/kernels.def"
#undef ATN_CUDA_KERNEL
    ATN_CU_KERNELS
} atn_cu_kernel;

enum {
    ATN_CU_SLOTS = 2, /* staging slots: one fills while the other is on its way */
    ATN_CU_IMAGES_MOST = 8,
};
#define ATN_CU_SLOT_BYTES ((size_t)32 << 20)
/* Logits and weights of a tile of attention: they stay in a GPU's L2 (40 to 60 MB) */
#define ATN_CU_TILE_BYTES ((size_t)48 << 20)

/* cuBLAS's own, the most it takes by itself */
#define ATN_CU_BLAS_BYTES ((size_t)32 << 20)

/* Device scratch that grows and is kept. */
typedef struct atn_cu_scratch {
    atn_cu_ptr at;
    size_t bytes;
} atn_cu_scratch;

/* Pinned host memory and, for widening, device memory of the same size. */
typedef struct atn_cu_slot {
    void *host;
    atn_cu_ptr device;
    atn_cu_handle done; /* event: the slot may be filled again */
    bool used;
} atn_cu_slot;

typedef struct atn_cuda {
    atn_backend table; /* first: a table pointer is a pointer to the whole */
    atn_cu_driver driver;
    atn_gpu_info info;
    atn_math math;
    int device;
    atn_cu_handle context, stream, blas;
    atn_cu_handle modules[ATN_CU_IMAGES_MOST];
    atn_cu_handle kernels[ATN_CU_KERNELS];
    atn_cu_slot slots[ATN_CU_SLOTS];
    int next_slot;
    atn_cu_handle marks[ATN_CUDA_MARKS]; /* events that keep the time */
    atn_cuda_memory memory;
    atn_cu_scratch x, small;                          /* see backend_cuda.c */
    atn_cu_scratch q, k, v, rel, tile, narrow, state; /* see attention_cuda.c */
    atn_cu_ptr bad; /* [ATN_CU_BAD_MOST] ints: rows with NaN, looked at when we wait */
    int bad_heads;  /* how many of them are in use; 0 = none */
    int bad_layer;
    const atn_head *bad_of; /* whose rows; borrowed, NULL = of heads 0, 1, .. */
} atn_cuda;

enum { ATN_CU_BAD_MOST = 65535, ATN_CU_MAJOR_LEAST = 8 };

/* The images that nvcc made of the kernels, embedded (cmake/cuda.cmake). */
typedef struct atn_cuda_image {
    const char *name;
    const void *data;
} atn_cuda_image;
extern const atn_cuda_image atn_cuda_images[];
extern const int atn_cuda_n_images;
extern const char atn_cuda_architectures[];

/* The state behind cx->backend. Its table is const to users, its contents are ours. */
atn_cuda *atn_cu_state(const atn_ctx *cx);
static inline void *atn_cu_address(atn_cu_ptr p)
{
    return (void *)(uintptr_t)p;
}

/* Everything below fails like atn_cu_check. */
atn_status atn_cu_alloc(atn_ctx *cx, atn_cuda *cu, size_t bytes, const char *what,
                        atn_cu_ptr *out) ATN_WARN_UNUSED;
void atn_cu_free(atn_cuda *cu, atn_cu_ptr p, size_t bytes); /* 0 is fine */
/* Makes a scratch at least that large; its contents are lost when it grows. */
atn_status atn_cu_grow(atn_ctx *cx, atn_cuda *cu, atn_cu_scratch *s, size_t bytes,
                       const char *what) ATN_WARN_UNUSED;
/* Grid of gx x gy blocks of `threads`, `shared` bytes of dynamic shared memory. */
atn_status atn_cu_launch(atn_ctx *cx, atn_cuda *cu, atn_cu_kernel kernel, int64_t gx,
                         int64_t gy, int threads, size_t shared,
                         void *args) ATN_WARN_UNUSED;
/* Enough blocks of ATN_CU_THREADS for n elements in a grid-stride loop. */
int64_t atn_cu_blocks(int64_t n);
/* The next staging slot, free to be filled; queue what uses it, then close it. */
atn_status atn_cu_take_slot(atn_ctx *cx, atn_cuda *cu,
                            atn_cu_slot **out) ATN_WARN_UNUSED;
atn_status atn_cu_send(atn_ctx *cx, atn_cuda *cu, atn_cu_ptr to, const void *from,
                       size_t bytes) ATN_WARN_UNUSED;
atn_status atn_cu_close_slot(atn_ctx *cx, atn_cuda *cu, atn_cu_slot *s) ATN_WARN_UNUSED;
/* Fills a slot with n elements, widened to float or as they are, on all threads. */
atn_status atn_cu_fill(atn_ctx *cx, const atn_cu_slot *s, const void *from,
                       atn_dtype type, atn_idx n, bool widen) ATN_WARN_UNUSED;
atn_status atn_cu_upload(atn_ctx *cx, atn_cuda *cu, atn_cu_ptr to, const void *from,
                         size_t bytes) ATN_WARN_UNUSED;
/* The same of a matrix whose rows lie apart, closed up on the way. */
atn_status atn_cu_upload_rows(atn_ctx *cx, atn_cuda *cu, atn_cu_ptr to,
                              atn_cmat m) ATN_WARN_UNUSED;
/* Waits for everything before it, and looks at `bad`. */
atn_status atn_cu_download(atn_ctx *cx, atn_cuda *cu, atn_cu_ptr from, void *to,
                           size_t bytes) ATN_WARN_UNUSED;
/* The same of [n, heads * d] floats, into planes of heads: [heads, n, d]. */
atn_status atn_cu_download_heads(atn_ctx *cx, atn_cuda *cu, atn_cu_ptr from, atn_idx n,
                                 atn_idx heads, atn_idx d, float *out) ATN_WARN_UNUSED;
atn_status atn_cu_wait(atn_ctx *cx, atn_cuda *cu) ATN_WARN_UNUSED;
/* From here on, `heads` entries of bad hold INT_MAX; kernels lower them. They are the
 * rows of heads[0], heads[1] .., which must live until somebody waits; NULL: of heads
 * 0, 1 .. */
atn_status atn_cu_watch_rows(atn_ctx *cx, atn_cuda *cu, int layer,
                             const atn_head *heads, atn_idx n) ATN_WARN_UNUSED;
/* A sight in device integers; false when a number does not fit. */
bool atn_cu_sight_of(const atn_sight *s, atn_cu_sight *out);

/* Per kernel its symbol and the image that holds it. */
extern const char *const atn_cu_kernel_names[], *const atn_cu_kernel_images[];

/* ---- core/cuda/backend_cuda.c ---- */

/* Where a buffer of ours begins; as floats, which it must hold. */
atn_cu_ptr atn_cu_place(const atn_ctx *cx, atn_buf b);
float *atn_cu_f32(const atn_ctx *cx, atn_buf b);
/* f32 rows -> words of bf16 pairs (core/kernels/cuda/args.h), zeros behind the
 * columns. */
atn_status atn_cu_pack_bf16(atn_ctx *cx, atn_cuda *cu, const float *x, atn_idx rows,
                            atn_idx cols, atn_cu_ptr to) ATN_WARN_UNUSED;

/* Row-major C [m, n] = alpha A [m, k] op(B) + beta C, where B is [n, k] (transposed) or
 * [k, n]; A and B both of `type`. count > 1: that many, each the steps (elements)
 * apart. */
typedef struct atn_cu_product {
    const void *a, *b;
    float *c;
    atn_idx m, n, k, lda, ldb, ldc;
    atn_idx count, step_a, step_b, step_c;
    bool transposed;
    atn_dtype type;
    float alpha, beta;
} atn_cu_product;
atn_status atn_cu_multiply(atn_ctx *cx, atn_cuda *cu,
                           const atn_cu_product *p) ATN_WARN_UNUSED;

/* core/cuda/attention_cuda.c */
atn_status atn_attention_cuda(atn_ctx *cx, const atn_attn_args *a) ATN_WARN_UNUSED;

/* core/cuda/row_values_cuda.c */
atn_status atn_row_values_cuda(atn_ctx *cx, const atn_head *heads, atn_idx n_heads,
                               const atn_row_want *want,
                               atn_row_out *out) ATN_WARN_UNUSED;
