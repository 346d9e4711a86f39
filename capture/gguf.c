/* capture/gguf.c -- GGUF's keys and names, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/gguf.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/io/file.h"
#include "core/io/json.h"
#include "core/param.h"

enum { KEY_TEXT = 128 };

/* What the converter makes of a family. */
typedef struct dialect {
    const char *architecture, *model_type;
    bool pairs;        /* q and k in adjacent rotary pairs */
    bool norms_behind; /* norms only behind the sublayers */
    bool sandwich;     /* and in front of them */
    bool fused;        /* [Q; K; V] */
    bool fused_mlp;    /* [gate; up] */
} dialect;

static const dialect dialects[] = {
    {.architecture = "bloom", .model_type = "bloom", .fused = true},
    {.architecture = "gemma2", .model_type = "gemma2", .sandwich = true},
    {.architecture = "gemma3", .model_type = "gemma3_text", .sandwich = true},
    {.architecture = "gpt2", .model_type = "gpt2", .fused = true},
    {.architecture = "gptneox", .model_type = "gpt_neox", .fused = true},
    {.architecture = "llama", .model_type = "llama", .pairs = true},
    {.architecture = "olmo2", .model_type = "olmo2", .norms_behind = true},
    {.architecture = "phi3", .model_type = "phi3", .fused = true, .fused_mlp = true},
    {.architecture = "qwen2", .model_type = "qwen2"},
    {.architecture = "qwen3", .model_type = "qwen3"},
};

static atn_status find_dialect(atn_ctx *cx, const char *path, const json_t *keys,
                               const dialect **out)
{
    const char *name = json_string_value(json_object_get(keys, "general.architecture"));
    const char *ids[ATN_LEN(dialects)];
    char known[256];

    *out = NULL;
    if (!name)
        return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                        "%s: \"general.architecture\" is missing", path);
    for (size_t i = 0; i < ATN_LEN(dialects); i++) {
        ids[i] = dialects[i].architecture;
        if (strcmp(ids[i], name) == 0) *out = &dialects[i];
    }
    if (*out) return ATN_OK;
    atn_known(name, ids, (int)ATN_LEN(dialects), known, sizeof known);
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "%s: general.architecture \"%.60s\" is not read %s; the model's "
                    "directory with config.json and safetensors may be, and attnscope "
                    "import takes Q, K, V of any model",
                    path, name, known);
}

/* ---- the file ---- */

atn_status atn_gguf_find(atn_ctx *cx, const char *path, char **out)
{
    atn_status st = ATN_OK;
    const struct dirent *e;
    DIR *dir = NULL;

    *out = NULL;
    if (atn_ends_with(path, ".gguf") && !atn_dir_exists(path)) {
        *out = atn_strdup(cx, path);
        return *out ? ATN_OK : cx->err.code;
    }
    dir = opendir(path);
    while (dir && (e = readdir(dir))) {
        if (!atn_ends_with(e->d_name, ".gguf")) continue;
        if (*out)
            ATN_FAIL(
                ATN_DATA,
                "%s: holds several .gguf files; name the one that is meant (parts of a "
                "split model are joined by llama-gguf-split --merge)",
                path);
        *out = atn_path_join(cx, path, e->d_name);
        if (!*out) ATN_TRY(cx->err.code);
    }
done:
    if (dir) closedir(dir);
    if (st != ATN_OK) {
        atn_free(cx, *out);
        *out = NULL;
    }
    return st;
}

/* ---- config.json ---- */

typedef struct translation {
    const char *path;
    const json_t *keys;
    const dialect *d;
    json_t *config;
} translation;

static const json_t *value_of(const translation *t, const char *key)
{
    char full[KEY_TEXT];

    snprintf(full, sizeof full, "%s.%s", t->d->architecture, key);
    return json_object_get(t->keys, full);
}

/* The value of a key; of a list a value a layer, where all are equal. */
static atn_status copy_key(atn_ctx *cx, const translation *t, const char *key,
                           const char *to, bool needed)
{
    const json_t *v = value_of(t, key);

    if (json_is_array(v)) {
        for (size_t i = 1; i < json_array_size(v); i++)
            if (!json_equal(json_array_get(v, i), json_array_get(v, 0)))
                return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                                "%s: \"%s.%s\" differs between layers, which is not "
                                "supported",
                                t->path, t->d->architecture, key);
        v = json_array_get(v, 0);
    }
    if (!v || json_is_null(v)) {
        if (!needed) return ATN_OK;
        return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                        "%s: key \"%s.%s\" is missing", t->path, t->d->architecture,
                        key);
    }
    json_object_set(t->config, to, (json_t *)(uintptr_t)v);
    return ATN_OK;
}

