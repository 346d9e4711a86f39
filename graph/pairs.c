/* graph/pairs.c -- loops over pairs of nodes, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "graph/pairs.h"

#include <math.h>

#include "core/kernels/kernels.h"
#include "core/kernels/lanes.h"
#include "core/linalg.h"

static const double NEAR = 1e-6;
#define FAR_DOWN -690.0 /* e^-690 is near the smallest normal double */

atn_status atn_pairs_check(atn_ctx *cx, double p, double mu, double snap,
                           double damping, int iterations)
{
    atn_status st = ATN_OK;

    if (!(p >= 1 && p <= 3))
        ATN_FAIL(ATN_USAGE,
                 "p = %g is outside 1 .. 3 (below 1 the energy has no single "
                 "minimum, and beyond 3 nothing is promised; give a p within)",
                 p);
    if (!(mu >= 0 && isfinite(mu)))
        ATN_FAIL(ATN_USAGE, "mu = %g must be a number of 0 or more", mu);
    if (!(snap >= 0 && snap <= ATN_SNAP_MOST))
        ATN_FAIL(ATN_USAGE, "snap = %g is outside 0 .. %g", snap, ATN_SNAP_MOST);
    if (!(damping > 0 && damping <= 1))
        ATN_FAIL(ATN_USAGE, "damping = %g is outside 0 < damping <= 1 (1 = none)",
                 damping);
    if (iterations < 1)
        ATN_FAIL(ATN_USAGE, "%d iterations: at least 1 is needed", iterations);
done:
    return st;
}

