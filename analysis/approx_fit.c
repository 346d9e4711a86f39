/* analysis/approx_fit.c -- the parameter that a budget fits. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/approx_fit.h"

#include <math.h>
#include <string.h>

#include "analysis/approx_list.h"

const char *const atn_fit_names[ATN_FITS] = {"", "fixed", "met", "least", "most"};

/* NEIGHBOURS: values of an integer that are tried around one that a rule forbids; BESIDE:
 * on each side of the result. */
enum { HALVINGS = 24, TRIES = 200, NEIGHBOURS = 1024, BESIDE = 4 };
static const double NEAR = .99;
/* Larger than that a number is searched by its logarithm, from 1e-6 on. */
static const double WIDE = 1e6, TINY = 1e-6;

/* ---- plans at one value ---- */

typedef struct trial {
    bool there;
    atn_plan *plan; /* [n], NULL = known without */
    atn_cost *cost;
    double x, spent, seconds;
} trial;

typedef struct search {
    const atn_input *in;
    const atn_fit_opts *o;
    atn_choice choice; /* with values of its own */
    const atn_param *param;
    bool falls;
    bool plans; /* at every value, though the method knows what it spends */
    /* Where executed is within the target and where beyond it, as far as the search has
     * closed in: executed need not grow all the way between. NAN = nowhere yet. */
    double within, beyond;
    trial best, least; /* of all tries: the most within it, the fewest beyond it */
    double tried[TRIES];
    int tries;
} search;

static void drop(atn_ctx *cx, const search *s, trial *t)
{
    for (atn_idx h = 0; t->plan && h < s->o->n; h++) atn_plan_release(cx, &t->plan[h]);
    atn_free(cx, t->plan);
    atn_free(cx, t->cost);
    *t = (trial){0};
}

double atn_fit_spent(double budget, double pairs, const atn_spending *by)
{
    return budget > 0 && by->numbers > 0 ? by->numbers * pairs / budget : by->executed;
}

static double spent_of(const search *s, const atn_spending *by)
{
    return atn_fit_spent(s->o->numbers, s->o->target / (double)s->o->n, by);
}

/* As the plan says. */
static double spent_by(const search *s, const atn_plan *p, const atn_cost *c)
{
    const atn_spending by = {p->numbers, c->executed};

    return spent_of(s, &by);
}

/* What the parameters as they are now spend, without plans; false = not known. */
static bool spend_now(const search *s, trial *t)
{
    atn_spending by;

    *t = (trial){0};
    for (atn_idx h = 0; h < s->o->n; h++) {
        if (s->plans || !atn_choice_spends(&s->choice, s->in, s->o->first + h, &by))
            return false;
        t->spent += spent_of(s, &by);
    }
    t->there = true;
    return true;
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
        t->spent += spent_by(s, &t->plan[h], &t->cost[h]);
    }
    t->there = true;
done:
    if (st != ATN_OK) drop(cx, s, t);
    return st;
}

static double turned(const search *s, double x)
{
    return s->falls ? -x : x;
}

/* Of two that are within the target the one that spends more; of two beyond it the one
 * that spends less. Where they are equal the smaller integer; the larger x of numbers,
 * or the smaller beyond it. */
static bool is_better(const search *s, const trial *t, const trial *than, bool within)
{
    const bool whole = s->param->type == ATN_PARAM_I64_T && !s->falls;
    const double more = t->spent - than->spent, further = t->x - than->x;

    if (!than->there) return true;
    return within ? more > 0 || (more == 0 && (whole ? further < 0 : further > 0))
                  : more < 0 || (more == 0 && further < 0);
}

/* Tries x, and keeps the trial where it is the best on its side. *forbidden: a rule
 * of the method is against this value. */
