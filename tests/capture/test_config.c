/* tests/capture/test_config.c -- config.json: defaults, windows, rotary angles, and
 * values that must be refused before anything is allocated. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "make_model.h"

#include "capture/config.h"

static void refuses(atn_ctx *cx, const char *base, const char *key, const char *json,
                    const char *part)
{
    const char *dir = copy_model("config", base);
    atn_config c;

    set_config(cx, dir, key, json);
    CHECK_FAILS(atn_config_load(cx, dir, &c), ATN_DATA, part);
}

static void hostile_values(atn_ctx *cx)
{
    static const struct {
        const char *key, *json, *part;
    } cases[] = {
        {"hidden_size", NULL, "hidden_size"},
        {"hidden_size", "\"32\"", "hidden_size"},
        {"hidden_size", "32.0", "hidden_size"},
        {"hidden_size", "-32", "hidden_size"},
        {"hidden_size", "0", "hidden_size"},
        {"hidden_size", "9223372036854775807", "hidden_size"},
        {"hidden_size", "2147483648", "hidden_size"},
        {"hidden_size", "null", "hidden_size"},
        {"num_attention_heads", "5", "no multiple"},
        {"num_attention_heads", "true", "num_attention_heads"},
        {"num_key_value_heads", "3", "no multiple"},
        {"num_hidden_layers", "100001", "num_hidden_layers"},
        {"num_hidden_layers", "[2]", "num_hidden_layers"},
        {"vocab_size", "1e3", "vocab_size"},
        {"intermediate_size", "0", "intermediate_size"},
        {"max_position_embeddings", "0", "max_position_embeddings"},
        {"head_dim", "7", "odd"},
        {"head_dim", "0", "head_dim"},
        {"rms_norm_eps", "-1e-6", "eps"},
        {"rms_norm_eps", "1", "eps"},
        {"rms_norm_eps", "\"small\"", "rms_norm_eps"},
        {"hidden_act", "\"geglu\"", "geglu"},
        {"hidden_act", "3", "hidden_act"},
        {"tie_word_embeddings", "\"yes\"", "tie_word_embeddings"},
        {"attention_bias", "1", "attention_bias"},
        {"rope_parameters", "{\"rope_type\": \"spiral\"}", "spiral"},
        {"rope_parameters", "{\"rope_theta\": -1}",
         "\"rope_theta\" of the rotary embedding is -1"},
        {"rope_parameters", "[1]", "must be an object"},
        {"rope_scaling", "\"linear\"", "must be an object"},
        {"rope_scaling", "{\"type\": \"yarn\", \"factor\": 2, \"beta_fast\": -5}",
         "beta_fast"},
        {"rope_parameters", "{\"rope_theta\": \"1e4\"}", "rope_theta"},
        {"rope_scaling", "{\"type\": \"linear\"}", "factor"},
        {"rope_scaling", "{\"type\": \"linear\", \"factor\": 0}",
         "of the rotary embedding is"},
        {"rope_scaling", "{\"type\": \"longrope\", \"short_factor\": [1]}",
         "4 numbers"},
        {"rope_scaling",
         "{\"type\": \"su\", \"short_factor\": [1,1,1,1], \"long_factor\": [1,1,0,1]}",
         "positive"},
        {"partial_rotary_factor", "\"half\"", "partial_rotary_factor"},
        {"rope_scaling",
         "{\"type\": \"linear\", \"factor\": 2, \"partial_rotary_factor\": 0.5}",
         "partial_rotary_factor is 0.5"},
        {"model_type", "\"lama\"", "nearest: llama"},
        {"model_type", "\"mamba\"", "known: albert, bert, bloom,"},
        {"model_type", "7", "model_type"},
        {"model_type", NULL, "missing"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        print_message("%s = %s\n", cases[i].key,
                      cases[i].json ? cases[i].json : "absent");
        refuses(cx, "llama_mha", cases[i].key, cases[i].json, cases[i].part);
    }
    refuses(cx, "qwen2_window", "layer_types", "[\"full_attention\"]", "2 entries");
    refuses(cx, "qwen2_window", "layer_types", "[\"full_attention\", \"local\"]",
            "layer_types[1]");
    refuses(cx, "bert_model", "position_embedding_type", "\"relative_key\"",
            "relative_key");
    refuses(cx, "bert_model", "is_decoder", "true", "\"is_decoder\" is true");
}

static void broken_files(atn_ctx *cx)
{
    static const char *const texts[] = {
        "",        "[]", "{\"model_type\": ", "{\"a\": NaN}", "{\"a\": 1, \"a\": 2}",
        "\xff\xfe"};
    /* words of Python's json module */
    static const struct {
        const char *text, *part;
    } words[] = {
        {"{\"a\": 1,\n \"rms_norm_eps\": NaN}",
         "line 2, column 20: no valid JSON: \"rms_norm_eps\" is NaN or Infinity"},
        {"{\"theta\" : -Infinity}",
         "\"theta\" is NaN or Infinity, which JSON does not"},
        {"{\"b\": {\"limit\": Infinity}}", "\"limit\" is NaN or Infinity"},
        {"{\"list\": [1, NaN]}", "no valid JSON: NaN or Infinity"},
        {"NaN", "no valid JSON"},
        {"{NaN", "no valid JSON"},
        {":NaN", "no valid JSON"},
        {"{\"-\": -}", "no valid JSON"},
    };
    const char *dir = copy_model("config-broken", "llama_mha");
    atn_config c;

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        write_text(dir, "config.json", texts[i]);
        CHECK_FAILS(atn_config_load(cx, dir, &c), ATN_DATA, "config.json");
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        write_text(dir, "config.json", words[i].text);
        CHECK_FAILS(atn_config_load(cx, dir, &c), ATN_DATA, words[i].part);
    }
    CHECK_EQ(remove(path_in(dir, "config.json")), 0);
    CHECK_FAILS(atn_config_load(cx, dir, &c), ATN_DATA, "no config.json");
    CHECK_FAILS(atn_config_load(cx, path_in(dir, "nowhere"), &c), ATN_NOINPUT,
                "nowhere");
}

