/* approx/grouping.h -- what planners that sort and cluster share: groups of a plan,
 * written one after the other, and tokens in the order of a label.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "approx/method.h"

/* A zeroed one is fine to release. */
typedef struct atn_grouping {
    atn_groups g;
    atn_idx room, row_room, key_room;
} atn_grouping;

/* Of all groups together. */
typedef struct atn_grouping_size {
    atn_idx groups, rows, keys;
    bool weighted; /* keys have log weights */
} atn_grouping_size;
/* Room for so many; it grows where they turn out to be more. MEMORY where `what` would
 * go over the limit. */
atn_status atn_grouping_open(atn_ctx *cx, const atn_grouping_size *s, const char *what,
                             atn_grouping *out) ATN_WARN_UNUSED;
void atn_grouping_release(atn_ctx *cx, atn_grouping *g);
/* Begins a group; rows and keys go to the last one. */
atn_status atn_grouping_begin(atn_ctx *cx, atn_grouping *g) ATN_WARN_UNUSED;
atn_status atn_grouping_rows(atn_ctx *cx, atn_grouping *g, const int32_t *rows,
                             atn_idx n) ATN_WARN_UNUSED;
/* All n with this log weight, which only a weighted one has. */
atn_status atn_grouping_keys(atn_ctx *cx, atn_grouping *g, const int32_t *keys,
                             atn_idx n, double log_weight) ATN_WARN_UNUSED;
/* The next part of the branch; g is empty after that. Without a group nothing is
 * added. */
void atn_grouping_finish(atn_ctx *cx, atn_grouping *g, atn_branch *to);

/* order [n] <- 0 .. n - 1 by (label, index). */
atn_status atn_label_order(atn_ctx *cx, const int32_t *label, atn_idx n,
                           int32_t *order) ATN_WARN_UNUSED;
/* out [rows, cols] <- rows of length 1; a row of zeros stays one. */
void atn_unit_rows(atn_cmat x, float *out);
/* Where a word stands in the Gray sequence, in which neighbours differ in one bit;
 * published: its Gray code, by which the code of HyperAttention sorts. */
int32_t atn_gray_place(uint32_t word, bool published);
