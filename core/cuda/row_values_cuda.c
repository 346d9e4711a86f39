/* core/cuda/row_values_cuda.c -- the row pass on a GPU: heads go up in groups, the
 * kernels of core/kernels/cuda/rows_*.cu walk them, rows of numbers come down.
 *
 * Memory  a head takes its Q and K (in bf16: half), 56 bytes a row, its biases by
 *         relative position, and the sums asked for; beside the heads, one Q or K in
 *         float. A group takes at most half of what is free.
 * Limits  what the kernels do not do runs on the CPU: given rows (imported attention),
 *         head dimensions above 256, top-k above 32, blocks that are no multiple of 64,
 *         heads of one call with different masks or of which only some rows are there.
 *         What is wanted beyond ATN_NEED_DEVICE takes a second walk, on the CPU.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <limits.h>
#include <math.h>
#include <string.h>

#include "core/cuda/state.h"
#include "core/row_values.h"

enum {
    F32_ROWS = 32, /* queries of a block, as in rows_f32.cu */
    F32_KEYS = 32,
    MMA_TILE = 64, /* rows of the operand that passes, as in rows_mma.cu */
    MMA_STAGES = 2,
    THREADS = 128,
    D_MOST = 256,
    GROUP_MOST = 256
};
static const double FIXED = 1099511627776.0; /* 2^40: one unit of the sums */

/* Which kernels run, on which layout of Q and K. */
typedef struct layout {
    atn_cu_kernel rows, sums;
    atn_idx words; /* 32-bit words a row; 0 = plain float rows */
    bool tf32;
    atn_idx rows_per_block; /* queries of a block in the first walk */
    bool sums_own_keys; /* a block of the second walk owns as many keys, else queries */
    size_t shared_rows, shared_sums; /* dynamic shared memory */
} layout;

typedef struct job {
    atn_cuda *cu;
    const atn_head *heads; /* of the group */
    atn_idx n;
    const atn_row_want *want;
    atn_row_out *out;
    layout how;
    atn_cu_ptr memory; /* everything of the group */
    /* offsets in it */
    size_t at_keys, at_rel, at_values, at_sums, at_heads, at_tokens, bytes;
    /* bytes a head */
    size_t head_keys, head_rel, head_values, head_sums, head_queries;
} job;

/* ---- what the kernels can do ---- */

static bool same_sight(const atn_sight *a, const atn_sight *b)
{
    return a->causal == b->causal && a->offset == b->offset && a->window == b->window &&
           a->key_first == b->key_first && a->key_last == b->key_last &&
           a->softcap == b->softcap && !a->rows && !b->rows;
}

/* NULL, or why the CPU has to do it. */
static const char *cannot(const atn_head *heads, atn_idx n, const atn_row_want *want)
{
    const atn_head *h = &heads[0];
    atn_cu_sight sight;

    if (h->p.data) return "the rows are given";
    if (h->sight.rows) return "only some of the rows are there";
    if (h->sight.pad_queries && (h->sight.key_first > 0 || h->sight.key_last < h->nk))
        return "some of the queries are padding";
    if (h->q.cols > D_MOST) return "the head dimension is above 256";
    if ((want->needs & ATN_NEED_TOPK) && want->top_k > ATN_CU_ROW_TOPK_MOST)
        return "--top-k is above 32";
    if ((want->needs & ATN_NEED_BLOCKS) && want->block % MMA_TILE != 0)
        return "the blocks are no multiple of 64";
    if (h->nq > INT_MAX / 4 || h->nk > INT_MAX / 4 ||
        !atn_cu_sight_of(&h->sight, &sight))
        return "the text is too long for 32-bit positions";
    if ((want->needs & ATN_NEED_SUMS) && h->nq > ATN_ROWS_SUMMED_MOST)
        return "sums over so many rows do not fit their fixed point";
    for (atn_idx i = 1; i < n; i++)
        if (!same_sight(&heads[i].sight, &h->sight) || heads[i].nq != h->nq ||
            heads[i].nk != h->nk || heads[i].q.cols != h->q.cols || heads[i].p.data)
            return "the heads differ in shape or mask";
    return NULL;
}

