/* tests/capture/test_stacks.c -- models of an encoder and a decoder: what a capture of
 * them holds, their attention again from it, and refusals. Their numbers are in
 * test_parity.c. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "make_model.h"
#include "model_checks.h"

#include "capture/forward.h"
#include "capture/record.h"
#include "core/io/capture.h"
#include "core/io/file.h"

/* 2 and 3 layers, 4 heads of 12, width 32, MLP 48 gated, 8 buckets to 12, start 2 */
static const char GATED[] = ATN_TEST_FIXTURES "/parity/t5_gated_untied";
/* 2 and 2 layers, 4 heads of 8, width 32, MLP 48, vocabulary 72, 32 buckets to 128,
 * start 0 */
static const char RELU[] = ATN_TEST_FIXTURES "/parity/t5_relu";
static const char ALONE[] = ATN_TEST_FIXTURES "/parity/t5_encoder";
static const int32_t SOURCE[] = {3, 9, 27, 11, 33, 27, 1}, TARGET[] = {7, 30, 8, 60, 1};
enum { N = 7, T = 5 };

static const char *out_dir(const char *name)
{
    static char path[700];

    snprintf(path, sizeof path, "%s/run", check_scratch(name));
    return path;
}

static atn_record_args args_for(const char *model, const char *out)
{
    return (atn_record_args){.model_dir = model,
                             .ids = SOURCE,
                             .n_ids = N,
                             .target_ids = TARGET,
                             .n_target_ids = T,
                             .out_dir = out};
}

static int find_layer(const atn_capture *c, const char *stack, int layer)
{
    for (int i = 0; i < atn_capture_layers(c); i++) {
        const atn_layer_info *l = atn_capture_layer(c, i);

        if (l->layer == layer && strcmp(l->stack, stack) == 0) return i;
    }
    fail_msg("no layer %d of stack %s", layer, stack);
    return -1;
}

static void three_stacks(atn_ctx *cx)
{
    static const int32_t read[T] = {2, 7, 30, 8, 60}; /* start, target but its last */
    const char *run = out_dir("stacks-three");
    atn_record_args a = args_for(GATED, run);
    atn_capture *c = NULL;
    atn_tokens queries, keys;
    atn_record_result r;
    int at;

    CHECK_OK(atn_record(cx, &a, NULL, &r));
    CHECK_EQ(r.tokens, N);
    CHECK_EQ(r.target_tokens, T);
    CHECK_EQ(r.layers, 8);
    CHECK_STR(r.stacks, "2 encoder, 3 decoder, 3 cross");
    CHECK(r.has_loss && !r.note && !r.no_loss);
    /* q, k, v of 48 numbers a token, w_o [48, 32], 8 x 4 biases in five of the
     * layers */
    CHECK_NEAR(
        r.capture_bytes,
        4.0 * (48 * (2 * 3 * N + 3 * 3 * T + 3 * (T + 2 * N)) + 8 * 48 * 32 + 5 * 32),
        0);
    CHECK_OK(atn_capture_open(cx, run, &c));
    CHECK_EQ(atn_capture_layers(c), 8);
    CHECK_EQ(atn_capture_model(c)->layers, 3);
    CHECK_EQ(atn_capture_tokens(c, NULL, NULL), 0);
    CHECK_EQ(json_integer_value(json_object_get(
                 json_object_get(atn_capture_manifest(c), "loss"), "tokens")),
             T);
    at = find_layer(c, "cross", 2);
    CHECK_EQ(atn_capture_layer(c, at)->nq, T);
    CHECK_EQ(atn_capture_layer(c, at)->nk, N);
    CHECK_NEAR(atn_capture_layer(c, at)->scale, 1, 0);
    CHECK(!atn_capture_layer(c, at)->sight.causal);
    CHECK_EQ(atn_capture_layer(c, at)->rel.buckets, 0);
    atn_capture_layer_tokens(c, at, &queries, &keys);
    CHECK(queries.n == T && memcmp(queries.ids, read, sizeof read) == 0);
    CHECK(keys.n == N && memcmp(keys.ids, SOURCE, sizeof SOURCE) == 0);
    at = find_layer(c, "decoder", 1);
    CHECK(atn_capture_layer(c, at)->sight.causal);
    CHECK_EQ(atn_capture_layer(c, at)->rel.buckets, 8);
    CHECK(!atn_capture_layer(c, at)->rel.bidirectional);
    CHECK(atn_capture_layer(c, find_layer(c, "encoder", 1))->rel.bidirectional);
    atn_capture_close(cx, c);
}

