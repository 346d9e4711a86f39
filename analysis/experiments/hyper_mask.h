/* analysis/experiments/hyper_mask.h -- what experiments on HyperAttention share: blocks
 * of the sorted order as a mask, and what is left of a head without it.
 *
 * Math    kappa = max_i <1 - M_i, A_i> / min_i <1 - M_i, A_i>, A = e^s; rows in which M
 *         leaves nothing do not count.
 * Source  cards/kernel-theory.md, card 2; Han et al., arXiv 2310.05869.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/experiments/facts.h"

typedef struct atn_hash_blocks {
    uint64_t seed;
    atn_idx draw;   /* of several */
    int bits;       /* planes that a token is hashed by */
    atn_idx block;  /* keys of a block */
    bool published; /* sorted by the table of the published code */
} atn_hash_blocks;

/* mask [nq, nk] <- the pair is in a block: queries and keys sorted by the hash, stable,
 * cut into as many blocks. */
atn_status atn_hash_mask(atn_ctx *cx, const atn_head_facts *f,
                         const atn_hash_blocks *how, bool *mask) ATN_WARN_UNUSED;
/* mask <- the n largest weights of each row, equal ones from the left. */
atn_status atn_largest_mask(atn_ctx *cx, const atn_head_facts *f, atn_idx n,
                            bool *mask) ATN_WARN_UNUSED;

typedef struct atn_unmasked {
    double ln_kappa;       /* NAN where a mask leaves nothing */
    double fewest, most;   /* entries left in a row */
    double range;          /* largest less smallest logit left */
    double square;         /* |P|_F^2 of what is left */
    double alpha;          /* nk max_j |P e_j|^2 of it */
    atn_idx rows, without; /* rows that count, and that see keys but have none left */
} atn_unmasked;

/* mask NULL = nothing is masked. norm [nk] <- |P e_j| of what is left. */
void atn_unmasked_of(const atn_head_facts *f, const bool *mask, double *norm,
                     atn_unmasked *out);
