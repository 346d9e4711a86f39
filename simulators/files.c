/* simulators/files.c -- what files of devices and of kernels share. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/files.h"

#include <string.h>
#include <strings.h>

#include "core/io/file.h"
#include "core/param.h"

/* ---- built-in ---- */

const atn_embedded *atn_embedded_at(const char *folder, int i)
{
    for (const atn_embedded *e = atn_embedded_files; e->folder; e++)
        if (strcmp(e->folder, folder) == 0 && i-- == 0) return e;
    return NULL;
}

const atn_embedded *atn_embedded_find(const char *folder, const char *id)
{
    const atn_embedded *e;

    for (int i = 0; (e = atn_embedded_at(folder, i)); i++)
        if (strcasecmp(e->id, id) == 0) return e;
    return NULL;
}

/* ---- by path ---- */

atn_status atn_sim_file_read(atn_ctx *cx, const char *name, char **text, size_t *size)
{
    *text = NULL;
    *size = 0;
    if (!strchr(name, '/') && !atn_ends_with(name, ".json") && !atn_file_exists(name))
        return ATN_OK;
    return atn_file_read(cx, name, ATN_SIM_FILE_MOST, text, size);
}

atn_status atn_sim_file_unknown(atn_ctx *cx, const char *noun, const char *folder,
                                const char *name)
{
    const char *ids[64];
    const atn_embedded *e;
    char known[ATN_ERR_TEXT - 192];
    int n = 0;

    while (n < (int)ATN_LEN(ids) && (e = atn_embedded_at(folder, n))) ids[n++] = e->id;
    atn_known(name, ids, n, known, sizeof known);
    return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                    "there is no %s '%.40s' %s, nor such a file", noun, name, known);
}

/* ---- what is in them ---- */

atn_status atn_sim_file_parse(atn_ctx *cx, const char *what, const char *text,
                              size_t size, const atn_sim_form *form, json_t **out)
{
    atn_status st = ATN_OK;
    const char *schema = NULL;
    json_t *root = NULL;

    *out = NULL;
    if (size > ATN_SIM_FILE_MOST)
        ATN_FAIL(ATN_DATA, "%s: %zu bytes, more than the %d that such a file may have",
                 what, size, ATN_SIM_FILE_MOST);
    ATN_TRY(atn_json_parse(cx, what, text, size, false, &root));
    if (!json_is_object(root)) ATN_FAIL(ATN_DATA, "%s: no JSON object", what);
    ATN_TRY(atn_json_get_str(cx, what, root, "schema", NULL, &schema));
    if (!schema || strcmp(schema, form->schema) != 0)
        ATN_FAIL(ATN_DATA, "%s: \"schema\" is %.60s, and \"%s\" is needed", what,
                 schema ? schema : "missing", form->schema);
    ATN_TRY(atn_json_check_keys(cx, what, root, form->keys, form->n));
    *out = root;
    root = NULL;
done:
    json_decref(root);
    return st;
}

/* The string of a key, checked for its length and for what a terminal would act on. */
static atn_status text_of(atn_ctx *cx, const char *what, const json_t *obj,
                          const char *key, bool needed, size_t size, const char **out)
{
    const json_t *v = json_object_get(obj, key);
    atn_status st = ATN_OK;
    const char *text = NULL;

    *out = NULL;
    ATN_TRY(atn_json_get_str(cx, what, obj, key, NULL, &text));
    if (!text && !needed) return ATN_OK;
    if (!text) ATN_FAIL(ATN_DATA, "%s: \"%s\" is missing", what, key);
    if (json_string_length(v) == 0 || json_string_length(v) >= size)
        ATN_FAIL(ATN_DATA, "%s: \"%s\" has %zu bytes, it must have 1 to %zu", what, key,
                 json_string_length(v), size - 1);
    for (const char *c = text; c < text + json_string_length(v); c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            ATN_FAIL(ATN_DATA, "%s: \"%s\" holds a control character (byte %d)", what,
                     key, (int)(c - text));
    *out = text;
done:
    return st;
}

atn_status atn_sim_text(atn_ctx *cx, const char *what, const json_t *obj,
                        const char *key, bool needed, char *out, size_t size)
{
    const char *text;
    const atn_status st = text_of(cx, what, obj, key, needed, size, &text);

    out[0] = '\0';
    if (text) memcpy(out, text, strlen(text) + 1);
    return st;
}

bool atn_sim_id_valid(const char *text, size_t size)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";
    const size_t n = strlen(text);

    return n > 0 && n < size && strspn(text, letters) == n && !strchr("._-", text[0]);
}

atn_status atn_sim_id(atn_ctx *cx, const char *what, const json_t *obj, const char *key,
                      bool needed, char *out, size_t size)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_sim_text(cx, what, obj, key, needed, out, size));
    if (*out && !atn_sim_id_valid(out, size))
        ATN_FAIL(ATN_DATA,
                 "%s: \"%s\" is \"%s\", it must be of a-z, 0-9, '.', '_' and '-', a "
                 "letter or digit first",
                 what, key, out);
done:
    return st;
}
