/* simulators/launch.h -- the time of one launch, from the CTAs of its heads.
 *
 * Math    the CTAs on the SMs (work.h) by the rule of the model that the coefficients
 *         are of, and those (model.h).
 *         Of the machine model a launch is no shorter than its bytes at the usable HBM
 *         bandwidth. Where keys and values of a head exceed L2, the CTAs that run at a
 *         time read them once together.
 *         Bare, a launch has no cache beside its keys and values in L2. A kernel that
 *         packs no groups has none that are cheap: it pays what FA3 pays with one head.
 * Oracle  an independent count and schedule of random masks (test_simulate.c); what
 *         simulate and tradeoff say of one launch, for every kernel and device.
 * Source  cards/simulators.md 2.1, 6.1, 6.3.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "simulators/simulate.h"

/* What one kernel is given to do. */
typedef struct atn_launch_task {
    const atn_kernel *kernel; /* as it runs: packing groups of heads, or not */
    const atn_device *device;
    const atn_time_fit *fit;
    atn_launch shape;          /* no decode step */
    const atn_cta_list *lists; /* [n_lists], as atn_work_case has them */
    atn_idx n_lists;
    const int64_t *const *times; /* as of atn_work_make_runs; NULL = one each */
    atn_idx bm, bn, left, right; /* of a window, for the split rule; -1 = none */
    bool bare, slots;            /* as of atn_sim_opts */
} atn_launch_task;

/* us. */
typedef struct atn_launch_time {
    double start;  /* of a launch that does nothing */
    double fixed;  /* what does not shrink with the mask, without the clock */
    double tiles;  /* of the tiles alone */
    double mask;   /* of masking them */
    double even;   /* tiles and mask, were all SMs equally busy */
    double kernel; /* all of it, by the clock */
    double hbm;    /* its bytes */
} atn_launch_time;

/* The caller releases w, also on failure. */
atn_status atn_launch_run(atn_ctx *cx, const atn_launch_task *t, atn_work *w,
                          atn_launch_time *out) ATN_WARN_UNUSED;
/* What a kernel that does so much waits for longest, passes aside. */
atn_limit atn_launch_limit(const atn_kernel *k, const atn_device *d,
                           const atn_launch *s, atn_idx bm, atn_idx bn,
                           const atn_launch_time *t);
/* By how much a launch may be faster (at most 1) and slower (at least 1). */
double atn_launch_low(const atn_time_fit *f);
double atn_launch_high(const atn_time_fit *f);

/* The list of a full or causal mask (s->causal) in tiles of bm x bn, rows of groups of
 * heads where the kernel packs them. In memory of the arena. */
atn_status atn_launch_dense(atn_ctx *cx, const atn_kernel *k, const atn_launch *s,
                            atn_idx bm, atn_idx bn, atn_cta_list *out) ATN_WARN_UNUSED;
