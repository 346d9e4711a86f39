/* viz/sections.c -- layers of stacks and steps, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/sections.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viz/canvas.h"

enum { NAME = 96, STACK_CHARS = 8 };
#define BLANK "\xc2\xa0" /* one that a label of a token shows as it is */

static bool is_whole(const atn_table *t, int col)
{
    return col >= 0 && atn_table_col_type(t, col) == ATN_COL_I64;
}

int64_t atn_section_head(const atn_table *t, atn_idx row)
{
    return atn_table_get_i64(t, row, atn_table_find_col(t, "head"));
}

const char *atn_sections_check(const atn_table *t)
{
    if (atn_table_rows(t) == 0) return "it has no rows";
    if (!is_whole(t, atn_table_find_col(t, "layer")) ||
        !is_whole(t, atn_table_find_col(t, "head")))
        return "it has no whole numbers in columns layer and head";
    for (atn_idx r = 0; r < atn_table_rows(t); r++) {
        const int64_t head = atn_section_head(t, r);

        if (head < 0 || head >= ATN_SECTION_HEADS)
            return "its column head has numbers outside 0 .. 4095";
    }
    return NULL;
}

/* One section while it is looked for; rank is its place in order of appearance. */
typedef struct section {
    const char *stack;
    int64_t step, layer;
    int group, rank;
} section;

static section section_of(const atn_table *t, atn_idx row, bool layers)
{
    const int stack = atn_table_find_col(t, "stack"),
              step = atn_table_find_col(t, "step");
    section s = {.stack = ""};

    if (stack >= 0 && atn_table_col_type(t, stack) == ATN_COL_STR &&
        atn_table_has(t, row, stack))
        s.stack = atn_table_get_str(t, row, stack);
    if (is_whole(t, step)) s.step = atn_table_get_i64(t, row, step);
    if (layers) s.layer = atn_table_get_i64(t, row, atn_table_find_col(t, "layer"));
    return s;
}

static bool same_group(const section *a, const section *b)
{
    return a->step == b->step && strcmp(a->stack, b->stack) == 0;
}

/* The place of s in the list, the last ones first: rows of a layer stand together. */
static int find(const section *list, int n, const section *s)
{
    for (int i = n - 1; i >= 0; i--)
        if (list[i].layer == s->layer && same_group(&list[i], s)) return i;
    return -1;
}

static int by_group_and_layer(const void *a, const void *b)
{
    const section *x = a, *y = b;

    if (x->group != y->group) return x->group < y->group ? -1 : 1;
    return (x->layer > y->layer) - (x->layer < y->layer);
}

static bool has_steps(const atn_table *t)
{
    return is_whole(t, atn_table_find_col(t, "step"));
}

static void name_section(const atn_table *t, const section *s, bool stacks,
                         char out[NAME])
{
    char stack[NAME / 2] = "", step[32] = "";

    if (stacks) atn_token_label(s->stack, STACK_CHARS, stack, sizeof stack);
    if (has_steps(t)) snprintf(step, sizeof step, "%lld.", (long long)s->step);
    snprintf(out, NAME, "%s%s%s%lld", stack, *stack ? BLANK : "", step,
             (long long)s->layer);
}

static void name_group(const atn_table *t, const section *s, char out[NAME])
{
    char stack[NAME / 2];

    atn_token_label(s->stack, STACK_CHARS, stack, sizeof stack);
    if (has_steps(t))
        snprintf(out, NAME, "%s%sstep %lld", stack, *stack ? ", " : "",
                 (long long)s->step);
    else
        snprintf(out, NAME, "%s", stack);
}

/* Lists the sections in order of appearance; of[row] is the place in this order. */
static atn_status collect(atn_ctx *cx, const atn_table *t, bool layers, section *list,
                          atn_sections *out)
{
    const bool heads = layers && is_whole(t, atn_table_find_col(t, "head"));
    atn_status st = ATN_OK;

    for (atn_idx r = 0; r < atn_table_rows(t); r++) {
        section s = section_of(t, r, layers);
        int at = find(list, out->n, &s);

        if (heads) out->heads = ATN_MAX(out->heads, atn_section_head(t, r) + 1);
        if (at < 0) {
            if (out->n == ATN_SECTIONS_MAX)
                ATN_FAIL(ATN_USAGE, "a figure shows at most %d %s (choose fewer)",
                         ATN_SECTIONS_MAX,
                         layers ? "layers of all stacks and steps"
                                : "stacks and steps");
            s.group = out->groups;
            for (int i = out->n - 1; i >= 0 && s.group == out->groups; i--)
                if (same_group(&list[i], &s)) s.group = list[i].group;
            out->groups = ATN_MAX(out->groups, s.group + 1);
            at = s.rank = out->n++;
            list[at] = s;
        }
        out->of[r] = at;
    }
done:
    return st;
}

static atn_status set_names(atn_ctx *cx, const atn_table *t, const section *list,
                            atn_sections *out)
{
    atn_status st = ATN_OK;
    char *text = NULL;

    for (int i = 0; i < out->n; i++) {
        const section *s = &list[i];

        if (i == 0 || s->group != list[i - 1].group) {
            ATN_TAKE(text, NAME);
            name_group(t, s, text);
            out->group_name[s->group] = text;
        }
        ATN_TAKE(text, NAME);
        name_section(t, s, out->groups > 1, text);
        out->name[i] = text;
        out->layer[i] = s->layer;
        out->group[i] = s->group;
    }
done:
    return st;
}

static atn_status find_all(atn_ctx *cx, const atn_table *t, bool layers,
                           atn_sections *out)
{
    const atn_idx rows = atn_table_rows(t), most = ATN_MIN(rows, ATN_SECTIONS_MAX);
    atn_status st = ATN_OK;
    section *list = NULL;
    int *place = NULL;

    *out = (atn_sections){.heads = 1, .axis = has_steps(t) ? "step.layer" : "layer"};
    ATN_TAKE(list, most);
    ATN_TAKE(place, most);
    ATN_TAKE(out->of, rows);
    ATN_TAKE(out->layer, most);
    ATN_TAKE(out->group, most);
    ATN_TAKE(out->name, most);
    ATN_TAKE(out->group_name, most);
    ATN_TRY(collect(cx, t, layers, list, out));
    qsort(list, (size_t)out->n, sizeof *list, by_group_and_layer);
    for (int i = 0; i < out->n; i++) place[list[i].rank] = i;
    for (atn_idx r = 0; r < rows; r++) out->of[r] = place[out->of[r]];
    ATN_TRY(set_names(cx, t, list, out));
done:
    return st;
}

atn_status atn_sections_find(atn_ctx *cx, const atn_table *t, atn_sections *out)
{
    return find_all(cx, t, true, out);
}

atn_status atn_groups_find(atn_ctx *cx, const atn_table *t, atn_sections *out)
{
    return find_all(cx, t, false, out);
}
