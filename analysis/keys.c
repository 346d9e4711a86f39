/* analysis/keys.c -- the columns by which rows of a table are found. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/keys.h"

#include <stdio.h>
#include <string.h>

const char *atn_layer_pattern(const atn_layer_info *l)
{
    if (l->sight.causal) return l->sight.cross ? "causal_cross" : "causal_self";
    return l->sight.cross ? "noncausal_cross" : "noncausal_self";
}

const char *atn_part_words_of(const char *stack, int step, char out[ATN_PART_WORDS])
{
    char steps[32] = "";

    if (step >= 0) snprintf(steps, sizeof steps, "step %d", step);
    snprintf(out, ATN_PART_WORDS, "%.40s%s%s%s", stack ? stack : "",
             stack ? " layers" : "", stack && *steps ? ", " : "", steps);
    return out;
}

const char *atn_part_words(const atn_capture *c, const atn_selection *sel,
                           char out[ATN_PART_WORDS])
{
    const atn_layer_info *a = atn_capture_layer(c, sel->at[0]);
    bool stack = sel->many_stacks, step = sel->many_steps;

    for (int i = 1; i < sel->n; i++) {
        const atn_layer_info *b = atn_capture_layer(c, sel->at[i]);

        stack = stack && strcmp(a->stack, b->stack) == 0;
        step = step && a->step == b->step;
    }
    return atn_part_words_of(stack ? a->stack : NULL, step ? a->step : -1, out);
}

/* The first "layer 3" of text that is no "layer 30" and has no stack before it; NULL =
 * none. */
static char *bare_layer(char *text, const atn_layer_info *l)
{
    const size_t before = strlen(l->stack) + 1;
    char name[32], *at = text;
    size_t n;

    snprintf(name, sizeof name, "layer %d", l->layer);
    n = strlen(name);
    for (; (at = strstr(at, name)); at += n) {
        const bool word = at == text || at[-1] == ' ';
        const bool named = (size_t)(at - text) >= before &&
                           strncmp(at - before, l->stack, before - 1) == 0;

        if (word && !named && !(at[n] >= '0' && at[n] <= '9')) return at;
    }
    return NULL;
}

atn_status atn_layer_named(atn_ctx *cx, const atn_layer_info *l, atn_status st)
{
    char rest[ATN_ERR_TEXT], *at;

    if (st == ATN_OK || !*l->stack) return st;
    at = bare_layer(cx->err.text, l);
    if (!at) return st;
    snprintf(rest, sizeof rest, "%s", at);
    snprintf(at, sizeof cx->err.text - (size_t)(at - cx->err.text), "%.40s %s",
             l->stack, rest);
    return st;
}

atn_status atn_part_subtitle(atn_ctx *cx, const atn_capture *c,
                             const atn_selection *sel, atn_table *t)
{
    const char *model = atn_capture_model(c)->name;
    char words[ATN_PART_WORDS], text[256];

    atn_part_words(c, sel, words);
    if (!model && !*words) return ATN_OK;
    snprintf(text, sizeof text, "%.150s%s%s", model ? model : "",
             model && *words ? ": " : "", words);
    return atn_table_set_meta(cx, t, "subtitle", text);
}

atn_status atn_keys_add(atn_ctx *cx, const atn_selection *sel, atn_keys_of of,
                        atn_table *t, atn_keys *k)
{
    atn_status st = ATN_OK;

    *k = (atn_keys){-1, -1, -1, -1, -1};
    if (of != ATN_KEYS_MODEL && sel->many_stacks)
        ATN_TRY(atn_table_add_col(cx, t, "stack", ATN_COL_STR, "",
                                  "encoder, decoder or cross", &k->stack));
    if (of != ATN_KEYS_MODEL && sel->many_steps)
        ATN_TRY(atn_table_add_col(cx, t, "step", ATN_COL_I64, "", "generation step",
                                  &k->step));
    if (of != ATN_KEYS_MODEL)
        ATN_TRY(atn_table_add_col(cx, t, "layer", ATN_COL_I64, "", "layer, from 0",
                                  &k->layer));
    if (of == ATN_KEYS_HEAD)
        ATN_TRY(atn_table_add_col(cx, t, "head", ATN_COL_I64, "", "query head, from 0",
                                  &k->head));
    ATN_TRY(atn_table_add_col(cx, t, "pattern", ATN_COL_STR, "",
                              "causal or noncausal, self or cross", &k->pattern));
done:
    return st;
}

atn_status atn_keys_set(atn_ctx *cx, atn_table *t, const atn_keys *k,
                        const atn_layer_info *l, atn_idx head)
{
    atn_status st = ATN_OK;

    if (k->stack >= 0) ATN_TRY(atn_table_set_str(cx, t, k->stack, l->stack));
    if (k->step >= 0) atn_table_set_i64(t, k->step, l->step);
    if (k->layer >= 0) atn_table_set_i64(t, k->layer, l->layer);
    if (k->head >= 0) atn_table_set_i64(t, k->head, head);
    ATN_TRY(atn_table_set_str(cx, t, k->pattern, atn_layer_pattern(l)));
done:
    return st;
}
