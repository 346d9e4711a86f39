/* bench/bench_capture.c -- capturing a model against its matrix products and its files.
 *
 * A random Llama is written to a scratch directory and captured; beside it stand the same
 * products, the logits' among them, one after the other on the same backend and with operands
 * rounded before, and the same files written by themselves: what an ideal capture would take
 * is the larger of the two. Of 15 million parameters on the CPU (width 288, 6 layers, 6 heads,
 * vocabulary 32000), or with 1b of 1.2 billion in bf16 (the shape of Llama 3.2 1B).
 * Usage: bench_capture [tokens [scratch directory [15m|1b [cpu|f32|tf32|bf16 [f32|f16|bf16]]]]],
 * default 1024 bench-capture.scratch 15m cpu f32; the fourth is the CPU or an arithmetic of GPU
 * 0, the fifth the type of the stored tensors.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/record.h"
#include "core/backend.h"
#include "core/cuda/backend_cuda.h"
#include "core/io/file.h"
#include "core/io/safetensors.h"
#include "core/rng.h"

enum { PER_LAYER = 9, LAYERS_MOST = 16 };

typedef struct shape {
    const char *name;
    int width, layers, heads, kv_heads, d, ffn, vocab;
    atn_dtype type;
} shape;

static const shape shapes[] = {{"15m", 288, 6, 6, 6, 48, 768, 32000, ATN_F32},
                               {"1b", 2048, 16, 32, 8, 64, 8192, 128256, ATN_BF16}};

static void must(atn_ctx *cx, atn_status st)
{
    if (st == ATN_OK) return;
    fprintf(stderr, "%s\n", cx->err.text);
    exit(2);
}

/* Every tensor shares one array of noise: the values do not matter for the time. */
static void *make_noise(atn_ctx *cx, atn_idx n, atn_dtype type)
{
    const size_t size = atn_dtype_size(type);
    char *noise = atn_alloc(cx, n, size);
    atn_rng r = atn_rng_stream(0, "bench/capture", 0, 0);

    if (!noise) exit(71);
    for (atn_idx i = 0; i < n; i++) {
        const float x = (float)(0.1 * (atn_rng_uniform(&r) - 0.5));
        const char *bytes = (const char *)&x; /* bf16: the upper half, little-endian */
        memcpy(noise + (size_t)i * size, bytes + sizeof x - size, size);
    }
    return noise;
}

static void write_model(atn_ctx *cx, const char *dir, const shape *m)
{
    static const char *const names[PER_LAYER] = {
        "input_layernorm",  "self_attn.q_proj", "self_attn.k_proj",
        "self_attn.v_proj", "self_attn.o_proj", "post_attention_layernorm",
        "mlp.gate_proj",    "mlp.up_proj",      "mlp.down_proj"};
    const atn_idx kv = m->kv_heads * m->d;
    const atn_idx sizes[PER_LAYER][2] = {
        {m->width, 0},      {m->heads * m->d, m->width}, {kv, m->width},
        {kv, m->width},     {m->width, m->heads * m->d}, {m->width, 0},
        {m->ffn, m->width}, {m->ffn, m->width},          {m->width, m->ffn}};
    static char text[LAYERS_MOST * PER_LAYER][96];
    void *noise = make_noise(cx, (atn_idx)m->vocab * m->width, m->type);
    atn_st_out list[LAYERS_MOST * PER_LAYER + 2];
    atn_idx n = 0;
    char path[1200];
    FILE *f;

    for (int l = 0; l < m->layers; l++)
        for (int k = 0; k < PER_LAYER; k++, n++) {
            snprintf(text[n], sizeof text[n], "model.layers.%d.%s.weight", l, names[k]);
            list[n] = (atn_st_out){text[n],
                                   m->type,
                                   sizes[k][1] ? 2 : 1,
                                   {sizes[k][0], sizes[k][1]},
                                   noise};
        }
    list[n++] = (atn_st_out){
        "model.embed_tokens.weight", m->type, 2, {m->vocab, m->width}, noise};
    list[n++] = (atn_st_out){"model.norm.weight", m->type, 1, {m->width}, noise};
    must(cx, atn_dir_make(cx, dir));
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    must(cx, atn_st_save(cx, path, list, n, NULL, true, NULL));
    snprintf(path, sizeof path, "%s/config.json", dir);
    f = fopen(path, "w");
    if (!f) exit(73);
    fprintf(
        f,
        "{\"model_type\": \"llama\", \"hidden_size\": %d, \"intermediate_size\": %d, "
        "\"num_hidden_layers\": %d, \"num_attention_heads\": %d, "
        "\"num_key_value_heads\": %d, \"head_dim\": %d, \"vocab_size\": %d, "
        "\"max_position_embeddings\": 131072, \"tie_word_embeddings\": true}\n",
        m->width, m->ffn, m->layers, m->heads, m->kv_heads, m->d, m->vocab);
    fclose(f);
    atn_free(cx, noise);
}

