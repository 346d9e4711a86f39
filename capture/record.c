/* capture/record.c -- text to tokens to forward pass to capture directory. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/record.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "capture/forward.h"
#include "capture/tokenizer.h"
#include "capture/vision.h"
#include "capture/weights.h"
#include "core/io/capture.h"
#include "core/io/file.h"
#include "core/io/json.h"
#include "core/param.h"

enum { DENSE_MAX = 4096 };

typedef struct recording {
    const atn_record_args *args;
    atn_model model;
    atn_tokenizer *tokenizer; /* NULL when the ids were given and there is none */
    int32_t *ids;
    atn_idx n;
    float *image;        /* NULL = the model reads something else */
    atn_latents latents; /* zero likewise */
    int32_t *target;
    atn_idx n_target;  /* 0 = no decoder runs beside an encoder */
    atn_place *places; /* all of the run */
    atn_idx n_places;
    atn_idx *kept, n_kept; /* those that are recorded */
    bool *record;          /* [places] still to be computed */
    atn_idx *slot;         /* [places] index among the recorded */
    atn_dtype dtype;
    atn_capture_writer *writer;
} recording;

/* ---- tokens ---- */

/* What goes in as text or as ids, and where it comes from, for messages. */
typedef struct words {
    const char *text, *source;
    size_t len;
    const int32_t *ids;
    atn_idx n;
} words;

static words source_words(const recording *r)
{
    const atn_record_args *a = r->args;

    return (words){a->text,
                   a->source ? a->source
                   : a->text ? "text"
                             : "token ids",
                   a->text_len, a->ids, a->n_ids};
}

static words target_words(const recording *r)
{
    const atn_record_args *a = r->args;

    return (words){a->target_text, a->target_source ? a->target_source : "target",
                   a->target_text_len, a->target_ids, a->n_target_ids};
}

/* In front of what is said of text or ids. */
static const char *source(const recording *r)
{
    return source_words(r).source;
}

/* Ids need no tokenizer: texts are only labels then. */
static atn_status load_tokenizer(atn_ctx *cx, recording *r)
{
    const bool needed = r->args->text || r->args->target_text;
    const atn_status st = atn_tokenizer_load(cx, r->model.dir, &r->tokenizer);

    if (st == ATN_OK || needed) return st;
    atn_log(cx, ATN_LOG_DEBUG, "no token texts: %s", cx->err.text);
    atn_err_clear(cx);
    return ATN_OK;
}

static atn_status tokenize(atn_ctx *cx, const recording *r, const words *w,
                           int32_t **ids, atn_idx *n)
{
    atn_status st = ATN_OK;
    size_t bad = 0;

    if (w->ids) {
        ATN_NEW(*ids, w->n);
        memcpy(*ids, w->ids, (size_t)w->n * sizeof **ids);
        *n = w->n;
        return ATN_OK;
    }
    if (w->len == 0)
        ATN_FAIL(ATN_DATA,
                 "%s: the text is empty (give --%s FILE with some words in it)",
                 w->source, w->text == r->args->text ? "text" : "target-text");
    if (!atn_utf8_valid(w->text, w->len, &bad))
        ATN_FAIL(ATN_DATA,
                 "%s: the text is not UTF-8 at byte %zu (convert it, for example with "
                 "iconv)",
                 w->source, bad);
    ATN_TRY(atn_tokenizer_encode(cx, r->tokenizer, w->text, w->len, true, ids, n));
    if (*n == 0) ATN_FAIL(ATN_DATA, "%s: the text has no token", w->source);
done:
    return st;
}

static atn_status check_ids(atn_ctx *cx, const recording *r, const char *from,
                            const int32_t *ids, atn_idx n)
{
    for (atn_idx i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= r->model.config.vocab)
            return atn_fail(
                cx, ATN_DATA, __FILE__, __LINE__,
                "%s: token id %d at position %lld is outside the vocabulary of %lld",
                from, ids[i], (long long)i, (long long)r->model.config.vocab);
    return ATN_OK;
}

