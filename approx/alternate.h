/* approx/alternate.h -- entries and a low rank of a stored matrix, by turns.
 *
 * Math    approx/sparse_lowrank.c. Equal entries: the lower key. A row that has fewer
 *         than k keys to choose from has them all.
 * Oracle  the residual of the result is the smallest of all rounds' last ones; S holds
 *         P - L exactly where it holds something.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "approx/lowrank.h"

enum { ATN_ALTERNATE_ROUNDS = 10 };

typedef struct atn_alternate {
    atn_idx k, rank;
    bool random; /* decompositions by random directions; of `in` */
    bool mask;   /* hidden keys count for nothing */
} atn_alternate;

/* out <- L and S of p [nq, nk], the weights of h or something else of its shape. */
atn_status atn_alternate_run(atn_ctx *cx, const atn_input *in, const atn_head *h,
                             const double *p, const atn_alternate *a,
                             atn_factors *out) ATN_WARN_UNUSED;
double atn_alternate_bytes(atn_idx nq, atn_idx nk, const atn_alternate *a);

/* s [nq, nk] <- the k largest |.| of every row of x, the rest 0; with mask of what the
 * row sees. May be x itself. */
atn_status atn_keep_rows(atn_ctx *cx, const atn_head *h, const double *x, atn_idx k,
                         bool mask, double *s) ATN_WARN_UNUSED;
