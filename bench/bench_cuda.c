/* bench/bench_cuda.c -- the operations on a GPU, each against its floor.
 *
 * First the card itself: bandwidth of a copy within its memory, rate of a large product in each
 * arithmetic. Then every operation of the forward pass and the row pass: the floor is the
 * larger of operations / that rate and least bytes / that bandwidth, and the column `of floor`
 * says what part of the time it would be. Times are medians of 20 after 3 that do not count,
 * between events on the GPU's queue; inputs are random.
 * The row pass is to be read beside bench/sdpa.py, which times a fused attention of the same
 * shape: both print visible entries a second.
 * Usage: bench_cuda [tokens [head dimension [GPU [f32|tf32|bf16]]]], default 131072 128 0 and
 * all three.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cuda/sparse_attention_cuda.h"
#include "core/rng.h"

enum { WARM = 3, REPEATS = 20, BLOCK = 64, HEADS = 8 };

/* What the operations work on; every buffer as large as the largest of them needs. */
typedef struct stage {
    atn_ctx *cx;
    const atn_backend *be;
    atn_idx tokens, d;   /* of the row pass */
    atn_idx rows, width; /* of the other operations */
    atn_buf x, y, w;     /* [rows, width] each; w of weight_type */
    atn_buf bias, cosine, sine;
    atn_idx edge; /* of the large product: [edge, edge] x [16 edge, edge]^T */
    atn_buf square, wide, product;
    int32_t *targets;
    double *lse, *hit;
    float *host;
    atn_head head;
    atn_row_want want;
    atn_row_out out;
    double rate, bandwidth; /* measured ceilings */
} stage;

