/* approx/blocks.h -- what planners share that score blocks of keys: the blocks of a
 * row, products of queries with few vectors, blocks as keys of a row.
 *
 * Math    blocks of B tokens from position 0 on. The query at position t that sees the
 *         keys [lo, hi) has of them those with a key in [lo, hi); the one of t is its
 *         current one, those before it are past, and complete are those with
 *         c < floor((t + 1) / B): of a block's last token its own, too.
 * Oracle  by hand in tests/approx/test_blocks.c.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "approx/chosen.h"
#include "approx/tally.h"

/* Blocks [first, end) of a row; the past ones end at `past`, and so does the current
 * one begin: end is past + 1 where the row sees a key of it, else past. */
typedef struct atn_block_row {
    atn_idx at, lo, hi; /* position, keys */
    atn_idx first, past, end, complete;
} atn_block_row;
/* first == end: the row sees nothing. */
atn_block_row atn_block_row_of(const atn_head *h, atn_idx i, atn_idx block);
/* Puts the keys of n blocks that the row sees. */
atn_status atn_block_row_put(atn_ctx *cx, atn_chosen *c, const atn_block_row *r,
                             atn_idx block, const atn_idx *blocks,
                             atn_idx n) ATN_WARN_UNUSED;

/* Vectors that queries are scored against, in the arena. */
typedef struct atn_scored {
    float *panels; /* of core/kernels/kernels.h */
    atn_idx n, d;
} atn_scored;
atn_status atn_scored_pack(atn_ctx *cx, atn_cmat x, atn_scored *out) ATN_WARN_UNUSED;
/* Room for n of length d, to be put some at a time: x are those from `from` on, a
 * multiple of ATN_PANEL, and as is their number where they are not the last. */
atn_status atn_scored_open(atn_ctx *cx, atn_idx n, atn_idx d,
                           atn_scored *out) ATN_WARN_UNUSED;
void atn_scored_put(const atn_scored *s, atn_idx from, atn_cmat x);
/* out, in the arena: q_r . x_(lo + c) in float32, equal vectors equal scores. q has the
 * rows of a tile, of atn_scored_rows at most. */
atn_status atn_scored_tile(atn_ctx *cx, const atn_scored *x, atn_cmat q, atn_idx lo,
                           atn_idx hi, atn_mat *out) ATN_WARN_UNUSED;
/* Rows that a tile of scores against n vectors should have. */
atn_idx atn_scored_rows(atn_idx n);
/* Bytes of the vectors, and of the tiles of all threads. */
double atn_scored_bytes(const atn_ctx *cx, atn_idx n, atn_idx d);

/* Rows [from, to) of a head and the vectors [lo, hi) that some of them looks at; none:
 * lo == hi. */
typedef struct atn_row_tile {
    atn_idx from, to, lo, hi;
} atn_row_tile;

/* Rows of a head against vectors. */
typedef struct atn_scoring {
    const char *what; /* for progress */
    atn_idx rows, vectors;
    /* The vectors that row i looks at; lo >= hi: none. */
    atn_span (*range)(const void *state, atn_idx i);
    /* On any thread. */
    atn_status (*tile)(atn_ctx *cx, void *state, const atn_row_tile *t,
                       atn_tally *tally);
    void *state;
} atn_scoring;

/* Visits all rows by tiles of atn_scored_rows; out <- what they counted. */
atn_status atn_scored_run(atn_ctx *cx, const atn_scoring *s,
                          atn_tally *out) ATN_WARN_UNUSED;
/* atn_scored_tile of the queries of h and the vectors of t. */
atn_status atn_scored_queries(atn_ctx *cx, const atn_scored *x, const atn_head *h,
                              const atn_row_tile *t, atn_mat *out) ATN_WARN_UNUSED;
