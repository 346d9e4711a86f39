/* tests/core/test_backends.c -- every operation of a backend against a plain double twin.
 *
 * The list below is the suite that another backend runs too: add it to `backends` and every
 * test covers it. Agreement: normalised mean square error <= 1e-12 on the CPU's float32.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "core/backend.h"
#include "core/rng.h"

static const atn_backend *const backends[] = {&atn_backend_cpu};

enum { MAX = 1 << 14 };

typedef struct tensor {
    atn_buf buf;
    float *host;
    atn_idx n;
} tensor;

static tensor make(atn_ctx *cx, int id, atn_idx n)
{
    tensor t = {.host = calloc((size_t)n, sizeof(float)), .n = n};
    atn_rng r = atn_rng_stream(9, "test/backends", id, 0);

    for (atn_idx i = 0; i < n; i++) t.host[i] = (float)atn_rng_normal(&r);
    CHECK_OK(cx->backend->alloc(cx, ATN_F32, n, &t.buf));
    CHECK_OK(cx->backend->upload(cx, t.buf, t.host));
    return t;
}

static void drop(atn_ctx *cx, tensor *t)
{
    cx->backend->release(cx, &t->buf);
    free(t->host);
}

/* Compares a buffer with what it should hold. */
static void check_tensor(atn_ctx *cx, atn_buf buf, const double *want)
{
    float *got = calloc((size_t)buf.count, sizeof *got);
    double error = 0, norm = 0;

    CHECK_OK(cx->backend->download(cx, buf, got));
    for (atn_idx i = 0; i < buf.count; i++) {
        error += (got[i] - want[i]) * (got[i] - want[i]);
        norm += want[i] * want[i];
    }
    CHECK_LE(error, 1e-12 * norm);
    free(got);
}

/* m and n beyond one panel, both orientations, with and without bias and accumulation. */
static void linear(atn_ctx *cx)
{
    enum { M = 131, N = 517, K = 19 };

    for (int c = 0; c < 8; c++) {
        tensor x = make(cx, 1, M * K), w = make(cx, 2, N * K), b = make(cx, 3, N);
        tensor y = make(cx, 4, M * N);
        double *want = calloc(M * N, sizeof *want);
        const bool kn = c & 1, more = c & 2, bias = c & 4;

        for (int i = 0; i < M; i++)
            for (int j = 0; j < N; j++) {
                double sum = (more ? (double)y.host[i * N + j] : 0) +
                             (bias ? (double)b.host[j] : 0);
                for (int k = 0; k < K; k++)
                    sum +=
                        (double)x.host[i * K + k] * w.host[kn ? k * N + j : j * K + k];
                want[i * N + j] = sum;
            }
        CHECK_OK(cx->backend->linear(cx, x.buf, w.buf, bias ? b.buf : (atn_buf){0}, kn,
                                     more, M, N, K, y.buf));
        check_tensor(cx, y.buf, want);
        free(want);
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

static void rope(atn_ctx *cx)
{
    enum { N = 5, H = 3, D = 8, R = 6 };
    tensor x = make(cx, 7, N * H * D);
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
    CHECK_OK(cx->backend->rope(cx, x.buf, c, s, N, H, D, R));
    check_tensor(cx, x.buf, want);
    drop(cx, &x);
}

/* GQA, causal, token-major heads: every output against the definition. */
static void attention(atn_ctx *cx)
{
    enum { N = 37, H = 4, KV = 2, D = 6, DV = 5 };
    tensor q = make(cx, 8, N * H * D), k = make(cx, 9, N * KV * D),
           v = make(cx, 10, N * KV * DV);
    tensor out = make(cx, 11, N * H * DV), p = make(cx, 12, H * N * N);
    double *want = calloc(N * H * DV, sizeof *want),
           *rows = calloc(H * N * N, sizeof *rows);
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
                             .p = p.buf};

    for (int h = 0; h < H; h++)
        for (int i = 0; i < N; i++) {
            double sum = 0, *row = rows + (h * N + i) * N;
            for (int j = 0; j <= i; j++) {
                double s = 0;
                for (int c = 0; c < D; c++)
                    s += (double)q.host[(i * H + h) * D + c] *
                         k.host[(j * KV + h / 2) * D + c];
                row[j] = exp(.7 * s);
                sum += row[j];
            }
            for (int j = 0; j <= i; j++) {
                row[j] /= sum;
                for (int c = 0; c < DV; c++)
                    want[(i * H + h) * DV + c] +=
                        row[j] * v.host[(j * KV + h / 2) * DV + c];
            }
        }
    CHECK_OK(cx->backend->attention(cx, &a));
    check_tensor(cx, out.buf, want);
    check_tensor(cx, p.buf, rows);
    free(want);
    free(rows);
    drop(cx, &q), drop(cx, &k), drop(cx, &v), drop(cx, &out), drop(cx, &p);
}

/* In one chunk and in three: the log-sum-exp and the target's logit. */
static void cross_entropy(atn_ctx *cx)
{
    enum { N = 4, V = 99 };
    const int32_t targets[N] = {3, 50, 98, 0};

    for (int chunks = 1; chunks <= 3; chunks += 2) {
        tensor all = make(cx, 13, N * V);
        double lse[N] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY}, hit[N] = {0};
        const int width = V / chunks;

        for (int c = 0; c < chunks; c++) {
            tensor part = make(cx, 14, N * width);

            for (int i = 0; i < N * width; i++)
                part.host[i] = all.host[i / width * V + c * width + i % width];
            CHECK_OK(cx->backend->upload(cx, part.buf, part.host));
            CHECK_OK(cx->backend->cross_entropy(cx, part.buf, targets, N, width,
                                                c * width, lse, hit));
            drop(cx, &part);
        }
        for (int i = 0; i < N; i++) {
            double sum = 0;
            for (int j = 0; j < V; j++) sum += exp((double)all.host[i * V + j]);
            CHECK_NEAR(lse[i], log(sum), 1e-6 * log(sum));
            CHECK_NEAR(hit[i], all.host[i * V + targets[i]], 0);
        }
        drop(cx, &all);
    }
}

static void widen(atn_ctx *cx)
{
    const uint16_t bf16[] = {0x3f80, 0xc000, 0x3e80};
    const double want[] = {1, -2, .25};
    tensor t = make(cx, 14, 3);

    CHECK_OK(cx->backend->upload_widen(cx, t.buf, bf16, ATN_BF16));
    check_tensor(cx, t.buf, want);
    drop(cx, &t);
}

static void on_every_backend(atn_ctx *cx, void (*test)(atn_ctx *))
{
    for (size_t i = 0; i < ATN_LEN(backends); i++) {
        cx->backend = backends[i];
        test(cx);
    }
}

#define ON_ALL(f)                                                                      \
    static void all_##f(atn_ctx *cx)                                                   \
    {                                                                                  \
        on_every_backend(cx, f);                                                       \
    }
ON_ALL(linear)
ON_ALL(add)
ON_ALL(rope)
ON_ALL(attention)
ON_ALL(cross_entropy)
ON_ALL(widen)

CHECK_MAIN({"linear", all_linear}, {"add", all_add}, {"rope", all_rope},
           {"attention", all_attention}, {"cross entropy", all_cross_entropy},
           {"widen", all_widen})
