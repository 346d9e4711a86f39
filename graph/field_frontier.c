/* graph/field_frontier.c -- the field of one row, over any pattern.
 *
 * Math    from the top down: X_0 = {row}, X_t = X_t-1 and what its rows see in layer
 *         k - t + 1; R_k = X_k. With n layers in turn, k = r + m n: the first k layers
 *         from the top are those of depth r and then m times the whole list, so that
 *         R_k+n = list(R_k): one set for every r < n goes on by n layers. With one
 *         layer only what is new is visited. As R_k grows with k, R_k+n = R_k says that
 *         it has stopped for good.
 *         A row costs its intervals: far[lo] <- max(far[lo], hi), and one sweep says
 *         what is covered. Where rows repeat, of those in one segment and of one place
 *         in the step the last one is read to its end, and of the others what is near:
 *         the rest of their intervals are its own. The flag `own` of the plan: the last
 *         node is covered.
 * Cost    n n_layers passes for depth k > n, k^2 / 2 before; a pass: the rows of what
 *         is reached, and the nodes. 8 bytes a node, and one for each depth modulo n
 *         that was asked for.
 * Limits  2 GiB of such sets, or the memory limit where there is one.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>

#include "graph/field_internal.h"

enum { OUT, NEW, OLD }; /* not reached; reached; and visited, the only layer's */

typedef struct frontier {
    const atn_field_plan *plan;
    atn_idx row;
    uint8_t **set; /* [n] of [nodes], NULL before its first depth */
    bool *own;     /* [n] */
    atn_idx *far;  /* [nodes] */
    int now, sets; /* depth modulo n; how many there are */
} frontier;

static atn_status fits(atn_ctx *cx, const atn_field_plan *p, bool *out)
{
    (void)cx;
    (void)p;
    *out = true;
    return ATN_OK;
}

static double work(const atn_field_plan *p)
{
    return 10 * (double)p->nodes * p->n;
}

static void close_frontier(atn_ctx *cx, void *state)
{
    frontier *f = state;

    if (!f) return;
    for (int r = 0; f->set && r < f->plan->n; r++) atn_free(cx, f->set[r]);
    atn_free(cx, f->set);
    atn_free(cx, f->own);
    atn_free(cx, f->far);
    atn_free(cx, f);
}

/* The set of depths r modulo n, which begins with the row alone. */
static atn_status need_set(atn_ctx *cx, frontier *f, int r)
{
    const double nodes = (double)f->plan->nodes;
    atn_status st = ATN_OK;

    if (f->set[r]) return ATN_OK;
    if (cx->mem_limit == 0 && (f->sets + 1) * nodes > atn_field_room(cx))
        ATN_FAIL(ATN_MEMORY,
                 "field: %d layers that differ need as many sets of %lld nodes, above "
                 "%.3g MiB (ask for fewer layers, give the patterns larger blocks, or "
                 "say with --mem-limit how much there may be)",
                 f->sets + 1, (long long)f->plan->nodes, atn_field_room(cx) / 1048576);
    ATN_TRY(atn_mem_check(cx, nodes, "a field"));
    ATN_NEW(f->set[r], f->plan->nodes);
    f->set[r][f->row] = NEW;
    f->sets++;
done:
    return st;
}

static atn_status open_frontier(atn_ctx *cx, const atn_field_plan *p, atn_idx row,
                                void **state)
{
    const double bytes = (double)p->nodes * (1 + (double)sizeof(atn_idx));
    atn_status st = ATN_OK;
    frontier *f = NULL;

    *state = NULL;
    ATN_TRY(atn_mem_check(cx, bytes + atn_field_reader_bytes(p), "field"));
    ATN_NEW(f, 1);
    f->plan = p;
    f->row = row;
    ATN_NEW(f->set, p->n);
    ATN_NEW(f->own, p->n);
    ATN_NEW(f->far, p->nodes);
    ATN_TRY(need_set(cx, f, 0));
    *state = f;
    f = NULL;
done:
    close_frontier(cx, f);
    return st;
}

/* Reads row a of the set: all of it or, where a later row has the rest, the near
 * part. */
