/* simulators/simulate_time.c -- from the lists of a launch to its time, that of the
 * dense one, their interval, and the density from which it pays.
 *
 * Math    time = kernel + passes. T(rho) = a + rho b: a is what does not shrink with
 *         the mask (launch, CTAs, what is said of them, passes); break-even min(1,
 *         (T_dense - a) / b), none where a >= T_dense. Of a pattern of this kind, with
 *         as many cells a pair and as many masked tiles, rho is the density of pairs
 *         and b = (kernel - its share of a) / the pattern's own density: it is slower
 *         than dense exactly where its density is above the break-even. Of tiles at
 *         large (card 6.1) rho is the share of the dense tiles and b what those of a
 *         full mask take in this kernel, masked by its policy.
 *         A permutation reads and writes queries, keys, values and outputs once, at
 *         0.35 of the HBM peak and no more than 1.2 TB/s: what PyTorch's copies reach
 *         on H100 and B200. A pass beside takes 3 us to launch, and its flop at the
 *         reachable rate or its bytes, whichever is longer.
 * Source  cards/simulators.md 1.6 (permutation), 2.1, 2.3 (3 us), 6.1.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/simulate_internal.h"

#include <math.h>

#include "simulators/machine.h"

static const double copy_share = 0.35, copy_bytes_us = 1.2e6;
static const double copy_low = 0.85, copy_high = 1.2; /* of the card's six rows */

sim_passes atn_sim_passes_of(const sim_case *c)
{
    const atn_device *d = c->o->device;
    const atn_extra_work *e = &c->o->extra;
    const double hbm = atn_device_get(d, ATN_DEVICE_HBM_GBS) * 1e3;
    const double both = c->shape.pass == ATN_PASS_BACKWARD ? 2 : 1;
    const double copies = c->permuted ? 2 * both * atn_sim_tensor_bytes(&c->shape) /
                                            fmin(copy_share * hbm, copy_bytes_us)
                                      : 0;
    const double extra = atn_machine_pass(d, e->launches, e->flops, e->bytes);

    return (sim_passes){copies + extra, copy_low * copies + extra,
                        copy_high * copies + extra};
}

/* A full or causal mask in the kernel of t. */
static atn_status run_dense(atn_ctx *cx, const sim_case *c, atn_launch_task *t,
                            bool masked, atn_launch_time *out)
{
    atn_cta_list list;
    atn_work w = {0};
    atn_status st = ATN_OK;

    t->shape.causal = c->causal;
    t->left = -1;
    t->right = c->causal ? 0 : -1;
    ATN_TRY(atn_launch_dense(cx, t->kernel, &t->shape, t->bm, t->bn, &list));
    if (masked) list.masked = list.visits;
    t->lists = &list;
    t->n_lists = 1;
    ATN_TRY(atn_launch_run(cx, t, &w, out));
done:
    atn_work_release(cx, &w);
    return st;
}

/* Begin and end in units of the cost become ms: the last one ends with the kernel. */
static void slots_to_ms(atn_work *w, double t0_us, double kernel_us)
{
    double last = 0;

    for (atn_idx i = 0; i < w->slots; i++) last = fmax(last, w->slot[i].end);
    for (atn_idx i = 0; i < w->slots && last > 0; i++) {
        w->slot[i].begin =
            (t0_us + w->slot[i].begin / last * (kernel_us - t0_us)) / 1000;
        w->slot[i].end = (t0_us + w->slot[i].end / last * (kernel_us - t0_us)) / 1000;
    }
}

static atn_status prefill_times(atn_ctx *cx, const sim_case *c, const sim_lists *lists,
                                atn_sim *out, sim_story *story)
{
    const atn_launch_task task = {.kernel = c->kernel,
                                  .device = c->o->device,
                                  .fit = &out->model.fit,
                                  .shape = c->shape,
                                  .lists = lists->list,
                                  .n_lists = lists->n,
                                  .bm = c->bm,
                                  .bn = c->bn,
                                  .left = c->window ? c->left : -1,
                                  .right = c->window ? c->right : -1,
                                  .bare = c->o->bare,
                                  .slots = c->o->slots};
    atn_launch_task full = task, dense = task;
    atn_launch_time time;
    atn_status st = ATN_OK;

    full.slots = dense.slots = false;
    ATN_TRY(atn_launch_run(cx, &task, &out->work, &story->time));
    if (c->o->slots)
        slots_to_ms(&out->work, out->model.fit.c[ATN_TERM_T0], story->time.kernel);
    ATN_TRY(run_dense(cx, c, &full,
                      c->policy == ATN_MASK_ALL && out->work.masked >= out->work.tiles,
                      &time));
    story->full_us = time.kernel;
    dense.kernel = c->dense;
    dense.fit = &out->dense_model.fit;
    dense.bm = atn_list_product(&c->dense_tile.q);
    dense.bn = atn_list_product(&c->dense_tile.k);
    ATN_TRY(run_dense(cx, c, &dense, false, &time));
    out->dense_ms = time.kernel / 1000;
    out->fixed_ms = (story->time.fixed + story->passes.all) / 1000;
    out->tile_ms = (story->full_us - story->time.fixed) / 1000;
done:
    return st;
}

