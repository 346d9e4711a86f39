/* simulators/tiles_permuted.c -- tiles of tokens that are brought into another order:
 * boxes of a row-major grid, or positions by their residue modulo a stride.
 *
 * Math    allowed pairs are counted in every KV tile that a Q tile meets; it is full
 *         where that is all of queries x keys. On a grid the tiles at its borders are
 *         cut; residues follow one another without a gap. Where rows repeat, those of a
 *         residue share what is far from them: it is counted once for them all, and a
 *         row adds what came near since the one before, and what is near.
 * Oracle  brute force over all pairs; the closed form of tiles_grid.c.
 * Cost    for every query its intervals: on a grid one step a line and tile that an
 *         interval crosses, of residues one a residue and tile; rows that are alike,
 *         one after another, once. Of rows that repeat only near intervals, and the
 *         visited tiles. Others, as random blocks, take the intervals of all rows. Two
 *         numbers a KV tile and thread.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>

#include "simulators/tiles_internal.h"

/* Shorter rows cost no more than to look back. */
enum { FEW_INTERVALS = 4 };

typedef struct counts {
    int64_t *pairs; /* [k_tiles] */
    uint64_t *bit;  /* of tiles that have some */
} counts;

/* Rows that repeat, one after another: what all of them have below block `cut`. */
typedef struct chain {
    bool on;      /* there is a row that goes before */
    atn_idx next; /* the place that goes on */
    atn_idx a, cut;
    atn_idx run; /* rows of this Q tile, whose shared pairs are not counted yet */
    counts held;
} chain;

typedef struct permuted {
    atn_span *row, *was; /* [room] of this query, of those that wait to be counted */
    atn_idx n_was, waiting;
    atn_idx own_from; /* of a causal block row: where its own block begins, if seen */
    counts all;       /* zeros between Q tiles */
    chain chain;
    atn_span *seen, *full; /* [ranges] */
} permuted;

/* ---- orders ---- */

/* The position at a place of the order of queries. */
static atn_idx query_at(const atn_tile_source *s, atn_idx place, atn_idx *residue)
{
    const atn_idx first = s->p->frame.first, stride = s->stride;
    atn_idx r = *residue;

    while (s->q_base[r + 1] <= place) r++;
    *residue = r;
    return first + ((r - first) % stride + stride) % stride +
           (place - s->q_base[r]) * stride;
}

/* ---- keys into tiles ---- */

static void add(const counts *x, atn_idx tile, int64_t pairs)
{
    x->pairs[tile] += pairs;
    x->bit[tile / 64] |= UINT64_C(1) << tile % 64;
}

/* Keys [lo, hi) of one line of the grid. */
static void add_line(const atn_tile_source *s, const counts *x, atn_idx lo, atn_idx hi,
                     int64_t weight)
{
    const int last = s->rank - 1;
    const atn_idx length = s->shape[last], side = s->tk[last];
    atn_idx rest = lo / length, at = lo % length, tile = 0, scale = 1;
    const atn_idx end = at + hi - lo;

    for (int i = last - 1; i >= 0; i--) {
        tile += rest % s->shape[i] / s->tk[i] * scale;
        scale *= s->nk[i];
        rest /= s->shape[i];
    }
    tile = tile * s->nk[last] + at / side;
    for (; at < end; tile++) {
        const atn_idx to = ATN_MIN((at / side + 1) * side, end);

        add(x, tile, weight * (to - at));
        at = to;
    }
}

/* Places [lo, hi) of the order of keys. */
static void add_places(const atn_tile_source *s, const counts *x, atn_idx lo,
                       atn_idx hi, int64_t weight)
{
    for (atn_idx tile = lo / s->bn; lo < hi; tile++) {
        const atn_idx to = ATN_MIN((tile + 1) * s->bn, hi);

        add(x, tile, weight * (to - lo));
        lo = to;
    }
}

