/* core/pattern_algebra.c -- patterns made of two: union, intersection, difference, and
 * two layers in a row; and of some heads of one.
 *
 * Math    rows are merged when they are asked for. Where both state a shift (and, but
 *         for the union, no first keys), the result is one: the same operation on the
 *         offsets.
 * Cost    a row: the intervals of both. Composing walks, for every row, the rows that
 *         it sees.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>

#include "core/order.h"

#include "core/pattern_internal.h"

typedef enum set_op { OP_UNION, OP_INTERSECTION, OP_DIFFERENCE } set_op;

typedef struct pair {
    atn_pattern *a, *b; /* owned */
    atn_idx most;       /* intervals of the result */
    set_op op;
} pair;

/* ---- intervals: out has room for na + nb ---- */

static atn_idx merge(const atn_span *a, atn_idx na, const atn_span *b, atn_idx nb,
                     atn_span *out)
{
    atn_idx i = 0, j = 0, n = 0;

    while (i < na || j < nb)
        out[n++] = j >= nb || (i < na && a[i].lo <= b[j].lo) ? a[i++] : b[j++];
    return n; /* touching and overlapping ones are joined by the caller */
}

static atn_idx meet(const atn_span *a, atn_idx na, const atn_span *b, atn_idx nb,
                    atn_span *out)
{
    atn_idx n = 0;

    for (atn_idx i = 0, j = 0; i < na && j < nb;) {
        const atn_span x = {ATN_MAX(a[i].lo, b[j].lo), ATN_MIN(a[i].hi, b[j].hi)};

        if (x.lo < x.hi) out[n++] = x;
        if (a[i].hi < b[j].hi)
            i++;
        else
            j++;
    }
    return n;
}

static atn_idx subtract(const atn_span *a, atn_idx na, const atn_span *b, atn_idx nb,
                        atn_span *out)
{
    atn_idx n = 0, j = 0;

    for (atn_idx i = 0; i < na; i++) {
        atn_idx lo = a[i].lo;

        while (j < nb && b[j].hi <= lo) j++;
        for (atn_idx k = j; k < nb && b[k].lo < a[i].hi; k++) {
            if (lo < b[k].lo) out[n++] = (atn_span){lo, b[k].lo};
            lo = ATN_MAX(lo, b[k].hi);
        }
        if (lo < a[i].hi) out[n++] = (atn_span){lo, a[i].hi};
    }
    return n;
}

static atn_idx apply(set_op op, const atn_span *a, atn_idx na, const atn_span *b,
                     atn_idx nb, atn_span *out)
{
    switch (op) {
    case OP_UNION:
        return merge(a, na, b, nb, out);
    case OP_INTERSECTION:
        return meet(a, na, b, nb, out);
    case OP_DIFFERENCE:
        return subtract(a, na, b, nb, out);
    }
    return 0;
}

/* ---- rows of the result ---- */

/* Block row a of the result as `of` has it, in blocks of the result, from `from`
 * on. */
static atn_idx operand_row(const atn_pattern *p, const atn_pattern *of, atn_idx h,
                           atn_idx a, atn_idx from, atn_span *out)
{
    const atn_idx ratio = of->frame.block / p->frame.block;
    const atn_idx n = atn_pattern_row_from(of, h, a / ratio, from / ratio, out);
    const atn_idx end = of->frame.causal ? ATN_MIN(a + 1, p->cols) : p->cols;

    if (ratio == 1) return n;
    for (atn_idx i = 0; i < n; i++) {
        out[i].lo *= ratio;
        out[i].hi *= ratio;
    }
    return atn_spans_join(out, n, from, end);
}

/* Room for all heads of an operand together; 0: they have to be asked one by one. */
static atn_idx all_room(const atn_pattern *p)
{
    return p->heads == 1 ? p->room : p->all_room;
}

static atn_idx all_most(const atn_pattern *p)
{
    return p->heads == 1 ? p->most : p->all_most;
}

static atn_idx pair_row(const atn_pattern *p, atn_idx h, atn_idx a, atn_span within,
                        atn_span *out)
{
    const pair *of = p->state;
    const bool all = h == ATN_HEADS_ALL;
    atn_span *const x = out + (all ? p->all_most : of->most);
    atn_span *const y = x + (all ? all_room(of->a) : of->a->room);
    const atn_idx nx = operand_row(p, of->a, h, a, within.lo, x);
    const atn_idx ny = operand_row(p, of->b, h, a, within.lo, y);

    return apply(of->op, x, nx, y, ny, out);
}

