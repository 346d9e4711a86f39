/* analysis/tensor_run.h -- tensor attention of given tensors: exact, by features, and
 * what they cost and how far they are apart, as a table.
 *
 * Math    output_error: of features against the exact output. error_bound: with e the
 *         largest relative error of Taylor's polynomial on [-X, X],
 *         e / (1 + sqrt(1 - e^2)) times the widest range of a column of products of
 *         values (theory/polynomial.h, B12); none where e >= 1.
 * Source  cards/kernel-theory.md, card 4.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "approx/tensor.h"
#include "core/table.h"

typedef struct atn_tensor_opts {
    int degree;           /* of features; -1 = exact alone */
    double features_most; /* more monomials are refused */
    double exact_most; /* flop up to which features are compared with the exact way */
} atn_tensor_opts;

void atn_tensor_defaults(atn_tensor_opts *o);
/* What a caller takes beside a run: outputs, marginals and what it writes of them. */
typedef struct atn_tensor_beside {
    double bytes;
    bool marginals; /* there are some */
} atn_tensor_beside;
/* USAGE names the number of features above the limit, MEMORY what does not fit. */
atn_status atn_tensor_check(atn_ctx *cx, const atn_tensor *t, const atn_tensor_opts *o,
                            const atn_tensor_beside *beside) ATN_WARN_UNUSED;
/* Table of kind "tensor", without rows. */
atn_status atn_tensor_table(atn_ctx *cx, atn_table **out) ATN_WARN_UNUSED;
/* Computes o [nq, dv], by features where there is a degree, and marginals (may be NULL)
 * as of atn_tensor_exact, and appends a row. */
atn_status atn_tensor_run(atn_ctx *cx, const atn_tensor *t, const atn_tensor_opts *o,
                          const atn_tensor_out *out, atn_table *to) ATN_WARN_UNUSED;
