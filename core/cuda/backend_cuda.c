/* core/cuda/backend_cuda.c -- the operations of a forward pass on a GPU; opening and
 * closing it.
 *
 * Scratch: x holds an operand rounded to bf16, small targets and results of the loss;
 * the rest is attention's (core/cuda/attention_cuda.c).
 * Oracle  tests/core/test_backends.c: every operation against a twin in double.
 * Memory  beside what is allocated: 2 slots of 32 MiB in host and GPU, a tile of
 *         attention of at most 48 MiB, and in bf16 the rounded operands.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/cuda/state.h"

enum { NO_TRANSPOSE, TRANSPOSE };

atn_cuda *atn_cu_state(const atn_ctx *cx)
{
    return (atn_cuda *)(uintptr_t)cx->backend;
}

const char *atn_math_name(atn_math math)
{
    static const char *const names[] = {"f32", "tf32", "bf16"};

    return names[math];
}

const char *atn_cuda_built_for(void)
{
    return atn_cuda_architectures;
}

bool atn_cuda_runs_on(int major)
{
    return atn_cuda_architectures[0] != '\0' && major >= ATN_CU_MAJOR_LEAST;
}

const atn_gpu_info *atn_cuda_info(const atn_backend *be)
{
    return &((const atn_cuda *)be)->info;
}

atn_cu_ptr atn_cu_place(const atn_ctx *cx, atn_buf b)
{
    ATN_ASSERT(b.owner == cx->backend);
    return (atn_cu_ptr)(uintptr_t)b.base + (size_t)b.offset * atn_dtype_size(b.type);
}

float *atn_cu_f32(const atn_ctx *cx, atn_buf b)
{
    ATN_ASSERT(b.type == ATN_F32);
    return atn_cu_address(atn_cu_place(cx, b));
}

static float *f32_or_null(const atn_ctx *cx, atn_buf b)
{
    return b.base ? atn_cu_f32(cx, b) : NULL;
}

static size_t bytes_of(atn_buf b)
{
    return (size_t)b.count * atn_dtype_size(b.type);
}

/* ---- memory ---- */

static atn_status cuda_alloc(atn_ctx *cx, atn_dtype type, atn_idx count, atn_buf *out)
{
    atn_cuda *cu = atn_cu_state(cx);
    atn_status st = ATN_OK;
    atn_cu_ptr at = 0;
    size_t bytes = 0;

    *out = (atn_buf){0};
    if (count < 0 || !atn_mul_size((size_t)count, atn_dtype_size(type), &bytes))
        ATN_FAIL(ATN_MEMORY, "a buffer of %lld elements overflows", (long long)count);
    ATN_TRY(atn_cu_alloc(cx, cu, bytes + 4, "a buffer", &at)); /* + 4: whole words */
    ATN_TRY(atn_cu_check(cx, &cu->driver, cu->driver.fill(at, 0, bytes + 4, cu->stream),
                         "clearing a buffer"));
    *out = (atn_buf){cx->backend, atn_cu_address(at), 0, count, type};
    at = 0;
done:
    atn_cu_free(cu, at, bytes + 4);
    return st;
}

static void cuda_release(atn_ctx *cx, atn_buf *b)
{
    atn_cu_free(atn_cu_state(cx), (atn_cu_ptr)(uintptr_t)b->base, bytes_of(*b) + 4);
    *b = (atn_buf){0};
}

static atn_status cuda_upload(atn_ctx *cx, atn_buf dst, const void *src)
{
    return atn_cu_upload(cx, atn_cu_state(cx), atn_cu_place(cx, dst), src,
                         bytes_of(dst));
}

static atn_status cuda_download(atn_ctx *cx, atn_buf src, void *dst)
{
    return atn_cu_download(cx, atn_cu_state(cx), atn_cu_place(cx, src), dst,
                           bytes_of(src));
}

static atn_status cuda_download_heads(atn_ctx *cx, atn_buf src, atn_idx n,
                                      atn_idx heads, atn_idx d, float *out)
{
    ATN_ASSERT(src.type == ATN_F32);
    return atn_cu_download_heads(cx, atn_cu_state(cx), atn_cu_place(cx, src), n, heads,
                                 d, out);
}