static layout choose(atn_math math, atn_idx d)
{
    static const struct {
        atn_cu_kernel rows, sums;
    } mma[2][3] = {/* [tf32][words / 64] */
                   {{ATN_CU_KERNEL_rows_bf16_32, ATN_CU_KERNEL_sums_bf16_32},
                    {ATN_CU_KERNEL_rows_bf16_64, ATN_CU_KERNEL_sums_bf16_64},
                    {ATN_CU_KERNEL_rows_bf16_128, ATN_CU_KERNEL_sums_bf16_128}},
                   {{ATN_CU_KERNEL_rows_tf32_32, ATN_CU_KERNEL_sums_tf32_32},
                    {ATN_CU_KERNEL_rows_tf32_64, ATN_CU_KERNEL_sums_tf32_64},
                    {ATN_CU_KERNEL_rows_tf32_128, ATN_CU_KERNEL_sums_tf32_128}}};
    const atn_idx need = math == ATN_MATH_BF16 ? (d + 1) / 2 : d;
    const atn_idx dp = ATN_CU_F32_PAD(d);
    const size_t plain = (size_t)(F32_ROWS * dp + F32_KEYS * (dp + 4)) * sizeof(float);
    layout l = {ATN_CU_KERNEL_rows_f32,
                ATN_CU_KERNEL_sums_f32,
                0,
                false,
                F32_ROWS,
                false,
                plain + F32_ROWS * 32 * sizeof(float),
                plain + F32_ROWS * (F32_KEYS + 1) * sizeof(float)};

    if (math == ATN_MATH_F32 || need > 128) return l;
    l.tf32 = math == ATN_MATH_TF32;
    l.words = need <= 32 ? 32 : need <= 64 ? 64 : 128;
    l.rows_per_block = l.words > 64 ? 64 : 128;
    l.sums_own_keys = true;
    l.rows = mma[l.tf32][l.words / 64].rows;
    l.sums = mma[l.tf32][l.words / 64].sums;
    l.shared_rows = l.shared_sums =
        (size_t)(MMA_STAGES * MMA_TILE * (l.words + 4)) * sizeof(uint32_t);
    return l;
}

/* ---- memory of a group ---- */

static size_t round_up(size_t bytes)
{
    return (bytes + 255) / 256 * 256;
}

static atn_idx n_blocks(const atn_head *h, const atn_row_want *want)
{
    if (!(want->needs & ATN_NEED_BLOCKS)) return 0;
    return (h->nq + want->block - 1) / want->block *
           ((h->nk + want->block - 1) / want->block);
}

/* Columns, diagonals and blocks of a head stand behind one another. */
static atn_idx n_sums(const atn_head *h, const atn_row_want *want)
{
    return (want->needs & ATN_NEED_COLUMNS ? h->nk : 0) +
           (want->needs & ATN_NEED_DIAGONALS ? h->nq + h->nk - 1 : 0) +
           n_blocks(h, want);
}

static size_t n_distances(const atn_head *h)
{
    return (size_t)(h->nq + h->nk - 1);
}

static void lay_out(job *j)
{
    const atn_head *h = &j->heads[0];
    const size_t row =
        (size_t)(j->how.words ? j->how.words : h->q.cols) * sizeof(uint32_t);
    const size_t n = (size_t)j->n;

    j->head_queries = round_up((size_t)h->nq * row);
    j->head_keys = round_up((size_t)h->nk * row);
    j->head_rel = 0;
    for (atn_idx i = 0; i < j->n; i++)
        if (j->heads[i].rel_bias)
            j->head_rel = round_up(n_distances(h) * sizeof(float));
    j->head_values = round_up((size_t)h->nq * ATN_CU_ROW_ARRAYS * sizeof(float));
    j->head_sums = round_up((size_t)n_sums(h, j->want) * sizeof(uint64_t));
    j->at_keys = n * j->head_queries;
    j->at_rel = j->at_keys + n * j->head_keys;
    j->at_values = j->at_rel + n * j->head_rel;
    j->at_sums = j->at_values + n * j->head_values;
    j->at_heads = j->at_sums + n * j->head_sums;
    j->at_tokens = j->at_heads + round_up(n * sizeof(atn_cu_head));
    j->bytes = j->at_tokens + (size_t)h->nk * sizeof(int32_t);
}

/* The largest group that fits half of the free memory; MEMORY when one head does
 * not. */
