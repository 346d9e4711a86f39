/* capture/record_manifest.c -- the manifest of a capture, its fingerprint and
 * inputs. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/record_internal.h"

#include <stdio.h>
#include <string.h>

#include "capture/weights.h"
#include "core/io/file.h"
#include "core/io/json.h"

enum { WHOLE_MOST = 1 << 30, STRIDE = 1 << 20, SAMPLE = 1 << 16 };

/* The readable text of a token as a JSON string; an id without one becomes <id>. */
static json_t *token_text(atn_ctx *cx, const atn_tokenizer *t, int32_t id, bool first)
{
    char *text = NULL;
    json_t *v;

    if (atn_tokenizer_text(cx, t, id, first, &text) != ATN_OK) {
        atn_err_clear(cx);
        return json_sprintf("<%d>", id);
    }
    v = json_string(text);
    atn_free(cx, text);
    return v ? v : json_string("?");
}

static json_t *tokens_json(atn_ctx *cx, const atn_recording *r, const int32_t *list,
                           atn_idx n)
{
    json_t *ids = json_array(), *texts = json_array();

    for (atn_idx i = 0; i < n; i++) {
        json_array_append_new(ids, json_integer(list[i]));
        if (r->tokenizer)
            json_array_append_new(texts, token_text(cx, r->tokenizer, list[i], i == 0));
    }
    if (!r->tokenizer) {
        json_decref(texts);
        texts = json_null();
    }
    return json_pack("{s:o, s:o}", "ids", ids, "texts", texts);
}

