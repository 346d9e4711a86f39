/* core/row_sums.c -- sums over columns, diagonals and blocks, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/row_sums.h"

#include <math.h>
#include <string.h>

static const double FIXED = 1099511627776.0;  /* 2^40: one unit of the sums */
static const double FIXED_LOGIT = 16777216.0; /* 2^24 */
static const double LOGIT_MOST = 131071.0;    /* 2^17 - 1: 2^22 of them still fit */

/* ---- what all threads add to ---- */

void atn_sum_locks_init(atn_sum_locks *l)
{
    for (int i = 0; i < ATN_SUM_LOCKS; i++) omp_init_lock(&l->lock[i]);
}

void atn_sum_locks_release(atn_sum_locks *l)
{
    for (int i = 0; i < ATN_SUM_LOCKS; i++) omp_destroy_lock(&l->lock[i]);
}

enum { STRETCH = 1 << 14 };

/* The lock of the stretch of memory that holds `at`. */
static omp_lock_t *lock_of(atn_sum_locks *l, const void *at)
{
    return &l->lock[(uintptr_t)at / STRETCH % ATN_SUM_LOCKS];
}

/* How many of n elements of `size` bytes at `at` lie in one stretch. */
static atn_idx stretch(const void *at, atn_idx n, size_t size)
{
    const size_t left = STRETCH - (size_t)((uintptr_t)at % STRETCH);

    return ATN_MIN(n, (atn_idx)((left + size - 1) / size));
}

static void shared_add(atn_sum_locks *l, uint64_t *to, const double *x, atn_idx n,
                       double unit)
{
    for (atn_idx i = 0, m; i < n; i += m) {
        omp_lock_t *lock = lock_of(l, to + i);

        m = stretch(to + i, n - i, sizeof *to);
        omp_set_lock(lock);
        atn_fixed_add(to + i, x + i, m, unit);
        omp_unset_lock(lock);
    }
}

static void shared_max(atn_sum_locks *l, float *to, const float *x, atn_idx n)
{
    for (atn_idx i = 0, m; i < n; i += m) {
        omp_lock_t *lock = lock_of(l, to + i);

        m = stretch(to + i, n - i, sizeof *to);
        omp_set_lock(lock);
        atn_vec_max(to + i, x + i, m);
        omp_unset_lock(lock);
    }
}

static void shared_or(atn_sum_locks *l, uint8_t *to, const uint8_t *x, atn_idx n)
{
    for (atn_idx i = 0, m; i < n; i += m) {
        omp_lock_t *lock = lock_of(l, to + i);

        m = stretch(to + i, n - i, sizeof *to);
        omp_set_lock(lock);
        for (atn_idx e = i; e < i + m; e++) to[e] |= x[e];
        omp_unset_lock(lock);
    }
}

/* ---- of one head ---- */

static atn_idx blocks_across(const atn_head *h, const atn_row_want *want)
{
    return (h->nk + want->block_keys - 1) / want->block_keys;
}

static atn_idx blocks_of(const atn_head *h, const atn_row_want *want)
{
    return (h->nq + want->block - 1) / want->block * blocks_across(h, want);
}

atn_status atn_row_sums_create(atn_ctx *cx, const atn_head *h, const atn_row_want *want,
                               const atn_row_out *out, atn_row_sums *s)
{
    const unsigned sums = want->needs & ATN_NEED_SUMS;
    const bool logits = (want->needs & ATN_NEED_LOGITS) && out->logit_diagonals;
    atn_status st = ATN_OK;

    if (!sums && !logits) goto done;
    ATN_ASSERT(!h->sight.rows);
    if (h->nq > ATN_ROWS_SUMMED_MOST)
        ATN_FAIL(ATN_DATA, "sums over columns take at most %d rows, not %lld",
                 ATN_ROWS_SUMMED_MOST, (long long)h->nq);
    if (sums & ATN_NEED_COLUMNS) ATN_NEW(s->columns, h->nk);
    if (sums & ATN_NEED_DIAGONALS) ATN_NEW(s->diagonals, h->nq + h->nk);
    if (logits) ATN_NEW(s->logits, h->nq + h->nk);
    if (sums & ATN_NEED_BLOCKS) {
        const atn_idx n = blocks_of(h, want);

        ATN_NEW(s->blocks, n);
        s->block_max = out->block_max;
        if (want->needs & ATN_NEED_NEEDED) s->needed = out->needed;
        if (s->block_max) memset(s->block_max, 0, (size_t)n * sizeof *s->block_max);
        if (s->needed) memset(s->needed, 0, (size_t)n);
    }
done:
    return st;
}

static void widen(const uint64_t *from, atn_idx n, double *to)
{
    for (atn_idx i = 0; from && to && i < n; i++) to[i] = (double)from[i] / FIXED;
}

void atn_row_sums_widen(const atn_row_sums *s, const atn_head *h,
                        const atn_row_want *want, const atn_row_out *out)
{
    const atn_idx diagonals = h->nq + h->nk - 1;

    widen(s->columns, h->nk, out->columns);
    widen(s->diagonals, diagonals, out->diagonals);
    if (s->blocks) widen(s->blocks, blocks_of(h, want), out->blocks);
    for (atn_idx i = 0; s->logits && i < diagonals; i++)
        out->logit_diagonals[i] =
            s->no_logits ? (double)NAN : (double)(int64_t)s->logits[i] / FIXED_LOGIT;
}

