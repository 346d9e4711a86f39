/* bench/bench_apply.c -- the executor against the products of the dense row stream.
 *
 * Rates are flop a second of executed tiles: 4 d a pair where a plan is applied, 2 d
 * where the row stream makes logits and their softmax (and where bare.h does so without
 * facts of rows), 4 d where bare.h multiplies each tile by values besides. Printed:
 * plans of random causal blocks of 64, all keys, keys that lie anywhere; then what
 * doubling n costs.
 * Usage: bench_apply [n [d [threads [blocks | growth]]]], default 8192 64 and all
 * processors.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "approx/pattern.h"
#include "bench/bare.h"
#include "core/apply.h"
#include "core/rng.h"

enum { BLOCK = 64, REPEATS = 3 };

static void must(atn_ctx *cx, atn_status st)
{
    if (st == ATN_OK) return;
    fprintf(stderr, "%s\n", cx->err.text);
    exit(2);
}

/* Unit noise. */
static atn_head noise_head(atn_ctx *cx, atn_idx n, atn_idx d, float **memory)
{
    atn_head h = {.nq = n, .nk = n, .scale = 1 / sqrt((double)d)};
    atn_rng r = atn_rng_stream(0, "bench/apply", 0, 0);
    float *x = atn_alloc(cx, 4 * n * d, sizeof *x);

    if (!x) exit(71);
    for (atn_idx i = 0; i < 3 * n * d; i++) x[i] = (float)(1.5 * atn_rng_normal(&r));
    h.q = (atn_cmat){x, n, d, d};
    h.k = (atn_cmat){x + n * d, n, d, d};
    h.v = (atn_cmat){x + 2 * n * d, n, d, d};
    h.sight = (atn_sight){.causal = true, .key_last = n};
    *memory = x;
    return h;
}

/* Of each block row its own block, and others with this chance. */
static atn_pattern *random_blocks(atn_ctx *cx, atn_idx n, double density)
{
    const atn_frame f = atn_frame_square(n, BLOCK, true);
    const atn_idx rows = (n - 1) / BLOCK + 1;
    int64_t *ptr = atn_alloc(cx, rows + 1, sizeof *ptr), at = 0;
    atn_span *spans = atn_alloc(cx, rows * (rows + 1) / 2, sizeof *spans);
    atn_rng r = atn_rng_stream(1, "bench/apply", 0, 0);
    atn_pattern *p = NULL;

    if (!ptr || !spans) exit(71);
    for (atn_idx a = 0; a < rows; a++) {
        for (atn_idx c = 0; c <= a; c++) {
            if (c < a && atn_rng_uniform(&r) >= density) continue;
            if (at > ptr[a] && spans[at - 1].hi == c)
                spans[at - 1].hi++;
            else
                spans[at++] = (atn_span){c, c + 1};
        }
        ptr[a + 1] = at;
    }
    must(cx, atn_pattern_rows(cx, &f, 1, ptr, spans, &p));
    return p;
}

/* k keys of each row, anywhere. */
static atn_pattern *random_keys(atn_ctx *cx, atn_idx n, atn_idx k)
{
    const atn_frame f = atn_frame_square(n, 1, true);
    int64_t *ptr = atn_alloc(cx, n + 1, sizeof *ptr), at = 0;
    atn_span *spans = atn_alloc(cx, n * k, sizeof *spans);
    atn_rng r = atn_rng_stream(2, "bench/apply", 0, 0);
    atn_pattern *p = NULL;

    if (!ptr || !spans) exit(71);
    for (atn_idx i = 0; i < n; i++) {
        for (atn_idx c = 0, j = 0; c < k && j <= i; c++) {
            const atn_idx step = ATN_MAX((i + 1) / k, 1);

            j += step == 1 ? 0 : atn_rng_below(&r, step - 1);
            spans[at++] = (atn_span){j, j + 1};
            j = (c + 1) * step + 1;
        }
        ptr[i + 1] = at;
    }
    must(cx, atn_pattern_rows(cx, &f, 1, ptr, spans, &p));
    return p;
}

static double time_apply(atn_ctx *cx, const atn_head *h, const atn_plan *p, int repeats)
{
    const atn_mat out = {(float *)(uintptr_t)atn_crow(h->v, h->nk), h->nq, h->v.cols,
                         h->v.cols};
    double best = 1e9;

    for (int i = 0; i < repeats; i++) {
        const double from = atn_seconds();

        must(cx, atn_plan_apply(cx, h, p, out, NULL, "bench"));
        best = fmin(best, atn_seconds() - from);
    }
    return best;
}

static atn_status look_at_tile(atn_ctx *cx, const atn_head *h, const atn_tile *t,
                               atn_cmat p, const atn_row_info *info, void *state)
{
    (void)cx, (void)h, (void)t, (void)p, (void)info, (void)state;
    return ATN_OK;
}

