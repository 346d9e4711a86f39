/* capture/config.c -- reads and checks config.json, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/config_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/io/file.h"
#include "core/io/json.h"
#include "core/param.h"

static const int64_t BIG = 2147483647, MAX_LAYERS = 100000;

static atn_status unknown_type(atn_ctx *cx, const char *path, const char *type)
{
    const char *ids[64];
    char known[256];
    int n = 0;

    for (; atn_archs[n] && n < 64; n++) ids[n] = atn_archs[n]->id;
    atn_known(type, ids, n, known, sizeof known);
    return atn_fail(
        cx, ATN_DATA, __FILE__, __LINE__,
        "%s: model_type \"%.60s\" is not supported %s; if it has attention, "
        "python/attnscope_capture.py records it where it runs in Python, and "
        "attnscope import takes its Q, K, V from anywhere",
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

/* Goes on with the part of config.json that the family reads, whose
 * tie_word_embeddings may stand outside. */
static atn_status take_part(atn_ctx *cx, const char *path, atn_config *c)
{
    const char *key = c->arch->part;
    json_t *part = key ? json_object_get(c->json, key) : NULL,
           *tied = json_object_get(c->json, "tie_word_embeddings");

    if (!key) return ATN_OK;
    if (!json_is_object(part))
        return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                        "%s: \"%s\" is missing or is no object", path, key);
    if (tied && !json_object_get(part, "tie_word_embeddings"))
        json_object_set(part, "tie_word_embeddings", tied);
    atn_log(cx, ATN_LOG_WARN,
            "%s: only the language model (%s) is run; images are not part of it", path,
            key);
    json_incref(part);
    json_decref(c->json);
    c->json = part;
    return ATN_OK;
}

static const char *or_usual(const char *key, const char *usual)
{
    return key ? key : usual;
}

/* A key that older or newer files spell in the usual way. */
static const char *either(const json_t *j, const char *key, const char *usual)
{
    return key && (!*key || json_object_get(j, key) || !json_object_get(j, usual))
               ? key
               : usual;
}

/* The width of the MLP; where the family has a multiple of the model's for an absent or
 * null key, that. */
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

/* Heads of keys, and the width of a head: as many as queries and width / heads
 * without keys of config.json for them. */
static atn_status read_heads(atn_ctx *cx, const char *path, atn_config *c)
{
    const json_t *j = c->json;
    const atn_arch *a = c->arch;
    const char *heads = either(j, a->keys.heads, "num_attention_heads");
    const char *kv = a->plain_heads ? "" : "num_key_value_heads";
    const char *dim = a->plain_heads ? "" : or_usual(a->keys.head_dim, "head_dim");
    const bool kv_null = json_is_null(json_object_get(j, kv)),
               dim_null = json_is_null(json_object_get(j, dim));
    atn_status st = ATN_OK;

    ATN_TRY(atn_json_need_i64(cx, path, j, heads, 1, BIG, &c->heads));
    ATN_TRY(atn_json_get_i64(cx, path, j, kv,
                             a->kv_heads && !kv_null ? a->kv_heads : c->heads, 1, BIG,
                             &c->kv_heads));
    ATN_TRY(atn_json_get_i64(cx, path, j, dim,
                             a->head_dim && !dim_null ? a->head_dim : 0, 1, BIG,
                             &c->head_dim));
    if (c->head_dim == 0) {
        if (c->width % c->heads != 0)
            ATN_FAIL(ATN_DATA, "%s: %s %lld is no multiple of %s %lld%s%s", path,
                     either(j, a->keys.width, "hidden_size"), (long long)c->width,
                     heads, (long long)c->heads, *dim ? " and there is no " : "", dim);
        c->head_dim = c->width / c->heads;
    }
    if (c->heads % c->kv_heads != 0)
        ATN_FAIL(ATN_DATA, "%s: %s %lld is no multiple of num_key_value_heads %lld",
                 path, heads, (long long)c->heads, (long long)c->kv_heads);
done:
    return st;
}

