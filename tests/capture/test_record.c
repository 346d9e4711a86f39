/* tests/capture/test_record.c -- captures: contents, stored types, resuming,
 * refusals. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "make_model.h"
#include "model_checks.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture/model.h"
#include "capture/record.h"
#include "core/io/capture.h"
#include "core/io/file.h"

static const char MODEL[] =
    ATN_TEST_FIXTURES "/parity/llama_mha"; /* 2 layers, 4 heads, d 8 */
static const char TINY[] = ATN_TEST_SOURCE "/datasets/tinytales/model";
static const int32_t IDS[] = {3, 9, 27, 11, 33, 27, 11, 5, 15, 45};
enum { N = 10, HEADS = 4, D = 8, WIDTH = 32 };

static const char *out_dir(const char *name)
{
    static char path[700];

    snprintf(path, sizeof path, "%s/run", check_scratch(name));
    return path;
}

static atn_record_args args_for(const char *model, const char *out)
{
    return (atn_record_args){
        .model_dir = model, .ids = IDS, .n_ids = N, .out_dir = out};
}

static void whole_capture(atn_ctx *cx)
{
    const char *run = out_dir("record-whole");
    atn_record_args a = args_for(MODEL, run);
    atn_record_result r;
    atn_capture *c = NULL;
    const int32_t *ids;
    const char *const *texts;
    atn_problem p;

    a.save_p = a.save_h = a.save_q_pre = a.save_k_pre = true;
    CHECK_OK(atn_record(cx, &a, NULL, &r));
    CHECK_EQ(r.tokens, N);
    CHECK_EQ(r.layers, 2);
    CHECK_EQ(r.layers_found, 0);
    CHECK(r.has_loss && r.loss > 0);
    CHECK_NEAR(r.capture_bytes,
               2 * 4.0 * (5 * N * WIDTH + WIDTH * WIDTH + N * WIDTH + HEADS * N * N),
               0);
    CHECK_OK(atn_capture_open(cx, run, &c));
    CHECK(atn_capture_complete(c));
    CHECK_EQ(atn_capture_layers(c), 2);
    CHECK_STR(atn_capture_model(c)->model_type, "llama");
    CHECK_EQ(atn_capture_tokens(c, &ids, &texts), N);
    CHECK(memcmp(ids, IDS, sizeof IDS) == 0);
    CHECK(texts == NULL); /* the directory has no tokenizer */
    CHECK_NEAR(json_real_value(json_object_get(
                   json_object_get(atn_capture_manifest(c), "loss"), "nats_per_token")),
               r.loss, 0);
    CHECK_OK(atn_capture_load(cx, c, 1, &p));
    CHECK_EQ(p.heads, HEADS);
    CHECK_NEAR(p.scale, 1 / sqrt(8.0), 1e-15);
    CHECK(p.sight.causal);
    atn_capture_unload(cx, &p);
    for (int l = 0; l < 2; l++) {
        float *prob = captured_tensor(cx, c, l, "p", HEADS * N * N);

        for (int row = 0; row < HEADS * N; row++) {
            double sum = 0;
            for (int j = 0; j < N; j++) sum += (double)prob[row * N + j];
            CHECK_NEAR(sum, 1, 1e-6);
        }
        atn_free(cx, prob);
        atn_free(cx, captured_tensor(cx, c, l, "w_o", WIDTH * WIDTH));
        atn_free(cx, captured_tensor(cx, c, l, "h", N * WIDTH));
        atn_free(cx, captured_tensor(cx, c, l, "k_pre", N * WIDTH));
    }
    atn_capture_close(cx, c);
}