/* Hugging Face configuration classes: what an absent key and an explicit null mean.
 * Long, for it is one table of all families. */
static void defaults(atn_ctx *cx)
{
    const char *dir = check_scratch("config-defaults");
    static const char sizes[] =
        "\"hidden_size\": 64, \"num_hidden_layers\": 3, "
        "\"num_attention_heads\": 32, \"intermediate_size\": 96, "
        "\"vocab_size\": 50";
    static const struct {
        const char *type, *more;
        atn_idx kv_heads, head_dim, positions, window[3];
        double eps;
        bool tied, bias_qkv, bias_o;
    } cases[] = {
        {"llama", "", 32, 2, 2048, {0}, 1e-6, false, false, false},
        {"llama",
         ", \"num_key_value_heads\": null, \"head_dim\": null",
         32,
         2,
         2048,
         {0},
         1e-6,
         false,
         false,
         false},
        {"llama",
         ", \"attention_bias\": true",
         32,
         2,
         2048,
         {0},
         1e-6,
         false,
         true,
         true},
        {"mistral", "", 8, 2, 131072, {4096, 4096, 4096}, 1e-6, false, false, false},
        {"mistral",
         ", \"sliding_window\": null",
         8,
         2,
         131072,
         {0},
         1e-6,
         false,
         false,
         false},
        {"mistral",
         ", \"attention_bias\": true",
         8,
         2,
         131072,
         {4096, 4096, 4096},
         1e-6,
         false,
         false,
         false},
        {"qwen3",
         ", \"attention_bias\": true, \"mlp_bias\": true",
         32,
         128,
         32768,
         {0},
         1e-6,
         false,
         true,
         true},
        {"qwen2", "", 32, 2, 32768, {0}, 1e-6, false, true, false},
        {"qwen2",
         ", \"use_sliding_window\": true, \"max_window_layers\": 1",
         32,
         2,
         32768,
         {0, 4096, 4096},
         1e-6,
         false,
         true,
         false},
        {"qwen2",
         ", \"use_sliding_window\": true, \"sliding_window\": 7, \"layer_types\": "
         "[\"sliding_attention\", \"full_attention\", \"full_attention\"]",
         32,
         2,
         32768,
         {7, 0, 0},
         1e-6,
         false,
         true,
         false},
        {"qwen3", "", 32, 128, 32768, {0}, 1e-6, false, false, false},
        {"olmo2", "", 32, 2, 2048, {0}, 1e-5, false, false, false},
        {"bert",
         ", \"num_key_value_heads\": 4",
         32,
         2,
         512,
         {0},
         1e-12,
         true,
         true,
         true},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[600];
        atn_config c;

        snprintf(text, sizeof text, "{\"model_type\": \"%s\", %s%s}", cases[i].type,
                 sizes, cases[i].more);
        print_message("%s%s\n", cases[i].type, cases[i].more);
        write_text(dir, "config.json", text);
        CHECK_OK(atn_config_load(cx, dir, &c));
        CHECK_EQ(c.kv_heads, cases[i].kv_heads);
        CHECK_EQ(c.head_dim, cases[i].head_dim);
        CHECK_EQ(c.max_positions, cases[i].positions);
        for (int l = 0; l < 3; l++) CHECK_EQ(c.window[l], cases[i].window[l]);
        CHECK_NEAR(c.eps, cases[i].eps, 0);
        CHECK_EQ(c.tied, cases[i].tied);
        CHECK_EQ(c.bias_qkv, cases[i].bias_qkv);
        CHECK_EQ(c.bias_o, cases[i].bias_o);
        CHECK_EQ(c.bias_mlp, strcmp(cases[i].type, "bert") == 0);
        atn_config_release(cx, &c);
    }
}