/* The tokens of both stacks: the decoder's as it reads them. */
static atn_status stack_tokens(atn_ctx *cx, const atn_recording *r, json_t **out)
{
    const atn_input in = atn_record_input(r);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    int32_t *decoder = NULL;

    *out = NULL;
    if (r->n_target == 0) return ATN_OK;
    ATN_TAKE(decoder, r->n_target);
    atn_model_decoder_ids(&r->model, &in, decoder);
    *out = json_pack("{s:o, s:o}", "encoder", tokens_json(cx, r, r->ids, r->n),
                     "decoder", tokens_json(cx, r, decoder, r->n_target));
    if (!*out) ATN_FAIL(ATN_MEMORY, "no memory for the manifest");
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* The files that hold the weights, each once. */
static json_t *weight_files(const atn_recording *r)
{
    json_t *files = json_array();

    for (atn_idx i = 0; i < atn_st_count(r->model.weights); i++) {
        const char *path = atn_st_at(r->model.weights, i)->path;
        bool known = false;

        for (size_t k = 0; k < json_array_size(files) && !known; k++)
            known = strcmp(json_string_value(json_array_get(files, k)), path) == 0;
        if (!known) json_array_append_new(files, json_string(path));
    }
    return files;
}

/* Steals `rotary`. */
static json_t *model_json(const atn_recording *r, json_t *rotary)
{
    const atn_config *c = &r->model.config;
    atn_idx layers = 0;
    json_t *model;

    for (int s = 0; s < c->n_stacks; s++) layers = ATN_MAX(layers, c->stacks[s].layers);
    model = json_pack(
        "{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:b, s:b, s:b, s:o, s:o}", "name",
        r->model.name, "dir", r->model.dir, "model_type", c->arch->id, "layers",
        (json_int_t)layers, "width", (json_int_t)c->width, "ffn", (json_int_t)c->ffn,
        "vocab", (json_int_t)c->vocab, "gated", c->gated, "tied", c->tied, "causal",
        c->arch->causal, "files", weight_files(r), "rotary", rotary);
    if (model && c->vocab == 0) json_object_del(model, "vocab");
    return model;
}

/* [step-NNN/][stack/]layer-NNN.safetensors */
static json_t *layer_file(const atn_recording *r, const atn_place *p)
{
    const bool steps = r->places[r->n_places - 1].step > 0;
    char step[32] = "";

    if (steps) snprintf(step, sizeof step, "step-%03lld/", (long long)p->step);
    return json_sprintf("%s%s%slayer-%03lld.safetensors", step, p->stack,
                        *p->stack ? "/" : "", (long long)p->layer);
}

static json_t *positive_or_null(double x)
{
    return x > 0 ? json_real(x) : json_null();
}

static json_t *layer_json(const atn_recording *r, const atn_place *p)
{
    const atn_record_args *a = r->args;
    const atn_sight *s = &p->sight;
    json_t *tensors = json_pack("[s, s, s]", "q", "k", "v"), *layer;

    if (!a->no_w_o) json_array_append_new(tensors, json_string("w_o"));
    if (a->save_p) json_array_append_new(tensors, json_string("p"));
    if (a->save_h) json_array_append_new(tensors, json_string("h"));
    if (a->save_q_pre) json_array_append_new(tensors, json_string("q_pre"));
    if (a->save_k_pre) json_array_append_new(tensors, json_string("k_pre"));
    if (p->has_sink) json_array_append_new(tensors, json_string("sink"));
    if (p->has_alibi) json_array_append_new(tensors, json_string("alibi"));
    if (p->rel.buckets) json_array_append_new(tensors, json_string("rel_bias"));
    layer = json_pack(
        "{s:I, s:s, s:I, s:o, s:n, s:I, s:I, s:I, s:I, s:I, s:I, s:f, "
        "s:s, s:I, s:o, s:o, s:o}",
        "index", (json_int_t)p->layer, "stack", p->stack, "step", (json_int_t)p->step,
        "file", layer_file(r, p), "hash", "heads", (json_int_t)p->heads, "kv_heads",
        (json_int_t)p->kv_heads, "d", (json_int_t)p->d, "d_v", (json_int_t)p->dv, "n_q",
        (json_int_t)p->nq, "n_k", (json_int_t)p->nk, "scale", p->scale, "mask",
        s->causal ? "causal" : "full", "offset", (json_int_t)s->offset, "window",
        s->window ? json_integer(s->window) : json_null(), "softcap",
        positive_or_null(s->softcap), "tensors", tensors);
    if (!layer || !p->rel.buckets) return layer;
    json_object_set_new(layer, "rel_buckets", json_integer(p->rel.buckets));
    json_object_set_new(layer, "rel_max_distance", json_integer(p->rel.max_distance));
    json_object_set_new(layer, "bidirectional", json_boolean(p->rel.bidirectional));
    return layer;
}

/* Adds v to the set. */
static void add_once(json_t *set, json_t *v)
{
    for (size_t i = 0; i < json_array_size(set); i++)
        if (json_equal(json_array_get(set, i), v)) {
            json_decref(v);
            return;
        }
    json_array_append_new(set, v);
}

atn_status atn_record_manifest(atn_ctx *cx, const atn_recording *r, json_t **out)
{
    json_t *layers = NULL, *rotary = NULL, *stacks = NULL, *steps = NULL,
           *tokens = NULL;
    atn_status st = ATN_OK;
    bool complete;

    *out = NULL;
    ATN_TRY(atn_model_rotary(cx, &r->model, r->n, &rotary));
    ATN_TRY(stack_tokens(cx, r, &tokens));
    layers = json_array();
    stacks = json_array();
    steps = json_array();
    for (atn_idx i = 0; i < r->n_kept; i++) {
        const atn_place *p = &r->places[r->kept[i]];
        json_t *layer = layer_json(r, p), *own = NULL;

        json_array_append_new(layers, layer);
        ATN_TRY(atn_layer_rotary(cx, &r->model, p->layer, r->n, &own));
        if (own) json_object_set_new(layer, "rotary", own);
        add_once(stacks, json_string(p->stack));
        add_once(steps, json_integer(p->step));
    }
    complete = (atn_idx)json_array_size(layers) == r->n_kept &&
               json_array_size(stacks) && json_array_size(steps);
    *out = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:n, s:n, s:n, s:s, s:s, s:s}", "model",
        model_json(r, rotary), "stacks", stacks, "steps", steps, "layers", layers,
        "tokens", tokens || !r->ids ? json_null() : tokens_json(cx, r, r->ids, r->n),
        "positions", "grid", "roles", "dtype", atn_dtype_name(r->dtype), "device",
        cx->backend->device, "arithmetic", cx->backend->arithmetic);
    layers = rotary = stacks = steps = NULL;
    if (!*out || !complete) ATN_FAIL(ATN_MEMORY, "no memory for the manifest");
    if (tokens) json_object_set(*out, "stack_tokens", tokens);
    if (r->args->prompt > 0)
        json_object_set_new(*out, "prompt", json_integer(r->args->prompt));
    if (r->model.config.patch > 0) {
        const atn_input in = atn_record_input(r);
        ATN_TRY(atn_vision_describe(cx, &r->model, &in, *out));
    }
