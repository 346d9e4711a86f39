/* analysis/approx_ctas.c -- the CTAs of every plan of a run, and their table. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>

#include "analysis/approx_internal.h"

atn_status atn_approx_keep_ctas(atn_ctx *cx, const atn_approx *a, const atn_head *h,
                                const atn_plan *p, atn_approx_cell *cell)
{
    atn_cta_runs runs[ATN_TILE_SHAPES];
    atn_status st = ATN_OK;

    memset(runs, 0, sizeof runs);
    ATN_NEW(cell->ctas, ATN_MAX(a->shapes.n, 1));
    ATN_TRY(atn_plan_ctas(cx, h, p, &a->shapes, runs));
    for (int k = 0; k < a->shapes.n; k++)
        if (runs[k].n > 0) ATN_TRY(atn_cta_runs_print(cx, &runs[k], &cell->ctas[k]));
done:
    for (int k = 0; k < a->shapes.n; k++) atn_cta_runs_release(cx, &runs[k]);
    return st;
}

void atn_approx_drop_ctas(atn_ctx *cx, const atn_approx *a, atn_approx_cell *cell)
{
    for (int k = 0; cell->ctas && k < a->shapes.n; k++) atn_free(cx, cell->ctas[k]);
    atn_free(cx, cell->ctas);
    cell->ctas = NULL;
}

/* Head dims share the columns of equal tiles. */
static atn_status add_columns(atn_ctx *cx, const atn_tile_shapes *s, atn_table *t,
                              int at[ATN_TILE_SHAPES])
{
    atn_status st = ATN_OK;
    char name[ATN_SHAPE_COLUMN];

    for (int k = 0; k < s->n; k++) {
        atn_tile_shape_column(&s->at[k], name);
        at[k] = atn_table_find_col(t, name);
        if (at[k] < 0)
            ATN_TRY(atn_table_add_col(cx, t, name, ATN_COL_STR, "",
                                      "visits/masked*CTAs of queries x keys, then "
                                      "gathered tiles of 16 queries, then u and the "
                                      "CTAs of groups as one mask",
                                      &at[k]));
    }
done:
    return st;
}

static atn_status set_columns(atn_ctx *cx, const atn_approx *a, atn_table *t,
                              const int at[ATN_TILE_SHAPES],
                              const atn_approx_cell *cell)
{
    atn_status st = ATN_OK;

    for (int k = 0; cell->ctas && k < a->shapes.n; k++)
        if (cell->ctas[k]) ATN_TRY(atn_table_set_str(cx, t, at[k], cell->ctas[k]));
done:
    return st;
}

atn_status atn_approx_tiles(atn_ctx *cx, const atn_approx *a, atn_table **out)
{
    int at[ATN_TILE_SHAPES], method = 0, budget = 0;
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    atn_keys k;

    ATN_TRY(atn_table_create(cx, "approx_tiles", &t));
    ATN_TRY(atn_keys_add(cx, a->selection, ATN_KEYS_HEAD, t, &k));
    ATN_TRY(atn_table_add_col(cx, t, "method", ATN_COL_STR, "", "its id", &method));
    ATN_TRY(
        atn_table_add_col(cx, t, "budget", ATN_COL_STR, "", "as in approx", &budget));
    ATN_TRY(add_columns(cx, &a->shapes, t, at));
    for (atn_idx i = 0; i < a->n; i++)
        for (int c = 0; c < a->n_cases; c++) {
            const atn_approx_cell *cell = atn_approx_at(a, i, c);
            const atn_approx_case *of = &a->cases[c];

            if (!cell->done) continue;
            ATN_TRY(atn_table_add_row(cx, t));
            ATN_TRY(atn_keys_set(cx, t, &k, a->head[i].info, a->head[i].head));
            ATN_TRY(
                atn_table_set_str(cx, t, method, atn_choice_id(&of->method->choice)));
            if (of->budget->text[0])
                ATN_TRY(atn_table_set_str(cx, t, budget, of->budget->text));
            ATN_TRY(set_columns(cx, a, t, at, cell));
        }
    *out = t;
    t = NULL;
done:
    atn_table_destroy(cx, t);
    return st;
}