/* The rotary embedding leaves position 0 and every length alone. */
static void before_and_after_rope(atn_ctx *cx)
{
    const char *run = out_dir("record-pre");
    atn_record_args a = args_for(MODEL, run);
    atn_record_result r;
    atn_capture *c = NULL;
    float *pre, *q;

    a.save_q_pre = true;
    CHECK_OK(atn_record(cx, &a, NULL, &r));
    CHECK_OK(atn_capture_open(cx, run, &c));
    pre = captured_tensor(cx, c, 1, "q_pre", N * WIDTH);
    q = captured_tensor(cx, c, 1, "q", N * WIDTH);
    for (int h = 0; h < HEADS; h++)
        for (int i = 0; i < N; i++) {
            double before = 0, after = 0, apart = 0;
            for (int e = 0; e < D; e++) {
                const double x = pre[(h * N + i) * D + e], y = q[(h * N + i) * D + e];
                before += x * x;
                after += y * y;
                apart += fabs(x - y);
            }
            CHECK_NEAR(after / before, 1, 1e-5);
            CHECK(i == 0 ? apart == 0 : apart > 0);
        }
    atn_free(cx, pre);
    atn_free(cx, q);
    atn_capture_close(cx, c);
}

/* What the projections of layer 1 read, from the input h of the layer: a norm of it,
 * where norms stand before. */
static void normalise(const atn_model *m, const float *h, double *x)
{
    const atn_config *c = &m->config;
    const bool layer = c->arch->norm == ATN_NORM_LAYER;
    const atn_st_tensor *g = atn_model_tensor(m, c->arch->names.attn_norm, 1, false),
                        *b = atn_model_tensor(m, c->arch->names.attn_norm, 1, layer);
    const atn_idx width = c->width;

    for (int i = 0; i < N; i++) {
        double mean = 0, square = 0;

        for (atn_idx k = 0; k < width && layer; k++)
            mean += (double)h[i * width + k] / (double)width;
        for (atn_idx k = 0; k < width; k++) {
            const double y = h[i * width + k] - mean;
            square += y * y / (double)width;
        }
        for (atn_idx k = 0; k < width; k++) {
            const size_t size = atn_dtype_size(g->type);
            float gain, shift;

            atn_widen((const char *)g->data + (size_t)k * size, g->type, 1, &gain);
            atn_widen((const char *)b->data + (size_t)k * size, b->type, 1, &shift);
            x[i * width + k] = h[i * width + k];
            if (c->place != ATN_NORM_PRE) continue;
            x[i * width + k] = (x[i * width + k] - mean) / sqrt(square + c->eps) * gain;
            x[i * width + k] += layer ? shift : 0;
        }
    }
}

/* q_pre = W_q x + b and k_pre = W_k x + b, so their differences between tokens are W
 * (x - x0): a model of several files, grouped keys; several weights in one tensor,
 * by rows, by columns, head by head; layers that share weights. */
static void weights_are_those_of_the_model(atn_ctx *cx)
{
    static const char *const models[] = {
        "llama_mha", "llama_sharded", "llama_gqa_tied", "gpt2",     "gpt2_old",
        "gpt_neox",  "phi3",          "bloom_post",     "opt_post", "albert_groups"};

    for (size_t m = 0; m < ATN_LEN(models); m++) {
        const char *run = out_dir("record-weights");
        char dir[1000];
        atn_record_args a;
        atn_capture *c = NULL;
        atn_record_result r;
        atn_model model;

        snprintf(dir, sizeof dir, "%s/parity/%s", ATN_TEST_FIXTURES, models[m]);
        a = args_for(dir, run);
        a.save_h = a.save_q_pre = a.save_k_pre = true;
        a.layers = "1";
        CHECK_OK(atn_record(cx, &a, NULL, &r));
        CHECK_OK(atn_capture_open(cx, run, &c));
        CHECK_OK(atn_model_open(cx, dir, &model));
        for (int side = 0; side < 2; side++) {
            const char *const pre[] = {"q_pre", "k_pre"}, *const name[] = {"w_q",
                                                                           "w_k"};
            const atn_idx width = model.config.width;
            atn_idx shape[3] = {0};
            float *w = NULL, *got, *h;
            double *x = calloc((size_t)(N * width), sizeof *x);

            CHECK_OK(atn_capture_weight(cx, c, 0, name[side], &w, shape));
            CHECK(w && shape[2] == width);
            got = captured_tensor(cx, c, 0, pre[side], shape[0] * N * shape[1]);
            h = captured_tensor(cx, c, 0, "h", N * width);
            normalise(&model, h, x);
            for (atn_idx g = 0; g < shape[0]; g++)
                for (int i = 1; i < N; i++)
                    for (atn_idx e = 0; e < shape[1]; e++) {
                        double sum = 0;

                        for (atn_idx k = 0; k < width; k++)
                            sum += w[(g * shape[1] + e) * width + k] *
                                   (x[i * width + k] - x[k]);
                        CHECK_NEAR(got[(g * N + i) * shape[1] + e] -
                                       got[g * N * shape[1] + e],
                                   sum, 2e-5);
                    }
            atn_free(cx, w);
            atn_free(cx, got);
            atn_free(cx, h);
            free(x);
        }
        atn_model_close(cx, &model);
        atn_capture_close(cx, c);
    }
}