static atn_status try_at(atn_ctx *cx, search *s, double x, bool *forbidden)
{
    atn_status st = ATN_OK;
    trial t = {0}, *side;
    bool within;

    *forbidden = false;
    ATN_TRY(atn_stopped(cx, "fitting the budget"));
    atn_approx_put(s->param, s->choice.values, turned(s, x));
    if (!spend_now(s, &t)) st = plan_now(cx, s, &t);
    *forbidden = st == ATN_USAGE;
    if (*forbidden) return ATN_OK;
    ATN_TRY(st);
    t.x = x;
    if (s->tries < TRIES) s->tried[s->tries++] = x;
    within = t.spent <= s->o->target;
    *(within ? &s->within : &s->beyond) = x;
    side = within ? &s->best : &s->least;
    if (is_better(s, &t, side, within)) {
        drop(cx, s, side);
        *side = t;
        t = (trial){0};
    }
done:
    drop(cx, s, &t);
    return st;
}

static bool near_enough(const search *s)
{
    return s->best.spent > 0 && s->best.spent >= NEAR * s->o->target;
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

/* Of values that spend as much as the best one, where that is known without plans: the
 * least, by halving. */
static atn_status try_less(atn_ctx *cx, search *s, double lo)
{
    double from = lo - 1;
    atn_status st = ATN_OK;
    bool forbidden;

    while (!s->falls && s->best.there && !s->best.plan && s->tries < TRIES) {
        const double to = s->best.x, x = floor((from + to) / 2);

        if (to - from <= 1) break;
        ATN_TRY(try_at(cx, s, x, &forbidden));
        if (s->best.x == to) from = x;
    }
done:
    return st;
}

/* Until there is a trial on both sides of the target, or no value is left on one. */
static atn_status bracket(atn_ctx *cx, search *s, double lo, double hi)
{
    atn_status st = ATN_OK;
    bool found = true;

    for (double step = 1; found && s->tries < TRIES; step *= 2) {
        if (!isnan(s->within) && !isnan(s->beyond)) break;
        if (!isnan(s->within))
            ATN_TRY(
                try_near(cx, s, fmin(s->within + step, hi), s->within, hi + 1, &found));
        else
            ATN_TRY(
                try_near(cx, s, fmax(s->beyond - step, lo), lo - 1, s->beyond, &found));
    }
done:
    return st;
}

static bool was_tried(const search *s, double x)
{
    for (int i = 0; i < s->tries; i++)
        if (s->tried[i] == x) return true;
    return false;
}

/* Values beside the best one: where executed goes up and down, one of them may do
 * better. */
static atn_status try_beside(atn_ctx *cx, search *s, double lo, double hi)
{
    const double x = s->best.x;
    atn_status st = ATN_OK;
    bool forbidden;

    for (int i = 2; s->best.there && i <= 2 * BESIDE + 1 && !near_enough(s); i++) {
        const double y = x + (i % 2 ? 1 : -1) * (double)(i / 2);

        if (y >= lo && y <= hi && s->tries < TRIES && !was_tried(s, y))
            ATN_TRY(try_at(cx, s, y, &forbidden));
    }
done:
    return st;
}

/* The least value that spends what the largest does; NAN = that is not known. c: with
 * values of its own. */
static double known_most(const atn_param *p, const atn_input *in, atn_idx head,
                         const atn_choice *c)
{
    double from = p->min - 1, to = p->max;
    atn_spending end, by;

    atn_approx_put(p, c->values, to);
    if (!atn_choice_spends(c, in, head, &end)) return NAN;
    while (to - from > 1) {
        const double x = floor((from + to) / 2);

        atn_approx_put(p, c->values, x);
        if (!atn_choice_spends(c, in, head, &by)) return NAN;
        if (by.numbers == end.numbers && by.executed == end.executed)
            to = x;
        else
            from = x;
    }
    return to;
}

atn_status atn_fit_ceiling(atn_ctx *cx, const atn_choice *c, const atn_input *in,
                           atn_idx head, bool plans, double *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_head *h = &in->head[head];
    const double keys = (double)ATN_MAX(h->nk, h->nq);
    atn_choice own = *c;
    atn_status st = ATN_OK;
    const atn_param *p;
    char *values = NULL;
    bool falls;

    p = atn_choice_budget(c, &falls);
    *out = NAN;
    if (c->method && c->method->most) {
        *out = c->method->most(c->values, h);
    } else if (!falls && !plans) {
        ATN_TAKE(values, ATN_MAX(c->params_size, 1));
        if (c->params_size > 0) memcpy(values, c->values, c->params_size);
        own.values = values;
        *out = known_most(p, in, head, &own);
    }
    *out = fmax(fmin(isnan(*out) ? keys : *out, p->max), p->min);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status search_integers(atn_ctx *cx, search *s, double start)
{
    const atn_param *p = s->param;
    /* blocks of nothing are no pattern, though they are allowed */
    const double least = s->choice.generator ? fmax(p->min, 1) : p->min;
    atn_status st = ATN_OK;
    double most, lo, hi;
    bool found = true;

    ATN_TRY(atn_fit_ceiling(cx, &s->choice, s->in, s->o->first, s->plans, &most));
    most = fmin(p->max, fmax(most, start));
    lo = s->falls ? -most : least;
    hi = s->falls ? -least : most;
    ATN_TRY(
        try_near(cx, s, fmin(fmax(turned(s, start), lo), hi), lo - 1, hi + 1, &found));
    if (!found) {
        st = ATN_USAGE; /* the rule is in the error record */
        goto done;
    }
    ATN_TRY(bracket(cx, s, lo, hi));
    while (found && s->tries < TRIES && s->beyond - s->within > 1)
        ATN_TRY(try_near(cx, s, floor((s->within + s->beyond) / 2), s->within,
                         s->beyond, &found));
    ATN_TRY(try_beside(cx, s, lo, hi));
    ATN_TRY(try_less(cx, s, lo));
    atn_err_clear(cx);
done:
    return st;
}

/* ---- numbers ---- */

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
        if (forbidden || s->beyond == x)
            to = x;
        else
            from = x;
        x = middle(from, to, wide);
    }
    if (isnan(s->within)) ATN_TRY(try_at(cx, s, lo, &forbidden));
    if (isnan(s->beyond) && !near_enough(s)) ATN_TRY(try_at(cx, s, hi, &forbidden));
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
    /* what executes nothing keeps nothing, and is no fit */
    if (s->least.there && !(s->best.spent > 0)) {
        out->fit = ATN_FIT_LEAST;
        take(s, &s->least, out);
    } else {
        out->fit = s->least.there || near_enough(s) ? ATN_FIT_MET : ATN_FIT_MOST;
        take(s, &s->best, out);
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
    double spent = 0;
    atn_status st = ATN_OK;

    out->value = s->o->given->value;
    out->fit = s->o->given->fit;
    ATN_TRY(plan_for_keeps(cx, s, out));
    for (atn_idx h = 0; h < out->n; h++)
        spent += spent_by(s, &out->plan[h], &out->cost[h]);
    if (spent > s->o->target)
        out->fit = ATN_FIT_LEAST;
    else if (out->fit == ATN_FIT_LEAST || spent == 0)
        out->fit = spent > 0 ? ATN_FIT_MET : ATN_FIT_MOST;
done:
    return st;
}

/* The search, and the plans. A rule that only planning knows may be against the value
 * that was found without: then with plans all the way. */
static atn_status fit_and_plan(atn_ctx *cx, search *s, atn_fitted *out)
{
    const search fresh = *s;
    atn_status st = ATN_OK;

    ATN_TRY(fit(cx, s, out));
    if (out->plan && !s->o->draws) return ATN_OK;
    s->plans = out->plan != NULL;
    st = plan_for_keeps(cx, s, out);
    if (st != ATN_USAGE || s->plans) return st;
    atn_err_clear(cx);
    drop(cx, s, &s->best);
    drop(cx, s, &s->least);
    *s = fresh;
    s->plans = true;
    ATN_TRY(fit(cx, s, out));
    if (s->o->draws) ATN_TRY(plan_for_keeps(cx, s, out));
done:
    return st;
}

atn_status atn_approx_fit(atn_ctx *cx, const atn_input *in, const atn_fit_opts *o,
                          atn_fitted *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    search s = {.in = in, .o = o, .choice = *o->choice, .within = NAN, .beyond = NAN};
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
        ATN_TRY(fit_and_plan(cx, &s, out));
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
    drop(cx, &s, &s.best);
    drop(cx, &s, &s.least);
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
