/* cli/cmd_help.c -- attnscope help: the same text as --help, the man page,
 * completions. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>

#include "cli/bounds.h"
#include "cli/help.h"
#include "cli/methods.h"
#include "theory/bound.h"

static const atn_option options[] = {
    {"man", 0, ATN_OPT_FLAG, NULL, "print the man page in troff form", 0, 0},
    {"completion", 0, ATN_OPT_CHOICE, "bash|zsh|fish",
     "print a shell's completion rules", 0, 0},
    ATN_OPTION_END,
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
    if (strcmp(cli->args[0], "method") == 0) {
        if (cli->n_args < 2)
            return atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
                            "help method: name one (attnscope list methods)");
        return atn_method_help(cli->cx, cli->args[1]);
    }
    if (strcmp(cli->args[0], "bound") == 0) {
        if (cli->n_args < 2)
            return atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
                            "help bound: name one (attnscope list bounds)");
        return atn_bound_help(cli->cx, cli->args[1]);
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
    static const char *const more[] = {"method", "bound"};

    if (option || i >= atn_n_commands + (int)ATN_LEN(more)) return NULL;
    return i >= atn_n_commands ? more[i - atn_n_commands] : atn_commands[i]->id;
}

static const char *word_after(const char *first, int i)
{
    const atn_bound *const *b = atn_bound_table;

    if (strcmp(first, "method") == 0) return atn_method_id(i);
    if (strcmp(first, "bound") != 0) return NULL;
    while (*b && i-- > 0) b++;
    return *b ? (*b)->id : NULL;
}

static const char *const examples[] = {
    "help",           "help capture",           "help method window",
    "help bound B10", "help --completion bash", NULL};

const atn_command atn_command_help = {
    .id = "help",
    .summary = "help on a command, method or bound, the man page, shell completion",
    .args = "[COMMAND|method NAME|bound NAME]",
    .examples = examples,
    .options = options,
    .word = word,
    .word_after = word_after,
    .max_args = 2,
    .run = run,
};
