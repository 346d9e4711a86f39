/* graph/horizon.c -- the distribution of distances through stacked windows. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "graph/horizon.h"

#include <math.h>
#include <string.h>

void atn_horizon_step(double *p, double *q, atn_idx n, atn_idx window, double residual)
{
    double sum = 0;

    ATN_ASSERT(window >= 1);
    memcpy(q, p, (size_t)n * sizeof *q);
    for (atn_idx d = 0; d < n; d++) {
        sum += q[d];
        if (d >= window) sum -= q[d - window];
        p[d] = residual * q[d] + (1 - residual) * ATN_MAX(sum, 0.0) / (double)window;
    }
}

double atn_horizon_closed(double window, double residual, double eps)
{
    if (!(residual > 0)) return NAN;
    if (residual >= 1) return 0;
    return window * log(eps) / log(1 - residual);
}

atn_horizon_facts atn_horizon_of(const double *p, atn_idx n, atn_idx window, double eps)
{
    atn_horizon_facts f = {0, 0, NAN, NAN};
    double sum = 0, beyond = 0, far = 0, left;

    for (atn_idx d = 0; d < n; d++) {
        sum += p[d];
        far += p[d] * (double)d;
        if (d >= window) beyond += p[d];
    }
    if (!(sum > 0)) return (atn_horizon_facts){NAN, NAN, NAN, NAN};
    f.mean = far / sum;
    for (atn_idx d = 0; d < n; d++)
        f.deviation += p[d] / sum * ((double)d - f.mean) * ((double)d - f.mean);
    f.deviation = sqrt(f.deviation);
    if (window > 0) f.beyond = beyond / sum;
    /* from the far end, where the weights are small */
    left = 0;
    for (atn_idx d = n - 1; d >= 0; d--) {
        left += p[d] / sum;
        f.reach = (double)d;
        if (left > eps) break;
    }
    return f;
}
