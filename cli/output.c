/* cli/output.c -- opening captures, and writing tables the way the options say. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/output.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/backend.h"
#include "core/io/file.h"
#include "core/io/json.h"
#include "core/shard.h"

atn_status atn_cli_record(atn_cli *cli, atn_run *run)
{
    const atn_cli *typed = cli->typed ? cli->typed : cli;
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    ATN_TRY(atn_run_init(cx, run, typed->argc, typed->argv));
    if (cli->ranks) atn_run_of_ranks(run, cli->begun, cli->shard->count);
    for (int i = 0; cli->typed && i < typed->n_args; i++)
        ATN_TRY(atn_run_add_input(cx, run, typed->args[i]));
    for (int i = 0; i < cli->n_rows; i++)
        if (cli->values[i].given)
            ATN_TRY(atn_run_add_option(
                cx, run, cli->rows[i]->name,
                cli->rows[i]->kind == ATN_OPT_FLAG ? "yes" : cli->values[i].text));
done:
    return st;
}

atn_status atn_subject_open(atn_cli *cli, const char *dir, atn_subject *s)
{
    atn_select_args args = {NULL, NULL, NULL, NULL};
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    char *manifest = NULL;

    memset(s, 0, sizeof *s);
    if (cli->command->uses & ATN_USE_SELECT)
        args = (atn_select_args){.stack = atn_opt_text(cli, "stack", NULL),
                                 .steps = atn_opt_text(cli, "steps", NULL),
                                 .layers = atn_opt_text(cli, "layers", NULL),
                                 .heads = atn_opt_text(cli, "heads", NULL)};
    ATN_TRY(atn_capture_open(cx, dir, &s->capture));
    ATN_TRY(atn_select(cx, s->capture, &args, &s->selection));
    ATN_TRY(atn_cli_record(cli, &s->run));
    manifest = atn_path_join(cx, dir, "capture.json");
    if (!manifest) ATN_TRY(cx->err.code);
    ATN_TRY(atn_run_add_input(cx, &s->run, manifest));
    if (cli->capture && strcmp(cli->capture, atn_record_capture(s->run.json)) != 0)
        ATN_FAIL(
            ATN_USAGE,
            "%s: is another capture than that of the parts (say where that is with "
            "--capture RUN)",
            dir);
done:
    atn_free(cx, manifest);
    return st;
}

void atn_subject_close(atn_cli *cli, atn_subject *s)
{
    atn_run_release(&s->run);
    atn_selection_release(cli->cx, &s->selection);
    atn_capture_close(cli->cx, s->capture);
    s->capture = NULL;
}

/* The forms of a table and the endings that choose them. */
static const struct {
    const char *end;
    atn_table_format format;
} endings[] = {{".csv", ATN_TABLE_CSV},
               {".jsonl", ATN_TABLE_JSONL},
               {".json", ATN_TABLE_JSONL},
               {".txt", ATN_TABLE_TEXT}};

/* The form that the name of a file chooses; a name without an ending is text. */
static bool format_of(const char *path, atn_table_format *out)
{
    const char *slash = strrchr(path, '/');
    const char *dot = strrchr(slash ? slash : path, '.');

    *out = ATN_TABLE_TEXT;
    for (size_t i = 0; dot && i < ATN_LEN(endings); i++)
        if (strcmp(dot, endings[i].end) == 0) {
            *out = endings[i].format;
            return true;
        }
    return !dot;
}

static atn_status check_free(atn_cli *cli, const char *path)
{
    if (atn_opt_given(cli, "force") || !(atn_file_exists(path) || atn_dir_exists(path)))
        return ATN_OK;
    return atn_fail(cli->cx, ATN_CANTCREATE, __FILE__, __LINE__,
                    "%s: exists already (give --force to overwrite it, or another -o)",
                    path);
}

/* The next of "a,b" from *at on, its length through n; NULL = none is left. */
static const char *next_kind(const char **at, size_t *n)
{
    const char *kind = *at;

    if (!kind || !*kind) return NULL;
    *n = strcspn(kind, ",");
    *at = kind[*n] ? kind + *n + 1 : NULL;
    return kind;
}

static char *beside_path(atn_ctx *cx, const char *path, const char *kind, size_t n)
{
    return atn_strfmt(cx, "%s.%.*s.csv", path, (int)n, kind);
}

/* The files beside a CSV file, in which further tables would go. */
static atn_status check_beside(atn_cli *cli, const char *path)
{
    const char *rest = cli->command->second, *kind;
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    char *beside = NULL;
    size_t n;

    while ((kind = next_kind(&rest, &n))) {
        beside = beside_path(cx, path, kind, n);
        if (!beside) ATN_TRY(cx->err.code);
        ATN_TRY(check_free(cli, beside));
        atn_free(cx, beside);
        beside = NULL;
    }
done:
    atn_free(cx, beside);
    return st;
}

