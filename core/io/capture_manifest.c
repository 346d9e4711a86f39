/* core/io/capture_manifest.c -- reading capture.json.
 *
 * The manifest is hostile input: every key is checked, type, range and how it fits the
 * others, and at last the checksum over them all.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/io/capture_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/file.h"
#include "core/io/json.h"

static const int64_t SIZE_MAX_DIM = (int64_t)1 << 31;
static const double TURN_MOST = 1e6;

static atn_status layer_error(atn_ctx *cx, const atn_capture *c, size_t i,
                              const char *rule)
{
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "%s/capture.json: layers[%zu]: %s (capture it again)", c->dir, i,
                    rule);
}

/* [step-NNN/][stack/]layer-NNN.safetensors and nothing that leaves the directory. */
bool atn_capture_safe_name(const char *name)
{
    return *name && *name != '/' && !strstr(name, "..") && !strchr(name, '\\') &&
           strlen(name) < 256;
}

/* A list of values of one type, where the key is there and not null. */
static atn_status check_list(atn_ctx *cx, const atn_capture *c, const json_t *obj,
                             const char *key, json_type type)
{
    const json_t *list = json_object_get(obj, key), *v;
    bool good = !list || json_is_null(list) || json_is_array(list);
    size_t i;

    json_array_foreach(list, i, v) good &= json_typeof(v) == type;
    if (good) return ATN_OK;
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "%s/capture.json: \"%s\" is no list of %s", c->dir, key,
                    type == JSON_STRING ? "strings" : "integers");
}

static bool is_among(const char *text, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(text, list[i]) == 0) return true;
    return false;
}

static bool has_tensor(const json_t *layer, const char *name)
{
    const json_t *list = json_object_get(layer, "tensors"), *v;
    size_t i;

    json_array_foreach(list, i,
                       v) if (strcmp(json_string_value(v), name) == 0) return true;
    return false;
}

static atn_status read_tensors(atn_ctx *cx, const atn_capture *c, size_t i,
                               const json_t *j, atn_layer_info *l)
{
    static const char *const known[] = {"q",    "k",     "v",        "w_o",
                                        "p",    "h",     "q_pre",    "k_pre",
                                        "sink", "alibi", "rel_bias", "d_o"};
    const json_t *list = json_object_get(j, "tensors"), *v;
    size_t t, used = 0;

    if (!json_is_array(list))
        return layer_error(cx, c, i, "\"tensors\" is no list of names");
    json_array_foreach(list, t, v)
    {
        if (!json_is_string(v))
            return layer_error(cx, c, i, "\"tensors\" is no list of names");
        if (!is_among(json_string_value(v), known, ATN_LEN(known)))
            return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                            "%s/capture.json: layers[%zu]: \"tensors\" has \"%.40s\", "
                            "which this version does not read",
                            c->dir, i, json_string_value(v));
        if (used + strlen(json_string_value(v)) + 2 > sizeof l->tensors)
            return layer_error(cx, c, i, "\"tensors\" names one twice");
        used += (size_t)snprintf(l->tensors + used, sizeof l->tensors - used, "%s%s",
                                 used > 0 ? " " : "", json_string_value(v));
    }
    l->has_qk = has_tensor(j, "q") && has_tensor(j, "k");
    l->has_v = has_tensor(j, "v");
    l->has_p = has_tensor(j, "p");
    l->has_w_o = has_tensor(j, "w_o");
    if (l->has_qk || l->has_p) return ATN_OK;
    return layer_error(cx, c, i, "\"tensors\" has neither q and k nor p");
}

