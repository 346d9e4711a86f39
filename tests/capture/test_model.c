/* tests/capture/test_model.c -- model directories: what is accepted, and what is
 * refused with the tensor, the shape and the nearest names. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "make_model.h"
#include "model_checks.h"

#include <unistd.h>

#include "capture/forward.h"

static atn_status open_close(atn_ctx *cx, const char *dir)
{
    atn_model m;
    const atn_status st = atn_model_open(cx, dir, &m);

    if (st == ATN_OK) atn_model_close(cx, &m);
    return st;
}

static bool drop_k(atn_st_out *t, char *data, char name[256])
{
    (void)t, (void)data;
    return strcmp(name, "model.layers.1.self_attn.k_proj.weight") != 0;
}

static bool turn_k(atn_st_out *t, char *data, char name[256])
{
    (void)data;
    if (strcmp(name, "model.layers.0.mlp.up_proj.weight") == 0) {
        const atn_idx rows = t->shape[0];
        t->shape[0] = t->shape[1];
        t->shape[1] = rows;
    }
    return true;
}

static bool bare_names(atn_st_out *t, char *data, char name[256])
{
    (void)t, (void)data;
    if (strncmp(name, "model.", 6) == 0) memmove(name, name + 6, strlen(name + 6) + 1);
    return true;
}

static const char *nan_name; /* for put_nan */
static size_t nan_at;

static bool put_nan(atn_st_out *t, char *data, char name[256])
{
    const uint16_t half = 0x7fc0; /* NaN in F16 and BF16 */
    const float single = NAN;
    const size_t size = atn_dtype_size(t->type);

    if (strcmp(name, nan_name) == 0)
        memcpy(data + size * nan_at, size == 2 ? (const void *)&half : &single, size);
    return true;
}

static bool to_integers(atn_st_out *t, char *data, char name[256])
{
    (void)data;
    if (strcmp(name, "model.norm.weight") == 0) t->type = ATN_I32;
    return true;
}

static bool old_norm_names(atn_st_out *t, char *data, char name[256])
{
    char *end = strstr(name, "LayerNorm.weight");

    (void)t, (void)data;
    if (end) strcpy(end, "LayerNorm.gamma");
    end = strstr(name, "LayerNorm.bias");
    if (end) strcpy(end, "LayerNorm.beta");
    return true;
}

/* The language model within one that sees images, in old files and in new ones. */
static bool other_part_names(atn_st_out *t, char *data, char name[256])
{
    static const char old[] = "language_model.model.", new[] = "model.language_model.";

    (void)t, (void)data;
    if (strncmp(name, old, sizeof old - 1) == 0)
        memcpy(name, new, sizeof new - 1);
    else if (strncmp(name, new, sizeof new - 1) == 0)
        memcpy(name, old, sizeof old - 1);
    return true;
}

static void missing_tensor(atn_ctx *cx)
{
    const char *dir = copy_model("model-missing", "llama_mha");

    edit_weights(cx, dir, drop_k);
    CHECK_FAILS(open_close(cx, dir), ATN_DATA,
                "\"model.layers.1.self_attn.k_proj.weight\" is missing (tried also "
                "\"layers.1.self_attn.k_proj.weight\"); nearest: model.layers.");
}

static void misshaped_tensor(atn_ctx *cx)
{
    const char *dir = copy_model("model-shape", "llama_mha");

    edit_weights(cx, dir, turn_k);
    CHECK_FAILS(
        open_close(cx, dir), ATN_DATA,
        "\"model.layers.0.mlp.up_proj.weight\" has shape 32x48, the configuration "
        "implies 48x32");
    dir = copy_model("model-shape", "llama_mha");
    set_config(cx, dir, "intermediate_size", "47");
    CHECK_FAILS(open_close(cx, dir), ATN_DATA, "implies 47x32");
    dir = copy_model("model-shape", "llama_mha");
    edit_weights(cx, dir, to_integers);
    CHECK_FAILS(open_close(cx, dir), ATN_DATA, "weights must be F32");
    dir = copy_model("model-shape", "llama_mha");
    set_config(cx, dir, "vocab_size", "71");
    CHECK_FAILS(open_close(cx, dir), ATN_DATA, "implies 71x32");
    dir = copy_model("model-shape",
                     "llama_mha"); /* the config's word that there are biases */
    set_config(cx, dir, "attention_bias", "true");
    CHECK_FAILS(open_close(cx, dir), ATN_DATA, "q_proj.bias\" is missing");
}

