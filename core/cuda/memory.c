/* core/cuda/memory.c -- moving data to and from a GPU, and launching kernels there.
 *
 * Everything is queued on one stream; the host waits only in atn_cu_wait, and learns
 * there of rows with NaN. Copies pass through two pinned slots of 32 MiB, so that one
 * is on its way while the other is filled or emptied.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "core/cuda/state.h"

const char *const atn_cu_kernel_names[] = {
#define ATN_CUDA_KERNEL(image, name, args) "atn_cu_" #name,
#include "core/kernels/cuda/kernels.def"
#undef ATN_CUDA_KERNEL
};

const char *const atn_cu_kernel_images[] = {
#define ATN_CUDA_KERNEL(image, name, args) #image,
#include "core/kernels/cuda/kernels.def"
#undef ATN_CUDA_KERNEL
};

/* ---- memory and launches ---- */

atn_status atn_cu_alloc(atn_ctx *cx, atn_cuda *cu, size_t bytes, const char *what,
                        atn_cu_ptr *out)
{
    atn_status st = ATN_OK;
    char text[160];

    snprintf(text, sizeof text, "%s: %.1f MiB of GPU memory", what,
             (double)bytes / 1048576);
    *out = 0;
    ATN_TRY(
        atn_cu_check(cx, &cu->driver, cu->driver.alloc(out, ATN_MAX(bytes, 16)), text));
    cu->memory.now += bytes;
    cu->memory.peak = ATN_MAX(cu->memory.peak, cu->memory.now);
done:
    return st;
}

void atn_cu_free(atn_cuda *cu, atn_cu_ptr p, size_t bytes)
{
    if (!p) return;
    cu->driver.free(p);
    cu->memory.now -= bytes;
}

atn_status atn_cu_grow(atn_ctx *cx, atn_cuda *cu, atn_cu_scratch *s, size_t bytes,
                       const char *what)
{
    atn_status st = ATN_OK;

    if (s->bytes >= bytes) return ATN_OK;
    atn_cu_free(cu, s->at, s->bytes);
    *s = (atn_cu_scratch){0};
    ATN_TRY(atn_cu_alloc(cx, cu, bytes, what, &s->at));
    s->bytes = bytes;
done:
    return st;
}

int64_t atn_cu_blocks(int64_t n)
{
    return ATN_MAX(ATN_MIN((n + ATN_CU_THREADS - 1) / ATN_CU_THREADS, 1 << 16), 1);
}

atn_status atn_cu_launch(atn_ctx *cx, atn_cuda *cu, atn_cu_kernel kernel, int64_t gx,
                         int64_t gy, int threads, size_t shared, void *args)
{
    void *params[] = {args};

    if (gx < 1 || gy < 1) return ATN_OK;
    ATN_ASSERT(gx <= INT_MAX && gy <= 65535);
    return atn_cu_check(cx, &cu->driver,
                        cu->driver.launch(cu->kernels[kernel], (unsigned)gx,
                                          (unsigned)gy, 1, (unsigned)threads, 1, 1,
                                          (unsigned)shared, cu->stream, params, NULL),
                        atn_cu_kernel_names[kernel]);
}

/* The next staging slot, free to be filled. */
atn_status atn_cu_take_slot(atn_ctx *cx, atn_cuda *cu, atn_cu_slot **out)
{
    atn_cu_slot *s = &cu->slots[cu->next_slot];
    atn_status st = ATN_OK;

    cu->next_slot = (cu->next_slot + 1) % ATN_CU_SLOTS;
    if (s->used)
        ATN_TRY(atn_cu_check(cx, &cu->driver, cu->driver.event_wait(s->done),
                             "copying to the GPU"));
    s->used = true;
    *out = s;
done:
    return st;
}

atn_status atn_cu_send(atn_ctx *cx, atn_cuda *cu, atn_cu_ptr to, const void *from,
                       size_t bytes)
{
    return atn_cu_check(cx, &cu->driver,
                        cu->driver.to_device(to, from, bytes, cu->stream),
                        "copying to the GPU");
}

/* Queued work on the slot ends here. */
atn_status atn_cu_close_slot(atn_ctx *cx, atn_cuda *cu, atn_cu_slot *s)
{
    return atn_cu_check(cx, &cu->driver, cu->driver.event_record(s->done, cu->stream),
                        "copying to the GPU");
}

/* ---- copies to the GPU ---- */

enum { FILL_PIECE = 1 << 18 }; /* elements a thread fills at a time */

typedef struct fill_job {
    char *to;
    const char *from;
    atn_idx n;
    atn_dtype type;
    bool widen;
} fill_job;

