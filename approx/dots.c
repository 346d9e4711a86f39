/* approx/dots.c -- the largest dot products, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/dots.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "approx/chosen.h"
#include "core/kernels/kernels.h"
#include "core/order.h"
#include "core/rows.h"

enum { TILE_ROWS = 64, TILE_FLOATS = 1 << 18 };

typedef struct job {
    atn_cmat x, y;
    double longest; /* row of y */
    bool signs;
    int32_t *label; /* [x.rows] */
    atn_idx k;
    int32_t *best; /* [y.rows, k] */
    int64_t *ties;
} job;

static double length(const float *row, atn_idx n)
{
    return sqrt(atn_row_square(row, n));
}

/* Twice the error of a float32 product with a row of this length. */
static double slip_of(const job *j, double size)
{
    return ((double)j->x.cols + 2) * 0x1p-23 * size;
}

/* ---- the nearest ---- */

/* Columns of y at a time: a tile stays in the cache. */
static atn_idx tile_cols(const job *j)
{
    return ATN_MIN(j->y.rows, TILE_FLOATS / TILE_ROWS);
}

/* The best so far of one row of x. */
typedef struct leader {
    double slip;  /* twice the error of its products */
    float most;   /* largest product in float */
    double exact; /* of the best in double */
    int32_t label;
} leader;

static void try_one(const job *j, atn_idx i, atn_idx c, bool minus, leader *l)
{
    const int32_t label = (int32_t)(minus ? j->y.rows + c : c);
    const double dot = atn_row_dot(atn_crow(j->x, i), atn_crow(j->y, c), j->x.cols);
    const double exact = minus ? -dot : dot;

    if (l->label < 0 || exact > l->exact || (exact == l->exact && label < l->label)) {
        l->exact = exact;
        l->label = label;
    }
}

/* Products of row i with rows [first, first + n) of y. */
static void follow(const job *j, atn_idx i, atn_idx first, const float *s, atn_idx n,
                   leader *l)
{
    for (atn_idx c = 0; c < n; c++) {
        if (s[c] > l->most) l->most = s[c];
        if (j->signs && -s[c] > l->most) l->most = -s[c];
    }
    for (atn_idx c = 0; c < n; c++) {
        if (!((double)s[c] < (double)l->most - l->slip))
            try_one(j, i, first + c, false, l);
        if (j->signs && !(-(double)s[c] < (double)l->most - l->slip))
            try_one(j, i, first + c, true, l);
    }
}

