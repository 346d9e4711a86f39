/* cli/help_man.c -- the man page, from the same tables as --help. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <ctype.h>
#include <string.h>

#include "cli/help.h"
#include "core/run.h"

/* troff text: hyphens that are typed stay hyphens, a leading dot or quote is no
 * request. */
static void put(const char *text, FILE *out)
{
    if (*text == '.' || *text == '\'') fputs("\\&", out);
    for (; *text; text++) {
        if (*text == '-' || *text == '\\')
            fprintf(out, "\\%c", *text == '-' ? '-' : 'e');
        else
            fputc(*text, out);
        if (*text == '\n' && (text[1] == '.' || text[1] == '\'')) fputs("\\&", out);
    }
}

static void option_row(const atn_option *row, FILE *out)
{
    fputs(".TP\n", out);
    if (row->key) fprintf(out, "\\fB\\-%c\\fR, ", row->key);
    fputs("\\fB\\-\\-", out);
    put(row->name, out);
    fputs("\\fR", out);
    if (row->arg) {
        fputs(" \\fI", out);
        put(row->arg, out);
        fputs("\\fR", out);
    }
    fputc('\n', out);
    put(row->text, out);
    fputs(".\n", out);
}

static void rows(const atn_option *row, FILE *out)
{
    for (; row && row->name; row++) option_row(row, out);
}

static void command(const atn_command *c, FILE *out)
{
    atn_option_group groups[ATN_CLI_GROUPS];
    const int n = atn_option_groups(c->uses, NULL, groups);

    fputs(".SS attnscope ", out);
    put(c->id, out);
    fputc(' ', out);
    put(c->args, out);
    fputc('\n', out);
    put(c->summary, out);
    fputs(".\n", out);
    if (c->text) {
        fputs(".PP\n", out);
        put(c->text, out);
        fputc('\n', out);
    }
    rows(c->options, out);
    fputs(".PP\nOption groups: ", out);
    for (int i = 0; i < n; i++) fprintf(out, "%s%s", i ? ", " : "", groups[i].title);
    fputs(".\n.PP\nExamples:\n.PP\n.nf\n", out);
    for (const char *const *e = c->examples; e && *e; e++) {
        fputs("attnscope ", out);
        put(*e, out);
        fputc('\n', out);
    }
    fputs(".fi\n", out);
}

static void exit_codes(FILE *out)
{
    int last = -1;

    fputs(".SH EXIT STATUS\n", out);
    for (int i = 0; i < ATN_STATUS_COUNT; i++) {
        const int code = atn_status_exit((atn_status)i);

        if (code != last)
            fprintf(out, "%s.TP\n.B %d\n", i ? ".\n" : "", code);
        else
            fputs("; or ", out);
        put(atn_status_text((atn_status)i), out);
        last = code;
    }
    fputs(".\n", out);
}

void atn_help_man(FILE *out)
{
    atn_option_group groups[ATN_CLI_GROUPS];
    const int n = atn_option_groups(~0u, NULL, groups);

    fprintf(
        out,
        ".TH ATTNSCOPE 1 \"\" \"attnscope %s\" \"User Commands\"\n"
        ".SH NAME\nattnscope \\- a command\\-line laboratory for attention\n"
        ".SH SYNOPSIS\n.B attnscope\n.I COMMAND\n[options]\n"
        ".SH DESCRIPTION\n"
        "attnscope runs a transformer on a text, keeps the queries, keys and values of "
        "every layer in a capture directory, measures how the attention behaves, "
        "compares layers and heads, and draws it. Data goes to standard output, "
        "everything else to standard error. Nothing existing is overwritten without "
        "\\fB\\-\\-force\\fR.\n"
        ".SH COMMANDS\n",
        ATN_VERSION);
    for (const atn_command *const *c = atn_commands; *c; c++) command(*c, out);
    fputs(".SH SHARED OPTIONS\n", out);
    for (int g = 0; g < n; g++) {
        fprintf(out, ".SS %s\n", groups[g].title);
        rows(groups[g].options, out);
    }
    exit_codes(out);
    fputs(
        ".SH ENVIRONMENT\n"
        ".TP\n.B ATTNSCOPE_DATA\nDirectory with the built\\-in data sets, instead of "
        "the "
        "installed one.\n"
        ".TP\n.B NO_COLOR\nWhen set and not empty, no colour on standard error.\n"
        ".TP\n.B SOURCE_DATE_EPOCH\nTime written into run records and figures, so that "
        "they come out byte for byte the same.\n"
        ".SH LICENCE\nGPL\\-3.0\\-or\\-later. There is no warranty.\n",
        out);
}
