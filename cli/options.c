/* cli/options.c -- option tables: the shared groups, parsing, checking, reading
 * values. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/options.h"

#include <argp.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"

static const atn_option general[] = {
    {"help", 'h', ATN_OPT_FLAG, NULL, "show this help", 0, 0},
    {"quiet", 'q', ATN_OPT_FLAG, NULL, "errors only", 0, 0},
    {"verbose", 'v', ATN_OPT_FLAG, NULL, "say more; with an error, the way it took", 0,
     0},
    {"log", 0, ATN_OPT_CHOICE, "text|json", "form of the messages on stderr", 0, 0},
    {"seed", 0, ATN_OPT_I64, "N", "root of every random stream (0)", 0, 9e15},
    {"threads", 0, ATN_OPT_I64, "N", "threads (all processors)", 1, 4096},
    {"mem-limit", 0, ATN_OPT_BYTES, "SIZE",
     "refuse work that needs more memory, as 2GiB (no limit)", 0, 0},
    {"no-color", 0, ATN_OPT_FLAG, NULL, "no colour on stderr", 0, 0},
    ATN_OPTION_END,
};

static const atn_option selection[] = {
    {"layers", 0, ATN_OPT_TEXT, "LIST", "layers, as 0,5-8,-1 (all)", 0, 0},
    {"heads", 0, ATN_OPT_TEXT, "LIST",
     "heads of every layer, as 0,3, or layer.head pairs, as 2.3,5.1 (all)", 0, 0},
    {"stack", 0, ATN_OPT_TEXT, "NAME", "encoder, decoder or cross (all)", 0, 0},
    {"steps", 0, ATN_OPT_TEXT, "LIST", "steps (all)", 0, 0},
    ATN_OPTION_END,
};

static const atn_option table[] = {
    {"format", 0, ATN_OPT_CHOICE, "text|csv|jsonl",
     "form of the table (text; for -o by the file's name)", 0, 0},
    {"output", 'o', ATN_OPT_FILE, "FILE",
     "write here; with CSV the run record goes to FILE.run.json", 0, 0},
    {"force", 'f', ATN_OPT_FLAG, NULL, "overwrite existing output", 0, 0},
    {"run-record", 0, ATN_OPT_FILE, "FILE", "write the run record (JSON) here", 0, 0},
    ATN_OPTION_END,
};

static const atn_option output[] = {
    {"output", 'o', ATN_OPT_FILE, "PATH", "where to write", 0, 0},
    {"force", 'f', ATN_OPT_FLAG, NULL, "overwrite existing output", 0, 0},
    ATN_OPTION_END,
};

static const atn_option dry[] = {
    {"dry-run", 'n', ATN_OPT_FLAG, NULL, "print what would be done and what it costs",
     0, 0},
    ATN_OPTION_END,
};

static const atn_option device[] = {
    {"device", 0, ATN_OPT_TEXT, "NAME",
     "auto, cpu, cuda or cuda:N (cpu); attnscope inspect --devices lists them", 0, 0},
    {"dtype", 0, ATN_OPT_CHOICE, "f32|tf32|bf16",
     "arithmetic of matrix products on a GPU (f32)", 0, 0},
    ATN_OPTION_END,
};

static const atn_option shard[] = {
    {"shard", 0, ATN_OPT_TEXT, "i/N",
     "do part i of N (0/N to N-1/N) and write it to -o FILE, for attnscope merge; "
     "slurm "
     "= as the array task says",
     0, 0},
    ATN_OPTION_END,
};

static const atn_option_group shared[] = {
    {ATN_USE_SELECT, "Selection", selection}, {ATN_USE_TABLE, "Table output", table},
    {ATN_USE_OUTPUT, "Output", output},       {ATN_USE_DEVICE, "Device", device},
    {ATN_USE_DRY, "Planning", dry},           {ATN_USE_SHARD, "Sharing out", shard},
    {ATN_USE_GENERAL, "General", general},
};

int atn_option_groups(unsigned uses, const atn_option *own,
                      atn_option_group out[ATN_CLI_GROUPS])
{
    int n = 0;

    if (own) out[n++] = (atn_option_group){0, "Options", own};
    for (size_t i = 0; i < ATN_LEN(shared); i++)
        if ((uses | ATN_USE_GENERAL) & shared[i].use) out[n++] = shared[i];
    return n;
}

/* ---- finding rows ---- */

