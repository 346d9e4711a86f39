/* approx/patterns/prefix_lm.c -- a prefix that sees itself both ways, the rest causal.
 *
 * Math    j <= i or both i, j < prefix; with lengths the same in every document, and a
 *         document no longer than the prefix is causal.
 * Oracle  n (n + 1) / 2 + prefix (prefix - 1) / 2 pairs.
 * Source  Bu et al., Long-Context Attention Benchmark, arXiv 2510.17896, the masks
 *         prefix-LM causal and prefix-LM document; Raffel et al., arXiv 1910.10683.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/generate.h"

typedef struct prefix_lm {
    int64_t prefix;
    atn_list lengths;
} prefix_lm;

static const atn_param params[] = {
    ATN_PARAM_I64(prefix_lm, prefix, 64, 0, ATN_EXTENT_MOST,
                  "first tokens, which see one another"),
    ATN_PARAM_LIST(prefix_lm, lengths, "", 1, ATN_EXTENT_MOST,
                   "lengths of documents, none = one; one is repeated"),
    ATN_PARAM_END,
};

static atn_idx tokens(const void *params_)
{
    const prefix_lm *t = params_;
    atn_idx sum = 0;

    for (int i = 0; i < t->lengths.n; i++) sum += t->lengths.at[i];
    return t->lengths.n > 1 ? sum : 0;
}

/* Borders of the documents, one where none is given. */
static atn_status borders(atn_ctx *cx, const prefix_lm *t, const atn_frame *f,
                          atn_idx **starts, atn_idx *n)
{
    if (t->lengths.n > 0)
        return atn_generator_pieces(cx, "prefix_lm", f, &t->lengths, starts, n);
    return atn_generator_borders(cx, atn_generator_reach(f), atn_generator_reach(f),
                                 starts, n);
}

/* The prefixes as boxes; NULL where there are none. */
static atn_status prefixes(atn_ctx *cx, const prefix_lm *t, const atn_frame *f,
                           const atn_idx *starts, atn_idx n, atn_pattern **out)
{
    const atn_idx end = t->lengths.n > 0 ? f->nk : atn_generator_reach(f);
    atn_status st = ATN_OK;
    atn_box *boxes = NULL;
    atn_idx kept = 0;

    *out = NULL;
    ATN_TAKE(boxes, n);
    for (atn_idx i = 0; i < n; i++) {
        const atn_idx length = (i + 1 < n ? starts[i + 1] : end) - starts[i];
        const atn_span own = {starts[i], starts[i] + ATN_MIN(t->prefix, length)};

        if (t->prefix > 0 && (t->prefix < length || t->lengths.n == 0))
            boxes[kept++] = (atn_box){own, own};
    }
    if (kept) ATN_TRY(atn_pattern_boxes(cx, f, boxes, kept, out));
done:
    return st;
}

static atn_status make(atn_ctx *cx, const void *params_, const atn_layout *l,
                       atn_pattern **out)
{
    const prefix_lm *t = params_;
    const atn_frame causal = atn_generator_frame(l, 1, true);
    const atn_frame f = atn_generator_frame(l, 1, false);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_pattern *own = NULL, *ahead = NULL;
    atn_idx *starts = NULL, n = 0;
    atn_status st = ATN_OK;

    ATN_TRY(borders(cx, t, &f, &starts, &n));
    ATN_TRY(prefixes(cx, t, &f, starts, n, &ahead));
    ATN_TRY(atn_pattern_segments(cx, &causal, starts, n, &own));
    st = atn_generator_join(cx, own, ahead, out);
    own = ahead = NULL;
done:
    atn_pattern_destroy(cx, own);
    atn_pattern_destroy(cx, ahead);
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_generator atn_generator_prefix_lm = {
    .id = "prefix_lm",
    .title = "Prefix language model",
    .source = "Bu et al., Long-Context Attention Benchmark, arXiv 2510.17896",
    .text = "the keys up to the query, and within the prefix all of it",
    .params = params,
    .params_size = sizeof(prefix_lm),
    .tokens = tokens,
    .make = make,
};
