/* analysis/stats.h -- the measures of every selected head, layer or the whole model.
 *
 * A run computes a matrix of values, one row a selected head and one column a slot of
 * its plan (analysis/stats_plan.h); tables are made from that matrix.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/stats_plan.h"
#include "core/shard.h"

typedef enum atn_stats_per { /* as atn_keys_of */
                             ATN_PER_HEAD,
                             ATN_PER_LAYER, /* mean of its heads */
                             ATN_PER_MODEL  /* mean of the layers' means */
} atn_stats_per;
#define ATN_STATS_PER "head|layer|model"

typedef struct atn_stats_opts {
    const char
        *measures; /* specs "entropy,topk:k=16", "all"; NULL = the default list */
    atn_idx skip_rows;
    const double *quantiles; /* of row columns */
    int n_quantiles;
    int bins;           /* of the profile over positions; 0 = none */
    atn_idx sample;     /* rows drawn a layer; 0 = all, and where a layer has no more */
    double time_budget; /* seconds after which no more is begun; 0 = none */
    const char
        *journal;     /* finished heads are kept there until the run ends; NULL = no */
    bool force;       /* a journal of another request is overwritten */
    atn_shard *shard; /* the part that is done and noted, or all to put together;
                         NULL = all is done */
    bool strict; /* the first head whose values are no numbers is an error (DATA) */
} atn_stats_opts;

typedef struct atn_stats atn_stats;

/* With a journal, heads that an earlier run of the same request finished are taken from
 * it; it stays when the run fails or runs out of time, and is removed by
 * atn_stats_forget. A head that holds NaN or infinity, or whose logits overflow, is
 * named in the log, its cells stay empty and the others go on; see atn_stats_failed.
 * Layers are loaded one at a time; heads of a layer are streamed together while their
 * row statistics stay below 64 MiB. Rows without a visible key are counted and
 * logged. */
atn_status atn_stats_run(atn_ctx *cx, const atn_capture *c, const atn_selection *sel,
                         const atn_stats_opts *opts, atn_stats **out) ATN_WARN_UNUSED;
atn_idx atn_stats_failed(const atn_stats *s); /* heads that lack values */
atn_idx atn_stats_left(const atn_stats *s); /* heads that the time budget left undone */
/* Heads of this part of the work, or all. */
atn_idx atn_stats_asked(const atn_stats *s);
/* Did this run bring the journal anything to go on from? */
bool atn_stats_progressed(const atn_stats *s);
void atn_stats_destroy(atn_ctx *cx, atn_stats *s);

/* Removes the journal: the result is safe. */
void atn_stats_forget(atn_ctx *cx, atn_stats *s);

/* Heads that are left undone have no row, nor have their layers and model. Table of
 * kind "stats": [stack, step,] layer, head (per head), pattern, then the columns. */
atn_status atn_stats_tabulate(atn_ctx *cx, const atn_stats *s, atn_stats_per per,
                              atn_table **out) ATN_WARN_UNUSED;
/* Table of kind "profile": a row for every head and bin of positions: row_first,
 * row_last, then the mean of every row column over these rows. */
atn_status atn_stats_profile(atn_ctx *cx, const atn_stats *s,
                             atn_table **out) ATN_WARN_UNUSED;

/* Both in one: runs and tabulates per head. */
atn_status atn_stats_table(atn_ctx *cx, const atn_capture *c, const atn_selection *sel,
                           const atn_stats_opts *opts, atn_table **out) ATN_WARN_UNUSED;