/* The longest input that the table of positions has rows for. */
static atn_status read_positions(atn_ctx *cx, const char *path, atn_config *c)
{
    const atn_arch *a = c->arch;
    const char *key = either(c->json, a->keys.positions, "max_position_embeddings");
    atn_status st = ATN_OK;

    ATN_TRY(atn_json_get_i64(cx, path, c->json, key, a->max_positions, 1, BIG,
                             &c->max_positions));
    c->max_tokens = c->max_positions;
    if (a->position_rule != ATN_POSITION_PAD) return ATN_OK;
    ATN_TRY(
        atn_json_get_i64(cx, path, c->json, "pad_token_id", a->pad, 0, BIG, &c->pad));
    c->max_tokens -= c->pad + 1;
    if (c->max_tokens < 1)
        ATN_FAIL(ATN_DATA,
                 "%s: %s %lld leaves no position behind those of pad_token_id %lld",
                 path, key, (long long)c->max_positions, (long long)c->pad);
done:
    return st;
}

/* Layers whose weights are used several times: each use is a layer. */
static atn_status read_sharing(atn_ctx *cx, const char *path, atn_config *c)
{
    const atn_arch *a = c->arch;
    atn_status st = ATN_OK;

    if (!a->groups) return ATN_OK;
    ATN_TRY(
        atn_json_get_i64(cx, path, c->json, a->groups, 1, 1, MAX_LAYERS, &c->groups));
    ATN_TRY(atn_json_get_i64(cx, path, c->json, a->inner, 1, 1, MAX_LAYERS, &c->inner));
    if (c->groups > c->layers)
        ATN_FAIL(ATN_DATA, "%s: %s %lld is above the %lld layers", path, a->groups,
                 (long long)c->groups, (long long)c->layers);
    c->layers *= c->inner;
    if (c->layers > MAX_LAYERS)
        ATN_FAIL(ATN_DATA, "%s: %lld layers, counted with %s, are above %lld", path,
                 (long long)c->layers, a->inner, (long long)MAX_LAYERS);
done:
    return st;
}

static atn_status read_width(atn_ctx *cx, const char *path, atn_config *c)
{
    const atn_arch_keys *key = &c->arch->keys;
    int64_t heads = 0, dim = 0;
    atn_status st = ATN_OK;

    if (!c->arch->width_of_heads)
        return atn_json_need_i64(cx, path, c->json,
                                 either(c->json, key->width, "hidden_size"), 1, BIG,
                                 &c->width);
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
    atn_status st = ATN_OK;

    ATN_TRY(read_width(cx, path, c));
    ATN_TRY(atn_json_need_i64(cx, path, j, either(j, key->layers, "num_hidden_layers"),
                              1, MAX_LAYERS, &c->layers));
    ATN_TRY(read_heads(cx, path, c));
    ATN_TRY(read_ffn(cx, path, c));
    if (a->input == ATN_INPUT_TOKENS)
        ATN_TRY(atn_json_need_i64(cx, path, j, "vocab_size", 1, BIG, &c->vocab));
    ATN_TRY(read_positions(cx, path, c));
    ATN_TRY(atn_json_get_i64(cx, path, j, "type_vocab_size", a->type_vocab, 0, BIG,
                             &c->type_vocab));
    ATN_TRY(atn_json_get_i64(cx, path, j, or_usual(key->embed_width, ""),
                             a->embed_width ? a->embed_width : c->width, 1, BIG,
                             &c->embed_width));
    ATN_TRY(read_sharing(cx, path, c));
done:
    return st;
}

atn_idx atn_config_block(const atn_config *c, atn_idx l, atn_idx *group, atn_idx *inner)
{
    *group = l;
    *inner = 0;
    if (c->groups == 0) return l;
    *group = l / c->inner * c->groups / (c->layers / c->inner);
    *inner = l % c->inner;
    return *group * c->inner + *inner;
}

