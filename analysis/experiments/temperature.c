/* analysis/experiments/temperature.c -- the regime figure of sparse and low rank on one
 * head: logits times .25 .. 8, the error of either, of both and of robust principal
 * components at 32 numbers a row.
 *
 * Math    relative Frobenius error of the weights. Low rank: the best of rank 16; sparse:
 *         the 32 largest of every row as they are; both: by turns, rank 8 and 16 a row
 *         (approx/alternate.h); rpca: rank 8 of its low rank, 16 a row of the rest, at
 *         most 50 steps. What falls on hidden keys is cut off. Where low rank and sparse
 *         cross, the entropy over its maximum is that between the two temperatures, in
 *         proportion of the logarithms of the errors.
 * Cost    six temperatures, each 20 decompositions and 50 eigenproblems.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "analysis/experiments/experiment.h"
#include "approx/alternate.h"
#include "approx/rpca.h"
#include "core/rows.h"

extern const atn_experiment atn_experiment_temperature;

enum { NUMBERS = 32, STEPS = 50, TIMES = 6 };
static const double times[TIMES] = {.25, .5, 1, 2, 4, 8};

typedef struct point {
    double low_rank, sparse, both, rpca; /* relative errors */
    double entropy;                      /* share of the largest possible */
    atn_idx rank, entries;               /* rpca */
} point;

typedef struct sweep {
    const atn_head_facts *f;
    uint64_t seed;
    point at[TIMES];
} sweep;

/* p <- softmax of the logits times x; the entropy of all rows over the logarithms of
 * what they see. */
static double soften(const atn_head_facts *f, double x, double *p)
{
    double sum = 0, most = 0;

    memset(p, 0, (size_t)(f->nq * f->nk) * sizeof *p);
    for (atn_idx i = 0; i < f->nq; i++) {
        const double *s = f->s + i * f->nk;
        double *row = p + i * f->nk, max = -INFINITY, z = 0;
        atn_idx n = 0;

        for (atn_idx j = 0; j < f->nk; j++) {
            max = fmax(max, s[j]);
            n += s[j] > -INFINITY;
        }
        if (n == 0) continue;
        for (atn_idx j = 0; j < f->nk; j++) z += row[j] = exp(x * (s[j] - max));
        for (atn_idx j = 0; j < f->nk; j++) {
            row[j] /= z;
            if (row[j] > 0) sum -= row[j] * log(row[j]);
        }
        most += log((double)n);
    }
    return most > 0 ? sum / most : NAN;
}

static atn_status error_of(atn_ctx *cx, const sweep *s, const double *p,
                           const atn_factors *f, double *out)
{
    double size = 0;
    atn_status st = ATN_OK;

    for (atn_idx e = 0; e < s->f->nq * s->f->nk; e++) size += p[e] * p[e];
    ATN_TRY(atn_factors_error(cx, &s->f->head, f, p, out));
    *out = sqrt(*out / size);
done:
    return st;
}

static atn_status alone(atn_ctx *cx, const sweep *s, const double *p, double *x,
                        point *at)
{
    const atn_head *h = &s->f->head;
    const atn_idx rank = ATN_MIN(NUMBERS / 2, ATN_MIN(h->nq, h->nk));
    atn_status st = ATN_OK;
    atn_factors f = {0};

    ATN_TRY(atn_factors_open(cx, h, rank, true, &f));
    ATN_TRY(atn_lowrank_dense(
        cx, p, &(atn_lowrank){h->nq, h->nk, rank, f.block->u, f.block->v}));
    ATN_TRY(error_of(cx, s, p, &f, &at->low_rank));
    atn_factors_release(cx, &f);
    ATN_TRY(atn_factors_open(cx, h, 0, true, &f));
    ATN_TRY(atn_keep_rows(cx, h, p, NUMBERS, true, x));
    ATN_TRY(atn_factors_take(cx, x, &f));
    ATN_TRY(error_of(cx, s, p, &f, &at->sparse));
done:
    atn_factors_release(cx, &f);
    return st;
}

static atn_status together(atn_ctx *cx, const sweep *s, const double *p, point *at)
{
    const atn_head *h = &s->f->head;
    const atn_input in = {.head = h, .heads = 1, .group = 1, .seed = s->seed};
    const atn_idx most = ATN_MIN(h->nq, h->nk);
    const atn_alternate a = {ATN_MIN(NUMBERS / 2, h->nk), ATN_MIN(NUMBERS / 4, most),
                             most > 64, true};
    atn_status st = ATN_OK;
    atn_factors f = {0};

    ATN_TRY(atn_alternate_run(cx, &in, h, p, &a, &f));
    ATN_TRY(error_of(cx, s, p, &f, &at->both));
done:
    atn_factors_release(cx, &f);
    return st;
}

