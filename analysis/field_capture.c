/* analysis/field_capture.c -- receptive fields of captured layers. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/field_capture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/attribution.h"
#include "graph/flow.h"

/* ---- the patterns of the layers ---- */

atn_status atn_capture_pattern(atn_ctx *cx, const atn_capture *c,
                               const atn_selection *sel, int i, const atn_from *from,
                               bool joined, atn_pattern **out)
{
    atn_status st = ATN_OK;
    atn_problem p = {0};
    atn_head head;

    *out = NULL;
    if (from) {
        ATN_TRY(atn_from_pattern(cx, c, sel->at[i], from,
                                 sel->heads + i * sel->max_heads, joined, out));
        goto done;
    }
    ATN_TRY(atn_capture_load(cx, c, sel->at[i], &p));
    head = atn_problem_head(&p, 0);
    ATN_TRY(atn_sight_pattern(cx, &head, out));
done:
    atn_capture_unload(cx, &p);
    return st;
}

static bool is_cross(const atn_layer_info *l)
{
    return strcmp(l->stack, "cross") == 0;
}

/* A field grows through layers whose queries are their keys. */
static atn_status check_square(atn_ctx *cx, const atn_layer_info *l)
{
    atn_status st = ATN_OK;

    if (is_cross(l) || l->nq != l->nk)
        ATN_FAIL(
            ATN_USAGE,
            "%s: %lld queries against %lld keys are not the same tokens, so "
            "fields do not grow through it (leave it out with --layers or --stack)",
            atn_layer_name(l).text, (long long)l->nq, (long long)l->nk);
done:
    return st;
}

atn_status atn_capture_patterns(atn_ctx *cx, const atn_capture *c,
                                const atn_selection *sel, int first, int end,
                                const atn_from *from, atn_pattern **out)
{
    atn_status st = ATN_OK;

    for (int i = first; i < end; i++) out[i - first] = NULL;
    for (int i = first; i < end; i++) {
        ATN_TRY(check_square(cx, atn_capture_layer(c, sel->at[i])));
        ATN_TRY(atn_capture_pattern(cx, c, sel, i, from, true, &out[i - first]));
        if (out[i - first]->frame.nk != out[0]->frame.nk)
            ATN_FAIL(ATN_USAGE,
                     "%s has %lld tokens, the first one %lld: fields do not grow "
                     "through layers of different lengths (choose with --layers)",
                     atn_layer_name(atn_capture_layer(c, sel->at[i])).text,
                     (long long)out[i - first]->frame.nk, (long long)out[0]->frame.nk);
    }
done:
    for (int i = first; st != ATN_OK && i < end; i++) {
        atn_pattern_destroy(cx, out[i - first]);
        out[i - first] = NULL;
    }
    return st;
}

/* ---- one part: a stack at a step ---- */

enum { REACHED_MASS, TOKENS_90, DISTANCE, FLOW, BESIDE };

typedef struct part {
    int first, end, n, depth; /* n layers */
    atn_pattern **layer;      /* [n], owned */
    atn_field field;
    double *beside[BESIDE]; /* [depth + 1], NULL = not asked or not to be had */
} part;

static void drop(atn_ctx *cx, part *p)
{
    for (int i = 0; p->layer && i < p->n; i++) atn_pattern_destroy(cx, p->layer[i]);
    atn_free(cx, p->layer);
    atn_field_release(cx, &p->field);
    for (int i = 0; i < BESIDE; i++) atn_free(cx, p->beside[i]);
    memset(p, 0, sizeof *p);
}

/* The share of weights w [n] of nodes of `block` tokens that lies on reached tokens; a
 * node counts by the share of its tokens that are reached. */
static double mass_within(const double *w, atn_idx n, atn_idx block,
                          const uint8_t *reached, atn_idx tokens, atn_idx node_tokens)
{
    double mass = 0, all = 0;

    for (atn_idx i = 0; i < n; i++) {
        const atn_idx end = ATN_MIN((i + 1) * block, tokens);
        atn_idx in = 0;

        for (atn_idx j = i * block; j < end; j++) in += reached[j / node_tokens];
        mass += w[i] * (double)in / (double)(end - i * block);
        all += w[i];
    }
    return mass / all;
}

