/* analysis/keys.c -- the columns by which rows of a table are found. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/keys.h"

#include <string.h>

const char *atn_layer_pattern(const atn_layer_info *l)
{
    if (l->sight.causal) return l->sight.cross ? "causal_cross" : "causal_self";
    return l->sight.cross ? "noncausal_cross" : "noncausal_self";
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
