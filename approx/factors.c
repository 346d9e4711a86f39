/* approx/factors.c -- stored weights as an operator: prefix sums of what the keys of a
 * block give, and single entries. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/factors.h"

#include <string.h>

#include "core/rows.h"

enum { SEGMENT = 64, CHUNK = 64 };

void atn_factors_release(atn_ctx *cx, atn_factors *f)
{
    for (atn_idx b = 0; f->block && b < f->blocks; b++) {
        atn_free(cx, f->block[b].u);
        atn_free(cx, f->block[b].v);
    }
    atn_free(cx, f->block);
    atn_free(cx, f->ptr);
    atn_free(cx, f->key);
    atn_free(cx, f->value);
    *f = (atn_factors){0};
}

double atn_factors_numbers(const atn_factors *f)
{
    double n = f->ptr ? (double)f->ptr[f->nq] : 0;

    for (atn_idx b = 0; b < f->blocks; b++)
        n += (double)f->block[b].rank * (double)(f->block[b].rows + f->block[b].keys);
    return n;
}

double atn_factors_executed(const atn_head *h, double numbers)
{
    const double d = (double)h->q.cols, dv = (double)h->v.cols;

    return d + dv > 0 && dv > 0 ? numbers * dv / (d + dv) : numbers;
}

atn_spending atn_factors_spending(const atn_head *h, atn_idx rank)
{
    const double numbers = (double)rank * (double)(h->nq + h->nk);

    return (atn_spending){.numbers = numbers / (double)ATN_MAX(h->nq, (atn_idx)1),
                          .executed = atn_factors_executed(h, numbers)};
}

/* The keys that row i has a weight for. */
static void sight_of(const atn_head *h, const atn_factors *f, atn_idx i, atn_idx *lo,
                     atn_idx *hi)
{
    atn_sight_row(&h->sight, i, lo, hi);
    if (f->masked || *lo >= *hi) return;
    *lo = 0;
    *hi = f->nk;
}

/* ---- rows ---- */

static void block_row(const atn_factor_block *b, atn_idx i, atn_idx lo, atn_idx hi,
                      double *w)
{
    const double *u = b->u + (i - b->row) * b->rank;

    if (i < b->row || i >= b->row + b->rows) return;
    for (atn_idx j = ATN_MAX(lo, b->key); j < ATN_MIN(hi, b->key + b->keys); j++) {
        const double *v = b->v + (j - b->key) * b->rank;

        for (atn_idx k = 0; k < b->rank; k++) w[j] += u[k] * v[k];
    }
}

void atn_factors_rows(const atn_head *h, const atn_factors *f, atn_idx first, atn_idx n,
                      double *w)
{
    memset(w, 0, (size_t)(n * f->nk) * sizeof *w);
    for (atn_idx i = first; i < first + n; i++, w += f->nk) {
        atn_idx lo, hi;

        sight_of(h, f, i, &lo, &hi);
        for (atn_idx b = 0; b < f->blocks; b++) block_row(&f->block[b], i, lo, hi, w);
        for (int64_t e = f->ptr ? f->ptr[i] : 0; f->ptr && e < f->ptr[i + 1]; e++)
            if (f->key[e] >= lo && f->key[e] < hi) w[f->key[e]] += f->value[e];
    }
}

static atn_status rows_of(atn_ctx *cx, const atn_head *h, const void *state,
                          atn_idx first, atn_idx n, double *w)
{
    (void)cx;
    atn_factors_rows(h, state, first, n, w);
    return ATN_OK;
}