/* Shapes of tensors that hold several weights, or hold them the other way round. */
static void fused_tensors_are_checked(atn_ctx *cx)
{
    static const struct {
        const char *model, *key, *json, *part;
    } cases[] = {
        {"gpt2", "n_inner", "95",
         "mlp.c_fc.weight\" has shape 24x96, the configuration implies 24x95"},
        {"gpt2", "n_embd", "21", "implies 48x21"},
        {"phi3", "num_key_value_heads", "1",
         "qkv_proj.weight\" has shape 64x32, the configuration implies 48x32"},
        {"phi3", "intermediate_size", "20",
         "gate_up_proj.weight\" has shape 80x32, the configuration implies 40x32"},
        {"gpt_neox", "attention_bias", "false", NULL},
        {"opt", "word_embed_proj_dim", "20", "implies 48x20"},
        {"opt_post", "word_embed_proj_dim", "24", "implies 48x24"},
        {"opt_post", "do_layer_norm_before", "true",
         "decoder.final_layer_norm.weight\" is missing"},
        {"opt_bare", "enable_bias", "true", "bias\" is missing"},
        {"albert_groups", "embedding_size", "21", "implies 48x21"},
        {"albert_groups", "num_hidden_groups", "3", "layer_groups.2"},
        {"albert_groups", "inner_group_num", "3", "albert_layers.2"},
        {"albert_groups", "inner_group_num", "1000", "above the"},
        {"bloom", "n_layer", "3", "h.2.input_layernorm.weight\" is missing"},
        {"roberta_model", "max_position_embeddings", "29", "implies 29x24"}};

    cx->log_level = ATN_LOG_ERROR;
    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        const char *dir = copy_model("model-fused", cases[i].model);

        print_message("%s %s\n", cases[i].model, cases[i].key);
        set_config(cx, dir, cases[i].key, cases[i].json);
        if (cases[i].part)
            CHECK_FAILS(open_close(cx, dir), ATN_DATA, cases[i].part);
        else
            CHECK_OK(open_close(cx, dir));
    }
}

/* Masks and angles that old files carry are known; what else takes no part is said. */
static void old_buffers_are_no_weights(atn_ctx *cx)
{
    static const char *const models[] = {"gpt2_old", "gpt_neox_old"};

    for (size_t i = 0; i < ATN_LEN(models); i++) {
        const char *dir = copy_model("model-buffers", models[i]);
        atn_idx unused = 0;
        atn_model m;

        CHECK_OK(atn_model_open(cx, dir, &m));
        for (atn_idx k = 0; k < atn_st_count(m.weights); k++) {
            const char *name = atn_st_at(m.weights, k)->name;

            if (m.used[k]) continue;
            CHECK(strstr(name, "inv_freq") != NULL);
            unused++;
        }
        CHECK_EQ(unused, i == 0 ? 0 : 2);
        atn_model_close(cx, &m);
    }
}

static void too_many_layers(atn_ctx *cx)
{
    const char *dir = copy_model("model-layers", "llama_mha");

    set_config(cx, dir, "num_hidden_layers", "3");
    CHECK_FAILS(open_close(cx, dir), ATN_DATA, "layers.2.");
    set_config(cx, dir, "num_hidden_layers", "99999");
    CHECK_FAILS(open_close(cx, dir), ATN_DATA, "num_hidden_layers 99999 is above");
}

static void pickles_are_refused(atn_ctx *cx)
{
    const char *dir = copy_model("model-pickle", "llama_mha");
    char other[1400];

    snprintf(other, sizeof other, "%s", path_in(dir, "pytorch_model.bin"));
    CHECK_EQ(rename(path_in(dir, "model.safetensors"), other), 0);
    CHECK_FAILS(open_close(cx, dir), ATN_DATA, "safe_serialization");
    CHECK_EQ(remove(other), 0);
    CHECK_FAILS(open_close(cx, dir), ATN_NOINPUT, "neither model.safetensors nor");
}