static const char *or_usual(const char *key, const char *usual)
{
    return key && *key ? key : usual;
}

static atn_status copy_sizes(atn_ctx *cx, const translation *t, const atn_arch *a)
{
    const struct {
        const char *from, *to;
        bool needed;
    } all[] = {
        {"embedding_length", or_usual(a->keys.width, "hidden_size"), true},
        {"block_count", or_usual(a->keys.layers, "num_hidden_layers"), true},
        {"attention.head_count", or_usual(a->keys.heads, "num_attention_heads"), true},
        {"attention.head_count_kv", "num_key_value_heads", false},
        {"feed_forward_length", or_usual(a->keys.ffn, "intermediate_size"), true},
        {"context_length", or_usual(a->keys.positions, "max_position_embeddings"),
         true},
        {"attention.key_length", or_usual(a->keys.head_dim, "head_dim"), false},
        {"attention.layer_norm_rms_epsilon", a->eps_key, false},
        {"attention.layer_norm_epsilon", a->eps_key, false},
        {"attention.sliding_window", "sliding_window", false},
        {"attn_logit_softcapping", "attn_logit_softcapping", false},
        {"final_logit_softcapping", "final_logit_softcapping", false},
        {"rope.freq_base", or_usual(a->keys.theta, "rope_theta"), false},
        {"rope.freq_base_swa", "rope_local_base_freq", false},
        {"use_parallel_residual", "use_parallel_residual", false},
    };
    atn_status st = ATN_OK;

    for (size_t i = 0; i < ATN_LEN(all); i++)
        ATN_TRY(copy_key(cx, t, all[i].from, all[i].to, all[i].needed));
    /* 0, or no key, is no window */
    if (json_integer_value(json_object_get(t->config, "sliding_window")) == 0)
        json_object_set_new(t->config, "sliding_window", json_null());
done:
    return st;
}

static double number_of(const translation *t, const char *key)
{
    return json_number_value(value_of(t, key));
}

/* Gemma's scale is not in the file: llama.cpp knows the two 27B models by their
 * layers. */
static void set_gemma_scale(const translation *t)
{
    const double layers = number_of(t, "block_count"),
                 largest = strcmp(t->d->architecture, "gemma2") == 0 ? 46 : 62,
                 heads = number_of(t, "attention.head_count");

    if (!t->d->sandwich) return;
    json_object_set_new(t->config, "query_pre_attn_scalar",
                        json_real(layers == largest && heads > 0
                                      ? number_of(t, "embedding_length") / heads
                                      : number_of(t, "attention.key_length")));
}

/* The values of a tensor that divides frequencies; *out NULL when there is none. */
static atn_status factor_list(atn_ctx *cx, const translation *t, const atn_st *tensors,
                              const char *name, json_t **out)
{
    const atn_st_tensor *f = atn_st_find(tensors, name);
    float x;

    *out = NULL;
    if (!f) return ATN_OK;
    if (f->type != ATN_F32 || !f->loadable || f->rank != 1 || f->count > 1 << 16)
        return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                        "%s: tensor \"%s\" is no list of F32 numbers", t->path, name);
    *out = json_array();
    for (atn_idx i = 0; i < f->count; i++) {
        atn_widen((const char *)f->data + 4 * i, ATN_F32, 1, &x);
        json_array_append_new(*out, isfinite(x) ? json_real(x) : json_null());
    }
    return ATN_OK;
}

/* A frequency a dimension: of Llama 3 in one list, of Phi-3 one for short and long
 * inputs. */
