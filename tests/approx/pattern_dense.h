/* tests/approx/pattern_dense.h -- a pattern as a matrix of yes and no, for tests. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "approx/pattern.h"
#include "check.h"

static inline atn_pattern *dense_make(atn_ctx *cx, const char *id, const char *params,
                                      const atn_layout *l)
{
    atn_pattern *p = NULL;

    CHECK_OK(atn_pattern_make(cx, id, params, l, &p));
    CHECK(p != NULL);
    return p;
}

/* One head, seed 0. */
static inline atn_pattern *dense_square(atn_ctx *cx, const char *id, const char *params,
                                        atn_idx n)
{
    const atn_layout l = atn_layout_square(n, 1, 0);

    return dense_make(cx, id, params, &l);
}

/* Intervals are in order, apart, and inside [0, hi). */
static inline void dense_check_spans(const atn_span *s, atn_idx n, atn_idx hi)
{
    for (atn_idx i = 0; i < n; i++) {
        CHECK(s[i].lo < s[i].hi);
        CHECK(i == 0 ? s[i].lo >= 0 : s[i].lo > s[i - 1].hi);
        CHECK(s[i].hi <= hi);
    }
}

/* The block rows of a head, [rows][cols] bytes of 0 and 1 from malloc. */
static inline uint8_t *dense_blocks(const atn_pattern *p, atn_idx head)
{
    const atn_idx rows = p->row1 - p->row0;
    uint8_t *m = calloc((size_t)(rows * p->cols), 1);
    atn_span *out = malloc((size_t)p->room * sizeof *out);

    assert_non_null(m);
    assert_non_null(out);
    for (atn_idx a = 0; a < rows; a++) {
        const atn_idx n = atn_pattern_row(p, head, p->row0 + a, out);
        const atn_idx end = ATN_MIN(p->row0 + a + 1, p->cols);

        CHECK_LE(n, p->most);
        dense_check_spans(out, n, p->frame.causal ? end : p->cols);
        for (atn_idx s = 0; s < n; s++)
            memset(m + a * p->cols + out[s].lo, 1, (size_t)(out[s].hi - out[s].lo));
    }
    free(out);
    return m;
}

/* The same in tokens, [nq][nk]. */
static inline uint8_t *dense_tokens(const atn_pattern *p, atn_idx head)
{
    const atn_idx nq = p->frame.nq, nk = p->frame.nk;
    uint8_t *m = calloc((size_t)(nq * nk), 1);
    atn_span *out = malloc((size_t)p->room * sizeof *out);

    assert_non_null(m);
    assert_non_null(out);
    for (atn_idx r = 0; r < nq; r++) {
        const atn_idx i = p->frame.first + r;
        const atn_idx n = atn_pattern_keys(p, head, i, out);

        CHECK_LE(n, p->most);
        dense_check_spans(out, n, p->frame.causal ? ATN_MIN(i + 1, nk) : nk);
        for (atn_idx s = 0; s < n; s++)
            memset(m + r * nk + out[s].lo, 1, (size_t)(out[s].hi - out[s].lo));
    }
    free(out);
    return m;
}
