/* cli/cmd_list.c -- attnscope list: what is built in, family by family. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>
#include <string.h>

#include "analysis/measure.h"
#include "capture/arch.h"
#include "cli/command.h"
#include "core/param.h"
#include "datasets/dataset.h"
#include "viz/figure.h"

static void commands(void)
{
    for (const atn_command *const *c = atn_commands; *c; c++)
        printf("%-12s %s\n", (*c)->id, (*c)->summary);
}

static void datasets(void)
{
    for (const atn_dataset *d = atn_datasets; d->id; d++)
        printf("%-12s %s\n", d->id, d->title);
}

static void figures(void)
{
    for (const atn_figure *const *f = atn_figures; *f; f++) {
        printf("%-12s %s: %s\n", (*f)->id, (*f)->title, (*f)->text);
        for (const atn_param *p = (*f)->params; p && p->name; p++)
            printf("  --params %s=%s: %s\n", p->name,
                   p->type == ATN_PARAM_CHOICE_T ? p->choices : "...", p->text);
    }
}

static void measures(void)
{
    for (const atn_measure *const *m = atn_measures; *m; m++) {
        printf("%-12s %s\n", (*m)->id, (*m)->title);
        for (const atn_measure_col *c = (*m)->cols; c->name; c++)
            printf("  %-30s %s\n", c->name, c->text);
    }
}

static void models(void)
{
    for (const atn_arch *const *a = atn_archs; *a; a++)
        printf("%-12s %s\n", (*a)->id, (*a)->title);
}

static const struct {
    const char *id, *title;
    void (*print)(void);
} families[] = {
    {"commands", "subcommands", commands},
    {"datasets", "built-in inputs", datasets},
    {"figures", "figures of attnscope plot, with their parameters", figures},
    {"measures", "measures of attnscope stats, with their columns", measures},
    {"models", "model families that attnscope capture runs", models},
};

static atn_status run(atn_cli *cli)
{
    const char *ids[ATN_LEN(families)];
    int near;

    for (size_t i = 0; i < ATN_LEN(families); i++) {
        ids[i] = families[i].id;
        if (cli->n_args == 0)
            printf("%-12s %s\n", families[i].id, families[i].title);
        else if (strcmp(cli->args[0], families[i].id) == 0) {
            families[i].print();
            return ATN_OK;
        }
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

static const char *const examples[] = {"list", "list measures", "list models", NULL};

const atn_command atn_command_list = {
    .id = "list",
    .summary = "what is built in: measures, models, figures, commands",
    .args = "[FAMILY]",
    .examples = examples,
    .word = word,
    .max_args = 1,
    .run = run,
};
