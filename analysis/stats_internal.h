/* analysis/stats_internal.h -- what the sources of stats share. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/keys.h"
#include "analysis/stats.h"
#include "analysis/stats_journal.h"

typedef struct stats_row {
    const atn_layer_info *info;
    atn_idx head;
    bool done, failed; /* failed: without some of its values */
    bool other;        /* of another part of the work, which counts as done */
    atn_idx empty;     /* query rows without weight */
} stats_row;

struct atn_stats {
    atn_stats_plan plan;
    const atn_capture *capture;     /* borrowed */
    const atn_selection *selection; /* borrowed */
    atn_idx n;                      /* selected heads */
    stats_row *row;                 /* [n] */
    double *values;                 /* [n, plan.n_slots] */
    bool strict;
    atn_idx sample; /* rows wanted a layer, 0 = all */
    atn_journal journal;
    bool *there;      /* [n, plan.n] values of a layer measure that the journal had */
    atn_idx lately;   /* lines that this run added to it */
    atn_shard *shard; /* borrowed; NULL = all is done here */
    atn_idx from, to; /* rows that are */
};

/* The first row after `from` that is of another layer. */
atn_idx atn_stats_layer_end(const atn_stats *s, atn_idx from);
/* Is anything among rows [from, to) undone? */
bool atn_stats_undone(const atn_stats *s, atn_idx from, atn_idx to);

/* Values of a row, n_slots of them. */
double *atn_stats_values(atn_stats *s, atn_idx row);
/* A row is done, and goes to the journal where there is one. */
atn_status atn_stats_finish_head(atn_ctx *cx, atn_stats *s,
                                 atn_idx row) ATN_WARN_UNUSED;
/* Values of measure m of the row are there, and go to the journal where there is one. */
atn_status atn_stats_finish_measure(atn_ctx *cx, atn_stats *s, atn_idx row,
                                    int m) ATN_WARN_UNUSED;
/* Copies values [heads][columns of measure m] to the rows from `first` on of the heads
 * that are kept (keep NULL = all). */
void atn_stats_put(atn_stats *s, int m, const bool *keep, atn_idx heads, atn_idx first,
                   const double *out);
/* Is a failed measure left out, or the run's end? */
bool atn_stats_may_go_on(const atn_stats *s, atn_status st);
bool atn_stats_any_head_measure(const atn_stats_plan *plan);

/* analysis/stats_share.c: takes the rows of other parts out; notes what this part
 * found, of a model measure m (out NULL = it is left out), of a layer measure m that is
 * left out in the layer of row `first`, of its heads; and a run out of the notes of all
 * parts. */
atn_status atn_stats_share(atn_ctx *cx, atn_stats *s) ATN_WARN_UNUSED;
atn_status atn_stats_note_model(atn_ctx *cx, atn_stats *s, int m,
                                const double *out) ATN_WARN_UNUSED;
atn_status atn_stats_note_left_out(atn_ctx *cx, atn_stats *s, atn_idx first,
                                   int m) ATN_WARN_UNUSED;
atn_status atn_stats_note_heads(atn_ctx *cx, atn_stats *s) ATN_WARN_UNUSED;
atn_status atn_stats_merge(atn_ctx *cx, atn_stats *s) ATN_WARN_UNUSED;

/* Computes what is left of layer i of the selection, whose first head is row
 * `first`. */
atn_status atn_stats_layer(atn_ctx *cx, atn_stats *s, int i,
                           atn_idx first) ATN_WARN_UNUSED;