static atn_status label_tile(atn_ctx *cx, atn_idx t, void *state)
{
    const job *j = state;
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx first = t * TILE_ROWS, d = j->x.cols, cols = tile_cols(j);
    const atn_idx rows = ATN_MIN((atn_idx)TILE_ROWS, j->x.rows - first);
    atn_status st = ATN_OK;
    leader lead[TILE_ROWS];
    float *s = NULL;

    ATN_TAKE(s, rows * cols);
    for (atn_idx r = 0; r < rows; r++) {
        const double size = length(atn_crow(j->x, first + r), d);

        lead[r] = (leader){slip_of(j, size * j->longest), -INFINITY, 0, -1};
    }
    for (atn_idx c = 0; c < j->y.rows; c += cols) {
        const atn_idx n = ATN_MIN(cols, j->y.rows - c);

        atn_gemm(true, 1, (atn_cmat){atn_crow(j->x, first), rows, d, j->x.ld},
                 (atn_cmat){atn_crow(j->y, c), n, d, j->y.ld}, 0,
                 (atn_mat){s, rows, n, cols});
        for (atn_idx r = 0; r < rows; r++)
            follow(j, first + r, c, s + r * cols, n, &lead[r]);
    }
    for (atn_idx r = 0; r < rows; r++) j->label[first + r] = lead[r].label;
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static double longest_row(atn_cmat x)
{
    double most = 0;

    for (atn_idx i = 0; i < x.rows; i++)
        most = ATN_MAX(most, length(atn_crow(x, i), x.cols));
    return most;
}

atn_status atn_dots_nearest(atn_ctx *cx, atn_cmat x, atn_cmat y, bool signs,
                            int32_t *label, const char *what)
{
    job j = {.x = x, .y = y, .longest = longest_row(y), .signs = signs, .label = label};

    ATN_ASSERT(y.rows >= 1 && x.cols == y.cols && 2 * y.rows <= INT32_MAX);
    return atn_parallel(cx, (x.rows + TILE_ROWS - 1) / TILE_ROWS, label_tile, &j, what);
}

/* ---- the best of all rows ---- */

typedef struct near {
    double dot;
    atn_idx row;
} near;

static int by_dot(const void *a_, const void *b_)
{
    const near *a = a_, *b = b_;

    if (a->dot != b->dot) return a->dot < b->dot ? 1 : -1;
    return (a->row > b->row) - (a->row < b->row);
}

/* What is closer to the cut than the error of the products is put in order again. */
static atn_status settle(atn_ctx *cx, const job *j, atn_idx c, const float *s,
                         float cut, double slip)
{
    const float *y = atn_crow(j->y, c);
    const atn_arena_mark mark = atn_arena_save(cx);
    int32_t *best = j->best + c * j->k;
    atn_status st = ATN_OK;
    atn_idx sure = 0, open = 0, left;
    near *at = NULL;

    for (atn_idx i = 0; i < j->x.rows; i++)
        open += fabs((double)s[i] - (double)cut) <= slip;
    ATN_TAKE(at, open);
    open = 0;
    for (atn_idx i = 0; i < j->x.rows; i++) {
        const double over = (double)s[i] - (double)cut;

        if (over > slip)
            best[sure++] = (int32_t)i;
        else if (over >= -slip)
            at[open++] = (near){atn_row_dot(atn_crow(j->x, i), y, j->x.cols), i};
    }
    left = j->k - sure;
    ATN_ASSERT(left >= 1 && left <= open);
    qsort(at, (size_t)open, sizeof *at, by_dot);
    for (atn_idx e = 0; e < left; e++) best[sure + e] = (int32_t)at[e].row;
    j->ties[c] = 0;
    while (left + j->ties[c] < open && at[left + j->ties[c]].dot == at[left - 1].dot)
        j->ties[c]++;
    qsort(best, (size_t)j->k, sizeof *best, atn_by_int32);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status best_of_one(atn_ctx *cx, atn_idx c, void *state)
{
    const job *j = state;
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_cmat one = {atn_crow(j->y, c), 1, j->y.cols, j->y.ld};
    const double size = length(one.data, one.cols) * j->longest;
    atn_status st = ATN_OK;
    float *s = NULL, *scratch = NULL, cut = INFINITY;
    atn_idx *about = NULL;

    ATN_TAKE(s, j->x.rows);
    ATN_TAKE(scratch, j->x.rows);
    ATN_TAKE(about, j->k);
    for (atn_idx i = 0; i < j->x.rows; i += TILE_FLOATS) {
        const atn_idx n = ATN_MIN((atn_idx)TILE_FLOATS, j->x.rows - i);

        atn_gemm(true, 1, one, (atn_cmat){atn_crow(j->x, i), n, j->x.cols, j->x.ld}, 0,
                 (atn_mat){s + i, 1, n, n});
    }
    for (atn_idx i = 0; i < j->x.rows; i++) /* what overflowed, and its NaN */
        s[i] = fmaxf(fminf(s[i], FLT_MAX), -FLT_MAX);
    atn_best_of(s, j->x.rows, j->k, about, scratch, NULL);
    for (atn_idx e = 0; e < j->k; e++) cut = fminf(cut, s[about[e]]);
    ATN_TRY(settle(cx, j, c, s, cut, slip_of(j, size)));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

double atn_dots_bytes(const atn_ctx *cx, atn_idx rows, atn_idx k)
{
    return (double)cx->threads * (24 * (double)rows + 8 * (double)k);
}

atn_status atn_dots_best(atn_ctx *cx, atn_cmat x, atn_cmat y, const atn_dots_list *out,
                         const char *what)
{
    job j = {.x = x, .y = y, .k = out->k, .best = out->best, .ties = out->ties};

    ATN_ASSERT(j.k >= 1 && j.k <= x.rows && x.cols == y.cols);
    j.longest = longest_row(x);
    return atn_parallel(cx, y.rows, best_of_one, &j, what);
}
