/* capture/import_tokens.c -- texts and roles of the tokens of an import. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/import_internal.h"

#include <string.h>

#include "core/io/file.h"
#include "core/io/json.h"
#include "core/problem.h"

static const char *const sides[ATN_IMPORT_SEQUENCES][2] = {
    {"key", "query"}, {"encoder", "key"}, {"decoder", "query"}};

static const atn_import_stack *find_stack(const atn_importing *m, const char *name)
{
    for (int i = 0; i < m->n; i++)
        if (strcmp(m->stacks[i].name, name) == 0) return &m->stacks[i];
    return NULL;
}

atn_idx atn_import_sequence_length(const atn_importing *m, int sequence)
{
    const atn_import_stack *own =
        find_stack(m, sequence == ATN_IMPORT_ONE ? "" : sides[sequence][0]);
    const atn_import_stack *cross = find_stack(m, "cross");

    if (own) return own->r->nk;
    if (!cross || sequence == ATN_IMPORT_ONE) return 0;
    return sequence == ATN_IMPORT_ENCODER ? cross->r->nk : cross->r->nq;
}

/* ---- looking for a list ---- */

/* The first array of n strings in v itself or among its members, `side` before the
 * others: a dump of cross-attention has texts of both sides. *cross: those of queries
 * are others. */
static const json_t *find_texts(const json_t *v, atn_idx n, const char *side,
                                bool *cross)
{
    const json_t *found = NULL, *queries = json_object_get(v, "query"), *member;
    const char *key;

    if (json_is_array(v) && (atn_idx)json_array_size(v) == n &&
        json_is_string(json_array_get(v, 0)))
        return v;
    if (!json_is_object(v)) return NULL;
    found = find_texts(json_object_get(v, side), n, side, cross);
    if (found && queries && !json_equal(queries, found)) *cross = true;
    for (void *i = json_object_iter((json_t *)(uintptr_t)v); i && !found;
         i = json_object_iter_next((json_t *)(uintptr_t)v, i)) {
        member = json_object_iter_value(i);
        key = json_object_iter_key(i);
        if (strcmp(key, side) != 0) found = find_texts(member, n, side, cross);
    }
    return found;
}

/* The part of a file that is of the sequence: the member of the name that "FILE:name"
 * of one stack gives, or that of the stack or of cross-attention. */
static const json_t *part_of(const atn_importing *m, int sequence, const json_t *all)
{
    const atn_import_stack *s = &m->stacks[0];
    const char *source = s->p.data ? s->p.source : s->k.source;
    const char *colon = source ? strrchr(source, ':') : NULL;
    const json_t *own = sequence == ATN_IMPORT_ONE
                            ? (colon ? json_object_get(all, colon + 1) : NULL)
                            : json_object_get(all, sides[sequence][0]);

    if (!own && sequence != ATN_IMPORT_ONE) own = json_object_get(all, "cross");
    return own ? own : all;
}

/* ---- taking it ---- */

/* Ids of the texts, numbered as they first appear: equal texts are equal tokens. */
static atn_status number_texts(atn_ctx *cx, atn_import_text *t)
{
    json_t *number = json_object();
    atn_status st = ATN_OK;
    char hash[33];

    t->ids = json_array();
    for (size_t i = 0; i < json_array_size(t->texts); i++) {
        const json_t *entry = json_array_get(t->texts, i);

        atn_hash_bytes(json_string_value(entry), json_string_length(entry), hash);
        if (!json_object_get(number, hash))
            json_object_set_new(number, hash,
                                json_integer((json_int_t)json_object_size(number)));
        json_array_append(t->ids, json_object_get(number, hash));
    }
    if (json_array_size(t->ids) != json_array_size(t->texts))
        ATN_FAIL(ATN_MEMORY, "no memory for the token texts");
done:
    json_decref(number);
    return st;
}

