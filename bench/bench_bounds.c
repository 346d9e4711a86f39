/* bench/bench_bounds.c -- what the experiments of `attnscope bounds` take on a capture:
 * seconds of each, and as a ratio to the singular values and vectors of the weights of
 * all heads it ran on, which many of them stand on.
 *
 * All of them with their own heads and draws are to take less than 10 minutes on the
 * embedded model at 512 tokens, on two cores.
 * Usage: bench_bounds RUN [tokens]
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>
#include <stdlib.h>

#include "analysis/bounds.h"

enum { TOKENS = 512 };

/* Seconds of one decomposition of n x n, on one thread. */
static double one_svd(atn_ctx *cx, const atn_capture *c, const atn_selection *sel,
                      atn_idx n)
{
    atn_problem p;
    atn_head_facts f;
    atn_head h;
    double start;

    if (atn_capture_load(cx, c, sel->at[0], &p) != ATN_OK) exit(2);
    h = atn_problem_head(&p, 0);
    if (atn_head_facts_make(cx, &h, n, &f) != ATN_OK) exit(2);
    start = atn_seconds();
    if (atn_head_facts_spectrum(cx, &f, true) != ATN_OK) exit(2);
    start = atn_seconds() - start;
    printf("a decomposition of %lld x %lld: %.3f s\n", (long long)f.nq, (long long)f.nk,
           start);
    atn_head_facts_release(cx, &f);
    atn_capture_unload(cx, &p);
    return start;
}

static atn_status bench(atn_ctx *cx, const char *dir, atn_idx n)
{
    const atn_select_args all = {0};
    atn_selection sel = {0};
    atn_capture *c = NULL;
    atn_status st = ATN_OK;
    double total = 0, svd;

    ATN_TRY(atn_capture_open(cx, dir, &c));
    ATN_TRY(atn_select(cx, c, &all, &sel));
    svd = one_svd(cx, c, &sel, n);
    printf("%-6s %-24s %6s %8s %10s %10s\n", "label", "experiment", "heads", "checks",
           "seconds", "svd");
    for (const atn_experiment *const *e = atn_experiments; *e; e++) {
        const atn_bounds_opts o = {.names = (*e)->id, .most = n};
        const double start = atn_seconds();
        double seconds;
        atn_bounds b;

        ATN_TRY(atn_bounds_run(cx, c, &sel, &o, &b));
        seconds = atn_seconds() - start;
        total += seconds;
        printf("%-6s %-24s %6lld %8lld %10.2f %10.2f\n", (*e)->label, (*e)->id,
               (long long)b.part[0].heads, (long long)b.checks.n, seconds,
               seconds / svd / (double)ATN_MAX(b.part[0].heads, 1));
        atn_bounds_release(cx, &b);
    }
    printf("all: %.1f s on %d threads (target 600 on two cores)\n", total, cx->threads);
done:
    atn_selection_release(cx, &sel);
    atn_capture_close(cx, c);
    return st;
}

int main(int argc, char **argv)
{
    atn_status st;
    atn_ctx cx;

    if (argc < 2) {
        fprintf(stderr, "usage: bench_bounds RUN [tokens]\n");
        return 64;
    }
    atn_runtime_open();
    atn_ctx_init(&cx);
    st = bench(&cx, argv[1], argc > 2 ? atol(argv[2]) : TOKENS);
    if (st != ATN_OK) fprintf(stderr, "bench_bounds: %s\n", cx.err.text);
    atn_ctx_release(&cx);
    return st == ATN_OK ? 0 : 1;
}
