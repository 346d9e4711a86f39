/* simulators/launch.c -- the time of one launch, from the CTAs of its heads. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/launch.h"

#include <math.h>

#include "simulators/machine.h"
#include "simulators/simulate_internal.h"

static const double busy_share = 0.8;

/* Bytes from HBM, keys and values again where they do not stay in L2. */
static double moved(const atn_launch_task *t, const atn_work *w)
{
    const atn_launch *s = &t->shape;
    const atn_device *d = t->device;
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
    return atn_sim_bytes(s) + again;
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

static void adjust(const atn_launch_task *t, const atn_work *w, atn_regressors *x)
{
    const double l2 = 1e6 * atn_device_get(t->device, ATN_DEVICE_L2_MB);

    if (t->bare)
        x->x[ATN_TERM_L2] =
            fmin(1, fmax(0, (atn_sim_tensor_bytes(&t->shape) / l2 - 0.8) / 0.4));
    if (!t->kernel->packs_gqa) x->x[ATN_TERM_GQA] = w->x_ctas;
}

static void price(const atn_launch_task *t, const atn_work *w, atn_launch_time *out)
{
    const double sms = atn_device_get(t->device, ATN_DEVICE_SMS);
    const atn_time_fit *f = t->fit;
    atn_time_fit plain = *f;
    atn_regressors x;

    atn_prefill_regressors(t->kernel, t->device, &t->shape, w, &x);
    adjust(t, w, &x);
    out->kernel = atn_prefill_time(f, &x, t->bare);
    plain.slow = 0;
    out->start = f->c[ATN_TERM_T0];
    out->tiles = f->c[ATN_TERM_TILE] * w->x_tiles;
    out->mask = f->c[ATN_TERM_MASK] * w->x_masked;
    out->fixed = atn_prefill_time(&plain, &x, t->bare) - out->tiles - out->mask;
    out->even =
        (f->c[ATN_TERM_TILE] * w->tiles + f->c[ATN_TERM_MASK] * w->masked) / sms;
    out->hbm = 0;
    if (f->model != ATN_MODEL_MACHINE) return;
    out->hbm = f->c[ATN_TERM_T0] + atn_machine_hbm(t->device, moved(t, w));
    out->kernel = fmax(out->kernel, out->hbm);
}

atn_status atn_launch_run(atn_ctx *cx, const atn_launch_task *t, atn_work *w,
                          atn_launch_time *out)
{
    const atn_schedule_rule rule = rule_of(t->fit, t->slots);
    const atn_work_case k = {.kernel = t->kernel,
                             .device = t->device,
                             .launch = &t->shape,
                             .lists = t->lists,
                             .n_lists = t->n_lists,
                             .bm = t->bm,
                             .bn = t->bn,
                             .left = t->left,
                             .right = t->right};
    atn_status st = ATN_OK;

    ATN_TRY(atn_work_make_runs(cx, &k, t->times, &rule, w));
    price(t, w, out);
done:
    return st;
}

double atn_launch_low(const atn_time_fit *f)
{
    return f->low > 0 && f->low < 1 ? f->low : 1;
}

double atn_launch_high(const atn_time_fit *f)
{
    return f->high > 1 ? f->high : 1;
}

/* ---- what limits ---- */

/* The resource that a tile waits for longest. */
static atn_limit resource(const atn_kernel *k, const atn_device *d, const atn_launch *s,
                          atn_idx bm, atn_idx bn)
{
    const int dim = (int)s->head_dim;
    const atn_tile_times of_16 = atn_machine_tile(k, d, dim, s->pass, bm, bn);
    const atn_tile_times t =
        atn_machine_retype(&of_16, atn_machine_rate(d, s->bytes), s->bytes,
                           atn_kernel_overlap(k, dim, s->pass));
    const double us[] = {t.mma, t.exp, t.smem, t.l2};
    int at = 0;

    for (int i = 1; i < 4; i++)
        if (us[i] > us[at]) at = i;
    return (atn_limit)(ATN_LIMIT_MMA + at);
}

atn_limit atn_launch_limit(const atn_kernel *k, const atn_device *d,
                           const atn_launch *s, atn_idx bm, atn_idx bn,
                           const atn_launch_time *t)
{
    if (t->hbm >= t->kernel || (s->pass == ATN_PASS_DECODE && 2 * t->hbm > t->kernel))
        return ATN_LIMIT_HBM;
    if (2 * t->start > t->kernel) return ATN_LIMIT_LAUNCH;
    if (2 * t->fixed > t->kernel) return ATN_LIMIT_CTA;
    if (t->even < busy_share * (t->tiles + t->mask)) return ATN_LIMIT_TAIL;
    return resource(k, d, s, bm, bn);
}
