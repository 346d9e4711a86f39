/* approx/shape_file.c -- shapes of heads in files. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/shape_file.h"

#include <stdio.h>
#include <string.h>

#include "core/io/json.h"

enum { SIZE_MOST = 1 << 30 };
static const char *const types[] = {"vertical_and_slash", "stream_llm", "block_sparse"};

static atn_status read_rule(atn_ctx *cx, const char *where, const json_t *j,
                            atn_shape_rule *out)
{
    const char *type = json_string_value(json_array_get(j, 0));
    const json_t *v = json_array_get(j, 1), *s = json_array_get(j, 2);
    atn_status st = ATN_OK;
    size_t t = 0;

    if (!json_is_array(j) || json_array_size(j) < 3 || json_array_size(j) > 4)
        ATN_FAIL(ATN_DATA, "%s is no [type, columns, diagonals, share]", where);
    while (t < ATN_LEN(types) && (!type || strcmp(type, types[t]) != 0)) t++;
    if (t == ATN_LEN(types))
        ATN_FAIL(ATN_DATA,
                 "%s: type \"%.40s\" is not \"vertical_and_slash\", \"stream_llm\" or "
                 "\"block_sparse\"",
                 where, type ? type : "");
    if (!json_is_integer(v) || !json_is_integer(s) || json_integer_value(v) < 0 ||
        json_integer_value(s) < 0 || json_integer_value(v) > SIZE_MOST ||
        json_integer_value(s) > SIZE_MOST)
        ATN_FAIL(ATN_DATA, "%s: its sizes are no whole numbers from 0 to 2^30", where);
    *out = (atn_shape_rule){(atn_shape_type)t, json_integer_value(v),
                            json_integer_value(s)};
done:
    return st;
}

atn_status atn_shape_file_read(atn_ctx *cx, const char *path, int layer, int head,
                               int layers, atn_shape_rule *out)
{
    char name[16], where[400];
    const json_t *of, *rule;
    atn_status st = ATN_OK;
    json_t *j = NULL;

    *out = (atn_shape_rule){ATN_SHAPE_LINES, ATN_SHAPE_V, ATN_SHAPE_S};
    ATN_TRY(atn_json_load(cx, path, false, &j));
    if (!json_is_array(j)) ATN_FAIL(ATN_DATA, "%s is no list of layers", path);
    if (layers > 0 && json_array_size(j) != (size_t)layers)
        ATN_FAIL(ATN_DATA, "%s has shapes for %zu layers, and the model has %d", path,
                 json_array_size(j), layers);
    of = json_array_get(j, (size_t)layer);
    if (!json_is_object(of))
        ATN_FAIL(ATN_DATA,
                 "%s: entry %d, a layer, is no object of heads (make one with "
                 "`attnscope export --to minference`)",
                 path, layer);
    snprintf(name, sizeof name, "%d", head);
    snprintf(where, sizeof where, "%.300s: layer %d, head %d", path, layer, head);
    rule = json_object_get(of, name);
    if (rule) ATN_TRY(read_rule(cx, where, rule, out));
done:
    json_decref(j);
    return st;
}
