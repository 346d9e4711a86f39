/* core/apply_cost.c -- what a plan keeps and what a kernel would execute of it.
 *
 * Math    core/apply.h. Of patterns a tile is executed when a row of it keeps a key of
 *         it; tiles begin at positions that are multiples of their sides. Of a group
 *         all rows meet all keys, gathered into tiles. What one part alone gives has
 *         no entry twice; of all other plans core/apply_kept.c counts what is kept.
 * Oracle  counting all pairs one by one; all with tiles of 1 x 1: executed = kept.
 * Cost    the spans of all rows once, a bitmap of tiles a row of tiles; beside it
 *         core/apply_kept.c.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "core/apply_internal.h"

enum { BAND_ROWS = 512, BATCH = 32 };

typedef struct tally {
    double tiles, executed, keys; /* keys: of all executed tiles, each its own */
} tally;

typedef struct sides {
    atn_idx rows, keys;
} sides;

static sides sides_of(const atn_plan *p)
{
    return (sides){ATN_MAX(p->tile_rows, 1), ATN_MAX(p->tile_keys, 1)};
}

static void add_tally(tally *to, const tally *more)
{
    to->tiles += more->tiles;
    to->executed += more->executed;
    to->keys += more->keys;
}

/* ---- parts without groups ---- */

typedef struct count {
    const atn_head *h;
    const atn_part *part;
    sides side;          /* of a tile */
    atn_idx tiles;       /* of a row of tiles */
    atn_idx shift, band; /* queries that the first tile lacks, queries of a task */
    int64_t *kept;       /* [nq], NULL = do not count */
    tally *of_band;
} count;

typedef struct tile_row {
    const count *c;
    uint64_t *bit;           /* of tiles, where a row of tiles has several queries */
    atn_idx lo, hi, queries; /* words in use */
    tally sum;
} tile_row;

/* The last tile may be cut. */
static void add_tiles(tile_row *t, atn_idx tiles, bool last, atn_idx queries)
{
    const count *c = t->c;
    const atn_idx cut = last ? c->tiles * c->side.keys - c->h->nk : 0;
    const double keys = (double)(tiles * c->side.keys - cut);

    t->sum.tiles += (double)tiles;
    t->sum.keys += keys;
    t->sum.executed += keys * (double)queries;
}

static void set_bits(tile_row *t, atn_idx from, atn_idx to)
{
    const atn_idx lo = from / 64, hi = to / 64;

    t->lo = ATN_MIN(t->lo, lo);
    t->hi = ATN_MAX(t->hi, hi + 1);
    for (atn_idx w = lo; w <= hi; w++) {
        uint64_t bits = ~UINT64_C(0);

        if (w == lo) bits &= ~UINT64_C(0) << from % 64;
        if (w == hi) bits &= ~UINT64_C(0) >> (63 - to % 64);
        t->bit[w] |= bits;
    }
}

static void close_tiles(tile_row *t)
{
    const atn_idx end = t->c->tiles - 1;
    const bool last =
        t->lo < t->hi && t->hi > end / 64 && (t->bit[end / 64] >> end % 64 & 1);
    atn_idx tiles = 0;

    for (atn_idx w = t->lo; w < t->hi; w++) {
        tiles += __builtin_popcountll(t->bit[w]);
        t->bit[w] = 0;
    }
    add_tiles(t, tiles, last, t->queries);
    t->lo = INT64_MAX;
    t->hi = t->queries = 0;
}

/* A row of tiles that is one query. */
static void count_alone(tile_row *t, const atn_line *l)
{
    const atn_idx side = t->c->side.keys;
    atn_idx s = 0, tiles = 0, before = -1;
    atn_span x;

    while (atn_line_next(l, &s, &x)) {
        const atn_idx from = ATN_MAX(x.lo / side, before + 1);

        before = (x.hi - 1) / side;
        tiles += before - from + 1;
    }
    add_tiles(t, tiles, before == t->c->tiles - 1, 1);
}

