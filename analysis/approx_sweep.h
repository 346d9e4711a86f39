/* analysis/approx_sweep.h -- what a run of approximations goes through: temperatures of
 * the softmax, or budgets.
 *
 *   temperature=0.25:8      doubled from end to end, both among them
 *   temperature=0.25:8:1.5  by another factor
 *   temperature=0.25,0.5,1  these
 *   budget=8:128            the budgets k=8, k=16 .. k=128; likewise
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/ctx.h"

enum { ATN_SWEEP_MOST = 32, ATN_SWEEP_TEXT = 640 };

typedef struct atn_approx_sweep {
    bool warms;                         /* temperatures are given */
    double temperature[ATN_SWEEP_MOST]; /* [temperatures], 1 where none are */
    int temperatures;
    char budgets[ATN_SWEEP_TEXT]; /* "k=8,k=16", "" = none are given */
} atn_approx_sweep;

/* text NULL = nothing is swept. USAGE names what is no sweep. */
atn_status atn_approx_sweep_read(atn_ctx *cx, const char *text,
                                 atn_approx_sweep *out) ATN_WARN_UNUSED;
