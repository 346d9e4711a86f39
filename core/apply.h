/* core/apply.h -- the executor: applies any plan, and counts what it costs.
 *
 * Math    core/plan.h. Rows go by tiles; of each, the keys that several rows have are
 *         gathered, logits come from one product, the softmax runs over chunks of keys
 *         with a running maximum, and a second product gives the output. Keys that few
 *         rows have are picked row by row. Groups go in rounds in which no row stands
 *         twice, first.
 * Oracle  o = W v + residual of atn_plan_rows, which shares no arithmetic with it, to
 *         1e-5; everything in one part: dense attention.
 * Cost    4 d flop for a pair; a key that is picked costs about 7 times a pair of a
 *         product. Memory atn_plan_apply_bytes, which does not grow with nq nk.
 * Limits  results do not depend on the number of threads.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/plan.h"

/* out (nq, dv) <- the output; lse [nq] <- log-sum-exp over the entries of the only
 * branch, without the sink, -inf of an empty row, NaN with several branches, MEAN or an
 * operator.
 * out.data may be NULL (lse alone, no values needed), lse may be NULL. DATA names
 * layer, head, row of a logit that is NaN or infinite; DATA where out has no values to
 * be made of, or the plan has q, k or virtual keys and the head is given as P alone.
 * Progress is reported as `what`. */
atn_status atn_plan_apply(atn_ctx *cx, const atn_head *h, const atn_plan *p,
                          atn_mat out, double *lse, const char *what) ATN_WARN_UNUSED;
/* Bytes that it takes beside its arguments. */
double atn_plan_apply_bytes(const atn_ctx *cx, const atn_head *h, const atn_plan *p);

typedef struct atn_cost {
    double flops; /* of executed tiles, 2 (d + dv) a pair */
    double bytes; /* queries and outputs once a part or group, keys and values once a
                     tile that has them */
    double index_flops, index_bytes; /* as the plan says */
    double numbers;  /* stored for all rows: of the plan, or what is executed */
    double kept;     /* pairs of a query and an entry: what weights are given to */
    double executed; /* pairs in executed tiles, cut at the edge of the matrix */
    double tiles;
    double visible;      /* pairs that the mask shows */
    double full;         /* kept / (nq nk) */
    double mean;         /* mean over rows that see a key of kept / visible keys */
    double kv;           /* most kept in a row / nk */
    double block_causal; /* tiles in which a key is kept / tiles with a visible pair;
                            NaN where tiles are 1 x 1 or the mask is not causal */
    int64_t empty_rows;  /* rows that see a key and keep none */
} atn_cost;
/* Of an operator all that is visible is kept, `executed` is what it says, there are no
 * tiles, and bytes are those of queries, keys, values, outputs and its numbers.
 * What a row keeps is a set: an entry that several parts, groups or branches give it
 * counts once, and so does a tile in block_causal. Entries are keys that it sees and
 * virtual keys that stand for a key, one each; those of a branch whose scale is 0 in
 * this row are none. `executed`, `tiles`, flops and bytes count all that a kernel does,
 * as often as it does it. Density among visible pairs is kept / visible, which only
 * virtual keys, beside the keys that they stand for, can raise above 1; the budget is
 * executed / visible. */
atn_status atn_plan_cost(atn_ctx *cx, const atn_head *h, const atn_plan *p,
                         atn_cost *out) ATN_WARN_UNUSED;
/* Entries that each row keeps, each once, into out [nq]. */
atn_status atn_plan_kept(atn_ctx *cx, const atn_head *h, const atn_plan *p,
                         int64_t *out) ATN_WARN_UNUSED;
