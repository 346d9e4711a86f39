/* simulators/simulate.c -- what a pattern gains on a GPU, from its tiles to the whole.
 *
 * Math    simulators/simulate.h; setup, counts, times and the waterfall have files of
 *         their own beside this one.
 * Source  cards/simulators.md, section 6.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/simulate_internal.h"

#include <math.h>
#include <string.h>

const char *const atn_limit_names[ATN_LIMITS] = {
    "mma", "exp", "smem", "l2", "hbm", "tail", "launch", "cta", "passes"};

void atn_sim_defaults(atn_sim_opts *o)
{
    memset(o, 0, sizeof *o);
    o->shape.batch = 1;
    o->shape.heads = 32;
    o->shape.head_dim = 128;
    o->shape.bytes = 2;
    o->policy = -1;
    o->permute = true;
}

void atn_sim_release(atn_ctx *cx, atn_sim *s)
{
    atn_tiles_release(cx, &s->tiles);
    atn_work_release(cx, &s->work);
    memset(s, 0, sizeof *s);
}

static void arithmetic(const sim_case *c, atn_sim *out)
{
    const atn_launch *s = &c->shape;
    const double products = s->pass == ATN_PASS_BACKWARD ? 2.5 : 1;

    out->flops = products * 2 * (double)s->batch * (double)s->heads * out->pairs *
                 (double)(s->head_dim + s->value_dim);
    out->intensity = out->flops / out->bytes;
    out->waste = out->visited * (double)(s->pass == ATN_PASS_DECODE ? 1 : c->bm) *
                 (double)c->bn / out->pairs;
}

/* The kernel with the tiles that it has on the device. */
static atn_status settled(atn_ctx *cx, const atn_device *d, const atn_kernel **k)
{
    atn_kernel *own;
    atn_status st = ATN_OK;

    if (!*k || !atn_kernel_has_own_tiles(*k)) goto done;
    ATN_TAKE(own, 1);
    *own = **k;
    ATN_TAKE(own->tile, own->tiles);
    memcpy(own->tile, (*k)->tile, (size_t)own->tiles * sizeof *own->tile);
    atn_kernel_settle(own, d->architecture);
    *k = own;
done:
    return st;
}

/* Both, and still one where they are one. */
static atn_status settle(atn_ctx *cx, atn_sim_opts *o)
{
    const bool same = o->dense == o->kernel;
    atn_status st = ATN_OK;

    ATN_TRY(settled(cx, o->device, &o->kernel));
    if (same)
        o->dense = o->kernel;
    else
        ATN_TRY(settled(cx, o->device, &o->dense));
done:
    return st;
}

static atn_status once(atn_ctx *cx, sim_case *c, atn_sim *out)
{
    atn_decode_case last = {0};
    sim_lists lists = {0};
    atn_status st = ATN_OK;

    memset(out, 0, sizeof *out);
    ATN_TRY(atn_sim_setup(cx, c, out));
    ATN_TRY(atn_sim_fits(cx, c));
    if (c->shape.pass == ATN_PASS_DECODE)
        ATN_TRY(atn_sim_count_last(cx, c, out, &last));
    else
        ATN_TRY(atn_sim_count(cx, c, out, &lists));
    arithmetic(c, out);
    ATN_TRY(atn_sim_times(cx, c, &lists, &last, out));
done:
    if (st != ATN_OK) atn_sim_release(cx, out);
    return st;
}

/* With the kernel's usual tile, where that is faster. */
static atn_status try_usual(atn_ctx *cx, const sim_case *c, atn_sim *out)
{
    sim_case u = {.p = c->p, .n = c->n, .o = c->o, .usual = true};
    atn_status st = ATN_OK;
    atn_sim s;

    ATN_TRY(once(cx, &u, &s));
    if (s.time_ms < out->time_ms) {
        const atn_sim slower = *out;

        *out = s;
        s = slower;
    }
    atn_sim_release(cx, &s);
done:
    return st;
}

atn_status atn_simulate(atn_ctx *cx, const atn_pattern *const *p, atn_idx n,
                        const atn_sim_opts *o, atn_sim *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_sim_opts here = *o;
    sim_case c = {.p = p, .n = n, .o = &here};
    atn_status st = ATN_OK;

    memset(out, 0, sizeof *out);
    ATN_ASSERT(n >= 1 && o->device && o->kernel);
    ATN_TRY(settle(cx, &here));
    ATN_TRY(once(cx, &c, out));
    if (c.other) ATN_TRY(try_usual(cx, &c, out));
done:
    if (st != ATN_OK) atn_sim_release(cx, out);
    atn_arena_rewind(cx, mark);
    return st;
}
