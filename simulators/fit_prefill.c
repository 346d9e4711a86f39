/* simulators/fit_prefill.c -- coefficients of a prefill kernel from its timings.
 *
 * Math    four coefficients: rows of q_len >= 1024 whose window is shorter than the
 *         sequence; rows wrong by 40 % or more after the first fit are dropped and the
 *         rest fitted again. Full: all rows; for every clock (a, theta) of a grid the
 *         times are taken back to tau by bisection and fitted; the least mean squared
 *         relative error of t wins, the first of equals.
 * Source  cards/simulators.md 6.3.
 * Cost    the work of every row once, 64 least squares.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/fit.h"
#include "simulators/timing_work.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/mat.h"

enum { PREFILL_TERMS = ATN_TERM_CTA_MHA, FOUR_TERMS = 4 };

static const double slows[] = {0, .03, .06, .09, .12, .15, .18, .21, .25, .3};
static const double thetas[] = {1, 2, 4, 6, 8, 12, 16};
static const double far_off = 0.4;

typedef struct data {
    atn_idx n, terms;
    atn_regressors *x; /* [n] */
    double *us;        /* [n] */
    double *tau;       /* [n] us without the clock */
    double *a, *one;   /* [n, terms], [n] what is solved */
    bool *used;        /* [n] */
} data;

static atn_status solve(atn_ctx *cx, data *d, atn_time_fit *f)
{
    atn_idx m = 0;
    atn_status st = ATN_OK;

    for (atn_idx i = 0; i < d->n; i++) {
        if (!d->used[i]) continue;
        d->tau[i] = atn_time_unslowed(f, d->us[i]);
        for (atn_idx j = 0; j < d->terms; j++)
            d->a[m * d->terms + j] = d->x[i].x[j] / d->tau[i];
        d->one[m++] = 1;
    }
    memset(f->c, 0, sizeof f->c);
    ATN_TRY(atn_nnls(cx, d->a, d->one, m, d->terms, f->c));
done:
    return st;
}

static double off_by(const data *d, const atn_time_fit *f, atn_idx i)
{
    return atn_prefill_time(f, &d->x[i], false) / d->us[i] - 1;
}

static double mean_square(const data *d, const atn_time_fit *f)
{
    double sum = 0;

    for (atn_idx i = 0; i < d->n; i++) sum += off_by(d, f, i) * off_by(d, f, i);
    return sum / (double)d->n;
}

static atn_status fit_clock(atn_ctx *cx, data *d, atn_time_fit *best)
{
    const double total = ATN_LEN(slows) * ATN_LEN(thetas);
    double least = INFINITY, done = 0;
    atn_time_fit f = *best;
    atn_status st = ATN_OK;

    for (size_t i = 0; i < ATN_LEN(slows); i++)
        for (size_t k = 0; k < (i == 0 ? 1 : ATN_LEN(thetas)); k++) {
            double error;

            ATN_TRY(atn_progress(cx, "clock", done++, total));
            f.slow = slows[i];
            f.theta_ms = thetas[k];
            ATN_TRY(solve(cx, d, &f));
            error = mean_square(d, &f);
            if (error >= least) continue;
            least = error;
            *best = f;
        }
done:
    return st;
}

static atn_status fit_four(atn_ctx *cx, data *d, atn_time_fit *f)
{
    atn_idx dropped = 0;
    atn_status st = ATN_OK;

    ATN_TRY(solve(cx, d, f));
    for (atn_idx i = 0; i < d->n; i++) {
        d->used[i] = fabs(off_by(d, f, i)) < far_off;
        dropped += !d->used[i];
    }
    if (d->n - dropped < FOUR_TERMS)
        ATN_FAIL(
            ATN_DATA,
            "calibrate: of %lld rows %lld are off by %.0f %% or more after a first "
            "fit and are dropped, too few are left for %d coefficients (are they "
            "of this kernel, GPU and tile?)",
            (long long)d->n, (long long)dropped, 100 * far_off, (int)FOUR_TERMS);
    if (dropped > 0) ATN_TRY(solve(cx, d, f));
done:
    return st;
}

/* Error and residuals over the rows fitted. */
static void judge(data *d, atn_time_fit *f)
{
    double sum = 0;
    atn_idx m = 0;

    for (atn_idx i = 0; i < d->n; i++) {
        if (!d->used[i]) continue;
        sum += fabs(off_by(d, f, i));
        d->one[m++] = d->us[i] / atn_prefill_time(f, &d->x[i], false);
    }
    atn_sort(d->one, m);
    f->mape = sum / (double)m;
    f->low = atn_quantile(d->one, m, 0.05);
    f->high = atn_quantile(d->one, m, 0.95);
    f->rows = m;
}

static atn_status gather(atn_ctx *cx, const atn_fit_case *c, data *d)
{
    atn_status st = ATN_OK;

    ATN_TAKE(d->x, c->n);
    ATN_TAKE(d->us, c->n);
    ATN_TAKE(d->tau, c->n);
    ATN_TAKE(d->one, c->n);
    ATN_TAKE(d->used, c->n);
    ATN_TAKE(d->a, c->n * PREFILL_TERMS);
    for (atn_idx i = 0; i < c->n; i++) {
        if (!atn_timing_counts(c->rows[i], c->kind)) continue;
        ATN_TRY(atn_timing_regressors(cx, c->kernel, c->device, c->kind, c->rows[i],
                                      &d->x[d->n]));
        d->us[d->n] = c->rows[i]->us;
        d->used[d->n++] = true;
    }
done:
    return st;
}