static void pair_release(atn_ctx *cx, atn_pattern *p)
{
    pair *of = p->state;

    atn_pattern_destroy(cx, of->a);
    atn_pattern_destroy(cx, of->b);
}

static const struct atn_pattern_kind pair_kind = {pair_row, NULL, pair_release};

/* ---- making one ---- */

static atn_status check_pair(atn_ctx *cx, const atn_pattern *a, const atn_pattern *b)
{
    const atn_frame *f = &a->frame, *g = &b->frame;
    atn_status st = ATN_OK;

    if (f->nk != g->nk || f->nq != g->nq || f->first != g->first)
        ATN_FAIL(ATN_USAGE,
                 "patterns of different sizes do not go together: %lld queries from "
                 "%lld on against %lld keys, and %lld from %lld on against %lld",
                 (long long)f->nq, (long long)f->first, (long long)f->nk,
                 (long long)g->nq, (long long)g->first, (long long)g->nk);
    if (a->heads != b->heads && a->heads > 1 && b->heads > 1)
        ATN_FAIL(ATN_USAGE,
                 "a pattern of %lld heads does not go together with one of %lld (give "
                 "both as many, or one that is alike in all heads)",
                 (long long)a->heads, (long long)b->heads);
done:
    return st;
}

static bool causal_of(set_op op, bool a, bool b)
{
    return op == OP_UNION ? a && b : op == OP_INTERSECTION ? a || b : a;
}

/* What both state of their shift allows to state one of the result. Of tokens, causal
 * and not causal differ in the sign of the offsets alone, and in what the first keys
 * are. */
static bool joins_shift(set_op op, const atn_pattern *a, const atn_pattern *b)
{
    const bool bare = a->prefix == 0 && b->prefix == 0;
    const bool alike = a->frame.causal == b->frame.causal;

    if (!a->shift || !b->shift || a->frame.block != b->frame.block) return false;
    return alike ? bare || op == OP_UNION : bare && a->frame.block == 1;
}

/* A causal operand is [0, a] cut out of its offsets; of one that is not, the offsets
 * below 0 count, too, unless the result is causal. */
