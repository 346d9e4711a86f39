/* bench/bench_pattern.c -- rows and counts of patterns against a bare loop over the same rows
 * that adds two numbers a row and interval.
 *
 * Also the area of neighbourhood attention at 1m tokens in closed form, in milliseconds: 1-D
 * with every stride, 3-D, causal.
 * Usage: bench_pattern [tokens], default 1m.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>
#include <stdlib.h>

#include "approx/pattern.h"

enum { BEST = 3 };

static const struct {
    const char *id, *params;
} patterns[] = {{"causal", NULL},
                {"window", "window=4096"},
                {"stream", NULL},
                {"logsparse", NULL},
                {"power", NULL},
                {"s2", NULL},
                {"longnet", NULL},
                {"strided", "stride=16384"},
                {"documents", "lengths=777"}};

/* Adds the ends of all intervals of all rows; what it costs to make them. */
static double walk(const atn_pattern *p, atn_span *room, atn_idx *spans, double *sum)
{
    const double from = atn_seconds();

    *spans = 0;
    for (atn_idx a = p->row0; a < p->row1; a++) {
        const atn_idx n = atn_pattern_row(p, 0, a, room);

        for (atn_idx s = 0; s < n; s++) *sum += (double)(room[s].hi - room[s].lo);
        *spans += n;
    }
    return atn_seconds() - from;
}

/* The floor: a store and a sum an interval, nothing to find out. */
static double bare(const atn_pattern *p, atn_idx spans, atn_span *room, double *sum)
{
    const double from = atn_seconds();
    const atn_idx rows = p->row1 - p->row0, each = ATN_MAX(spans / rows, 1);

    for (atn_idx a = 0; a < rows; a++) {
        for (atn_idx s = 0; s < each; s++) room[s % p->room] = (atn_span){s, a + s};
        for (atn_idx s = 0; s < each; s++)
            *sum += (double)(room[s % p->room].hi - room[s % p->room].lo);
    }
    return atn_seconds() - from;
}

static atn_status one(atn_ctx *cx, const char *id, const char *params, atn_idx n)
{
    const atn_layout l = atn_layout_square(n, 1, 0);
    double best = 1e9, floor = 1e9, counted, sum = 0;
    atn_pattern_counts c;
    atn_status st = ATN_OK;
    atn_span *room = NULL;
    atn_pattern *p;
    atn_idx spans = 0;

    ATN_TRY(atn_pattern_make(cx, id, params, &l, &p));
    ATN_NEW(room, p->room);
    for (int i = 0; i < BEST; i++) {
        best = ATN_MIN(best, walk(p, room, &spans, &sum));
        floor = ATN_MIN(floor, bare(p, spans, room, &sum));
    }
    counted = atn_seconds();
    ATN_TRY(atn_pattern_count(cx, p, 0, &c));
    counted = atn_seconds() - counted;
    printf("%-10s %10lld rows %6.1f intervals a row: %7.2f ms, %5.2f x bare; counts "
           "%7.2f ms, density %.6f (%g)\n",
           id, (long long)(p->row1 - p->row0),
           (double)spans / (double)(p->row1 - p->row0), 1e3 * best, best / floor,
           1e3 * counted, c.full, sum > 0 ? 1.0 : 0.0);
done:
    atn_free(cx, room);
    atn_pattern_destroy(cx, p);
    return st;
}

static void area(const char *what, const atn_axes *g)
{
    double best = 1e9;
    int64_t pairs = 0;

    for (int i = 0; i < BEST; i++) {
        const double from = atn_seconds();

        pairs = atn_axes_pairs(g);
        best = ATN_MIN(best, atn_seconds() - from);
    }
    printf("area of %-28s %20lld pairs: %8.4f ms\n", what, (long long)pairs,
           1e3 * best);
}

int main(int argc, char **argv)
{
    const atn_axes line = {1, {{1 << 20, 4096, 256, 1, false}}};
    const atn_axes causal = {1, {{1 << 20, 4096, 1, 3, true}}};
    const atn_axes grid = {
        3, {{64, 16, 4, 2, true}, {128, 32, 8, 1, false}, {128, 32, 8, 1, false}}};
    atn_idx n = 1 << 20;
    atn_ctx cx;

    atn_runtime_open();
    atn_ctx_init(&cx);
    if (argc > 1 && atn_parse_count(&cx, "tokens", argv[1], &n) != ATN_OK) return 2;
    for (size_t i = 0; i < ATN_LEN(patterns); i++)
        if (one(&cx, patterns[i].id, patterns[i].params, n) != ATN_OK)
            fprintf(stderr, "%s\n", cx.err.text);
    area("1-D 1m, stride 256", &line);
    area("1-D 1m, causal, dilation 3", &causal);
    area("3-D 64x128x128", &grid);
    atn_ctx_release(&cx);
    return 0;
}
