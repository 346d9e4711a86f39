/* capture/config.c -- reads and checks config.json, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/config_internal.h"

#include <stdio.h>
#include <string.h>

#include "core/io/file.h"
#include "core/io/json.h"
#include "core/param.h"

static const int64_t BIG = 2147483647;

static atn_status unknown_type(atn_ctx *cx, const char *path, const char *type)
{
    const char *ids[64];
    char known[256];
    int n = 0;

    for (; atn_archs[n] && n < 64; n++) ids[n] = atn_archs[n]->id;
    atn_known(type, ids, n, known, sizeof known);
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "%s: model_type \"%.60s\" is not supported %s; attnscope import "
                    "takes Q, K, V of any model",
                    path, type, known);
}

static atn_status find_arch(atn_ctx *cx, const char *path, atn_config *c)
{
    const char *type = NULL;
    atn_status st = ATN_OK;

    ATN_TRY(atn_json_get_str(cx, path, c->json, "model_type", NULL, &type));
    if (!type) ATN_TRY(atn_json_get_str(cx, path, c->json, "_class_name", NULL, &type));
    if (!type) ATN_FAIL(ATN_DATA, "%s: \"model_type\" is missing", path);
    c->arch = atn_arch_find(type);
    if (!c->arch) ATN_TRY(unknown_type(cx, path, type));
done:
    return st;
}

static const char *or_usual(const char *key, const char *usual)
{
    return key ? key : usual;
}

/* The width of the MLP; where the family has a multiple of the model's for an absent or null
 * key, that. */
static atn_status read_ffn(atn_ctx *cx, const char *path, atn_config *c)
{
    const char *key = or_usual(c->arch->keys.ffn, "intermediate_size");
    const json_t *v = json_object_get(c->json, key);

    if (c->arch->ffn_times > 0 && (!v || json_is_null(v))) {
        if (c->width > BIG / c->arch->ffn_times)
            return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                            "%s: %lld times the width %lld is too wide an MLP", path,
                            (long long)c->arch->ffn_times, (long long)c->width);
        c->ffn = c->arch->ffn_times * c->width;
        return ATN_OK;
    }
    return atn_json_need_i64(cx, path, c->json, key, 1, BIG, &c->ffn);
}

static atn_status read_width(atn_ctx *cx, const char *path, atn_config *c)
{
    const atn_arch_keys *key = &c->arch->keys;
    int64_t heads = 0, dim = 0;
    atn_status st = ATN_OK;

    if (!c->arch->width_of_heads)
        return atn_json_need_i64(cx, path, c->json, or_usual(key->width, "hidden_size"),
                                 1, BIG, &c->width);
    ATN_TRY(atn_json_need_i64(cx, path, c->json,
                              or_usual(key->heads, "num_attention_heads"), 1, BIG,
                              &heads));
    ATN_TRY(atn_json_need_i64(cx, path, c->json, or_usual(key->head_dim, "head_dim"), 1,
                              BIG, &dim));
    c->width = heads * dim;
    if (c->width > BIG)
        ATN_FAIL(ATN_DATA, "%s: %lld heads of %lld are too wide", path,
                 (long long)heads, (long long)dim);
done:
    return st;
}

