/* bench/bench_tiles.c -- counting tiles: of grids in closed form and of rows, at some
 * number of tokens and at twice as many.
 *
 * The floor of a row is what it costs to make the intervals of all block rows once.
 * Usage: bench_tiles [tokens], default 1m.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>
#include <stdlib.h>

#include "approx/pattern.h"
#include "simulators/tiles.h"

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

static double walk(const atn_pattern *p, atn_span *room)
{
    const double from = atn_seconds();
    atn_idx n = 0;

    for (atn_idx a = p->row0; a < p->row1; a++) n += atn_pattern_row(p, 0, a, room);
    return n >= 0 ? atn_seconds() - from : 0;
}

/* Least time of a count with its bounds. */
static atn_status count(atn_ctx *cx, const atn_pattern *p, const atn_tiling *t,
                        double *seconds, atn_tiles *out)
{
    atn_status st = ATN_OK;

    *seconds = 1e9;
    for (int i = 0; i < BEST; i++) {
        const double from = atn_seconds();

        atn_tiles_release(cx, out);
        ATN_TRY(atn_tiles_count(cx, p, 0, t, out));
        (void)atn_tiles_bounds(p, t, out, false);
        *seconds = ATN_MIN(*seconds, atn_seconds() - from);
    }
done:
    return st;
}

static atn_status rows(atn_ctx *cx, const char *id, const char *params, atn_idx n)
{
    double seconds[2] = {0}, floor = 0, back = 0;
    atn_status st = ATN_OK;
    atn_pattern *p = NULL;
    atn_span *room = NULL;
    atn_tiles c = {0};

    for (int twice = 0; twice < 2; twice++) {
        const atn_layout l = atn_layout_square(n << twice, 1, 0);
        atn_tiling t = {.q = {1, {128}}, .k = {1, {128}}};

        ATN_TRY(atn_pattern_make(cx, id, params, &l, &p));
        ATN_TRY(count(cx, p, &t, &seconds[twice], &c));
        if (!twice) {
            ATN_NEW(room, p->room);
            floor = walk(p, room);
            t.backward = true;
            ATN_TRY(count(cx, p, &t, &back, &c));
        }
        atn_pattern_destroy(cx, p);
        p = NULL;
    }
    printf("%-10s %8.2f ms, backward %8.2f ms, twice the tokens %8.2f ms; rows once "
           "%8.2f ms\n",
           id, 1e3 * seconds[0], 1e3 * back, 1e3 * seconds[1], 1e3 * floor);
done:
    atn_tiles_release(cx, &c);
    atn_free(cx, room);
    atn_pattern_destroy(cx, p);
    return st;
}

static atn_status grid(atn_ctx *cx, const char *what, const atn_axes *g,
                       const atn_tiling *t)
{
    atn_status st = ATN_OK;
    atn_pattern *p = NULL;
    atn_tiles c = {0};
    double seconds;

    ATN_TRY(atn_pattern_axes(cx, g, &p));
    ATN_TRY(count(cx, p, t, &seconds, &c));
    printf("grid %-26s %8.3f ms: %lld CTAs, %lld visits\n", what, 1e3 * seconds,
           (long long)c.ctas, (long long)c.visited);
done:
    atn_tiles_release(cx, &c);
    atn_pattern_destroy(cx, p);
    return st;
}

int main(int argc, char **argv)
{
    const atn_axes line = {1, {{1 << 20, 4096, 256, 1, false}}};
    const atn_axes causal = {1, {{1 << 20, 4096, 1, 3, true}}};
    const atn_axes box = {
        3, {{64, 16, 4, 2, true}, {128, 32, 8, 1, false}, {128, 32, 8, 1, false}}};
    const atn_tiling one = {
        .q = {1, {128}}, .k = {1, {128}}, .layout = ATN_LAYOUT_GRID};
    const atn_tiling three = {
        .q = {3, {2, 8, 8}}, .k = {3, {2, 8, 8}}, .layout = ATN_LAYOUT_GRID};
    atn_idx n = 1 << 20;
    int failed = 0;
    atn_ctx cx;

    atn_runtime_open();
    atn_ctx_init(&cx);
    if (argc > 1 && atn_parse_count(&cx, "tokens", argv[1], &n) != ATN_OK) return 2;
    failed += grid(&cx, "1-D 1m, stride 256", &line, &one) != ATN_OK;
    failed += grid(&cx, "1-D 1m, causal, dilation 3", &causal, &one) != ATN_OK;
    failed += grid(&cx, "3-D 64x128x128", &box, &three) != ATN_OK;
    for (size_t i = 0; i < ATN_LEN(patterns); i++)
        failed += rows(&cx, patterns[i].id, patterns[i].params, n) != ATN_OK;
    if (failed != 0) fprintf(stderr, "%s\n", cx.err.text);
    atn_ctx_release(&cx);
    return failed != 0;
}
