/* bench/bench_passes.c -- what a pass of each measure that is asked for by name costs.
 *
 * One layer of random Q, K, V and W_O; for every layer measure the time of its own passes a head,
 * over the bare time of one head (bench/bare.h) and over the floor of its pass: the bare time and
 * the products that the pass cannot do without, each tile of rows by as many columns.
 * Usage: bench_passes [n [d [heads [measure]]]], default 4096 64 4 and all.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>
#include <string.h>

#include "analysis/layer_facts.h"
#include "analysis/measure.h"
#include "bench/bare.h"
#include "core/rng.h"

static float *random_floats(atn_ctx *cx, atn_idx n, const char *what)
{
    atn_rng r = atn_rng_stream(0, what, 0, 0);
    float *x = atn_alloc(cx, n, sizeof *x);

    if (!x) exit(71);
    for (atn_idx i = 0; i < n; i++) x[i] = (float)atn_rng_normal(&r);
    return x;
}

static atn_problem random_layer(atn_ctx *cx, atn_idx n, atn_idx d, atn_idx heads)
{
    return (atn_problem){.heads = heads,
                         .kv_heads = heads,
                         .nq = n,
                         .nk = n,
                         .d = d,
                         .dv = d,
                         .q = random_floats(cx, heads * n * d, "q"),
                         .k = random_floats(cx, heads * n * d, "k"),
                         .v = random_floats(cx, heads * n * d, "v"),
                         .scale = 2 / sqrt((double)d),
                         .sight = {.causal = true, .key_last = n}};
}

/* Seconds of one call; NaN when the measure refuses. */
static double time_measure(atn_ctx *cx, const atn_measure *m, const atn_layer_facts *f)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const int cols = atn_measure_n_cols(m);
    double *out = atn_arena_take(cx, f->heads * cols, sizeof *out), start;
    void *params = atn_arena_take(cx, 1, m->params_size + 1);
    atn_status st;

    if (!out || !params) exit(71);
    if (m->params) atn_param_defaults(m->params, params);
    for (atn_idx i = 0; i < f->heads * cols; i++) out[i] = NAN;
    start = atn_seconds();
    st = m->layer(cx, f, params, out);
    if (st != ATN_OK) printf("%-18s %s\n", m->id, cx->err.text);
    start = atn_seconds() - start;
    atn_arena_rewind(cx, mark);
    return st == ATN_OK ? start : (double)NAN;
}

/* Columns that every tile of rows is multiplied by in one pass of a measure. */
static atn_idx columns_of(const char *id, atn_idx d, atn_idx heads)
{
    if (strcmp(id, "rank") == 0) return 2 * 72; /* P X and P' Y */
    if (strcmp(id, "moa_span") == 0)
        return 2 * d;                         /* P V and Q-like products of values */
    if (strcmp(id, "ssa") == 0) return 3 * d; /* P V, and of what two rules keep */
    if (strcmp(id, "redundancy") == 0) return heads + 1; /* all heads by all heads */
    return 0;
}

static double floor_of(atn_ctx *cx, const atn_head *h, atn_idx columns)
{
    double best = 1e9;

    for (int i = 0; i < 5; i++) best = fmin(best, bench_bare(cx, h, false, columns));
    return best;
}

int main(int argc, char **argv)
{
    const atn_idx n = argc > 1 ? atoll(argv[1]) : 4096,
                  d = argc > 2 ? atoll(argv[2]) : 64;
    const atn_idx heads = argc > 3 ? atoll(argv[3]) : 4;
    atn_layer_facts f = {0};
    double bare = 1e9, outputs;
    atn_problem p;
    atn_ctx cx;

    atn_runtime_open();
    atn_ctx_init(&cx);
    p = random_layer(&cx, n, d, heads);
    f = (atn_layer_facts){.problem = &p, .heads = heads, .width = heads * d};
    f.head = atn_alloc(&cx, heads, sizeof *f.head);
    f.keep = memset(atn_alloc(&cx, heads, sizeof *f.keep), 1, (size_t)heads);
    f.w_o = random_floats(&cx, heads * d * heads * d, "w_o");
    f.out = random_floats(&cx, heads * n * d, "out");
    for (atn_idx h = 0; h < heads; h++)
        ((atn_head *)f.head)[h] = atn_problem_head(&p, h);
    for (int i = 0; i < 9; i++)
        bare = fmin(bare, bench_bare(&cx, &f.head[0], false, 0));
    outputs = atn_seconds();
    if (atn_outputs(&cx, f.head, heads, (float *)f.out) != ATN_OK) return 2;
    outputs = atn_seconds() - outputs;
    printf("n %lld, d %lld, %lld heads, causal, %d threads; bare %.4f s a head\n",
           (long long)n, (long long)d, (long long)heads, cx.threads, bare);
    printf("%-18s 1 pass    %.3f x bare\n", "(outputs)",
           outputs / bare / (double)heads);
    for (const atn_measure *const *m = atn_measures; *m; m++) {
        double seconds;

        if (!(*m)->layer || atn_layer_facts_lack(&f, (*m)->wants)) continue;
        if (argc > 4 && strcmp(argv[4], (*m)->id) != 0) continue;
        seconds = time_measure(&cx, *m, &f);
        if (isnan(seconds)) continue;
        seconds /= (double)heads * fmax((*m)->passes, 1);
        printf("%-18s %d passes  %.3f x bare, %.3f x its floor, a pass and head\n",
               (*m)->id, (*m)->passes, seconds / bare,
               seconds / floor_of(&cx, &f.head[0], columns_of((*m)->id, d, heads)));
    }
    atn_ctx_release(&cx);
    return 0;
}
