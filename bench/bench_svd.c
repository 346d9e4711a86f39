/* bench/bench_svd.c -- the randomised singular value decomposition of a streamed head.
 *
 * Time against one pass over the rows (atn_rows_stream that does nothing with them) and
 * memory against what the method states and what the matrix would take. Every time is
 * the best of BEST.
 * Usage: bench_svd [n [rank]], default 8192 64, d = 64, causal.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "approx/lowrank.h"
#include "core/rng.h"
#include "core/rows.h"

enum { D = 64, BEST = 2 };

static float *noise(atn_ctx *cx, int id, atn_idx n, double scale)
{
    float *x = atn_alloc(cx, n, sizeof *x);
    atn_rng r = atn_rng_stream(0, "bench/svd", id, 0);

    if (!x) exit(71);
    for (atn_idx i = 0; i < n; i++) x[i] = (float)(scale * atn_rng_normal(&r));
    return x;
}

static atn_status nothing(atn_ctx *cx, const atn_head *h, const atn_tile *t, atn_cmat p,
                          const atn_row_info *info, void *state)
{
    (void)cx, (void)h, (void)t, (void)p, (void)info, (void)state;
    return ATN_OK;
}

static double time_pass(atn_ctx *cx, const atn_head *h)
{
    double best = INFINITY;

    for (int i = 0; i < BEST; i++) {
        const double start = atn_seconds();

        if (atn_rows_stream(cx, h, 1, nothing, NULL, "rows") != ATN_OK) exit(2);
        best = fmin(best, atn_seconds() - start);
    }
    return best;
}

/* Bytes resident at most so far. */
static double peak(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss * 1024;
}

static double time_svd(atn_ctx *cx, const atn_input *in, const atn_choice *c,
                       double *numbers)
{
    double best = INFINITY;

    for (int i = 0; i < BEST; i++) {
        const double start = atn_seconds();
        atn_plan plan;

        if (atn_choice_plan(cx, c, in, 0, &plan) != ATN_OK) {
            fprintf(stderr, "%s\n", cx->err.text);
            exit(2);
        }
        best = fmin(best, atn_seconds() - start);
        *numbers = plan.numbers;
        atn_plan_release(cx, &plan);
    }
    return best;
}

int main(int argc, char **argv)
{
    const atn_idx n = argc > 1 ? atoll(argv[1]) : 8192;
    const int rank = argc > 2 ? atoi(argv[2]) : 64;
    const double matrix = (double)n * (double)n * sizeof(double);
    double pass, svd, before, numbers, bytes;
    char params[64];
    atn_choice c;
    atn_head h;
    atn_ctx cx;

    atn_runtime_open();
    atn_ctx_init(&cx);
    h = (atn_head){.q = {noise(&cx, 0, n * D, 1), n, D, D},
                   .k = {noise(&cx, 1, n * D, 1), n, D, D},
                   .v = {noise(&cx, 2, n * D, 1), n, D, D},
                   .nq = n,
                   .nk = n,
                   .scale = 1 / sqrt(D),
                   .sight = {.causal = true, .key_last = n}};
    const atn_input in = {.head = &h, .heads = 1, .group = 1};

    snprintf(params, sizeof params, "rank=%d,how=random", rank);
    if (atn_choice_read(&cx, "svd", params, &c) != ATN_OK) return 2;
    bytes = atn_choice_bytes(&cx, &c, &in);
    pass = time_pass(&cx, &h);
    before = peak();
    svd = time_svd(&cx, &in, &c, &numbers);
    printf("n %lld, rank %d, d %d, causal, %d threads, best of %d\n", (long long)n,
           rank, D, cx.threads, BEST);
    printf("a pass over the rows    %9.3f s\n", pass);
    printf("svd:how=random          %9.3f s   ratio %.2f (%d walks)\n", svd, svd / pass,
           ATN_POWER + 2);
    printf("memory stated           %9.1f MiB\n", bytes / 1048576);
    printf("memory measured         %9.1f MiB more than before\n",
           (peak() - before) / 1048576);
    printf("the matrix in double    %9.1f MiB   stated / matrix %.3f\n",
           matrix / 1048576, bytes / matrix);
    return 0;
}
