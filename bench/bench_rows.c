/* bench/bench_rows.c -- the row stream with what `stats` measures against its floor.
 *
 * Bare time: SGEMM over the same visible tiles plus a vectorised exp over the same entries,
 * with the same number of threads. Printed beside it: the ratio to libm's scalar expf; the
 * basic numbers of a row; and all one-pass statistics, which are everything but gini (sorts)
 * and smoothed (a logarithm an entry).
 * Usage: bench_rows [n [d [threads [needs | exponent]]]], default 8192 64 and all processors.
 * needs: what each need costs beside entropy and mass. exponent: the slope of log time over
 * four doublings up to n.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "analysis/row_stats.h"
#include "bench/bare.h"
#include "core/rng.h"

enum {
    ALL = ATN_NEED_ALL | ATN_NEED_SUMS | ATN_NEED_MAX | ATN_NEED_COVER | ATN_NEED_SPAN |
          ATN_NEED_LOGITS | ATN_NEED_NEEDED
};

static double time_stats(atn_ctx *cx, const atn_head *h, const int32_t *tokens,
                         unsigned needs)
{
    const atn_row_stats_opts opts = {.needs = needs, .top_k = 8};
    const double start = atn_seconds();
    atn_row_stats *stats = NULL;

    if (atn_row_stats_run(cx, h, 1, tokens, &opts, &stats) != ATN_OK) {
        fprintf(stderr, "%s\n", cx->err.text);
        exit(2);
    }
    atn_row_stats_destroy(cx, stats);
    return atn_seconds() - start;
}

static double best_stats(atn_ctx *cx, const atn_head *h, const int32_t *tokens,
                         unsigned needs, int repeats)
{
    double best = 1e9;

    for (int i = 0; i < repeats; i++)
        best = fmin(best, time_stats(cx, h, tokens, needs));
    return best;
}

/* The first n rows and keys of h. */
static atn_head first_of(const atn_head *h, atn_idx n)
{
    atn_head first = *h;

    first.nq = first.nk = first.q.rows = first.k.rows = first.sight.key_last = n;
    return first;
}

static void print_needs(atn_ctx *cx, const atn_head *h, const int32_t *tokens)
{
    static const struct {
        unsigned need;
        const char *name;
    } all[] = {
        {ATN_NEED_MOMENTS, "moments"},
        {ATN_NEED_FIRST, "first"},
        {ATN_NEED_LOCAL, "local"},
        {ATN_NEED_TOPK, "topk"},
        {ATN_NEED_TOKENS, "tokens"},
        {ATN_NEED_COLUMNS, "columns"},
        {ATN_NEED_DIAGONALS, "diagonals"},
        {ATN_NEED_BLOCKS, "blocks"},
        {ATN_NEED_MAX, "max"},
        {ATN_NEED_COVER, "cover"},
        {ATN_NEED_SPAN, "span"},
        {ATN_NEED_LOGITS, "logits"},
        {ATN_NEED_NEEDED, "needed, cover, blocks"},
        {ATN_NEED_GINI, "gini"},
        {ATN_NEED_SMOOTHED, "smoothed"},
    };
    const double entries = atn_visible_pairs(h) / cx->threads * 1e-9;
    const double none = best_stats(cx, h, tokens, 0, 5);

    printf("entropy and mass              %8.4f s   %.3f ns an entry and core\n", none,
           none / entries);
    for (size_t i = 0; i < ATN_LEN(all); i++)
        printf("  + %-26s          %+.3f ns\n", all[i].name,
               (best_stats(cx, h, tokens, all[i].need, 5) - none) / entries);
}

/* The slope of a line through log time over log n, by least squares. */
static void print_exponent(atn_ctx *cx, const atn_head *h, const int32_t *tokens)
{
    enum { POINTS = 5 };
    double slope = 0;

    time_stats(cx, h, tokens, ALL); /* threads and memory are there now */
    for (int i = 0; i < POINTS; i++) {
        const atn_head part = first_of(h, h->nq >> (POINTS - 1 - i));
        const double s = best_stats(cx, &part, tokens, ALL, part.nq < 8192 ? 20 : 5);

        printf("n %6lld  %10.6f s\n", (long long)part.nq, s);
        slope += (i - (POINTS - 1) / 2) * log2(s) / 10; /* 10 = sum of the squares */
    }
    printf("exponent over four doublings  %8.3f\n", slope);
}

static void print_ratios(atn_ctx *cx, const atn_head *h, const int32_t *tokens)
{
    double bare = 1e9, scalar = 1e9, basic = 1e9, all = 1e9;
    struct rusage before, after;

    getrusage(RUSAGE_SELF, &before);
    for (int repeat = 0; repeat < (h->nq > 20000 ? 1 : 5); repeat++) {
        bare = fmin(bare, bench_bare(cx, h, false, 0));
        basic = fmin(basic, time_stats(cx, h, tokens, ATN_NEED_ALL));
        all = fmin(all, time_stats(cx, h, tokens, ALL));
        if (h->nq <= 20000) scalar = fmin(scalar, bench_bare(cx, h, true, 0));
    }
    getrusage(RUSAGE_SELF, &after);
    printf("bare (sgemm + vector exp)     %8.4f s\n", bare);
    if (h->nq <= 20000)
        printf("bare with libm's scalar expf  %8.4f s   stats / it %.3f\n", scalar,
               basic / scalar);
    printf("row stream + basic stats      %8.4f s   stats / bare %.3f\n", basic,
           basic / bare);
    printf("all one-pass statistics       %8.4f s   all / bare   %.3f\n", all,
           all / bare);
    printf("peak memory above the inputs  %8.1f MiB\n",
           (double)(after.ru_maxrss - before.ru_maxrss) / 1024);
}

int main(int argc, char **argv)
{
    const atn_idx n = argc > 1 ? atoll(argv[1]) : 8192,
                  d = argc > 2 ? atoll(argv[2]) : 64;
    atn_head h = {.nq = n, .nk = n, .scale = 1 / sqrt((double)d)};
    atn_rng r;
    float *x;
    int32_t *tokens;
    atn_ctx cx;

    atn_runtime_open();
    atn_ctx_init(&cx);
    if (argc > 3) cx.threads = atoi(argv[3]);
    x = atn_alloc(&cx, 2 * n * d, sizeof *x);
    tokens = atn_alloc(&cx, n, sizeof *tokens);
    if (!x || !tokens) return 71;
    r = atn_rng_stream(0, "bench/rows", 0, 0);
    for (atn_idx i = 0; i < 2 * n * d; i++) x[i] = (float)(1.5 * atn_rng_normal(&r));
    for (atn_idx i = 0; i < n; i++) tokens[i] = (int32_t)atn_rng_below(&r, 1000);
    h.q = (atn_cmat){x, n, d, d};
    h.k = (atn_cmat){x + n * d, n, d, d};
    h.sight = (atn_sight){.causal = true, .key_last = n};
    printf("n %lld, d %lld, causal, %d threads\n", (long long)n, (long long)d,
           cx.threads);
    if (argc > 4 && strcmp(argv[4], "needs") == 0)
        print_needs(&cx, &h, tokens);
    else if (argc > 4 && strcmp(argv[4], "exponent") == 0)
        print_exponent(&cx, &h, tokens);
    else
        print_ratios(&cx, &h, tokens);
    atn_free(&cx, x);
    atn_free(&cx, tokens);
    atn_ctx_release(&cx);
    return 0;
}
