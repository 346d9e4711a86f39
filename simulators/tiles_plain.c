/* simulators/tiles_plain.c -- tiles of tokens in their own order.
 *
 * Math    a tile is visited where it meets the union of what the queries of the Q tile
 *         see, and full where it lies in their intersection, so that no pair is
 *         counted: of block rows a .. b the union is cut at the last query of a causal
 *         pattern, the intersection behind the first. Of a shift both come from the
 *         offsets: [o.lo, o.hi) gives blocks (a - o.hi, b - o.lo] and (b - o.hi,
 *         a - o.lo]. Rows that repeat differ from those a period before near the
 *         diagonal alone, so that the tiles before are known.
 * Oracle  brute force over all pairs.
 * Cost    the intervals of all rows once; of a shift the offsets, of rows that repeat
 *         the near intervals, for every Q tile.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>

#include "core/order.h"
#include "simulators/tiles_internal.h"

/* Shorter rows cost no more than to look back. */
enum { FEW_INTERVALS = 4 };

typedef struct plain {
    atn_span *row;               /* [room] */
    atn_span *seen, *full, *was; /* [ranges] */
    uint64_t *bit;               /* [k_tiles / 64 + 1] zeros between rows */
} plain;

/* The queries of a Q tile and what decides on them. */
typedef struct tile_queries {
    atn_idx p0, p1;       /* positions */
    atn_idx count0;       /* the first whose first packed row is in this tile */
    atn_idx a0, a1;       /* block rows */
    atn_idx any_end, end; /* keys that some query may see, that all may */
} tile_queries;

static tile_queries queries_of(const atn_tile_source *s, atn_idx m)
{
    const atn_frame *f = &s->p->frame;
    const atn_idx r0 = m * s->bm, r1 = r0 + s->bm;
    const atn_idx q1 = ATN_MIN((r1 - 1) / s->pack + 1, f->nq);
    tile_queries t = {.p0 = f->first + r0 / s->pack, .p1 = f->first + q1};

    t.count0 = f->first + atn_ceil_div(r0, s->pack);
    t.a0 = t.p0 / f->block;
    t.a1 = (t.p1 - 1) / f->block + 1;
    t.any_end = f->causal ? ATN_MIN(t.p1, f->nk) : f->nk;
    t.end = f->causal ? ATN_MIN(t.p0 + 1, f->nk) : f->nk;
    return t;
}

/* ---- pairs ---- */

/* Of block row a: blocks that it sees, its own and the last one among them. */
typedef struct row_blocks {
    atn_idx blocks;
    bool own, last;
} row_blocks;

/* Pairs of the queries [i0, i1) of one block row. */
static int64_t pairs_of(const atn_pattern *p, const row_blocks *r, atn_idx i0,
                        atn_idx i1)
{
    const atn_frame *f = &p->frame;
    const atn_idx b = f->block, end = (i0 / b + 1) * b;
    int64_t pairs = r->blocks * b * ATN_MAX(i1 - i0, 0);

    if (f->causal && r->own) {
        /* keys up to the query, of those that there are */
        for (atn_idx i = i0; i < i1; i++) pairs -= end - ATN_MIN(i + 1, f->nk);
    } else if (r->last) {
        pairs -= (p->cols * b - f->nk) * ATN_MAX(i1 - i0, 0);
    }
    return pairs;
}

/* Sum of clamp(y, lo, hi) over y in [y0, y1). */
static int64_t clamped(atn_idx y0, atn_idx y1, atn_idx lo, atn_idx hi)
{
    const atn_idx a = ATN_MIN(ATN_MAX(lo, y0), y1), b = ATN_MAX(ATN_MIN(hi, y1), a);

    return (a - y0) * lo + (b - a) * (a + b - 1) / 2 + (y1 - b) * hi;
}

/* Blocks that rows [a0, a1) of a shift see. */
static int64_t shift_blocks(const atn_pattern *p, atn_idx a0, atn_idx a1)
{
    int64_t sum = p->frame.causal
                      ? clamped(a0 + 1, a1 + 1, 0, ATN_MIN(p->prefix, p->cols))
                      : (a1 - a0) * p->prefix;

    for (atn_idx i = 0; i < p->n_offsets; i++) {
        const atn_span o = p->offsets[i];

        sum += clamped(a0 - o.lo + 1, a1 - o.lo + 1, p->prefix, p->cols) -
               clamped(a0 - o.hi + 1, a1 - o.hi + 1, p->prefix, p->cols);
    }
    return sum;
}