/* Absent keys of the families with switches of their own; heads 32 of 2 dimensions. */
static void family_defaults(atn_ctx *cx)
{
    const char *dir = check_scratch("config-family");
    static const struct {
        const char *type, *more;
        atn_idx ffn, positions, tokens, embed_width, rotary;
        double eps, scale;
        bool qkv, o, mlp, tied, final_norm, parallel, causal;
    } cases[] = {
        {"gpt2", "", 256, 1024, 1024, 64, 0, 1e-5, .70710678, true, true, true, true,
         true, false, true},
        {"gpt2", ", \"n_inner\": null, \"scale_attn_weights\": false", 256, 1024, 1024,
         64, 0, 1e-5, 1, true, true, true, true, true, false, true},
        {"gpt2", ", \"n_inner\": 99, \"n_positions\": 7, \"num_key_value_heads\": 4",
         99, 7, 7, 64, 0, 1e-5, .70710678, true, true, true, true, true, false, true},
        {"gpt_neox", ", \"rotary_pct\": 1", 96, 2048, 2048, 64, 2, 1e-5, .70710678,
         true, true, true, false, true, true, true},
        {"gpt_neox",
         ", \"rotary_pct\": 1, \"attention_bias\": false, \"use_parallel_residual\": "
         "false",
         96, 2048, 2048, 64, 2, 1e-5, .70710678, false, false, true, false, true, false,
         true},
        {"opt", ", \"ffn_dim\": 80", 80, 2048, 2048, 64, 0, 1e-5, .70710678, true, true,
         true, true, true, false, true},
        {"opt",
         ", \"ffn_dim\": 80, \"enable_bias\": false, \"do_layer_norm_before\": false, "
         "\"word_embed_proj_dim\": 40",
         80, 2048, 2048, 40, 0, 1e-5, .70710678, false, false, false, true, false,
         false, true},
        {"opt", ", \"ffn_dim\": 80, \"_remove_final_layer_norm\": true", 80, 2048, 2048,
         64, 0, 1e-5, .70710678, true, true, true, true, false, false, true},
        {"bloom", "", 256, 2048, 2048, 64, 0, 1e-5, .70710678, true, true, true, true,
         true, false, true},
        {"bloom", ", \"n_embed\": 128", 512, 2048, 2048, 128, 0, 1e-5, .5, true, true,
         true, true, true, false, true},
        {"phi3", "", 96, 4096, 4096, 64, 2, 1e-5, .70710678, false, false, false, false,
         true, false, true},
        {"roberta", "", 96, 512, 510, 64, 0, 1e-12, .70710678, true, true, true, true,
         false, false, false},
        {"albert", "", 96, 512, 512, 128, 0, 1e-12, .70710678, true, true, true, true,
         false, false, false},
    };

    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        char text[700];
        atn_config c;

        snprintf(text, sizeof text,
                 "{\"model_type\": \"%s\", \"hidden_size\": 64, "
                 "\"num_hidden_layers\": 3, \"num_attention_heads\": 32, "
                 "\"intermediate_size\": 96, \"vocab_size\": 50%s}",
                 cases[i].type, cases[i].more);
        print_message("%s%s\n", cases[i].type, cases[i].more);
        write_text(dir, "config.json", text);
        CHECK_OK(atn_config_load(cx, dir, &c));
        CHECK_EQ(c.kv_heads, 32);
        CHECK_EQ(c.ffn, cases[i].ffn);
        CHECK_EQ(c.max_positions, cases[i].positions);
        CHECK_EQ(c.max_tokens, cases[i].tokens);
        CHECK_EQ(c.embed_width, cases[i].embed_width);
        CHECK_EQ(c.rope.dim, cases[i].rotary);
        CHECK_NEAR(c.eps, cases[i].eps, 0);
        CHECK_NEAR(c.scale, cases[i].scale, 1e-8);
        CHECK_EQ(c.bias_qkv, cases[i].qkv);
        CHECK_EQ(c.bias_o, cases[i].o);
        CHECK_EQ(c.bias_mlp, cases[i].mlp);
        CHECK_EQ(c.tied, cases[i].tied);
        CHECK_EQ(c.final_norm, cases[i].final_norm);
        CHECK_EQ(c.parallel, cases[i].parallel);
        CHECK_EQ(c.arch->causal, cases[i].causal);
        CHECK_EQ(c.window[2], 0);
        atn_config_release(cx, &c);
    }
}