static atn_status cuda_room(atn_ctx *cx, double bytes, const char *what)
{
    atn_cuda *cu = atn_cu_state(cx);
    /* weights of another type become bf16 in pieces of two slots */
    const double own = (double)ATN_CU_TILE_BYTES + (double)ATN_CU_BLAS_BYTES +
                       (cu->math == ATN_MATH_BF16 ? 2 * (double)ATN_CU_SLOT_BYTES : 0);
    atn_status st = ATN_OK;
    size_t room = 0, total = 0;

    ATN_TRY(atn_cu_check(cx, &cu->driver, cu->driver.room(&room, &total),
                         "asking for the GPU's memory"));
    if (bytes + own > (double)room)
        ATN_FAIL(ATN_MEMORY,
                 "%s needs %.1f MiB on %s, of which %.1f MiB are free (take a shorter "
                 "text%s, or --device cpu)",
                 what, (bytes + own) / 1048576, cu->info.name, (double)room / 1048576,
                 cu->math == ATN_MATH_BF16 ? "" : ", --dtype bf16");
done:
    return st;
}

atn_status atn_cuda_left(atn_ctx *cx, double *bytes)
{
    atn_cuda *cu = atn_cu_state(cx);
    atn_status st = ATN_OK;
    size_t room = 0, total = 0;

    ATN_TRY(atn_cu_check(cx, &cu->driver, cu->driver.room(&room, &total),
                         "asking for the GPU's memory"));
    *bytes = (double)room;
done:
    return st;
}

/* ---- measuring ---- */

atn_cuda_memory atn_cuda_memory_of(const atn_backend *be)
{
    return ((const atn_cuda *)be)->memory;
}

atn_status atn_cuda_mark(atn_ctx *cx, int mark)
{
    atn_cuda *cu = atn_cu_state(cx);

    return atn_cu_check(cx, &cu->driver,
                        cu->driver.event_record(cu->marks[mark], cu->stream),
                        "keeping the time");
}

atn_status atn_cuda_seconds(atn_ctx *cx, int from, int to, double *seconds)
{
    const atn_cuda *cu = atn_cu_state(cx);
    atn_status st = ATN_OK;
    float ms = 0;

    ATN_TRY(atn_cu_check(cx, &cu->driver, cu->driver.event_wait(cu->marks[to]),
                         "waiting for the GPU"));
    ATN_TRY(atn_cu_check(cx, &cu->driver,
                         cu->driver.event_time(&ms, cu->marks[from], cu->marks[to]),
                         "keeping the time"));
    *seconds = (double)ms * 1e-3;
done:
    return st;
}

atn_status atn_cuda_copy(atn_ctx *cx, atn_buf from, atn_buf to)
{
    atn_cuda *cu = atn_cu_state(cx);

    ATN_ASSERT(bytes_of(from) == bytes_of(to));
    return atn_cu_check(cx, &cu->driver,
                        cu->driver.copy(atn_cu_place(cx, to), atn_cu_place(cx, from),
                                        bytes_of(to), cu->stream),
                        "copying on the GPU");
}

atn_status atn_cu_pack_bf16(atn_ctx *cx, atn_cuda *cu, const float *x, atn_idx rows,
                            atn_idx cols, atn_cu_ptr to)
{
    atn_cu_pack_args a = {x, atn_cu_address(to), rows, cols, cols, (cols + 1) / 2, 0};

    return atn_cu_launch(cx, cu, ATN_CU_KERNEL_pack, atn_cu_blocks(rows * a.words), 1,
                         ATN_CU_THREADS, 0, &a);
}

/* The types that the GPU widens; others become float on their way into a slot. */
static bool goes_raw(atn_dtype type)
{
    return type == ATN_F16 || type == ATN_BF16;
}

static int cu_type(atn_dtype type)
{
    return type == ATN_F16 ? ATN_CU_F16 : type == ATN_BF16 ? ATN_CU_BF16 : ATN_CU_F32;
}

/* One slot's worth of weights: sent as they are, then widened, then rounded where the
 * buffer is bf16. Types that the GPU does not widen are widened on the way into the
 * slot. */
