/* simulators/tiles_residues.c -- tiles of shifts, of tokens that go by their residue
 * modulo a stride S.
 *
 * Math    query i = r + S t and key j = s + S v. Of blocks of b tokens, S = b m: their
 *         offset is D + m (t - v), D = floor(r / b) - floor(s / b), so that of a pair
 *         of residues the mask is a shift by those u = t - v with D + m u among the
 *         offsets: kept for D mod m, one more for D < 0. Of b = S w: of blocks of w
 *         places the offsets are the same for every pair. So a Q tile has, of a
 *         residue of keys, what tiles_plain.c says of a shift; causal are v < t and,
 *         for s <= r, v = t. What several residues of a Q tile all see is cut out.
 * Oracle  brute force over all pairs.
 * Cost    the offsets once; for every Q tile and residue in it the offsets of all
 *         residues of keys. Memory: what all of a Q tile see, 2 numbers an interval.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>

#include "simulators/tiles_internal.h"

typedef struct residues {
    atn_span *now, *was, *both; /* [places] that all queries see, in places */
    atn_span *seen, *full;      /* [ranges] */
    uint64_t *bit;              /* zeros between rows */
    atn_span words;             /* of bits that are set */
} residues;

/* Queries [t0, t1) of residue r. */
typedef struct part {
    atn_idx r, t0, t1;
} part;

/* ---- orders ---- */

/* Places of the positions [first, first + n) by residue: base [stride + 1]. */
static void fill_base(atn_idx first, atn_idx n, atn_idx stride, atn_idx *base)
{
    base[0] = 0;
    for (atn_idx r = 0; r < stride; r++) {
        const atn_idx skip = ((r - first) % stride + stride) % stride;

        base[r + 1] = base[r] + (skip < n ? (n - skip - 1) / stride + 1 : 0);
    }
}

atn_status atn_residues_order(atn_ctx *cx, atn_tile_source *s)
{
    const atn_frame *f = &s->p->frame;
    atn_status st = ATN_OK;

    ATN_TRY(atn_mem_check(cx, 16 * (double)s->stride, "ordering tokens by residues"));
    ATN_TAKE(s->q_base, s->stride + 1);
    ATN_TAKE(s->k_base, s->stride + 1);
    fill_base(f->first, f->nq, s->stride, s->q_base);
    fill_base(0, f->nk, s->stride, s->k_base);
done:
    return st;
}

