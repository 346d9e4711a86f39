/* core/apply_tiles.c -- rows by tiles: what patterns give, and the output.
 *
 * Math    of a tile the keys that at least a sixth of its rows have are its columns:
 *         a rectangle, by two products. What is left is picked row by row.
 * Cost    4 d flop for a pair of the rectangle or picked; beside them the spans of the
 *         rows and nk / 64 words a tile.
 * Limits  tiles and columns depend on the plan and the mask alone.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "core/apply_internal.h"

enum {
    ROWS = 64,       /* of a tile, about */
    FEW_ROWS = 3,    /* so few are picked */
    DENSE = 6,       /* one row in so many makes a key a column */
    TASK_TILES = 16, /* at most, of a task */
    TASKS = 256,
    ROOM_BYTES = 8 << 20, /* of the spans of a tile */
};

/* ---- lines ---- */

static const atn_span everything = {0, ATN_PATTERN_KEYS_MOST};

static atn_idx lines_rows(const atn_head *h, const atn_part *part, atn_idx n)
{
    return h->sight.rows ? n : ATN_MIN(n, n / part->pattern->frame.block + 2);
}

atn_idx atn_lines_room(const atn_head *h, const atn_part *part, atn_idx n)
{
    const atn_pattern *p = part->pattern;

    return p ? lines_rows(h, part, n) * p->most + p->room : 1;
}

void atn_lines_of(const atn_head *h, const atn_part *part, atn_idx first, atn_idx n,
                  atn_span *room, atn_line *out)
{
    const atn_pattern *p = part->pattern;
    atn_idx row = -1, spans = 0;

    for (atn_idx r = 0; r < n; r++) {
        const atn_idx at = ATN_MAX(atn_sight_at(&h->sight, first + r), 0);
        atn_line *l = &out[r];

        *l = (atn_line){&everything, 1, 1, 0, 0};
        atn_sight_row(&h->sight, first + r, &l->lo, &l->hi);
        if (!p) continue;
        if (at / p->frame.block != row) {
            room += spans;
            row = at / p->frame.block;
            ATN_ASSERT(row >= p->row0 && row < p->row1);
            spans = atn_pattern_row(p, part->pattern_head, row, room);
        }
        l->span = room;
        l->n = spans;
        l->block = p->frame.block;
        l->hi = ATN_MIN(l->hi,
                        p->frame.causal ? ATN_MIN(at + 1, p->frame.nk) : p->frame.nk);
    }
}

atn_idx atn_branch_rows(const atn_run *run)
{
    const atn_branch *b = run->branch;
    atn_idx block = 1, rows = ROWS, room = 0;

    for (int i = 0; i < b->parts; i++)
        if (b->part[i].pattern) block = ATN_MAX(block, b->part[i].pattern->frame.block);
    if (block <= ROWS) rows = ROWS / block * block;
    for (atn_idx m = 1; block > ROWS && m <= block / (ROWS / 2); m++)
        if (block % m == 0 && block / m <= ATN_APPLY_ROWS) {
            rows = block / m;
            break;
        }
    for (; rows > 8; rows /= 2) {
        for (int i = 0; i < b->parts; i++)
            room = ATN_MAX(room, atn_lines_room(run->h, &b->part[i], rows));
        if ((double)room * sizeof(atn_span) <= ROOM_BYTES) break;
        room = 0;
    }
    return rows;
}

/* ---- a tile ---- */

typedef struct piece {
    atn_idx lo, hi, col; /* keys, and the column of the first */
} piece;

