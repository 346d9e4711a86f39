/* analysis/head_types.c -- types of heads, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/head_types.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/keys.h"
#include "analysis/stats_internal.h"

const atn_head_rule atn_head_rules[] = {
    {"sink", "sink_columns_first", false, 0.3, "attends to the first key", false},
    {"previous", "previous_mass", false, 0.4, "attends to the position before", true},
    {"current", "diagonal_mass", false, 0.4, "attends to its own position", false},
    {"induction", "induction_score", false, 0.3,
     "attends to what followed the same token before", false},
    {"duplicate", "duplicate_score", false, 0.3, "attends to the same token before",
     false},
    {"local", "span_90_mean_tokens", true, 64, "attends to the last few positions",
     true},
    {"vertical", "stripes_key_mass", false, 0.3, "attends to one key wherever it is",
     false},
    {"slash", "stripes_offset_mass", false, 0.3, "attends to one distance", true},
    {"uniform", "entropy_normalised", false, 0.8, "attends to all keys alike", false},
    {"block_sparse", "blocks_density", true, 0.25, "attends to a few blocks of keys",
     false},
    {"mixed", NULL, false, 0, "none of these", false},
};
const int atn_n_head_rules = ATN_LEN(atn_head_rules);

enum { MAX_RULES = 16, SHORT = 8, LEAST_BLOCK = 4, MOST_BLOCK = 64, BLOCKS = 16 };

double atn_head_threshold(const atn_head_rule *r, atn_idx nk)
{
    const bool tokens = r->below && r->threshold > 1;

    return tokens ? fmin(r->threshold, (double)(nk / SHORT)) : r->threshold;
}

int atn_head_type(const double *score, atn_idx nk)
{
    for (int i = 0;; i++) {
        const atn_head_rule *r = &atn_head_rules[i];
        const double limit = atn_head_threshold(r, nk);

        if (!r->column) return i;
        if (r->below ? score[i] <= limit : score[i] > limit) return i;
    }
}

/* The slot that holds a published column. */
static int slot_of(const atn_stats_plan *plan, const char *column)
{
    for (int m = 0; m < plan->n; m++)
        for (int c = 0; plan->measure[m]->cols[c].name; c++)
            if (strcmp(plan->measure[m]->cols[c].name, column) == 0)
                return atn_stats_plan_slot(plan, m, c);
    return -1;
}

typedef struct typing {
    const atn_stats *stats;
    bool image; /* rules along a text do not hold */
    int slot[MAX_RULES];
    atn_idx heads[MAX_RULES]; /* of each type */
} typing;

static atn_status add_columns(atn_ctx *cx, const typing *ty, atn_table *t)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_add_col(cx, t, "type", ATN_COL_STR, "",
                              "first rule that holds (see head_rules)", NULL));
    ATN_TRY(atn_table_add_col(cx, t, "score", ATN_COL_F64, "",
                              "the column that the rule reads", NULL));
    ATN_TRY(atn_table_add_col(cx, t, "threshold", ATN_COL_F64, "",
                              "what it is compared with", NULL));
    for (int i = 0; atn_head_rules[i].column; i++)
        ATN_TRY(atn_stats_plan_columns(cx, &ty->stats->plan, ty->slot[i],
                                       ty->slot[i] + 1, t));
done:
    return st;
}

static atn_status add_head(atn_ctx *cx, typing *ty, atn_table *t, atn_idx row)
{
    const atn_stats *s = ty->stats;
    const double *values = s->values + row * s->plan.n_slots;
    const int col = atn_table_find_col(t, "type");
    const atn_idx nk = s->row[row].info->nk;
    double score[MAX_RULES];
    atn_status st = ATN_OK;
    int type;

    for (int i = 0; atn_head_rules[i].column; i++) {
        score[i] = values[ty->slot[i]];
        if (!isnan(score[i])) atn_table_set_f64(t, col + 3 + i, score[i]);
        if (ty->image && atn_head_rules[i].along) score[i] = NAN;
    }
    if (s->row[row].failed) goto done;
    type = atn_head_type(score, nk);
    ty->heads[type]++;
    ATN_TRY(atn_table_set_str(cx, t, col, atn_head_rules[type].type));
    if (!atn_head_rules[type].column) goto done;
    atn_table_set_f64(t, col + 1, score[type]);
    atn_table_set_f64(t, col + 2, atn_head_threshold(&atn_head_rules[type], nk));
done:
    return st;
}

/* The order of their colours: that of the rules, but mixed, which most heads are, comes
 * second and has the lightest. */
static atn_status name_types(atn_ctx *cx, const atn_stats *s, atn_table *heads)
{
    atn_status st = ATN_OK;
    char list[256] = "";
    size_t used = 0;

    for (int i = 0; i < atn_n_head_rules && used < sizeof list; i++) {
        const int rule = i == 0 ? 0 : i == 1 ? atn_n_head_rules - 1 : i - 1;

        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? "," : "",
                                 atn_head_rules[rule].type);
    }
    ATN_TRY(atn_table_set_meta(cx, heads, "categories", list));
    ATN_TRY(atn_table_set_meta(cx, heads, "title", "Types of heads"));
    ATN_TRY(atn_part_subtitle(cx, s->capture, s->selection, heads));
