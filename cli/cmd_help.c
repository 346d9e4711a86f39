/* cli/cmd_help.c -- attnscope help: the same text as --help, the man page,
 * completions. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/help.h"

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
    return !option && atn_commands[i] ? atn_commands[i]->id : NULL;
}

static const char *const examples[] = {"help", "help capture", "help --completion bash",
                                       NULL};

const atn_command atn_command_help = {
    .id = "help",
    .summary = "help on a command, the man page, shell completion",
    .args = "[COMMAND]",
    .examples = examples,
    .options = options,
    .word = word,
    .max_args = 1,
    .run = run,
};
