/* approx/topk.c -- the k best keys of every row, or blocks of keys of every block of
 * rows: the ceiling of all that keeps as many.
 *
 * Math    S_i = the k largest logits z_ij among the keys that i sees; by blocks the k
 *         largest scores of approx/oracle.h. Those in the window j > i - window (also
 *         ahead, where the head sees there), and the first `sink` keys, come before all
 *         others and count among the k; where they are more than k the nearest come
 *         first, then the lowest.
 * Oracle  k >= visible keys: dense. k = 1: o_i = v_argmax. No other set of |S_i| keys
 *         has more of the row; by blocks and sums, no other blocks.
 * Source  own derivation.
 * Cost    dense logits, in double, and a selection; memory a few rows a thread.
 * Limits  an oracle, not a speed-up. It is best for the mass, not for the output.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdlib.h>

#include <math.h>

#include "approx/oracle.h"

typedef struct topk {
    int64_t k, block, sink, window;
    int score;
} topk;

static const atn_param params[] = {
    ATN_PARAM_I64(topk, k, 32, 1, 1 << 30, "keys, or blocks of keys, kept a row"),
    ATN_PARAM_I64(topk, block, 1, 1, 1 << 20,
                  "tokens of a block of queries and of keys, 1 = single ones"),
    ATN_PARAM_CHOICE(topk, score, ATN_SCORE_SUM, ATN_BLOCK_SCORES,
                     "what the weights in a block are ranked by"),
    ATN_PARAM_I64(topk, sink, 0, 0, 1 << 30, "first tokens, always kept"),
    ATN_PARAM_I64(topk, window, 0, 0, 1 << 30,
                  "recent tokens, always kept, the query's own among them"),
    ATN_PARAM_END,
};

static const atn_preset presets[] = {
    {"block_topk", "block=64", "the best blocks of keys of every block of queries"},
    {NULL, NULL, NULL},
};

typedef struct choosing {
    const topk *t;
    atn_chosen *chosen;
    int64_t *ties; /* of list r at r - first */
    atn_idx first;
} choosing;

/* Puts a score above all others on what is always kept: the nearest have the highest,
 * then the lowest of the first ones. */
static void raise(const topk *t, const atn_oracle *o, atn_oracle_list *l)
{
    const double above = 1e200, n = (double)(l->lo + l->n);
    const bool causal = o->head->sight.causal;
    const atn_idx own = l->from / o->block;
    const atn_idx behind = (ATN_MAX(l->from - t->window + 1, 0)) / o->block;
    const atn_idx ahead =
        causal ? (l->to - 1) / o->block : (l->to - 1 + t->window - 1) / o->block;

    for (atn_idx j = 0; j < l->n; j++) {
        const atn_idx c = l->lo + j, away = llabs(c - own);

        if (t->window > 0 && c >= behind && c <= ahead)
            l->w[j] = above * (2 * n + (double)own - (double)away);
        else if (c * o->block < t->sink)
            l->w[j] = above * (n - (double)c);
    }
}

static atn_status choose(atn_ctx *cx, const atn_oracle *o, atn_oracle_list *l,
                         void *state)
{
    const choosing *s = state;
    atn_cut cut;

    if (s->t->sink > 0 || s->t->window > 0) raise(s->t, o, l);
    cut = atn_cut_at_count(l->w, l->n, s->t->k, l->scratch, &s->ties[l->r - s->first]);
    return atn_oracle_keep(cx, s->chosen, l, cut);
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const topk *t = params_;
    const atn_head *h = &in->head[first];
    const atn_oracle o = {h, t->block, (atn_block_score)t->score,
                          t->block == 1 && !h->p.data};
    const atn_arena_mark mark = atn_arena_save(cx);
    choosing s = {.t = t};
    atn_status st = ATN_OK;
    atn_idx end;

    (void)n;
    ATN_TRY(atn_oracle_open(cx, &o, &s.chosen));
    atn_chosen_lists(s.chosen, &s.first, &end);
    ATN_TAKE(s.ties, end - s.first);
    for (atn_idx r = 0; r < end - s.first; r++) s.ties[r] = 0;
    ATN_TRY(atn_oracle_run(cx, &o, choose, &s, "ranking keys"));
    for (atn_idx r = 0; r < end - s.first; r++) out->ties += s.ties[r];
    st = atn_oracle_finish(cx, &o, s.chosen, out);
    s.chosen = NULL;
    ATN_TRY(st);
done:
    atn_chosen_abandon(cx, s.chosen);
    atn_arena_rewind(cx, mark);
    return st;
}

/* Rows of a block choose together. */
static unsigned looks(const void *params_, const atn_input *in)
{
    const topk *t = params_;

    (void)in;
    return t->block > 1 ? ATN_LOOKS_KEYS | ATN_LOOKS_QUERIES : 0;
}

static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const topk *t = params_;
    const atn_oracle o = {&in->head[0], t->block, (atn_block_score)t->score,
                          t->block == 1 && !in->head[0].p.data};

    return atn_oracle_bytes(cx, &o, (double)t->k + 2) +
           sizeof(int64_t) * ((double)in->head[0].nq / (double)t->block + 2);
}

const atn_method atn_method_topk = {
    .id = "topk",
    .title = "Best keys (oracle)",
    .family = "oracle",
    .source = "own derivation",
    .text = "the k keys of largest weight",
    .reads = ATN_READS_WEIGHTS,
    .oracle = atn_always,
    .sides = ATN_BOTH_WAYS,
    .params = params,
    .params_size = sizeof(topk),
    .presets = presets,
    .budget = "k",
    .looks = looks,
    .plan = plan,
    .bytes = bytes,
};
