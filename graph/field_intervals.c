/* graph/field_intervals.c -- fields of layers whose rows are windows with ends that
 * never go back.
 *
 * Math    every row of every layer is, with its residual, one interval [lo(i), hi(i)),
 *         lo and hi not decreasing. Then so is every field: R_k(i) joins the R_k-1(j)
 *         of neighbouring j, each of which holds its j, so it has no hole, begins where
 *         that of the first j does and ends where that of the last one does:
 *         [lo_k-1(lo(i)), hi_k-1(hi(i) - 1)), and both ends are again monotone.
 *         Nodes of more than one token must see themselves in every layer, so that the
 *         flags `own` and `whole` of the plan are known: where some layer is not
 *         causal, nodes are whole from the first such one on. Every row is complete when the last one
 *         begins at 0 and the first one ends at N. Beyond the depth asked for only
 *         these ends are followed, from the top down: e_t = the end of row e_t-1 in
 *         layer k - t + 1, and e of depth k + n goes on from that of depth k
 *         (field_frontier.c).
 * Cost    a layer: its rows once; 32 bytes a node. Beyond: two rows for each of the n
 *         layers.
 * Limits  2 GiB, or the memory limit where there is one; rows are read only where that
 *         is enough.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "graph/field_internal.h"

/* The first key of the last row and the last key of the first row, at a depth. */
typedef struct ends {
    int depth; /* 0: not known */
    atn_idx first, last;
} ends;

typedef struct intervals {
    const atn_field_plan *plan;
    atn_span *at, *next; /* [nodes] */
    bool own, whole;
    ends *ends; /* [n], by depth modulo n; NULL: within the depth asked for */
    int now;
} intervals;

/* Row a was read: after many intervals, whether to stop. */
static atn_status row_read(atn_ctx *cx, atn_field_reader *r, atn_idx a)
{
    if (r->read <= ATN_FIELD_READ_MOST) return ATN_OK;
    r->read = 0;
    return atn_progress(cx, "field: rows", (double)a + 1, (double)r->plan->nodes);
}

/* Whether the node is in one of the intervals. */
static bool sees(const atn_span *s, atn_idx n, atn_idx a)
{
    for (atn_idx i = 0; i < n; i++)
        if (a >= s[i].lo && a < s[i].hi) return true;
    return false;
}

static atn_status layer_fits(atn_ctx *cx, atn_field_reader *r, bool *out)
{
    const bool tokens = r->plan->block == 1;
    atn_status st = ATN_OK;
    atn_span before = {0, 0};

    for (atn_idx a = 0; a < r->plan->nodes && *out; a++) {
        const atn_span *s;
        atn_span x;

        *out = atn_field_interval(r, a, &x) && x.lo >= before.lo && x.hi >= before.hi;
        if (*out && !tokens) *out = sees(s, atn_field_row(r, a, &s), a);
        before = x;
        ATN_TRY(row_read(cx, r, a));
    }
done:
    return st;
}

static double bytes(const atn_field_plan *p)
{
    return 2.0 * sizeof(atn_span) * (double)p->nodes + atn_field_reader_bytes(p);
}

