/* analysis/experiments/polynomial_degree.c -- the polynomial of Taylor in place of e^x
 * on a head's own logits.
 *
 * Math    of a row, logits z less the middle of their range, X_i half of it. T_g by
 *         Horner in long double; its relative errors against theory/polynomials.c, the
 *         total variation of its normalised weights and those of the head against B12
 *         with the largest relative error that was measured. g = 2, 4, 8, 16, 32.
 *         Rounding is relative to what it is of: 100 units of e^2X for entries, 1e-13 for
 *         total variation.
 * Cost    62 long multiplications a visible pair.
 * Limits  rows with X_i above 10 are left out, where T_g(-X) is below rounding; so are
 *         those where the polynomial is off by e >= 1, of which B12 says nothing.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/experiments/worst.h"
#include "approx/method.h"
#include "core/rows.h"
#include "theory/polynomial.h"

extern const atn_experiment atn_experiment_polynomial_degree;

enum { ROWS = 16, DEGREES = 5, ENTRY = 0, WEIGHTS = 1, BOUNDS = 2 };
static const int degrees[DEGREES] = {2, 4, 8, 16, 32};
#define X_MOST 10.0

typedef struct asking {
    const atn_head_facts *f;
    const atn_bound *bound[BOUNDS];
    atn_worst *worst; /* [tasks][DEGREES][BOUNDS] */
    double *x;        /* [tasks] largest X_i of all rows */
} asking;

static long double taylor(int degree, long double z)
{
    long double sum = 1;

    for (int m = degree; m >= 1; m--) sum = 1 + sum * z / m;
    return sum;
}

/* What long doubles make of T_g(z) e^-z: terms of e^X, less than e^-X is left of. */
static double rounding_of(double x)
{
    return 100 * (double)LDBL_EPSILON * exp(2 * x) / 1e-9;
}

/* n logits z of a row and its weights p, which may sum to less than 1. */
static void check_row(const asking *s, const double *z, const double *p, atn_idx n,
                      double middle, double x, double *w, atn_worst *worst)
{
    double mass = 0;

    for (atn_idx j = 0; j < n; j++) mass += p[j];
    for (int d = 0; d < DEGREES && mass > 0; d++) {
        double sum = 0, e = 0, tv = 0;

        for (atn_idx j = 0; j < n; j++) {
            const long double at = (long double)z[j] - (long double)middle;
            const long double t = taylor(degrees[d], at);

            e = fmax(e, (double)fabsl(t * expl(-at) - 1));
            w[j] = (double)t;
            sum += w[j];
        }
        atn_worst_take_row(
            &worst[d * BOUNDS + ENTRY], ATN_AT_MOST,
            atn_bound_predict(s->bound[ENTRY], &(atn_quantities){.x = {degrees[d], x}}),
            e, rounding_of(x), n < 2);
        for (atn_idx j = 0; j < n; j++) tv += fabs(w[j] / sum - p[j] / mass) / 2;
        if (!(e < 1)) continue;
        atn_worst_take_row(
            &worst[d * BOUNDS + WEIGHTS], ATN_AT_MOST,
            atn_bound_predict(s->bound[WEIGHTS], &(atn_quantities){.x = {e}}), tv, 1e-4,
            n < 2);
    }
}

static atn_status check_rows(atn_ctx *cx, atn_idx task, void *state)
{
    const asking *s = state;
    const atn_head_facts *f = s->f;
    const atn_arena_mark mark = atn_arena_save(cx);
    double *w = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(w, f->nk);
    for (atn_idx i = task * ROWS; i < ATN_MIN((task + 1) * ROWS, f->nq); i++) {
        const double *z = f->s + i * f->nk;
        double low = INFINITY, high = -INFINITY, x;
        atn_idx lo, hi;

        atn_sight_row(&f->head.sight, i, &lo, &hi);
        for (atn_idx j = lo; j < hi; j++) {
            low = fmin(low, z[j]);
            high = fmax(high, z[j]);
        }
        x = (high - low) / 2;
        if (hi <= lo || !isfinite(x)) continue;
        s->x[task] = fmax(s->x[task], x);
        if (x > X_MOST) continue;
        check_row(s, z + lo, f->p + i * f->nk + lo, hi - lo, low + x, x, w,
                  s->worst + task * DEGREES * BOUNDS);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* What the head asks for, as it is: nothing is judged. */
static atn_status report(atn_ctx *cx, const asking *s, double x, atn_checks *out)
{
    atn_check c = {.bound = s->bound[ENTRY], .only_report = true};
    const int degree = atn_taylor_degree(x, 1e-2, true);
    const double d = (double)s->f->d + 1;

    snprintf(c.variant, sizeof c.variant, "degree for 1e-2");
    c.predicted = 1e-2;
    c.measured = degree < 0 ? NAN : atn_taylor_error(degree, x);
    snprintf(c.note, sizeof c.note, "X %.4g: Taylor %d, best %d, features %.3g", x,
             degree, atn_best_degree(x, 1e-2),
             degree < 0 ? NAN : atn_polynomial_features(d, degree));
    return atn_checks_add(cx, out, &c);
}

static atn_status head(atn_ctx *cx, const atn_trial_head *t, atn_checks *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx tasks = (t->facts->nq + ROWS - 1) / ROWS, each = DEGREES * BOUNDS;
    asking s = {
        .f = t->facts,
        .bound = {atn_bound_find("taylor_error"), atn_bound_find("perturbed_weights")}};
    double x = 0;
    atn_status st = ATN_OK;

    ATN_TAKE(s.worst, (tasks + 1) * each);
    ATN_TAKE(s.x, tasks + 1);
    memset(s.worst, 0, (size_t)((tasks + 1) * each) * sizeof *s.worst);
    memset(s.x, 0, (size_t)(tasks + 1) * sizeof *s.x);
    ATN_TRY(atn_parallel(cx, tasks, check_rows, &s, "polynomials"));
    for (atn_idx k = 0; k < tasks; k++) {
        x = fmax(x, s.x[k]);
        for (atn_idx b = 0; k > 0 && b < each; b++)
            atn_worst_join(&s.worst[b], &s.worst[k * each + b]);
    }
    for (int d = 0; d < DEGREES; d++)
        for (int b = 0; b < BOUNDS; b++) {
            char variant[32];
            atn_check c;

            snprintf(variant, sizeof variant, "Taylor of degree %d", degrees[d]);
            c = atn_worst_check(&s.worst[d * BOUNDS + b], s.bound[b], variant);
            ATN_TRY(atn_checks_add(cx, out, &c));
        }
    ATN_TRY(report(cx, &s, x, out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_experiment atn_experiment_polynomial_degree = {
    .id = "polynomial_degree",
    .label = "V17",
    .title = "Polynomials in place of e^x",
    .text =
        "errors of the polynomial of Taylor on the head's logits, and of its weights",
    .source = "Alman and Song, arXiv 2302.13214; own derivation",
    .sides = ATN_BOTH_WAYS,
    .qk = true,
    .head = head,
    .bounds = "taylor_error perturbed_weights",
};