atn_status atn_import_texts_check(atn_ctx *cx, const char *file, const char *key,
                                  const json_t *list, atn_idx n)
{
    atn_status st = ATN_OK;
    const json_t *v;
    size_t i;

    if (!key && (!json_is_array(list) || (atn_idx)json_array_size(list) != n))
        ATN_FAIL(ATN_DATA, "%s: holds no list of %lld strings, one a token", file,
                 (long long)n);
    if (!json_is_array(list))
        ATN_FAIL(ATN_DATA, "%s: \"%s\" is no list of strings", file, key);
    if ((atn_idx)json_array_size(list) != n)
        ATN_FAIL(ATN_DATA,
                 "%s: \"%s\" has %zu entries, so it is no list of %lld strings, one a "
                 "token",
                 file, key, json_array_size(list), (long long)n);
    json_array_foreach(list, i, v)
    {
        if (!json_is_string(v))
            ATN_FAIL(ATN_DATA, "%s: entry %zu of the token texts%s%s is no string",
                     file, i, key ? " " : "", key ? key : "");
        if (json_string_length(v) != strlen(json_string_value(v)))
            ATN_FAIL(ATN_DATA,
                     "%s: entry %zu of the token texts%s%s holds the character "
                     "\\u0000, at which a text ends (write it in another way, such as "
                     "<0x00>)",
                     file, i, key ? " " : "", key ? key : "");
    }
done:
    return st;
}

atn_status atn_import_texts_take(atn_ctx *cx, const json_t *list, bool number,
                                 atn_import_text *out)
{
    atn_status st = ATN_OK;

    json_decref(out->texts);
    json_decref(out->ids);
    *out = (atn_import_text){.texts = json_deep_copy(list)};
    if (!out->texts) ATN_FAIL(ATN_MEMORY, "no memory for the token texts");
    if (number) ATN_TRY(number_texts(cx, out));
done:
    return st;
}

static atn_status read_texts(atn_ctx *cx, atn_importing *m, int sequence,
                             const char *file)
{
    const atn_idx n = atn_import_sequence_length(m, sequence);
    const atn_import_part *r = &m->r->part[0];
    const json_t *list;
    atn_status st = ATN_OK;
    json_t *all = NULL;
    bool number = true;

    ATN_TRY(atn_json_load(cx, file, false, &all));
    list = find_texts(part_of(m, sequence, all), n,
                      sides[sequence][sequence != ATN_IMPORT_ONE], &m->cross);
    /* of queries that are no keys nothing is known */
    if (sequence == ATN_IMPORT_ONE) number = !m->cross && (r->causal || r->nq == r->nk);
    ATN_TRY(atn_import_texts_check(cx, file, NULL, list, n));
    ATN_TRY(atn_import_texts_take(cx, list, number, &m->text[sequence]));
done:
    json_decref(all);
    return st;
}

static atn_status read_roles(atn_ctx *cx, atn_importing *m)
{
    const char *file = m->args->roles;
    const atn_idx nk = m->r->part[0].nk;
    atn_status st = ATN_OK;
    const json_t *v;
    size_t i;

    if (!file) return ATN_OK;
    ATN_TRY(atn_json_load(cx, file, false, &m->roles));
    if (!json_is_array(m->roles) || (atn_idx)json_array_size(m->roles) != nk)
        ATN_FAIL(ATN_DATA, "%s: is no list of %lld strings, one a key", file,
                 (long long)nk);
    json_array_foreach(m->roles, i, v)
    {
        if (!json_is_string(v))
            ATN_FAIL(ATN_DATA, "%s: entry %zu is no string", file, i);
        if (atn_role_find(json_string_value(v)) < 0)
            ATN_FAIL(ATN_DATA,
                     "%s: entry %zu is \"%.40s\", not \"none\", \"landmark\" or "
                     "\"global\"",
                     file, i, json_string_value(v));
    }
done:
    return st;
}

atn_status atn_import_tokens(atn_ctx *cx, atn_importing *m)
{
    char *files[ATN_IMPORT_SLOTS] = {0};
    const bool one = m->n > 0 && !*m->stacks[0].name;
    atn_status st = ATN_OK;

    ATN_TRY(read_roles(cx, m));
    if (!m->args->tokens) goto done;
    ATN_TRY(atn_import_sources(cx, m->args->tokens, files));
    if (files[3])
        ATN_FAIL(ATN_USAGE, "import: --tokens cross=: give those of the encoder and of "
                            "the decoder, which cross-attention joins");
    for (int s = one ? 0 : 1; s < (one ? 1 : ATN_IMPORT_SEQUENCES); s++) {
        const char *file = one || !files[s] ? files[0] : files[s];

        if (file && atn_import_sequence_length(m, s) > 0)
            ATN_TRY(read_texts(cx, m, s, file));
    }
    if (one && !files[0])
        ATN_FAIL(ATN_USAGE,
                 "import: --tokens is by stack, the tensors are of one (give "
                 "--attn encoder=FILE and so on, or --tokens FILE)");
done:
    for (int s = 0; s < ATN_IMPORT_SLOTS; s++) atn_free(cx, files[s]);
    return st;
}
