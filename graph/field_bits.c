/* graph/field_bits.c -- the fields of all nodes of any pattern, a bit for every pair.
 *
 * Math    bit (i, j) of R_k = OR over the rows j' that i sees of bit (j', j) of R_k-1.
 *         A stripe of 512 keys never needs another one: its rows are copied to the
 *         leaves of a tree whose nodes are the OR of their two children, and an
 *         interval of rows is the OR of at most 2 log N nodes. So R_k is written over
 *         R_k-1, causal or not, and threads share out the stripes. Where rows repeat,
 *         what is held of an earlier one is not read again. A causal layer's rows
 *         above a stripe see nothing of it, so that nothing of them is held.
 *         Bit (a, a) of the OR says that a is whole. A causal layer among others that
 *         are not must not say so by its edge a -> a: there a is left out, which R_k
 *         does not need, since row a keeps its R_k-1(a) anyway.
 * Cost    a layer: N / 512 stripes times the intervals of all rows times 16 log of
 *         their lengths words; N^2 / 8 bytes, 128 N bytes a thread, 8 bytes an interval
 *         of the largest layer. In causal layers the rows above a stripe are skipped.
 * Limits  2 GiB of pairs (131,072 nodes), or the memory limit where there is one.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>

#include "core/rows.h"
#include "graph/field_bits.h"

enum { CHUNK = 1024 }; /* rows of a task that counts */

/* 2 GiB of pairs and what goes with them */
static const double BYTES_DEFAULT = 1.125 * 2147483648.;

static double bytes_of(const atn_ctx *cx, const atn_field_plan *p, int64_t most)
{
    const double nodes = (double)p->nodes, stripes = ((double)p->nodes - 1) / 512 + 1;
    atn_idx held = 1;

    for (int i = 0; i < p->n; i++)
        held = ATN_MAX(held, atn_field_repeat(p, p->layers[i]).step);
    return (stripes + 2.0 * cx->threads) * nodes * sizeof(atn_stripe_row) +
           cx->threads * (double)held * sizeof(atn_stripe_row) + nodes +
           8 * (nodes + (double)most) + cx->threads * atn_field_reader_bytes(p);
}

atn_status atn_field_bits_fit(atn_ctx *cx, const atn_field_plan *p, double *bytes,
                              double *limit)
{
    atn_status st = ATN_OK;
    int64_t most = 0;

    *limit = cx->mem_limit ? atn_mem_left(cx) : BYTES_DEFAULT;
    *bytes = bytes_of(cx, p, 0);
    if (*bytes > *limit || p->nodes > INT32_MAX) return ATN_OK;
    ATN_TRY(atn_field_table_most(cx, p, &most));
    *bytes = bytes_of(cx, p, most);
done:
    return st;
}

static atn_status fits(atn_ctx *cx, const atn_field_plan *p, bool *out)
{
    atn_status st = ATN_OK;
    double bytes, limit;

    ATN_TRY(atn_field_bits_fit(cx, p, &bytes, &limit));
    *out = bytes <= limit;
done:
    return st;
}

static double work(const atn_field_plan *p)
{
    return (double)p->nodes * (double)p->nodes / 64;
}

static void close_bits(atn_ctx *cx, void *state)
{
    atn_field_bits_state *b = state;

    if (!b) return;
    atn_field_table_release(cx, &b->table);
    atn_free(cx, b->rows);
    atn_free(cx, b->whole);
    atn_free(cx, b);
}

static atn_status open_bits(atn_ctx *cx, const atn_field_plan *p, atn_idx row,
                            void **state)
{
    atn_status st = ATN_OK;
    atn_field_bits_state *b = NULL;

    (void)row;
    *state = NULL;
    ATN_NEW(b, 1);
    b->plan = p;
    b->stripes = (p->nodes - 1) / ATN_STRIPE + 1;
    ATN_NEW(b->rows, b->stripes * p->nodes);
    ATN_NEW(b->whole, p->nodes);
    for (atn_idx a = 0; a < p->nodes; a++)
        b->rows[a / ATN_STRIPE * p->nodes + a].w[a % ATN_STRIPE / 64] |= (uint64_t)1
                                                                         << (a % 64);
    *state = b;
    b = NULL;
done:
    close_bits(cx, b);
    return st;
}

static void or_row(atn_stripe_row *to, const atn_stripe_row *from)
{
    for (int w = 0; w < ATN_STRIPE / 64; w++) to->w[w] |= from->w[w];
}

/* OR of the rows of the tree's leaves below `end` that one row sees. held [step]: of rows by their
 * place in the step, what the next ones take over. */
static atn_stripe_row seen(const atn_field_bits_state *b, const atn_stripe_row *tree,
                           atn_idx a, atn_idx end, atn_stripe_row *held)
{
    const atn_repeat *r = &b->table.repeat;
    const atn_idx near = r->step > 0 ? a - r->step - r->reach : 0;
    atn_stripe_row *const keep = held + (r->step > 0 ? a % r->step : 0);
    atn_stripe_row sum = {{0}};

    if (r->step == 0 || atn_repeat_fresh(r, a)) *keep = sum;
    for (int64_t s = b->table.ptr[a]; s < b->table.ptr[a + 1]; s++) {
        atn_stripe_row *const to = b->table.spans[2 * s] < near ? keep : &sum;
        atn_idx lo = b->table.spans[2 * s] + b->plan->nodes;
        atn_idx hi = ATN_MIN(b->table.spans[2 * s + 1], end) + b->plan->nodes;

        for (; lo < hi; lo /= 2, hi /= 2) {
            if (lo % 2) or_row(to, &tree[lo++]);
            if (hi % 2) or_row(to, &tree[--hi]);
        }
    }
    or_row(&sum, keep);
    return sum;
}