typedef struct sheet {
    const atn_run *run;
    const atn_part *part;
    atn_source from;
    atn_idx first, rows; /* of the tile */
    atn_idx cols;        /* of a rectangle at most */
    atn_span *room;
    atn_line *line;  /* [rows] */
    atn_idx *cursor; /* [rows] span that the next column may be in */
    int32_t *step;   /* [nk + 1] rows that have a key less those that have the one
                        before, 0 between tiles */
    uint64_t *event; /* bits of the keys where step is not 0 */
    atn_span *seg;   /* keys that are columns */
    atn_idx segs;
    bool rest; /* some entry is in none of them */
    piece *piece;
    atn_cut *cut;
    int32_t *key; /* of columns, or picked */
    float *s, *k, *v, *o, *x;
    atn_soft *one;            /* of a rectangle, [rows] */
    atn_soft *soft, *of_part; /* [rows] of the tile; of a part, where it has its own */
    double *sum, *sum_of_part;
} sheet;

static atn_idx words_of(const atn_head *h)
{
    return h->nk / 64 + 1;
}

static void add_step(sheet *w, atn_idx lo, atn_idx hi, int32_t rows)
{
    w->step[lo] += rows;
    w->step[hi] -= rows;
    w->event[lo / 64] |= UINT64_C(1) << lo % 64;
    w->event[hi / 64] |= UINT64_C(1) << hi % 64;
}

static void add_line(sheet *w, atn_line l, atn_idx lo, atn_idx hi, int32_t rows)
{
    atn_idx s = 0;
    atn_span x;

    l.lo = ATN_MAX(l.lo, lo);
    l.hi = ATN_MIN(l.hi, hi);
    while (atn_line_next(&l, &s, &x)) add_step(w, x.lo, x.hi, rows);
}

/* What the lines from .. to, of the same spans, have in common, and what each has
 * beside it. */
static void add_lines(sheet *w, atn_idx from, atn_idx to)
{
    atn_idx lo = 0, hi = w->run->h->nk;

    for (atn_idx r = from; r < to; r++) {
        lo = ATN_MAX(lo, w->line[r].lo);
        hi = ATN_MIN(hi, w->line[r].hi);
    }
    if (to - from == 1 || lo >= hi) lo = hi = 0;
    if (lo < hi) add_line(w, w->line[from], lo, hi, (int32_t)(to - from));
    for (atn_idx r = from; r < to; r++) {
        add_line(w, w->line[r], 0, lo, 1);
        add_line(w, w->line[r], hi, w->run->h->nk, 1);
    }
}

static void add_segment(sheet *w, atn_idx lo, atn_idx hi)
{
    if (w->segs > 0 && w->seg[w->segs - 1].hi == lo)
        w->seg[w->segs - 1].hi = hi;
    else
        w->seg[w->segs++] = (atn_span){lo, hi};
}

/* Walks over the steps, which become 0 again. */
static void take_steps(sheet *w, atn_idx least)
{
    const atn_idx words = words_of(w->run->h);
    atn_idx before = 0, rows = 0;

    for (atn_idx at = 0; at < words; at++)
        for (; w->event[at]; w->event[at] &= w->event[at] - 1) {
            const atn_idx key = at * 64 + __builtin_ctzll(w->event[at]);

            if (rows >= least)
                add_segment(w, before, key);
            else
                w->rest |= rows > 0;
            rows += w->step[key];
            w->step[key] = 0;
            before = key;
        }
}

/* Rows of one block have one list; those without spans may share its place. */
static bool same_spans(const atn_line *a, const atn_line *b)
{
    return a->span == b->span && a->n == b->n;
}

/* All rows have the same spans, and nearly the same ends. */
static bool alike(const sheet *w, atn_span *ends)
{
    atn_idx lo[2] = {INT64_MAX, -1}, hi[2] = {INT64_MAX, -1};

    for (atn_idx r = 0; r < w->rows; r++) {
        const atn_line *l = &w->line[r];

        if (!same_spans(l, &w->line[0])) return false;
        if (l->lo >= l->hi) continue;
        lo[0] = ATN_MIN(lo[0], l->lo);
        lo[1] = ATN_MAX(lo[1], l->lo);
        hi[0] = ATN_MIN(hi[0], l->hi);
        hi[1] = ATN_MAX(hi[1], l->hi);
    }
    *ends = (atn_span){lo[0], hi[1]};
    return lo[1] - lo[0] <= ATN_APPLY_ROWS && hi[1] - hi[0] <= ATN_APPLY_ROWS;
}

