/* cli/help.c -- --help of the program and of every command. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/help.h"

#include <string.h>

enum { WIDTH = 80, COLUMN = 26 };

void atn_help_wrap(const char *text, int at, int indent, FILE *out)
{
    while (*text) {
        const size_t n = strcspn(text, " \n");

        if (at > indent && at + (int)n + 1 > WIDTH) {
            fprintf(out, "\n%*s", indent, "");
            at = indent;
        } else if (at > indent) {
            fputc(' ', out);
            at++;
        }
        fwrite(text, 1, n, out);
        at += (int)n;
        text += n;
        if (*text == '\n') {
            fprintf(out, "\n%*s", indent, "");
            at = indent;
        }
        if (*text) text++;
    }
    fputc('\n', out);
}

static void option_row(const atn_option *row, FILE *out)
{
    int at = row->key ? fprintf(out, "  -%c, --%s", row->key, row->name)
                      : fprintf(out, "      --%s", row->name);

    if (row->arg) at += fprintf(out, " %s", row->arg);
    if (at >= COLUMN) {
        fputc('\n', out);
        at = 0;
    }
    fprintf(out, "%*s", COLUMN - at, "");
    atn_help_wrap(row->text, COLUMN, COLUMN, out);
}

void atn_help_command(const atn_command *c, FILE *out)
{
    atn_option_group groups[ATN_CLI_GROUPS];
    const int n = atn_option_groups(c->uses, c->options, groups);

    fprintf(out, "attnscope %s: %s\n\nExamples:\n", c->id, c->summary);
    for (const char *const *e = c->examples; e && *e; e++)
        fprintf(out, "  attnscope %s\n", *e);
    fprintf(out, "\nUsage: attnscope %s%s%s [options]\n", c->id, *c->args ? " " : "",
            c->args);
    if (c->text) {
        fputc('\n', out);
        atn_help_wrap(c->text, 0, 0, out);
    }
    for (int g = 0; g < n; g++) {
        fprintf(out, "\n%s:\n", groups[g].title);
        for (const atn_option *row = groups[g].options; row->name; row++)
            option_row(row, out);
    }
}

void atn_help_program(FILE *out)
{
    fputs("attnscope: a command-line laboratory for attention\n\n"
          "Examples:\n"
          "  attnscope demo -o demo                         a report on a built-in "
          "model\n"
          "  attnscope capture MODEL --text story.txt -o RUN    run your model, keep "
          "Q, K, V\n"
          "  attnscope report RUN -o report.html            measures and figures of a "
          "capture\n"
          "\nUsage: attnscope COMMAND ... ; attnscope COMMAND --help\n\nCommands:\n",
          out);
    for (const atn_command *const *c = atn_commands; *c; c++)
        fprintf(out, "  %-12s %s\n", (*c)->id, (*c)->summary);
    fputs("\nData goes to stdout, everything else to stderr. attnscope --version "
          "prints the\n"
          "version; exit codes are in the man page, attnscope(1).\n",
          out);
}