static atn_status fits(atn_ctx *cx, const atn_field_plan *p, bool *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_field_reader r;

    *out = bytes(p) <= atn_field_room(cx);
    if (!*out) return ATN_OK;
    ATN_TRY(atn_field_reader_open(cx, p, &r));
    for (int i = 0; i < p->n && *out; i++) {
        if (!atn_field_first(p, i)) continue;
        atn_field_reader_set(&r, p->layers[i]);
        ATN_TRY(layer_fits(cx, &r, out));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static double work(const atn_field_plan *p)
{
    return 200. * p->n;
}

static void close_intervals(atn_ctx *cx, void *state)
{
    intervals *s = state;

    if (!s) return;
    atn_free(cx, s->at);
    atn_free(cx, s->next);
    atn_free(cx, s->ends);
    atn_free(cx, s);
}

static atn_status open_intervals(atn_ctx *cx, const atn_field_plan *p, atn_idx row,
                                 void **state)
{
    atn_status st = ATN_OK;
    intervals *s = NULL;

    (void)row;
    *state = NULL;
    ATN_TRY(atn_mem_check(cx, bytes(p), "field"));
    ATN_NEW(s, 1);
    s->plan = p;
    ATN_NEW(s->at, p->nodes);
    ATN_NEW(s->next, p->nodes);
    for (atn_idx a = 0; a < p->nodes; a++) {
        s->at[a] = (atn_span){a, a + 1};
        ATN_TRY(atn_field_scanned(cx, a, p->nodes));
    }
    *state = s;
    s = NULL;
done:
    close_intervals(cx, s);
    return st;
}

/* Layer k is one more. */
static void pass_layer(intervals *s, int k)
{
    s->own = true;
    s->whole |= atn_field_layer(s->plan, k)->frame.causal == s->plan->causal;
}

static atn_status step(atn_ctx *cx, void *state, int k)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    intervals *s = state;
    atn_span *old = s->at;
    atn_status st = ATN_OK;
    atn_field_reader r;

    ATN_TRY(atn_field_reader_open(cx, s->plan, &r));
    atn_field_reader_set(&r, atn_field_layer(s->plan, k));
    for (atn_idx a = 0; a < s->plan->nodes; a++) {
        atn_span x;

        ATN_ASSERT(atn_field_interval(&r, a, &x));
        s->next[a] = (atn_span){old[x.lo].lo, old[x.hi - 1].hi};
        ATN_TRY(row_read(cx, &r, a));
    }
    s->at = s->next;
    s->next = old;
    pass_layer(s, k);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status mark(atn_ctx *cx, const void *state, atn_idx row, uint8_t *reached,
                       bool *own)
{
    const intervals *s = state;
    atn_status st = ATN_OK;

    for (atn_idx j = 0; j < s->plan->nodes; j++) {
        reached[j] = j >= s->at[row].lo && j < s->at[row].hi;
        ATN_TRY(atn_field_scanned(cx, j, s->plan->nodes));
    }
    *own = s->own;
done:
    return st;
}

static bool meets(const void *state, atn_span rows, atn_span keys)
{
    const intervals *s = state;

    /* every row holds itself, so that those of neighbours leave no gap */
    return s->at[rows.lo].lo < keys.hi && s->at[rows.hi - 1].hi > keys.lo;
}

static atn_status tally(atn_ctx *cx, const void *state, atn_field_tally *out)
{
    const intervals *s = state;
    atn_status st = ATN_OK;

    *out = (atn_field_tally){0};
    for (atn_idx a = 0; a < s->plan->nodes; a++) {
        atn_field_count(out, s->plan, a, s->at[a].hi - s->at[a].lo, s->whole);
        ATN_TRY(atn_field_scanned(cx, a, s->plan->nodes));
    }
done:
    return st;
}

/* From depth k - n, or from the row itself. */
static atn_status beyond(atn_ctx *cx, void *state, int k)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    intervals *s = state;
    const int n = s->plan->n;
    atn_status st = ATN_OK;
    atn_field_reader r;
    ends e;

    if (!s->ends) ATN_NEW(s->ends, n);
    s->now = k % n;
    e = s->ends[s->now];
    if (e.depth == 0) e = (ends){0, s->plan->nodes - 1, 0};
    ATN_TRY(atn_field_reader_open(cx, s->plan, &r));
    for (int t = k - e.depth; t > 0; t--) {
        atn_span x;

        atn_field_reader_set(&r, atn_field_layer(s->plan, t));
        ATN_ASSERT(atn_field_interval(&r, e.first, &x));
        e.first = x.lo;
        ATN_ASSERT(atn_field_interval(&r, e.last, &x));
        e.last = x.hi - 1;
    }
    e.depth = k;
    s->ends[s->now] = e;
    pass_layer(s, k);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static void peek(const void *state, atn_field_peek *out)
{
    const intervals *s = state;
    const atn_idx nodes = s->plan->nodes;
    const ends e =
        s->ends ? s->ends[s->now] : (ends){0, s->at[nodes - 1].lo, s->at[0].hi - 1};

    *out = (atn_field_peek){.reached = nodes - e.first, .own = s->own};
    out->growth = out->reached + e.last;
    out->all = e.first == 0 && (s->plan->causal || e.last == nodes - 1) &&
               (s->whole || s->plan->tokens == nodes);
}

const atn_field_engine atn_field_intervals = {
    .id = "intervals",
    .every = true,
    .fits = fits,
    .work = work,
    .open = open_intervals,
    .step = step,
    .mark = mark,
    .meets = meets,
    .tally = tally,
    .beyond = beyond,
    .peek = peek,
    .close = close_intervals,
};