bool atn_config_maps(const atn_config *c)
{
    return c->arch->embed_map == ATN_MAP_ALL ||
           (c->arch->embed_map == ATN_MAP_WORDS && c->embed_width != c->width);
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
    if (c->arch->act_says_gated) {
        c->gated = strncmp(name, "gated-", 6) == 0;
        if (strcmp(name, "gated-gelu") == 0) name = "gated-gelu_new";
        if (c->gated) name += 6;
    }
    for (size_t i = 0; i < ATN_LEN(names); i++)
        if (strcmp(names[i].name, name) == 0) {
            c->act = names[i].act;
            return ATN_OK;
        }
    ATN_FAIL(ATN_DATA, "%s: %s \"%s%.60s\" is not one of %s", path, key,
             c->gated ? "gated-" : "", name,
             c->arch->act_says_gated ? "relu, gelu, silu, gated-gelu, gated-silu"
             : c->arch->class_names[0]
                 ? "gelu, gelu-approximate"
                 : "silu, gelu, gelu_new, gelu_pytorch_tanh, relu");
done:
    return st;
}

/* The value of a switch; `none` where the family has no such switch. */
static atn_status read_switch(atn_ctx *cx, const char *path, const atn_config *c,
                              const atn_arch_switch *s, bool none, bool *out)
{
    *out = none;
    if (!s->key) return ATN_OK;
    return atn_json_get_bool(cx, path, c->json, s->key, s->absent, out);
}

static atn_status refuse_other(atn_ctx *cx, const char *path, const atn_config *c,
                               const atn_arch_switch *s)
{
    bool value = s->absent;
    atn_status st = ATN_OK;

    ATN_TRY(read_switch(cx, path, c, s, value, &value));
    if (value != s->absent)
        ATN_FAIL(ATN_DATA,
                 "%s: \"%s\" is %s; a model of type %s is only run with %s "
                 "(python/attnscope_capture.py records any model that runs in Python)",
                 path, s->key, value ? "true" : "false", c->arch->id,
                 value ? "false" : "true");
done:
    return st;
}

/* What the family's code in transformers would run and ours does not. */
static atn_status refuse_unsupported(atn_ctx *cx, const char *path, const atn_config *c)
{
    static const atn_arch_switch cross = {"add_cross_attention", false};
    const char *position = NULL, *must = NULL, *key = c->arch->must_key;
    bool decoder = false, both = false;
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
                 "encoder only (python/attnscope_capture.py records any model that "
                 "runs in Python)",
                 path, c->arch->id);
    ATN_TRY(atn_json_get_bool(cx, path, c->json, "use_bidirectional_attention", false,
                              &both));
    if (both && c->arch->causal)
        ATN_FAIL(
            ATN_DATA,
            "%s: \"use_bidirectional_attention\" is true, but a model of type %s is "
            "run as a decoder only (python/attnscope_capture.py records any model that "
            "runs in Python)",
            path, c->arch->id);
    ATN_TRY(refuse_other(cx, path, c, &cross));
    for (size_t i = 0; i < ATN_LEN(c->arch->only); i++)
        ATN_TRY(refuse_other(cx, path, c, &c->arch->only[i]));
    if (json_object_size(json_object_get(c->json, "pruned_heads")) > 0)
        ATN_FAIL(ATN_DATA,
                 "%s: \"pruned_heads\" is not empty; a model without some of its "
                 "heads is not run (python/attnscope_capture.py records any model that "
                 "runs in Python)",
                 path);
done:
    return st;
}