/* Whether row a sees a; of a causal layer. */
static bool sees_itself(const atn_field_bits_state *b, atn_idx a)
{
    const int64_t n = b->table.ptr[a + 1];

    return n > b->table.ptr[a] && b->table.spans[2 * n - 1] == a + 1;
}

static atn_status step_stripe(atn_ctx *cx, atn_idx stripe, void *state)
{
    atn_field_bits_state *b = state;
    const atn_idx nodes = b->plan->nodes, last = nodes - 1;
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx held = ATN_MAX(b->table.repeat.step, 1);
    const bool apart = b->table.p->frame.causal && !b->plan->causal;
    atn_stripe_row *rows = b->rows + stripe * nodes, *tree = NULL, *keep = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(tree, 2 * nodes);
    ATN_TAKE(keep, held);
    memset(keep, 0, (size_t)held * sizeof *keep);
    memcpy(tree + nodes, rows, (size_t)nodes * sizeof *rows);
    for (atn_idx i = nodes - 1; i > 0; i--) {
        tree[i] = tree[2 * i];
        or_row(&tree[i], &tree[2 * i + 1]);
    }
    for (atn_idx a = b->plan->causal ? stripe * ATN_STRIPE : 0; a < nodes; a++) {
        if (b->table.ptr[a] >> 18 != b->table.ptr[a + 1] >> 18) /* intervals */
            ATN_TRY(atn_stopped(cx, "field"));
        const atn_stripe_row sum = seen(b, tree, a, apart ? a : nodes, keep);

        if (stripe == a / ATN_STRIPE) {
            b->whole[a] |= (uint8_t)(sum.w[a % ATN_STRIPE / 64] >> (a % 64) & 1);
            if (a == last) b->own |= b->whole[a] || (apart && sees_itself(b, a));
        }
        or_row(&rows[a], &sum);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status step(atn_ctx *cx, void *state, int k)
{
    atn_field_bits_state *b = state;
    const atn_pattern *p = atn_field_layer(b->plan, k);
    atn_status st = ATN_OK;

    ATN_TRY(atn_field_table_fill(cx, b->plan, p, &b->table));
    ATN_TRY(atn_parallel(cx, b->stripes, step_stripe, b, "a layer's fields"));
done:
    return st;
}

static atn_status mark(atn_ctx *cx, const void *state, atn_idx row, uint8_t *reached,
                       bool *own)
{
    const atn_field_bits_state *b = state;

    (void)cx;
    for (atn_idx j = 0; j < b->plan->nodes; j++) reached[j] = atn_field_bit(b, row, j);
    *own = b->own;
    return ATN_OK;
}

static bool meets(const void *state, atn_span rows, atn_span keys)
{
    const atn_field_bits_state *b = state;

    for (atn_idx w = keys.lo / 64; w * 64 < keys.hi; w++) {
        const atn_stripe_row *stripe = b->rows + w * 64 / ATN_STRIPE * b->plan->nodes;
        uint64_t any = 0;

        for (atn_idx a = rows.lo; a < rows.hi; a++)
            any |= stripe[a].w[w % (ATN_STRIPE / 64)];
        if (w == keys.lo / 64) any &= ~(uint64_t)0 << (keys.lo % 64);
        if (keys.hi - w * 64 < 64) any &= ~(~(uint64_t)0 << (keys.hi - w * 64));
        if (any) return true;
    }
    return false;
}

typedef struct counting {
    const atn_field_bits_state *bits;
    atn_idx *reached; /* [nodes] */
} counting;

static atn_idx bits_of(uint64_t x)
{
    x -= x >> 1 & 0x5555555555555555u;
    x = (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
    x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return (atn_idx)(x * 0x0101010101010101u >> 56);
}

static atn_status count_chunk(atn_ctx *cx, atn_idx chunk, void *state)
{
    const counting *c = state;
    const atn_idx nodes = c->bits->plan->nodes;
    const atn_idx first = chunk * CHUNK, end = ATN_MIN(first + CHUNK, nodes);

    (void)cx;
    for (atn_idx a = first; a < end; a++) c->reached[a] = 0;
    for (atn_idx s = 0; s < c->bits->stripes; s++)
        for (atn_idx a = first; a < end; a++)
            for (int w = 0; w < ATN_STRIPE / 64; w++)
                c->reached[a] += bits_of(c->bits->rows[s * nodes + a].w[w]);
    return ATN_OK;
}

static atn_status tally(atn_ctx *cx, const void *state, atn_field_tally *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    counting c = {.bits = state};
    const atn_idx nodes = c.bits->plan->nodes;
    atn_status st = ATN_OK;

    *out = (atn_field_tally){0};
    ATN_TAKE(c.reached, nodes);
    ATN_TRY(
        atn_parallel(cx, (nodes - 1) / CHUNK + 1, count_chunk, &c, "a layer's fields"));
    for (atn_idx a = 0; a < nodes; a++)
        atn_field_count(out, c.bits->plan, a, c.reached[a], c.bits->whole[a]);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_field_engine atn_field_bits = {
    .id = "bits",
    .every = true,
    .fits = fits,
    .work = work,
    .open = open_bits,
    .step = step,
    .mark = mark,
    .meets = meets,
    .tally = tally,
    .close = close_bits,
};