/* Key i turned back by its position is k_pre; a tied model names its embedding
 * twice. */
static void rotary_and_tokens_are_told(atn_ctx *cx)
{
    const char *run = out_dir("record-rotary");
    atn_record_args a = args_for(ATN_TEST_FIXTURES "/parity/llama_gqa_tied", run);
    atn_capture *c = NULL;
    const atn_model_info *m;
    const atn_layer_info *l;
    atn_weight e, u;
    atn_record_result r;
    float *k, *pre, one[256], two[256];

    a.save_k_pre = true;
    CHECK_OK(atn_record(cx, &a, NULL, &r));
    CHECK_OK(atn_capture_open(cx, run, &c));
    m = atn_capture_model(c);
    l = atn_capture_layer(c, 0);
    CHECK_EQ(2 * m->rotary, l->d);
    k = captured_tensor(cx, c, 0, "k", l->kv_heads * N * l->d);
    pre = captured_tensor(cx, c, 0, "k_pre", l->kv_heads * N * l->d);
    for (atn_idx i = 0; i < l->kv_heads * N; i++)
        for (atn_idx d = 0; d < m->rotary; d++) {
            const double at = (double)(i % N) * m->turn[d];
            const double x = k[i * l->d + d], y = k[i * l->d + d + m->rotary];

            CHECK_NEAR(pre[i * l->d + d], x * cos(at) + y * sin(at), 1e-5);
        }
    CHECK_OK(atn_capture_weight_open(cx, c, -1, "embed", &e));
    CHECK_OK(atn_capture_weight_open(cx, c, -1, "unembed", &u));
    CHECK(e.file && u.file && e.rows == m->vocab && e.cols == m->width);
    CHECK_LE(e.cols, 256);
    atn_weight_rows(&e, 0, 7, 1, one);
    atn_weight_rows(&u, 0, 7, 1, two);
    CHECK(memcmp(one, two, (size_t)e.cols * sizeof *one) == 0);
    atn_weight_close(cx, &e);
    atn_weight_close(cx, &u);
    atn_free(cx, k);
    atn_free(cx, pre);
    atn_capture_close(cx, c);
    a.model_dir = ATN_TEST_FIXTURES "/parity/bert_model";
    a.force = true;
    a.save_k_pre = false;
    CHECK_OK(atn_record(cx, &a, NULL, &r));
    CHECK_OK(atn_capture_open(cx, run, &c));
    CHECK_EQ(atn_capture_model(c)->rotary, 0);
    CHECK_OK(atn_capture_weight_open(cx, c, -1, "unembed", &u));
    CHECK(!u.file);
    atn_capture_close(cx, c);
}

static void stored_types(atn_ctx *cx)
{
    static const char *const types[] = {"f32", "float16", "BF16"};
    static const double error[] = {0, 1.0 / 2048,
                                   1.0 / 256}; /* half a unit of 11, 8 bits */
    char run[3][700];
    float *q[3];
    atn_record_result r;

    for (int t = 0; t < 3; t++) {
        atn_record_args a = args_for(MODEL, NULL);
        atn_capture *c = NULL;

        snprintf(run[t], sizeof run[t], "%s", out_dir(types[t]));
        a.out_dir = run[t];
        a.dtype = types[t];
        CHECK_OK(atn_record(cx, &a, NULL, &r));
        CHECK_OK(atn_capture_open(cx, run[t], &c));
        q[t] = captured_tensor(cx, c, 0, "q", N * WIDTH);
        atn_capture_close(cx, c);
        for (int i = 0; i < N * WIDTH; i++)
            CHECK_NEAR(q[t][i], q[0][i], error[t] * fabs((double)q[0][i]) + 1e-7);
    }
    CHECK(memcmp(q[0], q[1], N * WIDTH * 4) != 0);
    for (int t = 0; t < 3; t++) atn_free(cx, q[t]);
}