static atn_status widen_piece(atn_ctx *cx, atn_cuda *cu, const char *src,
                              atn_dtype type, atn_idx n, atn_buf dst)
{
    const bool raw = goes_raw(type);
    const size_t bytes = (size_t)n * (raw ? 2 : sizeof(float));
    const bool narrow = dst.type == ATN_BF16;
    const bool direct = narrow ? type == ATN_BF16 : !raw;
    atn_status st = ATN_OK;
    atn_cu_slot *s = NULL;
    atn_cu_widen_args a = {.count = n, .type = cu_type(type)};

    ATN_TRY(atn_cu_take_slot(cx, cu, &s));
    ATN_TRY(atn_cu_fill(cx, s, src, type, n, !raw));
    if (direct) {
        ATN_TRY(atn_cu_send(cx, cu, atn_cu_place(cx, dst), s->host, bytes));
    } else {
        if (narrow)
            ATN_TRY(atn_cu_grow(cx, cu, &cu->x, ATN_CU_SLOT_BYTES * 2, "weights"));
        a.x = atn_cu_address(s->device);
        a.y = narrow ? atn_cu_address(cu->x.at) : atn_cu_f32(cx, dst);
        ATN_TRY(atn_cu_send(cx, cu, s->device, s->host, bytes));
        ATN_TRY(atn_cu_launch(cx, cu, ATN_CU_KERNEL_widen, atn_cu_blocks(n), 1,
                              ATN_CU_THREADS, 0, &a));
        if (narrow) ATN_TRY(atn_cu_pack_bf16(cx, cu, a.y, 1, n, atn_cu_place(cx, dst)));
    }
    ATN_TRY(atn_cu_close_slot(cx, cu, s));
done:
    return st;
}

static atn_status cuda_upload_widen(atn_ctx *cx, atn_buf dst, const void *src,
                                    atn_dtype type)
{
    const bool raw = goes_raw(type);
    const atn_idx most = (atn_idx)(ATN_CU_SLOT_BYTES / (raw ? 2 : sizeof(float)));
    atn_status st = ATN_OK;

    for (atn_idx at = 0; at < dst.count; at += most) {
        const atn_idx n = ATN_MIN(most, dst.count - at);

        ATN_TRY(widen_piece(cx, atn_cu_state(cx),
                            (const char *)src + atn_dtype_bytes(type, at), type, n,
                            atn_buf_at(dst, at, n)));
    }
done:
    return st;
}

/* ---- embedding: rows of a host table, gathered into a slot as they are ---- */

typedef struct gather_job {
    char *to;
    const char *table;
    const int32_t *rows;
    atn_idx n, width;
    atn_dtype type;
    bool widen;
} gather_job;

enum { GATHER_ROWS = 256 };

static atn_status gather_rows(atn_ctx *cx, atn_idx piece, void *state)
{
    const gather_job *j = state;
    const size_t row = atn_dtype_bytes(j->type, j->width);
    const atn_idx first = piece * GATHER_ROWS, end = ATN_MIN(first + GATHER_ROWS, j->n);

    (void)cx;
    for (atn_idx i = first; i < end; i++) {
        const char *from = j->table + (size_t)j->rows[i] * row;

        if (j->widen)
            atn_widen(from, j->type, j->width, (float *)(void *)j->to + i * j->width);
        else
            memcpy(j->to + (size_t)i * row, from, row);
    }
    return ATN_OK;
}

static atn_status cuda_embed(atn_ctx *cx, const void *table, atn_dtype type,
                             const int32_t *rows, atn_idx n, atn_idx width, bool add,
                             atn_buf x)
{
    const bool raw = goes_raw(type);
    const size_t row = (size_t)width * (raw ? 2 : sizeof(float));
    const atn_idx most = (atn_idx)(ATN_CU_SLOT_BYTES / row);
    atn_cuda *cu = atn_cu_state(cx);
    atn_status st = ATN_OK;
    atn_cu_slot *s = NULL;

    ATN_ASSERT(most > 0);
    for (atn_idx at = 0; at < n; at += most) {
        const atn_idx some = ATN_MIN(most, n - at);
        atn_cu_widen_args a = {.y = atn_cu_f32(cx, x) + at * width,
                               .count = some * width,
                               .type = cu_type(type),
                               .add = add};

        ATN_TRY(atn_cu_take_slot(cx, cu, &s));
        gather_job j = {s->host, table, rows + at, some, width, type, !raw};
        ATN_TRY(atn_parallel(cx, (some + GATHER_ROWS - 1) / GATHER_ROWS, gather_rows,
                             &j, "embedding"));
        ATN_TRY(atn_cu_send(cx, cu, s->device, s->host, (size_t)some * row));
        a.x = atn_cu_address(s->device);
        ATN_TRY(atn_cu_launch(cx, cu, ATN_CU_KERNEL_widen, atn_cu_blocks(a.count), 1,
                              ATN_CU_THREADS, 0, &a));
        ATN_TRY(atn_cu_close_slot(cx, cu, s));
    }
done:
    return st;
}