static void family_refusals(atn_ctx *cx)
{
    static const struct {
        const char *base, *key, *json, *part;
    } cases[] = {
        {"gpt2", "add_cross_attention", "true", "\"add_cross_attention\" is true"},
        {"gpt2", "n_head", "5", "n_embd 24 is no multiple of n_head 5"},
        {"gpt2", "n_layer", "\"2\"", "n_layer"},
        {"gpt2", "n_inner", "0", "n_inner"},
        {"gpt2", "pruned_heads", "{\"0\": [1]}", "pruned_heads"},
        {"gpt2", "scale_attn_weights", "1", "scale_attn_weights"},
        {"gpt_neox_old", "rotary_pct", "0.1", "rotary_pct is 0.1"},
        {"gpt_neox_old", "rotary_pct", "1.5", "rotary_pct is 1.5"},
        {"gpt_neox_old", "rotary_pct", "0.4", "odd"},
        {"opt", "layer_norm_elementwise_affine", "false",
         "\"layer_norm_elementwise_affine\" is false"},
        {"opt", "ffn_dim", NULL, "ffn_dim"},
        {"opt", "word_embed_proj_dim", "-1", "word_embed_proj_dim"},
        {"bloom", "slow_but_exact", "true", "slow_but_exact"},
        {"phi3", "rope_parameters", "{\"rope_type\": \"linear\", \"factor\": 2}",
         "is not one of default, longrope, su, yarn"},
        {"phi3", "rope_parameters", "{\"rope_type\": \"yarn\", \"short_factor\": [1]}",
         "longrope needs short_factor and long_factor of 4 numbers"},
        {"roberta_model", "is_decoder", "true", "is_decoder"},
        {"roberta_model", "position_embedding_type", "\"relative_key\"",
         "relative_key"},
        {"roberta_model", "pad_token_id", "29", "leaves no position"},
        {"albert_groups", "num_hidden_groups", "4", "above the 3 layers"},
        {"albert_groups", "num_hidden_groups", "0", "num_hidden_groups"},
        {"albert_groups", "inner_group_num", "100000", "are above 100000"},
    };

    for (size_t i = 0; i < ATN_LEN(cases); i++)
        refuses(cx, cases[i].base, cases[i].key, cases[i].json, cases[i].part);
}

/* 7 layers in 3 groups: layer l is of group floor(3 l / 7); each has 2 layers
 * within. */
static void shared_layers(atn_ctx *cx)
{
    static const atn_idx groups[] = {0, 0, 0, 1, 1, 2, 2};
    const atn_config shared = {.layers = 14, .groups = 3, .inner = 2},
                     plain = {.layers = 14};

    (void)cx;
    for (atn_idx l = 0; l < 14; l++) {
        atn_idx group, inner;

        CHECK_EQ(atn_config_block(&shared, l, &group, &inner),
                 2 * groups[l / 2] + l % 2);
        CHECK_EQ(group, groups[l / 2]);
        CHECK_EQ(inner, l % 2);
        CHECK_EQ(atn_config_block(&plain, l, &group, &inner), l);
        CHECK_EQ(group, l);
    }
}

/* Phi-3 keeps the positions before scaling outside the dictionary, 4096 where they
 * are not: what stands inside counts for nothing. Other families read both. */
static void original_positions(atn_ctx *cx)
{
    static const char rope[] =
        "{\"rope_type\": \"longrope\", \"short_factor\": [1,1,1,1], "
        "\"long_factor\": [2,2,2,2], \"original_max_position_embeddings\": 11}";
    const char *dir = copy_model("config-original", "phi3");
    atn_config c;

    cx->log_level = ATN_LOG_ERROR;
    set_config(cx, dir, "rope_parameters", rope);
    set_config(cx, dir, "original_max_position_embeddings", NULL);
    set_config(cx, dir, "max_position_embeddings", "8192");
    CHECK_OK(atn_config_load(cx, dir, &c));
    CHECK_NEAR(c.rope.original, 4096, 0);
    CHECK_NEAR(c.rope.factor, 2, 0);
    CHECK_NEAR(c.rope.attention_factor, sqrt(1 + log(2) / log(4096)), 1e-12);
    atn_config_release(cx, &c);
    set_config(cx, dir, "original_max_position_embeddings", "22");
    CHECK_OK(atn_config_load(cx, dir, &c));
    CHECK_NEAR(c.rope.original, 22, 0);
    atn_config_release(cx, &c);
}

/* Angles from the published formulas (Hugging Face modeling_rope_utils.py), computed
 * apart from this program to nine digits. */
static void llama3_angles(atn_ctx *cx)
{
    const atn_rope r = {.kind = ATN_ROPE_LLAMA3,
                        .dim = 64,
                        .theta = 5e5,
                        .factor = 32,
                        .low = 1,
                        .high = 4,
                        .original = 8192};
    static const struct {
        int i;
        double f;
    } golden[] = {{0, 1},
                  {8, .0376060309},
                  {14, .00321144599},
                  {15, .00129054793},
                  {16, 4.29556797e-4},
                  {17, 9.7082878e-5},
                  {31, 9.41830673e-8}};
    double f[32];

    (void)cx;
    atn_rope_frequencies(&r, 131072, 100, f);
    for (size_t k = 0; k < sizeof golden / sizeof *golden; k++)
        CHECK_NEAR(f[golden[k].i] / golden[k].f, 1, 1e-8);
}

