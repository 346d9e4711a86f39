/* simulators/fit_decode.c -- coefficients of decode steps from timings.
 *
 * Math    e_i = predicted / measured - 1; least sum of 2 s^2 (sqrt(1 + (e / s)^2) - 1),
 *         s = 0.1: squares of small errors, sizes of large ones. Coefficients are
 *         exp(theta), so none is negative; Levenberg-Marquardt on theta, from two
 *         starts for each P of 1, 1.5, 2, 4, 8; the least loss is kept. A coefficient
 *         whose regressor is 0 in every row is 0. Baseline: two coefficients, the same
 *         loss replaced by squares.
 * Oracle  times made of known coefficients are predicted to 2e-4 after the fit.
 * Source  cards/simulators.md 6.3 (decode); More 1978, The Levenberg-Marquardt
 *         Algorithm.
 * Cost    below a second for 400 rows.
 * Limits  several minima lie close together: errors can be compared, coefficients
 *         cannot.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/timing_work.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/linalg.h"
#include "core/mat.h"

enum { FREE_MOST = 11, ROUNDS = 400, ROWS_LEAST = 24, ROWS_LEAST_BASE = 4 };
static const double scale = 0.1;
static const double trace = 1e-7;    /* of a row's time */
static const double floor_log = -30; /* exp of it is 0 for any time in us */

/* The coefficients that are fitted, in the order of theta, with where they start. */
static const struct {
    atn_term term;
    double start;
} terms[FREE_MOST] = {
    {ATN_TERM_T0, 8},        {ATN_TERM_CTA, 1},     {ATN_TERM_TILE, 0.3},
    {ATN_TERM_BYTE, 0.2},    {ATN_TERM_SPLIT, 1},   {ATN_TERM_PART, 1},
    {ATN_TERM_WINDOW, 1},    {ATN_TERM_CTA_MHA, 1}, {ATN_TERM_SEQ, 5},
    {ATN_TERM_KV_TOKEN, 10}, {ATN_TERM_QO, 3},
};
static const double tile_starts[] = {0.3, 1};
static const double powers[] = {1, 1.5, 2, 4, 8};

typedef struct problem {
    const atn_regressors *x; /* [n] */
    const double *us;        /* [n] measured */
    atn_idx n;
    atn_time_fit *fit; /* takes the coefficients of a trial */
    atn_term term[FREE_MOST];
    int free;
} problem;

static void set_theta(const problem *p, const double *theta)
{
    for (int j = 0; j < p->free; j++)
        p->fit->c[p->term[j]] = theta[j] > floor_log ? exp(theta[j]) : 0;
}

/* d us / d theta [free] of one row. */
static void slope(const problem *p, const atn_regressors *x, double *g)
{
    const double *c = p->fit->c, power = p->fit->power;
    const double bytes = c[ATN_TERM_BYTE] * x->x[ATN_TERM_BYTE];
    const double work = c[ATN_TERM_CTA] * x->x[ATN_TERM_CTA] +
                        c[ATN_TERM_CTA_MHA] * x->x[ATN_TERM_CTA_MHA] +
                        c[ATN_TERM_TILE] * x->x[ATN_TERM_TILE];
    const double high = fmax(work, bytes), low = fmin(work, bytes);
    double of_work = 1, of_bytes = 1;

    if (power != 1 && high > 0) {
        const double both = high * pow(1 + pow(low / high, power), 1 / power);

        of_work = pow(work / both, power - 1);
        of_bytes = pow(bytes / both, power - 1);
    }
    for (int j = 0; j < p->free; j++) {
        const atn_term t = p->term[j];

        g[j] = c[t] * x->x[t];
        if (t == ATN_TERM_BYTE) g[j] *= of_bytes;
        if (t == ATN_TERM_CTA || t == ATN_TERM_CTA_MHA || t == ATN_TERM_TILE)
            g[j] *= of_work;
    }
}

static double loss(const problem *p, const double *theta)
{
    double sum = 0;

    set_theta(p, theta);
    for (atn_idx i = 0; i < p->n; i++) {
        const double e = atn_decode_sum(p->fit, p->x + i, false) / p->us[i] - 1;

        sum += 2 * scale * scale * (sqrt(1 + (e / scale) * (e / scale)) - 1);
    }
    return sum;
}

