/* analysis/approx_list.c -- the methods and budgets that a run compares. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/approx_list.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { METHODS_MOST = 1000, BUDGETS_MOST = 32 };

double atn_approx_number(const atn_param *p, const void *values)
{
    const char *at = (const char *)values + p->offset;

    if (p->type == ATN_PARAM_F64_T) return *(const double *)(const void *)at;
    ATN_ASSERT(p->type == ATN_PARAM_I64_T);
    return (double)*(const int64_t *)(const void *)at;
}

void atn_approx_put(const atn_param *p, void *values, double x)
{
    char *at = (char *)values + p->offset;

    ATN_ASSERT(p->type == ATN_PARAM_F64_T || p->type == ATN_PARAM_I64_T);
    if (p->type == ATN_PARAM_F64_T)
        *(double *)(void *)at = x;
    else
        *(int64_t *)(void *)at = (int64_t)x;
}

/* ---- methods ---- */

static atn_status add(atn_ctx *cx, atn_approx_list *l, const char *id,
                      const char *params, bool named)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_approx_method *more, *m;
    char *values = NULL;
    atn_choice c;

    if (l->n == METHODS_MOST)
        ATN_FAIL(ATN_USAGE, "--method takes at most %d methods", METHODS_MOST);
    ATN_TRY(atn_choice_read(cx, id, params, &c));
    ATN_NEW(values, ATN_MAX(c.params_size, 1));
    if (c.params_size > 0) memcpy(values, c.values, c.params_size);
    c.values = values;
    more = atn_realloc(cx, l->method, l->n + 1, sizeof *more);
    if (!more) ATN_TRY(cx->err.code);
    l->method = more;
    m = &l->method[l->n++];
    *m = (atn_approx_method){.choice = c, .named = named};
    values = NULL;
done:
    atn_free(cx, values);
    atn_arena_rewind(cx, mark);
    return st;
}

static bool is_id(const char *word)
{
    const char *id;

    for (int i = 0; (id = atn_method_id(i)); i++)
        if (strcmp(id, word) == 0) return true;
    return false;
}

/* The methods that "all" leaves out, once. */
static void say_stored(atn_ctx *cx)
{
    char names[256] = "", families[128] = "";

    for (const atn_method *const *m = atn_methods; *m; m++) {
        size_t at = strlen(names);

        if (!((*m)->reads & ATN_READS_STORED)) continue;
        snprintf(names + at, sizeof names - at, "%s%s", at ? ", " : "", (*m)->id);
        at = strlen(families);
        if (!strstr(families, (*m)->family))
            snprintf(families + at, sizeof families - at, "%s%s", at ? " or " : "",
                     (*m)->family);
    }
    if (*names)
        atn_log(cx, ATN_LOG_INFO,
                "all leaves out %s: they store the dense weights, and their time is "
                "cubic (name them, or the family %s)",
                names, families);
}

/* Methods and patterns without their presets, of one family or of all. */
static atn_status add_family(atn_ctx *cx, atn_approx_list *l, const char *family,
                             bool *any)
{
    const bool all = strcmp(family, "all") == 0;
    atn_status st = ATN_OK;

    *any = false;
    for (const atn_method *const *m = atn_methods; *m; m++)
        if (all ? !((*m)->reads & ATN_READS_STORED)
                : strcmp((*m)->family, family) == 0) {
            ATN_TRY(add(cx, l, (*m)->id, NULL, false));
            *any = true;
        }
    for (const atn_generator *const *g = atn_generators; *g; g++)
        if (all || strcmp("static", family) == 0) {
            ATN_TRY(add(cx, l, (*g)->id, NULL, false));
            *any = true;
        }
    if (all) say_stored(cx);
done:
    return st;
}

/* No two are the same method with the same parameters. */
static atn_status check_methods(atn_ctx *cx, const atn_approx_list *l)
{
    char x[512], y[512];
    atn_status st = ATN_OK;

    for (int i = 1; i < l->n; i++)
        for (int k = 0; k < i; k++) {
            const atn_choice *a = &l->method[i].choice, *b = &l->method[k].choice;

            if (a->method != b->method || a->generator != b->generator) continue;
            atn_param_print(a->params, a->values, x, sizeof x);
            atn_param_print(b->params, b->values, y, sizeof y);
            if (strcmp(x, y) == 0)
                ATN_FAIL(ATN_USAGE,
                         "--method: %s is there twice with the parameters %s (leave "
                         "one out, or change its parameters)",
                         atn_choice_id(a), *x ? x : "of its own, none");
        }
done:
    return st;
}

