/* capture/import_npy.c -- what `export --to npy` made, back into a capture: arrays and
 * their index.json.
 *
 * Entries of "layers" are those of a manifest but for "layer", "heads" (numbers) and
 * what is said of the file; arrays have a layer an entry of their stack, in their
 * order.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/import_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/io/capture.h"
#include "core/io/file.h"
#include "core/io/json.h"
#include "core/io/npy.h"

#define SCHEMA "attnscope/export/1"
enum { TENSORS = 7, RANK_MOST = 3, LAYERS_MOST = 1000000 };

/* A tensor of a layer, and its shape by keys of the layer. */
static const struct kind {
    const char *name, *shape[RANK_MOST];
} kinds[TENSORS] = {{"q", {"heads", "n_q", "d"}},
                    {"k", {"kv_heads", "n_k", "d"}},
                    {"v", {"kv_heads", "n_k", "d_v"}},
                    {"p", {"heads", "n_q", "n_k"}},
                    {"sink", {"heads"}},
                    {"alibi", {"heads"}},
                    {"rel_bias", {"rel_buckets", "heads"}}};

typedef struct group {
    const char *stack;
    atn_idx layers; /* of all steps */
    char *file[TENSORS];
    atn_npy array[TENSORS];
} group;

typedef struct reading {
    char *path, *dir; /* owned: of index.json */
    json_t *index, *manifest;
    group groups[ATN_IMPORT_STACKS];
    int n;
} reading;

/* ---- the manifest ---- */

/* Numbers of heads, ascending; how many, or -1. */
static json_int_t count_heads(const json_t *heads)
{
    json_int_t last = -1;
    const json_t *v;
    size_t i;

    json_array_foreach(heads, i, v)
    {
        if (!json_is_integer(v) || json_integer_value(v) <= last) return -1;
        last = json_integer_value(v);
    }
    return json_array_size(heads) > 0 ? (json_int_t)json_array_size(heads) : -1;
}

static atn_status find_group(atn_ctx *cx, reading *r, const char *stack, group **out)
{
    static const char *const stacks[] = {"", "encoder", "decoder", "cross"};
    size_t known = 0;
    int g = 0;

    while (g < r->n && strcmp(r->groups[g].stack, stack) != 0) g++;
    while (known < ATN_LEN(stacks) && strcmp(stacks[known], stack) != 0) known++;
    if (known == ATN_LEN(stacks) || g == ATN_IMPORT_STACKS)
        return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                        "%s: has the stack \"%.40s\"; there are \"\" alone, or "
                        "\"encoder\", \"decoder\" and \"cross\"",
                        r->path, stack);
    if (g == r->n) r->groups[r->n++].stack = stacks[known];
    *out = &r->groups[g];
    return ATN_OK;
}

static json_t *file_json(const char *stack, json_int_t step, json_int_t layer,
                         bool steps)
{
    const char *slash = *stack ? "/" : "";

    if (!steps)
        return json_sprintf("%.40s%slayer-%03lld.safetensors", stack, slash,
                            (long long)layer);
    return json_sprintf("step-%03lld/%.40s%slayer-%03lld.safetensors", (long long)step,
                        stack, slash, (long long)layer);
}

/* The entry of the manifest for entry i of the index. */
static atn_status take_layer(atn_ctx *cx, reading *r, size_t i, bool steps,
                             json_t *layers)
{
    const json_t *from = json_array_get(json_object_get(r->index, "layers"), i);
    const json_int_t layer = json_integer_value(json_object_get(from, "layer")),
                     step = json_integer_value(json_object_get(from, "step")),
                     heads = count_heads(json_object_get(from, "heads"));
    const char *stack = json_string_value(json_object_get(from, "stack"));
    atn_status st = ATN_OK;
    json_t *to = NULL;
    group *g = NULL;

    if (!json_is_object(from) || !stack || heads < 1 || layer < 0 || step < 0 ||
        !json_is_integer(json_object_get(from, "layer")) || strpbrk(stack, "/\\"))
        ATN_FAIL(ATN_DATA,
                 "%s: layers[%zu] has no \"layer\", \"stack\" and \"heads\" (numbers, "
                 "ascending) of an export (export it again)",
                 r->path, i);
    ATN_TRY(find_group(cx, r, stack, &g));
    g->layers++;
    to = json_deep_copy(from);
    if (!to || json_object_del(to, "layer") != 0 ||
        json_object_set_new(to, "index", json_integer(layer)) != 0 ||
        json_object_set_new(to, "heads", json_integer(heads)) != 0 ||
        json_object_set_new(to, "hash", json_null()) != 0 ||
        json_object_set_new(to, "file", file_json(stack, step, layer, steps)) != 0 ||
        json_array_append(layers, to) != 0)
        ATN_FAIL(ATN_MEMORY, "no memory for the manifest");
done:
    json_decref(to);
    return st;
}