static atn_status read_sizes(atn_ctx *cx, const char *path, atn_config *c)
{
    const json_t *j = c->json;
    const atn_arch *a = c->arch;
    const atn_arch_keys *key = &a->keys;
    const char *width = or_usual(key->width, "hidden_size"),
               *heads = or_usual(key->heads, "num_attention_heads");
    const bool kv_null = json_is_null(json_object_get(j, "num_key_value_heads"));
    const char *dim = or_usual(key->head_dim, "head_dim");
    const bool dim_null = json_is_null(json_object_get(j, dim));
    atn_status st = ATN_OK;

    ATN_TRY(read_width(cx, path, c));
    ATN_TRY(atn_json_need_i64(cx, path, j, or_usual(key->layers, "num_hidden_layers"),
                              1, 100000, &c->layers));
    ATN_TRY(atn_json_need_i64(cx, path, j, heads, 1, BIG, &c->heads));
    ATN_TRY(read_ffn(cx, path, c));
    if (a->input == ATN_INPUT_TOKENS)
        ATN_TRY(atn_json_need_i64(cx, path, j, "vocab_size", 1, BIG, &c->vocab));
    ATN_TRY(atn_json_get_i64(cx, path, j, "num_key_value_heads",
                             a->kv_heads && !kv_null ? a->kv_heads : c->heads, 1, BIG,
                             &c->kv_heads));
    ATN_TRY(atn_json_get_i64(cx, path, j,
                             or_usual(key->positions, "max_position_embeddings"),
                             a->max_positions, 1, BIG, &c->max_positions));
    ATN_TRY(atn_json_get_i64(cx, path, j, "type_vocab_size", a->type_vocab, 0, BIG,
                             &c->type_vocab));
    ATN_TRY(atn_json_get_i64(cx, path, j, dim,
                             a->head_dim && !dim_null ? a->head_dim : 0, 1, BIG,
                             &c->head_dim));
    if (c->head_dim == 0) {
        if (c->width % c->heads != 0)
            ATN_FAIL(ATN_DATA,
                     "%s: %s %lld is no multiple of %s %lld and there is no %s", path,
                     width, (long long)c->width, heads, (long long)c->heads, dim);
        c->head_dim = c->width / c->heads;
    }
    if (c->heads % c->kv_heads != 0)
        ATN_FAIL(ATN_DATA, "%s: %s %lld is no multiple of num_key_value_heads %lld",
                 path, heads, (long long)c->heads, (long long)c->kv_heads);
done:
    return st;
}

static atn_status read_activation(atn_ctx *cx, const char *path, atn_config *c)
{
    static const struct {
        const char *name;
        atn_act act;
    } names[] = {{"silu", ATN_ACT_SILU},
                 {"swish", ATN_ACT_SILU},
                 {"gelu", ATN_ACT_GELU},
                 {"gelu_new", ATN_ACT_GELU_TANH},
                 {"gelu_fast", ATN_ACT_GELU_TANH},
                 {"gelu_pytorch_tanh", ATN_ACT_GELU_TANH},
                 {"gelu-approximate", ATN_ACT_GELU_TANH},
                 {"relu", ATN_ACT_RELU}};
    const char *key = or_usual(c->arch->keys.act, "hidden_act"), *name = NULL;
    atn_status st = ATN_OK;

    ATN_TRY(atn_json_get_str(cx, path, c->json, key, c->arch->act, &name));
    for (size_t i = 0; i < ATN_LEN(names); i++)
        if (strcmp(names[i].name, name) == 0) {
            c->act = names[i].act;
            return ATN_OK;
        }
    ATN_FAIL(ATN_DATA,
             "%s: %s \"%.60s\" is not one of silu, gelu, gelu_new, "
             "gelu_pytorch_tanh, relu",
             path, key, name);
done:
    return st;
}

/* What the family's code in transformers would run and ours does not. */
static atn_status refuse_unsupported(atn_ctx *cx, const char *path, const atn_config *c)
{
    const char *position = NULL, *must = NULL, *key = c->arch->must_key;
    bool decoder = false;
    atn_status st = ATN_OK;

    if (key) ATN_TRY(atn_json_get_str(cx, path, c->json, key, NULL, &must));
    if (must && strcmp(must, c->arch->must_value) != 0)
        ATN_FAIL(ATN_DATA, "%s: %s \"%.60s\" is not supported (%s is)", path, key, must,
                 c->arch->must_value);

    ATN_TRY(atn_json_get_str(cx, path, c->json, "position_embedding_type", "absolute",
                             &position));
    if (strcmp(position, "absolute") != 0)
        ATN_FAIL(ATN_DATA,
                 "%s: position_embedding_type \"%.60s\" is not supported (absolute is)",
                 path, position);
    ATN_TRY(atn_json_get_bool(cx, path, c->json, "is_decoder", false, &decoder));
    if (decoder && !c->arch->causal)
        ATN_FAIL(ATN_DATA,
                 "%s: \"is_decoder\" is true, but a model of type %s is run as an "
                 "encoder only (attnscope import takes Q, K, V of any model)",
                 path, c->arch->id);
done:
    return st;
}

