/* simulators/tiles_image.c -- a coarse picture of the tiles of a pattern.
 *
 * Cost    the rows of the tiles, and the visited tiles.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>

#include "simulators/tiles_internal.h"

/* The tiles of cell c of `cells`, of n tiles; at least one. */
static atn_span tiles_of(atn_idx c, atn_idx cells, atn_idx n)
{
    const atn_idx lo = c * n / cells;
    const atn_idx hi = (c + 1) * n / cells;

    return (atn_span){lo, ATN_MAX(hi, lo + 1)};
}

/* Adds 1 for every tile of the ranges to its cells. */
static void add_ranges(const atn_tile_source *s, const atn_span *r, atn_idx n,
                       atn_idx cells, double *sum)
{
    atn_idx from = 0;

    for (atn_idx i = 0; i < n; i++) {
        while (from > 0 && tiles_of(from, cells, s->k_tiles).hi > r[i].lo) from--;
        for (atn_idx c = from; c < cells; c++) {
            const atn_span of = tiles_of(c, cells, s->k_tiles);

            if (of.lo >= r[i].hi) break;
            from = c;
            sum[c] +=
                (double)ATN_MAX(ATN_MIN(of.hi, r[i].hi) - ATN_MAX(of.lo, r[i].lo), 0);
        }
    }
}

static void image_row(const atn_tile_source *s, void *scratch, atn_idx cell,
                      double *sum, atn_mat out)
{
    const atn_span rows = tiles_of(cell, out.rows, s->q_tiles);

    memset(sum, 0, (size_t)out.cols * sizeof *sum);
    for (atn_idx m = rows.lo; m < rows.hi; m++) {
        atn_tile_row r;

        s->row(s, scratch, m, 0, &r);
        add_ranges(s, r.seen, r.n_seen, out.cols, sum);
        add_ranges(s, r.full, r.n_full, out.cols, sum);
    }
    for (atn_idx c = 0; c < out.cols; c++) {
        const atn_span of = tiles_of(c, out.cols, s->k_tiles);

        atn_row(out, cell)[c] =
            (float)(sum[c] / ((double)(rows.hi - rows.lo) * (double)(of.hi - of.lo)));
    }
}

atn_status atn_tiles_image(atn_ctx *cx, const atn_pattern *p, atn_idx head,
                           const atn_tiling *t, atn_mat out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    void *scratch = NULL;
    double *sum = NULL;
    atn_tile_source s;

    ATN_ASSERT(out.rows >= 1 && out.cols >= 1);
    if (atn_tiles_closed(p, t)) {
        ATN_TRY(atn_tiles_open(cx, p, head, t, &s));
        atn_tiles_boxes(&s);
    } else {
        ATN_TRY(atn_tiles_make(cx, p, head, t, &s));
    }
    ATN_TRY(atn_mem_check(cx, s.scratch + 8 * (double)out.cols, "drawing tiles"));
    ATN_TRY(s.open(cx, &s, &scratch));
    ATN_TAKE(sum, out.cols);
    for (atn_idx r = 0; r < out.rows; r++) {
        ATN_TRY(atn_progress(cx, "drawing tiles", (double)r, (double)out.rows));
        image_row(&s, scratch, r, sum, out);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}
