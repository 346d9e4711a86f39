/* approx/patterns/bigbird.c -- BigBird: a window, global blocks, random blocks.
 *
 * Math    in blocks a of the query and c of the key, nb of them, g = global, r = random
 *         encoder  |a - c| <= (window - 1) / 2; the rows and columns of the first g and
 *                  the last g; r random c in [g, nb - g) outside the window, in every
 *                  row a of [g, nb - g)
 *         causal   the same with c <= a; random from c >= g before the window
 *         plain    0 <= a - c < window; c < g; r random c in [g, a - window]
 *         Random ones are drawn without replacement; all where there are at most r.
 * Oracle  encoder, window 3, g = 1: rows 2 .. nb - 3 hold 5 + r blocks, among them {0,
 *         a - 1, a, a + 1, nb - 1}; rows 1 and nb - 2 hold 4 + r; the first and the
 *         last all.
 * Source  Zaheer et al., BigBird, arXiv 2007.14062; google-research/bigbird,
 *         core/attention.py (encoder). causal and plain are readings of our own.
 * Limits  the reference code may draw a block of the window in rows nb - 3 and nb - 2;
 *         here no key is drawn twice. The draws of a row depend on seed, layer, head
 *         and row alone, so that a chunk of queries has the rows of the whole. They are
 *         kept as "blocks" [block rows, random], -1 where a row has fewer.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/generate.h"

#include <stdlib.h>
#include <string.h>

#include "core/rng.h"

typedef struct bigbird {
    int64_t window, global, random, block;
    int form;
} bigbird;

enum { ENCODER, CAUSAL, PLAIN };
enum { RANDOM_MOST = 4096 };

static const atn_param params[] = {
    ATN_PARAM_I64(bigbird, window, 3, 1, ATN_EXTENT_MOST,
                  "blocks of the window; odd, or of form plain the past ones"),
    ATN_PARAM_I64(bigbird, global, 1, 0, ATN_EXTENT_MOST,
                  "first and last blocks that are global; of form plain the first"),
    ATN_PARAM_I64(bigbird, random, 3, 0, RANDOM_MOST, "random blocks of a row"),
    ATN_PARAM_CHOICE(bigbird, form, ENCODER, "encoder|causal|plain",
                     "both ways, the past of it, or window, first and random keys"),
    ATN_PARAM_BLOCK(bigbird, 16),
    ATN_PARAM_END,
};

/* ---- random blocks ---- */

/* What a row may draw from: [lo, mid) and [after, hi). */
typedef struct pool {
    atn_idx lo, mid, after, hi;
} pool;

static pool pool_of(const bigbird *t, atn_idx cols, atn_idx a)
{
    const atn_idx half = t->window / 2, end = cols - t->global;

    if (t->form == PLAIN)
        return (pool){t->global, ATN_MIN(a - t->window + 1, cols), cols, cols};
    if (a < t->global || a >= end) return (pool){0, 0, 0, 0};
    return (pool){t->global, a - half, t->form == ENCODER ? a + half + 1 : end, end};
}

/* r of m numbers, ascending, by Floyd's algorithm; all for r >= m. */
static atn_idx draw(atn_rng *rng, atn_idx m, atn_idx r, atn_idx *out)
{
    atn_idx n = 0;

    for (atn_idx t = ATN_MAX(m - r, 0); t < m; t++) {
        atn_idx x = r < m ? atn_rng_below(rng, t + 1) : t, at = 0;

        while (at < n && out[at] < x) at++;
        if (at < n && out[at] == x) {
            x = t; /* larger than all that there are */
            at = n;
        }
        memmove(out + at + 1, out + at, (size_t)(n - at) * sizeof *out);
        out[at] = x;
        n++;
    }
    return n;
}

/* The random blocks of row a of a head, ascending, into out [most], -1 after the
 * last. */
static void random_row(const bigbird *t, atn_rng rng, atn_idx cols, atn_idx a,
                       atn_idx most, atn_idx *drawn, int32_t *out)
{
    const pool p = pool_of(t, cols, a);
    const atn_idx before = ATN_MAX(p.mid - p.lo, 0);
    const atn_idx m = before + ATN_MAX(p.hi - p.after, 0);
    atn_idx n;

    rng.counter[1] = (uint32_t)a;
    n = draw(&rng, m, t->random, drawn);
    for (atn_idx i = 0; i < n; i++)
        out[i] = (int32_t)(drawn[i] < before ? p.lo + drawn[i]
                                             : p.after + drawn[i] - before);
    for (atn_idx i = n; i < most; i++) out[i] = -1;
}