static void prefix_may_be_absent(atn_ctx *cx)
{
    const char *dir = copy_model("model-prefix", "llama_mha");

    edit_weights(cx, dir, bare_names);
    CHECK_OK(open_close(cx, dir));
    dir = copy_model("model-gamma", "bert_model");
    edit_weights(cx, dir, old_norm_names);
    CHECK_OK(open_close(cx, dir));
    dir = copy_model("model-part", "gemma3_nested");
    CHECK_OK(open_close(cx, dir));
    edit_weights(cx, dir, other_part_names);
    CHECK_OK(open_close(cx, dir));
}

/* hub/models--org--name/{refs/main, snapshots/<sha>/files -> ../../blobs/...} */
static void hub_cache(atn_ctx *cx)
{
    char hub[1024], command[9000];
    atn_model m;

    snprintf(hub, sizeof hub, "%s/models--acme--tiny", check_scratch("model-hub"));
    snprintf(command, sizeof command,
             "mkdir -p '%s/refs' '%s/blobs' '%s/snapshots/abc123' && printf abc123 > "
             "'%s/refs/main' && cp '%s/parity/llama_mha'/[cm]* '%s/blobs' && cd "
             "'%s/snapshots/abc123' && ln -s ../../blobs/* .",
             hub, hub, hub, hub, ATN_TEST_FIXTURES, hub, hub);
    CHECK_EQ(system(command), 0);
    CHECK_OK(atn_model_open(cx, hub, &m));
    CHECK_STR(m.name, "acme/tiny");
    CHECK(strstr(m.dir, "snapshots/abc123") != NULL);
    atn_model_close(cx, &m);
    strcat(hub, "/snapshots/abc123");
    CHECK_OK(atn_model_open(cx, hub, &m));
    CHECK_STR(m.name, "acme/tiny");
    atn_model_close(cx, &m);
}

/* Both models have width 32 and heads of 8. */
static void nan_is_located(atn_ctx *cx)
{
    static const struct {
        const char *model, *name, *part;
        size_t at;
    } cases[] = {
        {"llama_mha", "model.layers.1.mlp.down_proj.weight", "in row 5", 5 * 48 + 3},
        {"llama_mha", "model.layers.1.self_attn.q_proj.weight", "in head 2, row 3",
         (2 * 8 + 3) * 32 + 31},
        {"llama_mha", "model.layers.0.self_attn.v_proj.weight", "in head 3, row 7",
         31 * 32},
        {"llama_mha", "model.layers.0.self_attn.o_proj.weight", "in head 1, row 4",
         4 * 32 + 15},
        {"llama_mha", "model.layers.0.input_layernorm.weight", "in row 6", 6},
        {"llama_mha", "model.embed_tokens.weight", "in row 2, token id 2", 2 * 32 + 9},
        {"llama_mha", "lm_head.weight", "in row 71", 71 * 32},
        {"bert_model", "embeddings.position_embeddings.weight", "in row 1, position 1",
         1 * 32},
        {"bert_model", "embeddings.token_type_embeddings.weight",
         "in row 0, token type 0", 3},
        {"bert_model", "encoder.layer.1.attention.self.key.bias", "in head 1, row 2",
         8 + 2},
        /* columns [Q, K, V] of 3 heads, 8 wide, and rows of heads [q; k; v] */
        {"gpt2", "transformer.h.1.attn.c_attn.weight", "in head 2, column 3",
         5 * 72 + 24 + 19},
        {"gpt2", "transformer.h.0.attn.c_proj.weight", "in head 1, column 4",
         15 * 24 + 4},
        {"gpt2", "transformer.h.0.mlp.c_fc.weight", "in column 7", 3 * 96 + 7},
        {"gpt2", "transformer.h.0.attn.c_attn.bias", "in head 0, row 1", 48 + 1},
        {"gpt_neox", "gpt_neox.layers.1.attention.query_key_value.weight",
         "in head 1, row 6", (24 + 8 + 6) * 24},
        {"phi3", "model.layers.0.self_attn.qkv_proj.weight", "in head 1, row 2",
         (32 + 16 + 8 + 2) * 32},
        {"opt", "model.decoder.embed_positions.weight", "in row 3", 3 * 24},
        {"opt_post", "model.decoder.project_in.weight", "in row 2", 2 * 20 + 1},
        {"opt_post", "model.decoder.project_out.weight", "in row 2", 2 * 24 + 1},
        {"albert_groups",
         "albert.encoder.albert_layer_groups.1.albert_layers.1.ffn.weight", "in row 1",
         16}};
    const int32_t ids[] = {1, 2, 3};
    const atn_forward_args args = {
        .input = {.ids = ids, .n = 3}, .last_place = 9, .want_loss = true};

    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        const char *dir = copy_model("model-nan", cases[i].model);
        char part[200];
        atn_forward_result result;
        atn_model m;

        nan_name = cases[i].name;
        nan_at = cases[i].at;
        snprintf(part, sizeof part,
                 "model.safetensors: weight \"%s\" holds NaN or infinity %s", nan_name,
                 cases[i].part);
        edit_weights(cx, dir, put_nan);
        CHECK_OK(atn_model_open(cx, dir, &m));
        CHECK_FAILS(atn_forward(cx, &m, &args, &result), ATN_DATA, part);
        atn_model_close(cx, &m);
    }
}