static int descending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x < y) - (x > y);
}

/* Fewest of w [n], sum 1, that hold `share`; sorts w. */
static double fewest(double *w, atn_idx n, double share)
{
    double sum = 0;
    atn_idx k = 0;

    qsort(w, (size_t)n, sizeof *w, descending);
    while (k < n && sum < share) sum += w[k++];
    return (double)k;
}

static double mean_distance(const double *w, atn_idx n, atn_idx at)
{
    double sum = 0;

    for (atn_idx j = 0; j < n; j++) sum += w[j] * fabs((double)(at - j));
    return sum;
}

/* Depth 0 is the token itself. */
static void start(part *p, int which, double value)
{
    p->beside[which][0] = value;
    for (int k = 1; k <= p->depth; k++) p->beside[which][k] = (double)NAN;
}

/* What the weights w of the nodes of depth k say beside the field; sorts w. */
static void say(const atn_attribution *a, const uint8_t *reached, int k, bool flow,
                part *p)
{
    double *w = a->w + (k - 1) * a->n;

    p->beside[flow ? FLOW : REACHED_MASS][k] =
        mass_within(w, a->n, a->block, reached, p->field.tokens, p->field.block);
    if (flow) return;
    p->beside[DISTANCE][k] = mean_distance(w, a->n, a->token);
    p->beside[TOKENS_90][k] = fewest(w, a->n, .9);
}

