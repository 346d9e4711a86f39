/* bench/bench_approx.c -- every method and static pattern at one budget, on a layer.
 *
 * The number to reach: a layer of 12 heads of 2048 queries and keys of 64 numbers,
 * causal, at a budget of 10 % on 2 processors, under 60 s. Printed: what each method
 * takes a head, choosing (once, without the search for its parameter) and applying; the
 * whole run, with searches, dense attention and the oracle; peak memory beside what was
 * said before.
 * Usage: bench_approx [n [heads [budget [methods]]]], default 2048 12 10% all.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "analysis/approx.h"
#include "core/rng.h"

enum { D = 64 };

static void must(atn_ctx *cx, atn_status st)
{
    if (st == ATN_OK) return;
    fprintf(stderr, "%s\n", cx->err.text);
    exit(2);
}

/* A capture of one layer in a new directory below `dir`. */
static void make_capture(atn_ctx *cx, const char *dir, atn_idx n, atn_idx heads)
{
    static const char *const names[] = {"q", "k", "v"};
    const atn_idx count = heads * n * D;
    atn_capture_writer *w = NULL;
    atn_st_out t[3];
    json_t *m = json_pack(
        "{s:{s:i}, s:[{s:i, s:s, s:I, s:I, s:i, s:i, s:I, s:I, s:f, s:s, s:i, s:i, "
        "s:I, "
        "s:[s, s, s]}]}",
        "model", "layers", 1, "layers", "index", 0, "file", "layer-000.safetensors",
        "heads", (json_int_t)heads, "kv_heads", (json_int_t)heads, "d", D, "d_v", D,
        "n_q", (json_int_t)n, "n_k", (json_int_t)n, "scale", 1 / sqrt((double)D),
        "mask", "causal", "offset", 0, "key_first", 0, "key_last", (json_int_t)n,
        "tensors", "q", "k", "v");

    for (int i = 0; i < 3; i++) {
        atn_rng r = atn_rng_stream(0, "bench/approx", i, 0);
        float *x = malloc((size_t)count * sizeof *x);

        if (!x || !m) exit(2);
        for (atn_idx e = 0; e < count; e++) x[e] = (float)(1.5 * atn_rng_normal(&r));
        t[i] = (atn_st_out){names[i], ATN_F32, 3, {heads, n, D}, x};
    }
    must(cx, atn_capture_begin(cx, dir, m, "bench", true, &w));
    must(cx, atn_capture_put(cx, w, 0, t, 3));
    must(cx, atn_capture_finish(cx, w, NULL));
    for (int i = 0; i < 3; i++) free((void *)t[i].data);
    json_decref(m);
}

static void print(const atn_table *t)
{
    const int method = atn_table_find_col(t, "method");
    const int fit = atn_table_find_col(t, "budget_fit");
    const int share = atn_table_find_col(t, "executed_share");
    const int plan = atn_table_find_col(t, "plan_seconds");
    const int apply = atn_table_find_col(t, "apply_seconds");

    printf("%-16s %-6s %9s %12s %12s\n", "method", "fit", "executed", "choosing",
           "applying");
    for (atn_idx i = 0; i < atn_table_rows(t); i++)
        printf(
            "%-16s %-6s %8.2f%% %10.2f ms %9.2f ms\n", atn_table_get_str(t, i, method),
            atn_table_get_str(t, i, fit), 100 * atn_table_get_f64(t, i, share),
            1e3 * atn_table_get_f64(t, i, plan), 1e3 * atn_table_get_f64(t, i, apply));
}

int main(int argc, char **argv)
{
    const atn_idx n = argc > 1 ? atoll(argv[1]) : 2048,
                  heads = argc > 2 ? atoll(argv[2]) : 12;
    const atn_approx_opts o = {.methods = argc > 4 ? argv[4] : "all",
                               .budgets = argc > 3 ? argv[3] : "10%",
                               .timings = true};
    const atn_select_args all = {NULL, NULL, NULL, NULL};
    char place[] = "/tmp/bench_approx.XXXXXX", dir[64], command[96];
    atn_capture *c = NULL;
    atn_approx *a = NULL;
    atn_table *t = NULL;
    struct rusage before, after;
    atn_approx_cost cost;
    atn_selection s;
    double start;
    atn_ctx cx;

    atn_runtime_open();
    atn_ctx_init(&cx);
    if (!mkdtemp(place)) return 2;
    snprintf(dir, sizeof dir, "%s/run", place);
    make_capture(&cx, dir, n, heads);
    must(&cx, atn_capture_open(&cx, dir, &c));
    must(&cx, atn_select(&cx, c, &all, &s));
    must(&cx, atn_approx_estimate(&cx, c, &s, &o, &cost));
    getrusage(RUSAGE_SELF, &before);
    start = atn_seconds();
    must(&cx, atn_approx_run(&cx, c, &s, &o, &a));
    must(&cx, atn_approx_table(&cx, a, ATN_KEYS_MODEL, &t));
    print(t);
    getrusage(RUSAGE_SELF, &after);
    printf("%lld heads, %lld methods, %d threads  %8.2f s\n", (long long)heads,
           (long long)cost.cases, cx.threads, atn_seconds() - start);
    printf("said before: %.1f MiB beside the plans; peak above the capture %.1f MiB\n",
           cost.bytes / 0x1p20, (double)(after.ru_maxrss - before.ru_maxrss) / 1024);
    atn_table_destroy(&cx, t);
    atn_approx_destroy(&cx, a);
    atn_selection_release(&cx, &s);
    atn_capture_close(&cx, c);
    atn_ctx_release(&cx);
    snprintf(command, sizeof command, "rm -rf %s", place);
    return system(command);
}
