/* graph/lanczos.c -- Lanczos runs side by side, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "graph/lanczos.h"

#include <math.h>
#include <string.h>

#include "core/linalg.h"
#include "core/rows.h"

enum { GROUP = 16, CHECK_EVERY = 4 };
static const double BREAKDOWN = 1e-5; /* of the largest number of the matrix so far */

typedef struct runs {
    const atn_symmetric *a;
    const atn_lanczos_opts *o;
    atn_idx n, r;
    float **q;            /* [steps + 1] each (n, r) */
    double *alpha, *beta; /* [r, steps] */
    double *scale;        /* [r] */
    int *count;           /* [r] steps done; of a run that ended it stays */
    bool *over;           /* [r] */
    int at;               /* step under way; -1 = the start */
} runs;

/* ---- columns [first, first + m) of the next vector ---- */

/* c <- q'y, and y -= q c; sums go down the rows. */
static void take_out(const float *q, float *y, atn_idx n, atn_idx r, atn_idx m,
                     double *c)
{
    for (atn_idx k = 0; k < m; k++) c[k] = 0;
    for (atn_idx i = 0; i < n; i++)
        for (atn_idx k = 0; k < m; k++)
            c[k] += (double)q[i * r + k] * (double)y[i * r + k];
    for (atn_idx i = 0; i < n; i++)
        for (atn_idx k = 0; k < m; k++)
            y[i * r + k] = (float)((double)y[i * r + k] - c[k] * (double)q[i * r + k]);
}

static void take_out_fixed(const double *q, float *y, atn_idx n, atn_idx r, atn_idx m)
{
    double c[GROUP] = {0};

    for (atn_idx i = 0; i < n; i++)
        for (atn_idx k = 0; k < m; k++) c[k] += q[i] * (double)y[i * r + k];
    for (atn_idx i = 0; i < n; i++)
        for (atn_idx k = 0; k < m; k++)
            y[i * r + k] = (float)((double)y[i * r + k] - c[k] * q[i]);
}

static void lengths(const float *y, atn_idx n, atn_idx r, atn_idx m, double *length)
{
    for (atn_idx k = 0; k < m; k++) length[k] = 0;
    for (atn_idx i = 0; i < n; i++)
        for (atn_idx k = 0; k < m; k++)
            length[k] += (double)y[i * r + k] * (double)y[i * r + k];
    for (atn_idx k = 0; k < m; k++) length[k] = sqrt(length[k]);
}

/* Twice is enough (Kahan and Parlett). */
static void orthogonalise(runs *s, atn_idx first, atn_idx m)
{
    float *y = s->q[s->at + 1] + first;
    double c[GROUP];

    for (int twice = 0; twice < 2; twice++) {
        if (s->o->without) take_out_fixed(s->o->without, y, s->n, s->r, m);
        for (int k = s->at; k >= 0; k--) {
            take_out(s->q[k] + first, y, s->n, s->r, m, c);
            for (atn_idx e = 0; e < m && k == s->at; e++)
                s->alpha[(first + e) * s->o->steps + s->at] += c[e];
        }
    }
}

static atn_status next_columns(atn_ctx *cx, atn_idx group, void *state)
{
    runs *s = state;
    const atn_idx first = group * GROUP, m = ATN_MIN((atn_idx)GROUP, s->r - first);
    float *y = s->q[s->at + 1] + first;
    double length[GROUP], by[GROUP];

    (void)cx;
    orthogonalise(s, first, m);
    lengths(y, s->n, s->r, m, length);
    for (atn_idx e = 0; e < m; e++) {
        const atn_idx c = first + e, at = c * s->o->steps + s->at;

        if (s->at >= 0 && !s->over[c]) {
            s->count[c] = s->at + 1;
            s->beta[at] = length[e];
            s->scale[c] = fmax(s->scale[c], fmax(fabs(s->alpha[at]), length[e]));
        }
        if (!(length[e] > BREAKDOWN * s->scale[c])) s->over[c] = true;
        by[e] = s->over[c] ? 0 : 1 / length[e];
    }
    for (atn_idx i = 0; i < s->n; i++)
        for (atn_idx e = 0; e < m; e++)
            y[i * s->r + e] = (float)((double)y[i * s->r + e] * by[e]);
    return ATN_OK;
}

/* ---- the tridiagonal matrix ---- */

