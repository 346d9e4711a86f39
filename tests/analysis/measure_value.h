/* Columns of one head, by the way that `stats` takes: specs, row statistics, slots. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "check.h"

#include "analysis/stats_plan.h"

/* The slot of column `name`; `kind` and `quantile` or bin choose among those of the column. */
static inline int slot_named(const atn_stats_plan *plan, const char *name,
                             atn_slot_kind kind, double quantile, int bin)
{
    for (int i = 0; i < plan->n_slots; i++) {
        const atn_stats_slot *s = &plan->slot[i];

        if (s->kind == kind && s->quantile == quantile && s->bin == bin &&
            strcmp(plan->measure[s->measure]->cols[s->col].name, name) == 0)
            return i;
    }
    fail_msg("no slot of column %s", name);
    return -1;
}

/* All slots of the plan for head h; tokens may be NULL. */
static inline void head_values(atn_ctx *cx, const atn_stats_plan *plan,
                               const atn_head *h, const int32_t *tokens, double *values)
{
    atn_row_stats *s = NULL;
    atn_head_stats rows;

    for (int i = 0; i < plan->n_slots; i++) values[i] = NAN;
    CHECK_OK(atn_row_stats_run(cx, h, 1, tokens, &plan->rows, &s));
    rows = atn_row_stats_head(s, 0);
    CHECK_OK(atn_stats_plan_values(cx, plan, &rows, NULL, values));
    atn_row_stats_destroy(cx, s);
}

static inline double column_of(atn_ctx *cx, const atn_head *h, const int32_t *tokens,
                               atn_idx skip, const char *spec, const char *name)
{
    const atn_stats_plan_opts opts = {.measures = spec, .skip_rows = skip};
    atn_stats_plan plan;
    double values[256], x;

    CHECK_OK(atn_stats_plan_make(cx, &opts, &plan));
    CHECK_LE(plan.n_slots, 256);
    head_values(cx, &plan, h, tokens, values);
    x = values[slot_named(&plan, name, ATN_SLOT_VALUE, 0, 0)];
    atn_stats_plan_release(cx, &plan);
    return x;
}
