/* tests/core/test_backends.c -- every operation of the table, on every backend, against a plain
 * twin in double.
 *
 * On the CPU; with ATN_TEST_DEVICE=shim or =gpu on the CUDA backend, in each arithmetic.
 * Agreement, as normalised mean square error: 1e-12 on the CPU, 1e-7 in float on a GPU. Products
 * in tf32 or bf16 may err at most twice as much as the twin whose operands are rounded alike.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "core/rng.h"
#include "device.h"

/* What a run compares with: set once a backend, read by everything below. */
static atn_math math;
static double tolerance;

typedef struct tensor {
    atn_buf buf;
    float *host;
    atn_idx n;
} tensor;

static void fill(int id, atn_idx n, float *x)
{
    atn_rng r = atn_rng_stream(9, "test/backends", id, 0);

    for (atn_idx i = 0; i < n; i++) x[i] = (float)atn_rng_normal(&r);
}

static tensor make_as(atn_ctx *cx, int id, atn_idx n, atn_dtype type)
{
    tensor t = {.host = calloc((size_t)n, sizeof(float)), .n = n};

    fill(id, n, t.host);
    CHECK_OK(cx->backend->alloc(cx, type, n, &t.buf));
    if (type == ATN_F32)
        CHECK_OK(cx->backend->upload(cx, t.buf, t.host));
    else
        CHECK_OK(cx->backend->upload_widen(cx, t.buf, t.host, ATN_F32));
    return t;
}

static tensor make(atn_ctx *cx, int id, atn_idx n)
{
    return make_as(cx, id, n, ATN_F32);
}

static void drop(atn_ctx *cx, tensor *t)
{
    cx->backend->release(cx, &t->buf);
    free(t->host);
}

/* An operand of a product as this arithmetic sees it: nearest even in bf16, ties away from
 * zero in tf32, by way of frexp (nothing shared with the kernels' bit tricks). */
static double rounded(double x)
{
    int e;
    const double f = frexp(x, &e);

    if (math == ATN_MATH_BF16) return ldexp(nearbyint(ldexp(f, 8)), e - 8);
    if (math == ATN_MATH_TF32) return ldexp(round(ldexp(f, 11)), e - 11);
    return x;
}

static double square_error(const double *a, const double *b, atn_idx n, double *norm)
{
    double error = 0;

    *norm = 0;
    for (atn_idx i = 0; i < n; i++) {
        error += (a[i] - b[i]) * (a[i] - b[i]);
        *norm += b[i] * b[i];
    }
    return error;
}

/* Compares a buffer with what it should hold; twin: the same with rounded operands. */
static void check_product(atn_ctx *cx, atn_buf buf, const double *want,
                          const double *twin)
{
    float *got = calloc((size_t)buf.count, sizeof *got);
    double *wide = calloc((size_t)buf.count, sizeof *wide), norm, allowed;

    CHECK_OK(cx->backend->download(cx, buf, got));
    for (atn_idx i = 0; i < buf.count; i++) wide[i] = (double)got[i];
    allowed = 4 * square_error(twin, want, buf.count, &norm) + tolerance * norm;
    CHECK_LE(square_error(wide, want, buf.count, &norm), allowed);
    free(got);
    free(wide);
}

static void check_tensor(atn_ctx *cx, atn_buf buf, const double *want)
{
    check_product(cx, buf, want, want);
}

/* m and n beyond one panel, both orientations, with and without bias and accumulation. */
static void linear(atn_ctx *cx)
{
    enum { M = 131, N = 517, K = 19 };

    for (int c = 0; c < 8; c++) {
        tensor x = make(cx, 1, M * K), b = make(cx, 3, N), y = make(cx, 4, M * N);
        tensor w = make_as(cx, 2, N * K, cx->backend->weight_type);
        double *want = calloc(M * N, sizeof *want), *twin = calloc(M * N, sizeof *twin);
        const bool kn = c & 1, more = c & 2, bias = c & 4;

        for (int i = 0; i < M; i++)
            for (int j = 0; j < N; j++) {
                double sum = (more ? (double)y.host[i * N + j] : 0) +
                             (bias ? (double)b.host[j] : 0);
                double near = sum;
                for (int k = 0; k < K; k++) {
                    const double u = (double)x.host[i * K + k],
                                 v = (double)w.host[kn ? k * N + j : j * K + k];
                    sum += u * v;
                    near += rounded(u) * rounded(v);
                }
                want[i * N + j] = sum;
                twin[i * N + j] = near;
            }
        CHECK_OK(cx->backend->linear(cx, x.buf, w.buf, bias ? b.buf : (atn_buf){0}, kn,
                                     more, M, N, K, y.buf));
        check_product(cx, y.buf, want, twin);
        free(want);
        free(twin);
        drop(cx, &x), drop(cx, &w), drop(cx, &b), drop(cx, &y);
    }
}

