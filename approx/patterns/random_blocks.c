/* approx/patterns/random_blocks.c -- so many of the blocks, at random.
 *
 * Math    a row of blocks sees max(1, round(density m)) of the m blocks that it may
 *         see, all choices alike; causal m = a + 1, and its own block is among them.
 *         variable: instead of blocks of equal size the sequence is cut at random into
 *         as many pieces, the same for queries and keys of a head.
 * Oracle  density 1: full, or causal, attention. nb blocks that b divides: nb b^2
 *         round(density nb) pairs.
 * Source  Bu et al., Long-Context Attention Benchmark, arXiv 2510.17896, the uniform
 *         and the variable block-sparse mask.
 * Cost    rows of blocks times blocks, drawn once; variable: a row costs its intervals.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/generate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "core/rows.h"

typedef struct random_blocks {
    double density;
    int64_t block;
    bool causal, variable;
} random_blocks;

static const atn_param params[] = {
    ATN_PARAM_F64(random_blocks, density, 0.2, 0, 1,
                  "share of the blocks that is seen"),
    ATN_PARAM_BOOL(random_blocks, causal, 0, "keys up to the query only"),
    ATN_PARAM_BOOL(random_blocks, variable, 0,
                   "pieces of random sizes, `block` tokens on the mean"),
    ATN_PARAM_BLOCK(random_blocks, 64),
    ATN_PARAM_END,
};

/* What is drawn from: `cols` blocks or pieces, rows row0 .. row1 of them. */
typedef struct choice {
    double density;
    bool causal;
    atn_idx cols, row0, row1;
} choice;

static atn_idx seen_of(const choice *c, atn_idx a)
{
    const atn_idx m = c->causal ? ATN_MIN(a + 1, c->cols) : c->cols;
    const double k = floor(c->density * (double)m + 0.5);

    return ATN_MAX(1, (atn_idx)k);
}

/* k of m numbers, ascending, as spans; their number. */
static atn_idx pick(atn_rng *rng, atn_idx m, atn_idx k, atn_span *out)
{
    atn_idx n = 0;

    for (atn_idx x = 0; x < m && k > 0; x++) {
        if (k < m - x && atn_rng_below(rng, m - x) >= k) continue;
        k--;
        if (n && out[n - 1].hi == x)
            out[n - 1].hi++;
        else
            out[n++] = (atn_span){x, x + 1};
    }
    return n;
}

/* The blocks of row a, into out [cols + 1]. */
static atn_idx row_of(const choice *c, atn_rng rng, atn_idx a, atn_span *out)
{
    const bool own = c->causal && a < c->cols;
    const atn_idx m = own ? a : c->cols;
    atn_idx n;

    rng.counter[1] = (uint32_t)a;
    n = pick(&rng, m, seen_of(c, a) - own, out);
    if (!own) return n;
    if (n && out[n - 1].hi == a)
        out[n - 1].hi++;
    else
        out[n++] = (atn_span){a, a + 1};
    return n;
}

/* Lists of all heads, room for each [room] */
typedef struct drawing {
    const choice *c;
    const atn_layout *l;
    atn_idx rows, room;
    int64_t *length; /* [heads * rows] of the coded lists */
    int32_t *items;  /* [heads * room] */
} drawing;

