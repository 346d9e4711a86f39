/* analysis/vertical_slash.h -- a few keys that all rows read and a few distances: how
 * much of the attention is theirs?
 *
 * Math    column sums over rows, sum_i P_ij, and diagonal sums, of P_ij with
 *         t_i - j = delta (t the position of the query); verticals are the V keys of
 *         the largest column sums, slashes the S distances of the largest diagonal
 *         sums, each list on its own, equal sums by key and by |delta|, delta. A row
 *         keeps the keys that are a vertical or lie on a slash, each once: its retained
 *         mass is their share of the row's mass.
 * Oracle  UC(4): both sums 2.083333 1.083333 .583333 .25; F4: 1.8 .95 1 .25 and 2.25
 *         1.3 .35 .1, so V = 1, S = 1 keeps 1, .5 + .5, .2 + .5, .1 + .25 of the rows.
 * Source  MInference (microsoft/MInference, minference_forward.py); card B15.
 * Cost    lists: one row pass. Retained mass: one walk, V + S steps a row and pattern.
 * Limits  rows that were sampled have no column and diagonal sums.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/rows.h"

/* Keys and distances by their sums, largest first; only those that some row sees.
 * Owned. */
typedef struct atn_slash_lists {
    atn_idx keys, slashes;
    atn_idx *key;        /* [keys] */
    atn_idx *slash;      /* [slashes] t - j; negative where a row sees keys after it */
    atn_idx *rank;       /* [nk] place of a key in `key`, nk where it is not there */
    atn_idx near;        /* the smallest distance */
    atn_idx *slash_rank; /* [slashes] place of distance near + i in `slash` */
    double *key_sum, *slash_sum; /* [keys], [slashes] */
} atn_slash_lists;

/* From the rows i >= first. The first `forced` keys and the distances 0 .. forced - 1
 * come before all others. lists is zeroed first. */
atn_status atn_slash_lists_make(atn_ctx *cx, const atn_head *h, atn_idx first,
                                atn_idx forced, atn_slash_lists *lists) ATN_WARN_UNUSED;
void atn_slash_lists_release(atn_ctx *cx, atn_slash_lists *lists);

/* What a row keeps, and means over the rows that see a key and have mass,
 * i >= skip_rows. */
typedef struct atn_slash_pattern {
    /* NULL: the first `verticals` keys that are no padding, and |t - j| <= slashes */
    const atn_slash_lists *lists;
    atn_idx verticals, slashes;
    bool oracle;              /* also the mass of as many best keys of each row */
    double mass, oracle_mass; /* NaN where no row counts */
    double density;           /* entries kept of those that the rows see */
} atn_slash_pattern;

atn_status atn_slash_retained(atn_ctx *cx, const atn_head *h, atn_idx skip_rows,
                              atn_slash_pattern *pattern, int n) ATN_WARN_UNUSED;