atn_status atn_cli_check_output(atn_cli *cli, const char *path)
{
    const bool table = cli->command->uses & ATN_USE_TABLE &&
                       !(cli->shard && !cli->shard->merges && !cli->ranks);
    atn_table_format format;
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    if (!path || strcmp(path, "-") == 0) return ATN_OK;
    if (table && !atn_opt_given(cli, "format") && !format_of(path, &format))
        ATN_FAIL(
            ATN_USAGE,
            "%s: the ending names no form of a table (give .csv, .jsonl or .txt, or "
            "--format)",
            path);
    ATN_TRY(check_free(cli, path));
    if (table && atn_cli_format(cli) == ATN_TABLE_CSV) ATN_TRY(check_beside(cli, path));
done:
    return st;
}

/* Did the command say that it may print a table of this kind after its first one? */
static bool is_second(const atn_cli *cli, const atn_table *t)
{
    const char *rest = cli->command->second, *kind;
    size_t n;

    while ((kind = next_kind(&rest, &n)))
        if (strlen(atn_table_kind(t)) == n && strncmp(kind, atn_table_kind(t), n) == 0)
            return true;
    return false;
}

atn_table_format atn_cli_format(const atn_cli *cli)
{
    atn_table_format format = ATN_TABLE_TEXT;

    if (atn_opt_given(cli, "format"))
        return (atn_table_format)atn_opt_i64(cli, "format", 0);
    (void)format_of(atn_opt_text(cli, "output", ""), &format);
    return format;
}

/* Of the terminal that stdout is, or as COLUMNS says; 0 = there is none. */
static int screen_columns(void)
{
    const char *text = getenv("COLUMNS");
    const long said = text ? strtol(text, NULL, 10) : 0;
    struct winsize size;

    if (said >= 20 && said <= 10000) return (int)said;
    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
        return size.ws_col;
    return 0;
}

void atn_cli_clear_meter(atn_cli *cli)
{
    if (cli->cx->progress) cli->cx->progress(cli->cx->progress_user, "", 1, 1);
}

atn_status atn_cli_print(atn_cli *cli, const atn_table *t)
{
    atn_table_format format = ATN_TABLE_TEXT;

    for (int i = 0; i < cli->n_rows; i++)
        if (strcmp(cli->rows[i]->name, "format") == 0)
            format = (atn_table_format)atn_opt_i64(cli, "format", 0);
    atn_cli_clear_meter(cli);
    cli->cx->columns = screen_columns();
    return atn_table_write(cli->cx, t, NULL, format, stdout);
}

bool atn_cli_is_neutral(const char *name)
{
    static const char *const names[] = {
        "shard",       "output",   "force",  "format",  "run-record",
        "quiet",       "verbose",  "log",    "threads", "mem-limit",
        "time-budget", "no-color", "device", "dtype"};

    for (size_t i = 0; i < ATN_LEN(names); i++)
        if (strcmp(name, names[i]) == 0) return true;
    return false;
}

/* Inputs but for the parts that merge was given, whose command's own they are. */
static json_t *own_inputs(const atn_cli *cli, const json_t *record)
{
    const atn_cli *typed = cli->typed;
    json_t *out = json_array();
    const json_t *input;
    size_t i;

    json_array_foreach(json_object_get(record, "inputs"), i, input)
    {
        const char *path = json_string_value(json_object_get(input, "path"));
        bool part = false;

        for (int k = 0; typed && path && k < typed->n_args; k++)
            part |= strcmp(path, typed->args[k]) == 0;
        if (!part) json_array_append(out, json_object_get(input, "xxh3_128"));
    }
    return out;
}

/* What the table depends on, as a hash for the name of a file. */
static atn_status request_name(atn_cli *cli, const atn_run *run, char hex[33])
{
    json_t *options = json_object(), *args = json_array();
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    json_t *what = NULL;
    char *text = NULL;

    for (int i = 0; i < cli->n_rows; i++)
        if (cli->values[i].given && !atn_cli_is_neutral(cli->rows[i]->name) &&
            strcmp(cli->rows[i]->name, "keep") != 0)
            json_object_set(options, cli->rows[i]->name,
                            json_object_get(json_object_get(run->json, "options"),
                                            cli->rows[i]->name));
    for (int i = 1; i < cli->n_args; i++)
        json_array_append_new(args, json_string(cli->args[i]));
    what = json_pack("{s:s, s:s, s:o, s:o, s:o, s:O, s:s, s:s}", "version", ATN_VERSION,
                     "command", cli->command->id, "args", args, "options", options,
                     "inputs", own_inputs(cli, run->json), "seed",
                     json_object_get(run->json, "seed"), "arithmetic",
                     cx->backend->arithmetic, "device", cx->backend->device);
    if (what) text = json_dumps(what, JSON_SORT_KEYS | JSON_COMPACT);
    if (!text) ATN_FAIL(ATN_MEMORY, "no memory for the name of a result");
    atn_hash_bytes(text, strlen(text), hex);
done:
    json_decref(what);
    free(text);
    return st;
}