/* ---- products ---- */

/* cuBLAS counts columns first, so it computes C^T. */
atn_status atn_cu_multiply(atn_ctx *cx, atn_cuda *cu, const atn_cu_product *p)
{
    const atn_cu_driver *d = &cu->driver;
    const int type = p->type == ATN_BF16 ? ATN_CU_BLAS_BF16 : ATN_CU_BLAS_F32;
    const int compute =
        cu->math == ATN_MATH_TF32 ? ATN_CU_BLAS_COMPUTE_TF32 : ATN_CU_BLAS_COMPUTE_F32;
    const int turn = p->transposed ? TRANSPOSE : NO_TRANSPOSE;
    const int m = (int)p->m, n = (int)p->n, k = (int)p->k, lda = (int)p->lda,
              ldb = (int)p->ldb, ldc = (int)p->ldc;
    int result;

    if (p->m > INT_MAX || p->n > INT_MAX || p->k > INT_MAX || p->lda > INT_MAX ||
        p->ldb > INT_MAX || p->ldc > INT_MAX)
        return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                        "a matrix product has more than %d rows or columns", INT_MAX);
    if (p->count > 1)
        result = d->gemm_batch(cu->blas, turn, NO_TRANSPOSE, n, m, k, &p->alpha, p->b,
                               type, ldb, p->step_b, p->a, type, lda, p->step_a,
                               &p->beta, p->c, ATN_CU_BLAS_F32, ldc, p->step_c,
                               (int)p->count, compute, ATN_CU_BLAS_DEFAULT);
    else
        result = d->gemm(cu->blas, turn, NO_TRANSPOSE, n, m, k, &p->alpha, p->b, type,
                         ldb, p->a, type, lda, &p->beta, p->c, ATN_CU_BLAS_F32, ldc,
                         compute, ATN_CU_BLAS_DEFAULT);
    if (result == 0) return ATN_OK;
    return atn_fail(cx, ATN_UNAVAILABLE, __FILE__, __LINE__,
                    "cuBLAS failed with status %d on a product of %lld x %lld x %lld",
                    result, (long long)p->m, (long long)p->n, (long long)p->k);
}

/* C [m, n] = A [m, k] op(B) of matrices without gaps; operands and types are the
 * caller's. */
static atn_cu_product dense(atn_idx m, atn_idx n, atn_idx k, bool transposed)
{
    return (atn_cu_product){.m = m,
                            .n = n,
                            .k = k,
                            .lda = k,
                            .ldb = transposed ? k : n,
                            .ldc = n,
                            .transposed = transposed,
                            .alpha = 1};
}

atn_status atn_cuda_product(atn_ctx *cx, atn_buf a, atn_buf b, bool transposed,
                            atn_idx count, atn_idx m, atn_idx n, atn_idx k, atn_buf c)
{
    atn_cu_product p = dense(m, n, k, transposed);

    ATN_ASSERT(a.type == cx->backend->weight_type && b.type == a.type);
    p.a = atn_cu_address(atn_cu_place(cx, a));
    p.b = atn_cu_address(atn_cu_place(cx, b));
    p.c = atn_cu_f32(cx, c);
    p.count = count;
    p.step_a = m * k;
    p.step_b = b.count == n * k ? 0 : n * k;
    p.step_c = m * n;
    p.type = a.type;
    return atn_cu_multiply(cx, atn_cu_state(cx), &p);
}

static atn_status cuda_add_rows(atn_ctx *cx, const float *x, atn_idx period, float *y,
                                atn_idx count)
{
    atn_cu_add_args a = {x, y, count, period};

    return atn_cu_launch(cx, atn_cu_state(cx), ATN_CU_KERNEL_add, atn_cu_blocks(count),
                         1, ATN_CU_THREADS, 0, &a);
}