static void read_row(frontier *f, atn_field_reader *r, atn_idx a, bool whole)
{
    const atn_idx from = whole ? 0 : ATN_MAX(a - r->repeat.reach, 0);
    const atn_span *s;
    const atn_idx n = atn_field_row_from(r, a, from, &s);

    for (atn_idx i = 0; i < n; i++) f->far[s[i].lo] = ATN_MAX(f->far[s[i].lo], s[i].hi);
}

/* The rows of the set, from the last one down. seen [step]: the segment of the last row
 * of the set at this place of the step, + 1. */
static atn_status read_rows(atn_ctx *cx, frontier *f, atn_field_reader *r, uint8_t *set)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const uint8_t visited = f->plan->n == 1 ? OLD : NEW;
    const atn_idx step = atn_field_places(r), segment = r->repeat.segment;
    const atn_idx nodes = f->plan->nodes;
    atn_status st = ATN_OK;
    atn_idx *seen = NULL;

    ATN_TAKE(seen, step);
    memset(seen, 0, (size_t)step * sizeof *seen);
    for (atn_idx a = nodes - 1; a >= 0; a--) {
        const atn_idx mine = (segment > 0 ? a / segment : 0) + 1;
        bool whole;

        ATN_TRY(atn_field_scanned(cx, nodes - 1 - a, nodes));
        if (set[a] == OUT) continue;
        whole = r->repeat.step == 0 || seen[a % step] != mine;
        seen[a % step] = mine;
        if (set[a] == OLD) continue;
        if (r->read > ATN_FIELD_READ_MOST) {
            ATN_TRY(atn_stopped(cx, "field"));
            r->read = 0;
        }
        read_row(f, r, a, whole);
        set[a] = visited;
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* set <- set and what its rows see in the layer of r. */
static atn_status pass(atn_ctx *cx, frontier *f, atn_field_reader *r, uint8_t *set,
                       bool *own)
{
    const atn_idx nodes = f->plan->nodes;
    atn_status st = ATN_OK;
    atn_idx end = 0;

    memset(f->far, 0, (size_t)nodes * sizeof *f->far);
    ATN_TRY(read_rows(cx, f, r, set));
    for (atn_idx a = 0; a < nodes; a++) {
        end = ATN_MAX(end, f->far[a]);
        if (a < end && set[a] == OUT) set[a] = NEW;
        ATN_TRY(atn_field_scanned(cx, a, nodes));
    }
    *own |= end >= nodes;
done:
    return st;
}

static bool full(const frontier *f, const uint8_t *set, bool own)
{
    return own && !memchr(set, OUT, (size_t)f->plan->nodes);
}

static atn_status step(atn_ctx *cx, void *state, int k)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    frontier *f = state;
    uint8_t *set;
    atn_status st = ATN_OK;
    atn_field_reader r;

    f->now = k % f->plan->n;
    ATN_TRY(need_set(cx, f, f->now));
    set = f->set[f->now];
    ATN_TRY(atn_field_reader_open(cx, f->plan, &r));
    for (int t = ATN_MIN(k, f->plan->n); t > 0; t--) {
        if (full(f, set, f->own[f->now])) break;
        ATN_TRY(atn_stopped(cx, "field"));
        atn_field_reader_set(&r, atn_field_layer(f->plan, t));
        ATN_TRY(pass(cx, f, &r, set, &f->own[f->now]));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status mark(atn_ctx *cx, const void *state, atn_idx row, uint8_t *reached,
                       bool *own)
{
    const frontier *f = state;
    const uint8_t *set = f->set[f->now];
    atn_status st = ATN_OK;

    (void)row;
    for (atn_idx a = 0; a < f->plan->nodes; a++) {
        reached[a] = set[a] != OUT;
        ATN_TRY(atn_field_scanned(cx, a, f->plan->nodes));
    }
    *own = f->own[f->now];
done:
    return st;
}

const atn_field_engine atn_field_frontier = {
    .id = "frontier",
    .fits = fits,
    .work = work,
    .open = open_frontier,
    .step = step,
    .mark = mark,
    .close = close_frontier,
};
