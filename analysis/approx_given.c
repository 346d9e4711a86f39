/* analysis/approx_given.c -- what budgets fitted, kept beside the draws of a run. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/approx_given.h"

#include <math.h>
#include <stdio.h>

enum { VALUE, PAIRS, HOW, COLUMNS, NAME = 96 };

static const atn_fit hows[] = {ATN_FIT_MET, ATN_FIT_LEAST, ATN_FIT_MOST};

static atn_draw tensor_of(const atn_given *g, char what[NAME])
{
    snprintf(what, NAME, "fitted-%s", atn_choice_id(g->choice));
    return (atn_draw){
        .what = what, .layer = g->layer, .head = -1, .rows = g->heads, .cols = COLUMNS};
}

static bool is_value(const atn_param *p, double x)
{
    return x >= p->min && x <= p->max && (p->type == ATN_PARAM_F64_T || x == floor(x));
}

/* Every value is one that the parameter may have. */
static atn_status check(atn_ctx *cx, const atn_given *g, const char *what)
{
    bool falls;
    const atn_param *p = atn_choice_budget(g->choice, &falls);
    atn_status st = ATN_OK;

    for (atn_idx h = 0; h < g->heads; h++) {
        const double *x = g->earlier + h * COLUMNS;

        if (isnan(x[VALUE])) continue;
        if (!is_value(p, x[VALUE]) || !(x[HOW] == 0 || x[HOW] == 1 || x[HOW] == 2))
            ATN_FAIL(ATN_DATA,
                     "--draws: \"%s\" of layer %lld has %g for head %lld, kind %g, and "
                     "%s is %s in %g..%g, kind 0, 1 or 2 (give draws as --dump wrote "
                     "them)",
                     what, (long long)g->layer, x[VALUE], (long long)h, x[HOW], p->name,
                     p->type == ATN_PARAM_F64_T ? "a number" : "an integer", p->min,
                     p->max);
    }
done:
    return st;
}

atn_status atn_given_read(atn_ctx *cx, const atn_draws *d, atn_given *g)
{
    const atn_idx n = g->heads * COLUMNS;
    char what[NAME];
    const atn_draw w = tensor_of(g, what);
    atn_status st = ATN_OK;
    bool found, falls;

    ATN_TAKE(g->earlier, n);
    ATN_TAKE(g->now, n);
    for (atn_idx i = 0; i < n; i++) g->earlier[i] = g->now[i] = NAN;
    if (!atn_choice_budget(g->choice, &falls)) goto done;
    ATN_TRY(atn_draws_read(cx, d, &w, g->earlier, &found));
    ATN_TRY(check(cx, g, what));
done:
    return st;
}

bool atn_given_of(const atn_given *g, atn_idx h, double pairs, atn_fit_given *out)
{
    const double *x = g->earlier + h * COLUMNS;

    if (isnan(x[VALUE]) || x[PAIRS] != pairs) return false;
    *out = (atn_fit_given){x[VALUE], hows[(int)x[HOW]]};
    return true;
}

void atn_given_note(atn_given *g, const atn_fitted *f, atn_idx first, double pairs)
{
    for (atn_idx h = first; h < first + f->n && !isnan(f->value); h++) {
        double *x = g->now + h * COLUMNS;

        x[VALUE] = f->value;
        x[PAIRS] = pairs;
        for (int k = 0; k < (int)ATN_LEN(hows); k++)
            if (hows[k] == f->fit) x[HOW] = k;
    }
}

atn_status atn_given_keep(atn_ctx *cx, atn_draws *d, const atn_given *g)
{
    char what[NAME];
    const atn_draw w = tensor_of(g, what);
    bool any = false;

    for (atn_idx h = 0; h < g->heads; h++) any |= !isnan(g->now[h * COLUMNS]);
    return any ? atn_draws_keep(cx, d, &w, g->now) : ATN_OK;
}
