/* tests/approx/pinv_twin.h -- inverses of small matrices for twins: by Gauss and Jordan,
 * and by the steps of Nystromformer. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "check.h"

enum { PINV_MOST = 40 };

static inline void pinv_times(int n, double a[PINV_MOST][PINV_MOST],
                              double b[PINV_MOST][PINV_MOST],
                              double c[PINV_MOST][PINV_MOST])
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            c[i][j] = 0;
            for (int k = 0; k < n; k++) c[i][j] += a[i][k] * b[k][j];
        }
}

/* Gauss and Jordan, with the largest pivot. */
static inline void pinv_inverse(int n, double a[PINV_MOST][PINV_MOST],
                                double z[PINV_MOST][PINV_MOST])
{
    double x[PINV_MOST][2 * PINV_MOST];

    for (int i = 0; i < n; i++)
        for (int j = 0; j < 2 * n; j++) x[i][j] = j < n ? a[i][j] : j - n == i;
    for (int p = 0; p < n; p++) {
        int best = p;

        for (int i = p; i < n; i++)
            if (fabs(x[i][p]) > fabs(x[best][p])) best = i;
        for (int j = 0; j < 2 * n; j++) {
            const double swap = x[p][j];

            x[p][j] = x[best][j];
            x[best][j] = swap;
        }
        for (int i = 0; i < n; i++) {
            const double by = x[i][p] / x[p][p];

            for (int j = 0; i != p && j < 2 * n; j++) x[i][j] -= by * x[p][j];
        }
    }
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) z[i][j] = x[i][n + j] / x[i][i];
}

static inline void pinv_steps(int n, int count, double a[PINV_MOST][PINV_MOST],
                              double z[PINV_MOST][PINV_MOST])
{
    static double x[PINV_MOST][PINV_MOST], y[PINV_MOST][PINV_MOST],
        t[PINV_MOST][PINV_MOST];
    double most = 0;

    for (int j = 0; j < n; j++) {
        double sum = 0;

        for (int i = 0; i < n; i++) sum += a[i][j];
        most = fmax(most, sum);
    }
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) z[i][j] = a[j][i] / most;
    for (int k = 0; k < count; k++) {
        /* (13 - x (15 - x (7 - x))) / 4 = (13 - 15 x + 7 x^2 - x^3) / 4 */
        pinv_times(n, a, z, x);
        pinv_times(n, x, x, y);
        pinv_times(n, y, x, t);
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++)
                x[i][j] = (13 * (i == j) - 15 * x[i][j] + 7 * y[i][j] - t[i][j]) / 4;
        pinv_times(n, z, x, t);
        memcpy(z, t, sizeof t);
    }
}
