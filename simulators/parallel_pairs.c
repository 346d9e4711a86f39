/* simulators/parallel_pairs.c -- who needs which keys when a sequence is spread over
 * ranks.
 *
 * Math    an interval [lo, hi) of keys is F(hi) - F(lo), where F_k(x) counts the keys
 *         below x of rank k: whole chunks and a piece of the one that x is in, or
 *         floor(x / P) and one more for k < x mod P. So an end of an interval adds to
 *         two numbers of its query's rank, and all a(q, k) are sums over those.
 *         Keys that a rank sees: the union of its rows' intervals, kept sorted but for
 *         the newest, and sorted again when these have become as many.
 * Oracle  brute force over all pairs.
 * Cost    pairs: intervals of all rows + P^2. Redundant: intervals of all block rows,
 *         an interval that is not seen yet as a step of a sort.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/order.h"
#include "simulators/parallel.h"

enum { COVER_REST = 64 };

/* ---- shares ---- */

static atn_idx pieces_of(atn_cp_order order, atn_idx ranks)
{
    return order == ATN_CP_ZIGZAG ? 2 * ranks : ranks;
}

/* First token of piece c: the least i with floor(i pieces / n) = c. */
static atn_idx border(atn_idx c, atn_idx n, atn_idx pieces)
{
    return (c * n + pieces - 1) / pieces;
}

atn_cp_share atn_cp_share_of(atn_cp_order order, atn_idx tokens, atn_idx ranks,
                             atn_idx rank)
{
    const atn_idx pieces = pieces_of(order, ranks);
    atn_cp_share s = {.step = 1};

    if (order == ATN_CP_STRIPE) return (atn_cp_share){{{rank, tokens}}, 1, ranks};
    for (int i = 0; i < (order == ATN_CP_ZIGZAG ? 2 : 1); i++) {
        const atn_idx c = i ? pieces - 1 - rank : rank;
        const atn_span x = {border(c, tokens, pieces), border(c + 1, tokens, pieces)};

        if (x.lo < x.hi) s.part[s.parts++] = x;
    }
    return s;
}

static atn_idx part_size(const atn_cp_share *s, int part)
{
    return (s->part[part].hi - s->part[part].lo + s->step - 1) / s->step;
}

atn_idx atn_cp_share_size(const atn_cp_share *s)
{
    atn_idx n = 0;

    for (int i = 0; i < s->parts; i++) n += part_size(s, i);
    return n;
}

static atn_idx rank_of(atn_cp_order order, atn_idx n, atn_idx ranks, atn_idx i)
{
    const atn_idx pieces = pieces_of(order, ranks), c = i * pieces / n;

    if (order == ATN_CP_STRIPE) return i % ranks;
    return order == ATN_CP_ZIGZAG ? ATN_MIN(c, pieces - 1 - c) : c;
}

static atn_status check(atn_ctx *cx, const atn_pattern *p, atn_idx ranks)
{
    const atn_frame *f = &p->frame;
    atn_status st = ATN_OK;

    if (f->first != 0 || f->nq != f->nk)
        ATN_FAIL(ATN_USAGE,
                 "context parallelism: %lld queries from %lld on of %lld keys are no "
                 "self-attention of a whole sequence",
                 (long long)f->nq, (long long)f->first, (long long)f->nk);
    if (ranks < 1 || ranks > ATN_CP_GPUS_MOST || ranks > f->nq)
        ATN_FAIL(ATN_USAGE,
                 "context parallelism: %lld GPUs for %lld tokens (1 to %d, and no more "
                 "than tokens)",
                 (long long)ranks, (long long)f->nq, ATN_CP_GPUS_MOST);
done:
    return st;
}

/* ---- rows: the keys of query after query; a block row is made once ---- */

typedef struct row_reader {
    const atn_pattern *p;
    atn_idx head, a, n; /* the block row in `blocks` */
    atn_span *blocks, *keys;
} row_reader;

static atn_status reader_open(atn_ctx *cx, const atn_pattern *p, atn_idx head,
                              row_reader *r)
{
    atn_status st = ATN_OK;

    *r = (row_reader){p, head, -1, 0, NULL, NULL};
    ATN_TAKE(r->blocks, p->room);
    ATN_TAKE(r->keys, p->room);
done:
    return st;
}

static atn_idx reader_keys(row_reader *r, atn_idx i)
{
    const atn_frame *f = &r->p->frame;
    const atn_idx end = f->causal ? ATN_MIN(i + 1, f->nk) : f->nk;
    atn_idx n = 0;

    if (f->block == 1) return atn_pattern_keys(r->p, r->head, i, r->keys);
    if (i / f->block != r->a) {
        r->a = i / f->block;
        r->n = atn_pattern_row(r->p, r->head, r->a, r->blocks);
    }
    for (; n < r->n && r->blocks[n].lo * f->block < end; n++)
        r->keys[n] = (atn_span){r->blocks[n].lo * f->block,
                                ATN_MIN(r->blocks[n].hi * f->block, end)};
    return n;
}

