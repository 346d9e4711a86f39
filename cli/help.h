/* cli/help.h -- help, man page and shell completion, all written from the command
 * tables. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <stdio.h>

#include "cli/command.h"

/* Prints text from column `at` on, wrapped at 80 columns, further lines indented, and a
 * line's end. */
void atn_help_wrap(const char *text, int at, int indent, FILE *out);
void atn_help_program(FILE *out);                       /* attnscope --help */
void atn_help_command(const atn_command *c, FILE *out); /* attnscope SUB --help */
void atn_help_man(FILE *out);                           /* attnscope.1 in man(7) */
/* shell is bash, zsh or fish; false for another. */
bool atn_help_completion(const char *shell, FILE *out);