static atn_status read_biases(atn_ctx *cx, const char *path, atn_config *c)
{
    const unsigned asked = c->arch->bias_keys, fixed = c->arch->bias,
                   absent = c->arch->bias_absent;
    const atn_arch_switch on_qkv = {or_usual(c->arch->keys.attn_bias, "attention_bias"),
                                    (absent & ATN_BIAS_QKV) != 0},
                          on_mlp = {or_usual(c->arch->keys.mlp_bias, "mlp_bias"),
                                    (absent & ATN_BIAS_MLP) != 0};
    bool attention = false, mlp = false;
    atn_status st = ATN_OK;

    if (asked & ATN_BIAS_QKV)
        ATN_TRY(read_switch(cx, path, c, &on_qkv, false, &attention));
    if (asked & ATN_BIAS_MLP) ATN_TRY(read_switch(cx, path, c, &on_mlp, false, &mlp));
    c->bias_qkv = attention || (fixed & ATN_BIAS_QKV);
    c->bias_o = attention || (fixed & ATN_BIAS_O);
    c->bias_mlp = mlp || (fixed & ATN_BIAS_MLP);
done:
    return st;
}

/* A positive number; an explicit null is none, 0. */
static atn_status read_cap(atn_ctx *cx, const char *path, const atn_config *c,
                           const char *key, double def, double *out)
{
    const bool none = json_is_null(json_object_get(c->json, key));
    const double most = 1e6;
    atn_status st = ATN_OK;

    ATN_TRY(atn_json_get_positive(cx, path, c->json, key, none ? 0 : def, out));
    if (*out > most)
        ATN_FAIL(ATN_DATA, "%s: \"%s\" is %g; wanted a number up to %g, or null", path,
                 key, *out, most);
done:
    return st;
}

static atn_status read_softcaps(atn_ctx *cx, const char *path, atn_config *c)
{
    const atn_arch *a = c->arch;
    atn_status st = ATN_OK;

    if (!a->softcaps) return ATN_OK;
    ATN_TRY(read_cap(cx, path, c, "attn_logit_softcapping", a->attn_softcap,
                     &c->attn_softcap));
    ATN_TRY(read_cap(cx, path, c, "final_logit_softcapping", a->head_softcap,
                     &c->head_softcap));
done:
    return st;
}

static atn_status read_experts(atn_ctx *cx, const char *path, atn_config *c)
{
    atn_status st = ATN_OK;

    if (!c->arch->names.router) return ATN_OK;
    ATN_TRY(atn_json_need_i64(cx, path, c->json, "num_local_experts", 1, 1 << 20,
                              &c->experts));
    ATN_TRY(atn_json_get_i64(cx, path, c->json, "num_experts_per_tok",
                             c->arch->experts_per_token, 1, c->experts,
                             &c->experts_per_token));
    if (c->experts_per_token > c->experts)
        ATN_FAIL(ATN_DATA,
                 "%s: %lld experts for each token (num_experts_per_tok) are more than "
                 "num_local_experts %lld",
                 path, (long long)c->experts_per_token, (long long)c->experts);
    ATN_TRY(
        atn_json_get_positive(cx, path, c->json, "swiglu_limit", 7, &c->expert_limit));
    ATN_TRY(atn_json_get_positive(cx, path, c->json, "swiglu_alpha", 1.702,
                                  &c->expert_gain));
done:
    return st;
}

/* Where the norms stand, and what is added to what. */
static atn_status read_norms(atn_ctx *cx, const char *path, atn_config *c)
{
    const atn_arch *a = c->arch;
    bool before = false, removed = false;
    atn_status st = ATN_OK;

    c->place = a->place;
    ATN_TRY(
        read_switch(cx, path, c, &a->norm_before, a->place == ATN_NORM_PRE, &before));
    if (a->norm_before.key) c->place = before ? ATN_NORM_PRE : ATN_NORM_POST;
    ATN_TRY(read_switch(cx, path, c, &a->no_final_norm, false, &removed));
    c->final_norm = a->names.final_norm && !removed && (before || !a->norm_before.key);
    ATN_TRY(read_switch(cx, path, c, &a->parallel, false, &c->parallel));
    ATN_TRY(read_switch(cx, path, c, &a->residual_normed, false, &c->residual_normed));
done:
    return st;
}

