/* cli/cmd_help.c -- attnscope help: the same text as --help, the man page,
 * completions. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>

#include "cli/help.h"
#include "cli/methods.h"

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
    if (option || i > atn_n_commands) return NULL;
    return i == atn_n_commands ? "method" : atn_commands[i]->id;
}

static const char *word_after(const char *first, int i)
{
    return strcmp(first, "method") == 0 ? atn_method_id(i) : NULL;
}

static const char *const examples[] = {"help", "help capture", "help method window",
                                       "help --completion bash", NULL};

const atn_command atn_command_help = {
    .id = "help",
    .summary = "help on a command or a method, the man page, shell completion",
    .args = "[COMMAND|method NAME]",
    .examples = examples,
    .options = options,
    .word = word,
    .word_after = word_after,
    .max_args = 2,
    .run = run,
};