static void add(atn_ctx *cx)
{
    tensor x = make(cx, 5, 4 * 3), y = make(cx, 6, 4 * 3);
    double want[12];

    for (int i = 0; i < 12; i++) want[i] = (double)x.host[i] + (double)y.host[i];
    CHECK_OK(cx->backend->add(cx, x.buf, 12, y.buf));
    check_tensor(cx, y.buf, want);
    drop(cx, &x), drop(cx, &y);
}

/* Rows longer and shorter than a block of threads; in place; with and without bias. */
static void norm(atn_ctx *cx)
{
    static const int widths[] = {1, 33, 700};

    for (int c = 0; c < 12; c++) {
        enum { ROWS = 5 };
        const int n = widths[c % 3];
        const bool rms = c & 4, in_place = c >= 8;
        tensor x = make(cx, 20, ROWS * n), w = make(cx, 21, n), b = make(cx, 22, n),
               y = make(cx, 23, ROWS * n);
        double *want = calloc((size_t)(ROWS * n), sizeof *want);

        for (int i = 0; i < ROWS; i++) {
            double mean = 0, square = 0;
            for (int j = 0; j < n; j++) mean += (double)x.host[i * n + j] / n;
            if (rms) mean = 0;
            for (int j = 0; j < n; j++)
                square += pow((double)x.host[i * n + j] - mean, 2) / n;
            for (int j = 0; j < n; j++)
                want[i * n + j] = ((double)x.host[i * n + j] - mean) /
                                      sqrt(square + 1e-5) *
                                      ((double)w.host[j] + (rms ? 1 : 0)) +
                                  (rms ? 0 : (double)b.host[j]);
        }
        CHECK_OK(cx->backend->norm(cx, rms ? ATN_NORM_RMS : ATN_NORM_LAYER, x.buf,
                                   w.buf, rms ? (atn_buf){0} : b.buf, 1e-5f,
                                   rms ? 1 : 0, ROWS, n, in_place ? x.buf : y.buf));
        check_tensor(cx, in_place ? x.buf : y.buf, want);
        free(want);
        drop(cx, &x), drop(cx, &w), drop(cx, &b), drop(cx, &y);
    }
}

static double act(atn_act kind, double x)
{
    switch (kind) {
    case ATN_ACT_SILU:
        return x / (1 + exp(-x));
    case ATN_ACT_GELU:
        return .5 * x * (1 + erf(x / sqrt(2)));
    case ATN_ACT_GELU_TANH:
        return .5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + .044715 * x * x * x)));
    case ATN_ACT_RELU:
        break;
    }
    return x > 0 ? x : 0;
}

static void activate(atn_ctx *cx)
{
    enum { N = 1003 };

    for (int c = 0; c < 8; c++) {
        const atn_act kind = (atn_act)(c / 2);
        tensor x = make(cx, 24, N), gate = make(cx, 25, N), y = make(cx, 26, N);
        double want[N];

        for (int i = 0; i < N; i++)
            want[i] = act(kind, (double)x.host[i]) * (c & 1 ? (double)gate.host[i] : 1);
        CHECK_OK(cx->backend->activate(cx, kind, x.buf, c & 1 ? gate.buf : (atn_buf){0},
                                       N, y.buf));
        check_tensor(cx, y.buf, want);
        drop(cx, &x), drop(cx, &gate), drop(cx, &y);
    }
}

static void rope(atn_ctx *cx)
{
    enum { N = 5, H = 3, D = 8, R = 6 };
    tensor x = make(cx, 7, N * H * D), turn = make(cx, 7, N * R);
    const atn_buf cosine = atn_buf_at(turn.buf, 0, N * R / 2),
                  sine = atn_buf_at(turn.buf, N * R / 2, N * R / 2);
    float c[N * R / 2], s[N * R / 2];
    double want[N * H * D];

    for (int i = 0; i < N * R / 2; i++) {
        c[i] = (float)cos(.3 * i);
        s[i] = (float)sin(.3 * i);
    }
    for (int i = 0; i < N * H * D; i++) {
        const int t = i / (H * D), j = i % D, half = R / 2;
        const float *at = x.host + i;
        want[i] = j >= R     ? (double)*at
                  : j < half ? (double)at[0] * c[t * half + j] -
                                   (double)at[half] * s[t * half + j]
                             : (double)at[0] * c[t * half + j - half] +
                                   (double)at[-half] * s[t * half + j - half];
    }
    CHECK_OK(cx->backend->upload(cx, cosine, c));
    CHECK_OK(cx->backend->upload(cx, sine, s));
    CHECK_OK(cx->backend->rope(cx, x.buf, cosine, sine, N, H, D, R));
    check_tensor(cx, x.buf, want);
    drop(cx, &x), drop(cx, &turn);
}

/* ---- attention ---- */

enum { N = 77, H = 4, KV = 2, D = 6, DV = 5 };

