/* analysis/stats.h -- the table of measures of every selected head. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/measure.h"
#include "analysis/select.h"
#include "core/table.h"

typedef struct atn_stats_opts {
    const char *measures; /* ids "entropy,sink", NULL = all */
    atn_idx top_k;        /* 0 = 8 */
    atn_idx skip_rows;
} atn_stats_opts;

/* One row a head: [stack, step,] layer, head, then every column of every measure. Layers are
 * loaded one at a time; heads of a layer are streamed together while their row statistics
 * stay below 64 MiB. Rows without a visible key are counted and logged. */
atn_status atn_stats_table(atn_ctx *cx, const atn_capture *c, const atn_selection *sel,
                           const atn_stats_opts *opts, atn_table **out) ATN_WARN_UNUSED;