static atn_status factor_scaling(atn_ctx *cx, const translation *t,
                                 const atn_st *tensors, json_t **out)
{
    const json_t *attention = value_of(t, "rope.scaling.attn_factor"),
                 *original = value_of(t, "rope.scaling.original_context_length");
    json_t *one = NULL, *low = NULL, *high = NULL;
    atn_status st = ATN_OK;

    *out = NULL;
    ATN_TRY(factor_list(cx, t, tensors, "rope_freqs.weight", &one));
    ATN_TRY(factor_list(cx, t, tensors, "rope_factors_short.weight", &low));
    ATN_TRY(factor_list(cx, t, tensors, "rope_factors_long.weight", &high));
    if (one)
        *out = json_pack("{s:s, s:O, s:O, s:i, s:i}", "rope_type", "longrope",
                         "short_factor", one, "long_factor", one, "attention_factor", 1,
                         "factor", 1);
    else if (low && high)
        *out = json_pack("{s:s, s:O, s:O}", "rope_type", "longrope", "short_factor",
                         low, "long_factor", high);
    if (*out && !one && json_is_number(attention))
        json_object_set(*out, "attention_factor", (json_t *)(uintptr_t)attention);
    if (*out && !one && json_is_number(original))
        json_object_set(t->config, "original_max_position_embeddings",
                        (json_t *)(uintptr_t)original);
done:
    json_decref(one);
    json_decref(low);
    json_decref(high);
    return st;
}

/* The factor of a scaling, under its name of now or of old; 0 = none. */
static double scaling_factor(const translation *t)
{
    const double now = number_of(t, "rope.scaling.factor");

    return now > 0 ? now : number_of(t, "rope.scale_linear");
}

/* A scaling by name; without one a factor is linear. attn_factor multiplies what YaRN
 * makes of its factor. */
static atn_status named_scaling(atn_ctx *cx, const translation *t, json_t **out)
{
    static const char *const keys[][2] = {
        {"rope.scaling.original_context_length", "original_max_position_embeddings"},
        {"rope.scaling.yarn_beta_fast", "beta_fast"},
        {"rope.scaling.yarn_beta_slow", "beta_slow"}};
    const char *type = json_string_value(value_of(t, "rope.scaling.type"));
    const double factor = scaling_factor(t),
                 times = number_of(t, "rope.scaling.attn_factor"),
                 ext = number_of(t, "rope.scaling.yarn_ext_factor");
    json_t *d;

    *out = NULL;
    if (!type) type = factor > 0 && factor != 1 ? "linear" : "none";
    if (strcmp(type, "none") == 0) return ATN_OK;
    if (value_of(t, "rope.scaling.yarn_ext_factor") && ext != 1 && ext != -1)
        return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                        "%s: \"%s.rope.scaling.yarn_ext_factor\" is %g; 1 is supported",
                        t->path, t->d->architecture, ext);
    d = json_pack("{s:s}", "rope_type", type);
    if (factor > 0) json_object_set_new(d, "factor", json_real(factor));
    if (strcmp(type, "yarn") == 0 && times > 0 && factor > 1)
        json_object_set_new(d, "attention_factor",
                            json_real(times * (1 + 0.1 * log(factor))));
    for (size_t i = 0; i < ATN_LEN(keys); i++) {
        const json_t *v = value_of(t, keys[i][0]);
        if (json_is_number(v)) json_object_set(d, keys[i][1], (json_t *)(uintptr_t)v);
    }
    *out = d;
    return ATN_OK;
}

static atn_status set_rope(atn_ctx *cx, const translation *t, const atn_st *tensors,
                           const atn_arch *a)
{
    const double turned = number_of(t, "rope.dimension_count"),
                 heads = number_of(t, "attention.head_count"),
                 key = number_of(t, "attention.key_length"),
                 d = key > 0     ? key
                     : heads > 0 ? number_of(t, "embedding_length") / heads
                                 : 0;
    json_t *scaling = NULL;
    atn_status st = ATN_OK;

    if (a->rope && turned > 0 && turned != d && !a->keys.partial)
        ATN_FAIL(
            ATN_DATA,
            "%s: \"%s.rope.dimension_count\" is %g of heads %g wide; %s turns whole "
            "heads",
            t->path, t->d->architecture, turned, d, t->d->model_type);
    if (a->keys.partial && turned > 0 && d > 0)
        json_object_set_new(t->config, a->keys.partial, json_real(turned / d));
    ATN_TRY(factor_scaling(cx, t, tensors, &scaling));
    if (!scaling) ATN_TRY(named_scaling(cx, t, &scaling));
    if (scaling) json_object_set_new(t->config, "rope_scaling", scaling);
done:
    return st;
}

/* One of the files that a large model is split into. */
static atn_status check_whole(atn_ctx *cx, const translation *t)
{
    const json_int_t parts =
        json_integer_value(json_object_get(t->keys, "split.count"));

    if (parts <= 1) return ATN_OK;
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "%s: is one of %lld files of a split model; join them first "
                    "(llama-gguf-split --merge)",
                    t->path, (long long)parts);
}

