/* approx/oracle.h -- what the oracles share: the weights of every row, or of every
 * block of rows, in double, and cuts of them.
 *
 * Math    list r is the queries at positions [r block, (r + 1) block); its candidates
 *         are the keys, or blocks of keys, that one of them sees. Of a block of keys c
 *             sum   (1 / rows) sum_i sum_j A_ij
 *             max   the largest A_ij
 *             mean  sum_i sum_j A_ij / visible pairs (i, j)
 *         i in the list, j in c. Blocks of one key: the row itself.
 * Oracle  sum: the shares of all blocks add up to the mean mass of the rows.
 * Cost    dense logits of what the mask shows, in double; memory a few rows a thread.
 * Limits  equal weights: the lower key first.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "approx/chosen.h"

typedef enum atn_block_score {
    ATN_SCORE_SUM,
    ATN_SCORE_MAX,
    ATN_SCORE_MEAN
} atn_block_score;
#define ATN_BLOCK_SCORES "sum|max|mean" /* in the order of the enum */

typedef struct atn_oracle {
    const atn_head *head;
    atn_idx block;
    atn_block_score score;
    bool logits; /* block 1, and queries and keys: logits will do */
} atn_oracle;

/* The candidates of a list. */
typedef struct atn_oracle_list {
    atn_idx r;
    atn_idx from, to; /* positions of its queries, [from, to) */
    atn_idx lo, n;    /* candidates lo .. lo + n - 1, in blocks */
    double *w;        /* [n] weights, or logits; may be overwritten */
    double mass;      /* of the weights */
    double *scratch;  /* [n] */
} atn_oracle_list;

/* Called once for every list that has a candidate, on any thread. */
typedef atn_status atn_oracle_visit(atn_ctx *cx, const atn_oracle *o,
                                    atn_oracle_list *list, void *state);
atn_status atn_oracle_run(atn_ctx *cx, const atn_oracle *o, atn_oracle_visit *visit,
                          void *state, const char *what) ATN_WARN_UNUSED;

/* Flop and bytes of it into the plan: dense logits, or what is given. */
void atn_oracle_cost(const atn_oracle *o, atn_plan *out);

/* What is above `at` is kept, and the first `ties` of what equals it. */
typedef struct atn_cut {
    double at;
    atn_idx ties;
} atn_cut;

/* The fewest of w [n], largest first, whose sum reaches goal, or with `beyond` goes
 * beyond it; all of them where it never does. scratch [n]. */
atn_cut atn_cut_at_sum(const double *w, atn_idx n, double goal, bool beyond,
                       double *scratch);
/* As many of them as possible, largest first, whose sum does not go beyond `most`. */
atn_cut atn_cut_below_sum(const double *w, atn_idx n, double most, double *scratch);
/* How many of w [n] a cut keeps. */
atn_idx atn_cut_keeps(const double *w, atn_idx n, atn_cut cut);
/* The spans of what it keeps, w [0] being of key `from`, into out (NULL: none); their
 * number. */
atn_idx atn_cut_spans(const double *w, atn_idx n, atn_cut cut, atn_idx from,
                      atn_span *out);
/* The k largest; *ties (may be NULL) grows by how many equal the last one and are left
 * out. */
atn_cut atn_cut_at_count(const double *w, atn_idx n, atn_idx k, double *scratch,
                         int64_t *ties);
/* Puts what the cut keeps of the list. */
atn_status atn_oracle_keep(atn_ctx *cx, atn_chosen *c, const atn_oracle_list *list,
                           atn_cut cut) ATN_WARN_UNUSED;
/* A chosen pattern of rows in blocks of o->block, and its plan. */
atn_status atn_oracle_open(atn_ctx *cx, const atn_oracle *o,
                           atn_chosen **out) ATN_WARN_UNUSED;
/* Bytes at most of all of it, where a list keeps at most `most` spans. */
double atn_oracle_bytes(const atn_ctx *cx, const atn_oracle *o, double most);
/* Takes c, also on failure. */
atn_status atn_oracle_finish(atn_ctx *cx, const atn_oracle *o, atn_chosen *c,
                             atn_plan *out) ATN_WARN_UNUSED;
