/* core/row_sums.h -- the part of the row pass that rows of different tiles add to: sums
 * over columns, diagonals and blocks, and what is kept of each block. core/row_values.c
 * alone uses it.
 *
 * Math    sums are integers (2^-40, of logits 2^-24), so that their order does not
 *         show; locks guard stretches of 16 KiB. Definitions in core/row_values.h.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <omp.h>

#include "core/kernels/kernels.h"
#include "core/row_values.h"

enum { ATN_SUM_LOCKS = 64 };

typedef struct atn_sum_locks {
    omp_lock_t lock[ATN_SUM_LOCKS];
} atn_sum_locks;

void atn_sum_locks_init(atn_sum_locks *l);
void atn_sum_locks_release(atn_sum_locks *l);

/* The sums of one head; NULL what is not wanted. */
typedef struct atn_row_sums {
    uint64_t *columns, *diagonals, *blocks, *logits;
    float *block_max; /* the caller's */
    uint8_t *needed;  /* the caller's */
    bool no_logits;   /* some logit is not finite or too large for the sums */
} atn_row_sums;

/* want with block_keys and what NEEDED implies filled in. */
atn_status atn_row_sums_create(atn_ctx *cx, const atn_head *h, const atn_row_want *want,
                               const atn_row_out *out, atn_row_sums *s) ATN_WARN_UNUSED;
/* Writes the sums to out. */
void atn_row_sums_widen(const atn_row_sums *s, const atn_head *h,
                        const atn_row_want *want, const atn_row_out *out);
void atn_row_sums_release(atn_ctx *cx, atn_row_sums *s);
/* Bytes of it, and of what one tile takes beside its rows. */
double atn_row_sums_bytes(const atn_head *h, const atn_row_want *want);
double atn_tile_sums_bytes(const atn_head *h, const atn_row_want *want);

/* What one tile gathers before it adds. Its rows come in order, a few at a time, while
 * they are in the second-level cache; rows of one block row follow one another. */
enum { ATN_ROWS_AT_A_TIME = 16 };

typedef struct atn_tile_sums {
    const atn_row_want *want;
    atn_sum_locks *locks;
    atn_row_sums *to;
    const atn_head *h;
    atn_tile t; /* without the rows that are skipped */
    double *columns;
    double *diagonals, *logits; /* counted by keys minus rows */
    double *step;         /* what the log-sum-exp of the rows adds from there on */
    double *blocks;       /* [across], and so are these: */
    float *row_max, *max; /* of the row at hand; of the rows of its block row so far */
    uint8_t *needed;
    atn_idx first_block, across; /* blocks that the keys of the tile touch */
    atn_idx row;                 /* block row of max and needed, -1 none */
} atn_tile_sums;

/* Takes the arrays from the arena of cx. */
atn_status atn_tile_sums_take(atn_ctx *cx, atn_tile_sums *s) ATN_WARN_UNUSED;
/* The logits of rows r .. r + rows of s->t, before their softmax. */
void atn_tile_sums_logits(atn_tile_sums *s, atn_cmat logits, atn_idx r, atn_idx rows);
/* Row i of the head is complete: its block maxima and, where cover is given, the blocks
 * its minimal sets touch. */
void atn_tile_sums_row(atn_tile_sums *s, atn_idx i, const float *seen,
                       const atn_row_info *info, const atn_cover *cover);
/* Rows r .. r + rows of s->t are complete. */
void atn_tile_sums_rows(atn_tile_sums *s, atn_cmat p, atn_idx r, atn_idx rows);
/* All are; p and info begin with the first row of s->t. */
void atn_tile_sums_add(atn_tile_sums *s, atn_cmat p, const atn_row_info *info);
