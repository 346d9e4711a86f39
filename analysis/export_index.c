/* analysis/export_index.c -- index.json of an export of arrays.
 *
 * An entry of "layers" has the keys of the manifest's (docs/guide/capture-format.md)
 * but for those of the file, with "layer" for "index", and in "heads" the numbers of
 * the heads that were chosen. Tokens are cut to those of the chosen layers.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/export_internal.h"

#include <stdio.h>
#include <string.h>

#include "core/io/file.h"
#include "core/io/json.h"

#define SCHEMA "attnscope/export/1"

/* ---- layers ---- */

static json_t *place_key(json_int_t step, const char *stack, json_int_t layer)
{
    return json_sprintf("%lld/%s/%lld", (long long)step, stack, (long long)layer);
}

/* The entries of the manifest by step, stack and layer. */
static json_t *entries_by_place(const atn_capture *c)
{
    const json_t *list = json_object_get(atn_capture_manifest(c), "layers"), *j;
    json_t *all = json_object();
    size_t i;

    json_array_foreach(list, i, j)
    {
        const char *stack = json_string_value(json_object_get(j, "stack"));
        json_t *key = place_key(json_integer_value(json_object_get(j, "step")),
                                stack ? stack : "",
                                json_integer_value(json_object_get(j, "index")));

        if (key) json_object_set(all, json_string_value(key), (json_t *)(uintptr_t)j);
        json_decref(key);
    }
    return all;
}

static bool layer_has(const atn_exporting *w, int i, int tensor)
{
    const atn_layer_info *l = atn_export_layer(w, i);

    if (!w->wanted[tensor] && tensor < ATN_EXPORT_SINK) return false;
    if (tensor < ATN_EXPORT_SINK) return true;
    return atn_export_group_of(w, i)->has[tensor] &&
           atn_layer_has(l, atn_export_names[tensor]);
}

static json_t *layer_json(const atn_exporting *w, int i, const json_t *entries)
{
    const atn_layer_info *l = atn_export_layer(w, i);
    json_t *key = place_key(l->step, l->stack, l->layer), *heads = json_array(),
           *tensors = json_array(), *j;
    const json_t *entry = key ? json_object_get(entries, json_string_value(key)) : NULL;
    static const char *const dropped[] = {"index", "file", "hash", "weights"};

    j = entry ? json_deep_copy(entry) : json_object();
    for (size_t k = 0; k < ATN_LEN(dropped) - !w->each; k++)
        (void)json_object_del(j, dropped[k]);
    for (atn_idx h = 0; h < l->heads; h++)
        if (atn_export_heads(w, i)[h]) json_array_append_new(heads, json_integer(h));
    for (int t = 0; t < ATN_EXPORT_TENSORS; t++)
        if (layer_has(w, i, t))
            json_array_append_new(tensors, json_string(atn_export_names[t]));
    json_object_set_new(j, "stack", json_string(l->stack));
    json_object_set_new(j, "step", json_integer(l->step));
    json_object_set_new(j, "layer", json_integer(l->layer));
    json_object_set_new(
        j, "kv_heads",
        json_integer(w->each ? (json_int_t)json_array_size(heads) : l->kv_heads));
    json_object_set_new(j, "heads", heads);
    json_object_set_new(j, "tensors", tensors);
    json_object_set_new(j, "scale", json_real(l->scale));
    json_object_set_new(j, "mask", json_string(l->sight.causal ? "causal" : "full"));
    json_object_set_new(j, "offset", json_integer(l->sight.offset));
    json_object_set_new(j, "window",
                        l->sight.window ? json_integer(l->sight.window) : json_null());
    json_object_set_new(
        j, "softcap", l->sight.softcap > 0 ? json_real(l->sight.softcap) : json_null());
    json_decref(key);
    return j;
}

/* ---- tokens ---- */

/* Places of the chosen layers: how many keys they have at most, tokens of the encoder
 * and of the decoder, and whether all are of one stack and step. */
typedef struct extent {
    atn_idx keys, encoder, decoder;
    bool one_place;
} extent;

