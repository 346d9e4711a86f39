/* cli/batch_plan.c -- reading and checking the plan of attnscope batch. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/batch.h"
#include "core/io/file.h"
#include "core/param.h"
#include "core/shard.h"

static const size_t PLAN_MAX_BYTES = (size_t)16 << 20;
static const char *const placeholders[] = {"run", "out", "model", "text", "plan"};

/* ---- problems: all of them, then the end ---- */

enum { PROBLEMS = 50, PROBLEM_BYTES = ATN_ERR_TEXT };

typedef struct reading {
    atn_ctx *cx;
    atn_batch_plan *plan;
    char (*texts)[PROBLEM_BYTES]; /* [PROBLEMS] */
    atn_status first;
    int n; /* may be above PROBLEMS */
} reading;

static void problem(reading *r, atn_status code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void problem(reading *r, atn_status code, const char *fmt, ...)
{
    va_list args;

    if (r->n == 0) r->first = code;
    va_start(args, fmt);
    if (r->n < PROBLEMS) vsnprintf(r->texts[r->n], PROBLEM_BYTES, fmt, args);
    va_end(args);
    r->n++;
}

/* The error that a call left becomes a problem of `where`. */
static void problem_of_call(reading *r, const char *where)
{
    problem(r, r->cx->err.code, "%s: %.400s", where, r->cx->err.text);
    atn_err_clear(r->cx);
}

/* False, and a problem, where obj has a key that is none of known [n]. */
static bool knows_keys(reading *r, const char *where, const json_t *obj,
                       const char *const *known, int n)
{
    if (atn_json_check_keys(r->cx, where, obj, known, n) == ATN_OK) return true;
    problem(r, ATN_DATA, "%s", r->cx->err.text);
    atn_err_clear(r->cx);
    return false;
}

static atn_status say_problems(reading *r)
{
    atn_ctx *cx = r->cx;

    if (r->n == 0) return ATN_OK;
    if (r->n == 1) return atn_fail(cx, r->first, __FILE__, __LINE__, "%s", r->texts[0]);
    for (int i = 0; i < ATN_MIN(r->n, (int)PROBLEMS); i++)
        atn_log(cx, ATN_LOG_ERROR, "%s", r->texts[i]);
    return atn_fail(cx, r->first, __FILE__, __LINE__,
                    "%s: %d problems%s; nothing was run", r->plan->path, r->n,
                    r->n > PROBLEMS ? ", of which the first 50 are above" : "");
}

/* ---- values ---- */

/* A text that is not empty and has no zero byte, else NULL. */
static const char *text_of(const json_t *v)
{
    const char *text = json_string_value(v);

    return text && *text && strlen(text) == json_string_length(v) ? text : NULL;
}

/* A name becomes the name of a file: letters, digits, - _ and, where dots are allowed,
 * a dot inside. */
static bool is_name(const char *name, bool dots)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.";
    const size_t n = strlen(name);

    if (n == 0 || n > 100 || name[0] == '.' || name[0] == '-') return false;
    return strspn(name, plain) == n && (dots || !strchr(name, '.'));
}

static void check_name(reading *r, const char *kind, const char *name, bool dots)
{
    if (is_name(name, dots)) return;
    problem(r, ATN_DATA,
            "%s: %s \"%.60s\": a name is up to 100 letters, digits, -, _%s and begins "
            "with none of - and . (files are called by it)",
            r->plan->path, kind, name, dots ? ", ." : "");
}

static char *path_of(reading *r, const char *path)
{
    const bool alone = strcmp(r->plan->dir, ".") == 0 && path[0] != '-';

    return path[0] == '/' || alone ? atn_strdup(r->cx, path)
                                   : atn_path_join(r->cx, r->plan->dir, path);
}

/* words: NULL = none; true where it is a list of texts. */
static bool check_list(reading *r, const char *where, const json_t *words)
{
    bool good = json_is_array(words);
    const json_t *w;
    size_t i;

    json_array_foreach(words, i, w) good &= text_of(w) != NULL;
    if (!good)
        problem(r, ATN_DATA,
                "%s: must be a list of words, as [\"--layers\", \"0-3\"], none of them "
                "empty",
                where);
    return good;
}

