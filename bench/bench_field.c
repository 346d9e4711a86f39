/* bench/bench_field.c -- receptive fields at a million tokens, and how they grow.
 *
 * The number to reach: powers of two in 4096 blocks of 256 tokens, 12 layers, every
 * token, under 2 s and 256 MiB; by the structure of the pattern and, without it, by a
 * bit for every pair. Then patterns of single tokens, every token where the structure
 * allows; the time of n tokens beside that of n / 4 gives the exponent.
 * Usage: bench_field [tokens [threads]], default 1048576 and all processors.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "graph/field_internal.h"

enum { DEPTH = 12 };

static void must(atn_ctx *cx, atn_status st)
{
    if (st == ATN_OK) return;
    fprintf(stderr, "%s\n", cx->err.text);
    exit(2);
}

/* Offsets below `window`, and every `step`, or every power of two for step 0. */
static atn_pattern *offsets(atn_ctx *cx, atn_idx n, atn_idx block, atn_idx window,
                            atn_idx step, atn_idx prefix)
{
    const atn_idx nodes = (n - 1) / block + 1;
    const atn_frame f = atn_frame_square(n, block, true);
    atn_span *s = malloc((size_t)(step > 0 ? nodes / step + 2 : 66) * sizeof *s);
    atn_pattern *p = NULL;
    atn_idx k = 0;

    if (!s) exit(2);
    s[k++] = (atn_span){0, window};
    for (atn_idx o = step > 0 ? step : 1; o<nodes; o = step> 0 ? o + step : 2 * o)
        s[k++] = (atn_span){o, o + 1};
    must(cx, atn_pattern_shift(cx, &f, s, k, prefix, &p));
    free(s);
    return p;
}

static atn_pattern *grid(atn_ctx *cx, atn_idx n, int rank)
{
    const atn_idx side = rank == 1 ? n : (atn_idx)round(cbrt((double)n));
    const atn_idx window = rank == 1 ? 4096 : side / 6;
    atn_axes a = {.rank = rank};
    atn_pattern *p = NULL;

    for (int x = 0; x < rank; x++)
        a.at[x] = (atn_axis){side, window, rank == 1 ? 1 : window / 2, 1, false};
    must(cx, atn_pattern_axes(cx, &a, &p));
    return p;
}

static atn_pattern *documents(atn_ctx *cx, atn_idx n)
{
    const atn_frame f = atn_frame_square(n, 1, true);
    atn_idx starts[64];
    atn_pattern *p = NULL;

    for (int i = 0; i < 64; i++) starts[i] = i * n / 64;
    must(cx, atn_pattern_segments(cx, &f, starts, 64, &p));
    return p;
}

/* Segments of 2048, one of 4 each: no structure that an engine knows. */
static atn_pattern *residues(atn_ctx *cx, atn_idx n)
{
    const atn_frame f = atn_frame_square(n, 1, true);
    const atn_idx phase[] = {0, 1, 2, 3};
    atn_pattern *p = NULL;

    must(cx, atn_pattern_residues(cx, &f, 2048, 4, phase, 4, &p));
    return p;
}

/* Segments of 128 and their last 8 columns: 8192 intervals a row that repeat. */
static atn_pattern *fixed(atn_ctx *cx, atn_idx n)
{
    const atn_frame f = atn_frame_square(n, 1, true);
    const atn_idx phase = 0, last = 120;
    atn_pattern *p = NULL, *q = NULL;

    must(cx, atn_pattern_residues(cx, &f, 128, 1, &phase, 1, &p));
    must(cx, atn_pattern_columns(cx, &f, 128, 8, &last, 1, &q));
    must(cx, atn_pattern_union(cx, p, q, &p));
    return p;
}

static atn_pattern *make(atn_ctx *cx, const char *what, atn_idx n)
{
    switch (what[0]) {
    case 'w':
        return offsets(cx, n, 1, 4096, n, 0);
    case 's':
        return offsets(cx, n, 1, 4092, n, 4);
    case 't':
        return offsets(cx, n, 1, 1024, 1024, 0);
    case 'l':
        return offsets(cx, n, 1, 1, 0, 0);
    case 'g':
        return grid(cx, n, 1);
    case '3':
        return grid(cx, n, 3);
    case 'd':
        return documents(cx, n);
    case 'f':
        return fixed(cx, n);
    default:
        return residues(cx, n);
    }
}

