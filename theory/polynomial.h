/* theory/polynomial.h -- which degree a polynomial needs to stand for e^x on [-X, X],
 * by relative error.
 *
 * Math    Taylor: max |T_g(x) e^-x - 1| = e^X X^(g+1) / (g+1)! (1 - X / (g+2) + ..), at
 *         -X; for g < X - 1 it is above 1. Best: the least of max |p(x) e^-x - 1| over
 *         polynomials p of degree g, by the exchange algorithm of Remez: on g + 2
 *         points the error that alternates is |sum l_i e^(x_i)| / sum |l_i| e^(x_i)
 *         with l_i = 1 / prod_(j != i) (x_i - x_j), in which nothing cancels but what
 *         the error itself is small by.
 * Oracle  (Taylor, best) for X = 2 and eps 1e-1 .. 1e-4: 7,3 8,5 10,6 11,7. Best of
 *         degree 0: tanh X.
 * Source  own derivation; cards/kernel-theory.md, card 4.
 * Cost    best: some ten rounds of 10 g^2 divisions.
 * Limits  best: degrees to 254, X to 200.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <stdbool.h>

enum { ATN_BEST_DEGREE_MOST = 254, ATN_TAYLOR_DEGREE_MOST = 1000000 };
#define ATN_BEST_X_MOST 200.0

double atn_taylor_error(int degree, double x); /* INFINITY beyond its range */
double atn_best_error(int degree, double x);   /* NAN beyond its limits,
                                                  or where rounding hides it */

/* The smallest degree with an error of eps < 1 at most; even: among the even ones,
 * which have no real zero. -1 = beyond the limits. */
int atn_taylor_degree(double x, double eps, bool even);
int atn_best_degree(double x, double eps);
/* Of several, descending, for the price of one. */
void atn_best_degrees(double x, const double *eps, int n, int *degree);

/* C(d + g, g), INFINITY where it is beyond double. */
double atn_polynomial_features(double d, int degree);