static bool shift_has(const atn_pattern *p, atn_idx a, atn_idx c)
{
    if (c >= p->cols || (p->frame.causal && c > a)) return false;
    for (atn_idx i = 0; c >= p->prefix && i < p->n_offsets; i++)
        if (p->offsets[i].lo <= a - c && a - c < p->offsets[i].hi) return true;
    return c < p->prefix;
}

static int64_t shift_pairs(const atn_pattern *p, const tile_queries *t)
{
    const atn_idx b = p->frame.block, from = t->count0;
    int64_t pairs = 0;

    if (b == 1) return shift_blocks(p, from, ATN_MAX(t->p1, from));
    for (atn_idx a = t->a0; a < t->a1; a++) {
        const row_blocks r = {shift_blocks(p, a, a + 1), shift_has(p, a, a),
                              shift_has(p, a, p->cols - 1)};

        pairs += pairs_of(p, &r, ATN_MAX(a * b, from), ATN_MIN((a + 1) * b, t->p1));
    }
    return pairs;
}

/* ---- ranges of tiles ---- */

/* Keys [lo, hi) are seen by all queries: tiles that lie in them. */
static atn_idx add_full(const atn_tile_source *s, atn_span *out, atn_idx n, atn_idx lo,
                        atn_idx hi)
{
    const atn_idx end = hi >= s->p->frame.nk ? s->k_tiles : hi / s->bn;

    return atn_ranges_add(out, n, atn_ceil_div(lo, s->bn), end);
}

static atn_idx flex_of(const atn_tile_source *s, atn_idx m, const atn_tile_row *r)
{
    const atn_frame *f = &s->p->frame;
    const bool cut =
        f->nk % s->bn && r->n_full > 0 && r->full[r->n_full - 1].hi == s->k_tiles;

    if ((m + 1) * s->bm > f->nq * s->pack) return 0;
    return atn_ranges_length(r->full, r->n_full) - cut;
}

static void shift_row(const atn_tile_source *s, const plain *x, const tile_queries *t,
                      atn_tile_row *out)
{
    const atn_pattern *p = s->p;
    const atn_idx b = p->frame.block;
    atn_span all = {0, ATN_MIN(p->prefix * b, t->end)};

    out->n_seen = 0;
    if (p->prefix > 0)
        out->n_seen = atn_ranges_add(
            x->seen, 0, 0, atn_ceil_div(ATN_MIN(p->prefix * b, t->any_end), s->bn));
    out->n_full = 0;
    for (atn_idx i = p->n_offsets - 1; i >= 0; i--) {
        const atn_span o = p->offsets[i];
        const atn_idx lo = ATN_MAX(t->a0 - o.hi + 1, 0) * b,
                      hi = ATN_MIN((t->a1 - o.lo) * b, t->any_end);
        const atn_span whole = {ATN_MAX(t->a1 - o.hi, 0) * b,
                                ATN_MIN((t->a0 - o.lo + 1) * b, t->end)};

        if (lo < hi)
            out->n_seen =
                atn_ranges_add(x->seen, out->n_seen, lo / s->bn, (hi - 1) / s->bn + 1);
        if (whole.lo >= whole.hi) continue;
        if (whole.lo > all.hi) {
            out->n_full = add_full(s, x->full, out->n_full, all.lo, all.hi);
            all = whole;
        }
        all.hi = ATN_MAX(all.hi, whole.hi);
    }
    out->n_full = add_full(s, x->full, out->n_full, all.lo, all.hi);
    out->pairs = shift_pairs(p, t);
}

void atn_bits_set(uint64_t *bit, atn_idx from, atn_idx to, atn_span *words)
{
    const atn_idx lo = from / 64, hi = to / 64;

    words->lo = ATN_MIN(words->lo, lo);
    words->hi = ATN_MAX(words->hi, hi + 1);
    for (atn_idx w = lo; w <= hi; w++) {
        uint64_t bits = ~UINT64_C(0);

        if (w == lo) bits &= ~UINT64_C(0) << from % 64;
        if (w == hi) bits &= ~UINT64_C(0) >> (63 - to % 64);
        bit[w] |= bits;
    }
}