static atn_status fit(atn_ctx *cx, job *j, atn_idx left)
{
    const atn_head *h = &j->heads[0];
    const double spare = (double)ATN_MAX(h->nq, h->nk) * (double)h->q.cols * 4;
    atn_status st = ATN_OK;
    size_t room = 0, total = 0;

    ATN_TRY(atn_cu_check(cx, &j->cu->driver, j->cu->driver.room(&room, &total),
                         "asking for the GPU's memory"));
    j->n = 1;
    lay_out(j);
    if ((double)j->bytes + spare > (double)room)
        ATN_FAIL(ATN_MEMORY,
                 "the rows of one head need %.1f MiB on %s, of which %.1f MiB are free "
                 "(use --device cpu)",
                 ((double)j->bytes + spare) / 1048576, j->cu->info.name,
                 (double)room / 1048576);
    j->n = (atn_idx)ATN_MIN((double)ATN_MIN(left, (atn_idx)GROUP_MOST),
                            ATN_MAX((double)room / 2 / (double)j->bytes, 1.0));
    lay_out(j);
done:
    return st;
}

/* ---- up, walk, down ---- */

/* A matrix of a head, in the layout of the kernels. */
static atn_status send_matrix(atn_ctx *cx, const job *j, atn_cmat m, atn_cu_ptr to)
{
    atn_cuda *cu = j->cu;
    const atn_cu_ptr raw = j->how.words ? cu->x.at : to;
    atn_status st = ATN_OK;

    ATN_TRY(atn_cu_upload_rows(cx, cu, raw, m));
    if (j->how.words) {
        atn_cu_pack_args a = {
            atn_cu_address(raw), atn_cu_address(to), m.rows, m.cols, m.cols,
            j->how.words,        j->how.tf32};
        ATN_TRY(atn_cu_launch(cx, cu, ATN_CU_KERNEL_pack,
                              atn_cu_blocks(m.rows * j->how.words), 1, ATN_CU_THREADS,
                              0, &a));
    }
done:
    return st;
}

/* The biases of head i by relative position; *out NULL = it has none. */
static atn_status send_bias(atn_ctx *cx, const job *j, atn_idx i, const float **out)
{
    const atn_head *h = &j->heads[i];
    const atn_idx first = h->rel_zero - (h->nq - 1) - h->sight.offset;
    const atn_cu_ptr to = j->memory + j->at_rel + (size_t)i * j->head_rel;
    atn_status st = ATN_OK;

    *out = NULL;
    if (!h->rel_bias) return ATN_OK;
    ATN_TRY(atn_cu_upload(cx, j->cu, to, h->rel_bias + first,
                          n_distances(h) * sizeof(float)));
    *out = atn_cu_address(to);
done:
    return st;
}

static atn_status send_group(atn_ctx *cx, const job *j)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_head *first = &j->heads[0];
    atn_cuda *cu = j->cu;
    atn_status st = ATN_OK;
    atn_cu_head *list = NULL;
    atn_cu_ptr keys = 0;

    ATN_TAKE(list, j->n);
    if (j->how.words)
        ATN_TRY(atn_cu_grow(cx, cu, &cu->x,
                            (size_t)(ATN_MAX(first->nq, first->nk) * first->q.cols) *
                                sizeof(float),
                            "queries and keys"));
    for (atn_idx i = 0; i < j->n; i++) {
        const atn_head *h = &j->heads[i];
        const atn_cu_ptr q = j->memory + (size_t)i * j->head_queries;
        const atn_cu_ptr values = j->memory + j->at_values + (size_t)i * j->head_values;
        unsigned long long *sums =
            atn_cu_address(j->memory + j->at_sums + (size_t)i * j->head_sums);
        const unsigned needs = j->want->needs;
        const float *rel = NULL;

        ATN_TRY(send_matrix(cx, j, h->q, q));
        if (i == 0 || h->k.data != j->heads[i - 1].k.data) { /* GQA shares keys */
            keys = j->memory + j->at_keys + (size_t)i * j->head_keys;
            ATN_TRY(send_matrix(cx, j, h->k, keys));
        }
        ATN_TRY(send_bias(cx, j, i, &rel));
        list[i] = (atn_cu_head){.q = atn_cu_address(q),
                                .k = atn_cu_address(keys),
                                .values = atn_cu_address(values),
                                .scale = (float)h->scale,
                                .rel = rel,
                                .rel_zero = h->nq - 1 + h->sight.offset,
                                .slope = (float)h->alibi_slope,
                                .sink = (float)h->sink,
                                .has_sink = h->has_sink};
        if (needs & ATN_NEED_COLUMNS) list[i].columns = sums, sums += h->nk;
        if (needs & ATN_NEED_DIAGONALS)
            list[i].diagonals = sums, sums += h->nq + h->nk - 1;
        if (needs & ATN_NEED_BLOCKS) list[i].blocks = sums;
    }
    ATN_TRY(atn_cu_upload(cx, cu, j->memory + j->at_heads, list,
                          (size_t)j->n * sizeof *list));
    if (j->want->needs & ATN_NEED_TOKENS)
        ATN_TRY(atn_cu_upload(cx, cu, j->memory + j->at_tokens, j->want->tokens,
                              (size_t)first->nk * sizeof *j->want->tokens));
    if (j->head_sums > 0)
        ATN_TRY(atn_cu_check(cx, &cu->driver,
                             cu->driver.fill(j->memory + j->at_sums, 0,
                                             (size_t)j->n * j->head_sums, cu->stream),
                             "clearing the sums"));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Blocks of a grid. */
