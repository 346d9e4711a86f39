/* analysis/span_rules.c -- the grid of elastic spans and the choice among them. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/span_rules.h"

#include <math.h>
#include <stdlib.h>

enum { B = ATN_SPAN_BLOCK, BETAS = 9, ALPHA_STEP = 1024 };
static const double EPS = 1e-12;

/* ---- the grid ---- */

static double span_at(const atn_span_rule *r, double n)
{
    return r->alpha + r->beta * n;
}

static bool fits(const atn_span_rule *r, const atn_span_grid *g)
{
    return span_at(r, g->profile) <= g->profile &&
           span_at(r, g->longest) <= g->longest && span_at(r, g->shortest) > 0;
}

/* A rule and its span at the longest length. */
typedef struct placed {
    atn_span_rule rule;
    double span;
} placed;

static int by_span(const void *a, const void *b)
{
    const placed *x = a, *y = b;

    if (x->span != y->span) return x->span < y->span ? -1 : 1;
    if (x->rule.alpha != y->rule.alpha) return x->rule.alpha < y->rule.alpha ? -1 : 1;
    return x->rule.beta < y->rule.beta ? -1 : x->rule.beta > y->rule.beta;
}

atn_status atn_span_rules(atn_ctx *cx, const atn_span_grid *g, atn_span_rule **out,
                          atn_idx *n)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx steps = (atn_idx)((g->profile + g->shortest) / ALPHA_STEP) + 1;
    atn_status st = ATN_OK;
    placed *list = NULL;
    atn_idx used = 0;

    *out = NULL;
    *n = 0;
    ATN_TAKE(list, steps * BETAS);
    for (atn_idx a = 0; a < steps; a++)
        for (int b = 0; b < BETAS; b++) {
            const double part = steps > 1 ? (double)a / (double)(steps - 1) : 0;
            const atn_span_rule r = {-g->shortest + part * (g->profile + g->shortest),
                                     b / (double)(BETAS - 1)};

            if (fits(&r, g)) list[used++] = (placed){r, span_at(&r, g->longest)};
        }
    qsort(list, (size_t)used, sizeof *list, by_span);
    ATN_NEW(*out, used);
    for (atn_idx i = 0; i < used; i++) (*out)[i] = list[i].rule;
    *n = used;
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_idx atn_span_blocks(const atn_span_rule *r, atn_idx n)
{
    const double whole = floor(floor(r->alpha / B) + r->beta * (double)(n / B));

    return whole > 1 ? (atn_idx)whole : 1;
}

/* ---- what is kept ---- */

/* Key blocks [lo, hi) of the band in row a. */
static void band(atn_idx a, atn_idx b, atn_idx keys, bool causal, atn_idx *lo,
                 atn_idx *hi)
{
    *lo = ATN_MIN(ATN_MAX(a - b + 1, 0), keys);
    *hi = ATN_MAX(ATN_MIN(causal ? a + 1 : a + b, keys), *lo);
}

atn_idx atn_span_kept(atn_idx b, atn_idx blocks, bool causal)
{
    atn_idx most = 0;

    for (atn_idx a = 0; a < blocks; a++) {
        atn_idx lo, hi;

        band(a, b, blocks, causal, &lo, &hi);
        most = ATN_MAX(most, hi - lo + (lo > 0));
    }
    return most;
}

double atn_span_profile(const double *influence, atn_idx rows, atn_idx keys,
                        bool causal, double *kept)
{
    const atn_idx blocks = ATN_MAX(rows, keys);
    double all = 0, so_far = 0;

    /* kept[b - 1] first collects what b blocks have and b - 1 have not */
    for (atn_idx b = 0; b < blocks; b++) kept[b] = 0;
    for (atn_idx a = 0; a < rows; a++)
        for (atn_idx k = 0; k < keys; k++) {
            const atn_idx away = k <= a || causal ? ATN_MAX(a - k, 0) : k - a;

            kept[k == 0 ? 0 : away] += influence[a * keys + k];
            all += influence[a * keys + k];
        }
    if (!(all > 0)) return 0;
    for (atn_idx b = 0; b < blocks; b++) {
        so_far += kept[b];
        kept[b] = ATN_MIN(so_far / all, 1.0);
    }
    return all;
}

/* ---- one rule for every head ---- */

/* What a head gains by the larger of two rules. */
typedef struct gain {
    double value;
    atn_idx unit;
} gain;

static int by_gain(const void *a, const void *b)
{
    const gain *x = a, *y = b;

    if (x->value != y->value) return x->value > y->value ? -1 : 1;
    return x->unit < y->unit ? -1 : x->unit > y->unit;
}

/* Units that the budget lets have the larger rule, when the others have the smaller. */
static atn_idx affordable(const atn_span_task *t, atn_idx low, atn_idx high)
{
    const double spare = t->budget - (double)(t->units * t->cost[low]);
    const atn_idx more = t->cost[high] - t->cost[low];

    if (spare < -EPS) return -1;
    if (more == 0) return t->units;
    return (atn_idx)ATN_MIN(floor(spare / (double)more + EPS), (double)t->units);
}

/* The best use of two rules: those that gain most get the larger one. */
static double two_rules(const atn_span_task *t, atn_idx low, atn_idx high, atn_idx most,
                        gain *list, atn_idx *cost)
{
    double loss = 0;

    for (atn_idx u = 0; u < t->units; u++) {
        const double *of = t->loss + u * t->choices;
        list[u] = (gain){of[low] - of[high], u};
        loss += of[low];
    }
    qsort(list, (size_t)t->units, sizeof *list, by_gain);
    *cost = t->units * t->cost[low];
    for (atn_idx i = 0; i < t->units; i++) {
        if (i >= most || !(list[i].value > 0)) {
            list[i].value = 0; /* stays with the smaller */
            continue;
        }
        loss -= list[i].value;
        *cost += t->cost[high] - t->cost[low];
    }
    return loss;
}

atn_status atn_span_plan(atn_ctx *cx, const atn_span_task *t, atn_idx *pick,
                         bool *found)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double best = INFINITY, scale = 0;
    atn_idx best_cost = 0;
    gain *list = NULL;

    *found = false;
    ATN_TAKE(list, t->units);
    for (atn_idx i = 0; i < t->units * t->choices; i++) scale += fabs(t->loss[i]);
    for (atn_idx low = 0; low < t->choices; low++)
        for (atn_idx high = low; high < (t->limit > 1 ? t->choices : low + 1); high++) {
            const atn_idx most = affordable(t, low, high);
            atn_idx cost = 0;
            double loss;

            if (most < 0) continue;
            loss = two_rules(t, low, high, most, list, &cost);
            if (*found && (loss > best + EPS * scale ||
                           (loss > best - EPS * scale && cost >= best_cost)))
                continue;
            *found = true;
            best = loss;
            best_cost = cost;
            for (atn_idx i = 0; i < t->units; i++)
                pick[list[i].unit] = list[i].value > 0 ? high : low;
        }
done:
    atn_arena_rewind(cx, mark);
    return st;
}