/* Output and weights of the definition; operands through `as`. */
static void attention_twin(const atn_attn_args *a, const float *q, const float *k,
                           const float *v, double (*as)(double), double *out, double *p)
{
    const atn_idx group = a->heads / a->kv_heads;

    for (atn_idx h = 0; h < a->heads; h++)
        for (atn_idx i = 0; i < a->nq; i++) {
            double *row = p + (h * a->nq + i) * a->nk, sum = 0;
            double *to = out + (i * a->heads + h) * a->dv;
            atn_idx lo, hi;

            atn_sight_row(&a->sight, i, &lo, &hi);
            if (a->sink && lo < hi) sum = exp((double)a->sink[h]);
            for (atn_idx j = lo; j < hi; j++) {
                const float *x = q + (i * a->heads + h) * a->d,
                            *y = k + (j * a->kv_heads + h / group) * a->d;
                double s = 0;
                for (atn_idx c = 0; c < a->d; c++)
                    s += as((double)x[c]) * as((double)y[c]);
                s *= a->scale;
                if (a->alibi_slope)
                    s += (double)a->alibi_slope[h] * (double)(j - i - a->sight.offset);
                if (a->rel_bias)
                    s += (double)
                             a->rel_bias[h * (a->nq + a->nk - 1) + a->nq - 1 + j - i];
                if (a->sight.softcap > 0)
                    s = a->sight.softcap * tanh(s / a->sight.softcap);
                row[j] = exp(s);
                sum += row[j];
            }
            for (atn_idx j = lo; j < hi; j++) {
                row[j] /= sum;
                for (atn_idx c = 0; c < a->dv; c++)
                    to[c] += as(row[j]) *
                             as((double)v[(j * a->kv_heads + h / group) * a->dv + c]);
            }
        }
}

static double same(double x)
{
    return x;
}

/* `a` says sizes, masks and biases; buffers are made here. */
static void attention_case(atn_ctx *cx, atn_attn_args a, bool want_p)
{
    const atn_idx n_out = a.nq * a.heads * a.dv, n_p = a.heads * a.nq * a.nk;
    tensor q = make(cx, 8, a.nq * a.heads * a.d),
           k = make(cx, 9, a.nk * a.kv_heads * a.d),
           v = make(cx, 10, a.nk * a.kv_heads * a.dv);
    tensor out = make(cx, 11, n_out), p = make(cx, 12, n_p);
    double *o[2], *w[2];

    a.q = q.buf;
    a.k = k.buf;
    a.v = v.buf;
    a.out = out.buf;
    a.scale = .7;
    if (want_p) a.p = p.buf;
    for (int i = 0; i < 2; i++) {
        o[i] = calloc((size_t)n_out, sizeof **o);
        w[i] = calloc((size_t)n_p, sizeof **w);
        attention_twin(&a, q.host, k.host, v.host, i ? rounded : same, o[i], w[i]);
    }
    CHECK_OK(cx->backend->attention(cx, &a));
    check_product(cx, out.buf, o[0], o[1]);
    if (want_p) check_product(cx, p.buf, w[0], w[1]);
    for (int i = 0; i < 2; i++) free(o[i]), free(w[i]);
    drop(cx, &q), drop(cx, &k), drop(cx, &v), drop(cx, &out), drop(cx, &p);
}

static void small_case(atn_ctx *cx, atn_sight sight, const float *sink,
                       const float *slope, const float *rel, bool want_p)
{
    const atn_attn_args a = {.heads = H,
                             .kv_heads = KV,
                             .nq = N,
                             .nk = N,
                             .d = D,
                             .dv = DV,
                             .sight = sight,
                             .sink = sink,
                             .alibi_slope = slope,
                             .rel_bias = rel};

    attention_case(cx, a, want_p);
}

/* GQA, token-major heads, every mask and bias of the row stream. */
static void attention(atn_ctx *cx)
{
    static const float sink[H] = {.5f, -1, 2, 0}, slope[H] = {.25f, .5f, .1f, 0};
    static float rel[H * (2 * N - 1)];

    fill(13, H * (2 * N - 1), rel);

    small_case(cx, (atn_sight){.causal = true, .key_last = N}, NULL, NULL, NULL, true);
    small_case(cx, (atn_sight){.causal = true, .key_last = N}, NULL, NULL, NULL, false);
    small_case(cx, (atn_sight){.causal = true, .window = 9, .key_last = N}, sink, NULL,
               NULL, true);
    small_case(cx, (atn_sight){.key_first = 3, .key_last = N - 5, .softcap = 2}, NULL,
               slope, NULL, true);
    small_case(cx, (atn_sight){.window = 7, .key_last = N}, sink, slope, NULL, false);
    small_case(cx, (atn_sight){.key_last = N}, NULL, NULL, rel, true);
    small_case(cx, (atn_sight){.causal = true, .key_last = N, .softcap = 3}, sink, NULL,
               rel, false);
}

