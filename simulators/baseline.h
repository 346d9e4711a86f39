/* simulators/baseline.h -- whether the dense launch that a pattern is compared with is
 * the best there is on its GPU.
 *
 * Math    the time of the same dense mask in every built-in kernel that runs on the
 *         GPU, has the pass and takes the mask; those taken by name only aside.
 * Oracle  on h100 the dense mask of Block-Sparse-Attention is slower than that of
 *         FlashAttention-3, and this one's is not slower than another.
 * Source  cards/simulators.md 6.5 (mixed baselines).
 * Cost    a simulation of a dense mask for each of them.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "simulators/simulate.h"

typedef struct atn_baseline {
    char id[ATN_DEVICE_ID]; /* "" = none is faster by more than 2 %; of two
                                 that are no further apart the first */
    double ms;              /* its dense mask */
} atn_baseline;

/* Of a pattern that was simulated with o; none where its dense launch is another
 * kernel's already, or takes less than 0.1 ms. */
atn_status atn_baseline_find(atn_ctx *cx, const atn_sim_opts *o, const atn_sim *s,
                             atn_baseline *out) ATN_WARN_UNUSED;
/* Says it in the note of s. */
void atn_baseline_say(const atn_baseline *b, atn_sim *s);
