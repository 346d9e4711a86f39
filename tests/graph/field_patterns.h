/* tests/graph/field_patterns.h -- patterns for the tests of graph/field, straight from
 * the constructors of core/pattern. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "check.h"

#include "core/pattern.h"
#include "core/rng.h"

static inline atn_pattern *shifted(atn_ctx *cx, atn_idx n, atn_idx block, bool causal,
                                   const atn_span *offsets, atn_idx n_offsets,
                                   atn_idx prefix)
{
    const atn_frame f = atn_frame_square(n, block, causal);
    atn_pattern *p = NULL;

    CHECK_OK(atn_pattern_shift(cx, &f, offsets, n_offsets, prefix, &p));
    return p;
}

/* Offsets below `window`, and the first `prefix` blocks. */
static inline atn_pattern *window_of(atn_ctx *cx, atn_idx n, atn_idx block,
                                     atn_idx window, atn_idx prefix)
{
    return shifted(cx, n, block, true, &(atn_span){0, window}, 1, prefix);
}

static inline atn_pattern *dense_of(atn_ctx *cx, atn_idx n, atn_idx block, bool causal)
{
    const atn_idx most = (n - 1) / block + 1;

    return shifted(cx, n, block, causal, &(atn_span){causal ? 0 : 1 - most, most}, 1,
                   0);
}

/* Offsets below `window` and lo, lo + step, .. below end. */
static inline atn_pattern *stepped(atn_ctx *cx, atn_idx n, atn_idx block,
                                   atn_idx window, atn_idx step, atn_idx end,
                                   atn_idx prefix)
{
    atn_span *s = calloc((size_t)(end / step + 2), sizeof *s);
    atn_idx k = 0;
    atn_pattern *p;

    if (window > 0) s[k++] = (atn_span){0, window};
    for (atn_idx o = 0; o < end; o += step) s[k++] = (atn_span){o, o + 1};
    p = shifted(cx, n, block, true, s, k, prefix);
    free(s);
    return p;
}

/* Offsets 0 and the powers of two, and those below `window`. */
static inline atn_pattern *powers_of(atn_ctx *cx, atn_idx n, atn_idx block,
                                     atn_idx window, atn_idx prefix)
{
    atn_span s[64] = {{0, 1}};
    atn_idx k = 1;

    if (window > 0) s[k++] = (atn_span){0, window};
    for (atn_idx o = 1; o < n; o *= 2) s[k++] = (atn_span){o, o + 1};
    return shifted(cx, n, block, true, s, k, prefix);
}

/* Rows from a table see[heads][rows][cols] of bytes. */
static inline atn_pattern *given_rows(atn_ctx *cx, const atn_frame *f, atn_idx heads,
                                      const uint8_t *see)
{
    const atn_idx nb = (f->nk - 1) / f->block + 1;
    int64_t *ptr = atn_alloc(cx, heads * nb + 1, sizeof *ptr);
    atn_span *spans = atn_alloc(cx, heads * nb * (nb / 2 + 1), sizeof *spans);
    atn_pattern *p = NULL;
    int64_t n = 0;

    CHECK(ptr && spans);
    for (atn_idx k = 0; k < heads * nb; k++) {
        const uint8_t *row = see + k * nb;
        const atn_idx end = f->causal ? k % nb + 1 : nb;

        for (atn_idx c = 0; c < end; c++) {
            if (!row[c]) continue;
            if (c > 0 && row[c - 1])
                spans[n - 1].hi++;
            else
                spans[n++] = (atn_span){c, c + 1};
        }
        ptr[k + 1] = n;
    }
    CHECK_OK(atn_pattern_rows(cx, f, heads, ptr, spans, &p));
    return p;
}

/* ---- at random ---- */

static inline atn_pattern *random_shift(atn_ctx *cx, atn_rng *r, const atn_frame *f)
{
    const atn_idx nb = (f->nk - 1) / f->block + 1;
    atn_span s[4];
    atn_pattern *p = NULL;
    const atn_idx n = atn_rng_below(r, 4);

    for (atn_idx i = 0; i < n; i++) {
        s[i].lo = atn_rng_below(r, nb + 1) - (f->causal ? 0 : nb / 2);
        s[i].hi = s[i].lo + 1 + (atn_rng_below(r, 2) ? 0 : atn_rng_below(r, 5));
    }
    CHECK_OK(atn_pattern_shift(cx, f, s, n,
                               atn_rng_below(r, 3) ? 0 : atn_rng_below(r, nb + 1), &p));
    return p;
}

static inline atn_pattern *random_boxes(atn_ctx *cx, atn_rng *r, const atn_frame *f)
{
    const atn_idx nb = (f->nk - 1) / f->block + 1, n = atn_rng_below(r, 5);
    atn_box b[5];
    atn_pattern *p = NULL;

    for (atn_idx i = 0; i < n; i++) {
        b[i].rows.lo = atn_rng_below(r, nb);
        b[i].rows.hi = b[i].rows.lo + 1 + atn_rng_below(r, nb - b[i].rows.lo);
        b[i].keys.lo = atn_rng_below(r, nb);
        b[i].keys.hi = b[i].keys.lo + 1 + atn_rng_below(r, nb - b[i].keys.lo);
    }
    CHECK_OK(atn_pattern_boxes(cx, f, b, n, &p));
    return p;
}

static inline atn_pattern *random_segments(atn_ctx *cx, atn_rng *r, const atn_frame *f)
{
    const atn_idx nb = (f->nk - 1) / f->block + 1;
    atn_idx starts[64] = {0}, n = 1;
    atn_pattern *p = NULL;

    for (atn_idx a = 1; a < nb && n < 64; a++)
        if (atn_rng_below(r, 4) == 0) starts[n++] = a;
    CHECK_OK(atn_pattern_segments(cx, f, starts, n, &p));
    return p;
}