static atn_status by_pursuit(atn_ctx *cx, const sweep *s, const double *p, double *x,
                             point *at)
{
    const atn_head *h = &s->f->head;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_rpca found = {.factor = 1, .steps = STEPS, .s = x};
    atn_status st = ATN_OK;
    atn_factors f = {0};

    ATN_TAKE(found.l, h->nq * h->nk);
    ATN_TRY(atn_rpca_run(cx, p, h->nq, h->nk, &found));
    at->rank = found.rank;
    at->entries = found.entries;
    ATN_TRY(atn_rpca_parts(cx, h, p, &found, NUMBERS, true, &f));
    ATN_TRY(error_of(cx, s, p, &f, &at->rpca));
done:
    atn_factors_release(cx, &f);
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status one_temperature(atn_ctx *cx, atn_idx task, void *state)
{
    sweep *s = state;
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx all = s->f->nq * s->f->nk;
    point *at = &s->at[task];
    atn_status st = ATN_OK;
    double *p = NULL, *x = NULL;

    ATN_TAKE(p, all);
    ATN_TAKE(x, all);
    at->entropy = soften(s->f, times[task], p);
    ATN_TRY(alone(cx, s, p, x, at));
    ATN_TRY(together(cx, s, p, at));
    ATN_TRY(by_pursuit(cx, s, p, x, at));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status report(atn_ctx *cx, const point *p, double x, const char *what,
                         double measured, atn_checks *out)
{
    const atn_quantities q = {.x = {p->sparse, p->low_rank}};
    atn_check c = {.bound = &atn_bound_scatterbrain_parts, .only_report = true};

    c.measured = measured;
    c.predicted = atn_bound_predict(c.bound, &q);
    snprintf(c.variant, sizeof c.variant, "%s, logits times %g", what, x);
    snprintf(c.note, sizeof c.note,
             "entropy %.3f, low rank %.4g, sparse %.4g; rpca rank %lld, %lld entries",
             p->entropy, p->low_rank, p->sparse, (long long)p->rank,
             (long long)p->entries);
    return atn_checks_add(cx, out, &c);
}

/* Where low rank stops being the better one; NAN where it does not. */
static double crossing(const sweep *s)
{
    for (int k = 0; k + 1 < TIMES; k++) {
        const point *a = &s->at[k], *b = &s->at[k + 1];
        const double x = log(a->sparse / a->low_rank), y = log(b->sparse / b->low_rank);

        if (x >= 0 && y < 0)
            return a->entropy + x / (x - y) * (b->entropy - a->entropy);
    }
    return NAN;
}

static atn_status head(atn_ctx *cx, const atn_trial_head *t, atn_checks *out)
{
    sweep s = {.f = t->facts, .seed = t->seed};
    atn_check c = {.bound = &atn_bound_crossing_entropy, .only_report = true};
    const atn_quantities none = {.n = {0}};
    atn_status st = ATN_OK;
    atn_idx seen = 0;

    for (atn_idx i = 0; t->facts->nk > 0 && i < t->facts->nq; i++)
        seen += !isnan(t->facts->lse[i]);
    if (seen == 0) goto done;
    ATN_TRY(atn_parallel(cx, TIMES, one_temperature, &s, "temperatures"));
    for (int k = 0; k < TIMES; k++) {
        ATN_TRY(report(cx, &s.at[k], times[k], "both", s.at[k].both, out));
        ATN_TRY(report(cx, &s.at[k], times[k], "rpca", s.at[k].rpca, out));
    }
    c.measured = crossing(&s);
    c.predicted = atn_bound_predict(c.bound, &none);
    c.lo = .9;
    c.hi = 1 / .97;
    if (isnan(c.measured)) {
        c.not_here = true;
        snprintf(c.note, sizeof c.note, "no crossing between logits times .25 and 8");
    }
    ATN_TRY(atn_checks_add(cx, out, &c));
done:
    return st;
}

const atn_experiment atn_experiment_temperature = {
    .id = "temperature",
    .label = "V16",
    .title = "Sparse, low rank and both, by temperature",
    .text = "errors of the weights at 32 numbers a row, logits times .25 to 8",
    .source = "after Chen et al., arXiv 2110.15343",
    .sides = ATN_BOTH_WAYS,
    .most = 256,
    .heads = 4,
    .head = head,
    .bounds = "scatterbrain_parts crossing_entropy",
};
