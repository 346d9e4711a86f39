/* core/pattern_slices.c -- patterns of boxes, which their diagonals may cut.
 *
 * Math    a slice has in its row a the keys [lo, hi) with lo = keys.lo, of one that
 *         begins at its diagonal + (a - rows.lo), and hi = keys.hi, of one that ends at
 *         it - (rows.hi - 1 - a); none where lo >= hi.
 *         Slices are sorted by their first row, and every subtree of the binary search
 *         over them knows its last row, so that a row asks only for those that have it.
 *         Two slices meet in rows that linear inequalities give. Of many, those that
 *         have the row at hand are kept in the order of their keys: bounds move by 0 or
 *         1 a row, so disjoint slices never change places, and only neighbours need to
 *         be compared: when one comes in, and when one between them goes.
 * Oracle  all pairs by the definition.
 * Cost    a row: log n and k log k for the k slices that have it. Meeting: n log n, and
 *         a move of what is at hand for each.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdlib.h>
#include <string.h>

#include "core/pattern_internal.h"

typedef struct slices {
    atn_slice *at; /* [n] by the first row, then by the first key */
    atn_idx *end;  /* [n] last row + 1 of the subtree whose root it is */
    atn_idx n;
} slices;

static atn_span keys_at(const atn_slice *s, atn_idx a)
{
    return (atn_span){s->keys.lo + (s->cut & ATN_SLICE_BEGINS ? a - s->rows.lo : 0),
                      s->keys.hi - (s->cut & ATN_SLICE_ENDS ? s->rows.hi - 1 - a : 0)};
}

/* ---- rows ---- */

static atn_idx collect(const slices *s, atn_idx from, atn_idx to, atn_idx a,
                       atn_span *out, atn_idx n)
{
    while (from < to) {
        const atn_idx mid = from + (to - from) / 2;
        const atn_slice *at = &s->at[mid];

        if (s->end[mid] <= a) break;
        n = collect(s, from, mid, a, out, n);
        if (at->rows.lo > a) break;
        if (a < at->rows.hi) {
            const atn_span keys = keys_at(at, a);

            if (keys.lo < keys.hi) out[n++] = keys;
        }
        from = mid + 1;
    }
    return n;
}

static atn_idx slices_row(const atn_pattern *p, atn_idx h, atn_idx a, atn_span within,
                          atn_span *out)
{
    const slices *s = p->state;
    const atn_idx n = collect(s, 0, s->n, a, out, 0);

    (void)h;
    for (atn_idx i = 1; i < n; i++)
        if (out[i].lo < out[i - 1].lo)
            return atn_spans_tidy(out, n, within.lo, within.hi);
    return n;
}

static void slices_release(atn_ctx *cx, atn_pattern *p)
{
    slices *s = p->state;

    atn_free(cx, s->at);
    atn_free(cx, s->end);
}

static const struct atn_pattern_kind slices_kind = {slices_row, NULL, slices_release};

/* ---- making one ---- */

static int by_rows(const void *a_, const void *b_)
{
    const atn_slice *a = a_, *b = b_;
    const atn_idx x = a->rows.lo, y = b->rows.lo;

    if (x != y) return x < y ? -1 : 1;
    return (a->keys.lo > b->keys.lo) - (a->keys.lo < b->keys.lo);
}

static int by_value(const void *a_, const void *b_)
{
    const atn_idx a = *(const atn_idx *)a_, b = *(const atn_idx *)b_;

    return (a > b) - (a < b);
}

static atn_idx set_ends(slices *s, atn_idx from, atn_idx to)
{
    const atn_idx mid = from + (to - from) / 2;
    atn_idx end;

    if (from >= to) return 0;
    end = ATN_MAX(set_ends(s, from, mid), set_ends(s, mid + 1, to));
    return s->end[mid] = ATN_MAX(end, s->at[mid].rows.hi);
}

