/* analysis/approx_sweep.c -- temperatures or budgets, as typed. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/approx_sweep.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/param.h"

/* The values of a sweep, of temperatures or of whole numbers. */
typedef struct values {
    const char *name;
    bool whole;
    double least, most;
    double at[ATN_SWEEP_MOST];
    int n;
} values;

enum { WORD = 64 };

/* A word of n characters as a number within the limits. */
static atn_status read_number(atn_ctx *cx, const values *v, const char *text, size_t n,
                              double *out)
{
    char word[WORD], *end = NULL;
    atn_status st = ATN_OK;
    atn_idx count;

    if (n == 0 || n >= sizeof word)
        ATN_FAIL(ATN_USAGE, "--sweep %s: '%.40s' is no number (give for example %s)",
                 v->name, text, v->whole ? "8:128" : "0.25:8");
    memcpy(word, text, n);
    word[n] = '\0';
    if (v->whole) {
        ATN_TRY(atn_parse_count(cx, "--sweep budget", word, &count));
        *out = (double)count;
    } else {
        *out = strtod(word, &end);
        if (end == word || *end)
            ATN_FAIL(ATN_USAGE,
                     "--sweep %s: '%s' is no number (give for example 0.25:8)", v->name,
                     word);
    }
    if (!(*out >= v->least && *out <= v->most))
        ATN_FAIL(ATN_USAGE, "--sweep %s: %s is not between %g and %g", v->name, word,
                 v->least, v->most);
done:
    return st;
}

static atn_status add(atn_ctx *cx, values *v, double x)
{
    atn_status st = ATN_OK;

    for (int i = 0; i < v->n; i++)
        if (v->at[i] == x)
            ATN_FAIL(ATN_USAGE, "--sweep %s: %g is there twice (leave one out)",
                     v->name, x);
    if (v->n == ATN_SWEEP_MOST)
        ATN_FAIL(ATN_USAGE,
                 "--sweep %s has more than %d values (give a larger factor, as in "
                 "%s=LO:HI:4, or fewer)",
                 v->name, ATN_SWEEP_MOST, v->name);
    v->at[v->n++] = x;
done:
    return st;
}

/* "a,b,c" */
static atn_status read_list(atn_ctx *cx, const char *text, values *v)
{
    atn_status st = ATN_OK;
    double x;

    for (const char *at = text;; at++) {
        const size_t n = strcspn(at, ",");

        ATN_TRY(read_number(cx, v, at, n, &x));
        ATN_TRY(add(cx, v, x));
        at += n;
        if (!*at) break;
    }
done:
    return st;
}

/* "lo:hi" or "lo:hi:factor", both ends among the values. */
static atn_status read_range(atn_ctx *cx, const char *text, values *v)
{
    const char *colon = strchr(text, ':'), *second = strchr(colon + 1, ':');
    const size_t n = second ? (size_t)(second - colon - 1) : strlen(colon + 1);
    double lo, hi, factor = 2, last = NAN;
    atn_status st = ATN_OK;
    char *end = NULL;

    ATN_TRY(read_number(cx, v, text, (size_t)(colon - text), &lo));
    ATN_TRY(read_number(cx, v, colon + 1, n, &hi));
    if (second) factor = strtod(second + 1, &end);
    if (second && (end == second + 1 || *end || !(factor >= 1.01 && factor <= 1e6)))
        ATN_FAIL(ATN_USAGE, "--sweep %s: the factor '%.40s' is no number above 1.01",
                 v->name, second + 1);
    if (lo > hi)
        ATN_FAIL(ATN_USAGE, "--sweep %s goes down from %g to %g (give the lower first)",
                 v->name, lo, hi);
    for (double x = lo; x < hi * (1 - 1e-9); x *= factor) {
        last = v->whole ? floor(x + .5) : x;
        if (v->n == 0 || last > v->at[v->n - 1]) ATN_TRY(add(cx, v, last));
    }
    if (v->n == 0 || hi > v->at[v->n - 1]) ATN_TRY(add(cx, v, hi));
done:
    return st;
}

static atn_status read_values(atn_ctx *cx, const char *text, values *v)
{
    return strchr(text, ':') ? read_range(cx, text, v) : read_list(cx, text, v);
}

atn_status atn_approx_sweep_read(atn_ctx *cx, const char *text, atn_approx_sweep *out)
{
    static const char warm[] = "temperature=", budget[] = "budget=";
    values v = {.name = "temperature", .least = 1e-6, .most = 1e6};
    atn_status st = ATN_OK;

    *out = (atn_approx_sweep){.temperature = {1}, .temperatures = 1};
    if (!text) return ATN_OK;
    if (strncmp(text, warm, strlen(warm)) == 0) {
        ATN_TRY(read_values(cx, text + strlen(warm), &v));
        memcpy(out->temperature, v.at, sizeof v.at);
        out->temperatures = v.n;
        out->warms = true;
    } else if (strncmp(text, budget, strlen(budget)) == 0) {
        v = (values){.name = "budget", .whole = true, .least = 1, .most = 1e9};
        ATN_TRY(read_values(cx, text + strlen(budget), &v));
        for (int i = 0; i < v.n; i++) {
            const size_t at = strlen(out->budgets);

            snprintf(out->budgets + at, sizeof out->budgets - at, "%sk=%.0f",
                     i ? "," : "", v.at[i]);
        }
    } else {
        ATN_FAIL(ATN_USAGE,
                 "--sweep: '%.40s' is none (give temperature=0.25:8 or budget=8:128)",
                 text);
    }
done:
    return st;
}
