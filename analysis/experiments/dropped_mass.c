/* analysis/experiments/dropped_mass.c -- masks and other rows that sum to 1: what they
 * lose, against what the weight they drop says.
 *
 * Math    theory/dropped_mass.c. The rows of a mask come from the method and the
 *         executor's plain reference, a softmax over the keys kept. The weight dropped
 *         and both means come from the logits, each part of a row relative to its own
 *         largest: a part that weighs e^-800 has a mean like any other. A softmax at
 *         twice the temperature and uniform weights stand for approximations that are
 *         no masks.
 * Cost    a plan of each method, and (keys) (dv) flop a row of it.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "analysis/experiments/worst.h"
#include "approx/method.h"
#include "core/rows.h"

extern const atn_experiment atn_experiment_dropped_mass;

/* The bounds of it, in the order of `bounds`. */
enum { WEIGHTS, ERROR, DIAMETER, RAW, RAW_VALUES, GAIN, VARIATION, PINSKER, BOUNDS };
static const atn_bound *const bounds[BOUNDS] = {
    &atn_bound_dropped_mass_weights,    &atn_bound_dropped_mass_error,
    &atn_bound_dropped_mass_diameter,   &atn_bound_dropped_mass_raw,
    &atn_bound_dropped_mass_raw_values, &atn_bound_dropped_mass_gain,
    &atn_bound_variation_error,         &atn_bound_pinsker};

/* Approximations: methods with parameters, and two without a method. */
static const struct {
    const char *text, *id, *params;
} kinds[] = {
    {"topk k=1", "topk", "k=1"},
    {"topk k=4", "topk", "k=4"},
    {"topk k=16", "topk", "k=16"},
    {"topk k=64", "topk", "k=64"},
    {"topk k=4 block=16", "topk", "k=4,block=16"},
    {"window 4", "window", "window=4"},
    {"window 16", "window", "window=16"},
    {"window 64", "window", "window=64"},
    {"block_diagonal 16", "block_diagonal", "block=16"},
    {"block_diagonal 64", "block_diagonal", "block=64"},
    {"temperature 2", NULL, NULL},
    {"uniform", NULL, NULL},
};
enum { TEMPERATURE = 10, ROWS = 16 };

typedef struct asking {
    const atn_head_facts *f;
    atn_plan plan;
    int kind;
    double diameter, largest; /* of the values */
    atn_worst *worst;         /* [tasks][BOUNDS] */
    int64_t *helped, *rows;   /* [tasks] rows that renormalising helps, and all */
} asking;

/* One row. */
typedef struct row {
    const double *s, *p, *w, *o; /* logits, weights, those approximated, output */
    double lse;
    double *kept, *dropped, *out, *raw; /* [dv] mu_K, mu_C, o^, o~ */
} row;

static double length(const double *x, atn_idx n)
{
    double sum = 0;

    for (atn_idx e = 0; e < n; e++) sum += x[e] * x[e];
    return sqrt(sum);
}

static double distance(const double *x, const double *y, atn_idx n)
{
    double sum = 0;

    for (atn_idx e = 0; e < n; e++) sum += (x[e] - y[e]) * (x[e] - y[e]);
    return sqrt(sum);
}

static void add(double *y, double a, const double *x, atn_idx n)
{
    for (atn_idx e = 0; e < n; e++) y[e] += a * x[e];
}

static void predict(atn_worst *w, int b, atn_quantities q, double measured,
                    double scale)
{
    atn_worst_take(&w[b], bounds[b]->relation, atn_bound_predict(bounds[b], &q),
                   measured, scale);
}

/* Half of |w - p|_1, and KL(w || p). */
static double variation_of(const asking *s, const row *r, double *divergence)
{
    double sum = 0;

    *divergence = 0;
    for (atn_idx j = 0; j < s->f->nk; j++) {
        sum += fabs(r->w[j] - r->p[j]);
        if (r->w[j] > 0) *divergence += r->w[j] * (log(r->w[j]) - (r->s[j] - r->lse));
    }
    *divergence = fmax(*divergence, 0);
    return sum / 2;
}

/* What holds of all rows that sum to 1. */
static void check_any(const asking *s, const row *r, atn_worst *w)
{
    const atn_idx dv = s->f->dv;
    double divergence;
    const double tv = variation_of(s, r, &divergence);

    predict(w, VARIATION, (atn_quantities){.x = {fmin(tv, 1), s->diameter}},
            distance(r->out, r->o, dv), s->largest);
    predict(w, PINSKER, (atn_quantities){.x = {divergence}}, tv, 1);
}

