/* analysis/residual.c -- norms of a layer's input and of what its attention adds. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/residual.h"

#include <math.h>

#include "core/kernels/kernels.h"
#include "core/rows.h"

enum { TILE_ROWS = 64 };

typedef struct job {
    const atn_layer_facts *f;
    double *x, *y; /* [tiles] sums of squares */
} job;

static atn_status one_tile(atn_ctx *cx, atn_idx at, void *state)
{
    const job *j = state;
    const atn_layer_facts *f = j->f;
    const atn_idx nq = f->problem->nq, dv = f->problem->dv, width = f->width;
    const atn_idx first = f->skip_rows + at * TILE_ROWS;
    const atn_idx rows = ATN_MIN((atn_idx)TILE_ROWS, nq - first);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    float *y = NULL;

    ATN_TAKE(y, rows * width);
    for (atn_idx h = 0; h < f->heads; h++)
        atn_gemm(false, 1, (atn_cmat){f->out + (h * nq + first) * dv, rows, dv, dv},
                 (atn_cmat){f->w_o + h * dv * width, dv, width, width}, h > 0 ? 1 : 0,
                 (atn_mat){y, rows, width, width});
    j->y[at] = atn_row_square(y, rows * width);
    j->x[at] = atn_row_square(f->hidden + first * width, rows * width);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_residual_share(atn_ctx *cx, const atn_layer_facts *f, double *share)
{
    const atn_idx tiles =
        (ATN_MAX(f->problem->nq - f->skip_rows, 0) + TILE_ROWS - 1) / TILE_ROWS;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    job j = {.f = f};
    double x = 0, y = 0;

    *share = NAN;
    if (!f->out || !f->w_o || !f->hidden) goto done;
    if (f->hidden_width != f->width)
        ATN_FAIL(ATN_DATA, "layer %d: h has %lld columns, w_o has %lld",
                 f->problem->layer, (long long)f->hidden_width, (long long)f->width);
    ATN_TAKE(j.x, tiles);
    ATN_TAKE(j.y, tiles);
    ATN_TRY(atn_parallel(cx, tiles, one_tile, &j, "residual"));
    for (atn_idx t = 0; t < tiles; t++) {
        x += j.x[t];
        y += j.y[t];
    }
    if (x + y > 0) *share = sqrt(x) / (sqrt(x) + sqrt(y));
done:
    atn_arena_rewind(cx, mark);
    return st;
}
