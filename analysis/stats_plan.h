/* analysis/stats_plan.h -- which measures `stats` computes and into which columns.
 *
 * A plan is read from a list of specs ("entropy,topk:k=16", "all"); every value that it
 * yields for one head has a slot: a column's value, a quantile of it over the rows, its
 * standard error on sampled rows, or its mean over one bin of positions.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/measure.h"
#include "analysis/stats_sample.h"
#include "core/table.h"

typedef enum atn_slot_kind {
    ATN_SLOT_VALUE,
    ATN_SLOT_QUANTILE,
    ATN_SLOT_ERROR,
    ATN_SLOT_BIN
} atn_slot_kind;

typedef struct atn_stats_slot {
    int measure, col; /* of the plan; of the measure */
    atn_slot_kind kind;
    double quantile;
    int bin;
} atn_stats_slot;

typedef struct atn_stats_plan {
    int n;                       /* measures */
    const atn_measure **measure; /* [n] */
    void **params;               /* [n] NULL = the measure has none */
    atn_row_stats_opts rows;     /* what the row pass must yield; needs 0 = no pass */
    unsigned wants;              /* of all layer measures */
    int n_slots, n_table;        /* slots; those of the main table, which come first */
    atn_stats_slot *slot;        /* [n_slots] */
    int bins;
    bool sampled;
} atn_stats_plan;

typedef struct atn_stats_plan_opts {
    const char *measures; /* NULL = the default list */
    atn_idx skip_rows;
    const double *quantiles; /* of row columns, in [0, 1], six decimals, none twice */
    int n_quantiles;
    int bins;     /* of the profile over positions; 0 = none */
    bool sampled; /* rows are drawn: standard errors */
} atn_stats_plan_opts;

#define ATN_STATS_DEFAULT "distance,entropy,induction,local,sink,topk"
/* Is the measure computed when none is asked for? */
bool atn_stats_is_default(const char *id);

/* USAGE names an unknown measure or parameter with the nearest known one. Zeroes plan
 * first; release it also on failure. */
atn_status atn_stats_plan_make(atn_ctx *cx, const atn_stats_plan_opts *opts,
                               atn_stats_plan *plan) ATN_WARN_UNUSED;
void atn_stats_plan_release(atn_ctx *cx, atn_stats_plan *plan);

/* Adds the columns of the slots [first, last) to a table. */
atn_status atn_stats_plan_columns(atn_ctx *cx, const atn_stats_plan *plan, int first,
                                  int last, atn_table *t) ATN_WARN_UNUSED;
/* The values of all head measures for one head into values[n_slots]; the other slots
 * stay. */
atn_status atn_stats_plan_values(atn_ctx *cx, const atn_stats_plan *plan,
                                 const atn_head_stats *s, const atn_row_sample *sample,
                                 double *values) ATN_WARN_UNUSED;
/* The first slot of measure m's columns (kind VALUE); its columns follow one another
 * only where it has no row columns, so look columns up here. */
int atn_stats_plan_slot(const atn_stats_plan *plan, int m, int col);