/* More keys, heads and rows than one tile of a GPU has; rows that see nothing. */
static void long_attention(atn_ctx *cx)
{
    static const float sink[3] = {1, -2, 6};
    static float rel[17 * (800 + 1030 - 1)];
    const atn_attn_args groups = {
        .heads = 3,
        .kv_heads = 1,
        .nq = 300,
        .nk = 2100,
        .d = 4,
        .dv = 3,
        .sight = {.causal = true, .offset = 1600, .key_first = 1, .key_last = 2100},
        .sink = sink,
        .rel_bias = rel};
    const atn_attn_args windows = {
        .heads = 2,
        .kv_heads = 2,
        .nq = 1500,
        .nk = 1500,
        .d = 2,
        .dv = 2,
        .sight = {.causal = true, .window = 100, .key_first = 70, .key_last = 1490}};
    const atn_attn_args wide = {.heads = 17,
                                .kv_heads = 17,
                                .nq = 800,
                                .nk = 1030,
                                .d = 1,
                                .dv = 1,
                                .sight = {.key_last = 1030},
                                .rel_bias = rel};

    fill(14, ATN_LEN(rel), rel);
    attention_case(cx, groups, true);
    attention_case(cx, windows, false);
    attention_case(cx, wide, false);
}

/* NaN in a query is found, with its row. */
static void attention_nan(atn_ctx *cx)
{
    tensor q = make(cx, 8, N * H * D), k = make(cx, 9, N * KV * D),
           v = make(cx, 10, N * KV * DV), out = make(cx, 11, N * H * DV);
    const atn_attn_args a = {.q = q.buf,
                             .k = k.buf,
                             .v = v.buf,
                             .out = out.buf,
                             .heads = H,
                             .kv_heads = KV,
                             .nq = N,
                             .nk = N,
                             .d = D,
                             .dv = DV,
                             .scale = .7,
                             .sight = {.causal = true, .key_last = N},
                             .layer = 3};
    atn_status st;

    q.host[(40 * H + 2) * D] = NAN;
    CHECK_OK(cx->backend->upload(cx, q.buf, q.host));
    st = cx->backend->attention(cx, &a);
    if (st == ATN_OK) st = cx->backend->download(cx, out.buf, out.host);
    CHECK_EQ(st, ATN_DATA);
    CHECK(strstr(cx->err.text, "layer 3, head 2, row 40") != NULL);
    atn_err_clear(cx);
    drop(cx, &q), drop(cx, &k), drop(cx, &v), drop(cx, &out);
}

/* In one chunk and in three: the log-sum-exp and the target's logit. */
static void cross_entropy(atn_ctx *cx)
{
    enum { ROWS = 4, V = 999 };
    const int32_t targets[ROWS] = {3, 500, 998, 0};

    for (int chunks = 1; chunks <= 3; chunks += 2) {
        tensor all = make(cx, 13, ROWS * V);
        double lse[ROWS] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY},
               hit[ROWS] = {0};
        const int width = V / chunks;

        for (int c = 0; c < chunks; c++) {
            tensor part = make(cx, 14, ROWS * width);

            for (int i = 0; i < ROWS * width; i++)
                part.host[i] = all.host[i / width * V + c * width + i % width];
            CHECK_OK(cx->backend->upload(cx, part.buf, part.host));
            CHECK_OK(cx->backend->cross_entropy(cx, part.buf, targets, ROWS, width,
                                                c * width, lse, hit));
            drop(cx, &part);
        }
        for (int i = 0; i < ROWS; i++) {
            double sum = 0;
            for (int j = 0; j < V; j++) sum += exp((double)all.host[i * V + j]);
            CHECK_NEAR(lse[i], log(sum), 1e-6 * log(sum));
            CHECK_NEAR(hit[i], all.host[i * V + targets[i]], 0);
        }
        drop(cx, &all);
    }
}

/* ---- copies ---- */

static void widen(atn_ctx *cx)
{
    const uint16_t bf16[] = {0x3f80, 0xc000, 0x3e80}, /* 1, -2, .25 */
        f16[] = {0x3c00, 0x0001, 0xfbff};             /* 1, 2^-24, -65504 */
    const double f64[] = {1, -3, .125};
    const double want[3][3] = {{1, -2, .25}, {1, ldexp(1, -24), -65504}, {1, -3, .125}};
    tensor t = make(cx, 14, 3);

    CHECK_OK(cx->backend->upload_widen(cx, t.buf, bf16, ATN_BF16));
    check_tensor(cx, t.buf, want[0]);
    CHECK_OK(cx->backend->upload_widen(cx, t.buf, f16, ATN_F16));
    check_tensor(cx, t.buf, want[1]);
    CHECK_OK(cx->backend->upload_widen(cx, t.buf, f64, ATN_F64));
    check_tensor(cx, t.buf, want[2]);
    drop(cx, &t);
}