static int find_name(const atn_cli *cli, const char *name, size_t length)
{
    for (int i = 0; i < cli->n_rows; i++)
        if (strlen(cli->rows[i]->name) == length &&
            strncmp(cli->rows[i]->name, name, length) == 0)
            return i;
    return -1;
}

static int find_key(const atn_cli *cli, char key)
{
    for (int i = 0; i < cli->n_rows; i++)
        if (cli->rows[i]->key && cli->rows[i]->key == key) return i;
    return -1;
}

static void collect(atn_cli *cli)
{
    atn_option_group groups[ATN_CLI_GROUPS];
    const int n = atn_option_groups(cli->command->uses, cli->command->options, groups);

    for (int g = 0; g < n; g++)
        for (const atn_option *row = groups[g].options; row->name; row++) {
            ATN_ASSERT(cli->n_rows < ATN_CLI_ROWS);
            cli->rows[cli->n_rows++] = row;
        }
}

/* ---- what argp would say badly: checked before it runs ---- */

static atn_status unknown(atn_cli *cli, const char *text, size_t length)
{
    const char *names[ATN_CLI_ROWS];
    char name[128];
    int near;

    for (int i = 0; i < cli->n_rows; i++) names[i] = cli->rows[i]->name;
    length = ATN_MIN(length, sizeof name - 1);
    memcpy(name, text, length);
    name[length] = '\0';
    near = atn_nearest(name, names, cli->n_rows);
    if (strcmp(name, "shard") == 0)
        return atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
                        "%s: takes no --shard: %s", cli->command->id,
                        atn_command_one_piece(cli));
    if (near >= 0)
        return atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
                        "%s: unknown option --%s; did you mean --%s? (attnscope %s "
                        "--help lists them)",
                        cli->command->id, name, names[near], cli->command->id);
    return atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
                    "%s: unknown option --%s (attnscope %s --help lists them)",
                    cli->command->id, name, cli->command->id);
}

static atn_status no_value(atn_cli *cli, const atn_option *row)
{
    return atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
                    "%s: --%s needs a value (%s)", cli->command->id, row->name,
                    row->arg);
}

/* One "--name[=value]"; *skip is set when the next word is its value. */
static atn_status check_long(atn_cli *cli, const char *word, bool last, bool *skip)
{
    const char *equals = strchr(word, '=');
    const size_t length = equals ? (size_t)(equals - word) : strlen(word);
    const int i = find_name(cli, word, length);

    if (i < 0) return unknown(cli, word, length);
    if (cli->rows[i]->kind == ATN_OPT_FLAG) {
        if (equals)
            return atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
                            "%s: --%s takes no value, got '%s'", cli->command->id,
                            cli->rows[i]->name, equals + 1);
    } else if (!equals) {
        if (last) return no_value(cli, cli->rows[i]);
        *skip = true;
    }
    return ATN_OK;
}

/* One "-abc": flags, the last may take the rest or the next word as its value. */
static atn_status check_short(atn_cli *cli, const char *word, bool last, bool *skip)
{
    for (; *word; word++) {
        const int i = find_key(cli, *word);

        if (i < 0)
            return atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
                            "%s: unknown option -%c (attnscope %s --help lists them)",
                            cli->command->id, *word, cli->command->id);
        if (cli->rows[i]->kind == ATN_OPT_FLAG) continue;
        if (!word[1] && last) return no_value(cli, cli->rows[i]);
        *skip = !word[1];
        break;
    }
    return ATN_OK;
}

