/* cli/help_completion.c -- completion rules for bash, zsh and fish, from the tables. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>

#include "cli/help.h"

typedef void on_row(const atn_command *c, const atn_option *row, FILE *out);

static void each_row(const atn_command *c, on_row *visit, FILE *out)
{
    atn_option_group groups[ATN_CLI_GROUPS];
    const int n = atn_option_groups(c->uses, c->options, groups);

    for (int g = 0; g < n; g++)
        for (const atn_option *row = groups[g].options; row->name; row++)
            visit(c, row, out);
}

static bool has_words(const atn_command *c, const atn_option *row)
{
    if (row && row->kind == ATN_OPT_CHOICE) return true;
    return c->word && c->word(row ? row->name : NULL, 0);
}

/* The words of an option's value, or (row NULL) of the first argument. */
static void words(const atn_command *c, const atn_option *row, FILE *out)
{
    const char *word;

    if (row && row->kind == ATN_OPT_CHOICE) {
        for (const char *list = row->arg; *list; list++)
            fputc(*list == '|' ? ' ' : *list, out);
        return;
    }
    for (int i = 0; (word = c->word(row ? row->name : NULL, i)); i++)
        fprintf(out, "%s%s", i ? " " : "", word);
}

/* The i-th of the first arguments that words may follow; NULL = no more. */
static const char *leading(const atn_command *c, int i)
{
    const char *first;

    for (int k = 0; c->word_after && (first = c->word(NULL, k)); k++)
        if (c->word_after(first, 0) && i-- == 0) return first;
    return NULL;
}

static void words_after(const atn_command *c, const char *first, FILE *out)
{
    const char *word;

    for (int i = 0; (word = c->word_after(first, i)); i++)
        fprintf(out, "%s%s", i ? " " : "", word);
}

static void command_ids(FILE *out)
{
    for (const atn_command *const *c = atn_commands; *c; c++)
        fprintf(out, "%s%s", c == atn_commands ? "" : " ", (*c)->id);
}

/* ---- bash ---- */

static void bash_name(const atn_command *c, const atn_option *row, FILE *out)
{
    (void)c;
    fprintf(out, " --%s", row->name);
}

static void bash_words(const atn_command *c, const atn_option *row, FILE *out)
{
    if (!has_words(c, row)) return;
    fprintf(out, "        %s:%s%s) words=\"", c->id, row ? "--" : "",
            row ? row->name : c->id);
    words(c, row, out);
    fputs("\" ;;\n", out);
}

static void bash_after(const atn_command *c, FILE *out)
{
    const char *first;

    for (int i = 0; (first = leading(c, i)); i++) {
        fprintf(out, "        %s:%s) words=\"", c->id, first);
        words_after(c, first, out);
        fputs("\" ;;\n", out);
    }
}

static void bash(FILE *out)
{
    fputs("# bash completion of attnscope\n_attnscope()\n{\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
          "    local sub=${COMP_WORDS[1]} words=\n"
          "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        words=\"",
          out);
    command_ids(out);
    fputs(" --help --version\"\n    else\n        case $sub:$prev in\n", out);
    for (const atn_command *const *c = atn_commands; *c; c++) {
        bash_words(*c, NULL, out);
        each_row(*c, bash_words, out);
        bash_after(*c, out);
    }
    fputs("        esac\n"
          "        case $cur in\n        -*)\n            case $sub in\n",
          out);
    for (const atn_command *const *c = atn_commands; *c; c++) {
        fprintf(out, "            %s) words=\"", (*c)->id);
        each_row(*c, bash_name, out);
        fputs("\" ;;\n", out);
    }
    fputs("            esac ;;\n        esac\n    fi\n"
          "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
          "}\ncomplete -o bashdefault -o default -F _attnscope attnscope\n",
          out);
}

/* ---- zsh ---- */

/* Text inside '...[...]' of _arguments. */
static void zsh_text(const char *text, FILE *out)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", out);
        else if (strchr("[]:\\", *text))
            fprintf(out, "\\%c", *text);
        else
            fputc(*text, out);
    }
}

