/* analysis/experiments/hyper_error.c -- V10: the spectral error of HyperAttention
 * against samples.
 *
 * Math    eps(m) = |O~ - P V|_op / (|P|_op |V|_op) of the method `hyper`, blocks of
 *         n / 16, m = n / 16 .. n, mean over seeds; the slope of ln eps over ln m by
 *         least squares; the m at which the line reaches 0.1. Beside eps the error of
 *         m sampled columns of what hyper leaves to sampling: rectangle by rectangle
 *         (h keys, R the weights that are not kept)
 *             (h sum_j |R e_j|^2 |v_j|^2 - |R V|_F^2) / m.
 *         A causal head goes by halves down to n / 8.
 * Source  cards/kernel-theory.md, card 2, HA-3 and V10.
 * Limits  reported: rows that few keys dominate flatten the slope, and rows of hyper
 *         normalise themselves. |P|_op and all norms of errors are exact, from
 *         eigenvalues.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>

#include "analysis/experiments/experiment.h"
#include "analysis/experiments/hyper_mask.h"
#include "approx/method.h"
#include "core/linalg.h"
#include "core/mat.h"
#include "core/rows.h"

enum { SHARE = 16, HALVES = 8, SIZES = 5, BITS = 7 };
static const double WANTED = .1;

typedef struct errors {
    const atn_head_facts *f;
    uint64_t seed;
    int64_t seeds;
    int sizes;
    atn_idx m[SIZES], block, min;
    atn_choice choice[SIZES], kept;
    double scale;    /* |P|_op |V|_op */
    double *eps;     /* [sizes, seeds] */
    double per_draw; /* the prediction times m */
} errors;

static atn_status choose(atn_ctx *cx, const errors *e, atn_idx m, atn_choice *out)
{
    char spec[96];

    snprintf(spec, sizeof spec, "min=%lld,block=%lld,samples=%lld", (long long)e->min,
             (long long)e->block, (long long)m);
    return atn_choice_read(cx, "hyper", spec, out);
}

/* w [nq, nk] <- weights of the plan of a choice. */
static atn_status weights(atn_ctx *cx, const errors *e, const atn_choice *c,
                          uint64_t seed, double *w)
{
    const atn_input in = {
        .head = &e->f->head, .heads = 1, .group = 1, .layers = 1, .seed = seed};
    atn_status st = ATN_OK;
    atn_plan p = {0};

    ATN_TRY(atn_choice_plan(cx, c, &in, 0, &p));
    ATN_TRY(atn_plan_rows(cx, &e->f->head, &p, 0, e->f->nq, w));
done:
    atn_plan_release(cx, &p);
    return st;
}

