/* analysis/experiments/row_sampling.c -- row sums from sampled keys: their variance,
 * how often they are far off, and how many keys it takes.
 *
 * Math    theory/row_sampling.c. ROWS rows, spread evenly; of each, `trials` estimates
 *         of M keys drawn from the row's own uniform stream. With y = n P_l - 1, and
 *         mu_2, mu_4 its moments, one error x = sum y / M has E x^4 = (mu_4 + 3 (M - 1)
 *         mu_2^2) / M^3, which gives the standard error of the mean of x^2; its
 *         skewness comes from mu_6 / M^5 and from what the square of a normal number has.
 *         Errors of 2
 *         and 4 standard deviations are counted.
 * Cost    ROWS M random numbers a trial.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/experiments/experiment.h"
#include "analysis/experiments/means.h"
#include "approx/method.h"
#include "core/rng.h"
#include "core/rows.h"

extern const atn_experiment atn_experiment_row_sampling;

enum { ROWS = 8, M = 16, TAILS = 2, BOTH = 2 * TAILS };
static const double ERROR = .1, RISK = .1, SKEW_MOST = .1;

/* What was found of one row, and what is said of it. */
typedef struct sampled {
    double variance, square, error; /* said, found, standard error of the latter */
    double third;                   /* of the same, about its mean */
    double said[BOTH];              /* Chebyshev, Bernstein of the first tail .. */
    double beyond[TAILS];           /* share of errors found there */
} sampled;

typedef struct asking {
    const atn_trial_head *t;
    const atn_bound *variance, *tail[2];
    sampled *row; /* [ROWS] */
    bool there[ROWS];
} asking;

static void say(const asking *s, const double *p, atn_idx n, sampled *r, double *most)
{
    double squares = 0, fourth = 0, sixth = 0, second = 0, largest = 0;

    for (atn_idx j = 0; j < n; j++) {
        const double y = (double)n * p[j] - 1;

        squares += p[j] * p[j];
        second += y * y / (double)n;
        fourth += y * y * y * y / (double)n;
        sixth += y * y * y * y * y * y / (double)n;
        largest = fmax(largest, p[j]);
    }
    r->variance = atn_bound_predict(
        s->variance, &(atn_quantities){.x = {(double)n, fmax(1 / squares, 1), M}});
    r->error = sqrt(fmax((fourth + 3 * (M - 1) * second * second) / (M * M * M) -
                             second * second / (M * M),
                         0) /
                    (double)s->t->trials);
    r->third = sixth / pow(M, 5) / pow((double)s->t->trials, 2) +
               sqrt(8 / (double)s->t->trials) * pow(r->error, 3);
    for (int k = 0; k < TAILS; k++) {
        most[k] = (k == 0 ? 2 : 4) * sqrt(r->variance);
        for (int b = 0; b < 2; b++)
            r->said[2 * k + b] = atn_bound_predict(
                s->tail[b], &(atn_quantities){.x = {(double)n, fmax(1 / squares, 1), M,
                                                    most[k], largest}});
    }
}

static atn_status sample_row(atn_ctx *cx, atn_idx k, void *state)
{
    asking *s = state;
    const atn_head_facts *f = s->t->facts;
    const atn_idx i = (2 * k + 1) * f->nq / (2 * ROWS);
    atn_rng rng = atn_rng_stream(s->t->seed, "row_sampling", f->head.layer,
                                 f->head.head * ROWS + k);
    sampled *r = &s->row[k];
    double most[TAILS];
    atn_idx lo, hi;

    (void)cx;
    *r = (sampled){0};
    atn_sight_row(&f->head.sight, i, &lo, &hi);
    if (isnan(f->lse[i])) return ATN_OK;
    say(s, f->p + i * f->nk + lo, hi - lo, r, most);
    if (!(r->variance > 1e-12)) return ATN_OK; /* uniform: nothing varies */
    s->there[k] = true;
    for (int64_t trial = 0; trial < s->t->trials; trial++) {
        double sum = 0, x;

        for (int m = 0; m < M; m++)
            sum += f->p[i * f->nk + lo + atn_rng_below(&rng, hi - lo)];
        x = sum * (double)(hi - lo) / M - 1;
        r->square += x * x;
        for (int e = 0; e < TAILS; e++) r->beyond[e] += fabs(x) >= most[e];
    }
    r->square /= (double)s->t->trials;
    for (int e = 0; e < TAILS; e++) r->beyond[e] /= (double)s->t->trials;
    return ATN_OK;
}

