/* cli/cmd_list.c -- attnscope list: what is built in, family by family. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>
#include <string.h>

#include "analysis/stats.h"
#include "approx/pattern.h"
#include "capture/arch.h"
#include "cli/bounds.h"
#include "cli/gpus.h"
#include "cli/methods.h"
#include "cli/output.h"
#include "core/param.h"
#include "datasets/dataset.h"
#include "viz/figure.h"

/* ---- what a family holds, as people read it and as a table ---- */

static atn_status two_columns(atn_ctx *cx, atn_table *t, const char *id,
                              const char *title)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_add_row(cx, t));
    ATN_TRY(atn_table_set_str(cx, t, 0, id));
    ATN_TRY(atn_table_set_str(cx, t, 1, title));
done:
    return st;
}

static atn_status commands(atn_ctx *cx, atn_table *t)
{
    atn_status st = ATN_OK;

    for (const atn_command *const *c = atn_commands; *c; c++)
        ATN_TRY(two_columns(cx, t, (*c)->id, (*c)->summary));
done:
    return st;
}

static atn_status datasets(atn_ctx *cx, atn_table *t)
{
    atn_status st = ATN_OK;

    for (const atn_dataset *d = atn_datasets; d->id; d++)
        ATN_TRY(two_columns(cx, t, d->id, d->title));
done:
    return st;
}

static atn_status figures(atn_ctx *cx, atn_table *t)
{
    atn_status st = ATN_OK;

    for (const atn_figure *const *f = atn_figures; *f; f++)
        ATN_TRY(two_columns(cx, t, (*f)->id, (*f)->title));
done:
    return st;
}

static atn_status models(atn_ctx *cx, atn_table *t)
{
    atn_status st = ATN_OK;

    for (const atn_arch *const *a = atn_archs; *a; a++)
        ATN_TRY(two_columns(cx, t, (*a)->id, (*a)->title));
done:
    return st;
}

static void print_figures(void)
{
    for (const atn_figure *const *f = atn_figures; *f; f++) {
        printf("%-12s %s: %s\n", (*f)->id, (*f)->title, (*f)->text);
        for (const atn_param *p = (*f)->params; p && p->name; p++)
            printf("  --params %s=%s: %s\n", p->name,
                   p->type == ATN_PARAM_CHOICE_T ? p->choices : "...", p->text);
    }
}

static const char *kind_of(const atn_measure *m, const atn_measure_col *c)
{
    return m->model ? "model" : m->layer ? "layer" : c->row ? "row" : "head";
}

/* "default", "all" or "named": which request computes it */
static const char *asked_by(const atn_measure *m)
{
    return m->named ? "named" : atn_stats_is_default(m->id) ? "default" : "all";
}

/* The parameters of a measure with their defaults, "k=8". */
static atn_status set_params(atn_ctx *cx, atn_table *t, int col, const atn_measure *m)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    char text[256], *values = NULL;

    if (!m->params) return ATN_OK;
    ATN_TAKE(values, m->params_size);
    memset(values, 0, m->params_size);
    atn_param_defaults(m->params, values);
    atn_param_print(m->params, values, text, sizeof text);
    ATN_TRY(atn_table_set_str(cx, t, col, text));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status measures(atn_ctx *cx, atn_table *t)
{
    static const char *const names[][2] = {
        {"column", "column of stats"},
        {"unit", "unit of the values"},
        {"range", "where the values lie"},
        {"kind", "mean over rows, of a head, a layer or the model"},
        {"asked", "computed by default, by `all`, or when named"},
        {"parameters", "with their defaults"},
        {"text", "what it is"}};
    atn_status st = ATN_OK;
    int passes = 0;

    for (size_t i = 0; i < ATN_LEN(names); i++)
        ATN_TRY(
            atn_table_add_col(cx, t, names[i][0], ATN_COL_STR, "", names[i][1], NULL));
    ATN_TRY(atn_table_add_col(cx, t, "passes", ATN_COL_I64, "",
                              "walks over the rows of its own, at most", &passes));
    for (const atn_measure *const *m = atn_measures; *m; m++)
        for (const atn_measure_col *c = (*m)->cols; c->name; c++) {
            const char *cells[] = {c->name,      c->unit, c->range, kind_of(*m, c),
                                   asked_by(*m), NULL,    c->text};

            ATN_TRY(two_columns(cx, t, (*m)->id, (*m)->title));
            for (int i = 0; i < (int)ATN_LEN(cells); i++)
                if (cells[i]) ATN_TRY(atn_table_set_str(cx, t, 2 + i, cells[i]));
            ATN_TRY(set_params(cx, t, 7, *m));
            atn_table_set_i64(t, passes, (*m)->passes);
        }
done:
    return st;
}