static atn_status never(atn_ctx *cx, const atn_layer_dump *dump, void *state)
{
    (void)cx, (void)dump, (void)state;
    return ATN_INTERNAL;
}

/* Counts of llama_mha by hand: vocabulary 72, width 32, MLP 48, 2 layers, untied. */
static void counts(atn_ctx *cx)
{
    const double linear = 4 * 32 * 32 + 3 * 32 * 48, n = 10;
    /* of attention, in the hands of 2 threads; a row of 10 weights takes 16 places */
    const double rows = 2 * 64 * (4 * 16 + 48);
    atn_forward_args a = {.input = {.n = 10}};
    atn_model m;

    CHECK_OK(atn_model_open(cx, ATN_TEST_FIXTURES "/parity/llama_mha", &m));
    CHECK_NEAR(atn_model_parameters(&m), 2 * 72 * 32 + 2 * (linear + 2 * 32) + 32, 0);
    CHECK_NEAR(atn_model_bytes(&m), 4 * atn_model_parameters(&m), 0);
    /* 55 visible pairs, 2 products of 2 flops a pair and channel */
    CHECK_NEAR(atn_model_flops(&m, &a.input), 2 * (2 * linear * n + 4 * 32 * 55), 0);
    /* weights; x, t, q, k, v, o, up, gate and angles a token, and two row numbers of
     * embeddings; with a visitor q, k and v twice and what it says; with the loss all
     * 72 columns of the logits and 20 bytes a token */
    CHECK_NEAR(atn_forward_memory(cx, &m, &a),
               rows + 4 * (linear + n * (6 * 32 + 2 * 48 + 8 + 2)), 0);
    a.visit = never;
    a.visit_bytes = 500;
    CHECK_NEAR(atn_forward_memory(cx, &m, &a),
               500 + rows + 4 * (linear + n * (6 * 32 + 2 * 48 + 8 + 2 + 2 * 3 * 32)),
               0);
    a.want_loss = true;
    CHECK_NEAR(
        atn_forward_memory(cx, &m, &a),
        500 + 20 * n + rows +
            4 * (linear + n * (6 * 32 + 2 * 48 + 8 + 2 + 2 * 3 * 32 + 72) + 72 * 32),
        0);
    atn_model_close(cx, &m);
}

/* ---- the k-th allocation fails ---- */

static void allocations_fail_in(const char *model)
{
    char dir[1000];
    const int32_t ids[] = {1, 2, 3, 4, 5};
    const atn_forward_args args = {
        .input = {.ids = ids, .n = 5}, .last_place = 9, .want_loss = true};

    snprintf(dir, sizeof dir, "%s/parity/%s", ATN_TEST_FIXTURES, model);
    forward_allocations_fail(dir, &args);
}

static void allocations_fail(atn_ctx *cx)
{
    (void)cx;
    allocations_fail_in("bert_mlm");
    allocations_fail_in("gpt2_old");
    allocations_fail_in("opt_post");
    allocations_fail_in("gpt_neox");
    allocations_fail_in("bloom_post");
    allocations_fail_in("albert_groups");
    allocations_fail_in("gemma3_text");
    allocations_fail_in("gpt_oss");
}