/* Rollout or flow of the last token; depths beyond the captured layers have neither. */
static atn_status look_beside(atn_ctx *cx, const atn_model_facts *m, bool flow, part *p)
{
    const atn_attribution_opts o = {.rho = .5, .token = -1};
    const int depth = ATN_MIN(p->depth, p->n);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_attribution a = {0};
    uint8_t *reached = NULL;

    if (flow)
        ATN_TRY(
            atn_attribution_flow(cx, m, p->first, p->end, &o, ATN_FLOW_NODES_MAX, &a));
    else
        ATN_TRY(atn_attribution_rollout(cx, m, p->first, p->end, &o, &a));
    if (a.layers == 0) goto done;
    if (a.block > 1)
        atn_log(cx, ATN_LOG_INFO, "flow: tokens are averaged to %lld nodes of %lld",
                (long long)a.n, (long long)a.block);
    ATN_TAKE(reached, p->field.nodes);
    for (int i = flow ? FLOW : 0; i < (flow ? BESIDE : FLOW); i++) {
        ATN_NEW(p->beside[i], p->depth + 1);
        start(p, i, i == DISTANCE ? 0 : 1);
    }
    for (int k = 1; k <= depth; k++) {
        const atn_idx last = ATN_MIN((a.token + 1) * a.block, p->field.tokens) - 1;

        ATN_TRY(atn_field_of(cx, (const atn_pattern *const *)p->layer, p->n, k,
                             last / p->field.block, reached));
        say(&a, reached, k, flow, p);
    }
done:
    atn_attribution_release(cx, &a);
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status run_part(atn_ctx *cx, const atn_capture *c, const atn_selection *sel,
                           const atn_field_capture_opts *o, part *p)
{
    const atn_model_facts facts = {.capture = c, .selection = sel};
    const bool repeated = o->depth > p->n;
    const atn_field_opts opts = {.depth = o->depth ? o->depth : p->n,
                                 .every = o->every,
                                 .walks = o->walks,
                                 .diameter = o->diameter && repeated};
    atn_status st = ATN_OK;

    ATN_NEW(p->layer, p->n);
    ATN_TRY(atn_capture_patterns(cx, c, sel, p->first, p->end, o->from, p->layer));
    p->depth = opts.depth;
    ATN_TRY(atn_field_run(cx, (const atn_pattern *const *)p->layer, p->n, &opts,
                          &p->field));
    /* "never" is said of layers beyond those that there are */
    if (!repeated && p->field.complete < 0) p->field.complete = -2;
    if (!repeated && p->field.diameter < 0) p->field.diameter = -2;
    if (o->rollout) ATN_TRY(look_beside(cx, &facts, false, p));
    if (o->flow) ATN_TRY(look_beside(cx, &facts, true, p));
done:
    return st;
}

/* ---- the tables ---- */

static atn_status patterns_table(atn_ctx *cx, const atn_capture *c,
                                 const atn_selection *sel, const part *parts, int n,
                                 const char *name, atn_table **out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_pattern_case *cases = NULL;
    atn_status st = ATN_OK;
    char *layer = NULL;
    int at = 0;

    ATN_TAKE(cases, sel->n);
    ATN_TAKE(layer, 64 * (atn_idx)sel->n);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < parts[i].n; k++, at++) {
            const atn_layer_info *l = atn_capture_layer(c, sel->at[parts[i].first + k]);

            snprintf(layer + 64 * at, 64, "%s%s%d", l->stack, *l->stack ? " " : "",
                     l->layer);
            cases[at] = (atn_pattern_case){name, layer + 64 * at, parts[i].layer[k],
                                           &parts[i].field};
        }
    ATN_TRY(atn_pattern_table(cx, cases, at, out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status field_table(atn_ctx *cx, const atn_capture *c,
                              const atn_selection *sel, const atn_field_capture_opts *o,
                              const part *parts, int n, atn_table **out)
{
    const unsigned columns = (sel->many_stacks ? ATN_FIELD_STACK : 0u) |
                             (sel->many_steps ? ATN_FIELD_STEP : 0u) |
                             (o->rollout ? ATN_FIELD_ROLLOUT : 0u) |
                             (o->flow ? ATN_FIELD_FLOW : 0u) |
                             (o->walks ? ATN_FIELD_WALKS : 0u);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_field_case *cases = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(cases, n);
    for (int i = 0; i < n; i++) {
        const atn_layer_info *l = atn_capture_layer(c, sel->at[parts[i].first]);

        cases[i] =
            (atn_field_case){.pattern = o->pattern,
                             .stack = l->stack,
                             .step = l->step,
                             .field = &parts[i].field,
                             .rollout_reached_mass = parts[i].beside[REACHED_MASS],
                             .rollout_tokens_90 = parts[i].beside[TOKENS_90],
                             .rollout_distance = parts[i].beside[DISTANCE],
                             .flow_reached_mass = parts[i].beside[FLOW]};
    }
    ATN_TRY(atn_field_table(cx, cases, n, columns, out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static bool all_cross(const atn_capture *c, const atn_selection *sel)
{
    for (int i = 0; i < sel->n; i++)
        if (!is_cross(atn_capture_layer(c, sel->at[i]))) return false;
    return true;
}

atn_status atn_field_capture(atn_ctx *cx, const atn_capture *c,
                             const atn_selection *sel, const atn_field_capture_opts *o,
                             atn_table **field, atn_table **patterns)
{
    atn_status st = ATN_OK;
    part *parts = NULL;
    int n = 0;

    *field = *patterns = NULL;
    ATN_NEW(parts, sel->n);
    for (int first = 0, end; first < sel->n; first = end) {
        end = atn_selection_part(c, sel, first);
        if (is_cross(atn_capture_layer(c, sel->at[first])) && !all_cross(c, sel)) {
            atn_log(cx, ATN_LOG_WARN,
                    "field: the stack cross is left out: its queries are no keys, so "
                    "fields do not grow through it");
            continue;
        }
        parts[n] = (part){.first = first, .end = end, .n = end - first};
        ATN_TRY(run_part(cx, c, sel, o, &parts[n++]));
    }
    ATN_TRY(field_table(cx, c, sel, o, parts, n, field));
    ATN_TRY(patterns_table(cx, c, sel, parts, n, o->pattern, patterns));
done:
    for (int i = 0; parts && i < sel->n; i++) drop(cx, &parts[i]);
    atn_free(cx, parts);
    return st;
}