/* The smallest distances of the logarithmic buckets, 32 to 128, computed from the
 * formula in exact arithmetic: both ways 8 and more, backwards 16 and more. */
static int bucket(bool both, int x)
{
    static const int far[] = {8, 12, 16, 23, 32, 46, 64, 91},
                     back[] = {16, 19, 21, 24, 27, 31, 35, 40,
                               46, 52, 59, 67, 77, 87, 99, 113};
    const int d = both ? abs(x) : x < 0 ? -x : 0, small = both ? 8 : 16;
    const int *steps = both ? far : back;
    int b = d;

    if (d >= small)
        for (b = small - 1; b + 1 < 2 * small && d >= steps[b + 1 - small];) b++;
    return b + (both && x > 0 ? 16 : 0);
}

/* P again in double from q, k and the table of biases of the capture. */
static void twin_of(atn_ctx *cx, const atn_capture *c, int at, int heads)
{
    const atn_layer_info *l = atn_capture_layer(c, at);
    const bool self = strcmp(l->stack, "cross") != 0, both = !l->sight.causal;
    const int nq = (int)l->nq, nk = (int)l->nk, d = (int)l->d;
    float *q = captured_tensor(cx, c, at, "q", heads * nq * d),
          *k = captured_tensor(cx, c, at, "k", heads * nk * d),
          *p = captured_tensor(cx, c, at, "p", (atn_idx)heads * nq * nk),
          *table = self ? captured_tensor(cx, c, at, "rel_bias", 32 * heads) : NULL;
    double *row = calloc((size_t)nk, sizeof *row);

    for (int h = 0; h < heads; h++)
        for (int i = 0; i < nq; i++) {
            double sum = 0;

            for (int j = 0; j < nk; j++) {
                double s = self ? (double)table[bucket(both, j - i) * heads + h] : 0;
                for (int e = 0; e < d; e++)
                    s += (double)q[(h * nq + i) * d + e] * k[(h * nk + j) * d + e];
                row[j] = self && !both && j > i ? 0 : exp(s);
                sum += row[j];
            }
            for (int j = 0; j < nk; j++)
                CHECK_NEAR(p[(h * nq + i) * nk + j], row[j] / sum, 2e-5);
        }
    free(row);
    atn_free(cx, table);
    atn_free(cx, p);
    atn_free(cx, k);
    atn_free(cx, q);
}

static void attention_again(atn_ctx *cx)
{
    const char *run = out_dir("stacks-twin");
    atn_record_args a = args_for(ATN_TEST_FIXTURES "/parity/t5_long", run);
    int32_t source[200], target[150];
    atn_capture *c = NULL;
    atn_record_result r;

    for (int i = 0; i < 200; i++) source[i] = 3 + (i * i + 5 * i) % 69;
    for (int i = 0; i < 150; i++) target[i] = 3 + (7 * i * i + i) % 69;
    a.ids = source;
    a.n_ids = 200;
    a.target_ids = target;
    a.n_target_ids = 150;
    a.save_p = true;
    CHECK_OK(atn_record(cx, &a, NULL, &r));
    CHECK_OK(atn_capture_open(cx, run, &c));
    for (int i = 0; i < atn_capture_layers(c); i++) twin_of(cx, c, i, 2);
    atn_capture_close(cx, c);
}

/* q = W_q norm(h): h of a place is what enters its own norm, and w_q its own weight. */
static void weights_of_a_place(atn_ctx *cx)
{
    static const char *const stacks[] = {"encoder", "decoder", "cross"};
    const char *run = out_dir("stacks-weights");
    atn_record_args a = args_for(RELU, run);
    atn_capture *c = NULL;
    atn_record_result r;
    atn_model m;

    a.save_h = true;
    CHECK_OK(atn_record(cx, &a, NULL, &r));
    CHECK_OK(atn_model_open(cx, RELU, &m));
    CHECK_OK(atn_capture_open(cx, run, &c));
    for (int s = 0; s < 3; s++) {
        const int at = find_layer(c, stacks[s], 1), n = s == 0 ? N : T;
        const atn_arch_names names = atn_stack_names(&m.config.stacks[s > 0], s == 2);
        const atn_st_tensor *norm = atn_model_tensor(&m, names.attn_norm, 1, false);
        float *h = captured_tensor(cx, c, at, "h", n * 32),
              *q = captured_tensor(cx, c, at, "q", n * 32), *w = NULL, g[32];
        atn_idx shape[3];

        atn_widen(norm->data, norm->type, 32, g);
        CHECK_OK(atn_capture_weight(cx, c, at, "w_q", &w, shape));
        CHECK(shape[0] == 4 && shape[1] == 8 && shape[2] == 32);
        for (int i = 0; i < n; i++) {
            double square = 0;
            for (int e = 0; e < 32; e++)
                square += (double)h[i * 32 + e] * h[i * 32 + e];
            for (int o = 0; o < 32; o++) {
                double y = 0;
                for (int e = 0; e < 32; e++)
                    y += (double)w[o * 32 + e] * g[e] * h[i * 32 + e];
                y /= sqrt(square / 32 + 1e-6);
                CHECK_NEAR(q[((o / 8) * n + i) * 8 + o % 8], y, 1e-4);
            }
        }
        atn_free(cx, w);
        atn_free(cx, q);
        atn_free(cx, h);
    }
    atn_capture_close(cx, c);
    atn_model_close(cx, &m);
}

