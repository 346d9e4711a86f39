/* approx/rank.h -- how well single keys, gathered from anywhere, fit several queries at
 * once: what tree searches compare.
 *
 * Math    out_e = max over the rows i of q of q_i . k_j, j = key_e; no scale.
 * Oracle  equal keys score alike, wherever they stand in the list; the maximum in the
 *         tests.
 * Cost    2 d flop a key and row; keys are gathered a few hundred at a time.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "approx/tally.h"

/* Some queries, ready to be compared with keys; in the arena. */
typedef struct atn_rank {
    atn_idx rows, d;
    float *panels, *keys, *scores;
} atn_rank;

/* q (rows >= 1, d) is copied. */
atn_status atn_rank_open(atn_ctx *cx, atn_cmat q, atn_rank *out) ATN_WARN_UNUSED;
/* k (nk, d); key, out [n]. */
void atn_rank_keys(const atn_rank *r, atn_cmat k, const atn_idx *key, atn_idx n,
                   float *out);
double atn_rank_bytes(atn_idx rows, atn_idx d); /* of an open one */