atn_idx atn_residue_of(const atn_tile_source *s, atn_idx place)
{
    atn_idx lo = 0, hi = s->stride;

    while (hi - lo > 1) {
        const atn_idx mid = lo + (hi - lo) / 2;

        if (s->q_base[mid] <= place)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

/* ---- offsets of a pair of residues ---- */

static atn_idx floor_div(atn_idx a, atn_idx b)
{
    return a >= 0 ? a / b : -atn_ceil_div(-a, b);
}

/* Block offsets that are d modulo m, as steps u of m; at [ptr[d], ptr[d + 1]). With
 * out NULL they are counted alone: ptr[d + 1] <- how many. last [m] is scratch. */
static void spread(const atn_pattern *p, atn_idx m, atn_span *out, atn_idx *ptr,
                   atn_idx *last)
{
    for (atn_idx d = 0; d < m; d++) last[d] = INT64_MIN;
    for (atn_idx i = 0; i < p->n_offsets; i++) {
        const atn_span o = p->offsets[i];

        for (atn_idx x = o.lo; x < ATN_MIN(o.hi, o.lo + m); x++) {
            const atn_idx lo = floor_div(x, m), d = x - lo * m;
            const atn_span u = {lo, floor_div(o.hi - 1 - d, m) + 1};

            if (u.lo > last[d]) {
                if (out) out[ptr[d]] = u;
                ptr[out ? d : d + 1]++;
            } else if (out) {
                out[ptr[d] - 1].hi = u.hi;
            }
            last[d] = u.hi;
        }
    }
}

static atn_status take_offsets(atn_ctx *cx, atn_tile_source *s, atn_idx m)
{
    atn_status st = ATN_OK;
    atn_idx *last;
    atn_span *at;

    ATN_TRY(atn_mem_check(cx, 16 * (double)m, "offsets by residues"));
    ATN_TAKE(s->step_ptr, m + 1);
    ATN_TAKE(last, m);
    memset(s->step_ptr, 0, (size_t)(m + 1) * sizeof *s->step_ptr);
    spread(s->p, m, NULL, s->step_ptr, last);
    for (atn_idx d = 0; d < m; d++) s->step_ptr[d + 1] += s->step_ptr[d];
    ATN_TRY(atn_mem_check(cx, 16 * (double)s->step_ptr[m] + 16, "offsets by residues"));
    ATN_TAKE(at, s->step_ptr[m] + 1);
    spread(s->p, m, at, s->step_ptr, last);
    /* every pointer stands at its end now, which is where the next one began */
    for (atn_idx d = m; d > 0; d--) s->step_ptr[d] = s->step_ptr[d - 1];
    s->step_ptr[0] = 0;
    s->steps = at;
done:
    return st;
}

typedef struct steps {
    const atn_span *at;
    atn_idx n, add, w; /* steps are of w places, `add` more than it says */
} steps;

static steps steps_of(const atn_tile_source *s, atn_idx r, atn_idx c)
{
    const atn_idx b = s->p->frame.block, m = s->stride / b;
    atn_idx d;

    if (!s->steps) return (steps){s->p->offsets, s->p->n_offsets, 0, b / s->stride};
    d = r / b - c / b;
    if (d >= 0) {
        const atn_idx from = s->step_ptr[d];

        return (steps){s->steps + from, s->step_ptr[d + 1] - from, 0, 1};
    }
    d += m;
    return (steps){s->steps + s->step_ptr[d], s->step_ptr[d + 1] - s->step_ptr[d], 1,
                   1};
}

/* ---- one Q tile ---- */

static void see(const atn_tile_source *s, residues *x, atn_idx lo, atn_idx hi)
{
    if (lo < hi) atn_bits_set(x->bit, lo / s->bn, (hi - 1) / s->bn, &x->words);
}

/* Blocks of w places of which queries see their own alone, up to a key before
 * theirs: the last key of a block is not seen. */
static void see_own(const atn_tile_source *s, residues *x, const part *q, atn_idx w,
                    atn_span keys)
{
    for (atn_idx a = q->t0 / w; a <= (q->t1 - 1) / w; a++)
        see(s, x, keys.lo + a * w,
            ATN_MIN(keys.lo + ATN_MIN((a + 1) * w - 1, q->t1 - 1), keys.hi));
}

/* What a part sees of the keys of residue c; n ranges are in x->now. */
static atn_idx see_class(const atn_tile_source *s, residues *x, const part *q,
                         atn_idx c, atn_idx n)
{
    const atn_frame *f = &s->p->frame;
    const atn_idx base = s->k_base[c], keys = s->k_base[c + 1] - base;
    const atn_idx ahead = c <= q->r, prefix = s->p->prefix * f->block;
    const atn_idx any = f->causal ? ATN_MIN(q->t1 - 1 + ahead, keys) : keys;
    const atn_idx all = f->causal ? ATN_MIN(q->t0 + ahead, keys) : keys;
    const atn_idx first = prefix > c ? (prefix - c - 1) / s->stride + 1 : 0;
    const steps of = steps_of(s, q->r, c);
    const atn_idx a0 = q->t0 / of.w, a1 = (q->t1 - 1) / of.w + 1;
    /* a causal pattern has no keys ahead: of the own block some, of places none */
    const atn_idx least = !f->causal ? INT64_MIN : of.w > 1 ? 0 : 1 - ahead;

    see(s, x, base, base + ATN_MIN(first, any));
    n = atn_ranges_add(x->now, n, base, base + ATN_MIN(first, all));
    for (atn_idx i = of.n - 1; i >= 0; i--) {
        const atn_span o = {ATN_MAX(of.at[i].lo + of.add, least), of.at[i].hi + of.add};

        if (o.lo >= o.hi) break;
        if (f->causal && of.w > 1 && o.lo == 0 && o.hi == 1 && !ahead) {
            see_own(s, x, q, of.w, (atn_span){base, base + keys});
        } else {
            see(s, x, base + ATN_MAX(a0 - o.hi + 1, 0) * of.w,
                base + ATN_MIN((a1 - o.lo) * of.w, any));
        }
        n = atn_ranges_add(x->now, n, base + ATN_MAX(a1 - o.hi, 0) * of.w,
                           base + ATN_MIN((a0 - o.lo + 1) * of.w, all));
    }
    return n;
}

static void swap(atn_span **a, atn_span **b)
{
    atn_span *const was = *a;

    *a = *b;
    *b = was;
}

/* Queries of a tile, part by part; the ranges that all of them see are in x->was. */
static atn_idx see_all(const atn_tile_source *s, residues *x, atn_idx m)
{
    const atn_idx r0 = m * s->bm, from = r0 / s->pack, first = s->p->frame.first;
    const atn_idx end = ATN_MIN((r0 + s->bm - 1) / s->pack + 1, s->p->frame.nq);
    atn_idx r = atn_residue_of(s, from), n_was = 0;

    for (atn_idx at = from; at < end; r++) {
        const atn_idx to = ATN_MIN(s->q_base[r + 1], end);
        const atn_idx skip = ((r - first) % s->stride + s->stride) % s->stride;
        const atn_idx t = (first + skip) / s->stride + at - s->q_base[r];
        const part q = {r, t, t + to - at};
        atn_idx n = 0;

        if (at >= to) continue;
        for (atn_idx c = 0; c < s->stride; c++) n = see_class(s, x, &q, c, n);
        if (at > from) {
            n = atn_ranges_meet(x->now, n, x->was, n_was, x->both);
            swap(&x->both, &x->now);
        }
        swap(&x->now, &x->was);
        n_was = n;
        at = to;
    }
    return n_was;
}

static void residues_row(const atn_tile_source *s, void *scratch, atn_idx m,
                         atn_idx from, atn_tile_row *out)
{
    const atn_idx nk = s->p->frame.nk;
    residues *x = scratch;
    atn_idx n;
    bool ragged;

    (void)from;
    *out = (atn_tile_row){.seen = x->seen, .full = x->full};
    x->words = (atn_span){INT64_MAX, 0};
    n = see_all(s, x, m);
    out->n_seen = atn_bits_take(x->bit, x->words, x->seen);
    for (atn_idx i = 0; i < n; i++)
        out->n_full =
            atn_ranges_add(x->full, out->n_full, atn_ceil_div(x->was[i].lo, s->bn),
                           x->was[i].hi >= nk ? s->k_tiles : x->was[i].hi / s->bn);
    if ((m + 1) * s->bm > s->p->frame.nq * s->pack) return;
    ragged = nk % s->bn && out->n_full > 0 && x->full[out->n_full - 1].hi == s->k_tiles;
    out->flex = atn_ranges_length(x->full, out->n_full) - ragged;
}

/* ---- the source ---- */

/* Ranges of places that a Q tile can have: those of its parts, which do not touch. */
static atn_idx places_of(const atn_tile_source *s)
{
    const atn_idx b = s->p->frame.block, most = s->p->frame.nk / 2 + 1;
    const atn_idx shortest = s->p->frame.nq / s->stride;
    const atn_idx parts =
        ATN_MIN(shortest > 0 ? s->bm / shortest + 2 : s->bm, s->stride);
    /* of every residue of keys the offsets, and what is first */
    atn_idx n = s->steps ? s->step_ptr[s->stride / b] : s->p->n_offsets;

    if (!atn_mul(n, s->steps ? b : s->stride, &n) ||
        !atn_mul(n + s->stride + 1, parts, &n))
        return most;
    return ATN_MIN(n, most);
}

static atn_status residues_open(atn_ctx *cx, const atn_tile_source *s, void **scratch)
{
    const atn_idx words = s->k_tiles / 64 + 1, places = places_of(s);
    atn_status st = ATN_OK;
    residues *x = NULL;

    ATN_TAKE(x, 1);
    memset(x, 0, sizeof *x);
    ATN_TAKE(x->now, places);
    ATN_TAKE(x->was, places);
    ATN_TAKE(x->both, places);
    ATN_TAKE(x->seen, s->ranges);
    ATN_TAKE(x->full, s->ranges);
    ATN_TAKE(x->bit, words);
    memset(x->bit, 0, (size_t)words * sizeof *x->bit);
    *scratch = x;
done:
    return st;
}

bool atn_tiles_shifted(const atn_tile_source *s)
{
    const atn_idx b = s->p->frame.block;

    return s->stride > 0 && s->p->shift && (s->stride % b == 0 || b % s->stride == 0);
}

atn_status atn_tiles_residues(atn_ctx *cx, atn_tile_source *s)
{
    const atn_idx b = s->p->frame.block;
    atn_status st = ATN_OK;

    ATN_ASSERT(atn_tiles_shifted(s));
    ATN_TRY(atn_residues_order(cx, s));
    if (s->stride % b == 0) ATN_TRY(take_offsets(cx, s, s->stride / b));
    s->ranges = s->k_tiles / 2 + 1;
    s->scratch = 48 * (double)places_of(s) + 17 * (double)s->k_tiles;
    s->open = residues_open;
    s->row = residues_row;
    s->pairs = false;
done:
    return st;
}
