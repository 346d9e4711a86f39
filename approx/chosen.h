/* approx/chosen.h -- what planners share: rows of keys as they are chosen, on any
 * thread and in any order; the best of many scores; means of blocks.
 *
 * Oracle  by hand in the tests; ties: score descending, then index ascending.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "approx/method.h"

/* Rows of a pattern being chosen: list r serves the queries at positions
 * [r share, (r + 1) share) of a head, lists are counted from position 0 whatever the
 * first query is. */
typedef struct atn_chosen atn_chosen;
/* frame.block is what spans count in; share a multiple of it. */
atn_status atn_chosen_open(atn_ctx *cx, const atn_frame *f, atn_idx share,
                           atn_chosen **out) ATN_WARN_UNUSED;
/* The lists that the queries of the frame have: [*first, *end). */
void atn_chosen_lists(const atn_chosen *c, atn_idx *first, atn_idx *end);
/* Sets list r, once; n spans, sorted here and joined where they touch or overlap. */
atn_status atn_chosen_put(atn_ctx *cx, atn_chosen *c, atn_idx r, const atn_span *spans,
                          atn_idx n) ATN_WARN_UNUSED;
/* The same of single blocks in any order. */
atn_status atn_chosen_put_blocks(atn_ctx *cx, atn_chosen *c, atn_idx r,
                                 const atn_idx *blocks, atn_idx n) ATN_WARN_UNUSED;
/* Makes the pattern, of one head, and frees c, also on failure. */
atn_status atn_chosen_finish(atn_ctx *cx, atn_chosen *c,
                             atn_pattern **out) ATN_WARN_UNUSED;
void atn_chosen_abandon(atn_ctx *cx, atn_chosen *c);
/* Bytes at most until it is finished, and of what is finished: a list of the queries
 * of h for every `share` positions, each of at most `most` spans, or of as many as what
 * it sees can be cut into; and what putting a list takes on every thread. */
double atn_chosen_bytes(const atn_ctx *cx, const atn_head *h, atn_idx block,
                        atn_idx share, double most);

/* The frame of a head: its keys, queries at their positions, in blocks of `block`;
 * causal as it is. */
atn_frame atn_head_frame(const atn_head *h, atn_idx block);
/* The keys that some query at positions [from, to) sees: the hull. lo == hi: none. */
void atn_head_hull(const atn_head *h, atn_idx from, atn_idx to, atn_idx *lo,
                   atn_idx *hi);

/* The k best of score [n] (all, if fewer) by (score desc, index asc) into best [k],
 * indices ascending; returns how many, and adds to *ties (may be NULL) how many were
 * left out with the score of the last one taken. -INFINITY is no candidate. scratch
 * [n]. */
atn_idx atn_best_of(const float *score, atn_idx n, atn_idx k, atn_idx *best,
                    float *scratch, int64_t *ties);

/* Means of blocks of `block` rows of x, the last one short: out [ceil(rows / block),
 * cols]. Summed in double, in order. */
void atn_block_means(atn_cmat x, atn_idx block, float *out);