static atn_status read_biases(atn_ctx *cx, const char *path, atn_config *c)
{
    const unsigned asked = c->arch->bias_keys, fixed = c->arch->bias;
    bool attention = false, mlp = false;
    atn_status st = ATN_OK;

    if (asked & ATN_BIAS_QKV)
        ATN_TRY(
            atn_json_get_bool(cx, path, c->json, "attention_bias", false, &attention));
    if (asked & ATN_BIAS_MLP)
        ATN_TRY(atn_json_get_bool(cx, path, c->json, "mlp_bias", false, &mlp));
    if (c->arch->keys.bias_qkv)
        ATN_TRY(atn_json_get_bool(cx, path, c->json, c->arch->keys.bias_qkv, true,
                                  &attention));
    c->bias_qkv = attention || (fixed & ATN_BIAS_QKV);
    c->bias_o = (attention && (asked & ATN_BIAS_O)) || (fixed & ATN_BIAS_O);
    c->bias_mlp = mlp || (fixed & ATN_BIAS_MLP);
done:
    return st;
}

static atn_status read_eps(atn_ctx *cx, const char *path, const atn_config *c,
                           const char *key, double def, double *out)
{
    atn_status st = ATN_OK;

    *out = def;
    if (key) ATN_TRY(atn_json_get_f64(cx, path, c->json, key, def, out));
    if (!(*out >= 0 && *out < 1))
        ATN_FAIL(ATN_DATA, "%s: \"%s\" is %g, outside 0 <= eps < 1", path, key, *out);
done:
    return st;
}

static atn_status read_switches(atn_ctx *cx, const char *path, atn_config *c)
{
    const atn_arch *a = c->arch;
    atn_status st = ATN_OK;

    ATN_TRY(read_eps(cx, path, c, a->eps_key, a->eps, &c->eps));
    ATN_TRY(read_eps(cx, path, c, a->mlp_eps_key, a->mlp_eps > 0 ? a->mlp_eps : c->eps,
                     &c->mlp_eps));
    ATN_TRY(
        atn_json_get_bool(cx, path, c->json, "tie_word_embeddings", a->tied, &c->tied));
    c->gated = a->names.gate != NULL;
    ATN_TRY(read_biases(cx, path, c));
    ATN_TRY(read_activation(cx, path, c));
    ATN_TRY(refuse_unsupported(cx, path, c));
done:
    return st;
}

/* ---- windows ---- */

static atn_status read_layer_types(atn_ctx *cx, const char *path, const json_t *types,
                                   atn_idx window, atn_config *c)
{
    if (!json_is_array(types) || (atn_idx)json_array_size(types) != c->layers)
        return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                        "%s: \"layer_types\" must be an array of %lld entries", path,
                        (long long)c->layers);
    for (atn_idx l = 0; l < c->layers; l++) {
        const char *type = json_string_value(json_array_get(types, (size_t)l));

        if (type && strcmp(type, "sliding_attention") == 0)
            c->window[l] = window;
        else if (!type || strcmp(type, "full_attention") != 0)
            return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                            "%s: layer_types[%lld] is neither full_attention nor "
                            "sliding_attention",
                            path, (long long)l);
    }
    return ATN_OK;
}

static atn_status read_windows(atn_ctx *cx, const char *path, atn_config *c)
{
    const atn_arch *a = c->arch;
    const json_t *j = c->json, *types = json_object_get(j, "layer_types");
    const bool none = json_is_null(json_object_get(j, "sliding_window"));
    int64_t window = 0, from = 0;
    bool use = false;
    atn_status st = ATN_OK;

    ATN_NEW(c->window, c->layers);
    if (a->window == ATN_WINDOW_NONE) return ATN_OK;
    ATN_TRY(atn_json_get_i64(cx, path, j, "sliding_window",
                             none ? 0 : a->sliding_window, 1, BIG, &window));
    if (a->window == ATN_WINDOW_ALL) {
        for (atn_idx l = 0; l < c->layers; l++) c->window[l] = window;
        return ATN_OK;
    }
    ATN_TRY(atn_json_get_bool(cx, path, j, "use_sliding_window", false, &use));
    ATN_TRY(atn_json_get_i64(cx, path, j, "max_window_layers", a->max_window_layers, 0,
                             BIG, &from));
    if (!use) return ATN_OK;
    if (types && !json_is_null(types))
        return read_layer_types(cx, path, types, window, c);
    for (atn_idx l = from; l < c->layers; l++) c->window[l] = window;
done:
    return st;
}

/* ---- images and latents ---- */