/* Larger than the staging of a GPU (two slots of 32 MiB), and of odd size. */
static void long_copies(atn_ctx *cx)
{
    enum { LONG = 17 * (1 << 20) + 3, WIDENED = (1 << 24) + 3 };
    tensor t = make(cx, 15, LONG);
    uint16_t *half = calloc(WIDENED, sizeof *half);
    float *back = calloc(LONG, sizeof *back);

    CHECK_OK(cx->backend->download(cx, t.buf, back));
    CHECK_EQ(memcmp(back, t.host, LONG * sizeof *back), 0);
    for (int i = 0; i < WIDENED; i++) half[i] = (uint16_t)(0x3f80 + i % 64);
    CHECK_OK(
        cx->backend->upload_widen(cx, atn_buf_at(t.buf, 0, WIDENED), half, ATN_BF16));
    CHECK_OK(cx->backend->download(cx, t.buf, back));
    for (int i = 0; i < WIDENED; i++) CHECK(back[i] == 1 + (float)(i % 64) / 128);
    free(half);
    free(back);
    drop(cx, &t);
}

/* Head planes of more tokens than one slot of a GPU holds. */
static void heads_apart(atn_ctx *cx)
{
    enum { TOKENS = 40001, HEADS_OF_IT = 7, WIDTH = 9 };
    tensor t = make(cx, 16, TOKENS * HEADS_OF_IT * WIDTH);
    float *planes = calloc((size_t)t.n, sizeof *planes);

    CHECK_OK(
        cx->backend->download_heads(cx, t.buf, TOKENS, HEADS_OF_IT, WIDTH, planes));
    for (int i = 0; i < TOKENS; i++)
        for (int h = 0; h < HEADS_OF_IT; h++)
            CHECK_EQ(memcmp(planes + (h * TOKENS + i) * WIDTH,
                            t.host + (i * HEADS_OF_IT + h) * WIDTH,
                            WIDTH * sizeof *planes),
                     0);
    free(planes);
    drop(cx, &t);
}

/* ---- the row pass: the CPU's is the reference, its own twin is in test_row_values.c ---- */

enum { HEADS = 3, NR = 200, NC = 270, NB = (NR + 63) / 64 * ((NC + 63) / 64) };

typedef struct results {
    int64_t seen[HEADS][NR];
    double value[HEADS][ATN_ROW_FIELDS][NR], columns[HEADS][NC],
        diagonals[HEADS][NR + NC], blocks[HEADS][NB];
} results;

static void walk(atn_ctx *cx, const atn_head *heads, const atn_row_want *want,
                 results *r)
{
    atn_row_out out[HEADS];

    memset(r, 0, sizeof *r);
    for (int h = 0; h < HEADS; h++) {
        out[h] = (atn_row_out){.seen = r->seen[h],
                               .columns = r->columns[h],
                               .diagonals = r->diagonals[h],
                               .blocks = r->blocks[h]};
        for (int f = 0; f < ATN_ROW_FIELDS; f++) out[h].value[f] = r->value[h][f];
    }
    CHECK_OK(atn_row_values(cx, heads, HEADS, want, out));
}

static void compare(const double *got, const double *want, const double *twin,
                    atn_idx n)
{
    double norm, away = square_error(twin, want, n, &norm);

    CHECK_LE(square_error(got, want, n, &norm), 4 * away + tolerance * norm);
    /* the same operands: as close as float sums are */
    away = square_error(got, twin, n, &norm);
    CHECK_LE(away, 1e-7 * norm);
}

typedef struct row_example {
    int nq, nk, d;
    atn_sight sight;
    bool sink;
    double slope, scale;
    unsigned needs;
    bool rel;
} row_example;

/* Rows of d numbers, and the same rounded as the arithmetic does. */
static void make_rows(int id, int n, float *x[2])
{
    for (int i = 0; i < 2; i++) {
        x[i] = calloc((size_t)n, sizeof **x);
        fill(id, n, x[i]);
        for (int e = 0; i && e < n; e++) x[i][e] = (float)rounded((double)x[i][e]);
    }
}

static void row_case(atn_ctx *cx, row_example x)
{
    static results want, twin, got;
    const atn_backend *device = cx->backend;
    /* wider heads than the matrix kernel of tf32 takes run in plain float */
    const bool plain = math == ATN_MATH_TF32 && x.d > 128;
    float *q[2], *k[2], *rel = calloc((size_t)(HEADS * (x.nq + x.nk)), sizeof *rel);
    int32_t tokens[NC];
    int64_t earlier[NC];
    atn_head heads[2][HEADS];
    const atn_row_want w = {.needs = x.needs,
                            .top_k = 5,
                            .block = 64,
                            .tokens = tokens,
                            .earlier = earlier};

    make_rows(30, HEADS * x.nq * x.d, q);
    make_rows(31, 2 * x.nk * x.d, k);
    fill(32, HEADS * (x.nq + x.nk), rel);
    for (int i = 0; i < 2; i++)
        for (int h = 0; h < HEADS; h++) /* heads 0 and 1 share their keys; 2 is plain */
            heads[i][h] = (atn_head){
                .q = {q[i] + h * x.nq * x.d, x.nq, x.d, x.d},
                .k = {k[i] + h / 2 * x.nk * x.d, x.nk, x.d, x.d},
                .nq = x.nq,
                .nk = x.nk,
                .scale = x.scale / sqrt(x.d),
                .sight = x.sight,
                .has_sink = x.sink,
                .sink = .3 * h,
                .alibi_slope = x.slope * h,
                .rel_bias = x.rel && h != 2 ? rel + h * (x.nq + x.nk - 1) : NULL,
                .rel_zero = x.nq - 1 + x.sight.offset,
                .head = h};
    for (int j = 0; j < x.nk; j++) { /* a token may follow itself */
        tokens[j] = j / 2 * 7 % 11;
        earlier[j] = j - 1;
        while (earlier[j] >= 0 && tokens[earlier[j]] != tokens[j]) earlier[j]--;
    }
    cx->backend = &atn_backend_cpu;
    walk(cx, heads[0], &w, &want);
    walk(cx, heads[plain ? 0 : 1], &w, &twin);
    cx->backend = device;
    walk(cx, heads[0], &w, &got);
    CHECK_EQ(memcmp(got.seen, want.seen, sizeof got.seen), 0);
    for (int h = 0; h < HEADS; h++) {
        for (int f = 0; f < ATN_ROW_FIELDS; f++)
            compare(got.value[h][f], want.value[h][f], twin.value[h][f], x.nq);
        compare(got.columns[h], want.columns[h], twin.columns[h], x.nk);
        compare(got.diagonals[h], want.diagonals[h], twin.diagonals[h],
                x.nq + x.nk - 1);
        compare(got.blocks[h], want.blocks[h], twin.blocks[h], NB);
    }
    for (int i = 0; i < 2; i++) free(q[i]), free(k[i]);
    free(rel);
}