static inline atn_pattern *random_phases(atn_ctx *cx, atn_rng *r, const atn_frame *f)
{
    const atn_idx nb = (f->nk - 1) / f->block + 1, heads = 1 + atn_rng_below(r, 3);
    const atn_idx phase[3] = {atn_rng_below(r, 9), atn_rng_below(r, 9),
                              atn_rng_below(r, 9)};
    const atn_idx step = 1 + atn_rng_below(r, 5);
    atn_pattern *p = NULL;

    if (atn_rng_below(r, 2))
        CHECK_OK(atn_pattern_columns(cx, f, step, 1 + atn_rng_below(r, step), phase,
                                     heads, &p));
    else
        CHECK_OK(atn_pattern_residues(cx, f, 1 + atn_rng_below(r, nb), step, phase,
                                      heads, &p));
    return p;
}

static inline atn_pattern *random_given(atn_ctx *cx, atn_rng *r, const atn_frame *f)
{
    const atn_idx nb = (f->nk - 1) / f->block + 1, heads = 1 + atn_rng_below(r, 3);
    const atn_idx sparse = 1 + atn_rng_below(r, 12);
    uint8_t *see = calloc((size_t)(heads * nb * nb), 1);
    atn_pattern *p;

    for (atn_idx k = 0; k < heads * nb * nb; k++)
        see[k] = atn_rng_below(r, sparse) == 0;
    p = given_rows(cx, f, heads, see);
    free(see);
    return p;
}

/* Rows that are intervals with ends that never go back. */
static inline atn_pattern *random_steps(atn_ctx *cx, atn_rng *r, const atn_frame *f)
{
    const atn_idx nb = (f->nk - 1) / f->block + 1;
    uint8_t *see = calloc((size_t)(nb * nb), 1);
    atn_idx lo = 0, hi = 1;
    atn_pattern *p;

    for (atn_idx a = 0; a < nb; a++) {
        if (atn_rng_below(r, 3) == 0) lo += atn_rng_below(r, 3);
        lo = ATN_MIN(lo, a);
        hi += atn_rng_below(r, 3);
        hi = ATN_MIN(ATN_MAX(hi, a + 1), nb);
        for (atn_idx c = lo; c < hi; c++)
            see[a * nb + c] = c != a || atn_rng_below(r, 4) != 0 || f->block > 1;
    }
    p = given_rows(cx, f, 1, see);
    free(see);
    return p;
}

/* Unions of what repeats: columns, residues, segments and windows, some in other
 * blocks. */
static inline atn_pattern *random_union(atn_ctx *cx, atn_rng *r, const atn_frame *f)
{
    const atn_idx heads = 1 + atn_rng_below(r, 3), parts = 2 + atn_rng_below(r, 2);
    atn_pattern *all = NULL;

    for (atn_idx i = 0; i < parts; i++) {
        const atn_idx period = 1 + atn_rng_below(r, 8);
        const atn_idx phase[3] = {atn_rng_below(r, 9), atn_rng_below(r, 9),
                                  atn_rng_below(r, 9)};
        const atn_idx kind = atn_rng_below(r, 4), width = 1 + atn_rng_below(r, period);
        const atn_span window = {0, 1 + atn_rng_below(r, 4)};
        atn_idx starts[64], n = 0;
        atn_frame g = *f;
        atn_pattern *p = NULL;

        if (atn_rng_below(r, 6) == 0) g.block *= 2;
        for (atn_idx c = 0; c <= (g.nk - 1) / g.block && n < 64; c += period)
            starts[n++] = c;
        if (kind == 0)
            CHECK_OK(atn_pattern_columns(cx, &g, period, width, phase, heads, &p));
        else if (kind == 1)
            CHECK_OK(atn_pattern_residues(cx, &g, 3 * period, width, phase, heads, &p));
        else if (kind == 2)
            CHECK_OK(atn_pattern_segments(cx, &g, starts, n, &p));
        else
            CHECK_OK(atn_pattern_shift(cx, &g, &window, 1, 0, &p));
        if (all)
            CHECK_OK(atn_pattern_union(cx, all, p, &all));
        else
            all = p;
    }
    return all;
}

static inline atn_pattern *random_pattern(atn_ctx *cx, atn_rng *r, const atn_frame *f)
{
    switch (atn_rng_below(r, 10)) {
    case 0:
        return random_boxes(cx, r, f);
    case 1:
        return random_segments(cx, r, f);
    case 2:
        return random_phases(cx, r, f);
    case 3:
        return random_given(cx, r, f);
    case 4:
        return random_steps(cx, r, f);
    case 5:
        return dense_of(cx, f->nk, f->block, f->causal);
    case 6:
    case 7:
        return random_union(cx, r, f);
    default:
        return random_shift(cx, r, f);
    }
}

static inline atn_axes random_axes(atn_rng *r)
{
    atn_axes a = {.rank = 1 + (int)atn_rng_below(r, 3)};

    for (int x = 0; x < a.rank; x++) {
        atn_axis *t = &a.at[x];

        t->length = 1 + atn_rng_below(r, a.rank == 1 ? 30 : a.rank == 2 ? 6 : 4);
        t->dilation = 1 + atn_rng_below(r, ATN_MIN(t->length, 3));
        t->window = 1 + atn_rng_below(r, t->length / t->dilation);
        t->stride = 1 + atn_rng_below(r, t->window);
        t->causal = atn_rng_below(r, 3) == 0;
    }
    return a;
}

static inline atn_pattern *grid_of(atn_ctx *cx, const atn_axes *a)
{
    atn_pattern *p = NULL;

    CHECK_OK(atn_pattern_axes(cx, a, &p));
    return p;
}
