/* analysis/highlights.c -- the heads that a report should show first, chosen by
 * measures. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/highlights.h"

#include <math.h>
#include <string.h>

typedef struct rule {
    const char *id, *what, *column;
    bool smallest;
} rule;

static const rule rules[ATN_HIGHLIGHTS] = {
    {"previous", "strongest previous-token head", "previous_mass", false},
    {"induction", "strongest induction head", "induction_score", false},
    {"sink", "most weight on the first key", "sink_mass", false},
    {"far", "looks furthest back for its place in the text", "distance_relative",
     false},
    {"diffuse", "most even over the keys it sees", "entropy_normalised", false},
    {"focused", "fewest effective keys", "effective_keys", true},
};

static atn_highlight row_of(const atn_table *t, atn_idx row, const rule *r)
{
    const int stack = atn_table_find_col(t, "stack"),
              step = atn_table_find_col(t, "step");
    const int layer = atn_table_find_col(t, "layer"),
              head = atn_table_find_col(t, "head");
    atn_highlight h = {.id = r->id, .what = r->what, .column = r->column, .stack = ""};

    if (stack >= 0 && atn_table_has(t, row, stack))
        h.stack = atn_table_get_str(t, row, stack);
    if (step >= 0) h.step = atn_table_get_i64(t, row, step);
    h.layer = atn_table_get_i64(t, row, layer);
    h.head = atn_table_get_i64(t, row, head);
    h.value = atn_table_get_f64(t, row, atn_table_find_col(t, r->column));
    return h;
}

bool atn_highlight_same_head(const atn_highlight *a, const atn_highlight *b)
{
    return a->layer == b->layer && a->head == b->head && a->step == b->step &&
           strcmp(a->stack, b->stack) == 0;
}

int atn_highlights(const atn_table *stats, atn_highlight out[ATN_HIGHLIGHTS])
{
    int n = 0;

    if (atn_table_find_col(stats, "layer") < 0 || atn_table_find_col(stats, "head") < 0)
        return 0;
    for (size_t i = 0; i < ATN_LEN(rules); i++) {
        atn_highlight best = {.value = NAN};

        if (atn_table_find_col(stats, rules[i].column) < 0) continue;
        for (atn_idx row = 0; row < atn_table_rows(stats); row++) {
            const atn_highlight h = row_of(stats, row, &rules[i]);
            const bool better =
                rules[i].smallest ? h.value < best.value : h.value > best.value;

            if (isnan(h.value)) continue;
            if (isnan(best.value) || better) best = h;
        }
        /* a largest weight of nothing singles nobody out */
        if (best.value > 0) out[n++] = best;
    }
    return n;
}
