/* simulators/parallel_chunk.c -- what of a pattern one rank's queries share with
 * another's keys, as a pattern of its own.
 *
 * Math    positions are renumbered in the order in which their rank holds them; an
 *         interval of keys becomes one in each part of the keys. Rows that all are
 *         max(0, i + F - far) .. min(keys, i + F - near + 1) are stated as offsets, so
 *         that a kernel for full, causal or windowed attention may be launched on them.
 *         Blocks stay blocks where no border cuts one.
 * Cost    the intervals of the rows of the queries, which are held.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>

#include "simulators/parallel.h"

/* Rows of one head in units of `unit` tokens. */
typedef struct chunk_rows {
    int64_t *ptr; /* [rows + 1] */
    atn_span *span;
    atn_idx n, room;
} chunk_rows;

typedef struct chunk_job {
    const atn_cp_share *queries, *keys;
    atn_idx unit;          /* a block of the pattern, or 1 */
    atn_idx rows, cols;    /* units */
    atn_idx tokens[2];     /* queries and keys, in tokens */
    atn_span used, wanted; /* rows and keys that some head has an interval in */
} chunk_job;

/* Places of a share, from `x` on in units: how many lie below x in part `i`. */
static atn_idx below(const atn_cp_share *s, int i, atn_idx unit, atn_idx x)
{
    const atn_idx lo = s->part[i].lo / unit, hi = atn_ceil_div(s->part[i].hi, unit);

    if (x <= lo) return 0;
    return (ATN_MIN(x, hi) - lo + s->step - 1) / s->step;
}

static atn_idx places(const atn_cp_share *s, int i, atn_idx unit)
{
    return below(s, i, unit, s->part[i].hi);
}

static bool aligned(const atn_cp_share *s, atn_idx unit, atn_idx tokens)
{
    for (int i = 0; i < s->parts; i++)
        if (s->part[i].lo % unit || (s->part[i].hi % unit && s->part[i].hi < tokens))
            return false;
    return s->step == 1;
}

static bool same_share(const atn_cp_share *a, const atn_cp_share *b)
{
    if (a->parts != b->parts || a->step != b->step) return false;
    for (int i = 0; i < a->parts; i++)
        if (a->part[i].lo != b->part[i].lo || a->part[i].hi != b->part[i].hi)
            return false;
    return true;
}

/* Blocks may stay where the diagonal, if it cuts any, is the chunk's own. */
static atn_idx unit_of(const atn_cp_head *h, atn_idx n, const chunk_job *j)
{
    const atn_frame *f = &h[0].pattern->frame;
    bool keep = f->block > 1 && aligned(j->queries, f->block, f->nk) &&
                aligned(j->keys, f->block, f->nk);

    for (atn_idx i = 1; i < n; i++)
        keep = keep && h[i].pattern->frame.block == f->block &&
               h[i].pattern->frame.causal == f->causal;
    for (int a = 0; keep && f->causal && a < j->queries->parts; a++)
        for (int b = 0; b < j->keys->parts; b++) {
            const atn_span x = j->queries->part[a], y = j->keys->part[b];

            if (x.lo < y.hi && y.lo < x.hi && !same_share(j->queries, j->keys))
                keep = false;
        }
    return keep ? f->block : 1;
}

static atn_status push(atn_ctx *cx, chunk_rows *r, atn_span x)
{
    atn_span *more;

    if (r->n > r->ptr[0] && r->span[r->n - 1].hi == x.lo) {
        r->span[r->n - 1].hi = x.hi;
        return ATN_OK;
    }
    if (r->n == r->room) {
        more = atn_realloc(cx, r->span, 2 * r->room + 64, sizeof *r->span);
        if (!more) return cx->err.code;
        r->span = more;
        r->room = 2 * r->room + 64;
    }
    r->span[r->n++] = x;
    return ATN_OK;
}

/* One row: its intervals in units of the pattern, renumbered. ptr[0] of r holds where
 * the row begins while it is made. */