/* Whether the entries are of several steps. */
static bool several_steps(const json_t *layers)
{
    const json_t *first = json_object_get(json_array_get(layers, 0), "step"), *v;
    bool same = true;
    size_t i;

    json_array_foreach(layers, i, v) same &=
        json_equal(first, json_object_get(v, "step")) != 0;
    return !same;
}

/* Stacks and steps in the order of the entries, each once. */
static void set_places(const reading *r, const json_t *layers)
{
    json_t *stacks = json_array(), *steps = json_array();
    json_int_t last = -1;
    const json_t *v;
    size_t i;

    for (int g = 0; g < r->n; g++)
        json_array_append_new(stacks, json_string(r->groups[g].stack));
    json_array_foreach(layers, i, v)
    {
        const json_int_t step = json_integer_value(json_object_get(v, "step"));

        if (step > last) json_array_append_new(steps, json_integer(step));
        last = ATN_MAX(last, step);
    }
    json_object_set_new(r->manifest, "stacks", stacks);
    json_object_set_new(r->manifest, "steps", steps);
}

static atn_status make_manifest(atn_ctx *cx, reading *r, const char *out_dir)
{
    static const char *const kept[] = {
        "model", "tokens", "stack_tokens", "grid", "grid_first", "roles",
        "input", "prompt", "weights",      "loss", "device",     "arithmetic"};
    const json_t *list = json_object_get(r->index, "layers");
    json_t *layers = json_array();
    atn_status st = ATN_OK;
    char why[ATN_ERR_TEXT];

    r->manifest = json_pack("{s:O, s:s}", "layers", layers, "dtype", "F32");
    if (!r->manifest) ATN_FAIL(ATN_MEMORY, "no memory for the manifest");
    if (!json_is_array(list) || json_array_size(list) < 1 ||
        json_array_size(list) > LAYERS_MOST)
        ATN_FAIL(ATN_DATA, "%s: \"layers\" is no list of 1 to %d layers", r->path,
                 LAYERS_MOST);
    for (size_t i = 0; i < json_array_size(list); i++)
        ATN_TRY(take_layer(cx, r, i, several_steps(list) != 0, layers));
    for (size_t k = 0; k < ATN_LEN(kept); k++)
        if (json_object_get(r->index, kept[k]))
            json_object_set(r->manifest, kept[k], json_object_get(r->index, kept[k]));
    set_places(r, layers);
    st = atn_capture_check(cx, out_dir, r->manifest);
    if (st == ATN_DATA) {
        snprintf(why, sizeof why, "%s", cx->err.text);
        atn_err_clear(cx);
        ATN_FAIL(ATN_DATA, "%s: makes no capture: %s", r->path, why);
    }
done:
    json_decref(layers);
    return st;
}

/* ---- arrays ---- */

/* The file of a tensor, beside the index. */
static atn_status find_file(atn_ctx *cx, const reading *r, group *g, int t)
{
    const json_t *files = json_object_get(json_object_get(r->index, "files"), g->stack);
    const char *name = json_string_value(json_object_get(files, kinds[t].name));
    atn_status st = ATN_OK;

    if (!name) return ATN_OK;
    if (strpbrk(name, "/\\") || !atn_ends_with(name, ".npy"))
        ATN_FAIL(ATN_DATA, "%s: files: \"%.60s\" is no .npy beside it", r->path, name);
    g->file[t] = atn_path_join(cx, r->dir, name);
    if (!g->file[t]) ATN_TRY(cx->err.code);
done:
    return st;
}

static atn_status read_arrays(atn_ctx *cx, reading *r, atn_run *run)
{
    atn_status st = ATN_OK;

    for (int g = 0; g < r->n; g++)
        for (int t = 0; t < TENSORS; t++) {
            group *of = &r->groups[g];

            ATN_TRY(find_file(cx, r, of, t));
            if (!of->file[t]) continue;
            if (run) ATN_TRY(atn_run_add_input(cx, run, of->file[t]));
            ATN_TRY(atn_npy_load_floats(cx, of->file[t], &of->array[t]));
        }
done:
    return st;
}

/* The shape that the layer's keys say, after an axis of the layers or two, of steps and
 * layers. */