static void find_columns(sheet *w)
{
    atn_span ends, x;
    atn_idx s = 0;

    w->segs = 0;
    w->rest = w->rows <= FEW_ROWS;
    if (w->rest) return;
    if (alike(w, &ends)) {
        atn_line all = w->line[0];

        all.lo = ends.lo;
        all.hi = ends.hi;
        while (atn_line_next(&all, &s, &x)) add_segment(w, x.lo, x.hi);
        return;
    }
    for (atn_idx r = 0, to; r < w->rows; r = to) {
        to = r + 1;
        while (to < w->rows && same_spans(&w->line[to], &w->line[r])) to++;
        add_lines(w, r, to);
    }
    take_steps(w, (w->rows + DENSE - 1) / DENSE);
}

/* ---- columns ---- */

/* The columns of line l among the pieces. */
static atn_idx cuts_of(const atn_line *l, const piece *p, atn_idx pieces,
                       atn_idx *cursor, atn_cut *cut)
{
    atn_idx s = *cursor, n = 0;
    atn_span x = {0, 0};
    bool more = atn_line_next(l, &s, &x);

    for (atn_idx k = 0; k < pieces && more; k++) {
        while (more && x.hi <= p[k].lo) more = atn_line_next(l, &s, &x);
        while (more && x.lo < p[k].hi) {
            const atn_idx lo = p[k].col + ATN_MAX(x.lo - p[k].lo, 0);
            const atn_idx hi = p[k].col + ATN_MIN(x.hi, p[k].hi) - p[k].lo;

            if (n > 0 && cut[n - 1].hi == lo)
                cut[n - 1].hi = hi;
            else
                cut[n++] = (atn_cut){lo, hi};
            if (x.hi > p[k].hi) break;
            more = atn_line_next(l, &s, &x);
        }
    }
    *cursor = more ? s - 1 : s;
    return n;
}

static void gather(atn_cmat from, const piece *p, atn_idx pieces, float *to)
{
    for (atn_idx k = 0; k < pieces; k++)
        for (atn_idx j = p[k].lo; j < p[k].hi; j++)
            memcpy(to + (p[k].col + j - p[k].lo) * from.cols, atn_crow(from, j),
                   (size_t)from.cols * sizeof *to);
}

/* One piece is read where it lies, several are brought together. */
static atn_rect rect_of(const sheet *w, atn_idx pieces)
{
    const piece *p = w->piece, *last = p + pieces - 1;
    const atn_idx cols = last->col + last->hi - last->lo, dv = w->run->dv;
    const atn_cmat q = w->from.q, k = w->from.k, v = w->from.v;
    atn_rect t = {.run = w->run,
                  .part = w->part,
                  .rows = w->rows,
                  .cols = cols,
                  .first = w->first,
                  .key0 = p[0].lo,
                  .s = w->s,
                  .ld = atn_apply_step(cols),
                  .o = w->o,
                  .one = w->one};

    if (q.data) t.q = (atn_cmat){atn_crow(q, w->first), w->rows, q.cols, q.ld};
    if (k.data) t.k = (atn_cmat){atn_crow(k, p[0].lo), cols, k.cols, k.ld};
    if (dv > 0) t.v = (atn_cmat){atn_crow(v, p[0].lo), cols, dv, v.ld};
    if (pieces == 1) return t;
    t.key = w->key;
    for (atn_idx i = 0; i < pieces; i++)
        for (atn_idx j = p[i].lo; j < p[i].hi; j++)
            w->key[p[i].col + j - p[i].lo] = (int32_t)j;
    if (k.data) {
        gather(k, p, pieces, w->k);
        t.k = (atn_cmat){w->k, cols, k.cols, k.cols};
    }
    if (dv > 0) {
        gather(v, p, pieces, w->v);
        t.v = (atn_cmat){w->v, cols, dv, dv};
    }
    return t;
}

