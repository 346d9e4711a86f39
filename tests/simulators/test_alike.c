/* Heads that see the same, however their patterns are stated. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "simulators/alike.h"

enum { N = 96 };

static atn_pattern *window_of(atn_ctx *cx, atn_idx window, bool causal)
{
    const atn_frame f = atn_frame_square(N, 1, causal);
    const atn_span offsets = {0, window};
    atn_pattern *p;

    CHECK_OK(atn_pattern_shift(cx, &f, &offsets, 1, 0, &p));
    return p;
}

/* The same window as rows; of row `odd` (-1: none) one key less. */
static atn_pattern *rows_of(atn_ctx *cx, atn_idx window, atn_idx odd)
{
    const atn_frame f = atn_frame_square(N, 1, true);
    int64_t *ptr = atn_alloc(cx, N + 1, sizeof *ptr);
    atn_span *s = atn_alloc(cx, N, sizeof *s);
    atn_pattern *p;

    for (atn_idx a = 0; a < N; a++) {
        s[a] = (atn_span){ATN_MAX(a + 1 - window, 0) + (a == odd), a + 1};
        ptr[a + 1] = a + 1;
    }
    CHECK_OK(atn_pattern_rows(cx, &f, 1, ptr, s, &p));
    return p;
}

static bool alike(atn_ctx *cx, const atn_pattern *a, const atn_pattern *b)
{
    const atn_pattern *p[3] = {a, a, b};
    bool is, back;

    CHECK_OK(atn_heads_alike(cx, p, 3, &is));
    p[0] = b;
    CHECK_OK(atn_heads_alike(cx, p, 2, &back));
    CHECK_EQ(is, back);
    return is;
}

static void golden(atn_ctx *cx)
{
    atn_pattern *w = window_of(cx, 8, true), *w2 = window_of(cx, 8, true),
                *wide = window_of(cx, 9, true), *all = window_of(cx, N, true),
                *more = window_of(cx, 2 * N, true), *open = window_of(cx, 8, false),
                *rows = rows_of(cx, 8, -1), *last = rows_of(cx, 8, N - 1);
    bool one;

    CHECK_OK(atn_heads_alike(cx, (const atn_pattern *const *)&w, 1, &one));
    CHECK(one);
    CHECK(alike(cx, w, w));
    CHECK(alike(cx, w, w2));
    CHECK(alike(cx, w, rows));
    CHECK(alike(cx, all, more)); /* clipped to the same */
    CHECK(!alike(cx, w, wide));
    CHECK(!alike(cx, w, last));
    CHECK(!alike(cx, w, open)); /* one of them is causal by what it states */
    atn_pattern_destroy(cx, w);
    atn_pattern_destroy(cx, w2);
    atn_pattern_destroy(cx, wide);
    atn_pattern_destroy(cx, all);
    atn_pattern_destroy(cx, more);
    atn_pattern_destroy(cx, open);
    atn_pattern_destroy(cx, rows);
    atn_pattern_destroy(cx, last);
}

static void grids(atn_ctx *cx)
{
    atn_axes a = {.rank = 2, .at = {{8, 4, 1, 1, false}, {12, 3, 1, 1, false}}};
    atn_pattern *p, *q, *r;

    CHECK_OK(atn_pattern_axes(cx, &a, &p));
    CHECK_OK(atn_pattern_axes(cx, &a, &q));
    a.at[1].stride = 2;
    CHECK_OK(atn_pattern_axes(cx, &a, &r));
    CHECK(alike(cx, p, q));
    CHECK(!alike(cx, p, r));
    atn_pattern_destroy(cx, p);
    atn_pattern_destroy(cx, q);
    atn_pattern_destroy(cx, r);
}

/* Patterns of several heads are one object, or not alike. */
static void many_heads(atn_ctx *cx)
{
    const atn_frame f = atn_frame_square(N, 1, true);
    const atn_idx phase[] = {0, 1};
    atn_pattern *p, *q;

    CHECK_OK(atn_pattern_columns(cx, &f, 4, 1, phase, 2, &p));
    CHECK_OK(atn_pattern_columns(cx, &f, 4, 1, phase, 2, &q));
    CHECK(alike(cx, p, p));
    CHECK(!alike(cx, p, q));
    atn_pattern_destroy(cx, p);
    atn_pattern_destroy(cx, q);
}

CHECK_MAIN({"golden", golden}, {"grids", grids}, {"many heads", many_heads})
