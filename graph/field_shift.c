/* graph/field_shift.c -- fields of layers that look back by the same offsets
 * everywhere.
 *
 * Math    all layers causal; row i of layer k sees i - o, o in D_k with 0 among them
 *         (the residual), and keys below P_k; both as far as they lie in [0, i]. Claim:
 *         R_k(i) = {i - s in [0, i] : s in S_k} + [0, min(Q_k, i + 1)), S_k = D_k + ..
 *         + D_1 (all sums, S_0 = {0}), Q_k = max P_1..k. By induction: through j = i -
 *         o come i - o - s, and o + s <= i gives o <= i, so no sum is lost at the
 *         border; the prefixes of these j are within that of j = i itself. Through j <
 *         P_k come sets within [0, j], j among them: together [0, min(P_k, i + 1)). The
 *         order of the layers does not matter, and the first rows need no other rule.
 *         Row i: popcount of S_k up to i - Q_k, + Q_k. It reaches every node when the
 *         first i - Q_k + 1 offsets are in S_k, so the last row does so last of all:
 *         beyond the depth asked for only its size is looked at. Where it stays the
 *         same through a whole list of layers, it does for good. Node i sees itself by
 *         offset 0, as all do, or below P_k.
 * Cost    S_k is a bitmap. D_k is cut into groups: `count` runs of `length` offsets
 *         every `step`; each is added by log length + log count shifted ORs of N / 64
 *         words. A window, a stride, a dilated window: one group; powers of two: log N.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "graph/field_internal.h"

typedef struct shift {
    const atn_field_plan *plan;
    atn_idx words;
    uint64_t *sums; /* S, offsets below nodes */
    uint64_t *next, *part;
    atn_idx prefix; /* Q */
    bool own;       /* of all nodes, whatever the prefix */
} shift;

static atn_status fits(atn_ctx *cx, const atn_field_plan *p, bool *out)
{
    (void)cx;
    *out = p->causal;
    for (int i = 0; i < p->n; i++)
        *out &= p->layers[i]->shift && (p->layers[i]->frame.block == p->block ||
                                        atn_field_dense(p->layers[i]));
    return ATN_OK;
}

static double bytes(const atn_field_plan *p)
{
    return 3.0 / 8 * (double)p->nodes;
}

/* Passes over the words, of the layers on average. */
static double work(const atn_field_plan *p)
{
    const double words = (double)p->nodes / 64;
    double passes = 0;

    for (int l = 0; l < p->n; l++) {
        const atn_pattern *q = p->layers[l];

        for (atn_idx i = 0; i < q->n_offsets; passes += 2) {
            atn_group g;

            i = atn_next_group(q->offsets, q->n_offsets, i, &g);
            passes += log2((double)g.length) + log2((double)g.count);
        }
    }
    return .5 * words * (2 + passes / p->n);
}

static void close_shift(atn_ctx *cx, void *state)
{
    shift *s = state;

    if (!s) return;
    atn_free(cx, s->sums);
    atn_free(cx, s->next);
    atn_free(cx, s->part);
    atn_free(cx, s);
}

static atn_status open_shift(atn_ctx *cx, const atn_field_plan *p, atn_idx row,
                             void **state)
{
    atn_status st = ATN_OK;
    shift *s = NULL;

    (void)row;
    *state = NULL;
    ATN_TRY(atn_mem_check(cx, bytes(p), "field"));
    ATN_NEW(s, 1);
    s->plan = p;
    s->words = (p->nodes - 1) / 64 + 1;
    ATN_NEW(s->sums, s->words);
    ATN_NEW(s->next, s->words);
    ATN_NEW(s->part, s->words);
    s->sums[0] = 1;
    *state = s;
    s = NULL;
done:
    close_shift(cx, s);
    return st;
}

/* to |= from << by; may be the same bitmap: words are taken from above. */
static void or_shifted(uint64_t *to, const uint64_t *from, atn_idx words, atn_idx by)
{
    const atn_idx w = by / 64;
    const int b = (int)(by % 64);

    for (atn_idx i = words - 1; i > w && b > 0; i--)
        to[i] |= from[i - w] << b | from[i - w - 1] >> (64 - b);
    for (atn_idx i = words - 1; i > w && b == 0; i--) to[i] |= from[i - w];
    if (w < words) to[w] |= from[0] << b;
}

/* x <- the union of x << t step, t < count. */
static void spread(uint64_t *x, atn_idx words, atn_idx step, atn_idx count)
{
    atn_idx have = 1;

    for (; have <= count / 2 && have * step < 64 * words; have *= 2)
        or_shifted(x, x, words, have * step);
    if (have < count && (count - have) * step < 64 * words)
        or_shifted(x, x, words, (count - have) * step);
}

