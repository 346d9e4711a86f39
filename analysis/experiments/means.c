/* analysis/experiments/means.c -- a mean of draws against what it should be. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/experiments/means.h"

#include <math.h>

static const double ERROR_MOST = .1, SKEW_MOST = .3;

atn_mean atn_mean_of(const double *x, int64_t n)
{
    const double count = (double)n;
    double two = 0, three = 0;
    atn_mean m = {.n = n};

    for (int64_t e = 0; e < n; e++) m.mean += x[e] / count;
    for (int64_t e = 0; e < n; e++) {
        const double off = x[e] - m.mean;

        two += off * off / count;
        three += off * off * off / count;
    }
    if (n > 1) m.error = sqrt(two / (count - 1));
    if (two > 0) m.skew = three / pow(two, 1.5) / sqrt(count);
    return m;
}

double atn_mean_statistic(const atn_mean *m, double expected, double rounding)
{
    const double off = m->mean - expected, g = m->skew, n = (double)(m->n - 1);
    double t;

    if (fabs(off) <= rounding) return 0;
    if (!(m->error > 0)) return off > 0 ? INFINITY : -INFINITY;
    t = off / m->error;
    t += g * t * t / 3 + g * g * t * t * t / 27 + g / 6;
    return copysign((8 * n + 1) / (8 * n + 3) * sqrt(n * log1p(t * t / n)), t);
}

double atn_mean_outside(const atn_mean *m, double lo, double hi)
{
    if (m->mean < lo) return fmin(atn_mean_statistic(m, lo, 0), 0);
    if (m->mean > hi) return fmax(atn_mean_statistic(m, hi, 0), 0);
    return 0;
}

double atn_mean_unskewed(double t, double g)
{
    if (!isfinite(t)) return t;
    return t - g * (t * t - 1) / 6 + g * g * t * t * t / 108;
}

bool atn_mean_is_known(const atn_mean *m, double scale)
{
    return m->error <= ERROR_MOST * fmax(fabs(m->mean), scale) &&
           fabs(m->skew) <= SKEW_MOST;
}