/* The target, for a model with a decoder beside an encoder. */
static atn_status read_target(atn_ctx *cx, recording *r)
{
    const words w = target_words(r);
    const atn_config *c = &r->model.config;
    atn_status st = ATN_OK;

    if (!w.text && !w.ids) return ATN_OK;
    if (c->n_stacks < 2)
        ATN_FAIL(ATN_USAGE,
                 "%s: the model %s, so it takes no target (leave --target-text and "
                 "--target-ids out)",
                 r->model.dir,
                 c->arch->decoder ? "was saved without its decoder" : "has one stack");
    if (r->args->prompt > 0)
        ATN_FAIL(ATN_USAGE, "--prompt is for models of one stack, not with a target");
    ATN_TRY(tokenize(cx, r, &w, &r->target, &r->n_target));
    ATN_TRY(check_ids(cx, r, w.source, r->target, r->n_target));
done:
    return st;
}

static atn_status read_tokens(atn_ctx *cx, recording *r)
{
    const words w = source_words(r);
    atn_status st = ATN_OK;

    ATN_TRY(load_tokenizer(cx, r));
    ATN_TRY(tokenize(cx, r, &w, &r->ids, &r->n));
    ATN_TRY(read_target(cx, r));
done:
    return st;
}

static atn_status check_prompt(atn_ctx *cx, const recording *r)
{
    if (r->args->prompt <= r->n) return ATN_OK;
    return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                    "%s: has %lld tokens, so the prompt cannot have %lld (--prompt)",
                    source(r), (long long)r->n, (long long)r->args->prompt);
}

/* Keeps the first `most` tokens, and at their end the special tokens that the tokenizer
 * puts behind every text (BERT's [SEP]), as it does itself when it cuts. */
static atn_status cut(atn_ctx *cx, recording *r, atn_idx most)
{
    const atn_record_args *a = r->args;
    atn_status st = ATN_OK;
    int32_t *bare = NULL;
    atn_idx n = 0, back = 0;

    if (a->text) {
        ATN_TRY(atn_tokenizer_encode(cx, r->tokenizer, a->text, a->text_len, false,
                                     &bare, &n));
        const atn_idx special = ATN_MIN(r->n - n, most);
        while (n > 0 && back < special && r->ids[r->n - 1 - back] != bare[n - 1])
            back++;
    }
    memmove(r->ids + most - back, r->ids + r->n - back, (size_t)back * sizeof *r->ids);
    r->n = most;
done:
    atn_free(cx, bare);
    return st;
}

static atn_status check_length(atn_ctx *cx, recording *r)
{
    const atn_idx most = r->model.config.max_tokens;
    const bool learned = r->model.config.arch->names.position != NULL;
    atn_status st = ATN_OK;

    if (most == 0 || r->n <= most) return ATN_OK;
    if (r->args->truncate) {
        atn_log(cx, ATN_LOG_WARN, "%s: has %lld tokens; the first %lld are used",
                source(r), (long long)r->n, (long long)most);
        return cut(cx, r, most);
    }
    if (learned)
        ATN_FAIL(ATN_USAGE,
                 "%s: has %lld tokens, the model's learned positions end at %lld (give "
                 "--truncate)",
                 source(r), (long long)r->n, (long long)most);
    if (!r->args->allow_long)
        ATN_FAIL(ATN_USAGE,
                 "%s: has %lld tokens, the model was made for %lld (give --truncate to "
                 "cut it, or --allow-long to run it all the same)",
                 source(r), (long long)r->n, (long long)most);
done:
    return st;
}

static atn_input input_of(const recording *r)
{
    return (atn_input){.ids = r->ids,
                       .n = r->n,
                       .target = r->target,
                       .n_target = r->n_target,
                       .image = r->image,
                       .latents = r->latents.values,
                       .timesteps = r->latents.timesteps,
                       .classes = r->latents.classes,
                       .steps = r->latents.steps};
}