/* ---- pairs ---- */

typedef struct tally {
    atn_cp_order order;
    atn_idx n, ranks, pieces;
    /* [ranks, pieces + 1] ends of intervals in piece c, and how far into it; of stripes
     * at x mod P, and [., P] the sums of floor(x / P) */
    int64_t *ends, *far;
} tally;

static void add_end(const tally *t, atn_idx q, atn_idx x, int64_t sign)
{
    const atn_idx row = q * (t->pieces + 1);

    if (t->order == ATN_CP_STRIPE) {
        t->ends[row + x % t->ranks] += sign;
        t->far[row + t->pieces] += sign * (x / t->ranks);
        return;
    }
    const atn_idx c = x * t->pieces / t->n;

    t->ends[row + c] += sign;
    if (c < t->pieces) t->far[row + c] += sign * (x - border(c, t->n, t->pieces));
}

/* a(q, .) of the sums: keys of piece c below the ends in later pieces are whole. */
static void gather(const tally *t, atn_idx q, int64_t *a)
{
    const atn_idx row = q * (t->pieces + 1);
    int64_t later = 0;

    memset(a, 0, (size_t)t->ranks * sizeof *a);
    later = t->order == ATN_CP_STRIPE ? 0 : t->ends[row + t->pieces];
    for (atn_idx c = t->pieces - 1; c >= 0; c--) {
        const atn_idx k = t->order == ATN_CP_ZIGZAG ? ATN_MIN(c, t->pieces - 1 - c) : c;
        const atn_idx size =
            border(c + 1, t->n, t->pieces) - border(c, t->n, t->pieces);

        if (t->order == ATN_CP_STRIPE)
            a[k] += t->far[row + t->pieces] + later;
        else
            a[k] += t->far[row + c] + later * size;
        later += t->ends[row + c];
    }
}

static atn_status walk(atn_ctx *cx, const atn_pattern *p, atn_idx head, const tally *t)
{
    row_reader r;
    atn_status st = ATN_OK;

    ATN_TRY(reader_open(cx, p, head, &r));
    for (atn_idx i = 0; i < t->n; i++) {
        const atn_idx q = rank_of(t->order, t->n, t->ranks, i);
        const atn_idx n = reader_keys(&r, i);

        if (i % 65536 == 0)
            ATN_TRY(atn_progress(cx, "pairs of ranks", (double)i, (double)t->n));
        for (atn_idx s = 0; s < n; s++) {
            add_end(t, q, r.keys[s].hi, 1);
            if (r.keys[s].lo > 0) add_end(t, q, r.keys[s].lo, -1);
        }
    }
done:
    return st;
}

atn_status atn_cp_pairs(atn_ctx *cx, const atn_pattern *p, atn_idx head,
                        atn_cp_order order, atn_idx ranks, int64_t *a)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    tally t = {order, p->frame.nk, ranks, pieces_of(order, ranks), NULL, NULL};
    const atn_idx size = ranks * (t.pieces + 1);
    atn_status st = ATN_OK;

    ATN_TRY(check(cx, p, ranks));
    ATN_TRY(atn_mem_check(cx, 16.0 * (double)size, "context parallelism"));
    ATN_TAKE(t.ends, size);
    ATN_TAKE(t.far, size);
    memset(t.ends, 0, (size_t)size * sizeof *t.ends);
    memset(t.far, 0, (size_t)size * sizeof *t.far);
    ATN_TRY(walk(cx, p, head, &t));
    for (atn_idx q = 0; q < ranks; q++) gather(&t, q, a + q * ranks);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static double sum_of(const int64_t *a, atn_idx n)
{
    double sum = 0;

    for (atn_idx i = 0; i < n; i++) sum += (double)a[i];
    return sum;
}

double atn_cp_ring_balance(const int64_t *a, atn_idx ranks)
{
    double steps = 0;

    for (atn_idx t = 0; t < ranks; t++) {
        int64_t most = 0;

        for (atn_idx q = 0; q < ranks; q++)
            most = ATN_MAX(most, a[q * ranks + (q - t + ranks) % ranks]);
        steps += (double)most;
    }
    return steps > 0 ? sum_of(a, ranks * ranks) / (double)ranks / steps : (double)NAN;
}

double atn_cp_gather_balance(const int64_t *a, atn_idx ranks)
{
    double most = 0;

    for (atn_idx q = 0; q < ranks; q++) most = fmax(most, sum_of(a + q * ranks, ranks));
    return most > 0 ? sum_of(a, ranks * ranks) / (double)ranks / most : (double)NAN;
}