static atn_idx grid_of(atn_idx rows, atn_idx per_block)
{
    return (rows + per_block - 1) / per_block;
}

static atn_status walk(atn_ctx *cx, const job *j)
{
    const atn_head *h = &j->heads[0];
    const unsigned needs = j->want->needs;
    const atn_idx per_block = j->how.rows_per_block;
    atn_status st = ATN_OK;
    atn_cu_rows_args a = {
        .heads = atn_cu_address(j->memory + j->at_heads),
        .tokens =
            needs & ATN_NEED_TOKENS ? atn_cu_address(j->memory + j->at_tokens) : NULL,
        .bad = atn_cu_address(j->cu->bad),
        .nq = (int)h->nq,
        .nk = (int)h->nk,
        .d = (int)(j->how.words ? j->how.words : h->q.cols),
        .needs = needs,
        .top_k = (int)ATN_MIN(j->want->top_k, (atn_idx)ATN_CU_ROW_TOPK_MOST),
        .block = (int)j->want->block,
        .pairs = j->how.words && !j->how.tf32};

    if (!atn_cu_sight_of(&h->sight, &a.sight)) ATN_ASSERT(false);
    ATN_TRY(atn_cu_watch_rows(cx, j->cu, h->layer, j->heads, j->n));
    ATN_TRY(atn_cuda_mark(cx, ATN_CUDA_MARK_ROWS));
    ATN_TRY(atn_cu_launch(cx, j->cu, j->how.rows, grid_of(h->nq, per_block), j->n,
                          THREADS, j->how.shared_rows, &a));
    if (needs & (ATN_NEED_FIRST | ATN_NEED_LOCAL))
        ATN_TRY(atn_cu_launch(cx, j->cu, ATN_CU_KERNEL_rows_local,
                              grid_of(h->nq, THREADS / 32), j->n, THREADS, 0, &a));
    if (needs & ATN_NEED_SUMS)
        ATN_TRY(atn_cu_launch(cx, j->cu, j->how.sums,
                              grid_of(j->how.sums_own_keys ? h->nk : h->nq, per_block),
                              j->n, THREADS, j->how.shared_sums, &a));
    ATN_TRY(atn_cuda_mark(cx, ATN_CUDA_MARK_ROWS_END));
done:
    return st;
}

static void widen(const float *from, atn_idx n, double *to)
{
    for (atn_idx i = 0; i < n; i++) to[i] = (double)from[i];
}

static const uint64_t *widen_sums(const uint64_t *from, atn_idx n, double *to)
{
    for (atn_idx i = 0; i < n; i++) to[i] = (double)from[i] / FIXED;
    return from + n;
}

static atn_status fetch_head(atn_ctx *cx, const job *j, atn_idx i)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_head *h = &j->heads[i];
    atn_row_out *out = &j->out[i];
    atn_status st = ATN_OK;
    float *values = NULL;
    uint64_t *sums = NULL;
    const uint64_t *at;

    ATN_TAKE(values, h->nq * ATN_ROW_DEVICE_FIELDS);
    ATN_TRY(atn_cu_download(
        cx, j->cu, j->memory + j->at_values + (size_t)i * j->head_values, values,
        (size_t)(h->nq * ATN_ROW_DEVICE_FIELDS) * sizeof *values));
    for (int f = 0; f < ATN_ROW_DEVICE_FIELDS; f++)
        if (!(atn_row_field_needs((atn_row_field)f) & ~j->want->needs))
            widen(values + f * h->nq, h->nq, out->value[f]);
    for (atn_idx r = 0; r < h->nq; r++) {
        atn_idx lo, hi;
        atn_sight_row(&h->sight, r, &lo, &hi);
        if (out->seen) out->seen[r] = hi - lo;
    }
    if (j->head_sums == 0) goto done;
    ATN_TAKE(sums, n_sums(h, j->want));
    ATN_TRY(atn_cu_download(cx, j->cu,
                            j->memory + j->at_sums + (size_t)i * j->head_sums, sums,
                            (size_t)n_sums(h, j->want) * sizeof *sums));
    at = sums;
    if (j->want->needs & ATN_NEED_COLUMNS) at = widen_sums(at, h->nk, out->columns);
    if (j->want->needs & ATN_NEED_DIAGONALS)
        at = widen_sums(at, h->nq + h->nk - 1, out->diagonals);
    if (j->want->needs & ATN_NEED_BLOCKS)
        widen_sums(at, n_blocks(h, j->want), out->blocks);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Kernels may ask for more dynamic shared memory than the 48 KiB every launch has. */
