/* analysis/bounds_table.c -- checks and verdicts as tables. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/bounds.h"
#include "analysis/keys.h"

/* ---- a row a check ---- */

enum { COMMAND = 1024 };

typedef struct columns {
    atn_keys key;
    int name, predicted, measured, slack, verdict, experiment, label, variant, relation;
    int cases, failures, trials, seed, statistic, critical, hypotheses, note, reproduce;
} columns;

static atn_status add_columns(atn_ctx *cx, const atn_bounds *b, atn_table *t,
                              columns *c)
{
    const struct {
        const char *name, *text;
        atn_col_type type;
        int *at;
    } rest[] = {
        {"predicted", "what the bound says", ATN_COL_F64, &c->predicted},
        {"measured", "what it is", ATN_COL_F64, &c->measured},
        {"slack",
         "how far it is kept: positive holds; of a test its critical value less the "
         "statistic",
         ATN_COL_F64, &c->slack},
        {"verdict", "holds, violated, not_applicable or reported", ATN_COL_STR,
         &c->verdict},
        {"label", "of the bound in the guide", ATN_COL_STR, &c->label},
        {"experiment", "that measured it", ATN_COL_STR, &c->experiment},
        {"variant", "of what, where the experiment looks at several", ATN_COL_STR,
         &c->variant},
        {"relation", "in which measured stands to predicted", ATN_COL_STR,
         &c->relation},
        {"cases", "rows, pairs or the like, of which this is the worst", ATN_COL_I64,
         &c->cases},
        {"failures", "of them that broke the bound", ATN_COL_I64, &c->failures},
        {"trials", "draws of a random check", ATN_COL_I64, &c->trials},
        {"seed", "of the draws", ATN_COL_I64, &c->seed},
        {"statistic", "standard errors between the two sides", ATN_COL_F64,
         &c->statistic},
        {"critical", "most that a statistic may be, at 99.9 % over all hypotheses",
         ATN_COL_F64, &c->critical},
        {"hypotheses", "checks of the run that share the level", ATN_COL_I64,
         &c->hypotheses},
        {"note", "what else is to be known", ATN_COL_STR, &c->note},
        {"reproduce", "the command that repeats a violation", ATN_COL_STR,
         &c->reproduce},
    };
    atn_status st = ATN_OK;

    ATN_TRY(
        atn_table_add_col(cx, t, "name", ATN_COL_STR, "", "of the bound", &c->name));
    ATN_TRY(atn_keys_add(cx, b->selection, ATN_KEYS_HEAD, t, &c->key));
    for (size_t i = 0; i < ATN_LEN(rest); i++)
        ATN_TRY(atn_table_add_col(cx, t, rest[i].name, rest[i].type, "", rest[i].text,
                                  rest[i].at));
done:
    return st;
}

/* A path as a shell reads it. False where there is no room. */
static bool quote(const char *path, char *out, size_t size)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789_./+:=@%-";
    size_t n = 0;

    if (path[0] && strspn(path, plain) == strlen(path))
        return (size_t)snprintf(out, size, "%s", path) < size;
    if (size < 3) return false;
    out[n++] = '\'';
    for (; *path && n + 6 < size; path++) {
        if (*path == '\'')
            n += (size_t)snprintf(out + n, size - n, "'\\''");
        else
            out[n++] = *path;
    }
    out[n++] = '\'';
    out[n] = 0;
    return *path == 0;
}

/* The check alone, once more. */
static void command_of(const atn_bounds *b, const atn_check *c, char out[COMMAND])
{
    const atn_layer_info *l = c->at >= 0 ? atn_capture_layer(b->capture, c->at) : NULL;
    char run[COMMAND / 2];
    const bool fits = quote(atn_capture_dir(b->capture), run, sizeof run);
    int n = snprintf(out, COMMAND, "attnscope bounds %s --bound %s", fits ? run : "RUN",
                     c->bound->id);

    if (l && c->head >= 0 && n < COMMAND)
        n += snprintf(out + n, (size_t)(COMMAND - n), " --heads %d.%d", l->layer,
                      c->head);
    if (l && l->stack[0] && n < COMMAND)
        n += snprintf(out + n, (size_t)(COMMAND - n), " --stack %s", l->stack);
    if (l && c->head < 0 && n < COMMAND)
        n += snprintf(out + n, (size_t)(COMMAND - n), " --layers %d", l->layer);
    if (l && b->selection->many_steps && n < COMMAND)
        n += snprintf(out + n, (size_t)(COMMAND - n), " --steps %d", l->step);
    if (b->trials > 0 && n < COMMAND)
        n += snprintf(out + n, (size_t)(COMMAND - n), " --trials %lld",
                      (long long)b->trials);
    if (b->most > 0 && n < COMMAND)
        n += snprintf(out + n, (size_t)(COMMAND - n), " --tokens %lld",
                      (long long)b->most);
    if (n < COMMAND)
        snprintf(out + n, (size_t)(COMMAND - n), " --seed %llu",
                 (unsigned long long)c->seed);
}

