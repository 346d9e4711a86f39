/* bench/bench_capture.c -- capturing a model against the sum of its matrix products.
 *
 * A random Llama of 15 million parameters (width 288, 6 layers, 6 heads, vocabulary 32000) is
 * written to a scratch directory and captured on 1024 tokens; the floor is the same GEMMs, the
 * logits' among them, one after the other on the same backend, with nothing between them.
 * Usage: bench_capture [tokens [scratch directory]].
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/clock.h"
#include "capture/record.h"
#include "core/backend.h"
#include "core/io/file.h"
#include "core/io/safetensors.h"
#include "core/rng.h"

enum {
    WIDTH = 288,
    LAYERS = 6,
    HEADS = 6,
    D = 48,
    FFN = 768,
    VOCAB = 32000,
    PER_LAYER = 9
};

static void must(atn_ctx *cx, atn_status st)
{
    if (st == ATN_OK) return;
    fprintf(stderr, "%s\n", cx->err.text);
    exit(2);
}

/* Every tensor shares one array of noise: the values do not matter for the time. */
static void write_model(atn_ctx *cx, const char *dir)
{
    static const char *const names[PER_LAYER] = {
        "input_layernorm",  "self_attn.q_proj", "self_attn.k_proj",
        "self_attn.v_proj", "self_attn.o_proj", "post_attention_layernorm",
        "mlp.gate_proj",    "mlp.up_proj",      "mlp.down_proj"};
    static const atn_idx shapes[PER_LAYER][2] = {
        {WIDTH, 0}, {WIDTH, WIDTH}, {WIDTH, WIDTH}, {WIDTH, WIDTH}, {WIDTH, WIDTH},
        {WIDTH, 0}, {FFN, WIDTH},   {FFN, WIDTH},   {WIDTH, FFN}};
    static char text[LAYERS * PER_LAYER][96];
    const atn_idx most = (atn_idx)VOCAB * WIDTH;
    float *noise = atn_alloc(cx, most, sizeof *noise);
    atn_st_out list[LAYERS * PER_LAYER + 2];
    atn_rng r = atn_rng_stream(0, "bench/capture", 0, 0);
    atn_idx n = 0;
    char path[1200];
    FILE *f;

    if (!noise) exit(71);
    for (atn_idx i = 0; i < most; i++)
        noise[i] = (float)(0.1 * (atn_rng_uniform(&r) - 0.5));
    for (int l = 0; l < LAYERS; l++)
        for (int k = 0; k < PER_LAYER; k++, n++) {
            snprintf(text[n], sizeof text[n], "model.layers.%d.%s.weight", l, names[k]);
            list[n] = (atn_st_out){text[n],
                                   ATN_F32,
                                   shapes[k][1] ? 2 : 1,
                                   {shapes[k][0], shapes[k][1]},
                                   noise};
        }
    list[n++] =
        (atn_st_out){"model.embed_tokens.weight", ATN_F32, 2, {VOCAB, WIDTH}, noise};
    list[n++] = (atn_st_out){"model.norm.weight", ATN_F32, 1, {WIDTH}, noise};
    must(cx, atn_dir_make(cx, dir));
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    must(cx, atn_st_save(cx, path, list, n, NULL, true, NULL));
    snprintf(path, sizeof path, "%s/config.json", dir);
    f = fopen(path, "w");
    if (!f) exit(73);
    fprintf(
        f,
        "{\"model_type\": \"llama\", \"hidden_size\": %d, \"intermediate_size\": %d, "
        "\"num_hidden_layers\": %d, \"num_attention_heads\": %d, \"vocab_size\": %d, "
        "\"max_position_embeddings\": 131072, \"tie_word_embeddings\": true}\n",
        WIDTH, FFN, LAYERS, HEADS, VOCAB);
    fclose(f);
    atn_free(cx, noise);
}

/* Seconds of y [m, n] = x [m, k] w^T on the backend. */
static double gemm_time(atn_ctx *cx, atn_idx m, atn_idx n, atn_idx k)
{
    const atn_backend *be = cx->backend;
    atn_buf x, w, y;
    double start;

    must(cx, be->alloc(cx, ATN_F32, m * k, &x));
    must(cx, be->alloc(cx, ATN_F32, n * k, &w));
    must(cx, be->alloc(cx, ATN_F32, m * n, &y));
    must(cx, be->linear(cx, x, w, (atn_buf){0}, false, false, m, n, k,
                        y)); /* touches the pages */
    start = bench_now();
    must(cx, be->linear(cx, x, w, (atn_buf){0}, false, false, m, n, k, y));
    start = bench_now() - start;
    be->release(cx, &x);
    be->release(cx, &w);
    be->release(cx, &y);
    return start;
}

/* Q K^T and P V of the visible half, as two GEMMs of half the keys. */
static double floor_time(atn_ctx *cx, atn_idx n)
{
    const double layer =
        4 * gemm_time(cx, n, WIDTH, WIDTH) + 2 * gemm_time(cx, n, FFN, WIDTH) +
        gemm_time(cx, n, WIDTH, FFN) +
        HEADS * (gemm_time(cx, n, n / 2, D) + gemm_time(cx, n, D, n / 2));

    return LAYERS * layer + gemm_time(cx, n, VOCAB, WIDTH);
}

int main(int argc, char **argv)
{
    const atn_idx n = argc > 1 ? atoll(argv[1]) : 1024;
    const char *scratch = argc > 2 ? argv[2] : "bench-capture.scratch";
    char model[1100], out[1100];
    double floor = 1e9, whole = 1e9;
    atn_record_result result;
    int32_t *ids;
    atn_ctx cx;

    if (n < 1 || n > 131072) {
        fprintf(stderr,
                "usage: bench_capture [tokens, 1 to 131072 [scratch directory]]\n");
        return 64;
    }
    atn_runtime_open();
    atn_ctx_init(&cx);
    cx.log_level = ATN_LOG_WARN;
    snprintf(model, sizeof model, "%s/model", scratch);
    snprintf(out, sizeof out, "%s/run", scratch);
    write_model(&cx, model);
    ids = atn_alloc(&cx, n, sizeof *ids);
    if (!ids) return 71;
    for (atn_idx i = 0; i < n; i++) ids[i] = (int32_t)(i * 7919 % VOCAB);
    for (int repeat = 0; repeat < 5; repeat++) {
        const atn_record_args args = {
            .model_dir = model, .ids = ids, .n_ids = n, .out_dir = out, .force = true};
        const double start = bench_now();

        must(&cx, atn_record(&cx, &args, NULL, &result));
        whole = fmin(whole, bench_now() - start);
        floor = fmin(floor, floor_time(&cx, n));
    }
    printf("Llama of %.1f million parameters, %lld tokens, %d threads\n",
           result.parameters / 1e6, (long long)n, cx.threads);
    printf("sum of the GEMMs        %8.3f s\n", floor);
    printf("capture, files and all  %8.3f s   ratio %.3f\n", whole, whole / floor);
    atn_free(&cx, ids);
    atn_ctx_release(&cx);
    return 0;
}