static atn_status shape_of(atn_ctx *cx, const group *g, int t, const json_t *layer,
                           atn_st_out *out)
{
    const atn_npy *a = &g->array[t];
    atn_idx count = 1, layers = 1;
    atn_status st = ATN_OK;
    bool fits = true;

    *out = (atn_st_out){.name = kinds[t].name, .type = ATN_F32};
    while (out->rank < RANK_MOST && kinds[t].shape[out->rank]) {
        const atn_idx n =
            json_integer_value(json_object_get(layer, kinds[t].shape[out->rank]));

        out->shape[out->rank++] = n;
        fits &= atn_mul(count, n, &count);
    }
    fits &= a->rank == out->rank + 1 || a->rank == out->rank + 2;
    for (int i = 0; fits && i < a->rank - out->rank; i++)
        fits &= atn_mul(layers, a->shape[i], &layers);
    for (int i = 0; fits && i < out->rank; i++)
        fits &= a->shape[a->rank - out->rank + i] == out->shape[i];
    if (!fits || layers != g->layers)
        ATN_FAIL(
            ATN_DATA,
            "%s: has not the shape that index.json says, of %lld layers of [%lld%s "
            "(export it again)",
            g->file[t], (long long)g->layers, (long long)out->shape[0],
            out->rank > 1 ? ", ..]" : "]");
done:
    return st;
}

static atn_status check_values(atn_ctx *cx, const char *file, const json_t *layer,
                               const atn_st_out *x)
{
    const atn_idx cols = x->shape[x->rank - 1];
    const float *data = x->data;
    atn_idx count = 1, bad = -1;
    double sum = 0;

    for (int i = 0; i < x->rank; i++) count *= x->shape[i];
    for (atn_idx i = 0; i < count && bad < 0; i++)
        if (!isfinite(data[i])) bad = i / cols;
    if (bad >= 0)
        return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                        "%s: layer %lld, row %lld of all heads holds NaN or infinity",
                        file,
                        (long long)json_integer_value(json_object_get(layer, "index")),
                        (long long)bad);
    if (strcmp(x->name, "p") == 0)
        bad = atn_capture_bad_row(data, count / cols, cols, &sum);
    if (bad < 0) return ATN_OK;
    return atn_fail(
        cx, ATN_DATA, __FILE__, __LINE__,
        "%s: layer %lld, row %lld of all heads is negative somewhere or sums "
        "to more than 1 (to %.6g), so it is no attention",
        file, (long long)json_integer_value(json_object_get(layer, "index")),
        (long long)bad, sum);
}

/* Layer `at` of the stack: the tensors that its entry lists. */
static atn_status layer_tensors(atn_ctx *cx, const group *g, const json_t *layer,
                                atn_idx at, atn_st_out out[TENSORS], atn_idx *n)
{
    const json_t *list = json_object_get(layer, "tensors"), *v;
    atn_status st = ATN_OK;
    size_t i;

    *n = 0;
    json_array_foreach(list, i, v)
    {
        atn_idx count = 1;
        int t = 0;

        while (t < TENSORS && strcmp(kinds[t].name, json_string_value(v)) != 0) t++;
        if (t == TENSORS || !g->file[t] || *n == TENSORS)
            ATN_FAIL(
                ATN_DATA,
                "index.json: layer %lld lists \"%.40s\", of which there is no file",
                (long long)json_integer_value(json_object_get(layer, "index")),
                json_string_value(v));
        ATN_TRY(shape_of(cx, g, t, layer, &out[*n]));
        for (int a = 0; a < out[*n].rank; a++) count *= out[*n].shape[a];
        out[*n].data = g->array[t].f32 + at * count;
        ATN_TRY(check_values(cx, g->file[t], layer, &out[*n]));
        (*n)++;
    }
done:
    return st;
}

/* ---- writing ---- */

/* Checks every layer; with a writer, writes it. */
static atn_status walk_layers(atn_ctx *cx, reading *r, atn_capture_writer *w)
{
    const json_t *layers = json_object_get(r->manifest, "layers"), *v;
    atn_idx next[ATN_IMPORT_STACKS] = {0}, n = 0;
    atn_st_out list[TENSORS];
    atn_status st = ATN_OK;
    size_t i;

    json_array_foreach(layers, i, v)
    {
        const char *stack = json_string_value(json_object_get(v, "stack"));
        int g = 0;

        while (strcmp(r->groups[g].stack, stack) != 0) g++;
        ATN_TRY(layer_tensors(cx, &r->groups[g], v, next[g]++, list, &n));
        if (!w || atn_capture_has_layer(w, (int)i)) continue;
        ATN_TRY(atn_progress(cx, "import", (double)i, (double)json_array_size(layers)));
        ATN_TRY(atn_capture_put(cx, w, (int)i, list, n));
    }
done:
    return st;
}

static atn_status make_fingerprint(atn_ctx *cx, const reading *r, char hex[33])
{
    char *text = atn_json_text(cx, r->manifest), *joined, part[33];
    char hashes[ATN_IMPORT_STACKS * TENSORS * 33 + 1] = "";

    for (int g = 0; g < r->n; g++)
        for (int t = 0; t < TENSORS; t++) {
            const atn_npy *a = &r->groups[g].array[t];

            if (!a->f32) continue;
            atn_hash_bytes(a->f32, (size_t)a->count * sizeof(float), part);
            strcat(hashes, part);
        }
    joined = text ? atn_strfmt(cx, "%s %s %s", ATN_VERSION, hashes, text) : NULL;
    atn_free(cx, text);
    if (!joined) return cx->err.code;
    atn_hash_bytes(joined, strlen(joined), hex);
    atn_free(cx, joined);
    return ATN_OK;
}