static void decode_times(const sim_case *c, const atn_decode_case *d, atn_sim *out,
                         sim_story *story)
{
    const atn_device *gpu = c->o->device;
    const atn_idx bn = atn_list_product(&c->dense_tile.k), keys = c->shape.kv_len;
    const atn_decode_case none = {1, 1, c->bn, c->bm, d->window};
    const atn_decode_case all = {keys, atn_ceil_div(keys, bn), bn,
                                 atn_list_product(&c->dense_tile.q), false};
    const atn_decode_case full = {keys, atn_ceil_div(keys, c->bn), c->bn, c->bm,
                                  d->window};
    const bool bare = c->o->bare;
    const atn_time_fit *f = &out->model.fit;
    atn_launch_time *t = &story->time;

    t->start = f->c[ATN_TERM_T0];
    t->kernel = atn_decode_time(c->kernel, gpu, f, &c->shape, d, bare);
    t->fixed = atn_decode_time(c->kernel, gpu, f, &c->shape, &none, bare);
    t->tiles = t->even = fmax(0, t->kernel - t->fixed);
    t->mask = 0;
    t->hbm = atn_machine_hbm(gpu, out->bytes);
    story->full_us = atn_decode_time(c->kernel, gpu, f, &c->shape, &full, bare);
    out->dense_ms =
        atn_decode_time(c->dense, gpu, &out->dense_model.fit, &c->shape, &all, bare) /
        1000;
    out->fixed_ms = (t->fixed + story->passes.all) / 1000;
    out->tile_ms = (story->full_us - t->fixed) / 1000;
    out->work.waves = out->work.occupancy = NAN;
}

static void interval(const sim_case *c, const sim_story *s, atn_sim *out)
{
    const atn_time_fit *f = &out->model.fit, *g = &out->dense_model.fit;
    const bool same = !c->o->dense || c->o->dense == c->o->kernel;

    out->kernel_ms = s->time.kernel / 1000;
    out->passes_ms = s->passes.all / 1000;
    out->time_ms = out->kernel_ms + out->passes_ms;
    out->low_ms = out->kernel_ms * atn_launch_low(f) + s->passes.low / 1000;
    out->high_ms = out->kernel_ms * atn_launch_high(f) + s->passes.high / 1000;
    out->dense_low_ms = out->dense_ms * atn_launch_low(g);
    out->dense_high_ms = out->dense_ms * atn_launch_high(g);
    out->speedup = out->speedup_low = out->speedup_high = NAN;
    if (out->time_ms < ATN_RATIO_MS || out->dense_ms < ATN_RATIO_MS) return;
    /* What one kernel is off by it is off by in both; a launch beside itself is not. */
    out->speedup = out->dense_ms / out->time_ms;
    if (same && out->time_ms == out->dense_ms) {
        out->speedup_low = out->speedup_high = 1;
        return;
    }
    out->speedup_low = (same ? out->dense_ms : out->dense_low_ms) / out->high_ms;
    out->speedup_high = (same ? out->dense_ms : out->dense_high_ms) / out->low_ms;
}

/* b at rho = 1 */
static double break_even(const atn_sim *s, double b)
{
    if (!(s->fixed_ms < s->dense_ms)) return NAN;
    return b > 0 ? fmin(1, (s->dense_ms - s->fixed_ms) / b) : 1;
}

static void break_evens(atn_sim *s)
{
    const double density = 1 / s->bounds.flop;

    s->break_even = break_even(s, (s->time_ms - s->fixed_ms) / density);
    s->break_even_tiles = break_even(s, s->tile_ms);
}

atn_status atn_sim_times(atn_ctx *cx, const sim_case *c, const sim_lists *lists,
                         const atn_decode_case *d, atn_sim *out)
{
    const atn_device *gpu = c->o->device;
    sim_story story = {.passes = atn_sim_passes_of(c)};
    atn_status st = ATN_OK;

    ATN_TRY(atn_time_model_find(cx, c->kernel, gpu, &c->shape, &c->tile, &out->model));
    ATN_TRY(atn_time_model_find(cx, c->dense, gpu, &c->shape, &c->dense_tile,
                                &out->dense_model));
    if (c->shape.pass == ATN_PASS_DECODE)
        decode_times(c, d, out, &story);
    else
        ATN_TRY(prefill_times(cx, c, lists, out, &story));
    interval(c, &story, out);
    break_evens(out);
    out->limit = atn_sim_limit(c, &story, out);
    atn_sim_find_whole(c, out);
    atn_sim_find_steps(c, &story, out);
done:
    return st;
}