static atn_status add_rect(atn_ctx *cx, sheet *w, atn_idx pieces)
{
    const atn_rect t = rect_of(w, pieces);
    const atn_idx dv = w->run->dv;
    atn_status st = ATN_OK;

    atn_rect_logits(&t);
    for (atn_idx r = 0; r < w->rows; r++) {
        const atn_idx cuts =
            cuts_of(&w->line[r], w->piece, pieces, &w->cursor[r], w->cut);

        ATN_TRY(atn_rect_soften(cx, &t, r, w->cut, cuts));
    }
    atn_rect_mix(&t);
    for (atn_idx r = 0; r < w->rows; r++)
        atn_soft_add(&w->of_part[r], w->sum_of_part + r * dv, &t.one[r], t.o + r * dv,
                     dv);
done:
    return st;
}

static atn_status add_columns(atn_ctx *cx, sheet *w)
{
    atn_idx pieces = 0, cols = 0;
    atn_status st = ATN_OK;

    memset(w->cursor, 0, (size_t)w->rows * sizeof *w->cursor);
    for (atn_idx i = 0; i < w->segs; i++)
        for (atn_idx lo = w->seg[i].lo, hi; lo < w->seg[i].hi; lo = hi) {
            hi = ATN_MIN(w->seg[i].hi, lo + w->cols - cols);
            w->piece[pieces++] = (piece){lo, hi, cols};
            cols += hi - lo;
            if (cols < w->cols) continue;
            ATN_TRY(add_rect(cx, w, pieces));
            pieces = cols = 0;
        }
    if (pieces > 0) ATN_TRY(add_rect(cx, w, pieces));
done:
    return st;
}

/* ---- what is left ---- */

static atn_status add_picked(atn_ctx *cx, sheet *w, atn_idx r, atn_idx n)
{
    const atn_idx dv = w->run->dv;
    const atn_picked e = {w->key, NULL, n, w->x, w->o};
    atn_status st = ATN_OK;
    atn_soft one;

    ATN_TRY(atn_row_picked(cx, w->run, w->part, w->first + r, &e, &one));
    atn_soft_add(&w->of_part[r], w->sum_of_part + r * dv, &one, w->o, dv);
done:
    return st;
}

static atn_status add_rest_of(atn_ctx *cx, sheet *w, atn_idx r)
{
    const atn_line *l = &w->line[r];
    atn_idx s = 0, k = 0, n = 0;
    atn_status st = ATN_OK;
    atn_span x;

    while (atn_line_next(l, &s, &x))
        for (atn_idx j = x.lo, end; j < x.hi; j = end) {
            end = x.hi;
            while (k < w->segs && w->seg[k].hi <= j) k++;
            if (k < w->segs && w->seg[k].lo <= j) {
                end = w->seg[k].hi;
                continue;
            }
            if (k < w->segs) end = ATN_MIN(end, w->seg[k].lo);
            end = ATN_MIN(end, j + ATN_APPLY_COLS - n);
            for (atn_idx i = j; i < end; i++) w->key[n++] = (int32_t)i;
            if (n < ATN_APPLY_COLS) continue;
            ATN_TRY(add_picked(cx, w, r, n));
            n = 0;
        }
    if (n > 0) ATN_TRY(add_picked(cx, w, r, n));
done:
    return st;
}