static atn_idx count_line(tile_row *t, const atn_line *l)
{
    atn_idx s = 0, kept = 0;
    atn_span x;

    while (atn_line_next(l, &s, &x)) {
        kept += x.hi - x.lo;
        if (t->bit) set_bits(t, x.lo / t->c->side.keys, (x.hi - 1) / t->c->side.keys);
    }
    t->queries++;
    if (!t->bit) count_alone(t, l);
    return kept;
}

static atn_idx tile_at(const count *c, atn_idx i)
{
    const atn_idx at = atn_sight_at(&c->h->sight, i);

    return at >= 0 ? at / c->side.rows : -1 - (-1 - at) / c->side.rows;
}

static atn_status count_band(atn_ctx *cx, atn_idx band, void *state)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const count *c = state;
    const atn_idx from = ATN_MAX(band * c->band - c->shift, 0),
                  to = ATN_MIN((band + 1) * c->band - c->shift, c->h->nq),
                  words = c->tiles / 64 + 1;
    tile_row t = {.c = c, .lo = INT64_MAX};
    atn_line line[BATCH];
    atn_span *room = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(room, atn_lines_room(c->h, c->part, BATCH));
    if (c->side.rows > 1) {
        ATN_TAKE(t.bit, words);
        memset(t.bit, 0, (size_t)words * sizeof *t.bit);
    }
    for (atn_idx i = from; i < to; i++) {
        atn_idx kept;

        if ((i - from) % BATCH == 0)
            atn_lines_of(c->h, c->part, i, ATN_MIN((atn_idx)BATCH, to - i), room, line);
        if (i > from && t.bit && tile_at(c, i) != tile_at(c, i - 1)) close_tiles(&t);
        kept = count_line(&t, &line[(i - from) % BATCH]);
        if (c->kept) c->kept[i] += kept;
    }
    if (t.bit) close_tiles(&t);
    c->of_band[band] = t.sum;
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status count_rows(atn_ctx *cx, const atn_head *h, const atn_part *part,
                             sides side, int64_t *kept, tally *sum)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    count c = {.h = h,
               .part = part,
               .side = side,
               .tiles = (h->nk + side.keys - 1) / side.keys,
               .band = (BAND_ROWS + side.rows - 1) / side.rows * side.rows,
               .kept = kept};
    atn_status st = ATN_OK;
    atn_idx bands;

    if (h->sight.rows)
        c.band = ATN_MAX(h->nq, 1);
    else
        c.shift = (h->sight.offset % side.rows + side.rows) % side.rows;
    bands = (h->nq + c.shift + c.band - 1) / c.band;
    ATN_TAKE(c.of_band, bands);
    ATN_TRY(atn_parallel(cx, bands, count_band, &c, "counting a plan"));
    for (atn_idx b = 0; b < bands; b++) add_tally(sum, &c.of_band[b]);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- groups ---- */

static void count_groups(const atn_groups *g, sides side, tally *sum)
{
    for (atn_idx at = 0; at < g->n; at++) {
        const atn_idx rows = g->row_ptr[at + 1] - g->row_ptr[at],
                      keys = g->key_ptr[at + 1] - g->key_ptr[at],
                      across = (rows + side.rows - 1) / side.rows,
                      along = (keys + side.keys - 1) / side.keys;
        const tally one = {(double)across * (double)along, (double)rows * (double)keys,
                           (double)across * (double)keys};

        add_tally(sum, &one);
    }
}

/* ---- all of it ---- */

/* What a plan executes, as often as it does, and keeps. */
typedef struct counted {
    tally sum;
    double queries; /* that are read, as often as they are */
    double tiles;   /* in which a key is kept */
} counted;

/* All entries are of one part that has none twice. */
static bool one_part(const atn_plan *p)
{
    const atn_part *part = &p->branch[0].part[0];

    return p->branches == 1 && p->branch[0].parts == 1 && !p->branch[0].scale &&
           (part->all || part->pattern);
}