ATN_PART double bits_double(uint64_t bits)
{
    double x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

ATN_PART uint64_t double_bits(double x)
{
    uint64_t bits;

    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* Of normal numbers; anything below them gives FAR_DOWN. f is within sqrt(1/2) and
 * sqrt(2), so z = s^2 stays below .0295 and ten terms do. */
ATN_PART double log_of(double x)
{
    const uint64_t root_half = UINT64_C(0x3fe6a09e667f3bcd);
    const uint64_t from = double_bits(x) - root_half + (UINT64_C(1023) << 52);
    const uint64_t biased = from >> 52; /* k + 1023 */
    const double k =
        bits_double(UINT64_C(0x4338000000000000) + biased) - 6755399441056767.0;
    const double f = bits_double((from & UINT64_C(0x000fffffffffffff)) + root_half);
    const double s = (f - 1) / (f + 1), z = s * s;
    double t = 1.0 / 19;

    t = t * z + 1.0 / 17;
    t = t * z + 1.0 / 15;
    t = t * z + 1.0 / 13;
    t = t * z + 1.0 / 11;
    t = t * z + 1.0 / 9;
    t = t * z + 1.0 / 7;
    t = t * z + 1.0 / 5;
    t = t * z + 1.0 / 3;
    t = k * 1.90821492927058770002e-10 + 2 * s * z * t + 2 * s;
    return x > 1e-300 ? k * 0.693147180369123816490 + t : FAR_DOWN;
}

/* Of |x| <= 690. */
ATN_PART double exp_of(double x)
{
    const double cut = x > 690 ? 690 : x < FAR_DOWN ? FAR_DOWN : x;
    const double shifted = cut * 1.4426950408889634 + 6755399441055744.0;
    const double n = shifted - 6755399441055744.0;
    const double r =
        (cut - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
    double t = 1.0 / 479001600;

    t = t * r + 1.0 / 39916800;
    t = t * r + 1.0 / 3628800;
    t = t * r + 1.0 / 362880;
    t = t * r + 1.0 / 40320;
    t = t * r + 1.0 / 5040;
    t = t * r + 1.0 / 720;
    t = t * r + 1.0 / 120;
    t = t * r + 1.0 / 24;
    t = t * r + 1.0 / 6;
    t = t * r + 1.0 / 2;
    t = t * r * r + r + 1;
    return t * bits_double((double_bits(shifted) << 52) + (UINT64_C(1023) << 52));
}

ATN_CLONES void atn_pairs_power(const double *x, atn_idx n, double e, double *ln,
                                double *y)
{
    const double at_zero = e == 0 ? 1 : 0;

    for (atn_idx j = 0; j < n; j++) {
        const double from = x[j], l = log_of(from);

        ln[j] = l;
        y[j] = from > 0 ? exp_of(e * l) : at_zero;
    }
}

ATN_CLONES void atn_pairs_log(const double *x, atn_idx n, double *ln)
{
    for (atn_idx j = 0; j < n; j++) ln[j] = log_of(x[j]);
}

ATN_CLONES double atn_pairs_dot(const double *x, const double *y, atn_idx n)
{
    double lanes[16] = {0};
    atn_idx j = 0;

    for (; j + 16 <= n; j += 16)
        for (int l = 0; l < 16; l++) lanes[l] += x[j + l] * y[j + l];
    for (int l = 0; j < n; j++, l++) lanes[l] += x[j] * y[j];
    return atn_fold16(lanes);
}

ATN_CLONES double atn_pairs_sum(const double *x, atn_idx n)
{
    double lanes[16] = {0};
    atn_idx j = 0;

    for (; j + 16 <= n; j += 16)
        for (int l = 0; l < 16; l++) lanes[l] += x[j + l];
    for (int l = 0; j < n; j++, l++) lanes[l] += x[j];
    return atn_fold16(lanes);
}

void atn_points_measure(const atn_points *x)
{
    for (atn_idx i = 0; i < x->n; i++) {
        const double *row = x->x + i * x->ld;

        x->square[i] = atn_pairs_dot(row, row, x->c);
        if (x->sum) x->sum[i] = atn_pairs_sum(row, x->c);
    }
}

void atn_pairs_distance(const atn_points *a, atn_idx first, atn_idx rows,
                        const atn_points *b, atn_idx key0, atn_idx keys, double *d2)
{
    const atn_cwide left = {a->x + first * a->ld, rows, a->c, a->ld};
    const atn_cwide right = {b->x + key0 * b->ld, keys, b->c, b->ld};

    atn_gemm_wide(ATN_ABT, -2, left, right, 0, (atn_wide){d2, rows, keys, keys});
}

/* d2 += |a|^2 + |b|^2; how many have lost their digits? */
ATN_CLONES static int64_t add_squares(double own, const double *square, atn_idx n,
                                      double *d2)
{
    int64_t near = 0;

    for (atn_idx j = 0; j < n; j++) {
        const double both = own + square[j], d = d2[j] + both;

        d2[j] = d;
        near += !(d >= NEAR * both) || both == 0;
    }
    return near;
}

static double direct(const double *a, const double *b, atn_idx n)
{
    double sum = 0;

    for (atn_idx c = 0; c < n; c++) sum += (a[c] - b[c]) * (a[c] - b[c]);
    return sum;
}

void atn_pairs_repair(const atn_points *a, atn_idx i, const atn_points *b,
                      atn_idx first, atn_idx n, double snap, double *d2)
{
    const double own = a->square[i], *square = b->square + first;

    if (add_squares(own, square, n, d2) == 0) return;
    for (atn_idx j = 0; j < n; j++) {
        const double larger = ATN_MAX(own, square[j]);

        if (d2[j] >= NEAR * (own + square[j]) && own + square[j] > 0) continue;
        d2[j] = direct(a->x + i * a->ld, b->x + (first + j) * b->ld, a->c);
        if (d2[j] <= snap * snap * larger) d2[j] = 0;
    }
}

double atn_energy_floor(const atn_points *x, double p)
{
    double sum = 0;

    for (atn_idx i = 0; i < x->n; i++) {
        const double *row = x->x + i * x->ld;

        sum += pow(1e-26 * atn_pairs_dot(row, row, x->c), p / 2);
    }
    return sum;
}