static double tile_pairs(const atn_head *h)
{
    const atn_idx rows = atn_tile_rows(h);
    double pairs = 0;

    for (atn_idx i = 0; i < h->nq; i += rows) {
        const atn_tile t = atn_tile_of(h, i, rows);

        pairs += (double)t.rows * (double)t.keys;
    }
    return pairs;
}

static double time_stream(atn_ctx *cx, const atn_head *h)
{
    double best = 1e9;

    for (int i = 0; i < REPEATS; i++) {
        const double from = atn_seconds();

        must(cx, atn_rows_stream(cx, h, 1, look_at_tile, NULL, "bench"));
        best = fmin(best, atn_seconds() - from);
    }
    return best;
}

/* Takes the pattern. */
static double print_plan(atn_ctx *cx, const atn_head *h, const char *name,
                         atn_pattern *pattern, double rate)
{
    const atn_idx block = pattern ? pattern->frame.block : BLOCK;
    atn_plan p = {0};
    double s, got;
    atn_cost c;

    atn_plan_mask(&p, pattern, 0, block, block);
    p.branch[0].part[0].all = !pattern;
    must(cx, atn_plan_cost(cx, h, &p, &c));
    s = time_apply(cx, h, &p, REPEATS);
    got = c.flops / s;
    printf("%-22s %8.4f s  %7.2f Gflop/s  / row stream %.3f  (%.2f ns a pair)\n", name,
           s, got * 1e-9, got / rate, s * 1e9 / c.executed);
    atn_plan_release(cx, &p);
    return s;
}

static void print_blocks(atn_ctx *cx, const atn_head *h)
{
    const double pairs = tile_pairs(h), d = (double)h->q.cols;
    double bare = 1e9, both = 1e9, rate;

    for (int i = 0; i < REPEATS; i++) {
        bare = fmin(bare, bench_bare(cx, h, false, 0));
        both = fmin(both, bench_bare(cx, h, false, h->v.cols));
    }
    rate = 2 * d * pairs / time_stream(cx, h);
    printf("row stream                         %7.2f Gflop/s\n", rate * 1e-9);
    printf("bare: product, exp                 %7.2f Gflop/s\n",
           2 * d * pairs / bare * 1e-9);
    printf("bare: product, exp, product        %7.2f Gflop/s\n",
           4 * d * pairs / both * 1e-9);
    print_plan(cx, h, "blocks, 10 %", random_blocks(cx, h->nk, .1), rate);
    print_plan(cx, h, "blocks, 50 %", random_blocks(cx, h->nk, .5), rate);
    print_plan(cx, h, "all", NULL, rate);
    print_plan(cx, h, "64 keys anywhere", random_keys(cx, h->nk, 64), rate);
}

static void print_growth(atn_ctx *cx, atn_idx n, atn_idx d)
{
    static const struct {
        const char *id, *params;
    } of[] = {{"window", "window=256"}, {"power", NULL}, {"stream", NULL}};

    for (size_t k = 0; k < ATN_LEN(of); k++) {
        double before = 0;

        for (atn_idx m = n / 2; m <= n; m *= 2) {
            const atn_layout l = atn_layout_square(m, 1, 0);
            atn_plan p = {0};
            atn_pattern *pattern = NULL;
            float *memory;
            const atn_head h = noise_head(cx, m, d, &memory);
            double s, counted;
            atn_cost c;

            must(cx, atn_pattern_make(cx, of[k].id, of[k].params, &l, &pattern));
            atn_plan_mask(&p, pattern, 0, 1, 1);
            s = time_apply(cx, &h, &p, REPEATS);
            counted = atn_seconds();
            must(cx, atn_plan_cost(cx, &h, &p, &c));
            counted = atn_seconds() - counted;
            printf("%-8s n %7lld  %8.4f s  (%.2f ns a pair kept, cost in %.4f s)",
                   of[k].id, (long long)m, s, s * 1e9 / c.kept, counted);
            if (before > 0) printf("  doubling %.3f", s / before);
            printf("\n");
            before = s;
            atn_plan_release(cx, &p);
            atn_free(cx, memory);
        }
    }
}

int main(int argc, char **argv)
{
    const atn_idx n = argc > 1 ? atoll(argv[1]) : 8192,
                  d = argc > 2 ? atoll(argv[2]) : 64;
    atn_ctx cx;

    atn_runtime_open();
    atn_ctx_init(&cx);
    if (argc > 3) cx.threads = atoi(argv[3]);
    printf("n %lld, d %lld, causal, %d threads\n", (long long)n, (long long)d,
           cx.threads);
    if (argc <= 4 || strcmp(argv[4], "blocks") == 0) {
        float *memory;
        const atn_head h = noise_head(&cx, n, d, &memory);

        print_blocks(&cx, &h);
        atn_free(&cx, memory);
    }
    if (argc <= 4 || strcmp(argv[4], "growth") == 0) print_growth(&cx, 16 * n, d);
    atn_ctx_release(&cx);
    return 0;
}