static atn_status cuda_linear(atn_ctx *cx, atn_buf x, atn_buf w, atn_buf bias,
                              bool w_is_kn, bool accumulate, atn_idx m, atn_idx n,
                              atn_idx k, atn_buf y)
{
    atn_cuda *cu = atn_cu_state(cx);
    atn_status st = ATN_OK;
    atn_cu_product p = dense(m, n, k, !w_is_kn);

    p.a = atn_cu_f32(cx, x);
    p.b = atn_cu_address(atn_cu_place(cx, w));
    p.c = atn_cu_f32(cx, y);
    p.type = w.type;
    p.beta = accumulate ? 1 : 0;
    if (w.type == ATN_BF16) {
        p.lda = (k + 1) / 2 * 2;
        ATN_TRY(atn_cu_grow(cx, cu, &cu->x, (size_t)(m * p.lda) * 2, "operands"));
        ATN_TRY(atn_cu_pack_bf16(cx, cu, p.a, m, k, cu->x.at));
        p.a = atn_cu_address(cu->x.at);
    }
    ATN_TRY(atn_cu_multiply(cx, cu, &p));
    if (bias.base) ATN_TRY(cuda_add_rows(cx, atn_cu_f32(cx, bias), n, p.c, m * n));
done:
    return st;
}

/* ---- vectors ---- */

static atn_status cuda_norm(atn_ctx *cx, atn_norm kind, atn_buf x, atn_buf w, atn_buf b,
                            float eps, float w_offset, atn_idx rows, atn_idx dim,
                            atn_buf y)
{
    atn_cu_norm_args a = {atn_cu_f32(cx, x),
                          atn_cu_f32(cx, w),
                          f32_or_null(cx, b),
                          atn_cu_f32(cx, y),
                          dim,
                          eps,
                          w_offset,
                          kind == ATN_NORM_RMS};

    return atn_cu_launch(cx, atn_cu_state(cx), ATN_CU_KERNEL_norm, rows, 1,
                         ATN_CU_THREADS, 0, &a);
}

static atn_status cuda_rope(atn_ctx *cx, atn_buf x, atn_buf cosine, atn_buf sine,
                            atn_idx n, atn_idx heads, atn_idx d, atn_idx rotary)
{
    atn_cu_rope_args a = {
        atn_cu_f32(cx, x), atn_cu_f32(cx, cosine), atn_cu_f32(cx, sine), n, heads, d,
        rotary / 2};

    ATN_ASSERT(heads * (rotary / 2) <= INT_MAX);
    return atn_cu_launch(cx, atn_cu_state(cx), ATN_CU_KERNEL_rope, n, 1, ATN_CU_THREADS,
                         0, &a);
}

static atn_status cuda_activate(atn_ctx *cx, atn_act kind, atn_buf x, atn_buf gate,
                                atn_idx count, atn_buf y)
{
    atn_cu_act_args a = {atn_cu_f32(cx, x), f32_or_null(cx, gate), atn_cu_f32(cx, y),
                         count, (int)kind};

    return atn_cu_launch(cx, atn_cu_state(cx), ATN_CU_KERNEL_activate,
                         atn_cu_blocks(count), 1, ATN_CU_THREADS, 0, &a);
}

static atn_status cuda_add(atn_ctx *cx, atn_buf x, atn_idx count, atn_buf y)
{
    return cuda_add_rows(cx, atn_cu_f32(cx, x), count, atn_cu_f32(cx, y), count);
}

/* ---- loss ---- */