static atn_status allow_shared(atn_ctx *cx, atn_cuda *cu, atn_cu_kernel k, size_t bytes)
{
    return atn_cu_check(cx, &cu->driver,
                        cu->driver.function_set(
                            cu->kernels[k], ATN_CU_FUNCTION_DYNAMIC_SHARED, (int)bytes),
                        atn_cu_kernel_names[k]);
}

static atn_status run_group(atn_ctx *cx, job *j)
{
    atn_status st = ATN_OK;

    ATN_TRY(
        atn_cu_alloc(cx, j->cu, j->bytes, "queries, keys and their rows", &j->memory));
    ATN_TRY(send_group(cx, j));
    ATN_TRY(walk(cx, j));
    for (atn_idx i = 0; i < j->n; i++) ATN_TRY(fetch_head(cx, j, i));
done:
    if (st != ATN_OK) j->cu->bad_heads = 0;
    atn_cu_free(j->cu, j->memory, j->bytes);
    j->memory = 0;
    return st;
}

/* What the kernels compute of what is wanted. */
static unsigned device_needs(const atn_row_want *want, const atn_row_out *out,
                             atn_idx n)
{
    const bool other_keys = want->block_keys > 0 && want->block_keys != want->block;
    unsigned needs = want->needs & ATN_NEED_DEVICE;
    bool max = false;

    for (atn_idx i = 0; i < n; i++) max = max || out[i].block_max;
    if (want->skip_rows > 0) needs &= ~(unsigned)ATN_NEED_SUMS;
    if (other_keys || max || (want->needs & ATN_NEED_NEEDED))
        needs &= ~(unsigned)ATN_NEED_BLOCKS;
    return needs;
}

static atn_status run_device(atn_ctx *cx, const atn_head *heads, atn_idx n_heads,
                             const atn_row_want *want, atn_row_out *out)
{
    atn_status st = ATN_OK;
    job j = {.cu = atn_cu_state(cx), .want = want};

    j.how = choose(j.cu->math, heads[0].q.cols);
    ATN_TRY(allow_shared(cx, j.cu, j.how.rows, j.how.shared_rows));
    ATN_TRY(allow_shared(cx, j.cu, j.how.sums, j.how.shared_sums));
    for (atn_idx at = 0; at < n_heads; at += j.n) {
        j.heads = heads + at;
        j.out = out + at;
        ATN_TRY(atn_progress(cx, "row statistics", (double)at, (double)n_heads));
        ATN_TRY(fit(cx, &j, n_heads - at));
        ATN_TRY(run_group(cx, &j));
    }
    ATN_TRY(atn_progress(cx, "row statistics", (double)n_heads, (double)n_heads));
done:
    return st;
}

atn_status atn_row_values_cuda(atn_ctx *cx, const atn_head *heads, atn_idx n_heads,
                               const atn_row_want *want, atn_row_out *out)
{
    const char *why = cannot(heads, n_heads, want);
    atn_row_want here = *want, rest = *want;
    atn_status st = ATN_OK;

    if (why) {
        atn_log(cx, ATN_LOG_INFO, "row statistics run on the CPU: %s", why);
        return atn_row_values_cpu(cx, heads, n_heads, want, out);
    }
    here.needs = device_needs(want, out, n_heads);
    rest.needs = want->needs & ~here.needs;
    ATN_TRY(run_device(cx, heads, n_heads, &here, out));
    if (rest.needs == 0) goto done;
    atn_log(cx, ATN_LOG_INFO,
            "row statistics: a second walk, on the CPU, for what no kernel computes");
    ATN_TRY(atn_row_values_cpu(cx, heads, n_heads, &rest, out));
done:
    return st;
}
