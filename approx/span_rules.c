/* approx/span_rules.c -- the grid of elastic spans and the choice among them. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/span_rules.h"

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

double atn_span_rules_bytes(double shortest, double profile)
{
    const double steps = (profile + shortest) / ALPHA_STEP + 1;

    return steps * BETAS * (sizeof(placed) + sizeof(atn_span_rule));
}

atn_status atn_span_grid_check(atn_ctx *cx, const char *id, const atn_span_grid *g)
{
    atn_status st = ATN_OK;
    atn_span_rule *rules = NULL;
    atn_idx n = 0;

    if (g->shortest > g->profile || g->profile > g->longest)
        ATN_FAIL(ATN_USAGE,
                 "%s: shortest=%.0f, profile=%.0f and longest=%.0f must ascend "
                 "(give them from the smallest up)",
                 id, g->shortest, g->profile, g->longest);
    ATN_TRY(atn_span_rules(cx, g, &rules, &n));
    if (n == 0)
        ATN_FAIL(ATN_USAGE,
                 "%s: no elastic rule fits shortest=%.0f, profile=%.0f and "
                 "longest=%.0f: the first two add up to %d at least (give profile=%.0f "
                 "or more, and longest no less)",
                 id, g->shortest, g->profile, g->longest, ALPHA_STEP,
                 ALPHA_STEP - g->shortest);
done:
    atn_free(cx, rules);
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

atn_idx atn_span_choices(const atn_span_rule *rules, atn_idx n_rules, atn_idx n,
                         atn_idx blocks, const atn_span_rule **choice)
{
    atn_idx found = 0;

    for (atn_idx b = 0; b < blocks; b++) choice[b] = NULL;
    for (atn_idx r = 0; r < n_rules; r++) {
        const atn_idx b = ATN_MIN(atn_span_blocks(&rules[r], n), blocks);

        if (!choice[b - 1]) choice[b - 1] = &rules[r];
    }
    for (atn_idx b = 0; b < blocks; b++)
        if (choice[b]) choice[found++] = choice[b];
    return found;
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

static atn_status few_rules(atn_ctx *cx, const atn_span_task *t, double scale,
                            atn_idx *pick, bool *found)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double best = INFINITY;
    atn_idx best_cost = 0;
    gain *list = NULL;

    ATN_TAKE(list, t->units);
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

/* ---- a rule for each ---- */

/* least[u][c]: the smallest loss of units u .. at a cost of exactly c, most + 1 of them
 * a unit; infinite where there is none. */
static void fill_least(const atn_span_task *t, atn_idx most, double *least)
{
    const atn_idx row = most + 1;

    for (atn_idx c = 0; c <= most; c++)
        least[t->units * row + c] = c == 0 ? 0 : INFINITY;
    for (atn_idx u = t->units; u-- > 0;) {
        const double *after = least + (u + 1) * row;

        for (atn_idx c = 0; c <= most; c++) {
            double best = INFINITY;

            for (atn_idx x = 0; x < t->choices && t->cost[x] <= c; x++)
                best =
                    ATN_MIN(best, t->loss[u * t->choices + x] + after[c - t->cost[x]]);
            least[u * row + c] = best;
        }
    }
}

static atn_status any_rules(atn_ctx *cx, const atn_span_task *t, double scale,
                            atn_idx *pick, bool *found)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const double dearest = (double)t->units * (double)t->cost[t->choices - 1];
    const atn_idx most =
        (atn_idx)ATN_MAX(floor(ATN_MIN(t->budget, dearest) + EPS), 0.0);
    const double none = EPS * scale;
    atn_status st = ATN_OK;
    double *least = NULL;
    atn_idx c = 0, room;

    if (!atn_mul(t->units + 1, most + 1, &room)) room = INT64_MAX / 16;
    ATN_TRY(atn_mem_check(cx, 8 * (double)room, "a plan of spans"));
    ATN_TAKE(least, room);
    fill_least(t, most, least);
    for (atn_idx k = 1; k <= most; k++)
        if (least[k] < least[c] - none || least[c] == INFINITY) c = k;
    *found = least[c] < INFINITY;
    for (atn_idx u = 0; *found && u < t->units; u++) {
        const double want = least[u * (most + 1) + c] + none;
        const double *after = least + (u + 1) * (most + 1);
        atn_idx x = 0;

        while (t->loss[u * t->choices + x] + after[c - t->cost[x]] > want) x++;
        pick[u] = x;
        c -= t->cost[x];
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_span_plan(atn_ctx *cx, const atn_span_task *t, atn_idx *pick,
                         bool *found)
{
    double scale = 0;

    *found = false;
    if (t->choices == 0 || t->budget < 0) return ATN_OK;
    for (atn_idx i = 0; i < t->units * t->choices; i++) scale += fabs(t->loss[i]);
    return t->limit == 0 ? any_rules(cx, t, scale, pick, found)
                         : few_rules(cx, t, scale, pick, found);
}
