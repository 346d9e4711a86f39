/* analysis/approx_notes.c -- what a reader of the tables should know of a run: methods
 * that keep everything here, and those that a budget does not reach. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/approx_internal.h"

static const double ROUNDING = 1e-5;

/* And not because the budget asks for that much. */
static bool keeps_all(const atn_approx_cell *x)
{
    const double error = x->value[ATN_APPROX_ERROR];
    const double mass = x->value[ATN_APPROX_MASS];

    /* what gives weight to everything by design has no mass */
    return x->fit != ATN_FIT_MET && x->value[ATN_APPROX_MEAN] >= 1 &&
           mass > 1 - ROUNDING && !(error > ROUNDING);
}

/* Are all heads of case c such at every temperature, and is there one? c: at the first
 * temperature. */
static bool all_heads(const atn_approx *a, int c, bool (*is)(const atn_approx_cell *))
{
    bool any = false;

    for (atn_idx k = 0; k < a->n * a->sweep.temperatures; k++) {
        const atn_approx_cell *x =
            atn_approx_at(a, k % a->n, c + (int)(k / a->n) * a->each);

        if (!x->done) continue;
        if (!is(x)) return false;
        any = true;
    }
    return any;
}

/* At all of its budgets; a pattern that has nothing to fit, such as full, means to. */
static bool is_dense(const atn_approx *a, int m)
{
    const atn_choice *c = &a->list.method[m].choice;
    bool falls;

    if (!c->method && !atn_choice_budget(c, &falls)) return false;
    for (int b = 0; b < a->list.budgets; b++)
        if (!all_heads(a, m * a->list.budgets + b, keeps_all)) return false;
    return true;
}

typedef bool is_one(const atn_approx_cell *);

static bool is_beyond(const atn_approx_cell *x)
{
    return x->fit == ATN_FIT_LEAST && !x->stores;
}

static bool stores_beyond(const atn_approx_cell *x)
{
    return x->fit == ATN_FIT_LEAST && x->stores;
}

/* What case c takes at its least: of a share of the pairs a share, in percent, else
 * numbers a row; of the head that takes most. */
static double least_of(const atn_approx *a, int c)
{
    const bool share = !isnan(a->cases[c].budget->share);
    double most = 0;

    for (atn_idx h = 0; h < a->n; h++) {
        const atn_approx_cell *x = atn_approx_at(a, h, c);

        if (x->done)
            most = fmax(most, share ? 100 * x->value[ATN_APPROX_EXECUTED]
                                    : x->value[ATN_APPROX_NUMBERS]);
    }
    return most;
}

/* The methods that miss budget b, "moba, quest", with their least "svd (2), rff (4)";
 * how many. */
static int beyond(const atn_approx *a, int b, is_one *is, char *out, size_t size)
{
    size_t used = 0;
    int n = 0;

    out[0] = '\0';
    for (int m = 0; m < a->list.n; m++) {
        const int c = m * a->list.budgets + b;
        char least[32] = "";

        if (is_dense(a, m) || !all_heads(a, c, is)) continue;
        if (is == stores_beyond)
            snprintf(least, sizeof least, " (%.4g%s)", least_of(a, c),
                     isnan(a->list.budget[b].share) ? "" : "%");
        if (used < size)
            used += (size_t)snprintf(out + used, size - used, "%s%s%s", n ? ", " : "",
                                     atn_choice_id(&a->list.method[m].choice), least);
        n++;
    }
    return n;
}

static void say_beyond(atn_ctx *cx, const atn_approx *a, int b)
{
    const atn_approx_budget *budget = &a->list.budget[b];
    char names[512];
    const int n = beyond(a, b, is_beyond, names, sizeof names);

    if (n > 0)
        atn_log(cx, ATN_LOG_INFO,
                "--budget %s is below the least that %s execute%s here (give smaller "
                "blocks, windows and first keys, as moba:block=16; "
                "docs/guide/approximations.md, Budgets)",
                budget->text, names, n == 1 ? "s" : "");
    if (beyond(a, b, stores_beyond, names, sizeof names) > 0)
        atn_log(cx, ATN_LOG_INFO,
                "--budget %s is below the least %s (in brackets) of %s (give a larger "
                "budget; docs/guide/approximations.md, Budgets)",
                budget->text,
                isnan(budget->share) ? "numbers a row" : "share of the pairs", names);
}

void atn_approx_notes(atn_ctx *cx, const atn_approx *a)
{
    for (int m = 0; m < a->list.n; m++) {
        const atn_choice *c = &a->list.method[m].choice;

        if (!is_dense(a, m)) continue;
        atn_log(cx, ATN_LOG_INFO, "%s keeps everything here: %s", atn_choice_id(c),
                c->method && c->method->dense
                    ? c->method->dense
                    : "what its parameters hold is the whole text (give smaller "
                      "blocks, windows or k)");
    }
    for (int b = 0; b < a->list.budgets; b++) say_beyond(cx, a, b);
}