static atn_status fill_piece(atn_ctx *cx, atn_idx piece, void *state)
{
    const fill_job *j = state;
    const atn_idx at = piece * FILL_PIECE, n = ATN_MIN((atn_idx)FILL_PIECE, j->n - at);
    const char *from = j->from + atn_dtype_bytes(j->type, at);

    (void)cx;
    if (j->widen)
        atn_widen(from, j->type, n, (float *)(void *)j->to + at);
    else
        memcpy(j->to + atn_dtype_bytes(j->type, at), from, atn_dtype_bytes(j->type, n));
    return ATN_OK;
}

atn_status atn_cu_fill(atn_ctx *cx, const atn_cu_slot *s, const void *from,
                       atn_dtype type, atn_idx n, bool widen)
{
    fill_job j = {s->host, from, n, type, widen};

    return atn_parallel(cx, (n + FILL_PIECE - 1) / FILL_PIECE, fill_piece, &j,
                        "copying to the GPU");
}

atn_status atn_cu_upload(atn_ctx *cx, atn_cuda *cu, atn_cu_ptr to, const void *from,
                         size_t bytes)
{
    atn_status st = ATN_OK;
    atn_cu_slot *s = NULL;

    for (size_t at = 0; at < bytes; at += ATN_CU_SLOT_BYTES) {
        const size_t n = ATN_MIN(ATN_CU_SLOT_BYTES, bytes - at);

        ATN_TRY(atn_cu_take_slot(cx, cu, &s));
        ATN_TRY(atn_cu_fill(cx, s, (const char *)from + at, ATN_U8, (atn_idx)n, false));
        ATN_TRY(atn_cu_send(cx, cu, to + at, s->host, n));
        ATN_TRY(atn_cu_close_slot(cx, cu, s));
    }
done:
    return st;
}

atn_status atn_cu_upload_rows(atn_ctx *cx, atn_cuda *cu, atn_cu_ptr to, atn_cmat m)
{
    const size_t row = (size_t)m.cols * sizeof(float);
    const atn_idx most = (atn_idx)(ATN_CU_SLOT_BYTES / row);
    atn_status st = ATN_OK;
    atn_cu_slot *s = NULL;

    if (m.ld == m.cols) return atn_cu_upload(cx, cu, to, m.data, (size_t)m.rows * row);
    ATN_ASSERT(most > 0);
    for (atn_idx at = 0; at < m.rows; at += most) {
        const atn_idx n = ATN_MIN(most, m.rows - at);

        ATN_TRY(atn_cu_take_slot(cx, cu, &s));
        for (atn_idx i = 0; i < n; i++)
            memcpy((char *)s->host + (size_t)i * row, atn_crow(m, at + i), row);
        ATN_TRY(atn_cu_send(cx, cu, to + (size_t)at * row, s->host, (size_t)n * row));
        ATN_TRY(atn_cu_close_slot(cx, cu, s));
    }
done:
    return st;
}

atn_status atn_cu_wait(atn_ctx *cx, atn_cuda *cu)
{
    const int heads = cu->bad_heads;
    atn_status st = ATN_OK;
    atn_cu_slot *s = NULL;

    ATN_TRY(atn_cu_check(cx, &cu->driver, cu->driver.stream_wait(cu->stream),
                         "waiting for the GPU"));
    if (heads == 0) goto done;
    cu->bad_heads = 0;
    ATN_TRY(atn_cu_take_slot(cx, cu, &s));
    ATN_TRY(atn_cu_check(
        cx, &cu->driver,
        cu->driver.to_host(s->host, cu->bad, (size_t)heads * sizeof(int), cu->stream),
        "copying from the GPU"));
    ATN_TRY(atn_cu_check(cx, &cu->driver, cu->driver.stream_wait(cu->stream),
                         "waiting for the GPU"));
    ATN_TRY(atn_cu_close_slot(cx, cu, s));
    for (int h = 0; h < heads; h++)
        if (((const int *)s->host)[h] != INT_MAX)
            ATN_FAIL(ATN_DATA,
                     "layer %d, head %d, row %d: a logit or weight is NaN or infinite "
                     "(look for NaN in the model's weights or the imported tensors)",
                     cu->bad_layer, cu->bad_of ? cu->bad_of[h].head : h,
                     ((const int *)s->host)[h]);
done:
    return st;
}

