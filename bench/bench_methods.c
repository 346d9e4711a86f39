/* bench/bench_methods.c -- what planning costs as the text grows: each method on one head of
 * random queries and keys, n doubled from 16384 up, on one thread; the ratio to the length
 * before says how it grows.
 *
 * Usage: bench_methods [tokens [spec...]], default 128k and the table below.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "approx/method.h"
#include "core/rng.h"

enum { D = 64, FIRST = 16384 };

/* Sub-quadratic ones: at most 2.4 for a doubling. */
static const char *const specs[] = {"hip"};

/* Normal numbers, [n, D]. */
static float *draw(atn_ctx *cx, atn_idx n, const char *purpose)
{
    float *x = atn_alloc(cx, n * D, sizeof *x);
    atn_rng r = atn_rng_stream(0, purpose, 0, 0);

    if (!x) exit(2);
    for (atn_idx e = 0; e < n * D; e++) x[e] = (float)atn_rng_normal(&r);
    return x;
}

/* Seconds to plan; one row of the table. */
static atn_status one(atn_ctx *cx, const atn_choice *c, const atn_input *in,
                      double *seconds)
{
    const double before = *seconds, from = atn_seconds();
    const atn_idx n = in->head[0].nk;
    atn_plan plan = {0};
    atn_status st = ATN_OK;

    ATN_TRY(atn_choice_plan(cx, c, in, 0, &plan));
    *seconds = atn_seconds() - from;
    printf("%-14s %8lld tokens: plan %8.3f s", atn_choice_id(c), (long long)n,
           *seconds);
    if (before > 0) printf(", %.2f times", *seconds / before);
    printf("; index %.2f GFLOP, %.2f GFLOP/s\n", 1e-9 * plan.index_flops,
           1e-9 * plan.index_flops / *seconds);
done:
    atn_plan_release(cx, &plan);
    return st;
}

static atn_status spec(atn_ctx *cx, const char *text, atn_idx most)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    float *q = draw(cx, most, "bench/q"), *k = draw(cx, most, "bench/k");
    char *rest = atn_strdup(cx, text), *all = rest, *id, *params;
    atn_status st = ATN_OK;
    double seconds = 0;
    atn_choice c;

    if (!rest || !atn_spec_next(&rest, &id, &params)) exit(2);
    ATN_TRY(atn_choice_read(cx, id, params, &c));
    for (atn_idx n = ATN_MIN((atn_idx)FIRST, most); n <= most; n *= 2) {
        const atn_head h = {.q = {q, n, D, D},
                            .k = {k, n, D, D},
                            .nq = n,
                            .nk = n,
                            .scale = 1 / sqrt((double)D),
                            .sight = {.causal = true, .key_last = n}};
        const atn_input in = {.head = &h, .heads = 1, .group = 1};

        ATN_TRY(one(cx, &c, &in, &seconds));
    }
done:
    atn_free(cx, q);
    atn_free(cx, k);
    atn_free(cx, all);
    atn_arena_rewind(cx, mark);
    return st;
}

int main(int argc, char **argv)
{
    const char *const *list = argc > 2 ? (const char *const *)argv + 2 : specs;
    const int n = argc > 2 ? argc - 2 : (int)ATN_LEN(specs);
    atn_idx most = 8 * (atn_idx)FIRST;
    int failed = 0;
    atn_ctx cx;

    atn_runtime_open();
    atn_ctx_init(&cx);
    cx.threads = 1;
    if (argc > 1 && atn_parse_count(&cx, "tokens", argv[1], &most) != ATN_OK) return 2;
    for (int i = 0; i < n; i++)
        if (spec(&cx, list[i], most) != ATN_OK) {
            fprintf(stderr, "%s\n", cx.err.text);
            atn_err_clear(&cx);
            failed = 2;
        }
    atn_ctx_release(&cx);
    return failed;
}
