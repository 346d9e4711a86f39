/* approx/span_rules.h -- elastic spans: how many diagonal blocks of a head are kept,
 * as a line over the length of the text.
 *
 * Math    span(N) = alpha + beta N tokens, that is b(N) = max(1,
 *         floor(floor(alpha / 64) + beta floor(N / 64))) blocks back from the own one,
 *         which is among them, and the first block. Grid: alpha from -N_min to
 *         N_profile in floor((N_profile + N_min) / 1024) + 1 equal steps, beta in 0,
 *         1/8 .. 1; a pair goes when its span is above N at N_profile or N_long, or not
 *         above 0 at N_min. Order: span at N_long, then alpha, then beta. Kept
 *         influence of b blocks is the sum over those blocks by the sum over all;
 *         density is the largest number of blocks that a row keeps by the number of
 *         blocks.
 * Oracle  lengths 2048, 8192, 16384 give 48 pairs.
 * Source  Fu et al. (MoA), arXiv 2406.14909, and its code; where queries see what
 *         follows, we let the band lie on both sides.
 * Cost    at most two rules: every pair of them, and a sort of the units for each. Any
 *         number: units x budget x choices additions.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "approx/influence.h"

typedef struct atn_span_rule {
    double alpha, beta;
} atn_span_rule;

typedef struct atn_span_grid {
    double shortest, profile, longest; /* lengths */
} atn_span_grid;

enum { ATN_SPAN_BLOCK = ATN_INFLUENCE_BLOCK };
#define ATN_SPAN_ALPHA_MOST 0x1p40

/* The pairs of the grid in their order, in heap memory; *n may be 0. */
atn_status atn_span_rules(atn_ctx *cx, const atn_span_grid *grid, atn_span_rule **out,
                          atn_idx *n) ATN_WARN_UNUSED;
/* Bytes at most that this takes. */
double atn_span_rules_bytes(double shortest, double profile);
/* USAGE, in the name of `id`, when the lengths do not ascend or no pair fits. */
atn_status atn_span_grid_check(atn_ctx *cx, const char *id,
                               const atn_span_grid *grid) ATN_WARN_UNUSED;
/* b at length n, without regard to how many blocks there are. */
atn_idx atn_span_blocks(const atn_span_rule *r, atn_idx n);
/* Blocks that the fullest row keeps under b, of `blocks`. */
atn_idx atn_span_kept(atn_idx b, atn_idx blocks, bool causal);
/* Of n_rules rules the first for every number of blocks that they have at length n, of
 * `blocks` at most, ascending, into choice [blocks]; returns how many. */
atn_idx atn_span_choices(const atn_span_rule *rules, atn_idx n_rules, atn_idx n,
                         atn_idx blocks, const atn_span_rule **choice);

/* kept[b - 1] is the share kept under b = 1 .. max(rows, keys); returns the sum of all
 * influence, 0 when there is none and so no share. */
double atn_span_profile(const double *influence, atn_idx rows, atn_idx keys,
                        bool causal, double *kept);

/* Units (heads, or groups of them) share `limit` 1 or 2 rules, or have any (0), so that
 * the summed loss is smallest within the budget. */
typedef struct atn_span_task {
    atn_idx units, choices;
    const double *loss;  /* [units, choices] */
    const atn_idx *cost; /* [choices] blocks kept; ascending */
    double budget;       /* of the cost of all units together */
    int limit;           /* 0 takes 8 bytes for each unit and number up to budget */
} atn_span_task;
/* pick[units], the best of all assignments; equal ones: the cheaper, then the earlier
 * choices. False when the budget is too small for any. */
atn_status atn_span_plan(atn_ctx *cx, const atn_span_task *t, atn_idx *pick,
                         bool *found) ATN_WARN_UNUSED;