static atn_check variance_check(const asking *s, int rows)
{
    atn_check c = {.bound = s->variance, .cases = rows, .trials = s->t->trials};
    double error = 0, third = 0, skew;

    for (int k = 0; k < ROWS; k++) {
        if (!s->there[k]) continue;
        third += s->row[k].third;
        c.predicted += s->row[k].variance / rows;
        c.measured += s->row[k].square / rows;
        error += s->row[k].error * s->row[k].error;
    }
    skew = error > 0 ? third / pow(error, 1.5) : 0;
    c.only_report = skew > SKEW_MOST;
    error = sqrt(error) / rows;
    c.statistic = error > 0 ? (c.measured - c.predicted) / error : 0;
    c.statistic = atn_mean_unskewed(c.statistic, skew);
    snprintf(c.variant, sizeof c.variant, "m=%d", M);
    snprintf(c.note, sizeof c.note, "measured / predicted %.4f%s",
             c.measured / c.predicted,
             c.only_report ? "; too skew for so few draws: no test" : "");
    return c;
}

/* Only more than is said speaks against it. A share is known to 1 / trials at best. */
static atn_check tail_check(const asking *s, int rows, int e, int b)
{
    const double trials = (double)s->t->trials;
    atn_check c = {.bound = s->tail[b], .cases = rows, .trials = s->t->trials};
    double error = 0;

    for (int k = 0; k < ROWS; k++) {
        const double said = s->row[k].said[2 * e + b];

        if (!s->there[k]) continue;
        c.predicted += said / rows;
        c.measured += s->row[k].beyond[e] / rows;
        error += (said * (1 - said) + 1 / trials) / trials;
    }
    c.statistic = fmax((c.measured - c.predicted) * rows / sqrt(error), 0);
    snprintf(c.variant, sizeof c.variant, "m=%d, %d standard deviations", M,
             e == 0 ? 2 : 4);
    return c;
}

static int by_need(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Keys to draw, of the middle row and of one in ten, beside the keys that they see. */
static atn_status add_needs(atn_ctx *cx, const atn_head_facts *f, atn_checks *out)
{
    static const double at[] = {.5, .9};
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_bound *b = &atn_bound_row_sum_samples;
    atn_status st = ATN_OK;
    double *need = NULL; /* [nq][2] keys to draw, keys seen */
    atn_idx n = 0, pays = 0;

    ATN_TAKE(need, 2 * f->nq + 2);
    for (atn_idx i = 0; i < f->nq; i++) {
        double largest = 0;
        atn_idx lo, hi;

        atn_sight_row(&f->head.sight, i, &lo, &hi);
        if (isnan(f->lse[i])) continue;
        for (atn_idx j = lo; j < hi; j++) largest = fmax(largest, f->p[i * f->nk + j]);
        need[2 * n] = atn_bound_predict(
            b, &(atn_quantities){.x = {(double)(hi - lo), exp(f->renyi[i]), ERROR, RISK,
                                       fmin(largest, 1)}});
        need[2 * n + 1] = (double)(hi - lo);
        pays += need[2 * n] < need[2 * n + 1];
        n++;
    }
    qsort(need, (size_t)n, 2 * sizeof *need, by_need);
    for (int k = 0; k < (int)ATN_LEN(at) && n > 0; k++) {
        const double *row = need + 2 * (atn_idx)(at[k] * (double)(n - 1));
        atn_check c = {.bound = b,
                       .predicted = row[0],
                       .measured = row[1],
                       .only_report = true,
                       .cases = n};

        snprintf(c.variant, sizeof c.variant,
                 "%g %% of rows, eps=%g eta=%g, of the keys", 100 * at[k], ERROR, RISK);
        snprintf(c.note, sizeof c.note, "fewer than there are in %.1f %% of the rows",
                 100 * (double)pays / (double)n);
        ATN_TRY(atn_checks_add(cx, out, &c));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status head(atn_ctx *cx, const atn_trial_head *t, atn_checks *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    asking s = {.t = t,
                .variance = &atn_bound_row_sum_variance,
                .tail = {&atn_bound_row_sum_chebyshev, &atn_bound_row_sum_bernstein}};
    atn_status st = ATN_OK;
    atn_check c;
    int rows = 0;

    ATN_TAKE(s.row, ROWS);
    ATN_TRY(atn_parallel(cx, ROWS, sample_row, &s, "row sums"));
    for (int k = 0; k < ROWS; k++) rows += s.there[k];
    if (rows > 0) {
        c = variance_check(&s, rows);
        ATN_TRY(atn_checks_add(cx, out, &c));
        for (int e = 0; e < TAILS; e++)
            for (int b = 0; b < 2; b++) {
                c = tail_check(&s, rows, e, b);
                ATN_TRY(atn_checks_add(cx, out, &c));
            }
    }
    ATN_TRY(add_needs(cx, t->facts, out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_experiment atn_experiment_row_sampling = {
    .id = "row_sampling",
    .label = "V8",
    .title = "Row sums from sampled keys",
    .text =
        "variance and tails of row sums estimated from a few keys, and how many keys "
        "a row takes",
    .source = "own derivation; HyperAttention (arXiv 2310.05869) samples so",
    .sides = ATN_BOTH_WAYS,
    .trials = 20000,
    .head = head,
    .bounds = "row_sum_variance row_sum_chebyshev row_sum_bernstein row_sum_samples",
};
