/* analysis/sums.h -- means from the sums over columns and diagonals of a head. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/row_stats.h"

/* N_k: the rows that count and, in a causal head, lie at position k or later (in
 * others: all rows that count). */
double atn_column_rows(const atn_head_stats *s, atn_idx k);
/* a_k: mean of P_ik over these rows; NaN when there is none. */
double atn_column_mean(const atn_head_stats *s, atn_idx k);
/* The last key of the first half of those that are no padding: later ones are judged by
 * few rows of a causal head. */
atn_idx atn_first_half(const atn_head_stats *s);
/* The key, padding aside, with the largest column sum, and that with the largest a_k
 * among k <= atn_first_half, whose a_k goes to *mass; the lower of equal ones. -1 where
 * there is none. */
atn_idx atn_column_top(const atn_head_stats *s);
atn_idx atn_column_best(const atn_head_stats *s, double *mass);
/* Sum of the weights at distance delta >= 0 back from the query. */
double atn_diagonal_sum(const atn_head_stats *s, atn_idx delta);
/* Rows that count and whose key at that distance exists and is no padding, visible or
 * not. */
double atn_diagonal_entries(const atn_head_stats *s, atn_idx delta);
/* The bins {0}, {1}, {2, 3}, {4 .. 7}, ...: bin 0 is {0}, bin b > 0 is [2^(b-1),
 * 2^b - 1]. */
int atn_distance_bin(atn_idx distance);
/* Shares of the head's mass by |t - j| in so many bins, the last without end; NaN where
 * the head has no mass. Needs DIAGONALS. */
void atn_distance_shares(const atn_head_stats *s, int bins, double *share);
