/* bench/bare.h -- the floor of everything that walks over attention rows: SGEMM over the visible
 * tiles plus a vectorised exp over the same entries, with as many threads.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <math.h>
#include <stdlib.h>

#include "core/kernels/kernels.h"
#include "core/rows.h"

/* e^x of every element; the floor has nothing else to do. */
ATN_CLONES static void bare_exp(float *x, atn_idx n)
{
    for (atn_idx j = 0; j < n; j++) x[j] = atn_expf(x[j]);
}

typedef struct bare_job {
    const atn_head *h;
    bool scalar;
    atn_idx columns; /* that every tile is multiplied by besides */
    const float *x;  /* [nk, columns] */
} bare_job;

static atn_status bare_tile(atn_ctx *cx, atn_idx i, void *state)
{
    const bare_job *j = state;
    const atn_head *h = j->h;
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx rows = atn_tile_rows(h);
    const atn_tile t =
        atn_tile_of(h, (h->nq + rows - 1) / rows * rows - (i + 1) * rows, rows);
    const atn_cmat q = {atn_crow(h->q, t.first), t.rows, h->q.cols, h->q.ld};
    const atn_cmat k = {atn_crow(h->k, t.key0), t.keys, h->k.cols, h->k.ld};
    atn_mat s = {NULL, t.rows, t.keys, t.keys};
    atn_status st = ATN_OK;

    ATN_TAKE(s.data, t.rows * t.keys);
    atn_gemm(true, (float)h->scale, q, k, 0, s);
    for (atn_idx r = 0; r < t.rows; r++) {
        atn_idx lo, hi;
        float *row;

        atn_sight_row(&h->sight, t.first + r, &lo, &hi);
        row = atn_row(s, r) + (lo - t.key0);
        if (j->scalar)
            for (atn_idx c = 0; c < hi - lo; c++) row[c] = expf(row[c]);
        else
            bare_exp(row, hi - lo);
    }
    if (j->columns > 0) {
        const atn_cmat x = {j->x + t.key0 * j->columns, t.keys, j->columns, j->columns};
        atn_mat y = {NULL, t.rows, j->columns, j->columns};

        ATN_TAKE(y.data, t.rows * j->columns);
        atn_gemm(false, 1, atn_const(s), x, 0, y);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Seconds; scalar: libm's expf instead; columns: each tile by a matrix of so many, besides. */
static double bench_bare(atn_ctx *cx, const atn_head *h, bool scalar, atn_idx columns)
{
    float *x = atn_alloc(cx, h->nk * columns + 1, sizeof *x);
    const bare_job j = {h, scalar, columns, x};
    const atn_idx rows = atn_tile_rows(h);
    const double start = atn_seconds();

    if (atn_parallel(cx, (h->nq + rows - 1) / rows, bare_tile, (void *)&j, "bare") !=
        ATN_OK)
        exit(2);
    atn_free(cx, x);
    return atn_seconds() - start;
}