/* An integer, both sides, or [height, width]. */
static atn_status read_sides(atn_ctx *cx, const char *path, const atn_config *c,
                             const char *key, int64_t def, atn_idx side[2])
{
    const json_t *v = json_object_get(c->json, key);
    atn_status st = ATN_OK;

    if (!json_is_array(v)) {
        ATN_TRY(atn_json_get_i64(cx, path, c->json, key, def, 1, BIG, &side[0]));
        side[1] = side[0];
        return ATN_OK;
    }
    for (size_t i = 0; i < 2; i++) {
        const json_t *s = json_array_get(v, i);

        side[i] = json_is_integer(s) ? json_integer_value(s) : 0;
    }
    if (json_array_size(v) != 2 || side[0] < 1 || side[1] < 1 || side[0] > BIG ||
        side[1] > BIG)
        ATN_FAIL(ATN_DATA, "%s: \"%s\" is neither a whole number nor two of them", path,
                 key);
done:
    return st;
}

static atn_status read_patches(atn_ctx *cx, const char *path, atn_config *c)
{
    const atn_arch *a = c->arch;
    const char *image = or_usual(a->keys.image, "image_size");
    const char *channels = or_usual(a->keys.channels, "num_channels");
    const char *classes = or_usual(a->keys.classes, "num_classes");
    atn_idx side[2] = {0, 0}, patch[2] = {0, 0}, n = 0;
    atn_status st = ATN_OK;

    if (a->input == ATN_INPUT_TOKENS) return ATN_OK;
    ATN_TRY(read_sides(cx, path, c, image, a->image_size, side));
    ATN_TRY(read_sides(cx, path, c, "patch_size", a->patch_size, patch));
    ATN_TRY(atn_json_get_i64(cx, path, c->json, channels, a->channels, 1, 4096,
                             &c->channels));
    ATN_TRY(
        atn_json_get_i64(cx, path, c->json, classes, a->classes, 1, BIG, &c->classes));
    if (patch[0] != patch[1])
        ATN_FAIL(ATN_DATA, "%s: patches of %lldx%lld are not square", path,
                 (long long)patch[0], (long long)patch[1]);
    if (side[0] % patch[0] != 0 || side[1] % patch[0] != 0)
        ATN_FAIL(ATN_DATA, "%s: %s %lldx%lld is no multiple of patch_size %lld", path,
                 image, (long long)side[0], (long long)side[1], (long long)patch[0]);
    c->image_h = side[0];
    c->image_w = side[1];
    c->patch = patch[0];
    c->specials = !!a->names.special[0] + !!a->names.special[1];
    if (!atn_mul(side[0] / patch[0], side[1] / patch[0], &n) || n > BIG - 2)
        ATN_FAIL(ATN_DATA, "%s: %s %lldx%lld makes too many patches", path, image,
                 (long long)side[0], (long long)side[1]);
    c->max_positions = c->specials + n;
done:
    return st;
}

atn_status atn_config_load(atn_ctx *cx, const char *dir, atn_config *out)
{
    char *path = atn_path_join(cx, dir, "config.json");
    atn_status st = ATN_OK;

    *out = (atn_config){0};
    if (!path) return cx->err.code;
    if (!atn_dir_exists(dir))
        ATN_FAIL(ATN_NOINPUT, "%s: there is no such model directory", dir);
    if (!atn_file_exists(path))
        ATN_FAIL(ATN_NOINPUT, "%s: has no config.json, so it is no model directory",
                 dir);
    ATN_TRY(atn_json_load(cx, path, false, &out->json));
    if (!json_is_object(out->json)) ATN_FAIL(ATN_DATA, "%s: is no JSON object", path);
    ATN_TRY(find_arch(cx, path, out));
    ATN_TRY(read_sizes(cx, path, out));
    ATN_TRY(read_switches(cx, path, out));
    ATN_TRY(read_patches(cx, path, out));
    ATN_TRY(read_windows(cx, path, out));
    ATN_TRY(atn_config_read_rope(cx, path, out));
done:
    atn_free(cx, path);
    if (st != ATN_OK) atn_config_release(cx, out);
    return st;
}

void atn_config_release(atn_ctx *cx, atn_config *c)
{
    json_decref(c->json);
    atn_free(cx, c->window);
    *c = (atn_config){0};
}
