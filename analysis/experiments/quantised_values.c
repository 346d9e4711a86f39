/* analysis/experiments/quantised_values.c -- outputs of values in short formats, and of
 * values with independent errors.
 *
 * Math    theory/perturbation.c. Values in bf16, fp16 and int8 with one scale a token:
 *         all rows against the largest |dv_j|. Independent errors: ROWS rows, spread
 *         evenly, `trials` draws of uniform errors of width 1. y = sum p_j u_j has E
 *         y^2 = S2 / 12, E y^4 = 3 (S2 / 12)^2 + S4 (1 / 80 - 3 / 144), S2 = sum p^2,
 *         S4 = sum p^4; |do|^2 is a sum of dv independent y^2.
 * Cost    ROWS n dv random numbers a trial.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/experiments/perturbed.h"
#include "analysis/experiments/worst.h"
#include "approx/method.h"
#include "core/linalg.h"
#include "core/rng.h"
#include "core/rows.h"

extern const atn_experiment atn_experiment_quantised_values;

enum { FORMATS = 3, ROWS = 8 };

typedef struct asking {
    const atn_trial_head *t;
    const atn_bound *mean;
    double said[ROWS], found[ROWS], variance[ROWS]; /* of the mean found */
    bool there[ROWS];
} asking;

static double length(const double *x, atn_idx n)
{
    double sum = 0;

    for (atn_idx e = 0; e < n; e++) sum += x[e] * x[e];
    return sqrt(sum);
}

/* The worst row, and of all how the errors stand to those of independent ones. */
static atn_status check_format(atn_ctx *cx, const atn_head_facts *f, int format,
                               atn_checks *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_bound *b = &atn_bound_quantised_values;
    atn_worst worst = {0};
    atn_status st = ATN_OK;
    double *v = NULL, *o = NULL, *off = NULL, largest = 0, mean = 0, said = 0,
           found = 0;
    atn_check c;

    ATN_TAKE(v, f->nk * f->dv);
    ATN_TAKE(off, f->nk);
    ATN_TAKE(o, f->nq * f->dv);
    atn_short_rows(format < ATN_SHORT_FORMATS ? &atn_short_formats[format] : NULL, f->v,
                   f->nk, f->dv, v);
    atn_rows_apart(f->v, v, f->nk, f->dv, off);
    atn_gemm_wide(ATN_AB, 1, (atn_cwide){f->p, f->nq, f->nk, f->nk},
                  (atn_cwide){v, f->nk, f->dv, f->dv}, 0,
                  (atn_wide){o, f->nq, f->dv, f->dv});
    for (atn_idx j = 0; j < f->nk; j++) {
        largest = fmax(largest, length(f->v + j * f->dv, f->dv));
        mean += off[j] * off[j] / (double)f->nk;
    }
    for (atn_idx i = 0; i < f->nq; i++) {
        double error = 0, most = 0;
        atn_idx seen = 0;

        for (atn_idx e = i * f->dv; e < (i + 1) * f->dv; e++)
            error += (o[e] - f->o[e]) * (o[e] - f->o[e]);
        for (atn_idx j = 0; j < f->nk; j++)
            if (f->p[i * f->nk + j] > 0) {
                most = fmax(most, off[j]);
                seen++;
            }
        if (isnan(f->renyi[i])) continue;
        atn_worst_take_row(&worst, b->relation,
                           atn_bound_predict(b, &(atn_quantities){.x = {most}}),
                           sqrt(error), largest, seen < 2);
        said += exp(-f->renyi[i]) * mean;
        found += error;
    }
    c = atn_worst_check(&worst, b, "");
    snprintf(c.variant, sizeof c.variant, "%s values", atn_short_name(format));
    if (said > 0)
        snprintf(c.note, sizeof c.note,
                 "all rows: %.3g of what independent errors give", sqrt(found / said));
    ATN_TRY(atn_checks_add(cx, out, &c));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Row k of those sampled. */
static atn_status sample_row(atn_ctx *cx, atn_idx k, void *state)
{
    asking *s = state;
    const atn_head_facts *f = s->t->facts;
    const atn_idx i = (2 * k + 1) * f->nq / (2 * ROWS);
    const double *p = f->p + i * f->nk;
    const double trials = (double)s->t->trials, dv = (double)f->dv;
    atn_rng rng = atn_rng_stream(s->t->seed, "quantised_values", f->head.layer,
                                 f->head.head * ROWS + k);
    double s2 = 0, s4 = 0, sum = 0;

    (void)cx;
    if (f->nk < 1 || isnan(f->renyi[i])) return ATN_OK;
    s->there[k] = true;
    for (atn_idx j = 0; j < f->nk; j++) {
        s2 += p[j] * p[j];
        s4 += p[j] * p[j] * p[j] * p[j];
    }
    for (int64_t c = 0; c < s->t->trials * f->dv; c++) {
        double y = 0;

        for (atn_idx j = 0; j < f->nk; j++)
            if (p[j] > 0) y += p[j] * (atn_rng_uniform(&rng) - .5);
        sum += y * y;
    }
    s->said[k] =
        atn_bound_predict(s->mean, &(atn_quantities){.x = {f->renyi[i], dv / 12}});
    s->found[k] = sum / trials;
    s->variance[k] =
        dv * (2 * (s2 / 12) * (s2 / 12) + s4 * (1.0 / 80 - 3.0 / 144)) / trials;
    return ATN_OK;
}

static atn_status add_mean(atn_ctx *cx, const atn_trial_head *t, atn_checks *out)
{
    asking s = {.t = t, .mean = &atn_bound_quantised_values_mean};
    atn_check c = {.bound = s.mean, .trials = t->trials};
    atn_status st = ATN_OK;
    double variance = 0;

    ATN_TRY(atn_parallel(cx, ROWS, sample_row, &s, "values"));
    for (int k = 0; k < ROWS; k++) c.cases += s.there[k];
    if (c.cases == 0) goto done;
    for (int k = 0; k < ROWS; k++) {
        if (!s.there[k]) continue;
        c.predicted += s.said[k] / (double)c.cases;
        c.measured += s.found[k] / (double)c.cases;
        variance += s.variance[k];
    }
    c.statistic = (c.measured - c.predicted) * (double)c.cases / sqrt(variance);
    snprintf(c.variant, sizeof c.variant, "uniform errors of width 1");
    ATN_TRY(atn_checks_add(cx, out, &c));
done:
    return st;
}

static atn_status head(atn_ctx *cx, const atn_trial_head *t, atn_checks *out)
{
    atn_status st = ATN_OK;

    for (int k = 0; k < FORMATS; k++) ATN_TRY(check_format(cx, t->facts, k, out));
    ATN_TRY(add_mean(cx, t, out));
done:
    return st;
}

const atn_experiment atn_experiment_quantised_values = {
    .id = "quantised_values",
    .label = "V2",
    .title = "Values in short formats",
    .text = "outputs of values in bf16, fp16 and int8, and of values with independent "
            "errors",
    .source = "own derivation",
    .values = true,
    .sides = ATN_BOTH_WAYS,
    .trials = 50,
    .head = head,
    .bounds = "quantised_values quantised_values_mean",
};