static atn_status add_row(atn_ctx *cx, const chunk_job *j, const atn_span *x, atn_idx n,
                          chunk_rows *r)
{
    atn_status st = ATN_OK;

    r->ptr[0] = r->n;
    for (atn_idx s = 0; s < n; s++) {
        atn_idx base = 0;

        for (int i = 0; i < j->keys->parts; i++) {
            const atn_span y = {base + below(j->keys, i, j->unit, x[s].lo),
                                base + below(j->keys, i, j->unit, x[s].hi)};

            if (y.lo < y.hi) ATN_TRY(push(cx, r, y));
            base += places(j->keys, i, j->unit);
        }
    }
done:
    return st;
}

static void widen(chunk_job *j, atn_idx row, const chunk_rows *r, atn_idx from)
{
    if (from == r->n) return;
    if (j->used.lo == j->used.hi) {
        j->used.lo = row;
        j->wanted = (atn_span){r->span[from].lo, r->span[r->n - 1].hi};
    }
    j->used.lo = ATN_MIN(j->used.lo, row);
    j->used.hi = ATN_MAX(j->used.hi, row + 1);
    j->wanted.lo = ATN_MIN(j->wanted.lo, r->span[from].lo);
    j->wanted.hi = ATN_MAX(j->wanted.hi, r->span[r->n - 1].hi);
}

static atn_status read_rows(atn_ctx *cx, chunk_job *j, const atn_cp_head *h,
                            chunk_rows *r)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_pattern *p = h->pattern;
    atn_status st = ATN_OK;
    atn_span *x = NULL;
    atn_idx row = 0;

    ATN_NEW(r->ptr, j->rows + 1);
    ATN_NEW(r->span, 64);
    r->room = 64;
    ATN_TAKE(x, p->room);
    for (int k = 0; k < j->queries->parts; k++) {
        const atn_idx first = j->queries->part[k].lo / j->unit;

        for (atn_idx i = 0; i < places(j->queries, k, j->unit); i++, row++) {
            const atn_idx at = first + i * j->queries->step, from = r->n;
            const atn_idx n = j->unit > 1 ? atn_pattern_row(p, h->head, at, x)
                                          : atn_pattern_keys(p, h->head, at, x);

            if (row % 65536 == 0)
                ATN_TRY(atn_progress(cx, "chunks", (double)row, (double)j->rows));
            ATN_TRY(add_row(cx, j, x, n, r));
            r->ptr[row + 1] = r->n;
            widen(j, row, r, from);
        }
    }
    r->ptr[0] = 0;
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- what is left of it, and its form ---- */

static atn_frame frame_of(const chunk_job *j, atn_idx first, bool causal)
{
    const atn_idx u = j->unit;
    const atn_idx nq = ATN_MIN(j->used.hi * u, j->tokens[0]) - j->used.lo * u;
    const atn_idx nk = ATN_MIN(j->wanted.hi * u, j->tokens[1]) - j->wanted.lo * u;

    return (atn_frame){nk, nq, first * u, u, causal};
}

/* The rows are windows that move with them; offsets [near, far] then. */
static bool moves(const chunk_job *j, const chunk_rows *r, atn_idx first, atn_span *out)
{
    const atn_idx rows = j->used.hi - j->used.lo, keys = j->wanted.hi - j->wanted.lo;
    atn_idx near = rows + first, far = -keys;
    bool from_first = true, to_last = true;

    for (atn_idx i = 0; i < rows; i++) {
        const int64_t *at = r->ptr + j->used.lo + i;
        const atn_span *x = r->span + at[0];

        if (at[1] - at[0] != 1) return false;
        from_first = from_first && x->lo == j->wanted.lo;
        to_last = to_last && x->hi == j->wanted.hi;
        near = ATN_MIN(near, i + first - (x->hi - 1 - j->wanted.lo));
        far = ATN_MAX(far, i + first - (x->lo - j->wanted.lo));
    }
    if (from_first) far = first + rows;
    if (to_last) near = -keys;
    for (atn_idx i = 0; i < rows; i++) {
        const atn_span *x = r->span + r->ptr[j->used.lo + i];

        if (x->lo - j->wanted.lo != ATN_MAX(i + first - far, 0)) return false;
        if (x->hi - j->wanted.lo != ATN_MIN(i + first - near + 1, keys)) return false;
    }
    *out = (atn_span){near, far + 1};
    return true;
}