static void add_keys(const atn_tile_source *s, const counts *x, atn_idx lo, atn_idx hi,
                     int64_t weight)
{
    const atn_idx stride = s->stride;

    if (stride == 0) {
        const atn_idx length = s->shape[s->rank - 1];

        while (lo < hi) {
            const atn_idx to = ATN_MIN((lo / length + 1) * length, hi);

            add_line(s, x, lo, to, weight);
            lo = to;
        }
        return;
    }
    for (atn_idx j = lo; j < ATN_MIN(hi, lo + stride); j++) {
        const atn_idx at = s->k_base[j % stride] + j / stride;

        add_places(s, x, at, at + (hi - 1 - j) / stride + 1, weight);
    }
}

/* ---- queries ---- */

static void count_waiting(const atn_tile_source *s, permuted *x)
{
    for (atn_idx i = 0; x->waiting > 0 && i < x->n_was; i++)
        add_keys(s, &x->all, x->was[i].lo, x->was[i].hi, x->waiting);
    x->waiting = 0;
}

/* Block row a from block `from` on, in keys, into x->row: of a causal one in blocks
 * without its own block, which x->own_from says. */
static atn_idx read_row(const atn_tile_source *s, permuted *x, atn_idx a, atn_idx from)
{
    const atn_frame *f = &s->p->frame;
    const bool own = f->causal && f->block > 1;
    const atn_idx end = own ? ATN_MIN(a * f->block, f->nk) : f->nk;
    const atn_idx n = atn_pattern_row_from(s->p, s->head, a, from, x->row);
    atn_idx kept = 0;

    x->own_from = -1;
    for (atn_idx i = 0; i < n; i++) {
        const atn_span c = x->row[i];
        const atn_span keys = {c.lo * f->block, ATN_MIN(c.hi * f->block, end)};

        if (own && c.lo <= a && a < c.hi) x->own_from = a * f->block;
        if (keys.lo < keys.hi) x->row[kept++] = keys;
    }
    return kept;
}

typedef struct reader {
    atn_idx a, n; /* the block row that x->row is, and its intervals */
    bool fresh;
    int64_t keys; /* of its intervals */
} reader;

/* Query i; counts its pairs. */
static int64_t read_query(const atn_tile_source *s, permuted *x, reader *r, atn_idx i)
{
    const atn_frame *f = &s->p->frame;
    int64_t own = 0;

    if (r->fresh || i / f->block != r->a) {
        r->a = i / f->block;
        r->n = read_row(s, x, r->a, 0);
        r->keys = atn_ranges_length(x->row, r->n);
        r->fresh = false;
        if (x->waiting == 0 || r->n != x->n_was ||
            memcmp(x->row, x->was, (size_t)r->n * sizeof *x->row) != 0) {
            count_waiting(s, x);
            memcpy(x->was, x->row, (size_t)r->n * sizeof *x->row);
            x->n_was = r->n;
        }
    }
    x->waiting++;
    if (x->own_from >= 0) {
        const atn_idx end = ATN_MIN(i + 1, f->nk);

        own = ATN_MAX(end - x->own_from, 0);
        if (own > 0) add_keys(s, &x->all, x->own_from, end, 1);
    }
    return r->keys + own;
}

/* The queries of a box of the grid; their number. */
static atn_idx read_box(const atn_tile_source *s, permuted *x, atn_idx m,
                        int64_t *pairs)
{
    atn_idx lo[ATN_AXES_MOST] = {0}, hi[ATN_AXES_MOST] = {1, 1, 1};
    atn_idx length[ATN_AXES_MOST] = {1, 1, 1}, rest = m;
    reader r = {.fresh = true};

    for (int i = s->rank - 1, to = ATN_AXES_MOST - 1; i >= 0; i--, to--) {
        length[to] = s->shape[i];
        lo[to] = rest % s->nq[i] * s->tq[i];
        hi[to] = ATN_MIN(lo[to] + s->tq[i], length[to]);
        rest /= s->nq[i];
    }
    for (atn_idx i = lo[0]; i < hi[0]; i++)
        for (atn_idx j = lo[1]; j < hi[1]; j++)
            for (atn_idx k = lo[2]; k < hi[2]; k++)
                *pairs += read_query(s, x, &r, (i * length[1] + j) * length[2] + k);
    return (hi[0] - lo[0]) * (hi[1] - lo[1]) * (hi[2] - lo[2]);
}

