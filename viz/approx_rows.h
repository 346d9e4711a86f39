/* viz/approx_rows.h -- rows of a table of approx by method. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "viz/plot.h"

/* What figures of methods show: columns of a table, -1 = absent. */
typedef struct atn_approx_rows {
    int method; /* or the column that meta series names */
    int x, y;
} atn_approx_rows;

/* x: the usual column, y: error_matrix, else output_error_relative; meta x and y name
 * others. */
atn_approx_rows atn_approx_rows_of(const atn_table *t, const char *x);
bool atn_approx_rows_has(const atn_table *t, const atn_approx_rows *r, atn_idx row);
/* Why t has no such rows, NULL = it has: no method, no number for x (the text says how
 * to get it) or y, or a method twice in one head, at one temperature. */
const char *atn_approx_rows_check(const atn_table *t, const atn_approx_rows *r,
                                  const char *lacks_x);
