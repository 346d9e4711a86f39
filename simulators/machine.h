/* simulators/machine.h -- the machine model: coefficients of a kernel on a GPU from
 * data sheets alone (level L2 of cards/simulators.md 6.1).
 *
 * Math    of a tile of BM x BN at head dim d: MMA 4 BM BN d / (F clock), exp BM BN
 *         (1 - offload) / (MUFU clock), shared bytes / (128 clock), KV bytes / (L2
 *         bandwidth / SMs). Shared memory and L2 feed the tensor cores, so the longest
 *         of the three is one phase, the exponentials the other; with the overlap o
 *         they take max + (1 - o) min. A CTA pays its prologue and epilogue. A launch
 *         is not shorter than its bytes at the reachable HBM bandwidth.
 * Source  cards/simulators.md 2.1, 6.1.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "simulators/kernel.h"

/* Of the matrix instructions of 16 bits: sides of a tile are multiples of them. */
enum { ATN_MMA_ROWS = 16, ATN_MMA_KEYS = 8 };

/* Share of the HBM peak that passes over memory reach, and what one takes beside its
 * bytes. */
#define ATN_HBM_SHARE 0.8
#define ATN_PASS_US   3.0

typedef struct atn_tile_times {
    double mma, exp, smem, l2, all; /* us of one tile */
} atn_tile_times;
atn_tile_times atn_machine_tile(const atn_kernel *k, const atn_device *d, int head_dim,
                                atn_pass pass, atn_idx bm, atn_idx bn);
/* Speed of products of numbers of so many bytes over that of 16 bits, by the data
 * sheet: fp8 of 1, tf32 of 4; NaN where it does not say. */
double atn_machine_rate(const atn_device *d, double bytes);
/* The tile t of numbers of so many bytes: products at their rate, bytes in proportion,
 * exponentials as they are. */
atn_tile_times atn_machine_retype(const atn_tile_times *t, double rate, double bytes,
                                  double overlap);
/* The fit of the machine: ATN_MODEL_MACHINE; tiles at the share of this speed that the
 * kernel reaches (atn_kernel_reach). low and high are no quantiles of anything
 * measured, but how far the tile's time can be off: everything hidden behind the longer
 * phase, or nothing hidden at the rate that products reach; wider where the kernel's
 * share of this speed was not measured on this architecture: from all of it, or that
 * much faster, to that much slower, as FlashAttention-2 differs from sm80 to sm90. */
void atn_machine_fit(const atn_kernel *k, const atn_device *d, int head_dim,
                     atn_pass pass, atn_idx bm, atn_idx bn, atn_time_fit *out);
/* Tensor flop a us and SM: of the architecture at the clock, and no more than the peak
 * of the sheet allows. */
double atn_machine_tensor(const atn_device *d);
/* us that these bytes take from HBM. */
double atn_machine_hbm(const atn_device *d, double bytes);
/* Share of the dense 16-bit peak that large products reach. */
double atn_machine_reach(const atn_device *d);
/* us of passes beside attention: so many launches of 3 us, and their flop at the
 * reachable rate or their bytes from HBM, whichever takes longer. */
double atn_machine_pass(const atn_device *d, double launches, double flops,
                        double bytes);
/* us of a launch of attention that does next to nothing. */
double atn_machine_launch(void);
