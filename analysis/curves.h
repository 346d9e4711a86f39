/* analysis/curves.h -- what figures draw of every head beyond one number: the distance
 * profile, the coverage curve and the map of sinks, from one row pass a layer.
 *
 * Math    distance: share of the head's mass at |t - j| in {0}, {1}, {2, 3}, ...
 *         coverage: mean over rows with mass of the least number of keys that hold c of
 *         it, and of that number / visible keys, for the levels of atn_cover_levels.
 *         sinks: a_k = sum_i P_i,f+k / N_k with f the first key that is no padding and
 *         N_k the rows that see a key and, in a causal head, are not before f + k: the
 *         mean weight on key k.
 *         the map: a_k of the keys with 2 N_k >= N_0, for of the last keys of a causal
 *         head the mean is over a few rows; buckets: the largest of them.
 * Oracle  F4: shares 2.25 1.3 .45 of 4, a = .45 .316667 .5 .25; uniform causal, n = 64:
 *         a_0 = H_64 / 64 = 0.0741233. Shares sum to 1; a_0 is sink_mass.
 * Source  cards B2, B3 (importance of a key, Gu et al., arXiv 2410.10781) and B4.
 * Cost    one row pass of what is asked for; heads together as atn_row_stats_batch.
 * Limits  as the row pass: at most 2^22 rows.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/row_stats.h"
#include "analysis/select.h"
#include "core/table.h"

enum { ATN_CURVE_DISTANCE = 1, ATN_CURVE_COVERAGE = 2, ATN_CURVE_SINKS = 4 };

/* Those that were asked for; the others are NULL. */
typedef struct atn_curves {
    /* kind distance: [stack, step,] layer, head, distance_first_tokens,
     * distance_last_tokens, mass_share; a row a bin */
    atn_table *distance;
    /* kind coverage: [stack, step,] layer, head, coverage, keys_mean, share_mean; a row
     * a level */
    atn_table *coverage;
    /* kind sinks: [stack, step,] layer, head and a matrix of a row a head: column k <
     * 64 is a_k, NaN where fewer than half of the rows come after, the columns behind
     * are the buckets [64, 128), [128, 256), ... as far as they have keys; meta single
     * (64), keys */
    atn_table *sinks;
} atn_curves;

/* Tables of all selected heads. A head whose values are no numbers is named in the log
 * and has empty cells. */
atn_status atn_curves_run(atn_ctx *cx, const atn_capture *c, const atn_selection *sel,
                          unsigned which, atn_curves *out) ATN_WARN_UNUSED;
void atn_curves_release(atn_ctx *cx, atn_curves *c);

/* ---- of one head ---- */

enum { ATN_DISTANCE_BINS = 64, ATN_SINKS_SINGLE = 64 };

/* What the row statistics need for these curves: ATN_NEED_*. */
unsigned atn_curves_needs(unsigned which);
/* Bins (atn_distance_bin) up to the largest distance that a query and a key of this
 * shape can have. */
int atn_distance_bins(atn_idx nq, atn_idx nk, const atn_sight *sight);
/* a_k of keys 0 .. n - 1 counted from the first that is no padding, and counts[n], the
 * N_k; NaN for keys that no row comes after. Needs COLUMNS. */
void atn_sink_means(const atn_head_stats *s, atn_idx n, double *counts, double *a);
/* Columns of the map of n keys, and one row of it. */
int atn_sink_columns(atn_idx n);
void atn_sink_row(const double *counts, const double *a, atn_idx n, int columns,
                  float *row);
/* Mean over the rows that count and have weight of field f, and of f / visible keys.
 * NaN = no row. */
void atn_cover_means(const atn_head_stats *s, atn_row_field f, double *keys,
                     double *share);