/* ---- placeholders ---- */

/* The length of "{word}" at text, 0 where there is none. */
static size_t brace_length(const char *text)
{
    const size_t n =
        text[0] == '{' ? strspn(text + 1, "abcdefghijklmnopqrstuvwxyz_") : 0;

    return n > 0 && text[n + 1] == '}' ? n + 2 : 0;
}

static const char *value_at(const atn_batch_place *at, int i)
{
    const char *const values[] = {at->run, at->out, at->model, at->text, at->plan};

    return values[i];
}

static int find_placeholder(const char *name, size_t n)
{
    for (size_t i = 0; i < ATN_LEN(placeholders); i++)
        if (strlen(placeholders[i]) == n && strncmp(placeholders[i], name, n) == 0)
            return (int)i;
    return -1;
}

atn_status atn_batch_fill(atn_ctx *cx, const char *word, const atn_batch_place *at,
                          char **out)
{
    atn_status st = ATN_OK;
    atn_bytes b = {0};
    char name[64], list[160];

    *out = NULL;
    while (*word) {
        const size_t n = brace_length(word);
        const int i = n ? find_placeholder(word + 1, n - 2) : -1;

        if (n && i < 0) {
            snprintf(name, sizeof name, "%.*s", (int)ATN_MIN(n - 2, (size_t)60),
                     word + 1);
            atn_known(name, placeholders, (int)ATN_LEN(placeholders), list,
                      sizeof list);
            ATN_FAIL(ATN_DATA, "{%s} is no placeholder %s", name, list);
        }
        if (n)
            ATN_TRY(atn_bytes_add(cx, &b, value_at(at, i), strlen(value_at(at, i))));
        else
            ATN_TRY(atn_bytes_add(cx, &b, word, 1));
        word += n ? n : 1;
    }
    ATN_TRY(atn_bytes_add(cx, &b, "", 1));
    *out = atn_strdup(cx, (const char *)b.data);
    if (!*out) ATN_TRY(cx->err.code);
done:
    atn_bytes_release(cx, &b);
    return st;
}

atn_status atn_batch_named_file(atn_ctx *cx, const atn_batch_plan *p, const char *word,
                                char **out)
{
    static const char mark[] = "{plan}/";
    const char *at = strstr(word, mark);
    const char *name = at ? at + sizeof mark - 1 : NULL;

    *out = NULL;
    if (!name) return ATN_OK;
    *out = atn_strfmt(cx, "%s/%.*s", p->dir, (int)strcspn(name, ","), name);
    return *out ? ATN_OK : cx->err.code;
}

/* ---- models and texts ---- */

static atn_status read_model(reading *r, const char *name, const json_t *v,
                             atn_batch_model *out)
{
    static const char *const keys[] = {"path", "capture"};
    const char *path = text_of(json_is_object(v) ? json_object_get(v, "path") : v);
    atn_ctx *cx = r->cx;
    atn_status st = ATN_OK;
    char where[200];

    snprintf(where, sizeof where, "%.60s: model \"%.60s\"", r->plan->path, name);
    out->name = name;
    check_name(r, "model", name, true);
    if (json_is_object(v)) (void)knows_keys(r, where, v, keys, (int)ATN_LEN(keys));
    out->capture = json_is_object(v) ? json_object_get(v, "capture") : NULL;
    if (out->capture) (void)check_list(r, where, out->capture);
    if (!path) {
        problem(r, ATN_DATA,
                "%s: must be the path of a model, or {\"path\": ..., \"capture\": "
                "[...]}",
                where);
        return ATN_OK;
    }
    out->path = path_of(r, path);
    if (!out->path) ATN_TRY(cx->err.code);
    if (!atn_file_exists(out->path) && !atn_dir_exists(out->path))
        problem(r, ATN_NOINPUT, "%s: %s does not exist", where, out->path);
done:
    return st;
}