static atn_status set_note(atn_ctx *cx, atn_table *t, int col, const atn_check *c)
{
    const char *caveat = atn_bound_caveat(c->bound);
    char text[sizeof c->note + 64];

    snprintf(text, sizeof text, "%s%s%s", caveat ? caveat : "",
             caveat && c->note[0] ? "; " : "", c->note);
    return text[0] ? atn_table_set_str(cx, t, col, text) : ATN_OK;
}

static atn_status set_random(const atn_check *c, const columns *k, atn_table *t)
{
    if (c->cases > 0) atn_table_set_i64(t, k->cases, c->cases);
    if (c->cases > 0) atn_table_set_i64(t, k->failures, c->failures);
    if (c->trials <= 0) return ATN_OK;
    atn_table_set_i64(t, k->trials, c->trials);
    atn_table_set_i64(t, k->seed, (int64_t)c->seed);
    if (c->hypotheses > 0) {
        atn_table_set_f64(t, k->statistic, c->statistic);
        atn_table_set_f64(t, k->critical, c->critical);
        atn_table_set_i64(t, k->hypotheses, c->hypotheses);
    }
    return ATN_OK;
}

static atn_status set_check(atn_ctx *cx, const atn_bounds *b, const atn_check *c,
                            const columns *k, atn_table *t)
{
    atn_status st = ATN_OK;
    char command[COMMAND];

    ATN_TRY(atn_table_set_str(cx, t, k->name, c->bound->id));
    if (c->at >= 0)
        ATN_TRY(atn_keys_set(cx, t, &k->key, atn_capture_layer(b->capture, c->at),
                             c->head));
    if (!isnan(c->predicted)) atn_table_set_f64(t, k->predicted, c->predicted);
    if (!c->not_here) atn_table_set_f64(t, k->measured, c->measured);
    if (!c->not_here && !isnan(c->slack)) atn_table_set_f64(t, k->slack, c->slack);
    ATN_TRY(atn_table_set_str(cx, t, k->verdict, atn_verdict_names[c->verdict]));
    ATN_TRY(atn_table_set_str(cx, t, k->label, c->bound->label));
    ATN_TRY(atn_table_set_str(cx, t, k->experiment, c->experiment->label));
    if (c->variant[0]) ATN_TRY(atn_table_set_str(cx, t, k->variant, c->variant));
    ATN_TRY(
        atn_table_set_str(cx, t, k->relation, atn_relation_names[c->bound->relation]));
    ATN_TRY(set_random(c, k, t));
    ATN_TRY(set_note(cx, t, k->note, c));
    if (c->verdict != ATN_VIOLATED) goto done;
    command_of(b, c, command);
    ATN_TRY(atn_table_set_str(cx, t, k->reproduce, command));
done:
    return st;
}

atn_status atn_bounds_table(atn_ctx *cx, const atn_bounds *b, atn_table **out)
{
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    columns k;

    ATN_TRY(atn_table_create(cx, "bounds", &t));
    ATN_TRY(add_columns(cx, b, t, &k));
    for (atn_idx i = 0; i < b->checks.n; i++) {
        ATN_TRY(atn_table_add_row(cx, t));
        ATN_TRY(set_check(cx, b, &b->checks.check[i], &k, t));
    }
    *out = t;
    t = NULL;
done:
    atn_table_destroy(cx, t);
    return st;
}

/* ---- a row a bound ---- */

/* Checks of one bound by one experiment. */
typedef struct tally {
    int64_t n, by[ATN_VERDICTS];
    double least, middle; /* of slack over the larger side; of the judged ones */
} tally;

/* Slack as a share of the larger side; where it is lacking, or for "=", of what rounding
 * is relative to if that is larger; or of the critical value. */
static double share_of(const atn_check *c)
{
    double whole = fmax(fabs(c->predicted), fabs(c->measured));

    if (!(c->slack > 0)) whole = fmax(whole, c->scale);
    if (c->hypotheses > 0) whole = c->critical;
    if (c->bound->relation == ATN_ABOUT && c->hypotheses == 0) return c->slack;
    return whole > 0 && isfinite(whole) ? c->slack / whole : 0;
}

