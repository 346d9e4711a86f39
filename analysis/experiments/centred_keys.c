/* analysis/experiments/centred_keys.c -- keys less their mean: the same weights, and
 * shorter sums of queries and keys, on which the variance of random features hangs.
 *
 * Math    s q_i . (k_j - mean) is s q_i . k_j less one number a row. |q' + k'|^2 is
 *         taken in the mean over the pairs that the mask shows.
 * Oracle  G8, all pairs: 2.7454838344 before, 1.4088539599 after.
 * Cost    2 nq nk d flop.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/experiments/experiment.h"
#include "analysis/experiments/perturbed.h"
#include "approx/method.h"
#include "core/rows.h"

extern const atn_experiment atn_experiment_centred_keys;

typedef struct centring {
    const atn_head_facts *f;
    double *k;   /* [nk, d] centred */
    double *row; /* [nq][4]: largest difference, sums of squares, pairs */
} centring;

static double square(const atn_head_facts *f, const double *k, atn_idx i, atn_idx j)
{
    double sum = 0;

    for (atn_idx c = 0; c < f->d; c++) {
        const double x = f->q[i * f->d + c] + k[j * f->d + c];

        sum += x * x;
    }
    return fabs(f->head.scale) * sum;
}

static atn_status one_row(atn_ctx *cx, atn_idx i, void *state)
{
    const centring *w = state;
    const atn_head_facts *f = w->f;
    const atn_arena_mark mark = atn_arena_save(cx);
    double *z = NULL, max = -INFINITY, sum = 0, *row = w->row + 4 * i;
    atn_status st = ATN_OK;
    atn_idx lo, hi;

    memset(row, 0, 4 * sizeof *row);
    atn_sight_row(&f->head.sight, i, &lo, &hi);
    if (isnan(f->lse[i])) return ATN_OK;
    ATN_TAKE(z, f->nk);
    atn_perturbed_logits(f, f->q, w->k, i, 1, z);
    for (atn_idx j = lo; j < hi; j++) max = fmax(max, z[j]);
    for (atn_idx j = lo; j < hi; j++) sum += z[j] = exp(z[j] - max);
    for (atn_idx j = lo; j < hi; j++) {
        row[0] = fmax(row[0], fabs(z[j] / sum - f->p[i * f->nk + j]));
        row[1] += square(f, f->k, i, j);
        row[2] += square(f, w->k, i, j);
        row[3]++;
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static void centre(const atn_head_facts *f, double *k)
{
    for (atn_idx c = 0; c < f->d; c++) {
        double mean = 0;

        for (atn_idx j = 0; j < f->nk; j++) mean += f->k[j * f->d + c] / (double)f->nk;
        for (atn_idx j = 0; j < f->nk; j++) k[j * f->d + c] = f->k[j * f->d + c] - mean;
    }
}

static atn_status head(atn_ctx *cx, const atn_trial_head *t, atn_checks *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_head_facts *f = t->facts;
    centring w = {.f = f};
    atn_check weights = {.bound = &atn_bound_centred_keys, .scale = 1};
    atn_check length = {.bound = &atn_bound_centred_length, .only_report = true};
    double sums[3] = {0};
    atn_status st = ATN_OK;

    if (f->head.sight.softcap > 0) {
        weights.not_here = true;
        snprintf(weights.note, sizeof weights.note, "logits have a soft-cap");
        return atn_checks_add(cx, out, &weights);
    }
    ATN_TAKE(w.k, f->nk * f->d);
    ATN_TAKE(w.row, 4 * f->nq);
    centre(f, w.k);
    ATN_TRY(atn_parallel(cx, f->nq, one_row, &w, "centred keys"));
    for (atn_idx i = 0; i < f->nq; i++) {
        const double most = w.row[4 * i];

        weights.measured = isnan(most) ? most : fmax(weights.measured, most);
        weights.cases += w.row[4 * i + 3] > 0;
        for (int e = 0; e < 3; e++) sums[e] += w.row[4 * i + 1 + e];
    }
    if (weights.cases == 0) goto done;
    weights.predicted = atn_bound_predict(weights.bound, &(atn_quantities){.x = {0}});
    length.predicted =
        atn_bound_predict(length.bound, &(atn_quantities){.x = {sums[0] / sums[2]}});
    length.measured = sums[1] / sums[2];
    length.cases = weights.cases;
    snprintf(length.note, sizeof length.note, "after / before %.4f",
             length.measured / length.predicted);
    ATN_TRY(atn_checks_add(cx, out, &weights));
    ATN_TRY(atn_checks_add(cx, out, &length));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_experiment atn_experiment_centred_keys = {
    .id = "centred_keys",
    .label = "V14",
    .title = "Keys less their mean",
    .text = "weights stay as they are; sums of queries and keys get shorter, which is "
            "what random features need",
    .source = "own derivation",
    .qk = true,
    .sides = ATN_BOTH_WAYS,
    .head = head,
    .bounds = "centred_keys centred_length",
};
