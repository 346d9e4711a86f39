/* approx/features.h -- attention by features: the operator of kernel methods.
 *
 * Math    weights of the keys j that the mask shows to row i, of features phi_i, psi_j:
 *             a_ij = phi_i . psi_j  e^{c_i + k_j}  e^{-decay (t_i - j)}
 *             w_ij = row_i a_ij key_j / N_i,   N_i = eps + sum_j a_ij, or 1
 *         t_i the position of the query, c_i and k_j logarithms of scales. Causal rows
 *         by prefix sums of psi_j (v_j, 1), chunk by chunk, with a running maximum of
 *         k_j that rescales them; rows of a sliding window from products with the keys
 *         of their tile.
 * Oracle  apply = rows v to rounding; decay 0, one feature of 1: the mean of the keys
 *         seen. Splitting the features into two sets: weights before N_i add up.
 * Source  cards/kernel-theory.md, cards 6, 8, 9 and numerical rules 2, 4, 5.
 * Cost    4 n R (dv + 1) flop of n rows and R features, and 2 n B (R + dv) of chunks of
 *         B rows; memory R (dv + 1) a thread, and 34 times that, beside the features.
 *         The sums of prefixes are taken twice, so as to go parallel. Rows: 2 R flop a
 *         pair.
 * Limits  a denominator below `floor` is `floor`; one that vanishes is counted, and a
 *         row without one is 0. Results do not depend on the number of threads.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "approx/method.h"

typedef struct atn_features {
    atn_idx n;         /* R */
    double *q, *k;     /* [nq, n], [nk, n]; owned, as all of it */
    double *log_q;     /* [nq] c_i, NULL = 0; where rows are normalised they cancel */
    double *log_k;     /* [nk] k_j, NULL = 0 */
    double *row, *key; /* [nq], [nk]; NULL = 1 */
    double decay;      /* of weights, a step; >= 0 */
    bool normalise;
    double floor; /* of the denominator; 0 = none */
    double eps;   /* added to the denominator */
} atn_features;

/* DATA where the head has what features do not express: a soft-cap, a sink logit and,
 * unless `bias`, a bias of positions. */
atn_status atn_features_check(atn_ctx *cx, const char *method, const atn_head *h,
                              bool bias) ATN_WARN_UNUSED;
/* q and k, and with `logs` log_q and log_k, for n features, zeroed; the rest of f is
 * 0. Release it also on failure. */
atn_status atn_features_open(atn_ctx *cx, const atn_head *h, atn_idx n, bool logs,
                             atn_features *f) ATN_WARN_UNUSED;
/* Makes p the plan of these features, which it takes, also on failure; numbers: stored
 * for a row, 0 = 2 n. Executed pairs are counted as the head's cost above says. DATA
 * names a query or key with a feature that is not finite. */
atn_status atn_features_plan(atn_ctx *cx, const atn_head *h, atn_features *f,
                             double numbers, atn_plan *p) ATN_WARN_UNUSED;
/* Those pairs: n features, of this head. */
double atn_features_executed(const atn_head *h, atn_idx n);
/* The sums before they are divided: of row i
 *     sums [nq, dv + 1] = sum_j a_ij e^{-c_i - log_i} (key_j v_j, 1)
 * with log [nq] such that no exponent is positive, -inf where the row sees nothing; its
 * sums are 0. Without `values` the column of ones alone, [nq, 1]. */
atn_status atn_features_sums(atn_ctx *cx, const atn_head *h, const atn_features *f,
                             bool values, double *sums, double *log,
                             const char *what) ATN_WARN_UNUSED;
/* Bytes of that on all threads, beside f, sums and log. */
double atn_features_scratch(const atn_ctx *cx, const atn_head *h, atn_idx n,
                            bool values);
/* Bytes of a plan of n features, and of making it of them. */
double atn_features_bytes(const atn_ctx *cx, const atn_head *h, atn_idx n);
void atn_features_release(atn_ctx *cx, atn_features *f); /* a zeroed one is fine */