static void must(atn_ctx *cx, atn_status st)
{
    if (st == ATN_OK) return;
    fprintf(stderr, "bench_cuda: %s\n", cx->err.text);
    exit(st == ATN_UNAVAILABLE ? 69 : 71);
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Median seconds of op between two marks; `from` START: set here, ROWS: set by the row pass. */
static double median(stage *s, atn_status (*op)(stage *), int from, int to)
{
    double all[REPEATS];

    for (int i = -WARM; i < REPEATS; i++) {
        double seconds;
        if (from == ATN_CUDA_MARK_START) must(s->cx, atn_cuda_mark(s->cx, from));
        must(s->cx, op(s));
        if (from == ATN_CUDA_MARK_START) must(s->cx, atn_cuda_mark(s->cx, to));
        must(s->cx, atn_cuda_seconds(s->cx, from, to, &seconds));
        if (i >= 0) all[i] = seconds;
    }
    qsort(all, REPEATS, sizeof *all, ascending);
    return (all[REPEATS / 2 - 1] + all[REPEATS / 2]) / 2;
}

/* ---- operations ---- */

static atn_status copy(stage *s)
{
    return atn_cuda_copy(s->cx, s->x, s->y);
}

static atn_status large_product(stage *s)
{
    return s->be->linear(s->cx, s->square, s->wide, (atn_buf){0}, false, false, s->edge,
                         16 * s->edge, s->edge, s->product);
}

static atn_status linear(stage *s)
{
    return s->be->linear(s->cx, s->x, s->w, s->bias, false, false, s->rows, s->width,
                         s->width, s->y);
}

static atn_status rms(stage *s)
{
    return s->be->norm(s->cx, ATN_NORM_RMS, s->x, s->bias, (atn_buf){0}, 1e-6F, 0,
                       s->rows, s->width, s->y);
}

static atn_status layer_norm(stage *s)
{
    return s->be->norm(s->cx, ATN_NORM_LAYER, s->x, s->bias, s->bias, 1e-6F, 0, s->rows,
                       s->width, s->y);
}

static atn_status rope(stage *s)
{
    return s->be->rope(s->cx, s->x, s->cosine, s->sine, s->rows, s->width / s->d, s->d,
                       s->d);
}

static atn_status gated(stage *s)
{
    return s->be->activate(s->cx, ATN_ACT_SILU, s->x, s->y, s->rows * s->width,
                           s->product);
}

static atn_status add(stage *s)
{
    return s->be->add(s->cx, s->x, s->rows * s->width, s->y);
}

static atn_status loss(stage *s)
{
    return s->be->cross_entropy(s->cx, s->x, s->targets, s->rows, s->width, 0, s->lse,
                                s->hit);
}

static atn_status attention(stage *s)
{
    const atn_attn_args a = {.q = s->x,
                             .k = s->x,
                             .v = s->x,
                             .out = s->y,
                             .heads = HEADS,
                             .kv_heads = HEADS,
                             .nq = s->rows,
                             .nk = s->rows,
                             .d = s->d,
                             .dv = s->d,
                             .scale = s->head.scale,
                             .sight = {.causal = true, .key_last = s->rows}};

    return s->be->attention(s->cx, &a);
}

static atn_status rows(stage *s)
{
    return atn_row_values(s->cx, &s->head, 1, &s->want, &s->out);
}

/* ---- the table ---- */

/* Queries and keys as the row pass holds them. */
static double input_bytes(const stage *s)
{
    return (double)(2 * s->tokens * s->d) * (double)atn_dtype_size(s->be->weight_type);
}

static void line(const stage *s, const char *what, double seconds, double operations,
                 double bytes)
{
    const double floor =
        fmax(s->rate > 0 ? operations / s->rate : 0, bytes / s->bandwidth);

    printf("%-34s %10.4f ms %9.4g TFLOP/s %9.4g GB/s   of floor %5.3f\n", what,
           1e3 * seconds, 1e-12 * operations / seconds, 1e-9 * bytes / seconds,
           floor / seconds);
    fflush(stdout);
}

static void bench_operations(stage *s)
{
    const double all = (double)s->rows * (double)s->width, m = (double)s->rows,
                 k = (double)s->width, e = (double)s->edge;
    const double w = (double)atn_dtype_size(s->be->weight_type);
    const double seen = HEADS * m * (m + 1) / 2;

    s->bandwidth = 8 * all / median(s, copy, ATN_CUDA_MARK_START, ATN_CUDA_MARK_END);
    s->rate = 32 * e * e * e /
              median(s, large_product, ATN_CUDA_MARK_START, ATN_CUDA_MARK_END);
    printf("\n%s: copy %.1f GB/s, product of %lld x %lld x %lld %.4g TFLOP/s\n",
           s->be->arithmetic, 1e-9 * s->bandwidth, (long long)s->edge,
           (long long)s->edge, (long long)(16 * s->edge), 1e-12 * s->rate);
#define TIME(op) median(s, op, ATN_CUDA_MARK_START, ATN_CUDA_MARK_END)
    line(s, "linear, bias", TIME(linear), 2 * m * k * k, 8 * all + w * k * k);
    line(s, "RMS norm", TIME(rms), 0, 8 * all);
    line(s, "layer norm", TIME(layer_norm), 0, 8 * all);
    line(s, "rotary embedding", TIME(rope), 0, 8 * all);
    line(s, "gated SiLU", TIME(gated), 0, 12 * all);
    line(s, "add", TIME(add), 0, 12 * all);
    line(s, "loss, results on the host", TIME(loss), 0, 4 * all);
    line(s, "attention, causal, 8 heads", TIME(attention), 4 * (double)s->d * seen,
         16 * m * HEADS * (double)s->d);
#undef TIME
}

/* Fused, in bf16: all tiles of the causal mask, and a fifth of them. Operations are those of
 * executed tiles. */
static void bench_lists(stage *s)
{
    static const struct {
        double share;
        const char *what;
    } cases[] = {{1, "attention over tiles, all"},
                 {0.2, "attention over tiles, a fifth"}};
    const double seen = (double)s->rows * HEADS * (double)s->d;
    const atn_tile_sizes sizes = {s->rows, s->rows, ATN_SPARSE_ROWS, ATN_SPARSE_KEYS};
    atn_sparse_launch l = {.heads = HEADS,
                           .kv_heads = HEADS,
                           .nq = s->rows,
                           .nk = s->rows,
                           .d = s->d,
                           .scale = s->head.scale,
                           .sight = {.causal = true, .key_last = s->rows}};
    atn_tile_list all;
    double t[REPEATS];

    if (s->d > ATN_SPARSE_DIM_MOST) return;
    must(s->cx, atn_tile_list_of_sight(s->cx, &l.sight, &sizes, &all));
    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        must(s->cx, atn_tile_list_thin(s->cx, &all, cases[i].share, HEADS, &l.list));
        must(s->cx, atn_sparse_time(s->cx, &l, WARM, REPEATS, t));
        qsort(t, REPEATS, sizeof *t, ascending);
        line(s, cases[i].what, (t[REPEATS / 2 - 1] + t[REPEATS / 2]) / 2,
             4.0 * ATN_SPARSE_ROWS * ATN_SPARSE_KEYS * (double)s->d *
                 (double)l.list.ptr[HEADS * all.tiles],
             4 * 2 * seen);
        atn_tile_list_release(s->cx, &l.list);
    }
    atn_tile_list_release(s->cx, &all);
}