/* Until everything queued on the backend is done. */
static void settle(atn_ctx *cx, atn_buf y)
{
    float one;

    must(cx, cx->backend->download(cx, atn_buf_at(y, 0, 1), &one));
}

/* Some products of one shape, with as much between them as the capture needs: nothing. */
typedef struct products {
    atn_idx count, m, n, k;
    bool transposed; /* the second operand is [n, k] */
} products;

static void multiply(atn_ctx *cx, const products *p, atn_buf x, atn_buf w, atn_buf y)
{
    const atn_buf none = {0};

    if (cx->backend != &atn_backend_cpu) {
        must(cx,
             atn_cuda_product(cx, x, w, p->transposed, p->count, p->m, p->n, p->k, y));
        return;
    }
    for (atn_idx i = 0; i < p->count; i++)
        must(cx, cx->backend->linear(cx, x, w, none, !p->transposed, false, p->m, p->n,
                                     p->k, y));
}

/* Seconds of the products, operands in the type they are multiplied in. On a GPU a run of
 * them, so that starting and waiting do not count. */
static double product_time(atn_ctx *cx, products p)
{
    const atn_backend *be = cx->backend;
    const int repeats = be == &atn_backend_cpu ? 1 : 20;
    atn_buf x, w, y;
    double start;

    must(cx, be->alloc(cx, be->weight_type, p.count * p.m * p.k, &x));
    must(cx, be->alloc(cx, be->weight_type, p.n * p.k, &w));
    must(cx, be->alloc(cx, ATN_F32, p.count * p.m * p.n, &y));
    multiply(cx, &p, x, w, y); /* touches the pages */
    settle(cx, y);
    start = atn_seconds();
    for (int i = 0; i < repeats; i++) multiply(cx, &p, x, w, y);
    settle(cx, y);
    start = (atn_seconds() - start) / repeats;
    be->release(cx, &x);
    be->release(cx, &w);
    be->release(cx, &y);
    return start;
}

static double linear_time(atn_ctx *cx, atn_idx m, atn_idx n, atn_idx k)
{
    return product_time(cx, (products){1, m, n, k, true});
}

/* The logits, some rows at a time: they need not all fit. */
static double logits_time(atn_ctx *cx, const shape *m, atn_idx n)
{
    const atn_idx rows = ATN_MIN(n, 1024);

    return linear_time(cx, rows, m->vocab, m->width) * (double)n / (double)rows;
}

/* Q K^T and P V of the pairs that are seen, in tiles as the backend has them: on a GPU the heads
 * that share keys, 1024 keys, 8192 rows in all; on the CPU 1024 rows of half the keys. */
static double attention_time(atn_ctx *cx, const shape *m, atn_idx n)
{
    const bool gpu = cx->backend != &atn_backend_cpu;
    const atn_idx group = gpu ? m->heads / m->kv_heads : 1;
    const atn_idx rows = ATN_MIN(n, gpu ? 8192 / group : 1024);
    const atn_idx keys = gpu ? ATN_MIN(n, 1024) : ATN_MAX(n / 2, 1);
    const double tiles =
        (double)n * (double)n / 2 * (double)(m->heads / group) / (double)(rows * keys);

    return tiles * (product_time(cx, (products){group, rows, keys, m->d, true}) +
                    product_time(cx, (products){group, rows, m->d, keys, false}));
}

static double products_time(atn_ctx *cx, const shape *m, atn_idx n)
{
    const double layer = 2 * linear_time(cx, n, m->heads * m->d, m->width) +
                         2 * linear_time(cx, n, m->kv_heads * m->d, m->width) +
                         2 * linear_time(cx, n, m->ffn, m->width) +
                         linear_time(cx, n, m->width, m->ffn) +
                         attention_time(cx, m, n);

    return m->layers * layer + logits_time(cx, m, n);
}

static void remove_layers(const shape *m, const char *dir)
{
    char path[1200];

    for (int l = 0; l < m->layers; l++) {
        snprintf(path, sizeof path, "%s/layer-%03d.safetensors", dir, l);
        remove(path);
    }
    snprintf(path, sizeof path, "%s/capture.json", dir);
    remove(path);
}

/* Seconds of writing files with the tensors of a capture, flushed and renamed as it does. */
static double files_time(atn_ctx *cx, const shape *m, atn_idx n, atn_dtype type,
                         const char *dir)
{
    const atn_idx longest = ATN_MAX(n * m->heads, m->heads * m->width) * m->d;
    void *noise = make_noise(cx, longest, type);
    const atn_st_out list[] = {{"q", type, 3, {m->heads, n, m->d}, noise},
                               {"k", type, 3, {m->kv_heads, n, m->d}, noise},
                               {"v", type, 3, {m->kv_heads, n, m->d}, noise},
                               {"w_o", type, 2, {m->heads * m->d, m->width}, noise}};
    char path[1200];
    double start;

    must(cx, atn_dir_make(cx, dir));
    start = atn_seconds();
    for (int l = 0; l < m->layers; l++) {
        char hex[33];
        snprintf(path, sizeof path, "%s/layer-%03d.safetensors", dir, l);
        must(cx, atn_st_save(cx, path, list, ATN_LEN(list), NULL, true, hex));
    }
    start = atn_seconds() - start;
    remove_layers(m, dir);
    atn_free(cx, noise);
    return start;
}

