/* core/row_values.c -- the row pass on the CPU, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/row_values.h"

#include <math.h>
#include <string.h>

#include "core/backend.h"
#include "core/kernels/kernels.h"

enum { REST = ATN_NEED_FIRST | ATN_NEED_MOMENTS };
static const double FIXED = 1099511627776.0; /* 2^40: one unit of the sums */

typedef struct sums {
    uint64_t *columns, *diagonals, *blocks; /* fixed point; NULL when not wanted */
} sums;

typedef struct pass {
    const atn_head *heads;
    const atn_row_want *want;
    atn_row_out *out;
    sums *sums; /* [n_heads] */
} pass;

/* Weight of key j in a row stored from key `key0` on; 0 where the row does not see it. */
static double weight_at(const float *row, const atn_row_info *info, atn_idx key0,
                        atn_idx j)
{
    return j >= info->lo && j < info->hi ? (double)row[j - key0] : 0;
}

static void induction_row(const atn_row_want *want, atn_row_out *out, atn_idx i,
                          atn_idx at, const float *row, const atn_row_info *info,
                          atn_idx key0)
{
    double next = 0, same = 0;

    for (atn_idx m = want->earlier[at]; m >= 0; m = want->earlier[m]) {
        next += weight_at(row, info, key0, m + 1);
        same += weight_at(row, info, key0, m);
    }
    out->value[ATN_ROW_INDUCTION][i] = next;
    out->value[ATN_ROW_DUPLICATE][i] = same;
}

/* What the keys beside the first have, in all and times |t - j|. A row sees the first key as its
 * first or not at all; the difference is taken where it keeps at least half of its digits. */
static void rest_of(const float *seen, atn_idx n, atn_idx at, atn_idx first,
                    const atn_row_info *info, double weight, const double *distance,
                    double *rest, double *rest_distance)
{
    const double far = weight * fabs((double)(at - first));
    double square;

    *rest = info->mass - weight;
    *rest_distance = distance ? *distance - far : 0;
    if (weight <= 0.5 * info->mass && !(distance && far > 0.5 * *distance)) return;
    if (info->lo != first || n == 0) return;
    *rest = atn_row_sum(seen + 1, n - 1);
    atn_row_moments(seen + 1, n - 1, (double)(at - first - 1), &square, rest_distance);
}

static void row_values(const pass *ps, const atn_head *h, atn_row_out *out, atn_idx i,
                       const float *row, const atn_row_info *info, atn_idx key0,
                       float *heap)
{
    const atn_row_want *want = ps->want;
    const atn_idx at = i + h->sight.offset, n = info->hi - info->lo;
    const atn_idx first = h->sight.key_first;
    const float *seen = row + (info->lo - key0);
    double *const *value = out->value;
    double rest_distance = 0;

    out->seen[i] = n;
    value[ATN_ROW_ENTROPY][i] = info->entropy;
    value[ATN_ROW_MASS][i] = info->mass;
    if (want->needs & ATN_NEED_MOMENTS)
        atn_row_moments(seen, n, (double)(at - info->lo), &value[ATN_ROW_SQUARE][i],
                        &value[ATN_ROW_DISTANCE][i]);
    if (want->needs & ATN_NEED_FIRST) {
        double four = 0;
        for (atn_idx j = first; j < first + 4; j++)
            four += weight_at(row, info, key0, j);
        value[ATN_ROW_FIRST][i] = weight_at(row, info, key0, first);
        value[ATN_ROW_FIRST4][i] = four;
    }
    if (want->needs & ATN_NEED_FIRST)
        rest_of(seen, n, at, first, info, value[ATN_ROW_FIRST][i],
                want->needs & ATN_NEED_MOMENTS ? &value[ATN_ROW_DISTANCE][i] : NULL,
                &value[ATN_ROW_REST][i], &rest_distance);
    if ((want->needs & REST) == REST) value[ATN_ROW_REST_DISTANCE][i] = rest_distance;
    if (want->needs & ATN_NEED_LOCAL) {
        value[ATN_ROW_DIAGONAL][i] = weight_at(row, info, key0, at);
        value[ATN_ROW_PREVIOUS][i] = weight_at(row, info, key0, at - 1);
    }
    if (want->needs & ATN_NEED_TOPK)
        value[ATN_ROW_TOPK][i] = atn_row_topk(seen, n, want->top_k, heap);
    if (want->needs & ATN_NEED_TOKENS) induction_row(want, out, i, at, row, info, key0);
}

/* ---- sums over columns, diagonals, blocks ---- */

static void add_fixed(uint64_t *to, double x)
{
    const uint64_t units = (uint64_t)(x * FIXED + 0.5);

#pragma omp atomic
    *to += units;
}

/* Column sums of the tile first, then one addition a column to the shared sums. */
static void add_columns(const atn_tile *t, atn_cmat p, double *scratch, uint64_t *to)
{
    memset(scratch, 0, (size_t)t->keys * sizeof *scratch);
    for (atn_idx r = 0; r < t->rows; r++)
        for (atn_idx c = 0; c < t->keys; c++) scratch[c] += (double)atn_crow(p, r)[c];
    for (atn_idx c = 0; c < t->keys; c++) add_fixed(&to[t->key0 + c], scratch[c]);
}