/* The keys of a text and the options of capture that they are. */
static const struct {
    const char *key, *option;
    bool source; /* one of these must be there, and only one */
} kinds[] = {
    {"text", "text", true},
    {"token_ids", "token-ids", true},
    {"image", "image", true},
    {"latents", "latents", true},
    {"target_text", "target-text", false},
    {"target_ids", "target-ids", false},
};

static atn_status add_file(reading *r, const char *where, atn_batch_text *t, size_t k,
                           const json_t *v)
{
    const char *path = text_of(v);
    atn_ctx *cx = r->cx;
    atn_status st = ATN_OK;
    atn_batch_file *f = &t->files[t->n_files];

    if (!path) {
        problem(r, ATN_DATA, "%s: \"%s\" must be the path of a file", where,
                kinds[k].key);
        return ATN_OK;
    }
    f->option = kinds[k].option;
    f->path = path_of(r, path);
    if (!f->path) ATN_TRY(cx->err.code);
    t->n_files++;
    if (!atn_file_exists(f->path))
        problem(r, ATN_NOINPUT, "%s: %s does not exist", where, f->path);
done:
    return st;
}

static atn_status read_text_object(reading *r, const char *where, const json_t *v,
                                   atn_batch_text *out)
{
    const char *keys[ATN_LEN(kinds) + 1];
    int sources = 0, targets = 0;
    atn_ctx *cx = r->cx;
    atn_status st = ATN_OK;

    for (size_t k = 0; k < ATN_LEN(kinds); k++) keys[k] = kinds[k].key;
    keys[ATN_LEN(kinds)] = "capture";
    (void)knows_keys(r, where, v, keys, (int)ATN_LEN(keys));
    out->capture = json_object_get(v, "capture");
    if (out->capture) (void)check_list(r, where, out->capture);
    for (size_t k = 0; k < ATN_LEN(kinds); k++) {
        const json_t *file = json_object_get(v, kinds[k].key);

        if (!file) continue;
        sources += kinds[k].source;
        targets += !kinds[k].source;
        if (sources <= 1 && targets <= 1) ATN_TRY(add_file(r, where, out, k, file));
    }
    if (sources != 1 || targets > 1)
        problem(r, ATN_DATA,
                "%s: needs one of text, token_ids, image and latents, and may have one "
                "of target_text and target_ids",
                where);
done:
    return st;
}

static atn_status read_text(reading *r, const char *name, const json_t *v,
                            atn_batch_text *out)
{
    char where[200];

    snprintf(where, sizeof where, "%.60s: text \"%.60s\"", r->plan->path, name);
    out->name = name;
    check_name(r, "text", name, true);
    if (json_is_object(v)) return read_text_object(r, where, v, out);
    return add_file(r, where, out, 0, v);
}

/* ---- commands ---- */

static const atn_opt_value *value_of(const atn_cli *cli, const char *name)
{
    for (int i = 0; i < cli->n_rows; i++)
        if (strcmp(cli->rows[i]->name, name) == 0) return &cli->values[i];
    return NULL;
}

static bool is_given(const atn_cli *cli, const char *name)
{
    const atn_opt_value *v = value_of(cli, name);

    return v && v->given > 0;
}

/* Where the output goes: to a name of this command alone. */
static void check_output(reading *r, const char *where, const atn_cli *typed,
                         atn_batch_command *c)
{
    const atn_opt_value *v = value_of(typed, "output");

    c->forces = value_of(typed, "force") != NULL;
    c->adds_table = v && !v->given && c->command->uses & ATN_USE_TABLE;
    c->writes = c->adds_table || (v && v->given);
    if (v && v->given && strncmp(v->text, "OUT", 3) != 0)
        problem(r, ATN_DATA,
                "%s: -o %.60s is the same file for every capture (give {out}.csv or "
                "another ending)",
                where, v->text);
}