/* |x|_op of x [rows, cols]. */
static atn_status norm_of(atn_ctx *cx, const double *x, atn_idx rows, atn_idx cols,
                          double *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_cwide a = {x, rows, cols, cols};
    atn_status st = ATN_OK;
    double *g = NULL, *values = NULL;

    ATN_TAKE(g, cols * cols);
    ATN_TAKE(values, cols);
    atn_gemm_wide(ATN_ATB, 1, a, a, 0, (atn_wide){g, cols, cols, cols});
    ATN_TRY(atn_eigenvalues(cx, g, cols, values));
    *out = sqrt(fmax(values[cols - 1], 0));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status error_task(atn_ctx *cx, atn_idx at, void *state)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    errors *e = state;
    const atn_head_facts *f = e->f;
    const atn_choice *c = &e->choice[at / e->seeds];
    const uint64_t seed = e->seed + (uint64_t)(at % e->seeds);
    atn_status st = ATN_OK;
    double *w = NULL, *x = NULL, norm;

    ATN_TAKE(w, f->nq * f->nk);
    ATN_TAKE(x, f->nq * f->dv);
    ATN_TRY(weights(cx, e, c, seed, w));
    for (atn_idx i = 0; i < f->nq * f->dv; i++) x[i] = f->o[i];
    atn_gemm_wide(ATN_AB, 1, (atn_cwide){w, f->nq, f->nk, f->nk},
                  (atn_cwide){f->v, f->nk, f->dv, f->dv}, -1,
                  (atn_wide){x, f->nq, f->dv, f->dv});
    ATN_TRY(norm_of(cx, x, f->nq, f->dv, &norm));
    e->eps[at] = norm / e->scale;
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- the prediction ---- */

/* Of the rectangle of `rows` and `keys`, weights p without those kept: m times the
 * second moment. */
static double rectangle(const errors *e, const double *kept, atn_span rows,
                        atn_span keys, double *o)
{
    const atn_head_facts *f = e->f;
    double columns = 0, square = 0;

    for (atn_idx j = keys.lo; j < keys.hi; j++) {
        double a = 0, b = 0;

        for (atn_idx i = rows.lo; i < rows.hi; i++)
            if (kept[i * f->nk + j] == 0) a += pow(f->p[i * f->nk + j], 2);
        for (atn_idx c = 0; c < f->dv; c++) b += pow(f->v[j * f->dv + c], 2);
        columns += a * b;
    }
    for (atn_idx i = rows.lo; i < rows.hi; i++) {
        for (atn_idx c = 0; c < f->dv; c++) o[c] = 0;
        for (atn_idx j = keys.lo; j < keys.hi; j++)
            for (atn_idx c = 0; kept[i * f->nk + j] == 0 && c < f->dv; c++)
                o[c] += f->p[i * f->nk + j] * f->v[j * f->dv + c];
        for (atn_idx c = 0; c < f->dv; c++) square += o[c] * o[c];
    }
    return (double)(keys.hi - keys.lo) * columns - square;
}

/* The rectangles of positions [at, at + size), as hyper cuts them. */
static double halves(const errors *e, const double *kept, atn_idx at, atn_idx size,
                     double *o)
{
    const atn_head_facts *f = e->f;
    const atn_idx half = (size + 1) / 2, off = f->head.sight.offset;
    atn_span rows = {at + half - off, at + size - off};

    if (size <= e->min) return 0;
    rows.lo = ATN_MIN(ATN_MAX(rows.lo, 0), f->nq);
    rows.hi = ATN_MIN(ATN_MAX(rows.hi, 0), f->nq);
    return rectangle(e, kept, rows, (atn_span){at, at + half}, o) +
           halves(e, kept, at, half, o) + halves(e, kept, at + half, size - half, o);
}

static atn_status predict(atn_ctx *cx, errors *e)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_head_facts *f = e->f;
    atn_status st = ATN_OK;
    double *w = NULL, *o = NULL;

    ATN_TAKE(w, f->nq * f->nk);
    ATN_TAKE(o, f->dv);
    ATN_TRY(weights(cx, e, &e->kept, e->seed, w));
    e->per_draw = fmax(f->head.sight.causal ? halves(e, w, 0, f->nk, o)
                                            : rectangle(e, w, (atn_span){0, f->nq},
                                                        (atn_span){0, f->nk}, o),
                       0);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- the checks ---- */

/* Mean over seeds of size k; eps is sorted. */
static atn_status check_size(atn_ctx *cx, errors *e, int k, double norm_p, double *mean,
                             atn_checks *out)
{
    atn_check c = {
        .bound = &atn_bound_hyper_error, .trials = e->seeds, .cases = e->seeds};
    double *eps = e->eps + k * e->seeds;
    const double m = (double)e->m[k];
    const atn_quantities q = {.x = {e->per_draw / m, norm_p, e->scale / norm_p}};

    *mean = 0;
    for (int64_t s = 0; s < e->seeds; s++) *mean += eps[s] / (double)e->seeds;
    atn_sort(eps, e->seeds);
    c.predicted = atn_bound_predict(c.bound, &q);
    c.measured = *mean;
    snprintf(c.variant, sizeof c.variant, "m=%lld", (long long)e->m[k]);
    snprintf(c.note, sizeof c.note, "90 %% of seeds below %.3g; blocks of %lld",
             eps[(9 * e->seeds - 1) / 10], (long long)e->block);
    return atn_checks_add(cx, out, &c);
}

/* Slope and intercept of ln eps over ln m; NAN where there is no error left. */
static void fit(const errors *e, const double *mean, double *slope, double *at)
{
    double x = 0, y = 0, xx = 0, xy = 0;
    const double n = e->sizes;

    for (int k = 0; k < e->sizes; k++) {
        const double a = log((double)e->m[k]), b = log(mean[k]);

        x += a / n;
        y += b / n;
        xx += a * a;
        xy += a * b;
    }
    *slope = (xy - n * x * y) / (xx - n * x * x);
    *at = y - *slope * x;
    if (!isfinite(*slope)) *slope = *at = NAN;
}

/* What the theorem asks for, with kappa and alpha of what the blocks leave. */
static atn_status check_samples(atn_ctx *cx, errors *e, double slope, double at,
                                atn_checks *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_head_facts *f = e->f;
    const atn_hash_blocks how = {e->seed, 0, BITS, e->block, false};
    atn_check c = {.bound = &atn_bound_hyper_samples, .trials = e->seeds};
    atn_status st = ATN_OK;
    bool *masked = NULL;
    double *norm = NULL;
    atn_unmasked u;

    ATN_TAKE(masked, f->nq * f->nk);
    ATN_TAKE(norm, f->nk);
    ATN_TRY(atn_hash_mask(cx, f, &how, masked));
    atn_unmasked_of(f, masked, norm, &u);
    c.predicted = atn_bound_predict(
        c.bound,
        &(atn_quantities){.x = {exp(u.ln_kappa), u.alpha, WANTED, (double)f->nk}});
    c.measured = slope < 0 ? exp((log(WANTED) - at) / slope) : NAN;
    snprintf(c.variant, sizeof c.variant, "eps=%.1g", WANTED);
    snprintf(c.note, sizeof c.note,
             "kappa %.3g, alpha %.3g; measured by the line fitted", exp(u.ln_kappa),
             u.alpha);
    ATN_TRY(atn_checks_add(cx, out, &c));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status check_all(atn_ctx *cx, errors *e, double norm_p, atn_checks *out)
{
    atn_check c = {
        .bound = &atn_bound_hyper_slope, .trials = e->seeds, .lo = .76, .hi = 1.24};
    double mean[SIZES], at;
    atn_status st = ATN_OK;

    for (int k = 0; k < e->sizes; k++)
        ATN_TRY(check_size(cx, e, k, norm_p, &mean[k], out));
    fit(e, mean, &c.measured, &at);
    c.predicted = atn_bound_predict(c.bound, &(atn_quantities){.x = {0}});
    c.cases = e->sizes;
    c.not_here = isnan(c.measured);
    if (c.not_here) snprintf(c.note, sizeof c.note, "no error is left, or one size");
    ATN_TRY(atn_checks_add(cx, out, &c));
    ATN_TRY(check_samples(cx, e, c.measured, at, out));
done:
    return st;
}

static void set_sizes(errors *e)
{
    const atn_idx n = e->f->nk;

    e->block = ATN_MAX(n / SHARE, 1);
    e->min = e->f->head.sight.causal ? ATN_MAX(n / HALVES, 1) : 1;
    for (atn_idx part = SHARE; part >= 1; part /= 2) {
        const atn_idx m = ATN_MAX(n / part, 1);

        if (e->sizes == 0 || m > e->m[e->sizes - 1]) e->m[e->sizes++] = m;
    }
}

static atn_status head(atn_ctx *cx, const atn_trial_head *t, atn_checks *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    errors e = {.f = t->facts, .seed = t->seed, .seeds = t->trials};
    double norm_v = 0;
    atn_status st = ATN_OK;

    if (e.f->nq == 0 || e.f->nk == 0 || e.f->dv == 0) return ATN_OK;
    set_sizes(&e);
    ATN_TRY(atn_head_facts_spectrum(cx, t->facts, false));
    ATN_TRY(norm_of(cx, e.f->v, e.f->nk, e.f->dv, &norm_v));
    e.scale = e.f->sigma[0] * norm_v;
    if (!(e.scale > 0)) goto done;
    for (int k = 0; k < e.sizes; k++) ATN_TRY(choose(cx, &e, e.m[k], &e.choice[k]));
    ATN_TRY(choose(cx, &e, 0, &e.kept));
    ATN_TAKE(e.eps, e.sizes * e.seeds);
    ATN_TRY(predict(cx, &e));
    ATN_TRY(atn_parallel(cx, e.sizes * e.seeds, error_task, &e, "HyperAttention"));
    ATN_TRY(check_all(cx, &e, e.f->sigma[0], out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_experiment atn_experiment_hyper_error = {
    .id = "hyper_error",
    .label = "V10",
    .title = "The spectral error of HyperAttention against samples",
    .text =
        "mean error of the method hyper for n / 16 to n samples, its slope, and the "
        "samples that an error of 0.1 takes",
    .source = "cards/kernel-theory.md, card 2, HA-3 and V10",
    .qk = true,
    .values = true,
    .sides = ATN_BOTH_WAYS,
    .trials = 20,
    .head = head,
    .bounds = "hyper_error hyper_slope hyper_samples",
};