/* The most slices that a row has. */
static atn_status deepest(atn_ctx *cx, const slices *s, atn_idx *most)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_idx *ends = NULL, gone = 0;

    *most = 0;
    ATN_TAKE(ends, s->n);
    for (atn_idx i = 0; i < s->n; i++) ends[i] = s->at[i].rows.hi;
    qsort(ends, (size_t)s->n, sizeof *ends, by_value);
    for (atn_idx i = 0; i < s->n; i++) {
        while (ends[gone] <= s->at[i].rows.lo) gone++;
        *most = ATN_MAX(*most, i + 1 - gone);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static bool has_pairs(const atn_slice *s)
{
    return s->rows.lo < s->rows.hi && s->keys.lo < s->keys.hi;
}

/* Takes `at`, also on failure. */
static atn_status make(atn_ctx *cx, const atn_frame *f, atn_slice *at, atn_idx n,
                       atn_pattern **out)
{
    atn_status st = ATN_OK;
    atn_pattern *p = NULL;
    atn_idx most = 0;
    slices *s;

    *out = NULL;
    ATN_TRY(atn_pattern_begin(cx, f, &slices_kind, sizeof *s, &p));
    s = p->state;
    s->at = at;
    at = NULL;
    for (atn_idx i = 0; i < n; i++)
        if (has_pairs(&s->at[i])) s->at[s->n++] = s->at[i];
    qsort(s->at, (size_t)s->n, sizeof *s->at, by_rows);
    ATN_NEW(s->end, s->n);
    set_ends(s, 0, s->n);
    ATN_TRY(deepest(cx, s, &most));
    p->most = p->room = ATN_MAX(most, 1);
    *out = p;
    p = NULL;
done:
    atn_free(cx, at);
    atn_pattern_destroy(cx, p);
    return st;
}

atn_status atn_pattern_slices(atn_ctx *cx, const atn_frame *f, const atn_slice *s,
                              atn_idx n, atn_pattern **out)
{
    atn_status st = ATN_OK;
    atn_slice *at = NULL;

    *out = NULL;
    ATN_NEW(at, n);
    if (n > 0) memcpy(at, s, (size_t)n * sizeof *at);
    ATN_TRY(make(cx, f, at, n, out));
done:
    return st;
}

atn_status atn_pattern_boxes(atn_ctx *cx, const atn_frame *f, const atn_box *boxes,
                             atn_idx n, atn_pattern **out)
{
    atn_status st = ATN_OK;
    atn_slice *at = NULL;

    *out = NULL;
    ATN_NEW(at, n);
    for (atn_idx i = 0; i < n; i++)
        at[i] = (atn_slice){boxes[i].rows, boxes[i].keys, 0};
    ATN_TRY(make(cx, f, at, n, out));
done:
    return st;
}

/* ---- slices that meet ---- */

/* Where x begins before y ends: lo_x(a) < hi_y(a) is k a < d with k of -1, 0 or 1. */
static void begins_before(const atn_slice *x, const atn_slice *y, atn_span *rows)
{
    const bool rises = x->cut & ATN_SLICE_BEGINS, ends = y->cut & ATN_SLICE_ENDS;
    const atn_idx d = y->keys.hi - (ends ? y->rows.hi - 1 : 0) -
                      (x->keys.lo - (rises ? x->rows.lo : 0));

    if (rises == ends)
        rows->hi = d > 0 ? rows->hi : rows->lo;
    else if (rises)
        rows->hi = ATN_MIN(rows->hi, d);
    else
        rows->lo = ATN_MAX(rows->lo, 1 - d);
}

/* The rows where both have a key in common; of one with itself, where it has any. */
static atn_span rows_of(const atn_slice *x, const atn_slice *y)
{
    atn_span rows = {ATN_MAX(x->rows.lo, y->rows.lo), ATN_MIN(x->rows.hi, y->rows.hi)};

    begins_before(x, x, &rows);
    begins_before(x, y, &rows);
    begins_before(y, x, &rows);
    begins_before(y, y, &rows);
    return rows;
}

typedef struct event {
    atn_idx row, slice;
    bool comes; /* else it has gone */
} event;

static int by_time(const void *a_, const void *b_)
{
    const event *a = a_, *b = b_;

    if (a->row != b->row) return a->row < b->row ? -1 : 1;
    if (a->comes != b->comes) return a->comes ? 1 : -1;
    return (a->slice > b->slice) - (a->slice < b->slice);
}

typedef struct sweep {
    const atn_slice *of;
    atn_idx *here; /* [n] the slices that have the row at hand, by their keys */
    atn_idx n;
} sweep;

/* How many of these begin in `row` at or before key x. */
static atn_idx begun(const sweep *w, atn_idx row, atn_idx x)
{
    atn_idx lo = 0, hi = w->n;

    while (lo < hi) {
        const atn_idx mid = lo + (hi - lo) / 2;

        if (keys_at(&w->of[w->here[mid]], row).lo <= x)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* Whether the i-th slice at hand meets the next one. */
static bool meets_next(const sweep *w, atn_idx i, atn_meeting *m)
{
    atn_idx a, b;
    atn_span rows;

    if (i < 0 || i + 1 >= w->n) return false;
    a = w->here[i];
    b = w->here[i + 1];
    rows = rows_of(&w->of[a], &w->of[b]);
    if (rows.lo >= rows.hi) return false;
    *m = (atn_meeting){
        ATN_MIN(a, b), ATN_MAX(a, b), rows.lo,
        ATN_MAX(keys_at(&w->of[a], rows.lo).lo, keys_at(&w->of[b], rows.lo).lo)};
    return true;
}

static bool step(sweep *w, const event *e, atn_meeting *m)
{
    /* what goes at a row had the one before, and so had all others at hand */
    const atn_idx row = e->comes ? e->row : e->row - 1;
    const atn_idx i = begun(w, row, keys_at(&w->of[e->slice], row).lo) - !e->comes;
    atn_idx *at = w->here + i;

    if (e->comes) {
        memmove(at + 1, at, (size_t)(w->n - i) * sizeof *at);
        *at = e->slice;
        w->n++;
        return meets_next(w, i - 1, m) || meets_next(w, i, m);
    }
    w->n--;
    memmove(at, at + 1, (size_t)(w->n - i) * sizeof *at);
    return meets_next(w, i - 1, m);
}

atn_status atn_slices_meet(atn_ctx *cx, const atn_slice *s, atn_idx n, bool *meet,
                           atn_meeting *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    sweep w = {s, NULL, 0};
    atn_status st = ATN_OK;
    event *events = NULL;
    atn_idx m = 0;

    *meet = false;
    ATN_TAKE(events, 2 * n);
    ATN_TAKE(w.here, n);
    for (atn_idx i = 0; i < n; i++) {
        const atn_span rows = rows_of(&s[i], &s[i]);

        if (!has_pairs(&s[i]) || rows.lo >= rows.hi) continue;
        events[m++] = (event){rows.lo, i, true};
        events[m++] = (event){rows.hi, i, false};
    }
    qsort(events, (size_t)m, sizeof *events, by_time);
    for (atn_idx e = 0; e < m && !*meet; e++) {
        if (e % 4096 == 0)
            ATN_TRY(atn_progress(cx, "comparing slices", (double)e, (double)m));
        *meet = step(&w, &events[e], out);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}