/* What the model reads, by the kind of its input. */
static atn_status read_input(atn_ctx *cx, recording *r)
{
    static const char *const wanted[] = {
        [ATN_INPUT_TOKENS] = "a text: give --text FILE or --token-ids FILE",
        [ATN_INPUT_IMAGE] = "an image: give --image FILE",
        [ATN_INPUT_LATENTS] =
            "latents: give --latents FILE, --timesteps LIST and --classes LIST"};
    const atn_record_args *a = r->args;
    const atn_input_kind kind = r->model.config.arch->input;
    const bool given = kind == ATN_INPUT_IMAGE     ? a->image != NULL
                       : kind == ATN_INPUT_LATENTS ? a->latents != NULL
                                                   : a->text || a->ids;
    atn_status st = ATN_OK;

    if (!given)
        ATN_FAIL(ATN_USAGE, "%s: a model of type %s reads %s", r->model.dir,
                 r->model.config.arch->id, wanted[kind]);
    if (kind == ATN_INPUT_IMAGE) {
        ATN_TRY(atn_vision_image(cx, &r->model, a->image, &r->image));
    } else if (kind == ATN_INPUT_LATENTS) {
        ATN_TRY(atn_vision_latents(cx, &r->model, a->latents, a->timesteps, a->classes,
                                   &r->latents));
    } else {
        ATN_TRY(read_tokens(cx, r));
        ATN_TRY(check_length(cx, r));
        ATN_TRY(check_ids(cx, r, source(r), r->ids, r->n));
        ATN_TRY(check_prompt(cx, r));
        return ATN_OK;
    }
    r->n = r->model.config.max_positions;
done:
    return st;
}

/* ---- the manifest ---- */

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