static void yarn_angles(atn_ctx *cx)
{
    const char *dir = copy_model("config-yarn", "llama_mha");
    static const struct {
        int i;
        double f;
    } golden[] = {{23, .00697830585},
                  {24, .00537532149},
                  {40, 4.44569853e-5},
                  {63, 3.1023444e-7}};
    double f[64];
    atn_config c;

    set_config(cx, dir, "head_dim", "128");
    set_config(cx, dir, "max_position_embeddings", "131072");
    set_config(cx, dir, "rope_parameters",
               "{\"rope_type\": \"yarn\", \"rope_theta\": 1e6, \"factor\": 4, "
               "\"original_max_position_embeddings\": 32768}");
    CHECK_OK(atn_config_load(cx, dir, &c));
    CHECK_NEAR(c.rope.attention_factor, 1.138629436, 1e-9);
    atn_rope_frequencies(&c.rope, 131072, 100, f);
    for (size_t k = 0; k < sizeof golden / sizeof *golden; k++)
        CHECK_NEAR(f[golden[k].i] / golden[k].f, 1, 1e-8);
    atn_config_release(cx, &c);
}

/* Bounds left at fractions: the ramp runs from 23.596 to 39.651 instead of 23 to 40,
 * which moves f_24 from .00537532149. mscale 2 over mscale_all_dim 1 at factor 4:
 * (1 + .2 ln 4) / (1 + .1 ln 4). */
static void yarn_switches(atn_ctx *cx)
{
    const atn_rope r = {.kind = ATN_ROPE_YARN,
                        .dim = 128,
                        .theta = 1e6,
                        .factor = 4,
                        .original = 32768,
                        .beta_fast = 32,
                        .beta_slow = 1};
    const char *dir = copy_model("config-yarn-switches", "llama_mha");
    double f[64];
    atn_config c;

    atn_rope_frequencies(&r, 131072, 100, f);
    CHECK_NEAR(f[24] / .00551727048, 1, 1e-8);
    CHECK_NEAR(f[30] / .00107923774, 1, 1e-8);
    set_config(cx, dir, "rope_parameters",
               "{\"rope_type\": \"yarn\", \"factor\": 4, \"mscale\": 2, "
               "\"mscale_all_dim\": 1, \"truncate\": false}");
    CHECK_OK(atn_config_load(cx, dir, &c));
    CHECK(!c.rope.truncate);
    CHECK_NEAR(c.rope.attention_factor, 1.121751144, 1e-9);
    atn_config_release(cx, &c);
}

/* 4096 -> 131072 positions: attention factor sqrt(1 + ln 32 / ln 4096) = 1.19023807;
 * the list in force changes behind position 4096. */
static void longrope(atn_ctx *cx)
{
    const char *dir = copy_model("config-longrope", "llama_mha");
    double f[4];
    atn_config c;

    set_config(cx, dir, "max_position_embeddings", "131072");
    set_config(cx, dir, "rope_scaling",
               "{\"type\": \"su\", \"short_factor\": [1, 2, 4, 8], "
               "\"long_factor\": [10, 20, 40, 80], "
               "\"original_max_position_embeddings\": 99}");
    set_config(cx, dir, "original_max_position_embeddings", "4096"); /* wins */
    CHECK_OK(atn_config_load(cx, dir, &c));
    CHECK_NEAR(c.rope.attention_factor, 1.19023807, 1e-8);
    atn_rope_frequencies(&c.rope, 131072, 4096, f);
    CHECK_NEAR(f[1], 0.1 / 2, 1e-15); /* theta 1e4, dim 8: f_1 = 1e-1 */
    atn_rope_frequencies(&c.rope, 131072, 4097, f);
    CHECK_NEAR(f[1], 0.1 / 20, 1e-15);
    CHECK_NEAR(f[3], 1e-3 / 80, 1e-15);
    atn_config_release(cx, &c);
}

/* dynamic: plain up to M; beyond it theta' = theta (s n / M - (s - 1))^(dim / (dim -
 * 2)), here s = 2, n = 3 M: theta' = 1e4 * 5^(8/6), f_3 = theta'^(-3/4) = 1e-3 / 5. */