atn_status atn_cli_keep(atn_cli *cli, const atn_run *run, const atn_table *t,
                        bool first, const char *keep_dir)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    char *dir = NULL, *path = NULL, name[33];

    ATN_TRY(request_name(cli, run, name));
    dir = atn_path_join(cx, keep_dir, "results");
    if (!dir) ATN_TRY(cx->err.code);
    ATN_TRY(atn_dir_make(cx, dir));
    path = atn_strfmt(cx, "%s/%s-%s%s%s.csv", dir, cli->command->id, name,
                      first ? "" : ".", first ? "" : atn_table_kind(t));
    if (!path) ATN_TRY(cx->err.code);
    ATN_TRY(atn_table_save(cx, t, run, ATN_TABLE_CSV, path, true));
    atn_log(cx, ATN_LOG_INFO, "stored %s", path);
done:
    atn_free(cx, path);
    atn_free(cx, dir);
    return st;
}

/* CSV: one table a file. */
static atn_status emit_csv(atn_cli *cli, const atn_run *run, const atn_table *t,
                           const char *path, bool first)
{
    const bool force = atn_opt_given(cli, "force");
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    char *beside = NULL;

    if (!path && first) {
        ATN_TRY(atn_table_write(cx, t, run, ATN_TABLE_CSV, stdout));
    } else if (!path) {
        if (!atn_opt_given(cli, "quiet"))
            ATN_TRY(atn_table_write(cx, t, run, ATN_TABLE_TEXT, stderr));
    } else if (first) {
        ATN_TRY(atn_table_save(cx, t, run, ATN_TABLE_CSV, path, force));
    } else {
        beside = beside_path(cx, path, atn_table_kind(t), strlen(atn_table_kind(t)));
        if (!beside) ATN_TRY(cx->err.code);
        ATN_TRY(atn_table_save(cx, t, run, ATN_TABLE_CSV, beside, force));
    }
done:
    atn_free(cx, beside);
    return st;
}

static atn_status emit_file(atn_cli *cli, const atn_run *run,
                            const atn_table *const *tables, int n, const char *path)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_out out = {0};

    ATN_TRY(atn_out_open(cx, path, atn_opt_given(cli, "force"), &out));
    ATN_TRY(atn_tables_write(cx, tables, n, run, atn_cli_format(cli), out.file));
    ATN_TRY(atn_out_commit(cx, &out));
done:
    atn_out_abort(cx, &out);
    return st;
}

atn_status atn_cli_emit_all(atn_cli *cli, atn_run *run, const atn_table *const *tables,
                            int n, int first, const char *keep_dir)
{
    const char *path = atn_opt_text(cli, "output", NULL);
    const char *record = atn_opt_text(cli, "run-record", NULL);
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    atn_cli_clear_meter(cli);
    for (int i = 0; i < n; i++) ATN_ASSERT(i == first || is_second(cli, tables[i]));
    if (path && strcmp(path, "-") == 0) path = NULL;
    cx->columns = path ? 0 : screen_columns();
    if (record) ATN_TRY(atn_cli_check_output(cli, record));
    ATN_TRY(atn_run_finish(cx, run));
    if (atn_cli_format(cli) == ATN_TABLE_CSV) {
        ATN_TRY(emit_csv(cli, run, tables[first], path, true));
        for (int i = 0; i < n; i++)
            if (i != first) ATN_TRY(emit_csv(cli, run, tables[i], path, false));
    } else if (path) {
        ATN_TRY(emit_file(cli, run, tables, n, path));
    } else {
        ATN_TRY(atn_tables_write(cx, tables, n, run, atn_cli_format(cli), stdout));
    }
    if (record) ATN_TRY(atn_json_save(cx, record, run->json));
    for (int i = 0; keep_dir && atn_opt_given(cli, "keep") && i < n; i++)
        ATN_TRY(atn_cli_keep(cli, run, tables[i], i == first, keep_dir));
done:
    return st;
}

atn_status atn_cli_any_rows(atn_ctx *cx, const char *command, const atn_table *t)
{
    if (atn_table_rows(t) > 0) return ATN_OK;
    return atn_fail(
        cx, ATN_USAGE, __FILE__, __LINE__,
        "%s: there is nothing to print, for the reasons above (choose other "
        "layers with --stack or --layers)",
        command);
}

atn_status atn_cli_emit(atn_cli *cli, atn_run *run, const atn_table *t,
                        const char *keep_dir)
{
    return atn_cli_emit_all(cli, run, &t, 1, 0, keep_dir);
}

const char *atn_record_capture(const json_t *record)
{
    static const char name[] = "capture.json";
    const json_t *input;
    size_t i;

    json_array_foreach(json_object_get(record, "inputs"), i, input)
    {
        const char *path = json_string_value(json_object_get(input, "path"));
        const char *slash = path ? strrchr(path, '/') : NULL;

        if (path && strcmp(slash ? slash + 1 : path, name) == 0)
            return json_string_value(json_object_get(input, "xxh3_128"));
    }
    return NULL;
}
