/* analysis/measure.h -- a measure: a small pure function of the rows of one head.
 *
 * A new measure is one file in analysis/measures/ and one line in measures.def; it gets its
 * columns in `stats`, its listing and its help from the table.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/row_stats.h"

enum { ATN_MEASURE_COLS = 6 };

typedef struct atn_measure_col {
    const char *name; /* published column name, the unit inside; NULL ends the list */
    const char *unit; /* "" = none */
    const char *text; /* one line of help */
} atn_measure_col;

typedef struct atn_measure {
    const char *id, *title;
    const char *source; /* paper or own derivation */
    unsigned needs;     /* ATN_NEED_* */
    atn_measure_col cols[ATN_MEASURE_COLS];
    /* One value a column; NaN = cannot be had for this head (an empty cell). */
    void (*compute)(const atn_head_rows *r, double *out);
} atn_measure;

extern const atn_measure *const atn_measures[];      /* by id, NULL-terminated */
const atn_measure *atn_measure_find(const char *id); /* NULL = none */
int atn_measure_n_cols(const atn_measure *m);
