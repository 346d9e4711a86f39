/* core/cuda/attention_cuda.c -- attention of a layer on a GPU: products of cuBLAS
 * around a softmax that takes the keys block by block.
 *
 * Math    rows of some heads against blocks of keys: with largest logit m and sum z so
 *         far, a block of logits s brings m' = max(m, max s), z' = z e^(m - m') + sum
 *         e^(s - m'), and out' = out z e^(m - m') / z' + (e^(s - m') / z') V: out is
 *         always normalised.
 * Source  online softmax, Milakov and Gimelshein, arXiv:1805.02867.
 * Cost    two products and one pass over the logits a block. Heads that share keys, or
 *         whose keys lie side by side, go together, so that the products are wide
 *         enough; logits and weights of a tile stay in the L2.
 * Memory  scratch: q, k, v operands in bf16; rel the biases by distance; tile the
 *         logits, narrow the weights in bf16 (48 MiB together), state m and z of a
 *         tile's rows.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <limits.h>

#include "core/cuda/state.h"

typedef struct attention {
    const atn_attn_args *a;
    const char *q, *k, *v; /* operands, f32 or rounded */
    atn_idx ldq, ldk, ldv; /* elements a token */
    atn_dtype type;
    atn_cu_sight sight;
    atn_idx heads, rows, keys; /* most of a tile */
} attention;

/* Rows [first, first + rows) of heads [head, head + heads). */
typedef struct part {
    atn_idx head, heads, first, rows;
} part;

static atn_idx kv_of(const atn_attn_args *a, atn_idx h)
{
    return h * a->kv_heads / a->heads;
}

static atn_status round_operand(atn_ctx *cx, atn_cuda *cu, atn_buf x, atn_idx rows,
                                atn_idx cols, atn_cu_scratch *s, const char **out,
                                atn_idx *ld)
{
    atn_status st = ATN_OK;

    *out = atn_cu_address(atn_cu_place(cx, x));
    *ld = cols;
    if (cu->math != ATN_MATH_BF16) return ATN_OK;
    *ld = (cols + 1) / 2 * 2;
    ATN_TRY(atn_cu_grow(cx, cu, s, (size_t)(rows * *ld) * 2, "operands of attention"));
    ATN_TRY(atn_cu_pack_bf16(cx, cu, atn_cu_f32(cx, x), rows, cols, s->at));
    *out = atn_cu_address(s->at);
done:
    return st;
}

/* Elements between the rows of a tile of so many keys: whole vectors of bf16. */
static atn_idx tile_ld(atn_idx keys)
{
    return (keys + 7) / 8 * 8;
}

/* As many heads as leave 64 rows, then a multiple of 64 rows that fills the tile. */
static void choose_tile(attention *j)
{
    const atn_attn_args *a = j->a;
    const atn_idx size = j->type == ATN_BF16 ? 6 : 4; /* logits, and weights in bf16 */
    atn_idx fit;

    j->keys = ATN_MIN(a->nk, (atn_idx)ATN_CU_TILE_KEYS);
    fit = (atn_idx)ATN_CU_TILE_BYTES / size / ATN_MAX(tile_ld(j->keys), 1);
    j->heads = ATN_MIN(a->heads, (atn_idx)ATN_CU_TILE_HEADS);
    if (a->kv_heads < a->heads)
        j->heads = ATN_MIN(j->heads, (a->heads + a->kv_heads - 1) / a->kv_heads);
    j->rows = ATN_MIN(fit / j->heads / 64 * 64, a->nq);
}

/* Heads from `head` on that one product can take: all share their keys, or none do. */
static atn_idx heads_together(const attention *j, atn_idx head)
{
    const atn_attn_args *a = j->a;
    atn_idx n = 1;

    while (n < j->heads && head + n < a->heads &&
           (a->kv_heads == a->heads || kv_of(a, head + n) == kv_of(a, head)))
        n++;
    return n;
}

/* The rows of a tile that see something of keys [key0, key0 + keys), in steps of 64. */
static part rows_that_see(const atn_attn_args *a, part p, atn_idx key0, atn_idx keys)
{
    atn_idx begin = p.first, end = p.first + p.rows, lo, hi;

    for (; end - begin >= 64; begin += 64) {
        atn_sight_row(&a->sight, begin + 63, &lo, &hi);
        if (hi > key0) break;
    }
    for (; end - begin >= 64; end -= 64) {
        atn_sight_row(&a->sight, end - 64, &lo, &hi);
        if (lo < key0 + keys) break;
    }
    p.first = begin;
    p.rows = end - begin;
    return p;
}

