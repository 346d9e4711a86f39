/* bench/bench_simulate.c -- what a simulation of neighbourhood attention at a million
 * tokens takes: counts, bounds, times. To stay below 10 ms.
 *
 * Usage: bench_simulate [gpu [kernel]], default h100 fna_hopper.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>

#include "simulators/simulate.h"

static const struct {
    const char *name;
    atn_axes axes;
} cases[] = {
    {"gna 3-D 64x128x128",
     {3, {{64, 18, 16, 1, false}, {128, 24, 8, 1, false}, {128, 24, 8, 1, false}}}},
    {"na 3-D 64x128x128",
     {3, {{64, 18, 1, 1, false}, {128, 24, 1, 1, false}, {128, 24, 1, 1, false}}}},
    {"gna 2-D 1024x1024", {2, {{1024, 80, 16, 1, false}, {1024, 80, 16, 1, false}}}},
    {"gna 1-D 1048576", {1, {{1048576, 2048, 256, 1, false}}}},
    {"dilated 2-D 1024x1024", {2, {{1024, 40, 8, 2, false}, {1024, 40, 8, 2, true}}}},
};

static int one(atn_ctx *cx, const atn_sim_opts *o, int i)
{
    double best = INFINITY;
    atn_pattern *p;
    atn_sim s;

    if (atn_pattern_axes(cx, &cases[i].axes, &p) != ATN_OK) return 1;
    for (int k = 0; k < 5; k++) {
        const double from = atn_seconds();

        if (atn_simulate(cx, (const atn_pattern *const *)&p, 1, o, &s) != ATN_OK)
            return 1;
        best = fmin(best, atn_seconds() - from);
        if (k < 4) atn_sim_release(cx, &s);
    }
    printf("%-24s %8.2f ms  (kernel %.4g ms, dense %.4g ms, %.0f CTAs)\n",
           cases[i].name, best * 1e3, s.kernel_ms, s.dense_ms, s.ctas);
    atn_sim_release(cx, &s);
    atn_pattern_destroy(cx, p);
    return 0;
}

int main(int argc, char **argv)
{
    atn_sim_opts o;
    atn_device d;
    atn_kernel k;
    atn_ctx cx;
    int bad;

    atn_runtime_open();
    atn_ctx_init(&cx);
    cx.threads = 1;
    atn_sim_defaults(&o);
    o.device = &d;
    o.kernel = &k;
    o.shape.heads = 24;
    bad = atn_device_read(&cx, argc > 1 ? argv[1] : "h100", &d) != ATN_OK ||
          atn_kernel_read(&cx, argc > 2 ? argv[2] : "fna_hopper", &k) != ATN_OK;
    if (!bad) atn_kernel_settle(&k, d.architecture);
    for (int i = 0; !bad && i < (int)ATN_LEN(cases); i++) bad = one(&cx, &o, i);
    if (bad) fprintf(stderr, "%s\n", cx.err.text);
    atn_kernel_release(&cx, &k);
    atn_ctx_release(&cx);
    return bad ? 1 : 0;
}