static void bench_rows(stage *s, unsigned needs, const char *what)
{
    const double n = (double)s->tokens, entries = n * (n + 1) / 2;
    const double passes = needs & ATN_NEED_SUMS ? 2 : 1;
    double seconds;

    s->want.needs = needs;
    seconds = median(s, rows, ATN_CUDA_MARK_ROWS, ATN_CUDA_MARK_ROWS_END);
    line(s, what, seconds, passes * 2 * (double)s->d * entries,
         passes * input_bytes(s));
    printf("%-34s %10.4g visible entries a second\n", "", entries / seconds);
}

/* ---- buffers ---- */

static atn_buf noise(stage *s, atn_dtype type, atn_idx n)
{
    atn_buf b;

    must(s->cx, s->be->alloc(s->cx, type, n, &b));
    for (atn_idx at = 0; at < n; at += s->rows * s->width) /* host holds that many */
        must(s->cx, s->be->upload_widen(
                        s->cx, atn_buf_at(b, at, ATN_MIN(n - at, s->rows * s->width)),
                        s->host, ATN_F32));
    return b;
}

/* The cosines or sines of random angles: a rotation, however often, makes nothing larger. */
static atn_buf turns(stage *s, double (*of)(double))
{
    const atn_idx n = s->rows * s->d / 2;
    float *x = atn_alloc(s->cx, n, sizeof *x);
    atn_buf b;

    if (!x) exit(71);
    for (atn_idx i = 0; i < n; i++) x[i] = (float)of((double)s->host[i]);
    must(s->cx, s->be->alloc(s->cx, ATN_F32, n, &b));
    must(s->cx, s->be->upload(s->cx, b, x));
    atn_free(s->cx, x);
    return b;
}

static void open_stage(stage *s)
{
    const atn_idx all = s->rows * s->width;

    s->x = noise(s, ATN_F32, all);
    s->y = noise(s, ATN_F32, all);
    s->w = noise(s, s->be->weight_type, s->width * s->width);
    s->bias = noise(s, ATN_F32, s->width);
    s->cosine = turns(s, cos);
    s->sine = turns(s, sin);
    s->square = noise(s, ATN_F32, s->edge * s->edge);
    s->wide = noise(s, s->be->weight_type, 16 * s->edge * s->edge);
    must(s->cx, s->be->alloc(s->cx, ATN_F32, ATN_MAX(16 * s->edge * s->edge, all),
                             &s->product));
}

static void close_stage(stage *s)
{
    atn_buf *const list[] = {&s->x,    &s->y,      &s->w,    &s->bias,   &s->cosine,
                             &s->sine, &s->square, &s->wide, &s->product};

    for (size_t i = 0; i < ATN_LEN(list); i++) s->be->release(s->cx, list[i]);
}

static void operations(stage *s, int gpu, atn_math math)
{
    atn_backend *be = NULL;

    must(s->cx, atn_cuda_open(s->cx, gpu, math, &be));
    s->be = s->cx->backend = be;
    open_stage(s);
    bench_operations(s);
    if (math == ATN_MATH_BF16) bench_lists(s);
    close_stage(s);
    atn_cuda_close(s->cx, be);
}

/* On a backend of its own, so that the peak of its memory is the row pass's. */
static void row_pass(stage *s, int gpu, atn_math math)
{
    atn_backend *be = NULL;

    must(s->cx, atn_cuda_open(s->cx, gpu, math, &be));
    s->be = s->cx->backend = be;
    bench_rows(s, ATN_NEED_MOMENTS, "rows: entropy, moments");
    bench_rows(s, ATN_NEED_ALL, "rows: every number a row");
    bench_rows(s, ATN_NEED_ALL | ATN_NEED_SUMS, "rows, columns, diagonals, blocks");
    printf("%-34s %10.1f MiB of the GPU above queries and keys\n", "",
           ((double)atn_cuda_memory_of(be).peak - input_bytes(s)) / 1048576);
    atn_cuda_close(s->cx, be);
}