static atn_status ritz_of(atn_ctx *cx, const runs *s, atn_idx c, atn_ritz *ritz)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const double *alpha = s->alpha + c * s->o->steps, *beta = s->beta + c * s->o->steps;
    const atn_idx n = s->count[c];
    atn_status st = ATN_OK;
    double *t = NULL, *value = NULL;

    ATN_TAKE(t, n * n);
    ATN_TAKE(value, n);
    memset(t, 0, (size_t)(n * n) * sizeof *t);
    for (atn_idx i = 0; i < n; i++) {
        t[i * n + i] = alpha[i];
        if (i + 1 < n) t[i * n + i + 1] = t[(i + 1) * n + i] = beta[i];
    }
    ATN_TRY(atn_eigenvectors(cx, t, n, value));
    for (atn_idx i = 0; i < n; i++)
        ritz[i] = (atn_ritz){value[i], t[i * n] * t[i * n],
                             beta[n - 1] * fabs(t[i * n + n - 1])};
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status top_is_done(atn_ctx *cx, const runs *s, atn_ritz *ritz, bool *done)
{
    atn_status st = ATN_OK;
    const int n = s->count[0];

    *done = false;
    if (s->r != 1 || !(s->o->top_tolerance > 0) || n == 0 || n % CHECK_EVERY != 0)
        return ATN_OK;
    ATN_TRY(ritz_of(cx, s, 0, ritz));
    *done = ritz[n - 1].residual <= s->o->top_tolerance * fabs(ritz[n - 1].value);
done:
    return st;
}

/* ---- all steps ---- */

double atn_lanczos_bytes(atn_idx n, atn_idx r, int steps)
{
    const double k = steps, cells = (double)n * (double)r;

    return 4 * (k + 1) * cells + (double)r * (16 * k + 24) + 8 * k * k +
           atn_eigenvectors_bytes(steps);
}

static atn_status take_runs(atn_ctx *cx, const float *start, runs *s)
{
    const atn_idx cells = s->r * s->o->steps, steps = s->o->steps;
    atn_status st = ATN_OK;

    ATN_TAKE(s->q, steps + 1);
    ATN_TAKE(s->q[0], s->n * s->r);
    ATN_TAKE(s->alpha, cells);
    ATN_TAKE(s->beta, cells);
    ATN_TAKE(s->scale, s->r);
    ATN_TAKE(s->over, s->r);
    memcpy(s->q[0], start, (size_t)(s->n * s->r) * sizeof *start);
    memset(s->alpha, 0, (size_t)cells * sizeof *s->alpha);
    memset(s->beta, 0, (size_t)cells * sizeof *s->beta);
    memset(s->scale, 0, (size_t)s->r * sizeof *s->scale);
    memset(s->over, 0, (size_t)s->r * sizeof *s->over);
    memset(s->count, 0, (size_t)s->r * sizeof *s->count);
done:
    return st;
}

static bool all_over(const runs *s)
{
    for (atn_idx c = 0; c < s->r; c++)
        if (!s->over[c]) return false;
    return true;
}

atn_status atn_lanczos(atn_ctx *cx, const atn_symmetric *a, const float *start,
                       atn_idx r, const atn_lanczos_opts *o, atn_ritz *ritz, int *count)
{
    const atn_idx groups = (r + GROUP - 1) / GROUP;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    runs s = {.a = a, .o = o, .n = a->n, .r = r, .count = count, .at = -1};
    bool done = false;

    ATN_ASSERT(r > 0 && o->steps >= 1 && o->steps <= ATN_LANCZOS_STEPS_MOST);
    ATN_TRY(atn_mem_check(cx, atn_lanczos_bytes(s.n, r, o->steps), "Lanczos vectors"));
    ATN_TRY(take_runs(cx, start, &s));
    ATN_TRY(atn_parallel(cx, groups, next_columns, &s, "spectrum"));
    for (s.at = 0; s.at < o->steps && !all_over(&s) && !done; s.at++) {
        ATN_TAKE(s.q[s.at + 1], s.n * r);
        ATN_TRY(a->apply(cx, s.q[s.at], r, s.q[s.at + 1], a->state));
        ATN_TRY(atn_parallel(cx, groups, next_columns, &s, "spectrum"));
        ATN_TRY(top_is_done(cx, &s, ritz, &done));
    }
    for (atn_idx c = 0; c < r; c++)
        if (count[c] > 0) ATN_TRY(ritz_of(cx, &s, c, ritz + c * o->steps));
done:
    atn_arena_rewind(cx, mark);
    return st;
}
