/* cli/strange_model.c -- what the files of a directory say that cannot be captured. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>
#include <string.h>

#include "analysis/describe.h"
#include "capture/config.h"
#include "cli/model_tables.h"
#include "core/io/file.h"
#include "core/io/json.h"
#include "core/io/safetensors.h"

/* ---- families ---- */

typedef enum reason { NO_ATTENTION, HYBRID, LATENT, TWO_TEXTS, OTHER } reason;

static const char *const reasons[] = {
    "the layers keep a state and have no attention",
    "some layers keep a state in place of attention",
    "latent attention, keys and values made of one short vector a token, is not run",
    "an encoder and a decoder of another kind than T5's",
    "the family is not among those that are run (`attnscope list models`)"};

static const struct {
    const char *type;
    reason why;
} families[] = {{"mamba", NO_ATTENTION},
                {"mamba2", NO_ATTENTION},
                {"falcon_mamba", NO_ATTENTION},
                {"rwkv", NO_ATTENTION},
                {"rwkv5", NO_ATTENTION},
                {"rwkv6", NO_ATTENTION},
                {"rwkv7", NO_ATTENTION},
                {"xlstm", NO_ATTENTION},
                {"bamba", HYBRID},
                {"falcon_h1", HYBRID},
                {"jamba", HYBRID},
                {"nemotron_h", HYBRID},
                {"qwen3_next", HYBRID},
                {"recurrent_gemma", HYBRID},
                {"zamba", HYBRID},
                {"zamba2", HYBRID},
                {"deepseek_v2", LATENT},
                {"deepseek_v3", LATENT},
                {"bart", TWO_TEXTS},
                {"blenderbot", TWO_TEXTS},
                {"fsmt", TWO_TEXTS},
                {"m2m_100", TWO_TEXTS},
                {"marian", TWO_TEXTS},
                {"mbart", TWO_TEXTS},
                {"pegasus", TWO_TEXTS},
                {"whisper", TWO_TEXTS}};

static bool has(const json_t *j, const char *key)
{
    const json_t *v = json_object_get(j, key);

    return v && !json_is_null(v) && !json_is_false(v);
}

static bool has_any(const json_t *j, const char *const *keys)
{
    for (; *keys; keys++)
        if (has(j, *keys)) return true;
    return false;
}

static const char *const state_keys[] = {
    "state_size",           "ssm_cfg", "ssm_state_size", "mamba_d_state", "mamba_d_ssm",
    "linear_num_key_heads", NULL};

/* By name, or by what the keys tell. */
static reason find_reason(const char *type, const json_t *j)
{
    for (size_t i = 0; i < ATN_LEN(families); i++)
        if (strcmp(families[i].type, type) == 0) return families[i].why;
    if (has(j, "kv_lora_rank")) return LATENT;
    if (has_any(j, state_keys))
        return has(j, "num_attention_heads") ? HYBRID : NO_ATTENTION;
    return has(j, "is_encoder_decoder") ? TWO_TEXTS : OTHER;
}

/* ---- what config.json says ---- */

enum { SPELLINGS = 6 };

/* A size by its usual names. */
static const struct {
    const char *fact, *keys[SPELLINGS];
} sizes[] = {
    {"layers", {"num_hidden_layers", "n_layer", "n_layers", "num_layers"}},
    {"encoder layers", {"encoder_layers", "num_encoder_layers"}},
    {"decoder layers", {"decoder_layers", "num_decoder_layers"}},
    {"heads",
     {"num_attention_heads", "n_head", "n_heads", "num_heads",
      "decoder_attention_heads"}},
    {"key and value heads",
     {"num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num"}},
    {"width", {"hidden_size", "n_embd", "d_model", "dim", "n_embed"}},
    {"head width", {"head_dim", "d_kv", "kv_channels", "attention_head_dim"}},
    {"feed-forward width",
     {"intermediate_size", "n_inner", "ffn_dim", "d_ff", "ffn_hidden_size",
      "decoder_ffn_dim"}},
    {"vocabulary", {"vocab_size"}},
    {"positions",
     {"max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length",
      "max_target_positions"}}};

static atn_status size_facts(atn_ctx *cx, const json_t *j, atn_table *t)
{
    atn_status st = ATN_OK;

    for (size_t i = 0; i < ATN_LEN(sizes); i++)
        for (int k = 0; k < SPELLINGS && sizes[i].keys[k]; k++) {
            const json_t *v = json_object_get(j, sizes[i].keys[k]);

            if (!json_is_integer(v)) continue;
            ATN_TRY(atn_facts_add(cx, t, sizes[i].fact, "%lld",
                                  (long long)json_integer_value(v)));
            break;
        }
done:
    return st;
}