atn_status atn_cu_watch_rows(atn_ctx *cx, atn_cuda *cu, int layer,
                             const atn_head *heads, atn_idx n)
{
    atn_status st = ATN_OK;
    atn_cu_slot *s = NULL;

    ATN_ASSERT(n <= ATN_CU_BAD_MOST);
    if (cu->bad_heads > 0) ATN_TRY(atn_cu_wait(cx, cu)); /* not looked at yet */
    ATN_TRY(atn_cu_take_slot(cx, cu, &s));
    for (atn_idx h = 0; h < n; h++) ((int *)s->host)[h] = INT_MAX;
    ATN_TRY(atn_cu_send(cx, cu, cu->bad, s->host, (size_t)n * sizeof(int)));
    ATN_TRY(atn_cu_close_slot(cx, cu, s));
    cu->bad_heads = (int)n;
    cu->bad_of = heads;
    cu->bad_layer = layer;
done:
    return st;
}

/* ---- copies from the GPU ---- */

typedef atn_status on_piece(atn_ctx *cx, size_t at, size_t bytes, const void *data,
                            void *state);

/* Queues the piece at `at` into a slot. */
static atn_status fetch(atn_ctx *cx, atn_cuda *cu, atn_cu_ptr from, size_t at,
                        size_t bytes, atn_cu_slot **out)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_cu_take_slot(cx, cu, out));
    ATN_TRY(atn_cu_check(cx, &cu->driver,
                         cu->driver.to_host((*out)->host, from + at, bytes, cu->stream),
                         "copying from the GPU"));
    ATN_TRY(atn_cu_close_slot(cx, cu, *out));
done:
    return st;
}

/* Brings bytes at `from`, `piece` at a time; while one is emptied the next is on its
 * way. */
static atn_status bring(atn_ctx *cx, atn_cuda *cu, atn_cu_ptr from, size_t bytes,
                        size_t piece, on_piece *empty, void *state)
{
    atn_status st = ATN_OK;
    atn_cu_slot *now = NULL, *next = NULL;

    ATN_TRY(atn_cu_wait(cx, cu));
    if (bytes == 0) goto done;
    ATN_TRY(fetch(cx, cu, from, 0, ATN_MIN(piece, bytes), &now));
    for (size_t at = 0; at < bytes; at += piece, now = next) {
        const size_t n = ATN_MIN(piece, bytes - at), left = bytes - at - n;

        if (left > 0) ATN_TRY(fetch(cx, cu, from, at + n, ATN_MIN(piece, left), &next));
        ATN_TRY(atn_cu_check(cx, &cu->driver, cu->driver.event_wait(now->done),
                             "copying from the GPU"));
        ATN_TRY(empty(cx, at, n, now->host, state));
    }
done:
    return st;
}

static atn_status copy_piece(atn_ctx *cx, size_t at, size_t bytes, const void *data,
                             void *state)
{
    (void)cx;
    memcpy((char *)state + at, data, bytes);
    return ATN_OK;
}

atn_status atn_cu_download(atn_ctx *cx, atn_cuda *cu, atn_cu_ptr from, void *to,
                           size_t bytes)
{
    return bring(cx, cu, from, bytes, ATN_CU_SLOT_BYTES, copy_piece, to);
}

typedef struct heads_job {
    atn_idx n, heads, d;
    float *out;
} heads_job;

static atn_status split_piece(atn_ctx *cx, size_t at, size_t bytes, const void *data,
                              void *state)
{
    const heads_job *j = state;
    const size_t row = (size_t)(j->heads * j->d) * sizeof(float);

    return atn_split_heads(cx, data, (atn_idx)(bytes / row), j->n, j->heads, j->d,
                           j->out + (atn_idx)(at / row) * j->d);
}

atn_status atn_cu_download_heads(atn_ctx *cx, atn_cuda *cu, atn_cu_ptr from, atn_idx n,
                                 atn_idx heads, atn_idx d, float *out)
{
    const size_t row = (size_t)(heads * d) * sizeof *out;
    heads_job j = {n, heads, d, out};

    ATN_ASSERT(row <= ATN_CU_SLOT_BYTES);
    return bring(cx, cu, from, (size_t)n * row, ATN_CU_SLOT_BYTES / row * row,
                 split_piece, &j);
}

bool atn_cu_sight_of(const atn_sight *s, atn_cu_sight *out)
{
    const atn_idx all[] = {s->offset, s->window, s->key_first, s->key_last};

    for (size_t i = 0; i < ATN_LEN(all); i++)
        if (all[i] > INT_MAX / 4 || all[i] < -INT_MAX / 4) return false;
    *out = (atn_cu_sight){s->causal,         (int)s->offset,   (int)s->window,
                          (int)s->key_first, (int)s->key_last, (float)s->softcap};
    return true;
}
