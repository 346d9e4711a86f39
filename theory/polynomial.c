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

enum { POINTS = ATN_BEST_DEGREE_MOST + 2, GRID = 12, ROUNDS = 60 };

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
        double log_l = 0;

        for (int j = 0; j < r->n; j++)
            if (j != i) log_l -= log(fabs(r->at[i] - r->at[j]) / unit);
        r->weight[i] = log_l + r->at[i];
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
static double peak(const reference *r, double lo, double hi, double *most)
{
    const double golden = 0.6180339887498949;
    double a = hi - golden * (hi - lo), b = lo + golden * (hi - lo);
    double fa = fabs(error_at(r, a)), fb = fabs(error_at(r, b));

    for (int k = 0; k < 40; k++) {
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
static bool exchange(const reference *r, double next[POINTS], double *most)
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

            next[run] = peak(r, lo, hi, &high);
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

/* The least error lies between low and high; stops as soon as eps does not (0: as soon
 * as they agree). */
static void bracket(int degree, double x, double eps, double *low, double *high)
{
    const double pi = 3.14159265358979323846;
    double next[POINTS];
    reference r = {.n = degree + 2, .x = x};

    for (int i = 0; i < r.n; i++) r.at[i] = -x * cos(pi * i / (r.n - 1));
    *low = 0;
    *high = INFINITY;
    for (int round = 0; round < ROUNDS; round++) {
        double most;

        level(&r);
        *low = fmax(*low, r.error);
        if (eps > 0 && *low > eps) return;
        if (!exchange(&r, next, &most)) return;
        *high = fmin(*high, most);
        if ((eps > 0 && *high <= eps) || *high <= *low * (1 + 1e-9)) return;
        for (int i = 0; i < r.n; i++) {
            if (i > 0 && !(next[i] > next[i - 1])) return;
            r.at[i] = next[i];
        }
    }
}

double atn_best_error(int degree, double x)
{
    double low, high;

    if (!(x >= 0) || degree < 0 || degree > ATN_BEST_DEGREE_MOST || x > ATN_BEST_X_MOST)
        return NAN;
    if (x == 0) return 0;
    bracket(degree, x, 0, &low, &high);
    return low;
}

static bool is_enough(int degree, double x, double eps)
{
    double low, high;

    bracket(degree, x, eps, &low, &high);
    return low <= eps;
}

int atn_best_degree(double x, double eps)
{
    int low = -1, high = 1;

    if (!(x >= 0) || !(eps > 0) || x > ATN_BEST_X_MOST) return -1;
    if (x == 0 || tanh(x) <= eps) return 0;
    while (!is_enough(high, x, eps)) {
        if (high == ATN_BEST_DEGREE_MOST) return -1;
        low = high;
        high = high * 2 < ATN_BEST_DEGREE_MOST ? high * 2 : ATN_BEST_DEGREE_MOST;
    }
    while (high - low > 1) {
        const int mid = low + (high - low) / 2;

        if (is_enough(mid, x, eps))
            high = mid;
        else
            low = mid;
    }
    return high;
}

double atn_polynomial_features(double d, int degree)
{
    double n = 1;

    for (int t = 1; t <= degree && n < INFINITY; t++) n = n * (d + t) / t;
    return n;
}
