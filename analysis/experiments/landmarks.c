/* analysis/experiments/landmarks.c -- V20: what the iteration of Nystromformer leaves
 * of the inverse, and its error against the least that its rank allows.
 *
 * Math    theory/projections.c, NY. The head without its mask, for the method has no
 *         causal form; m = min(64, n / 4) landmarks. F2 is what is between them: with
 *         Z_0 = F2' / c, c = |F2|_1, the residual begins with 1 - sigma^2 / c. Its
 *         eigenvalues after STEPS steps against the map; |P - W|_F of the steps and of
 *         the exact inverse against the singular values of P.
 * Cost    the singular values of P, n^2 m flop.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/experiments/worst.h"
#include "approx/method.h"
#include "approx/nystrom.h"
#include "approx/pinv.h"
#include "core/linalg.h"
#include "core/svd.h"

extern const atn_experiment atn_experiment_landmarks;

enum { MOST = 64, STEPS = 6, ROWS = 64 };

static const char *what_is_there(const atn_head_facts *f)
{
    if (atn_head_has_bias(&f->head)) return "a position bias";
    return f->head.sight.softcap != 0 ? "a soft-cap" : NULL;
}

static double largest_column(const double *f, atn_idx m)
{
    double most = 0;

    for (atn_idx j = 0; j < m; j++) {
        double sum = 0;

        for (atn_idx i = 0; i < m; i++) sum += fabs(f[i * m + j]);
        most = fmax(most, sum);
    }
    return most;
}

static double map(double e, int steps)
{
    return atn_bound_predict(&atn_bound_nystrom_residual,
                             &(atn_quantities){.x = {fmin(e, 1), steps}});
}

/* Of sigma / sigma_1, where half is repaired. */
static double half_repaired(double c, double sigma)
{
    double lo = 0, hi = 1;

    for (int step = 0; step < 60; step++) {
        const double mid = (lo + hi) / 2;

        if (map(mid, STEPS) < .5)
            lo = mid;
        else
            hi = mid;
    }
    return sqrt((1 - lo) * c) / sigma;
}

/* Eigenvalues e [m] of the residual of z, ascending; r [m, m] is scratch. */
static atn_status residual(atn_ctx *cx, const double *f, const double *z, atn_idx m,
                           double *r, double *e)
{
    atn_gemm_wide(ATN_AB, -1, (atn_cwide){f, m, m, m}, (atn_cwide){z, m, m, m}, 0,
                  (atn_wide){r, m, m, m});
    for (atn_idx i = 0; i < m; i++) r[i * m + i] += 1;
    for (atn_idx i = 0; i < m; i++)
        for (atn_idx j = 0; j < i; j++)
            r[i * m + j] = r[j * m + i] = (r[i * m + j] + r[j * m + i]) / 2;
    return atn_eigenvalues(cx, r, m, e);
}

