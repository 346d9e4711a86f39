/* core/cuda/sparse_attention_cuda.c -- attention over lists of tiles: what is brought
 * to the GPU, launched, and timed.
 *
 * Memory  bf16 q, k, v, the output in bf16 or float, the lists; while float operands
 *         are rounded the largest of them beside.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/cuda/sparse_attention_cuda.h"

#include <limits.h>
#include <math.h>

#include "core/cuda/state.h"
#include "core/rng.h"

_Static_assert((int)ATN_SPARSE_ROWS == (int)ATN_CU_SPARSE_ROWS &&
                   (int)ATN_SPARSE_KEYS == (int)ATN_CU_SPARSE_KEYS,
               "lists are made for the kernel's tile");

/* Pieces of one allocation. */
enum { Q, K, V, PTR, ITEM, OUT, LSE, PIECES };

typedef struct job {
    const atn_sparse_launch *l;
    atn_cuda *cu;
    atn_idx words; /* of a row */
    size_t at[PIECES], size[PIECES], bytes;
    atn_cu_ptr memory;
    bool wide; /* the output is float */
} job;

/* Words of a row; 0 = there is no kernel. */
static atn_idx words_of(atn_idx d)
{
    return d < 1 || d > ATN_SPARSE_DIM_MOST ? 0 : d <= 64 ? 32 : 64;
}

static bool product(size_t *out, atn_idx a, atn_idx b, atn_idx c)
{
    atn_idx n;

    if (!atn_mul(a, b, &n) || !atn_mul(n, c, &n)) return false;
    *out = (size_t)n;
    return true;
}

static atn_status check_list(atn_ctx *cx, const atn_sparse_launch *l)
{
    const atn_tile_list *t = &l->list;
    const atn_idx tiles = (l->nq + ATN_SPARSE_ROWS - 1) / ATN_SPARSE_ROWS;
    const atn_idx keys = (l->nk + ATN_SPARSE_KEYS - 1) / ATN_SPARSE_KEYS;
    atn_status st = ATN_OK;

    if (t->tiles != tiles || t->heads < 1 || t->heads > l->heads)
        ATN_FAIL(
            ATN_DATA,
            "sparse attention: lists of %lld heads and %lld tiles of queries, wanted "
            "1 to %lld heads and %lld",
            (long long)t->heads, (long long)t->tiles, (long long)l->heads,
            (long long)tiles);
    for (int64_t i = 0; i < t->ptr[t->heads * t->tiles]; i++)
        if (t->item[i] < 0 || t->item[i] / 2 >= keys)
            ATN_FAIL(ATN_DATA,
                     "sparse attention: a list names tile %d of keys, there are %lld",
                     t->item[i] / 2, (long long)keys);
done:
    return st;
}

static atn_status check(atn_ctx *cx, const atn_sparse_launch *l)
{
    const atn_idx most = INT_MAX / 4;
    atn_status st = ATN_OK;
    atn_cu_sight sight;

    if (words_of(l->d) == 0)
        ATN_FAIL(ATN_DATA,
                 "sparse attention: head dim %lld, the kernel takes 1 to %d "
                 "(those below 64 and 128 are padded)",
                 (long long)l->d, ATN_SPARSE_DIM_MOST);
    if (l->nq < 1 || l->nk < 1 || l->nq > most || l->nk > most)
        ATN_FAIL(ATN_DATA,
                 "sparse attention: %lld queries and %lld keys, outside 1..%lld",
                 (long long)l->nq, (long long)l->nk, (long long)most);
    if (l->kv_heads < 1 || l->heads % l->kv_heads != 0 || l->heads < 1 ||
        l->heads > 65535)
        ATN_FAIL(ATN_DATA,
                 "sparse attention: %lld heads of %lld KV heads; wanted a multiple, at "
                 "most 65535",
                 (long long)l->heads, (long long)l->kv_heads);
    if (!(l->scale > 0 && l->scale < 1e30))
        ATN_FAIL(ATN_DATA, "sparse attention: scale %g is not above 0", l->scale);
    if (l->sight.softcap > 0 || l->sight.rows || l->sight.pad_queries ||
        !atn_cu_sight_of(&l->sight, &sight))
        ATN_FAIL(ATN_DATA,
                 "sparse attention: the mask is causal, a window or a range of "
                 "keys; no soft cap, chosen rows or padded queries");
    ATN_TRY(check_list(cx, l));
done:
    return st;
}