/* The blocks of a row as spans; returns their number. */
static atn_idx spans_of(const int32_t *block, atn_idx most, atn_span *out)
{
    atn_idx spans = 0;

    for (atn_idx i = 0; i < most && block[i] >= 0; i++)
        if (spans && out[spans - 1].hi == block[i])
            out[spans - 1].hi++;
        else
            out[spans++] = (atn_span){block[i], block[i] + 1};
    return spans;
}

/* ---- blocks that are given ---- */

/* The tensor of a head, and which rows of blocks it is of. */
typedef struct table {
    atn_idx row0, rows, most, cols;
    int32_t *block; /* [rows, most] */
} table;

/* Ascending, what is -1 last. */
static int by_block(const void *a_, const void *b_)
{
    const uint32_t a = (uint32_t) * (const int32_t *)a_,
                   b = (uint32_t) * (const int32_t *)b_;

    return (a > b) - (a < b);
}

/* Sorts what a file gave for row a, which must be such as could have been drawn. */
static atn_status check_row(atn_ctx *cx, const bigbird *t, const atn_layout *l,
                            const table *b, atn_idx a)
{
    const pool p = pool_of(t, b->cols, a);
    int32_t *block = b->block + (a - b->row0) * b->most;
    atn_status st = ATN_OK;

    qsort(block, (size_t)b->most, sizeof *block, by_block);
    for (atn_idx i = 0; i < b->most && block[i] >= 0; i++) {
        const atn_idx c = block[i];

        if (i > 0 && block[i - 1] == c)
            ATN_FAIL(ATN_DATA,
                     "bigbird: the draws of layer %lld, head %lld give row %lld of "
                     "blocks the block %lld twice (give each once, -1 for none)",
                     (long long)l->layer, (long long)l->head, (long long)a,
                     (long long)c);
        if ((c < p.lo || c >= p.mid) && (c < p.after || c >= p.hi))
            ATN_FAIL(ATN_DATA,
                     "bigbird: the draws of layer %lld, head %lld give row %lld of "
                     "blocks the block %lld, which is global, of the window or ahead "
                     "(give draws of a run with the same length and parameters)",
                     (long long)l->layer, (long long)l->head, (long long)a,
                     (long long)c);
    }
done:
    return st;
}

static atn_status given_blocks(atn_ctx *cx, const bigbird *t, const atn_layout *l,
                               const table *b)
{
    const atn_draw what = {.what = "blocks",
                           .purpose = "bigbird",
                           .layer = l->layer,
                           .head = l->head,
                           .rows = b->rows,
                           .cols = b->most};
    atn_status st = ATN_OK;

    ATN_TRY(atn_draws_need(cx, l->draws, &what));
    ATN_TRY(atn_draw_given_gaps(cx, l->draws, &what, b->cols, b->block));
    for (atn_idx a = b->row0; a < b->row0 + b->rows; a++)
        ATN_TRY(check_row(cx, t, l, b, a));
done:
    return st;
}

/* The random part; NULL where there is none. */
static atn_status random_part(atn_ctx *cx, const bigbird *t, const atn_layout *l,
                              const atn_frame *f, atn_pattern **out)
{
    const atn_idx row0 = f->first / f->block, cols = atn_generator_cols(f);
    table b = {row0, (f->first + f->nq - 1) / f->block + 1 - row0,
               ATN_MIN(t->random, cols), cols, NULL};
    atn_idx *drawn = NULL, room = 0;
    atn_status st = ATN_OK;
    atn_span *spans = NULL;
    int64_t *ptr = NULL;

    *out = NULL;
    if (b.most == 0) return ATN_OK;
    if (!atn_mul(l->heads, b.rows, &room) || !atn_mul(room, b.most, &room))
        ATN_FAIL(ATN_MEMORY, "bigbird: random = %lld blocks in every row are too many",
                 (long long)t->random);
    ATN_TAKE(drawn, b.most + 1);
    ATN_TAKE(b.block, b.rows * b.most);
    ATN_NEW(ptr, l->heads * b.rows + 1);
    ATN_NEW(spans, room);
    for (atn_idx h = 0, k = 0; h < l->heads; h++) {
        const atn_rng rng = atn_rng_stream(l->seed, "bigbird", l->layer, h);

        for (atn_idx a = 0; a < b.rows; a++)
            random_row(t, rng, cols, row0 + a, b.most, drawn, b.block + a * b.most);
        if (l->draws && h == l->head) ATN_TRY(given_blocks(cx, t, l, &b));
        for (atn_idx a = 0; a < b.rows; a++, k++)
            ptr[k + 1] =
                ptr[k] + spans_of(b.block + a * b.most, b.most, spans + ptr[k]);
    }
    st = atn_pattern_rows(cx, f, l->heads, ptr, spans, out);
    ptr = NULL;
    spans = NULL;
done:
    atn_free(cx, ptr);
    atn_free(cx, spans);
    return st;
}