/* The command line as it will be, with words in place of paths. */
static atn_status check_line(reading *r, const char *where, atn_batch_command *c)
{
    static const char *const refused[] = {"dry-run", "shard", "help"};
    static const atn_batch_place at = {"RUN", "OUT", "MODEL", "TEXT", "PLAN"};
    const size_t n = json_array_size(c->words);
    atn_ctx *cx = r->cx;
    atn_status st = ATN_OK;
    atn_cli typed = {.cx = cx, .command = c->command, .argc = (int)n + 1};
    char **words = NULL;

    ATN_NEW(words, (atn_idx)n + 2);
    words[0] = atn_strdup(cx, "attnscope");
    if (!words[0]) ATN_TRY(cx->err.code);
    for (size_t i = 0; i < n; i++)
        ATN_TRY(atn_batch_fill(cx, json_string_value(json_array_get(c->words, i)), &at,
                               &words[i + 1]));
    typed.argv = (const char *const *)words;
    ATN_TRY(atn_cli_parse(&typed, 2));
    if (typed.n_args < c->command->min_args ||
        (c->command->max_args >= 0 && typed.n_args > c->command->max_args))
        problem(r, ATN_DATA,
                "%s: %d words that are no options are not as in: attnscope %s %s",
                where, typed.n_args, c->command->id, c->command->args);
    for (size_t i = 0; i < ATN_LEN(refused); i++)
        if (is_given(&typed, refused[i]))
            problem(r, ATN_DATA, "%s: --%s leaves no result (leave it out)", where,
                    refused[i]);
    check_output(r, where, &typed, c);
done:
    atn_cli_release(&typed);
    atn_batch_words_free(cx, words);
    return st;
}

/* {out} is followed by an ending, so that what a command writes is called after it. */
static atn_status check_word(reading *r, const char *where, const char *word)
{
    atn_ctx *cx = r->cx;
    atn_status st = ATN_OK;
    char *file = NULL;

    for (const char *at = word; (at = strstr(at, "{out}"));) {
        at += 5;
        if (*at && (*at != '.' || strchr(at, '/')))
            problem(r, ATN_DATA,
                    "%s: '%.80s': {out} is followed by an ending, as in {out}.csv",
                    where, word);
    }
    ATN_TRY(atn_batch_named_file(cx, r->plan, word, &file));
    if (file && !atn_file_exists(file) && !atn_dir_exists(file))
        problem(r, ATN_NOINPUT, "%s: %s does not exist", where, file);
done:
    atn_free(cx, file);
    return st;
}

static void find_command(reading *r, const char *where, atn_batch_command *c)
{
    static const char *const refused[] = {"batch", "capture", "help"};
    const char *id = json_string_value(json_array_get(c->words, 0));
    const char *ids[64];
    char list[400];
    int n = 0;

    for (size_t i = 0; i < ATN_LEN(refused); i++)
        if (strcmp(id, refused[i]) == 0) {
            problem(r, ATN_DATA, "%s: %s is not for a plan", where, id);
            return;
        }
    c->command = atn_command_find(id);
    if (c->command) return;
    for (const atn_command *const *k = atn_commands; *k && n < 64; k++)
        ids[n++] = (*k)->id;
    atn_known(id, ids, n, list, sizeof list);
    problem(r, ATN_DATA, "%s: \"%.60s\" is no command %s", where, id, list);
}

static atn_status read_command(reading *r, const char *name, const json_t *v,
                               atn_batch_command *out)
{
    static const char *const reserved[] = {"run", "capture", "batch"};
    const int before = r->n;
    atn_ctx *cx = r->cx;
    atn_status st = ATN_OK;
    char where[200];

    snprintf(where, sizeof where, "%.60s: command \"%.60s\"", r->plan->path, name);
    out->name = name;
    out->words = v;
    check_name(r, "command", name, false);
    for (size_t i = 0; i < ATN_LEN(reserved); i++)
        if (strcmp(name, reserved[i]) == 0)
            problem(r, ATN_DATA, "%s: is a name that batch has for its own files",
                    where);
    if (!check_list(r, where, v)) return ATN_OK;
    if (json_array_size(v) == 0) {
        problem(r, ATN_DATA,
                "%s: must be a list that begins with a command, as [\"stats\", "
                "\"{run}\"]",
                where);
        return ATN_OK;
    }
    find_command(r, where, out);
    for (size_t i = 0; i < json_array_size(v); i++)
        ATN_TRY(check_word(r, where, json_string_value(json_array_get(v, i))));
    if (!out->command || r->n > before) return ATN_OK;
    st = check_line(r, where, out);
    if (st == ATN_MEMORY) return st;
    if (st != ATN_OK) problem_of_call(r, where);
    return ATN_OK;
done:
    return st;
}

