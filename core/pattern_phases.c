/* core/pattern_phases.c -- columns and residues: what repeats along the keys, with a
 * phase a head. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdlib.h>
#include <string.h>

#include "core/pattern_internal.h"

typedef struct phases {
    atn_idx period, width; /* of residues: segment and step */
    atn_idx *phase;        /* [heads] */
    atn_idx *all, n_all;   /* [n_all] phases of all heads, sorted, each once */
} phases;

/* The last multiple of m at or before x. */
static atn_idx floor_to(atn_idx x, atn_idx m)
{
    return x - ((x % m) + m) % m;
}

static atn_idx columns_row(const atn_pattern *p, atn_idx h, atn_idx a, atn_span within,
                           atn_span *out)
{
    const phases *c = p->state;
    const atn_idx *phase = h == ATN_HEADS_ALL ? c->all : c->phase + h;
    const atn_idx m = h == ATN_HEADS_ALL ? c->n_all : 1;
    atn_idx n = 0;

    (void)a;
    for (atn_idx at = floor_to(within.lo, c->period) - c->period; at < within.hi;
         at += c->period)
        for (atn_idx i = 0; i < m; i++) {
            const atn_span x = {at + phase[i], at + phase[i] + c->width};

            if (x.hi > within.lo && x.lo < within.hi) out[n++] = x;
        }
    return n;
}

/* Whether a head has this phase. */
static bool any_has(const phases *c, atn_idx phase)
{
    atn_idx lo = 0, hi = c->n_all;

    while (lo < hi) {
        const atn_idx mid = lo + (hi - lo) / 2;

        if (c->all[mid] < phase)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < c->n_all && c->all[lo] == phase;
}

static atn_idx residues_row(const atn_pattern *p, atn_idx h, atn_idx a, atn_span within,
                            atn_span *out)
{
    const phases *c = p->state;
    const atn_idx segment = a / c->period * c->period;
    const atn_idx end = ATN_MIN(segment + c->period, within.hi);
    const atn_idx phase = (a - segment) % c->width;
    atn_idx at = segment + phase, n = 0;

    if (h == ATN_HEADS_ALL ? !any_has(c, phase) : phase != c->phase[h]) return 0;
    if (c->width == 1) {
        out[0] = (atn_span){segment, end};
        return 1;
    }
    if (at < within.lo) at += floor_to(within.lo - at + c->width - 1, c->width);
    for (; at < end; at += c->width) out[n++] = (atn_span){at, at + 1};
    return n;
}

static void phases_release(atn_ctx *cx, atn_pattern *p)
{
    phases *c = p->state;

    atn_free(cx, c->phase);
    atn_free(cx, c->all);
}

static const struct atn_pattern_kind columns_kind = {columns_row, NULL, phases_release};
static const struct atn_pattern_kind residues_kind = {residues_row, NULL,
                                                      phases_release};

static int by_size(const void *a_, const void *b_)
{
    const atn_idx *a = a_, *b = b_;

    return (*a > *b) - (*a < *b);
}

/* The phases of all heads together. */
static void join_phases(phases *c, atn_idx heads)
{
    memcpy(c->all, c->phase, (size_t)heads * sizeof *c->all);
    qsort(c->all, (size_t)heads, sizeof *c->all, by_size);
    for (atn_idx h = 0; h < heads; h++)
        if (c->n_all == 0 || c->all[h] != c->all[c->n_all - 1])
            c->all[c->n_all++] = c->all[h];
}

/* Phases are reduced modulo `modulus`. */
static atn_status make_phases(atn_ctx *cx, const atn_frame *f,
                              const struct atn_pattern_kind *kind, const phases *like,
                              atn_idx heads, atn_pattern **out)
{
    const atn_idx modulus = kind == &columns_kind ? like->period : like->width;
    atn_status st = ATN_OK;
    atn_pattern *p = NULL;
    phases *c;

    *out = NULL;
    ATN_TRY(atn_pattern_begin(cx, f, kind, sizeof *c, &p));
    c = p->state;
    c->period = like->period;
    c->width = like->width;
    ATN_NEW(c->phase, heads);
    ATN_NEW(c->all, heads);
    for (atn_idx h = 0; h < heads; h++)
        c->phase[h] = (like->phase[h] % modulus + modulus) % modulus;
    join_phases(c, heads);
    p->heads = heads;
    *out = p;
    p = NULL;
done:
    atn_pattern_destroy(cx, p);
    return st;
}

atn_status atn_pattern_columns(atn_ctx *cx, const atn_frame *f, atn_idx period,
                               atn_idx width, const atn_idx *phase, atn_idx heads,
                               atn_pattern **out)
{
    const phases like = {.period = period, .width = width, .phase = (atn_idx *)phase};
    atn_status st = ATN_OK;
    atn_pattern *p = NULL;

    *out = NULL;
    ATN_ASSERT(width >= 1 && width <= period && heads >= 1);
    ATN_TRY(make_phases(cx, f, &columns_kind, &like, heads, &p));
    p->most = p->room = p->cols / period + 2;
    p->repeat.step = 1;
    /* all heads together: no more intervals than what is between them allows */
    if (atn_mul(p->most, ((const phases *)p->state)->n_all, &p->all_room))
        p->all_most = ATN_MIN(p->all_room, p->cols / 2 + 1);
    else
        p->all_room = 0;
    *out = p;
done:
    return st;
}

atn_status atn_pattern_residues(atn_ctx *cx, const atn_frame *f, atn_idx segment,
                                atn_idx step, const atn_idx *phase, atn_idx heads,
                                atn_pattern **out)
{
    const phases like = {.period = segment, .width = step, .phase = (atn_idx *)phase};
    atn_status st = ATN_OK;
    atn_pattern *p = NULL;

    *out = NULL;
    ATN_ASSERT(segment >= 1 && step >= 1 && heads >= 1);
    ATN_TRY(make_phases(cx, f, &residues_kind, &like, heads, &p));
    p->most = p->room = ATN_MIN(segment, p->cols) / step + 1;
    p->all_most = p->all_room = p->most;
    p->repeat = atn_repeat_within(step, segment, segment);
    *out = p;
    p = NULL;
done:
    atn_pattern_destroy(cx, p);
    return st;
}
