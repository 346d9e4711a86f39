/* analysis/head_plans.c -- plans of captured heads as patterns with a cost. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/head_plans.h"

#include <string.h>

#include "analysis/approx_layer.h"
#include "analysis/keys.h"

void atn_head_plans_release(atn_ctx *cx, atn_head_plans *p)
{
    for (atn_idx h = 0; p->head && h < p->n; h++) atn_pattern_destroy(cx, p->head[h]);
    atn_free(cx, p->head);
    memset(p, 0, sizeof *p);
}

static atn_status add_plan(atn_ctx *cx, const atn_choice *c, const atn_head *h,
                           const atn_plan *p, atn_head_plans *out)
{
    const bool first = out->n == 0;
    atn_status st = ATN_OK;

    if (p->op.kind)
        ATN_FAIL(ATN_USAGE,
                 "%s gives weight to all keys and skips no tile: it has no pattern to "
                 "simulate (attnscope tradeoff times it by what it computes)",
                 atn_choice_id(c));
    ATN_TRY(atn_plan_pattern(cx, h, p, &out->head[out->n]));
    out->n++;
    out->tile_rows =
        first || out->tile_rows == p->tile_rows ? ATN_MAX(p->tile_rows, 1) : 1;
    out->tile_keys =
        first || out->tile_keys == p->tile_keys ? ATN_MAX(p->tile_keys, 1) : 1;
    out->index_flops += p->index_flops;
    out->index_bytes += p->index_bytes;
done:
    return st;
}

/* The heads of the unit at `first` that are asked for. */
static atn_status plan_unit(atn_ctx *cx, const atn_choice *c, const atn_input *in,
                            const bool *keep, atn_idx first, atn_head_plans *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx heads = atn_choice_heads(c, in);
    atn_plan *plans = NULL;
    atn_status st = ATN_OK;
    bool any = !keep;

    for (atn_idx k = 0; keep && k < heads; k++) any |= keep[first + k];
    if (!any) goto done;
    ATN_TAKE(plans, heads);
    memset(plans, 0, (size_t)heads * sizeof *plans);
    ATN_TRY(atn_choice_plan(cx, c, in, first, plans));
    for (atn_idx k = 0; k < heads; k++)
        if (!keep || keep[first + k])
            ATN_TRY(add_plan(cx, c, &in->head[first + k], &plans[k], out));
done:
    for (atn_idx k = 0; plans && k < heads; k++) atn_plan_release(cx, &plans[k]);
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status check_heads(atn_ctx *cx, const atn_approx_layer *l,
                              const atn_input *in, const bool *keep)
{
    atn_status st = ATN_OK;

    for (atn_idx h = 0; h < in->heads; h++) {
        if (keep && !keep[h]) continue;
        if (l->bad[h])
            ATN_FAIL(ATN_DATA,
                     "layer %d, head %lld: a query, key, value or weight is NaN or "
                     "infinite (leave the head out with --heads)",
                     in->head[h].layer, (long long)h);
        if (in->head[h].sight.offset < 0)
            ATN_FAIL(ATN_USAGE,
                     "layer %d: its first query stands before the first key, so it has "
                     "no pattern over the positions of the keys",
                     in->head[h].layer);
    }
done:
    return st;
}

atn_status atn_head_plans_make(atn_ctx *cx, const atn_capture *capture, int at,
                               const atn_from *from, const bool *keep,
                               atn_head_plans *out)
{
    const atn_choice *c = from ? &from->method : NULL;
    const atn_approx_source source = {.capture = capture,
                                      .reads = c && c->method ? c->method->reads : 0,
                                      .grid =
                                          from && from->grid.n > 0 ? &from->grid : NULL,
                                      .prompt = from ? from->prompt : 0,
                                      .seed = cx->seed};
    atn_approx_layer l = {0};
    atn_status st = ATN_OK;
    const atn_input *in;

    memset(out, 0, sizeof *out);
    out->tile_rows = out->tile_keys = 1;
    ATN_TRY(atn_approx_layer_load(cx, &source, at, &l));
    in = atn_approx_layer_input(&l, NULL);
    ATN_TRY(check_heads(cx, &l, in, keep));
    ATN_NEW(out->head, in->heads);
    if (c) ATN_TRY(atn_choice_check(cx, c, in));
    for (atn_idx first = 0; c && first < in->heads; first += atn_choice_heads(c, in))
        ATN_TRY(plan_unit(cx, c, in, keep, first, out));
    for (atn_idx h = 0; !c && h < in->heads; h++) {
        if (keep && !keep[h]) continue;
        ATN_TRY(atn_sight_pattern(cx, &in->head[h], &out->head[out->n]));
        out->n++;
    }
    if (out->n == 0)
        ATN_FAIL(ATN_USAGE, "layer %d: no head is chosen (choose with --heads)",
                 in->head[0].layer);
done:
    st = atn_layer_named(cx, atn_capture_layer(capture, at), st);
    if (st != ATN_OK) atn_head_plans_release(cx, out);
    atn_approx_layer_release(cx, &l);
    return st;
}