static atn_status read_sight(atn_ctx *cx, const atn_capture *c, const char *what,
                             const json_t *j, size_t i, atn_layer_info *l)
{
    atn_sight *s = &l->sight;
    const char *mask = NULL;
    atn_status st = ATN_OK;

    ATN_TRY(atn_json_get_str(cx, what, j, "mask", l->has_qk ? "" : "full", &mask));
    if (strcmp(mask, "causal") != 0 && strcmp(mask, "full") != 0)
        ATN_TRY(layer_error(cx, c, i, "\"mask\" is neither causal nor full"));
    s->causal = mask[0] == 'c';
    ATN_TRY(atn_json_get_i64(cx, what, j, "offset", 0, -l->nq, l->nk, &s->offset));
    if (s->causal && (s->offset != l->nk - l->nq || s->offset < 0))
        ATN_FAIL(
            ATN_DATA,
            "%s: \"offset\" is %lld, a causal mask over %lld queries and %lld keys "
            "has n_k - n_q, at least 0 (capture it again)",
            what, (long long)s->offset, (long long)l->nq, (long long)l->nk);
    ATN_TRY(atn_json_get_i64(cx, what, j, "window", 0, 1, SIZE_MAX_DIM, &s->window));
    ATN_TRY(atn_json_get_i64(cx, what, j, "key_first", 0, 0, l->nk - 1, &s->key_first));
    ATN_TRY(atn_json_get_i64(cx, what, j, "key_last", l->nk, s->key_first + 1, l->nk,
                             &s->key_last));
    ATN_TRY(atn_json_get_positive(cx, what, j, "softcap", 0, &s->softcap));
    s->cross = strcmp(l->stack, "cross") == 0 || (!s->causal && l->nq != l->nk);
    s->pad_queries = !s->cross && s->offset == l->nk - l->nq;
done:
    return st;
}

/* How distances share the rows of "rel_bias". */
static atn_status read_rel(atn_ctx *cx, const char *what, const json_t *j,
                           atn_layer_info *l)
{
    const char *wrong;
    atn_status st = ATN_OK;

    if (!has_tensor(j, "rel_bias")) return ATN_OK;
    ATN_TRY(atn_json_need_i64(cx, what, j, "rel_buckets", 2, 1 << 20, &l->rel.buckets));
    ATN_TRY(atn_json_need_i64(cx, what, j, "rel_max_distance", 2, SIZE_MAX_DIM,
                              &l->rel.max_distance));
    ATN_TRY(atn_json_get_bool(cx, what, j, "bidirectional", !l->sight.causal,
                              &l->rel.bidirectional));
    if ((wrong = atn_rel_check(&l->rel)))
        ATN_FAIL(
            ATN_DATA,
            "%s: \"rel_buckets\" is %lld, \"rel_max_distance\" %lld%s: %s (capture "
            "it again)",
            what, (long long)l->rel.buckets, (long long)l->rel.max_distance,
            l->rel.bidirectional ? ", \"bidirectional\"" : "", wrong);
done:
    return st;
}

static atn_status read_sizes(atn_ctx *cx, const atn_capture *c, const char *what,
                             const json_t *j, size_t i, atn_layer_info *l)
{
    const int64_t layers = c->model.layers > 0 ? c->model.layers : 100001;
    atn_status st = ATN_OK;
    int64_t index = 0, step = 0;

    ATN_TRY(atn_json_need_i64(cx, what, j, "index", 0, layers - 1, &index));
    ATN_TRY(atn_json_get_i64(cx, what, j, "step", 0, 0, 1000000, &step));
    l->layer = (int)index;
    l->step = (int)step;
    ATN_TRY(atn_json_need_i64(cx, what, j, "heads", 1, 100000, &l->heads));
    ATN_TRY(
        atn_json_get_i64(cx, what, j, "kv_heads", l->heads, 1, l->heads, &l->kv_heads));
    if (l->heads % l->kv_heads != 0)
        ATN_TRY(layer_error(cx, c, i, "\"heads\" is no multiple of \"kv_heads\""));
    ATN_TRY(atn_json_need_i64(cx, what, j, "n_q", 1, SIZE_MAX_DIM, &l->nq));
    ATN_TRY(atn_json_need_i64(cx, what, j, "n_k", 1, SIZE_MAX_DIM, &l->nk));
    ATN_TRY(atn_json_get_i64(cx, what, j, "d", 0, 0, 1 << 20, &l->d));
    ATN_TRY(atn_json_get_i64(cx, what, j, "d_v", l->d, 0, 1 << 20, &l->dv));
    ATN_TRY(atn_json_get_positive(cx, what, j, "scale", l->has_qk ? 0 : 1, &l->scale));
    if (l->has_qk && l->scale == 0)
        ATN_TRY(layer_error(cx, c, i, "\"scale\" is missing"));
    if (l->has_qk && l->d == 0) ATN_TRY(layer_error(cx, c, i, "\"d\" is missing"));
    if (l->has_v && l->dv == 0) ATN_TRY(layer_error(cx, c, i, "\"d_v\" is missing"));
done:
    return st;
}

bool atn_capture_is_hash(const char *text)
{
    return strlen(text) == 32 && strspn(text, "0123456789abcdef") == 32;
}