/* tile <- scale Q K^T */
static atn_status multiply_keys(atn_ctx *cx, atn_cuda *cu, const attention *j,
                                const part *p, atn_idx key0, atn_idx keys)
{
    const atn_attn_args *a = j->a;
    const size_t size = atn_dtype_size(j->type);
    const atn_idx step = a->kv_heads == a->heads ? a->d : 0, ld = tile_ld(keys);
    const atn_cu_product logits = {
        .a = j->q + (size_t)(p->first * j->ldq + p->head * a->d) * size,
        .b = j->k + (size_t)(key0 * j->ldk + kv_of(a, p->head) * a->d) * size,
        .c = atn_cu_address(cu->tile.at),
        .m = p->rows,
        .n = keys,
        .k = a->d,
        .lda = j->ldq,
        .ldb = j->ldk,
        .ldc = ld,
        .count = p->heads,
        .step_a = a->d,
        .step_b = step,
        .step_c = p->rows * ld,
        .transposed = true,
        .type = j->type,
        .alpha = (float)a->scale};

    return atn_cu_multiply(cx, cu, &logits);
}

/* out += weights V */
static atn_status multiply_values(atn_ctx *cx, atn_cuda *cu, const attention *j,
                                  const part *p, atn_idx key0, atn_idx keys)
{
    const atn_attn_args *a = j->a;
    const size_t size = atn_dtype_size(j->type);
    const atn_idx step = a->kv_heads == a->heads ? a->dv : 0, ld = tile_ld(keys);
    const atn_cu_ptr weights = j->type == ATN_BF16 ? cu->narrow.at : cu->tile.at;
    const atn_cu_product values = {
        .a = atn_cu_address(weights),
        .b = j->v + (size_t)(key0 * j->ldv + kv_of(a, p->head) * a->dv) * size,
        .c = atn_cu_f32(cx, a->out) + (p->first * a->heads + p->head) * a->dv,
        .m = p->rows,
        .n = a->dv,
        .k = keys,
        .lda = ld,
        .ldb = j->ldv,
        .ldc = a->heads * a->dv,
        .count = p->heads,
        .step_a = p->rows * ld,
        .step_b = step,
        .step_c = a->dv,
        .type = j->type,
        .alpha = 1,
        .beta = 1};

    return atn_cu_multiply(cx, cu, &values);
}

/* The softmax of the tile; `row` of it is the first of the state. */
static atn_status soften(atn_ctx *cx, atn_cuda *cu, const attention *j, const part *p,
                         atn_idx row, atn_idx key0, atn_idx keys, bool final)
{
    const atn_attn_args *a = j->a;
    atn_cu_softmax_args s = {
        .s = atn_cu_address(cu->tile.at),
        .narrow = j->type == ATN_BF16 ? atn_cu_address(cu->narrow.at) : NULL,
        .state = (float *)atn_cu_address(cu->state.at) + 2 * row,
        .out = atn_cu_f32(cx, a->out) + (p->first * a->heads + p->head) * a->dv,
        .ld = tile_ld(keys),
        .state_step = 2 * j->rows,
        .out_ld = a->heads * a->dv,
        .out_step = a->dv,
        .p_ld = a->nk,
        .p_step = a->nq * a->nk,
        .sight = j->sight,
        .rows = (int)p->rows,
        .first = (int)p->first,
        .key0 = (int)key0,
        .keys = (int)keys,
        .dv = (int)a->dv,
        .has_sink = a->sink != NULL,
        .bad = (int *)atn_cu_address(cu->bad) + p->head};
    const atn_idx warps = ATN_CU_THREADS / 32;

    if (final) s.p = atn_cu_f32(cx, a->p) + (p->head * a->nq + p->first) * a->nk + key0;
    for (atn_idx h = 0; h < p->heads; h++) {
        s.sink[h] = a->sink ? a->sink[p->head + h] : 0;
        s.slope[h] = a->alibi_slope ? a->alibi_slope[p->head + h] : 0;
    }
    s.rel_step = a->nq + a->nk - 1;
    s.rel_zero = a->nq - 1 + a->sight.offset;
    if (a->rel_bias)
        s.rel = (const float *)atn_cu_address(cu->rel.at) + p->head * s.rel_step;
    return atn_cu_launch(cx, cu, ATN_CU_KERNEL_softmax, (p->rows + warps - 1) / warps,
                         p->heads, ATN_CU_THREADS, 0, &s);
}

/* Walks the keys of a tile of rows: to its output, or, when state is final, to its
 * weights. */