static void dynamic_angles(atn_ctx *cx)
{
    const atn_rope r = {
        .kind = ATN_ROPE_DYNAMIC, .dim = 8, .theta = 1e4, .factor = 2, .original = 64};
    const atn_rope linear = {
        .kind = ATN_ROPE_LINEAR, .dim = 8, .theta = 1e4, .factor = 4};
    double f[4];

    (void)cx;
    atn_rope_frequencies(&r, 64, 64, f);
    CHECK_NEAR(f[3], 1e-3, 1e-15);
    atn_rope_frequencies(&r, 64, 40, f);
    CHECK_NEAR(f[3], 1e-3, 1e-15);
    atn_rope_frequencies(&r, 64, 192, f);
    CHECK_NEAR(f[3], 1e-3 / 5, 1e-15);
    atn_rope_frequencies(&linear, 64, 192, f);
    CHECK_NEAR(f[3], 1e-3 / 4, 1e-15);
}

/* What transformers makes of both dictionaries: rope_scaling, unless empty, replaces
 * rope_parameters whole; a theta outside fills a gap; partial_rotary_factor without a
 * scaling changes nothing. */
static void two_dictionaries(atn_ctx *cx)
{
#define PARAMETERS "{\"rope_type\": \"linear\", \"factor\": 3, \"rope_theta\": 500}"
    static const struct {
        const char *scaling, *parameters, *partial;
        atn_rope_kind kind;
        double theta, factor;
    } cases[] = {
        {"null", "{\"rope_type\": \"linear\", \"factor\": 3}", "1", ATN_ROPE_LINEAR,
         300, 3},
        {"null", PARAMETERS, "1", ATN_ROPE_LINEAR, 500, 3},
        {"{}", PARAMETERS, "1", ATN_ROPE_LINEAR, 500, 3},
        {"{\"type\": \"dynamic\", \"factor\": 5}", PARAMETERS, "1", ATN_ROPE_DYNAMIC,
         300, 5},
        {"{\"type\": \"linear\", \"factor\": 5, \"rope_theta\": 700}", PARAMETERS, "1",
         ATN_ROPE_LINEAR, 700, 5},
        {"null", "{\"rope_theta\": 500, \"partial_rotary_factor\": 0.25}", "0.5",
         ATN_ROPE_DEFAULT, 500, 1},
    };
    const char *dir = copy_model("config-two", "llama_mha");

    set_config(cx, dir, "rope_theta", "300");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        atn_config c;

        print_message("%s over %s\n", cases[i].scaling, cases[i].parameters);
        set_config(cx, dir, "rope_scaling", cases[i].scaling);
        set_config(cx, dir, "rope_parameters", cases[i].parameters);
        set_config(cx, dir, "partial_rotary_factor", cases[i].partial);
        CHECK_OK(atn_config_load(cx, dir, &c));
        CHECK_EQ(c.rope.kind, cases[i].kind);
        CHECK_NEAR(c.rope.theta, cases[i].theta, 0);
        CHECK_NEAR(c.rope.factor, cases[i].factor, 0);
        CHECK_EQ(c.rope.dim, c.head_dim);
        atn_config_release(cx, &c);
    }
#undef PARAMETERS
}

static const char SIZES[] =
    "\"hidden_size\": 64, \"num_hidden_layers\": 7, \"num_attention_heads\": 8, "
    "\"intermediate_size\": 96, \"vocab_size\": 50, \"num_local_experts\": 6";

static void load_text(atn_ctx *cx, const char *type, const char *more, atn_config *c)
{
    const char *dir = check_scratch("config-text");
    char text[1200];

    snprintf(text, sizeof text, "{\"model_type\": \"%s\", %s%s}", type, SIZES, more);
    print_message("%s%s\n", type, more);
    write_text(dir, "config.json", text);
    CHECK_OK(atn_config_load(cx, dir, c));
}

/* Scale query_pre_attn_scalar^-1/2 (256 where the key is absent: 1/16), soft-caps that
 * null switches off, layers with a window in turns of 2 and 6. */
static void scores_and_patterns(atn_ctx *cx)
{
    static const struct {
        const char *type, *more;
        double scale, attn_cap, head_cap;
        atn_idx window[7];
    } cases[] = {
        {"gemma2", "", 1. / 16, 50, 30, {4096, 0, 4096, 0, 4096, 0, 4096}},
        {"gemma2",
         ", \"attn_logit_softcapping\": null, \"final_logit_softcapping\": 7.5, "
         "\"query_pre_attn_scalar\": 144, \"sliding_window\": 5",
         1. / 12,
         0,
         7.5,
         {5, 0, 5, 0, 5, 0, 5}},
        {"gemma2",
         ", \"sliding_window_pattern\": 3, \"final_logit_softcapping\": null",
         1. / 16,
         50,
         0,
         {4096, 0, 4096, 0, 4096, 0, 4096}},
        {"gemma3_text", "", 1. / 16, 0, 0, {4096, 4096, 4096, 4096, 4096, 0, 4096}},
        {"gemma3_text",
         ", \"sliding_window_pattern\": 3, \"sliding_window\": 9, "
         "\"attn_logit_softcapping\": 20",
         1. / 16,
         20,
         0,
         {9, 9, 0, 9, 9, 0, 9}},
        {"gemma3_text",
         ", \"sliding_window_pattern\": 3, \"layer_types\": [\"full_attention\", "
         "\"sliding_attention\", \"full_attention\", \"full_attention\", "
         "\"full_attention\", \"full_attention\", \"full_attention\"]",
         1. / 16,
         0,
         0,
         {0, 4096, 0, 0, 0, 0, 0}},
        {"gpt_oss", "", 1. / 8, 0, 0, {128, 0, 128, 0, 128, 0, 128}},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        atn_config c;

        load_text(cx, cases[i].type, cases[i].more, &c);
        CHECK_NEAR(c.scale, cases[i].scale, 1e-15);
        CHECK_NEAR(c.attn_softcap, cases[i].attn_cap, 0);
        CHECK_NEAR(c.head_softcap, cases[i].head_cap, 0);
        for (int l = 0; l < 7; l++) CHECK_EQ(c.window[l], cases[i].window[l]);
        atn_config_release(cx, &c);
    }
}

