/* capture/config.c -- reads and checks config.json, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/config.h"

#include <math.h>
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
    if (!type) ATN_FAIL(ATN_DATA, "%s: \"model_type\" is missing", path);
    c->arch = atn_arch_find(type);
    if (!c->arch) ATN_TRY(unknown_type(cx, path, type));
done:
    return st;
}

static atn_status read_sizes(atn_ctx *cx, const char *path, atn_config *c)
{
    const json_t *j = c->json;
    const atn_arch *a = c->arch;
    const bool kv_null = json_is_null(json_object_get(j, "num_key_value_heads"));
    const bool dim_null = json_is_null(json_object_get(j, "head_dim"));
    atn_status st = ATN_OK;

    ATN_TRY(atn_json_need_i64(cx, path, j, "hidden_size", 1, BIG, &c->width));
    ATN_TRY(atn_json_need_i64(cx, path, j, "num_hidden_layers", 1, 100000, &c->layers));
    ATN_TRY(atn_json_need_i64(cx, path, j, "num_attention_heads", 1, BIG, &c->heads));
    ATN_TRY(atn_json_need_i64(cx, path, j, "intermediate_size", 1, BIG, &c->ffn));
    ATN_TRY(atn_json_need_i64(cx, path, j, "vocab_size", 1, BIG, &c->vocab));
    ATN_TRY(atn_json_get_i64(cx, path, j, "num_key_value_heads",
                             a->kv_heads && !kv_null ? a->kv_heads : c->heads, 1, BIG,
                             &c->kv_heads));
    ATN_TRY(atn_json_get_i64(cx, path, j, "max_position_embeddings", a->max_positions,
                             1, BIG, &c->max_positions));
    ATN_TRY(atn_json_get_i64(cx, path, j, "type_vocab_size", a->type_vocab, 0, BIG,
                             &c->type_vocab));
    ATN_TRY(atn_json_get_i64(cx, path, j, "head_dim",
                             a->head_dim && !dim_null ? a->head_dim : 0, 1, BIG,
                             &c->head_dim));
    if (c->head_dim == 0) {
        if (c->width % c->heads != 0)
            ATN_FAIL(ATN_DATA,
                     "%s: hidden_size %lld is no multiple of num_attention_heads %lld "
                     "and there is no head_dim",
                     path, (long long)c->width, (long long)c->heads);
        c->head_dim = c->width / c->heads;
    }
    if (c->heads % c->kv_heads != 0)
        ATN_FAIL(
            ATN_DATA,
            "%s: num_attention_heads %lld is no multiple of num_key_value_heads %lld",
            path, (long long)c->heads, (long long)c->kv_heads);
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
                 {"relu", ATN_ACT_RELU}};
    const char *name = NULL;
    atn_status st = ATN_OK;

    ATN_TRY(atn_json_get_str(cx, path, c->json, "hidden_act", c->arch->act, &name));
    for (size_t i = 0; i < ATN_LEN(names); i++)
        if (strcmp(names[i].name, name) == 0) {
            c->act = names[i].act;
            return ATN_OK;
        }
    ATN_FAIL(ATN_DATA,
             "%s: hidden_act \"%.60s\" is not one of silu, gelu, gelu_new, "
             "gelu_pytorch_tanh, relu",
             path, name);
done:
    return st;
}

/* What the family's code in transformers would run and ours does not. */
static atn_status refuse_unsupported(atn_ctx *cx, const char *path, const atn_config *c)
{
    const char *position = NULL;
    bool decoder = false;
    atn_status st = ATN_OK;

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
    c->bias_qkv = attention || (fixed & ATN_BIAS_QKV);
    c->bias_o = attention || (fixed & ATN_BIAS_O);
    c->bias_mlp = mlp || (fixed & ATN_BIAS_MLP);
done:
    return st;
}