/* ---- words of capture, pairs to leave out ---- */

/* Options that the plan says elsewhere are not among the words. */
static atn_status check_capture(reading *r, const char *where, const json_t *words)
{
    static const char *const refused[] = {
        "text",    "token-ids", "target-text", "target-ids", "image",
        "latents", "output",    "force",       "dry-run",    "help"};
    const size_t n = json_array_size(words);
    atn_ctx *cx = r->cx;
    atn_status st = ATN_OK;
    atn_cli typed = {
        .cx = cx, .command = atn_command_find("capture"), .argc = (int)n + 2};
    const char **line = NULL;

    ATN_NEW(line, (atn_idx)n + 3);
    line[0] = "attnscope";
    line[1] = "capture";
    for (size_t i = 0; i < n; i++)
        line[i + 2] = json_string_value(json_array_get(words, i));
    typed.argv = line;
    st = atn_cli_parse(&typed, 2);
    if (st != ATN_OK && st != ATN_MEMORY) {
        problem_of_call(r, where);
        st = ATN_OK;
        goto done;
    }
    if (typed.n_args > 0)
        problem(r, ATN_DATA, "%s: '%.60s' is no option of capture", where,
                typed.args[0]);
    for (size_t i = 0; i < ATN_LEN(refused); i++)
        if (is_given(&typed, refused[i]))
            problem(r, ATN_DATA, "%s: --%s is for the plan to say (leave it out)",
                    where, refused[i]);
done:
    atn_cli_release(&typed);
    atn_free(cx, line);
    return st;
}

static bool is_words(const json_t *v)
{
    const json_t *w;
    size_t i;

    if (!json_is_array(v)) return false;
    json_array_foreach(v, i, w) if (!text_of(w)) return false;
    return true;
}

static atn_status check_captures(reading *r)
{
    const atn_batch_plan *p = r->plan;
    atn_ctx *cx = r->cx;
    atn_status st = ATN_OK;
    char where[200];

    snprintf(where, sizeof where, "%.60s: \"capture\"", p->path);
    if (p->capture && check_list(r, where, p->capture))
        ATN_TRY(check_capture(r, where, p->capture));
    for (int i = 0; i < p->n_models; i++) {
        snprintf(where, sizeof where, "%.60s: \"capture\" of model \"%.60s\"", p->path,
                 p->models[i].name);
        if (is_words(p->models[i].capture))
            ATN_TRY(check_capture(r, where, p->models[i].capture));
    }
    for (int i = 0; i < p->n_texts; i++) {
        snprintf(where, sizeof where, "%.60s: \"capture\" of text \"%.60s\"", p->path,
                 p->texts[i].name);
        if (is_words(p->texts[i].capture))
            ATN_TRY(check_capture(r, where, p->texts[i].capture));
    }
done:
    return st;
}

static const char *const skip_keys[] = {"model", "text", "command"};

/* Does the member, if it is there, name this? */
static bool agrees(const json_t *entry, int key, const char *name)
{
    const char *wanted = json_string_value(json_object_get(entry, skip_keys[key]));

    return !wanted || (name && strcmp(wanted, name) == 0);
}

bool atn_batch_skips(const atn_batch_plan *p, const char *model, const char *text,
                     const char *command)
{
    const json_t *entry;
    size_t i;

    json_array_foreach(p->skip, i, entry)
    {
        if (agrees(entry, 0, model) && agrees(entry, 1, text) &&
            agrees(entry, 2, command))
            return true;
    }
    return false;
}