static atn_status read_scale(atn_ctx *cx, const char *path, atn_config *c)
{
    const atn_arch *a = c->arch;
    double scalar = a->query_scalar > 0 ? a->query_scalar : (double)c->head_dim;
    bool scaled = true;
    atn_status st = ATN_OK;

    if (a->query_scalar > 0)
        ATN_TRY(atn_json_get_positive(cx, path, c->json, "query_pre_attn_scalar",
                                      scalar, &scalar));
    ATN_TRY(read_switch(cx, path, c, &a->scaled, true, &scaled));
    c->scale = scaled ? 1 / sqrt(scalar) : 1;
    ATN_TRY(read_switch(cx, path, c, &a->scaled_by_layer, false, &c->scale_by_layer));
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
    if (a->head_scaled_key)
        ATN_TRY(atn_json_get_bool(cx, path, c->json, a->head_scaled_key, c->tied,
                                  &c->head_scaled));
    c->gated = a->names.gate || a->names.gate_up || a->names.router;
    ATN_TRY(read_norms(cx, path, c));
    ATN_TRY(read_scale(cx, path, c));
    ATN_TRY(read_biases(cx, path, c));
    ATN_TRY(read_activation(cx, path, c));
    ATN_TRY(read_softcaps(cx, path, c));
    ATN_TRY(read_experts(cx, path, c));
    ATN_TRY(refuse_unsupported(cx, path, c));
done:
    return st;
}

/* ---- stacks ---- */

static atn_arch_names names_of(const atn_config *c, const atn_arch_names *all)
{
    atn_arch_names n = *all;

    if (c->gated || !n.up_alone) return n;
    n.gate = NULL;
    n.up = n.up_alone;
    return n;
}

static atn_status read_rel(atn_ctx *cx, const char *path, atn_config *c, atn_stack *s)
{
    static const char buckets[] = "relative_attention_num_buckets",
                      distance[] = "relative_attention_max_distance";
    const atn_arch *a = c->arch;
    atn_rel_rule *r = &s->rel;
    atn_status st = ATN_OK;
    const char *wrong;

    if (!a->rel_buckets) return ATN_OK;
    r->bidirectional = !s->causal;
    ATN_TRY(atn_json_get_i64(cx, path, c->json, buckets, a->rel_buckets, 1, 1 << 20,
                             &r->buckets));
    ATN_TRY(atn_json_get_i64(cx, path, c->json, distance, a->rel_distance, 1, BIG,
                             &r->max_distance));
    if ((wrong = atn_rel_check(r)))
        ATN_FAIL(ATN_DATA, "%s: %s %lld and %s %lld: %s", path, buckets,
                 (long long)r->buckets, distance, (long long)r->max_distance, wrong);
done:
    return st;
}

static atn_status read_stacks(atn_ctx *cx, const char *path, atn_config *c)
{
    const atn_arch *a = c->arch;
    atn_idx layers = c->layers;
    atn_status st = ATN_OK;

    c->n_stacks = 1;
    c->stacks[0] = (atn_stack){.name = a->decoder ? "encoder" : "",
                               .names = names_of(c, &a->names),
                               .layers = layers,
                               .causal = a->causal};
    ATN_TRY(read_rel(cx, path, c, &c->stacks[0]));
    if (!a->decoder) return ATN_OK;
    ATN_TRY(atn_json_get_i64(cx, path, c->json, "num_decoder_layers", layers, 1,
                             MAX_LAYERS, &layers));
    c->n_stacks = 2;
    c->stacks[1] = (atn_stack){.name = "decoder",
                               .names = names_of(c, a->decoder),
                               .layers = layers,
                               .causal = true};
    ATN_TRY(read_rel(cx, path, c, &c->stacks[1]));
    ATN_TRY(atn_json_get_i64(cx, path, c->json, "pad_token_id", 0, 0, c->vocab - 1,
                             &c->decoder_start));
    ATN_TRY(atn_json_get_i64(cx, path, c->json, "decoder_start_token_id",
                             c->decoder_start, 0, c->vocab - 1, &c->decoder_start));
done:
    return st;
}

