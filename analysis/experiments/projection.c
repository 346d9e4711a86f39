/* analysis/experiments/projection.c -- V19: what a random projection of the keys does
 * to the products of a head, as Linformer has it.
 *
 * Math    theory/projections.c, B18. w is the first column of the values, or random; R
 *         has RANK rows. P keeps ROWS rows, spread evenly: the law holds for any
 *         matrix. Pairs of a query and a key for the inner product. The standard error
 *         of a mean of squared errors is that of the draws.
 * Cost    RANK n random numbers a draw.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>

#include "analysis/experiments/experiment.h"
#include "analysis/experiments/means.h"
#include "approx/method.h"
#include "core/rng.h"
#include "core/rows.h"

extern const atn_experiment atn_experiment_projection;

enum { RANK = 16, ROWS = 16, PAIRS = 16, BATCH = 50, KINDS = 2 };
static const char *const kind_names[KINDS] = {"values", "random"};

typedef struct projecting {
    const atn_trial_head *t;
    double *p, *w, *pw; /* [rows, nk], [nk], [rows] */
    atn_idx rows;
    int kind;
    double *error; /* [trials] squared */
} projecting;

/* The squared error of one draw; g [RANK], x [nk] <- R'R w. */
static double draw_error(const projecting *s, atn_rng *r, double *ry, double *rw)
{
    const atn_head_facts *f = s->t->facts;
    double sum = 0;

    for (atn_idx i = 0; i < s->rows * RANK; i++) ry[i] = 0;
    for (int k = 0; k < RANK; k++) rw[k] = 0;
    for (atn_idx j = 0; j < f->nk; j++)
        for (int k = 0; k < RANK; k++) {
            const double x = atn_rng_normal(r);

            rw[k] += x * s->w[j];
            for (atn_idx i = 0; i < s->rows; i++)
                ry[i * RANK + k] += x * s->p[i * f->nk + j];
        }
    for (atn_idx i = 0; i < s->rows; i++) {
        double off = 0;

        for (int k = 0; k < RANK; k++) off += ry[i * RANK + k] * rw[k];
        off = off / RANK - s->pw[i];
        sum += off * off;
    }
    return sum;
}