/* Normal equations at theta: a [free, free] lower, g [free]. Returns the loss. */
static double normal(const problem *p, const double *theta, double *a, double *g)
{
    const int n = p->free;
    double row[FREE_MOST], sum = 0;

    set_theta(p, theta);
    memset(a, 0, (size_t)(n * n) * sizeof *a);
    memset(g, 0, (size_t)n * sizeof *g);
    for (atn_idx i = 0; i < p->n; i++) {
        const double e = atn_decode_sum(p->fit, p->x + i, false) / p->us[i] - 1;
        const double root = sqrt(1 + (e / scale) * (e / scale));
        const double w = 1 / root;

        sum += 2 * scale * scale * (root - 1);
        slope(p, p->x + i, row);
        for (int j = 0; j < n; j++) row[j] /= p->us[i];
        for (int j = 0; j < n; j++) {
            g[j] += w * e * row[j];
            for (int k = 0; k <= j; k++) a[j * n + k] += w * row[j] * row[k];
        }
    }
    return sum;
}

/* One damped step from theta to `to`; false where the equations have no solution. */
static bool step(const problem *p, const double *theta, const double *a,
                 const double *g, double damping, double *to)
{
    const int n = p->free;
    double l[FREE_MOST * FREE_MOST], b[FREE_MOST];

    for (int i = 0; i < n * n; i++) l[i] = a[i];
    for (int j = 0; j < n; j++) {
        l[j * n + j] += damping * (a[j * n + j] + 1e-9);
        b[j] = -g[j];
    }
    if (!atn_cholesky(l, n)) return false;
    atn_cholesky_solve(l, n, b);
    for (int j = 0; j < n; j++)
        to[j] = fmax(theta[j] + fmax(fmin(b[j], 2), -2), floor_log);
    return true;
}

/* theta <- the minimum that is reached from it. Returns the loss there. */
static double descend(const problem *p, double *theta)
{
    double a[FREE_MOST * FREE_MOST], g[FREE_MOST], to[FREE_MOST];
    double damping = 1e-2, at = normal(p, theta, a, g);
    int flat = 0;

    for (int round = 0; round < ROUNDS && flat < 5 && damping < 1e12; round++) {
        double next = INFINITY;

        if (step(p, theta, a, g, damping, to)) next = loss(p, to);
        if (!(next < at)) {
            damping *= 4;
            continue;
        }
        flat = at - next < 1e-9 * at ? flat + 1 : 0;
        memcpy(theta, to, sizeof to);
        damping = fmax(damping / 3, 1e-9);
        at = normal(p, theta, a, g);
    }
    set_theta(p, theta);
    return at;
}

static void choose_terms(problem *p)
{
    p->free = 0;
    for (int j = 0; j < FREE_MOST; j++) {
        bool occurs = false;

        for (atn_idx i = 0; i < p->n; i++) occurs |= p->x[i].x[terms[j].term] > 0;
        if (occurs) p->term[p->free++] = terms[j].term;
    }
}

static void start(const problem *p, double tile, double *theta)
{
    int k = 0;

    for (int j = 0; j < FREE_MOST && k < p->free; j++)
        if (terms[j].term == p->term[k])
            theta[k++] = log(terms[j].term == ATN_TERM_TILE ? tile : terms[j].start);
}

/* Coefficients that are nothing of any row's time become 0. */
static void drop_traces(const problem *p)
{
    for (int j = 0; j < p->free; j++) {
        double *c = &p->fit->c[p->term[j]], most = 0;

        for (atn_idx i = 0; i < p->n; i++)
            most = fmax(most, *c * p->x[i].x[p->term[j]] / p->us[i]);
        if (most < trace) *c = 0;
    }
}

/* The best of all starts and powers, into p->fit. */
static void search(problem *p)
{
    double theta[FREE_MOST] = {0}, best_loss = INFINITY;
    atn_time_fit best = *p->fit;

    choose_terms(p);
    for (size_t i = 0; i < ATN_LEN(powers); i++)
        for (size_t s = 0; s < ATN_LEN(tile_starts); s++) {
            double at;

            p->fit->power = powers[i];
            start(p, tile_starts[s], theta);
            at = descend(p, theta);
            if (!(at < best_loss)) continue;
            best_loss = at;
            best = *p->fit;
        }
    *p->fit = best;
    drop_traces(p);
}