/* "rotary" of the model or a layer, null where it has none: *n numbers in heap
 * memory. */
static atn_status read_rotary(atn_ctx *cx, const char *what, const json_t *rotary,
                              double **turn, atn_idx *n)
{
    const json_t *list, *v;
    const char *pairs = NULL;
    atn_status st = ATN_OK;
    size_t i;

    *n = 0;
    if (json_is_null(rotary)) return ATN_OK;
    if (!json_is_object(rotary))
        ATN_FAIL(ATN_DATA, "%s: \"rotary\" is no object", what);
    ATN_TRY(atn_json_get_str(cx, what, rotary, "pairs", "", &pairs));
    if (strcmp(pairs, "half") != 0)
        ATN_FAIL(ATN_DATA,
                 "%s: rotary: \"pairs\" is \"%.40s\", this version reads only half",
                 what, pairs);
    list = json_object_get(rotary, "frequencies");
    if (!json_is_array(list) || json_array_size(list) == 0)
        ATN_FAIL(ATN_DATA, "%s: rotary: \"frequencies\" is no list of numbers", what);
    ATN_NEW(*turn, json_array_size(list));
    json_array_foreach(list, i, v)
    {
        if (!json_is_number(v))
            ATN_FAIL(ATN_DATA, "%s: rotary: \"frequencies\" is no list of numbers",
                     what);
        (*turn)[i] = json_number_value(v);
        if (!((*turn)[i] >= 0 && (*turn)[i] <= TURN_MOST))
            ATN_FAIL(ATN_DATA,
                     "%s: rotary: frequencies[%zu] is %.6g, not from 0 to %g radians a "
                     "position",
                     what, i, (*turn)[i], TURN_MOST);
    }
    *n = (atn_idx)json_array_size(list);
done:
    return st;
}

/* That of layer i, the model's where it has none of its own. */
static atn_status layer_rotary(atn_ctx *cx, atn_capture *c, const char *what,
                               const json_t *j, size_t i)
{
    const json_t *own = json_object_get(j, "rotary");
    atn_layer_info *l = &c->layers[i];
    atn_status st = ATN_OK;

    l->rotary = c->model.rotary;
    l->turn = c->model.turn;
    if (own) {
        ATN_TRY(read_rotary(cx, what, own, &c->turns[i], &l->rotary));
        l->turn = c->turns[i];
    }
    if (l->d > 0 && 2 * l->rotary > l->d)
        ATN_FAIL(ATN_DATA,
                 "%s: rotary: %lld \"frequencies\" turn %lld numbers, but d is %lld "
                 "(capture it again)",
                 what, (long long)l->rotary, (long long)(2 * l->rotary),
                 (long long)l->d);
done:
    return st;
}

static atn_status read_layer(atn_ctx *cx, atn_capture *c, size_t i, const json_t *j)
{
    atn_layer_info *l = &c->layers[i];
    char what[512];
    atn_status st = ATN_OK;

    snprintf(what, sizeof what, "%.400s/capture.json: layers[%zu]", c->dir, i);
    if (!json_is_object(j)) ATN_TRY(layer_error(cx, c, i, "is no object"));
    ATN_TRY(atn_json_get_str(cx, what, j, "stack", "", &l->stack));
    ATN_TRY(atn_json_get_str(cx, what, j, "file", NULL, &l->file));
    ATN_TRY(atn_json_get_str(cx, what, j, "hash", NULL, &l->hash));
    if (!l->file || !atn_capture_safe_name(l->file))
        ATN_TRY(layer_error(cx, c, i, "\"file\" is missing or leaves the directory"));
    if (l->hash && !atn_capture_is_hash(l->hash))
        ATN_TRY(layer_error(cx, c, i, "\"hash\" is not 32 hexadecimal digits"));
    ATN_TRY(read_tensors(cx, c, i, j, l));
    ATN_TRY(read_sizes(cx, c, what, j, i, l));
    ATN_TRY(read_sight(cx, c, what, j, i, l));
    ATN_TRY(layer_rotary(cx, c, what, j, i));
    ATN_TRY(read_rel(cx, what, j, l));
    ATN_TRY(atn_capture_check_weights(cx, what, j));
    l->weights = json_object_get(j, "weights");
done:
    return st;
}

