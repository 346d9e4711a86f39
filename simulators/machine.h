/* simulators/machine.h -- the machine model: coefficients of a kernel on a GPU from
 * data sheets alone (level L2 of cards/simulators.md 6.1).
 *
 * Math    a tile of BM x BN at head dim d takes max(MMA, exp, shared memory, L2) of
 *         4 BM BN d / (F clock), BM BN (1 - offload) / (MUFU clock), shared bytes /
 *         (128 clock), KV bytes / (L2 bandwidth / SMs), combined with the overlap o as
 *         max + (1 - o) (second). A CTA pays its prologue and epilogue. A launch is not
 *         shorter than its bytes at the reachable HBM bandwidth.
 * Source  cards/simulators.md 2.1, 6.1.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "simulators/kernel.h"

typedef struct atn_tile_times {
    double mma, exp, smem, l2, all; /* us of one tile */
} atn_tile_times;
atn_tile_times atn_machine_tile(const atn_kernel *k, const atn_device *d, int head_dim,
                                atn_pass pass, atn_idx bm, atn_idx bn);
/* The fit of the machine: ATN_MODEL_MACHINE. */
void atn_machine_fit(const atn_kernel *k, const atn_device *d, int head_dim,
                     atn_pass pass, atn_idx bm, atn_idx bn, atn_time_fit *out);
/* us that these bytes take from HBM. */
double atn_machine_hbm(const atn_device *d, double bytes);
