/* approx/landmarks.h -- attention through landmarks: the operator of Nystrom methods.
 *
 * Math    with landmarks a_v in place of queries, b_v in place of keys, v < m:
 *             O = F1 left right F3 V
 *         softmax:  F1_iv = e^{s q_i . b_v} / sum over v,
 *                   F3_vj = e^{s a_v . k_j} / sum over j;
 *         Gaussian: F1_iv = e^{-s |q_i - b_v|^2 / 2}, F3_vj = e^{-s |a_v - k_j|^2 / 2}.
 * Oracle  apply from the right (F3 V first), rows from the left, entry by entry.
 * Source  cards/kernel-theory.md, cards 18 and 19.
 * Cost    2 m (d + dv) flop a query and a key, and 4 m^2 dv; memory m (d + dv) for each
 *         of up to 64 shares of the keys. Rows: 2 m d flop a key, 2 m a pair.
 * Limits  no mask: every query sees every key (approx/plain_head.h).
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "approx/method.h"
#include "core/linalg.h"

typedef struct atn_landmarks {
    bool gaussian;
    atn_idx m, r;         /* landmarks; the rank of what is between */
    double *a, *b;        /* [m, d] */
    double *left, *right; /* [m, r], [r, m]; left NULL = 1, r = m */
    double *log_sum;      /* [m] of rows of F3; made by atn_landmarks_plan */
} atn_landmarks;

/* Makes p the plan of them, which it takes, also on failure; numbers 2 m. */
atn_status atn_landmarks_plan(atn_ctx *cx, const atn_head *h, atn_landmarks *l,
                              atn_plan *p) ATN_WARN_UNUSED;
void atn_landmarks_release(atn_ctx *cx, atn_landmarks *l); /* a zeroed one is fine */
/* Pairs that applying m of them counts as. */
double atn_landmarks_executed(const atn_head *h, atn_idx m);
atn_spending atn_landmarks_spending(const atn_head *h, atn_idx m);
/* Bytes at most of a plan of m, and while it is made. */
double atn_landmarks_bytes(const atn_ctx *cx, const atn_head *h, atn_idx m);