/* ---- the result ---- */

static int64_t number(const json_t *layer, const char *key)
{
    return json_integer_value(json_object_get(layer, key));
}

/* The first layer of every stack tells of it. */
static void summarise(const reading *r, atn_import_result *out)
{
    const json_t *layers = json_object_get(r->manifest, "layers"), *v, *heads;
    const atn_idx steps =
        (atn_idx)json_array_size(json_object_get(r->manifest, "steps"));
    size_t i;

    out->n = r->n;
    json_array_foreach(layers, i, v)
    {
        const char *stack = json_string_value(json_object_get(v, "stack"));
        const char *mask = json_string_value(json_object_get(v, "mask"));
        int g = 0;

        while (strcmp(r->groups[g].stack, stack) != 0) g++;
        heads = json_object_get(json_array_get(json_object_get(r->index, "layers"), i),
                                "heads");
        if (number(v, "heads") <=
            json_integer_value(json_array_get(heads, json_array_size(heads) - 1)))
            snprintf(out->note, sizeof out->note,
                     "of some layers chosen heads were exported: they are heads 0, 1, "
                     ".. here, in their order");
        if (out->part[g].stack) continue;
        out->part[g] = (atn_import_part){.stack = r->groups[g].stack,
                                         .steps = steps,
                                         .layers = r->groups[g].layers / steps,
                                         .heads = number(v, "heads"),
                                         .kv_heads = number(v, "kv_heads"),
                                         .nq = number(v, "n_q"),
                                         .nk = number(v, "n_k"),
                                         .d = number(v, "d"),
                                         .dv = number(v, "d_v"),
                                         .causal = mask && *mask == 'c'};
    }
}

static void release(atn_ctx *cx, reading *r)
{
    for (int g = 0; g < r->n; g++)
        for (int t = 0; t < TENSORS; t++) {
            atn_free(cx, r->groups[g].file[t]);
            atn_npy_release(cx, &r->groups[g].array[t]);
        }
    json_decref(r->index);
    json_decref(r->manifest);
    atn_free(cx, r->path);
    atn_free(cx, r->dir);
}

/* `from` is the directory or its index.json. */
static atn_status read_index(atn_ctx *cx, const char *from, reading *r)
{
    const char *slash = strrchr(from, '/'), *schema = NULL;
    const bool file = atn_ends_with(from, ".json");
    atn_status st = ATN_OK;

    r->dir = !file   ? atn_strdup(cx, from)
             : slash ? atn_strndup(cx, from, (size_t)(slash - from) + 1)
                     : atn_strdup(cx, ".");
    r->path = file ? atn_strdup(cx, from) : atn_path_join(cx, from, "index.json");
    if (!r->dir || !r->path) ATN_TRY(cx->err.code);
    if (!atn_file_exists(r->path))
        ATN_FAIL(ATN_NOINPUT,
                 "%s: there is no such file (--npy is a directory that export --to npy "
                 "made)",
                 r->path);
    ATN_TRY(atn_json_load(cx, r->path, false, &r->index));
    ATN_TRY(atn_json_get_str(cx, r->path, r->index, "schema", "", &schema));
    if (strcmp(schema, SCHEMA) != 0)
        ATN_FAIL(ATN_DATA, "%s: schema \"%.60s\" is not %s", r->path, schema, SCHEMA);
done:
    return st;
}

atn_status atn_import_npy(atn_ctx *cx, const atn_import_args *args, atn_run *run,
                          atn_import_result *out)
{
    atn_status st = ATN_OK;
    reading r = {0};
    atn_capture_writer *w = NULL, *finishing;
    char fingerprint[33];

    ATN_TRY(read_index(cx, args->npy, &r));
    ATN_TRY(make_manifest(cx, &r, args->out_dir));
    if (run) ATN_TRY(atn_run_add_input(cx, run, r.path));
    ATN_TRY(read_arrays(cx, &r, run));
    ATN_TRY(walk_layers(cx, &r, NULL));
    summarise(&r, out);
    ATN_TRY(make_fingerprint(cx, &r, fingerprint));
    ATN_TRY(
        atn_capture_begin(cx, args->out_dir, r.manifest, fingerprint, args->force, &w));
    ATN_TRY(walk_layers(cx, &r, w));
    if (run) ATN_TRY(atn_run_finish(cx, run));
    finishing = w;
    w = NULL;
    ATN_TRY(atn_capture_finish(cx, finishing, run ? run->json : NULL));
done:
    atn_capture_abandon(cx, w);
    release(cx, &r);
    return st;
}
