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
 *         Of the machine model a launch is no shorter than its bytes at the usable HBM
 *         bandwidth. Where keys and values of a head exceed L2, the CTAs that run at a
 *         time read them once together.
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

sim_passes sim_passes_of(const sim_case *c)
{
    const atn_device *d = c->o->device;
    const atn_extra_work *e = &c->o->extra;
    const double hbm = atn_device_get(d, ATN_DEVICE_HBM_GBS) * 1e3;
    const double both = c->shape.pass == ATN_PASS_BACKWARD ? 2 : 1;
    const double copies = c->permuted ? 2 * both * sim_copy_bytes(&c->shape) /
                                            fmin(copy_share * hbm, copy_bytes_us)
                                      : 0;
    const double flop_us =
        atn_device_get(d, ATN_DEVICE_TFLOPS_16) * 1e6 * atn_machine_reach(d);
    const double extra = ATN_PASS_US * e->launches +
                         fmax(e->flops / flop_us, atn_machine_hbm(d, e->bytes));

    return (sim_passes){copies + extra, copy_low * copies + extra,
                        copy_high * copies + extra};
}

/* Bytes from HBM, keys and values again where they do not stay in L2. */
static double moved(const sim_case *c, const sim_task *t, const atn_work *w)
{
    const atn_launch *s = &t->shape;
    const atn_device *d = c->o->device;
    const double row = s->bytes * (double)(s->head_dim + s->value_dim);
    /* What CTAs stream: keys and values; backward, queries and their gradients. */
    const bool back = s->pass == ATN_PASS_BACKWARD;
    const double head = (double)(back ? s->q_len : s->kv_len) * row;
    const double once =
        (double)s->batch * (double)(back ? s->heads : s->kv_heads) * head;
    const double tile = (double)(back ? t->bm : t->bn) * row;
    const double at_once = fmin(w->ctas, atn_device_get(d, ATN_DEVICE_SMS) *
                                             ATN_MAX(t->kernel->ctas_per_sm, 1));
    double again = 0;

    if (head > atn_device_get(d, ATN_DEVICE_L2_MB) * 1e6)
        again = fmax(0, w->tiles * tile / at_once - once);
    return sim_bytes(s) + again;
}

static atn_schedule_rule rule_of(const atn_time_fit *f, bool slots)
{
    atn_schedule_rule r =
        f->model == ATN_MODEL_FOUR ? atn_schedule_four : atn_schedule_full;

    if (f->model == ATN_MODEL_MACHINE) {
        r.cta = f->c[ATN_TERM_CTA] / f->c[ATN_TERM_TILE];
        r.mask = f->c[ATN_TERM_MASK] / f->c[ATN_TERM_TILE];
    }
    r.slots = slots;
    return r;
}

/* What a bare launch has in L2: no cache beside its keys and values. And a kernel that
 * packs no groups has none that are cheap: it pays what FA3 pays with one head. */
static void adjust(const sim_case *c, const sim_task *t, const atn_work *w,
                   atn_regressors *x)
{
    const atn_launch *s = &t->shape;
    const double l2 = 1e6 * atn_device_get(c->o->device, ATN_DEVICE_L2_MB);

    if (c->o->bare)
        x->x[ATN_TERM_L2] = fmin(1, fmax(0, (sim_copy_bytes(s) / l2 - 0.8) / 0.4));
    if (!t->kernel->packs_gqa) x->x[ATN_TERM_GQA] = w->x_ctas;
}

static void price(const sim_case *c, const sim_task *t, const atn_time_fit *f,
                  const atn_work *w, sim_time *out)
{
    const double sms = atn_device_get(c->o->device, ATN_DEVICE_SMS);
    atn_time_fit plain = *f;
    atn_regressors x;

    atn_prefill_regressors(t->kernel, c->o->device, &t->shape, w, &x);
    adjust(c, t, w, &x);
    out->kernel = atn_prefill_time(f, &x, c->o->bare);
    plain.slow = 0;
    out->tiles = f->c[ATN_TERM_TILE] * w->x_tiles;
    out->mask = f->c[ATN_TERM_MASK] * w->x_masked;
    out->fixed = atn_prefill_time(&plain, &x, c->o->bare) - out->tiles - out->mask;
    out->even =
        (f->c[ATN_TERM_TILE] * w->tiles + f->c[ATN_TERM_MASK] * w->masked) / sms;
    out->hbm = 0;
    if (f->model != ATN_MODEL_MACHINE) return;
    out->hbm = f->c[ATN_TERM_T0] + atn_machine_hbm(c->o->device, moved(c, t, w));
    out->kernel = fmax(out->kernel, out->hbm);
}