/* ---- keys that nobody needs ---- */

/* Keys seen so far: spans [0, merged) are sorted and do not touch, the rest has come
 * since. They are put in order when the rest has grown as large. */
typedef struct cover {
    atn_span *at; /* [n + COVER_REST + 1] */
    atn_idx merged, used, near;
} cover;

static void cover_merge(cover *c)
{
    atn_idx n = 0;

    qsort(c->at, (size_t)c->used, sizeof *c->at, atn_by_begin);
    for (atn_idx i = 0; i < c->used; i++) {
        if (n > 0 && c->at[i].lo <= c->at[n - 1].hi)
            c->at[n - 1].hi = ATN_MAX(c->at[n - 1].hi, c->at[i].hi);
        else
            c->at[n++] = c->at[i];
    }
    c->merged = c->used = n;
    c->near = 0;
}

static bool within(const cover *c, atn_idx i, atn_span x)
{
    return i < c->merged && c->at[i].lo <= x.lo && x.hi <= c->at[i].hi;
}

/* All of x is in a merged span; looked for near the last one first, as the next span of
 * a row mostly is. */
static bool covered(cover *c, atn_span x)
{
    atn_idx lo = 0, hi = c->merged;

    if (within(c, c->near, x)) return true;
    if (within(c, c->near + 1, x)) {
        c->near++;
        return true;
    }
    while (hi - lo > 1) {
        const atn_idx mid = lo + (hi - lo) / 2;

        if (c->at[mid].lo <= x.lo)
            lo = mid;
        else
            hi = mid;
    }
    c->near = lo;
    return within(c, lo, x);
}

static void cover_add(cover *c, atn_span x)
{
    atn_span *last = c->used > c->merged ? &c->at[c->used - 1] : NULL;

    if (x.lo >= x.hi || covered(c, x)) return;
    if (last && x.lo <= last->hi && last->lo <= x.hi) {
        last->lo = ATN_MIN(last->lo, x.lo);
        last->hi = ATN_MAX(last->hi, x.hi);
        return;
    }
    if (c->used == 2 * c->merged + COVER_REST) cover_merge(c);
    c->at[c->used++] = x;
}

/* Of lo, lo + step, .. those in [x.lo, x.hi); lo >= 0. */
static atn_idx steps_within(atn_span part, atn_idx step, atn_span x)
{
    const atn_idx from = ATN_MAX(x.lo, part.lo), to = ATN_MIN(x.hi, part.hi);

    if (from >= to) return 0;
    return (to - part.lo + step - 1) / step - (from - part.lo + step - 1) / step;
}

/* Keys that are not rank q's own and that its queries see. */
static atn_idx seen_by(row_reader *r, const atn_cp_share *own, cover *c)
{
    const atn_idx block = r->p->frame.block;
    atn_idx seen = 0;

    c->merged = c->used = c->near = 0;
    for (int k = 0; k < own->parts; k++)
        for (atn_idx i = own->part[k].lo; i < own->part[k].hi; i += own->step) {
            const atn_idx next = i + own->step;
            atn_idx spans;

            /* the last query of a block row sees what the others do */
            if (next < own->part[k].hi && next / block == i / block) continue;
            spans = reader_keys(r, i);
            for (atn_idx s = 0; s < spans; s++) cover_add(c, r->keys[s]);
        }
    cover_merge(c);
    for (atn_idx i = 0; i < c->merged; i++) {
        seen += c->at[i].hi - c->at[i].lo;
        for (int k = 0; k < own->parts; k++)
            seen -= steps_within(own->part[k], own->step, c->at[i]);
    }
    return seen;
}

atn_status atn_cp_redundant(atn_ctx *cx, const atn_pattern *p, atn_idx head,
                            atn_cp_order order, atn_idx ranks, double *share)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx n = p->frame.nk;
    atn_status st = ATN_OK;
    cover c = {NULL, 0, 0, 0};
    double seen = 0;
    row_reader r;

    *share = (double)NAN;
    ATN_TRY(check(cx, p, ranks));
    if (ranks == 1) goto done;
    ATN_TRY(atn_mem_check(cx, 16.0 * (double)n, "context parallelism"));
    ATN_TAKE(c.at, n + COVER_REST + 1);
    ATN_TRY(reader_open(cx, p, head, &r));
    for (atn_idx q = 0; q < ranks; q++) {
        const atn_cp_share own = atn_cp_share_of(order, n, ranks, q);

        ATN_TRY(atn_progress(cx, "keys that ranks need", (double)q, (double)ranks));
        seen += (double)seen_by(&r, &own, &c);
    }
    *share = 1 - seen / ((double)n * (double)(ranks - 1));
done:
    atn_arena_rewind(cx, mark);
    return st;
}