enum { EVERYTHING = ATN_NEED_ALL | ATN_NEED_SUMS };

/* Every width of the kernels, every mask, more rows and keys than one tile. */
static void row_values(atn_ctx *cx)
{
    const row_example all[] = {
        {NR,
         NC,
         24,
         {.causal = true, .offset = NC - NR},
         false,
         0,
         2,
         EVERYTHING,
         false},
        {NR, NC, 64, {.causal = true, .window = 40}, true, 0, 2, EVERYTHING, false},
        {NR, NC, 100, {0}, false, 0, 2, ATN_NEED_MOMENTS | ATN_NEED_LOCAL, false},
        {NR,
         NC,
         128,
         {.causal = true, .key_first = 20, .key_last = NC - 7, .softcap = 3},
         false,
         .05,
         2,
         EVERYTHING,
         false},
        {NR, NC, 160, {.window = 12}, true, 0, 2, EVERYTHING, false},
        {NR,
         NC,
         16,
         {.causal = true, .offset = -60},
         true,
         0,
         2,
         ATN_NEED_TOPK | ATN_NEED_FIRST,
         false},
        /* the first key has nearly everything */
        {NR, NR, 64, {.causal = true}, true, -2, 2, EVERYTHING, false},
        {NR, NC, 64, {0}, false, 0, 2, EVERYTHING, true}, /* cross-attention, T5 */
        {NR, NR, 100, {.causal = true}, true, 0, 2, EVERYTHING, true},
        {NR, NR, 200, {.softcap = 2}, true, 0, 2, EVERYTHING, true}};

    for (size_t i = 0; i < ATN_LEN(all); i++) {
        row_example x = all[i];
        if (x.sight.key_last == 0) x.sight.key_last = x.nk;
        row_case(cx, x);
    }
}

/* Lengths, offsets, windows and paddings that fall everywhere within the tiles. */
static void row_values_random(atn_ctx *cx)
{
    atn_rng r = atn_rng_stream(10, "test/backends", 0, 0);

    for (int i = 0; i < 16; i++) {
        row_example x = {.nq = 1 + (int)atn_rng_below(&r, NR),
                         .nk = 1 + (int)atn_rng_below(&r, NC),
                         .d = 1 + (int)atn_rng_below(&r, 80),
                         .scale = i % 5 == 4 ? -2 : 2,
                         .sink = i % 3 == 0,
                         .slope = i % 4 == 3 ? .02 : 0,
                         .rel = i % 6 == 2,
                         .needs = EVERYTHING};

        x.sight = (atn_sight){.causal = i % 2 == 0,
                              .offset = atn_rng_below(&r, 140) - 40,
                              .window = i % 4 < 2 ? 0 : 1 + atn_rng_below(&r, 150),
                              .key_first = atn_rng_below(&r, ATN_MIN(x.nk, 70)),
                              .softcap = i % 8 == 7 ? 4 : 0};
        x.sight.key_last = x.nk - atn_rng_below(&r, x.nk - x.sight.key_first);
        if (x.sight.offset < 0 || x.sight.offset + x.nq > x.nk)
            x.needs &= ~(unsigned)ATN_NEED_TOKENS; /* a query without a token */
        row_case(cx, x);
    }
}

/* What no kernel computes comes from the CPU: bitwise what it says without a device. So does all
 * of a head that holds some of its rows. */