static atn_idx read_places(const atn_tile_source *s, permuted *x, atn_idx m,
                           int64_t *pairs)
{
    const atn_idx r0 = m * s->bm, from = r0 / s->pack;
    const atn_idx end = ATN_MIN((r0 + s->bm - 1) / s->pack + 1, s->p->frame.nq);
    atn_idx residue = atn_residue_of(s, from);
    reader r = {.fresh = true};

    for (atn_idx at = from; at < end; at++) {
        const int64_t n = read_query(s, x, &r, query_at(s, at, &residue));

        if (at * s->pack >= r0) *pairs += n;
    }
    return end - from;
}

/* ---- queries whose rows repeat ---- */

static bool chains(const atn_tile_source *s)
{
    const atn_pattern *p = s->p;

    return s->stride > 0 && p->repeat.step > 0 && p->row1 <= p->cols &&
           p->most >= FEW_INTERVALS && (p->heads == 1 || s->head >= 0);
}

/* What the rows of this Q tile share, into its counts. */
static void count_held(const atn_tile_source *s, permuted *x)
{
    const counts *held = &x->chain.held;

    for (atn_idx w = 0; x->chain.run > 0 && w <= s->k_tiles / 64; w++)
        for (uint64_t bits = held->bit[w]; bits; bits &= bits - 1) {
            const atn_idx c = w * 64 + __builtin_ctzll(bits);

            add(&x->all, c, x->chain.run * held->pairs[c]);
        }
    x->chain.run = 0;
}

static void drop_held(const atn_tile_source *s, permuted *x)
{
    const counts *held = &x->chain.held;

    for (atn_idx w = 0; w <= s->k_tiles / 64; w++)
        for (; held->bit[w]; held->bit[w] &= held->bit[w] - 1)
            held->pairs[w * 64 + __builtin_ctzll(held->bit[w])] = 0;
    x->chain.cut = 0;
}

/* Block row a has what the one before it has from afar. */
static bool goes_on(const atn_repeat *r, const chain *c, atn_idx a)
{
    return c->on && a >= c->a && (a - c->a) % r->step == 0 &&
           (r->segment == 0 || a / r->segment == c->a / r->segment);
}

/* `queries` of block row a. What it shares from now on was counted for the rows before
 * it in this tile while it was near. */
static void chain_row(const atn_tile_source *s, permuted *x, atn_idx a, atn_idx queries)
{
    const atn_pattern *p = s->p;
    const atn_idx b = p->frame.block;
    chain *c = &x->chain;
    atn_idx n, cut;

    if (!goes_on(&p->repeat, c, a)) {
        count_held(s, x);
        drop_held(s, x);
    }
    n = read_row(s, x, a, c->cut);
    cut = ATN_MAX(c->cut, a - p->repeat.reach);
    for (atn_idx i = 0; i < n; i++) {
        const atn_span k = x->row[i];
        const atn_idx far = ATN_MAX(k.lo, ATN_MIN(cut * b, k.hi));

        if (k.lo < far) add_keys(s, &c->held, k.lo, far, 1);
        if (k.lo < far && c->run > 0) add_keys(s, &x->all, k.lo, far, -c->run);
        if (far < k.hi) add_keys(s, &x->all, far, k.hi, queries);
    }
    c->on = true;
    c->a = a;
    c->cut = cut;
    c->run += queries;
}

static atn_idx chain_places(const atn_tile_source *s, permuted *x, atn_idx m)
{
    const atn_frame *f = &s->p->frame;
    const atn_idx r0 = m * s->bm, from = r0 / s->pack;
    const atn_idx end = ATN_MIN((r0 + s->bm - 1) / s->pack + 1, f->nq);
    atn_idx r = atn_residue_of(s, from), queries;

    x->chain.on = x->chain.on && x->chain.next == from;
    for (atn_idx at = from; at < end; at += queries) {
        const atn_idx i = query_at(s, at, &r), a = i / f->block;
        const atn_idx last = ATN_MIN(end, s->q_base[r + 1]);

        queries = 1;
        while (at + queries < last && (i + queries * s->stride) / f->block == a)
            queries++;
        chain_row(s, x, a, queries);
        for (atn_idx k = 0; x->own_from >= 0 && k < queries; k++) {
            const atn_idx to = ATN_MIN(i + k * s->stride + 1, f->nk);

            if (x->own_from < to) add_keys(s, &x->all, x->own_from, to, 1);
        }
    }
    count_held(s, x);
    x->chain.next = end;
    return end - from;
}