void atn_row_sums_release(atn_ctx *cx, atn_row_sums *s)
{
    atn_free(cx, s->columns);
    atn_free(cx, s->diagonals);
    atn_free(cx, s->blocks);
    atn_free(cx, s->logits);
}

double atn_row_sums_bytes(const atn_head *h, const atn_row_want *want)
{
    const double lines = (double)h->nq + (double)h->nk;
    double n = 0;

    if (want->needs & ATN_NEED_COLUMNS) n += (double)h->nk;
    if (want->needs & ATN_NEED_DIAGONALS) n += lines;
    if (want->needs & ATN_NEED_LOGITS) n += lines;
    if (want->needs & ATN_NEED_BLOCKS) n += (double)blocks_of(h, want);
    return n * sizeof(uint64_t);
}

double atn_tile_sums_bytes(const atn_head *h, const atn_row_want *want)
{
    const double line = (double)h->nk + (double)atn_tile_rows(h);
    double bytes = 4 * sizeof(double) * line;

    if (want->needs & ATN_NEED_BLOCKS)
        bytes += (sizeof(double) + 2 * sizeof(float) + 1) *
                 ((double)blocks_across(h, want) + 1);
    return bytes;
}

/* ---- of one tile ---- */

/* The rows of the tile lie in one block row, whose blocks are sums of its columns. */
static bool one_block_row(const atn_tile_sums *s)
{
    const atn_idx edge = s->want->block;

    return s->to->blocks && s->t.rows > 0 &&
           s->t.first / edge == (s->t.first + s->t.rows - 1) / edge;
}

static atn_status take_line(atn_ctx *cx, atn_idx n, double **line)
{
    atn_status st = ATN_OK;

    ATN_TAKE(*line, n);
    memset(*line, 0, (size_t)n * sizeof **line);
done:
    return st;
}

atn_status atn_tile_sums_take(atn_ctx *cx, atn_tile_sums *s)
{
    const atn_row_sums *to = s->to;
    const atn_idx line = s->t.rows + s->t.keys;
    atn_status st = ATN_OK;

    s->row = -1;
    if (to->columns || to->blocks) ATN_TRY(take_line(cx, s->t.keys, &s->columns));
    if (to->diagonals) ATN_TRY(take_line(cx, line, &s->diagonals));
    if (to->logits) ATN_TRY(take_line(cx, line, &s->logits));
    if (to->logits) ATN_TRY(take_line(cx, line, &s->step));
    if (!to->blocks || s->t.keys == 0) goto done;
    s->first_block = s->t.key0 / s->want->block_keys;
    s->across = (s->t.key0 + s->t.keys - 1) / s->want->block_keys - s->first_block + 1;
    ATN_TAKE(s->blocks, s->across);
    if (to->block_max || to->needed) ATN_TAKE(s->row_max, s->across);
    if (to->block_max) ATN_TAKE(s->max, s->across);
    if (to->needed) ATN_TAKE(s->needed, s->across);
done:
    return st;
}

/* Diagonal c - r + rows - 1 of some rows of the tile stands here among those of all. */
static double *some_diagonals(const atn_tile_sums *s, double *line, atn_idx r,
                              atn_idx rows)
{
    return line + s->t.rows - rows - r;
}

void atn_tile_sums_logits(atn_tile_sums *s, atn_cmat logits, atn_idx r, atn_idx rows)
{
    if (s->logits && s->t.keys > 0)
        atn_tile_diagonals(logits.data, logits.ld, rows, s->t.keys,
                           some_diagonals(s, s->logits, r, rows));
}

void atn_tile_sums_rows(atn_tile_sums *s, atn_cmat p, atn_idx r, atn_idx rows)
{
    if (s->t.keys == 0) return;
    if (s->to->columns || one_block_row(s))
        atn_tile_columns(p.data, p.ld, rows, s->t.keys, s->columns);
    if (s->diagonals)
        atn_tile_diagonals(p.data, p.ld, rows, s->t.keys,
                           some_diagonals(s, s->diagonals, r, rows));
}

/* Where block (row, first_block) of the tile stands among all. */
static atn_idx cell_of(const atn_tile_sums *s, atn_idx row)
{
    return row * blocks_across(s->h, s->want) + s->first_block;
}

/* Hands on what a block row has gathered, and starts the next. */
static void next_block_row(atn_tile_sums *s, atn_idx row)
{
    const atn_idx n = s->across;

    if (s->row >= 0 && s->max)
        shared_max(s->locks, s->to->block_max + cell_of(s, s->row), s->max, n);
    if (s->row >= 0 && s->needed)
        shared_or(s->locks, s->to->needed + cell_of(s, s->row), s->needed, n);
    if (s->max) memset(s->max, 0, (size_t)n * sizeof *s->max);
    if (s->needed) memset(s->needed, 0, (size_t)n);
    s->row = row;
}