static bool drop_head(atn_st_out *t, char *data, char name[256])
{
    (void)t, (void)data;
    return strcmp(name, "lm_head.weight") != 0;
}

static float *logits_of(atn_ctx *cx, const char *dir)
{
    const int32_t ids[] = {5, 9, 11};
    float *logits = calloc(3 * 72, sizeof *logits);
    const atn_forward_args args = {
        .input = {.ids = ids, .n = 3}, .last_place = 9, .logits = logits};
    atn_forward_result result;
    atn_model m;

    CHECK_OK(atn_model_open(cx, dir, &m));
    CHECK_OK(atn_forward(cx, &m, &args, &result));
    atn_model_close(cx, &m);
    return logits;
}

/* A tied model's head is the embedding, whatever lm_head the file stores. */
static void tied_head_is_the_embedding(atn_ctx *cx)
{
    const size_t size = 3 * 72 * sizeof(float);
    const char *dir = copy_model("model-tied", "llama_mha");
    float *untied = logits_of(cx, dir), *stored, *absent;

    set_config(cx, dir, "tie_word_embeddings", "true");
    stored = logits_of(cx, dir);
    edit_weights(cx, dir, drop_head);
    absent = logits_of(cx, dir);
    CHECK(memcmp(stored, absent, size) == 0);
    CHECK(memcmp(stored, untied, size) != 0);
    free(untied);
    free(stored);
    free(absent);
}

/* Logits come in chunks of 4096 rows; the loss behind the first chunk too is that of
 * the next token, by a log-sum-exp of the logits here. */
static void loss_of_a_long_text(atn_ctx *cx)
{
    enum { N = 4200, V = 72 };
    int32_t *ids = calloc(N, sizeof *ids);
    float *logits = calloc((size_t)N * V, sizeof *logits);
    const atn_forward_args args = {.input = {.ids = ids, .n = N},
                                   .last_place = 9,
                                   .logits = logits,
                                   .want_loss = true};
    atn_forward_result result;
    double want = 0;
    atn_model m;

    for (int i = 0; i < N; i++) ids[i] = 3 + (i * i + i / 7) % 69;
    CHECK_OK(atn_model_open(cx, ATN_TEST_FIXTURES "/parity/mistral_window", &m));
    CHECK_OK(atn_forward(cx, &m, &args, &result));
    for (int i = 0; i + 1 < N; i++) {
        double sum = 0;

        for (int v = 0; v < V; v++) sum += exp((double)logits[i * V + v]);
        want += log(sum) - (double)logits[i * V + ids[i + 1]];
    }
    CHECK_EQ(result.loss_tokens, N - 1);
    CHECK_NEAR(result.loss, want / (N - 1), 1e-6 * want / (N - 1));
    atn_model_close(cx, &m);
    free(ids);
    free(logits);
}

static void memory_limit(atn_ctx *cx)
{
    const int32_t ids[] = {1, 2, 3};
    const atn_forward_args args = {.input = {.ids = ids, .n = 3}, .last_place = 9};
    atn_forward_result result;
    atn_model m;

    CHECK_OK(atn_model_open(cx, ATN_TEST_FIXTURES "/parity/llama_mha", &m));
    cx->mem_limit = 1000;
    CHECK_FAILS(atn_forward(cx, &m, &args, &result), ATN_MEMORY, "forward pass");
    atn_model_close(cx, &m);
}

CHECK_MAIN({"missing tensor", missing_tensor}, {"misshaped tensor", misshaped_tensor},
           {"fused tensors are checked", fused_tensors_are_checked},
           {"old buffers are no weights", old_buffers_are_no_weights},
           {"too many layers", too_many_layers},
           {"pickles are refused", pickles_are_refused},
           {"prefix may be absent", prefix_may_be_absent}, {"hub cache", hub_cache},
           {"NaN is located", nan_is_located}, {"counts", counts},
           {"allocations fail", allocations_fail}, {"memory limit", memory_limit},
           {"a tied head is the embedding", tied_head_is_the_embedding},
           {"loss of a long text", loss_of_a_long_text})