/* ---- tiles ---- */

/* Keys of KV tile c. */
static atn_idx keys_of(const atn_tile_source *s, atn_idx c)
{
    atn_idx keys = 1;

    if (s->stride > 0) return ATN_MIN(s->bn, s->p->frame.nk - c * s->bn);
    for (int i = s->rank - 1; i >= 0; i--) {
        const atn_idx at = c % s->nk[i] * s->tk[i];

        keys *= ATN_MIN(s->tk[i], s->shape[i] - at);
        c /= s->nk[i];
    }
    return keys;
}

static void permuted_row(const atn_tile_source *s, void *scratch, atn_idx m,
                         atn_idx from, atn_tile_row *out)
{
    permuted *x = scratch;
    atn_idx queries;
    bool cut;

    (void)from;
    *out = (atn_tile_row){.seen = x->seen, .full = x->full};
    if (!s->pairs)
        queries = chain_places(s, x, m);
    else
        queries = s->stride > 0 ? read_places(s, x, m, &out->pairs)
                                : read_box(s, x, m, &out->pairs);
    count_waiting(s, x);
    cut = s->stride > 0 ? (m + 1) * s->bm > s->p->frame.nq * s->pack : queries < s->bm;
    for (atn_idx w = 0; w <= s->k_tiles / 64; w++)
        for (; x->all.bit[w]; x->all.bit[w] &= x->all.bit[w] - 1) {
            const atn_idx c = w * 64 + __builtin_ctzll(x->all.bit[w]),
                          keys = keys_of(s, c);

            out->n_seen = atn_ranges_add(x->seen, out->n_seen, c, c + 1);
            if (x->all.pairs[c] == queries * keys) {
                out->n_full = atn_ranges_add(x->full, out->n_full, c, c + 1);
                out->flex += !cut && keys == s->bn;
            }
            x->all.pairs[c] = 0;
        }
}

static atn_status take_counts(atn_ctx *cx, const atn_tile_source *s, counts *out)
{
    const atn_idx words = s->k_tiles / 64 + 1;
    atn_status st = ATN_OK;

    ATN_TAKE(out->pairs, s->k_tiles);
    ATN_TAKE(out->bit, words);
    memset(out->pairs, 0, (size_t)s->k_tiles * sizeof *out->pairs);
    memset(out->bit, 0, (size_t)words * sizeof *out->bit);
done:
    return st;
}

static atn_status permuted_open(atn_ctx *cx, const atn_tile_source *s, void **scratch)
{
    atn_status st = ATN_OK;
    permuted *x = NULL;

    ATN_TAKE(x, 1);
    memset(x, 0, sizeof *x);
    ATN_TAKE(x->row, s->room);
    ATN_TAKE(x->was, s->room);
    ATN_TRY(take_counts(cx, s, &x->all));
    if (chains(s)) ATN_TRY(take_counts(cx, s, &x->chain.held));
    ATN_TAKE(x->seen, s->ranges);
    ATN_TAKE(x->full, s->ranges);
    *scratch = x;
done:
    return st;
}

atn_status atn_tiles_permuted(atn_ctx *cx, atn_tile_source *s)
{
    atn_status st = ATN_OK;

    s->ranges = s->k_tiles / 2 + 1;
    s->scratch = 34 * (double)s->k_tiles + 32 * (double)s->room;
    s->open = permuted_open;
    s->row = permuted_row;
    s->pairs = !chains(s);
    if (s->stride > 0) ATN_TRY(atn_residues_order(cx, s));
done:
    return st;
}
