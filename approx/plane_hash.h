/* approx/plane_hash.h -- hashes of tokens by the sides of random planes that they lie
 * on, and their places in a Gray order: what HyperAttention and KDEformer sort by.
 *
 * Math    bit l of x is x . g_l > 0. The place is that of this word in the Gray
 *         sequence; by the `table` of the published codes it is the Gray code of the
 *         word, word ^ word >> 1.
 * Oracle  places of a word and its neighbour in the sequence differ in one bit of the
 *         words; by the table 31 of 127 pairs of 7 bits differ in more.
 * Source  insuhan/hyper-attn, angular_lsh.py.
 * Cost    2 n d r flop.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "approx/method.h"

enum { ATN_HASH_ROWS = 256 }; /* tokens of a task */

typedef struct atn_plane_hash {
    int32_t *q, *k; /* [nq], [nk] places, in the arena of who made them */
} atn_plane_hash;

/* Where a word stands in the Gray sequence, in which neighbours differ in one bit; by
 * the table: its Gray code. */
int32_t atn_gray_place(uint32_t word, bool table);

/* Draws "projections" [d, r], one for the layer, and hashes queries and keys. */
atn_status atn_plane_hash_make(atn_ctx *cx, const atn_input *in, const atn_head *h,
                               const char *purpose, atn_idx r, bool table,
                               atn_plane_hash *out) ATN_WARN_UNUSED;