/* Every name in it is one of the plan. */
static atn_status check_skip_entry(reading *r, const json_t *entry)
{
    static const char *const groups[] = {"models", "texts", "commands"};
    atn_ctx *cx = r->cx;
    atn_status st = ATN_OK;
    const char **names = NULL;
    char list[400];

    for (int k = 0; k < 3; k++) {
        json_t *group = json_object_get(r->plan->root, groups[k]), *v;
        const json_t *named = json_object_get(entry, skip_keys[k]);
        const char *text = text_of(named), *key;
        int n = 0;

        if (!named || (text && json_object_get(group, text))) continue;
        ATN_NEW(names, (atn_idx)json_object_size(group) + 1);
        json_object_foreach(group, key, v) names[n++] = key;
        atn_known(text ? text : "", names, n, list, sizeof list);
        problem(r, ATN_DATA, "%s: \"skip\": \"%.60s\" is none of the %s %s",
                r->plan->path, text ? text : "?", groups[k], list);
        atn_free(cx, names);
        names = NULL;
    }
done:
    return st;
}

static atn_status check_skip(reading *r)
{
    const json_t *entry;
    atn_ctx *cx = r->cx;
    atn_status st = ATN_OK;
    char where[120];
    size_t i;

    snprintf(where, sizeof where, "%.60s: \"skip\"", r->plan->path);
    if (!r->plan->skip) return ATN_OK;
    if (!json_is_array(r->plan->skip))
        problem(r, ATN_DATA, "%s: must be a list of {\"model\", \"text\", \"command\"}",
                where);
    json_array_foreach(r->plan->skip, i, entry)
    {
        if (!json_is_object(entry) || json_object_size(entry) == 0)
            problem(r, ATN_DATA,
                    "%s: an entry is an object with some of model, text and command",
                    where);
        else if (knows_keys(r, where, entry, skip_keys, 3))
            ATN_TRY(check_skip_entry(r, entry));
    }
done:
    return st;
}

/* ---- the whole ---- */

/* A group is an object with something in it, of which the plan can hold all. */
static atn_status count_group(reading *r, const char *key, int *n)
{
    const json_t *group = json_object_get(r->plan->root, key);
    const size_t size = json_object_size(group);

    *n = 0;
    if (size == 0)
        problem(r, ATN_DATA, "%s: \"%s\" must be an object that names at least one",
                r->plan->path, key);
    else if (size > ATN_BATCH_JOBS)
        return atn_fail(r->cx, ATN_DATA, __FILE__, __LINE__,
                        "%s: %zu %s are above the %d jobs that a plan may have",
                        r->plan->path, size, key, (int)ATN_BATCH_JOBS);
    else
        *n = (int)size;
    return ATN_OK;
}

static atn_status read_groups(reading *r)
{
    atn_batch_plan *p = r->plan;
    atn_ctx *cx = r->cx;
    atn_status st = ATN_OK;
    int models, texts, commands;
    const char *key;
    json_t *v;

    ATN_TRY(count_group(r, "models", &models));
    ATN_TRY(count_group(r, "texts", &texts));
    ATN_TRY(count_group(r, "commands", &commands));
    if ((double)models * texts * (commands + 1.0) > ATN_BATCH_JOBS)
        ATN_FAIL(ATN_DATA, "%s: %d models, %d texts and %d commands are above %d jobs",
                 p->path, models, texts, commands, (int)ATN_BATCH_JOBS);
    ATN_NEW(p->models, models);
    ATN_NEW(p->texts, texts);
    ATN_NEW(p->commands, commands);
    if (models)
        json_object_foreach(json_object_get(p->root, "models"), key, v)
            ATN_TRY(read_model(r, key, v, &p->models[p->n_models++]));
    if (texts)
        json_object_foreach(json_object_get(p->root, "texts"), key, v)
            ATN_TRY(read_text(r, key, v, &p->texts[p->n_texts++]));
    if (commands)
        json_object_foreach(json_object_get(p->root, "commands"), key, v)
            ATN_TRY(read_command(r, key, v, &p->commands[p->n_commands++]));
done:
    return st;
}