static int by_step_stack_layer(const void *a, const void *b)
{
    const atn_layer_info *x = a, *y = b;
    const int stack = strcmp(x->stack, y->stack);

    if (x->step != y->step) return x->step - y->step;
    return stack ? stack : x->layer - y->layer;
}

static atn_status layer_on_disk(atn_ctx *cx, const atn_capture *c,
                                const atn_layer_info *l, bool *there)
{
    char *path;

    *there = c->planned;
    if (c->planned) return ATN_OK;
    path = atn_path_join(cx, c->dir, l->file);
    if (!path) return cx->err.code;
    *there = atn_file_exists(path);
    atn_free(cx, path);
    return ATN_OK;
}

static atn_status read_layers(atn_ctx *cx, atn_capture *c)
{
    const json_t *list = json_object_get(c->manifest, "layers"), *j;
    atn_status st = ATN_OK;
    bool there = false;
    size_t i;
    int kept = 0;

    if (!json_is_array(list) || json_array_size(list) == 0 ||
        json_array_size(list) > 1000000)
        ATN_FAIL(ATN_DATA,
                 "%s/capture.json: \"layers\" is no array of 1..1000000 layers",
                 c->dir);
    ATN_NEW(c->layers, json_array_size(list));
    ATN_NEW(c->turns, json_array_size(list));
    c->n_turns = json_array_size(list);
    json_array_foreach(list, i, j)
    {
        ATN_TRY(read_layer(cx, c, i, j));
        c->nk_most = ATN_MAX(c->nk_most, c->layers[i].nk);
        c->nk_least = i == 0 ? c->layers[i].nk : ATN_MIN(c->nk_least, c->layers[i].nk);
        ATN_TRY(layer_on_disk(cx, c, &c->layers[i], &there));
        if (there)
            c->layers[kept++] = c->layers[i];
        else if (c->complete)
            ATN_FAIL(ATN_DATA, "%s/%s: the layer file is missing (capture it again)",
                     c->dir, c->layers[i].file);
    }
    c->n_layers = kept;
    qsort(c->layers, (size_t)kept, sizeof *c->layers, by_step_stack_layer);
    for (int l = 1; l < kept; l++)
        if (by_step_stack_layer(&c->layers[l - 1], &c->layers[l]) == 0)
            ATN_FAIL(ATN_DATA, "%s/capture.json: layer %d is listed twice", c->dir,
                     c->layers[l].layer);
    for (int l = 0; l < kept; l++)
        c->layers[l].steps = c->layers[0].step != c->layers[kept - 1].step;
done:
    return st;
}

static atn_status read_model(atn_ctx *cx, atn_capture *c)
{
    const json_t *m = json_object_get(c->manifest, "model"), *rotary;
    char what[512];
    atn_status st = ATN_OK;

    c->model.rotary = -1;
    if (!m || json_is_null(m)) return ATN_OK;
    snprintf(what, sizeof what, "%.400s/capture.json: model", c->dir);
    if (!json_is_object(m)) ATN_FAIL(ATN_DATA, "%s: is no object", what);
    ATN_TRY(atn_json_get_str(cx, what, m, "name", NULL, &c->model.name));
    ATN_TRY(atn_json_get_str(cx, what, m, "dir", NULL, &c->model.dir));
    ATN_TRY(atn_json_get_str(cx, what, m, "model_type", NULL, &c->model.model_type));
    ATN_TRY(atn_json_get_i64(cx, what, m, "layers", 0, 1, 100000, &c->model.layers));
    ATN_TRY(
        atn_json_get_i64(cx, what, m, "width", 0, 1, SIZE_MAX_DIM, &c->model.width));
    ATN_TRY(atn_json_get_i64(cx, what, m, "ffn", 0, 1, SIZE_MAX_DIM, &c->model.ffn));
    ATN_TRY(
        atn_json_get_i64(cx, what, m, "vocab", 0, 1, SIZE_MAX_DIM, &c->model.vocab));
    ATN_TRY(atn_json_get_bool(cx, what, m, "gated", false, &c->model.gated));
    ATN_TRY(atn_json_get_bool(cx, what, m, "tied", false, &c->model.tied));
    ATN_TRY(atn_json_get_bool(cx, what, m, "causal", false, &c->model.causal));
    ATN_TRY(check_list(cx, c, m, "files", JSON_STRING));
    rotary = json_object_get(m, "rotary");
    if (!rotary) goto done;
    ATN_TRY(read_rotary(cx, what, rotary, &c->turn, &c->model.rotary));
    c->model.turn = c->turn;
done:
    return st;
}

