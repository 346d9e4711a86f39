/* cli/cmd_help.c -- attnscope help: the same text as --help, the man page,
 * completions. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>

#include "cli/bounds.h"
#include "cli/gpus.h"
#include "cli/help.h"
#include "cli/methods.h"
#include "simulators/kernel.h"
#include "theory/bound.h"

static const atn_option options[] = {
    {"man", 0, ATN_OPT_FLAG, NULL, "print the man page in troff form", 0, 0},
    {"completion", 0, ATN_OPT_CHOICE, "bash|zsh|fish",
     "print a shell's completion rules", 0, 0},
    ATN_OPTION_END,
};

/* The i-th bound's id; NULL = no more. */
static const char *bound_id(int i)
{
    const atn_bound *const *b = atn_bound_table;

    while (*b && i-- > 0) b++;
    return *b ? (*b)->id : NULL;
}

/* What has help by name beside the commands. */
static const struct {
    const char *id;
    atn_status (*help)(atn_ctx *cx, const char *name);
    const char *(*name)(int i);
} topics[] = {
    {"method", atn_method_help, atn_method_id},
    {"bound", atn_bound_help, bound_id},
    {"device", atn_device_help, atn_device_id},
    {"kernel", atn_kernel_help, atn_kernel_id},
};

static atn_status run(atn_cli *cli)
{
    const atn_command *c = NULL;

    if (atn_opt_given(cli, "man")) {
        atn_help_man(stdout);
        return ATN_OK;
    }
    if (atn_opt_given(cli, "completion")) {
        atn_help_completion(atn_opt_text(cli, "completion", NULL), stdout);
        return ATN_OK;
    }
    if (cli->n_args == 0) {
        atn_help_program(stdout);
        return ATN_OK;
    }
    for (size_t i = 0; i < ATN_LEN(topics); i++)
        if (strcmp(cli->args[0], topics[i].id) == 0) {
            if (cli->n_args < 2)
                return atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
                                "help %s: name one (attnscope list %ss)", topics[i].id,
                                topics[i].id);
            return topics[i].help(cli->cx, cli->args[1]);
        }
    if (cli->n_args > 1)
        return atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
                        "help: one command at a time, not '%s' too", cli->args[1]);
    c = atn_command_find(cli->args[0]);
    if (!c)
        return atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
                        "help: there is no command '%s' (attnscope --help lists them)",
                        cli->args[0]);
    atn_help_command(c, stdout);
    return ATN_OK;
}

static const char *word(const char *option, int i)
{
    if (option || i >= atn_n_commands + (int)ATN_LEN(topics)) return NULL;
    return i >= atn_n_commands ? topics[i - atn_n_commands].id : atn_commands[i]->id;
}

static const char *word_after(const char *first, int i)
{
    for (size_t t = 0; t < ATN_LEN(topics); t++)
        if (strcmp(first, topics[t].id) == 0) return topics[t].name(i);
    return NULL;
}

static const char *const examples[] = {"help",
                                       "help capture",
                                       "help method window",
                                       "help bound B10",
                                       "help device h100",
                                       "help kernel fa3",
                                       "help --completion bash",
                                       NULL};

const atn_command atn_command_help = {
    .id = "help",
    .summary =
        "help on a command, method, bound, device or kernel, the man page, completion",
    .args = "[COMMAND|method NAME|bound NAME|device NAME|kernel NAME]",
    .examples = examples,
    .options = options,
    .word = word,
    .word_after = word_after,
    .max_args = 2,
    .run = run,
};