static void some_layers(atn_ctx *cx)
{
    const char *run = out_dir("record-some");
    atn_record_args a = args_for(MODEL, run);
    atn_record_result r;
    atn_capture *c = NULL;

    a.layers = "-1";
    a.no_w_o = true;
    CHECK_OK(atn_record(cx, &a, NULL, &r));
    CHECK_OK(atn_capture_open(cx, run, &c));
    CHECK_EQ(atn_capture_layers(c), 1);
    CHECK_EQ(atn_capture_layer(c, 0)->layer, 1);
    CHECK(!atn_capture_layer(c, 0)->has_w_o);
    atn_capture_close(cx, c);
    a.layers = "0-2";
    a.out_dir = out_dir("record-none");
    CHECK_FAILS(atn_record(cx, &a, NULL, &r), ATN_USAGE, "--layers");
    CHECK(!atn_dir_exists(a.out_dir));
}

static void dry_run_writes_nothing(atn_ctx *cx)
{
    const char *run = out_dir("record-dry");
    atn_record_args a = args_for(MODEL, run);
    atn_record_result r;

    a.dry_run = true;
    CHECK_OK(atn_record(cx, &a, NULL, &r));
    CHECK(!atn_dir_exists(run));
    CHECK(r.flops > 0 && r.memory_bytes > 0 && r.capture_bytes > 0);
}

/* ---- interrupts ---- */

typedef struct stopper {
    const char *what;
    double at;
    int signal_number;
} stopper;

static void stop(void *user, const char *what, double done, double total)
{
    const stopper *s = user;

    (void)total;
    if (strcmp(what, s->what) == 0 && done == s->at) atn_cancel(s->signal_number);
}

static void interrupted(atn_ctx *cx, const char *what, double at, int sig,
                        atn_status code, int layers_kept)
{
    char run[700] = "", whole[700] = "", path[2][1500], hex[2][33];
    atn_record_args a = args_for(MODEL, run);
    stopper s = {what, at, sig};
    atn_record_result r;
    atn_capture *c = NULL;
    struct stat before, after;

    snprintf(whole, sizeof whole, "%s", out_dir("record-uninterrupted"));
    a.out_dir = whole;
    CHECK_OK(atn_record(cx, &a, NULL, &r));
    snprintf(run, sizeof run, "%s", out_dir("record-interrupted"));
    a.out_dir = run;
    cx->progress = stop;
    cx->progress_user = &s;
    CHECK_FAILS(atn_record(cx, &a, NULL, &r), code,
                layers_kept == 0   ? "(no layer was complete)"
                : layers_kept == 1 ? "(1 of 2 layers are kept in "
                                   : "(2 of 2 layers are kept in ");
    atn_cancel(0);
    cx->progress = NULL;
    if (layers_kept == 0) { /* nothing to resume: nothing is left */
        CHECK(!atn_dir_exists(run));
        return;
    }
    CHECK_OK(atn_capture_open(cx, run, &c));
    CHECK(!atn_capture_complete(c));
    atn_capture_close(cx, c);
    snprintf(path[0], sizeof path[0], "%s/layer-000.safetensors", run);
    CHECK_EQ(stat(path[0], &before), 0);

    a.save_h = true; /* other options: refused, nothing lost */
    CHECK_FAILS(atn_record(cx, &a, NULL, &r), ATN_CANTCREATE, "cannot be resumed");
    a.save_h = false;
    CHECK_OK(atn_record(cx, &a, NULL, &r));
    CHECK_EQ(r.layers_found, layers_kept);
    CHECK_EQ(stat(path[0], &after), 0); /* not written again */
    CHECK_EQ(before.st_ino, after.st_ino);
    for (int l = 0; l < 2; l++) {
        snprintf(path[0], sizeof path[0], "%s/layer-%03d.safetensors", run, l);
        snprintf(path[1], sizeof path[1], "%s/layer-%03d.safetensors", whole, l);
        CHECK_OK(atn_hash_file(cx, path[0], hex[0]));
        CHECK_OK(atn_hash_file(cx, path[1], hex[1]));
        CHECK_STR(hex[0], hex[1]);
    }
    CHECK_OK(atn_capture_open(cx, run, &c));
    CHECK(atn_capture_complete(c));
    atn_capture_close(cx, c);
}