static extent measure(const atn_exporting *w)
{
    extent e = {.one_place = true};

    for (int i = 0; i < w->sel->n; i++) {
        const atn_layer_info *l = atn_export_layer(w, i),
                             *first = atn_export_layer(w, 0);
        const bool cross = strcmp(l->stack, "cross") == 0;

        e.keys = ATN_MAX(e.keys, l->nk);
        e.one_place &= l->step == first->step && strcmp(l->stack, first->stack) == 0;
        if (cross || strcmp(l->stack, "encoder") == 0)
            e.encoder = ATN_MAX(e.encoder, l->nk);
        if (cross || strcmp(l->stack, "decoder") == 0)
            e.decoder = ATN_MAX(e.decoder, cross ? l->nq : l->nk);
    }
    return e;
}

/* The first n entries of a list; longer ones belong to steps that were not chosen. */
static json_t *first_of_list(const json_t *list, atn_idx n)
{
    json_t *out = json_is_array(list) ? json_array() : json_null();
    const json_t *v;
    size_t i;

    json_array_foreach(list, i, v)
    {
        if ((atn_idx)i == n) break;
        json_array_append(out, (json_t *)(uintptr_t)v);
    }
    return out;
}

static json_t *first_of_tokens(const json_t *tokens, atn_idx n)
{
    if (!json_is_object(tokens)) return json_null();
    return json_pack("{s:o, s:o}", "ids",
                     first_of_list(json_object_get(tokens, "ids"), n), "texts",
                     first_of_list(json_object_get(tokens, "texts"), n));
}

static void set_tokens(const atn_exporting *w, const json_t *manifest, json_t *all)
{
    const json_t *tokens = json_object_get(manifest, "tokens"),
                 *by_stack = json_object_get(manifest, "stack_tokens"),
                 *roles = json_object_get(manifest, "roles"),
                 *prompt = json_object_get(manifest, "prompt");
    const char *const stacks[] = {"encoder", "decoder"};
    const extent e = measure(w);
    const atn_idx most[] = {e.encoder, e.decoder};

    json_object_set_new(all, "tokens",
                        first_of_tokens(tokens, e.one_place ? e.keys : INT64_MAX));
    if (json_is_object(by_stack)) {
        json_t *cut = json_object();

        for (size_t s = 0; s < ATN_LEN(stacks); s++)
            if (most[s] > 0 && json_object_get(by_stack, stacks[s]))
                json_object_set_new(
                    cut, stacks[s],
                    first_of_tokens(json_object_get(by_stack, stacks[s]), most[s]));
        json_object_set_new(all, "stack_tokens", cut);
    }
    if (json_is_array(roles))
        json_object_set_new(all, "roles", first_of_list(roles, e.keys));
    if (json_integer_value(prompt) > 0)
        json_object_set_new(
            all, "prompt",
            json_integer(ATN_MIN(json_integer_value(prompt), (json_int_t)e.keys)));
}

/* ---- the index ---- */

static json_t *files_json(atn_ctx *cx, const atn_exporting *w)
{
    json_t *files = json_object();

    for (int g = 0; g < w->n; g++) {
        json_t *of = json_object();

        for (int t = 0; t < ATN_EXPORT_TENSORS; t++) {
            char *name =
                w->groups[g].has[t] ? atn_export_file(cx, &w->groups[g], t) : NULL;

            if (name) json_object_set_new(of, atn_export_names[t], json_string(name));
            atn_free(cx, name);
        }
        json_object_set_new(files, w->groups[g].stack, of);
    }
    return files;
}

atn_status atn_export_index(atn_ctx *cx, const atn_exporting *w)
{
    static const char *const kept[] = {"model",   "grid", "grid_first", "input",
                                       "weights", "loss", "device",     "arithmetic"};
    const json_t *manifest = atn_capture_manifest(w->c);
    json_t *layers = json_array(), *entries = entries_by_place(w->c), *all;
    char *path = atn_path_join(cx, w->part, "index.json");
    atn_status st = ATN_OK;

    for (int i = 0; i < w->sel->n; i++)
        json_array_append_new(layers, layer_json(w, i, entries));
    all =
        json_pack("{s:s, s:s, s:o, s:o}", "schema", SCHEMA, "capture",
                  atn_capture_dir(w->c), "files", files_json(cx, w), "layers", layers);
    if (!all || !path) ATN_FAIL(ATN_MEMORY, "no memory for the index");
    for (size_t i = 0; i < ATN_LEN(kept); i++)
        if (json_object_get(manifest, kept[i]))
            json_object_set(all, kept[i], json_object_get(manifest, kept[i]));
    set_tokens(w, manifest, all);
    ATN_TRY(atn_json_save(cx, path, all));
done:
    json_decref(all);
    json_decref(entries);
    atn_free(cx, path);
    return st;
}