static atn_status add_part(atn_ctx *cx, sheet *w)
{
    const bool own = w->run->branch->merge == ATN_MERGE_MEAN;
    const atn_head *h = w->run->h;
    const atn_idx dv = w->run->dv;
    atn_status st = ATN_OK;

    w->from = atn_source_of(w->run, w->part);
    if (own) {
        memset(w->of_part, 0, (size_t)w->rows * sizeof *w->of_part);
        memset(w->sum_of_part, 0, (size_t)(w->rows * dv) * sizeof *w->sum_of_part);
    }
    atn_lines_of(h, w->part, w->first, w->rows, w->room, w->line);
    find_columns(w);
    ATN_TRY(add_columns(cx, w));
    for (atn_idx r = 0; w->rest && r < w->rows; r++) ATN_TRY(add_rest_of(cx, w, r));
    for (atn_idx r = 0; own && r < w->rows; r++)
        atn_soft_count(h, &w->soft[r], w->sum + r * dv, &w->of_part[r],
                       w->sum_of_part + r * dv, dv);
done:
    return st;
}

/* ---- the output ---- */

/* What the sums of row i are multiplied by. */
static double share_of(const atn_run *run, atn_idx i, const atn_soft *s)
{
    const atn_branch *b = run->branch;
    const double scale = b->scale ? (double)b->scale[i] : 1;
    double whole = s->sum;

    if (!(whole > 0)) return 0;
    if (b->merge == ATN_MERGE_LSE && run->h->has_sink)
        whole += exp(run->h->sink - s->max);
    return scale / whole;
}

static void write_row(const atn_run *run, atn_idx i, const atn_soft *s,
                      const double *sum)
{
    const double share = share_of(run, i, s);
    const float *residual = run->plan->residual;
    float *out;

    if (run->lse && run->plan->branches == 1 && run->branch->merge == ATN_MERGE_LSE)
        run->lse[i] = s->sum > 0 ? s->max + log(s->sum) : -(double)INFINITY;
    if (run->dv == 0) return;
    out = atn_row(run->out, i);
    for (atn_idx e = 0; e < run->dv; e++) {
        double o = sum[e] * share;

        if (!run->first)
            o += (double)out[e];
        else if (residual)
            o += (double)residual[i * run->dv + e];
        out[e] = (float)o;
    }
}

/* The sums of the tile: those of the groups, or none yet. */
static void begin_tile(sheet *w, atn_soft *soft, double *sum)
{
    const atn_run *run = w->run;
    const atn_idx dv = run->dv;

    w->soft = run->soft ? run->soft + w->first : soft;
    w->sum = run->soft ? run->sum + w->first * dv : sum;
    if (run->branch->merge == ATN_MERGE_LSE) {
        w->of_part = w->soft;
        w->sum_of_part = w->sum;
    }
    if (run->soft) return;
    memset(soft, 0, (size_t)w->rows * sizeof *soft);
    memset(sum, 0, (size_t)(w->rows * dv) * sizeof *sum);
}

static atn_status one_tile(atn_ctx *cx, sheet *w, atn_soft *soft, double *sum)
{
    const atn_run *run = w->run;
    atn_status st = ATN_OK;

    begin_tile(w, soft, sum);
    for (int i = 0; i < run->branch->parts; i++) {
        w->part = &run->branch->part[i];
        if (w->part->all || w->part->pattern) ATN_TRY(add_part(cx, w));
    }
    for (atn_idx r = 0; r < w->rows; r++)
        write_row(run, w->first + r, &w->soft[r], w->sum + r * run->dv);
done:
    return st;
}

/* ---- all tiles ---- */

typedef struct tiling {
    const atn_run *run;
    atn_idx rows, shift, tiles, of_task, room;
} tiling;

static tiling tiling_of(const atn_run *run)
{
    const atn_head *h = run->h;
    tiling t = {.run = run, .rows = atn_branch_rows(run), .room = 1};

    if (!h->sight.rows) t.shift = (h->sight.offset % t.rows + t.rows) % t.rows;
    t.tiles = (h->nq + t.shift + t.rows - 1) / t.rows;
    t.of_task = ATN_MIN(ATN_MAX(t.tiles / TASKS, 1), (atn_idx)TASK_TILES);
    for (int i = 0; i < run->branch->parts; i++)
        t.room = ATN_MAX(t.room, atn_lines_room(h, &run->branch->part[i], t.rows));
    return t;
}