static atn_status read_switches(atn_ctx *cx, const char *path, atn_config *c)
{
    const atn_arch *a = c->arch;
    atn_status st = ATN_OK;

    ATN_TRY(atn_json_get_f64(cx, path, c->json, a->eps_key, a->eps, &c->eps));
    if (!(c->eps >= 0 && c->eps < 1))
        ATN_FAIL(ATN_DATA, "%s: \"%s\" is %g, outside 0 <= eps < 1", path, a->eps_key,
                 c->eps);
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

/* ---- rotary embedding ---- */

static const char *const rope_names[] = {"default", "linear", "dynamic",
                                         "llama3",  "yarn",   "longrope"};

const char *atn_rope_name(atn_rope_kind kind)
{
    return rope_names[kind];
}

/* The dictionary in force: rope_scaling replaces rope_parameters where both are there. */
static const json_t *rope_dict(const json_t *j)
{
    const json_t *scaling = json_object_get(j, "rope_scaling");
    const json_t *parameters = json_object_get(j, "rope_parameters");

    return json_is_object(scaling) && json_object_size(scaling) > 0 ? scaling
                                                                    : parameters;
}

static atn_status rope_kind(atn_ctx *cx, const char *path, const json_t *d, atn_rope *r)
{
    const char *type = NULL;
    atn_status st = ATN_OK;

    ATN_TRY(atn_json_get_str(cx, path, d, "type", "default", &type));
    ATN_TRY(atn_json_get_str(cx, path, d, "rope_type", type, &type));
    if (strcmp(type, "su") == 0) type = "longrope";
    for (size_t i = 0; i < ATN_LEN(rope_names); i++)
        if (strcmp(rope_names[i], type) == 0) {
            r->kind = (atn_rope_kind)i;
            return ATN_OK;
        }
    ATN_FAIL(ATN_DATA,
             "%s: rope type \"%.60s\" is not one of default, linear, dynamic, llama3, "
             "yarn, longrope",
             path, type);
done:
    return st;
}

static double yarn_scale(double factor, double m)
{
    return factor <= 1 ? 1 : 0.1 * m * log(factor) + 1;
}

static atn_status rope_attention_factor(atn_ctx *cx, const char *path, const json_t *d,
                                        atn_rope *r)
{
    double mscale = 0, all = 0, automatic = 1;
    atn_status st = ATN_OK;

    ATN_TRY(atn_json_get_f64(cx, path, d, "mscale", 0, &mscale));
    ATN_TRY(atn_json_get_f64(cx, path, d, "mscale_all_dim", 0, &all));
    if (r->kind == ATN_ROPE_YARN)
        automatic = mscale != 0 && all != 0
                        ? yarn_scale(r->factor, mscale) / yarn_scale(r->factor, all)
                        : yarn_scale(r->factor, 1);
    if (r->kind == ATN_ROPE_LONGROPE && r->factor > 1)
        automatic = sqrt(1 + log(r->factor) / log(r->original));
    ATN_TRY(atn_json_get_f64(cx, path, d, "attention_factor", automatic,
                             &r->attention_factor));
    if (r->kind != ATN_ROPE_YARN && r->kind != ATN_ROPE_LONGROPE)
        r->attention_factor = 1;
done:
    return st;
}

static bool all_positive(const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!(json_number_value(json_array_get(list, i)) > 0)) return false;
    return true;
}

static atn_status longrope_lists(atn_ctx *cx, const char *path, const json_t *d,
                                 atn_rope *r)
{
    const json_t *lists[] = {json_object_get(d, "short_factor"),
                             json_object_get(d, "long_factor")};

    for (int i = 0; i < 2; i++) {
        if ((atn_idx)json_array_size(lists[i]) != r->dim / 2)
            return atn_fail(
                cx, ATN_DATA, __FILE__, __LINE__,
                "%s: longrope needs short_factor and long_factor of %lld numbers", path,
                (long long)r->dim / 2);
        if (!all_positive(lists[i]))
            return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                            "%s: a longrope factor is no positive number", path);
    }
    r->short_factor = lists[0];
    r->long_factor = lists[1];
    return ATN_OK;
}

/* Only yarn and longrope have a factor to fall back on: the growth of the positions. */
static atn_status rope_factor(atn_ctx *cx, const char *path, const json_t *d,
                              double positions, atn_rope *r)
{
    const bool grows = r->kind == ATN_ROPE_YARN || r->kind == ATN_ROPE_LONGROPE;
    const double ratio = grows ? positions / r->original : 1;
    atn_status st = ATN_OK;

    if (!grows && r->kind != ATN_ROPE_DEFAULT && !json_object_get(d, "factor"))
        ATN_FAIL(ATN_DATA, "%s: this rope type needs a \"factor\"", path);
    ATN_TRY(atn_json_get_f64(cx, path, d, "factor", ratio, &r->factor));
    if (grows && fabs(r->factor - ratio) > 1e-6 * ratio)
        atn_log(cx, ATN_LOG_WARN,
                "%s: the rope factor %g is not the growth of the positions, %g; the "
                "factor is obeyed",
                path, r->factor, ratio);
done:
    return st;
}

