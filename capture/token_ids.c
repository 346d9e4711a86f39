/* capture/token_ids.c -- reads token ids, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/token_ids.h"

#include <ctype.h>
#include <string.h>

#include "core/io/file.h"
#include "core/io/json.h"
#include "core/io/npy.h"

static const size_t MAX_BYTES = (size_t)1 << 30;

static atn_status from_npy(atn_ctx *cx, const char *path, int32_t **ids, atn_idx *n)
{
    atn_status st = ATN_OK;
    atn_npy a = {0};

    ATN_TRY(atn_npy_load(cx, path, &a));
    if (a.is_float)
        ATN_FAIL(ATN_DATA, "%s: token ids must be integers, this array is float", path);
    ATN_NEW(*ids, a.count);
    for (atn_idx i = 0; i < a.count; i++) {
        if (a.i64[i] < 0 || a.i64[i] > INT32_MAX)
            ATN_FAIL(ATN_DATA, "%s: value %lld at position %lld is no token id", path,
                     (long long)a.i64[i], (long long)i);
        (*ids)[i] = (int32_t)a.i64[i];
    }
    *n = a.count;
done:
    atn_npy_release(cx, &a);
    return st;
}

static atn_status bad_id(atn_ctx *cx, const char *path, const char *at, atn_idx i)
{
    const int n = (int)ATN_MIN(strcspn(at, " \t\r\n\v\f"), (size_t)20);

    return atn_fail(
        cx, ATN_DATA, __FILE__, __LINE__,
        "%s: '%.*s' at position %lld is no token id (give whitespace-separated "
        "integers)",
        path, n, at, (long long)i);
}

static atn_status from_text(atn_ctx *cx, const char *path, const char *text,
                            int32_t **ids, atn_idx *n)
{
    atn_status st = ATN_OK;
    atn_idx count = 0;
    const char *at = text;

    for (const char *c = text; *c; c++)
        count +=
            !isspace((unsigned char)*c) && (c == text || isspace((unsigned char)c[-1]));
    ATN_NEW(*ids, count);
    for (atn_idx i = 0; i < count; i++) {
        int64_t value = 0;
        int digits = 0;

        while (isspace((unsigned char)*at)) at++;
        for (; isdigit((unsigned char)at[digits]) && digits < 11; digits++)
            value = 10 * value + (at[digits] - '0');
        if (digits == 0 || value > INT32_MAX ||
            (at[digits] && !isspace((unsigned char)at[digits])))
            ATN_TRY(bad_id(cx, path, at, i));
        (*ids)[i] = (int32_t)value;
        at += digits;
    }
    *n = count;
done:
    return st;
}

/* A batch of one, [[...]], is its only row. */
static const json_t *id_list(const json_t *j)
{
    if (json_is_object(j)) {
        const json_t *inner = json_object_get(j, "input_ids");
        j = inner ? inner : json_object_get(j, "ids");
    }
    if (json_array_size(j) == 1 && json_is_array(json_array_get(j, 0)))
        j = json_array_get(j, 0);
    return json_is_array(j) ? j : NULL;
}

static atn_status from_json(atn_ctx *cx, const char *path, int32_t **ids, atn_idx *n)
{
    atn_status st = ATN_OK;
    const json_t *list, *v;
    json_t *j = NULL;
    size_t i;

    ATN_TRY(atn_json_load(cx, path, false, &j));
    list = id_list(j);
    if (!list)
        ATN_FAIL(ATN_DATA,
                 "%s: is neither a list of token ids nor an object with input_ids",
                 path);
    ATN_NEW(*ids, json_array_size(list));
    json_array_foreach(list, i, v)
    {
        const json_int_t id = json_is_integer(v) ? json_integer_value(v) : -1;

        if (id < 0 || id > INT32_MAX)
            ATN_FAIL(ATN_DATA, "%s: the value at position %zu is no token id", path, i);
        (*ids)[i] = (int32_t)id;
    }
    *n = (atn_idx)json_array_size(list);
done:
    json_decref(j);
    return st;
}

atn_status atn_token_ids_load(atn_ctx *cx, const char *path, int32_t **ids, atn_idx *n)
{
    atn_status st = ATN_OK;
    char *text = NULL;
    size_t size = 0;

    *ids = NULL;
    *n = 0;
    if (atn_ends_with(path, ".npy")) {
        ATN_TRY(from_npy(cx, path, ids, n));
    } else if (atn_ends_with(path, ".json")) {
        ATN_TRY(from_json(cx, path, ids, n));
    } else {
        ATN_TRY(atn_file_read(cx, path, MAX_BYTES, &text, &size));
        if (strlen(text) != size)
            ATN_FAIL(ATN_DATA, "%s: NUL at byte %zu; token ids are text", path,
                     strlen(text));
        ATN_TRY(from_text(cx, path, text, ids, n));
    }
    if (*n == 0) ATN_FAIL(ATN_DATA, "%s: holds no token id", path);
done:
    atn_free(cx, text);
    if (st != ATN_OK) {
        atn_free(cx, *ids);
        *ids = NULL;
    }
    return st;
}
