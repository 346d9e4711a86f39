/* simulators/alike.c -- heads that are the same, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/alike.h"

#include <string.h>

static bool same_frame(const atn_frame *a, const atn_frame *b)
{
    return a->nk == b->nk && a->nq == b->nq && a->first == b->first &&
           a->block == b->block && a->causal == b->causal;
}

static bool same_spans(const atn_span *a, const atn_span *b, atn_idx n)
{
    for (atn_idx i = 0; i < n; i++)
        if (a[i].lo != b[i].lo || a[i].hi != b[i].hi) return false;
    return true;
}

static bool same_axes(const atn_axes *a, const atn_axes *b)
{
    for (int i = 0; i < a->rank; i++) {
        const atn_axis *x = &a->at[i], *y = &b->at[i];

        if (i >= b->rank || x->length != y->length || x->window != y->window ||
            x->stride != y->stride || x->dilation != y->dilation ||
            x->causal != y->causal)
            return false;
    }
    return a->rank == b->rank;
}

static atn_status same_rows(atn_ctx *cx, const atn_pattern *a, const atn_pattern *b,
                            bool *same)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_span *x, *y;
    atn_status st = ATN_OK;

    *same = true;
    ATN_TAKE(x, a->room);
    ATN_TAKE(y, b->room);
    for (atn_idx r = a->row0; r < a->row1 && *same; r++) {
        const atn_idx n = atn_pattern_row(a, 0, r, x);

        *same = n == atn_pattern_row(b, 0, r, y) && same_spans(x, y, n);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status compare(atn_ctx *cx, const atn_pattern *a, const atn_pattern *b,
                          bool *same)
{
    *same = a == b;
    if (*same || a->heads != 1 || b->heads != 1 || !same_frame(&a->frame, &b->frame))
        return ATN_OK;
    if (a->axes && b->axes) {
        *same = same_axes(a->axes, b->axes);
        return ATN_OK;
    }
    if (a->shift && b->shift && a->prefix == b->prefix &&
        a->n_offsets == b->n_offsets &&
        same_spans(a->offsets, b->offsets, a->n_offsets)) {
        *same = true;
        return ATN_OK;
    }
    return same_rows(cx, a, b, same);
}

atn_status atn_heads_alike(atn_ctx *cx, const atn_pattern *const *p, atn_idx n,
                           bool *alike)
{
    atn_status st = ATN_OK;

    *alike = true;
    for (atn_idx i = 1; i < n && *alike; i++) {
        ATN_TRY(atn_stopped(cx, "simulate"));
        ATN_TRY(compare(cx, p[0], p[i], alike));
    }
done:
    return st;
}