/* "layer_types" is one name a layer: how many there are of each. */
static atn_status layer_type_facts(atn_ctx *cx, const json_t *j, atn_table *t)
{
    const json_t *list = json_object_get(j, "layer_types"), *v;
    json_t *counts = json_object();
    atn_status st = ATN_OK;
    char text[200] = "";
    size_t i, used = 0;

    json_array_foreach(list, i, v)
    {
        const char *name = json_string_value(v);

        if (name && counts)
            json_object_set_new(
                counts, name,
                json_integer(json_integer_value(json_object_get(counts, name)) + 1));
    }
    for (void *at = json_object_iter(counts); at && used < sizeof text - 1;
         at = json_object_iter_next(counts, at))
        used += (size_t)snprintf(
            text + used, sizeof text - used, "%s%lld %.40s", used ? ", " : "",
            (long long)json_integer_value(json_object_iter_value(at)),
            json_object_iter_key(at));
    if (used) ATN_TRY(atn_facts_add(cx, t, "layer types", "%s", text));
done:
    json_decref(counts);
    return st;
}

static int64_t whole(const json_t *j, const char *const *keys)
{
    for (; *keys; keys++)
        if (json_is_integer(json_object_get(j, *keys)))
            return json_integer_value(json_object_get(j, *keys));
    return 0;
}

/* The kinds of attention that keys tell of. */
static atn_status kind_facts(atn_ctx *cx, const json_t *j, atn_table *t)
{
    static const char *const
        experts[] = {"num_experts", "num_local_experts", "n_routed_experts",
                     "moe_num_experts", NULL},
        *const active[] = {"num_experts_per_tok", "num_experts_per_token", "moe_top_k",
                           NULL},
        *const windows[] = {"sliding_window", "window_size", "attention_window", NULL},
        *const latent[] = {"kv_lora_rank", NULL}, *const theta[] = {"rope_theta", NULL};
    const json_t *use = json_object_get(j, "use_sliding_window");
    const int64_t window = json_is_false(use) ? 0 : whole(j, windows);
    char each[64] = "";
    atn_status st = ATN_OK;

    ATN_TRY(layer_type_facts(cx, j, t));
    if (window > 0)
        ATN_TRY(atn_facts_add(cx, t, "sliding window", "%lld keys", (long long)window));
    if (whole(j, latent) > 0)
        ATN_TRY(atn_facts_add(cx, t, "latent attention",
                              "keys and values of %lld numbers a token (kv_lora_rank)",
                              (long long)whole(j, latent)));
    if (has_any(j, state_keys))
        ATN_TRY(atn_facts_add(cx, t, "states", "%s",
                              "some or all layers keep a state space or a linear "
                              "attention in place of softmax attention"));
    if (has(j, "alibi")) ATN_TRY(atn_facts_add(cx, t, "bias", "%s", "ALiBi"));
    if (has_any(j, theta) || has(j, "rope_parameters") || has(j, "rope_scaling"))
        ATN_TRY(atn_facts_add(cx, t, "rotary embedding", "%s", "yes"));
    if (whole(j, active) > 0)
        snprintf(each, sizeof each, ", of which %lld a token",
                 (long long)whole(j, active));
    if (whole(j, experts) > 0)
        ATN_TRY(atn_facts_add(cx, t, "experts", "%lld%s", (long long)whole(j, experts),
                              each));
done:
    return st;
}

/* The language model of a configuration of several models. */
static const json_t *text_part(const json_t *config, const char **name)
{
    static const char *const parts[] = {"text_config", "llm_config", "language_config"};

    *name = NULL;
    for (size_t i = 0; i < ATN_LEN(parts); i++)
        if (json_is_object(json_object_get(config, parts[i]))) {
            *name = parts[i];
            return json_object_get(config, parts[i]);
        }
    return config;
}

static atn_status type_facts(atn_ctx *cx, const json_t *config, const json_t *part,
                             const char *name, atn_table *t)
{
    const char *type = json_string_value(json_object_get(config, "model_type")),
               *inner = json_string_value(json_object_get(part, "model_type")),
               *class = json_string_value(
                   json_array_get(json_object_get(config, "architectures"), 0));
    atn_status st = ATN_OK;

    if (!type) type = json_string_value(json_object_get(config, "_class_name"));
    ATN_TRY(atn_facts_add(cx, t, "model_type", "%.80s", type ? type : "not said"));
    if (class) ATN_TRY(atn_facts_add(cx, t, "architecture", "%.80s", class));
    if (name)
        ATN_TRY(atn_facts_add(cx, t, "its text part", "%s, model_type %.80s", name,
                              inner ? inner : "not said"));
done:
    return st;
}

