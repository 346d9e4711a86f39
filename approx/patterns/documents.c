/* approx/patterns/documents.c -- several texts in one sequence, each for itself.
 *
 * Math    in blocks; documents have borders c_0 = 0 < c_1 < ..
 *         causal           own document, j <= i
 *         full             own document
 *         block_causal     own document, blocks up to the query's own, these whole
 *         last_sees_all    causal; the last document sees all before it
 *         shared_question  the first document is a question, the others answers to it:
 *                          j <= i in the own answer and in the question
 * Oracle  full: sum of the squares of the lengths; causal: sum of L (L + 1) / 2.
 * Source  Bu et al., Long-Context Attention Benchmark, arXiv 2510.17896, the masks
 *         document, causal blockwise, share question, block causal document.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/generate.h"

typedef struct documents {
    atn_list lengths;
    int64_t block;
    int kind;
} documents;

enum { CAUSAL, FULL, BLOCK_CAUSAL, LAST_SEES_ALL, SHARED_QUESTION };

static const atn_param params[] = {
    ATN_PARAM_LIST(documents, lengths, "1024", 1, ATN_EXTENT_MOST,
                   "lengths of the documents; one is repeated"),
    ATN_PARAM_CHOICE(documents, kind, CAUSAL,
                     "causal|full|block_causal|last_sees_all|shared_question",
                     "what of its document, and of others, a query sees"),
    ATN_PARAM_BLOCK(documents, 1),
    ATN_PARAM_END,
};

static atn_idx tokens(const void *params_)
{
    const documents *t = params_;
    atn_idx sum = 0, n = 0;

    for (int i = 0; i < t->lengths.n; i++) sum += t->lengths.at[i];
    return t->lengths.n > 1 && atn_mul(sum, t->block, &n) ? n : 0;
}

/* A box beside the segments, or a cut through them: what the kind has besides. */
static atn_status besides(atn_ctx *cx, const documents *t, const atn_frame *f,
                          const atn_idx *starts, atn_idx n, atn_pattern **out)
{
    const atn_idx reach = atn_generator_reach(f);
    const atn_span past = {0, reach};
    atn_box box = {{starts[n - 1], reach}, {0, starts[n - 1]}};

    *out = NULL;
    if (t->kind == BLOCK_CAUSAL) return atn_pattern_shift(cx, f, &past, 1, 0, out);
    if (n < 2 || t->kind == CAUSAL || t->kind == FULL) return ATN_OK;
    if (t->kind == SHARED_QUESTION) box = (atn_box){{starts[1], reach}, {0, starts[1]}};
    return atn_pattern_boxes(cx, f, &box, 1, out);
}

static atn_status make(atn_ctx *cx, const void *params_, const atn_layout *l,
                       atn_pattern **out)
{
    const documents *t = params_;
    const bool causal = t->kind != FULL && t->kind != BLOCK_CAUSAL;
    const atn_frame f = atn_generator_frame(l, t->block, causal);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_pattern *own = NULL, *more = NULL;
    atn_idx *starts = NULL, n = 0;
    atn_status st = ATN_OK;

    ATN_TRY(atn_generator_pieces(cx, "documents", &f, &t->lengths, &starts, &n));
    ATN_TRY(besides(cx, t, &f, starts, n, &more));
    ATN_TRY(atn_pattern_segments(cx, &f, starts, n, &own));
    if (t->kind == BLOCK_CAUSAL)
        st = atn_pattern_intersection(cx, own, more, out);
    else
        st = atn_generator_join(cx, own, more, out);
    own = more = NULL;
done:
    atn_pattern_destroy(cx, own);
    atn_pattern_destroy(cx, more);
    atn_arena_rewind(cx, mark);
    return st;
}

/* Where they begin, twice. */
static double bytes(const void *params_, const atn_layout *l)
{
    const documents *t = params_;
    const double tokens = (double)(l->first + l->nq) / (double)t->block;

    if (t->lengths.n != 1) return 48 * (double)t->lengths.n;
    return 48 * tokens / (double)t->lengths.at[0];
}

const atn_generator atn_generator_documents = {
    .id = "documents",
    .title = "Documents",
    .source = "Bu et al., Long-Context Attention Benchmark, arXiv 2510.17896",
    .text = "the keys of the query's own document",
    .params = params,
    .params_size = sizeof(documents),
    .tokens = tokens,
    .make = make,
    .bytes = bytes,
};