static json_t *tokens_json(atn_ctx *cx, const recording *r, const int32_t *list,
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
static atn_status stack_tokens(atn_ctx *cx, const recording *r, json_t **out)
{
    const atn_input in = input_of(r);
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
static json_t *weight_files(const recording *r)
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
static json_t *model_json(const recording *r, json_t *rotary)
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
static json_t *layer_file(const recording *r, const atn_place *p)
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

static json_t *layer_json(const recording *r, const atn_place *p)
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

static atn_status make_manifest(atn_ctx *cx, const recording *r, json_t **out)
{
    json_t *layers = NULL, *rotary = NULL, *stacks = NULL, *steps = NULL,
           *tokens = NULL;
    atn_status st = ATN_OK;

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
    *out = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:n, s:n, s:n, s:s, s:s, s:s}", "model",
        model_json(r, rotary), "stacks", stacks, "steps", steps, "layers", layers,
        "tokens", tokens || !r->ids ? json_null() : tokens_json(cx, r, r->ids, r->n),
        "positions", "grid", "roles", "dtype", atn_dtype_name(r->dtype), "device",
        cx->backend->device, "arithmetic", cx->backend->arithmetic);
    layers = rotary = stacks = steps = NULL;
    if (!*out) ATN_FAIL(ATN_MEMORY, "no memory for the manifest");
    if (tokens) json_object_set(*out, "stack_tokens", tokens);
    if (r->args->prompt > 0)
        json_object_set_new(*out, "prompt", json_integer(r->args->prompt));
    if (r->model.config.patch > 0) {
        const atn_input in = input_of(r);
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

/* Size and hash of a file, of its first 64 MiB when it is larger (they hold the
 * header), appended to *text. */
static atn_status append_file(atn_ctx *cx, const char *path, char **text)
{
    atn_status st = ATN_OK;
    atn_map m = {NULL, 0};
    char hex[33], *longer;

    ATN_TRY(atn_map_open(cx, path, &m));
    atn_hash_bytes(m.data, ATN_MIN(m.size, (size_t)64 << 20), hex);
    longer = atn_strfmt(cx, "%s %s %zu", *text, hex, m.size);
    if (!longer) {
        st = cx->err.code;
        goto done;
    }
    atn_free(cx, *text);
    *text = longer;
done:
    atn_map_close(&m);
    return st;
}

/* The manifest says all options and tokens; every weight file counts by content. */
static atn_status make_fingerprint(atn_ctx *cx, const recording *r,
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
static atn_status add_inputs(atn_ctx *cx, const recording *r, const json_t *manifest,
                             atn_run *run)
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

/* ---- layers ---- */

/* A tensor in the capture's dtype; narrowed copies live in the arena. */
static atn_status add_tensor(atn_ctx *cx, const recording *r, const char *name,
                             const float *x, int rank, const atn_idx *shape,
                             atn_st_out *list, atn_idx *n)
{
    atn_st_out *t = &list[(*n)++];
    atn_status st = ATN_OK;
    atn_idx count = 1;
    uint16_t *half = NULL;

    *t = (atn_st_out){.name = name, .type = r->dtype, .rank = rank, .data = x};
    for (int i = 0; i < rank; i++) {
        t->shape[i] = shape[i];
        count *= shape[i];
    }
    if (r->dtype == ATN_F32) return ATN_OK;
    ATN_TAKE(half, count);
    atn_narrow(x, r->dtype, count, half);
    t->data = half;
done:
    return st;
}

static atn_status save_layer(atn_ctx *cx, const atn_layer_dump *d, void *state)
{
    recording *r = state;
    const atn_record_args *a = r->args;
    const atn_place *at = d->place;
    const atn_idx width = r->model.config.width;
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx q[] = {at->heads, at->nq, at->d}, k[] = {at->kv_heads, at->nk, at->d},
                  v[] = {at->kv_heads, at->nk, at->dv};
    const atn_idx p[] = {at->heads, at->nq, at->nk}, h[] = {at->nq, width};
    const atn_idx w[] = {at->heads * at->dv, width};
    const atn_idx rel[] = {at->rel.buckets, at->heads};
    atn_status st = ATN_OK;
    atn_st_out list[12];
    json_t *weights = NULL;
    float *w_o = NULL;
    atn_idx n = 0;

    ATN_TRY(add_tensor(cx, r, "q", d->q, 3, q, list, &n));
    ATN_TRY(add_tensor(cx, r, "k", d->k, 3, k, list, &n));
    ATN_TRY(add_tensor(cx, r, "v", d->v, 3, v, list, &n));
    if (a->save_q_pre) ATN_TRY(add_tensor(cx, r, "q_pre", d->q_pre, 3, q, list, &n));
    if (a->save_k_pre) ATN_TRY(add_tensor(cx, r, "k_pre", d->k_pre, 3, k, list, &n));
    if (a->save_p) ATN_TRY(add_tensor(cx, r, "p", d->p, 3, p, list, &n));
    if (a->save_h) ATN_TRY(add_tensor(cx, r, "h", d->h, 2, h, list, &n));
    if (at->has_sink)
        ATN_TRY(add_tensor(cx, r, "sink", d->sink, 1, &at->heads, list, &n));
    if (at->has_alibi)
        ATN_TRY(add_tensor(cx, r, "alibi", d->alibi, 1, &at->heads, list, &n));
    if (at->rel.buckets)
        ATN_TRY(add_tensor(cx, r, "rel_bias", d->rel_bias, 2, rel, list, &n));
    if (!a->no_w_o) {
        ATN_TRY(atn_model_w_o(cx, &r->model, at, &w_o));
        /* what reaches the rows is O W_O times the gate */
        for (atn_idx i = 0; d->gate && i < w[0] * width; i++)
            w_o[i] *= d->gate[i % width];
        ATN_TRY(add_tensor(cx, r, "w_o", w_o, 2, w, list, &n));
    }
    ATN_TRY(atn_model_place_weights(cx, &r->model, at, &weights));
    ATN_TRY(atn_capture_set_weights(cx, r->writer, (int)r->slot[d->at], weights));
    ATN_TRY(atn_capture_put(cx, r->writer, (int)r->slot[d->at], list, n));
done:
    atn_free(cx, w_o);
    atn_arena_rewind(cx, mark);
    return st;
}

/* --layers counts in every stack; one that has fewer layers lacks those that are not there. */
static atn_status choose_places(atn_ctx *cx, recording *r)
{
    const atn_input input = input_of(r);
    atn_status st = ATN_OK;
    atn_idx *layers = NULL, n = 0, most = 0;
    bool *wanted = NULL;

    ATN_TRY(atn_model_places(cx, &r->model, &input, &r->places, &r->n_places));
    for (atn_idx i = 0; i < r->n_places; i++)
        most = ATN_MAX(most, r->places[i].layer + 1);
    ATN_TRY(atn_parse_list(cx, "--layers", r->args->layers, most, &layers, &n));
    ATN_NEW(wanted, most);
    ATN_NEW(r->kept, r->n_places);
    ATN_NEW(r->record, r->n_places);
    ATN_NEW(r->slot, r->n_places);
    for (atn_idx i = 0; i < n; i++) wanted[layers[i]] = true;
    for (atn_idx i = 0; i < r->n_places; i++) {
        if (!wanted[r->places[i].layer]) continue;
        r->record[i] = true;
        r->slot[i] = r->n_kept;
        r->kept[r->n_kept++] = i;
    }
done:
    atn_free(cx, layers);
    atn_free(cx, wanted);
    return st;
}

static atn_status choose_dtype(atn_ctx *cx, recording *r)
{
    static const struct {
        const char *name;
        atn_dtype type;
    } names[] = {{"f32", ATN_F32},      {"float32", ATN_F32}, {"f16", ATN_F16},
                 {"float16", ATN_F16},  {"half", ATN_F16},    {"bf16", ATN_BF16},
                 {"bfloat16", ATN_BF16}};
    const char *name = r->args->dtype ? r->args->dtype : "f32";

    for (size_t i = 0; i < ATN_LEN(names); i++)
        if (strcasecmp(names[i].name, name) == 0) {
            r->dtype = names[i].type;
            return ATN_OK;
        }
    return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                    "--store: '%s' is not one of f32, f16, bf16", name);
}

/* Numbers of one place on disk, of which w_o holds the last. */
static double layer_values(const recording *r, const atn_place *p, double *w_o)
{
    const atn_record_args *a = r->args;
    const double nq = (double)p->nq, nk = (double)p->nk, heads = (double)p->heads,
                 kv = (double)p->kv_heads, d = (double)p->d,
                 width = (double)r->model.config.width;
    double values = atn_place_values(p, r->model.config.width);

    *w_o = heads * (double)p->dv * width;
    if (a->no_w_o) {
        values -= *w_o;
        *w_o = 0;
    }
    if (a->save_q_pre) values += nq * heads * d;
    if (a->save_k_pre) values += nk * kv * d;
    if (a->save_h) values += nq * width;
    if (a->save_p) values += heads * nq * nk;
    return values;
}

/* What save_layer takes of the largest place: w_o turned round, and the narrowed copies. */
static double save_bytes(const recording *r)
{
    double most = 0;

    for (atn_idx i = 0; i < r->n_kept; i++) {
        double w_o = 0;
        const double values = layer_values(r, &r->places[r->kept[i]], &w_o);

        most = fmax(
            most,
            w_o * sizeof(float) +
                (r->dtype == ATN_F32 ? 0 : values * (double)atn_dtype_size(r->dtype)));
    }
    return most;
}

static double capture_bytes(const recording *r)
{
    double w_o = 0, values = 0;

    for (atn_idx i = 0; i < r->n_kept; i++)
        values += layer_values(r, &r->places[r->kept[i]], &w_o);
    return values * (double)atn_dtype_size(r->dtype);
}

static atn_forward_args forward_args(recording *r)
{
    const atn_record_args *a = r->args;

    return (atn_forward_args){.input = input_of(r),
                              .visit = save_layer,
                              .state = r,
                              .visit_bytes = save_bytes(r),
                              .visit_place = r->record,
                              .want_pre = a->save_q_pre || a->save_k_pre,
                              .want_p = a->save_p,
                              .want_h = a->save_h,
                              .want_loss = r->model.has_head,
                              .want_label = true,
                              .last_place = r->kept[r->n_kept - 1]};
}

/* Before anything is made on disk. n^2 matrices are refused above DENSE_MAX unless a
 * memory limit says how much is allowed. */
static atn_status check_memory(atn_ctx *cx, recording *r)
{
    const atn_forward_args f = forward_args(r);
    const atn_input in = input_of(r);
    const atn_idx most = atn_model_tokens_most(&r->model, &in);
    const double n = (double)most, heads = (double)r->model.config.heads;

    if (r->args->save_p && most > DENSE_MAX && cx->mem_limit == 0)
        return atn_fail(
            cx, ATN_MEMORY, __FILE__, __LINE__,
            "--save p at %lld tokens takes %.1f GiB a layer; above %d tokens give "
            "--mem-limit to allow it",
            (long long)most, 4 * heads * n * n / 1073741824.0, DENSE_MAX);
    return atn_forward_check(cx, &r->model, &f);
}

/* The encoder alone of a model that has a decoder. */
static bool lacks_target(const recording *r)
{
    return r->model.config.n_stacks > 1 && r->n_target == 0;
}

/* NULL also for what is no language model. */
static const char *why_no_loss(const recording *r)
{
    if (r->model.config.arch->decoder)
        return lacks_target(r)                ? "there is no target to predict"
               : r->model.has_head            ? NULL
               : r->model.config.n_stacks > 1 ? "the weights have no lm_head"
                                              : NULL;
    if (r->model.has_head) return r->n < 2 ? "a single token predicts nothing" : NULL;
    return r->model.config.arch->names.head
               ? "the weights have no lm_head, and config.json does not tie it to the "
                 "embedding"
               : NULL;
}

/* "6 encoder, 6 decoder, 6 cross" */
static void count_stacks(const recording *r, char *out, size_t size)
{
    static const char *const names[] = {"encoder", "decoder", "cross"};
    size_t used = 0;

    *out = '\0';
    for (size_t s = 0; s < ATN_LEN(names); s++) {
        atn_idx n = 0;

        for (atn_idx i = 0; i < r->n_kept; i++)
            n += strcmp(r->places[r->kept[i]].stack, names[s]) == 0;
        if (n > 0 && used < size)
            used += (size_t)snprintf(out + used, size - used, "%s%lld %s",
                                     used ? ", " : "", (long long)n, names[s]);
    }
}

static void describe(const atn_ctx *cx, recording *r, atn_record_result *out)
{
    const atn_forward_args f = forward_args(r);
    const atn_input input = input_of(r);

    snprintf(out->model_name, sizeof out->model_name, "%s", r->model.name);
    out->model_type = r->model.config.arch->id;
    out->tokens = r->n;
    out->steps = ATN_MAX(r->latents.steps, 1);
    out->target_tokens = r->n_target;
    out->layers = r->n_kept;
    count_stacks(r, out->stacks, sizeof out->stacks);
    if (lacks_target(r))
        out->note = "only the encoder ran; --target-text FILE or --target-ids FILE "
                    "lets the decoder read and predict a target";
    out->no_loss = why_no_loss(r);
    out->parameters = atn_model_parameters(&r->model);
    out->flops = atn_model_flops(&r->model, &input);
    out->memory_bytes = atn_forward_memory(cx, &r->model, &f);
    out->capture_bytes = capture_bytes(r);
}

/* What the end of the run knows. */
static atn_status describe_model(atn_ctx *cx, const recording *r,
                                 const atn_forward_result *result)
{
    atn_status st = ATN_OK;
    json_t *weights = NULL;

    ATN_TRY(atn_model_token_weights(cx, &r->model, &weights));
    ATN_TRY(atn_capture_set(cx, r->writer, "weights", weights));
    if (!result->has_loss) goto done;
    ATN_TRY(atn_capture_set(
        cx, r->writer, "loss",
        json_pack("{s:f, s:I, s:o}", "nats_per_token", result->loss, "tokens",
                  (json_int_t)result->loss_tokens, "perplexity",
                  isfinite(exp(result->loss)) ? json_real(exp(result->loss))
                                              : json_null())));
done:
    return st;
}

/* Runs the model over what is not on disk yet. */
static atn_status run_model(atn_ctx *cx, recording *r, atn_record_result *out)
{
    const atn_forward_args f = forward_args(r);
    atn_status st = ATN_OK;
    atn_forward_result result;

    for (atn_idx i = 0; i < r->n_kept; i++)
        if (atn_capture_has_layer(r->writer, (int)i)) {
            r->record[r->kept[i]] = false;
            out->layers_found++;
        }
    ATN_TRY(atn_forward(cx, &r->model, &f, &result));
    out->has_loss = result.has_loss;
    out->loss = result.loss;
    out->has_label = result.has_label;
    out->label = result.label;
    out->label_probability = result.label_probability;
    if (result.has_label) {
        const char *label = atn_model_label(&r->model, result.label);

        snprintf(out->label_text, sizeof out->label_text, "%s", label ? label : "");
    }
    ATN_TRY(describe_model(cx, r, &result));
done:
    return st;
}

/* What a run that did not end leaves, said behind its message. */
static atn_status say_what_is_kept(atn_ctx *cx, const recording *r, atn_status st)
{
    char text[ATN_ERR_TEXT];
    const bool stopped = st == ATN_INTERRUPTED || st == ATN_TERMINATED;
    int kept = 0;

    if (!r->writer || st == ATN_OK) return st;
    for (int i = 0; i < r->n_kept; i++) kept += atn_capture_has_layer(r->writer, i);
    snprintf(text, sizeof text, "%s", cx->err.text);
    if (kept == 0 && !stopped) return st;
    if (kept == 0)
        return atn_fail(cx, st, __FILE__, __LINE__, "%s (no layer was complete)", text);
    return atn_fail(cx, st, __FILE__, __LINE__,
                    "%.300s (%d of %lld layers are kept in %.100s; %s)", text, kept,
                    (long long)r->n_kept, atn_capture_work(r->writer),
                    stopped ? "the same command resumes"
                            : "the same command, model and text go on from there");
}

static void release(atn_ctx *cx, recording *r)
{
    atn_capture_abandon(cx, r->writer);
    atn_tokenizer_destroy(cx, r->tokenizer);
    atn_model_close(cx, &r->model);
    atn_free(cx, r->ids);
    atn_free(cx, r->image);
    atn_latents_release(cx, &r->latents);
    atn_free(cx, r->target);
    atn_free(cx, r->places);
    atn_free(cx, r->kept);
    atn_free(cx, r->record);
    atn_free(cx, r->slot);
}

atn_status atn_record(atn_ctx *cx, const atn_record_args *args, atn_run *run,
                      atn_record_result *out)
{
    const double start = atn_seconds();
    atn_status st = ATN_OK;
    recording r = {.args = args};
    json_t *manifest = NULL;
    atn_capture_writer *writer;
    char fingerprint[33];

    *out = (atn_record_result){0};
    ATN_TRY(choose_dtype(cx, &r));
    ATN_TRY(atn_model_open(cx, args->model_dir, &r.model));
    ATN_TRY(read_input(cx, &r));
    ATN_TRY(choose_places(cx, &r));
    ATN_TRY(check_memory(cx, &r));
    describe(cx, &r, out);
    if (args->dry_run) goto done;
    ATN_TRY(make_manifest(cx, &r, &manifest));
    ATN_TRY(make_fingerprint(cx, &r, manifest, fingerprint));
    ATN_TRY(atn_capture_begin(cx, args->out_dir, manifest, fingerprint, args->force,
                              &r.writer));
    ATN_TRY(run_model(cx, &r, out));
    if (run) {
        ATN_TRY(add_inputs(cx, &r, manifest, run));
        ATN_TRY(atn_run_finish(cx, run));
    }
    writer = r.writer;
    r.writer = NULL;
    ATN_TRY(atn_capture_finish(cx, writer, run ? run->json : NULL));
done:
    st = say_what_is_kept(cx, &r, st);
    json_decref(manifest);
    release(cx, &r);
    out->seconds = atn_seconds() - start;
    return st;
}