atn_idx atn_next_group(const atn_span *s, atn_idx n, atn_idx at, atn_group *g)
{
    atn_idx end = at + 1;

    *g = (atn_group){s[at].lo, s[at].hi - s[at].lo, 1, 1};
    if (end < n && s[end].hi - s[end].lo == g->length) g->step = s[end].lo - s[at].lo;
    while (end < n && s[end].hi - s[end].lo == g->length &&
           s[end].lo - s[end - 1].lo == g->step)
        end++;
    g->count = end - at;
    return end;
}

static atn_status step(atn_ctx *cx, void *state, int k)
{
    shift *s = state;
    const atn_pattern *p = atn_field_layer(s->plan, k);
    const size_t size = (size_t)s->words * sizeof *s->sums;
    uint64_t *old = s->sums;

    (void)cx;
    s->own |= p->n_offsets > 0 && p->offsets[0].lo <= 0; /* prefixes end before it */
    if (atn_field_dense(p)) {
        memset(s->sums, 0xff, size);
        s->prefix = s->plan->nodes;
        s->own = true;
        return ATN_OK;
    }
    s->prefix = ATN_MAX(s->prefix, p->prefix);
    memcpy(s->next, old, size);
    for (atn_idx i = 0; i < p->n_offsets;) {
        atn_group g;

        i = atn_next_group(p->offsets, p->n_offsets, i, &g);
        memcpy(s->part, old, size);
        spread(s->part, s->words, 1, g.length);
        spread(s->part, s->words, g.step, g.count);
        or_shifted(s->next, s->part, s->words, g.lo);
    }
    s->sums = s->next;
    s->next = old;
    return ATN_OK;
}

static bool holds(const shift *s, atn_idx offset)
{
    return s->sums[offset / 64] >> (offset % 64) & 1;
}

static atn_status mark(atn_ctx *cx, const void *state, atn_idx row, uint8_t *reached,
                       bool *own)
{
    const shift *s = state;
    atn_status st = ATN_OK;

    for (atn_idx j = 0; j < s->plan->nodes; j++) {
        reached[j] = j <= row && (j < s->prefix || holds(s, row - j));
        ATN_TRY(atn_field_scanned(cx, j, s->plan->nodes));
    }
    *own = s->own;
done:
    return st;
}

/* Whether an offset of [lo, hi) is in S. */
static bool holds_any(const shift *s, atn_idx lo, atn_idx hi)
{
    for (atn_idx w = lo / 64; w * 64 < hi; w++) {
        uint64_t x = s->sums[w];

        if (w == lo / 64) x &= ~(uint64_t)0 << (lo % 64);
        if (hi - w * 64 < 64) x &= ~(~(uint64_t)0 << (hi - w * 64));
        if (x) return true;
    }
    return false;
}

static bool meets(const void *state, atn_span rows, atn_span keys)
{
    const shift *s = state;

    if (keys.lo >= rows.hi) return false;
    return keys.lo < s->prefix ||
           holds_any(s, ATN_MAX(rows.lo - keys.hi + 1, 0), rows.hi - keys.lo);
}

static atn_status tally(atn_ctx *cx, const void *state, atn_field_tally *out)
{
    const shift *s = state;
    atn_status st = ATN_OK;
    atn_idx reached = 0;

    *out = (atn_field_tally){0};
    for (atn_idx i = 0; i < s->plan->nodes; i++) {
        reached += i < s->prefix || holds(s, i - s->prefix);
        atn_field_count(out, s->plan, i, reached, s->own || i < s->prefix);
        ATN_TRY(atn_field_scanned(cx, i, s->plan->nodes));
    }
done:
    return st;
}

static atn_idx bits_of(uint64_t x)
{
    x -= x >> 1 & 0x5555555555555555u;
    x = (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
    x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return (atn_idx)(x * 0x0101010101010101u >> 56);
}

static void peek(const void *state, atn_field_peek *out)
{
    const shift *s = state;
    const atn_idx nodes = s->plan->nodes, end = nodes - ATN_MIN(s->prefix, nodes);

    *out = (atn_field_peek){.reached = nodes - end, .own = s->own};
    for (atn_idx w = 0; w < end / 64; w++) out->reached += bits_of(s->sums[w]);
    if (end % 64 > 0)
        out->reached += bits_of(s->sums[end / 64] & ~(~(uint64_t)0 << (end % 64)));
    out->growth = out->reached;
    out->all = out->reached == nodes &&
               (s->own || s->prefix >= nodes || s->plan->block == 1 ||
                (s->prefix == nodes - 1 && atn_field_single(s->plan, nodes - 1)));
}

const atn_field_engine atn_field_shift = {
    .id = "shift",
    .every = true,
    .fits = fits,
    .work = work,
    .open = open_shift,
    .step = step,
    .mark = mark,
    .meets = meets,
    .tally = tally,
    .peek = peek,
    .close = close_shift,
};
