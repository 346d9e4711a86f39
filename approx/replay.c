/* approx/replay.c -- decoding replayed from captured rows, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/replay.h"

#include <math.h>
#include <stdlib.h>

#include "approx/chosen.h"
#include "core/kernels/kernels.h"
#include "core/order.h"
#include "core/wide_rows.h"

enum { PROMPT_SHARE = 4 };

/* ---- where rows are ---- */

static const atn_input *step_at(const atn_input *in, int s)
{
    return in->steps > 0 && s != in->at ? &in->step[s] : in;
}

static int last_step(const atn_input *in)
{
    return in->steps > 0 ? in->at : 0;
}

/* An earlier step is one that this one goes on from. */
static bool goes_on(const atn_input *in, const atn_input *from)
{
    return from == in || (from->heads == in->heads && from->head[0].sight.causal &&
                          from->head[0].q.cols == in->head[0].q.cols &&
                          from->head[0].nk < in->head[0].nk);
}

atn_idx atn_prompt_known(const atn_input *in, int64_t given)
{
    return given > 0 ? (atn_idx)given : ATN_MAX(in->prompt, 0);
}

atn_idx atn_replay_prompt(const atn_input *in, int64_t given)
{
    const atn_idx nk = in->head[0].nk, known = atn_prompt_known(in, given);
    const atn_input *first = step_at(in, 0);

    if (known > 0) return ATN_MIN(known, nk);
    if (first != in && goes_on(in, first)) return ATN_MAX(first->head[0].nk, 1);
    return ATN_MAX(nk / PROMPT_SHARE, 1);
}

const atn_head *atn_replay_rows(const atn_input *in, atn_idx head, atn_idx from,
                                atn_idx to)
{
    for (int s = last_step(in); s >= 0; s--) {
        const atn_input *step = step_at(in, s);
        const atn_head *h = &step->head[head];

        if (goes_on(in, step) && !h->sight.rows && from >= h->sight.offset &&
            to <= h->sight.offset + h->nq)
            return h;
    }
    return NULL;
}

const float *atn_replay_query(const atn_input *in, atn_idx head, atn_idx at)
{
    const atn_head *h = atn_replay_rows(in, head, at, at + 1);

    return h ? atn_crow(h->q, at - h->sight.offset) : NULL;
}

atn_idx atn_replay_last(const atn_input *in)
{
    return atn_sight_at(&in->head[0].sight, in->head[0].nq - 1);
}

atn_status atn_replay_check(atn_ctx *cx, const char *id, const atn_input *in,
                            atn_idx from)
{
    const atn_idx last = atn_replay_last(in);
    atn_status st = ATN_OK;

    for (atn_idx t = from; t <= last;) {
        const atn_head *h = atn_replay_rows(in, 0, t, t + 1);

        if (!h)
            ATN_FAIL(ATN_DATA,
                     "%s replays decoding from token %lld on, and layer %d has no "
                     "query of token %lld (capture all rows, or import the steps "
                     "before this one)",
                     id, (long long)from, in->head[0].layer, (long long)t);
        t = h->sight.offset + h->nq;
    }
done:
    return st;
}

void atn_replay_sees(const atn_head *h, atn_idx at, atn_idx *lo, atn_idx *hi)
{
    atn_sight_row(&h->sight, at - h->sight.offset, lo, hi);
}

atn_status atn_step_check(atn_ctx *cx, const char *id, const atn_input *in, int s)
{
    const atn_input *of = &in->step[s];
    const atn_head *a = &in->head[0], *b = &of->head[0];
    atn_status st = ATN_OK;

    if (of->heads != in->heads || a->nq != b->nq || a->nk != b->nk ||
        a->q.cols != b->q.cols || a->v.cols != b->v.cols)
        ATN_FAIL(
            ATN_DATA,
            "%s goes from step %d to step %d of layer %d, which have %lld heads of "
            "%lld x %lld and %lld of %lld x %lld (import steps of one shape)",
            id, s, in->at, a->layer, (long long)of->heads, (long long)b->nq,
            (long long)b->nk, (long long)in->heads, (long long)a->nq, (long long)a->nk);
done:
    return st;
}

/* ---- rows over kept keys ---- */

double atn_key_logit(const atn_head *h, const float *q, atn_idx at, atn_idx j)
{
    const double s = h->scale * atn_row_dot(q, atn_crow(h->k, j), h->q.cols);

    return atn_wide_logit(h, s, at, j);
}