atn_status atn_factors_error(atn_ctx *cx, const atn_head *h, const atn_factors *f,
                             const double *p, double *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *w = NULL;

    *out = 0;
    ATN_TAKE(w, f->nk);
    for (atn_idx i = 0; i < f->nq; i++, p += f->nk) {
        atn_factors_rows(h, f, i, 1, w);
        for (atn_idx j = 0; j < f->nk; j++) *out += (p[j] - w[j]) * (p[j] - w[j]);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- apply ---- */

typedef struct apply {
    const atn_head *h;
    const atn_factors *f;
    double *o;
    double **sum; /* [blocks] sums of v_j (value j) over the keys before every segment,
                       and over all: [segments + 1, rank, dv] */
    atn_idx *first; /* [blocks + 1] segments of the blocks before */
    atn_idx *ptr;   /* [chunks + 1] blocks that rows of a chunk are in, ascending, */
    atn_idx *block; /* are [ptr[chunk], ptr[chunk + 1]) of these */
} apply;

static atn_idx segments(const atn_factor_block *b)
{
    return (b->keys + SEGMENT - 1) / SEGMENT;
}

/* o [cols] += sum_k u_k s_k, s [rank, cols]. */
static void mix(const double *u, const double *s, atn_idx rank, atn_idx cols, double *o)
{
    for (atn_idx k = 0; k < rank; k++)
        for (atn_idx c = 0; c < cols; c++) o[c] += u[k] * s[k * cols + c];
}

/* What one segment gives, into the place after it. */
static atn_status add_segment(atn_ctx *cx, atn_idx task, void *state)
{
    const apply *a = state;
    const atn_idx dv = a->h->v.cols;
    atn_idx b = 0, past = a->f->blocks, s, end;
    const atn_factor_block *of;
    double *sum;

    (void)cx;
    while (past - b > 1) {
        const atn_idx middle = b + (past - b) / 2;

        if (a->first[middle] <= task)
            b = middle;
        else
            past = middle;
    }
    of = &a->f->block[b];
    s = task - a->first[b];
    sum = a->sum[b] + (s + 1) * of->rank * dv;
    end = ATN_MIN((s + 1) * SEGMENT, of->keys);
    memset(sum, 0, (size_t)(of->rank * dv) * sizeof *sum);
    for (atn_idx j = s * SEGMENT; j < end; j++) {
        const float *value = atn_crow(a->h->v, of->key + j);
        const double *v = of->v + j * of->rank;

        for (atn_idx k = 0; k < of->rank; k++)
            for (atn_idx c = 0; c < dv; c++) sum[k * dv + c] += v[k] * (double)value[c];
    }
    return ATN_OK;
}

static void prefix(const apply *a)
{
    for (atn_idx b = 0; b < a->f->blocks; b++) {
        const atn_factor_block *of = &a->f->block[b];
        const atn_idx n = of->rank * a->h->v.cols;

        memset(a->sum[b], 0, (size_t)n * sizeof *a->sum[b]);
        for (atn_idx e = n; e < (segments(of) + 1) * n; e++)
            a->sum[b][e] += a->sum[b][e - n];
    }
}

/* Row i of block b, of the keys [lo, hi). */
static void apply_block(const apply *a, atn_idx b, atn_idx i, atn_idx lo, atn_idx hi)
{
    const atn_factor_block *of = &a->f->block[b];
    const atn_idx dv = a->h->v.cols, n = of->rank * dv;
    const double *u = of->u + (i - of->row) * of->rank;
    double *o = a->o + i * dv;
    atn_idx from = ATN_MAX(lo - of->key, 0);
    const atn_idx to = ATN_MIN(hi - of->key, of->keys);

    if (i < of->row || i >= of->row + of->rows || to <= from) return;
    if (from == 0) {
        const atn_idx s = to == of->keys ? segments(of) : to / SEGMENT;

        mix(u, a->sum[b] + s * n, of->rank, dv, o);
        from = ATN_MIN(s * SEGMENT, to);
    }
    for (atn_idx j = from; j < to; j++) {
        const float *value = atn_crow(a->h->v, of->key + j);
        double w = 0;

        for (atn_idx k = 0; k < of->rank; k++) w += u[k] * of->v[j * of->rank + k];
        for (atn_idx c = 0; c < dv; c++) o[c] += w * (double)value[c];
    }
}

static atn_status apply_chunk(atn_ctx *cx, atn_idx task, void *state)
{
    const apply *a = state;
    const atn_factors *f = a->f;
    const atn_idx dv = a->h->v.cols, first = task * CHUNK;
    const atn_idx end = ATN_MIN(first + CHUNK, f->nq);

    (void)cx;
    memset(a->o + first * dv, 0, (size_t)((end - first) * dv) * sizeof *a->o);
    for (atn_idx i = first; i < end; i++) {
        atn_idx lo, hi;

        sight_of(a->h, f, i, &lo, &hi);
        for (atn_idx k = a->ptr[task]; k < a->ptr[task + 1]; k++)
            apply_block(a, a->block[k], i, lo, hi);
        for (int64_t e = f->ptr ? f->ptr[i] : 0; f->ptr && e < f->ptr[i + 1]; e++) {
            const float *value = atn_crow(a->h->v, f->key[e]);

            if (f->key[e] < lo || f->key[e] >= hi) continue;
            for (atn_idx c = 0; c < dv; c++)
                a->o[i * dv + c] += f->value[e] * (double)value[c];
        }
    }
    return ATN_OK;
}

static atn_idx chunks_of(const atn_factors *f)
{
    return (f->nq + CHUNK - 1) / CHUNK;
}

/* Chunks [*from, *to) that have rows of this block. */
static void chunks_in(const atn_factor_block *b, atn_idx *from, atn_idx *to)
{
    *from = b->row / CHUNK;
    *to = b->rows > 0 ? (b->row + b->rows - 1) / CHUNK + 1 : *from;
}

/* How many chunks the blocks have, each by itself. */
static atn_idx chunks_in_all(const atn_factors *f)
{
    atn_idx n = 0;

    for (atn_idx b = 0; b < f->blocks; b++) {
        atn_idx from, to;

        chunks_in(&f->block[b], &from, &to);
        n += to - from;
    }
    return n;
}

static atn_status list_blocks(atn_ctx *cx, apply *a)
{
    const atn_factors *f = a->f;
    const atn_idx chunks = chunks_of(f);
    atn_status st = ATN_OK;
    atn_idx from, to;

    ATN_TAKE(a->ptr, chunks + 2); /* two places on, while they are counted and filled */
    ATN_TAKE(a->block, chunks_in_all(f));
    memset(a->ptr, 0, (size_t)(chunks + 2) * sizeof *a->ptr);
    for (atn_idx b = 0; b < f->blocks; b++) {
        chunks_in(&f->block[b], &from, &to);
        for (atn_idx c = from; c < to; c++) a->ptr[c + 2]++;
    }
    for (atn_idx c = 0; c < chunks; c++) a->ptr[c + 2] += a->ptr[c + 1];
    for (atn_idx b = 0; b < f->blocks; b++) {
        chunks_in(&f->block[b], &from, &to);
        for (atn_idx c = from; c < to; c++) a->block[a->ptr[c + 1]++] = b;
    }
done:
    return st;
}

static atn_status apply_factors(atn_ctx *cx, const atn_head *h, const void *state,
                                double *o, const char *what)
{
    const atn_factors *f = state;
    const atn_arena_mark mark = atn_arena_save(cx);
    apply a = {.h = h, .f = f, .o = o};
    atn_status st = ATN_OK;

    ATN_TAKE(a.sum, f->blocks + 1);
    ATN_TAKE(a.first, f->blocks + 1);
    a.first[0] = 0;
    for (atn_idx b = 0; b < f->blocks; b++) {
        const atn_factor_block *of = &f->block[b];

        a.first[b + 1] = a.first[b] + segments(of);
        ATN_TAKE(a.sum[b], (segments(of) + 1) * of->rank * h->v.cols);
    }
    ATN_TRY(atn_parallel(cx, a.first[f->blocks], add_segment, &a, what));
    prefix(&a);
    ATN_TRY(list_blocks(cx, &a));
    ATN_TRY(atn_parallel(cx, chunks_of(f), apply_chunk, &a, what));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static double bytes_of(const atn_ctx *cx, const atn_head *h, const void *state)
{
    const atn_factors *f = state;
    double sum = 0;

    (void)cx;
    for (atn_idx b = 0; b < f->blocks; b++) {
        const atn_factor_block *of = &f->block[b];

        sum += (double)(segments(of) + 1) * (double)of->rank * (double)h->v.cols *
                   sizeof(double) +
               64 + sizeof(double *) + sizeof(atn_idx);
    }
    return sum + sizeof(atn_idx) * (double)(chunks_of(f) + 2 + chunks_in_all(f)) +
           5 * 64;
}

static void release(atn_ctx *cx, void *state)
{
    if (state) atn_factors_release(cx, state);
    atn_free(cx, state);
}

static const atn_operator_kind kind = {.id = "factors",
                                       .apply = apply_factors,
                                       .rows = rows_of,
                                       .bytes = bytes_of,
                                       .release = release};

atn_status atn_factors_plan(atn_ctx *cx, const atn_head *h, atn_factors *f, atn_plan *p)
{
    const double numbers = atn_factors_numbers(f);
    atn_operator op = {.kind = &kind, .executed = atn_factors_executed(h, numbers)};
    atn_factors *own = NULL;
    atn_status st = ATN_OK;

    ATN_NEW(own, 1);
    *own = *f;
    *f = (atn_factors){0};
    op.state = own;
    atn_plan_operator(p, &op, numbers / (double)ATN_MAX(own->nq, (atn_idx)1));
done:
    atn_factors_release(cx, f);
    return st;
}

/* ---- making ---- */

atn_status atn_factors_open(atn_ctx *cx, const atn_head *h, atn_idx rank, bool masked,
                            atn_factors *out)
{
    atn_status st = ATN_OK;
    atn_factor_block *b;
    atn_idx n;

    *out = (atn_factors){.nq = h->nq, .nk = h->nk, .masked = masked};
    ATN_NEW(out->block, 1);
    out->blocks = 1;
    b = out->block;
    *b = (atn_factor_block){.rows = h->nq, .keys = h->nk, .rank = rank};
    if (!atn_mul(ATN_MAX(h->nq, h->nk), rank, &n))
        ATN_FAIL(ATN_MEMORY, "a rank of %lld is beyond all memory", (long long)rank);
    ATN_NEW(b->u, h->nq * rank);
    ATN_NEW(b->v, h->nk * rank);
done:
    if (st != ATN_OK) atn_factors_release(cx, out);
    return st;
}

atn_status atn_factors_take(atn_ctx *cx, const double *x, atn_factors *f)
{
    const atn_idx all = f->nq * f->nk;
    atn_status st = ATN_OK;
    int64_t n = 0;

    ATN_NEW(f->ptr, f->nq + 1);
    for (atn_idx e = 0; e < all; e++) n += x[e] != 0;
    ATN_NEW(f->key, n);
    ATN_NEW(f->value, n);
    n = 0;
    for (atn_idx i = 0; i < f->nq; i++) {
        for (atn_idx j = 0; j < f->nk; j++) {
            if (x[i * f->nk + j] == 0) continue;
            f->key[n] = (int32_t)j;
            f->value[n++] = x[i * f->nk + j];
        }
        f->ptr[i + 1] = n;
    }
done:
    return st;
}
