/* approx/replay.h -- decoding replayed from captured rows: what methods with a history
 * share. The prompt is dense; from there on a row reads the keys that are kept, itself
 * among them, and what it does to them decides what the next row may read.
 *
 * Math    weights of a row over the keys kept are a softmax over these alone, with the
 *         head's scale, bias, cap and sink; in double, the same order of additions for
 *         every key, so that equal keys tie.
 * Oracle  all visible keys kept: the row of dense attention.
 * Cost    2 d flop a key.
 * Limits  positions are those of the keys; queries come from this step or from an
 *         earlier one that it goes on from.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "approx/method.h"

/* Tokens of the prompt: `given`; 0: what the capture says; 0 = neither says it. */
atn_idx atn_prompt_known(const atn_input *in, int64_t given);
/* Tokens of the prompt, 1 .. nk: those known; else those of the first of several steps
 * that go on from one another; else a quarter of the tokens. */
atn_idx atn_replay_prompt(const atn_input *in, int64_t given);
/* The head, of this step or an earlier one, that has the queries at positions
 * [from, to); NULL: there is none. */
const atn_head *atn_replay_rows(const atn_input *in, atn_idx head, atn_idx from,
                                atn_idx to);
/* The query at a position, NULL: there is none. */
const float *atn_replay_query(const atn_input *in, atn_idx head, atn_idx at);
/* The position of the last query. */
atn_idx atn_replay_last(const atn_input *in);
/* DATA unless the queries from position `from` to the last are there. */
atn_status atn_replay_check(atn_ctx *cx, const char *id, const atn_input *in,
                            atn_idx from) ATN_WARN_UNUSED;
/* The keys [lo, hi) that the query at a position sees, in this step or before it. */
void atn_replay_sees(const atn_head *h, atn_idx at, atn_idx *lo, atn_idx *hi);

/* DATA unless step s of the layer has heads of the same shape as this one. */
atn_status atn_step_check(atn_ctx *cx, const char *id, const atn_input *in,
                          int s) ATN_WARN_UNUSED;

/* Weights w [n] of query q at position `at` over the n keys at `keys`. */
void atn_kept_weights(const atn_head *h, const float *q, atn_idx at,
                      const atn_idx *keys, atn_idx n, double *w);
/* The same over the keys [keys.lo, keys.hi). */
void atn_seen_weights(const atn_head *h, const float *q, atn_idx at, atn_span keys,
                      double *w);
/* Its logit with key j. */
double atn_key_logit(const atn_head *h, const float *q, atn_idx at, atn_idx j);

/* The k best of score [n] (all, if fewer) by (score desc, index asc) into best [k],
 * ascending; returns how many, and adds to *ties how many were left out with the score
 * of the last one taken. -INFINITY is no candidate. */
atn_idx atn_best_wide(const double *score, atn_idx n, atn_idx k, atn_idx *best,
                      int64_t *ties);

/* The one of score [n], n >= 1, that the n - 1 best leave out; ties as there. */
atn_idx atn_worst_wide(const double *score, atn_idx n, int64_t *ties);

/* Which keys were kept in which rows: slices, see core/pattern.h. Owned. */
typedef struct atn_lives {
    atn_slice *at;
    atn_idx n, room;
} atn_lives;
/* Rows [row0, row1) read keys [key0, key1); cut as atn_slice. */
atn_status atn_lives_add(atn_ctx *cx, atn_lives *l, atn_slice s) ATN_WARN_UNUSED;
/* Every row reads what it sees of the keys in the rows up to `end`: the prompt. */
atn_status atn_lives_prompt(atn_ctx *cx, atn_lives *l, atn_idx end) ATN_WARN_UNUSED;
/* The plan of a head that keeps them. */
atn_status atn_lives_plan(atn_ctx *cx, const atn_lives *l, const atn_head *h,
                          atn_plan *out) ATN_WARN_UNUSED;
void atn_lives_release(atn_ctx *cx, atn_lives *l);