static void encoder_alone(atn_ctx *cx)
{
    char with[700];
    const char *run;
    atn_record_args a = args_for(RELU, NULL);
    atn_capture *both = NULL, *one = NULL;
    atn_record_result r;

    snprintf(with, sizeof with, "%s", out_dir("stacks-with"));
    a.out_dir = with;
    CHECK_OK(atn_record(cx, &a, NULL, &r));
    a.out_dir = run = out_dir("stacks-without");
    a.target_ids = NULL;
    CHECK_OK(atn_record(cx, &a, NULL, &r));
    CHECK(r.note && strstr(r.note, "--target-text"));
    CHECK(!r.has_loss && strstr(r.no_loss, "no target"));
    CHECK_STR(r.stacks, "");
    CHECK_OK(atn_capture_open(cx, with, &both));
    CHECK_OK(atn_capture_open(cx, run, &one));
    CHECK_EQ(atn_capture_layers(one), 2);
    CHECK_EQ(atn_capture_tokens(one, NULL, NULL), N);
    for (int l = 0; l < 2; l++) {
        float *x = captured_tensor(cx, both, find_layer(both, "encoder", l), "q",
                                   N * 32),
              *y = captured_tensor(cx, one, find_layer(one, "", l), "q", N * 32);

        CHECK(memcmp(x, y, N * 32 * sizeof *x) == 0);
        atn_free(cx, x);
        atn_free(cx, y);
    }
    atn_capture_close(cx, both);
    atn_capture_close(cx, one);
    a.model_dir = ALONE;
    a.out_dir = out_dir("stacks-alone");
    CHECK_OK(atn_record(cx, &a, NULL, &r));
    CHECK(!r.note && !r.no_loss && !r.has_loss);
}

static void refusals(atn_ctx *cx)
{
    static const int32_t outside[] = {7, 72};
    atn_record_args a = args_for(ALONE, out_dir("stacks-refused"));
    atn_record_result r;

    CHECK_FAILS(atn_record(cx, &a, NULL, &r), ATN_USAGE, "without its decoder");
    a.model_dir = ATN_TEST_FIXTURES "/parity/llama_mha";
    CHECK_FAILS(atn_record(cx, &a, NULL, &r), ATN_USAGE, "one stack");
    a.model_dir = RELU;
    a.prompt = 3;
    CHECK_FAILS(atn_record(cx, &a, NULL, &r), ATN_USAGE, "--prompt");
    a.prompt = 0;
    a.target_ids = outside;
    a.n_target_ids = 2;
    a.target_source = "t.txt";
    CHECK_FAILS(atn_record(cx, &a, NULL, &r), ATN_DATA,
                "t.txt: token id 72 at position 1");
    a.target_ids = NULL;
    a.target_text = "";
    CHECK_FAILS(atn_record(cx, &a, NULL, &r), ATN_DATA, "give --target-text FILE");
    CHECK(!atn_dir_exists(a.out_dir));
}

/* The target is part of what a capture is of; --layers counts in every stack. */
static void some_layers(atn_ctx *cx)
{
    const char *run = out_dir("stacks-some");
    atn_record_args a = args_for(GATED, run);
    atn_capture *c = NULL;
    atn_record_result r;

    a.layers = "2";
    CHECK_OK(atn_record(cx, &a, NULL, &r));
    CHECK_STR(r.stacks, "1 decoder, 1 cross");
    CHECK_OK(atn_capture_open(cx, run, &c));
    CHECK_EQ(atn_capture_layers(c), 2);
    atn_capture_close(cx, c);
    a.n_target_ids = T - 1;
    CHECK_FAILS(atn_record(cx, &a, NULL, &r), ATN_CANTCREATE, "");
    a.layers = "3";
    a.out_dir = out_dir("stacks-none");
    CHECK_FAILS(atn_record(cx, &a, NULL, &r), ATN_USAGE, "--layers");
}