done:
    return st;
}

static atn_status heads_table(atn_ctx *cx, typing *ty, atn_table **out)
{
    const atn_stats *s = ty->stats;
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    atn_keys keys;

    ATN_TRY(atn_table_create(cx, "head_types", &t));
    ATN_TRY(atn_keys_add(cx, s->selection, ATN_KEYS_HEAD, t, &keys));
    ATN_TRY(add_columns(cx, ty, t));
    ATN_TRY(name_types(cx, s, t));
    for (atn_idx row = 0; row < s->n; row++) {
        if (!s->row[row].done) continue;
        ATN_TRY(atn_table_add_row(cx, t));
        ATN_TRY(atn_keys_set(cx, t, &keys, s->row[row].info, s->row[row].head));
        ATN_TRY(add_head(cx, ty, t, row));
    }
    *out = t;
    t = NULL;
done:
    atn_table_destroy(cx, t);
    return st;
}

static atn_status rules_table(atn_ctx *cx, const typing *ty, atn_idx nk,
                              atn_table **out)
{
    static const char *const names[][2] = {{"type", "type of head"},
                                           {"column", "column of stats that decides"},
                                           {"holds", "above or at most the threshold"}};
    atn_status st = ATN_OK;
    atn_table *t = NULL;

    ATN_TRY(atn_table_create(cx, "head_rules", &t));
    ATN_TRY(atn_table_add_col(cx, t, "rule", ATN_COL_I64, "", "order, from 1", NULL));
    for (size_t i = 0; i < ATN_LEN(names); i++)
        ATN_TRY(
            atn_table_add_col(cx, t, names[i][0], ATN_COL_STR, "", names[i][1], NULL));
    ATN_TRY(atn_table_add_col(cx, t, "threshold", ATN_COL_F64, "",
                              "of the longest layer", NULL));
    ATN_TRY(
        atn_table_add_col(cx, t, "heads", ATN_COL_I64, "", "heads of the type", NULL));
    ATN_TRY(atn_table_add_col(cx, t, "text", ATN_COL_STR, "", "what they do", NULL));
    for (int i = 0; i < atn_n_head_rules; i++) {
        const atn_head_rule *r = &atn_head_rules[i];

        ATN_TRY(atn_table_add_row(cx, t));
        atn_table_set_i64(t, 0, i + 1);
        ATN_TRY(atn_table_set_str(cx, t, 1, r->type));
        if (r->column) ATN_TRY(atn_table_set_str(cx, t, 2, r->column));
        if (r->column)
            ATN_TRY(atn_table_set_str(cx, t, 3, r->below ? "at most" : "above"));
        if (r->column) atn_table_set_f64(t, 4, atn_head_threshold(r, nk));
        atn_table_set_i64(t, 5, ty->heads[i]);
        ATN_TRY(atn_table_set_str(cx, t, 6,
                                  ty->image && r->along
                                      ? "left out: the tokens are places of a grid"
                                      : r->text));
    }
    *out = t;
    t = NULL;
done:
    atn_table_destroy(cx, t);
    return st;
}

void atn_head_types_measures(const atn_capture *c, const atn_selection *sel,
                             char specs[ATN_HEAD_SPECS])
{
    atn_idx nq = 1;

    for (int i = 0; i < sel->n; i++)
        nq = ATN_MAX(nq, atn_capture_layer(c, sel->at[i])->nq);
    snprintf(specs, ATN_HEAD_SPECS,
             "sink_columns,local,induction,span,stripes,entropy,blocks:size=%lld",
             (long long)ATN_MIN(ATN_MAX(nq / BLOCKS, LEAST_BLOCK), MOST_BLOCK));
}

atn_status atn_head_types_tables(atn_ctx *cx, const atn_stats *s, atn_table **heads,
                                 atn_table **rules)
{
    atn_status st = ATN_OK;
    typing ty = {.stats = s, .image = atn_capture_is_image(s->capture)};
    atn_idx nk = 1;

    ATN_ASSERT(atn_n_head_rules <= MAX_RULES);
    *heads = *rules = NULL;
    for (atn_idx i = 0; i < s->n; i++) nk = ATN_MAX(nk, s->row[i].info->nk);
    for (int i = 0; atn_head_rules[i].column; i++) {
        ty.slot[i] = slot_of(&s->plan, atn_head_rules[i].column);
        ATN_ASSERT(ty.slot[i] >= 0);
    }
    ATN_TRY(heads_table(cx, &ty, heads));
    ATN_TRY(rules_table(cx, &ty, nk, rules));
done:
    return st;
}
