/* simulators/baseline.c -- the best dense launch, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/baseline.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "simulators/simulate_internal.h"

static const double faster = .98, least_ms = .1;

/* All keys of the launch, or those up to the query. */
static atn_status dense_pattern(atn_ctx *cx, const atn_sim *s, atn_pattern **out)
{
    const atn_idx nk = s->shape.kv_len;
    const atn_idx nq = s->shape.pass == ATN_PASS_DECODE ? nk : s->shape.q_len;
    const atn_frame f = {nk, nq, nk - nq, 1, s->causal};
    const atn_span offsets = {s->causal ? 0 : 1 - nk, nk};

    return atn_pattern_shift(cx, &f, &offsets, 1, 0, out);
}

/* It can do this launch, as far as its file says, and is meant to. */
static bool able(const atn_kernel *k, const atn_sim_opts *o, const atn_sim *s)
{
    const unsigned mask = s->causal ? ATN_TAKES_CAUSAL : ATN_TAKES_FULL;
    int nearest;

    return !k->by_name && atn_kernel_runs_on(k, o->device->architecture) &&
           k->passes & 1U << s->shape.pass && k->takes & (mask | ATN_TAKES_ANY) &&
           strcmp(k->id, o->kernel->id) != 0 &&
           atn_kernel_has_head_dim(k, (int)s->shape.head_dim, s->shape.pass, &nearest);
}

/* NaN where it cannot after all: this is a remark, and no reason to stop. */
static atn_status time_dense(atn_ctx *cx, const atn_sim_opts *o, const atn_sim *s,
                             const atn_kernel *k, const atn_pattern *p, double *ms)
{
    atn_status st = ATN_OK;
    atn_sim_opts with;
    atn_sim dense;

    atn_sim_defaults(&with);
    with.device = o->device;
    with.kernel = k;
    with.shape = s->shape;
    with.full = !s->causal;
    with.bare = o->bare;
    *ms = NAN;
    st = atn_simulate(cx, &p, 1, &with, &dense);
    if (st == ATN_USAGE || st == ATN_DATA) {
        atn_err_clear(cx);
        return ATN_OK;
    }
    ATN_TRY(st);
    *ms = dense.dense_ms;
    atn_sim_release(cx, &dense);
done:
    return st;
}

atn_status atn_baseline_find(atn_ctx *cx, const atn_sim_opts *o, const atn_sim *s,
                             atn_baseline *out)
{
    atn_pattern *p = NULL;
    atn_status st = ATN_OK;
    atn_kernel k = {0};
    double ms;

    *out = (atn_baseline){"", s->dense_ms};
    if ((o->dense && o->dense != o->kernel) || s->dense_ms < least_ms) goto done;
    ATN_TRY(dense_pattern(cx, s, &p));
    for (int i = 0; atn_kernel_id(i); i++) {
        ATN_TRY(atn_kernel_read(cx, atn_kernel_id(i), &k));
        if (able(&k, o, s)) {
            ATN_TRY(time_dense(cx, o, s, &k, p, &ms));
            if (ms < faster * out->ms) { /* of two alike the first */
                out->ms = ms;
                memcpy(out->id, k.id, sizeof out->id);
            }
        }
        atn_kernel_release(cx, &k);
    }
done:
    atn_kernel_release(cx, &k);
    atn_pattern_destroy(cx, p);
    return st;
}

void atn_baseline_say(const atn_baseline *b, atn_sim *s)
{
    if (b->id[0])
        atn_sim_note(s,
                     "%s does the dense mask in %.3g ms, this kernel in %.3g: "
                     "--dense-kernel %s",
                     b->id, b->ms, s->dense_ms, b->id);
}