static atn_status read_methods(atn_ctx *cx, const char *text, atn_approx_list *l)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    char *copy = NULL, *rest, *id, *params;
    atn_status st = ATN_OK;

    ATN_TAKE(copy, strlen(text) + 1);
    rest = strcpy(copy, text);
    while (atn_spec_next(&rest, &id, &params)) {
        bool any = false;

        if (!is_id(id)) ATN_TRY(add_family(cx, l, id, &any));
        if (any && params)
            ATN_FAIL(ATN_USAGE,
                     "--method: %.60s is several methods, which do not share the "
                     "parameters %.60s (name one)",
                     id, params);
        if (!any) ATN_TRY(add(cx, l, id, params, true));
    }
    if (l->n == 0)
        ATN_FAIL(ATN_USAGE, "--method is empty (give for example topk:k=32,window, or "
                            "all)");
    ATN_TRY(check_methods(cx, l));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- budgets ---- */

static atn_status read_budget(atn_ctx *cx, const char *text, size_t n,
                              atn_approx_budget *b)
{
    atn_status st = ATN_OK;
    char *end = NULL;
    double percent;

    *b = (atn_approx_budget){.share = NAN};
    if (n == 0 || n >= sizeof b->text)
        ATN_FAIL(ATN_USAGE,
                 "--budget: '%.40s' is none (give for example 10%% or k=256)", text);
    memcpy(b->text, text, n);
    if (strncmp(b->text, "k=", 2) == 0) {
        ATN_TRY(atn_parse_count(cx, "--budget k", b->text + 2, &b->keys));
        if (b->keys < 1)
            ATN_FAIL(ATN_USAGE, "--budget %s is below k=1, a key a row", b->text);
        return ATN_OK;
    }
    percent = strtod(b->text, &end);
    if (end == b->text || strcmp(end, "%") != 0)
        ATN_FAIL(ATN_USAGE,
                 "--budget: '%s' is none (give for example 10%%, the executed share of "
                 "the visible pairs, or k=256, keys a row)",
                 b->text);
    if (!(percent > 0 && percent <= 100))
        ATN_FAIL(ATN_USAGE, "--budget %s is not above 0%% and at most 100%%", b->text);
    b->share = percent / 100;
done:
    return st;
}

static atn_status read_budgets(atn_ctx *cx, const char *text, atn_approx_list *l)
{
    atn_status st = ATN_OK;

    ATN_NEW(l->budget, BUDGETS_MOST);
    if (!text) {
        l->budget[l->budgets++] = (atn_approx_budget){.share = NAN};
        return ATN_OK;
    }
    for (const char *at = text;; at++) {
        const size_t n = strcspn(at, ",");

        if (l->budgets == BUDGETS_MOST)
            ATN_FAIL(ATN_USAGE, "--budget takes at most %d budgets", BUDGETS_MOST);
        ATN_TRY(read_budget(cx, at, n, &l->budget[l->budgets]));
        for (int b = 0; b < l->budgets; b++)
            if (l->budget[b].keys == l->budget[l->budgets].keys &&
                (l->budget[b].keys > 0 ||
                 l->budget[b].share == l->budget[l->budgets].share))
                ATN_FAIL(ATN_USAGE, "--budget: %s is there twice (leave one out)",
                         l->budget[l->budgets].text);
        l->budgets++;
        at += n;
        if (!*at) break;
    }
done:
    return st;
}

atn_status atn_approx_list_read(atn_ctx *cx, const char *methods, const char *budgets,
                                atn_approx_list *out)
{
    atn_status st = ATN_OK;

    *out = (atn_approx_list){0};
    ATN_TRY(read_methods(cx, methods, out));
    ATN_TRY(read_budgets(cx, budgets, out));
done:
    return st;
}

void atn_approx_list_release(atn_ctx *cx, atn_approx_list *l)
{
    for (int i = 0; i < l->n; i++) atn_free(cx, l->method[i].choice.values);
    atn_free(cx, l->method);
    atn_free(cx, l->budget);
    *l = (atn_approx_list){0};
}