static atn_status draw_batch(atn_ctx *cx, atn_idx b, void *state)
{
    const projecting *s = state;
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_head *h = &s->t->facts->head;
    const atn_idx end = ATN_MIN((b + 1) * BATCH, s->t->trials);
    double *ry = NULL, rw[RANK];
    atn_status st = ATN_OK;

    ATN_TAKE(ry, s->rows * RANK);
    for (atn_idx e = b * BATCH; e < end; e++) {
        atn_rng r = atn_rng_stream(s->t->seed, "projection", h->layer,
                                   h->head + ((KINDS * e + s->kind) << 20));

        s->error[e] = draw_error(s, &r, ry, rw);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Mean of x [n] and its distance from what is said, in standard errors. */
static void judge(const double *x, int64_t n, atn_check *c)
{
    const atn_mean m = atn_mean_of(x, n);

    c->measured = m.mean;
    c->trials = n;
    c->statistic = atn_mean_statistic(&m, c->predicted, 1e-9 * c->predicted);
    c->only_report = !atn_mean_is_known(&m, c->predicted);
    if (c->only_report)
        snprintf(c->note, sizeof c->note, "standard error %.2g, skewness %.2g: no test",
                 m.error / c->predicted, m.skew);
}

/* w, the rows of P, and what the bound says of them. */
static double prepare(const projecting *s)
{
    const atn_head_facts *f = s->t->facts;
    atn_rng r =
        atn_rng_stream(s->t->seed, "projection/vector", f->head.layer, f->head.head);
    double p = 0, w = 0, pw = 0;

    for (atn_idx j = 0; j < f->nk; j++) {
        s->w[j] = s->kind == 0 ? f->v[j * f->dv] : atn_rng_normal(&r);
        w += s->w[j] * s->w[j];
    }
    for (atn_idx i = 0; i < s->rows; i++) {
        const double *row = f->p + (2 * i + 1) * f->nq / (2 * s->rows) * f->nk;

        s->pw[i] = 0;
        for (atn_idx j = 0; j < f->nk; j++) {
            s->p[i * f->nk + j] = row[j];
            p += row[j] * row[j];
            s->pw[i] += row[j] * s->w[j];
        }
        pw += s->pw[i] * s->pw[i];
    }
    return atn_bound_predict(
        &atn_bound_linformer_moment,
        &(atn_quantities){.x = {sqrt(p), sqrt(w), sqrt(pw), RANK}});
}

static atn_status products(atn_ctx *cx, projecting *s, atn_checks *out)
{
    const int64_t batches = (s->t->trials + BATCH - 1) / BATCH;
    atn_check c = {.bound = &atn_bound_linformer_moment, .cases = s->rows};
    atn_status st = ATN_OK;

    c.predicted = prepare(s);
    snprintf(c.variant, sizeof c.variant, "w=%s k=%d", kind_names[s->kind], RANK);
    ATN_TRY(atn_parallel(cx, batches, draw_batch, s, "projections"));
    judge(s->error, s->t->trials, &c);
    if (c.predicted > 0) ATN_TRY(atn_checks_add(cx, out, &c));
done:
    return st;
}

/* ---- pairs of a query and a key ---- */

static double dot(const double *x, const double *y, atn_idx n)
{
    double sum = 0;

    for (atn_idx c = 0; c < n; c++) sum += x[c] * y[c];
    return sum;
}

/* The squared error of a draw, of all pairs by what is said of each. */
static double pair_error(const atn_head_facts *f, atn_rng *r, const double *said)
{
    double sum = 0;

    for (int pair = 0; pair < PAIRS; pair++) {
        const double *x = f->q + (2 * pair + 1) * f->nq / (2 * PAIRS) * f->d;
        const double *y = f->k + (7 * pair + 3) % PAIRS * f->nk / PAIRS * f->d;
        double off = 0;

        for (int k = 0; k < RANK; k++) {
            double a = 0, b = 0;

            for (atn_idx c = 0; c < f->d; c++) {
                const double g = atn_rng_normal(r);

                a += g * x[c];
                b += g * y[c];
            }
            off += a * b / RANK;
        }
        off -= dot(x, y, f->d);
        sum += said[pair] > 0 ? off * off / said[pair] / PAIRS : 0;
    }
    return sum;
}

static atn_status pairs_batch(atn_ctx *cx, atn_idx b, void *state)
{
    const projecting *s = state;
    const atn_head_facts *f = s->t->facts;
    const atn_idx end = ATN_MIN((b + 1) * BATCH, s->t->trials);

    (void)cx;
    for (atn_idx e = b * BATCH; e < end; e++) {
        atn_rng r = atn_rng_stream(s->t->seed, "projection/pairs", f->head.layer,
                                   f->head.head + (e << 20));

        s->error[e] = pair_error(f, &r, s->pw);
    }
    return ATN_OK;
}

/* Relative to what is said, so that no pair drowns the others. */
static atn_status pairs(atn_ctx *cx, projecting *s, atn_checks *out)
{
    const atn_head_facts *f = s->t->facts;
    atn_check c = {.bound = &atn_bound_inner_product_moment, .cases = PAIRS};
    atn_status st = ATN_OK;

    c.predicted = 0;
    for (int pair = 0; pair < PAIRS; pair++) {
        const double *x = f->q + (2 * pair + 1) * f->nq / (2 * PAIRS) * f->d;
        const double *y = f->k + (7 * pair + 3) % PAIRS * f->nk / PAIRS * f->d;

        s->pw[pair] =
            atn_bound_predict(c.bound, &(atn_quantities){.x = {sqrt(dot(x, x, f->d)),
                                                               sqrt(dot(y, y, f->d)),
                                                               dot(x, y, f->d), RANK}});
        c.predicted += (s->pw[pair] > 0) / (double)PAIRS;
    }
    snprintf(c.variant, sizeof c.variant, "k=%d, each pair by what is said", RANK);
    ATN_TRY(atn_parallel(cx, (s->t->trials + BATCH - 1) / BATCH, pairs_batch, s,
                         "projections"));
    judge(s->error, s->t->trials, &c);
    if (c.predicted > 0) ATN_TRY(atn_checks_add(cx, out, &c));
done:
    return st;
}

static atn_status head(atn_ctx *cx, const atn_trial_head *t, atn_checks *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_head_facts *f = t->facts;
    projecting s = {.t = t, .rows = ATN_MIN((atn_idx)ROWS, f->nq)};
    atn_status st = ATN_OK;

    if (f->nk == 0 || f->nq == 0) return ATN_OK;
    ATN_TAKE(s.p, s.rows * f->nk);
    ATN_TAKE(s.w, f->nk);
    ATN_TAKE(s.pw, ATN_MAX((atn_idx)PAIRS, s.rows));
    ATN_TAKE(s.error, t->trials);
    for (s.kind = 0; s.kind < KINDS; s.kind++)
        if (s.kind > 0 || f->v) ATN_TRY(products(cx, &s, out));
    if (f->q && f->k) ATN_TRY(pairs(cx, &s, out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_experiment atn_experiment_projection = {
    .id = "projection",
    .label = "V19",
    .title = "Random projections of the keys",
    .text = "the second moment of the error of products, and of inner products",
    .source = "own derivation; Linformer (arXiv 2006.04768) projects so",
    .sides = ATN_BOTH_WAYS,
    .trials = 1000,
    .head = head,
    .bounds = "linformer_moment inner_product_moment",
};
