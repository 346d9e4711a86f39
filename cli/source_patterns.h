/* cli/source_patterns.h -- the tables of figures pattern, reach and growth: of patterns
 * given as words, of the heads of a capture, of both.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "cli/output.h"

/* What a figure is about. A capture's patterns are what its masks show or, with `from`,
 * what a method keeps of the selected heads (analysis/head_patterns.h). */
typedef struct atn_pattern_source {
    const char *figure;
    const atn_subject *subject; /* NULL = words alone */
    const char *const *words;   /* [n] cli/patterns.h */
    int n;
    const char *from;         /* NULL = the masks */
    atn_list grid;            /* for `from`, n = 0: what the capture says */
    atn_idx prompt;           /* likewise, 0 */
    const char *chosen;       /* atn_pattern_selection; NULL = none */
    atn_run *run;             /* gets the files of words as inputs; NULL = none */
    atn_idx tokens;           /* 0 = what words or capture say */
    atn_idx query_heads;      /* of words */
    int depth;                /* 0 = layers that there are, of words alone at least 8 */
    atn_idx cells;            /* 0 = 512 */
    const char *layer, *head; /* of words: which layer and head is shown; NULL = none */
    bool whole;               /* all columns of a field, else those that y needs */
    const char *y;            /* NULL = the usual one */
} atn_pattern_source;

bool atn_draws_patterns(const char *figure);
/* One layer or head of n by its number: text of --layers or --heads; NULL = 0. */
atn_status atn_pattern_one(atn_ctx *cx, const char *option, const char *text, atn_idx n,
                           atn_idx *out) ATN_WARN_UNUSED;
/* ", layers 0-1, head 2": what a command line selects of a capture, in heap memory. */
char *atn_pattern_selection(const atn_cli *cli) ATN_WARN_UNUSED;
/* USAGE says which choice is missing: pattern shows one layer and head, reach one
 * stack, growth several patterns and at most one capture. */
atn_status atn_pattern_source_table(atn_ctx *cx, const atn_pattern_source *s,
                                    atn_table **out) ATN_WARN_UNUSED;

/* Stores the one layer that is chosen as a pattern file (core/io/pattern.h): of words
 * all heads or the named one; of a capture the mask or, with `from`, each head that is
 * selected. */
atn_status atn_pattern_source_save(atn_ctx *cx, const atn_pattern_source *s,
                                   const char *path, bool force) ATN_WARN_UNUSED;

enum { ATN_WINDOW_WORD = 64 };
/* growth of the capture of s (which has no words) beside a sliding window that keeps as
 * many pairs a layer; word: that window, by which attnscope plot draws the same. */
atn_status atn_pattern_source_budget(atn_ctx *cx, const atn_pattern_source *s,
                                     char word[ATN_WINDOW_WORD],
                                     atn_table **out) ATN_WARN_UNUSED;