/* Of a task, with what the arena adds to every array. */
static double task_bytes(const tiling *t)
{
    const atn_run *run = t->run;
    const double rows = (double)t->rows, nk = (double)run->h->nk, dv = (double)run->dv,
                 d = (double)run->h->k.cols, most = ATN_APPLY_COLS,
                 cols = (double)atn_apply_cols(t->rows);

    return (double)t->room * sizeof(atn_span) +
           rows * (sizeof(atn_line) + sizeof(atn_idx) + 3 * sizeof(atn_soft)) +
           nk * (sizeof(int32_t) + 1.0 / 8) + (nk / 2 + 2) * sizeof(atn_span) +
           most * (sizeof(piece) + sizeof(atn_cut) + sizeof(int32_t) + sizeof(float)) +
           ((cols + 32) * rows + cols * (d + dv)) * sizeof(float) +
           rows * dv * (sizeof(float) + 2 * sizeof(double)) + 20 * 64;
}

double atn_apply_tiles_bytes(const atn_ctx *cx, const atn_run *run)
{
    const tiling t = tiling_of(run);

    return task_bytes(&t) * (double)ATN_MIN((atn_idx)cx->threads, t.tiles);
}

static atn_status take_sheet(atn_ctx *cx, const tiling *t, sheet *w)
{
    const atn_idx nk = t->run->h->nk, rows = t->rows, dv = t->run->dv;
    atn_status st = ATN_OK;

    *w = (sheet){.run = t->run, .cols = atn_apply_cols(rows)};
    ATN_TAKE(w->room, t->room);
    ATN_TAKE(w->line, rows);
    ATN_TAKE(w->cursor, rows);
    ATN_TAKE(w->step, nk + 1);
    ATN_TAKE(w->event, words_of(t->run->h));
    ATN_TAKE(w->seg, nk / 2 + 1);
    ATN_TAKE(w->piece, ATN_APPLY_COLS);
    ATN_TAKE(w->cut, ATN_APPLY_COLS);
    ATN_TAKE(w->key, ATN_APPLY_COLS);
    ATN_TAKE(w->x, ATN_APPLY_COLS);
    ATN_TAKE(w->s, rows * atn_apply_step(w->cols));
    ATN_TAKE(w->k, w->cols * t->run->h->k.cols);
    ATN_TAKE(w->v, w->cols * dv);
    ATN_TAKE(w->o, rows * dv);
    ATN_TAKE(w->one, rows);
    ATN_TAKE(w->of_part, rows);
    ATN_TAKE(w->sum_of_part, rows * dv);
    memset(w->step, 0, (size_t)(nk + 1) * sizeof *w->step);
    memset(w->event, 0, (size_t)words_of(t->run->h) * sizeof *w->event);
done:
    return st;
}

/* Causal rows get longer: the longest go first, so that threads end together. */
static atn_status tile_task(atn_ctx *cx, atn_idx task, void *state)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const tiling *t = state;
    const atn_idx end = t->tiles - task * t->of_task;
    atn_soft *soft = NULL;
    atn_status st = ATN_OK;
    double *sum = NULL;
    sheet w;

    ATN_TRY(take_sheet(cx, t, &w));
    ATN_TAKE(soft, t->rows);
    ATN_TAKE(sum, t->rows * t->run->dv);
    for (atn_idx i = ATN_MAX(end - t->of_task, 0); i < end; i++) {
        w.first = ATN_MAX(i * t->rows - t->shift, 0);
        w.rows = ATN_MIN((i + 1) * t->rows - t->shift, t->run->h->nq) - w.first;
        ATN_TRY(one_tile(cx, &w, soft, sum));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_apply_tiles(atn_ctx *cx, const atn_run *run)
{
    tiling t = tiling_of(run);

    return atn_parallel(cx, (t.tiles + t.of_task - 1) / t.of_task, tile_task, &t,
                        run->what);
}
