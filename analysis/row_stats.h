/* analysis/row_stats.h -- the row-statistics pass: one walk over the row tiles of some
 * heads leaves the sufficient statistics from which every measure is a small function.
 *
 * The statistics and their definitions are those of core/row_values.h, which the
 * backend computes; here they are kept for all heads of a batch, only those that are
 * asked for, with the tokens' earlier places found first.
 *
 * Source  cards B1 to B5; a sliding window moves the first visible key, so first and
 *         first4 are kept for the first key that is no padding (0 where the window
 *         hides it).
 * Cost    one row pass. Memory 8 bytes a row and head for every number a row, nk and
 *         nq + nk doubles a head for columns and diagonals, 8 bytes a block.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <math.h>

#include "core/row_values.h"

typedef struct atn_row_stats_opts {
    unsigned needs;            /* ATN_NEED_* */
    atn_idx top_k;             /* keys of topk; 0 = 8 */
    atn_idx skip_rows;         /* rows i < skip_rows stay out of every mean and sum */
    atn_idx block, block_keys; /* edges of blocks; 0 = 64, and the same */
} atn_row_stats_opts;

/* The statistics of one head; borrowed. What is not computed is NULL. */
typedef struct atn_head_stats {
    atn_idx nq, nk;
    const atn_sight *sight;
    atn_row_stats_opts opts;             /* with the defaults filled in */
    const int64_t *seen;                 /* [nq] visible keys of the row */
    const double *value[ATN_ROW_FIELDS]; /* [nq] each */
    const int32_t *tokens;               /* [nk] */
    const bool *repeated;                /* [nq] the row's token occurred before */
    const int64_t *earlier_count;        /* [nq] how often */
    /* of the tokens that are no padding, which repeat to the end from the first or
     * second on; 0 = they do not */
    atn_idx period;
    const int64_t *counted;        /* [nq + 1] rows before i that count */
    double *scratch;               /* [nq + nk] for whoever computes */
    const double *columns;         /* [nk] */
    const double *diagonals;       /* [nq + nk - 1] */
    const double *blocks;          /* [ceil(nq / block), ceil(nk / block_keys)] */
    const float *block_max;        /* as blocks: largest weight */
    const uint8_t *needed;         /* as blocks: bits of atn_cover_levels */
    const double *logit_diagonals; /* as diagonals */
} atn_head_stats;

typedef struct atn_row_stats atn_row_stats;

/* Streams the heads (all with the same nq, nk and sight). tokens: ids of all nk
 * positions, or NULL; what they are needed for is not computed without them. */
atn_status atn_row_stats_run(atn_ctx *cx, const atn_head *heads, atn_idx n_heads,
                             const int32_t *tokens, const atn_row_stats_opts *opts,
                             atn_row_stats **out) ATN_WARN_UNUSED;
void atn_row_stats_destroy(atn_ctx *cx, atn_row_stats *s);
atn_head_stats atn_row_stats_head(const atn_row_stats *s, atn_idx i);
/* Bytes of a run for n_heads heads of the shape of h whose tokens are known: of the
 * result, and of the scratch beside that of the pass. */
double atn_row_stats_bytes(const atn_head *h, atn_idx n_heads,
                           const atn_row_stats_opts *opts);
/* Heads of the shape of h to stream together, at least 1: their result fits 64 MiB and
 * half of what the memory limit leaves, the other half being for the pass itself; and
 * where one head alone keeps all threads busy, at 2^24 pairs of a query and a key, it
 * goes alone, so that little is lost when the run is stopped. */
atn_idx atn_row_stats_batch(const atn_ctx *cx, const atn_head *h,
                            const atn_row_stats_opts *opts);

/* Field f of row i; NaN where it is not computed. */
static inline double atn_row_value(const atn_head_stats *s, atn_row_field f, atn_idx i)
{
    return s->value[f] ? s->value[f][i] : (double)NAN;
}
/* The same for what needs a renormalised row: NaN where a sink logit leaves so little
 * of it that float32 weights have lost their digits, or none. */
static inline double atn_row_shared(const atn_head_stats *s, atn_row_field f, atn_idx i)
{
    return atn_row_value(s, ATN_ROW_MASS, i) > 1e-30 ? atn_row_value(s, f, i)
                                                     : (double)NAN;
}
/* Rows that count: they see a key and survive skip_rows. */
static inline bool atn_row_counts(const atn_head_stats *s, atn_idx i)
{
    return atn_sight_query(s->sight, i) >= s->opts.skip_rows && s->seen[i] > 0;
}