/* The mean value of the keys kept (or dropped) by their weights among themselves, into
 * mean [dv], zeros where they weigh nothing; returns ln of the sum of e^s. */
static double part_mean(const asking *s, const row *r, bool kept, double *mean)
{
    const atn_idx dv = s->f->dv, n = s->f->nk;
    double max = -INFINITY, sum = 0;

    memset(mean, 0, (size_t)dv * sizeof *mean);
    for (atn_idx j = 0; j < n; j++)
        if ((r->w[j] > 0) == kept) max = fmax(max, r->s[j]);
    if (max == -INFINITY) return max;
    for (atn_idx j = 0; j < n; j++) {
        const double x = (r->w[j] > 0) == kept ? exp(r->s[j] - max) : 0;

        sum += x;
        if (x > 0) add(mean, x, s->f->v + j * dv, dv);
    }
    for (atn_idx e = 0; e < dv; e++) mean[e] /= sum;
    return max + log(sum);
}

/* What holds of masks; true when renormalising helps. */
static bool check_mask(const asking *s, const row *r, atn_worst *w)
{
    const atn_idx dv = s->f->dv;
    const double dropped = exp(part_mean(s, r, false, r->dropped) - r->lse);
    double l1 = 0, m, apart, mean, error, raw;

    (void)part_mean(s, r, true, r->kept);
    memset(r->raw, 0, (size_t)dv * sizeof *r->raw);
    for (atn_idx j = 0; j < s->f->nk; j++) {
        if (r->w[j] > 0) add(r->raw, r->p[j], s->f->v + j * dv, dv);
        l1 += fabs(r->w[j] - r->p[j]);
    }
    raw = distance(r->raw, r->o, dv);
    m = fmax(1 - dropped, 0);
    apart = distance(r->kept, r->dropped, dv);
    mean = length(r->dropped, dv);
    error = distance(r->out, r->o, dv);
    predict(w, WEIGHTS, (atn_quantities){.x = {m}}, l1, 1);
    predict(w, ERROR, (atn_quantities){.x = {m, apart}}, error, s->largest);
    predict(w, DIAMETER, (atn_quantities){.x = {m, s->diameter}}, error, s->largest);
    predict(w, RAW, (atn_quantities){.x = {m, mean}}, raw, s->largest);
    predict(w, RAW_VALUES, (atn_quantities){.x = {m, s->largest}}, raw, s->largest);
    predict(w, GAIN, (atn_quantities){.x = {m, apart, mean}}, error * error - raw * raw,
            s->largest * s->largest);
    return error < raw;
}

/* A softmax of half the logits, or the mean, of row i. */
static void other_row(const asking *s, atn_idx i, double *w)
{
    const double *z = s->f->s + i * s->f->nk;
    const double by = s->kind == TEMPERATURE ? .5 : 0;
    double max = -INFINITY, sum = 0;

    for (atn_idx j = 0; j < s->f->nk; j++) max = fmax(max, z[j]);
    for (atn_idx j = 0; j < s->f->nk; j++) {
        w[j] = s->f->p[i * s->f->nk + j] > 0 ? exp(by * (z[j] - max)) : 0;
        sum += w[j];
    }
    for (atn_idx j = 0; j < s->f->nk && sum > 0; j++) w[j] /= sum;
}

