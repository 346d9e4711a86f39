/* analysis/clusters_map.c -- heads on a plane, so that near ones are near: metric MDS.
 *
 * Math    stress(x) = sum_a<b (|x_a - x_b| - d_ab)^2. SMACOF: x_a <- (1 / n) sum_b d_ab
 *         (x_a - x_b) / |x_a - x_b| (0 where two points coincide) never raises the
 *         stress. Stops when a step gains less than 1e-10 of sum d^2, or after 1000.
 * Oracle  distances of points in the plane are met exactly (to 1e-4): a 3-4-5 triangle.
 * Source  de Leeuw 1977; Borg and Groenen, Modern Multidimensional Scaling; the number
 *         of starts and the rule to stop are those of Clark et al., arXiv 1906.04341.
 * Cost    n^2 / 2 roots a step; the starts run side by side.
 * Limits  a local minimum, as always; the map says more of far pairs than of near ones.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "analysis/clusters.h"
#include "core/rng.h"
#include "core/rows.h"

enum { STARTS = 5, STEPS_MAX = 1000 };
static const double GAIN_LEAST = 1e-10;

typedef struct job {
    const double *d;
    atn_idx n;
    double square;         /* sum over pairs of d^2 */
    double *xy;            /* [STARTS][n][2] */
    double stress[STARTS]; /* of each, not yet scaled */
} job;

/* Stress of x, and the point of the next step in y. */
static double step(const job *j, const double *x, double *y)
{
    const atn_idx n = j->n;
    double stress = 0;

    memset(y, 0, (size_t)(2 * n) * sizeof *y);
    for (atn_idx a = 0; a < n; a++)
        for (atn_idx b = 0; b < a; b++) {
            const double u = x[2 * a] - x[2 * b], v = x[2 * a + 1] - x[2 * b + 1];
            const double d = j->d[a * n + b], far = sqrt(u * u + v * v);
            const double pull = far > 0 ? d / far / (double)n : 0;

            stress += (far - d) * (far - d);
            y[2 * a] += pull * u;
            y[2 * a + 1] += pull * v;
            y[2 * b] -= pull * u;
            y[2 * b + 1] -= pull * v;
        }
    return stress;
}

static atn_status one_start(atn_ctx *cx, atn_idx s, void *state)
{
    job *j = state;
    const atn_arena_mark mark = atn_arena_save(cx);
    const double typical =
        sqrt(j->square / ATN_MAX((double)j->n * (double)(j->n - 1) / 2, 1.0));
    atn_rng r = atn_rng_stream(cx->seed, "clusters/mds", s, 0);
    atn_status st = ATN_OK;
    double *x = j->xy + s * 2 * j->n, *y = NULL, before = INFINITY;

    ATN_TAKE(y, 2 * j->n);
    for (atn_idx i = 0; i < 2 * j->n; i++) x[i] = typical * atn_rng_normal(&r);
    for (int i = 0; i <= STEPS_MAX; i++) {
        j->stress[s] = step(j, x, y);
        if (!(before - j->stress[s] > GAIN_LEAST * j->square) || i == STEPS_MAX) break;
        before = j->stress[s];
        memcpy(x, y, (size_t)(2 * j->n) * sizeof *x);
        ATN_TRY(atn_progress(cx, "map of heads", i, STEPS_MAX));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* The same points with the mean at 0 and the long axis along x. */
static void straighten(double *xy, atn_idx n)
{
    double mean[2] = {0, 0}, xx = 0, yy = 0, both = 0, far[2] = {0, 0};

    for (atn_idx i = 0; i < 2 * n; i++) mean[i % 2] += xy[i] / (double)n;
    for (atn_idx i = 0; i < 2 * n; i++) xy[i] -= mean[i % 2];
    for (atn_idx i = 0; i < n; i++) {
        xx += xy[2 * i] * xy[2 * i];
        yy += xy[2 * i + 1] * xy[2 * i + 1];
        both += xy[2 * i] * xy[2 * i + 1];
    }
    {
        const double angle = atan2(2 * both, xx - yy) / 2, c = cos(angle),
                     s = sin(angle);

        for (atn_idx i = 0; i < n; i++) {
            const double u = xy[2 * i], v = xy[2 * i + 1];
            xy[2 * i] = c * u + s * v;
            xy[2 * i + 1] = c * v - s * u;
        }
    }
    for (atn_idx i = 0; i < 2 * n; i++)
        if (fabs(xy[i]) > fabs(far[i % 2])) far[i % 2] = xy[i];
    for (atn_idx i = 0; i < 2 * n; i++)
        if (far[i % 2] < 0) xy[i] = -xy[i];
}

atn_status atn_cluster_map(atn_ctx *cx, const double *distance, atn_idx n, double *xy,
                           double *stress)
{
    atn_status st = ATN_OK;
    job j = {.d = distance, .n = n};
    int best = 0;

    for (atn_idx a = 0; a < n; a++)
        for (atn_idx b = 0; b < a; b++)
            j.square += distance[a * n + b] * distance[a * n + b];
    ATN_NEW(j.xy, STARTS * 2 * n);
    ATN_TRY(atn_parallel(cx, STARTS, one_start, &j, "map of heads"));
    for (int s = 1; s < STARTS; s++)
        if (j.stress[s] < j.stress[best]) best = s;
    memcpy(xy, j.xy + best * 2 * n, (size_t)(2 * n) * sizeof *xy);
    straighten(xy, n);
    *stress = j.square > 0 ? sqrt(j.stress[best] / j.square) : 0;
done:
    atn_free(cx, j.xy);
    return st;
}
