/* analysis/head_types.h -- what kind of head is it? A fixed list of rules over the
 * measures.
 *
 * Math    the rules are tried in the order of atn_head_rules; the first that holds
 *         names the type, else the head is mixed. A rule compares one column of `stats`
 *         with a threshold; that of local is min(64, floor(nk / 8)) tokens, or every
 *         head of a short text would be local. Blocks have min(64,
 *         max(4, floor(nq / 16))) rows.
 * Source  card B13; thresholds of the card, those that it does not give (current,
 *         duplicate, vertical, slash, block_sparse) are ours.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/stats.h"

typedef struct atn_head_rule {
    const char *type;
    const char *column; /* of stats; NULL = holds always */
    bool below;         /* holds at or below the threshold, else above it */
    double threshold;
    const char *text;
    bool along; /* goes by distance along a text: of no head of a grid */
} atn_head_rule;

extern const atn_head_rule atn_head_rules[]; /* in order; the last holds always */
extern const int atn_n_head_rules;

/* The threshold of a rule for a head with nk keys. */
double atn_head_threshold(const atn_head_rule *r, atn_idx nk);
/* Index of the first rule that holds; score[i] is the column of rule i, NaN = does not
 * hold. */
int atn_head_type(const double *score, atn_idx nk);

enum { ATN_HEAD_SPECS = 160 };
/* The measures, as --measure takes them, that the rules read; blocks by the longest
 * layer. */
void atn_head_types_measures(const atn_capture *c, const atn_selection *sel,
                             char specs[ATN_HEAD_SPECS]);
/* From a run of these measures. heads, kind "head_types": [stack, step,] layer, head,
 * pattern, type, score, threshold, and the column of every rule; rules, kind
 * "head_rules": rule, type, column, holds ("above", "at most"), threshold, heads, text.
 * Heads that were left out have no type. Meta categories of heads lists all types, so
 * that a grid gives them the same colours whichever occur. */
atn_status atn_head_types_tables(atn_ctx *cx, const atn_stats *s, atn_table **heads,
                                 atn_table **rules) ATN_WARN_UNUSED;