static atn_status check_words(atn_cli *cli, int first)
{
    for (int i = first; i < cli->argc; i++) {
        const char *word = cli->argv[i];
        const bool last = i + 1 == cli->argc;
        bool skip = false;
        atn_status st = ATN_OK;

        if (strcmp(word, "--") == 0) break;
        if (strncmp(word, "--", 2) == 0)
            st = check_long(cli, word + 2, last, &skip);
        else if (word[0] == '-' && word[1])
            st = check_short(cli, word + 1, last, &skip);
        if (st != ATN_OK) return st;
        if (skip) i++;
    }
    return ATN_OK;
}

/* ---- values ---- */

static atn_status bad_range(atn_cli *cli, const atn_option *row, const char *text)
{
    return atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
                    "%s: --%s %s is outside %.10g .. %.10g", cli->command->id,
                    row->name, text, row->min, row->max);
}

static atn_status read_integer(atn_cli *cli, const atn_option *row, const char *text,
                               int64_t *out)
{
    char *end = NULL;
    const long long v = strtoll(text, &end, 10);

    if (!*text || *end)
        return atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
                        "%s: --%s wants a whole number, got '%s'", cli->command->id,
                        row->name, text);
    *out = v;
    return ATN_OK;
}

static atn_status read_choice(atn_cli *cli, const atn_option *row, const char *text,
                              int64_t *out)
{
    const size_t length = strlen(text);
    int64_t index = 0;

    for (const char *at = row->arg; at; index++) {
        const char *bar = strchr(at, '|');
        const size_t n = bar ? (size_t)(bar - at) : strlen(at);

        if (n == length && strncmp(at, text, n) == 0) {
            *out = index;
            return ATN_OK;
        }
        at = bar ? bar + 1 : NULL;
    }
    return atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
                    "%s: --%s is one of %s, got '%s'", cli->command->id, row->name,
                    row->arg, text);
}

static atn_status read_value(atn_cli *cli, int i, const char *text)
{
    const atn_option *row = cli->rows[i];
    atn_opt_value *v = &cli->values[i];
    const bool ranged = row->min < row->max;
    char what[64];
    atn_status st = ATN_OK;
    atn_idx count = 0;
    size_t bytes = 0;

    v->given++;
    v->text = text;
    snprintf(what, sizeof what, "--%s", row->name);
    switch (row->kind) {
    case ATN_OPT_FLAG:
    case ATN_OPT_TEXT:
    case ATN_OPT_FILE:
        return ATN_OK;
    case ATN_OPT_CHOICE:
        return read_choice(cli, row, text, &v->integer);
    case ATN_OPT_I64:
        st = read_integer(cli, row, text, &v->integer);
        break;
    case ATN_OPT_COUNT:
        st = atn_parse_count(cli->cx, what, text, &count);
        v->integer = count;
        break;
    case ATN_OPT_BYTES:
        st = atn_parse_bytes(cli->cx, what, text, &bytes);
        v->integer = (int64_t)bytes;
        break;
    case ATN_OPT_F64:
        st = atn_parse_f64(cli->cx, what, text, &v->number);
        if (st == ATN_OK && ranged && !(v->number >= row->min && v->number <= row->max))
            return bad_range(cli, row, text);
        return st;
    }
    if (st == ATN_OK && ranged &&
        ((double)v->integer < row->min || (double)v->integer > row->max))
        return bad_range(cli, row, text);
    return st;
}

/* ---- argp ---- */

enum { KEY_BASE = 256 };

typedef struct parse_state {
    atn_cli *cli;
    atn_status st;
} parse_state;

static error_t on_option(int key, char *arg, struct argp_state *state)
{
    parse_state *p = state->input;
    int row = -1;

    if (key == ARGP_KEY_ARG) {
        p->cli->args[p->cli->n_args++] = arg;
        return 0;
    }
    if (key >= KEY_BASE && key < KEY_BASE + p->cli->n_rows) row = key - KEY_BASE;
    if (key > 0 && key < KEY_BASE) row = find_key(p->cli, (char)key);
    if (row < 0) return ARGP_ERR_UNKNOWN;
    if (p->st == ATN_OK) p->st = read_value(p->cli, row, arg);
    return 0;
}

