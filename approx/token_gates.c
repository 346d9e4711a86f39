/* approx/token_gates.c -- numbers of every token from a file of draws. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/token_gates.h"

#include <stdio.h>

atn_status atn_gates_read(atn_ctx *cx, const atn_input *in, const atn_gates *g,
                          double *out, bool *found)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx n = g->head->nk, cols = ATN_MAX(g->cols, 1);
    char purpose[64];
    const atn_draw w = {.what = g->what,
                        .purpose = purpose,
                        .layer = g->head->layer,
                        .head = g->head->head,
                        .rows = n,
                        .cols = g->cols};
    atn_status st = ATN_OK;
    float *given = NULL;
    atn_idx count = 0;

    snprintf(purpose, sizeof purpose, "%s/%s", g->method, g->what);
    *found = atn_draws_have(in->draws, &w);
    if (!*found) goto done;
    if (!atn_mul(n, cols, &count))
        ATN_FAIL(ATN_MEMORY, "%s: %s of %lld tokens are too many", g->method, g->what,
                 (long long)n);
    ATN_TAKE(given, count);
    ATN_TRY(atn_draw_given(cx, in->draws, &w, given));
    for (atn_idx e = 0; e < count; e++) {
        out[e] = (double)given[e];
        if (!(out[e] >= 0 && out[e] <= g->hi))
            ATN_FAIL(ATN_DATA,
                     "%s: %s of token %lld in layer %d, head %d is %g (give numbers in "
                     "0..%g)",
                     g->method, g->what, (long long)(e / cols), g->head->layer,
                     g->head->head, out[e], g->hi);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}
