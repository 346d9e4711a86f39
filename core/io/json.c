/* core/io/json.c -- strict JSON reading and typed members over jansson. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/io/json.h"

#include <float.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/file.h"
#include "core/param.h"

static const size_t JSON_MAX_BYTES = (size_t)1 << 30;

/* Python writes NaN and infinity as words that JSON does not have. The key before the
 * one at which reading ended, "" where there is none, as in a list. */
static void key_of_word(const char *text, size_t at, char key[64])
{
    size_t end = at, begin;

    *key = '\0';
    while (end > 0 && !strchr(":,[{\n", text[end - 1])) end--;
    if (end == 0 || text[end - 1] != ':') return;
    for (end--; end > 0 && strchr(" \t\r\n", text[end - 1]);) end--;
    if (end == 0 || text[end - 1] != '"') return;
    for (begin = --end; begin > 0 && text[begin - 1] != '"';) begin--;
    if (end - begin < 64) snprintf(key, 64, "%.*s", (int)(end - begin), text + begin);
}

static atn_status no_json(atn_ctx *cx, const char *what, const char *text, size_t size,
                          const json_error_t *e)
{
    const size_t at = ATN_MIN((size_t)ATN_MAX(e->position, 0), size);
    const bool minus = strstr(e->text, "'-'") && size - at >= 3 &&
                       (text[at] == 'I' || text[at] == 'N');
    const bool word =
        minus || strstr(e->text, "'NaN'") || strstr(e->text, "'Infinity'");
    char key[64];

    if (word) key_of_word(text, at, key);
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "%s: line %d, column %d: no valid JSON: %s%s%s%s%s", what, e->line,
                    e->column, word && *key ? "\"" : "", word ? key : e->text,
                    word && *key ? "\" is " : "",
                    word ? "NaN or Infinity, which JSON does not have" : "",
                    word ? " (write a number or null)" : "");
}

atn_status atn_json_parse(atn_ctx *cx, const char *what, const char *text, size_t size,
                          bool int_as_real, json_t **out)
{
    const size_t flags = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL |
                         (int_as_real ? (size_t)JSON_DECODE_INT_AS_REAL : 0);
    json_error_t error;

    *out = json_loadb(text, size, flags, &error);
    if (*out) return ATN_OK;
    return no_json(cx, what, text, size, &error);
}

atn_status atn_json_load(atn_ctx *cx, const char *path, bool int_as_real, json_t **out)
{
    atn_status st = ATN_OK;
    char *text = NULL;
    size_t size = 0;

    *out = NULL;
    ATN_TRY(atn_file_read(cx, path, JSON_MAX_BYTES, &text, &size));
    ATN_TRY(atn_json_parse(cx, path, text, size, int_as_real, out));
done:
    atn_free(cx, text);
    return st;
}

/* Of jansson 2 on 64 bits: an array 136, an object 232, a number 32 and up to 24 for
 * its place in a list that grows; a string or key 80 and its text. Every value but one
 * stands behind a comma or is the first of an array or object. */
double atn_json_bytes(const char *text, size_t size)
{
    double bytes = (double)size + 56;

    for (size_t i = 0; i < size; i++) {
        bytes += text[i] == ',' ? 56 : 0;
        bytes += text[i] == '[' ? 136 : 0;
        bytes += text[i] == '{' ? 232 : 0;
        bytes += text[i] == '"' ? 40 : 0;
    }
    return bytes;
}

/* Without --mem-limit a tree may have this much. */
#define TREE_MOST ((double)((int64_t)8 << 30))

atn_status atn_json_tree_parse(atn_ctx *cx, const char *path, const char *text,
                               size_t size, const char *kind, const char *else_,
                               atn_json_tree *out)
{
    const double bytes = atn_json_bytes(text, size);
    const double most = fmin(TREE_MOST, atn_mem_machine());
    atn_status st = ATN_OK;
    char what[80];

    *out = (atn_json_tree){0};
    snprintf(what, sizeof what, "reading %.60s", kind);
    ATN_TRY(atn_mem_check(cx, bytes, what));
    if (cx->mem_limit == 0 && bytes > most)
        ATN_FAIL(ATN_MEMORY,
                 "%s: reading it needs %.3g GiB, above the %.0f GiB that %s may need "
                 "(%s, or raise it with --mem-limit)",
                 path, bytes / 0x1p30, most / 0x1p30, kind, else_);
    ATN_TRY(atn_json_parse(cx, path, text, size, false, &out->root));
    out->bytes = bytes;
    atn_mem_count(cx, (int64_t)bytes);
done:
    return st;
}

void atn_json_tree_drop(atn_ctx *cx, atn_json_tree *t)
{
    if (t->root) atn_mem_count(cx, -(int64_t)t->bytes);
    json_decref(t->root);
    *t = (atn_json_tree){0};
}

