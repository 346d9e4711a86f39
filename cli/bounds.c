/* cli/bounds.c -- the listing and the help of bounds and experiments. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/bounds.h"

#include <stdio.h>
#include <string.h>

#include "analysis/bounds.h"
#include "approx/method.h"

static const char quoted[] = "as quoted, constants not verified";

static atn_status fill_row(atn_ctx *cx, atn_table *t, const char *const *cells, int n)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_add_row(cx, t));
    for (int i = 0; i < n; i++)
        if (cells[i]) ATN_TRY(atn_table_set_str(cx, t, i, cells[i]));
done:
    return st;
}

static atn_status add_texts(atn_ctx *cx, atn_table *t, const char *const (*names)[2],
                            size_t n)
{
    atn_status st = ATN_OK;

    for (size_t i = 0; i < n; i++)
        ATN_TRY(
            atn_table_add_col(cx, t, names[i][0], ATN_COL_STR, "", names[i][1], NULL));
done:
    return st;
}

/* The experiments that check a bound, "V1 V4". */
static void checked_by(const atn_bound *b, char *out, size_t size)
{
    size_t used = 0;

    out[0] = '\0';
    for (const atn_experiment *const *e = atn_experiments; *e && used < size; e++) {
        const char *at = strstr((*e)->bounds, b->id);
        const size_t n = strlen(b->id);

        while (at && (at[n] > ' ' || (at > (*e)->bounds && at[-1] != ' ')))
            at = strstr(at + 1, b->id);
        if (at)
            used += (size_t)snprintf(out + used, size - used, "%s%s", used ? " " : "",
                                     (*e)->label);
    }
}

atn_status atn_bounds_fill(atn_ctx *cx, atn_table *t)
{
    static const char *const names[][2] = {
        {"label", "in the guide"},
        {"statement", "plain mathematics"},
        {"assumption", "what it needs to hold"},
        {"verified", "yes: proved or checked in numbers; no: " /* split */
                     "as quoted, constants not verified"},
        {"relation", "of the measured side to the predicted one"},
        {"experiments", "that check it"},
        {"source", "where it is from"}};
    atn_status st = ATN_OK;
    char by[64];

    ATN_TRY(add_texts(cx, t, names, ATN_LEN(names)));
    for (const atn_bound *const *at = atn_bound_table; *at; at++) {
        const atn_bound *b = *at;
        const char *cells[] = {b->id,
                               b->title,
                               b->label,
                               b->statement,
                               b->assumption,
                               b->verified ? "yes" : "no",
                               atn_relation_names[b->relation],
                               by,
                               b->source};

        checked_by(b, by, sizeof by);
        ATN_TRY(fill_row(cx, t, cells, (int)ATN_LEN(cells)));
    }
done:
    return st;
}

static const char *scope_of(const atn_experiment *e)
{
    return e->head ? "head" : e->model ? "model" : "once";
}

atn_status atn_experiments_fill(atn_ctx *cx, atn_table *t)
{
    static const char *const names[][2] = {{"label", "in the guide"},
                                           {"text", "what is done"},
                                           {"scope", "head, model or once"},
                                           {"bounds", "that it checks"},
                                           {"source", "where it is from"}};
    atn_status st = ATN_OK;

    ATN_TRY(add_texts(cx, t, names, ATN_LEN(names)));
    for (const atn_experiment *const *at = atn_experiments; *at; at++) {
        const atn_experiment *e = *at;
        const char *cells[] = {e->id,       e->title,  e->label, e->text,
                               scope_of(e), e->bounds, e->source};

        ATN_TRY(fill_row(cx, t, cells, (int)ATN_LEN(cells)));
    }
done:
    return st;
}

void atn_bounds_print(void)
{
    for (const atn_bound *const *b = atn_bound_table; *b; b++)
        printf("%-5s %-32s %s%s\n", (*b)->label, (*b)->id, (*b)->title,
               (*b)->verified ? "" : " (as quoted)");
}

void atn_experiments_print(void)
{
    for (const atn_experiment *const *e = atn_experiments; *e; e++)
        printf("%-5s %-32s %s\n", (*e)->label, (*e)->id, (*e)->title);
}

/* ---- help ---- */

static void print_bound(const atn_bound *b)
{
    char by[64];

    checked_by(b, by, sizeof by);
    printf("%s %s: %s\n\n  %s\n", b->label, b->id, b->title, b->statement);
    if (b->assumption) printf("  provided: %s\n", b->assumption);
    if (!b->verified) printf("  (%s)\n", quoted);
    if (b->quantities && b->quantities->name) printf("\nIt is a function of:\n");
    for (const atn_quantity *q = b->quantities; q && q->name; q++)
        printf("  %-20s %s%s\n", q->name, q->text, q->list ? " (a list)" : "");
    printf("\nMeasured %s predicted; checked by %s. Source: %s\n",
           atn_relation_names[b->relation], by[0] ? by : "no experiment", b->source);
}

static void print_experiment(const atn_experiment *e)
{
    printf("%s %s: %s\n\n  %s\n\n", e->label, e->id, e->title, e->text);
    printf("It checks: %s\n", e->bounds);
    if (e->head)
        printf("It runs on %s%s heads%s.\n",
               e->sides == ATN_CAUSAL          ? "causal"
               : e->sides == ATN_BIDIRECTIONAL ? "bidirectional"
                                               : "all",
               e->values ? ", given values," : "",
               e->heads > 0 ? ", some of them unless --heads or --all-heads ask" : "");
    if (e->trials > 0) printf("Draws: %lld.\n", (long long)e->trials);
    printf("Source: %s\n", e->source);
}

static const atn_experiment *experiment_of(const char *name)
{
    for (const atn_experiment *const *e = atn_experiments; *e; e++)
        if (strcmp((*e)->id, name) == 0 || strcmp((*e)->label, name) == 0) return *e;
    return NULL;
}

atn_status atn_bound_help(atn_ctx *cx, const char *name)
{
    const atn_experiment *e = experiment_of(name);
    int n = 0;

    if (e) {
        print_experiment(e);
        n++;
    }
    for (const atn_bound *const *b = atn_bound_table; *b; b++)
        if (strcmp((*b)->id, name) == 0 || strcmp((*b)->label, name) == 0) {
            if (n++ > 0) printf("\n");
            print_bound(*b);
        }
    return n > 0 ? ATN_OK : atn_bound_unknown(cx, name);
}
