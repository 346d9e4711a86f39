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
#include <string.h>

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
    atn_idx rows; /* of a tile */
    atn_chosen *chosen;
    atn_tally *tally; /* [tiles] */
} work;

/* The past blocks that some row of a tile has. */
static void past_blocks(const work *w, atn_idx from, atn_idx to, atn_idx *lo,
                        atn_idx *hi)
{
    *lo = w->means.n;
    *hi = 0;
    for (atn_idx i = from; i < to; i++) {
        const atn_block_row r = atn_block_row_of(w->h, i, w->m->block);

        if (r.first >= r.past) continue;
        *lo = ATN_MIN(*lo, r.first);
        *hi = ATN_MAX(*hi, r.past);
    }
    *lo = ATN_MIN(*lo, *hi);
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

static atn_status choose_tile(atn_ctx *cx, atn_idx t, void *state)
{
    const work *w = state;
    const atn_idx from = t * w->rows, to = ATN_MIN(from + w->rows, w->h->nq);
    const atn_cmat q = {atn_crow(w->h->q, from), to - from, w->h->q.cols, w->h->q.ld};
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_idx lo, hi;
    atn_mat gates;

    past_blocks(w, from, to, &lo, &hi);
    ATN_TRY(atn_scored_tile(cx, &w->means, q, lo, hi, &gates));
    for (atn_idx i = from; i < to; i++)
        ATN_TRY(choose_row(cx, w, i, atn_row(gates, i - from), lo, &w->tally[t]));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *values,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const atn_head *h = &in->head[first];
    const moba *m = values;
    const atn_idx blocks = (h->nk - 1) / m->block + 1, d = h->k.cols;
    const atn_frame f = atn_head_frame(h, 1);
    work w = {.h = h, .m = m, .rows = atn_scored_rows(blocks)};
    const atn_idx tiles = (h->nq - 1) / w.rows + 1;
    atn_status st = ATN_OK;
    atn_pattern *p = NULL;
    float *means = NULL;
    atn_tally all;

    ATN_ASSERT(n == 1);
    ATN_TAKE(means, blocks * d);
    ATN_TAKE(w.tally, tiles);
    memset(w.tally, 0, (size_t)tiles * sizeof *w.tally);
    atn_block_means(h->k, m->block, means);
    ATN_TRY(atn_scored_pack(cx, (atn_cmat){means, blocks, d, d}, &w.means));
    ATN_TRY(atn_chosen_open(cx, &f, 1, &w.chosen));
    ATN_TRY(atn_parallel(cx, tiles, choose_tile, &w, "moba"));
    st = atn_chosen_finish(cx, w.chosen, &p);
    w.chosen = NULL;
    ATN_TRY(st);
    atn_plan_mask(out, p, 0);
    out->tile_keys = ATN_MIN(m->block, h->nk);
    all = atn_tally_sum(w.tally, tiles);
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