static atn_status walk_keys(atn_ctx *cx, atn_cuda *cu, const attention *j,
                            const part *tile, bool final)
{
    const atn_head sees = {.nq = j->a->nq, .nk = j->a->nk, .sight = j->a->sight};
    const atn_tile t = atn_tile_of(&sees, tile->first, tile->rows);
    atn_status st = ATN_OK;

    for (atn_idx at = 0; at < t.keys; at += j->keys) {
        const atn_idx key0 = t.key0 + at, keys = ATN_MIN(j->keys, t.keys - at);
        const part p = rows_that_see(j->a, *tile, key0, keys);

        if (p.rows == 0) continue;
        ATN_TRY(multiply_keys(cx, cu, j, &p, key0, keys));
        ATN_TRY(soften(cx, cu, j, &p, p.first - tile->first, key0, keys, final));
        if (!final) ATN_TRY(multiply_values(cx, cu, j, &p, key0, keys));
    }
done:
    return st;
}

static atn_status clear(atn_ctx *cx, atn_cuda *cu, atn_cu_ptr at, atn_idx floats)
{
    return atn_cu_check(
        cx, &cu->driver,
        cu->driver.fill(at, 0, (size_t)floats * sizeof(float), cu->stream),
        "clearing what attention adds to");
}

/* Biases by relative position. */
static atn_status send_biases(atn_ctx *cx, atn_cuda *cu, const atn_attn_args *a)
{
    const size_t bytes = (size_t)(a->heads * (a->nq + a->nk - 1)) * sizeof(float);
    atn_status st = ATN_OK;

    if (!a->rel_bias) return ATN_OK;
    ATN_TRY(atn_cu_grow(cx, cu, &cu->rel, bytes, "biases by relative position"));
    ATN_TRY(atn_cu_upload(cx, cu, cu->rel.at, a->rel_bias, bytes));
done:
    return st;
}

static atn_status prepare(atn_ctx *cx, atn_cuda *cu, attention *j)
{
    const atn_attn_args *a = j->a;
    atn_status st = ATN_OK;
    atn_idx entries;

    if (!atn_cu_sight_of(&a->sight, &j->sight) || a->nq > INT_MAX / 4)
        ATN_FAIL(ATN_DATA, "attention over more than %d tokens", INT_MAX / 4);
    choose_tile(j);
    entries = j->heads * j->rows * tile_ld(j->keys);
    ATN_TRY(
        round_operand(cx, cu, a->q, a->nq, a->heads * a->d, &cu->q, &j->q, &j->ldq));
    ATN_TRY(
        round_operand(cx, cu, a->k, a->nk, a->kv_heads * a->d, &cu->k, &j->k, &j->ldk));
    ATN_TRY(round_operand(cx, cu, a->v, a->nk, a->kv_heads * a->dv, &cu->v, &j->v,
                          &j->ldv));
    ATN_TRY(send_biases(cx, cu, a));
    ATN_TRY(atn_cu_grow(cx, cu, &cu->tile, (size_t)entries * sizeof(float),
                        "a tile of logits"));
    if (j->type == ATN_BF16)
        ATN_TRY(
            atn_cu_grow(cx, cu, &cu->narrow, (size_t)entries * 2, "a tile of weights"));
    ATN_TRY(atn_cu_grow(cx, cu, &cu->state,
                        (size_t)(j->heads * j->rows) * 2 * sizeof(float),
                        "the state of a tile"));
    ATN_TRY(clear(cx, cu, atn_cu_place(cx, a->out), a->nq * a->heads * a->dv));
    if (a->p.base)
        ATN_TRY(clear(cx, cu, atn_cu_place(cx, a->p), a->heads * a->nq * a->nk));
    ATN_TRY(atn_cu_watch_rows(cx, cu, a->layer, NULL, a->heads));
done:
    return st;
}

atn_status atn_attention_cuda(atn_ctx *cx, const atn_attn_args *a)
{
    atn_cuda *cu = atn_cu_state(cx);
    attention j = {.a = a, .type = cu->math == ATN_MATH_BF16 ? ATN_BF16 : ATN_F32};
    atn_status st = ATN_OK;
    part p;

    ATN_TRY(prepare(cx, cu, &j));
    for (p.head = 0; p.head < a->heads; p.head += p.heads) {
        p.heads = heads_together(&j, p.head);
        for (p.first = 0; p.first < a->nq; p.first += j.rows) {
            p.rows = ATN_MIN(j.rows, a->nq - p.first);
            ATN_TRY(atn_progress(cx, "attention", (double)p.head, (double)a->heads));
            ATN_TRY(clear(cx, cu, cu->state.at, j.heads * j.rows * 2));
            ATN_TRY(walk_keys(cx, cu, &j, &p, false));
            if (a->p.base) ATN_TRY(walk_keys(cx, cu, &j, &p, true));
        }
    }
done:
    return st;
}