static void row_values_rest(atn_ctx *cx)
{
    enum { ALONG = 130, WIDTH = 16 };
    static results want, got;
    const atn_backend *device = cx->backend;
    const atn_idx rows[] = {3, 50, 51, 129};
    const unsigned rest = ATN_NEED_MAX | ATN_NEED_COVER | ATN_NEED_SPAN;
    atn_row_want w = {.needs =
                          rest | ATN_NEED_MOMENTS | ATN_NEED_COLUMNS | ATN_NEED_BLOCKS,
                      .top_k = 1,
                      .block = 64,
                      .block_keys = 32};
    atn_head heads[HEADS];
    float *q[2], *k[2];

    make_rows(32, ALONG * WIDTH, q);
    make_rows(33, ALONG * WIDTH, k);
    for (int h = 0; h < HEADS; h++)
        heads[h] = (atn_head){.q = {q[0], ALONG, WIDTH, WIDTH},
                              .k = {k[0], ALONG, WIDTH, WIDTH},
                              .nq = ALONG,
                              .nk = ALONG,
                              .scale = .25,
                              .sight = {.causal = true, .key_last = ALONG}};
    cx->backend = &atn_backend_cpu;
    walk(cx, heads, &w, &want);
    cx->backend = device;
    walk(cx, heads, &w, &got);
    for (int f = ATN_ROW_MAX; f <= ATN_ROW_SPAN_95; f++)
        CHECK_EQ(memcmp(got.value[2][f], want.value[2][f], sizeof got.value[2][f]), 0);
    CHECK_EQ(memcmp(got.blocks, want.blocks, sizeof got.blocks), 0);
    for (int j = 0; j < ALONG; j++)
        CHECK_NEAR(got.columns[0][j], want.columns[0][j],
                   math == ATN_MATH_F32 ? 1e-4 : .1 * (1 + want.columns[0][j]));
    w.needs = rest | ATN_NEED_MOMENTS;
    for (int h = 0; h < HEADS; h++)
        CHECK_OK(atn_head_sample(cx, &heads[h], rows, ATN_LEN(rows), &heads[h]));
    cx->backend = &atn_backend_cpu;
    walk(cx, heads, &w, &want);
    cx->backend = device;
    walk(cx, heads, &w, &got);
    CHECK_EQ(memcmp(&got, &want, sizeof got), 0);
    for (int i = 0; i < 2; i++) free(q[i]), free(k[i]);
}

/* A logit that overflows is bad in every arithmetic, whatever its sign. */
static void row_values_overflow(atn_ctx *cx)
{
    static results r;
    float q[2] = {1e20F, 0}, k[6] = {1, 0, 1, 0, -1e20F, 0};
    atn_head head = {.q = {q, 1, 2, 2},
                     .k = {k, 3, 2, 2},
                     .nq = 1,
                     .nk = 3,
                     .scale = 1,
                     .sight = {.key_last = 3},
                     .head = 4};
    const atn_row_want want = {.needs = ATN_NEED_FIRST, .top_k = 1};
    atn_row_out out = {.seen = r.seen[0]};

    for (int f = 0; f < ATN_ROW_FIELDS; f++) out.value[f] = r.value[0][f];
    CHECK_FAILS(atn_row_values(cx, &head, 1, &want, &out), ATN_DATA, "head 4, row 0");
    k[0] = -1e20F; /* the first key is kept apart */
    k[4] = 1;
    CHECK_FAILS(atn_row_values(cx, &head, 1, &want, &out), ATN_DATA, "head 4, row 0");
}

/* The tile of the row stream, whatever backend fills it. */
static void rows_fill(atn_ctx *cx)
{
    enum { ROWS = 7, KEYS = 9, WIDTH = 5 };
    float q[ROWS * WIDTH], k[KEYS * WIDTH], p[ROWS * KEYS];
    atn_row_info info[ROWS];
    const atn_head h = {.q = {q, ROWS, WIDTH, WIDTH},
                        .k = {k, KEYS, WIDTH, WIDTH},
                        .nq = ROWS,
                        .nk = KEYS,
                        .scale = .5,
                        .sight = {.causal = true, .offset = 2, .key_last = KEYS}};
    const atn_tile t = atn_tile_of(&h, 0, ROWS);

    fill(40, ROWS * WIDTH, q);
    fill(41, KEYS * WIDTH, k);
    CHECK_EQ(t.keys, KEYS);
    CHECK_OK(cx->backend->rows_fill(cx, &h, &t, (atn_mat){p, ROWS, KEYS, KEYS}, info));
    for (int i = 0; i < ROWS; i++) {
        double e[KEYS] = {0}, sum = 0;
        for (int j = 0; j <= i + 2; j++) {
            double s = 0;
            for (int c = 0; c < WIDTH; c++)
                s += (double)q[i * WIDTH + c] * (double)k[j * WIDTH + c];
            sum += e[j] = exp(.5 * s);
        }
        for (int j = 0; j < KEYS; j++) CHECK_NEAR(p[i * KEYS + j], e[j] / sum, 1e-6);
    }
}

/* ---- memory ---- */