/* The names of all stacks and the numbers of all steps that layers have, as keys. */
static atn_status collect_places(atn_ctx *cx, const atn_capture *c, json_t *stacks,
                                 json_t *steps)
{
    const json_t *layers = json_object_get(c->manifest, "layers"), *j;
    bool good = stacks && steps;
    char number[24];
    size_t i;

    json_array_foreach(layers, i, j)
    {
        const char *stack = json_string_value(json_object_get(j, "stack"));

        snprintf(number, sizeof number, "%lld",
                 (long long)json_integer_value(json_object_get(j, "step")));
        good = good &&
               json_object_set_new(stacks, stack ? stack : "", json_true()) == 0 &&
               json_object_set_new(steps, number, json_true()) == 0;
    }
    return good ? ATN_OK
                : atn_fail(cx, ATN_MEMORY, __FILE__, __LINE__,
                           "no memory for the places of layers");
}

/* The list names what the layers have, all of it and nothing else. */
static atn_status check_place_list(atn_ctx *cx, const atn_capture *c, const char *key,
                                   json_t *there)
{
    const json_t *list = json_object_get(c->manifest, key), *v;
    json_t *named = json_object();
    atn_status st = ATN_OK;
    const char *name;
    size_t i;

    if (!json_is_array(list)) goto done;
    json_array_foreach(list, i, v)
    {
        char number[24];

        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(v));
        name = json_is_string(v) ? json_string_value(v) : number;
        if (!json_object_get(there, name))
            ATN_FAIL(ATN_DATA,
                     "%s/capture.json: \"%s\" lists \"%.40s\", but no layer is of it",
                     c->dir, key, name);
        if (json_object_set_new(named, name, json_true()) != 0)
            ATN_FAIL(ATN_MEMORY, "no memory for the places of layers");
    }
    for (void *at = json_object_iter(there); at; at = json_object_iter_next(there, at))
        if (!json_object_get(named, json_object_iter_key(at)))
            ATN_FAIL(ATN_DATA,
                     "%s/capture.json: \"%s\" does not list \"%.40s\", which layers "
                     "are of",
                     c->dir, key, json_object_iter_key(at));
done:
    json_decref(named);
    return st;
}

/* "stacks" and "steps", where they are there, name those of the layers. */
static atn_status check_places(atn_ctx *cx, const atn_capture *c)
{
    json_t *stacks = json_object(), *steps = json_object();
    atn_status st = ATN_OK;

    ATN_TRY(check_list(cx, c, c->manifest, "stacks", JSON_STRING));
    ATN_TRY(check_list(cx, c, c->manifest, "steps", JSON_INTEGER));
    ATN_TRY(collect_places(cx, c, stacks, steps));
    ATN_TRY(check_place_list(cx, c, "stacks", stacks));
    ATN_TRY(check_place_list(cx, c, "steps", steps));
done:
    json_decref(stacks);
    json_decref(steps);
    return st;
}

/* What a command prints of it but does not compute with. */
static atn_status check_remarks(atn_ctx *cx, const atn_capture *c)
{
    static const char *const strings[] = {"fingerprint", "device", "arithmetic"},
                             *const types[] = {"F32", "F16", "BF16"};
    const json_t *m = c->manifest, *loss = json_object_get(m, "loss"), *v;
    const char *text;
    char what[512];
    atn_status st = ATN_OK;
    double nats, perplexity;
    int64_t count;

    snprintf(what, sizeof what, "%.400s/capture.json", c->dir);
    for (size_t i = 0; i < ATN_LEN(strings); i++)
        ATN_TRY(atn_json_get_str(cx, what, m, strings[i], NULL, &text));
    ATN_TRY(atn_json_get_str(cx, what, m, "dtype", "F32", &text));
    if (!is_among(text, types, ATN_LEN(types)))
        ATN_FAIL(ATN_DATA,
                 "%s/capture.json: \"dtype\" is \"%.40s\", not F32, F16 or BF16",
                 c->dir, text);
    if ((v = json_object_get(m, "positions")) && !json_is_null(v))
        ATN_FAIL(
            ATN_DATA,
            "%s/capture.json: \"positions\" is reserved, this version reads only null",
            c->dir);
    ATN_TRY(atn_capture_check_weights(cx, what, m));
    v = json_object_get(m, "run");
    if ((v && !json_is_null(v) && !json_is_object(v)) ||
        (loss && !json_is_null(loss) && !json_is_object(loss)))
        ATN_FAIL(ATN_DATA, "%s/capture.json: \"run\" or \"loss\" is no object", c->dir);
    ATN_TRY(atn_json_get_f64(cx, what, loss, "nats_per_token", 0, &nats));
    ATN_TRY(atn_json_get_f64(cx, what, loss, "perplexity", 1, &perplexity));
    if (nats < 0 || perplexity < 1)
        ATN_FAIL(ATN_DATA,
                 "%s: \"loss\" has %.6g nats_per_token and a perplexity of %.6g, which "
                 "are at least 0 and 1",
                 what, nats, perplexity);
    ATN_TRY(atn_json_get_i64(cx, what, loss, "tokens", 0, 0, SIZE_MAX_DIM, &count));
done:
    return st;
}