done:
    json_decref(layers);
    json_decref(rotary);
    json_decref(stacks);
    json_decref(steps);
    json_decref(tokens);
    return st;
}

/* Size and content of a weight file, appended to *text: all of it up to WHOLE_MOST, of
 * what is behind that SAMPLE of every STRIDE bytes, so that other weights of the same
 * shapes are told without reading a model that is larger than memory once more. */
static atn_status append_file(atn_ctx *cx, const char *path, char **text)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_map m = {NULL, 0};
    uint64_t *pieces = NULL;
    char hex[33], *longer;
    atn_idx n = 1;

    ATN_TRY(atn_map_open(cx, path, &m));
    ATN_TAKE(pieces, 1 + (atn_idx)(m.size / STRIDE));
    pieces[0] = atn_hash_u64(m.data, ATN_MIN(m.size, (size_t)WHOLE_MOST));
    for (size_t at = WHOLE_MOST; at < m.size; at += STRIDE)
        pieces[n++] = atn_hash_u64(m.data + at, ATN_MIN((size_t)SAMPLE, m.size - at));
    atn_hash_bytes(pieces, (size_t)n * sizeof *pieces, hex);
    longer = atn_strfmt(cx, "%s %s %zu", *text, hex, m.size);
    if (!longer) ATN_TRY(cx->err.code);
    atn_free(cx, *text);
    *text = longer;
done:
    atn_map_close(&m);
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_record_fingerprint(atn_ctx *cx, const atn_recording *r,
                                  const json_t *manifest, char hex[33])
{
    const json_t *files = json_object_get(json_object_get(manifest, "model"), "files");
    char *text = atn_json_text(cx, manifest), *all = NULL;
    atn_status st = ATN_OK;

    if (text) all = atn_strfmt(cx, "%s %d %s", ATN_VERSION, (int)r->n, text);
    if (!all) ATN_TRY(cx->err.code);
    for (size_t i = 0; i < json_array_size(files); i++)
        ATN_TRY(append_file(cx, json_string_value(json_array_get(files, i)), &all));
    atn_hash_bytes(all, strlen(all), hex);
done:
    atn_free(cx, all);
    atn_free(cx, text);
    return st;
}

/* Configuration, tokenizer and weights go into the run record. */
atn_status atn_record_add_inputs(atn_ctx *cx, const atn_recording *r,
                                 const json_t *manifest, atn_run *run)
{
    const json_t *files = json_object_get(json_object_get(manifest, "model"), "files");
    char *path = atn_path_join(cx, r->model.dir, "config.json"),
         *images = atn_path_join(cx, r->model.dir, "preprocessor_config.json");
    atn_status st = ATN_OK;

    if (!path || !images) ATN_TRY(cx->err.code);
    if (atn_file_exists(path)) ATN_TRY(atn_run_add_input(cx, run, path));
    if (atn_file_exists(images)) ATN_TRY(atn_run_add_input(cx, run, images));
    ATN_TRY(atn_tokenizer_inputs(cx, r->model.dir, run));
    for (size_t i = 0; i < json_array_size(files); i++)
        ATN_TRY(
            atn_run_add_input(cx, run, json_string_value(json_array_get(files, i))));
done:
    atn_free(cx, path);
    atn_free(cx, images);
    return st;
}