/* Of t5_relu by hand, 7 tokens of source, 5 of target. */
static void counts(atn_ctx *cx)
{
    const double proj = 32 * 32, mlp = 2 * 32 * 48;
    const double encoder = 7 * (4 * proj + mlp) + 2 * 32 * 49,
                 decoder = 5 * (4 * proj) + 2 * 32 * 15,
                 cross = 5 * (2 * proj + mlp) + 7 * 2 * proj + 2 * 32 * 35;
    /* as in test_model.c, of the longer stack */
    const double rows = 2 * 64 * (4 * 16 + 48);
    atn_forward_args a = {.input = {.n = N}};
    atn_model m;
    double alone;

    CHECK_OK(atn_model_open(cx, RELU, &m));
    CHECK_NEAR(atn_model_flops(&m, &a.input), 2 * 2 * encoder, 0);
    alone = atn_forward_memory(cx, &m, &a);
    /* 2 tables of 32 x 4 biases and 13 distances of 4 heads */
    CHECK_NEAR(alone,
               rows + 4 * (4 * proj + mlp + 7 * (6 * 32 + 48 + 2) + 2 * 128 + 4 * 13),
               0);
    a.input.n_target = T;
    CHECK_NEAR(atn_model_flops(&m, &a.input), 2 * 2 * (encoder + decoder + cross), 0);
    CHECK_NEAR(atn_forward_memory(cx, &m, &a), alone + 4 * (7 * 32 + 5), 0);
    atn_model_close(cx, &m);
}

static void threads_agree(atn_ctx *cx)
{
    float *logits[2];
    atn_model m;

    CHECK_OK(atn_model_open(cx, GATED, &m));
    for (int i = 0; i < 2; i++) {
        atn_forward_args args = {
            .input = {.ids = SOURCE, .n = N, .target = TARGET, .n_target = T},
            .last_place = 99};
        atn_forward_result result;

        cx->threads = 1 + 3 * i;
        args.logits = logits[i] = calloc(T * 72, sizeof(float));
        CHECK_OK(atn_forward(cx, &m, &args, &result));
    }
    CHECK(memcmp(logits[0], logits[1], T * 72 * sizeof(float)) == 0);
    free(logits[0]);
    free(logits[1]);
    atn_model_close(cx, &m);
}

/* ---- damaged models ---- */

enum { DROP, RESHAPE, SPOIL };
static const char *edited; /* the tensor that `edit` is about */
static int how;

static bool edit(atn_st_out *t, char *data, char name[256])
{
    if (strcmp(name, edited) != 0) return true;
    if (how == DROP) return false;
    if (how == RESHAPE) {
        t->shape[0] /= 2;
        t->shape[1] *= 2;
    }
    if (how == SPOIL) memset(data + 2 * (9 * t->shape[1] + 3), 0xff, 2); /* row 9 */
    return true;
}

static void damaged(atn_ctx *cx)
{
    static const struct {
        const char *tensor, *message;
        int how;
    } cases[] = {
        {"decoder.block.1.layer.1.EncDecAttention.o.weight", "is missing", DROP},
        {"encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
         "has shape 16x8, the configuration implies 32x4", RESHAPE},
        {"decoder.final_layer_norm.weight", "is missing", DROP},
        {"decoder.block.0.layer.1.EncDecAttention.k.weight",
         "holds NaN or infinity in head 1, row 1", SPOIL},
        {"decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
         "holds NaN or infinity", SPOIL},
    };

    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        char dir[700];
        atn_record_args a = args_for(dir, NULL);
        atn_record_result r;

        snprintf(dir, sizeof dir, "%s", copy_model("stacks-damaged", "t5_relu"));
        a.out_dir = out_dir("stacks-damaged-run");
        edited = cases[i].tensor;
        how = cases[i].how;
        edit_weights(cx, dir, edit);
        CHECK_FAILS(atn_record(cx, &a, NULL, &r), ATN_DATA, cases[i].message);
    }
}

