/* approx/factors.h -- weights that are stored as low-rank blocks and single entries:
 * the operator of the decompositions.
 *
 * Math    w = sum_b U_b V_b' + S, block b on its rows and keys. `masked`: 0 where the
 *         mask shows nothing, else nothing is cut off; a row that sees no key is 0
 *         either way.
 * Oracle  one block of rank r = min(nq, nk): the matrix. apply = rows v to rounding.
 * Source  cards/kernel-theory.md, cards 22 to 26.
 * Cost    apply 2 r dv (rows + keys) flop a block, 2 dv an entry; under a mask up to
 *         64 (r + dv) more a row, and of rows of a sliding window 2 (r + dv) a pair.
 *         Memory r dv for every 64 keys of a block.
 * Limits  double all the way.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "approx/method.h"

typedef struct atn_factor_block {
    atn_idx row, rows, key, keys, rank;
    double *u, *v; /* [rows, rank], [keys, rank]; owned */
} atn_factor_block;

typedef struct atn_factors {
    atn_idx nq, nk;
    atn_factor_block *block; /* [blocks] owned, as all of it */
    atn_idx blocks;
    int64_t *ptr; /* [nq + 1]; NULL = no single entries */
    int32_t *key; /* [ptr[nq]] */
    double *value;
    bool masked;
} atn_factors;

/* Numbers that it stores. */
double atn_factors_numbers(const atn_factors *f);
/* Pairs that applying stands for: of `numbers` stored. */
double atn_factors_executed(const atn_head *h, double numbers);
/* What one block of all pairs spends at this rank. */
atn_spending atn_factors_spending(const atn_head *h, atn_idx rank);
/* w [n, nk] <- rows [first, first + n). */
void atn_factors_rows(const atn_head *h, const atn_factors *f, atn_idx first, atn_idx n,
                      double *w);
/* *out <- |p - w|_F^2 of p [nq, nk]. */
atn_status atn_factors_error(atn_ctx *cx, const atn_head *h, const atn_factors *f,
                             const double *p, double *out) ATN_WARN_UNUSED;
/* Makes p the plan of f, which it takes, also on failure. */
atn_status atn_factors_plan(atn_ctx *cx, const atn_head *h, atn_factors *f,
                            atn_plan *p) ATN_WARN_UNUSED;
void atn_factors_release(atn_ctx *cx, atn_factors *f); /* a zeroed one is fine */

/* One block of all rows and keys: u, v zeroed. */
atn_status atn_factors_open(atn_ctx *cx, const atn_head *h, atn_idx rank, bool masked,
                            atn_factors *out) ATN_WARN_UNUSED;
/* Single entries: those of x [nq, nk] that are not 0. */
atn_status atn_factors_take(atn_ctx *cx, const double *x,
                            atn_factors *f) ATN_WARN_UNUSED;