atn_arch_names atn_stack_names(const atn_stack *s, bool cross)
{
    atn_arch_names n = s->names;

    if (!n.cross_q) return n;
    if (!cross) {
        n.mlp_norm = n.gate = n.up = n.gate_up = n.down = NULL;
        return n;
    }
    n.attn_norm = n.cross_norm;
    n.q = n.cross_q;
    n.k = n.cross_k;
    n.v = n.cross_v;
    n.o = n.cross_o;
    n.qkv = n.q_norm = n.k_norm = NULL;
    return n;
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

/* Every window_pattern-th layer sees all, unless layer_types says. */
static atn_status read_pattern(atn_ctx *cx, const char *path, int64_t window,
                               atn_config *c)
{
    const atn_arch *a = c->arch;
    const json_t *types = json_object_get(c->json, "layer_types");
    int64_t every = a->window_pattern;
    atn_status st = ATN_OK;

    if (a->keys.pattern)
        ATN_TRY(atn_json_get_i64(cx, path, c->json, a->keys.pattern, every, 1, BIG,
                                 &every));
    if (window == 0)
        ATN_FAIL(ATN_DATA,
                 "%s: sliding_window is null, but the layers of this model_type slide",
                 path);
    if (types && !json_is_null(types))
        return read_layer_types(cx, path, types, window, c);
    for (atn_idx l = 0; l < c->layers; l++)
        c->window[l] = (l + 1) % every != 0 ? window : 0;
done:
    return st;
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
    if (a->window == ATN_WINDOW_PATTERN) return read_pattern(cx, path, window, c);
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

static atn_status no_config(atn_ctx *cx, const char *dir)
{
    char *weights = atn_path_join(cx, dir, "model.safetensors");
    const bool found = weights && atn_file_exists(weights);

    atn_free(cx, weights);
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "%s: has no config.json, so it is no model directory%s", dir,
                    found ? " of Hugging Face's form: its weights say not which model "
                            "they are of. Save Q, K, V where the model runs, and give "
                            "them to attnscope import"
                          : "");
}

atn_status atn_config_read(atn_ctx *cx, const char *path, json_t *json, atn_config *out)
{
    atn_status st = ATN_OK;

    *out = (atn_config){.json = json};
    if (!json_is_object(json)) ATN_FAIL(ATN_DATA, "%s: is no JSON object", path);
    ATN_TRY(find_arch(cx, path, out));
    ATN_TRY(take_part(cx, path, out));
    ATN_TRY(read_sizes(cx, path, out));
    ATN_TRY(read_switches(cx, path, out));
    ATN_TRY(atn_config_read_patches(cx, path, out));
    ATN_TRY(read_stacks(cx, path, out));
    ATN_TRY(read_windows(cx, path, out));
    ATN_TRY(atn_config_read_rope(cx, path, out));
done:
    if (st != ATN_OK) atn_config_release(cx, out);
    return st;
}

atn_status atn_config_load(atn_ctx *cx, const char *dir, atn_config *out)
{
    char *path = atn_path_join(cx, dir, "config.json");
    atn_status st = ATN_OK;
    json_t *json = NULL;

    *out = (atn_config){0};
    if (!path) return cx->err.code;
    if (!atn_dir_exists(dir))
        ATN_FAIL(ATN_NOINPUT, "%s: there is no such model directory", dir);
    if (!atn_file_exists(path)) ATN_TRY(no_config(cx, dir));
    ATN_TRY(atn_json_load(cx, path, false, &json));
    ATN_TRY(atn_config_read(cx, path, json, out));
done:
    atn_free(cx, path);
    return st;
}

void atn_config_release(atn_ctx *cx, atn_config *c)
{
    json_decref(c->json);
    atn_free(cx, c->window);
    atn_free(cx, c->own);
    *c = (atn_config){0};
}
