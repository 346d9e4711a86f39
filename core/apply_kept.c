/* core/apply_kept.c -- the entries of a row, each once, wherever a plan has them from.
 *
 * Math    row i keeps the keys that a part or group of a branch with s_b,i != 0 gives
 *         it and that it sees, and the virtual keys that stand for a key. Of a matrix
 *         in tiles, which begin at positions that are multiples of their sides, those
 *         are kept in which a row keeps a key.
 * Oracle  marking all pairs one by one. No row keeps more than the keys that it sees
 *         and the virtual ones.
 * Cost    the entries of all rows once, 64 at a time where they are spans; memory
 *         4 bytes a row and group that it is in, and a bitmap of keys a thread.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "core/apply_internal.h"

enum { BAND_ROWS = 512, BATCH = 32, PARTS = ATN_BRANCHES_MOST * ATN_PARTS_MOST };

/* ---- marks ---- */

/* Numbers that are marked; words that have a mark are listed. */
typedef struct marks {
    uint64_t *bit;
    int32_t *word;
    atn_idx words;
} marks;

static atn_status open_marks(atn_ctx *cx, atn_idx numbers, marks *m)
{
    const atn_idx words = numbers / 64 + 1;
    atn_status st = ATN_OK;

    m->words = 0;
    ATN_TAKE(m->bit, words);
    ATN_TAKE(m->word, words + 1);
    memset(m->bit, 0, (size_t)words * sizeof *m->bit);
done:
    return st;
}

/* Without a branch: which words are new is as good as random. */
static void mark_word(marks *m, atn_idx w, uint64_t bits)
{
    m->word[m->words] = (int32_t)w;
    m->words += m->bit[w] == 0;
    m->bit[w] |= bits;
}

static void mark(marks *m, atn_idx x)
{
    mark_word(m, x / 64, UINT64_C(1) << x % 64);
}

/* [from, to], not empty. */
static void mark_span(marks *m, atn_idx from, atn_idx to)
{
    const atn_idx lo = from / 64, hi = to / 64;

    for (atn_idx w = lo; w <= hi; w++) {
        uint64_t bits = ~UINT64_C(0);

        if (w == lo) bits &= ~UINT64_C(0) << from % 64;
        if (w == hi) bits &= ~UINT64_C(0) >> (63 - to % 64);
        mark_word(m, w, bits);
    }
}

/* How many are marked; none is after it. */
static atn_idx take_marks(marks *m)
{
    atn_idx n = 0;

    for (atn_idx k = 0; k < m->words; k++) {
        n += __builtin_popcountll(m->bit[m->word[k]]);
        m->bit[m->word[k]] = 0;
    }
    m->words = 0;
    return n;
}

/* ---- where a row has entries from ---- */

typedef struct source {
    const atn_part *part;
    const float *scale; /* of its branch, NULL = 1 */
} source;

typedef struct group {
    const int32_t *key;
    atn_idx n;
} group;

typedef struct counting {
    const atn_head *h;
    const atn_plan *p;
    source lines[PARTS]; /* parts that are no groups */
    int n_lines;
    group *groups; /* of all parts */
    int64_t *ptr;  /* [nq + 1] groups of the rows .. */
    int32_t *of;   /* .. as they come */
    atn_idx tile_rows, tile_keys;
    atn_idx shift, band; /* queries that the first tile lacks, queries of a task */
    int64_t *kept;
    double *tiles; /* of a band; NULL = not counted */
} counting;

static bool weighs(const float *scale, atn_idx i)
{
    return !scale || scale[i] != 0;
}

static bool has_lines(const atn_part *part)
{
    return part->all || part->pattern;
}

static void find_lines(counting *c)
{
    for (int b = 0; b < c->p->branches; b++)
        for (int k = 0; k < c->p->branch[b].parts; k++) {
            const atn_branch *of = &c->p->branch[b];

            if (has_lines(&of->part[k]))
                c->lines[c->n_lines++] = (source){&of->part[k], of->scale};
        }
}

/* Rows of the groups of a part: counted into at, or, with `first` the number of its
 * first group, put where at says. */
static void visit_rows(const atn_groups *g, const float *scale, int64_t *at,
                       int32_t *of, atn_idx first)
{
    for (atn_idx k = 0; k < g->n; k++)
        for (int64_t e = g->row_ptr[k]; e < g->row_ptr[k + 1]; e++) {
            const atn_idx i = g->row[e];

            if (!weighs(scale, i)) continue;
            if (of) of[at[i]] = (int32_t)(first + k);
            at[i]++;
        }
}

/* Of every part with groups: counts, or places. Returns how many groups. */
static atn_idx visit_groups(const counting *c, int64_t *at, int32_t *of)
{
    atn_idx first = 0;

    for (int b = 0; b < c->p->branches; b++)
        for (int k = 0; k < c->p->branch[b].parts; k++) {
            const atn_groups *g = &c->p->branch[b].part[k].groups;

            if (has_lines(&c->p->branch[b].part[k])) continue;
            visit_rows(g, c->p->branch[b].scale, at, of, first);
            for (atn_idx x = 0; of && x < g->n; x++)
                c->groups[first + x] =
                    (group){g->key + g->key_ptr[x], g->key_ptr[x + 1] - g->key_ptr[x]};
            first += g->n;
        }
    return first;
}

static atn_status find_groups(atn_ctx *cx, counting *c)
{
    const atn_idx nq = c->h->nq;
    atn_status st = ATN_OK;
    int64_t *at = NULL;
    atn_idx n;

    ATN_TAKE(c->ptr, nq + 1);
    ATN_TAKE(at, nq + 1);
    memset(at, 0, (size_t)(nq + 1) * sizeof *at);
    n = visit_groups(c, at, NULL);
    ATN_ASSERT(n <= INT32_MAX);
    c->ptr[0] = 0;
    for (atn_idx i = 0; i < nq; i++) {
        c->ptr[i + 1] = c->ptr[i] + at[i];
        at[i] = c->ptr[i];
    }
    ATN_TAKE(c->groups, n);
    ATN_TAKE(c->of, c->ptr[nq]);
    visit_groups(c, at, c->of);
done:
    return st;
}