/* "cpu", or an arithmetic on GPU 0, which has to be there. */
static atn_backend *open_device(atn_ctx *cx, const char *name)
{
    static const atn_math maths[] = {ATN_MATH_F32, ATN_MATH_TF32, ATN_MATH_BF16};
    atn_backend *be = NULL;

    for (size_t i = 0; i < ATN_LEN(maths); i++) {
        atn_status st;
        if (strcmp(name, atn_math_name(maths[i])) != 0) continue;
        st = atn_cuda_open(cx, 0, maths[i], &be);
        if (st == ATN_UNAVAILABLE) {
            fprintf(stderr, "bench_capture: %s\n", cx->err.text);
            exit(69);
        }
        must(cx, st);
        cx->backend = be;
    }
    return be;
}

static const shape *choose(const char *name)
{
    for (size_t i = 0; i < ATN_LEN(shapes); i++)
        if (strcmp(shapes[i].name, name) == 0) return &shapes[i];
    return NULL;
}

typedef struct times {
    double products, files, capture;
} times;

static void measure(atn_ctx *cx, const shape *m, const char *scratch, const char *store,
                    const int32_t *ids, atn_idx n, times *best,
                    atn_record_result *result)
{
    const atn_dtype type = strcmp(store, "f32") == 0   ? ATN_F32
                           : strcmp(store, "f16") == 0 ? ATN_F16
                                                       : ATN_BF16;
    char model[1100], out[1100], files[1100];
    const atn_record_args args = {.model_dir = model,
                                  .ids = ids,
                                  .n_ids = n,
                                  .out_dir = out,
                                  .dtype = store,
                                  .force = true};
    double start;

    snprintf(model, sizeof model, "%s/model", scratch);
    snprintf(out, sizeof out, "%s/run", scratch);
    snprintf(files, sizeof files, "%s/files", scratch);
    remove_layers(m, out); /* is no part of a capture */
    start = atn_seconds();
    must(cx, atn_record(cx, &args, NULL, result));
    best->capture = fmin(best->capture, atn_seconds() - start);
    best->products = fmin(best->products, products_time(cx, m, n));
    best->files = fmin(best->files, files_time(cx, m, n, type, files));
}

static void print(const atn_ctx *cx, const times *t, const atn_record_result *r,
                  const char *store, atn_idx n, int repeats)
{
    printf("Llama of %.1f million parameters, %lld tokens, %s, %s, %d threads, %.2f GB "
           "stored in %s; best of %d\n",
           r->parameters / 1e6, (long long)n, cx->backend->device,
           cx->backend->arithmetic, cx->threads, r->capture_bytes / 1e9, store,
           repeats);
    printf("its matrix products alone   %8.3f s   %.1f %% of the capture\n",
           t->products, 100 * t->products / t->capture);
    printf("its files alone, flushed    %8.3f s   %.1f %% of the capture\n", t->files,
           100 * t->files / t->capture);
    printf("capture, files and all      %8.3f s   ratio %.3f to the products, %.1f "
           "tokens/s\n",
           t->capture, t->capture / t->products, (double)n / t->capture);
}

int main(int argc, char **argv)
{
    const atn_idx n = argc > 1 ? atoll(argv[1]) : 1024;
    const char *scratch = argc > 2 ? argv[2] : "bench-capture.scratch";
    const shape *m = choose(argc > 3 ? argv[3] : "15m");
    const char *store = argc > 5 ? argv[5] : "f32";
    times best = {1e9, 1e9, 1e9};
    atn_record_result result;
    char model[1100];
    atn_backend *be;
    int32_t *ids;
    int repeats;
    atn_ctx cx;

    if (n < 1 || n > 131072 || !m) {
        fprintf(stderr,
                "usage: bench_capture [tokens, 1 to 131072 [scratch directory [15m|1b "
                "[cpu|f32|tf32|bf16 [f32|f16|bf16]]]]]\n");
        return 64;
    }
    atn_runtime_open();
    atn_ctx_init(&cx);
    cx.log_level = ATN_LOG_WARN;
    be = open_device(&cx, argc > 4 ? argv[4] : "cpu");
    repeats = be ? 3 : 5;
    snprintf(model, sizeof model, "%s/model", scratch);
    write_model(&cx, model, m);
    ids = atn_alloc(&cx, n, sizeof *ids);
    if (!ids) return 71;
    for (atn_idx i = 0; i < n; i++) ids[i] = (int32_t)(i * 7919 % m->vocab);
    for (int i = 0; i < repeats; i++)
        measure(&cx, m, scratch, store, ids, n, &best, &result);
    print(&cx, &best, &result, store, n, repeats);
    atn_free(&cx, ids);
    atn_cuda_close(&cx, be);
    atn_ctx_release(&cx);
    return 0;
}