static void soften(const atn_head *h, atn_idx n, double *w)
{
    atn_wide_soften(w, n, h->has_sink ? h->sink : -INFINITY);
}

void atn_kept_weights(const atn_head *h, const float *q, atn_idx at,
                      const atn_idx *keys, atn_idx n, double *w)
{
    for (atn_idx e = 0; e < n; e++) w[e] = atn_key_logit(h, q, at, keys[e]);
    soften(h, n, w);
}

void atn_seen_weights(const atn_head *h, const float *q, atn_idx at, atn_span keys,
                      double *w)
{
    for (atn_idx j = keys.lo; j < keys.hi; j++)
        w[j - keys.lo] = atn_key_logit(h, q, at, j);
    soften(h, ATN_MAX(keys.hi - keys.lo, 0), w);
}

/* ---- the best of many ---- */

static bool worse(const double *score, atn_idx a, atn_idx b)
{
    return score[a] < score[b] || (score[a] == score[b] && a > b);
}

/* heap [n]: the worst on top. Sinks the one at place i. */
static void sift(const double *score, atn_idx *heap, atn_idx n, atn_idx i)
{
    const atn_idx moved = heap[i];

    for (;;) {
        atn_idx child = 2 * i + 1;

        if (child >= n) break;
        if (child + 1 < n && worse(score, heap[child + 1], heap[child])) child++;
        if (!worse(score, heap[child], moved)) break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = moved;
}

atn_idx atn_best_wide(const double *score, atn_idx n, atn_idx k, atn_idx *best,
                      int64_t *ties)
{
    atn_idx kept = 0, j = 0;
    double least;
    int64_t equal = 0;

    if (k <= 0) return 0;
    for (; j < n && kept < k; j++)
        if (score[j] > -INFINITY) best[kept++] = j;
    if (j == n) return kept;
    for (atn_idx i = kept / 2; i-- > 0;) sift(score, best, kept, i);
    for (; j < n; j++)
        if (worse(score, best[0], j)) {
            best[0] = j;
            sift(score, best, kept, 0);
        }
    least = score[best[0]];
    for (j = 0; j < n; j++) equal += score[j] == least;
    for (atn_idx i = 0; i < kept; i++) equal -= score[best[i]] == least;
    if (ties && least > -INFINITY) *ties += equal;
    qsort(best, (size_t)kept, sizeof *best, atn_by_idx);
    return kept;
}

atn_idx atn_worst_wide(const double *score, atn_idx n, int64_t *ties)
{
    atn_idx at = 0;
    int64_t equal = 0;

    for (atn_idx j = 1; j < n; j++)
        if (score[j] <= score[at]) at = j;
    for (atn_idx j = 0; j < n; j++) equal += score[j] == score[at];
    if (ties) *ties += equal > 1;
    return at;
}

/* ---- what was kept when ---- */

atn_status atn_lives_add(atn_ctx *cx, atn_lives *l, atn_slice s)
{
    atn_status st = ATN_OK;

    if (s.rows.lo >= s.rows.hi || s.keys.lo >= s.keys.hi) return ATN_OK;
    if (l->n == l->room) {
        const atn_idx room = 2 * l->room + 64;
        atn_slice *more = atn_realloc(cx, l->at, room, sizeof *more);

        if (!more) ATN_TRY(cx->err.code);
        l->at = more;
        l->room = room;
    }
    l->at[l->n++] = s;
done:
    return st;
}

atn_status atn_lives_prompt(atn_ctx *cx, atn_lives *l, atn_idx end)
{
    return atn_lives_add(cx, l, (atn_slice){{0, end}, {0, end}, 0});
}

atn_status atn_lives_plan(atn_ctx *cx, const atn_lives *l, const atn_head *h,
                          atn_plan *out)
{
    const atn_frame f = atn_head_frame(h, 1);
    atn_pattern *p = NULL;
    atn_status st = ATN_OK;

    ATN_TRY(atn_pattern_slices(cx, &f, l->at, l->n, &p));
    atn_plan_mask(out, p, 0, 1, 1);
done:
    return st;
}

void atn_lives_release(atn_ctx *cx, atn_lives *l)
{
    atn_free(cx, l->at);
    *l = (atn_lives){0};
}
