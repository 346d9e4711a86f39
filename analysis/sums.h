/* analysis/sums.h -- means from the sums over columns and diagonals of a head. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/row_stats.h"

/* a_k: mean of P_ik over the rows that count and, in a causal head, lie at position k or later
 * (in others: all rows that count); NaN when there is none. */
double atn_column_mean(const atn_head_stats *s, atn_idx k);
/* Sum of the weights at distance delta >= 0 back from the query. */
double atn_diagonal_sum(const atn_head_stats *s, atn_idx delta);
/* Rows that count and whose key at that distance exists and is no padding, visible or not. */
double atn_diagonal_entries(const atn_head_stats *s, atn_idx delta);
