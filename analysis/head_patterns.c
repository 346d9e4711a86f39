/* analysis/head_patterns.c -- patterns of captured heads. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/head_patterns.h"

#include <string.h>

#include "analysis/approx_layer.h"
#include "analysis/keys.h"
#include "approx/chosen.h"
#include "core/rows.h"

/* ---- which method ---- */

atn_status atn_from_read(atn_ctx *cx, const char *spec, atn_from *out)
{
    char *copy = NULL, *rest, *id, *params, *more, *more_params;
    atn_status st = ATN_OK;

    *out = (atn_from){.prompt = 0};
    ATN_TAKE(copy, strlen(spec) + 1);
    rest = strcpy(copy, spec);
    if (!atn_spec_next(&rest, &id, &params))
        ATN_FAIL(ATN_USAGE, "--from is empty (give a method, for example topk:k=32)");
    ATN_TRY(atn_choice_read(cx, id, params, &out->method));
    if (atn_spec_next(&rest, &more, &more_params))
        ATN_FAIL(ATN_USAGE, "--from takes one method, not '%.60s' too", more);
done:
    return st;
}

/* ---- patterns of heads in one ---- */

static void destroy_all(atn_ctx *cx, atn_pattern **p, atn_idx n)
{
    for (atn_idx k = 0; p && k < n; k++) atn_pattern_destroy(cx, p[k]);
}

/* Where the heads lie in the layer as it is stored: the padding before their keys and
 * queries. */
typedef struct shift {
    atn_idx keys, rows;
} shift;

typedef struct joining {
    atn_pattern *const *of; /* [n] of one head each */
    atn_idx n;
    atn_frame f;   /* of the layer */
    atn_idx first; /* list */
    shift by;
    bool blocks; /* all in the blocks of the frame */
    atn_idx room;
    atn_chosen *rows;
} joining;