/* Facts; *none: what is known of the family is that it has no attention. */
static atn_status config_facts(atn_ctx *cx, const json_t *config, atn_table *t,
                               bool *none)
{
    const char *name, *type;
    const json_t *part = text_part(config, &name);
    atn_status st = ATN_OK;
    reason why;

    *none = false;
    ATN_TRY(type_facts(cx, config, part, name, t));
    ATN_TRY(size_facts(cx, part, t));
    ATN_TRY(kind_facts(cx, part, t));
    type = json_string_value(json_object_get(part, "model_type"));
    if (!type) type = json_string_value(json_object_get(config, "model_type"));
    if (!type || atn_arch_find(type)) goto done; /* the error says why */
    why = find_reason(type, part);
    *none = why == NO_ATTENTION;
    ATN_TRY(atn_facts_add(cx, t, "unsupported", "%s", reasons[why]));
done:
    return st;
}

static atn_status read_config(atn_ctx *cx, const char *dir, atn_table *t, bool *none)
{
    char *path = atn_path_join(cx, dir, "config.json");
    atn_status st = ATN_OK;
    json_t *config = NULL;

    *none = false;
    if (!path) return cx->err.code;
    if (!atn_dir_exists(dir)) goto done;
    if (!atn_file_exists(path)) {
        ATN_TRY(atn_facts_add(cx, t, "config.json", "there is none"));
        goto done;
    }
    if (atn_json_load(cx, path, false, &config) != ATN_OK) {
        atn_err_clear(cx);
        ATN_TRY(atn_facts_add(cx, t, "config.json", "cannot be read"));
        goto done;
    }
    ATN_TRY(config_facts(cx, config, t, none));
done:
    json_decref(config);
    atn_free(cx, path);
    return st;
}

/* ---- weights ---- */

static atn_status tensor_facts(atn_ctx *cx, const atn_st *f, atn_table *t)
{
    atn_status st = ATN_OK;
    double count = 0, bytes = 0;
    char list[200] = "";
    size_t used = 0;

    for (atn_idx i = 0; i < atn_st_count(f); i++) {
        const atn_st_tensor *x = atn_st_at(f, i);

        count += (double)x->count;
        bytes += (double)x->bytes;
        if (used < sizeof list - 1)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s",
                                     i ? ", " : "", x->name);
    }
    ATN_TRY(atn_facts_add(cx, t, "weights",
                          "%lld tensors, %.4g million numbers, %.4g MiB",
                          (long long)atn_st_count(f), count / 1e6, bytes / (1 << 20)));
    ATN_TRY(atn_facts_add(cx, t, "tensors", "%s%s", list,
                          used >= sizeof list ? " ..." : ""));
done:
    return st;
}

/* How many tensors, what they hold, and the names of the first; of shards that cannot
 * be read, why. */
static atn_status weight_facts(atn_ctx *cx, const char *dir, atn_table *t)
{
    static const char *const names[] = {
        "model.safetensors.index.json", "model.safetensors",
        "diffusion_pytorch_model.safetensors.index.json",
        "diffusion_pytorch_model.safetensors"};
    atn_status st = ATN_OK;
    char why[ATN_ERR_TEXT] = "";
    atn_st *f = NULL;

    for (size_t i = 0; i < ATN_LEN(names) && !f; i++) {
        char *path = atn_path_join(cx, dir, names[i]);

        if (!path) ATN_TRY(cx->err.code);
        if (atn_file_exists(path) && atn_st_open(cx, path, &f) != ATN_OK) {
            if (!*why) snprintf(why, sizeof why, "%s", cx->err.text);
            atn_err_clear(cx);
        }
        atn_free(cx, path);
    }
    if (f)
        ATN_TRY(tensor_facts(cx, f, t));
    else if (*why)
        ATN_TRY(atn_facts_add(cx, t, "weights", "cannot be read: %s", why));
done:
    atn_st_close(cx, f);
    return st;
}

atn_status atn_strange_model_facts(atn_ctx *cx, const char *dir, const char *why,
                                   atn_table **out)
{
    atn_status st = ATN_OK;
    bool none = false;

    ATN_TRY(atn_facts_create(cx, out));
    ATN_TRY(atn_facts_add(cx, *out, "model directory", "%s", dir));
    ATN_TRY(read_config(cx, dir, *out, &none));
    ATN_TRY(weight_facts(cx, dir, *out));
    ATN_TRY(atn_tokenizer_fact(cx, dir, *out));
    ATN_TRY(atn_facts_add(cx, *out, "capture", "not possible: %s", why));
    if (none) goto done;
    ATN_TRY(atn_facts_add(cx, *out, "way round", "%s",
                          "where PyTorch runs it, python/attnscope_capture.py records "
                          "its Q, K, V as a capture"));
    ATN_TRY(atn_facts_add(cx, *out, "or", "%s",
                          "attnscope import takes its Q, K, V, or its attention, as "
                          ".npy, .npz or .safetensors"));
done:
    return st;
}