static atn_status count_checks(atn_ctx *cx, const atn_bounds *b,
                               const atn_experiment *e, const atn_bound *of, tally *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *slack = NULL;
    atn_idx judged = 0;

    *out = (tally){.least = NAN, .middle = NAN};
    ATN_TAKE(slack, b->checks.n);
    for (atn_idx i = 0; i < b->checks.n; i++) {
        const atn_check *c = &b->checks.check[i];

        if (c->experiment != e || c->bound != of) continue;
        out->n++;
        out->by[c->verdict]++;
        if (c->verdict == ATN_HOLDS || c->verdict == ATN_VIOLATED)
            slack[judged++] = share_of(c);
    }
    atn_sort(slack, judged);
    if (judged > 0) out->least = slack[0];
    if (judged > 0) out->middle = slack[judged / 2];
done:
    atn_arena_rewind(cx, mark);
    return st;
}

typedef struct verdict_columns {
    int label, name, experiment, statement, checks, verdict[ATN_VERDICTS], least,
        middle;
} verdict_columns;

static atn_status add_verdict_columns(atn_ctx *cx, atn_table *t, verdict_columns *k)
{
    atn_status st = ATN_OK;

    ATN_TRY(
        atn_table_add_col(cx, t, "label", ATN_COL_STR, "", "in the guide", &k->label));
    ATN_TRY(
        atn_table_add_col(cx, t, "name", ATN_COL_STR, "", "of the bound", &k->name));
    ATN_TRY(atn_table_add_col(cx, t, "experiment", ATN_COL_STR, "", "that measured it",
                              &k->experiment));
    ATN_TRY(atn_table_add_col(cx, t, "checks", ATN_COL_I64, "", "heads and variants",
                              &k->checks));
    for (int v = 0; v < ATN_VERDICTS; v++)
        ATN_TRY(atn_table_add_col(cx, t, atn_verdict_names[v], ATN_COL_I64, "",
                                  "checks that came out so", &k->verdict[v]));
    ATN_TRY(atn_table_add_col(cx, t, "slack_relative_least", ATN_COL_F64, "",
                              "slack over the larger side, the nearest check",
                              &k->least));
    ATN_TRY(atn_table_add_col(cx, t, "slack_relative_median", ATN_COL_F64, "",
                              "the same, the middle one", &k->middle));
    ATN_TRY(atn_table_add_col(cx, t, "statement", ATN_COL_STR, "", "of the bound",
                              &k->statement));
done:
    return st;
}

static atn_status add_verdict(atn_ctx *cx, const atn_experiment *e, const atn_bound *of,
                              const tally *n, const verdict_columns *k, atn_table *t)
{
    const char *caveat = atn_bound_caveat(of);
    char text[512];
    atn_status st = ATN_OK;

    snprintf(text, sizeof text, "%s%s%s%s", of->statement, caveat ? " (" : "",
             caveat ? caveat : "", caveat ? ")" : "");
    ATN_TRY(atn_table_add_row(cx, t));
    ATN_TRY(atn_table_set_str(cx, t, k->label, of->label));
    ATN_TRY(atn_table_set_str(cx, t, k->name, of->id));
    ATN_TRY(atn_table_set_str(cx, t, k->experiment, e->label));
    atn_table_set_i64(t, k->checks, n->n);
    for (int v = 0; v < ATN_VERDICTS; v++)
        atn_table_set_i64(t, k->verdict[v], n->by[v]);
    if (!isnan(n->least)) atn_table_set_f64(t, k->least, n->least);
    if (!isnan(n->middle)) atn_table_set_f64(t, k->middle, n->middle);
    ATN_TRY(atn_table_set_str(cx, t, k->statement, text));
done:
    return st;
}

atn_status atn_bounds_verdicts(atn_ctx *cx, const atn_bounds *b, atn_table **out)
{
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    verdict_columns k;
    tally n;

    ATN_TRY(atn_table_create(cx, "verdicts", &t));
    ATN_TRY(add_verdict_columns(cx, t, &k));
    for (int m = 0; m < b->parts; m++)
        for (const atn_bound *const *of = atn_bound_table; *of; of++) {
            ATN_TRY(count_checks(cx, b, b->part[m].of, *of, &n));
            if (n.n > 0) ATN_TRY(add_verdict(cx, b->part[m].of, *of, &n, &k, t));
        }
    *out = t;
    t = NULL;
done:
    atn_table_destroy(cx, t);
    return st;
}