/* Takes the pattern; seconds. */
static double run(atn_ctx *cx, atn_pattern *p, const atn_field_engine *e, bool every,
                  bool walks, atn_field *out)
{
    const atn_pattern *const layers[] = {p};
    const atn_field_opts o = {.depth = DEPTH, .every = every, .walks = walks};
    const double start = atn_seconds();
    atn_field_plan plan;
    double seconds;

    must(cx, atn_field_plan_make(cx, layers, 1, &plan));
    if (!e) must(cx, atn_field_choose(cx, &plan, every, &e));
    must(cx, atn_field_run_by(cx, &plan, e, &o, out));
    seconds = atn_seconds() - start;
    atn_pattern_destroy(cx, p);
    return seconds;
}

/* Takes the pattern; seconds of the reach map of 256 by 256 cells. */
static double map(atn_ctx *cx, atn_pattern *p)
{
    static float cells[256 * 256];
    const atn_pattern *const layers[] = {p};
    const double start = atn_seconds();
    double seconds;

    must(cx, atn_field_map(cx, layers, 1, DEPTH, (atn_mat){cells, 256, 256, 256}));
    seconds = atn_seconds() - start;
    atn_pattern_destroy(cx, p);
    return seconds;
}

static double peak_mib(void)
{
    struct rusage use;

    getrusage(RUSAGE_SELF, &use);
    return (double)use.ru_maxrss / 1024;
}

static void required(atn_ctx *cx, const atn_field_engine *e)
{
    atn_field f;
    const double s = run(cx, offsets(cx, 4096 * 256, 256, 5, 0, 1), e, true, true, &f);

    printf("powers of two, 4096 blocks of 256, %s: %.3f s of 2, peak %.0f MiB of 256, "
           "complete after %d\n",
           f.method, s, peak_mib(), f.complete);
    atn_field_release(cx, &f);
}

static void growth(atn_ctx *cx, const char *what, atn_idx n, bool every)
{
    atn_field f;
    const double small = run(cx, make(cx, what, n / 4), NULL, every, false, &f);
    double large, walks;

    atn_field_release(cx, &f);
    large = run(cx, make(cx, what, n), NULL, every, false, &f);
    atn_field_release(cx, &f);
    walks = run(cx, make(cx, what, n), NULL, every, true, &f);
    printf(
        "%-16s %-9s %7.3f s, exponent %5.2f, with walks %7.3f s, map %6.3f s, reached "
        "%lld of %lld, peak %.0f MiB\n",
        what, f.method, large, log2(large / small) / 2, walks,
        every ? map(cx, make(cx, what, n)) : NAN, (long long)f.at[DEPTH].reached,
        (long long)f.nodes, peak_mib());
    atn_field_release(cx, &f);
}

/* How many layers of a window of 512 complete every token. */
static void beyond(atn_ctx *cx, atn_idx n)
{
    atn_pattern *const p = offsets(cx, n, 1, 512, n, 0);
    const atn_field_opts o = {.depth = 1, .every = true, .diameter = true};
    const double start = atn_seconds();
    atn_field f;

    must(cx, atn_field_run(cx, (const atn_pattern *const[]){p}, 1, &o, &f));
    printf("window 512: every token is complete after %d layers, %.3f s\n", f.diameter,
           atn_seconds() - start);
    atn_field_release(cx, &f);
    atn_pattern_destroy(cx, p);
}

int main(int argc, char **argv)
{
    static const char *const every[] = {
        "window 4096",  "stream 4 + 4092", "t: strided 1024", "logsparse",
        "gna 1-D 4096", "3-D gna",         "documents"};
    const atn_idx n = argc > 1 ? atoll(argv[1]) : 1 << 20;
    atn_ctx cx;

    atn_runtime_open();
    atn_ctx_init(&cx);
    if (argc > 2) cx.threads = atoi(argv[2]);
    required(&cx, NULL);
    required(&cx, &atn_field_bits);
    printf("%lld tokens, %d layers, %d threads\n", (long long)n, DEPTH, cx.threads);
    for (size_t i = 0; i < ATN_LEN(every); i++) growth(&cx, every[i], n, true);
    growth(&cx, "residues (last)", n, false);
    growth(&cx, "fixed (last)", n, false);
    beyond(&cx, n);
    atn_ctx_release(&cx);
    return 0;
}
