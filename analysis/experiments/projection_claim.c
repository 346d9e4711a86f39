/* analysis/experiments/projection_claim.c -- V19: no error of a projection is small
 * relative to a product that vanishes.
 *
 * Math    P uniform, w sums to 0: P w = 0, so that a claim relative to |P w| says that
 *         there is no error, whatever the rank. The law of B18 says |P|_F^2 |w|^2 / k.
 *         A row of P R'R w is (R 1)'(R w) / n, the same for all n, and |P|_F = 1.
 * Cost    RANK N random numbers a draw.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>

#include "analysis/experiments/experiment.h"
#include "approx/method.h"
#include "core/rng.h"
#include "core/rows.h"

extern const atn_experiment atn_experiment_projection_claim;

enum { N = 128, RANK = 256, BATCH = 10 };

typedef struct claim {
    uint64_t seed;
    int64_t trials;
    double *error; /* [trials] squared */
} claim;

/* w = 1, -1, 1, .. */
static double draw_error(atn_rng *r)
{
    double sum = 0;

    for (int k = 0; k < RANK; k++) {
        double all = 0, w = 0;

        for (int j = 0; j < N; j++) {
            const double x = atn_rng_normal(r);

            all += x;
            w += j % 2 ? -x : x;
        }
        sum += all * w / RANK;
    }
    return sum * sum / N; /* n rows of (sum / n)^2 */
}

static atn_status draw_batch(atn_ctx *cx, atn_idx b, void *state)
{
    const claim *s = state;
    const atn_idx end = ATN_MIN((b + 1) * BATCH, s->trials);

    (void)cx;
    for (atn_idx e = b * BATCH; e < end; e++) {
        atn_rng r = atn_rng_stream(s->seed, "projection_claim", -1, e);

        s->error[e] = draw_error(&r);
    }
    return ATN_OK;
}

static atn_status once(atn_ctx *cx, const atn_trial_model *t, atn_checks *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const double trials = (double)t->trials;
    atn_check law = {.bound = &atn_bound_linformer_moment, .trials = t->trials};
    atn_check says = {.bound = &atn_bound_linformer_relative, .only_report = true};
    claim s = {t->seed, t->trials, NULL};
    atn_status st = ATN_OK;
    double square = 0;

    ATN_TAKE(s.error, t->trials);
    ATN_TRY(atn_parallel(cx, (t->trials + BATCH - 1) / BATCH, draw_batch, &s,
                         "projections"));
    for (int64_t e = 0; e < t->trials; e++) law.measured += s.error[e] / trials;
    for (int64_t e = 0; e < t->trials; e++)
        square += (s.error[e] - law.measured) * (s.error[e] - law.measured);
    law.predicted =
        atn_bound_predict(law.bound, &(atn_quantities){.x = {1, sqrt(N), 0, RANK}});
    square = sqrt(square / trials / ATN_MAX(trials - 1, 1));
    law.statistic = square > 0 ? (law.measured - law.predicted) / square : 0;
    snprintf(law.variant, sizeof law.variant, "uniform P, w sums to 0, k=%d", RANK);
    ATN_TRY(atn_checks_add(cx, out, &law));
    says.predicted =
        atn_bound_predict(says.bound, &(atn_quantities){.x = {0, N, RANK}});
    says.measured = sqrt(law.measured);
    snprintf(says.variant, sizeof says.variant, "%s", law.variant);
    snprintf(says.note, sizeof says.note, "P w = 0: a counter-example to the claim");
    ATN_TRY(atn_checks_add(cx, out, &says));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_experiment atn_experiment_projection_claim = {
    .id = "projection_claim",
    .label = "V19",
    .title = "A projection of what sums to nothing",
    .text = "uniform weights and a vector that sums to 0: the law holds, the relative "
            "claim does not",
    .source = "own derivation",
    .sides = ATN_BOTH_WAYS,
    .trials = 400,
    .once = once,
    .bounds = "linformer_moment linformer_relative",
};