/* Entry (i, j) lies on diagonal i - j + nk - 1; within a tile, on r - c + keys - 1. */
static void add_diagonals(const atn_tile *t, atn_cmat p, atn_idx nk, double *scratch,
                          uint64_t *to)
{
    const atn_idx n = t->rows + t->keys - 1,
                  base = t->first - t->key0 - (t->keys - 1) + nk - 1;

    if (t->keys == 0) return;
    memset(scratch, 0, (size_t)n * sizeof *scratch);
    for (atn_idx r = 0; r < t->rows; r++) {
        double *d = scratch + r + t->keys - 1;
        for (atn_idx c = 0; c < t->keys; c++) d[-c] += (double)atn_crow(p, r)[c];
    }
    for (atn_idx e = 0; e < n; e++) add_fixed(&to[base + e], scratch[e]);
}

static void add_blocks(const atn_tile *t, atn_cmat p, atn_idx nk, atn_idx block,
                       uint64_t *to)
{
    const atn_idx across = (nk + block - 1) / block;

    for (atn_idx r = 0; r < t->rows; r++)
        for (atn_idx c = 0; c < t->keys;) {
            const atn_idx b = (t->key0 + c) / block;
            const atn_idx n = ATN_MIN((b + 1) * block - t->key0, t->keys) - c;

            add_fixed(&to[(t->first + r) / block * across + b],
                      atn_row_sum(atn_crow(p, r) + c, n));
            c += n;
        }
}

static atn_status visit(atn_ctx *cx, const atn_head *h, const atn_tile *t, atn_cmat p,
                        const atn_row_info *info, void *state)
{
    const pass *ps = state;
    const atn_idx head = h - ps->heads;
    const sums *to = &ps->sums[head];
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *scratch = NULL;
    float *heap = NULL;

    ATN_TAKE(heap, ATN_MIN(ps->want->top_k, h->nk));
    if (to->columns || to->diagonals) ATN_TAKE(scratch, t->rows + t->keys);
    for (atn_idx r = 0; r < t->rows; r++)
        row_values(ps, h, &ps->out[head], t->first + r, atn_crow(p, r), &info[r],
                   t->key0, heap);
    if (to->columns) add_columns(t, p, scratch, to->columns);
    if (to->diagonals) add_diagonals(t, p, h->nk, scratch, to->diagonals);
    if (to->blocks) add_blocks(t, p, h->nk, ps->want->block, to->blocks);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static void widen_sums(const uint64_t *from, atn_idx n, double *to)
{
    for (atn_idx i = 0; from && i < n; i++) to[i] = (double)from[i] / FIXED;
}

static atn_idx blocks_of(const atn_head *h, const atn_row_want *want)
{
    return (h->nq + want->block - 1) / want->block *
           ((h->nk + want->block - 1) / want->block);
}

static atn_status take_sums(atn_ctx *cx, const atn_head *h, const atn_row_want *want,
                            sums *s)
{
    atn_status st = ATN_OK;

    if (h->nq > ATN_ROWS_SUMMED_MOST)
        ATN_FAIL(ATN_DATA, "sums over columns take at most %d rows, not %lld",
                 ATN_ROWS_SUMMED_MOST, (long long)h->nq);
    if (want->needs & ATN_NEED_COLUMNS) ATN_NEW(s->columns, h->nk);
    if (want->needs & ATN_NEED_DIAGONALS) ATN_NEW(s->diagonals, h->nq + h->nk);
    if (want->needs & ATN_NEED_BLOCKS) ATN_NEW(s->blocks, blocks_of(h, want));
done:
    return st;
}

atn_status atn_row_values_cpu(atn_ctx *cx, const atn_head *heads, atn_idx n_heads,
                              const atn_row_want *want, atn_row_out *out)
{
    atn_status st = ATN_OK;
    pass ps = {heads, want, out, NULL};

    ATN_NEW(ps.sums, n_heads);
    for (atn_idx h = 0; h < n_heads && (want->needs & ATN_NEED_SUMS); h++)
        ATN_TRY(take_sums(cx, &heads[h], want, &ps.sums[h]));
    ATN_TRY(atn_rows_stream(cx, heads, n_heads, visit, &ps, "row statistics"));
    for (atn_idx h = 0; h < n_heads; h++) {
        const atn_head *head = &heads[h];
        widen_sums(ps.sums[h].columns, head->nk, out[h].columns);
        widen_sums(ps.sums[h].diagonals, head->nq + head->nk - 1, out[h].diagonals);
        if (ps.sums[h].blocks)
            widen_sums(ps.sums[h].blocks, blocks_of(head, want), out[h].blocks);
    }
done:
    for (atn_idx h = 0; ps.sums && h < n_heads; h++) {
        atn_free(cx, ps.sums[h].columns);
        atn_free(cx, ps.sums[h].diagonals);
        atn_free(cx, ps.sums[h].blocks);
    }
    atn_free(cx, ps.sums);
    return st;
}

atn_status atn_row_values(atn_ctx *cx, const atn_head *heads, atn_idx n_heads,
                          const atn_row_want *want, atn_row_out *out)
{
    return cx->backend->row_values(cx, heads, n_heads, want, out);
}
