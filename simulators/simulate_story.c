/* simulators/simulate_story.c -- where the gain goes: the waterfall, what limits, and
 * the whole that attention is a part of.
 *
 * Math    speed-ups over the dense launch: B0 (flop); B1 (tiles); that times tiles /
 *         (tiles + masks) (mask); times T_dense / T_full of this kernel where it is
 *         another one (kernel); T_dense / T_kernel (waves, tail, launch, clock);
 *         T_dense / (T_kernel + passes); the whole. A step's ratio to the one before is
 *         what it costs, and their product is the last speed-up.
 *         Whole (Amdahl): with R = what is not attention, layers l and a share s that
 *         stays dense, (R + l T_dense) / (R + l (s T_dense + (1 - s) T)). Of linear
 *         layers R is their flop at the rate that large products reach, or all weights
 *         once at the usable HBM bandwidth, whichever takes longer: of a decode step
 *         the weights. That ratio is said however short the launches are, but for
 *         wholes below 0.1 ms, and where launches are all that is known.
 * Source  cards/simulators.md 5, 6.1, 6.5.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/simulate_internal.h"

#include <math.h>

#include "simulators/machine.h"

static bool launch_bound(const atn_sim *s)
{
    return s->time_ms < ATN_RATIO_MS || s->dense_ms < ATN_RATIO_MS;
}

atn_limit atn_sim_limit(const sim_case *c, const sim_story *s, const atn_sim *out)
{
    if (launch_bound(out)) return ATN_LIMIT_LAUNCH;
    if (2 * out->passes_ms > out->time_ms) return ATN_LIMIT_PASSES;
    return atn_launch_limit(c->kernel, c->o->device, &c->shape, c->bm, c->bn, &s->time);
}

static double linear_ms(const sim_case *c)
{
    const atn_whole *w = &c->o->whole;
    const atn_device *d = c->o->device;
    const double flop_ms = atn_device_get(d, ATN_DEVICE_TFLOPS_16) * 1e9 *
                           atn_machine_rate(d, c->shape.bytes) * atn_machine_reach(d);

    return fmax(w->linear_flops / flop_ms, atn_machine_hbm(d, w->linear_bytes) / 1000);
}

void atn_sim_find_whole(const sim_case *c, atn_sim *out)
{
    const atn_whole *w = &c->o->whole;
    const double layers = w->layers > 0 ? w->layers : 1, s = w->dense_layers;
    double rest = NAN, dense;

    if (w->share > 0) rest = layers * out->dense_ms * (1 / w->share - 1);
    if (w->linear_flops > 0 || w->linear_bytes > 0) rest = linear_ms(c);
    if (isnan(rest) && s > 0) rest = 0;
    dense = rest + layers * out->dense_ms;
    out->whole_ms = rest + layers * (s * out->dense_ms + (1 - s) * out->time_ms);
    out->whole_speedup = dense / out->whole_ms;
    if (rest == 0 && launch_bound(out)) out->whole_speedup = NAN;
    if (out->whole_ms < ATN_RATIO_MS || dense < ATN_RATIO_MS) out->whole_speedup = NAN;
}

static void step(atn_sim *out, const char *id, const char *text, double speedup)
{
    ATN_ASSERT(out->steps < ATN_SIM_STEPS);
    out->step[out->steps++] =
        (atn_sim_step){id, text, out->dense_ms / speedup, speedup};
}

void atn_sim_find_steps(const sim_case *c, const sim_story *s, atn_sim *out)
{
    const atn_launch_time *t = &s->time;
    const double tiles = out->bounds.sum;
    const double masks = t->tiles > 0 ? t->tiles / (t->tiles + t->mask) : 1;
    const bool known = !launch_bound(out);
    const double none = known ? 1 : NAN;

    out->steps = 0;
    step(out, "dense", "the dense launch", 1);
    step(out, "flop", "pairs that the pattern has", out->bounds.flop);
    step(out, "tiles", "whole tiles", tiles);
    step(out, "mask", "masking tiles", tiles * masks);
    if (c->o->dense && c->o->dense != c->o->kernel)
        step(out, "kernel", "another kernel than the dense one",
             tiles * masks * out->dense_ms * 1000 / s->full_us);
    step(out, "waves", "waves, tail, launch, clock", out->dense_ms / out->kernel_ms);
    step(out, "passes", "index, permutation", out->dense_ms / out->time_ms);
    for (int i = out->steps - 2; i < out->steps; i++) out->step[i].speedup *= none;
    if (isnan(out->whole_ms)) return;
    step(out, "whole", "everything else", out->whole_speedup);
    out->step[out->steps - 1].time_ms = out->whole_ms;
}
