/* analysis/approx_fit.c -- the parameter that a budget fits. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/approx_fit.h"

#include <math.h>
#include <string.h>

#include "analysis/approx_list.h"

const char *const atn_fit_names[ATN_FITS] = {"", "fixed", "met", "least", "most"};

/* NEIGHBOURS: values of an integer that are tried around one that a rule forbids. */
enum { HALVINGS = 24, TRIES = 200, NEIGHBOURS = 1024 };
static const double NEAR = .99;
/* Larger than that a number is searched by its logarithm, from 1e-6 on. */
static const double WIDE = 1e6, TINY = 1e-6;

/* ---- plans at one value ---- */

typedef struct trial {
    atn_plan *plan; /* [n], NULL = none */
    atn_cost *cost;
    double x, executed, seconds;
} trial;

typedef struct search {
    const atn_input *in;
    const atn_fit_opts *o;
    atn_choice choice; /* with values of its own */
    const atn_param *param;
    bool falls;
    trial within, beyond; /* the nearest so far */
    int tries;
} search;

static void drop(atn_ctx *cx, const search *s, trial *t)
{
    for (atn_idx h = 0; t->plan && h < s->o->n; h++) atn_plan_release(cx, &t->plan[h]);
    atn_free(cx, t->plan);
    atn_free(cx, t->cost);
    *t = (trial){0};
}

/* The plans of the unit as the parameters are now. */
static atn_status plan_now(atn_ctx *cx, const search *s, trial *t)
{
    const double start = atn_seconds();
    atn_status st = ATN_OK;

    *t = (trial){0};
    if (s->in->draws && s->in->draws != s->o->draws) atn_draws_forget(cx, s->in->draws);
    ATN_NEW(t->plan, s->o->n);
    ATN_NEW(t->cost, s->o->n);
    ATN_TRY(atn_choice_plan(cx, &s->choice, s->in, s->o->first, t->plan));
    t->seconds = atn_seconds() - start;
    for (atn_idx h = 0; h < s->o->n; h++) {
        ATN_TRY(
            atn_plan_cost(cx, &s->in->head[s->o->first + h], &t->plan[h], &t->cost[h]));
        t->executed += t->cost[h].executed;
    }
done:
    if (st != ATN_OK) drop(cx, s, t);
    return st;
}

static double turned(const search *s, double x)
{
    return s->falls ? -x : x;
}

/* Plans at x and keeps the trial where it is the nearest to the target on its side.
 * *forbidden: a rule of the method is against this value. */
static atn_status try_at(atn_ctx *cx, search *s, double x, bool *forbidden)
{
    atn_status st = ATN_OK;
    trial t, *side;

    *forbidden = false;
    ATN_TRY(atn_stopped(cx, "fitting the budget"));
    atn_approx_put(s->param, s->choice.values, turned(s, x));
    st = plan_now(cx, s, &t);
    if (st == ATN_USAGE) {
        *forbidden = true;
        return ATN_OK;
    }
    ATN_TRY(st);
    t.x = x;
    s->tries++;
    side = t.executed <= s->o->target ? &s->within : &s->beyond;
    drop(cx, s, side);
    *side = t;
done:
    return st;
}

/* ---- integers ---- */

/* Tries the allowed value nearest to x in (above, below), lower ones first; *found says
 * whether there is one. */
static atn_status try_near(atn_ctx *cx, search *s, double x, double above, double below,
                           bool *found)
{
    atn_status st = ATN_OK;
    bool forbidden;

    for (int i = 0; i <= 2 * NEIGHBOURS; i++) {
        const double y = x + (i % 2 ? -1 : 1) * (double)((i + 1) / 2);

        if (y <= above || y >= below) continue;
        ATN_TRY(try_at(cx, s, y, &forbidden));
        *found = !forbidden;
        if (*found) goto done;
    }
    *found = false;
done:
    return st;
}

/* Until there is a trial on both sides of the target, or no value is left on one. */
static atn_status bracket(atn_ctx *cx, search *s, double lo, double hi)
{
    atn_status st = ATN_OK;
    bool found = true;

    for (double step = 1; found && s->tries < TRIES; step *= 2) {
        if (s->within.plan && s->beyond.plan) break;
        if (s->within.plan)
            ATN_TRY(try_near(cx, s, fmin(s->within.x + step, hi), s->within.x, hi + 1,
                             &found));
        else
            ATN_TRY(try_near(cx, s, fmax(s->beyond.x - step, lo), lo - 1, s->beyond.x,
                             &found));
    }
done:
    return st;
}

static atn_status search_integers(atn_ctx *cx, search *s, double start)
{
    const atn_param *p = s->param;
    const atn_head *h = &s->in->head[s->o->first];
    /* blocks of nothing are no pattern, though they are allowed */
    const double least = s->choice.generator ? fmax(p->min, 1) : p->min;
    const double most = fmin(p->max, fmax(fmax((double)h->nk, (double)h->nq), start));
    const double lo = s->falls ? -most : least, hi = s->falls ? -least : most;
    atn_status st = ATN_OK;
    bool found = true;

    ATN_TRY(
        try_near(cx, s, fmin(fmax(turned(s, start), lo), hi), lo - 1, hi + 1, &found));
    if (!found) {
        st = ATN_USAGE; /* the rule is in the error record */
        goto done;
    }
    ATN_TRY(bracket(cx, s, lo, hi));
    while (found && s->within.plan && s->beyond.plan && s->tries < TRIES &&
           s->beyond.x - s->within.x > 1)
        ATN_TRY(try_near(cx, s, floor((s->within.x + s->beyond.x) / 2), s->within.x,
                         s->beyond.x, &found));
    atn_err_clear(cx);
done:
    return st;
}

