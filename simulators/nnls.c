/* simulators/nnls.c -- least squares with coefficients that are not negative.
 *
 * Math    min |A x - b|, x >= 0, by active sets: of the coefficients at 0 the one with
 *         the steepest descent joins; least squares over those that have joined; where
 *         one would be negative, go as far as none is, and drop those at 0. Columns are
 *         scaled to norm 1. [A b] is reduced to a triangle first, so that a step costs
 *         n^3 whatever m is.
 * Oracle  at the end x >= 0, A'(b - A x) <= 0, and = 0 where x > 0 (Karush, Kuhn,
 *         Tucker).
 * Source  Lawson and Hanson, Solving Least Squares Problems, chapter 23.
 * Cost    2 m n^2 flop and a copy of A.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/fit.h"

#include <math.h>
#include <string.h>

/* a [m, n] row-major becomes upper triangular by reflections, all rows of them. */
static void triangle(double *a, atn_idx m, atn_idx n)
{
    for (atn_idx k = 0; k < ATN_MIN(m - 1, n); k++) {
        double norm = 0, beta, alpha;

        for (atn_idx i = k; i < m; i++) norm += a[i * n + k] * a[i * n + k];
        norm = sqrt(norm);
        if (norm == 0) continue;
        alpha = a[k * n + k] > 0 ? -norm : norm;
        /* v = column - alpha e, kept in the column; beta = 2 / v'v */
        a[k * n + k] -= alpha;
        beta = 0;
        for (atn_idx i = k; i < m; i++) beta += a[i * n + k] * a[i * n + k];
        beta = beta > 0 ? 2 / beta : 0;
        for (atn_idx j = k + 1; j < n; j++) {
            double dot = 0;

            for (atn_idx i = k; i < m; i++) dot += a[i * n + k] * a[i * n + j];
            for (atn_idx i = k; i < m; i++) a[i * n + j] -= beta * dot * a[i * n + k];
        }
        a[k * n + k] = alpha;
        for (atn_idx i = k + 1; i < m; i++) a[i * n + k] = 0;
    }
}

typedef struct problem {
    const double *r; /* [rows, n + 1] the triangle; its last column is b */
    atn_idx rows, n;
    bool *in;     /* [n] has joined */
    double *x;    /* [n] */
    double *z;    /* [n] least squares over those in */
    double *part; /* [rows, n + 1] */
    double least; /* what a gradient must exceed */
} problem;

/* Least squares over the columns that are in; false when they are dependent. */
static bool solve(problem *p)
{
    const atn_idx ld = p->n + 1;
    atn_idx k = 0, w;

    for (atn_idx j = 0; j < p->n; j++) k += p->in[j];
    w = k + 1;
    for (atn_idx i = 0; i < p->rows; i++) {
        atn_idx at = 0;

        for (atn_idx j = 0; j < p->n; j++)
            if (p->in[j]) p->part[i * w + at++] = p->r[i * ld + j];
        p->part[i * w + at] = p->r[i * ld + p->n];
    }
    if (k > p->rows) return false;
    triangle(p->part, p->rows, w);
    for (atn_idx i = 0; i < k; i++)
        if (fabs(p->part[i * w + i]) < 1e-11) return false;
    memset(p->z, 0, (size_t)p->n * sizeof *p->z);
    for (atn_idx j = p->n - 1, i = k - 1; j >= 0; j--) {
        double sum;
        atn_idx at = i + 1;

        if (!p->in[j]) continue;
        sum = p->part[i * w + k];
        for (atn_idx t = j + 1; t < p->n; t++)
            if (p->in[t]) sum -= p->part[i * w + at++] * p->z[t];
        p->z[j] = sum / p->part[i * w + i];
        i--;
    }
    return true;
}

/* The column outside with the largest gradient above the least; -1 = none. */
static atn_idx steepest(const problem *p, const bool *barred)
{
    const atn_idx ld = p->n + 1;
    double best = p->least;
    atn_idx found = -1;

    for (atn_idx j = 0; j < p->n; j++) {
        double g = 0;

        if (p->in[j] || barred[j]) continue;
        for (atn_idx i = 0; i < p->rows; i++) {
            double rest = p->r[i * ld + p->n];

            for (atn_idx t = 0; t < p->n; t++)
                if (p->x[t] > 0) rest -= p->r[i * ld + t] * p->x[t];
            g += p->r[i * ld + j] * rest;
        }
        if (g > best) {
            best = g;
            found = j;
        }
    }
    return found;
}

/* Goes from x towards z as far as nothing is negative. True when all of z was taken. */
static bool approach(problem *p)
{
    double step = 2;

    for (atn_idx j = 0; j < p->n; j++)
        if (p->in[j] && p->z[j] <= 0) step = fmin(step, p->x[j] / (p->x[j] - p->z[j]));
    if (step > 1) {
        memcpy(p->x, p->z, (size_t)p->n * sizeof *p->x);
        return true;
    }
    for (atn_idx j = 0; j < p->n; j++) {
        if (!p->in[j]) continue;
        p->x[j] += step * (p->z[j] - p->x[j]);
        if (p->x[j] <= 1e-15 || (p->z[j] <= 0 && p->x[j] <= 1e-14 * fabs(p->z[j]))) {
            p->x[j] = 0;
            p->in[j] = false;
        }
    }
    return false;
}

static void descend(problem *p, bool *barred)
{
    for (atn_idx turn = 0; turn < 6 * p->n + 6; turn++) {
        const atn_idx j = steepest(p, barred);

        if (j < 0) return;
        p->in[j] = true;
        if (!solve(p) || p->z[j] <= 0) { /* dependent on the others, or by rounding */
            p->in[j] = false;
            barred[j] = true;
            continue;
        }
        memset(barred, 0, (size_t)p->n * sizeof *barred);
        for (atn_idx k = 0; k <= p->n; k++)
            if (approach(p) || !solve(p)) break;
    }
}

atn_status atn_nnls(atn_ctx *cx, const double *a, const double *b, atn_idx m, atn_idx n,
                    double *x)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx ld = n + 1, rows = ATN_MIN(m, n + 1);
    double *r = NULL, *norm = NULL, size = 0;
    bool *barred = NULL;
    problem p = {.rows = rows, .n = n, .x = x};
    atn_status st = ATN_OK;

    ATN_TAKE(r, m * ld);
    ATN_TAKE(norm, n);
    ATN_TAKE(p.in, n);
    ATN_TAKE(barred, n);
    ATN_TAKE(p.z, n);
    ATN_TAKE(p.part, rows * ld);
    for (atn_idx j = 0; j < n; j++) {
        norm[j] = 0;
        for (atn_idx i = 0; i < m; i++) norm[j] += a[i * n + j] * a[i * n + j];
        norm[j] = sqrt(norm[j]);
        x[j] = 0;
        p.in[j] = false;
        barred[j] = norm[j] == 0;
    }
    for (atn_idx i = 0; i < m; i++) {
        for (atn_idx j = 0; j < n; j++)
            r[i * ld + j] = norm[j] > 0 ? a[i * n + j] / norm[j] : 0;
        r[i * ld + n] = b[i];
        size += b[i] * b[i];
    }
    triangle(r, m, ld);
    p.r = r;
    p.least = 1e-12 * sqrt(size);
    descend(&p, barred);
    for (atn_idx j = 0; j < n; j++) x[j] = norm[j] > 0 ? x[j] / norm[j] : 0;
done:
    atn_arena_rewind(cx, mark);
    return st;
}