/* Sizes of the pieces; false when they overflow. */
static bool lay_out(job *j)
{
    const atn_sparse_launch *l = j->l;
    const atn_idx row = j->words * 4, lists = l->list.heads * l->list.tiles;
    atn_idx bytes;

    if (!product(&j->size[Q], l->heads, l->nq, row) ||
        !product(&j->size[K], l->kv_heads, l->nk, row) ||
        !product(&j->size[OUT], l->heads, l->nq, j->wide ? 2 * row : row) ||
        !product(&j->size[LSE], l->heads, l->nq, 4) ||
        !product(&j->size[PTR], lists + 1, 1, 8) ||
        !product(&j->size[ITEM], l->list.ptr ? l->list.ptr[lists] : 0, 1, 4))
        return false;
    j->size[V] = j->size[K];
    j->bytes = 0;
    for (int i = 0; i < PIECES; i++) {
        j->at[i] = j->bytes;
        if (!atn_mul((atn_idx)((j->size[i] + 255) / 256), 256, &bytes) ||
            (size_t)bytes > SIZE_MAX / 2 - j->bytes)
            return false;
        j->bytes += (size_t)bytes;
    }
    return true;
}

double atn_sparse_bytes(const atn_sparse_launch *l)
{
    const double row = 4.0 * (double)words_of(l->d), pad = 256 * PIECES;

    return row * (2 * (double)l->heads * (double)l->nq +
                  2 * (double)l->kv_heads * (double)l->nk) +
           4 * (double)l->heads * (double)l->nq + pad;
}

static atn_status job_open(atn_ctx *cx, job *j)
{
    const atn_tile_list *t = &j->l->list;
    atn_status st = ATN_OK;

    ATN_ASSERT(cx->backend != &atn_backend_cpu);
    j->cu = atn_cu_state(cx);
    ATN_TRY(check(cx, j->l));
    j->words = words_of(j->l->d);
    if (!lay_out(j)) ATN_FAIL(ATN_MEMORY, "sparse attention: its memory overflows");
    ATN_TRY(atn_cu_alloc(cx, j->cu, j->bytes, "sparse attention", &j->memory));
    ATN_TRY(atn_cu_upload(cx, j->cu, j->memory + j->at[PTR], t->ptr, j->size[PTR]));
    ATN_TRY(atn_cu_upload(cx, j->cu, j->memory + j->at[ITEM], t->item, j->size[ITEM]));
done:
    return st;
}

static void job_close(job *j)
{
    if (j->memory) atn_cu_free(j->cu, j->memory, j->bytes);
}

static void *piece(const job *j, int i)
{
    return atn_cu_address(j->memory + j->at[i]);
}

static size_t shared_of(const job *j)
{
    return (size_t)(2 * 2 * ATN_SPARSE_KEYS * (j->words + 4)) * sizeof(uint32_t);
}

static atn_cu_kernel kernel_of(const job *j)
{
    return j->words == 32 ? ATN_CU_KERNEL_sparse_64 : ATN_CU_KERNEL_sparse_128;
}

/* A kernel may ask for more dynamic shared memory than the 48 KiB of every launch. */
static atn_status allow_shared(atn_ctx *cx, const job *j)
{
    const atn_cu_kernel k = kernel_of(j);

    return atn_cu_check(cx, &j->cu->driver,
                        j->cu->driver.function_set(j->cu->kernels[k],
                                                   ATN_CU_FUNCTION_DYNAMIC_SHARED,
                                                   (int)shared_of(j)),
                        atn_cu_kernel_names[k]);
}

static atn_status launch(atn_ctx *cx, const job *j, bool with_lse)
{
    const atn_sparse_launch *l = j->l;
    atn_cu_sparse_args a = {.q = piece(j, Q),
                            .k = piece(j, K),
                            .v = piece(j, V),
                            .ptr = piece(j, PTR),
                            .item = piece(j, ITEM),
                            .out = j->wide ? NULL : piece(j, OUT),
                            .wide = j->wide ? piece(j, OUT) : NULL,
                            .lse = with_lse ? piece(j, LSE) : NULL,
                            .nq = (int)l->nq,
                            .nk = (int)l->nk,
                            .kv_heads = (int)l->kv_heads,
                            .lists = (int)l->list.heads,
                            .scale = (float)l->scale};

    if (!atn_cu_sight_of(&l->sight, &a.sight)) ATN_ASSERT(false);
    return atn_cu_launch(cx, j->cu, kernel_of(j), l->list.tiles, l->heads,
                         ATN_CU_SPARSE_THREADS, shared_of(j), &a);
}

/* ---- on given numbers ---- */

