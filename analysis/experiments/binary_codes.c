/* analysis/experiments/binary_codes.c -- BI-1, BI-2: do codes keep angles, and the
 * order of the logits?
 *
 * Math    theory/projections.c, BI. Pairs of a query and a key, spread over the head;
 *         planes are drawn for each, and the first b of them are a code of b bits.
 *         In a row, the correlation of the ranks (ties share their mean) of <b_i, b_j>
 *         and s_ij over the keys that it sees, at least LEAST; its mean over the rows
 *         in which neither is constant. Codes are those of ShiftAddViT, of the whole
 *         head.
 * Cost    1024 d random numbers a pair; a row n log n.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "analysis/experiments/experiment.h"
#include "approx/method.h"
#include "approx/shiftadd.h"
#include "core/rng.h"
#include "core/rows.h"

extern const atn_experiment atn_experiment_binary_codes;

enum { SIZES = 4, BITS = 1024, LEAST = 4 };
static const int sizes[SIZES] = {16, 64, 256, BITS};
static const double RISK = .05;

typedef struct coding {
    const atn_trial_head *t;
    double *angle; /* [trials] theta / pi; NAN = a vector of zeros */
    double *share; /* [trials][SIZES] of bits that differ */
    uint8_t *q, *k;
    double *rho; /* [nq], NAN = there is none */
} coding;

static double dot(const double *x, const double *y, atn_idx n)
{
    double sum = 0;

    for (atn_idx c = 0; c < n; c++) sum += x[c] * y[c];
    return sum;
}

/* ---- angles ---- */

static atn_status code_pair(atn_ctx *cx, atn_idx e, void *state)
{
    const coding *s = state;
    const atn_head_facts *f = s->t->facts;
    atn_rng r = atn_rng_stream(s->t->seed, "binary_codes", f->head.layer,
                               f->head.head + (e << 20));
    const double *x = f->q + atn_rng_below(&r, f->nq) * f->d;
    const double *y = f->k + atn_rng_below(&r, f->nk) * f->d;
    const double length = sqrt(dot(x, x, f->d) * dot(y, y, f->d));
    int apart = 0, size = 0;

    (void)cx;
    s->angle[e] = NAN;
    if (!(length > 0)) return ATN_OK;
    s->angle[e] = acos(fmax(fmin(dot(x, y, f->d) / length, 1), -1)) / acos(-1);
    for (int b = 1; b <= BITS; b++) {
        double of_x = 0, of_y = 0;

        for (atn_idx c = 0; c < f->d; c++) {
            const double g = atn_rng_normal(&r);

            of_x += g * x[c];
            of_y += g * y[c];
        }
        apart += (of_x > 0) != (of_y > 0);
        if (b == sizes[size]) s->share[e * SIZES + size++] = apart / (double)b;
    }
    return ATN_OK;
}

static atn_status add_size(atn_ctx *cx, const coding *s, int size, atn_checks *out)
{
    atn_check mean = {.bound = &atn_bound_hamming_mean};
    atn_check far = {.bound = &atn_bound_hamming_tail};
    const double b = sizes[size];
    const atn_quantities risk = {.x = {RISK, b}};
    const double most = atn_bound_predict(&atn_bound_hamming_distance, &risk);
    double variance = 0;
    atn_status st = ATN_OK;

    for (int64_t e = 0; e < s->t->trials; e++) {
        const double at = s->angle[e], share = s->share[e * SIZES + size];

        if (isnan(at)) continue;
        mean.trials++;
        mean.predicted += at;
        mean.measured += share;
        variance += at * (1 - at) / b;
        far.measured += fabs(share - at) >= most;
    }
    if (mean.trials == 0) return ATN_OK;
    far.trials = mean.trials;
    mean.cases = far.cases = mean.trials;
    mean.statistic =
        variance > 0 ? (mean.measured - mean.predicted) / sqrt(variance) : 0;
    mean.predicted /= (double)mean.trials;
    mean.measured /= (double)mean.trials;
    far.measured /= (double)far.trials;
    far.predicted = atn_bound_predict(far.bound, &risk);
    far.statistic = fmax(far.measured - far.predicted, 0) /
                    sqrt(RISK * (1 - RISK) / (double)far.trials);
    snprintf(mean.variant, sizeof mean.variant, "b=%d", sizes[size]);
    snprintf(far.variant, sizeof far.variant, "b=%d, eta=%g", sizes[size], RISK);
    ATN_TRY(atn_checks_add(cx, out, &mean));
    ATN_TRY(atn_checks_add(cx, out, &far));
done:
    return st;
}

/* ---- ranks ---- */

typedef struct ranked {
    double x;
    atn_idx at;
} ranked;

