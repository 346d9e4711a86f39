/* approx/hodlr.c -- hierarchical blocks: positions are halved again and again, blocks
 * off the diagonal have a low rank, what is left on it is kept.
 *
 * Math    [a, b) splits at m = floor((a + b) / 2) while b - a > leaf: the blocks
 *         [a, m) x [m, b) and [m, b) x [a, m) are the best of rank r; a leaf is kept.
 *         Rows are at the positions of the queries. Hidden keys have no weight.
 * Oracle  |P - W|_F^2 = the sum over the blocks of their discarded sigma^2 (no sliding
 *         window); leaf >= all positions: dense attention.
 * Source  Hackbusch; card 26.
 * Cost    a decomposition of every block, 22 m^3 flop of m tokens; the weights are
 *         stored. Numbers: r n log2(n / leaf) + n leaf causal, twice that rank part
 *         else.
 * Limits  trees of Combiner and H-Transformer share factors among blocks, and this does
 *         not.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>

#include "approx/lowrank.h"
#include "core/rows.h"

typedef struct hodlr {
    int64_t rank, leaf;
} hodlr;

static const atn_param params[] = {
    ATN_PARAM_I64(hodlr, rank, 4, 1, 1 << 20, "singular values kept of a block"),
    ATN_PARAM_I64(hodlr, leaf, 16, 1, 1 << 20, "tokens of a block that is kept whole"),
    ATN_PARAM_END,
};

/* A block of queries and keys; rank -1: kept. */
typedef struct place {
    atn_idx row, rows, key, keys, rank;
} place;

typedef struct tree {
    const atn_head *h;
    const hodlr *t;
    place *at; /* NULL = only counted */
    atn_idx n;
} tree;

static void add(tree *s, atn_idx row, atn_idx row_end, atn_idx key, atn_idx key_end,
                bool leaf)
{
    const atn_head *h = s->h;
    place b;
    bool seen = false;

    row = ATN_MIN(ATN_MAX(row - h->sight.offset, 0), h->nq);
    row_end = ATN_MIN(ATN_MAX(row_end - h->sight.offset, 0), h->nq);
    key = ATN_MIN(key, h->nk);
    key_end = ATN_MIN(key_end, h->nk);
    for (atn_idx i = row; i < row_end && !seen; i++) {
        atn_idx lo, hi;

        atn_sight_row(&h->sight, i, &lo, &hi);
        seen = ATN_MAX(lo, key) < ATN_MIN(hi, key_end);
    }
    if (!seen) return;
    b = (place){row, row_end - row, key, key_end - key, -1};
    if (!leaf) b.rank = ATN_MIN(s->t->rank, ATN_MIN(b.rows, b.keys));
    if (s->at) s->at[s->n] = b;
    s->n++;
}

static void split(tree *s, atn_idx a, atn_idx b)
{
    const atn_idx m = (a + b) / 2;

    if (b <= a) return;
    if (b - a <= s->t->leaf) {
        add(s, a, b, a, b, true);
        return;
    }
    add(s, a, m, m, b, false);
    add(s, m, b, a, m, false);
    split(s, a, m);
    split(s, m, b);
}

static void walk(tree *s)
{
    s->n = 0;
    split(s, 0, ATN_MAX(s->h->nk, s->h->sight.offset + s->h->nq));
}

typedef struct job {
    const atn_head *h;
    const double *p;
    atn_factor_block *block;
} job;

