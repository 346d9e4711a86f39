/* analysis/stats_internal.h -- what the sources of stats share. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/stats.h"

typedef struct stats_row {
    const atn_layer_info *info;
    atn_idx head;
    bool failed;
} stats_row;

struct atn_stats {
    atn_stats_plan plan;
    const atn_capture *capture;     /* borrowed */
    const atn_selection *selection; /* borrowed */
    atn_idx n;                      /* selected heads */
    stats_row *row;                 /* [n] */
    double *values;                 /* [n, plan.n_slots] */
    bool strict;
    atn_idx empty_rows;
};