/* Ranges of the bits, which are cleared. */
atn_idx atn_bits_take(uint64_t *bit, atn_span words, atn_span *out)
{
    atn_idx n = 0;

    for (atn_idx w = words.lo; w < words.hi; w++) {
        uint64_t bits = bit[w];

        bit[w] = 0;
        while (bits) {
            const int lo = __builtin_ctzll(bits);
            const uint64_t rest = ~(bits >> lo);
            const int run = rest ? __builtin_ctzll(rest) : 64;
            const int hi = ATN_MIN(lo + run, 64);

            n = atn_ranges_add(out, n, w * 64 + lo, w * 64 + hi);
            bits &= hi == 64 ? 0 : ~UINT64_C(0) << hi;
        }
    }
    return n;
}

atn_idx atn_ranges_meet(const atn_span *a, atn_idx na, const atn_span *b, atn_idx nb,
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

/* One block row of a tile: its tiles into the bits, what is full of it into `full`. */
static row_blocks walk_row(const atn_tile_source *s, plain *x, const tile_queries *t,
                           atn_idx a, atn_idx from, atn_span *words, atn_idx *n_full)
{
    const atn_idx b = s->p->frame.block;
    const atn_idx n = atn_pattern_row_from(s->p, s->head, a, from * s->bn / b, x->row);
    row_blocks r = {0};

    *n_full = 0;
    for (atn_idx i = 0; i < n; i++) {
        const atn_span c = x->row[i];
        const atn_idx lo = ATN_MAX(c.lo * b / s->bn, from),
                      hi = ATN_MIN(c.hi * b, t->any_end);

        r.blocks += c.hi - c.lo;
        r.own |= c.lo <= a && a < c.hi;
        if (c.lo * b < hi && lo <= (hi - 1) / s->bn)
            atn_bits_set(x->bit, lo, (hi - 1) / s->bn, words);
        *n_full = add_full(s, x->full, *n_full, ATN_MAX(c.lo * b, from * s->bn),
                           ATN_MIN(c.hi * b, t->end));
    }
    r.last = n > 0 && x->row[n - 1].hi == s->p->cols;
    return r;
}

static void swap(atn_span **a, atn_span **b)
{
    atn_span *const was = *a;

    *a = *b;
    *b = was;
}

static void walk_rows(const atn_tile_source *s, plain *x, const tile_queries *t,
                      atn_idx from, atn_tile_row *out)
{
    const atn_idx b = s->p->frame.block;
    atn_span words = {INT64_MAX, 0};
    atn_idx n_was = 0, n;

    for (atn_idx a = t->a0; a < t->a1; a++) {
        const row_blocks r = walk_row(s, x, t, a, from, &words, &n);

        out->pairs +=
            pairs_of(s->p, &r, ATN_MAX(a * b, t->count0), ATN_MIN((a + 1) * b, t->p1));
        if (a > t->a0) {
            n = atn_ranges_meet(x->full, n, x->was, n_was, out->full);
            memcpy(x->full, out->full, (size_t)n * sizeof *x->full);
        }
        swap(&x->full, &x->was);
        n_was = n;
    }
    out->n_seen = atn_bits_take(x->bit, words, out->seen);
    memcpy(out->full, x->was, (size_t)n_was * sizeof *x->was);
    out->n_full = n_was;
}

/* ---- the source ---- */

typedef struct plain_scratch {
    plain x;
    atn_span *out_full;
} plain_scratch;

static atn_status plain_open(atn_ctx *cx, const atn_tile_source *s, void **scratch)
{
    const atn_idx words = s->k_tiles / 64 + 1;
    atn_status st = ATN_OK;
    plain_scratch *x = NULL;

    ATN_TAKE(x, 1);
    ATN_TAKE(x->x.row, s->room);
    ATN_TAKE(x->x.seen, s->ranges);
    ATN_TAKE(x->x.full, s->ranges);
    ATN_TAKE(x->x.was, s->ranges);
    ATN_TAKE(x->out_full, s->ranges);
    ATN_TAKE(x->x.bit, words);
    memset(x->x.bit, 0, (size_t)words * sizeof *x->x.bit);
    *scratch = x;
done:
    return st;
}

static void plain_row(const atn_tile_source *s, void *scratch, atn_idx m, atn_idx from,
                      atn_tile_row *out)
{
    const tile_queries t = queries_of(s, m);
    plain_scratch *x = scratch;

    *out = (atn_tile_row){.seen = x->x.seen, .full = x->out_full};
    if (s->p->shift) {
        out->full = x->x.full;
        shift_row(s, &x->x, &t, out);
    } else {
        walk_rows(s, &x->x, &t, from, out);
    }
    out->flex = flex_of(s, m, out);
}

void atn_tiles_plain(atn_tile_source *s)
{
    const atn_idx rows = s->bm / s->p->frame.block + 2;
    atn_idx most = s->most + 1;

    /* what rows of a tile can have together; no two ranges touch */
    if (!atn_mul(rows, most, &most) || most > s->k_tiles / 2 + 2)
        most = s->k_tiles / 2 + 2;
    s->ranges = most;
    s->scratch = 64 * (double)most + 16 * (double)s->room + (double)s->k_tiles / 8;
    s->open = plain_open;
    s->row = plain_row;
    s->pairs = true;
}

/* ---- rows that repeat ---- */

/* Q tiles of a period, 0 = none. */
static atn_idx period_of(const atn_tile_source *s)
{
    const atn_pattern *p = s->p;
    atn_idx step = p->repeat.step * p->frame.block, period;

    if (p->shift || p->repeat.step == 0 || p->row1 > p->cols) return 0;
    if (p->most < FEW_INTERVALS || (p->heads > 1 && s->head < 0)) return 0;
    if (!atn_mul(step, s->pack, &step)) return 0;
    if (!atn_mul(step / atn_common_divisor(step, s->bm), s->bm, &period)) return 0;
    return period / s->bm <= s->q_tiles / 2 ? period / s->bm : 0;
}

bool atn_tiles_repeat(const atn_tile_source *s)
{
    return s->t->layout == ATN_LAYOUT_PLAIN && !s->t->backward && period_of(s) > 0;
}

typedef struct held {
    atn_idx seen, full, from; /* of the tiles below `from` */
} held;

/* Some row of the tile is new in its segment. */
static bool is_fresh(const atn_pattern *p, const tile_queries *t, atn_idx period)
{
    const atn_idx segment = p->repeat.segment;

    if (segment == 0) return false;
    return t->a0 / segment != (t->a1 - 1) / segment || t->a0 % segment < period;
}

static atn_idx length_below(const atn_span *s, atn_idx n, atn_idx end)
{
    atn_idx length = 0;

    for (atn_idx i = 0; i < n && s[i].lo < end; i++)
        length += ATN_MIN(s[i].hi, end) - s[i].lo;
    return length;
}

static void count_near(const atn_tile_source *s, void *scratch, atn_idx m, held *h,
                       bool fresh, atn_tiles *out)
{
    const atn_pattern *p = s->p;
    const tile_queries t = queries_of(s, m);
    const atn_idx from = fresh ? 0 : h->from;
    const held before = fresh ? (held){0} : *h;
    const bool cut = (m + 1) * s->bm > p->frame.nq * s->pack;
    atn_idx seen, full;
    atn_tile_row r;

    s->row(s, scratch, m, from, &r);
    seen = before.seen + atn_ranges_length(r.seen, r.n_seen);
    full = before.full + atn_ranges_length(r.full, r.n_full);
    h->from = ATN_MAX(t.a0 - p->repeat.reach, 0) * p->frame.block / s->bn;
    h->seen = before.seen + length_below(r.seen, r.n_seen, h->from);
    h->full = before.full + length_below(r.full, r.n_full, h->from);
    out->visits[m] = (int32_t)seen;
    out->masked[m] = (int32_t)(seen - full);
    out->visited += seen;
    out->full += full;
    /* a range that is new holds the last tile, if any does */
    out->flex_full += cut ? 0 : before.full + r.flex;
}

atn_status atn_tiles_repeated(atn_ctx *cx, const atn_tile_source *s, atn_tiles *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx period = period_of(s);
    const atn_idx blocks = period * s->bm / s->pack / s->p->frame.block;
    atn_status st = ATN_OK;
    void *scratch = NULL;
    held *h = NULL;

    ATN_TRY(s->open(cx, s, &scratch));
    ATN_TAKE(h, period);
    for (atn_idx m = 0; m < s->q_tiles; m++) {
        const tile_queries t = queries_of(s, m);
        const bool fresh = m < period || is_fresh(s->p, &t, blocks);

        if (m % 1024 == 0)
            ATN_TRY(atn_progress(cx, "counting tiles", (double)m, (double)s->q_tiles));
        count_near(s, scratch, m, &h[m % period], fresh, out);
    }
    ATN_TRY(atn_pattern_pairs(cx, s->p, s->head, &out->pairs));
done:
    atn_arena_rewind(cx, mark);
    return st;
}
