/* approx/monomials.h -- the monomials of a vector up to a total degree, in blocks: the
 * features of polynomial methods.
 *
 * Math    x^gamma = prod_l x_l^gamma_l, |gamma| <= g; there are C(d + g, g) of them.
 *         With c_gamma = s^|gamma| / gamma!, over all of them
 *             sum c_gamma q^gamma k^gamma = sum_{t <= g} (s q . k)^t / t!,
 *         the polynomial of Taylor of e^{s q . k}, and so for the product of more
 *         vectors than two.
 * Oracle  d = 2, g = 2: 1, x, y, x^2, x y, y^2 with c = 1, 1, 1, 1/2, 1, 1/2 (s = 1).
 * Source  cards/kernel-theory.md, card 4; order by degree, then x_0 first.
 * Cost    about one product a monomial and vector.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/ctx.h"

enum {
    ATN_DEGREE_MOST = 40,
    ATN_MONOMIALS_WIDE = 65535, /* coordinates at most */
    ATN_MONOMIALS_BLOCK = 128,
};

/* C(d + g, g), exact below 2^53. */
double atn_monomials_count(atn_idx d, int degree);

/* A walk over them: the coordinates of one, ascending. Zeroed but for d and degree it
 * stands before the first. */
typedef struct atn_monomials {
    atn_idx d;
    int degree;
    bool begun;
    int t; /* degree of this one */
    uint16_t at[ATN_DEGREE_MOST];
} atn_monomials;

/* Some in a row: monomial r has t[r] coordinates, the first same[r] of them those of
 * the one before. */
typedef struct atn_monomial_block {
    int n;
    int t[ATN_MONOMIALS_BLOCK], same[ATN_MONOMIALS_BLOCK];
    uint16_t at[ATN_MONOMIALS_BLOCK][ATN_DEGREE_MOST];
} atn_monomial_block;

/* False when there are no more. */
bool atn_monomials_next(atn_monomials *w);
/* Up to `most` <= ATN_MONOMIALS_BLOCK of them; n = 0 at the end. */
void atn_monomials_block(atn_monomials *w, atn_idx most, atn_monomial_block *out);
/* s^t / gamma! of monomial r. */
double atn_monomial_weight(const atn_monomial_block *b, int r, double s);
/* out [b->n, n] <- the monomials of n vectors that lie in columns, x [d, n]; stack
 * [ATN_DEGREE_MOST, n] is scratch. */
void atn_monomials_of(const atn_monomial_block *b, const double *x, atn_idx n,
                      double *stack, double *out);