static void room(atn_ctx *cx)
{
    CHECK_OK(cx->backend->room(cx, 1, "this test"));
    if (cx->backend == &atn_backend_cpu) cx->mem_limit = (size_t)1 << 30;
    CHECK_FAILS(cx->backend->room(cx, 1e18, "this test"), ATN_MEMORY, "this test");
    cx->mem_limit = 0;
}

/* Rows of tables of every type, one after the other and added up. */
static void embed(atn_ctx *cx)
{
    enum { ROWS = 300, WIDTH = 7, TABLE = 11 };
    static const atn_dtype types[] = {ATN_F32, ATN_BF16, ATN_F16, ATN_F64};
    static int32_t rows[ROWS];
    static double want[ROWS * WIDTH], f64[TABLE * WIDTH];
    float f32[TABLE * WIDTH];
    uint16_t f16[TABLE * WIDTH], bf16[TABLE * WIDTH];
    const void *tables[] = {f32, bf16, f16, f64};
    tensor x = make(cx, 42, ROWS * WIDTH);

    for (int e = 0; e < TABLE * WIDTH; e++) { /* numbers that every type holds */
        f32[e] = (float)(e - 30) / 8;
        f64[e] = (double)f32[e];
        f16[e] = atn_f16_from_f32(f32[e]);
        bf16[e] = atn_bf16_from_f32(f32[e]);
    }
    for (int i = 0; i < ROWS; i++) rows[i] = i * 5 % TABLE;
    for (size_t t = 0; t < ATN_LEN(types); t++) {
        CHECK_OK(cx->backend->embed(cx, tables[t], types[t], rows, ROWS, WIDTH, t > 0,
                                    x.buf));
        for (int e = 0; e < ROWS * WIDTH; e++)
            want[e] = (double)(t + 1) * f64[rows[e / WIDTH] * WIDTH + e % WIDTH];
        check_tensor(cx, x.buf, want);
    }
    drop(cx, &x);
}

static void row_values_nan(atn_ctx *cx)
{
    static results r;
    float q[HEADS][8] = {{0}}, k[8] = {0};
    atn_head heads[HEADS];
    atn_row_out out[HEADS];
    const atn_row_want want = {.top_k = 1};

    q[1][5] = NAN;
    for (int h = 0; h < HEADS; h++) {
        heads[h] = (atn_head){.q = {q[h], 4, 2, 2},
                              .k = {k, 4, 2, 2},
                              .nq = 4,
                              .nk = 4,
                              .scale = 1,
                              .sight = {.causal = true, .key_last = 4},
                              .layer = 6,
                              .head = 10 + h};
        out[h] = (atn_row_out){.seen = r.seen[h]};
        for (int f = 0; f < ATN_ROW_FIELDS; f++) out[h].value[f] = r.value[h][f];
    }
    CHECK_FAILS(atn_row_values(cx, heads, HEADS, &want, out), ATN_DATA,
                "layer 6, head 11, row 2");
}

/* ---- on every backend ---- */

static void on_every_backend(atn_ctx *cx, void (*test)(atn_ctx *))
{
    if (!device_wanted()) {
        math = ATN_MATH_F32;
        tolerance = 1e-12;
        test(cx);
        return;
    }
    for (int m = ATN_MATH_F32; m <= ATN_MATH_BF16; m++) {
        atn_backend *be = device_open(cx, (atn_math)m);

        math = (atn_math)m;
        tolerance = 1e-7;
        cx->backend = be;
        test(cx);
        cx->backend = &atn_backend_cpu;
        atn_cuda_close(cx, be);
    }
}

#define ON_ALL(f)                                                                      \
    static void all_##f(atn_ctx *cx)                                                   \
    {                                                                                  \
        on_every_backend(cx, f);                                                       \
    }
ON_ALL(linear)
ON_ALL(add)
ON_ALL(norm)
ON_ALL(activate)
ON_ALL(rope)
ON_ALL(attention)
ON_ALL(long_attention)
ON_ALL(attention_nan)
ON_ALL(cross_entropy)
ON_ALL(widen)
ON_ALL(long_copies)
ON_ALL(heads_apart)
ON_ALL(row_values)
ON_ALL(row_values_random)
ON_ALL(row_values_rest)
ON_ALL(row_values_overflow)
ON_ALL(rows_fill)
ON_ALL(room)
ON_ALL(embed)
ON_ALL(row_values_nan)

CHECK_MAIN({"linear", all_linear}, {"add", all_add}, {"norm", all_norm},
           {"activate", all_activate}, {"rope", all_rope}, {"attention", all_attention},
           {"long attention", all_long_attention},
           {"attention with NaN", all_attention_nan},
           {"cross entropy", all_cross_entropy}, {"widen", all_widen},
           {"long copies", all_long_copies}, {"heads apart", all_heads_apart},
           {"row pass", all_row_values},
           {"row pass, random shapes", all_row_values_random},
           {"row pass, the rest", all_row_values_rest},
           {"row pass, overflow", all_row_values_overflow},
           {"rows fill", all_rows_fill}, {"room", all_room}, {"embedding", all_embed},
           {"row pass with NaN", all_row_values_nan})
