/* theory/polynomial.c -- degrees that e^x needs, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "theory/polynomial.h"

#include <math.h>
#include <stddef.h>

double atn_taylor_error(int degree, double x)
{
    double term = 1, sum = 0, log_first;

    if (!(x >= 0) || degree < 0) return NAN;
    if (x == 0) return 0;
    if ((double)degree < x - 1) return INFINITY;
    for (int m = 2; fabs(term) > 1e-17; m++) {
        sum += term;
        term *= -x / (degree + m);
    }
    log_first = x + (degree + 1) * log(x) - lgamma(degree + 2.0);
    return exp(log_first) * sum;
}

int atn_taylor_degree(double x, double eps, bool even)
{
    const int step = even ? 2 : 1;
    double from = ceil(fmax(x - 1, 0) / step);
    int low, high = ATN_TAYLOR_DEGREE_MOST / step;

    if (!(x >= 0) || !(eps > 0) || from > high) return -1;
    if (!(atn_taylor_error(high * step, x) <= eps)) return -1;
    /* from - 1 is too low, or below 0; high is enough */
    for (low = (int)from - 1; high - low > 1;) {
        const int mid = low + (high - low) / 2;

        if (atn_taylor_error(mid * step, x) <= eps)
            high = mid;
        else
            low = mid;
    }
    return high * step;
}

/* ---- the best polynomial ---- */

enum { POINTS = ATN_BEST_DEGREE_MOST + 2, GRID = 8, ROUNDS = 60 };

typedef struct reference {
    int n;    /* degree + 2 */
    double x; /* X */
    double at[POINTS];
    double weight[POINTS]; /* l_i e^(x_i), with its sign, up to a factor e^-shift */
    double shift, error;   /* of the reference */
} reference;

/* Distances are in units of X / 2, whose products neither grow nor vanish. */
static void level(reference *r)
{
    const double unit = r->x / 2;
    double top = -INFINITY, sum = 0, total = 0;

    for (int i = 0; i < r->n; i++) {
        double apart = 1; /* at most 4^254 */

        for (int j = 0; j < r->n; j++)
            if (j != i) apart *= (r->at[i] - r->at[j]) / unit;
        r->weight[i] = r->at[i] - log(fabs(apart));
        top = fmax(top, r->weight[i]);
    }
    for (int i = 0; i < r->n; i++) {
        const double w = exp(r->weight[i] - top);

        r->weight[i] = (r->n - 1 - i) % 2 ? -w : w;
        sum += r->weight[i];
        total += w;
    }
    r->shift = top;
    r->error = fabs(sum) / total;
}

/* p(x) e^-x - 1 of the polynomial whose error alternates on the reference. */
static double error_at(const reference *r, double x)
{
    const double unit = r->x / 2;
    double product = 1, sum = 0;

    for (int i = 0; i < r->n; i++) {
        const double apart = (x - r->at[i]) / unit;
        const double sign = r->weight[i] < 0 ? -1 : 1;

        if (apart == 0) return -sign * r->error;
        product *= apart;
        sum += r->weight[i] * (1 - sign * r->error) / apart;
    }
    return product * exp(r->shift - x) * sum - 1;
}

/* The largest |error| between lo and hi, where it has one peak; x of it. */
static double peak(const reference *r, double lo, double hi, int steps, double *most)
{
    const double golden = 0.6180339887498949;
    double a = hi - golden * (hi - lo), b = lo + golden * (hi - lo);
    double fa = fabs(error_at(r, a)), fb = fabs(error_at(r, b));

    for (int k = 0; k < steps; k++) {
        if (fa >= fb) {
            hi = b, b = a, fb = fa;
            a = hi - golden * (hi - lo);
            fa = fabs(error_at(r, a));
        } else {
            lo = a, a = b, fa = fb;
            b = lo + golden * (hi - lo);
            fb = fabs(error_at(r, b));
        }
    }
    *most = fmax(fa, fb);
    return fa >= fb ? a : b;
}

/* Point k of a grid that has GRID steps between neighbours of the reference. */
static double grid_at(const reference *r, int k)
{
    const int gap = k / GRID;
    const double lo = gap == 0 ? -r->x : r->at[gap - 1];
    const double hi = gap == r->n ? r->x : r->at[gap];

    return lo + (hi - lo) * (k % GRID) / GRID;
}

/* One place in each run of errors of one sign becomes the next reference. False where
 * there are not as many runs as there have to be: rounding has won. */
static bool exchange(const reference *r, int steps, double next[POINTS], double *most)
{
    const int last = (r->n + 1) * GRID;
    int run = -1, best = 0;
    double before = 0, top = -1;

    *most = 0;
    for (int k = 0; k <= last + 1; k++) {
        const double x = k >= last ? r->x : grid_at(r, k);
        const double e = k > last ? 0 : error_at(r, x);
        const bool ends = k > last || k == 0 || e * before < 0;

        if (ends && run >= 0) {
            const double lo = best > 0 ? grid_at(r, best - 1) : -r->x;
            const double hi = best + 1 < last ? grid_at(r, best + 1) : r->x;
            double high;

            next[run] = peak(r, lo, hi, steps, &high);
            if (top > high) {
                next[run] = best < last ? grid_at(r, best) : r->x;
                high = top;
            }
            *most = fmax(*most, high);
        }
        if (k > last) break;
        if (ends) {
            if (++run == r->n) return false;
            top = -1;
        }
        if (e != 0) before = e;
        if (fabs(e) > top) top = fabs(e), best = k;
    }
    return run == r->n - 1;
}