/* A folder of a model beside the files that all jobs give together. */
static void check_clashes(reading *r)
{
    static const char *const own[] = {"batch", "report", "journal"};
    const atn_batch_plan *p = r->plan;

    for (int i = 0; i < p->n_models; i++) {
        const char *name = p->models[i].name;
        const size_t n = strcspn(name, ".");
        bool clash = false;

        if (name[n] == '\0') continue;
        for (size_t k = 0; k < ATN_LEN(own); k++)
            clash |= strlen(own[k]) == n && strncmp(own[k], name, n) == 0;
        for (int k = 0; k < p->n_commands; k++)
            clash |= strlen(p->commands[k].name) == n &&
                     strncmp(p->commands[k].name, name, n) == 0;
        if (clash)
            problem(r, ATN_DATA,
                    "%s: model \"%.60s\": its folder may be called like a file of all "
                    "jobs, %.*s.csv (rename one of the two)",
                    p->path, name, (int)ATN_MIN(n, (size_t)60), name);
    }
}

static atn_status read_root(reading *r)
{
    static const char *const keys[] = {"schema",   "models",  "texts",
                                       "commands", "capture", "skip"};
    atn_batch_plan *p = r->plan;
    const char *schema = json_string_value(json_object_get(p->root, "schema"));
    atn_ctx *cx = r->cx;
    atn_status st = ATN_OK;

    if (!json_is_object(p->root) || !schema || strcmp(schema, "attnscope/batch/1") != 0)
        ATN_FAIL(ATN_DATA,
                 "%s: is no plan: \"schema\" must be \"attnscope/batch/1\", found "
                 "\"%.60s\"",
                 p->path, schema ? schema : "");
    (void)knows_keys(r, p->path, p->root, keys, (int)ATN_LEN(keys));
    p->capture = json_object_get(p->root, "capture");
    p->skip = json_object_get(p->root, "skip");
    ATN_TRY(read_groups(r));
    ATN_TRY(check_captures(r));
    ATN_TRY(check_skip(r));
    check_clashes(r);
done:
    return st;
}

atn_status atn_batch_plan_load(atn_ctx *cx, const char *path, atn_batch_plan *out)
{
    const char *slash = strrchr(path, '/');
    atn_status st = ATN_OK;
    reading r = {.cx = cx, .plan = out};
    char *text = NULL;
    size_t size = 0;

    *out = (atn_batch_plan){0};
    out->path = atn_strdup(cx, path);
    out->dir = !slash          ? atn_strdup(cx, ".")
               : slash == path ? atn_strdup(cx, "/")
                               : atn_strndup(cx, path, (size_t)(slash - path));
    if (!out->path || !out->dir) ATN_TRY(cx->err.code);
    ATN_NEW(r.texts, PROBLEMS);
    ATN_TRY(atn_file_read(cx, path, PLAN_MAX_BYTES, &text, &size));
    atn_hash_bytes(text, size, out->hash);
    ATN_TRY(atn_json_parse(cx, path, text, size, false, &out->root));
    ATN_TRY(read_root(&r));
    ATN_TRY(say_problems(&r));
done:
    atn_free(cx, text);
    atn_free(cx, r.texts);
    if (st != ATN_OK) atn_batch_plan_release(cx, out);
    return st;
}

void atn_batch_plan_release(atn_ctx *cx, atn_batch_plan *p)
{
    for (int i = 0; i < p->n_models; i++) atn_free(cx, p->models[i].path);
    for (int i = 0; i < p->n_texts; i++)
        for (int k = 0; k < p->texts[i].n_files; k++)
            atn_free(cx, p->texts[i].files[k].path);
    atn_free(cx, p->models);
    atn_free(cx, p->texts);
    atn_free(cx, p->commands);
    atn_free(cx, p->path);
    atn_free(cx, p->dir);
    json_decref(p->root);
    *p = (atn_batch_plan){0};
}
