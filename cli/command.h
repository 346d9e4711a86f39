/* cli/command.h -- a subcommand: a table of words and options, and the function to run.
 *
 * cli/cmd_<id>.c defines atn_command_<id>, commands.def names it; help, the man page,
 * shell completion and spelling suggestions come from the tables.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "cli/options.h"

typedef struct atn_command {
    const char *id;
    const char *summary; /* one line, lower case, no full stop */
    const char *args;    /* "RUN... -o FILE" as the usage line shows it */
    const char *const
        *examples;             /* command lines without "attnscope ", NULL-terminated */
    const char *text;          /* paragraphs for help and the man page, may be NULL */
    const atn_option *options; /* its own, may be NULL */
    unsigned uses;             /* ATN_USE_* */
    /* Kinds of the tables that may come after its first one, "a,b"; NULL = none. In CSV
     * they go to files of their own beside -o FILE. */
    const char *second;
    /* Shell completion: the i-th word for the value of an option (its long name) or,
     * where NULL, for the first argument; NULL = no more. May be NULL. */
    const char *(*word)(const char *option, int i);
    /* The same for what may follow that first argument. May be NULL. */
    const char *(*word_after)(const char *first, int i);
    /* Why its work is not shared out by --shard and mpirun: always, or with these
     * options (NULL = it is then). NULL = there is no work to share. */
    const char *one_piece;
    const char *(*one_piece_with)(const atn_cli *cli);
    int min_args, max_args; /* of what is no option; max -1 = any number */
    atn_status (*run)(atn_cli *cli);
} atn_command;

extern const atn_command *const atn_commands[]; /* NULL-terminated */
extern const int atn_n_commands;
const atn_command *atn_command_find(const char *id); /* NULL = none */
/* Why the work of this command line is done by one process; NULL = it is shared out. */
const char *atn_command_one_piece(const atn_cli *cli);

/* The whole program: parses, runs, prints the error; returns the exit code. */
int atn_cli_main(int argc, const char *const *argv);
