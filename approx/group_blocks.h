/* approx/group_blocks.h -- the blocks of keys that a group of heads reads together:
 * SSA, and the selection of NSA.
 *
 * Math    z_gc = the scaled product of query t of head g and the mean key of block c;
 *         lse_g = log-sum-exp of z_gc over the complete blocks with a key that t sees;
 *         imp_c = sum over the heads of exp(z_gc - lse_g), for past blocks. The current
 *         block has +inf. The k blocks of largest imp are kept by all heads alike.
 * Oracle  second fixture of the cards, block 4, k = 3: row 18 keeps {4-7, 12-18}, row
 *         23 {4-7, 16-23}.
 * Source  cards/sparse.md 11: modeling_llama_nsa.py of zhenyi4/ssa, ops/naive.py of
 *         fla-org/native-sparse-attention.
 * Cost    2 d flop a query, head and complete block, one exponential each.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "approx/blocks.h"

typedef struct atn_group_rule {
    const char *id; /* for progress */
    atn_idx block, k;
    bool weighs; /* the current block has 1 a head instead, as in the reference code: a
                    past block of the same importance goes first */
} atn_group_rule;

typedef struct atn_group_choice {
    atn_pattern *pattern; /* by tokens; the caller's */
    atn_tally tally;      /* scores of one head */
} atn_group_choice;

/* heads [n] read the same keys; means (blocks, d) of these. */
atn_status atn_group_blocks(atn_ctx *cx, const atn_head *heads, atn_idx n,
                            const atn_group_rule *rule, atn_cmat means,
                            atn_group_choice *out) ATN_WARN_UNUSED;
/* Means of the keys of h, in the arena. */
atn_status atn_group_means(atn_ctx *cx, const atn_head *h, atn_idx block,
                           atn_cmat *out) ATN_WARN_UNUSED;
/* Bytes at most that both take. */
double atn_group_blocks_bytes(const atn_ctx *cx, const atn_head *h, atn_idx block,
                              atn_idx k);