static atn_status truncate_block(atn_ctx *cx, atn_idx task, void *state)
{
    const job *j = state;
    const atn_factor_block *b = &j->block[task];
    const atn_lowrank to = {b->rows, b->keys, b->rank, b->u, b->v};
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *x = NULL;

    ATN_TAKE(x, b->rows * b->keys);
    for (atn_idx i = 0; i < b->rows; i++)
        memcpy(x + i * b->keys, j->p + (b->row + i) * j->h->nk + b->key,
               (size_t)b->keys * sizeof *x);
    ATN_TRY(atn_lowrank_dense(cx, x, &to));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Blocks become those of f, and of p only leaves stay. */
static atn_status build(atn_ctx *cx, const tree *s, double *p, atn_factors *f)
{
    const atn_head *h = s->h;
    job j = {h, p, NULL};
    atn_status st = ATN_OK;

    *f = (atn_factors){.nq = h->nq, .nk = h->nk, .masked = true};
    ATN_NEW(f->block, s->n);
    for (atn_idx e = 0; e < s->n; e++) {
        const place *b = &s->at[e];
        atn_factor_block *to = &f->block[f->blocks];

        if (b->rank < 0) continue;
        *to = (atn_factor_block){b->row, b->rows, b->key, b->keys, b->rank, NULL, NULL};
        f->blocks++;
        ATN_NEW(to->u, b->rows * b->rank);
        ATN_NEW(to->v, b->keys * b->rank);
    }
    j.block = f->block;
    ATN_TRY(atn_parallel(cx, f->blocks, truncate_block, &j, "hierarchical blocks"));
    for (atn_idx e = 0; e < f->blocks; e++)
        for (atn_idx i = 0; i < f->block[e].rows; i++)
            memset(p + (f->block[e].row + i) * h->nk + f->block[e].key, 0,
                   (size_t)f->block[e].keys * sizeof *p);
    ATN_TRY(atn_factors_take(cx, p, f));
done:
    return st;
}

static double numbers_of(const tree *s, double *flops)
{
    double n = 0;

    *flops = 0;
    for (atn_idx e = 0; e < s->n; e++) {
        const place *b = &s->at[e];

        if (b->rank >= 0) {
            n += (double)b->rank * (double)(b->rows + b->keys);
            *flops += 22 * (double)b->rows * (double)b->keys *
                      (double)ATN_MIN(b->rows, b->keys);
            continue;
        }
        for (atn_idx i = b->row; i < b->row + b->rows; i++) {
            atn_idx lo, hi;

            atn_sight_row(&s->h->sight, i, &lo, &hi);
            n +=
                (double)ATN_MAX(ATN_MIN(hi, b->key + b->keys) - ATN_MAX(lo, b->key), 0);
        }
    }
    return n;
}

/* At most 2 blocks and 2 leaves a token of leaves of one, and one at least. */
static double blocks_most(const hodlr *t, const atn_head *h)
{
    const double n = (double)ATN_MAX(h->nk, h->sight.offset + h->nq);

    return 8 * n / (double)t->leaf + 8;
}

/* A token has a row and a column in a block of every level. */
static double needs(const atn_ctx *cx, const hodlr *t, const atn_head *h)
{
    const double all = (double)h->nq * (double)h->nk, blocks = blocks_most(t, h);
    const double n = (double)(h->nq + h->nk), leaf = (double)t->leaf;
    double levels = 1, factors;

    for (double m = n; m > leaf; m /= 2) levels++;
    factors = ATN_MIN((double)t->rank * levels * n, 2 * all + n);
    return atn_weights_store_bytes(cx, h) + sizeof(double) * factors +
           12 * ATN_MIN((double)h->nq * leaf, all) + 8 * (double)(h->nq + 1) +
           blocks * (sizeof(place) + sizeof(atn_factor_block) + 2 * 64) +
           (double)cx->threads *
               (sizeof(double) * all / 4 +
                atn_lowrank_dense_bytes(h->nq / 2 + 1, h->nk / 2 + 1));
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const hodlr *t = params_;
    const atn_head *h = &in->head[first];
    const atn_arena_mark mark = atn_arena_save(cx);
    tree s = {.h = h, .t = t};
    atn_status st = ATN_OK;
    atn_factors f = {0};
    double *p = NULL, flops;

    (void)n;
    ATN_TRY(atn_mem_check(cx, needs(cx, t, h), "hierarchical blocks"));
    walk(&s);
    ATN_TAKE(s.at, s.n + 1);
    walk(&s);
    ATN_TAKE(p, h->nq * h->nk);
    ATN_TRY(atn_weights_store(cx, h, p));
    ATN_TRY(build(cx, &s, p, &f));
    ATN_TRY(atn_factors_plan(cx, h, &f, out));
    numbers_of(&s, &flops);
    out->index_flops = 2 * (double)h->q.cols * atn_visible_pairs(h) + flops;
    out->index_bytes = ATN_COST_BYTES * (double)(h->nq + h->nk) * (double)h->q.cols;
done:
    atn_factors_release(cx, &f);
    atn_arena_rewind(cx, mark);
    return st;
}

static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    return ATN_METHOD_LITTLE + needs(cx, params_, &in->head[0]);
}

const atn_method atn_method_hodlr = {
    .id = "hodlr",
    .title = "Hierarchical blocks (oracle)",
    .family = "oracle",
    .source = "Hackbusch: hierarchical matrices",
    .text = "halves of halves, of a low rank off the diagonal",
    .reads = ATN_READS_WEIGHTS | ATN_READS_STORED,
    .oracle = atn_always,
    .sides = ATN_BOTH_WAYS,
    .params = params,
    .params_size = sizeof(hodlr),
    .budget = "rank",
    .weights = ATN_WEIGHTS_SIGNED | ATN_WEIGHTS_FREE,
    .exact = "leaf=#",
    .looks = atn_looks_ahead,
    .plan = plan,
    .bytes = bytes,
};
