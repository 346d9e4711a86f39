/* simulators/advice_time.c -- what an advice is worth in time, copies and all. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "simulators/advice.h"

/* The neighbourhood with the strides of a; *out NULL: a changes no stride. */
static atn_status strided(atn_ctx *cx, const atn_pattern *p, const atn_advice *a,
                          atn_pattern **out)
{
    atn_axes axes;
    atn_status st = ATN_OK;

    *out = NULL;
    if (a->kind != ATN_ADVICE_STRIDE_SPARSE && a->kind != ATN_ADVICE_STRIDE_LEAST)
        goto done;
    axes = *p->axes;
    for (int i = 0; i < axes.rank; i++) axes.at[i].stride = a->stride.at[i];
    ATN_TRY(atn_pattern_axes(cx, &axes, out));
done:
    return st;
}

static atn_status time_one(atn_ctx *cx, const atn_pattern *const *p, atn_idx n,
                           const atn_sim_opts *o, atn_advice *a)
{
    const atn_pattern *one;
    atn_sim_opts with = *o;
    atn_pattern *own = NULL;
    atn_status st = ATN_OK;
    atn_sim s;

    with.tiling = a->tiling;
    with.slots = false;
    ATN_TRY(strided(cx, p[0], a, &own));
    one = own;
    st = atn_simulate(cx, own ? &one : p, own ? 1 : n, &with, &s);
    if (st == ATN_OK) {
        a->time_ms = s.time_ms;
        a->speedup = s.speedup;
        atn_sim_release(cx, &s);
    } else if (st == ATN_USAGE || st == ATN_DATA) {
        atn_err_clear(cx); /* it cannot be run so: no tile for it, or no room */
        st = ATN_OK;
    }
done:
    atn_pattern_destroy(cx, own);
    return st;
}

atn_status atn_advices_time(atn_ctx *cx, const atn_pattern *const *p, atn_idx n,
                            const atn_sim_opts *o, const atn_sim *now, atn_advices *all)
{
    atn_status st = ATN_OK;

    for (int i = 0; i < all->n; i++) {
        atn_advice *a = &all->at[i];

        a->time_ms = a->speedup = NAN;
        if (a->kind == ATN_ADVICE_NOW) {
            a->time_ms = now->time_ms;
            a->speedup = now->speedup;
        } else if (a->found) {
            ATN_TRY(time_one(cx, p, n, o, a));
        }
    }
done:
    return st;
}
