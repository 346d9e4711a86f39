/* graph/pairs.h -- the loops over pairs of nodes that p-Laplacian message passing
 * spends its time in: distances, powers, sums.
 *
 * Math    |a - b|^2 = |a|^2 + |b|^2 - 2 a.b, and sum_c (a_c - b_c)^2 instead where that
 *         is below 1e-6 (|a|^2 + |b|^2) and so has lost its digits. A pair with
 *         |a - b| <= snap max(|a|, |b|) is equal: 0.
 *         ln x = k ln 2 + 2 artanh((f - 1) / (f + 1)), x = 2^k f, f around 1;
 *         e^x = 2^n e^r, |r| <= ln 2 / 2.
 * Oracle  libm's log and pow to a few units of 1e-16 of the exponent; distances against
 *         the difference.
 * Limits  double throughout; what is beyond e^+-690 is cut there.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/ctx.h"

#define ATN_SNAP_MOST 1e-3

/* What all message passing asks of its parameters: 1 <= p <= 3, mu >= 0, 0 <= snap <=
 * ATN_SNAP_MOST, 0 < damping <= 1, iterations >= 1. USAGE: the name, its range, the
 * value. */
atn_status atn_pairs_check(atn_ctx *cx, double p, double mu, double snap,
                           double damping, int iterations) ATN_WARN_UNUSED;

/* Points in rows; the first c of ld numbers of each count. */
typedef struct atn_points {
    const double *x; /* (n, ld) */
    atn_idx n, c, ld;
    double *square; /* [n] |x_i|^2 */
    double *sum;    /* [n] of its numbers; NULL = not wanted */
} atn_points;

/* Sets square and sum of all points. */
void atn_points_measure(const atn_points *x);

/* d2 (rows, keys) <- squared distances of points first .. of a from points key0 .. of
 * b, by GEMM alone: what atn_pairs_repair puts right row by row. */
void atn_pairs_distance(const atn_points *a, atn_idx first, atn_idx rows,
                        const atn_points *b, atn_idx key0, atn_idx keys, double *d2);
/* d2 [n], of point i of a from points first .. of b. */
void atn_pairs_repair(const atn_points *a, atn_idx i, const atn_points *b,
                      atn_idx first, atn_idx n, double snap, double *d2);

/* ln [n] <- ln x, and y [n] <- x^e; x >= 0, ln 0 is taken for -690 and 0^e is 0, but 1
 * for e = 0. x may be y. */
void atn_pairs_power(const double *x, atn_idx n, double e, double *ln, double *y);
/* ln [n] <- ln x */
void atn_pairs_log(const double *x, atn_idx n, double *ln);
/* What rounding may leave of the energy of points that do not differ: sum of
 * (1e-13 |x_i|)^p. */
double atn_energy_floor(const atn_points *x, double p);
/* Has an energy risen by more than rounding? floor is of all points. */
static inline bool atn_energy_rose(double before, double now, double floor)
{
    return now > before * (1 + 1e-6) + floor;
}
/* Sums in an order that depends on n alone. */
double atn_pairs_sum(const double *x, atn_idx n);
double atn_pairs_dot(const double *x, const double *y, atn_idx n);