/* Two tables: keys of old and new files, and which of them hold for which layers. The
 * second column is that of the layers with a window, which no rope_scaling reaches. */
static void tables_by_layer_type(atn_ctx *cx)
{
    static const struct {
        const char *more;
        atn_rope_kind kind[2];
        double theta[2], factor[2];
    } cases[] = {
        {"", {ATN_ROPE_DEFAULT, ATN_ROPE_DEFAULT}, {1e6, 1e4}, {1, 1}},
        {", \"rope_theta\": 300, \"rope_local_base_freq\": 70, \"rope_scaling\": "
         "{\"type\": \"linear\", \"factor\": 8}",
         {ATN_ROPE_LINEAR, ATN_ROPE_DEFAULT},
         {300, 70},
         {8, 1}},
        {", \"rope_theta\": 300, \"rope_parameters\": {\"full_attention\": "
         "{\"rope_type\": \"linear\", \"factor\": 3, \"rope_theta\": 500}, "
         "\"sliding_attention\": {\"rope_type\": \"dynamic\", \"factor\": 2}}",
         {ATN_ROPE_LINEAR, ATN_ROPE_DYNAMIC},
         {500, 1e4},
         {3, 2}},
        /* merged into the full layers' entry, which keeps what it says beside */
        {", \"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 6}, "
         "\"rope_parameters\": {\"full_attention\": {\"rope_type\": \"default\", "
         "\"rope_theta\": 500}, \"sliding_attention\": null}",
         {ATN_ROPE_LINEAR, ATN_ROPE_DEFAULT},
         {500, 1e4},
         {6, 1}},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        atn_config c;

        load_text(cx, "gemma3_text", cases[i].more, &c);
        CHECK(c.two_ropes);
        CHECK(atn_config_rope(&c, 5) == &c.rope && atn_config_rope(&c, 0) != &c.rope);
        for (int t = 0; t < 2; t++) {
            const atn_rope *r = atn_config_rope(&c, t ? 0 : 5);

            CHECK_EQ(r->kind, cases[i].kind[t]);
            CHECK_NEAR(r->theta, cases[i].theta[t], 0);
            CHECK_NEAR(r->factor, cases[i].factor[t], 0);
        }
        atn_config_release(cx, &c);
    }
}

/* The default dictionary, which any of one's own replaces. f_9 of the default: theta
 * 150000, dim 64, ramp from 8.0928 to 17.3980 (no floor, no ceiling): 150000^(-9/32) =
 * .0350126, ramp .0974956, f_9 = .0350126 (1 - .0974956 (1 - 1/32)) = .0317057; factor
 * .1 ln 32 + 1. */
static void gpt_oss_defaults(atn_ctx *cx)
{
    double f[32];
    atn_config c;

    load_text(cx, "gpt_oss", "", &c);
    CHECK_EQ(c.kv_heads, 8);
    CHECK_EQ(c.head_dim, 64);
    CHECK(c.bias_qkv && c.bias_o && !c.tied && !c.two_ropes);
    CHECK_EQ(c.experts, 6);
    CHECK_EQ(c.experts_per_token, 4);
    CHECK_NEAR(c.expert_limit, 7, 0);
    CHECK_NEAR(c.expert_gain, 1.702, 0);
    CHECK_EQ(c.rope.kind, ATN_ROPE_YARN);
    CHECK(!c.rope.truncate);
    CHECK_NEAR(c.rope.original, 4096, 0);
    CHECK_NEAR(c.rope.attention_factor, 1.346573590, 1e-9);
    atn_rope_frequencies(&c.rope, 131072, 100, f);
    CHECK_NEAR(f[9], .03170569618, 1e-9);
    CHECK_NEAR(f[20] * 32, pow(150000, -20. / 32), 1e-12);
    atn_config_release(cx, &c);
    load_text(cx, "gpt_oss", ", \"rope_parameters\": {}, \"attention_bias\": false",
              &c);
    CHECK_EQ(c.rope.kind, ATN_ROPE_DEFAULT);
    CHECK_NEAR(c.rope.theta, 150000, 0);
    CHECK(!c.bias_qkv && !c.bias_o);
    atn_config_release(cx, &c);
    load_text(cx, "gpt_oss",
              ", \"rope_theta\": 99, \"rope_scaling\": {\"rope_type\": \"linear\", "
              "\"factor\": 2}",
              &c);
    CHECK_EQ(c.rope.kind, ATN_ROPE_LINEAR);
    CHECK_NEAR(c.rope.theta, 99, 0);
    atn_config_release(cx, &c);
}

