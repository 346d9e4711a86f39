/* simulators/measure.h -- timings of the kernel `attnscope` on the GPU at hand: which
 * launches, and their times, as a file of timings (timings.h).
 *
 * Launches: causal prefills of several lengths, heads, groups and batches, dense, with
 * windows, and with random blocks: of these every tile of queries keeps the same share
 * of its tiles (core/tile_list.h), which is what timing_work.c counts.
 *
 * Source  cards/simulators.md 6.4.
 * Cost    some 1200 launches of 23 runs, minutes; quick: 56.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/cuda/driver.h"
#include "core/table.h"
#include "simulators/timings.h"

typedef struct atn_measure_plan {
    const char *gpu; /* the name that rows get */
    double bytes;    /* of the GPU's memory: launches that need more are left out */
    bool quick;
    atn_idx tokens; /* only this length; 0 = 512 to 16384 */
    int head_dim;   /* only this one, 64 or 128; 0 = both */
} atn_measure_plan;

/* The launches, us 0, a split of fit or check each: by a hash of the shape, so that a
 * row is of the same one in every run. DATA where nothing is left. Release them. */
atn_status atn_measure_rows(atn_ctx *cx, const atn_measure_plan *plan,
                            atn_timings *out) ATN_WARN_UNUSED;
/* us <- the median of `reps` runs after three others; launches that find no memory go.
 * The context's backend must be a GPU's. */
atn_status atn_measure_run(atn_ctx *cx, atn_timings *rows, int reps) ATN_WARN_UNUSED;
/* The table "timings", as atn_timings_load reads it; rows without a time have none. */
atn_status atn_measure_table(atn_ctx *cx, const atn_timings *rows,
                             atn_table **out) ATN_WARN_UNUSED;

/* The built-in device that the driver's name is of: as many pieces of an id as possible
 * are words of the name ("NVIDIA H100 PCIe": h100-pcie). NULL = none. */
const char *atn_measure_device(const char *name);