static atn_status check_rope(atn_ctx *cx, const char *path, const atn_rope *r)
{
    if (r->theta > 0 && isfinite(r->theta) && r->factor > 0 && isfinite(r->factor) &&
        r->original > 0 && isfinite(r->attention_factor) && r->high > r->low &&
        r->low > 0 && r->beta_fast > 0 && r->beta_slow > 0)
        return ATN_OK;
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "%s: the rope parameters are out of range (theta %g, factor %g, "
                    "low/high frequency factors %g %g)",
                    path, r->theta, r->factor, r->low, r->high);
}

/* theta, and that whole heads are rotated: transformers ignores partial_rotary_factor
 * without a scaling in these families, and fails on it with one. */
static atn_status rope_base(atn_ctx *cx, const char *path, const json_t *d,
                            atn_config *c)
{
    atn_rope *r = &c->rope;
    double partial = 1;
    atn_status st = ATN_OK;

    ATN_TRY(atn_json_get_f64(cx, path, c->json, "rope_theta", 10000, &r->theta));
    ATN_TRY(atn_json_get_f64(cx, path, d, "rope_theta", r->theta, &r->theta));
    ATN_TRY(atn_json_get_f64(cx, path, c->json, "partial_rotary_factor", 1, &partial));
    ATN_TRY(atn_json_get_f64(cx, path, d, "partial_rotary_factor", partial, &partial));
    if (partial != 1 && r->kind != ATN_ROPE_DEFAULT)
        ATN_FAIL(ATN_DATA,
                 "%s: partial_rotary_factor is %g, but a scaled rotary embedding of "
                 "model_type %s turns whole heads (leave the key out, or set it to 1)",
                 path, partial, c->arch->id);
    r->dim = c->head_dim;
    if (r->dim % 2 != 0)
        ATN_FAIL(ATN_DATA, "%s: the rotary dimension %lld is odd", path,
                 (long long)r->dim);
done:
    return st;
}

static atn_status rope_original(atn_ctx *cx, const char *path, const json_t *d,
                                atn_config *c)
{
    double inside = 0;
    atn_status st = ATN_OK;

    ATN_TRY(atn_json_get_f64(cx, path, d, "original_max_position_embeddings",
                             (double)c->max_positions, &inside));
    ATN_TRY(atn_json_get_f64(cx, path, c->json, "original_max_position_embeddings",
                             inside, &c->rope.original));
done:
    return st;
}

static atn_status read_rope(atn_ctx *cx, const char *path, atn_config *c)
{
    const json_t *d = rope_dict(c->json);
    atn_rope *r = &c->rope;
    atn_status st = ATN_OK;

    if (!c->arch->rope) return ATN_OK;
    ATN_TRY(rope_kind(cx, path, d, r));
    ATN_TRY(rope_base(cx, path, d, c));
    ATN_TRY(rope_original(cx, path, d, c));
    ATN_TRY(rope_factor(cx, path, d, (double)c->max_positions, r));
    ATN_TRY(atn_json_get_f64(cx, path, d, "low_freq_factor", 1, &r->low));
    ATN_TRY(atn_json_get_f64(cx, path, d, "high_freq_factor", 4, &r->high));
    ATN_TRY(atn_json_get_f64(cx, path, d, "beta_fast", 32, &r->beta_fast));
    ATN_TRY(atn_json_get_f64(cx, path, d, "beta_slow", 1, &r->beta_slow));
    if (r->beta_fast == 0) r->beta_fast = 32;
    if (r->beta_slow == 0) r->beta_slow = 1;
    ATN_TRY(atn_json_get_bool(cx, path, d, "truncate", true, &r->truncate));
    ATN_TRY(rope_attention_factor(cx, path, d, r));
    ATN_TRY(check_rope(cx, path, r));
    if (r->kind == ATN_ROPE_LONGROPE) ATN_TRY(longrope_lists(cx, path, d, r));
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
    ATN_TRY(read_windows(cx, path, out));
    ATN_TRY(read_rope(cx, path, out));
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