/* t0 + c MB, both at least 0: least squares on rows divided by their time. */
static void fit_two(const problem *p)
{
    double aa = 0, ab = 0, bb = 0, a1 = 0, b1 = 0, det, *c = p->fit->c;

    for (atn_idx i = 0; i < p->n; i++) {
        const double a = 1 / p->us[i], b = p->x[i].x[ATN_TERM_BYTE] / p->us[i];

        aa += a * a, ab += a * b, bb += b * b, a1 += a, b1 += b;
    }
    det = aa * bb - ab * ab;
    c[ATN_TERM_T0] = det > 0 ? (a1 * bb - b1 * ab) / det : a1 / aa;
    c[ATN_TERM_BYTE] = det > 0 ? (b1 * aa - a1 * ab) / det : 0;
    if (c[ATN_TERM_BYTE] < 0) c[ATN_TERM_T0] = a1 / aa, c[ATN_TERM_BYTE] = 0;
    if (c[ATN_TERM_T0] < 0) c[ATN_TERM_T0] = 0, c[ATN_TERM_BYTE] = b1 / bb;
}

static void residuals(const problem *p, double *ratio)
{
    double sum = 0;

    for (atn_idx i = 0; i < p->n; i++) {
        const double us = atn_decode_sum(p->fit, p->x + i, false);

        sum += fabs(us / p->us[i] - 1);
        ratio[i] = p->us[i] / us;
    }
    atn_sort(ratio, p->n);
    p->fit->mape = sum / (double)p->n;
    p->fit->low = atn_quantile(ratio, p->n, 0.05);
    p->fit->high = atn_quantile(ratio, p->n, 0.95);
}

static atn_status take_rows(atn_ctx *cx, const atn_fit_case *c, atn_regressors *x,
                            double *us)
{
    atn_status st = ATN_OK;

    for (atn_idx i = 0; i < c->n; i++) {
        const atn_timing *t = c->rows[i];
        atn_decode_case at;

        if (!atn_decode_case_of(c->kernel, &t->launch, t->window, &at))
            ATN_FAIL(ATN_DATA,
                     "calibrate: line %lld: %s has no tile for head_dim %lld (give a "
                     "kernel that has one)",
                     (long long)t->line, c->kernel->id, (long long)t->launch.head_dim);
        atn_decode_regressors(c->kernel, c->device, &t->launch, &at, x + i);
        us[i] = t->us;
        if (!(us[i] > 0) || !isfinite(us[i]) || !isfinite(x[i].x[ATN_TERM_BYTE]))
            ATN_FAIL(
                ATN_DATA,
                "calibrate: line %lld: %g us for %lld heads and %lld KV heads is no "
                "timing of a decode step (leave the row out)",
                (long long)t->line, us[i], (long long)t->launch.heads,
                (long long)t->launch.kv_heads);
    }
done:
    return st;
}

atn_status atn_fit_decode(atn_ctx *cx, const atn_fit_case *c, atn_time_fit *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx least = c->kind == ATN_MODEL_FULL ? ROWS_LEAST : ROWS_LEAST_BASE;
    const atn_idx shapes = atn_timing_shapes(c->rows, c->n, c->kind, least);
    atn_regressors *x = NULL;
    double *us = NULL, *ratio = NULL;
    problem p = {0};
    atn_status st = ATN_OK;

    if (shapes < least)
        ATN_FAIL(
            ATN_DATA,
            "calibrate: %lld rows of decode steps, of %lld shapes; this model needs "
            "at least %lld (time more shapes%s)",
            (long long)c->n, (long long)shapes, (long long)least,
            c->kind == ATN_MODEL_FULL ? ", or fit the baseline" : "");
    memset(out, 0, sizeof *out);
    out->model = c->kind;
    out->pass = ATN_PASS_DECODE;
    out->power = 1;
    out->rows = c->n;
    out->head_dim = (int)c->rows[0]->launch.head_dim;
    snprintf(out->gpu, sizeof out->gpu, "%s", c->device->id);
    snprintf(out->architecture, sizeof out->architecture, "%s",
             c->device->architecture);
    if (c->kv && c->kernel->split != ATN_SPLIT_FILL)
        memcpy(out->c + ATN_TERM_KV, c->kv, 6 * sizeof *c->kv);
    ATN_TAKE(x, c->n);
    ATN_TAKE(us, c->n);
    ATN_TAKE(ratio, c->n);
    ATN_TRY(take_rows(cx, c, x, us));
    p = (problem){.x = x, .us = us, .n = c->n, .fit = out};
    if (c->kind == ATN_MODEL_FULL)
        search(&p);
    else
        fit_two(&p);
    residuals(&p, ratio);
    ATN_TRY(atn_fit_check(cx, out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}
