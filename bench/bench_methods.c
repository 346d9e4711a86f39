/* bench/bench_methods.c -- how planning and applying grow with the text: each method on
 * one head of random queries and keys, n doubled from 16384 up, on one thread; the
 * ratio is that to the length before.
 *
 * Usage: bench_methods [tokens [spec...]], default 128k and the table below.
 * ATN_BENCH_PLAN=1 leaves applying out.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "approx/method.h"
#include "core/apply.h"
#include "core/rng.h"

enum { D = 64, FIRST = 16384 };

/* Sub-quadratic ones: at most 2.4 for a doubling; of kernels, which are linear, 2.2. */
static const char *const specs[] = {"hip",
                                    "hyper",
                                    "combiner:form=logsparse",
                                    "performer",
                                    "rff",
                                    "linear",
                                    "cosformer",
                                    "nystrom",
                                    "skyformer",
                                    "linformer:rank=64",
                                    "kdeformer",
                                    "shiftadd"};

/* Normal numbers, [n, D]. */
static float *draw(atn_ctx *cx, atn_idx n, const char *purpose)
{
    float *x = atn_alloc(cx, n * D, sizeof *x);
    atn_rng r = atn_rng_stream(0, purpose, 0, 0);

    if (!x) exit(2);
    for (atn_idx e = 0; e < n * D; e++) x[e] = (float)atn_rng_normal(&r);
    return x;
}

typedef struct timing {
    double plan, apply;
} timing;

static double ratio(double now, double before)
{
    return before > 0 ? now / before : NAN;
}

/* One row of the table; *t is that of the length before. */
static atn_status one(atn_ctx *cx, const atn_choice *c, const atn_input *in, timing *t)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const timing before = *t;
    const atn_idx n = in->head[0].nk;
    atn_plan plan = {0};
    atn_status st = ATN_OK;
    double from = atn_seconds();
    atn_mat out = {NULL, n, D, D};
    atn_cost cost;

    ATN_TRY(atn_choice_plan(cx, c, in, 0, &plan));
    t->plan = atn_seconds() - from;
    printf("%-14s %8lld: plan %8.3f s %5.2f x, %6.2f GFLOP", atn_choice_id(c),
           (long long)n, t->plan, ratio(t->plan, before.plan), 1e-9 * plan.index_flops);
    if (!getenv("ATN_BENCH_PLAN")) {
        ATN_TAKE(out.data, n * D);
        from = atn_seconds();
        ATN_TRY(atn_plan_apply(cx, &in->head[0], &plan, out, NULL, "bench"));
        t->apply = atn_seconds() - from;
        ATN_TRY(atn_plan_cost(cx, &in->head[0], &plan, &cost));
        printf("; apply %8.3f s %5.2f x, %7.2f GFLOP, executed %.4f of visible",
               t->apply, ratio(t->apply, before.apply), 1e-9 * cost.flops,
               cost.executed / cost.visible);
    }
    printf("; all %5.2f x\n", ratio(t->plan + t->apply, before.plan + before.apply));
    fflush(stdout);
done:
    atn_plan_release(cx, &plan);
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status spec(atn_ctx *cx, const char *text, atn_idx most)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    float *q = draw(cx, most, "bench/q"), *k = draw(cx, most, "bench/k");
    char *rest = atn_strdup(cx, text), *all = rest, *id, *params;
    atn_status st = ATN_OK;
    timing t = {0};
    atn_choice c;
    bool causal;

    if (!rest || !atn_spec_next(&rest, &id, &params)) exit(2);
    ATN_TRY(atn_choice_read(cx, id, params, &c));
    causal = (atn_choice_describe(&c).sides & ATN_CAUSAL) != 0;
    for (atn_idx n = ATN_MIN((atn_idx)FIRST, most); n <= most; n *= 2) {
        const atn_head h = {.q = {q, n, D, D},
                            .k = {k, n, D, D},
                            .v = {k, n, D, D},
                            .nq = n,
                            .nk = n,
                            .scale = 1 / sqrt((double)D),
                            .sight = {.causal = causal, .key_last = n}};
        const atn_input in = {.head = &h, .heads = 1, .group = 1};

        ATN_TRY(one(cx, &c, &in, &t));
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