char *atn_json_text(atn_ctx *cx, const json_t *value)
{
    char *dumped = value ? json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    char *text = dumped ? atn_strdup(cx, dumped) : NULL;

    if (!dumped)
        (void)atn_fail(cx, ATN_MEMORY, __FILE__, __LINE__, "no memory for JSON text");
    free(dumped);
    return text;
}

atn_status atn_json_save(atn_ctx *cx, const char *path, const json_t *value)
{
    atn_status st = ATN_OK;
    atn_out out = {NULL, NULL, NULL};

    ATN_TRY(atn_out_open(cx, path, true, &out));
    if (json_dumpf(value, out.file,
                   JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(17)) != 0 ||
        fputc('\n', out.file) == EOF)
        ATN_FAIL(ATN_IO, "%s: cannot be written (is the disk full?)", path);
    ATN_TRY(atn_out_commit(cx, &out));
done:
    atn_out_abort(cx, &out);
    return st;
}

atn_status atn_json_check_keys(atn_ctx *cx, const char *what, const json_t *obj,
                               const char *const *known, int n)
{
    atn_status st = ATN_OK;
    char list[256];

    for (void *at = json_object_iter((json_t *)obj); at;
         at = json_object_iter_next((json_t *)obj, at)) {
        const char *key = json_object_iter_key(at);
        int i = 0;

        while (i < n && strcmp(key, known[i]) != 0) i++;
        if (i < n) continue;
        atn_known(key, known, n, list, sizeof list);
        ATN_FAIL(ATN_DATA, "%s: \"%.60s\" is no key %s", what, key, list);
    }
done:
    return st;
}

/* The member, NULL when it is missing or null. */
static const json_t *member(const json_t *obj, const char *key)
{
    const json_t *v = json_object_get(obj, key);

    return json_is_null(v) ? NULL : v;
}

static const char *type_name(const json_t *v)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "an object",   [JSON_ARRAY] = "an array",
        [JSON_STRING] = "a string",    [JSON_INTEGER] = "an integer",
        [JSON_REAL] = "a real number", [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",        [JSON_NULL] = "null"};

    return names[json_typeof(v)];
}

static atn_status wrong_type(atn_ctx *cx, const char *what, const char *key,
                             const char *want, const json_t *v)
{
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__, "%s: \"%s\" must be %s, not %s",
                    what, key, want, type_name(v));
}

atn_status atn_json_get_i64(atn_ctx *cx, const char *what, const json_t *obj,
                            const char *key, int64_t def, int64_t min, int64_t max,
                            int64_t *out)
{
    const json_t *v = member(obj, key);

    *out = def;
    if (!v) return ATN_OK;
    if (!json_is_integer(v)) return wrong_type(cx, what, key, "an integer", v);
    *out = json_integer_value(v);
    if (*out >= min && *out <= max) return ATN_OK;
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "%s: \"%s\" is %" PRId64 ", outside %" PRId64 "..%" PRId64, what,
                    key, *out, min, max);
}

atn_status atn_json_need_i64(atn_ctx *cx, const char *what, const json_t *obj,
                             const char *key, int64_t min, int64_t max, int64_t *out)
{
    if (!member(obj, key))
        return atn_fail(cx, ATN_DATA, __FILE__, __LINE__, "%s: \"%s\" is missing", what,
                        key);
    return atn_json_get_i64(cx, what, obj, key, 0, min, max, out);
}

atn_status atn_json_get_f64(atn_ctx *cx, const char *what, const json_t *obj,
                            const char *key, double def, double *out)
{
    const json_t *v = member(obj, key);

    *out = def;
    if (!v) return ATN_OK;
    if (!json_is_number(v)) return wrong_type(cx, what, key, "a number", v);
    *out = json_number_value(v);
    return ATN_OK;
}

atn_status atn_json_get_positive(atn_ctx *cx, const char *what, const json_t *obj,
                                 const char *key, double def, double *out)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_json_get_f64(cx, what, obj, key, def, out));
    if (member(obj, key) && !(*out > 0 && *out <= DBL_MAX))
        ATN_FAIL(ATN_DATA, "%s: \"%s\" is %g, it must be positive", what, key, *out);
done:
    return st;
}

atn_status atn_json_get_bool(atn_ctx *cx, const char *what, const json_t *obj,
                             const char *key, bool def, bool *out)
{
    const json_t *v = member(obj, key);

    *out = def;
    if (!v) return ATN_OK;
    if (!json_is_boolean(v)) return wrong_type(cx, what, key, "true or false", v);
    *out = json_is_true(v);
    return ATN_OK;
}

atn_status atn_json_get_str(atn_ctx *cx, const char *what, const json_t *obj,
                            const char *key, const char *def, const char **out)
{
    const json_t *v = member(obj, key);

    *out = def;
    if (!v) return ATN_OK;
    if (!json_is_string(v)) return wrong_type(cx, what, key, "a string", v);
    *out = json_string_value(v);
    return ATN_OK;
}
