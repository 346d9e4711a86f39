/* analysis/experiments/method_run.c -- a method on the head of an experiment. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/experiments/method_run.h"

#include <stdio.h>

#include "core/apply.h"

atn_status atn_method_try_on(atn_ctx *cx, const atn_input *in, const char *id,
                             const char *params, atn_plan *out,
                             char refused[ATN_CHECK_TEXT])
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_choice choice;

    *out = (atn_plan){0};
    refused[0] = '\0';
    ATN_TRY(atn_choice_read(cx, id, params, &choice));
    st = atn_choice_check(cx, &choice, in);
    if (st == ATN_OK) st = atn_choice_plan(cx, &choice, in, 0, out);
    if (st == ATN_DATA || st == ATN_USAGE) {
        snprintf(refused, ATN_CHECK_TEXT, "%.*s", ATN_CHECK_TEXT - 1, cx->err.text);
        atn_err_clear(cx);
        st = ATN_OK;
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_method_try(atn_ctx *cx, const atn_head *h, const char *id,
                          const char *params, atn_plan *out,
                          char refused[ATN_CHECK_TEXT])
{
    const atn_input in = {.head = h, .heads = 1, .group = 1};

    return atn_method_try_on(cx, &in, id, params, out, refused);
}

atn_status atn_method_output(atn_ctx *cx, const atn_head *h, const atn_plan *p,
                             double *o)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx numbers = h->nq * h->v.cols;
    atn_status st = ATN_OK;
    float *out = NULL;

    if (p->op.kind) {
        ATN_TRY(p->op.kind->apply(cx, h, p->op.state, o, "output"));
        goto done;
    }
    ATN_TAKE(out, numbers);
    ATN_TRY(atn_plan_apply(cx, h, p, (atn_mat){out, h->nq, h->v.cols, h->v.cols}, NULL,
                           "output"));
    for (atn_idx e = 0; e < numbers; e++) o[e] = (double)out[e];
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_method_refused(atn_ctx *cx, atn_checks *out, const char *bound,
                              const char *variant, const char *why)
{
    atn_check c = {.bound = atn_bound_find(bound), .not_here = true};

    c.predicted = c.measured = 0;
    snprintf(c.variant, sizeof c.variant, "%s", variant);
    snprintf(c.note, sizeof c.note, "%s", why);
    return atn_checks_add(cx, out, &c);
}