static bool node_met(const data *d, int node)
{
    for (atn_idx i = 0; i < d->n; i++)
        if (d->x[i].x[ATN_TERM_KV + node] > 0) return true;
    return false;
}

/* A node of the KV write that no row meets: below those that are met as the lowest of
 * them, between two on their line, above by its bytes (there the write goes at the
 * memory's speed: where 8192 is met it costs 3 to 6 times 2048). */
static void fill_nodes(const data *d, atn_time_fit *f)
{
    double *kv = f->c + ATN_TERM_KV;
    int last = -1;

    for (int i = 0; i < 6; i++) {
        if (!node_met(d, i)) continue;
        for (int j = last + 1; j < i; j++) {
            const int low = last < 0 ? i : last;
            const double span = atn_kv_nodes[i] - atn_kv_nodes[low];
            const double at =
                span > 0 ? (atn_kv_nodes[j] - atn_kv_nodes[low]) / span : 0;

            kv[j] = kv[low] + at * (kv[i] - kv[low]);
        }
        last = i;
    }
    for (int j = last + 1; last >= 0 && j < 6; j++)
        kv[j] = kv[last] * atn_kv_nodes[j] / atn_kv_nodes[last];
}

atn_idx atn_fit_least_rows(atn_time_kind kind)
{
    return kind == ATN_MODEL_FOUR ? 2 * FOUR_TERMS : 3 * PREFILL_TERMS;
}

/* Columns of A that are (to 1e-6) sums of the others; nodes of the KV write, which is
 * no part of the kernel, are not looked at. */
static atn_idx dependent(const data *d, atn_idx m)
{
    double q[PREFILL_TERMS][PREFILL_TERMS]; /* products of columns of norm 1, reduced */
    const atn_idx terms = ATN_MIN(d->terms, (atn_idx)ATN_TERM_KV);
    bool gone[PREFILL_TERMS] = {false};
    atn_idx rank = 0, columns = 0;

    for (atn_idx j = 0; j < terms; j++)
        for (atn_idx k = 0; k < terms; k++) {
            q[j][k] = 0;
            for (atn_idx i = 0; i < m; i++)
                q[j][k] += d->a[i * d->terms + j] * d->a[i * d->terms + k];
        }
    for (atn_idx j = 0; j < terms; j++) {
        const double size = sqrt(q[j][j]);

        gone[j] = !(size > 0);
        columns += !gone[j];
        for (atn_idx k = 0; k < terms && size > 0; k++) {
            q[j][k] /= size;
            q[k][j] /= size;
        }
    }
    for (;; rank++) { /* Cholesky, the largest that is left first */
        atn_idx at = -1;

        for (atn_idx j = 0; j < terms; j++)
            if (!gone[j] && (at < 0 || q[j][j] > q[at][at])) at = j;
        if (at < 0 || q[at][at] < 1e-12) return columns - rank;
        gone[at] = true;
        for (atn_idx j = 0; j < terms; j++)
            for (atn_idx k = 0; k < terms && !gone[j]; k++)
                if (!gone[k]) q[j][k] -= q[j][at] * q[at][k] / q[at][at];
    }
}

static void warn_dependent(atn_ctx *cx, const atn_time_fit *f, const data *d)
{
    atn_idx m = 0, n;

    for (atn_idx i = 0; i < d->n; i++) m += d->used[i];
    n = dependent(d, m);
    if (n > 0)
        atn_log(cx, ATN_LOG_WARN,
                "head_dim %d, %s: %lld of the coefficients cannot be told from the "
                "others by these shapes: predictions of other shapes may be far off "
                "(time more lengths, heads, groups and windows)",
                f->head_dim, atn_pass_names[f->pass], (long long)n);
}

atn_status atn_fit_prefill(atn_ctx *cx, const atn_fit_case *c, atn_time_fit *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const bool four = c->kind == ATN_MODEL_FOUR;
    const atn_idx least = atn_fit_least_rows(c->kind);
    const atn_idx shapes = atn_timing_shapes(c->rows, c->n, c->kind, least);
    data d = {.terms = four ? FOUR_TERMS : PREFILL_TERMS};
    atn_time_fit f = {.model = c->kind};
    atn_status st = ATN_OK;

    ATN_ASSERT(c->kind == ATN_MODEL_FOUR || c->kind == ATN_MODEL_FULL);
    ATN_TRY(gather(cx, c, &d));
    if (shapes < least)
        ATN_FAIL(ATN_DATA,
                 "calibrate: %lld rows of %s fit the model %s, of %lld shapes, and it "
                 "takes at least %lld%s",
                 (long long)d.n, c->kernel->id, atn_time_kind_names[c->kind],
                 (long long)shapes, (long long)least,
                 four ? " of q_len 1024 or more (time more lengths)"
                      : " (time more shapes, or give --model four)");
    snprintf(f.gpu, sizeof f.gpu, "%s", c->device->id);
    snprintf(f.architecture, sizeof f.architecture, "%s", c->device->architecture);
    f.head_dim = (int)c->rows[0]->launch.head_dim;
    f.pass = c->rows[0]->launch.pass;
    if (four)
        ATN_TRY(fit_four(cx, &d, &f));
    else
        ATN_TRY(fit_clock(cx, &d, &f));
    warn_dependent(cx, &f, &d);
    if (!four) fill_nodes(&d, &f);
    judge(&d, &f);
    if (f.slow == 0) f.theta_ms = 0;
    ATN_TRY(atn_fit_check(cx, &f));
    *out = f;
done:
    atn_arena_rewind(cx, mark);
    return st;
}
