/* approx/span_file.c -- plans of elastic spans in files. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/span_file.h"

#include <math.h>
#include <string.h>

#include "core/io/json.h"

#define SCHEMA "attnscope/moa/1"
enum { LAYERS_MOST = 1 << 16 };

typedef struct reader {
    const char *path;
    int layer, layers;
    atn_idx heads;
    const json_t *found; /* the heads of the layer */
} reader;

/* Entry h of "heads" of a layer. */
static atn_status read_rule(atn_ctx *cx, const reader *r, int64_t layer, size_t h,
                            const json_t *pair, atn_span_rule *out)
{
    const json_t *a = json_array_get(pair, 0), *b = json_array_get(pair, 1);
    atn_status st = ATN_OK;

    if (json_array_size(pair) != 2 || !json_is_number(a) || !json_is_number(b))
        ATN_FAIL(ATN_DATA, "%s: layer %lld, heads[%zu] is no pair [alpha, beta]",
                 r->path, (long long)layer, h);
    *out = (atn_span_rule){json_number_value(a), json_number_value(b)};
    if (!(fabs(out->alpha) <= ATN_SPAN_ALPHA_MOST) || !(out->beta >= 0) ||
        !(out->beta <= 1))
        ATN_FAIL(ATN_DATA,
                 "%s: layer %lld, heads[%zu]: a span of %g + %g N is none (0 <= beta "
                 "<= 1, alpha within %.0f tokens)",
                 r->path, (long long)layer, h, out->alpha, out->beta,
                 ATN_SPAN_ALPHA_MOST);
done:
    return st;
}

static atn_status read_layer(atn_ctx *cx, reader *r, size_t i, const json_t *l,
                             uint8_t *seen)
{
    static const char *const keys[] = {"layer", "heads"};
    const json_t *heads, *pair;
    atn_status st = ATN_OK;
    atn_span_rule rule;
    int64_t layer = 0;
    char where[400];
    size_t h;

    snprintf(where, sizeof where, "%.360s: layers[%zu]", r->path, i);
    ATN_TRY(atn_json_check_keys(cx, where, l, keys, (int)ATN_LEN(keys)));
    ATN_TRY(atn_json_need_i64(cx, where, l, "layer", 0, LAYERS_MOST - 1, &layer));
    heads = json_object_get(l, "heads");
    if (!json_is_array(heads)) ATN_FAIL(ATN_DATA, "%s: \"heads\" is no list", where);
    if (seen[layer])
        ATN_FAIL(ATN_DATA, "%s: layer %lld is there twice", where, (long long)layer);
    seen[layer] = 1;
    if (r->layers > 0 && layer >= r->layers)
        ATN_FAIL(ATN_DATA, "%s: layer %lld, and the model has the layers 0 to %d",
                 where, (long long)layer, r->layers - 1);
    json_array_foreach(heads, h, pair) ATN_TRY(read_rule(cx, r, layer, h, pair, &rule));
    if (layer == r->layer) r->found = heads;
done:
    return st;
}

static atn_status read_file(atn_ctx *cx, reader *r, const json_t *j, uint8_t *seen)
{
    static const char *const keys[] = {"schema", "block", "layers"};
    const json_t *layers, *l;
    const char *schema = NULL;
    atn_status st = ATN_OK;
    int64_t block = 0;
    size_t i;

    ATN_TRY(atn_json_check_keys(cx, r->path, j, keys, (int)ATN_LEN(keys)));
    ATN_TRY(atn_json_get_str(cx, r->path, j, "schema", "", &schema));
    if (strcmp(schema, SCHEMA) != 0)
        ATN_FAIL(ATN_DATA, "%s: \"schema\" is '%.40s', needed is " SCHEMA, r->path,
                 schema);
    ATN_TRY(atn_json_need_i64(cx, r->path, j, "block", ATN_SPAN_BLOCK, ATN_SPAN_BLOCK,
                              &block));
    layers = json_object_get(j, "layers");
    if (!json_is_array(layers))
        ATN_FAIL(ATN_DATA, "%s: \"layers\" is no list", r->path);
    json_array_foreach(layers, i, l) ATN_TRY(read_layer(cx, r, i, l, seen));
done:
    return st;
}

atn_status atn_span_file_read(atn_ctx *cx, const char *path, int layer, atn_idx heads,
                              int layers, atn_span_rule *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    reader r = {.path = path, .layer = layer, .layers = layers, .heads = heads};
    atn_status st = ATN_OK;
    uint8_t *seen = NULL;
    json_t *j = NULL;

    ATN_TAKE(seen, LAYERS_MOST);
    memset(seen, 0, LAYERS_MOST);
    ATN_TRY(atn_json_load(cx, path, false, &j));
    if (!json_is_object(j)) ATN_FAIL(ATN_DATA, "%s is no JSON object", path);
    ATN_TRY(read_file(cx, &r, j, seen));
    if (!r.found)
        ATN_FAIL(ATN_DATA,
                 "%s has no layer %d, which the capture has (choose others with "
                 "--layers, or make a plan of this model)",
                 path, layer);
    if ((atn_idx)json_array_size(r.found) != heads)
        ATN_FAIL(ATN_DATA,
                 "%s: layer %d has rules for %zu heads, and that of the capture has "
                 "%lld heads",
                 path, layer, json_array_size(r.found), (long long)heads);
    for (atn_idx h = 0; h < heads; h++)
        ATN_TRY(read_rule(cx, &r, layer, (size_t)h, json_array_get(r.found, (size_t)h),
                          &out[h]));
done:
    json_decref(j);
    atn_arena_rewind(cx, mark);
    return st;
}