/* ---- numbers ---- */

static bool near_enough(const search *s)
{
    return s->within.plan && s->within.executed >= NEAR * s->o->target;
}

/* Between two values, where the range is wide between their logarithms. */
static double middle(double a, double b, bool wide)
{
    if (!wide) return (a + b) / 2;
    return copysign(sqrt(fmax(fabs(a), TINY) * fmax(fabs(b), TINY)), a == 0 ? b : a);
}

static atn_status search_numbers(atn_ctx *cx, search *s, double start)
{
    const atn_param *p = s->param;
    const double lo = s->falls ? -p->max : p->min, hi = s->falls ? -p->min : p->max;
    const bool wide = p->min >= 0 && p->max > WIDE;
    double from = lo, to = hi, x = turned(s, start);
    atn_status st = ATN_OK;
    bool forbidden = false;

    for (int i = 0; i <= HALVINGS && !near_enough(s); i++) {
        ATN_TRY(try_at(cx, s, x, &forbidden));
        if (forbidden && i == 0) {
            st = ATN_USAGE;
            goto done;
        }
        /* what a rule forbids is taken as too much */
        if (forbidden || (s->beyond.plan && s->beyond.x == x))
            to = x;
        else
            from = x;
        x = middle(from, to, wide);
    }
    if (!s->within.plan) ATN_TRY(try_at(cx, s, lo, &forbidden));
    if (!s->beyond.plan && !near_enough(s)) ATN_TRY(try_at(cx, s, hi, &forbidden));
    atn_err_clear(cx);
done:
    return st;
}

/* ---- */

static void take(search *s, trial *t, atn_fitted *out)
{
    out->plan = t->plan;
    out->cost = t->cost;
    out->seconds = t->seconds;
    out->value = s->param ? turned(s, t->x) : NAN;
    *t = (trial){0};
}

static atn_status fit(atn_ctx *cx, search *s, atn_fitted *out)
{
    const double now = atn_approx_number(s->param, s->choice.values);
    const double start = isnan(s->o->start) ? now : s->o->start;
    const bool whole = s->param->type == ATN_PARAM_I64_T;
    atn_status st = ATN_OK;

    ATN_TRY(whole ? search_integers(cx, s, start) : search_numbers(cx, s, start));
    if (!s->within.plan) {
        out->fit = ATN_FIT_LEAST;
        take(s, &s->beyond, out);
    } else {
        out->fit = s->beyond.plan || near_enough(s) ? ATN_FIT_MET : ATN_FIT_MOST;
        take(s, &s->within, out);
    }
done:
    return st;
}

/* Once more at the value found, so that what it draws is kept. */
static atn_status plan_for_keeps(atn_ctx *cx, search *s, atn_fitted *out)
{
    const atn_fit how = out->fit;
    const double value = out->value;
    atn_input in = *s->in;
    atn_status st = ATN_OK;
    trial t = {0};

    atn_fitted_release(cx, out);
    *out = (atn_fitted){.n = s->o->n, .fit = how};
    in.draws = s->o->draws;
    s->in = &in;
    if (s->param) atn_approx_put(s->param, s->choice.values, value);
    st = plan_now(cx, s, &t);
    s->in = NULL;
    ATN_TRY(st);
    t.x = turned(s, value);
    take(s, &t, out);
done:
    return st;
}

/* At a value of an earlier run. What it said of it must be true here. */
static atn_status take_given(atn_ctx *cx, search *s, atn_fitted *out)
{
    double executed = 0;
    atn_status st = ATN_OK;

    out->value = s->o->given->value;
    out->fit = s->o->given->fit;
    ATN_TRY(plan_for_keeps(cx, s, out));
    for (atn_idx h = 0; h < out->n; h++) executed += out->cost[h].executed;
    if (executed > s->o->target)
        out->fit = ATN_FIT_LEAST;
    else if (out->fit == ATN_FIT_LEAST)
        out->fit = ATN_FIT_MET;
done:
    return st;
}

atn_status atn_approx_fit(atn_ctx *cx, const atn_input *in, const atn_fit_opts *o,
                          atn_fitted *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    search s = {.in = in, .o = o, .choice = *o->choice};
    atn_status st = ATN_OK;
    char *values = NULL;
    trial t = {0};

    *out = (atn_fitted){.n = o->n, .value = NAN};
    ATN_TAKE(values, ATN_MAX(s.choice.params_size, 1));
    if (s.choice.params_size > 0)
        memcpy(values, o->choice->values, s.choice.params_size);
    s.choice.values = values;
    s.param = isnan(o->target) ? NULL : atn_choice_budget(o->choice, &s.falls);
    if (s.param && o->given) {
        ATN_TRY(take_given(cx, &s, out));
    } else if (s.param) {
        ATN_TRY(fit(cx, &s, out));
        if (o->draws) ATN_TRY(plan_for_keeps(cx, &s, out));
    } else {
        if (o->draws) {
            ATN_TRY(plan_for_keeps(cx, &s, out));
        } else {
            ATN_TRY(plan_now(cx, &s, &t));
            take(&s, &t, out);
        }
        out->fit = isnan(o->target) ? ATN_FIT_NONE : ATN_FIT_FIXED;
    }
done:
    drop(cx, &s, &s.within);
    drop(cx, &s, &s.beyond);
    atn_arena_rewind(cx, mark);
    return st;
}

void atn_fitted_release(atn_ctx *cx, atn_fitted *f)
{
    for (atn_idx h = 0; f->plan && h < f->n; h++) atn_plan_release(cx, &f->plan[h]);
    atn_free(cx, f->plan);
    atn_free(cx, f->cost);
    *f = (atn_fitted){0};
}