/* ---- rows ---- */

/* What a task works with. */
typedef struct hand {
    const counting *c;
    marks keys, tiles;
    atn_line *line[PARTS]; /* [BATCH] */
    atn_span *room[PARTS];
    double sum; /* of tiles */
} hand;

static atn_status open_hand(atn_ctx *cx, const counting *c, hand *t)
{
    atn_status st = ATN_OK;

    *t = (hand){.c = c};
    ATN_TRY(open_marks(cx, c->h->nk + c->p->virtuals, &t->keys));
    if (c->tiles) ATN_TRY(open_marks(cx, c->h->nk / c->tile_keys, &t->tiles));
    for (int k = 0; k < c->n_lines; k++) {
        ATN_TAKE(t->line[k], BATCH);
        ATN_TAKE(t->room[k], atn_lines_room(c->h, c->lines[k].part, BATCH));
    }
done:
    return st;
}

static bool stands(const atn_plan *p, atn_idx v)
{
    for (int64_t e = p->expand_ptr[v]; e < p->expand_ptr[v + 1]; e++)
        if (p->expand_weight[e] != 0) return true;
    return false;
}

static void mark_group(hand *t, const group *g, atn_idx lo, atn_idx hi)
{
    const counting *c = t->c;

    for (atn_idx e = 0; e < g->n; e++) {
        const atn_idx j = g->key[e];

        if (j >= c->h->nk ? !stands(c->p, j - c->h->nk) : j < lo || j >= hi) continue;
        mark(&t->keys, j);
        if (c->tiles && j < c->h->nk) mark(&t->tiles, j / c->tile_keys);
    }
}

static void mark_line(hand *t, const atn_line *l)
{
    const atn_idx side = t->c->tile_keys;
    atn_idx s = 0;
    atn_span x;

    while (atn_line_next(l, &s, &x)) {
        mark_span(&t->keys, x.lo, x.hi - 1);
        if (t->c->tiles) mark_span(&t->tiles, x.lo / side, (x.hi - 1) / side);
    }
}

static void count_row(hand *t, atn_idx i, atn_idx of_batch)
{
    const counting *c = t->c;
    atn_idx lo, hi;

    atn_sight_row(&c->h->sight, i, &lo, &hi);
    for (int k = 0; k < c->n_lines; k++)
        if (weighs(c->lines[k].scale, i)) mark_line(t, &t->line[k][of_batch]);
    for (int64_t e = c->ptr[i]; e < c->ptr[i + 1]; e++)
        mark_group(t, &c->groups[c->of[e]], lo, hi);
    c->kept[i] = take_marks(&t->keys);
}

static atn_idx tile_at(const counting *c, atn_idx i)
{
    const atn_idx at = atn_sight_at(&c->h->sight, i);

    return at >= 0 ? at / c->tile_rows : -1 - (-1 - at) / c->tile_rows;
}

static atn_status count_band(atn_ctx *cx, atn_idx band, void *state)
{
    const atn_arena_mark mark_ = atn_arena_save(cx);
    const counting *c = state;
    const atn_idx from = ATN_MAX(band * c->band - c->shift, 0),
                  to = ATN_MIN((band + 1) * c->band - c->shift, c->h->nq);
    atn_status st = ATN_OK;
    hand t;

    ATN_TRY(open_hand(cx, c, &t));
    for (atn_idx i = from; i < to; i++) {
        const atn_idx of_batch = (i - from) % BATCH;

        for (int k = 0; of_batch == 0 && k < c->n_lines; k++)
            atn_lines_of(c->h, c->lines[k].part, i, ATN_MIN((atn_idx)BATCH, to - i),
                         t.room[k], t.line[k]);
        if (i > from && c->tiles && tile_at(c, i) != tile_at(c, i - 1))
            t.sum += (double)take_marks(&t.tiles);
        count_row(&t, i, of_batch);
    }
    if (c->tiles) c->tiles[band] = t.sum + (double)take_marks(&t.tiles);
done:
    atn_arena_rewind(cx, mark_);
    return st;
}

atn_status atn_count_kept(atn_ctx *cx, const atn_head *h, const atn_plan *p,
                          int64_t *kept, double *tiles)
{
    const atn_arena_mark mark_ = atn_arena_save(cx);
    counting c = {.h = h,
                  .p = p,
                  .tile_rows = ATN_MAX(p->tile_rows, 1),
                  .tile_keys = ATN_MAX(p->tile_keys, 1),
                  .kept = kept};
    atn_status st = ATN_OK;
    atn_idx bands;

    c.band = (BAND_ROWS + c.tile_rows - 1) / c.tile_rows * c.tile_rows;
    if (h->sight.rows)
        c.band = ATN_MAX(h->nq, 1);
    else
        c.shift = (h->sight.offset % c.tile_rows + c.tile_rows) % c.tile_rows;
    bands = (h->nq + c.shift + c.band - 1) / c.band;
    find_lines(&c);
    ATN_TRY(find_groups(cx, &c));
    if (tiles) ATN_TAKE(c.tiles, bands);
    ATN_TRY(atn_parallel(cx, bands, count_band, &c, "counting a plan"));
    if (!tiles) goto done;
    *tiles = 0;
    for (atn_idx b = 0; b < bands; b++) *tiles += c.tiles[b];
done:
    atn_arena_rewind(cx, mark_);
    return st;
}