static atn_status count_plan(atn_ctx *cx, const atn_head *h, const atn_plan *p,
                             int64_t *kept, counted *out)
{
    const sides side = sides_of(p);
    const bool once = one_part(p);
    atn_status st = ATN_OK;

    *out = (counted){.queries = 0};
    memset(kept, 0, (size_t)h->nq * sizeof *kept);
    for (int b = 0; b < p->branches; b++)
        for (int k = 0; k < p->branch[b].parts; k++) {
            const atn_part *part = &p->branch[b].part[k];
            const atn_groups *g = &part->groups;

            if (part->all || part->pattern) {
                ATN_TRY(count_rows(cx, h, part, side, once ? kept : NULL, &out->sum));
                out->queries += (double)h->nq;
            } else if (g->n > 0) {
                count_groups(g, side, &out->sum);
                out->queries += (double)g->row_ptr[g->n];
            }
        }
    out->tiles = out->sum.tiles;
    if (!once) {
        const bool in_tiles = side.rows > 1 || side.keys > 1;

        ATN_TRY(atn_count_kept(cx, h, p, kept, in_tiles ? &out->tiles : NULL));
    }
done:
    return st;
}

atn_status atn_plan_kept(atn_ctx *cx, const atn_head *h, const atn_plan *p,
                         int64_t *out)
{
    counted ignored;

    if (!one_part(p)) return atn_count_kept(cx, h, p, out, NULL);
    return count_plan(cx, h, p, out, &ignored);
}

/* Shares of rows. */
static void add_up(const atn_head *h, const int64_t *kept, atn_cost *c)
{
    double shares = 0, seeing = 0, most = 0;

    for (atn_idx i = 0; i < h->nq; i++) {
        const double n = (double)kept[i];
        atn_idx lo, hi;

        atn_sight_row(&h->sight, i, &lo, &hi);
        c->kept += n;
        c->visible += (double)(hi - lo);
        most = ATN_MAX(most, n);
        if (lo == hi) continue;
        seeing++;
        shares += n / (double)(hi - lo);
        c->empty_rows += kept[i] == 0;
    }
    c->full = c->kept / ((double)h->nq * (double)h->nk);
    c->mean = shares / seeing;
    c->kv = most / (double)h->nk;
}

static void cost_operator(const atn_head *h, const atn_plan *p, atn_cost *c)
{
    const double width = (double)(h->q.cols + h->v.cols);

    c->tiles = 0;
    c->executed = p->op.executed;
    c->flops = 2 * width * c->executed;
    c->bytes = ATN_COST_BYTES * (width * (double)(h->nq + h->nk) + c->numbers);
}

atn_status atn_plan_cost(atn_ctx *cx, const atn_head *h, const atn_plan *p,
                         atn_cost *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const double width = (double)(h->q.cols + h->v.cols);
    const atn_part all = {.all = true};
    const sides side = sides_of(p);
    atn_status st = ATN_OK;
    tally visible = {0};
    int64_t *kept = NULL;
    counted n;

    *out = (atn_cost){.index_flops = p->index_flops,
                      .index_bytes = p->index_bytes,
                      .block_causal = NAN};
    ATN_TAKE(kept, h->nq);
    ATN_TRY(count_plan(cx, h, p, kept, &n));
    add_up(h, kept, out);
    out->tiles = n.sum.tiles;
    out->executed = n.sum.executed;
    out->flops = 2 * width * n.sum.executed;
    out->bytes = ATN_COST_BYTES * width * (n.queries + n.sum.keys);
    out->numbers = p->numbers > 0 ? p->numbers * (double)h->nq : n.sum.executed;
    if (p->op.kind) {
        cost_operator(h, p, out);
        goto done;
    }
    if (h->sight.causal && (side.rows > 1 || side.keys > 1)) {
        ATN_TRY(count_rows(cx, h, &all, side, NULL, &visible));
        out->block_causal = n.tiles / visible.tiles;
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}
