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
    const json_t *heads;          /* of the layer, pairs; or */
    const json_t *alphas, *betas; /* its numbers */
    size_t n;                     /* of them */
} reader;

static atn_status check_rule(atn_ctx *cx, const reader *r, int64_t layer, size_t h,
                             const atn_span_rule *rule)
{
    atn_status st = ATN_OK;

    if (!(fabs(rule->alpha) <= ATN_SPAN_ALPHA_MOST) || !(rule->beta >= 0) ||
        !(rule->beta <= 1))
        ATN_FAIL(ATN_DATA,
                 "%s: layer %lld, heads[%zu]: a span of %g + %g N is none (0 <= beta "
                 "<= 1, alpha within %.0f tokens)",
                 r->path, (long long)layer, h, rule->alpha, rule->beta,
                 ATN_SPAN_ALPHA_MOST);
done:
    return st;
}

/* Entry h of "heads" of a layer. */
static atn_status read_pair(atn_ctx *cx, const reader *r, int64_t layer, size_t h,
                            const json_t *pair, atn_span_rule *out)
{
    const json_t *a = json_array_get(pair, 0), *b = json_array_get(pair, 1);
    atn_status st = ATN_OK;

    if (json_array_size(pair) != 2 || !json_is_number(a) || !json_is_number(b))
        ATN_FAIL(ATN_DATA, "%s: layer %lld, heads[%zu] is no pair [alpha, beta]",
                 r->path, (long long)layer, h);
    *out = (atn_span_rule){json_number_value(a), json_number_value(b)};
    ATN_TRY(check_rule(cx, r, layer, h, out));
done:
    return st;
}

/* ---- our form ---- */

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
    json_array_foreach(heads, h, pair) ATN_TRY(read_pair(cx, r, layer, h, pair, &rule));
    if (layer == r->layer) {
        r->heads = heads;
        r->n = json_array_size(heads);
    }
done:
    return st;
}

static atn_status read_ours(atn_ctx *cx, reader *r, const json_t *j)
{
    static const char *const keys[] = {"schema", "block", "layers"};
    const atn_arena_mark mark = atn_arena_save(cx);
    const json_t *layers, *l;
    const char *schema = NULL;
    atn_status st = ATN_OK;
    uint8_t *seen = NULL;
    int64_t block = 0;
    size_t i;

    ATN_TAKE(seen, LAYERS_MOST);
    memset(seen, 0, LAYERS_MOST);
    if (!json_object_get(j, "schema"))
        ATN_FAIL(ATN_DATA,
                 "%s has no \"schema\" (and no \"alphas\" and \"betas\"; needed is "
                 "\"schema\": \"" SCHEMA "\", or a plan as the authors publish it)",
                 r->path);
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
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- the authors' form ---- */

static bool theirs(const json_t *j)
{
    return json_object_get(j, "alphas") || json_object_get(j, "betas");
}

/* Layer i: as many numbers of both. */
static atn_status read_lists(atn_ctx *cx, reader *r, size_t i, const json_t *alphas,
                             const json_t *betas)
{
    atn_status st = ATN_OK;

    if (!json_is_array(alphas) || !json_is_array(betas))
        ATN_FAIL(ATN_DATA, "%s: %s[%zu] is no list of numbers", r->path,
                 json_is_array(alphas) ? "betas" : "alphas", i);
    if (json_array_size(alphas) != json_array_size(betas))
        ATN_FAIL(ATN_DATA, "%s: layer %zu has %zu alphas and %zu betas", r->path, i,
                 json_array_size(alphas), json_array_size(betas));
    for (size_t h = 0; h < json_array_size(alphas); h++) {
        const json_t *a = json_array_get(alphas, h), *b = json_array_get(betas, h);
        const atn_span_rule rule = {json_number_value(a), json_number_value(b)};

        if (!json_is_number(a) || !json_is_number(b))
            ATN_FAIL(ATN_DATA, "%s: %s[%zu][%zu] is no number", r->path,
                     json_is_number(a) ? "betas" : "alphas", i, h);
        ATN_TRY(check_rule(cx, r, (int64_t)i, h, &rule));
    }
    if ((int64_t)i != r->layer) goto done;
    r->alphas = alphas;
    r->betas = betas;
    r->n = json_array_size(alphas);
done:
    return st;
}

static atn_status read_theirs(atn_ctx *cx, reader *r, const json_t *j)
{
    static const char *const keys[] = {"alphas", "betas"};
    const json_t *alphas = json_object_get(j, "alphas"),
                 *betas = json_object_get(j, "betas");
    const size_t n = json_array_size(alphas);
    atn_status st = ATN_OK;

    ATN_TRY(atn_json_check_keys(cx, r->path, j, keys, (int)ATN_LEN(keys)));
    if (!json_is_array(alphas) || !json_is_array(betas))
        ATN_FAIL(ATN_DATA,
                 "%s: \"%s\" is no list of layers (a plan has \"alphas\" and "
                 "\"betas\")",
                 r->path, json_is_array(alphas) ? "betas" : "alphas");
    if (n != json_array_size(betas))
        ATN_FAIL(ATN_DATA, "%s: \"alphas\" has %zu layers and \"betas\" %zu", r->path,
                 n, json_array_size(betas));
    if (r->layers > 0 && n != (size_t)r->layers)
        ATN_FAIL(ATN_DATA, "%s has rules for %zu layers, and the model has %d", r->path,
                 n, r->layers);
    for (size_t i = 0; i < n; i++)
        ATN_TRY(
            read_lists(cx, r, i, json_array_get(alphas, i), json_array_get(betas, i)));
done:
    return st;
}

/* ---- either ---- */

static atn_status rule_at(atn_ctx *cx, const reader *r, size_t h, atn_span_rule *out)
{
    if (r->heads)
        return read_pair(cx, r, r->layer, h, json_array_get(r->heads, h), out);
    out->alpha = json_number_value(json_array_get(r->alphas, h));
    out->beta = json_number_value(json_array_get(r->betas, h));
    return ATN_OK;
}

atn_status atn_span_file_read(atn_ctx *cx, const char *path, int layer, atn_idx heads,
                              int layers, atn_span_rule *out)
{
    reader r = {.path = path, .layer = layer, .layers = layers};
    atn_status st = ATN_OK;
    json_t *j = NULL;

    ATN_TRY(atn_json_load(cx, path, false, &j));
    if (!json_is_object(j)) ATN_FAIL(ATN_DATA, "%s is no JSON object", path);
    ATN_TRY(theirs(j) ? read_theirs(cx, &r, j) : read_ours(cx, &r, j));
    if (!r.heads && !r.alphas)
        ATN_FAIL(ATN_DATA,
                 "%s has no layer %d, which the capture has (choose others with "
                 "--layers, or make a plan of this model)",
                 path, layer);
    if ((atn_idx)r.n != heads)
        ATN_FAIL(ATN_DATA,
                 "%s: layer %d has rules for %zu heads, and that of the capture has "
                 "%lld heads",
                 path, layer, r.n, (long long)heads);
    for (atn_idx h = 0; h < heads; h++) ATN_TRY(rule_at(cx, &r, (size_t)h, &out[h]));
done:
    json_decref(j);
    return st;
}