/* What all of them have at one block row, or query. */
static atn_status join_row(atn_ctx *cx, atn_idx task, void *state)
{
    const joining *j = state;
    const atn_idx a = j->first + task;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_span *spans = NULL;
    atn_idx n = 0;

    ATN_TAKE(spans, j->room);
    for (atn_idx k = 0; k < j->n; k++) {
        const atn_pattern *p = j->of[k];
        const atn_idx at = a - j->f.first - j->by.rows + p->frame.first;

        if (j->blocks)
            n += atn_pattern_row(p, 0, a, spans + n);
        else if (at >= p->frame.first && at < p->frame.first + p->frame.nq)
            n += atn_pattern_keys(p, 0, at, spans + n);
    }
    for (atn_idx s = 0; s < n; s++) {
        spans[s].lo += j->by.keys;
        spans[s].hi += j->by.keys;
    }
    ATN_TRY(atn_chosen_put(cx, j->rows, a, spans, n));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* The union of n patterns over the keys of f; they stay. */
static atn_status join(atn_ctx *cx, atn_pattern *const *of, atn_idx n,
                       const atn_frame *f, shift by, atn_pattern **out)
{
    joining j = {.of = of, .n = n, .f = *f, .by = by, .blocks = f->block > 1};
    atn_status st = ATN_OK;
    atn_idx end;

    for (atn_idx k = 0; k < n; k++) j.room += of[k]->room;
    ATN_TRY(atn_chosen_open(cx, f, f->block, &j.rows));
    atn_chosen_lists(j.rows, &j.first, &end);
    ATN_TRY(atn_parallel(cx, end - j.first, join_row, &j, "joining patterns of heads"));
    st = atn_chosen_finish(cx, j.rows, out);
    j.rows = NULL;
    ATN_TRY(st);
done:
    atn_chosen_abandon(cx, j.rows);
    return st;
}

static shift shift_of(const atn_head *whole)
{
    shift by = {.keys = ATN_MAX(whole->sight.key_first, 0)};

    (void)atn_head_trim(whole, &by.rows);
    return by;
}

static bool same_frame(const atn_frame *a, const atn_frame *b)
{
    return a->nk == b->nk && a->nq == b->nq && a->first == b->first &&
           a->block == b->block && a->causal == b->causal;
}

/* Takes the n patterns, also on failure. */
static atn_status assemble(atn_ctx *cx, atn_pattern **of, atn_idx n, bool joined,
                           const atn_head *whole, atn_pattern **out)
{
    atn_frame f = atn_head_frame(whole, of[0]->frame.block);
    const shift by = shift_of(whole);
    bool as_they_are = by.keys == 0 && by.rows == 0;
    atn_status st = ATN_OK;

    for (atn_idx k = 0; k < n; k++) as_they_are &= same_frame(&f, &of[k]->frame);
    if (!as_they_are) f.block = 1;
    for (atn_idx k = 0; !joined && !as_they_are && k < n; k++) {
        atn_pattern *one = NULL;

        ATN_TRY(join(cx, &of[k], 1, &f, by, &one));
        atn_pattern_destroy(cx, of[k]);
        of[k] = one;
    }
    if ((joined && n > 1) || (joined && !as_they_are)) {
        ATN_TRY(join(cx, of, n, &f, by, out));
    } else if (n == 1) {
        *out = of[0];
        of[0] = NULL;
    } else {
        st = atn_pattern_heads(cx, of, n, out);
        memset(of, 0, (size_t)n * sizeof *of);
        ATN_TRY(st);
    }
done:
    destroy_all(cx, of, n);
    return st;
}

/* ---- heads ---- */

/* The patterns of the heads of the unit at `first` that are asked for, added to
 * of [*n]. */
static atn_status plan_unit(atn_ctx *cx, const atn_choice *c, const atn_input *in,
                            const bool *keep, atn_idx first, atn_pattern **of,
                            atn_idx *n)
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
    for (atn_idx k = 0; k < heads; k++) {
        if (keep && !keep[first + k]) continue;
        ATN_TRY(atn_plan_pattern(cx, &in->head[first + k], &plans[k], &of[*n]));
        ++*n;
    }
done:
    for (atn_idx k = 0; plans && k < heads; k++) atn_plan_release(cx, &plans[k]);
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status check_first(atn_ctx *cx, const atn_head *h)
{
    atn_status st = ATN_OK;

    if (h->sight.offset < 0)
        ATN_FAIL(ATN_USAGE,
                 "layer %d: its first query stands before the first key, so it has no "
                 "pattern over the positions of the keys",
                 h->layer);
done:
    return st;
}

atn_status atn_heads_pattern(atn_ctx *cx, const atn_choice *c, const atn_input *in,
                             const bool *keep, bool joined, const atn_head *whole,
                             atn_pattern **out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx unit = atn_choice_heads(c, in);
    atn_pattern **of = NULL;
    atn_status st = ATN_OK;
    atn_idx n = 0;

    *out = NULL;
    ATN_TRY(check_first(cx, whole));
    ATN_TRY(atn_choice_check(cx, c, in));
    ATN_TAKE(of, in->heads);
    for (atn_idx first = 0; first < in->heads; first += unit)
        ATN_TRY(plan_unit(cx, c, in, keep, first, of, &n));
    if (n == 0)
        ATN_FAIL(ATN_USAGE, "layer %d: no head is chosen (choose with --heads)",
                 whole->layer);
    st = assemble(cx, of, n, joined, whole, out);
    n = 0;
    ATN_TRY(st);
done:
    destroy_all(cx, of, n);
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_from_pattern(atn_ctx *cx, const atn_capture *capture, int at,
                            const atn_from *from, const bool *keep, bool joined,
                            atn_pattern **out)
{
    const atn_choice *c = &from->method;
    const atn_approx_source source = {.capture = capture,
                                      .reads = c->method ? c->method->reads : 0,
                                      .grid = from->grid.n > 0 ? &from->grid : NULL,
                                      .prompt = from->prompt,
                                      .seed = cx->seed};
    atn_approx_layer l = {0};
    atn_status st = ATN_OK;
    const atn_input *in;
    atn_head whole;

    *out = NULL;
    ATN_TRY(atn_approx_layer_load(cx, &source, at, &l));
    in = atn_approx_layer_input(&l, NULL);
    whole = atn_problem_head(&l.step[l.at].problem, 0);
    for (atn_idx h = 0; h < in->heads; h++)
        if (l.bad[h] && (!keep || keep[h]))
            ATN_FAIL(ATN_DATA,
                     "layer %d, head %lld: a query, key, value or weight is NaN or "
                     "infinite (leave the head out with --heads, or look for NaN in "
                     "the model's weights or the imported tensors)",
                     whole.layer, (long long)h);
    ATN_TRY(atn_heads_pattern(cx, c, in, keep, joined, &whole, out));
done:
    st = atn_layer_named(cx, atn_capture_layer(capture, at), st);
    atn_approx_layer_release(cx, &l);
    return st;
}

/* ---- the mask itself ---- */

atn_status atn_sight_pattern(atn_ctx *cx, const atn_head *h, atn_pattern **out)
{
    const atn_sight *s = &h->sight;
    const bool padded = s->key_first > 0 || s->key_last < h->nk;
    const atn_frame f = atn_head_frame(h, 1);
    const atn_idx w = s->window;
    atn_chosen *rows = NULL;
    atn_status st = ATN_OK;

    *out = NULL;
    ATN_TRY(check_first(cx, h));
    if (!padded) {
        const atn_span causal = {0, w ? w : f.first + h->nq};
        const atn_span both = {w ? -w : -h->nk, w ? w + 1 : f.first + h->nq};

        ATN_TRY(atn_pattern_shift(cx, &f, s->causal ? &causal : &both, 1, 0, out));
        goto done;
    }
    ATN_TRY(atn_chosen_open(cx, &f, 1, &rows));
    for (atn_idx i = 0; i < h->nq; i++) {
        atn_span sees;

        atn_sight_row(s, i, &sees.lo, &sees.hi);
        ATN_TRY(atn_chosen_put(cx, rows, f.first + i, &sees, 1));
    }
    st = atn_chosen_finish(cx, rows, out);
    rows = NULL;
    ATN_TRY(st);
done:
    atn_chosen_abandon(cx, rows);
    return st;
}
