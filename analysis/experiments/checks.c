/* analysis/experiments/checks.c -- lists of checks, their verdicts, and the table of
 * experiments. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/experiments/checks.h"
#include "core/normal.h"

#define ATN_EXPERIMENT(id) extern const atn_experiment atn_experiment_##id;
#include "analysis/experiments/experiments.def"
#undef ATN_EXPERIMENT

const atn_experiment *const atn_experiments[] = {
#define ATN_EXPERIMENT(id) &atn_experiment_##id,
#include "analysis/experiments/experiments.def"
#undef ATN_EXPERIMENT
    NULL,
};

const char *const atn_verdict_names[ATN_VERDICTS] = {"holds", "violated",
                                                     "not_applicable", "reported"};

static const double LEVEL = .001, ROUNDING = 1e-9;
static const int64_t TRIALS_LEAST = 50;

atn_status atn_checks_add(atn_ctx *cx, atn_checks *c, const atn_check *check)
{
    atn_status st = ATN_OK;

    ATN_ASSERT(check->bound);
    if (c->n == c->room) {
        const atn_idx room = 2 * c->room + 16;
        atn_check *more = atn_realloc(cx, c->check, room, sizeof *more);

        if (!more) ATN_TRY(cx->err.code);
        c->check = more;
        c->room = room;
    }
    c->check[c->n++] = *check;
done:
    return st;
}

void atn_checks_release(atn_ctx *cx, atn_checks *c)
{
    atn_free(cx, c->check);
    *c = (atn_checks){0};
}

/* Judged by a statistic. */
static bool is_random(const atn_check *c)
{
    return c->trials > 0 && c->bound->in_mean;
}

static bool has_few_draws(const atn_check *c)
{
    return is_random(c) && c->trials < TRIALS_LEAST;
}

static bool is_judged(const atn_check *c)
{
    return !c->not_here && !c->only_report && c->bound->verified &&
           !isnan(c->predicted) && (!c->bound->in_mean || is_random(c)) &&
           !has_few_draws(c);
}

/* Both sides are rounding of what they were computed from. */
static bool is_nothing(const atn_check *c)
{
    return fmax(fabs(c->predicted), fabs(c->measured)) <= ROUNDING * c->scale;
}

static double slack_of(const atn_check *c)
{
    const double ratio = c->measured / c->predicted;

    if (is_random(c)) return c->critical - fabs(c->statistic);
    switch (c->bound->relation) {
    case ATN_AT_MOST:
        return c->predicted == c->measured ? 0 : c->predicted - c->measured;
    case ATN_AT_LEAST:
        return c->predicted == c->measured ? 0 : c->measured - c->predicted;
    case ATN_EQUAL:
    case ATN_IN_MEAN:
        return c->predicted == c->measured ? 0 : -fabs(c->measured - c->predicted);
    case ATN_ABOUT:
        return is_nothing(c) ? 0 : fmin(ratio - c->lo, c->hi - ratio);
    case ATN_RELATIONS:
        break;
    }
    return NAN;
}

/* What rounding may take from the slack. */
static double rounding_of(const atn_check *c)
{
    if (is_random(c) || c->bound->relation == ATN_ABOUT) return 0;
    return ROUNDING * fmax(c->scale, fmax(fabs(c->predicted), fabs(c->measured)));
}

static atn_verdict verdict_of(const atn_check *c)
{
    if (c->not_here) return ATN_NOT_APPLICABLE;
    if (isnan(c->predicted) && !c->only_report && c->bound->verified)
        return ATN_NOT_APPLICABLE;
    if (!is_judged(c)) return ATN_REPORTED;
    /* an infinite bound holds; what cannot be measured does not */
    return (is_random(c) || c->failures == 0) && c->slack >= -rounding_of(c)
               ? ATN_HOLDS
               : ATN_VIOLATED;
}

/* What keeps a check from a verdict, where its experiment has not said so. */
static void explain(atn_check *c)
{
    const size_t used = strlen(c->note);

    if (c->verdict == ATN_NOT_APPLICABLE) {
        const char *why = c->bound->assumption;

        c->predicted = NAN;
        if (used == 0)
            snprintf(c->note, sizeof c->note, "%s%s", why ? "assumes: " : "",
                     why ? why : "no row, pair or block meets the assumption");
    } else if (has_few_draws(c) && !c->only_report && c->bound->verified) {
        snprintf(c->note + used, sizeof c->note - used,
                 "%sfewer than %d draws: no test", used > 0 ? "; " : "",
                 (int)TRIALS_LEAST);
    }
}

void atn_checks_judge(atn_checks *c)
{
    int64_t hypotheses = 0; /* that share the level */

    for (atn_idx k = 0; k < c->n; k++)
        hypotheses += is_random(&c->check[k]) && is_judged(&c->check[k]);
    for (atn_idx i = 0; i < c->n; i++) {
        atn_check *one = &c->check[i];

        one->hypotheses = is_random(one) && is_judged(one) ? hypotheses : 0;
        one->critical =
            is_random(one) ? atn_normal_critical(LEVEL, (double)one->hypotheses) : NAN;
        one->slack = one->not_here ? NAN : slack_of(one);
        one->verdict = verdict_of(one);
        explain(one);
    }
}
