/* cli/sources.h -- the table that a figure is drawn from: computed from a capture, or
 * read. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/pages.h"
#include "cli/output.h"

typedef struct atn_source_opts {
    atn_idx cells; /* side of a heatmap, 0 = 512; of a head on a page, 0 = 128, or less
                      where there are many */
    atn_pool pool;
    const char *y; /* of measures: the columns wanted, "a,b"; NULL = the figure's own */
    /* similarity: the column copy_err too, which costs more than the rest */
    bool copy_err;
    const double *p;     /* energy: [n_p]; NULL = the usual ones */
    int n_p, iterations; /* 0 = 10 */
} atn_source_opts;

/* Has the column a value in any row? col -1 = no. */
bool atn_source_has_values(const atn_table *t, int col);
/* Has any selected layer queries among its keys? */
bool atn_source_has_distances(const atn_subject *s);
/* True when cells and pool matter for it. */
bool atn_source_pools(const char *figure);
/* The type of every head, and the rules (analysis/head_types.h). */
atn_status atn_source_types(atn_ctx *cx, const atn_subject *s, atn_table **heads,
                            atn_table **rules) ATN_WARN_UNUSED;
/* Computes the table of a figure from the selected layers and heads. heatmap wants
 * exactly one head (USAGE says how to choose it); DATA says why no head of a graph's
 * figure has a value. */
atn_status atn_source_table(atn_ctx *cx, const char *figure, const atn_subject *s,
                            const atn_source_opts *opts,
                            atn_table **out) ATN_WARN_UNUSED;