static void print_measures(void)
{
    for (const atn_measure *const *m = atn_measures; *m; m++) {
        printf("%-16s %s%s\n", (*m)->id, (*m)->title,
               (*m)->named ? " (by name only)" : "");
        for (const atn_param *p = (*m)->params; p && p->name; p++)
            printf("  %s:%s=...: %s\n", (*m)->id, p->name, p->text);
        for (const atn_measure_col *c = (*m)->cols; c->name; c++)
            printf("  %-34s %-14s %s\n", c->name, c->range, c->text);
    }
}

/* What a spec of the id alone sets, "window=1024,two_sided=0,block=1". */
static atn_status pattern_settings(atn_ctx *cx, const char *id, char *out, size_t size)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_generator *g = NULL;
    atn_status st = ATN_OK;
    void *values = NULL;

    out[0] = '\0';
    ATN_TRY(atn_generator_read(cx, id, NULL, &g, &values));
    if (g->params) atn_param_print(g->params, values, out, size);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* A row of a generator, or of its preset. */
static atn_status pattern_row(atn_ctx *cx, atn_table *t, const atn_generator *g,
                              const atn_preset *s)
{
    const char *id = s ? s->id : g->id;
    const char *cells[] = {s ? g->id : NULL, NULL, g->text, g->source};
    atn_status st = ATN_OK;
    char text[512];

    ATN_TRY(pattern_settings(cx, id, text, sizeof text));
    cells[1] = text;
    ATN_TRY(two_columns(cx, t, id, s ? s->text : g->title));
    for (int i = 0; i < (int)ATN_LEN(cells); i++)
        if (cells[i]) ATN_TRY(atn_table_set_str(cx, t, 2 + i, cells[i]));
done:
    return st;
}

static atn_status patterns(atn_ctx *cx, atn_table *t)
{
    static const char *const names[][2] = {
        {"preset_of", "the pattern that a preset is a setting of"},
        {"parameters", "with their defaults, or as the preset sets them"},
        {"keys", "which keys a query sees"},
        {"source", "where it is from"}};
    atn_status st = ATN_OK;

    for (size_t i = 0; i < ATN_LEN(names); i++)
        ATN_TRY(
            atn_table_add_col(cx, t, names[i][0], ATN_COL_STR, "", names[i][1], NULL));
    for (const atn_generator *const *g = atn_generators; *g; g++) {
        ATN_TRY(pattern_row(cx, t, *g, NULL));
        for (const atn_preset *s = (*g)->presets; s && s->id; s++)
            ATN_TRY(pattern_row(cx, t, *g, s));
    }
done:
    return st;
}

/* "=1", "=causal|full|...", "=AxBxC" */
static void print_default(const atn_param *p)
{
    if (p->type == ATN_PARAM_CHOICE_T)
        printf("=%s", p->choices);
    else if (p->type == ATN_PARAM_BOOL_T)
        printf("=%s", p->def != 0 ? "yes" : "no");
    else if (p->type == ATN_PARAM_LIST_T)
        printf("=%s", *p->choices ? p->choices : "...");
    else if (p->type == ATN_PARAM_TEXT_T)
        printf("=...");
    else
        printf("=%g", p->def);
}

static void print_patterns(void)
{
    for (const atn_generator *const *g = atn_generators; *g; g++) {
        printf("%-16s %s: %s\n", (*g)->id, (*g)->title, (*g)->text);
        for (const atn_param *p = (*g)->params; p && p->name; p++) {
            printf("  %s:%s", (*g)->id, p->name);
            print_default(p);
            printf(": %s\n", p->text);
        }
        for (const atn_preset *s = (*g)->presets; s && s->id; s++)
            printf("  preset %s = %s:%s: %s\n", s->id, (*g)->id, s->params, s->text);
    }
}

