/* core/products.c -- a batch of rows is filled and multiplied by x tile by tile, then
 * its transposed product is added block of keys by block of keys.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/products.h"

#include <string.h>

#include <cblas.h>

enum {
    BATCH_FLOATS = 1 << 24,
    BATCH_MIN = 16,
    BATCH_MAX = 256, /* keeps the float32 sums of z short */
    TILE_ROWS = 64,
    BLOCK_KEYS = 512,
};

typedef struct batch {
    const atn_row_source *m;
    const atn_product *p;
    atn_idx cols;        /* of y and z, with the ones */
    atn_idx first, rows; /* of the batch */
    atn_idx key0, keys;  /* columns that any of its rows has */
    float *rows_of;      /* [rows, keys] */
    float *y;            /* [rows, cols] */
} batch;

static atn_tile head_tile(const void *head, atn_idx first, atn_idx rows)
{
    return atn_tile_of(head, first, rows);
}

static atn_status fill_head(atn_ctx *cx, const atn_tile *t, atn_mat out, void *head)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_row_info *info = NULL;

    ATN_TAKE(info, t->rows);
    ATN_TRY(atn_rows_fill(cx, head, t, out, info));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_row_source atn_row_source_of(const atn_head *h)
{
    return (atn_row_source){h->nq, h->nk, head_tile, fill_head, (void *)(uintptr_t)h};
}

static atn_idx batch_rows(const atn_row_source *m)
{
    const atn_idx fit = BATCH_FLOATS / ATN_MAX(m->nk, 1) / TILE_ROWS * TILE_ROWS;
    const atn_idx rows = ATN_MIN(ATN_MAX(fit, (atn_idx)BATCH_MIN), (atn_idx)BATCH_MAX);

    return ATN_MAX(ATN_MIN(rows, m->nq), (atn_idx)1);
}

double atn_product_bytes(const atn_row_source *m, atn_idx r)
{
    const double rows = (double)batch_rows(m);

    return sizeof(float) * (rows * ((double)m->nk + (double)r + 1) +
                            (double)BLOCK_KEYS * ((double)r + 1) * 64);
}

/* y = M x of a tile; to the caller alone where z is of w. */
static void multiply(const batch *b, const atn_tile *t, const float *rows, float *y)
{
    const atn_product *p = b->p;
    const atn_idx r = p->r;
    const atn_mat to = {p->w ? p->y + t->first * r : y, t->rows, r, p->w ? r : b->cols};

    if (t->keys > 0)
        atn_gemm(false, 1, (atn_cmat){rows, t->rows, t->keys, b->keys},
                 (atn_cmat){p->x + t->key0 * r, t->keys, r, r}, 0, to);
    for (atn_idx i = 0; i < t->rows; i++) {
        if (t->keys == 0) memset(atn_row(to, i), 0, (size_t)r * sizeof *y);
        if (p->y && !p->w)
            memcpy(p->y + (t->first + i) * r, atn_row(to, i), (size_t)r * sizeof *y);
    }
}

/* Rows of a tile of the batch, and their product with x. */
static atn_status fill_tile(atn_ctx *cx, atn_idx at, void *state)
{
    const batch *b = state;
    const atn_product *p = b->p;
    const atn_idx from = at * TILE_ROWS,
                  rows = ATN_MIN((atn_idx)TILE_ROWS, b->rows - from);
    const atn_tile t = b->m->tile(b->m->state, b->first + from, rows);
    const atn_idx left = t.keys > 0 ? t.key0 - b->key0 : 0;
    float *out = b->rows_of + from * b->keys, *y = b->y + from * b->cols;
    atn_status st = ATN_OK;

    for (atn_idx r = 0; r < rows; r++) {
        float *row = out + r * b->keys;

        memset(row, 0, (size_t)left * sizeof *row);
        memset(row + left + t.keys, 0, (size_t)(b->keys - left - t.keys) * sizeof *row);
        if (p->ones) y[r * b->cols + p->r] = 1;
        if (p->w)
            memcpy(y + r * b->cols, p->w + (t.first + r) * p->r,
                   (size_t)p->r * sizeof *y);
    }
    ATN_TRY(
        b->m->fill(cx, &t, (atn_mat){out + left, rows, t.keys, b->keys}, b->m->state));
    if (p->x) multiply(b, &t, out + left, y);
done:
    return st;
}

/* z += of one block of keys. */
static atn_status add_block(atn_ctx *cx, atn_idx at, void *state)
{
    const batch *b = state;
    const atn_idx from = at * BLOCK_KEYS;
    const atn_idx keys = ATN_MIN((atn_idx)BLOCK_KEYS, b->keys - from);
    const atn_arena_mark mark = atn_arena_save(cx);
    double *z = b->p->z + (b->key0 + from) * b->cols;
    atn_status st = ATN_OK;
    float *sum = NULL;

    ATN_TAKE(sum, keys * b->cols);
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)keys, (int)b->cols,
                (int)b->rows, 1, b->rows_of + from, (int)b->keys, b->y, (int)b->cols, 0,
                sum, (int)b->cols);
    for (atn_idx i = 0; i < keys * b->cols; i++) z[i] += (double)sum[i];
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Progress is that of the batches. */
static atn_status one_batch(atn_ctx *cx, batch *b, const char *what)
{
    const atn_tile all = b->m->tile(b->m->state, b->first, b->rows);
    const atn_idx tiles = (b->rows + TILE_ROWS - 1) / TILE_ROWS;
    const atn_idx blocks = (all.keys + BLOCK_KEYS - 1) / BLOCK_KEYS;
    void (*const progress)(void *, const char *, double, double) = cx->progress;
    atn_status st = ATN_OK;

    b->key0 = all.key0;
    b->keys = all.keys;
    cx->progress = NULL;
    st = atn_parallel(cx, tiles, fill_tile, b, what);
    if (st == ATN_OK) st = atn_parallel(cx, blocks, add_block, b, what);
    cx->progress = progress;
    ATN_TRY(st);
    ATN_TRY(atn_progress(cx, what, (double)(b->first + b->rows), (double)b->m->nq));
done:
    return st;
}

atn_status atn_product_run(atn_ctx *cx, const atn_row_source *m, const atn_product *p,
                           const char *what)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx step = batch_rows(m);
    atn_status st = ATN_OK;
    batch b = {.m = m, .p = p, .cols = p->r + p->ones};

    ATN_ASSERT((p->x || p->w) && (!p->x || !p->w || p->y) && m->nk <= INT32_MAX &&
               p->r < INT32_MAX);
    ATN_TRY(atn_mem_check(cx, atn_product_bytes(m, p->r), what));
    ATN_TAKE(b.rows_of, step * m->nk);
    ATN_TAKE(b.y, step * b.cols);
    memset(p->z, 0, (size_t)(m->nk * b.cols) * sizeof *p->z);
    for (b.first = 0; b.first < m->nq; b.first += b.rows) {
        b.rows = ATN_MIN(step, m->nq - b.first);
        ATN_TRY(one_batch(cx, &b, what));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}