static atn_status shift_of_pair(atn_ctx *cx, set_op op, const atn_pattern *a,
                                const atn_pattern *b, atn_pattern **out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const bool causal = causal_of(op, a->frame.causal, b->frame.causal);
    atn_frame f = a->frame;
    atn_status st = ATN_OK;
    atn_span *offsets = NULL;
    atn_idx n;

    f.causal = causal;
    ATN_TAKE(offsets, 2 * (a->n_offsets + b->n_offsets) + 1);
    n = apply(op, a->offsets, a->n_offsets, b->offsets, b->n_offsets, offsets);
    ATN_TRY(atn_pattern_shift(cx, &f, offsets, n, ATN_MAX(a->prefix, b->prefix), out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* What the heads of two operands see together is the same operation on what the heads
 * of each see together; but for the union, of one that is alike in all heads. */
static bool joins_heads(set_op op, const atn_pattern *a, const atn_pattern *b)
{
    if (all_room(a) == 0 || all_room(b) == 0) return false;
    return op == OP_UNION || b->heads == 1 || (op == OP_INTERSECTION && a->heads == 1);
}

/* What the result states of itself. */
static void state_pair(atn_pattern *p, const pair *of)
{
    const atn_pattern *a = of->a, *b = of->b;
    const atn_idx block = p->frame.block;

    p->heads = ATN_MAX(a->heads, b->heads);
    p->most = of->most;
    p->room = p->most + a->room + b->room;
    p->repeat = atn_repeat_both(atn_repeat_scale(a->repeat, a->frame.block / block),
                                atn_repeat_scale(b->repeat, b->frame.block / block));
    if (!joins_heads(of->op, a, b)) return;
    p->all_most = all_most(a) + all_most(b);
    p->all_room = p->all_most + all_room(a) + all_room(b);
}

/* Takes a and b. */
static atn_status make_pair(atn_ctx *cx, set_op op, atn_pattern *a, atn_pattern *b,
                            atn_pattern **out)
{
    atn_status st = ATN_OK;
    atn_pattern *p = NULL;
    atn_frame f;

    *out = NULL;
    ATN_TRY(check_pair(cx, a, b));
    if (joins_shift(op, a, b)) {
        ATN_TRY(shift_of_pair(cx, op, a, b, out));
        goto done;
    }
    f = a->frame;
    f.block = a->frame.causal == b->frame.causal
                  ? atn_common_divisor(a->frame.block, b->frame.block)
                  : 1;
    f.causal = causal_of(op, a->frame.causal, b->frame.causal);
    ATN_TRY(atn_pattern_begin(cx, &f, &pair_kind, sizeof(pair), &p));
    *(pair *)p->state = (pair){a, b, a->most + b->most, op};
    state_pair(p, p->state);
    a = b = NULL;
    *out = p;
done:
    atn_pattern_destroy(cx, a);
    atn_pattern_destroy(cx, b);
    return st;
}

atn_status atn_pattern_union(atn_ctx *cx, atn_pattern *a, atn_pattern *b,
                             atn_pattern **out)
{
    return make_pair(cx, OP_UNION, a, b, out);
}

atn_status atn_pattern_intersection(atn_ctx *cx, atn_pattern *a, atn_pattern *b,
                                    atn_pattern **out)
{
    return make_pair(cx, OP_INTERSECTION, a, b, out);
}

atn_status atn_pattern_difference(atn_ctx *cx, atn_pattern *a, atn_pattern *b,
                                  atn_pattern **out)
{
    return make_pair(cx, OP_DIFFERENCE, a, b, out);
}

/* ---- some heads ---- */

typedef struct some {
    atn_pattern *p; /* owned */
    atn_idx first, n;
} some;

/* out: the rows so far, the same with one more, the one. */
static atn_idx some_row(const atn_pattern *p, atn_idx h, atn_idx a, atn_span within,
                        atn_span *out)
{
    const some *of = p->state;
    atn_span *const more = out + of->n * of->p->most;
    atn_span *const one = more + of->n * of->p->most;
    atn_idx n = 0;

    (void)h;
    for (atn_idx i = 0; i < of->n; i++) {
        const atn_idx head = (of->first + i) % of->p->heads;
        const atn_idx k = atn_pattern_row_from(of->p, head, a, within.lo, one);

        n = atn_spans_join(more, merge(out, n, one, k, more), within.lo, within.hi);
        if (n > 0) memcpy(out, more, (size_t)n * sizeof *out);
    }
    return n;
}

static void some_release(atn_ctx *cx, atn_pattern *p)
{
    some *of = p->state;

    atn_pattern_destroy(cx, of->p);
}

static const struct atn_pattern_kind some_kind = {some_row, NULL, some_release};

atn_status atn_pattern_together(atn_ctx *cx, const atn_pattern *p, atn_idx first,
                                atn_idx n, atn_pattern **out)
{
    atn_status st = ATN_OK;
    atn_pattern *made = NULL;
    atn_idx all = 0, room = 0;

    *out = NULL;
    ATN_ASSERT(n >= 1 && first >= 0);
    n = ATN_MIN(n, p->heads);
    if (!atn_mul(n, p->most, &all) || !atn_mul(2, all, &room))
        ATN_FAIL(ATN_MEMORY,
                 "pattern: %lld heads of %lld intervals a row are too many together",
                 (long long)n, (long long)p->most);
    ATN_TRY(atn_pattern_begin(cx, &p->frame, &some_kind, sizeof(some), &made));
    /* a count of owners, which the owner of p does not see */
    *(some *)made->state =
        (some){atn_pattern_keep((atn_pattern *)p), first % p->heads, n};
    made->most = ATN_MIN(all, p->cols / 2 + 1);
    made->room = room + p->room;
    made->repeat = p->repeat;
    *out = made;
done:
    return st;
}

/* ---- two layers ---- */

/* Rows that are written one behind the other. */
typedef struct rows {
    int64_t *ptr;
    atn_span *spans;
    atn_idx room;
} rows;

static atn_status add_row(atn_ctx *cx, rows *r, atn_idx row, const atn_span *spans,
                          atn_idx n)
{
    const int64_t from = r->ptr[row];
    atn_status st = ATN_OK;

    if (from + n > r->room) {
        const atn_idx room = 2 * (from + n);
        atn_span *more = atn_realloc(cx, r->spans, room, sizeof *more);

        if (!more) ATN_TRY(cx->err.code);
        r->spans = more;
        r->room = room;
    }
    if (n > 0) memcpy(r->spans + from, spans, (size_t)n * sizeof *spans);
    r->ptr[row + 1] = from + n;
done:
    return st;
}

/* seen [cols] marks the keys of row a; returns the intervals of it in out. */
static atn_idx seen_spans(const uint8_t *seen, atn_idx cols, atn_span *out)
{
    atn_idx n = 0;

    for (atn_idx c = 0; c < cols; c++) {
        if (!seen[c]) continue;
        if (n > 0 && out[n - 1].hi == c)
            out[n - 1].hi = c + 1;
        else
            out[n++] = (atn_span){c, c + 1};
    }
    return n;
}

typedef struct composing {
    const atn_pattern *upper, *lower;
    atn_span *up, *low, *out;
    uint8_t *seen;
} composing;

static atn_idx compose_row(const atn_pattern *p, const composing *c, atn_idx a)
{
    const atn_idx n = operand_row(p, c->upper, 0, a, 0, c->up);

    memset(c->seen, 0, (size_t)p->cols);
    for (atn_idx i = 0; i < n; i++)
        for (atn_idx j = c->up[i].lo; j < c->up[i].hi; j++) {
            const atn_idx m = operand_row(p, c->lower, 0, j, 0, c->low);

            for (atn_idx k = 0; k < m; k++)
                memset(c->seen + c->low[k].lo, 1,
                       (size_t)(c->low[k].hi - c->low[k].lo));
        }
    return seen_spans(c->seen, p->cols, c->out);
}

/* The frame of the result, and its bounds of rows. Block rows of a causal pattern see
 * their own block in part only, and another block through it in part, so that tokens
 * have to be walked where there are blocks. */
static atn_status compose_frame(atn_ctx *cx, const atn_pattern *upper,
                                const atn_pattern *lower, atn_frame *f)
{
    const bool causal = upper->frame.causal && lower->frame.causal;
    const bool both = upper->frame.causal == lower->frame.causal;
    atn_status st = ATN_OK;

    ATN_TRY(check_pair(cx, upper, lower));
    if (upper->heads > 1 || lower->heads > 1 || upper->frame.nq != upper->frame.nk ||
        upper->frame.first != 0)
        ATN_FAIL(ATN_USAGE, "only square patterns that are alike in all heads can be "
                            "layers of one another");
    *f = upper->frame;
    f->causal = causal;
    f->block = both && !causal
                   ? atn_common_divisor(upper->frame.block, lower->frame.block)
                   : 1;
done:
    return st;
}

atn_status atn_pattern_compose(atn_ctx *cx, const atn_pattern *upper,
                               const atn_pattern *lower, atn_pattern **out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const struct atn_pattern_kind no_rows = {0};
    composing c = {.upper = upper, .lower = lower};
    atn_pattern like = {.kind = &no_rows};
    atn_status st = ATN_OK;
    rows r = {0};

    *out = NULL;
    ATN_TRY(compose_frame(cx, upper, lower, &like.frame));
    like.row1 = like.cols = (like.frame.nk - 1) / like.frame.block + 1;
    ATN_TAKE(c.up, upper->room);
    ATN_TAKE(c.low, lower->room);
    ATN_TAKE(c.seen, like.cols);
    ATN_TAKE(c.out, like.cols / 2 + 1);
    ATN_NEW(r.ptr, like.row1 + 1);
    for (atn_idx a = 0; a < like.row1; a++) {
        ATN_TRY(atn_progress(cx, "composing", (double)a, (double)like.row1));
        ATN_TRY(add_row(cx, &r, a, c.out, compose_row(&like, &c, a)));
    }
    if (!r.spans) ATN_NEW(r.spans, 1);
    st = atn_pattern_rows(cx, &like.frame, 1, r.ptr, r.spans, out);
    r = (rows){0};
    ATN_TRY(st);
done:
    atn_free(cx, r.ptr);
    atn_free(cx, r.spans);
    atn_arena_rewind(cx, mark);
    return st;
}