/* ---- the rest ---- */

static atn_status check(atn_ctx *cx, const bigbird *t, const atn_frame *f)
{
    atn_status st = ATN_OK;

    if (t->form != PLAIN && t->window % 2 == 0)
        ATN_FAIL(ATN_USAGE,
                 "bigbird: window = %lld has no middle block (give an odd number, or "
                 "form=plain, which counts backwards)",
                 (long long)t->window);
    ATN_TRY(atn_generator_sink(cx, "bigbird", "global", f, t->global));
done:
    return st;
}

/* Window and first columns; and of the forms that have them, last columns and global
 * rows. */
static atn_status regular_part(atn_ctx *cx, const bigbird *t, const atn_frame *f,
                               atn_pattern **out)
{
    const atn_idx reach = atn_generator_reach(f), cols = atn_generator_cols(f);
    const atn_idx g = t->global, half = t->window / 2;
    const atn_span all = {0, reach};
    const atn_span near = {t->form == ENCODER ? -half : 0,
                           t->form == PLAIN ? t->window : half + 1};
    const atn_box boxes[] = {
        {{0, g}, all}, {{cols - g, reach}, all}, {all, {cols - g, cols}}};
    atn_pattern *window = NULL, *global = NULL;
    atn_status st = ATN_OK;

    ATN_TRY(atn_pattern_shift(cx, f, &near, 1, g, &window));
    if (t->form != PLAIN && g > 0) ATN_TRY(atn_pattern_boxes(cx, f, boxes, 3, &global));
    st = atn_generator_join(cx, window, global, out);
    window = global = NULL;
done:
    atn_pattern_destroy(cx, window);
    atn_pattern_destroy(cx, global);
    return st;
}

static atn_status make(atn_ctx *cx, const void *params_, const atn_layout *l,
                       atn_pattern **out)
{
    const bigbird *t = params_;
    const atn_frame f = atn_generator_frame(l, t->block, t->form != ENCODER);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_pattern *regular = NULL, *random = NULL;
    atn_status st = ATN_OK;

    ATN_TRY(check(cx, t, &f));
    ATN_TRY(random_part(cx, t, l, &f, &random));
    ATN_TRY(regular_part(cx, t, &f, &regular));
    st = atn_generator_join(cx, regular, random, out);
    regular = random = NULL;
done:
    atn_pattern_destroy(cx, regular);
    atn_pattern_destroy(cx, random);
    atn_arena_rewind(cx, mark);
    return st;
}

/* The random blocks of all heads, and those of one as they are drawn. */
static double bytes(const void *params_, const atn_layout *l)
{
    const bigbird *t = params_;
    const double rows = (double)(l->nq / t->block) + 2;
    const double most = ATN_MIN((double)t->random, (double)(l->nk / t->block) + 1);

    return rows * most * (sizeof(atn_span) * (double)l->heads + sizeof(atn_idx)) +
           sizeof(int64_t) * rows * (double)l->heads + sizeof(atn_idx) * (most + 64);
}

const atn_generator atn_generator_bigbird = {
    .id = "bigbird",
    .title = "BigBird",
    .source = "Zaheer et al., BigBird, arXiv 2007.14062",
    .text = "the nearest blocks, the first and the last, and random ones",
    .params = params,
    .params_size = sizeof(bigbird),
    .budget = "random",
    .by_layer = true,
    .draws = true,
    .make = make,
    .bytes = bytes,
};
