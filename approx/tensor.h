/* approx/tensor.h -- Kronecker (third-order) attention: a query weighs tuples of keys.
 *
 * Math    order k has k - 1 key and value tensors K^t (nk, d), V^t (nk, dv):
 *             z_i(j..) = s sum_l Q_il prod_t K^t_{j_t l},   P_i = softmax over tuples,
 *             o_il = sum_{j..} P_i(j..) prod_t V^t_{j_t l}.
 *         Order 2 is attention as usual. Causal: all j_t <= i + offset. A null tuple of
 *         logit z0 and value 0 adds e^z0 to the denominator.
 *         Features: with the polynomial of Taylor of degree g in place of e^z,
 *             num_i = sum_r c_r q_i^r prod_t (sum_j k^t_j^r v^t_j),
 *         r over monomials (approx/monomials.h); the denominator likewise with v = 1.
 * Oracle  K^2 = V^2 = 1: matrix attention of scale s; nk = 1: prod V^t; tensors in
 *         another order: the same; features: the polynomial applied to every z.
 * Source  Alman and Song, arXiv 2310.04064; cards/kernel-theory.md, card 4.
 * Cost    exact 2 nq nk^(k-1) (d + dv) flop (causal: 1/k of it), a tile of logits a
 *         thread; features 2 (nq + (k - 1) nk) R dv, memory 8 nq (dv + 1) doubles,
 *         whatever R.
 * Limits  an odd degree can have a denominator of any sign.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "approx/monomials.h"

enum { ATN_TENSOR_KEYS_MOST = 5 }; /* key tensors: order 6 */

/* A matrix by rows, contiguous, in one of two widths. Borrowed. */
typedef struct atn_reals {
    const float *narrow;
    const double *wide;
} atn_reals;

static inline double atn_real_at(atn_reals x, atn_idx i)
{
    return x.wide ? x.wide[i] : (double)x.narrow[i];
}

typedef struct atn_tensor {
    int keys; /* key tensors, order - 1 */
    atn_idx nq, nk, d, dv;
    atn_reals q, k[ATN_TENSOR_KEYS_MOST], v[ATN_TENSOR_KEYS_MOST]; /* of one width */
    double scale; /* s; the usual one is 1 / d */
    bool causal;  /* query i sees keys up to offset + i */
    atn_idx offset;
    bool has_null;
    double null_logit;
} atn_tensor;

typedef struct atn_tensor_out {
    double *o;        /* [nq, dv] */
    double *marginal; /* [keys, nq, nk] what key j of tensor t gets in all, or NULL */
    double *x_max;    /* the largest |z| (the null tuple's apart), or NULL */
} atn_tensor_out;

/* Products in float32 where the inputs are, sums over tiles in double; all in double
 * where they are. DATA names the query of a logit that is NaN or infinite. */
atn_status atn_tensor_exact(atn_ctx *cx, const atn_tensor *t,
                            const atn_tensor_out *out) ATN_WARN_UNUSED;
/* The largest |z| alone, not more than half the work. */
atn_status atn_tensor_largest(atn_ctx *cx, const atn_tensor *t,
                              double *x_max) ATN_WARN_UNUSED;
/* s sum_l max |q_l| prod_t max |k^t_l|, which no |z| is above; in linear time. */
double atn_tensor_bound(const atn_tensor *t);
double atn_tensor_exact_bytes(const atn_ctx *cx, const atn_tensor *t);
double atn_tensor_exact_flops(const atn_tensor *t);

/* o [nq, dv] by features, in double; causal: offset 0, nq = nk; *vanished (may be NULL)
 * counts rows whose denominator is below 1e-12 of the sum of its absolute parts; a
 * denominator of 0 gives 0. */
atn_status atn_tensor_features(atn_ctx *cx, const atn_tensor *t, int degree, double *o,
                               int64_t *vanished) ATN_WARN_UNUSED;
double atn_tensor_features_bytes(const atn_ctx *cx, const atn_tensor *t);
double atn_tensor_features_flops(const atn_tensor *t, double features);
/* The number of keys from which on features_flops are below exact_flops, where queries
 * (and the offset) grow with the keys; above 2^50 what the highest order in n says. */
double atn_tensor_break_even(const atn_tensor *t, double features);