static int by_value(const void *a, const void *b)
{
    const ranked *x = a, *y = b;

    if (x->x != y->x) return x->x < y->x ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

/* rank [n] <- ranks of x [n], equal ones share their mean. */
static void rank_of(ranked *x, atn_idx n, double *rank)
{
    qsort(x, (size_t)n, sizeof *x, by_value);
    for (atn_idx first = 0, end; first < n; first = end) {
        for (end = first + 1; end < n && x[end].x == x[first].x;) end++;
        for (atn_idx e = first; e < end; e++)
            rank[x[e].at] = (double)(first + end - 1) / 2;
    }
}

/* NAN where one of them is constant. */
static double correlation(const double *x, const double *y, atn_idx n)
{
    const double mean = (double)(n - 1) / 2;
    double xx = 0, yy = 0, xy = 0;

    for (atn_idx e = 0; e < n; e++) {
        xx += (x[e] - mean) * (x[e] - mean);
        yy += (y[e] - mean) * (y[e] - mean);
        xy += (x[e] - mean) * (y[e] - mean);
    }
    return xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : NAN;
}

static atn_status rank_row(atn_ctx *cx, atn_idx i, void *state)
{
    const coding *s = state;
    const atn_head_facts *f = s->t->facts;
    const atn_arena_mark mark = atn_arena_save(cx);
    double *of_codes = NULL, *of_logits = NULL;
    atn_status st = ATN_OK;
    ranked *x = NULL;
    atn_idx lo, hi;

    s->rho[i] = NAN;
    atn_sight_row(&f->head.sight, i, &lo, &hi);
    if (hi - lo < LEAST) return ATN_OK;
    ATN_TAKE(x, hi - lo);
    ATN_TAKE(of_codes, hi - lo);
    ATN_TAKE(of_logits, hi - lo);
    for (atn_idx j = lo; j < hi; j++) {
        int both = 0;

        for (atn_idx c = 0; c < f->d; c++)
            both += s->q[i * f->d + c] & s->k[j * f->d + c];
        x[j - lo] = (ranked){both, j - lo};
    }
    rank_of(x, hi - lo, of_codes);
    for (atn_idx j = lo; j < hi; j++) x[j - lo] = (ranked){f->s[i * f->nk + j], j - lo};
    rank_of(x, hi - lo, of_logits);
    s->rho[i] = correlation(of_codes, of_logits, hi - lo);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status add_ranks(atn_ctx *cx, coding *s, atn_checks *out)
{
    atn_check c = {.bound = &atn_bound_code_rank, .only_report = true};
    const atn_head_facts *f = s->t->facts;
    atn_status st = ATN_OK;
    atn_idx low = 0;

    (void)atn_shiftadd_codes(f->head.q, s->q);
    (void)atn_shiftadd_codes(f->head.k, s->k);
    ATN_TRY(atn_parallel(cx, f->nq, rank_row, s, "ranks"));
    for (atn_idx i = 0; i < f->nq; i++) {
        if (isnan(s->rho[i])) continue;
        c.cases++;
        c.measured += s->rho[i];
        low += s->rho[i] <= 0;
    }
    if (c.cases == 0) return ATN_OK;
    c.measured /= (double)c.cases;
    c.predicted = atn_bound_predict(c.bound, &(atn_quantities){.x = {0}});
    snprintf(c.variant, sizeof c.variant, "mean over rows");
    snprintf(c.note, sizeof c.note,
             "no correlation, or the wrong way, in %.1f %% of rows",
             100 * (double)low / (double)c.cases);
    ATN_TRY(atn_checks_add(cx, out, &c));
done:
    return st;
}

static atn_status head(atn_ctx *cx, const atn_trial_head *t, atn_checks *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_head_facts *f = t->facts;
    atn_status st = ATN_OK;
    coding s = {.t = t};

    if (f->nq == 0 || f->nk == 0) return ATN_OK;
    ATN_TAKE(s.angle, t->trials);
    ATN_TAKE(s.share, t->trials * SIZES);
    ATN_TAKE(s.q, f->nq * f->d);
    ATN_TAKE(s.k, f->nk * f->d);
    ATN_TAKE(s.rho, f->nq);
    ATN_TRY(atn_parallel(cx, t->trials, code_pair, &s, "codes"));
    for (int size = 0; size < SIZES; size++) ATN_TRY(add_size(cx, &s, size, out));
    ATN_TRY(add_ranks(cx, &s, out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_experiment atn_experiment_binary_codes = {
    .id = "binary_codes",
    .label = "BI-1",
    .title = "Binary codes",
    .text = "how far Hamming distances are from angles, and what codes keep of the "
            "order of the logits",
    .source = "Charikar 2002; ShiftAddViT (arXiv 2306.06446)",
    .qk = true,
    .sides = ATN_BOTH_WAYS,
    .trials = 1000,
    .head = head,
    .bounds = "hamming_mean hamming_tail hamming_distance code_rank",
};
