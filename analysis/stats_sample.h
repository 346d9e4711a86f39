/* analysis/stats_sample.h -- a stratified sample of the query rows of a layer.
 *
 * Math    the rows from skip_rows on are cut into n / 2 stretches of equal length (but
 *         for one row), and two rows are drawn from each without replacement; every
 *         draw stands for half of its stretch. The same rows are drawn for all heads of
 *         all layers with as many rows, so that heads are compared on the same rows.
 * Source  Cochran, Sampling Techniques, chapter 5.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/ctx.h"

/* Query i of a sampled head is row[i] of the layer; arrays live in the arena of their
 * maker. */
typedef struct atn_row_sample {
    atn_idx n, strata, nq; /* rows drawn, stretches, rows of the layer */
    atn_idx *row;          /* [n] ascending; stretch s holds draws 2s and 2s + 1 */
    double *weight;        /* [n] rows that each draw stands for */
    double *fraction;      /* [strata] share of the stretch that was drawn */
} atn_row_sample;

enum { ATN_SAMPLE_LEAST = 4 };

/* Draws n rows (one fewer when n is odd) of nq - skip_rows >= n >= ATN_SAMPLE_LEAST. */
atn_status atn_row_sample_draw(atn_ctx *cx, atn_idx nq, atn_idx skip_rows, atn_idx n,
                               atn_row_sample *out) ATN_WARN_UNUSED;