static const struct {
    const char *id, *title;
    atn_status (*fill)(atn_ctx *cx, atn_table *t);
    void (*print)(void);             /* both NULL = id and title */
    atn_status (*tell)(atn_ctx *cx); /* print that can fail */
} families[] = {
    {"bounds", "bounds of attnscope bounds", atn_bounds_fill, atn_bounds_print, NULL},
    {"commands", "subcommands", commands, NULL, NULL},
    {"datasets", "built-in inputs", datasets, NULL, NULL},
    {"devices", "GPUs of attnscope simulate", atn_devices_fill, NULL,
     atn_devices_print},
    {"experiments", "experiments that check them", atn_experiments_fill,
     atn_experiments_print, NULL},
    {"figures", "figures of attnscope plot, with their parameters", figures,
     print_figures, NULL},
    {"kernels", "attention kernels of attnscope simulate", atn_kernels_fill, NULL,
     atn_kernels_print},
    {"measures", "measures of attnscope stats, with their columns", measures,
     print_measures, NULL},
    {"methods", "approximations of attnscope approx, static patterns among them",
     atn_methods_fill, NULL, atn_methods_print},
    {"models", "model families that attnscope capture runs", models, NULL, NULL},
    {"patterns", "sparse attention patterns, with their parameters and presets",
     patterns, print_patterns, NULL},
};

static atn_status family_table(atn_ctx *cx, int family, atn_table **out)
{
    atn_status st = ATN_OK;
    atn_table *t = NULL;

    ATN_TRY(atn_table_create(cx, families[family].id, &t));
    ATN_TRY(atn_table_add_col(cx, t, "id", ATN_COL_STR, "", "its name", NULL));
    ATN_TRY(atn_table_add_col(cx, t, "title", ATN_COL_STR, "", "what it is", NULL));
    ATN_TRY(families[family].fill(cx, t));
    *out = t;
    t = NULL;
done:
    atn_table_destroy(cx, t);
    return st;
}

static atn_status show(atn_cli *cli, int family)
{
    const bool asked = atn_opt_given(cli, "format") || atn_opt_given(cli, "output");
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    atn_run run = {0};

    if (!asked && families[family].tell) return families[family].tell(cx);
    if (!asked && families[family].print) {
        families[family].print();
        return ATN_OK;
    }
    ATN_TRY(family_table(cx, family, &t));
    if (!asked) {
        for (atn_idx i = 0; i < atn_table_rows(t); i++)
            printf("%-12s %s\n", atn_table_get_str(t, i, 0),
                   atn_table_get_str(t, i, 1));
        goto done;
    }
    ATN_TRY(atn_cli_check_output(cli, atn_opt_text(cli, "output", NULL)));
    ATN_TRY(atn_cli_record(cli, &run));
    ATN_TRY(atn_cli_emit(cli, &run, t, NULL));
done:
    atn_run_release(&run);
    atn_table_destroy(cx, t);
    return st;
}

static atn_status run(atn_cli *cli)
{
    const char *ids[ATN_LEN(families)];
    int near;

    for (size_t i = 0; i < ATN_LEN(families); i++) {
        ids[i] = families[i].id;
        if (cli->n_args == 0)
            printf("%-12s %s\n", families[i].id, families[i].title);
        else if (strcmp(cli->args[0], families[i].id) == 0)
            return show(cli, (int)i);
    }
    if (cli->n_args == 0) return ATN_OK;
    near = atn_nearest(cli->args[0], ids, (int)ATN_LEN(families));
    return atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
                    "list: there is no family '%s'%s%s (attnscope list names them)",
                    cli->args[0], near >= 0 ? "; did you mean " : "",
                    near >= 0 ? ids[near] : "");
}

static const char *word(const char *option, int i)
{
    return !option && i < (int)ATN_LEN(families) ? families[i].id : NULL;
}

static const char *const examples[] = {
    "list",         "list measures", "list measures --format csv", "list patterns",
    "list methods", "list devices",  "list kernels --format csv",  NULL};

const atn_command atn_command_list = {
    .id = "list",
    .summary = "what is built in: measures, patterns, models, figures, GPUs, commands",
    .args = "[FAMILY]",
    .examples = examples,
    .uses = ATN_USE_TABLE,
    .word = word,
    .max_args = 1,
    .run = run,
};
