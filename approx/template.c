/* approx/template.c -- a method to copy: every row keeps its nearest keys. Compiled and
 * tested, not registered (docs/guide/add-a-method.md).
 *
 * Math    S_i = the last min(k, visible) keys that row i sees; weights are those of
 *         dense attention over S_i, renormalised.
 * Oracle  k >= visible keys: dense attention. The same rows as pattern window.
 * Source  own derivation.
 * Cost    index: nothing is scored; attention 4 d k a row.
 * Limits  none.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/chosen.h"
#include "core/rows.h"

extern const atn_method atn_method_template;

typedef struct nearest {
    int64_t k;
} nearest;

static const atn_param params[] = {
    ATN_PARAM_I64(nearest, k, 64, 1, 1 << 30, "keys kept a row"),
    ATN_PARAM_END,
};

typedef struct planning {
    const nearest *t;
    const atn_head *h;
    atn_chosen *rows;
    atn_idx first; /* list of row 0 */
} planning;

/* One row; on any thread. */
static atn_status plan_row(atn_ctx *cx, atn_idx i, void *state)
{
    const planning *p = state;
    atn_status st = ATN_OK;
    atn_idx lo, hi;

    atn_sight_row(&p->h->sight, i, &lo, &hi);
    lo = ATN_MAX(lo, hi - p->t->k);
    ATN_TRY(atn_chosen_put(cx, p->rows, p->first + i, &(atn_span){lo, hi}, 1));
done:
    return st;
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    planning p = {.t = params_, .h = &in->head[first]};
    const atn_frame f = atn_head_frame(p.h, 1);
    atn_pattern *pattern = NULL;
    atn_status st = ATN_OK;
    atn_idx end;

    ATN_ASSERT(n == 1);
    ATN_TRY(atn_chosen_open(cx, &f, 1, &p.rows));
    atn_chosen_lists(p.rows, &p.first, &end);
    ATN_TRY(atn_parallel(cx, p.h->nq, plan_row, &p, "template"));
    st = atn_chosen_finish(cx, p.rows, &pattern);
    p.rows = NULL;
    if (st == ATN_OK) atn_plan_mask(out, pattern, 0, 1, 1);
done:
    atn_chosen_abandon(cx, p.rows);
    return st;
}

/* A span a row. */
static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    (void)params_;
    return atn_chosen_bytes(cx, &in->head[0], 1, 1, 1);
}

const atn_method atn_method_template = {
    .id = "template",
    .title = "Nearest keys",
    .family = "static",
    .source = "own derivation",
    .text = "the nearest keys",
    .sides = ATN_BOTH_WAYS,
    .params = params,
    .params_size = sizeof(nearest),
    .budget = "k",
    .plan = plan,
    .bytes = bytes,
};