/* n points with the angles of those that there are, for another degree. */
static void spread(reference *r, int n)
{
    double angle[POINTS];

    for (int i = 0; i < n; i++) {
        const double u = (double)i * (r->n - 1) / (n - 1);
        const int k = u < r->n - 2 ? (int)u : r->n - 2;
        const double lo = acos(fmax(-1, -r->at[k] / r->x));
        const double hi = acos(fmax(-1, -r->at[k + 1] / r->x));

        angle[i] = lo + (hi - lo) * (u - k);
    }
    r->n = n;
    for (int i = 0; i < n; i++) r->at[i] = -r->x * cos(angle[i]);
}

/* The least error lies between low and high, which come to agree to `near`. False where
 * rounding has won before. */
static bool settle(reference *r, double near, double *low, double *high)
{
    double next[POINTS];

    *low = 0;
    *high = INFINITY;
    for (int round = 0; round < ROUNDS; round++) {
        double most;

        level(r);
        *low = fmax(*low, r->error);
        if (!exchange(r, near < 0.01 ? 40 : 10, next, &most)) return false;
        *high = fmin(*high, most);
        for (int i = 0; i < r->n; i++) {
            if (i > 0 && !(next[i] > next[i - 1])) return false;
            r->at[i] = next[i];
        }
        if (*high <= *low * (1 + near)) return true;
    }
    return false;
}

/* How well they can agree: an error of `low` is known to 1e-16 or so. */
static double finest(double low)
{
    return fmax(1e-9, 1e-13 / low);
}

/* 1 = the error is eps at most, 0 = it is not, -1 = rounding hides it. */
static int is_enough(reference *r, double eps)
{
    double low, high;

    if (!settle(r, 0.02, &low, &high)) return -1;
    if (low <= eps && high > eps && !settle(r, finest(low), &low, &high)) return -1;
    return low <= eps;
}

/* Raises the degree until it is enough; false beyond the limits. */
static bool raise(reference *r, double eps)
{
    int enough;

    while ((enough = is_enough(r, eps)) == 0) {
        if (r->n == POINTS) return false;
        spread(r, r->n + 1);
    }
    return enough > 0;
}

/* The smallest degree above 0 that is enough on [-x, x], by way of shorter intervals:
 * points that suit one are a good start for the next, and far from it no start is good,
 * for e^2x is beyond rounding. */
static bool walk(reference *r, double x, double eps)
{
    *r = (reference){.n = 3, .x = fmin(x, 0.5)};
    r->at[0] = -r->x;
    r->at[2] = r->x;
    while (raise(r, eps)) {
        const double f = fmin(1.2, x / r->x);

        if (r->x >= x) return true;
        for (int i = 0; i < r->n; i++) r->at[i] *= f;
        r->x = f < 1.2 ? x : r->x * f;
        r->at[0] = fmax(r->at[0], -r->x);
        r->at[r->n - 1] = fmin(r->at[r->n - 1], r->x);
    }
    return false;
}

void atn_best_degrees(double x, const double *eps, int n, int *degree)
{
    reference r = {.n = 0};
    bool found = x >= 0 && x <= ATN_BEST_X_MOST;

    for (int i = 0; i < n; i++) {
        if (found && tanh(x) <= eps[i]) {
            degree[i] = 0;
            continue;
        }
        found = found && eps[i] > 0;
        if (found) found = r.n == 0 ? walk(&r, x, eps[i]) : raise(&r, eps[i]);
        degree[i] = found ? r.n - 2 : -1;
    }
}

int atn_best_degree(double x, double eps)
{
    int degree;

    atn_best_degrees(x, &eps, 1, &degree);
    return degree;
}

double atn_best_error(int degree, double x)
{
    reference r;
    double low = 0, high = INFINITY;

    if (!(x >= 0) || degree < 0 || degree > ATN_BEST_DEGREE_MOST || x > ATN_BEST_X_MOST)
        return NAN;
    if (degree == 0) return tanh(x);
    if (x == 0) return 0;
    if (!walk(&r, x, 0.1) || !settle(&r, 0.02, &low, &high)) return NAN;
    while (r.n != degree + 2) {
        spread(&r, r.n + (r.n < degree + 2 ? 1 : -1));
        if (!settle(&r, 0.02, &low, &high)) return NAN;
        if (low > 1 - 1e-10)
            return low; /* and less of a degree leaves no more than 1 */
    }
    return settle(&r, finest(low), &low, &high) ? low : NAN;
}

double atn_polynomial_features(double d, int degree)
{
    double n = 1;

    for (int t = 1; t <= degree && n < INFINITY; t++) n = n * (d + t) / t;
    return n;
}
