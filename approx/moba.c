/* approx/moba.c -- mixture of block attention: the block of the query, and of the past
 * blocks those whose mean key it likes best.
 *
 * Math    blocks of B tokens; the gate of block c is q_t . mean of its keys (raw, no
 *         scale); the current block has +inf, those not strictly past and not current
 *         none. S_t = the tokens up to t of the k best. Weights A^S.
 * Oracle  k = 1: block-diagonal and causal; k >= blocks: dense. First fixture of the
 *         cards, B = 2, k = 2, row 7: gates 1, -1, 1 of the past, S = {0, 1, 6, 7},
 *         m = .393224.
 * Source  Lu et al., MoBA, arXiv 2502.13189; MoonshotAI/MoBA, moba/moba_naive.py.
 * Cost    2 d flop a query and block; memory O(n k) for what is kept.
 * Limits  meant for models trained with it. The mean of a block is over all its tokens,
 *         under a sliding window, too; a block of which the query sees no key is no
 *         candidate.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "approx/blocks.h"
#include "approx/generate.h"
#include "core/rows.h"

typedef struct moba {
    int64_t k, block;
} moba;

static const atn_param params[] = {
    ATN_PARAM_I64(moba, k, 3, 1, ATN_EXTENT_MOST,
                  "blocks kept, that of the query among them"),
    ATN_PARAM_I64(moba, block, 2048, 1, ATN_EXTENT_MOST, "tokens of a block"),
    ATN_PARAM_END,
};

typedef struct work {
    const atn_head *h;
    const moba *m;
    atn_scored means;
    atn_chosen *chosen;
} work;

static atn_span past_blocks(const void *state, atn_idx i)
{
    const work *w = state;
    const atn_block_row r = atn_block_row_of(w->h, i, w->m->block);

    return (atn_span){r.first, r.past};
}

/* Row i; gates [0] is that of block lo. */
static atn_status choose_row(atn_ctx *cx, const work *w, atn_idx i, const float *gates,
                             atn_idx lo, atn_tally *tally)
{
    const atn_block_row r = atn_block_row_of(w->h, i, w->m->block);
    const atn_idx past = ATN_MAX(r.past - r.first, 0), n = r.end - r.first;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    float *score = NULL, *scratch = NULL;
    atn_idx *best = NULL, kept;

    if (n <= 0) goto done;
    ATN_TAKE(score, n);
    ATN_TAKE(scratch, n);
    ATN_TAKE(best, n);
    for (atn_idx c = 0; c < past; c++) score[c] = gates[r.first - lo + c];
    if (n > past) score[past] = INFINITY;
    kept = atn_best_of(score, n, w->m->k, best, scratch, &tally->ties);
    tally->scored += past;
    for (atn_idx c = 0; c < kept; c++) best[c] += r.first;
    ATN_TRY(atn_block_row_put(cx, w->chosen, &r, w->m->block, best, kept));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status choose_tile(atn_ctx *cx, void *state, const atn_row_tile *t,
                              atn_tally *tally)
{
    const work *w = state;
    atn_status st = ATN_OK;
    atn_mat gates;

    ATN_TRY(atn_scored_queries(cx, &w->means, w->h, t, &gates));
    for (atn_idx i = t->from; i < t->to; i++)
        ATN_TRY(choose_row(cx, w, i, atn_row(gates, i - t->from), t->lo, tally));
done:
    return st;
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *values,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const atn_head *h = &in->head[first];
    const moba *m = values;
    const atn_idx blocks = (h->nk - 1) / m->block + 1, d = h->k.cols;
    const atn_frame f = atn_head_frame(h, 1);
    work w = {.h = h, .m = m};
    const atn_scoring s = {"moba", h->nq, blocks, past_blocks, choose_tile, &w};
    atn_status st = ATN_OK;
    atn_pattern *p = NULL;
    float *means = NULL;
    atn_tally all;

    ATN_ASSERT(n == 1);
    ATN_TAKE(means, blocks * d);
    atn_block_means(h->k, m->block, means);
    ATN_TRY(atn_scored_pack(cx, (atn_cmat){means, blocks, d, d}, &w.means));
    ATN_TRY(atn_chosen_open(cx, &f, 1, &w.chosen));
    ATN_TRY(atn_scored_run(cx, &s, &all));
    st = atn_chosen_finish(cx, w.chosen, &p);
    w.chosen = NULL;
    ATN_TRY(st);
    atn_plan_mask(out, p, 0, 1, ATN_MIN(m->block, h->nk));
    atn_tally_cost(&all, h, blocks, 1, out);
done:
    atn_chosen_abandon(cx, w.chosen);
    return st;
}

/* A row's list is at most k spans, with what the heap adds. */
static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const moba *m = params_;
    const atn_head *h = &in->head[0];
    const atn_idx blocks = (h->nk - 1) / m->block + 1, rows = atn_scored_rows(blocks);
    const double n = (double)blocks, tiles = ceil((double)h->nq / (double)rows);

    return atn_chosen_bytes(cx, h, 1, 1, (double)m->k) +
           atn_scored_bytes(cx, blocks, h->k.cols) +
           sizeof(float) * n * (double)h->k.cols + sizeof(atn_tally) * tiles +
           cx->threads * 32 * n;
}

const atn_method atn_method_moba = {
    .id = "moba",
    .title = "MoBA: mixture of block attention",
    .family = "block",
    .source = "Lu et al. 2025, arXiv 2502.13189; MoonshotAI/MoBA",
    .text = "its own block, and the past blocks whose mean key it likes best",
    .reads = ATN_READS_QK,
    .sides = ATN_CAUSAL,
    .params = params,
    .params_size = sizeof(moba),
    .budget = "k",
    .plan = plan,
    .bytes = bytes,
};
