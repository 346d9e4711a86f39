/* bench/bench_tensor.c -- exact tensor attention against SGEMM, and features by n.
 *
 * Rates are flop a second, 2 (d + dv) a query and pair of keys, exp for nothing; SGEMM
 * is a product of 1024 x 1024 matrices on each thread. Only `queries` of the n are run.
 * Usage: bench_tensor [n [d [threads [queries]]]], default 512 64, all processors and
 * 64.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "approx/tensor.h"
#include "core/mat.h"
#include "core/rng.h"
#include "core/rows.h"

enum { REPEATS = 3, SIDE = 1024 };

static void must(atn_ctx *cx, atn_status st)
{
    if (st == ATN_OK) return;
    fprintf(stderr, "%s\n", cx->err.text);
    exit(2);
}

static float *noise(atn_ctx *cx, atn_idx n, uint64_t stream)
{
    atn_rng r = atn_rng_stream(0, "bench/tensor", (int)stream, 0);
    float *x = atn_alloc(cx, n, sizeof *x);

    if (!x) exit(71);
    for (atn_idx i = 0; i < n; i++) x[i] = (float)atn_rng_normal(&r);
    return x;
}

typedef struct product {
    const float *a, *b;
    float *c;
} product;

static atn_status multiply(atn_ctx *cx, atn_idx i, void *state)
{
    const product *p = state;

    (void)cx;
    atn_gemm(false, 1, (atn_cmat){p->a, SIDE, SIDE, SIDE},
             (atn_cmat){p->b, SIDE, SIDE, SIDE}, 0,
             (atn_mat){p->c + i * SIDE * SIDE, SIDE, SIDE, SIDE});
    return ATN_OK;
}

static double sgemm_rate(atn_ctx *cx)
{
    const product p = {noise(cx, SIDE * SIDE, 10), noise(cx, SIDE * SIDE, 11),
                       noise(cx, (atn_idx)cx->threads * SIDE * SIDE, 12)};
    double best = INFINITY;

    for (int r = 0; r < REPEATS; r++) {
        const double start = atn_seconds();

        must(cx, atn_parallel(cx, cx->threads, multiply, (void *)&p, "sgemm"));
        best = fmin(best, atn_seconds() - start);
    }
    atn_free(cx, (void *)p.a);
    atn_free(cx, (void *)p.b);
    atn_free(cx, p.c);
    return 2.0 * SIDE * SIDE * SIDE * cx->threads / best;
}

static double exact_rate(atn_ctx *cx, const atn_tensor *t)
{
    double *o = atn_alloc(cx, t->nq * t->dv, sizeof *o), best = INFINITY;

    if (!o) exit(71);
    for (int r = 0; r < REPEATS; r++) {
        const double start = atn_seconds();

        must(cx, atn_tensor_exact(cx, t, &(atn_tensor_out){.o = o}));
        best = fmin(best, atn_seconds() - start);
    }
    atn_free(cx, o);
    return atn_tensor_exact_flops(t) / best;
}

static double features_seconds(atn_ctx *cx, const atn_tensor *t, int degree)
{
    double *o = atn_alloc(cx, t->nq * t->dv, sizeof *o), start = atn_seconds();

    if (!o) exit(71);
    must(cx, atn_tensor_features(cx, t, degree, o, NULL));
    start = atn_seconds() - start;
    atn_free(cx, o);
    return start;
}

static atn_tensor inputs(atn_ctx *cx, atn_idx n, atn_idx d, atn_idx queries)
{
    atn_tensor t = {.keys = 2, .nq = queries, .nk = n, .d = d, .dv = d};

    t.scale = 1 / (double)d;
    t.q.narrow = noise(cx, queries * d, 0);
    for (int k = 0; k < 2; k++) {
        t.k[k].narrow = noise(cx, n * d, (uint64_t)(1 + k));
        t.v[k].narrow = noise(cx, n * d, (uint64_t)(3 + k));
    }
    return t;
}

static void release(atn_ctx *cx, atn_tensor *t)
{
    atn_free(cx, (void *)t->q.narrow);
    for (int k = 0; k < 2; k++) {
        atn_free(cx, (void *)t->k[k].narrow);
        atn_free(cx, (void *)t->v[k].narrow);
    }
}

static void growth(atn_ctx *cx, bool causal)
{
    double before = 0;

    for (atn_idx n = 8192; n <= 131072; n *= 2) {
        atn_tensor t = inputs(cx, n, 8, n);
        double seconds;

        t.causal = causal;
        seconds = features_seconds(cx, &t, 4);
        printf("features, d 8, degree 4%s: n %7lld  %7.2f s", causal ? ", causal" : "",
               (long long)n, seconds);
        if (before > 0) printf("  ratio %.2f", seconds / before);
        printf("\n");
        fflush(stdout);
        before = seconds;
        release(cx, &t);
    }
}

int main(int argc, char **argv)
{
    const atn_idx n = argc > 1 ? atoll(argv[1]) : 512,
                  d = argc > 2 ? atoll(argv[2]) : 64;
    const atn_idx queries = argc > 4 ? atoll(argv[4]) : 64;
    double sgemm, rate;
    atn_tensor t;
    atn_ctx cx;

    atn_runtime_open();
    atn_ctx_init(&cx);
    if (argc > 3) cx.threads = atoi(argv[3]);
    t = inputs(&cx, n, d, queries);
    sgemm = sgemm_rate(&cx);
    rate = exact_rate(&cx, &t);
    printf(
        "threads %d, n %lld, d %lld: sgemm %.1f Gflop/s, exact tensor attention %.1f "
        "(%.0f %%; at least 50 wanted), all %lld queries in %.2f s\n",
        cx.threads, (long long)n, (long long)d, sgemm / 1e9, rate / 1e9,
        100 * rate / sgemm, (long long)n,
        atn_tensor_exact_flops(&t) / rate * (double)n / (double)queries);
    release(&cx, &t);
    if (argc < 2) {
        growth(&cx, false);
        growth(&cx, true);
    }
    atn_ctx_release(&cx);
    return 0;
}