/* Blocks whose largest weight is in the minimal set. Of weights that equal the least
 * one, those in blocks up to that of the last one that counts. */
static void mark_needed(const float *max, atn_idx n, atn_idx before, atn_idx edge,
                        const atn_cover *c, uint8_t *needed)
{
    for (int l = 0; l < ATN_COVER_LEVELS; l++) {
        const atn_idx end =
            c->last[l] < 0 ? 0 : ATN_MIN((before + c->last[l]) / edge + 1, n);

        atn_vec_mark(max, n, c->least[l], end, (uint8_t)(1 << l), needed);
    }
}

void atn_tile_sums_row(atn_tile_sums *s, atn_idx i, const float *seen,
                       const atn_row_info *info, const atn_cover *cover)
{
    const atn_idx edge = s->want->block_keys, n = info->hi - info->lo,
                  before = info->lo - s->first_block * edge;

    if (!s->row_max || n == 0) return;
    if (i / s->want->block != s->row) next_block_row(s, i / s->want->block);
    memset(s->row_max, 0, (size_t)s->across * sizeof *s->row_max);
    atn_row_block_max(seen, n, before % edge, edge, s->row_max + before / edge);
    if (s->max) atn_vec_max(s->max, s->row_max, s->across);
    if (s->needed) mark_needed(s->row_max, s->across, before, edge, cover, s->needed);
}

static void add_blocks(atn_tile_sums *s, atn_idx row)
{
    const atn_idx edge = s->want->block_keys, shift = s->first_block * edge - s->t.key0;

    for (atn_idx b = 0; b < s->across; b++) {
        const atn_idx from = ATN_MAX(shift + b * edge, (atn_idx)0),
                      to = ATN_MIN(shift + (b + 1) * edge, s->t.keys);

        s->blocks[b] = 0;
        for (atn_idx c = from; c < to; c++) s->blocks[b] += s->columns[c];
    }
    shared_add(s->locks, s->to->blocks + cell_of(s, row), s->blocks, s->across, FIXED);
}

static void add_columns(atn_tile_sums *s, atn_cmat p)
{
    const atn_idx rows = s->t.rows, first = s->t.first, edge = s->want->block;

    if (s->to->columns)
        shared_add(s->locks, s->to->columns + s->t.key0, s->columns, s->t.keys, FIXED);
    if (one_block_row(s)) {
        add_blocks(s, first / edge);
        return;
    }
    for (atn_idx r = 0, end; r < rows && s->to->blocks; r = end) {
        const atn_idx row = (first + r) / edge;

        end = ATN_MIN((row + 1) * edge - first, rows);
        memset(s->columns, 0, (size_t)s->t.keys * sizeof *s->columns);
        atn_tile_columns(atn_crow(p, r), p.ld, end - r, s->t.keys, s->columns);
        add_blocks(s, row);
    }
}

/* Takes each row's log-sum-exp from the diagonals it lies on. */
static void shift_logits(const atn_tile_sums *s, const atn_row_info *info)
{
    const atn_idx n = s->t.rows + s->t.keys - 1;
    double *step = s->step, sum = 0;

    for (atn_idx r = 0; r < s->t.rows; r++) {
        const atn_idx at = s->t.rows - 1 - r - s->t.key0;

        step[info[r].lo + at] += info[r].lse;
        step[info[r].hi + at] -= info[r].lse;
    }
    for (atn_idx e = 0; e < n; e++) {
        sum += step[e];
        s->logits[e] -= sum;
    }
}

static bool logits_fit(const atn_tile_sums *s)
{
    const double most = LOGIT_MOST * (double)s->t.rows;

    for (atn_idx e = 0; e < s->t.rows + s->t.keys - 1; e++)
        if (!(fabs(s->logits[e]) <= most)) return false; /* nor does NaN */
    return true;
}

/* Entry (r, c) of the tile lies on its diagonal c - r + rows - 1; among all, diagonals
 * are counted the other way round, by i - j. */
static void add_diagonals(atn_tile_sums *s, double *x, double unit, uint64_t *to)
{
    const atn_idx n = s->t.rows + s->t.keys - 1,
                  base = s->t.first - s->t.key0 - (s->t.keys - 1) + s->h->nk - 1;

    for (atn_idx e = 0; e < n / 2; e++) {
        const double y = x[e];
        x[e] = x[n - 1 - e];
        x[n - 1 - e] = y;
    }
    shared_add(s->locks, to + base, x, n, unit);
}

void atn_tile_sums_add(atn_tile_sums *s, atn_cmat p, const atn_row_info *info)
{
    if (s->t.rows == 0 || s->t.keys == 0) return;
    if (s->columns) add_columns(s, p);
    if (s->row >= 0) next_block_row(s, -1);
    if (s->diagonals) add_diagonals(s, s->diagonals, FIXED, s->to->diagonals);
    if (!s->logits) return;
    shift_logits(s, info);
    if (logits_fit(s)) {
        add_diagonals(s, s->logits, FIXED_LOGIT, s->to->logits);
        return;
    }
#pragma omp atomic write
    s->to->no_logits = true;
}