static void resumes(atn_ctx *cx)
{
    cx->log_level = ATN_LOG_ERROR;
    interrupted(cx, "layers", 1, SIGINT, ATN_INTERRUPTED, 1);
    interrupted(cx, "layers", 0, SIGTERM, ATN_TERMINATED, 0);
    interrupted(cx, "logits", 0, SIGTERM, ATN_TERMINATED, 2);
}

/* A layer file that was cut behind our back is made again. */
static void damaged_layer_is_made_again(atn_ctx *cx)
{
    char run[700] = "", path[800];
    atn_record_args a = args_for(MODEL, run);
    stopper s = {"logits", 0, SIGINT};
    atn_record_result r;

    cx->log_level = ATN_LOG_ERROR;
    snprintf(run, sizeof run, "%s", out_dir("record-damaged"));
    cx->progress = stop;
    cx->progress_user = &s;
    CHECK_EQ(atn_record(cx, &a, NULL, &r), ATN_INTERRUPTED);
    atn_cancel(0);
    atn_err_clear(cx);
    cx->progress = NULL;
    snprintf(path, sizeof path, "%s/layer-001.safetensors", run);
    CHECK_EQ(truncate(path, 200), 0);
    CHECK_OK(atn_record(cx, &a, NULL, &r));
    CHECK_EQ(r.layers_found, 1);
}

/* Weights that changed between two runs do not mix. */
static void other_weights_do_not_resume(atn_ctx *cx)
{
    char dir[700] = "", run[700] = "";
    atn_record_args a = args_for(dir, run);
    stopper s = {"layers", 1, SIGINT};
    atn_record_result r;
    FILE *f;

    cx->log_level = ATN_LOG_ERROR;
    snprintf(dir, sizeof dir, "%s", copy_model("record-weights", "llama_sharded"));
    snprintf(run, sizeof run, "%s", out_dir("record-weights-run"));
    cx->progress = stop;
    cx->progress_user = &s;
    CHECK_EQ(atn_record(cx, &a, NULL, &r), ATN_INTERRUPTED);
    atn_cancel(0);
    atn_err_clear(cx);
    cx->progress = NULL;
    f = fopen(path_in(dir, "model-00003-of-00004.safetensors"), "r+b");
    CHECK(f != NULL);
    CHECK_EQ(fseek(f, -2, SEEK_END), 0);
    fputc(0x11, f);
    fclose(f);
    CHECK_FAILS(atn_record(cx, &a, NULL, &r), ATN_CANTCREATE, "cannot be resumed");
}

/* ---- refusals ---- */

static atn_status with_text(atn_ctx *cx, const char *model, const char *text, size_t n,
                            atn_record_args more, atn_record_result *r)
{
    more.model_dir = model;
    more.text = text;
    more.text_len = n;
    more.out_dir = out_dir("record-text");
    return atn_record(cx, &more, NULL, r);
}

static void texts(atn_ctx *cx)
{
    static char text[20000];
    atn_record_args a = {0};
    atn_record_result r;

    cx->log_level = ATN_LOG_ERROR;
    CHECK_FAILS(with_text(cx, TINY, "", 0, a, &r), ATN_DATA, "the text is empty");
    CHECK_FAILS(with_text(cx, TINY, "ab\xff", 3, a, &r), ATN_DATA,
                "not UTF-8 at byte 2");
    CHECK_FAILS(with_text(cx, TINY, "\xed\xa0\x80", 3, a, &r), ATN_DATA,
                "not UTF-8 at byte 0");
    CHECK_FAILS(with_text(cx, MODEL, "words", 5, a, &r), ATN_NOINPUT, "token");
    for (size_t i = 0; i + 7 < sizeof text; i += 7) memcpy(text + i, "Q1 zk. ", 8);
    CHECK_FAILS(with_text(cx, TINY, text, strlen(text), a, &r), ATN_USAGE,
                "--truncate");
    CHECK_FAILS(with_text(cx, TINY, text, strlen(text), a, &r), ATN_USAGE,
                "--allow-long");
    a.truncate = true;
    CHECK_OK(with_text(cx, TINY, text, strlen(text), a, &r));
    CHECK_EQ(r.tokens, 512);
    a.truncate = false;
    a.allow_long = true;
    CHECK_OK(with_text(cx, TINY, text, 4000, a, &r));
    CHECK(r.tokens > 512);
}