static void zsh_row(const atn_command *c, const atn_option *row, FILE *out)
{
    fprintf(out, " \\\n            '--%s[", row->name);
    zsh_text(row->text, out);
    fputc(']', out);
    if (has_words(c, row)) {
        fputs(":value:(", out);
        words(c, row, out);
        fputc(')', out);
    } else if (row->arg) {
        fprintf(out, ":%s:%s", row->arg, row->kind == ATN_OPT_FILE ? "_files" : "");
    }
    fputc('\'', out);
}

/* The words behind the first argument into an array of zsh. */
static void zsh_after(const atn_command *c, FILE *out)
{
    const char *first;

    fputs("        local -a after\n        case $words[2] in\n", out);
    for (int i = 0; (first = leading(c, i)); i++) {
        fprintf(out, "        %s) after=(", first);
        words_after(c, first, out);
        fputs(") ;;\n", out);
    }
    fputs("        esac\n", out);
}

static void zsh(FILE *out)
{
    fputs("#compdef attnscope\n_attnscope() {\n"
          "    if (( CURRENT == 2 )); then\n        _values command",
          out);
    for (const atn_command *const *c = atn_commands; *c; c++) {
        fprintf(out, " \\\n            '%s[", (*c)->id);
        zsh_text((*c)->summary, out);
        fputs("]'", out);
    }
    fputs("\n        return\n    fi\n    local sub=$words[2]\n"
          "    shift words\n    (( CURRENT-- ))\n    case $sub in\n",
          out);
    for (const atn_command *const *c = atn_commands; *c; c++) {
        fprintf(out, "    %s)\n", (*c)->id);
        if (leading(*c, 0)) zsh_after(*c, out);
        fputs("        _arguments", out);
        each_row(*c, zsh_row, out);
        if (has_words(*c, NULL)) {
            fputs(" \\\n            '1:word:(", out);
            words(*c, NULL, out);
            fputs(")'", out);
        }
        fputs(leading(*c, 0)
                  ? " \\\n            '*:file:{compadd -a after; _files}' ;;\n"
                  : " \\\n            '*:file:_files' ;;\n",
              out);
    }
    fputs("    esac\n}\n_attnscope \"$@\"\n", out);
}

/* ---- fish ---- */

static void fish_quoted(const char *text, FILE *out)
{
    fputc('\'', out);
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\') fputc('\\', out);
        fputc(*text, out);
    }
    fputc('\'', out);
}

static void fish_row(const atn_command *c, const atn_option *row, FILE *out)
{
    fprintf(out, "complete -c attnscope -n '__fish_seen_subcommand_from %s' -l %s",
            c->id, row->name);
    if (row->key) fprintf(out, " -s %c", row->key);
    if (has_words(c, row)) {
        fputs(" -x -a '", out);
        words(c, row, out);
        fputc('\'', out);
    } else if (row->arg) {
        fputs(row->kind == ATN_OPT_FILE ? " -r -F" : " -x", out);
    }
    fputs(" -d ", out);
    fish_quoted(row->text, out);
    fputc('\n', out);
}

static void fish_after(const atn_command *c, FILE *out)
{
    const char *first;

    for (int i = 0; (first = leading(c, i)); i++) {
        fprintf(out,
                "complete -c attnscope -n '__fish_seen_subcommand_from %s; and "
                "__fish_seen_subcommand_from %s' -a '",
                c->id, first);
        words_after(c, first, out);
        fputs("'\n", out);
    }
}

static void fish(FILE *out)
{
    fputs("# fish completion of attnscope\n", out);
    for (const atn_command *const *c = atn_commands; *c; c++) {
        fprintf(out, "complete -c attnscope -n __fish_use_subcommand -x -a %s -d ",
                (*c)->id);
        fish_quoted((*c)->summary, out);
        fputc('\n', out);
    }
    for (const atn_command *const *c = atn_commands; *c; c++) {
        each_row(*c, fish_row, out);
        fish_after(*c, out);
        if (!has_words(*c, NULL)) continue;
        fprintf(out, "complete -c attnscope -n '__fish_seen_subcommand_from %s' -a '",
                (*c)->id);
        words(*c, NULL, out);
        fputs("'\n", out);
    }
}

bool atn_help_completion(const char *shell, FILE *out)
{
    if (strcmp(shell, "bash") == 0)
        bash(out);
    else if (strcmp(shell, "zsh") == 0)
        zsh(out);
    else if (strcmp(shell, "fish") == 0)
        fish(out);
    else
        return false;
    return true;
}