/* Host memory: random numbers, and where the row pass leaves its own. */
static void prepare(stage *s)
{
    const atn_idx n = s->tokens, blocks = (n + BLOCK - 1) / BLOCK;
    const atn_idx host = ATN_MAX(s->rows * s->width, 2 * n * s->d);
    atn_rng r = atn_rng_stream(0, "bench/cuda", 0, 0);
    double *fields = atn_alloc(s->cx, n * ATN_ROW_DEVICE_FIELDS, sizeof *fields);
    int32_t *tokens = atn_alloc(s->cx, n, sizeof *tokens);
    int64_t *earlier = atn_alloc(s->cx, n, sizeof *earlier);

    s->host = atn_alloc(s->cx, host, sizeof *s->host);
    s->targets = atn_alloc(s->cx, s->rows, sizeof *s->targets);
    s->lse = atn_alloc(s->cx, s->rows, sizeof *s->lse);
    s->hit = atn_alloc(s->cx, s->rows, sizeof *s->hit);
    s->out = (atn_row_out){
        .seen = atn_alloc(s->cx, n, sizeof *s->out.seen),
        .columns = atn_alloc(s->cx, n, sizeof *s->out.columns),
        .diagonals = atn_alloc(s->cx, 2 * n - 1, sizeof *s->out.diagonals),
        .blocks = atn_alloc(s->cx, blocks * blocks, sizeof *s->out.blocks)};
    if (!fields || !tokens || !earlier || !s->host || !s->targets || !s->lse ||
        !s->hit || !s->out.seen || !s->out.columns || !s->out.diagonals ||
        !s->out.blocks)
        exit(71);
    for (atn_idx i = 0; i < host; i++) s->host[i] = (float)atn_rng_normal(&r);
    for (atn_idx i = 0; i < n; i++) {
        tokens[i] = (int32_t)i; /* no token comes twice */
        earlier[i] = -1;
    }
    for (int f = 0; f < ATN_ROW_DEVICE_FIELDS; f++) s->out.value[f] = fields + f * n;
    s->head = (atn_head){.q = {s->host, n, s->d, s->d},
                         .k = {s->host + n * s->d, n, s->d, s->d},
                         .nq = n,
                         .nk = n,
                         .scale = 1 / sqrt((double)s->d),
                         .sight = {.causal = true, .key_last = n}};
    s->want = (atn_row_want){
        .top_k = 8, .block = BLOCK, .tokens = tokens, .earlier = earlier};
}

static void dispose(stage *s)
{
    void *const list[] = {s->host,
                          s->targets,
                          s->lse,
                          s->hit,
                          s->out.seen,
                          s->out.columns,
                          s->out.diagonals,
                          s->out.blocks,
                          s->out.value[0],
                          (void *)(uintptr_t)s->want.tokens,
                          (void *)(uintptr_t)s->want.earlier};

    for (size_t i = 0; i < ATN_LEN(list); i++) atn_free(s->cx, list[i]);
}

int main(int argc, char **argv)
{
    static const atn_math maths[] = {ATN_MATH_F32, ATN_MATH_TF32, ATN_MATH_BF16};
    const atn_idx tokens = argc > 1 ? atoll(argv[1]) : 131072,
                  d = argc > 2 ? atoll(argv[2]) : 128;
    const int gpu = argc > 3 ? atoi(argv[3]) : 0;
    const char *only = argc > 4 ? argv[4] : NULL;
    atn_backend *be = NULL;
    stage s = {.tokens = tokens, .d = d, .rows = ATN_MIN(tokens, 32768)};
    atn_ctx cx;

    if (tokens < 1 || tokens > 1 << 20 || d < 2 || d > 256 || d % 2) {
        fprintf(stderr, "usage: bench_cuda [tokens [head dimension, even, to 256 [GPU "
                        "[f32|tf32|bf16]]]]\n");
        return 64;
    }
    atn_runtime_open();
    atn_ctx_init(&cx);
    cx.log_level = ATN_LOG_WARN;
    s.cx = &cx;
    s.edge = ATN_MIN(tokens, 4096);
    s.width = ATN_MAX(s.edge / d * d, HEADS * d);
    must(&cx, atn_cuda_open(&cx, gpu, ATN_MATH_F32, &be)); /* before minutes of noise */
    printf("%s, compute capability %d.%d, %d processors, %.1f GiB; kernels %s\n",
           atn_cuda_info(be)->name, atn_cuda_info(be)->major, atn_cuda_info(be)->minor,
           atn_cuda_info(be)->sm_count,
           (double)atn_cuda_info(be)->total_bytes / 1073741824, atn_cuda_built_for());
    printf("row pass: %lld tokens, head dimension %lld, causal, one head; the rest: "
           "%lld rows of "
           "%lld\n",
           (long long)tokens, (long long)d, (long long)s.rows, (long long)s.width);
    atn_cuda_close(&cx, be);
    prepare(&s);
    for (size_t i = 0; i < ATN_LEN(maths); i++) {
        if (only && strcmp(only, atn_math_name(maths[i])) != 0) continue;
        operations(&s, gpu, maths[i]);
        row_pass(&s, gpu, maths[i]);
    }
    dispose(&s);
    atn_ctx_release(&cx);
    return 0;
}
