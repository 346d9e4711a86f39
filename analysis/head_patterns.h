/* analysis/head_patterns.h -- patterns of captured heads: the keys that hold the weight
 * of each row, or what the model's own mask lets a query see.
 *
 * Math    of row i, weights P_ij over the keys it sees, S_i their sum:
 *           topk:k       the k largest
 *           topp:p       the fewest whose sum reaches p S_i, largest first
 *           threshold:t  those above t
 *         equal weights: the lower key first. With block=b > 1 rows and keys come in
 *         blocks, and the weight of a pair of blocks is the mean over its rows of what
 *         they give to its keys.
 * Oracle  k >= visible keys: all of them; uniform row of m keys: ceil(p m).
 * Source  cards 28 and 29 of the sparse cards; P > t of card A5.
 * Cost    one pass over the rows and a sort of each; memory the intervals kept, of one
 *         head beside the joined ones.
 * Limits  a share counts as reached one unit of float32 short of it, as in
 *         core/row_values.h. Blocks start at position 0, which the queries must do, too.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/param.h"
#include "core/pattern.h"
#include "core/problem.h"

typedef enum atn_take_kind {
    ATN_TAKE_TOPK,
    ATN_TAKE_TOPP,
    ATN_TAKE_THRESHOLD
} atn_take_kind;

typedef struct atn_take {
    int kind; /* atn_take_kind */
    int64_t k, block;
    double p, t;
} atn_take;

/* "topk:k=32,block=64", "topp:p=.9", "threshold:t=.01"; USAGE names the nearest id. */
atn_status atn_take_parse(atn_ctx *cx, const char *spec, atn_take *out) ATN_WARN_UNUSED;
/* Id, text and parameter table of the i-th kind; NULL past the last. */
const char *atn_take_id(int i, const char **text, const atn_param **params);

/* The pattern of the heads that `keep` (NULL = all) names: one that is the union of all
 * where joined, else one with as many heads. */
atn_status atn_heads_pattern(atn_ctx *cx, const atn_head *heads, atn_idx n,
                             const bool *keep, const atn_take *t, bool joined,
                             atn_pattern **out) ATN_WARN_UNUSED;
/* What the mask of a head shows. */
atn_status atn_sight_pattern(atn_ctx *cx, const atn_head *h,
                             atn_pattern **out) ATN_WARN_UNUSED;