atn_status atn_capture_checksum(atn_ctx *cx, const json_t *manifest, char hex[33])
{
    json_t *rest = json_copy((json_t *)(uintptr_t)manifest);
    char *text = NULL;
    atn_status st = ATN_OK;

    if (rest) (void)json_object_del(rest, "checksum");
    text = atn_json_text(cx, rest);
    if (!text) ATN_TRY(cx->err.code);
    atn_hash_bytes(text, strlen(text), hex);
done:
    atn_free(cx, text);
    json_decref(rest);
    return st;
}

/* Comes last: an edit that breaks a rule is named by the rule. */
static atn_status check_checksum(atn_ctx *cx, const atn_capture *c)
{
    const char *written = NULL;
    char hex[33], what[512];
    atn_status st = ATN_OK;

    snprintf(what, sizeof what, "%.400s/capture.json", c->dir);
    ATN_TRY(atn_json_get_str(cx, what, c->manifest, "checksum", NULL, &written));
    if (!written) goto done;
    ATN_TRY(atn_capture_checksum(cx, c->manifest, hex));
    if (strcmp(hex, written) != 0)
        ATN_FAIL(
            ATN_DATA,
            "%s/capture.json: was edited by hand: its checksum is %s, \"checksum\" "
            "says %.32s (capture it again, or remove \"checksum\" to stand by the "
            "edit)",
            c->dir, hex, written);
done:
    return st;
}

static atn_status read_manifest(atn_ctx *cx, atn_capture *c)
{
    char *path = atn_path_join(cx, c->dir, "capture.json");
    const char *schema = NULL;
    atn_status st = ATN_OK;

    if (!path) return cx->err.code;
    if (!atn_dir_exists(c->dir))
        ATN_FAIL(ATN_NOINPUT,
                 "%s: there is no such directory (make one with `attnscope capture`)",
                 c->dir);
    if (!atn_file_exists(path))
        ATN_FAIL(ATN_NOINPUT, "%s: is no capture, it has no capture.json", c->dir);
    ATN_TRY(atn_json_load(cx, path, false, &c->manifest));
    ATN_TRY(atn_json_get_str(cx, path, c->manifest, "schema", "", &schema));
    if (strcmp(schema, "attnscope/capture/1") != 0)
        ATN_FAIL(ATN_DATA, "%s: schema \"%.60s\" is not attnscope/capture/1", path,
                 schema);
    ATN_TRY(atn_json_get_bool(cx, path, c->manifest, "complete", false, &c->complete));
done:
    atn_free(cx, path);
    return st;
}

atn_status atn_capture_read_manifest(atn_ctx *cx, atn_capture *c)
{
    atn_status st = ATN_OK;

    ATN_TRY(read_manifest(cx, c));
    ATN_TRY(atn_capture_take_manifest(cx, c));
done:
    return st;
}

atn_status atn_capture_take_manifest(atn_ctx *cx, atn_capture *c)
{
    atn_status st = ATN_OK;

    ATN_TRY(read_model(cx, c));
    ATN_TRY(read_layers(cx, c));
    ATN_TRY(check_places(cx, c));
    ATN_TRY(atn_capture_read_tokens(cx, c));
    ATN_TRY(atn_capture_read_facts(cx, c));
    ATN_TRY(check_remarks(cx, c));
    ATN_TRY(check_checksum(cx, c));
done:
    return st;
}
