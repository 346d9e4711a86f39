/* analysis/highlights.h -- the heads that a report should show first, chosen by
 * measures. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/table.h"

typedef struct atn_highlight {
    const char *id;     /* "previous", "induction", ... */
    const char *what;   /* "strongest previous-token head" */
    const char *column; /* the measure that chose it */
    const char *stack;  /* "" for a single stack; borrowed from the table */
    int64_t step;       /* 0 for a single step */
    int64_t layer, head;
    double value;
} atn_highlight;

enum { ATN_HIGHLIGHTS = 6 };

/* From a table of kind stats: one head for every rule whose column the table has, the
 * one with the largest (or smallest) value, ties to the earlier row; a head may win by
 * several rules, and nobody wins with a largest value of 0. Returns how many of out are
 * filled. */
int atn_highlights(const atn_table *stats, atn_highlight out[ATN_HIGHLIGHTS]);
bool atn_highlight_same_head(const atn_highlight *a, const atn_highlight *b);