static atn_status check_rows(atn_ctx *cx, atn_idx task, void *state)
{
    const asking *s = state;
    const atn_head_facts *f = s->f;
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx first = task * ROWS, n = ATN_MIN(ROWS, f->nq - first);
    atn_worst *worst = s->worst + task * BOUNDS;
    atn_status st = ATN_OK;
    double *w = NULL, *mean = NULL;

    ATN_TAKE(w, n * f->nk);
    ATN_TAKE(mean, 4 * f->dv);
    if (kinds[s->kind].id) ATN_TRY(atn_plan_rows(cx, &f->head, &s->plan, first, n, w));
    for (atn_idx r = 0; r < n; r++) {
        const atn_idx i = first + r;
        const row one = {.s = f->s + i * f->nk,
                         .p = f->p + i * f->nk,
                         .w = w + r * f->nk,
                         .o = f->o + i * f->dv,
                         .lse = f->lse[i],
                         .kept = mean,
                         .dropped = mean + f->dv,
                         .out = mean + 2 * f->dv,
                         .raw = mean + 3 * f->dv};
        double sum = 0;

        if (!kinds[s->kind].id) other_row(s, i, w + r * f->nk);
        for (atn_idx j = 0; j < f->nk; j++) sum += one.w[j];
        if (!(sum > 0) || isnan(one.lse)) continue; /* it keeps nothing */
        memset(one.out, 0, (size_t)f->dv * sizeof *one.out);
        for (atn_idx j = 0; j < f->nk; j++)
            add(one.out, one.w[j], f->v + j * f->dv, f->dv);
        check_any(s, &one, worst);
        if (!kinds[s->kind].id) continue;
        s->rows[task]++;
        s->helped[task] += check_mask(s, &one, worst);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status add_checks(atn_ctx *cx, const asking *s, atn_idx tasks,
                             atn_checks *out)
{
    int64_t rows = 0, helped = 0;
    atn_status st = ATN_OK;

    for (atn_idx t = 0; t < tasks; t++) {
        rows += s->rows[t];
        helped += s->helped[t];
        for (int b = 0; t > 0 && b < BOUNDS; b++)
            atn_worst_join(&s->worst[b], &s->worst[t * BOUNDS + b]);
    }
    for (int b = 0; b < BOUNDS; b++) {
        atn_check c = atn_worst_check(&s->worst[b], bounds[b], kinds[s->kind].text);

        if (!kinds[s->kind].id && b < VARIATION) continue;
        if (b == GAIN && rows > 0)
            snprintf(c.note, sizeof c.note, "renormalising helps %.1f %% of the rows",
                     100 * (double)helped / (double)rows);
        ATN_TRY(atn_checks_add(cx, out, &c));
    }
done:
    return st;
}

static atn_status run_kind(atn_ctx *cx, asking *s, uint64_t seed, atn_checks *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_input in = {.head = &s->f->head, .heads = 1, .group = 1, .seed = seed};
    const atn_idx tasks = (s->f->nq + ROWS - 1) / ROWS;
    atn_choice choice;
    atn_status st = ATN_OK;

    s->plan = (atn_plan){0};
    ATN_TAKE(s->worst, (tasks + 1) * BOUNDS);
    ATN_TAKE(s->rows, tasks + 1);
    ATN_TAKE(s->helped, tasks + 1);
    memset(s->worst, 0, (size_t)((tasks + 1) * BOUNDS) * sizeof *s->worst);
    memset(s->rows, 0, (size_t)(tasks + 1) * sizeof *s->rows);
    memset(s->helped, 0, (size_t)(tasks + 1) * sizeof *s->helped);
    if (kinds[s->kind].id) {
        ATN_TRY(atn_choice_read(cx, kinds[s->kind].id, kinds[s->kind].params, &choice));
        ATN_TRY(atn_choice_plan(cx, &choice, &in, 0, &s->plan));
    }
    ATN_TRY(atn_parallel(cx, tasks, check_rows, s, "dropped mass"));
    ATN_TRY(add_checks(cx, s, tasks, out));
done:
    atn_plan_release(cx, &s->plan);
    atn_arena_rewind(cx, mark);
    return st;
}

typedef struct spread {
    const atn_head_facts *f;
    double *far; /* [nk] largest distance to a later one */
} spread;

static atn_status find_far(atn_ctx *cx, atn_idx j, void *state)
{
    const spread *s = state;
    const atn_idx dv = s->f->dv;

    (void)cx;
    s->far[j] = 0;
    for (atn_idx l = j + 1; l < s->f->nk; l++)
        s->far[j] = fmax(s->far[j], distance(s->f->v + j * dv, s->f->v + l * dv, dv));
    return ATN_OK;
}

static atn_status head(atn_ctx *cx, const atn_trial_head *t, atn_checks *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_head_facts *f = t->facts;
    asking s = {.f = f};
    spread far = {.f = f};
    atn_status st = ATN_OK;

    ATN_TAKE(far.far, f->nk + 1);
    ATN_TRY(atn_parallel(cx, f->nk, find_far, &far, "values"));
    for (atn_idx j = 0; j < f->nk; j++) {
        s.diameter = fmax(s.diameter, far.far[j]);
        s.largest = fmax(s.largest, length(f->v + j * f->dv, f->dv));
    }
    for (s.kind = 0; s.kind < (int)ATN_LEN(kinds); s.kind++)
        ATN_TRY(run_kind(cx, &s, t->seed, out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_experiment atn_experiment_dropped_mass = {
    .id = "dropped_mass",
    .label = "V1",
    .title = "What masks lose",
    .text = "errors of top-k, window and block masks, and of other rows that sum to 1, "
            "against the weight that they drop",
    .source = "own derivation",
    .values = true,
    .sides = ATN_BOTH_WAYS,
    .head = head,
    .bounds = "dropped_mass_weights dropped_mass_error dropped_mass_diameter "
              "dropped_mass_raw dropped_mass_raw_values dropped_mass_gain "
              "variation_error pinsker",
};