/* Keys of config.json: what is refused, and what they mean. */
static void keys(atn_ctx *cx)
{
    static const struct {
        const char *key, *json, *message;
    } bad[] = {
        {"feed_forward_proj", "\"gated-tanh\"", "feed_forward_proj"},
        {"feed_forward_proj", "\"gated\"", "feed_forward_proj"},
        {"num_decoder_layers", "0", "num_decoder_layers"},
        {"relative_attention_num_buckets", "3", "relative_attention_num_buckets 3"},
        {"relative_attention_num_buckets", "2", "fewer than two"},
        {"relative_attention_max_distance", "8", "relative_attention_max_distance 8"},
        {"decoder_start_token_id", "72", "decoder_start_token_id"},
        {"d_kv", "0", "d_kv"},
        {"d_model", "null", "d_model"},
        {"model_type", "\"bart\"", "attnscope import"},
        {"model_type", "\"marian\"", "attnscope import"},
    };
    static const struct {
        const char *key, *json;
        bool gated, scaled;
        atn_act act;
        int decoder_layers, start;
    } good[] = {
        {"feed_forward_proj", "\"gated-gelu\"", true, true, ATN_ACT_GELU_TANH, 2, 0},
        {"feed_forward_proj", "\"gated-silu\"", true, true, ATN_ACT_SILU, 2, 0},
        {"feed_forward_proj", "\"gelu\"", false, true, ATN_ACT_GELU, 2, 0},
        {"feed_forward_proj", NULL, false, true, ATN_ACT_RELU, 2, 0},
        {"num_decoder_layers", "null", false, true, ATN_ACT_RELU, 2, 0},
        {"num_decoder_layers", "5", false, true, ATN_ACT_RELU, 5, 0},
        {"decoder_start_token_id", "4", false, true, ATN_ACT_RELU, 2, 4},
        {"scale_decoder_outputs", "false", false, false, ATN_ACT_RELU, 2, 0},
    };
    atn_config c;

    for (size_t i = 0; i < ATN_LEN(bad); i++) {
        const char *dir = copy_model("stacks-keys", "t5_relu");

        print_message("%s = %s\n", bad[i].key, bad[i].json);
        set_config(cx, dir, bad[i].key, bad[i].json);
        CHECK_FAILS(atn_config_load(cx, dir, &c), ATN_DATA, bad[i].message);
    }
    for (size_t i = 0; i < ATN_LEN(good); i++) {
        const char *dir = copy_model("stacks-keys", "t5_relu");

        print_message("%s = %s\n", good[i].key, good[i].json ? good[i].json : "absent");
        set_config(cx, dir, good[i].key, good[i].json);
        CHECK_OK(atn_config_load(cx, dir, &c));
        CHECK_EQ(c.gated, good[i].gated);
        CHECK_EQ(c.head_scaled, good[i].scaled);
        CHECK_EQ(c.act, good[i].act);
        CHECK_EQ(c.stacks[1].layers, good[i].decoder_layers);
        CHECK_EQ(c.decoder_start, good[i].start);
        CHECK_EQ(c.stacks[1].names.gate != NULL, good[i].gated);
        atn_config_release(cx, &c);
    }
}

/* Absent: as pad_token_id; tie_word_embeddings false: not scaled, of T5 but not of mT5,
 * where nothing is. */
static void absent_keys(atn_ctx *cx)
{
    const char *dir = copy_model("stacks-absent", "t5_relu");
    atn_config c;

    set_config(cx, dir, "decoder_start_token_id", NULL);
    set_config(cx, dir, "pad_token_id", "6");
    set_config(cx, dir, "scale_decoder_outputs", NULL);
    set_config(cx, dir, "tie_word_embeddings", NULL);
    CHECK_OK(atn_config_load(cx, dir, &c));
    CHECK_EQ(c.decoder_start, 6);
    CHECK(c.tied && c.head_scaled);
    atn_config_release(cx, &c);
    set_config(cx, dir, "tie_word_embeddings", "false");
    CHECK_OK(atn_config_load(cx, dir, &c));
    CHECK(!c.tied && !c.head_scaled);
    atn_config_release(cx, &c);
    set_config(cx, dir, "model_type", "\"mt5\"");
    set_config(cx, dir, "tie_word_embeddings", "true");
    CHECK_OK(atn_config_load(cx, dir, &c));
    CHECK(c.tied && !c.head_scaled);
    atn_config_release(cx, &c);
}

static void allocations_fail(atn_ctx *cx)
{
    const atn_forward_args args = {
        .input = {.ids = SOURCE, .n = N, .target = TARGET, .n_target = T},
        .last_place = 99,
        .want_loss = true};

    (void)cx;
    forward_allocations_fail(GATED, &args);
}

CHECK_MAIN({"three stacks", three_stacks}, {"attention again", attention_again},
           {"weights of a place", weights_of_a_place}, {"encoder alone", encoder_alone},
           {"refusals", refusals}, {"some layers", some_layers}, {"counts", counts},
           {"threads agree", threads_agree}, {"damaged", damaged}, {"keys", keys},
           {"absent keys", absent_keys}, {"allocations fail", allocations_fail})
