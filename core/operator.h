/* core/operator.h -- attention that is no choice of keys: low rank, features, a
 * recurrent state, a decomposition. What a plan holds in place of entries.
 *
 * Math    o_i = sum_j w_ij v_j. The weights w [nq, nk] may be negative, and their rows
 *         may sum to anything; they may depend on the values (by a norm of the output).
 *         They are 0 where the mask shows nothing, unless a decomposition was asked to
 *         show what it leaks there.
 * Oracle  apply gives w v of rows, to 1e-9 of |w| |v|: apply goes the fast way, rows
 *         the plain one, entry by entry.
 * Source  cards/kernel-theory.md, numerical rules 1 to 5: sums in double.
 * Limits  numbers are of type double all the way; the executor rounds the output, and
 *         refuses one that is beyond float32.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/problem.h"

typedef struct atn_operator_kind {
    const char *id; /* for plan.json: "features" */
    /* o [nq, dv] <- the output, all of it. Goes parallel by itself, reports progress as
     * `what`. */
    atn_status (*apply)(atn_ctx *cx, const atn_head *h, const void *state, double *o,
                        const char *what);
    /* w [n, nk] <- implied weights of rows [first, first + n). Called on any thread, on
     * several at a time. */
    atn_status (*rows)(atn_ctx *cx, const atn_head *h, const void *state, atn_idx first,
                       atn_idx n, double *w);
    double (*bytes)(const atn_ctx *cx, const atn_head *h,
                    const void *state); /* that either takes, beside o; NULL = little */
    void (*release)(atn_ctx *cx, void *state); /* NULL is fine */
    /* What to do about outputs that float32 cannot hold; NULL = take other heads. */
    const char *remedy;
} atn_operator_kind;

typedef struct atn_operator {
    const atn_operator_kind *kind; /* NULL = there is none */
    void *state;                   /* owned */
    /* What applying it costs in pairs of a query and a key, of 2 (d + dv) flop each;
     * making it is index cost. */
    double executed;
    /* Rows whose denominator is below 1e-12 of the sum of its absolute parts: what they
     * give means nothing. */
    int64_t vanished;
} atn_operator;