atn_status atn_cli_parse(atn_cli *cli, int first)
{
    struct argp_option options[ATN_CLI_ROWS + 1] = {{0}};
    const struct argp argp = {.options = options, .parser = on_option};
    parse_state state = {cli, ATN_OK};
    char **words = NULL;
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    collect(cli);
    ATN_TRY(check_words(cli, first));
    ATN_NEW(cli->args, cli->argc + 1);
    ATN_NEW(words, cli->argc + 2);
    for (int i = 0; i < cli->n_rows; i++)
        options[i] = (struct argp_option){.name = cli->rows[i]->name,
                                          .key = cli->rows[i]->key ? cli->rows[i]->key
                                                                   : KEY_BASE + i,
                                          .arg = cli->rows[i]->arg};
    words[0] = (char *)(uintptr_t)cli->command->id; /* argp wants a program name */
    for (int i = first; i < cli->argc; i++)
        words[i - first + 1] = (char *)(uintptr_t)cli->argv[i];
    if (argp_parse(&argp, cli->argc - first + 1, words,
                   ARGP_NO_HELP | ARGP_NO_EXIT | ARGP_NO_ERRS, NULL, &state) != 0)
        ATN_FAIL(ATN_USAGE, "%s: cannot read the options (attnscope %s --help)",
                 cli->command->id, cli->command->id);
    ATN_TRY(state.st);
done:
    atn_free(cx, words);
    return st;
}

void atn_cli_release(atn_cli *cli)
{
    atn_free(cli->cx, (void *)cli->args);
    cli->args = NULL;
    cli->n_args = 0;
}

/* ---- reading values ---- */

static const atn_opt_value *value_of(const atn_cli *cli, const char *name)
{
    const int i = find_name(cli, name, strlen(name));

    ATN_ASSERT(i >= 0);
    return &cli->values[i];
}

bool atn_opt_given(const atn_cli *cli, const char *name)
{
    return value_of(cli, name)->given > 0;
}

const char *atn_opt_text(const atn_cli *cli, const char *name, const char *def)
{
    const atn_opt_value *v = value_of(cli, name);

    return v->given ? v->text : def;
}

int64_t atn_opt_i64(const atn_cli *cli, const char *name, int64_t def)
{
    const atn_opt_value *v = value_of(cli, name);

    return v->given ? v->integer : def;
}

double atn_opt_f64(const atn_cli *cli, const char *name, double def)
{
    const atn_opt_value *v = value_of(cli, name);

    return v->given ? v->number : def;
}

atn_status atn_opt_shape(const atn_cli *cli, const char *name, int most, atn_list *out)
{
    const char *text = atn_opt_text(cli, name, NULL);

    out->n = 0;
    if (!text || atn_shape_read(text, most, out)) return ATN_OK;
    return atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
                    "%s: --%s '%.60s' is not 1 to %d whole numbers from 1 to 2^31 such "
                    "as 16x44x80",
                    cli->command->id, name, text, most);
}

void atn_cli_apply(atn_cli *cli)
{
    atn_ctx *cx = cli->cx;

    if (atn_opt_given(cli, "quiet")) cx->log_level = ATN_LOG_ERROR;
    if (atn_opt_given(cli, "verbose")) cx->log_level = ATN_LOG_DEBUG;
    cx->log_json = atn_opt_i64(cli, "log", 0) == 1;
    cx->seed = (uint64_t)atn_opt_i64(cli, "seed", (int64_t)cx->seed);
    cx->threads = (int)atn_opt_i64(cli, "threads", cx->threads);
    cx->mem_limit = (size_t)atn_opt_i64(cli, "mem-limit", (int64_t)cx->mem_limit);
}