static void ids_outside(atn_ctx *cx)
{
    const int32_t high[] = {1, 2, 72}, low[] = {1, -1};
    atn_record_args a = args_for(MODEL, out_dir("record-ids"));
    atn_record_result r;

    a.ids = high;
    a.n_ids = 3;
    CHECK_FAILS(atn_record(cx, &a, NULL, &r), ATN_DATA,
                "token id 72 at position 2 is outside the vocabulary of 72");
    a.ids = low;
    a.n_ids = 2;
    CHECK_FAILS(atn_record(cx, &a, NULL, &r), ATN_DATA, "token id -1 at position 1");
    CHECK(!atn_dir_exists(a.out_dir));
}

/* BERT's table of positions ends: not even --allow-long goes beyond it. A cut text
 * keeps its closing [SEP]. */
static void learned_positions_end(atn_ctx *cx)
{
    static const char tokenizer[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n##a\n";
    char dir[700], run[700], text[300];
    int32_t many[41];
    const int32_t *ids;
    const char *const *words;
    atn_record_args a;
    atn_record_result r;
    atn_capture *c = NULL;

    cx->log_level = ATN_LOG_ERROR;
    snprintf(dir, sizeof dir, "%s", copy_model("record-bert", "bert_model"));
    snprintf(run, sizeof run, "%s", out_dir("record-bert-run"));
    for (int i = 0; i < 41; i++) many[i] = i;
    a = (atn_record_args){
        .model_dir = dir, .ids = many, .n_ids = 41, .out_dir = run, .allow_long = true};
    CHECK_FAILS(atn_record(cx, &a, NULL, &r), ATN_USAGE, "learned positions end at 40");
    write_text(dir, "vocab.txt", tokenizer);
    for (int i = 0; i < 100; i++) memcpy(text + 2 * i, i % 3 ? "a " : "b ", 3);
    a = (atn_record_args){.model_dir = dir,
                          .text = text,
                          .text_len = 200,
                          .out_dir = run,
                          .truncate = true};
    CHECK_OK(atn_record(cx, &a, NULL, &r));
    CHECK_EQ(r.tokens, 40);
    CHECK(!r.has_loss && !r.no_loss);
    CHECK_OK(atn_capture_open(cx, run, &c));
    CHECK_EQ(atn_capture_tokens(c, &ids, &words), 40);
    CHECK_EQ(ids[0], 2);
    CHECK_EQ(ids[1], 6);
    CHECK_EQ(ids[38], 5); /* word 38 of the text */
    CHECK_EQ(ids[39], 3);
    CHECK_STR(words[39], "[SEP]");
    CHECK(!atn_capture_layer(c, 0)->sight.causal);
    atn_capture_close(cx, c);
}

/* Of 30 rows those up to the padding's hold no position: pad_token_id 1 leaves 28. */
static void positions_behind_padding_end(atn_ctx *cx)
{
    const char *run = out_dir("record-roberta");
    int32_t many[29];
    atn_record_args a = {.model_dir = ATN_TEST_FIXTURES "/parity/roberta_model",
                         .ids = many,
                         .n_ids = 29,
                         .out_dir = run};
    atn_record_result r;

    for (int i = 0; i < 29; i++) many[i] = 2 + i;
    CHECK_FAILS(atn_record(cx, &a, NULL, &r), ATN_USAGE, "learned positions end at 28");
    a.n_ids = 28;
    CHECK_OK(atn_record(cx, &a, NULL, &r));
}

static void existing_output(atn_ctx *cx)
{
    const char *run = out_dir("record-exists");
    atn_record_args a = args_for(MODEL, run);
    atn_record_result r;
    char path[800];
    FILE *f;

    CHECK_OK(atn_record(cx, &a, NULL, &r));
    CHECK_FAILS(atn_record(cx, &a, NULL, &r), ATN_CANTCREATE, "complete capture");
    a.force = true;
    CHECK_OK(atn_record(cx, &a, NULL, &r));
    a.dtype = "int8";
    CHECK_FAILS(atn_record(cx, &a, NULL, &r), ATN_USAGE, "--store");
    a.dtype = NULL;
    snprintf(path, sizeof path, "%s/letter.txt", check_scratch("record-foreign"));
    f = fopen(path, "w");
    CHECK(f != NULL);
    fclose(f);
    *strrchr(path, '/') = '\0';
    a.out_dir = path;
    CHECK_FAILS(atn_record(cx, &a, NULL, &r), ATN_CANTCREATE, "no capture");
}

static void dense_is_refused_when_long(atn_ctx *cx)
{
    static int32_t many[5000];
    atn_record_args a = args_for(MODEL, out_dir("record-dense"));
    atn_record_result r;

    a.ids = many;
    a.n_ids = 5000;
    a.allow_long = a.save_p = true;
    CHECK_FAILS(atn_record(cx, &a, NULL, &r), ATN_MEMORY, "--save p at 5000 tokens");
}

static bool without_head(atn_st_out *t, char *data, char name[256])
{
    (void)t, (void)data;
    return strcmp(name, "lm_head.weight") != 0;
}

static void missing_loss_is_explained(atn_ctx *cx)
{
    char dir[700];
    atn_record_args a = args_for(dir, out_dir("record-no-loss"));
    atn_record_result r;

    snprintf(dir, sizeof dir, "%s", copy_model("record-no-head", "llama_mha"));
    edit_weights(cx, dir, without_head);
    CHECK_OK(atn_record(cx, &a, NULL, &r));
    CHECK(!r.has_loss && r.no_loss && strstr(r.no_loss, "no lm_head"));
    a = args_for(MODEL, out_dir("record-one-token"));
    a.n_ids = 1;
    CHECK_OK(atn_record(cx, &a, NULL, &r));
    CHECK(!r.has_loss && r.no_loss && strstr(r.no_loss, "single token"));
}

/* Mean next-token loss falls where the model has learnt something: the embedded model
 * on a sentence of its own language against the same tokens turned round. */
static void loss_is_lower_on_sense(atn_ctx *cx)
{
    const char *path = ATN_TEST_SOURCE "/datasets/tinytales/sample.txt";
    char *text = NULL;
    size_t n = 0;
    atn_record_args a = {0};
    atn_record_result sense, nonsense;

    CHECK_OK(atn_file_read(cx, path, 1 << 20, &text, &n));
    n = ATN_MIN(n, (size_t)600);
    CHECK_OK(with_text(cx, TINY, text, n, a, &sense));
    for (size_t i = 0; i < n / 2; i++) {
        const char c = text[i];
        text[i] = text[n - 1 - i];
        text[n - 1 - i] = c;
    }
    CHECK_OK(with_text(cx, TINY, text, n, a, &nonsense));
    CHECK_LE(sense.loss + 1, nonsense.loss);
    atn_free(cx, text);
}

/* Layers 0 and 1 have a window and turn by theta 50, layer 2 by theta 1000 over 4: of
 * the 4 angles the second is 50^(-1/4) and 1000^(-1/4) / 4. */
static void layers_have_their_table(atn_ctx *cx)
{
    const char *run = out_dir("record-tables");
    atn_record_args a = args_for(ATN_TEST_FIXTURES "/parity/gemma3_text", run);
    atn_capture *c = NULL;
    atn_record_result r;

    a.save_k_pre = true;
    CHECK_OK(atn_record(cx, &a, NULL, &r));
    CHECK_OK(atn_capture_open(cx, run, &c));
    CHECK_NEAR(atn_capture_model(c)->turn[1], .177827941 / 4, 1e-9);
    for (int i = 0; i < 3; i++) {
        const atn_layer_info *l = atn_capture_layer(c, i);
        float *k = captured_tensor(cx, c, i, "k", l->kv_heads * N * l->d);
        float *pre = captured_tensor(cx, c, i, "k_pre", l->kv_heads * N * l->d);

        CHECK_EQ(l->sight.window, i < 2 ? 6 : 0);
        CHECK_EQ(l->rotary, 4);
        CHECK_NEAR(l->turn[1], i < 2 ? .376060309 : .177827941 / 4, 1e-9);
        for (atn_idx t = 0; t < l->kv_heads * N; t++)
            for (atn_idx e = 0; e < l->rotary; e++) {
                const double at = (double)(t % N) * l->turn[e];
                const double x = k[t * l->d + e], y = k[t * l->d + e + l->rotary];

                CHECK_NEAR(pre[t * l->d + e], x * cos(at) + y * sin(at), 1e-5);
            }
        atn_free(cx, k);
        atn_free(cx, pre);
    }
    atn_capture_close(cx, c);
}

/* exp of a score: scale, soft-cap, window; 0 where the query does not see the key. */
static double seen(const atn_problem *p, atn_idx h, atn_idx i, atn_idx j)
{
    const float *q = p->q + (h * N + i) * p->d,
                *k = p->k + (h * p->kv_heads / p->heads * N + j) * p->d;
    double s = 0;

    if (j > i || (p->sight.window > 0 && j <= i - p->sight.window)) return 0;
    for (atn_idx e = 0; e < p->d; e++) s += (double)q[e] * k[e];
    s *= p->scale;
    if (p->sight.softcap > 0) s = p->sight.softcap * tanh(s / p->sight.softcap);
    return exp(s);
}

/* What a capture says of a layer gives the attention that the model had: with a sink
 * logit a head in the denominator (gpt_oss), with a soft-cap (gemma2), each with a
 * window. */
static void sinks_and_caps_are_told(atn_ctx *cx)
{
    static const char *const models[] = {"gpt_oss", "gemma2"};

    for (int m = 0; m < 2; m++) {
        const char *run = out_dir("record-sinks");
        char dir[700];
        atn_record_args a = args_for(dir, run);
        atn_capture *c = NULL;
        atn_record_result r;

        snprintf(dir, sizeof dir, "%s/parity/%s", ATN_TEST_FIXTURES, models[m]);
        a.save_p = true;
        CHECK_OK(atn_record(cx, &a, NULL, &r));
        CHECK_OK(atn_capture_open(cx, run, &c));
        for (int l = 0; l < 2; l++) {
            float *want = captured_tensor(cx, c, l, "p", HEADS * N * N);
            atn_problem p;

            CHECK_OK(atn_capture_load(cx, c, l, &p));
            CHECK_EQ(p.sight.window, l == 0 ? 6 : 0);
            CHECK_EQ(p.sink != NULL, m == 0);
            CHECK_NEAR(p.sight.softcap, m == 0 ? 0 : 2, 0);
            for (atn_idx h = 0; h < HEADS; h++)
                for (atn_idx i = 0; i < N; i++) {
                    double sum = m == 0 ? exp((double)p.sink[h]) : 0;

                    for (atn_idx j = 0; j < N; j++) sum += seen(&p, h, i, j);
                    for (atn_idx j = 0; j < N; j++)
                        CHECK_NEAR(want[(h * N + i) * N + j], seen(&p, h, i, j) / sum,
                                   1e-5);
                }
            atn_free(cx, want);
            atn_capture_unload(cx, &p);
        }
        atn_capture_close(cx, c);
    }
}

CHECK_MAIN({"whole capture", whole_capture},
           {"before and after rope", before_and_after_rope},
           {"weights are those of the model", weights_are_those_of_the_model},
           {"rotary and tokens are told", rotary_and_tokens_are_told},
           {"layers have their table", layers_have_their_table},
           {"sinks and caps are told", sinks_and_caps_are_told},
           {"stored types", stored_types}, {"some layers", some_layers},
           {"dry run writes nothing", dry_run_writes_nothing}, {"resumes", resumes},
           {"damaged layer is made again", damaged_layer_is_made_again},
           {"other weights do not resume", other_weights_do_not_resume},
           {"texts", texts}, {"ids outside", ids_outside},
           {"learned positions end", learned_positions_end},
           {"positions behind padding end", positions_behind_padding_end},
           {"existing output", existing_output},
           {"dense is refused when long", dense_is_refused_when_long},
           {"missing loss is explained", missing_loss_is_explained},
           {"loss is lower on sense", loss_is_lower_on_sense})
