/* core/io/capture_facts.c -- what the manifest says of the tokens beside their ids and
 * texts: the grid that they form, their roles, where the prompt ends.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/io/capture_internal.h"

#include <stdio.h>

#include "core/io/json.h"

enum { AXES_MOST = 3 };

static atn_status read_grid(atn_ctx *cx, const char *what, atn_capture *c)
{
    const char *text = NULL;
    atn_status st = ATN_OK;
    atn_idx tokens = 1;
    bool fits = true;

    ATN_TRY(atn_json_get_str(cx, what, c->manifest, "grid", NULL, &text));
    ATN_TRY(atn_json_get_i64(cx, what, c->manifest, "grid_first", 0, 0, c->nk_least,
                             &c->grid_first));
    if (!text && c->grid_first > 0)
        ATN_FAIL(ATN_DATA, "%s: \"grid_first\" is %lld, but there is no \"grid\"", what,
                 (long long)c->grid_first);
    if (!text) goto done;
    ATN_NEW(c->grid, 1);
    if (!atn_shape_read(text, AXES_MOST, c->grid))
        ATN_FAIL(ATN_DATA,
                 "%s: \"grid\" is \"%.60s\", not 1 to %d whole numbers "
                 "from 1 to 2^31 such as 16x44x80",
                 what, text, AXES_MOST);
    for (int i = 0; i < c->grid->n; i++)
        fits &= atn_mul(tokens, c->grid->at[i], &tokens);
    if (!fits || tokens > c->nk_least - c->grid_first)
        ATN_FAIL(ATN_DATA,
                 "%s: \"grid\" is \"%s\", which is more tokens than the "
                 "%lld keys that a layer has%s",
                 what, text, (long long)(c->nk_least - c->grid_first),
                 c->grid_first > 0 ? " from grid_first on" : "");
done:
    return st;
}

static atn_status read_roles(atn_ctx *cx, const char *what, atn_capture *c)
{
    const json_t *list = json_object_get(c->manifest, "roles"), *v;
    atn_status st = ATN_OK;
    size_t i;

    if (!list || json_is_null(list)) return ATN_OK;
    if (!json_is_array(list))
        ATN_FAIL(ATN_DATA, "%s: \"roles\" is no list of strings", what);
    if ((atn_idx)json_array_size(list) != c->nk_most)
        ATN_FAIL(ATN_DATA,
                 "%s: \"roles\" has %zu entries, needed is one for each "
                 "of %lld keys",
                 what, json_array_size(list), (long long)c->nk_most);
    ATN_NEW(c->roles, c->nk_most);
    json_array_foreach(list, i, v)
    {
        const int role = json_is_string(v) ? atn_role_find(json_string_value(v)) : -1;

        if (role < 0)
            ATN_FAIL(ATN_DATA,
                     "%s: roles[%zu] is %s%.40s%s, not \"none\", "
                     "\"landmark\" or \"global\"",
                     what, i, json_is_string(v) ? "\"" : "",
                     json_is_string(v) ? json_string_value(v) : "no string",
                     json_is_string(v) ? "\"" : "");
        c->roles[i] = (uint8_t)role;
    }
done:
    return st;
}

atn_status atn_capture_read_facts(atn_ctx *cx, atn_capture *c)
{
    char what[512];
    atn_status st = ATN_OK;

    snprintf(what, sizeof what, "%.400s/capture.json", c->dir);
    ATN_TRY(read_grid(cx, what, c));
    ATN_TRY(read_roles(cx, what, c));
    ATN_TRY(atn_json_get_i64(cx, what, c->manifest, "prompt", 0, 1, c->nk_most,
                             &c->prompt));
done:
    return st;
}
