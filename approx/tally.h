/* approx/tally.h -- what choosing has looked at, and what that cost.
 *
 * Oracle  by hand in tests/approx/test_blocks.c and test_rank.c.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/plan.h"

typedef struct atn_tally {
    int64_t scored;     /* pairs of a query and a key, or what stands for one */
    int64_t ties;       /* as in atn_plan */
    int64_t keys, rows; /* read, where they are gathered from anywhere */
} atn_tally;
atn_tally atn_tally_sum(const atn_tally *of, atn_idx n);
/* Adds to an index what n vectors of d numbers cost that come of all keys once and are
 * scored by all queries: 2 d flop a score; keys and queries read once, the vectors and
 * the scores written and read. What the heads of a group share is divided by their
 * number. */
void atn_tally_cost(const atn_tally *t, const atn_head *h, atn_idx n, atn_idx heads,
                    atn_plan *out);
/* Adds what gathered keys of d numbers cost: 2 d flop a pair, keys and rows read. */
void atn_tally_gathered(const atn_tally *t, atn_idx d, atn_plan *out);
/* What out [0] counts is one choice of n heads: each of their plans counts its share of
 * flop and bytes, and the same ties. */
void atn_tally_share(atn_plan *out, atn_idx n);
