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

const char *const atn_limit_names[ATN_LIMITS] = {"mma", "exp",  "smem",   "l2",
                                                 "hbm", "tail", "launch", "passes"};

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

atn_status atn_simulate(atn_ctx *cx, const atn_pattern *const *p, atn_idx n,
                        const atn_sim_opts *o, atn_sim *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    sim_case c = {.p = p, .n = n, .o = o};
    atn_decode_case last = {0};
    sim_lists lists = {0};
    atn_status st = ATN_OK;

    memset(out, 0, sizeof *out);
    ATN_TRY(sim_setup(cx, &c, out));
    ATN_TRY(sim_fits(cx, &c));
    if (c.shape.pass == ATN_PASS_DECODE)
        ATN_TRY(sim_count_last(cx, &c, out, &last));
    else
        ATN_TRY(sim_count(cx, &c, out, &lists));
    arithmetic(&c, out);
    ATN_TRY(sim_times(cx, &c, &lists, &last, out));
done:
    if (st != ATN_OK) atn_sim_release(cx, out);
    atn_arena_rewind(cx, mark);
    return st;
}