/* Given rows, without what is cut off. Takes r's arrays. */
static atn_status as_rows(atn_ctx *cx, const chunk_job *j, chunk_rows *r, bool causal,
                          atn_pattern **out)
{
    const atn_frame f = frame_of(j, 0, causal);
    const atn_idx rows = j->used.hi - j->used.lo;
    int64_t *ptr = r->ptr;
    atn_span *span = r->span;

    memmove(ptr, ptr + j->used.lo, (size_t)(rows + 1) * sizeof *ptr);
    for (atn_idx s = 0; s < r->n; s++) {
        span[s].lo -= j->wanted.lo;
        span[s].hi -= j->wanted.lo;
    }
    *r = (chunk_rows){0};
    return atn_pattern_rows(cx, &f, 1, ptr, span, out);
}

static atn_status form(atn_ctx *cx, chunk_job *j, chunk_rows *r, bool causal,
                       atn_pattern **out)
{
    const atn_idx rows = j->used.hi - j->used.lo, keys = j->wanted.hi - j->wanted.lo;
    const atn_idx first = ATN_MAX(keys - rows, 0);
    const bool diagonal = causal && j->unit > 1;
    atn_span offsets;
    atn_frame f;

    if (!moves(j, r, first, &offsets)) return as_rows(cx, j, r, diagonal, out);
    if (diagonal && (first > 0 || offsets.lo < 0))
        return as_rows(cx, j, r, diagonal, out);
    f = frame_of(j, first, diagonal || (j->unit == 1 && offsets.lo == 0));
    return atn_pattern_shift(cx, &f, &offsets, 1, 0, out);
}

atn_status atn_cp_chunk(atn_ctx *cx, const atn_cp_head *heads, atn_idx n,
                        const atn_cp_share *queries, const atn_cp_share *keys,
                        atn_pattern **out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    chunk_job j = {.queries = queries, .keys = keys};
    atn_status st = ATN_OK;
    chunk_rows *rows = NULL;
    bool causal;

    for (atn_idx h = 0; h < n; h++) out[h] = NULL;
    ATN_TAKE(rows, n);
    memset(rows, 0, (size_t)n * sizeof *rows);
    j.unit = unit_of(heads, n, &j);
    for (int i = 0; i < queries->parts; i++) j.rows += places(queries, i, j.unit);
    j.tokens[0] = atn_cp_share_size(queries);
    j.tokens[1] = atn_cp_share_size(keys);
    for (atn_idx h = 0; h < n; h++) ATN_TRY(read_rows(cx, &j, &heads[h], &rows[h]));
    if (j.used.lo == j.used.hi) goto done;
    causal = heads[0].pattern->frame.causal && same_share(queries, keys);
    if (j.unit > 1 && causal) { /* the diagonal stays where it is */
        j.used.lo = j.wanted.lo = 0;
        j.used.hi = j.rows;
        j.wanted.hi = atn_ceil_div(j.tokens[1], j.unit);
    }
    for (atn_idx h = 0; h < n; h++) ATN_TRY(form(cx, &j, &rows[h], causal, &out[h]));
done:
    for (atn_idx h = 0; h < n && rows; h++) {
        atn_free(cx, rows[h].ptr);
        atn_free(cx, rows[h].span);
    }
    for (atn_idx h = 0; h < n && st != ATN_OK; h++) {
        atn_pattern_destroy(cx, out[h]);
        out[h] = NULL;
    }
    atn_arena_rewind(cx, mark);
    return st;
}