/* The launch of a task by the model m. */
static atn_status run(atn_ctx *cx, const sim_case *c, const sim_task *t,
                      const atn_time_model *m, atn_work *w, sim_time *out)
{
    const atn_schedule_rule rule = rule_of(&m->fit, t->slots);
    const atn_work_case k = {.kernel = t->kernel,
                             .device = c->o->device,
                             .launch = &t->shape,
                             .lists = t->lists.list,
                             .n_lists = t->lists.n,
                             .bm = t->bm,
                             .bn = t->bn,
                             .left = t->left,
                             .right = t->right};
    atn_status st = ATN_OK;

    ATN_TRY(atn_work_make(cx, &k, &rule, w));
    price(c, t, &m->fit, w, out);
done:
    return st;
}

/* A full or causal mask in the kernel of t. */
static atn_status run_dense(atn_ctx *cx, const sim_case *c, sim_task *t, bool masked,
                            const atn_time_model *m, sim_time *out)
{
    atn_cta_list list;
    atn_work w = {0};
    atn_status st = ATN_OK;

    t->shape.causal = c->causal;
    t->left = -1;
    t->right = c->causal ? 0 : -1;
    ATN_TRY(sim_dense_list(cx, t->kernel, &t->shape, t->bm, t->bn, &list));
    if (masked) list.masked = list.visits;
    t->lists = (sim_lists){&list, 1};
    ATN_TRY(run(cx, c, t, m, &w, out));
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
    const sim_task task = {.kernel = c->kernel,
                           .shape = c->shape,
                           .lists = *lists,
                           .bm = c->bm,
                           .bn = c->bn,
                           .left = c->window ? c->left : -1,
                           .right = c->window ? c->right : -1,
                           .slots = c->o->slots};
    sim_task full = task, dense = task;
    sim_time time;
    atn_status st = ATN_OK;

    full.slots = dense.slots = false;
    ATN_TRY(run(cx, c, &task, &out->model, &out->work, &story->time));
    if (c->o->slots)
        slots_to_ms(&out->work, out->model.fit.c[ATN_TERM_T0], story->time.kernel);
    ATN_TRY(run_dense(cx, c, &full,
                      c->policy == ATN_MASK_ALL && out->work.masked >= out->work.tiles,
                      &out->model, &time));
    story->full_us = time.kernel;
    dense.kernel = c->dense;
    dense.bm = sim_tokens(&c->dense_tile.q);
    dense.bn = sim_tokens(&c->dense_tile.k);
    ATN_TRY(run_dense(cx, c, &dense, false, &out->dense_model, &time));
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
    const atn_idx bn = sim_tokens(&c->dense_tile.k), keys = c->shape.kv_len;
    const atn_decode_case none = {1, 1, c->bn, c->bm, d->window};
    const atn_decode_case all = {keys, (keys + bn - 1) / bn, bn,
                                 sim_tokens(&c->dense_tile.q), false};
    const atn_decode_case full = {keys, (keys + c->bn - 1) / c->bn, c->bn, c->bm,
                                  d->window};
    const bool bare = c->o->bare;
    const atn_time_fit *f = &out->model.fit;
    sim_time *t = &story->time;

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

static double least(double low)
{
    return low > 0 && low < 1 ? low : 1;
}

static double most(double high)
{
    return high > 1 ? high : 1;
}

static void interval(const sim_case *c, const sim_story *s, atn_sim *out)
{
    const atn_time_fit *f = &out->model.fit, *g = &out->dense_model.fit;
    const bool same = !c->o->dense || c->o->dense == c->o->kernel;

    out->kernel_ms = s->time.kernel / 1000;
    out->passes_ms = s->passes.all / 1000;
    out->time_ms = out->kernel_ms + out->passes_ms;
    out->low_ms = out->kernel_ms * least(f->low) + s->passes.low / 1000;
    out->high_ms = out->kernel_ms * most(f->high) + s->passes.high / 1000;
    out->dense_low_ms = out->dense_ms * least(g->low);
    out->dense_high_ms = out->dense_ms * most(g->high);
    out->speedup = out->speedup_low = out->speedup_high = NAN;
    if (out->time_ms < ATN_RATIO_MS || out->dense_ms < ATN_RATIO_MS) return;
    /* What one kernel is off by it is off by in both. */
    out->speedup = out->dense_ms / out->time_ms;
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

atn_status sim_times(atn_ctx *cx, const sim_case *c, const sim_lists *lists,
                     const atn_decode_case *d, atn_sim *out)
{
    const atn_device *gpu = c->o->device;
    sim_story story = {.passes = sim_passes_of(c)};
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
    out->limit = sim_limit(c, &story, out);
    sim_whole(c, out);
    sim_waterfall(c, &story, out);
done:
    return st;
}
