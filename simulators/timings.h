/* simulators/timings.h -- measured times of attention kernels: a CSV with the columns
 * gpu, kernel, phase, batch, q_len, kv_len, heads, kv_heads, head_dim, window,
 * latency_ms and, where it is split, split.
 *
 * phase is context (a causal prefill, q_len = kv_len) or generation (one query);
 * backward where one was timed. window 0 = none; window w: query i sees (i - w, i].
 * Rows of a block-sparse kernel may have a column density beside (missing = 1).
 *
 * Source  cards/simulators.md 6.3; columns of ai-dynamo/aiconfigurator.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "simulators/work.h"

typedef struct atn_timing {
    char gpu[ATN_DEVICE_ID]; /* a built-in one: its id, whatever the file calls it */
    char kernel[ATN_DEVICE_ID], split[16];
    atn_launch launch;
    atn_idx window;       /* 0 = dense: also where it is no shorter than the sequence */
    atn_idx window_given; /* as the file has it */
    double density;       /* of the tiles of the mask, those computed; 1 = all */
    double us;
    atn_idx line; /* of the file */
} atn_timing;

typedef struct atn_timings {
    atn_timing *row;
    atn_idx n;
} atn_timings;

/* DATA naming file, line, column, rule, value. Latencies are of 1e-4 to 1e7 ms. */
atn_status atn_timings_load(atn_ctx *cx, const char *path,
                            atn_timings *out) ATN_WARN_UNUSED;
void atn_timings_release(atn_ctx *cx, atn_timings *t);
