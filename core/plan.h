/* core/plan.h -- what a method chose for one head, and what attention it stands for.
 *
 * Math    a plan is a sum of branches; row i of the output is
 *             o_i = sum_b s_b,i o_b,i + residual_i
 *         and o_b,i is made of the entries of a row of branch b, an entry being a key,
 *         or a virtual one, and a logit z. Entries come from patterns (keys that the
 *         mask shows and the pattern has) and from groups (all keys of a group for all
 *         rows of it, as often as they stand there, with log weights added to z):
 *             LSE    one softmax over all entries of the row, whatever they come from:
 *                    the parts are merged by log-sum-exp, and exp(sink) of the head is
 *                    in the denominator once
 *             MEAN   the mean over the parts and groups that give the row an entry,
 *                    each with a softmax of its own (Routing Transformer)
 *         A group with a `logit` key weighs in the merge as e^z of that key, not as the
 *         sum of its own entries (Landmark attention).
 *         z_ij = the head's logit (scale, bias, cap) of q_i and k_j; with the q or k of
 *         a part in place of the head's where it has them. A virtual key v has logit
 *         scale q_i . vk_v, no bias, and value vv_v, which is sum_j expand_vj v_j: its
 *         weight goes to the keys j in these shares. It is never masked.
 *         A row without an entry is 0.
 *         A plan with an operator (core/operator.h) has one branch, which gives weight
 *         to all that the mask shows, and the operator says how much.
 * Oracle  everything the mask shows, in one part or cut into several: dense attention.
 *         For a plan that is a mask (atn_plan_is_mask) m_i = exp(lse^S_i - lse_i) is
 *         the retained mass, and |A_i - A^S_i|_1 = 2 (1 - m_i).
 * Source  cards/sparse.md, section 0 and part III.
 * Cost    see core/apply.h; atn_plan_rows is the plain reference in double, O(keys of
 *         the row) beside one look at every group.
 * Limits  heads without padding (atn_head_trim).
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/operator.h"
#include "core/pattern.h"

enum { ATN_PARTS_MOST = 4, ATN_BRANCHES_MOST = 4 };

/* Owned arrays of atn_alloc. A row stands once in a group. */
typedef struct atn_groups {
    atn_idx n;
    int64_t *row_ptr;  /* [n + 1] */
    int32_t *row;      /* queries */
    int64_t *key_ptr;  /* [n + 1] */
    int32_t *key;      /* key j, or nk + v for virtual key v */
    float *log_weight; /* [key_ptr[n]], NULL = 0 */
    int32_t *logit;    /* [n] a key, -1 = none; NULL = none at all */
} atn_groups;

typedef struct atn_part {
    bool all;             /* everything the mask shows; or */
    atn_pattern *pattern; /* what this has, too: kept (atn_pattern_keep), or NULL */
    atn_idx pattern_head;
    atn_groups groups; /* or these: n = 0 is none. One part is one of the three */
    float *q, *k;      /* [nq, d], [nk, d] in place of the head's; NULL = its own */
    /* The query's own position has this logit, far below all others: it counts only
     * where it is alone (Reformer, Routing with shared queries and keys). */
    bool self_last;
} atn_part;

typedef enum atn_merge { ATN_MERGE_LSE, ATN_MERGE_MEAN } atn_merge;

#define ATN_SELF_LAST (-5e4)

typedef struct atn_branch {
    atn_part part[ATN_PARTS_MOST];
    int parts;
    atn_merge merge;
    float *scale; /* [nq] s_i; NULL = 1 */
} atn_branch;

typedef struct atn_plan {
    atn_branch branch[ATN_BRANCHES_MOST];
    int branches;
    atn_idx virtuals;
    float *vk, *vv; /* [virtuals, d], [virtuals, dv]; vv NULL where the head has no v */
    int64_t *expand_ptr; /* [virtuals + 1]; a virtual key may stand for no key */
    int32_t *expand;     /* keys */
    float *expand_weight;
    float *residual; /* [nq, dv]; NULL = 0 */
    /* The rectangle of queries and keys in which a kernel would execute it: 1 x 1 where
     * keys are gathered one by one. */
    atn_idx tile_rows, tile_keys;
    /* What choosing cost, counted by the method: flop, and bytes read and written with
     * ATN_COST_BYTES a number. */
    double index_flops, index_bytes;
    /* Numbers that are stored for a row of the weights, on average: a kept key is one,
     * a rank is two (a row and a column). 0 = as many as are executed. */
    double numbers;
    atn_operator op; /* in place of the branch's own weights */
    int64_t ties; /* candidates left out that score as the last one taken, all rows */
} atn_plan;

/* Numbers are 2 bytes in all counts of bytes, as kernels keep them. */
#define ATN_COST_BYTES 2.0

/* Frees what it holds and zeroes it; a zeroed one is fine. */
void atn_plan_release(atn_ctx *cx, atn_plan *p);

/* One branch with one part, of the pattern, which it takes; computed in rectangles of
 * tile_rows x tile_keys. */
void atn_plan_mask(atn_plan *p, atn_pattern *pattern, atn_idx head, atn_idx tile_rows,
                   atn_idx tile_keys);

/* One branch with one part, everything that the mask shows, in the rectangles that p
 * has. */
void atn_plan_all(atn_plan *p);

/* Everything that the mask shows, weighed by this operator, which it takes. numbers: as
 * the member of that name. */
void atn_plan_operator(atn_plan *p, const atn_operator *op, double numbers);

/* One branch, parts that never have the same key twice, the head's own logits: weights
 * are those of dense attention over the keys kept. */
bool atn_plan_is_mask(const atn_plan *p);

/* INTERNAL naming what is wrong: indices out of range, a key twice in a row of a plan
 * that says it is a mask, rows of a group that are not distinct. For tests. */
atn_status atn_plan_check(atn_ctx *cx, const atn_head *h,
                          const atn_plan *p) ATN_WARN_UNUSED;

/* Implied weights of rows [first, first + n) into w [n, nk], without the residual:
 * o_i = sum_j w_ij v_j + residual_i. DATA when a logit is NaN or infinite. */
atn_status atn_plan_rows(atn_ctx *cx, const atn_head *h, const atn_plan *p,
                         atn_idx first, atn_idx n, double *w) ATN_WARN_UNUSED;

/* What the keys of non-zero weight are, one head, by tokens; positions are those of the
 * keys. */
atn_status atn_plan_pattern(atn_ctx *cx, const atn_head *h, const atn_plan *p,
                            atn_pattern **out) ATN_WARN_UNUSED;

/* h without its padding: keys, and queries that are padding, left out; *first_row is
 * the query that its row 0 was. Views, nothing is copied. Without padding it is h. */
atn_head atn_head_trim(const atn_head *h, atn_idx *first_row);