static atn_status check_map(atn_ctx *cx, const atn_head *h, atn_idx m, atn_checks *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    double *f = NULL, *z = NULL, *r = NULL, *e = NULL, *sigma = NULL, c;
    atn_worst w = {0};
    atn_check cut = {.bound = &atn_bound_nystrom_cut, .only_report = true};
    atn_status st = ATN_OK;
    atn_check map_check;

    ATN_TAKE(f, m * m);
    ATN_TAKE(z, m * m);
    ATN_TAKE(r, m * m);
    ATN_TAKE(e, m);
    ATN_TAKE(sigma, m);
    ATN_TRY(atn_nystrom_middle(cx, h, m, f));
    c = largest_column(f, m);
    memcpy(r, f, (size_t)(m * m) * sizeof *r);
    ATN_TRY(atn_svd(cx, r, m, m, sigma, NULL, NULL));
    ATN_TRY(atn_pinv_steps(cx, f, m, STEPS, z));
    ATN_TRY(residual(cx, f, z, m, r, e));
    for (atn_idx k = 0; k < m; k++)
        atn_worst_take(&w, ATN_EQUAL, map(1 - sigma[k] * sigma[k] / c, STEPS), e[k], 1);
    map_check = atn_worst_check(&w, &atn_bound_nystrom_residual, "");
    snprintf(map_check.variant, sizeof map_check.variant, "%lld landmarks, %d steps",
             (long long)m, STEPS);
    snprintf(map_check.note, sizeof map_check.note, "sigma_1 %.3g, sigma_m %.3g",
             sigma[0], sigma[m - 1]);
    ATN_TRY(atn_checks_add(cx, out, &map_check));
    cut.predicted = atn_bound_predict(cut.bound, &(atn_quantities){.x = {0}});
    cut.measured = half_repaired(c, sigma[0]);
    snprintf(cut.variant, sizeof cut.variant, "%s", map_check.variant);
    ATN_TRY(atn_checks_add(cx, out, &cut));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* |P - W|_F of the method with these parameters. */
static atn_status distance(atn_ctx *cx, const atn_head_facts *f, const char *params,
                           double *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_input in = {.head = &f->head, .heads = 1, .group = 1};
    atn_status st = ATN_OK;
    atn_plan plan = {0};
    double *w = NULL;
    atn_choice c;

    *out = 0;
    ATN_TRY(atn_choice_read(cx, "nystrom", params, &c));
    ATN_TRY(atn_choice_plan(cx, &c, &in, 0, &plan));
    ATN_TAKE(w, ROWS * f->nk);
    for (atn_idx i = 0; i < f->nq; i += ROWS) {
        const atn_idx n = ATN_MIN((atn_idx)ROWS, f->nq - i);

        ATN_TRY(atn_plan_rows(cx, &f->head, &plan, i, n, w));
        for (atn_idx e = 0; e < n * f->nk; e++) {
            const double off = w[e] - f->p[i * f->nk + e];

            *out += off * off;
        }
    }
    *out = sqrt(*out);
done:
    atn_plan_release(cx, &plan);
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status check_floor(atn_ctx *cx, atn_head_facts *f, atn_idx m,
                              atn_checks *out)
{
    static const int steps[] = {0, STEPS};
    atn_check c = {.bound = &atn_bound_nystrom_floor};
    atn_status st = ATN_OK;
    char params[80];

    ATN_TRY(atn_head_facts_spectrum(cx, f, false));
    c.predicted = atn_bound_predict(
        c.bound, &(atn_quantities){.x = {0, (double)m},
                                   .list = {f->sigma},
                                   .n = {(size_t)ATN_MIN(f->nq, f->nk)}});
    c.scale = sqrt((double)f->nq);
    for (int k = 0; k < (int)ATN_LEN(steps); k++) {
        snprintf(params, sizeof params, "landmarks=%lld,iterations=%d", (long long)m,
                 steps[k]);
        snprintf(c.variant, sizeof c.variant, "%lld landmarks, %s", (long long)m,
                 steps[k] ? "6 steps" : "exact inverse");
        ATN_TRY(distance(cx, f, params, &c.measured));
        ATN_TRY(atn_checks_add(cx, out, &c));
    }
done:
    return st;
}

static atn_status head(atn_ctx *cx, const atn_trial_head *t, atn_checks *out)
{
    const char *what = what_is_there(t->facts);
    const atn_head_facts *f = t->facts;
    const atn_idx m = ATN_MAX(ATN_MIN((atn_idx)MOST, ATN_MIN(f->nq, f->nk) / 4), 1);
    atn_head plain = f->head;
    atn_status st = ATN_OK;
    atn_head_facts own = {0};

    if (f->nq == 0 || f->nk == 0) return ATN_OK;
    if (what) {
        atn_check c = {.bound = &atn_bound_nystrom_floor, .not_here = true};

        snprintf(c.note, sizeof c.note, "landmarks have no place for %s", what);
        return atn_checks_add(cx, out, &c);
    }
    plain.sight.causal = false;
    plain.sight.window = 0;
    ATN_TRY(atn_head_facts_make(cx, &plain, ATN_MAX(f->nq, f->nk), &own));
    ATN_TRY(check_map(cx, &own.head, m, out));
    ATN_TRY(check_floor(cx, &own, m, out));
done:
    atn_head_facts_release(cx, &own);
    return st;
}

const atn_experiment atn_experiment_landmarks = {
    .id = "landmarks",
    .label = "V20",
    .title = "Landmarks, and the inverse between them",
    .text = "six steps against the exact inverse, and both against the truncated SVD; "
            "heads without their mask",
    .source = "own derivation; Nystromformer (arXiv 2102.03902)",
    .qk = true,
    .sides = ATN_BOTH_WAYS,
    .head = head,
    .bounds = "nystrom_residual nystrom_cut nystrom_floor",
};
