/* bench/bench_adapter.c -- what p-Laplacian message passing on captured heads costs.
 *
 * Random causal heads; the time of all iterations over the floor of as many bare walks over the
 * rows (bench/bare.h), one more than iterations, and over walks that besides multiply every tile
 * by 4 c columns, the products in double that it cannot do without. And the memory that was
 * announced for a head against what was in use at most.
 * Usage: bench_adapter [n [d [heads [iterations [p]]]]], default 2048 64 12 10 1.5.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <malloc.h>
#include <stdio.h>

#include "bench/bare.h"
#include "core/rng.h"
#include "graph/adapter.h"

enum { ITERATIONS_MOST = 1000 };

/* Counts what is held from the system, and remembers the most; one call at a time. */
typedef struct watched {
    size_t now, most;
} watched;

static void *watched_resize(void *user, void *ptr, size_t size)
{
    watched *w = user;
    void *p;

#pragma omp critical(watched_memory)
    {
        w->now -= ptr ? malloc_usable_size(ptr) : 0;
        p = size > 0 ? realloc(ptr, size) : NULL;
        if (size == 0) free(ptr);
        w->now += p                 ? malloc_usable_size(p)
                  : size > 0 && ptr ? malloc_usable_size(ptr)
                                    : 0;
        w->most = w->now > w->most ? w->now : w->most;
    }
    return p;
}

static float *random_floats(atn_idx n, const char *what)
{
    atn_rng r = atn_rng_stream(0, what, 0, 0);
    float *x = malloc((size_t)n * sizeof *x);

    if (!x) exit(71);
    for (atn_idx i = 0; i < n; i++) x[i] = (float)atn_rng_normal(&r);
    return x;
}

static double number(int argc, char **argv, int at, double otherwise)
{
    return argc > at ? atof(argv[at]) : otherwise;
}

static double floor_of(atn_ctx *cx, const atn_head *h, atn_idx columns)
{
    double best = 1e9;

    for (int i = 0; i < 5; i++) best = fmin(best, bench_bare(cx, h, false, columns));
    return best;
}

int main(int argc, char **argv)
{
    const atn_idx n = (atn_idx)number(argc, argv, 1, 2048),
                  d = (atn_idx)number(argc, argv, 2, 64);
    const int heads = (int)number(argc, argv, 3, 12),
              iterations = (int)number(argc, argv, 4, 10);
    atn_adapter_params a = atn_adapter_defaults;
    atn_adapter_state state[ITERATIONS_MOST + 1];
    float *q, *k, *v;
    double seconds, bare, full, told;
    watched w = {0};
    atn_ctx cx;

    if (iterations < 1 || iterations > ITERATIONS_MOST) return 64;
    atn_runtime_open();
    atn_ctx_init(&cx);
    q = random_floats(heads * n * d, "q");
    k = random_floats(heads * n * d, "k");
    v = random_floats(heads * n * d, "v");
    a.iterations = iterations;
    a.p = number(argc, argv, 5, 1.5);
    seconds = 0;
    bare = full = told = 0;
    for (int h = 0; h < heads; h++) {
        const atn_head head = {.q = {q + h * n * d, n, d, d},
                               .k = {k + h * n * d, n, d, d},
                               .v = {v + h * n * d, n, d, d},
                               .nq = n,
                               .nk = n,
                               .scale = 2 / sqrt((double)d),
                               .sight = {.causal = true, .key_last = n}};
        const atn_adapter_input in = {.head = &head, .own = true};
        double start;

        if (h == 0) {
            bare = floor_of(&cx, &head, 0);
            full = floor_of(&cx, &head, 4 * d);
            told = atn_adapter_bytes(&cx, &in);
            atn_ctx_release(&cx);
            atn_ctx_init(&cx);
            cx.alloc = (atn_allocator){watched_resize, &w};
        }
        start = atn_seconds();
        if (atn_adapter_run(&cx, &in, &a, state, NULL, NULL) != ATN_OK) {
            fprintf(stderr, "%s\n", cx.err.text);
            return 2;
        }
        seconds += atn_seconds() - start;
    }
    bare *= heads * (iterations + 1);
    full *= heads * (iterations + 1);
    printf("n %lld, d %lld, %d heads, %d iterations, p %g, %d threads\n", (long long)n,
           (long long)d, heads, iterations, a.p, cx.threads);
    printf(
        "time    %.3f s, %.2f x bare walks (%.3f s), %.2f x with products (%.3f s)\n",
        seconds, seconds / bare, bare, seconds / full, full);
    printf("memory  announced %.2f MiB, in use at most %.2f MiB; P would be %.2f MiB\n",
           told / 1048576, (double)w.most / 1048576,
           (double)n * (double)n * 8 / 1048576);
    atn_ctx_release(&cx);
    free(q);
    free(k);
    free(v);
    return 0;
}