/* .4 of the 8 dimensions of a head: int(.4 * 8 / 2) = 1 pair turns, at theta^0 / 2; the
 * others stand still. 1 of them: all 4, f_i = 10^-i / 2. */
static void proportional(atn_ctx *cx)
{
    static const double some[] = {.5, 0, 0, 0}, all[] = {.5, .05, .005, .0005};
    double f[4];
    atn_config c;

    for (int whole = 0; whole < 2; whole++) {
        load_text(cx, "llama",
                  whole ? ", \"rope_parameters\": {\"rope_type\": \"proportional\", "
                          "\"factor\": 2}"
                        : ", \"rope_parameters\": {\"rope_type\": \"proportional\", "
                          "\"factor\": 2, \"partial_rotary_factor\": 0.4}",
                  &c);
        CHECK_EQ(c.rope.dim, 8);
        CHECK_NEAR(c.rope.attention_factor, 1, 0);
        atn_rope_frequencies(&c.rope, 2048, 100, f);
        for (int i = 0; i < 4; i++) CHECK_NEAR(f[i], whole ? all[i] : some[i], 1e-15);
        atn_config_release(cx, &c);
    }
}

static void hostile_families(atn_ctx *cx)
{
    static const struct {
        const char *base, *key, *json, *part;
    } cases[] = {
        {"gemma2", "query_pre_attn_scalar", "0", "query_pre_attn_scalar"},
        {"gemma2", "attn_logit_softcapping", "-1", "attn_logit_softcapping"},
        {"gemma2", "final_logit_softcapping", "\"30\"", "final_logit_softcapping"},
        {"gemma2", "use_bidirectional_attention", "true", "run as a decoder only"},
        {"gemma2", "sliding_window", "null", "sliding_window is null"},
        {"gemma2", "rope_parameters", "{\"full_attention\": {\"rope_theta\": 5}}",
         "share one table"},
        {"gemma3_text", "use_bidirectional_attention", "true", "run as a decoder only"},
        {"gemma3_text", "layer_types", "[\"full_attention\"]", "3 entries"},
        {"gemma3_text", "rope_parameters", "{\"rope_type\": \"linear\"}",
         "neither a full_attention nor"},
        {"gemma3_nested", "text_config", "[]", "\"text_config\" is missing"},
        {"gemma3_nested", "text_config", NULL, "\"text_config\" is missing"},
        {"gemma3_nested", "text_config", "{}", "hidden_size"},
        {"gpt_oss", "num_local_experts", NULL, "num_local_experts"},
        {"gpt_oss", "num_local_experts", "0", "num_local_experts"},
        {"gpt_oss", "num_experts_per_tok", "5", "num_experts_per_tok"},
        {"gpt_oss", "num_experts_per_tok", "0", "num_experts_per_tok"},
        {"gpt_oss", "swiglu_limit", "-7", "swiglu_limit"},
        {"llama_mha", "rope_parameters",
         "{\"rope_type\": \"proportional\", \"partial_rotary_factor\": 2}",
         "outside 0 <"},
        {"llama_mha", "rope_scaling", "{\"sliding_attention\": {\"rope_theta\": 5}}",
         "share one table"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        print_message("%s: %s = %s\n", cases[i].base, cases[i].key,
                      cases[i].json ? cases[i].json : "absent");
        refuses(cx, cases[i].base, cases[i].key, cases[i].json, cases[i].part);
    }
}

CHECK_MAIN({"hostile values", hostile_values}, {"broken files", broken_files},
           {"defaults", defaults}, {"family defaults", family_defaults},
           {"family refusals", family_refusals}, {"shared layers", shared_layers},
           {"original positions", original_positions}, {"llama3 angles", llama3_angles},
           {"yarn angles", yarn_angles}, {"yarn switches", yarn_switches},
           {"longrope", longrope}, {"dynamic and linear angles", dynamic_angles},
           {"two dictionaries", two_dictionaries},
           {"scores and patterns", scores_and_patterns},
           {"tables by layer type", tables_by_layer_type},
           {"gpt_oss defaults", gpt_oss_defaults}, {"proportional", proportional},
           {"hostile families", hostile_families})