static atn_status cuda_cross_entropy(atn_ctx *cx, atn_buf logits,
                                     const int32_t *targets, atn_idx n, atn_idx width,
                                     atn_idx first, double *lse, double *hit)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_cuda *cu = atn_cu_state(cx);
    const size_t ids = (size_t)n * sizeof *targets;
    atn_status st = ATN_OK;
    float *rows = NULL;
    atn_cu_loss_args a;

    ATN_TAKE(rows, 3 * n);
    ATN_TRY(atn_cu_grow(cx, cu, &cu->small, ids + (size_t)(3 * n) * sizeof *rows,
                        "targets of the loss"));
    ATN_TRY(atn_cu_upload(cx, cu, cu->small.at, targets, ids));
    a = (atn_cu_loss_args){atn_cu_f32(cx, logits), atn_cu_address(cu->small.at), width,
                           (int)first, atn_cu_address(cu->small.at + ids)};
    ATN_TRY(atn_cu_launch(cx, cu, ATN_CU_KERNEL_loss, n, 1, ATN_CU_THREADS, 0, &a));
    ATN_TRY(atn_cu_download(cx, cu, cu->small.at + ids, rows,
                            (size_t)(3 * n) * sizeof *rows));
    for (atn_idx i = 0; i < n; i++) {
        const double max = (double)rows[3 * i], sum = (double)rows[3 * i + 1];
        const double both = fmax(lse[i], max);
        const atn_idx at = targets[i] - first;

        if (!isfinite(max) || !isfinite(sum))
            ATN_FAIL(ATN_DATA, "the logits hold NaN or infinity");
        lse[i] = both + log(exp(lse[i] - both) + sum * exp(max - both));
        if (at >= 0 && at < width) hit[i] = (double)rows[3 * i + 2];
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- opening and closing ---- */

static atn_cu_handle module_of(const atn_cuda *cu, const char *image)
{
    for (int i = 0; i < atn_cuda_n_images; i++)
        if (strcmp(atn_cuda_images[i].name, image) == 0) return cu->modules[i];
    return NULL;
}

static atn_status load_kernels(atn_ctx *cx, atn_cuda *cu)
{
    const int images = atn_cuda_n_images;
    atn_status st = ATN_OK;

    for (int i = 0; i < images; i++)
        ATN_TRY(
            atn_cu_check(cx, &cu->driver,
                         cu->driver.module(&cu->modules[i], atn_cuda_images[i].data),
                         "loading the kernels"));
    for (int k = 0; k < ATN_CU_KERNELS; k++) {
        const atn_cu_handle module = module_of(cu, atn_cu_kernel_images[k]);

        if (!module ||
            cu->driver.function(&cu->kernels[k], module, atn_cu_kernel_names[k]) != 0)
            ATN_FAIL(ATN_UNAVAILABLE,
                     "this build has no GPU kernel %s (it was built "
                     "without nvcc: see cmake --preset cuda)",
                     atn_cu_kernel_names[k]);
    }
done:
    return st;
}

static atn_status choose_device(atn_ctx *cx, atn_cuda *cu, int device)
{
    atn_status st = ATN_OK;
    atn_gpu_info *list = NULL;
    int n = 0;

    ATN_TRY(atn_cu_devices(cx, &cu->driver, &list, &n));
    if (device < 0 || device >= n)
        ATN_FAIL(ATN_UNAVAILABLE,
                 "there is no GPU %d: the driver sees %d (see "
                 "attnscope inspect --devices)",
                 device, n);
    cu->info = list[device];
    if (cu->info.major < ATN_CU_MAJOR_LEAST)
        ATN_FAIL(ATN_UNAVAILABLE,
                 "%s has compute capability %d.%d; the kernels need 8.0 or later (use "
                 "--device cpu)",
                 cu->info.name, cu->info.major, cu->info.minor);
    ATN_TRY(atn_cu_check(cx, &cu->driver, cu->driver.device(&cu->device, device),
                         "asking for the GPU"));
done:
    atn_free(cx, list);
    return st;
}

static atn_status take_slots(atn_ctx *cx, atn_cuda *cu)
{
    const atn_cu_driver *d = &cu->driver;
    atn_status st = ATN_OK;

    for (int i = 0; i < ATN_CU_SLOTS; i++) {
        atn_cu_slot *s = &cu->slots[i];
        ATN_TRY(atn_cu_check(cx, d, d->pin(&s->host, ATN_CU_SLOT_BYTES, 0),
                             "pinned host memory"));
        ATN_TRY(atn_cu_alloc(cx, cu, ATN_CU_SLOT_BYTES, "staging", &s->device));
        ATN_TRY(atn_cu_check(cx, d, d->event(&s->done, 0), "an event"));
    }
    for (int i = 0; i < ATN_CUDA_MARKS; i++)
        ATN_TRY(atn_cu_check(cx, d, d->event(&cu->marks[i], 0), "an event"));
    ATN_TRY(
        atn_cu_alloc(cx, cu, ATN_CU_BAD_MOST * sizeof(int), "row checks", &cu->bad));
done:
    return st;
}

atn_status atn_cuda_open(atn_ctx *cx, int device, atn_math math, atn_backend **out)
{
    atn_status st = ATN_OK;
    atn_cuda *cu = NULL;
    atn_cu_driver *d;

    ATN_NEW(cu, 1);
    d = &cu->driver;
    cu->math = math;
    /* What is not overridden works on host data: rows_fill. Every override's twin is
     * the CPU's operation of the same name in core/backend_cpu.c (row_values:
     * core/row_values.c). */
    cu->table = atn_backend_cpu;
    cu->table.name = "cuda";
    cu->table.device = cu->info.name;
    cu->table.arithmetic = atn_math_name(math);
    cu->table.weight_type = math == ATN_MATH_BF16 ? ATN_BF16 : ATN_F32;
    cu->table.alloc = cuda_alloc;
    cu->table.release = cuda_release;
    cu->table.room = cuda_room;
    cu->table.upload = cuda_upload;
    cu->table.download = cuda_download;
    cu->table.download_heads = cuda_download_heads;
    cu->table.upload_widen = cuda_upload_widen;
    cu->table.embed = cuda_embed;
    cu->table.linear = cuda_linear;
    cu->table.norm = cuda_norm;
    cu->table.rope = cuda_rope;
    cu->table.activate = cuda_activate;
    cu->table.add = cuda_add;
    cu->table.attention = atn_attention_cuda;
    cu->table.cross_entropy = cuda_cross_entropy;
    cu->table.row_values = atn_row_values_cuda;
    ATN_TRY(atn_cu_driver_open(cx, d));
    ATN_TRY(choose_device(cx, cu, device));
    ATN_TRY(
        atn_cu_check(cx, d, d->retain(&cu->context, cu->device), "opening the GPU"));
    ATN_TRY(atn_cu_check(cx, d, d->current(cu->context), "opening the GPU"));
    ATN_TRY(load_kernels(cx, cu));
    ATN_TRY(atn_cu_driver_open_blas(cx, d));
    ATN_TRY(atn_cu_check(cx, d, d->stream(&cu->stream, ATN_CU_STREAM_NON_BLOCKING),
                         "opening the GPU"));
    if (d->blas_create(&cu->blas) != 0 || d->blas_stream(cu->blas, cu->stream) != 0)
        ATN_FAIL(ATN_UNAVAILABLE, "cuBLAS does not start on %s", cu->info.name);
    ATN_TRY(take_slots(cx, cu));
    *out = &cu->table;
    cu = NULL;
done:
    if (cu) atn_cuda_close(cx, &cu->table);
    return st;
}

void atn_cuda_close(atn_ctx *cx, atn_backend *be)
{
    atn_cuda *cu = (atn_cuda *)be;
    atn_cu_driver *d;

    if (!cu) return;
    d = &cu->driver;
    if (cu->stream) d->stream_wait(cu->stream);
    atn_cu_scratch *const all[] = {&cu->x,      &cu->q,     &cu->k,
                                   &cu->v,      &cu->rel,   &cu->tile,
                                   &cu->narrow, &cu->state, &cu->small};
    for (size_t i = 0; i < ATN_LEN(all); i++)
        atn_cu_free(cu, all[i]->at, all[i]->bytes);
    atn_cu_free(cu, cu->bad, ATN_CU_BAD_MOST * sizeof(int));
    for (int i = 0; i < ATN_CUDA_MARKS; i++)
        if (cu->marks[i]) d->event_destroy(cu->marks[i]);
    for (int i = 0; i < ATN_CU_SLOTS; i++) {
        if (cu->slots[i].done) d->event_destroy(cu->slots[i].done);
        if (cu->slots[i].host) d->unpin(cu->slots[i].host);
        atn_cu_free(cu, cu->slots[i].device, ATN_CU_SLOT_BYTES);
    }
    if (cu->blas) d->blas_destroy(cu->blas);
    if (cu->stream) d->stream_destroy(cu->stream);
    for (int i = 0; i < ATN_CU_IMAGES_MOST; i++)
        if (cu->modules[i]) d->module_unload(cu->modules[i]);
    if (cu->context) d->unretain(cu->device);
    atn_cu_driver_close(d);
    atn_free(cx, cu);
}