void atn_gguf_biases(const atn_st *tensors, atn_config *c)
{
    const unsigned fixed = c->arch->bias;

    c->bias_qkv = (fixed & ATN_BIAS_QKV) || atn_st_find(tensors, "blk.0.attn_q.bias") ||
                  atn_st_find(tensors, "blk.0.attn_qkv.bias");
    c->bias_o = (fixed & ATN_BIAS_O) || atn_st_find(tensors, "blk.0.attn_output.bias");
    c->bias_mlp = (fixed & ATN_BIAS_MLP) || atn_st_find(tensors, "blk.0.ffn_down.bias");
}

atn_status atn_gguf_config(atn_ctx *cx, const char *path, const json_t *keys,
                           const atn_st *tensors, json_t **config)
{
    const atn_st_tensor *embed = atn_st_find(tensors, "token_embd.weight");
    translation t = {path, keys, NULL, json_object()};
    const atn_arch *a;
    atn_status st = ATN_OK;

    *config = NULL;
    ATN_TRY(find_dialect(cx, path, keys, &t.d));
    a = atn_arch_find(t.d->model_type);
    ATN_ASSERT(a);
    if (!embed || embed->rank != 2)
        ATN_FAIL(ATN_DATA, "%s: tensor \"token_embd.weight\" is missing or no matrix",
                 path);
    json_object_set_new(t.config, "model_type", json_string(t.d->model_type));
    json_object_set_new(t.config, "vocab_size", json_integer(embed->shape[0]));
    json_object_set_new(t.config, "tie_word_embeddings",
                        json_boolean(!atn_st_find(tensors, "output.weight")));
    ATN_TRY(check_whole(cx, &t));
    ATN_TRY(copy_sizes(cx, &t, a));
    set_gemma_scale(&t);
    ATN_TRY(set_rope(cx, &t, tensors, a));
    *config = t.config;
    t.config = NULL;
done:
    json_decref(t.config);
    return st;
}

/* ---- names ---- */

atn_status atn_gguf_family(atn_ctx *cx, const char *path, const json_t *keys,
                           const atn_arch *family, atn_arch *out)
{
    const atn_arch_names *n = &family->names;
    const dialect *d = NULL;
    atn_status st = ATN_OK;

    ATN_TRY(find_dialect(cx, path, keys, &d));
    *out = *family;
    memset(out->prefixes, 0, sizeof out->prefixes);
    out->in_out = false;
    out->pairs = d->pairs;
    out->names =
        (atn_arch_names){.embed = "token_embd.weight",
                         .position = n->position ? "position_embd.weight" : NULL,
                         .embed_norm = n->embed_norm ? "token_embd_norm.weight" : NULL,
                         .final_norm = "output_norm.weight",
                         .head = "output.weight",
                         .attn_norm = "blk.%d.attn_norm.weight",
                         .o = "blk.%d.attn_output.weight",
                         .q_norm = n->q_norm ? "blk.%d.attn_q_norm.weight" : NULL,
                         .k_norm = n->k_norm ? "blk.%d.attn_k_norm.weight" : NULL,
                         .mlp_norm = "blk.%d.ffn_norm.weight",
                         .down = "blk.%d.ffn_down.weight"};
    if (d->fused) {
        out->fused = ATN_FUSED_BLOCKS;
        out->names.qkv = "blk.%d.attn_qkv.weight";
    } else {
        out->names.q = "blk.%d.attn_q.weight";
        out->names.k = "blk.%d.attn_k.weight";
        out->names.v = "blk.%d.attn_v.weight";
    }
    if (d->fused_mlp) {
        out->names.gate_up = "blk.%d.ffn_up.weight";
    } else {
        out->names.up = "blk.%d.ffn_up.weight";
        out->names.gate = n->gate ? "blk.%d.ffn_gate.weight" : NULL;
    }
    if (d->sandwich) {
        out->norm_offset = 0; /* it is in the weights */
        out->names.attn_out_norm = "blk.%d.post_attention_norm.weight";
        out->names.mlp_out_norm = "blk.%d.post_ffw_norm.weight";
    }
    if (d->norms_behind) {
        out->names.attn_norm = "blk.%d.post_attention_norm.weight";
        out->names.mlp_norm = "blk.%d.post_ffw_norm.weight";
    }
done:
    return st;
}
