/* approx/patterns/fixed.c -- the query's own segment, and the last keys of every one.
 *
 * Math    j <= i, in blocks. First half floor(i / stride) = floor(j / stride), second
 *         j mod stride >= stride - summary. With several sets, head h takes the h-th
 *         `summary` columns from the end of a segment, h counted mod sets.
 * Oracle  both halves: every j <= i is at most two layers away, over the summary of its
 *         segment. Pairs of n = m stride tokens: m (stride (stride + 1) / 2) + summary
 *         stride m (m - 1) / 2.
 * Source  Child et al., Sparse Transformer, arXiv 1904.10509, openai/sparse_attention.
 * Limits  the second half alone (form = heads, layers) leaves the first rows empty.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/generate.h"

typedef struct fixed {
    int64_t stride, summary, sets, block;
    int form;
} fixed;

static const atn_param params[] = {
    ATN_PARAM_I64(fixed, stride, 128, 1, ATN_EXTENT_MOST, "length of a segment"),
    ATN_PARAM_I64(fixed, summary, 8, 1, ATN_EXTENT_MOST,
                  "last columns of every segment, seen from all later ones"),
    ATN_PARAM_I64(fixed, sets, 1, 1, ATN_EXTENT_MOST,
                  "sets of summary columns, taken in turn by the heads"),
    ATN_PARAM_CHOICE(fixed, form, ATN_HALVES_MERGED, ATN_HALVES, ATN_HALVES_TEXT),
    ATN_PARAM_BLOCK(fixed, 1),
    ATN_PARAM_END,
};

/* Heads that share a form take the sets among themselves. */
static atn_idx first_column(const fixed *t, atn_idx h)
{
    const atn_idx nth = t->form == ATN_HALVES_HEADS ? h / 2 : h;

    return t->stride - (nth % t->sets + 1) * t->summary;
}

/* The pattern of the halves (bits, as atn_generator_half) of head h. */
static atn_status half(atn_ctx *cx, const fixed *t, const atn_frame *f, int halves,
                       atn_idx h, atn_pattern **out)
{
    const atn_idx phase = first_column(t, h);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_pattern *own = NULL, *columns = NULL;
    atn_idx *starts = NULL, n = 0;
    atn_status st = ATN_OK;

    if (halves & 1) {
        ATN_TRY(
            atn_generator_borders(cx, atn_generator_reach(f), t->stride, &starts, &n));
        ATN_TRY(atn_pattern_segments(cx, f, starts, n, &own));
    }
    if (halves & 2)
        ATN_TRY(atn_pattern_columns(cx, f, t->stride, t->summary, &phase, 1, &columns));
    st = atn_generator_join(cx, own, columns, out);
    own = columns = NULL;
done:
    atn_pattern_destroy(cx, own);
    atn_pattern_destroy(cx, columns);
    atn_arena_rewind(cx, mark);
    return st;
}

/* The sets fit into a segment, each with a column. */
static atn_status check(atn_ctx *cx, const fixed *t)
{
    const long long sets = t->sets, summary = t->summary, stride = t->stride;
    atn_status st = ATN_OK;

    if (sets > stride)
        ATN_FAIL(ATN_USAGE,
                 "fixed: %lld sets of a column at least do not fit into stride = %lld "
                 "(give sets <= %lld)",
                 sets, stride, ATN_MAX(stride / summary, 1LL));
    if (summary > stride / sets)
        ATN_FAIL(ATN_USAGE,
                 "fixed: %lld sets of summary = %lld columns do not fit into stride = "
                 "%lld (give summary <= %lld)",
                 sets, summary, stride, stride / sets);
done:
    return st;
}

static atn_status make(atn_ctx *cx, const void *params_, const atn_layout *l,
                       atn_pattern **out)
{
    const fixed *t = params_;
    const atn_frame f = atn_generator_frame(l, t->block, true);
    const bool alike = t->form != ATN_HALVES_HEADS && t->sets == 1;
    const atn_idx heads = alike ? 1 : l->heads;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_pattern **each = NULL;
    atn_status st = ATN_OK;
    atn_idx n = 0;

    ATN_TRY(check(cx, t));
    ATN_TRY(atn_generator_halves(cx, "fixed", t->form, l));
    ATN_TAKE(each, heads);
    for (; n < heads; n++)
        ATN_TRY(half(cx, t, &f, atn_generator_half(t->form, l, n), n, &each[n]));
    st = atn_generator_heads(cx, each, heads, out);
    n = 0;
done:
    while (n > 0) atn_pattern_destroy(cx, each[--n]);
    atn_arena_rewind(cx, mark);
    return st;
}

static double bytes(const void *params_, const atn_layout *l)
{
    const fixed *t = params_;
    const double segments =
        (double)(l->first + l->nq) / ((double)t->block * (double)t->stride);

    return (24 * segments + 1024) * (double)l->heads;
}

const atn_generator atn_generator_fixed = {
    .id = "fixed",
    .title = "Fixed (Sparse Transformer)",
    .source = "Child et al., Sparse Transformer, arXiv 1904.10509",
    .text = "the query's own segment, and the last keys of every earlier one",
    .params = params,
    .params_size = sizeof(fixed),
    .budget = "summary",
    .by_layer = true,
    .make = make,
    .bytes = bytes,
};