static atn_status draw_head(atn_ctx *cx, atn_idx h, void *state)
{
    const drawing *d = state;
    const choice *c = d->c;
    const atn_rng rng = atn_rng_stream(d->l->seed, "random_blocks", d->l->layer, h);
    const atn_arena_mark mark = atn_arena_save(cx);
    int32_t *items = d->items + h * d->room;
    atn_status st = ATN_OK;
    atn_span *spans;

    ATN_TAKE(spans, c->cols + 1);
    for (atn_idx a = c->row0; a < c->row1; a++) {
        const atn_idx n = row_of(c, rng, a, spans);
        const int64_t coded = atn_pattern_code(spans, n, items);

        d->length[h * d->rows + a - c->row0] = coded;
        items += coded;
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Lists that follow each other; ptr [heads * rows + 1]. */
static void join_heads(const drawing *d, int64_t *ptr)
{
    atn_idx k = 0;

    for (atn_idx h = 0; h < d->l->heads; h++) {
        const int64_t from = ptr[k];

        for (atn_idx a = 0; a < d->rows; a++, k++) ptr[k + 1] = ptr[k] + d->length[k];
        if (from < h * d->room)
            memmove(d->items + from, d->items + h * d->room,
                    (size_t)(ptr[k] - from) * sizeof *d->items);
    }
}

static atn_status uniform(atn_ctx *cx, const choice *c, const atn_layout *l,
                          const atn_frame *f, atn_pattern **out)
{
    drawing d = {.c = c, .l = l, .rows = c->row1 - c->row0};
    atn_idx room = 0;
    atn_status st = ATN_OK;
    int64_t *ptr = NULL;

    for (atn_idx a = c->row0; a < c->row1; a++) d.room += seen_of(c, a);
    if (!atn_mul(l->heads, d.room, &room))
        ATN_FAIL(ATN_MEMORY,
                 "random_blocks: %lld rows of blocks in %lld heads are too "
                 "many (give larger blocks)",
                 (long long)d.rows, (long long)l->heads);
    ATN_NEW(ptr, l->heads * d.rows + 1);
    ATN_TAKE(d.length, l->heads * d.rows);
    ATN_NEW(d.items, room);
    ATN_TRY(atn_parallel(cx, l->heads, draw_head, &d, "random blocks"));
    join_heads(&d, ptr);
    st = atn_pattern_lists(cx, f, 1, l->heads, ptr, d.items, out);
    ptr = NULL;
    d.items = NULL;
done:
    atn_free(cx, ptr);
    atn_free(cx, d.items);
    return st;
}

/* ---- pieces of random sizes ---- */

/* Borders 0 < .. < n of `pieces` pieces, all choices alike: starts [pieces + 1]. */
static void cut(atn_rng *rng, atn_idx n, atn_idx pieces, atn_idx *starts)
{
    atn_idx left = pieces - 1, made = 1;

    starts[0] = 0;
    for (atn_idx x = 1; x < n && left > 0; x++)
        if (atn_rng_below(rng, n - x) < left) {
            starts[made++] = x;
            left--;
        }
    starts[pieces] = n;
}

/* One head: a box for every interval of a row of pieces. */
static atn_status pieces_of(atn_ctx *cx, const choice *c, const atn_layout *l,
                            atn_idx head, atn_pattern **out)
{
    const atn_frame f = atn_generator_frame(l, 1, c->causal);
    const atn_rng rng = atn_rng_stream(l->seed, "random_blocks", l->layer, head);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_rng sizes = atn_rng_stream(l->seed, "random_blocks/sizes", l->layer, head);
    atn_idx *starts = NULL, room = 0, n = 0;
    atn_span *spans = NULL;
    atn_box *boxes = NULL;
    atn_status st = ATN_OK;

    for (atn_idx a = 0; a < c->cols; a++)
        room += ATN_MIN(seen_of(c, a), c->cols / 2 + 1);
    ATN_TAKE(starts, c->cols + 1);
    ATN_TAKE(spans, c->cols + 1);
    ATN_TAKE(boxes, room);
    cut(&sizes, l->nk, c->cols, starts);
    for (atn_idx a = 0; a < c->cols; a++) {
        const atn_idx k = row_of(c, rng, a, spans);
        const atn_idx end = a + 1 < c->cols ? starts[a + 1] : atn_generator_reach(&f);

        for (atn_idx s = 0; s < k; s++)
            boxes[n++] =
                (atn_box){{starts[a], end}, {starts[spans[s].lo], starts[spans[s].hi]}};
    }
    ATN_TRY(atn_pattern_boxes(cx, &f, boxes, n, out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status variable(atn_ctx *cx, const choice *c, const atn_layout *l,
                           atn_pattern **out)
{
    atn_status st = ATN_OK;
    atn_pattern **p = NULL;

    ATN_TAKE(p, l->heads);
    for (atn_idx h = 0; h < l->heads; h++) p[h] = NULL;
    for (atn_idx h = 0; h < l->heads; h++) ATN_TRY(pieces_of(cx, c, l, h, &p[h]));
    st = atn_generator_heads(cx, p, l->heads, out);
    p = NULL;
done:
    for (atn_idx h = 0; p && h < l->heads; h++) atn_pattern_destroy(cx, p[h]);
    return st;
}

static atn_status make(atn_ctx *cx, const void *params_, const atn_layout *l,
                       atn_pattern **out)
{
    const random_blocks *t = params_;
    const atn_frame f = atn_generator_frame(l, t->block, t->causal);
    const choice c = {t->density, t->causal, atn_generator_cols(&f), f.first / f.block,
                      (f.first + f.nq - 1) / f.block + 1};
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_status st =
        t->variable ? variable(cx, &c, l, out) : uniform(cx, &c, l, &f, out);

    atn_arena_rewind(cx, mark);
    return st;
}

/* The blocks of all rows and heads; of pieces boxes, and an index of them. */
static double bytes(const void *params_, const atn_layout *l)
{
    const random_blocks *t = params_;
    const double cols = (double)(l->nk / t->block) + 1;
    const double rows = (double)(l->nq / t->block) + 2, heads = (double)l->heads;
    const double seen = t->density * cols + 1;

    if (t->variable)
        return cols * ATN_MIN(seen, cols / 2 + 1) * 32 * (6 * heads + 1) + 256 * heads +
               24 * cols + 4096;
    return rows * heads * (4 * seen + 16) + 16 * cols + 4096;
}

static bool placeless(const void *params_)
{
    const random_blocks *t = params_;

    return !t->causal;
}

const atn_generator atn_generator_random_blocks = {
    .id = "random_blocks",
    .title = "Random blocks",
    .source = "Bu et al., Long-Context Attention Benchmark, arXiv 2510.17896",
    .text = "so many of the blocks, at random",
    .params = params,
    .params_size = sizeof(random_blocks),
    .by_layer = true,
    .placeless = placeless,
    .make = make,
    .bytes = bytes,
};