static atn_status send(atn_ctx *cx, const job *j, int to, const float *x, atn_idx rows,
                       atn_cu_ptr scratch)
{
    const atn_idx d = j->l->d;
    atn_cu_pack_args a = {.x = atn_cu_address(scratch),
                          .y = piece(j, to),
                          .rows = rows,
                          .cols = d,
                          .ld = d,
                          .words = j->words};
    atn_status st = ATN_OK;

    ATN_TRY(atn_cu_upload(cx, j->cu, scratch, x, (size_t)(rows * d) * sizeof *x));
    ATN_TRY(atn_cu_launch(cx, j->cu, ATN_CU_KERNEL_pack, atn_cu_blocks(rows * a.words),
                          1, ATN_CU_THREADS, 0, &a));
done:
    return st;
}

static atn_status fetch(atn_ctx *cx, const job *j, float *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx rows = j->l->heads * j->l->nq, d = j->l->d, padded = 2 * j->words;
    const atn_cu_ptr at = j->memory + j->at[OUT];
    atn_status st = ATN_OK;
    float *wide = out;

    if (padded != d) ATN_TAKE(wide, rows * padded);
    ATN_TRY(atn_cu_download(cx, j->cu, at, wide, j->size[OUT]));
    if (padded == d) goto done;
    for (atn_idx r = 0; r < rows; r++)
        for (atn_idx c = 0; c < d; c++) out[r * d + c] = wide[r * padded + c];
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_sparse_attention(atn_ctx *cx, const atn_sparse_launch *l, const float *q,
                                const float *k, const float *v, float *out, float *lse)
{
    job j = {.l = l, .wide = true};
    const atn_idx own = l->heads * l->nq, theirs = l->kv_heads * l->nk;
    size_t bytes = 0;
    atn_cu_ptr scratch = 0;
    atn_status st = ATN_OK;

    ATN_TRY(job_open(cx, &j));
    bytes = (size_t)(ATN_MAX(own, theirs) * l->d) * sizeof *q;
    ATN_TRY(atn_cu_alloc(cx, j.cu, bytes, "operands of sparse attention", &scratch));
    ATN_TRY(send(cx, &j, Q, q, own, scratch));
    ATN_TRY(send(cx, &j, K, k, theirs, scratch));
    ATN_TRY(send(cx, &j, V, v, theirs, scratch));
    ATN_TRY(allow_shared(cx, &j));
    ATN_TRY(launch(cx, &j, lse != NULL));
    ATN_TRY(fetch(cx, &j, out));
    if (lse) ATN_TRY(atn_cu_download(cx, j.cu, j.memory + j.at[LSE], lse, j.size[LSE]));
done:
    if (scratch) atn_cu_free(j.cu, scratch, bytes);
    job_close(&j);
    return st;
}

/* ---- on random numbers ---- */

enum { DRAWN = 1 << 18 }; /* bf16 numbers that are drawn; then they repeat */

/* The piece holds random numbers: some are drawn, the rest are copies of them. */
static atn_status draw(atn_ctx *cx, const job *j, int to)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_cu_driver *d = &j->cu->driver;
    const atn_cu_ptr at = j->memory + j->at[to];
    const size_t size = j->size[to];
    size_t have = ATN_MIN(size, (size_t)DRAWN * sizeof(uint16_t));
    atn_rng r = atn_rng_stream(cx->seed, "sparse/time", to, 0);
    uint16_t *x = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(x, DRAWN);
    for (atn_idx i = 0; i < (atn_idx)(have / sizeof *x); i++)
        x[i] = atn_bf16_from_f32((float)atn_rng_normal(&r));
    ATN_TRY(atn_cu_upload(cx, j->cu, at, x, have));
    for (; have < size; have += ATN_MIN(have, size - have))
        ATN_TRY(atn_cu_check(
            cx, d, d->copy(at + have, at, ATN_MIN(have, size - have), j->cu->stream),
            "copying on the GPU"));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_sparse_time(atn_ctx *cx, const atn_sparse_launch *l, int warm, int reps,
                           double *seconds)
{
    job j = {.l = l};
    atn_status st = ATN_OK;

    ATN_TRY(job_open(cx, &j));
    for (int i = Q; i <= V; i++) ATN_TRY(draw(cx, &j, i));
    ATN_TRY(allow_shared(cx, &j));
    for (int i = 0; i < warm; i++) ATN_TRY(launch(cx, &j, true));
    ATN_TRY(atn_cu_wait(cx, j.cu));
    for (int i = 0; i < reps; i++) {
        ATN_TRY(atn_cuda_mark(cx, ATN_CUDA_MARK_START));
        ATN_TRY(launch(cx, &j, true));
        ATN_TRY(atn_cuda_mark(cx, ATN_CUDA_MARK_END));
        ATN_TRY(
            atn_cuda_seconds(cx, ATN_CUDA_MARK_START, ATN_CUDA_MARK_END, &seconds[i]));
    }
done:
    job_close(&j);
    return st;
}
