/* core/pattern_lists.c -- given rows: coded lists of blocks, each for some block rows
 * in a row.
 *
 * Cost    4 bytes for a block that stands alone, 8 for an interval; a row costs its
 *         list.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/pattern_internal.h"

typedef struct lists {
    int64_t *ptr; /* [heads * per_head + 1] */
    int32_t *items;
    atn_idx share, first, per_head; /* first: the list of block row row0 */
} lists;

/* The interval that begins with *item; *item moves on. */
static atn_span next(const int32_t **item)
{
    const int32_t x = *(*item)++;

    if (x >= 0) return (atn_span){x, (atn_idx)x + 1};
    return (atn_span){~x, (atn_idx) * (*item)++ + 1};
}

static const int64_t *list_of(const lists *l, atn_idx h, atn_idx a)
{
    return l->ptr + h * l->per_head + a / l->share - l->first;
}

static atn_idx lists_row(const atn_pattern *p, atn_idx h, atn_idx a, atn_span within,
                         atn_span *out)
{
    const lists *l = p->state;
    const int64_t *ptr = list_of(l, h, a);
    const int32_t *at = l->items + ptr[0], *end = l->items + ptr[1];
    atn_idx n = 0;

    while (at < end) {
        const atn_span s = next(&at);

        if (s.lo >= within.hi) break;
        if (s.hi > within.lo) out[n++] = s;
    }
    return n;
}

static void lists_release(atn_ctx *cx, atn_pattern *p)
{
    lists *l = p->state;

    atn_free(cx, l->ptr);
    atn_free(cx, l->items);
}

static const struct atn_pattern_kind lists_kind = {lists_row, NULL, lists_release};

atn_status atn_pattern_lists(atn_ctx *cx, const atn_frame *f, atn_idx share,
                             atn_idx heads, int64_t *ptr, int32_t *items,
                             atn_pattern **out)
{
    atn_status st = ATN_OK;
    atn_pattern *p = NULL;
    lists *l;

    *out = NULL;
    ATN_ASSERT(share >= 1 && heads >= 1);
    ATN_TRY(atn_pattern_begin(cx, f, &lists_kind, sizeof(lists), &p));
    l = p->state;
    l->ptr = ptr;
    l->items = items;
    ptr = NULL;
    items = NULL;
    l->share = share;
    l->first = p->row0 / share;
    l->per_head = (p->row1 - 1) / share - l->first + 1;
    p->heads = heads;
    for (atn_idx k = 0; k < heads * l->per_head; k++) {
        const int32_t *at = l->items + l->ptr[k], *end = l->items + l->ptr[k + 1];
        atn_idx n = 0;

        while (at < end) {
            next(&at);
            n++;
        }
        p->most = ATN_MAX(p->most, n);
    }
    p->room = p->most;
    *out = p;
done:
    atn_free(cx, ptr);
    atn_free(cx, items);
    return st;
}

atn_idx atn_pattern_code(const atn_span *spans, atn_idx n, int32_t *out)
{
    atn_idx at = 0;

    for (atn_idx s = 0; s < n; s++) {
        const bool one = spans[s].hi == spans[s].lo + 1;

        if (out) out[at] = one ? (int32_t)spans[s].lo : ~(int32_t)spans[s].lo;
        at++;
        if (one) continue;
        if (out) out[at] = (int32_t)(spans[s].hi - 1);
        at++;
    }
    return at;
}

atn_status atn_pattern_rows(atn_ctx *cx, const atn_frame *f, atn_idx heads,
                            int64_t *ptr, atn_span *spans, atn_pattern **out)
{
    atn_status st = ATN_OK;
    int32_t *items = NULL;
    atn_idx at = 0, rows;

    *out = NULL;
    ATN_TRY(atn_frame_check(cx, f));
    rows = heads * ((f->first + f->nq - 1) / f->block + 1 - f->first / f->block);
    ATN_NEW(items, atn_pattern_code(spans, ptr[rows], NULL));
    for (atn_idx k = 0, from = 0; k < rows; k++) {
        const atn_idx n = ptr[k + 1] - from;

        at += atn_pattern_code(spans + from, n, items + at);
        from = ptr[k + 1];
        ptr[k + 1] = at;
    }
    atn_free(cx, spans);
    return atn_pattern_lists(cx, f, 1, heads, ptr, items, out);
done:
    atn_free(cx, ptr);
    atn_free(cx, spans);
    return st;
}
